//! Bad arguments and bad files end with the right status and a sentence, never with a panic.

mod common;

use common::{demo, expect, image, model, npy, paring};
use tempfile::tempdir;

#[test]
fn usage() {
    let m = model();
    for args in [
        &["frobnicate"][..],
        &["run", &m, "--threads", "0"],
        &["run", &m],
        &["run", &m, "--input", "nothing.txt"],
        &["run", &m, "--random", "--shape", "zzz=1x2"],
        &["run", &m, "--random", "--shape", "1x1x28x29"],
        &["run", &m, "--random", "--set", "Q_UNKNOWN=2"],
        &["bench", &m, "--isa", "mmx"],
        &["bench", &m, "--runs", "0"],
        &["eval", &m, "--data", &demo("fashion_y.npy"), "--labels", &demo("fashion_x.npy")],
        &["compare", &m, "--rtol", "-1"],
    ] {
        let (_, errors) = expect(2, args);
        assert!(errors.contains("error"), "{args:?}: {errors}");
    }
}

#[test]
fn files_that_are_not_there() {
    let (_, errors) = expect(1, &["inspect", "no/such/model.onnx"]);
    assert!(errors.contains("no/such/model.onnx"), "{errors}");
    expect(1, &["run", &model(), "--input", "no/such/x.npy"]);
}

#[test]
fn corrupt_models() {
    let dir = tempdir().expect("a folder");
    let whole = std::fs::read(model()).expect("the model");
    let file = dir.path().join("bad.onnx");
    for bytes in [&b""[..], b"not a model at all", &whole[..100], &whole[..whole.len() / 2]] {
        std::fs::write(&file, bytes).expect("a file");
        let (_, errors) = expect(5, &["inspect", &file.display().to_string()]);
        assert!(errors.starts_with("error: ") && !errors.contains("panicked"), "{errors}");
    }
}

/// A field of bytes of a protocol buffer; all here are short.
fn field(number: u8, body: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2, body.len() as u8], body].concat()
}

#[test]
fn models_that_ask_for_what_is_missing() {
    let named = |number: u8, name: &str, more: Vec<u8>| field(number, &[field(1, name.as_bytes()), more].concat());
    let file = |op: &str, element_type: u8| {
        let node = [field(1, b"x"), field(2, b"y"), field(3, b"it"), field(4, op.as_bytes())].concat();
        let ty = field(2, &field(1, &[0x08, element_type]));
        let graph = [field(1, &node), named(11, "x", ty), named(12, "y", Vec::new())].concat();
        [vec![0x08, 8], field(7, &graph), field(8, &[0x10, 18])].concat()
    };
    let dir = tempdir().expect("a folder");
    let path = dir.path().join("m.onnx");
    let (float, string, int4) = (1, 8, 22);
    for (op, element_type, words) in [
        ("Identity", string, ["'x'", "string"]),
        ("Identity", int4, ["'x'", "int4"]),
        ("Frobnicate", float, ["'it'", "Frobnicate"]),
        ("StringNormalizer", float, ["'it'", "StringNormalizer"]),
    ] {
        std::fs::write(&path, file(op, element_type)).expect("a file");
        let (_, errors) = expect(4, &["inspect", &path.display().to_string()]);
        assert!(words.iter().all(|w| errors.contains(w)), "{errors}");
    }
    std::fs::write(&path, file("Identity", float)).expect("a file");
    expect(0, &["inspect", &path.display().to_string()]);
}

#[test]
fn hostile_arrays() {
    let dir = tempdir().expect("a folder");
    for (shape, status) in
        [("(1000000000000, 1000000000000)", 1), ("(1, 1, 28, 28)", 1), ("(99999999999999999999,)", 1)]
    {
        let x = npy(dir.path(), "x.npy", "<f4", shape, &[0; 8]);
        let (_, errors) = expect(status, &["run", &model(), "--input", &x.display().to_string()]);
        assert!(errors.contains("x.npy") && !errors.contains("panicked"), "{errors}");
    }
    let wrong_type = npy(dir.path(), "i.npy", "<i8", "(1, 1, 28, 28)", &[0; 784 * 8]);
    expect(2, &["run", &model(), "--input", &wrong_type.display().to_string()]);
    for (name, bytes) in
        [("z.npz", &b"PK\x03\x04 nonsense"[..]), ("p.png", b"\x89PNG\r\n\x1a\n"), ("t.pb", b"\xff\xff\xff\xff")]
    {
        let file = dir.path().join(name);
        std::fs::write(&file, bytes).expect("a file");
        let out = paring(&["run", &model(), "--input", &file.display().to_string()]);
        assert!(matches!(out.status.code(), Some(1..=6)), "{name}: {out:?}");
    }
}

#[test]
fn limits() {
    expect(6, &["demo", "--limit", "mem=1K"]);
    let dir = tempdir().expect("a folder");
    let x = image(dir.path(), "x.npy", 0);
    expect(6, &["run", &model(), "--input", &x.display().to_string(), "--limit", "mem=2K"]);
    let (_, errors) = expect(124, &["bench", &model(), "--runs", "10000000", "--limit", "time=0.3"]);
    assert!(errors.contains("time"), "{errors}");
}

#[cfg(unix)]
#[test]
fn special_files_are_refused() {
    expect(1, &["eval", &model(), "--data", "/dev/zero.npy", "--labels", &demo("fashion_y.npy")]);
    let dir = tempdir().expect("a folder");
    let link = dir.path().join("zero.npy");
    std::os::unix::fs::symlink("/dev/zero", &link).expect("a link");
    let (_, errors) = expect(1, &["run", &model(), "--input", &link.display().to_string()]);
    assert!(errors.contains("not a regular file"), "{errors}");
}
