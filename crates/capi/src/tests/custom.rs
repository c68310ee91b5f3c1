//! Operators that the program brings.

use super::{models::median, *};
use crate::{custom::*, node::*};
use std::{
    ffi::{c_char, c_void},
    sync::{
        Mutex,
        atomic::{AtomicPtr, AtomicUsize, Ordering::SeqCst},
    },
};

/// What the operator of a test is to do, and what it has seen.
#[derive(Default)]
struct Plan {
    /// The function that fails, or does something else that is wrong.
    wrong: &'static str,
    states: AtomicUsize,
    dropped: AtomicUsize,
    seen: Mutex<Vec<(&'static str, Vec<i64>)>>,
    /// A session to run from within.
    inner: AtomicPtr<paring_session>,
}

unsafe fn plan<'a>(ctx: *mut c_void) -> &'a Plan {
    // SAFETY: plans are leaked.
    unsafe { &*ctx.cast() }
}

impl Plan {
    unsafe fn see(&self, what: &'static str, node: *const paring_node) -> paring_status {
        // SAFETY: the library's own node.
        unsafe {
            let node = &*node;
            let attribute = &*node.attributes;
            assert_eq!((node.input_count, node.output_count, node.attribute_count), (1, 1, 1));
            assert_eq!(
                (CStr::from_ptr(attribute.name), attribute.kind, attribute.i),
                (c"size", PARING_ATTRIBUTE_INT, 3)
            );
            let x = &*node.inputs;
            // Where a shape stays unknown, the operand has been computed before that is noticed.
            assert!(x.dtype == PARING_F32 && (x.data.is_null() || self.wrong == "unknown"));
            self.seen.lock().unwrap().push((what, std::slice::from_raw_parts(x.dims, x.rank as usize).to_vec()));
        }
        self.fails(what)
    }

    fn fails(&self, what: &str) -> paring_status {
        if self.wrong != what {
            return PARING_OK;
        }
        let words = CString::new(format!("{what} does not want to")).unwrap();
        // SAFETY: the string ends with 0.
        unsafe { paring_callback_error(words.as_ptr()) };
        77
    }
}

unsafe extern "C" fn infer(ctx: *mut c_void, node: *const paring_node, outputs: *mut paring_shape) -> paring_status {
    // SAFETY: what the library gives.
    unsafe {
        let status = plan(ctx).see("infer", node);
        let (x, y) = (&*(*node).inputs, &mut *outputs);
        (y.dtype, y.rank) = (x.dtype, x.rank);
        y.dims[..x.rank as usize].copy_from_slice(std::slice::from_raw_parts(x.dims, x.rank as usize));
        match plan(ctx).wrong {
            "dtype" => y.dtype = 0,
            "rank" => y.rank = 33,
            "dimension" => y.dims[0] = -2,
            "unknown" => y.dims[0] = -1,
            _ => {}
        }
        status
    }
}

unsafe extern "C" fn scratch(ctx: *mut c_void, node: *const paring_node, bytes: *mut usize) -> paring_status {
    // SAFETY: what the library gives.
    unsafe {
        *bytes = (*(*node).inputs).bytes;
        plan(ctx).see("scratch", node)
    }
}

unsafe extern "C" fn prepare(ctx: *mut c_void, node: *const paring_node, state: *mut *mut c_void) -> paring_status {
    // SAFETY: what the library gives.
    unsafe {
        plan(ctx).states.fetch_add(1, SeqCst);
        *state = Box::into_raw(Box::new(2.0f32)).cast();
        match plan(ctx).see("prepare", node) {
            PARING_OK => PARING_OK,
            status => {
                release(ctx, *state);
                status
            }
        }
    }
}

/// A part of the elements.
struct Part {
    factor: f32,
    x: *const f32,
    y: *mut f32,
}

unsafe extern "C" fn part(arg: *mut c_void, task: usize, _: usize) {
    // SAFETY: tasks are below the number of elements.
    unsafe {
        let part = &*arg.cast::<Part>();
        *part.y.add(task) = part.factor * *part.x.add(task);
    }
}

/// Doubles every element, by way of the scratch.
unsafe extern "C" fn run(ctx: *mut c_void, state: *mut c_void, run: *const paring_run) -> paring_status {
    // SAFETY: what the library gives.
    unsafe {
        let (run, plan) = (&*run, plan(ctx));
        let (x, y) = (&*run.inputs, &*run.outputs);
        assert_eq!((x.bytes, run.scratch_bytes >= x.bytes, run.workers), (y.bytes, true, 2));
        let inner = plan.inner.load(SeqCst);
        if !inner.is_null() {
            fails(paring_session_run(inner), PARING_BUSY, "own callbacks");
        }
        let mut first = Part { factor: *state.cast(), x: x.data.cast(), y: run.scratch.cast() };
        let mut second = Part { factor: 1.0, x: run.scratch.cast(), y: y.data.cast() };
        for p in [&mut first, &mut second] {
            let this: *const paring_run = run;
            ok(run.parallel.unwrap()(this.cast(), x.bytes / 4, Some(part), (&raw mut *p).cast()));
        }
        plan.fails("run")
    }
}

unsafe extern "C" fn release(ctx: *mut c_void, state: *mut c_void) {
    // SAFETY: made by `prepare`.
    unsafe {
        plan(ctx).states.fetch_sub(1, SeqCst);
        drop(Box::from_raw(state.cast::<f32>()));
    }
}

unsafe extern "C" fn dropped(ctx: *mut c_void) {
    // SAFETY: plans are leaked.
    unsafe { plan(ctx) }.dropped.fetch_add(1, SeqCst);
}

fn kernel(plan: &'static Plan) -> paring_kernel {
    paring_kernel {
        struct_size: size_of::<paring_kernel>(),
        domain: c"com.example".as_ptr(),
        op: c"Median".as_ptr(),
        version: 1,
        infer: Some(infer),
        scratch: Some(scratch),
        prepare: Some(prepare),
        run: Some(run),
        release: Some(release),
        drop: Some(dropped),
        ctx: (&raw const *plan).cast_mut().cast(),
    }
}

fn registered(plan: &'static Plan) -> Owned<paring_options> {
    let options = options(&[("threads", "2")]);
    // SAFETY: the kernel is what it should be.
    ok(unsafe { paring_kernel_register(options.0, &kernel(plan)) });
    options
}

fn plan_of(wrong: &'static str) -> &'static Plan {
    Box::leak(Box::new(Plan { wrong, ..Plan::default() }))
}

#[test]
fn it_runs_within_a_network_of_any_size_and_is_dropped_once() {
    let plan = plan_of("");
    let options = registered(plan);
    let model = load(&median(), options.0).unwrap();
    let session = session(&model, options.0).unwrap();
    drop((options, model));
    plan.inner.store(session.0, SeqCst);
    for n in [4, 6, 4] {
        let mut x: Vec<f32> = (0..n * n).map(|i| i as f32 - 5.0).collect();
        let dims = [1, 1, n as i64, n as i64];
        // SAFETY: the tensor is valid.
        ok(unsafe { paring_session_set_input(session.0, 0, &tensor(&mut x, &dims, PARING_F32)) });
        ok(paring_session_run(session.0));
        let y: Vec<u8> = x.iter().flat_map(|x| (2.0 * x).max(0.0).to_ne_bytes()).collect();
        assert_eq!(output(&session, 0), (y, dims.to_vec(), PARING_F32));
    }
    let seen = plan.seen.lock().unwrap();
    assert_eq!(seen[0], ("infer", vec![1, -1, -1, -1]));
    for n in [4, 6] {
        assert_eq!(seen.iter().filter(|s| **s == ("prepare", vec![1, 1, n, n])).count(), 1, "plans are kept");
    }
    assert_eq!((plan.states.load(SeqCst), plan.dropped.load(SeqCst)), (2, 0));
    drop(session);
    assert_eq!((plan.states.load(SeqCst), plan.dropped.load(SeqCst)), (0, 1));
}

#[test]
fn whatever_fails_is_an_error_with_its_words() {
    for (wrong, expected, words) in [
        ("infer", PARING_CORRUPT, "infer of com.example.Median failed: infer does not want to"),
        ("dtype", PARING_CORRUPT, "element type"),
        ("rank", PARING_CORRUPT, "rank 33"),
        ("dimension", PARING_CORRUPT, "-2"),
        ("unknown", PARING_UNSUPPORTED, "median"),
        ("scratch", PARING_UNSUPPORTED, "scratch does not want to"),
        ("prepare", PARING_CALLBACK, "prepare does not want to"),
        ("run", PARING_CALLBACK, "run does not want to"),
    ] {
        let plan = plan_of(wrong);
        let options = registered(plan);
        let status = load(&median(), options.0).and_then(|model| {
            let session = session(&model, options.0)?;
            let mut x = [1.0f32; 4];
            // SAFETY: the tensor is valid.
            ok(unsafe { paring_session_set_input(session.0, 0, &tensor(&mut x, &[1, 1, 2, 2], PARING_F32)) });
            Err::<(), _>(paring_session_run(session.0))
        });
        fails(status.unwrap_err(), expected, words);
        drop(options);
        assert_eq!((plan.states.load(SeqCst), plan.dropped.load(SeqCst)), (0, 1), "{wrong}");
    }
}

#[test]
fn what_is_no_operator_is_refused_and_not_dropped() {
    let plan = plan_of("");
    let good = kernel(plan);
    let options = options(&[]);
    let refused = [
        (paring_kernel { struct_size: size_of::<usize>() - 1, ..good }, "struct_size"),
        (paring_kernel { struct_size: size_of::<usize>(), ..good }, "NULL"),
        (paring_kernel { op: null(), ..good }, "NULL"),
        (paring_kernel { op: c"".as_ptr(), ..good }, "no op"),
        (paring_kernel { infer: None, ..good }, "no infer"),
        (paring_kernel { run: None, ..good }, "no run"),
        (paring_kernel { version: -1, ..good }, "version"),
    ];
    // SAFETY: what is wrong is refused.
    unsafe {
        for (wrong, words) in refused {
            fails(paring_kernel_register(options.0, &wrong), PARING_INVALID_ARGUMENT, words);
        }
        fails(paring_kernel_register(null_mut(), &good), PARING_INVALID_ARGUMENT, "NULL");
        fails(paring_kernel_register(options.0, null()), PARING_INVALID_ARGUMENT, "NULL");
        paring_callback_error(null::<c_char>());
    }
    drop(options);
    assert_eq!(plan.dropped.load(SeqCst), 0);
    fails(load(&median(), nothing()).map(drop).unwrap_err(), PARING_UNSUPPORTED, "Median");
}

/// The examples run the model as a file.
#[test]
fn the_file_of_the_examples_is_the_model() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/median.onnx");
    if std::env::var_os("PARING_WRITE").is_some() {
        std::fs::write(file, median()).unwrap();
    }
    assert_eq!(std::fs::read(file).unwrap(), median(), "PARING_WRITE=1 writes it");
}
