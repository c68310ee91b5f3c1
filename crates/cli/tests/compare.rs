//! `compare`: statuses and figures.

mod common;

use common::{expect, floats, image, json, model, npy};
use std::path::Path;
use tempfile::{TempDir, tempdir};

/// A folder with an input and the output the network gives for it, the latter changed by `change`.
fn recorded(change: impl Fn(&mut Vec<f32>)) -> TempDir {
    let dir = tempdir().expect("a folder");
    let input = json(0, &["inspect", &model(), "--json"])["inputs"][0]["name"].as_str().expect("a name").to_owned();
    let x = image(dir.path(), &format!("{input}.npy"), 3);
    let out = dir.path().display().to_string();
    expect(0, &["run", &model(), "--input", &x.display().to_string(), "--output-dir", &out]);
    let mut logits = floats(&dir.path().join("logits.npy"));
    change(&mut logits);
    let data: Vec<u8> = logits.iter().flat_map(|l| l.to_le_bytes()).collect();
    npy(dir.path(), "logits.npy", "<f4", "(1, 10)", &data);
    dir
}

fn args(dir: &Path) -> Vec<String> {
    ["compare", &model(), "--reference", &dir.display().to_string()].map(str::to_owned).to_vec()
}

#[test]
fn recorded_outputs_agree() {
    let dir = recorded(|_| {});
    let (text, _) = expect(0, &args(dir.path()));
    assert!(text.contains("PASSED"));
    let j = json(0, &[&args(dir.path())[..], &["--json".to_owned()]].concat());
    assert_eq!((j["agree"].as_bool(), j["outputs"][0]["top1"].as_f64()), (Some(true), Some(1.0)));
    assert!(j["outputs"][0]["max_abs"].as_f64() < Some(1e-4));
}

#[test]
fn a_changed_element_differs() {
    let dir = recorded(|l| l[2] += 0.5);
    let (text, errors) = expect(3, &args(dir.path()));
    assert!(text.contains("FAILED") && errors.starts_with("error: output `logits` differs: 1 of 10"), "{errors}");
    let loose = [&args(dir.path())[..], &["--atol".to_owned(), "0.6".to_owned()]].concat();
    expect(0, &loose);
}

#[test]
fn a_missing_output_is_no_agreement() {
    let dir = recorded(|_| {});
    std::fs::remove_file(dir.path().join("logits.npy")).expect("the file is there");
    let (_, errors) = expect(2, &args(dir.path()));
    assert!(errors.contains("logits"), "{errors}");
}

#[test]
fn optimised_agrees_with_unoptimised() {
    let j = json(0, &["compare", &model(), "--bisect", "--json"]);
    assert!(j["agree"].as_bool() == Some(true) && j["bisect"]["first_differing"].is_null(), "{j}");
    assert!(j["bisect"]["compared"].as_u64() > Some(3), "{j}");
    let itself = json(0, &["compare", &model(), &model(), "--json"]);
    assert_eq!(itself["outputs"][0]["max_abs"].as_f64(), Some(0.0));
}

#[test]
fn bisect_finds_the_first_changed_layer() {
    // The same network with one weight of a later convolution made absurd.
    let dir = tempdir().expect("a folder");
    let mut bytes = std::fs::read(model()).expect("the model");
    let middle = bytes.len() / 2;
    let at = middle - middle % 4;
    bytes[at..at + 64].fill(0x47);
    let other = dir.path().join("other.onnx");
    std::fs::write(&other, bytes).expect("a file");
    let j = json(3, &["compare", &model(), &other.display().to_string(), "--bisect", "--no-optimize", "--json"]);
    assert!(j["bisect"]["last_agreeing"].is_string() && j["bisect"]["first_differing"]["name"].is_string(), "{j}");
}
