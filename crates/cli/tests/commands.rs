//! Every subcommand does what it is for, on the network of the demo.

mod common;

use common::{demo, expect, floats, image, json, model};
use tempfile::tempdir;

#[test]
fn no_arguments_give_an_overview() {
    let (text, errors) = expect::<&str>(0, &[]);
    assert!(text.contains("paring demo") && text.contains("--json") && errors.is_empty());
    assert!(json(0, &["--json"])["commands"].as_array().is_some_and(|c| c.len() == 12));
}

#[test]
fn help_of_every_command_has_its_status() {
    let plain = ["inspect", "convert"];
    let engine = [
        "run",
        "bench",
        "explain",
        "compare",
        "eval",
        "optimize",
        "quantize",
        "lowbit",
        "ternarize",
        "binarize",
        "demo",
    ];
    for command in plain.into_iter().chain(engine) {
        let (text, _) = expect(0, &[command, "--help"]);
        assert!(text.contains("--threads") || plain.contains(&command), "{command}");
    }
    assert!(expect(0, &["--help"]).0.contains("Exit status"));
}

#[test]
fn demo_classifies_as_the_trainer_did() {
    // ONNX Runtime gets 43 of these 48 right.
    let d = json(0, &["demo", "--json", "--threads", "1"]);
    assert_eq!((d["images"].as_u64(), d["correct"].as_u64()), (Some(48), Some(43)));
    assert!(
        d["answers"]
            .as_array()
            .expect("answers")
            .iter()
            .all(|a| a["confidence"].as_f64().is_some_and(|c| c > 0.1 && c <= 1.0))
    );
    let (text, _) = expect(0, &["demo", "--show", "2"]);
    assert!(text.contains("43 of 48") && text.contains("Ankle boot"), "{text}");
    assert!(!text.contains('\x1b'), "no colours in a pipe");
}

#[test]
fn inspect_counts() {
    let j = json(0, &["inspect", &model(), "--json"]);
    // The README of the network says 0.216 M parameters and 7.9 M multiply-adds.
    assert!((210_000..225_000).contains(&j["params"].as_u64().expect("params")), "{j}");
    assert!((7_700_000..8_100_000).contains(&j["macs"].as_u64().expect("macs")), "{j}");
    assert_eq!(j["flops"].as_u64(), j["macs"].as_u64().map(|m| 2 * m));
    assert!(j["layers"].as_array().is_some_and(|l| l.len() > 10));
    assert_eq!(json(0, &["inspect", &model(), "--json", "--layers", "3"])["layers"].as_array().map(Vec::len), Some(3));
    let symbol =
        j["inputs"][0]["shape"].as_str().and_then(|s| s.split('x').next()).expect("a first dimension").to_owned();
    let batch = json(0, &["inspect", &model(), "--json", "--set", &format!("{symbol}=4")]);
    assert_eq!(batch["macs"].as_u64(), j["macs"].as_u64().map(|m| 4 * m));
    let (text, _) = expect(0, &["inspect", &model()]);
    assert!(text.contains("Conv") && text.contains("logits"), "{text}");
}

#[test]
fn run_writes_what_it_computes() {
    let dir = tempdir().expect("a folder");
    let x = image(dir.path(), "x.npy", 0);
    let out = dir.path().join("out");
    let (input, out_arg) = (x.display().to_string(), out.display().to_string());
    let args = ["run", &model(), "--input", &input, "--output-dir", &out_arg].map(str::to_owned);
    let (text, _) = expect(0, &args);
    assert!(text.contains("logits.npy"));
    let logits = floats(&out.join("logits.npy"));
    assert_eq!(logits.len(), 10);
    // The first image is an ankle boot, class 9.
    assert!(logits.iter().all(|&l| l <= logits[9]));
    // A second time only when told.
    expect(1, &args);
    expect(0, &[&args[..], &["-f".to_owned()]].concat());
    assert_eq!(std::fs::read_dir(&out).expect("a folder").count(), 1, "nothing temporary is left");

    let j = json(0, &["run", &model(), "--input", &input, "--json"]);
    assert_eq!(j["outputs"][0]["top"][0][0]["class"], 9);
    assert_eq!(j["outputs"][0]["shape"], serde_json::json!([1, 10]));
}

#[test]
fn run_reads_pictures() {
    let dir = tempdir().expect("a folder");
    let all = std::fs::read(demo("fashion_x.npy")).expect("the demo's images");
    let pixels = all[all.len() - 48 * 784..][..784].to_vec();
    let file = dir.path().join("boot.png");
    image::GrayImage::from_raw(28, 28, pixels).expect("a picture").save(&file).expect("a file");
    let j = json(0, &["run", &model(), "--input", &file.display().to_string(), "--json"]);
    assert_eq!(j["outputs"][0]["top"][0][0]["class"], 9);
}

#[test]
fn random_inputs_follow_the_seed() {
    let mean =
        |seed: &str| json(0, &["run", &model(), "--random", "--seed", seed, "--json"])["outputs"][0]["mean"].clone();
    assert_eq!(mean("1"), mean("1"));
    assert_ne!(mean("1"), mean("2"));
}

#[test]
fn bench_reports_one_line() {
    let j = json(0, &["bench", &model(), "--threads", "1", "--runs", "5", "--json", "--profile"]);
    for key in ["load_ms", "median_ms", "min_ms", "mean_ms", "p90_ms", "p99_ms", "cv", "arena_bytes", "weight_bytes"] {
        assert!(j[key].as_f64().is_some_and(|x| x >= 0.0), "{key}: {j}");
    }
    assert!(j["min_ms"].as_f64() <= j["median_ms"].as_f64() && j["median_ms"].as_f64() <= j["p99_ms"].as_f64());
    assert!(j["arena_bytes"].as_u64() > Some(0) && j["weight_bytes"].as_u64() > Some(100_000));
    assert!(j["arena_bound_bytes"].as_u64() > Some(0) && j["arena_bound_bytes"].as_u64() <= j["arena_bytes"].as_u64());
    assert!(j["model_bytes"].as_u64() > Some(100_000) && j["memory_ratio"].as_f64() > Some(0.1));
    if cfg!(target_os = "linux") {
        assert!(j["peak_resident_bytes"].as_u64() > j["weight_bytes"].as_u64());
    }
    assert!(j["layers"].as_array().is_some_and(|l| l.iter().any(|l| l["macs"].as_u64() > Some(0))));
    let (text, _) = expect(0, &["bench", &model(), "--runs", "3", "--profile"]);
    assert!(text.contains("median") && text.contains("GMAC/s"));
}

#[test]
fn explain_names_candidates_and_reasons() {
    let j = json(0, &["explain", &model(), "--json"]);
    let layers = j["layers"].as_array().expect("layers");
    let candidates = layers.iter().flat_map(|l| l["candidates"].as_array().into_iter().flatten());
    let (mut offers, mut rejects) = (0, 0);
    for c in candidates {
        offers += usize::from(c["verdict"]["offer"]["cost_us"].is_f64());
        rejects += usize::from(c["verdict"]["reject"]["reason"].as_str().is_some_and(|r| !r.is_empty()));
    }
    assert!(offers > 10 && rejects > 0, "{offers} offers, {rejects} rejections");
    assert!(j["applied"].as_array().is_some_and(|a| !a.is_empty()));
    let name = layers[0]["name"].as_str().expect("a name").to_owned();
    let (text, _) = expect(0, &["explain", &model(), "--layer", &name]);
    assert!(text.contains("->") && text.contains(&name));
    expect(2, &["explain", &model(), "--layer", "no such layer"]);
}

#[test]
fn optimize_dumps_both_graphs() {
    let j = json(0, &["optimize", &model(), "--dump", "--json"]);
    assert!(j["before"].as_str().is_some_and(|t| t.contains("batch_norm") || t.to_lowercase().contains("norm")), "{j}");
    assert_ne!(j["before"], j["after"]);
    let steps = |n: &str| {
        let j = json(0, &["optimize", &model(), "--json", "--opt-stop-at", n]);
        j["applied"].as_array().map(Vec::len)
    };
    assert_eq!((steps("0"), steps("2")), (Some(0), Some(2)));
    assert!(expect(0, &["optimize", &model(), "--dump"]).0.contains("# before"));
}

#[test]
fn eval_counts_right_answers() {
    let args = ["eval", &model(), "--data", &demo("fashion_x.npy"), "--labels", &demo("fashion_y.npy"), "--json"]
        .map(str::to_owned);
    let j = json(0, &args);
    assert_eq!(
        (j["images"].as_u64(), j["top1_correct"].as_u64(), j["top5_correct"].as_u64()),
        (Some(48), Some(43), Some(48))
    );
    assert!((j["top1"].as_f64().expect("a share") - 43.0 / 48.0).abs() < 1e-12);
    assert!(j["images_per_s"].as_f64() > Some(0.0));
    let more =
        |extra: &[&str]| json(0, &[&args[..], &extra.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>()].concat());
    // A last batch that is not full, and fewer images.
    assert_eq!(more(&["--batch", "7"])["top1_correct"], 43);
    let few = more(&["--limit-images", "10", "--topk", "1,3"]);
    assert_eq!((few["images"].as_u64(), few["top1_correct"].as_u64()), (Some(10), Some(10)));
    assert!(few["top3"].is_f64() && few["top5"].is_null());
    // Unscaled pixels are not what the network learned.
    assert!(more(&["--raw"])["top1_correct"].as_u64() < Some(43));
}
