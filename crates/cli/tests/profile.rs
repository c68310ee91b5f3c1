//! `bench --profile`: efficiencies, the trace and the page.

mod common;

use common::{expect, json, model};
use serde_json::Value;
use std::path::{Path, PathBuf};
use tempfile::tempdir;

/// As long as the name of the first convolution of the demo's network, which it takes.
const HOSTILE: &str = "\"'<b>&</title><i>";
const ESCAPED: &str = "&quot;&#39;&lt;b&gt;&amp;&lt;/title&gt;&lt;i&gt;";

fn bench(model: &str, more: &[&str]) -> Vec<String> {
    let fixed = ["bench", model, "--threads", "1", "--runs", "9", "-q"];
    fixed.iter().chain(more).map(|&s| s.to_owned()).collect()
}

fn hostile(dir: &Path) -> String {
    let (name, mut bytes) = (b"/stem/stem.0/Conv", std::fs::read(model()).expect("the demo's network"));
    let places: Vec<usize> = (0..bytes.len() - name.len()).filter(|&i| bytes[i..].starts_with(name)).collect();
    assert!(!places.is_empty() && name.len() == HOSTILE.len());
    for i in places {
        bytes[i..][..name.len()].copy_from_slice(HOSTILE.as_bytes());
    }
    let file = dir.join("hostile.onnx");
    std::fs::write(&file, bytes).expect("a file");
    file.display().to_string()
}

fn read(file: &Path) -> String {
    std::fs::read_to_string(file).expect("a file in UTF-8")
}

fn names(layers: &Value) -> Vec<String> {
    let layers = layers.as_array().expect("layers");
    layers.iter().map(|l| l["name"].as_str().expect("a name").to_owned()).collect()
}

#[test]
fn layers_are_held_against_the_machine() {
    let j = json(0, &bench(&model(), &["--profile", "--json"]));
    let number = |v: &Value| v.as_f64().expect("a number");
    let peaks = &j["peaks"];
    assert_eq!(peaks["threads"], 1);
    assert!(peaks["isa"].is_string() && peaks["memory_block_bytes"].as_u64() >= Some(64 << 20), "{peaks}");
    let (peak, bandwidth) = (number(&peaks["gmac_per_s"]), number(&peaks["memory_gb_per_s"]));
    assert!(peak > 0.01 && bandwidth > 0.01, "{peaks}");
    let layers = j["layers"].as_array().expect("layers");
    let mut sum = 0.0;
    for l in layers {
        let (median, bound, lost) = (number(&l["median_ms"]), number(&l["bound_ms"]), number(&l["lost_ms"]));
        assert!(number(&l["min_ms"]) <= median && number(&l["eff"]) > 0.0, "{l}");
        assert!((number(&l["eff"]) - bound / median).abs() < 1e-9 && lost == (median - bound).max(0.0), "{l}");
        let (compute, memory) = (number(&l["macs"]) / peak / 1e6, number(&l["bytes"]) / bandwidth / 1e6);
        assert!((bound - compute.max(memory)).abs() < 1e-9, "{l}");
        assert_eq!(l["bound_by"], if compute >= memory { "compute" } else { "memory" });
        sum += median;
    }
    // Medians of parts need not add up to the median of the whole, nor is the time between layers in them.
    // This asks for the same unit, not for a quiet machine.
    assert!((0.1..10.0).contains(&(sum / number(&j["median_ms"]))), "{sum} ms in layers: {j}");
    let plain = json(0, &bench(&model(), &["--json"]));
    assert!(plain["peaks"].is_null() && plain["layers"].is_null());
}

#[test]
fn text_shows_what_loses_most() {
    let (text, _) = expect(0, &bench(&model(), &["--profile"]));
    for part in ["eff", "GMAC/s (f32 multiply-adds", "GB/s (reading", "furthest from its bound", "bound by", "lost ms"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    let worst = text.split("furthest from its bound").nth(1).expect("a table");
    // What bounds a layer is the machine's to say: one rate against the other.
    assert!(worst.contains("compute") || worst.contains("memory"), "{worst}");
    assert!((1..=11).contains(&worst.lines().filter(|l| l.contains('%')).count()), "{worst}");
}

#[test]
fn trace_has_an_event_for_each_layer() {
    let dir = tempdir().expect("a folder");
    let file = dir.path().join("trace.json");
    let j = json(0, &bench(&hostile(dir.path()), &["--json", "--trace", &file.display().to_string()]));
    let trace: Value = serde_json::from_str(&read(&file)).expect("JSON");
    let events = trace["traceEvents"].as_array().expect("events");
    let layers: Vec<&Value> = events.iter().filter(|e| e["ph"] == "X").collect();
    assert_eq!(layers.iter().map(|e| e["name"].as_str().unwrap_or_default()).collect::<Vec<_>>(), names(&j["layers"]));
    assert!(layers.iter().any(|e| e["name"] == HOSTILE));
    let mut end = 0.0;
    for (e, l) in layers.iter().zip(j["layers"].as_array().expect("layers")) {
        let (start, time) = (e["ts"].as_f64().expect("a time"), e["dur"].as_f64().expect("a time"));
        assert!(start >= end - 1e-3 && time >= 0.0, "one after the other: {e}");
        end = start + time;
        let args = &e["args"];
        assert_eq!((&e["cat"], &args["kernel"], &args["macs"]), (&l["op"], &l["kernel"], &l["macs"]));
        assert!(args["shape"].is_string() && args["bytes"] == l["bytes"]);
    }
    assert!(end > 0.0 && end / 1e3 <= j["min_ms"].as_f64().expect("a time"), "{end} us: the fastest run");
}

#[test]
fn page_is_one_file_with_every_layer() {
    let dir = tempdir().expect("a folder");
    let file = dir.path().join("profile.html");
    let j = json(0, &bench(&hostile(dir.path()), &["--json", "--html", &file.display().to_string()]));
    let page = read(&file);
    let escaped = |name: &str| name.replace(HOSTILE, ESCAPED);
    for name in names(&j["layers"]) {
        assert!(page.matches(&escaped(&name)).count() >= 3, "bar, details, timeline: {name}");
    }
    assert!(page.contains(ESCAPED) && !page.contains(HOSTILE) && page.matches("</title>").count() > 1);
    for l in j["layers"].as_array().expect("layers") {
        assert!(page.contains(l["kernel"].as_str().expect("a kernel")));
    }
    for outside in ["http:", "https:", "src=", "href=", "url(", "@import", "<script", "<link", "<iframe"] {
        assert!(!page.contains(outside), "{outside}");
    }
    assert!(page.contains("prefers-color-scheme: dark") && page.ends_with("</html>\n"));
    let opened = |tag: &str| (page.matches(&format!("<{tag}")).count(), page.matches(&format!("</{tag}>")).count());
    for tag in ["div", "section", "li", "ol", "svg", "rect", "span", "td", "tr", "dl", "table"] {
        assert_eq!(opened(tag).0, opened(tag).1, "{tag}");
    }
}

#[test]
fn files_are_overwritten_only_when_told() {
    let dir = tempdir().expect("a folder");
    let files: [PathBuf; 2] = ["a.json", "a.html"].map(|f| dir.path().join(f));
    for (flag, file) in ["--trace", "--html"].into_iter().zip(&files) {
        std::fs::write(file, "mine").expect("a file");
        let path = file.display().to_string();
        let (text, errors) = expect(1, &bench(&model(), &[flag, &path]));
        assert!(text.is_empty() && errors.contains("exists already"), "{errors}");
        assert_eq!(read(file), "mine");
        expect(0, &bench(&model(), &[flag, &path, "-f"]));
        assert!(read(file).len() > 1000);
    }
    assert_eq!(std::fs::read_dir(dir.path()).expect("a folder").count(), 2, "nothing temporary is left");
    let same = dir.path().join("same").display().to_string();
    expect(2, &bench(&model(), &["--trace", &same, "--html", &same]));
    expect(1, &bench(&model(), &["--trace", &dir.path().join("missing/a").display().to_string()]));
}
