//! `paring tune`, through the built binary.

mod common;

use common::{expect, json, model};

#[test]
fn times_are_written_used_and_distrusted() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("demo.tuning");
    let (m, f) = (model(), file.display().to_string());
    let tune = ["tune", &m, "-o", &f, "--json"];
    let said = json(0, &tune);
    let layers = said["layers"].as_array().expect("layers");
    assert!(!layers.is_empty() && said["times"].as_u64() >= Some(2), "{said}");
    for k in layers.iter().flat_map(|l| l["kernels"].as_array().expect("kernels")) {
        assert!(k["measured_us"].as_f64() > Some(0.0), "{k}");
    }
    let text = std::fs::read_to_string(&file).expect("the file");
    assert!(text.starts_with("paring-tuning 1\nmachine\t"));

    // Not overwritten unless asked to.
    let (_, refusal) = expect(1, &tune);
    assert!(refusal.contains("exists already"), "{refusal}");
    json(0, &["tune", &m, "-o", &f, "--append", "--json"]);

    // A time that makes one kernel look best is believed.
    let biased = |line: &str| match line.split_once('\t') {
        Some((ns, rest)) if ns.parse::<f64>().is_ok() => {
            let ns = if rest.starts_with("conv_direct_f32_portable") { "1" } else { "90000000" };
            format!("{ns}\t{rest}\n")
        }
        _ => format!("{line}\n"),
    };
    std::fs::write(&file, text.lines().map(biased).collect::<String>()).expect("a file");
    let explain = ["explain", &m, "--tuning", &f];
    let (chosen, _) = expect(0, &explain);
    assert!(chosen.contains("-> conv_direct_f32_portable"), "{chosen}");
    assert!(chosen.contains("us measured"), "{chosen}");

    // Times of another machine are passed over with a warning.
    std::fs::write(&file, "paring-tuning 1\nmachine\tsomewhere else\n1\tk\to\tp\n").expect("a file");
    let (_, warning) = expect(0, &explain);
    assert!(warning.contains("measured on 'somewhere else'"), "{warning}");
}
