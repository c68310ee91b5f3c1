//! The exported functions, called as a C program would.

mod custom;
mod errors;
mod models;
mod results;

use crate::{handles::Table, model::*, options::*, session::*, status::*, tensor::*};
use std::{
    ffi::{CStr, CString},
    ptr::{null, null_mut},
};

const FASHION: &[u8] = include_bytes!("../../../cli/demo/resnet_s_fashion.onnx");
const PICTURES: &[u8] = include_bytes!("../../../cli/demo/fashion_x.npy");
const SIDE: usize = 28;

/// Frees what a handle stands for when it goes.
struct Owned<T>(*mut T, extern "C" fn(*mut T));

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        (self.1)(self.0);
    }
}

fn last_error() -> String {
    let mut need = 0;
    // SAFETY: the buffer is as long as it says.
    unsafe {
        paring_last_error(null_mut(), 0, &mut need);
        let mut buf = vec![0; need];
        paring_last_error(buf.as_mut_ptr(), buf.len(), &mut need);
        CStr::from_ptr(buf.as_ptr()).to_str().unwrap().into()
    }
}

#[track_caller]
fn ok(status: paring_status) {
    assert_eq!(status, PARING_OK, "{}: {}", name(status).to_str().unwrap(), last_error());
}

/// Checks that a call failed so, with this in its words.
#[track_caller]
fn fails(status: paring_status, expected: paring_status, words: &str) {
    let found = last_error();
    assert_eq!(
        status,
        expected,
        "{} instead of {}: {found}",
        name(status).to_str().unwrap(),
        name(expected).to_str().unwrap()
    );
    assert!(found.contains(words), "'{words}' is not in '{found}'");
}

fn options(settings: &[(&str, &str)]) -> Owned<paring_options> {
    let mut handle = null_mut();
    // SAFETY: the strings end with 0.
    unsafe {
        ok(paring_options_new(&mut handle));
        for (key, value) in settings {
            let (key, value) = (CString::new(*key).unwrap(), CString::new(*value).unwrap());
            ok(paring_options_set(handle, key.as_ptr(), value.as_ptr()));
        }
    }
    Owned(handle, paring_options_free)
}

fn load(bytes: &[u8], options: *const paring_options) -> Result<Owned<paring_model>, paring_status> {
    let mut handle = null_mut();
    // SAFETY: the bytes are as many as is said.
    match unsafe { paring_model_load_bytes(bytes.as_ptr().cast(), bytes.len(), options, &mut handle) } {
        PARING_OK => Ok(Owned(handle, paring_model_free)),
        status => {
            assert!(handle.is_null());
            Err(status)
        }
    }
}

fn session(
    model: &Owned<paring_model>,
    options: *const paring_options,
) -> Result<Owned<paring_session>, paring_status> {
    let mut handle = null_mut();
    // SAFETY: `handle` is valid.
    match unsafe { paring_session_new(model.0, options, &mut handle) } {
        PARING_OK => Ok(Owned(handle, paring_session_free)),
        status => {
            assert!(handle.is_null());
            Err(status)
        }
    }
}

/// The demo's network as a `.pare` file.
fn fashion_file() -> Vec<u8> {
    let mut file = Vec::new();
    let network = facade::Model::from_bytes(FASHION).unwrap();
    network.save(&mut file, &facade::SaveOptions::default()).unwrap();
    file
}

/// A session of the demo's network, for one picture.
fn fashion(model: &Owned<paring_model>, options: *const paring_options) -> Owned<paring_session> {
    let session = session(model, options).unwrap();
    ok(shaped(&session));
    session
}

fn shaped(session: &Owned<paring_session>) -> paring_status {
    // SAFETY: there are as many dimensions.
    unsafe { paring_session_resize(session.0, 0, [1, 1, SIDE as i64, SIDE as i64].as_ptr(), 4) }
}

fn tensor<T>(data: &mut [T], dims: &[i64], dtype: paring_dtype) -> paring_tensor {
    let bytes = size_of_val(data);
    paring_tensor { data: data.as_mut_ptr().cast(), bytes, dims: dims.as_ptr(), rank: dims.len() as i32, dtype }
}

fn output(s: &Owned<paring_session>, k: usize) -> (Vec<u8>, Vec<i64>, paring_dtype) {
    let mut view = paring_tensor::NONE;
    // SAFETY: the view is valid until the next call.
    unsafe {
        ok(paring_session_output(s.0, k, &mut view));
        let bytes = std::slice::from_raw_parts(view.data.cast::<u8>(), view.bytes).to_vec();
        let dims = std::slice::from_raw_parts(view.dims, view.rank as usize).to_vec();
        (bytes, dims, view.dtype)
    }
}

/// Picture `i` as the network's input.
fn picture(i: usize) -> Vec<f32> {
    let pixels = &PICTURES[128 + i * SIDE * SIDE..][..SIDE * SIDE];
    pixels.iter().map(|&p| f32::from(p) / 255.0).collect()
}

fn set_picture(s: &Owned<paring_session>, i: usize) {
    let (mut pixels, dims) = (picture(i), [1, 1, SIDE as i64, SIDE as i64]);
    // SAFETY: the tensor is valid.
    ok(unsafe { paring_session_set_input(s.0, 0, &tensor(&mut pixels, &dims, PARING_F32)) });
}

fn nothing<T>() -> *const T {
    null()
}

/// A handle of another kind than any that the library has.
fn foreign<T>() -> *mut T {
    static OTHERS: Table<()> = Table::new(15, "other");
    std::ptr::without_provenance_mut(OTHERS.insert(()).unwrap())
}
