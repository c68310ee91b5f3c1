//! Results are those of the Rust library, bit by bit.

use super::{models::identity, *};
use crate::callbacks::paring_work_fn;
use std::{
    alloc::Layout,
    ffi::c_void,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
};

/// What the Rust library computes for the first pictures.
fn expected(pictures: usize) -> Vec<u8> {
    let model = facade::Model::from_bytes(FASHION).unwrap();
    let mut session = model.session(&facade::Options::default().with_threads(1)).unwrap();
    session.resize(0, &[1, 1, SIDE, SIDE]).unwrap();
    let mut all = Vec::new();
    for i in 0..pictures {
        session.input_mut::<f32>(0).unwrap().copy_from_slice(&picture(i));
        session.run().unwrap();
        all.extend_from_slice(session.output_bytes(0).unwrap());
    }
    all
}

fn computed(s: &Owned<paring_session>, pictures: usize) -> Vec<u8> {
    let one = |i| {
        set_picture(s, i);
        ok(paring_session_run(s.0));
        let (bytes, dims, dtype) = output(s, 0);
        assert_eq!((&*dims, dtype), (&[1, 10][..], PARING_F32));
        bytes
    };
    (0..pictures).flat_map(one).collect()
}

#[test]
fn of_a_network_on_any_number_of_threads() {
    let expected = expected(4);
    let model = load(FASHION, nothing()).unwrap();
    for threads in ["1", "3", "0"] {
        let session = session(&model, options(&[("threads", threads)]).0).unwrap();
        assert_eq!(computed(&session, 4), expected, "{threads} threads");
    }
    let session = fashion(&model, nothing());
    drop(model);
    assert_eq!(computed(&session, 4), expected, "the session outlives its model");
}

#[test]
fn of_a_network_read_from_memory_that_is_not_copied() {
    let mut handle = null_mut();
    // SAFETY: the bytes are part of the program.
    ok(unsafe { paring_model_load_borrowed(FASHION.as_ptr().cast(), FASHION.len(), nothing(), &mut handle) });
    let model = Owned(handle, paring_model_free);
    assert_eq!(computed(&fashion(&model, nothing()), 2), expected(2));
}

#[test]
fn of_a_model_file() {
    let model = load(&fashion_file(), nothing()).unwrap();
    assert_eq!(computed(&fashion(&model, nothing()), 2), expected(2));
}

#[test]
fn written_to_memory_of_the_program() {
    let model = load(FASHION, nothing()).unwrap();
    let session = fashion(&model, options(&[("threads", "1")]).0);
    let (mut need, mut weights) = (0, 0);
    let mut result = [f32::NAN; 10];
    // SAFETY: arena and result live longer than the session.
    unsafe {
        ok(paring_warmup(session.0));
        ok(paring_session_memory(session.0, &mut need, &mut weights));
        assert!(need > 0 && weights > 100_000);
        let layout = Layout::from_size_align(need, 64).unwrap();
        let arena = std::alloc::alloc(layout);
        fails(paring_session_bind_arena(session.0, arena.cast(), need - 1), PARING_INVALID_ARGUMENT, "bytes");
        fails(paring_session_bind_arena(session.0, arena.add(1).cast(), need - 1), PARING_INVALID_ARGUMENT, "");
        ok(paring_session_bind_arena(session.0, arena.cast(), need));
        let within = paring_tensor { data: arena.cast(), ..tensor(&mut result, &[1, 10], PARING_F32) };
        fails(paring_session_bind_output(session.0, 0, &within), PARING_INVALID_ARGUMENT, "overlaps");
        let wrong = tensor(&mut result, &[10], PARING_F32);
        fails(paring_session_bind_output(session.0, 0, &wrong), PARING_INVALID_ARGUMENT, "[1, 10]");
        ok(paring_session_bind_output(session.0, 0, &tensor(&mut result, &[1, 10], PARING_F32)));
        let expected = expected(3);
        assert_eq!(computed(&session, 3), expected);
        assert_eq!(result.map(f32::to_ne_bytes).concat(), expected[80..]);
        drop(session);
        std::alloc::dealloc(arena, layout);
    }
}

static TAKEN: AtomicUsize = AtomicUsize::new(0);

unsafe extern "C" fn take(ctx: *mut c_void, bytes: usize, alignment: usize) -> *mut c_void {
    assert_eq!(ctx.addr(), 7);
    TAKEN.fetch_add(bytes, SeqCst);
    // SAFETY: nobody asks for no bytes.
    unsafe { std::alloc::alloc(Layout::from_size_align(bytes, alignment).unwrap()).cast() }
}

unsafe extern "C" fn give_back(_: *mut c_void, data: *mut c_void, bytes: usize) {
    TAKEN.fetch_sub(bytes, SeqCst);
    // SAFETY: taken above, with this layout.
    unsafe { std::alloc::dealloc(data.cast(), Layout::from_size_align(bytes, 64).unwrap()) }
}

unsafe extern "C" fn refuse(_: *mut c_void, _: usize, _: usize) -> *mut c_void {
    null_mut()
}

#[test]
fn computed_on_the_programs_allocator() {
    let (model, options) = (load(FASHION, nothing()).unwrap(), options(&[("threads", "1")]));
    let ctx = std::ptr::without_provenance_mut(7);
    // SAFETY: the functions are what they should be.
    unsafe {
        fails(paring_options_set_allocator(options.0, Some(take), None, ctx), PARING_INVALID_ARGUMENT, "both");
        ok(paring_options_set_allocator(options.0, Some(take), Some(give_back), ctx));
    }
    let session1 = fashion(&model, options.0);
    assert_eq!(computed(&session1, 2), expected(2));
    assert!(TAKEN.load(SeqCst) > SIDE * SIDE * 4);
    drop(session1);
    assert_eq!(TAKEN.load(SeqCst), 0);
    // SAFETY: as above.
    ok(unsafe { paring_options_set_allocator(options.0, Some(refuse), Some(give_back), ctx) });
    let session = session(&model, options.0).unwrap();
    fails(shaped(&session), PARING_OUT_OF_MEMORY, "allocator");
}

/// Has work done on a thread of its own, twice: the second time nothing happens.
unsafe extern "C" fn spawn(ctx: *mut c_void, run: paring_work_fn, work: *mut c_void) -> paring_status {
    // SAFETY: the counter outlives the session.
    let count = unsafe { &*ctx.cast::<AtomicUsize>() }.fetch_add(1, SeqCst);
    if count == 1 {
        return PARING_OUT_OF_MEMORY;
    }
    let work = work.addr();
    std::thread::spawn(move || {
        for _ in 0..2 {
            // SAFETY: the library's own function.
            unsafe { run.unwrap()(std::ptr::without_provenance_mut(work)) };
        }
    });
    PARING_OK
}

#[test]
fn computed_on_the_programs_threads() {
    let (model, options) = (load(FASHION, nothing()).unwrap(), options(&[]));
    let calls = Box::leak(Box::new(AtomicUsize::new(0)));
    // SAFETY: the function is what it should be.
    unsafe {
        let ctx = (&raw mut *calls).cast();
        fails(paring_options_set_executor(options.0, 0, Some(spawn), ctx), PARING_INVALID_ARGUMENT, "0 threads");
        ok(paring_options_set_executor(options.0, 3, Some(spawn), ctx));
    }
    let session = fashion(&model, options.0);
    assert_eq!(computed(&session, 3), expected(3));
    assert!(calls.load(SeqCst) > 2);
}

#[test]
fn of_every_type_come_out_as_they_went_in() {
    let types = [
        (1, PARING_F32, 4),
        (2, PARING_U8, 1),
        (3, PARING_I8, 1),
        (6, PARING_I32, 4),
        (7, PARING_I64, 8),
        (9, PARING_BOOL, 1),
        (11, PARING_F64, 8),
    ];
    for (onnx, dtype, size) in types {
        let model = load(&identity(onnx), nothing()).unwrap();
        let mut info = paring_tensor_info { name: null(), dims: null(), rank: 0, dtype: 0 };
        // SAFETY: all is valid.
        unsafe {
            ok(paring_model_io_info(model.0, PARING_INPUT, 0, &mut info));
            assert_eq!((CStr::from_ptr(info.name), info.rank, *info.dims, info.dtype), (c"x", 1, -1, dtype));
        }
        let session = session(&model, nothing()).unwrap();
        let mut elements: Vec<u8> = (0..5 * size).map(|i| u8::from(i % 3 == 0)).collect();
        // SAFETY: all is valid.
        unsafe {
            ok(paring_session_set_input(session.0, 0, &tensor(&mut elements, &[5], dtype)));
            ok(paring_session_run(session.0));
            assert_eq!(output(&session, 0), (elements.clone(), vec![5], dtype));
            // What came out goes in again, also where that changes the shape and so frees what it is a view of.
            let mut view = paring_tensor::NONE;
            ok(paring_session_output(session.0, 0, &mut view));
            let part = paring_tensor { bytes: 3 * size, dims: &3, ..view };
            ok(paring_session_set_input(session.0, 0, &part));
            ok(paring_warmup(session.0));
        }
        elements.truncate(3 * size);
        assert_eq!(output(&session, 0), (elements, vec![3], dtype));
    }
}

#[test]
fn half_precision_comes_in_and_out() {
    for (onnx, dtype) in [(10, PARING_F16), (16, PARING_BF16)] {
        let model = load(&identity(onnx), nothing()).unwrap();
        let session = session(&model, nothing()).unwrap();
        let mut elements: [u16; 4] = [0x3C00, 0xBC00, 0, 0x4000];
        // SAFETY: the tensor is valid.
        ok(unsafe { paring_session_set_input(session.0, 0, &tensor(&mut elements, &[4], dtype)) });
        ok(paring_session_run(session.0));
        assert_eq!(output(&session, 0), (elements.map(u16::to_ne_bytes).concat(), vec![4], dtype));
    }
}

#[test]
fn times_of_layers_come_as_json() {
    let model = load(FASHION, nothing()).unwrap();
    let mut need = 1;
    let plain = fashion(&model, nothing());
    // SAFETY: the buffers are as long as they say.
    unsafe {
        let status = paring_session_profile_json(plain.0, null_mut(), 0, &mut need);
        fails(status, PARING_INVALID_ARGUMENT, "profile=true");
        assert_eq!(need, 0);
        let session = fashion(&model, options(&[("profile", "true")]).0);
        ok(paring_warmup(session.0));
        computed(&session, 2);
        ok(paring_session_profile_json(session.0, null_mut(), 0, &mut need));
        let mut text = vec![0; need];
        let few = paring_session_profile_json(session.0, text.as_mut_ptr(), 5, &mut need);
        fails(few, PARING_BUFFER_TOO_SMALL, "are needed");
        assert_eq!(text[4], 0);
        ok(paring_session_profile_json(session.0, text.as_mut_ptr(), text.len(), &mut need));
        let text: serde_json::Value = serde_json::from_str(CStr::from_ptr(text.as_ptr()).to_str().unwrap()).unwrap();
        assert_eq!(text["runs"], 2, "that of the warm-up does not count");
        assert!(text["layers"].as_array().unwrap().len() > 5);
    }
}
