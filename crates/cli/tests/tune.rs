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

#[test]
fn the_machine_is_measured_used_and_checked() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("machine.json");
    let (m, f) = (model(), file.display().to_string());
    let said = json(0, &["tune", "--machine", "-o", &f, "--json"]);
    for of in ["measured", "default"] {
        for rate in ["gmac_per_s", "vector_gmac_per_s", "l2_gb_per_s", "l3_gb_per_s", "memory_gb_per_s"] {
            assert!(said[of][rate].as_f64() > Some(0.01), "{said}");
        }
    }
    let (_, refusal) = expect(1, &["tune", "--machine", "-o", &f]);
    assert!(refusal.contains("exists already"), "{refusal}");
    expect(2, &["tune", &m, "--machine"]);
    expect(2, &["tune"]);

    // Estimates follow the rates: on a machine a thousand times as slow, every convolution is dearer.
    let text = std::fs::read_to_string(&file).expect("the file");
    let mut slow: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    for rate in ["gmac_per_s", "vector_gmac_per_s"] {
        slow[rate] = serde_json::json!(0.05);
    }
    std::fs::write(&file, slow.to_string()).expect("a file");
    let cost = |args: &[&str]| {
        let explained = json(0, args);
        let layers = explained["layers"].as_array().expect("layers").clone();
        let costs = layers.iter().filter(|l| l["macs"].as_u64() > Some(0)).filter_map(|l| l["cost_us"].as_f64());
        costs.sum::<f64>()
    };
    let (typical, slowed) = (cost(&["explain", &m, "--json"]), cost(&["explain", &m, "--rates", &f, "--json"]));
    assert!(typical > 0.0 && slowed > 100.0 * typical, "{typical} {slowed}");

    // What is of another machine, or no number, is refused by name.
    for (from, to, why) in [
        ("\"machine\":\"", "\"machine\":\"not ", "measured on 'not "),
        ("\"gmac_per_s\":0.05", "\"gmac_per_s\":-1", "gmac_per_s is -1"),
        ("\"vector_gmac_per_s\":0.05", "\"vector_gmac_per_s\":0", "vector_gmac_per_s is 0"),
        ("\"gmac_per_s\":0.05", "\"gmac_per_s\":NaN", "expected"),
    ] {
        std::fs::write(&file, slow.to_string().replace(from, to)).expect("a file");
        let (_, refusal) = expect(2, &["run", &m, "--random", "--rates", &f]);
        assert!(refusal.contains(why), "{why}: {refusal}");
    }
}
