//! `paring quantize`: from a model of `f32` and images to one of bytes.

mod common;

use common::{demo, expect, json, model, npy};
use serde_json::Value;
use std::path::Path;
use tempfile::tempdir;

/// The arguments, with the demo's model and images.
fn arguments<'a>(images: &'a str, model: &'a str, out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["quantize", model, "--calibration", images, "-o", out, "--threads", "1"], more].concat()
}

fn text(file: &Path) -> String {
    file.display().to_string()
}

#[test]
fn a_quantised_model_is_smaller_and_as_right() {
    let dir = tempdir().expect("a folder");
    let (images, labels, net) = (demo("fashion_x.npy"), demo("fashion_y.npy"), model());
    let (out, page) = (text(&dir.path().join("q.onnx")), text(&dir.path().join("q.html")));
    let more = ["--labels", &labels, "--html", &page, "--json"];
    let report = json(0, &arguments(&images, &net, &out, &more));
    let number = |key: &str| report[key].as_f64().expect(key);
    assert!(number("bytes_after") * 3.0 < number("bytes_before"), "{report}");
    assert!(report["outputs"][0]["cosine"].as_f64().expect("a cosine") > 0.99, "{report}");
    assert_eq!(report["samples"], 48);
    let accuracy = |file: &str| {
        json(0, &["eval", file, "--data", &images, "--labels", &labels, "--json"])["top1_correct"]
            .as_i64()
            .expect("right")
    };
    assert!((accuracy(&net) - accuracy(&out)).abs() <= 1);
    assert_eq!(report["accuracy"]["quantized"].as_i64(), Some(accuracy(&out)));
    let html = std::fs::read_to_string(&page).expect("a page");
    assert!(html.starts_with("<!doctype html>") && html.contains("Layers with weights"), "{html}");
    let explained = json(0, &["explain", &out, "--json"]).to_string();
    assert!(explained.contains("conv_bytes"), "{explained}");

    // A quantised model is not quantised again, and nothing is overwritten unasked.
    let again = text(&dir.path().join("again.onnx"));
    let (_, errors) = expect(2, &arguments(&images, &out, &again, &[]));
    assert!(errors.contains("already"), "{errors}");
    expect(1, &arguments(&images, &net, &out, &[]));
}

#[test]
fn the_report_is_a_table() {
    let dir = tempdir().expect("a folder");
    let (images, net, out) = (demo("fashion_x.npy"), model(), text(&dir.path().join("q.onnx")));
    let more = ["--limit-images", "4", "--method", "percentile", "--percentile", "99.9"];
    let (words, _) = expect(0, &arguments(&images, &net, &out, &more));
    for part in ["/stem/stem.0/Conv", "weights dB", "times smaller", "cosine"] {
        assert!(words.contains(part), "{part}: {words}");
    }
}

#[test]
fn folders_of_images_serve() {
    let dir = tempdir().expect("a folder");
    let (net, out, photos) = (model(), text(&dir.path().join("q.onnx")), dir.path().join("photos"));
    std::fs::create_dir(&photos).expect("a folder");
    expect(2, &arguments(&text(&photos), &net, &out, &[]));
    for i in 0..3u8 {
        let picture = image::GrayImage::from_fn(32, 30, |x, y| image::Luma([(x * y) as u8 ^ i]));
        picture.save(photos.join(format!("{i}.png"))).expect("a picture");
    }
    let report: Value = json(0, &arguments(&text(&photos), &net, &out, &["--batch", "2", "--json"]));
    assert_eq!(report["samples"], 3, "{report}");
}

#[test]
fn data_that_does_not_serve() {
    let dir = tempdir().expect("a folder");
    let (net, out) = (model(), text(&dir.path().join("q.onnx")));
    let nan: Vec<u8> = f32::NAN.to_le_bytes().repeat(784);
    for (name, descr, shape, data) in [
        ("empty.npy", "<f4", "(0, 1, 28, 28)", vec![]),
        ("shape.npy", "<f4", "(1, 1, 28, 27)", vec![0; 756 * 4]),
        ("rank.npy", "<f4", "(784,)", vec![0; 784 * 4]),
        ("nan.npy", "<f4", "(1, 1, 28, 28)", nan),
    ] {
        let file = text(&npy(dir.path(), name, descr, shape, &data));
        let (_, errors) = expect(2, &arguments(&file, &net, &out, &[]));
        assert!(errors.contains(name) && !errors.contains("panicked"), "{name}: {errors}");
    }
    let images = demo("fashion_x.npy");
    for more in [
        &["--max-drop", "0.5"][..],
        &["--method", "guess"],
        &["--method", "percentile", "--percentile", "10"],
        &["--labels", &images],
        &["--min-sqnr", "nan"],
    ] {
        expect(2, &arguments(&images, &net, &out, more));
    }
    assert!(!Path::new(&out).exists());
    let broken = dir.path().join("broken.onnx");
    let whole = std::fs::read(&net).expect("the model");
    std::fs::write(&broken, &whole[..whole.len() / 2]).expect("a file");
    expect(5, &arguments(&images, &text(&broken), &out, &[]));
    expect(1, &arguments(&images, "no/such/model.onnx", &out, &[]));
}
