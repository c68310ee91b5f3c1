//! Wrong calls are errors with words.

use super::*;
use std::{
    ffi::{c_char, c_void},
    sync::Mutex,
    time::{Duration, Instant},
};

#[test]
fn handles_that_are_null_foreign_or_freed() {
    let model = load(FASHION, nothing()).unwrap();
    let freed_model = {
        let freed = load(FASHION, nothing()).unwrap();
        freed.0
    };
    let freed_session = session(&model, nothing()).unwrap().0;
    let (mut count, mut view) = (7, paring_tensor { rank: 7, ..paring_tensor::NONE });
    // SAFETY: all but the handles is valid.
    unsafe {
        for (handle, words) in [(null_mut(), "NULL"), (freed_model, "freed"), (foreign(), "no model")] {
            fails(paring_model_io_count(handle, PARING_INPUT, &mut count), PARING_INVALID_ARGUMENT, words);
            assert_eq!(count, 0, "results are zeroed first");
            let mut handle_out: *mut paring_session = std::ptr::dangling_mut();
            fails(paring_session_new(handle, nothing(), &mut handle_out), PARING_INVALID_ARGUMENT, words);
            assert!(handle_out.is_null());
        }
        for (handle, words) in [(null_mut(), "NULL"), (freed_session, "freed"), (foreign(), "no session")] {
            fails(paring_session_run(handle), PARING_INVALID_ARGUMENT, words);
            fails(paring_session_cancel(handle), PARING_INVALID_ARGUMENT, words);
            fails(paring_session_output(handle, 0, &mut view), PARING_INVALID_ARGUMENT, words);
            assert_eq!(view.rank, 0);
            paring_session_free(handle);
        }
        paring_model_free(null_mut());
        paring_model_free(freed_model);
        paring_options_free(foreign());
        let model_as_session = model.0.cast();
        fails(paring_session_run(model_as_session), PARING_INVALID_ARGUMENT, "no session");
        fails(paring_options_set(null_mut(), c"threads".as_ptr(), c"1".as_ptr()), PARING_INVALID_ARGUMENT, "NULL");
        fails(paring_model_io_count(model.0, PARING_INPUT, null_mut()), PARING_INVALID_ARGUMENT, "NULL");
        fails(paring_model_io_count(model.0, 2, &mut count), PARING_INVALID_ARGUMENT, "direction");
    }
}

#[test]
fn options_that_do_not_exist_or_cannot_be() {
    let options = options(&[("threads", "2"), ("max_memory", "64M"), ("max_memory", ""), ("isa", "portable")]);
    let set = |key: &str, value: &str| {
        let (key, value) = (CString::new(key).unwrap(), CString::new(value).unwrap());
        // SAFETY: the strings end with 0.
        unsafe { paring_options_set(options.0, key.as_ptr(), value.as_ptr()) }
    };
    fails(set("thread", "1"), PARING_INVALID_ARGUMENT, "threads, numerics, max_memory, deterministic");
    for (key, value, words) in [
        ("threads", "many", "number"),
        ("numerics", "exact", "strict, default or fast"),
        ("max_memory", "1T", "512M"),
        ("max_memory", "99999999999999999999G", "512M"),
        ("deterministic", "maybe", "true or false"),
        ("isa", "avx2,mmx", "avx2"),
        ("tuning", "/nowhere/at/all", "/nowhere/at/all"),
        ("calibration", "/nowhere/at/all", "/nowhere/at/all"),
    ] {
        fails(set(key, value), PARING_INVALID_ARGUMENT, words);
    }
    ok(set("threads", "2000"));
    let model = load(FASHION, nothing()).unwrap();
    fails(session(&model, options.0).map(drop).unwrap_err(), PARING_INVALID_ARGUMENT, "2000");
    // SAFETY: NULL is what it is about.
    unsafe {
        fails(paring_options_set(options.0, nothing(), c"".as_ptr()), PARING_INVALID_ARGUMENT, "key is NULL");
        fails(paring_options_set(options.0, c"\xFF".as_ptr(), c"".as_ptr()), PARING_INVALID_ARGUMENT, "UTF-8");
    }
}

#[test]
fn structures_of_other_sizes() {
    #[repr(C)]
    struct Newer {
        limits: paring_limits,
        more: u64,
    }
    let limits = |size| paring_limits { struct_size: size, model_bytes: 0, nodes: 2, tensor_bytes: 0, arena_bytes: 0 };
    let options = options(&[]);
    let set = |limits: *const paring_limits| {
        // SAFETY: as long as it says, or a size that is refused.
        unsafe { paring_options_set_limits(options.0, limits) }
    };
    for wrong in [0, 1, size_of::<usize>() - 1, 5000, usize::MAX] {
        fails(set(&limits(wrong)), PARING_INVALID_ARGUMENT, "struct_size");
    }
    fails(set(null()), PARING_INVALID_ARGUMENT, "NULL");
    let newer = [1, 0].map(|more| Newer { limits: limits(size_of::<Newer>()), more });
    let [unknown, empty] = newer.each_ref().map(|n| (n as *const Newer).cast());
    fails(set(unknown), PARING_INVALID_ARGUMENT, "does not know");
    ok(set(empty));
    fails(load(FASHION, options.0).map(drop).unwrap_err(), PARING_LIMIT, "2");
    // An older program knows of no limit of nodes.
    ok(set(&limits(16)));
    load(FASHION, options.0).unwrap();
}

#[test]
fn models_that_are_none() {
    for (bytes, status) in [(&b"no model"[..], PARING_CORRUPT), (&FASHION[..5000], PARING_CORRUPT)] {
        fails(load(bytes, nothing()).map(drop).unwrap_err(), status, "");
    }
    let mut out = null_mut();
    // SAFETY: no bytes are read.
    unsafe {
        let nowhere = c"/nowhere/at/all.onnx".as_ptr();
        fails(paring_model_load_file(nowhere, nothing(), &mut out), PARING_IO, "/nowhere/at/all.onnx");
        fails(paring_model_load_file(null(), nothing(), &mut out), PARING_INVALID_ARGUMENT, "NULL");
        fails(paring_model_load_bytes(null(), 9, nothing(), &mut out), PARING_INVALID_ARGUMENT, "NULL");
        fails(paring_model_load_bytes(FASHION.as_ptr().cast(), 0, nothing(), &mut out), PARING_INVALID_ARGUMENT, "0");
        let huge = paring_model_load_borrowed(FASHION.as_ptr().cast(), usize::MAX, nothing(), &mut out);
        fails(huge, PARING_INVALID_ARGUMENT, "cannot be");
        fails(
            paring_model_load_bytes(FASHION.as_ptr().cast(), 9, foreign(), &mut out),
            PARING_INVALID_ARGUMENT,
            "options",
        );
    }
}

#[test]
fn model_files_that_are_damaged_or_of_another_time() {
    let good = fashion_file();
    let damaged = |at: usize, to: u8| {
        let mut file = good.clone();
        file[at] = to;
        load(&file, nothing()).map(drop).unwrap_err()
    };
    load(&good, nothing()).unwrap();
    fails(damaged(8, 77), PARING_UNSUPPORTED, "version 77");
    fails(damaged(16, !good[16]), PARING_CORRUPT, "checksum");
    fails(load(&good[..good.len() - 1], nothing()).map(drop).unwrap_err(), PARING_CORRUPT, "bytes");
}

#[test]
fn tensors_that_do_not_fit() {
    let model = load(FASHION, nothing()).unwrap();
    let session = fashion(&model, nothing());
    let dims = [1, 1, 28, 28];
    let mut pixels = vec![0f32; 28 * 28];
    let good = tensor(&mut pixels, &dims, PARING_F32);
    let negative = [1, 1, -28, -28];
    let huge = [1 << 30; 4];
    let more_rows = [1, 1, 56, 14];
    let refused = [
        (paring_tensor { dtype: PARING_F64, bytes: good.bytes * 2, ..good }, "f32"),
        (paring_tensor { dtype: 99, ..good }, "element type"),
        (paring_tensor { dtype: 0, ..good }, "element type"),
        (paring_tensor { bytes: good.bytes - 1, ..good }, "bytes"),
        (paring_tensor { data: null_mut(), ..good }, "NULL"),
        (paring_tensor { dims: null(), ..good }, "NULL"),
        (paring_tensor { rank: -1, ..good }, "rank"),
        (paring_tensor { rank: 33, ..good }, "rank"),
        (paring_tensor { dims: negative.as_ptr(), ..good }, "-28"),
        (paring_tensor { dims: huge.as_ptr(), ..good }, "more bytes than there are"),
        (paring_tensor { dims: more_rows.as_ptr(), ..good }, "56"),
    ];
    let mut view = paring_tensor::NONE;
    // SAFETY: what is wrong is refused before anything is read.
    unsafe {
        fails(paring_session_output(session.0, 0, &mut view), PARING_INVALID_ARGUMENT, "call run first");
        for (wrong, words) in refused {
            fails(paring_session_set_input(session.0, 0, &wrong), PARING_INVALID_ARGUMENT, words);
        }
        fails(paring_session_set_input(session.0, 0, null()), PARING_INVALID_ARGUMENT, "NULL");
        fails(paring_session_set_input(session.0, 1, &good), PARING_INVALID_ARGUMENT, "no input 1");
        fails(paring_session_resize(session.0, 0, negative.as_ptr(), 4), PARING_INVALID_ARGUMENT, "-28");
        fails(paring_session_resize(session.0, 9, dims.as_ptr(), 4), PARING_INVALID_ARGUMENT, "9");
        fails(paring_session_bind_output(session.0, 9, &good), PARING_INVALID_ARGUMENT, "no output 9");
        fails(paring_session_bind_arena(session.0, null_mut(), 64), PARING_INVALID_ARGUMENT, "bytes");
        ok(paring_session_input(session.0, 0, &mut view));
        assert_eq!((view.bytes, view.rank, view.dtype), (good.bytes, 4, PARING_F32));
        let own = paring_tensor { dims: null(), ..view };
        fails(paring_session_bind_output(session.0, 0, &own), PARING_INVALID_ARGUMENT, "own");
        // A view may be set: nothing moves.
        ok(paring_session_set_input(session.0, 0, &view));
    }
    ok(paring_session_run(session.0));
}

#[test]
fn names_and_properties() {
    let model = load(FASHION, nothing()).unwrap();
    let (mut index, mut need) = (7, 0);
    let mut buf = [0; 64];
    // SAFETY: the buffers are as long as they say.
    unsafe {
        let mut info = paring_tensor_info { name: null(), dims: null(), rank: 0, dtype: 0 };
        ok(paring_model_io_info(model.0, PARING_OUTPUT, 0, &mut info));
        ok(paring_model_io_index(model.0, PARING_OUTPUT, info.name, &mut index));
        assert_eq!(index, 0);
        fails(
            paring_model_io_index(model.0, PARING_OUTPUT, c"nobody".as_ptr(), &mut index),
            PARING_NOT_FOUND,
            "nobody",
        );
        fails(paring_model_io_info(model.0, PARING_OUTPUT, 1, &mut info), PARING_INVALID_ARGUMENT, "number 1");
        assert!(info.name.is_null());
        ok(paring_model_metadata(model.0, c"name".as_ptr(), buf.as_mut_ptr(), buf.len(), &mut need));
        assert_eq!(CStr::from_ptr(buf.as_ptr()).count_bytes() + 1, need);
        let unknown = paring_model_metadata(model.0, c"colour".as_ptr(), buf.as_mut_ptr(), buf.len(), &mut need);
        fails(unknown, PARING_NOT_FOUND, "colour");
        let no_buffer = paring_model_metadata(model.0, c"name".as_ptr(), null_mut(), 5, &mut need);
        fails(no_buffer, PARING_INVALID_ARGUMENT, "NULL");
        assert_eq!(CStr::from_ptr(paring_status_name(PARING_DATA)), c"PARING_DATA");
        assert_eq!(CStr::from_ptr(paring_status_name(-5)), c"unknown status");
        assert_eq!(CStr::from_ptr(paring_version()).to_str().unwrap(), env!("CARGO_PKG_VERSION"));
    }
    assert_eq!(paring_abi_version(), PARING_ABI_VERSION);
}

#[test]
fn a_second_thread_is_told_that_the_session_is_busy_and_may_cancel_or_free_it() {
    let model = load(FASHION, nothing()).unwrap();
    let session = session(&model, options(&[("threads", "1")]).0).unwrap();
    set_picture(&session, 0);
    let handle = session.0.addr();
    let (mut busy, mut cancelled) = (0, 0);
    let start = Instant::now();
    std::thread::scope(|scope| {
        let other = scope.spawn(move || {
            let mut seen = (0, 0);
            while start.elapsed() < Duration::from_secs(20) && (seen.0 == 0 || seen.1 == 0) {
                match paring_session_run(std::ptr::without_provenance_mut(handle)) {
                    PARING_BUSY => seen.0 += 1,
                    PARING_CANCELLED => seen.1 += 1,
                    status => ok(status),
                }
            }
            seen
        });
        while !other.is_finished() {
            match paring_session_run(session.0) {
                PARING_BUSY => busy += 1,
                PARING_CANCELLED => cancelled += 1,
                status => ok(status),
            }
            ok(paring_session_cancel(session.0));
        }
        let seen = other.join().unwrap();
        assert!(seen.0 + busy > 0 && seen.1 + cancelled > 0, "{seen:?} {busy} {cancelled}");
    });
}

static HEARD: Mutex<Vec<(i32, String)>> = Mutex::new(Vec::new());

unsafe extern "C" fn hear(_: *mut c_void, level: i32, message: *const c_char) {
    // SAFETY: the library's own string.
    let message = unsafe { CStr::from_ptr(message) }.to_str().unwrap();
    HEARD.lock().unwrap().push((level, message.into()));
}

#[test]
fn who_listens_hears_what_is_loaded_and_planned() {
    use crate::callbacks::{PARING_LOG_DEBUG, PARING_LOG_INFO, PARING_LOG_NONE};
    let options = options(&[]);
    // SAFETY: the function is what it should be.
    let listen = |level| unsafe { paring_options_set_log(options.0, Some(hear), null_mut(), level) };
    fails(listen(4), PARING_INVALID_ARGUMENT, "level 4");
    ok(listen(PARING_LOG_DEBUG));
    let model = load(FASHION, options.0).unwrap();
    ok(paring_session_run(fashion(&model, options.0).0));
    let heard = std::mem::take(&mut *HEARD.lock().unwrap());
    assert!(heard.iter().any(|(level, m)| *level == PARING_LOG_INFO && m.starts_with("loaded")), "{heard:?}");
    assert!(heard.iter().any(|(level, m)| *level == PARING_LOG_INFO && m.starts_with("planned")), "{heard:?}");
    ok(listen(PARING_LOG_NONE));
    load(FASHION, options.0).unwrap();
    assert!(HEARD.lock().unwrap().is_empty());
}
