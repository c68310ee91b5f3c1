//! Running the built command, and small files for it.
#![allow(dead_code, reason = "each test file uses a part")]

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The network and data of the demo.
pub fn demo(file: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("demo").join(file).display().to_string()
}

pub fn model() -> String {
    demo("resnet_s_fashion.onnx")
}

pub fn paring<S: AsRef<std::ffi::OsStr>>(args: &[S]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_paring")).args(args).output().expect("the command runs")
}

/// Exit status, and both streams for the message of a failing test.
#[track_caller]
pub fn expect<S: AsRef<std::ffi::OsStr>>(status: i32, args: &[S]) -> (String, String) {
    let out = paring(args);
    let (stdout, stderr) =
        (String::from_utf8_lossy(&out.stdout).into_owned(), String::from_utf8_lossy(&out.stderr).into_owned());
    assert_eq!(out.status.code(), Some(status), "stdout: {stdout}\nstderr: {stderr}");
    (stdout, stderr)
}

/// The one line of JSON on standard output.
#[track_caller]
pub fn json<S: AsRef<std::ffi::OsStr>>(status: i32, args: &[S]) -> Value {
    let (stdout, _) = expect(status, args);
    assert_eq!(stdout.trim_end().lines().count(), 1, "{stdout}");
    serde_json::from_str(&stdout).expect("JSON")
}

/// A `.npy` file.
pub fn npy(dir: &Path, name: &str, descr: &str, shape: &str, data: &[u8]) -> PathBuf {
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    let file = dir.join(name);
    std::fs::write(&file, bytes).expect("a file");
    file
}

/// Image `i` of the demo as an `f32` input in 0..1.
pub fn image(dir: &Path, name: &str, i: usize) -> PathBuf {
    let all = std::fs::read(demo("fashion_x.npy")).expect("the demo's images");
    let pixels = &all[all.len() - 48 * 784..][i * 784..(i + 1) * 784];
    let data: Vec<u8> = pixels.iter().flat_map(|&p| (f32::from(p) / 255.0).to_le_bytes()).collect();
    npy(dir, name, "<f4", "(1, 1, 28, 28)", &data)
}

/// The `f32` elements of a `.npy` file written by the command.
pub fn floats(file: &Path) -> Vec<f32> {
    let bytes = std::fs::read(file).expect("a file");
    let start = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    bytes[start..].chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}
