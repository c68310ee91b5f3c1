//! Models: opened once, shared by sessions.

use crate::{
    handles::Table,
    options::{Settings, paring_options},
    status::{Failure, PARING_NOT_FOUND, Result, call, paring_status, quietly},
    tensor::{paring_tensor_info, to_c},
    words::{Out, c_string, copy_out, read},
};
use facade::{DimInfo, IoInfo, Model};
use std::{
    ffi::{CString, c_char, c_void},
    path::PathBuf,
    sync::Arc,
};

/// A model. Nothing about it ever changes, so that any number of threads may use it at once.
pub struct paring_model {
    _private: [u8; 0],
}

/// Which side of a model.
pub type paring_direction = i32;
/// The inputs.
pub const PARING_INPUT: paring_direction = 0;
/// The outputs.
pub const PARING_OUTPUT: paring_direction = 1;

/// A model with what callers see of it.
pub(crate) struct Loaded {
    pub model: Model,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
}

/// An input or output, with what pointers are handed out to.
struct Port {
    name: CString,
    dims: Option<Vec<i64>>,
    dtype: i32,
}

impl Port {
    fn of(info: &IoInfo) -> Port {
        let dim = |d: &DimInfo| match d {
            DimInfo::Known(n) => i64::try_from(*n).unwrap_or(i64::MAX),
            DimInfo::Symbol(_) => -1,
        };
        let dims = info.dims.as_ref().map(|dims| dims.iter().map(dim).collect());
        Port { name: c_string(&info.name), dims, dtype: to_c(info.dtype) }
    }
}

static MODELS: Table<Arc<Loaded>> = Table::new(2, "model");

/// The model of a handle.
pub(crate) fn model(handle: *const paring_model) -> Result<Arc<Loaded>> {
    MODELS.get(handle)
}

impl Loaded {
    fn ports(&self, direction: paring_direction) -> Result<&[Port]> {
        match direction {
            PARING_INPUT => Ok(&self.inputs),
            PARING_OUTPUT => Ok(&self.outputs),
            _ => Err(Failure::invalid(format!("{direction} is no direction: 0 is for inputs, 1 for outputs"))),
        }
    }
}

/// Loads a model as `load` does it.
unsafe fn loaded(
    options: *const paring_options,
    out: *mut *mut paring_model,
    load: impl FnOnce(&Settings) -> Result<Model>,
) -> paring_status {
    call(|| {
        // SAFETY: as the caller promises.
        let out = unsafe { Out::zeroed(out, "the model")? };
        let model = load(&Settings::of(options)?)?;
        let inputs = model.inputs().iter().map(Port::of).collect();
        let outputs = model.outputs().iter().map(Port::of).collect();
        let handle = MODELS.insert(Arc::new(Loaded { model, inputs, outputs }))?;
        out.set(std::ptr::without_provenance_mut(handle));
        Ok(())
    })
}

/// Loads a model from a file, ONNX or `.pare`, which must not be changed or truncated while the model is in use: weights
/// are read from it as they are needed. `options` may be NULL. Free the model with `paring_model_free`.
///
/// # Safety
/// `path` is NULL or ends with 0; `out` is NULL or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn paring_model_load_file(
    path: *const c_char,
    options: *const paring_options,
    out: *mut *mut paring_model,
) -> paring_status {
    // SAFETY: as the caller promises.
    unsafe { loaded(options, out, |settings| Ok(settings.loader().open(file(path)?)?)) }
}

/// A path: bytes as they are on Unix, UTF-8 elsewhere.
///
/// # Safety
/// `path` is NULL or ends with 0.
unsafe fn file(path: *const c_char) -> Result<PathBuf> {
    if path.is_null() {
        return Err(Failure::invalid("path is NULL"));
    }
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt;
        // SAFETY: not NULL, and as the caller promises.
        let bytes = unsafe { std::ffi::CStr::from_ptr(path) }.to_bytes();
        Ok(std::ffi::OsStr::from_bytes(bytes).into())
    }
    #[cfg(not(unix))]
    // SAFETY: as the caller promises.
    unsafe {
        read(path, "path").map(PathBuf::from)
    }
}

/// Loads a model, ONNX or `.pare`, from memory, which is copied. External data cannot be found this way. `options` may be NULL.
///
/// # Safety
/// `data` is NULL or valid for `len` bytes; `out` is NULL or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn paring_model_load_bytes(
    data: *const c_void,
    len: usize,
    options: *const paring_options,
    out: *mut *mut paring_model,
) -> paring_status {
    // SAFETY: as the caller promises.
    unsafe { loaded(options, out, |settings| Ok(settings.loader().from_bytes(Borrowed::new(data, len)?.as_ref())?)) }
}

/// Loads a model, ONNX or `.pare`, from memory without copying it: it must stay as it is until the model and all sessions
/// of it are freed. A `.pare` file must begin at a multiple of 64 bytes for that, and is copied elsewhere. `options` may be
/// NULL.
///
/// # Safety
/// `data` is NULL or valid for `len` bytes for so long; `out` is NULL or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn paring_model_load_borrowed(
    data: *const c_void,
    len: usize,
    options: *const paring_options,
    out: *mut *mut paring_model,
) -> paring_status {
    // SAFETY: as the caller promises.
    unsafe { loaded(options, out, |settings| Ok(settings.loader().from_owner(Borrowed::new(data, len)?)?)) }
}

/// Bytes of the caller's that stay as they are.
struct Borrowed {
    data: *const u8,
    len: usize,
}

// SAFETY: the bytes are only read.
unsafe impl Send for Borrowed {}

impl Borrowed {
    fn new(data: *const c_void, len: usize) -> Result<Borrowed> {
        if data.is_null() || len == 0 {
            return Err(Failure::invalid("a model of no bytes: data is NULL or len is 0"));
        }
        if len > isize::MAX as usize {
            return Err(Failure::invalid(format!("there cannot be a model of {len} bytes")));
        }
        Ok(Borrowed { data: data.cast(), len })
    }
}

impl AsRef<[u8]> for Borrowed {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: checked by `new`, and valid as the caller of the exported function promises.
        unsafe { std::slice::from_raw_parts(self.data, self.len) }
    }
}

/// Frees a model. Sessions of it keep what they need. NULL is fine.
#[unsafe(no_mangle)]
pub extern "C" fn paring_model_free(model: *mut paring_model) {
    quietly(|| drop(MODELS.take(model.addr())));
}

/// How many inputs or outputs there are.
///
/// # Safety
/// `out` is NULL or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn paring_model_io_count(
    model: *const paring_model,
    direction: paring_direction,
    out: *mut usize,
) -> paring_status {
    call(|| {
        // SAFETY: as the caller promises.
        let out = unsafe { Out::zeroed(out, "the count")? };
        out.set(MODELS.get(model)?.ports(direction)?.len());
        Ok(())
    })
}

/// Name, type and dimensions of an input or output. The pointers in `out` stay valid until the model is freed.
///
/// # Safety
/// `out` is NULL or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn paring_model_io_info(
    model: *const paring_model,
    direction: paring_direction,
    index: usize,
    out: *mut paring_tensor_info,
) -> paring_status {
    call(|| {
        // SAFETY: as the caller promises.
        let out = unsafe { Out::zeroed(out, "the information")? };
        let model = MODELS.get(model)?;
        let ports = model.ports(direction)?;
        let missing = || Failure::invalid(format!("there is no number {index}: the model has {}", ports.len()));
        let port = ports.get(index).ok_or_else(missing)?;
        let (dims, rank) = port.dims.as_ref().map_or((std::ptr::null(), -1), |d| (d.as_ptr(), d.len() as i32));
        out.set(paring_tensor_info { name: port.name.as_ptr(), dims, rank, dtype: port.dtype });
        Ok(())
    })
}

/// The index of the input or output of that name; `PARING_NOT_FOUND` where there is none.
///
/// # Safety
/// `name` is NULL or ends with 0; `out` is NULL or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn paring_model_io_index(
    model: *const paring_model,
    direction: paring_direction,
    name: *const c_char,
    out: *mut usize,
) -> paring_status {
    call(|| {
        // SAFETY: as the caller promises.
        let out = unsafe { Out::zeroed(out, "the index")? };
        let model = MODELS.get(model)?;
        let ports = model.ports(direction)?;
        // SAFETY: as the caller promises.
        let name = unsafe { read(name, "name")? };
        let at = ports.iter().position(|p| p.name.to_bytes() == name.as_bytes()).ok_or_else(|| {
            let names: Vec<_> = ports.iter().map(|p| p.name.to_string_lossy()).collect();
            Failure::new(PARING_NOT_FOUND, format!("there is no '{name}': the model has {}", names.join(", ")))
        })?;
        out.set(at);
        Ok(())
    })
}

/// Copies what the model says of itself: `name`, `producer`, `doc`, or a property of the model's own, as with
/// `paring_last_error`. `PARING_NOT_FOUND` where it says nothing of that.
///
/// # Safety
/// `key` is NULL or ends with 0; `buf` is NULL or has room for `cap` bytes; `need` is NULL or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn paring_model_metadata(
    model: *const paring_model,
    key: *const c_char,
    buf: *mut c_char,
    cap: usize,
    need: *mut usize,
) -> paring_status {
    call(|| {
        // SAFETY: as the caller promises.
        unsafe { Out::optional(need)? };
        let model = MODELS.get(model)?;
        // SAFETY: as the caller promises.
        let key = unsafe { read(key, "key")? };
        let m = model.model.metadata();
        let text = match key {
            "name" => &m.name,
            "producer" => &m.producer,
            "doc" => &m.doc,
            _ => m
                .properties
                .iter()
                .find(|(k, _)| k == key)
                .map(|(_, v)| v)
                .ok_or_else(|| Failure::new(PARING_NOT_FOUND, format!("the model has no property '{key}'")))?,
        };
        // SAFETY: as the caller promises.
        unsafe { copy_out(text, buf, cap, need) }
    })
}
