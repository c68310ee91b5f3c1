//! Options: how models are loaded and sessions made.

use crate::{
    callbacks::*,
    handles::Table,
    status::{Failure, Result, call, paring_status},
    words::{Growing, Out, read, read_growing},
};
use facade::{Calibration, Isa, Level, Limits, Loader, Log, Numerics, Operator, Options, Threads, Tuning};
use std::{
    ffi::{c_char, c_void},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// How models are loaded and sessions made. What was made with options does not change with them later.
pub struct paring_options {
    _private: [u8; 0],
}

/// What a model may not exceed. 0 stands for the default, which is far above honest models.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct paring_limits {
    /// `sizeof(paring_limits)`.
    pub struct_size: usize,
    /// Bytes of a model file.
    pub model_bytes: u64,
    /// Nodes.
    pub nodes: u64,
    /// Bytes of one input, or of what one layer computes.
    pub tensor_bytes: u64,
    /// Bytes of working memory and outputs of a session.
    pub arena_bytes: u64,
}

// SAFETY: begins with its size; the rest are numbers.
unsafe impl Growing for paring_limits {}

/// Everything that options say.
#[derive(Clone, Default)]
pub(crate) struct Settings {
    pub options: Options,
    operators: Vec<Arc<dyn Operator>>,
    log: Option<Log>,
    deterministic: bool,
}

static OPTIONS: Table<Arc<Mutex<Settings>>> = Table::new(1, "options handle");

type Set = fn(&mut Settings, &str) -> Result<(), String>;

/// Every option that is set by name.
const KEYS: &[(&str, Set)] = &[
    ("threads", |s, v| put(&mut s.options.threads, threads(v))),
    ("numerics", |s, v| put(&mut s.options.numerics, numerics(v))),
    ("max_memory", |s, v| put(&mut s.options.max_memory, optional(v, bytes))),
    ("deterministic", |s, v| put(&mut s.deterministic, flag(v))),
    ("optimize", |s, v| put(&mut s.options.optimize, flag(v))),
    ("profile", |s, v| put(&mut s.options.profile, flag(v))),
    ("isa", |s, v| put(&mut s.options.isa, optional(v, isa))),
    ("kernels", |s, v| put(&mut s.options.kernels, optional(v, |v| Ok(list(v))))),
    ("exclude_kernels", |s, v| put(&mut s.options.exclude_kernels, Ok(list(v)))),
    ("plan_cache", |s, v| put(&mut s.options.plan_cache, number(v))),
    ("tuning", |s, v| put(&mut s.options.tuning, optional(v, tuning))),
    ("calibration", |s, v| put(&mut s.options.calibration, optional(v, calibration))),
];

fn put<T>(setting: &mut T, value: Result<T, String>) -> Result<(), String> {
    *setting = value?;
    Ok(())
}

fn optional<T>(v: &str, f: impl Fn(&str) -> Result<T, String>) -> Result<Option<T>, String> {
    if v.is_empty() { Ok(None) } else { f(v).map(Some) }
}

fn flag(v: &str) -> Result<bool, String> {
    match v {
        "1" | "true" | "on" => Ok(true),
        "0" | "false" | "off" => Ok(false),
        _ => Err("expected true or false".into()),
    }
}

fn number(v: &str) -> Result<usize, String> {
    v.parse().map_err(|_| "expected a number".into())
}

fn bytes(v: &str) -> Result<usize, String> {
    let (digits, shift) = match v.char_indices().next_back() {
        Some((at, 'k' | 'K')) => (&v[..at], 10),
        Some((at, 'm' | 'M')) => (&v[..at], 20),
        Some((at, 'g' | 'G')) => (&v[..at], 30),
        _ => (v, 0),
    };
    let n = digits.parse::<usize>().ok().and_then(|n| n.checked_mul(1 << shift));
    n.ok_or_else(|| "expected a number of bytes, such as 512M".into())
}

fn list(v: &str) -> Vec<String> {
    v.split(',').map(str::trim).filter(|s| !s.is_empty()).map(Into::into).collect()
}

fn threads(v: &str) -> Result<Threads, String> {
    Ok(match number(v)? {
        0 => Threads::default(),
        1 => Threads::Single,
        n => Threads::Pool(n),
    })
}

fn numerics(v: &str) -> Result<Numerics, String> {
    match v {
        "strict" => Ok(Numerics::Strict),
        "default" => Ok(Numerics::Default),
        "fast" => Ok(Numerics::Fast),
        _ => Err("expected strict, default or fast".into()),
    }
}

fn isa(v: &str) -> Result<Vec<Isa>, String> {
    let known = || Isa::ALL.map(Isa::name).join(", ");
    list(v).iter().map(|n| Isa::from_name(n).ok_or_else(|| format!("expected some of {}", known()))).collect()
}

fn tuning(file: &str) -> Result<Arc<Tuning>, String> {
    let text = std::fs::read_to_string(file).map_err(|e| e.to_string())?;
    let (tuning, warnings) = Tuning::parse(&text, &facade::machine_name());
    match warnings.into_iter().next() {
        Some(warning) if tuning.is_empty() => Err(warning),
        _ => Ok(Arc::new(tuning)),
    }
}

fn calibration(file: &str) -> Result<Calibration, String> {
    let text = std::fs::read_to_string(file).map_err(|e| e.to_string())?;
    serde_json::from_str(&text).map_err(|e| e.to_string())
}

impl Settings {
    /// What the handle says; for NULL, the defaults.
    pub fn of(options: *const paring_options) -> Result<Settings> {
        if options.is_null() {
            return Ok(Settings::default());
        }
        let settings = OPTIONS.get(options)?;
        Ok(lock(&settings).clone())
    }

    pub fn loader(&self) -> Loader {
        let loader = Loader::new().with_limits(self.options.limits.clone());
        let loader = self.operators.iter().fold(loader, |l, o| l.with_operator(o.clone()));
        match &self.log {
            Some(log) => loader.with_log(log.clone()),
            None => loader,
        }
    }

    /// The options of a session.
    pub fn session(&self) -> Result<Options> {
        let measured = self.options.tuning.is_some() || self.options.calibration.is_some();
        if self.deterministic && measured {
            let message = "option deterministic leaves measured times out: it excludes tuning and calibration";
            return Err(Failure::invalid(message));
        }
        let mut options = self.options.clone();
        options.log = self.log.clone();
        Ok(options)
    }
}

fn lock(settings: &Mutex<Settings>) -> MutexGuard<'_, Settings> {
    settings.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Changes options.
pub(crate) fn change(options: *mut paring_options, f: impl FnOnce(&mut Settings) -> Result<()>) -> paring_status {
    call(|| {
        let settings = OPTIONS.get(options)?;
        f(&mut lock(&settings))
    })
}

/// Adds an operator of the program's.
pub(crate) fn add_operator(settings: &mut Settings, operator: Arc<dyn Operator>) {
    settings.operators.push(operator);
}

/// Makes options that say nothing but the defaults. Free them with `paring_options_free`.
///
/// # Safety
/// `out` is NULL or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn paring_options_new(out: *mut *mut paring_options) -> paring_status {
    call(|| {
        // SAFETY: as the caller promises.
        let out = unsafe { Out::zeroed(out, "the options")? };
        let handle = OPTIONS.insert(Arc::default())?;
        out.set(std::ptr::without_provenance_mut(handle));
        Ok(())
    })
}

/// Frees options. What was made with them stays as it is. NULL is fine.
#[unsafe(no_mangle)]
pub extern "C" fn paring_options_free(options: *mut paring_options) {
    crate::status::quietly(|| drop(OPTIONS.take(options.addr())));
}

/// Sets an option by name:
///
/// - `threads`: threads of a session, the calling one included; 0 for one on each fast core (the default);
/// - `numerics`: `strict` (sums in another order at most), `default` (also Winograd and the like), `fast` (weights in half
///   precision and the like);
/// - `max_memory`: bytes that packed weights and working memory may take together, such as `512M`;
/// - `deterministic`: `true` lets no measured times decide what runs, so that machines of the same instructions compute
///   the same bits (any number of threads does so anyway); excludes `tuning` and `calibration`;
/// - `optimize`: `false` runs the model as it is written;
/// - `profile`: `true` measures every layer, see `paring_session_profile_json`;
/// - `isa`: instructions that may be used, such as `avx2,avxvnni`;
/// - `kernels`, `exclude_kernels`: the only kernels that may be used, and those that may not, by name;
/// - `plan_cache`: how many sets of input shapes keep their plan ready;
/// - `tuning`, `calibration`: files that `paring tune` wrote.
///
/// An empty value takes back what a list, a file or `max_memory` was set to.
///
/// # Safety
/// `key` and `value` are NULL or end with 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn paring_options_set(
    options: *mut paring_options,
    key: *const c_char,
    value: *const c_char,
) -> paring_status {
    change(options, |settings| {
        // SAFETY: as the caller promises.
        let (key, value) = unsafe { (read(key, "key")?, read(value, "value")?) };
        let Some((_, set)) = KEYS.iter().find(|(name, _)| *name == key) else {
            let known: Vec<&str> = KEYS.iter().map(|(name, _)| *name).collect();
            return Err(Failure::invalid(format!("there is no option '{key}': the options are {}", known.join(", "))));
        };
        set(settings, value).map_err(|e| Failure::invalid(format!("option {key} cannot be '{value}': {e}")))
    })
}

/// Sets limits, for models that come from elsewhere.
///
/// # Safety
/// `limits` is NULL or valid for as many bytes as its `struct_size` says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn paring_options_set_limits(
    options: *mut paring_options,
    limits: *const paring_limits,
) -> paring_status {
    change(options, |settings| {
        // SAFETY: as the caller promises.
        let given = unsafe { read_growing(limits, "the limits")? };
        let size = |n: u64, default: usize| if n == 0 { default } else { usize::try_from(n).unwrap_or(usize::MAX) };
        let mut limits = Limits::default();
        limits.model_bytes = size(given.model_bytes, limits.model_bytes);
        limits.nodes = size(given.nodes, limits.nodes);
        limits.tensor_bytes = size(given.tensor_bytes, limits.tensor_bytes);
        limits.arena_bytes = size(given.arena_bytes, limits.arena_bytes);
        settings.options.limits = limits;
        Ok(())
    })
}

/// Takes inputs, outputs and working memory of sessions from the program. Both functions, or neither: NULL for both
/// takes it back. They are called from whichever thread uses a session, and `ctx` is needed until the last of those
/// sessions and these options are freed.
///
/// # Safety
/// The functions do what `paring_alloc_fn` and `paring_free_fn` say, and can be called with `ctx`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn paring_options_set_allocator(
    options: *mut paring_options,
    alloc: paring_alloc_fn,
    free: paring_free_fn,
    ctx: *mut c_void,
) -> paring_status {
    change(options, |settings| {
        settings.options.allocator = match (alloc, free) {
            (Some(alloc), Some(free)) => Some(Arc::new(CallerAllocator { ctx: Context(ctx), alloc, free })),
            (None, None) => None,
            _ => return Err(Failure::invalid("an allocator needs both functions, but one is NULL")),
        };
        Ok(())
    })
}

/// Has the program hear what is worth telling while models are loaded and planned, up to `level`. NULL or
/// `PARING_LOG_NONE` ends that. `ctx` is needed until these options and the sessions made with them are freed.
///
/// # Safety
/// The function does what `paring_log_fn` says, and can be called with `ctx` from any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn paring_options_set_log(
    options: *mut paring_options,
    listener: paring_log_fn,
    ctx: *mut c_void,
    level: i32,
) -> paring_status {
    change(options, |settings| {
        let level = match level {
            PARING_LOG_NONE => None,
            PARING_LOG_WARNING => Some(Level::Warning),
            PARING_LOG_INFO => Some(Level::Info),
            PARING_LOG_DEBUG => Some(Level::Debug),
            _ => return Err(Failure::invalid(format!("there is no log level {level}: they are 0 to 3"))),
        };
        settings.log = level.zip(listener).map(|(level, listener)| log(level, Context(ctx), listener));
        Ok(())
    })
}

/// Has sessions computed by the calling thread and up to `threads - 1` threads of the program's, in place of threads of
/// their own. `spawn` is called during a run, without waiting for its effect: threads that come late, or not at all,
/// leave their work to the calling thread. NULL takes it back. `ctx` is needed until the last of those sessions and these
/// options are freed.
///
/// # Safety
/// The function does what `paring_spawn_fn` says, and can be called with `ctx` from any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn paring_options_set_executor(
    options: *mut paring_options,
    threads: usize,
    spawn: paring_spawn_fn,
    ctx: *mut c_void,
) -> paring_status {
    change(options, |settings| {
        settings.options.threads = match spawn {
            Some(_) if threads == 0 => return Err(Failure::invalid("0 threads cannot run anything: the least is 1")),
            Some(spawn) => Threads::Caller(Arc::new(CallerThreads { ctx: Context(ctx), threads, spawn })),
            None => Threads::default(),
        };
        Ok(())
    })
}
