//! `paring convert`, `lowbit`, `ternarize` and `binarize`: weights in fewer bits.

mod common;

use common::{demo, expect, json, model};
use serde_json::Value;
use std::path::{Path, PathBuf};
use tempfile::{TempDir, tempdir};

fn folder() -> (TempDir, PathBuf) {
    let dir = tempdir().expect("a folder");
    let out = dir.path().join("out.onnx");
    (dir, out)
}

fn text(file: &Path) -> String {
    file.display().to_string()
}

/// Right answers on the images of the demo, of which the network in `f32` gets 43.
fn right(file: &Path) -> i64 {
    let (images, labels) = (demo("fashion_x.npy"), demo("fashion_y.npy"));
    let found = json(0, &["eval", &text(file), "--data", &images, "--labels", &labels, "--threads", "1", "--json"]);
    found["top1_correct"].as_i64().expect("right answers")
}

/// What a command says in JSON of the model it writes.
fn made(out: &Path, command: &str, more: &[&str]) -> Value {
    json(0, &[&[command, &model(), "-o", &text(out), "--json"], more].concat())
}

fn number(report: &Value, key: &str) -> f64 {
    report[key].as_f64().unwrap_or_else(|| panic!("{key} in {report}"))
}

#[test]
fn halves_compute_as_before() {
    for format in ["--fp16", "--bf16"] {
        let (_dir, out) = folder();
        let report = made(&out, "convert", &[format]);
        assert_eq!(number(&report, "weight_bytes_before"), 2.0 * number(&report, "weight_bytes_after"));
        assert!(number(&report, "max_relative_error") < 0.004, "{report}");
        assert_eq!(number(&report, "bytes_after"), std::fs::metadata(&out).expect("a file").len() as f64);
        assert!((right(&out) - 43).abs() <= 1, "{format}");
    }
    let (_dir, out) = folder();
    let (words, _) = expect(0, &["convert", &model(), "--fp16", "-o", &text(&out)]);
    assert!(words.contains("2.00 times smaller") && words.contains("relative error"), "{words}");
    expect(1, &["convert", &model(), "--fp16", "-o", &text(&out)]);
    expect(0, &["convert", &model(), "--fp16", "-f", "-o", &text(&out)]);
}

/// Kinds and offsets of the sections of a model file.
fn inspected_sections(file: &Path) -> Vec<(String, usize)> {
    let inspected = json(0, &["inspect", &text(file), "--json"]);
    let sections = inspected["pare"]["sections"].as_array().expect("sections").clone();
    let of = |s: &Value| (s["kind"].as_str().expect("a kind").to_owned(), number(s, "offset") as usize);
    sections.iter().map(of).collect()
}

#[test]
fn a_model_file_opens_packed_and_computes_the_same() {
    let (dir, _) = folder();
    let out = dir.path().join("net.pare");
    let shape = ["--set", "N=1"];
    let report = made(&out, "convert", &[&["--pack-for", "this-machine,portable"], &shape[..]].concat());
    assert_eq!(number(&report, "bytes"), std::fs::metadata(&out).expect("a file").len() as f64);
    let packed = report["packed"].as_array().expect("kinds of machines");
    assert_eq!(packed.len(), 2, "{report}");
    assert_eq!(right(&out), 43);
    let bench = json(0, &["bench", &text(&out), "--set", "N=1", "--runs", "1", "--json"]);
    assert_eq!(bench["packed_blocks"]["made"], 0, "{bench}");
    assert_eq!(bench["packed_blocks"]["from_file"], packed[0]["blocks"], "{bench}");
    let (words, _) = expect(0, &["inspect", &text(&out)]);
    for part in ["made by", "resnet_s_fashion.onnx, SHA-256", "optimised", "portable (", "packed weights"] {
        assert!(words.contains(part), "{part}: {words}");
    }
    let inspected = json(0, &["inspect", &text(&out), "--json"]);
    assert_eq!(inspected["pare"]["source_sha256"], report["source_sha256"]);
    // From one model file to another: the recipe stays.
    let halves = dir.path().join("halves.pare");
    let (words, _) = expect(0, &["convert", &model(), "--fp16", "-o", &text(&halves)]);
    assert!(words.contains("wrote"), "{words}");
    let again = dir.path().join("again.pare");
    expect(0, &["convert", &text(&halves), "-o", &text(&again), "--pack-for", "this-machine", "--set", "N=1"]);
    let inspected = json(0, &["inspect", &text(&again), "--json"]);
    assert_eq!(inspected["pare"]["compression"][0], "weights stored as f16");
    assert!((right(&again) - 43).abs() <= 1);
    // A damaged one is named as such, in the command's own words.
    let mut bytes = std::fs::read(&out).expect("the file");
    let sections = inspected_sections(&out);
    let (_, at) = sections.iter().find(|(kind, _)| kind == "packed weights").expect("packed weights");
    bytes[*at] ^= 1;
    std::fs::write(&out, &bytes).expect("a file");
    let (_, errors) = expect(5, &["run", &text(&out), "--random", "--set", "N=1"]);
    assert!(errors.contains("copy the file again"), "{errors}");
}

#[test]
fn the_features_that_a_model_needs_run_it() {
    let report = json(0, &["convert", &model(), "--report-ops", "--set", "N=1", "--json"]);
    let features: Vec<&str> =
        report["features"].as_array().expect("features").iter().filter_map(Value::as_str).collect();
    assert!(!features.contains(&"onnx") && !features.contains(&"fallback") && !features.contains(&"int8"), "{report}");
    assert!(report["dependency"].as_str().is_some_and(|d| d.contains("default-features = false")), "{report}");
    let used = report["used"].as_array().expect("what is used");
    let share: f64 = used.iter().map(|u| number(u, "share")).sum();
    assert!((share - 1.0).abs() < 1e-9, "{report}");
    // Kernels of other features are not missed.
    let kernels: Vec<&str> =
        used.iter().flat_map(|u| u["kernels"].as_array().expect("kernels")).filter_map(Value::as_str).collect();
    let only = kernels.join(",");
    let run = |more: &[&str]| {
        let arguments = ["bench", &model(), "--set", "N=1", "--runs", "1", "--json"];
        number(&json(0, &[&arguments, more].concat()), "packed_bytes")
    };
    assert_eq!(run(&[]), run(&["--kernels", &only]));
    let (words, _) = expect(0, &["convert", &model(), "--report-ops", "--set", "N=1"]);
    assert!(words.contains("(always there)") && words.contains("paring = {"), "{words}");
    expect(2, &["convert", &model(), "--report-ops", "-o", "x.pare"]);
    expect(2, &["convert", &model()]);
}

#[test]
fn few_bits_make_small_files() {
    for (more, smaller, least) in [
        (&["--bits", "8"][..], 3.3, 42),
        (&["--bits", "4"], 5.8, 38),
        (&["--bits", "4", "--group", "32"], 5.0, 38),
        (&["--bits", "4", "--codebook"], 5.2, 38),
        (&["--bits", "3", "--codebook=channel"], 4.0, 30),
        (&["--bits", "5"], 4.0, 41),
    ] {
        let (_dir, out) = folder();
        let report = made(&out, "lowbit", more);
        let times = number(&report, "bytes_before") / number(&report, "bytes_after");
        println!("{more:?}: {times} times, {} right", right(&out));
        assert!(times > smaller, "{more:?}: {times}");
        assert!(right(&out) >= least, "{more:?}: {} right", right(&out));
    }
}

#[test]
fn the_recipe_makes_the_same_again() {
    let (_dir, out) = folder();
    let report = made(&out, "lowbit", &["--bits", "4", "--bits-for", "/stem*=8", "--bits-for", "*fc*=f32"]);
    let recipe: Vec<String> = report["recipe"].as_array().expect("a recipe").iter().map(|r| r.to_string()).collect();
    assert!(recipe[0].contains("=8") && recipe.iter().any(|r| r.contains("=4")), "{recipe:?}");
    let recipe: Vec<&str> = recipe.iter().map(|r| r.trim_matches('"')).collect();
    let mut again = vec!["--bits", "2"];
    recipe.iter().for_each(|r| again.extend(["--bits-for", r]));
    let (_other, copy) = folder();
    made(&copy, "lowbit", &again);
    assert_eq!(std::fs::read(&out).expect("a file"), std::fs::read(&copy).expect("a file"));
}

#[test]
fn samples_tell_what_is_lost() {
    let (_dir, out) = folder();
    let (images, labels) = (demo("fashion_x.npy"), demo("fashion_y.npy"));
    let more = ["--calibration", &images, "--labels", &labels, "--threads", "1"];
    let report = made(&out, "ternarize", &more);
    assert_eq!(report["accuracy"]["float"], 43);
    assert_eq!(report["accuracy"]["quantized"].as_i64(), Some(right(&out)));
    assert!(report["outputs"][0]["sqnr_db"].as_f64().is_some_and(|db| db > 0.0), "{report}");
    let kept: Vec<bool> = report["layers"].as_array().expect("layers").iter().map(|l| l["kept"].is_string()).collect();
    assert!(kept[0] && kept[kept.len() - 1] && !kept[1], "{kept:?}");
    let (words, _) = expect(0, &[&["ternarize", &model(), "-f", "-o", &text(&out)], &more[..]].concat());
    for part in ["ternary", "f32: it is the first", "top-1", "cosine", "times smaller"] {
        assert!(words.contains(part), "{part}: {words}");
    }
}

#[test]
fn binary_weights_have_to_be_forced() {
    let (_dir, out) = folder();
    let (_, errors) = expect(2, &["binarize", &model(), "-o", &text(&out)]);
    assert!(errors.contains("trained again") && errors.contains("--force") && !out.exists(), "{errors}");
    let (words, errors) = expect(0, &["binarize", &model(), "--force", "--activations", "-o", &text(&out)]);
    assert!(words.contains("binary") && errors.contains("warning"), "{words} {errors}");
    expect(0, &["run", &text(&out), "--random"]);
}

#[test]
fn what_makes_no_sense_is_a_matter_of_usage() {
    let (dir, out) = folder();
    let (net, to, images) = (model(), text(&out), demo("fashion_x.npy"));
    for arguments in [
        &["convert", &net, "-o", &to][..],
        &["convert", &net, "--fp16", "--bf16", "-o", &to],
        &["convert", &net, "--fp16", "--pack-for", "avx2", "-o", &to],
        &["convert", &net, "--pack-for", "z80", "-o", &dir.path().join("x.pare").display().to_string()],
        &["lowbit", &net, "-o", &to],
        &["lowbit", &net, "--bits", "1", "-o", &to],
        &["lowbit", &net, "--bits", "4", "--group", "1", "-o", &to],
        &["lowbit", &net, "--bits", "4", "--bits-for", "x", "-o", &to],
        &["lowbit", &net, "--bits", "4", "--bits-for", "nowhere=4", "-o", &to],
        &["lowbit", &net, "--bits", "4", "--layers", "nowhere", "-o", &to],
        &["lowbit", &net, "--bits", "4", "--labels", &images, "-o", &to],
        &["lowbit", &net, "--bits", "4", "--bits-for", "*=f32", "-o", &to],
        &["ternarize", &net, "--threshold", "guess", "-o", &to],
    ] {
        let (_, errors) = expect(2, arguments);
        assert!(!errors.contains("panicked"), "{errors}");
    }
    assert!(!out.exists());
    let (_, errors) = expect(2, &["lowbit", &net, "--bits", "4", "--layers", "nowhere", "-o", &to]);
    assert!(errors.contains("'nowhere'") && errors.contains("/stem/stem.0/Conv"), "{errors}");
    let broken = dir.path().join("broken.onnx");
    let whole = std::fs::read(&net).expect("the model");
    std::fs::write(&broken, &whole[..whole.len() / 2]).expect("a file");
    expect(5, &["convert", &text(&broken), "--fp16", "-o", &to]);
    expect(1, &["ternarize", "no/such/model.onnx", "-o", &to]);
}
