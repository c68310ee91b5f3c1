//! Trained networks keep their accuracy in bytes.

use paring::{Model, Tensor};
use paring_compress::{Batch, Bound, Error, Method, Options, Quantized, Samples, quantize};
use paring_testkit::trained::{self, SIDE};

/// Images of one run.
const BATCH: usize = 8;

/// The first images of a test set, as the networks want them.
struct Images {
    pixels: Vec<f32>,
}

impl Images {
    fn of(data: &str, count: usize) -> Images {
        let mut pixels = trained::images(data).unwrap();
        pixels.truncate(count * SIDE * SIDE);
        Images { pixels }
    }
}

impl Samples for Images {
    fn batches(&self) -> usize {
        self.pixels.len().div_ceil(BATCH * SIDE * SIDE)
    }

    fn batch(&self, i: usize) -> Result<Batch, String> {
        let part = self.pixels.chunks(BATCH * SIDE * SIDE).nth(i).ok_or("no such batch")?;
        let samples = part.len() / (SIDE * SIDE);
        let x = Tensor::new(&[samples, 1, SIDE, SIDE], part).map_err(|e| e.to_string())?;
        Ok(Batch { inputs: vec![x], samples })
    }
}

fn single() -> Options {
    let mut o = Options::default();
    o.run = paring::Options::default().with_threads(1);
    o
}

/// On one thread, with what `change` changes.
fn with(change: impl FnOnce(&mut Options)) -> Options {
    let mut o = single();
    change(&mut o);
    o
}

fn labels(data: &str, count: usize) -> Vec<i64> {
    trained::labels(data).unwrap()[..count].iter().map(|&l| i64::from(l)).collect()
}

fn made(net: &str, data: &str, count: usize, options: &Options) -> Quantized {
    quantize(trained::model(net).unwrap(), &Images::of(data, count), options, &mut |_| {}).unwrap()
}

fn slow_tests() -> bool {
    std::env::var_os("PARING_SLOW_TESTS").is_some_and(|v| v == "1")
}

/// Kernels of the layers of a model.
fn layers(model: &[u8]) -> Vec<(String, String)> {
    let model = Model::from_bytes(model).unwrap();
    let shape = [1, 1, SIDE, SIDE];
    let explained = model.explain(&paring::Options::default().with_threads(1), &[("input", &shape)]).unwrap();
    explained.layers.into_iter().map(|l| (l.op, l.chosen)).collect()
}

#[test]
fn networks_lose_next_to_nothing() {
    for (net, data) in [("resnet_s_mnist", "mnist"), ("resnet_s_fashion", "fashion"), ("vgg_wide_fashion", "fashion")] {
        let count = if slow_tests() { 400 } else { 64 };
        let options = with(|o| o.labels = Some(labels(data, count)));
        let Quantized { model, report, .. } = made(net, data, count, &options);
        let accuracy = report.accuracy.unwrap();
        println!("{net}: {accuracy:?}, {:?}", report.outputs);
        assert!(accuracy.float.abs_diff(accuracy.quantized) <= 1 + count / 200, "{net}: {accuracy:?}");
        assert!(report.outputs[0].cosine.unwrap() > 0.99, "{net}: {:?}", report.outputs);
        assert!(report.bytes_after * 3 < report.bytes_before, "{net}");
        assert!(report.layers.iter().all(|l| !l.float && l.weight_sqnr_db.unwrap() > 20.0), "{:?}", report.layers);
        assert!(Model::from_bytes(&model).is_ok());
    }
}

#[test]
fn layers_run_in_integers() {
    let Quantized { model, .. } = made("resnet_s_fashion", "fashion", 16, &single());
    let convolutions: Vec<_> = layers(&model).into_iter().filter(|(op, _)| op.starts_with("Conv")).collect();
    assert_eq!(convolutions.len(), 11, "{convolutions:?}");
    let bytes = convolutions.iter().filter(|(_, kernel)| kernel.contains("_bytes")).count();
    assert!(bytes >= 6, "{convolutions:?}");
}

#[test]
fn every_method_serves() {
    for method in [Method::MinMax, Method::Percentile(99.9), Method::Mse, Method::Entropy] {
        let options = with(|o| {
            (o.method, o.labels) = (method, Some(labels("fashion", 64)));
            (o.bias_correction, o.search_scales, o.full_range) = (false, false, true);
        });
        let report = made("vgg_wide_fashion", "fashion", 64, &options).report;
        assert!(
            report.accuracy.unwrap().drop() < 5.0 && report.outputs[0].cosine.unwrap() > 0.98,
            "{method:?}: {report:?}"
        );
    }
}

#[test]
fn a_bound_keeps_sensitive_layers() {
    let free = made("vgg_wide_fashion", "fashion", 16, &single()).report;
    let before = free.outputs[0].sqnr_db.unwrap();
    let bound = before + 2.0;
    let report = made("vgg_wide_fashion", "fashion", 16, &with(|o| o.bound = Some(Bound::Sqnr(bound)))).report;
    let kept = report.layers.iter().filter(|l| l.float).count();
    assert!((1..report.layers.len()).contains(&kept), "{report:?}");
    assert!(report.outputs[0].sqnr_db.unwrap() >= bound, "{report:?}");
    let alone = |l: &paring_compress::LayerReport| l.alone_sqnr_db.unwrap();
    let worst_left = report.layers.iter().filter(|l| !l.float).map(alone).fold(f64::INFINITY, f64::min);
    assert!(report.layers.iter().filter(|l| l.float).all(|l| alone(l) <= worst_left), "{report:?}");
    let all = with(|o| o.bound = Some(Bound::Sqnr(1e3)));
    let refused = quantize(trained::model("vgg_wide_fashion").unwrap(), &Images::of("fashion", 8), &all, &mut |_| {});
    assert!(matches!(refused, Err(Error::Bound)), "{refused:?}");
}

#[test]
fn what_cannot_be_quantised_is_refused_with_a_reason() {
    let images = Images::of("fashion", 8);
    let net = trained::model("resnet_s_fashion").unwrap();
    let of = |model: &[u8], samples: &dyn Samples, o: &Options| quantize(model.to_vec(), samples, o, &mut |_| {});
    let once = of(&net, &images, &single()).unwrap().model;
    assert!(matches!(of(&once, &images, &single()), Err(Error::AlreadyQuantised(_))));
    assert!(matches!(of(&net, &Images { pixels: vec![] }, &single()), Err(Error::Data(_))));
    for bad in [f32::NAN, f32::INFINITY] {
        let mut spoilt = Images::of("fashion", 8);
        spoilt.pixels[1000] = bad;
        let Err(Error::Data(why)) = of(&net, &spoilt, &single()) else { panic!("{bad} was taken") };
        assert!(why.contains("sample 1"), "{why}");
    }
    assert!(matches!(of(&net[..net.len() / 2], &images, &single()), Err(Error::Model(_))));
    let drop = with(|o| o.bound = Some(Bound::Drop(1.0)));
    assert!(matches!(of(&net, &images, &drop), Err(Error::Options(_))), "no labels");
}

#[test]
fn the_same_data_makes_the_same_file() {
    let once = || made("resnet_s_mnist", "mnist", 8, &single()).model;
    assert_eq!(once(), once());
}

/// Damaged models are refused or quantised, whatever they are by then; they are no reason to panic.
#[test]
fn damage_is_survived() {
    let (rounds, images) = (if slow_tests() { 400 } else { 20 }, Images::of("mnist", 1));
    let whole = trained::model("resnet_s_mnist").unwrap();
    let mut state = 1u64;
    let mut next = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let mut refused = 0;
    for _ in 0..rounds {
        let mut model = whole.clone();
        // The nodes are at the beginning, the weights, of which most damage is none, after them.
        for _ in 0..1 + next(3) {
            let at = next(12_000);
            model[at] ^= 1 << next(8);
        }
        refused += usize::from(quantize(model, &images, &single(), &mut |_| {}).is_err());
    }
    assert!(refused > 0, "{rounds} rounds did no harm");
}
