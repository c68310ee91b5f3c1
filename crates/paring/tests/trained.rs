//! Trained networks keep their logits and their accuracy.

mod common;

use common::{single, slow_tests};
use paring::{Model, Numerics, Options, Session, Tensor};
use paring_kernel::Isa;
use paring_testkit::trained::{self, CLASSES, SIDE};

const BATCH: usize = 40;
/// Right answers among the 400 images of Fashion-MNIST.
const RESNET_HITS: usize = 370;
const VGG_HITS: usize = 367;
const XNOR_HITS: usize = 362;

/// The logits of `images`, batch by batch.
fn logits(session: &mut Session, images: &[f32]) -> Vec<f32> {
    let (input, output) = (session.inputs()[0].name.clone(), session.outputs()[0].name.clone());
    let mut all = Vec::new();
    for batch in images.chunks(BATCH * SIDE * SIDE) {
        let x = Tensor::new(&[batch.len() / (SIDE * SIDE), 1, SIDE, SIDE], batch).unwrap();
        session.set_input(&input, &x).unwrap();
        session.run().unwrap();
        all.extend_from_slice(session.output::<f32>(&output).unwrap());
    }
    all
}

fn hits(logits: &[f32], labels: &[u8]) -> usize {
    let best = |row: &[f32]| (0..CLASSES).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap();
    logits.chunks(CLASSES).zip(labels).filter(|(row, label)| best(row) == usize::from(**label)).count()
}

fn error(found: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let square = |x: &f32| f64::from(*x).powi(2);
    let rms = (expected.iter().map(square).sum::<f64>() / expected.len() as f64).sqrt();
    found
        .iter()
        .zip(expected)
        .map(|(f, e)| f64::from((f - e).abs()))
        .fold(0.0, |a, b| if b.is_nan() { b } else { a.max(b) })
        / rms
}

fn check(name: &str, data: &str, expected_hits: usize, options: &Options) {
    let mut session = Model::from_vec(trained::model(name).unwrap()).unwrap().session(options).unwrap();
    let (images, labels) = (trained::images(data).unwrap(), trained::labels(data).unwrap());
    assert_eq!(images.len(), labels.len() * SIDE * SIDE);
    let found = logits(&mut session, &images);
    assert_eq!(found.len(), labels.len() * CLASSES);
    let golden = trained::logits(name).unwrap();
    assert_eq!(golden.len(), 64 * CLASSES);
    let error = error(&found[..golden.len()], &golden);
    println!("{name}: logits off by {error:.1e} of their RMS, {} of {} right", hits(&found, &labels), labels.len());
    assert!(error < 1e-4, "{name}: logits off by {error:.1e} of their RMS");
    assert_eq!(hits(&found, &labels), expected_hits, "{name}: hits");
    assert_eq!(hits(&golden, &labels), hits(&found[..golden.len()], &labels), "{name}: hits among the first 64");
}

#[test]
fn residual_network_on_mnist() {
    check("resnet_s_mnist", "mnist", 1989, &single());
}

#[test]
fn residual_network_on_fashion() {
    for optimize in [true, false] {
        check("resnet_s_fashion", "fashion", RESNET_HITS, &single().with_optimize(optimize));
    }
}

#[test]
fn wide_network_on_fashion() {
    for optimize in [true, false] {
        check("vgg_wide_fashion", "fashion", VGG_HITS, &single().with_optimize(optimize));
    }
}

#[test]
fn binary_network_on_fashion() {
    for optimize in [true, false] {
        check("xnor_s_fashion", "fashion", XNOR_HITS, &single().with_optimize(optimize));
    }
}

/// What `fast` allows costs digits that accuracy does not need: on processors that compute in half precision most of all.
#[test]
fn reduced_numerics_keep_accuracy() {
    for (name, data, expected_hits) in
        [("resnet_s_fashion", "fashion", RESNET_HITS), ("vgg_wide_fashion", "fashion", VGG_HITS)]
    {
        let options = single().with_numerics(Numerics::Fast);
        let mut session = Model::from_vec(trained::model(name).unwrap()).unwrap().session(&options).unwrap();
        let found = logits(&mut session, &trained::images(data).unwrap());
        let golden = trained::logits(name).unwrap();
        let (error, hits) = (error(&found[..golden.len()], &golden), hits(&found, &trained::labels(data).unwrap()));
        println!("{name}: logits off by {error:.1e} of their RMS, {hits} right");
        assert!(error < 1e-2, "{name}: logits off by {error:.1e} of their RMS");
        let reduced = paring_simd::detect().has(Isa::Fp16);
        assert!(!reduced || error > 1e-5, "{name}: off by {error:.1e} alone: nothing was computed in half precision");
        assert!(hits.abs_diff(expected_hits) <= 1, "{name}: {hits} right");
    }
}

/// Networks whose layers are between conversions to bytes, beside the same graph run as it is written. Rounding falls
/// another way where a number is all but half-way between two bytes, so single logits may be steps apart.
#[test]
fn quantised_networks_run_in_bytes() {
    let models =
        [("resnet_s_mnist", "mnist", 0), ("resnet_s_fashion", "fashion", 0), ("vgg_wide_fashion", "fashion", 2)];
    for (name, data, in_numbers) in models {
        let model = Model::from_vec(trained::model(&format!("{name}_int8qdq")).unwrap()).unwrap();
        let (images, labels) = (trained::images(data).unwrap(), trained::labels(data).unwrap());
        let found = logits(&mut model.session(&single()).unwrap(), &images);
        let expected = logits(&mut model.session(&single().with_optimize(false)).unwrap(), &images);
        let same = found.iter().zip(&expected).filter(|(a, b)| a == b).count();
        println!("{name}: {same} of {} logits are the same, {} right", found.len(), hits(&found, &labels));
        assert!(same * 10 > found.len() * 8, "{name}: {same} of {} logits are the same", found.len());
        assert!(hits(&found, &labels).abs_diff(hits(&expected, &labels)) <= labels.len() / 200, "{name}");
        // As good as the networks they were made from, but for one image in a hundred.
        let parent = trained::model(name).unwrap();
        let parent = logits(&mut Model::from_vec(parent).unwrap().session(&single()).unwrap(), &images);
        assert!(hits(&found, &labels) + labels.len() / 100 >= hits(&parent, &labels), "{name}");

        let explained = model.explain(&single(), &[("input", &[1, 1, SIDE, SIDE])]).unwrap();
        let numbers =
            explained.layers.iter().filter(|l| l.op.starts_with("Conv") && !l.chosen.contains("bytes")).count();
        assert!(numbers <= in_numbers, "{name}: {numbers} convolutions run in f32");
    }
}

/// Where the counts come from: the networks as they are written, by the reference alone.
#[test]
fn the_reference_counts_the_same() {
    if !slow_tests("accuracy by the reference kernels") {
        return;
    }
    let mut options = single().with_optimize(false);
    let all = paring::builtin_registry();
    let names = all.iter().map(|k| k.descriptor().name).filter(|n| n.ends_with("_reference"));
    options.kernels = Some(names.map(String::from).collect());
    for (name, hits) in
        [("resnet_s_fashion", RESNET_HITS), ("vgg_wide_fashion", VGG_HITS), ("xnor_s_fashion", XNOR_HITS)]
    {
        check(name, "fashion", hits, &options);
    }
}
