//! Weights in fewer bits: files shrink by what was asked for, and networks go on computing nearly the same.

use paring::{Model, Tensor};
use paring_compress::{
    Batch, CodeOptions, CodeReport, CodedModel, Coding, Error, HalfFormat, Halved, Samples, Shared, Threshold, Values,
    code_weights, to_half,
};
use paring_onnx::proto::ModelProto;
use paring_testkit::trained::{self, SIDE};
use prost::Message;

const COUNT: usize = 64;

/// The first test images, all in one batch.
struct Images(Vec<f32>);

impl Images {
    fn first() -> Images {
        let mut pixels = trained::images("fashion").unwrap();
        pixels.truncate(COUNT * SIDE * SIDE);
        Images(pixels)
    }
}

impl Samples for Images {
    fn batches(&self) -> usize {
        1
    }

    fn batch(&self, _: usize) -> Result<Batch, String> {
        let x = Tensor::new(&[COUNT, 1, SIDE, SIDE], &self.0).map_err(|e| e.to_string())?;
        Ok(Batch { inputs: vec![x], samples: COUNT })
    }
}

fn run() -> paring::Options {
    paring::Options::default().with_threads(1)
}

fn options(coding: Coding) -> CodeOptions {
    let mut o = CodeOptions::new(coding);
    o.run = run();
    o
}

fn net() -> Vec<u8> {
    trained::model("vgg_wide_fashion").unwrap()
}

fn coded(options: &CodeOptions) -> CodedModel {
    code_weights(net(), options, None, &mut |_| {}).unwrap()
}

fn refused(options: &CodeOptions) -> Error {
    code_weights(net(), options, None, &mut |_| {}).unwrap_err()
}

/// The outputs for the first images.
fn outputs(model: &[u8]) -> Vec<f64> {
    let mut session = Model::from_bytes(model).unwrap().session(&run()).unwrap();
    session.set_input(0, &Images::first().batch(0).unwrap().inputs[0]).unwrap();
    session.run().unwrap();
    session.output_tensor(0).unwrap().to_f64s().unwrap()
}

/// Cosine of the angle between the outputs of a model and those of the network it was made of.
fn cosine(model: &[u8]) -> f64 {
    let (got, want) = (outputs(model), outputs(&net()));
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
    dot(&got, &want) / (dot(&got, &got) * dot(&want, &want)).sqrt()
}

fn decoded(model: &[u8]) -> ModelProto {
    ModelProto::decode(model).unwrap()
}

/// Bytes of the weights of the layers that were coded, before and after.
fn sizes(report: &CodeReport) -> (usize, usize) {
    let coded = || report.layers.iter().filter(|l| l.coding.is_some());
    (coded().map(|l| l.bytes_before).sum(), coded().map(|l| l.bytes_after).sum())
}

#[test]
fn every_width_takes_the_bits_it_says_and_computes_nearly_the_same() {
    let least = [0.5, 0.9, 0.98, 0.99, 0.997, 0.999, 0.9995];
    for (bits, least) in (2..=8).zip(least) {
        let CodedModel { model, report } = coded(&options(Coding::uniform(bits)));
        let (before, after) = sizes(&report);
        let ideal = before * bits as usize / 32;
        // Scales take a little.
        assert!(after >= ideal && after < ideal + ideal / 10, "{bits} bits: {before} to {after}");
        // The whole file is no larger than that with biases, norms, tables, and nodes.
        let others = net().len() - before;
        assert!(model.len() < after + others + 20_000, "{bits} bits: {} bytes", model.len());
        let found = cosine(&model);
        println!("{bits} bits: cosine {found}, {} bytes", model.len());
        assert!(found > least, "{bits} bits: {found}");
    }
}

#[test]
fn four_bits_are_onnx_s_own_where_the_network_allows_it() {
    let CodedModel { model, .. } = coded(&options(Coding::uniform(4)));
    let proto = decoded(&model);
    assert_eq!(proto.opset_import[0].version, 21);
    let graph = proto.graph.unwrap();
    assert_eq!(graph.initializer.iter().filter(|t| t.data_type == 22).count(), 8);
    assert!(!graph.node.iter().any(|n| n.op_type == "Gather"));

    // Means took their axes from elsewhere before operator set 18, so that this network has to stay what it is.
    let mut old = decoded(&net());
    let graph = old.graph.as_mut().unwrap();
    let last = graph.node.last_mut().unwrap();
    last.output[0] = "scores".into();
    let mut mean = last.clone();
    (mean.name, mean.op_type) = ("mean".into(), "ReduceMean".into());
    (mean.input, mean.output) = (vec!["scores".into()], vec!["mean".into()]);
    mean.attribute.clear();
    let mut add = mean.clone();
    (add.name, add.op_type) = ("add".into(), "Add".into());
    (add.input, add.output) = (vec!["scores".into(), "mean".into()], vec!["logits".into()]);
    graph.node.extend([mean, add]);
    let old = old.encode_to_vec();
    let made = code_weights(old.clone(), &options(Coding::uniform(4)), None, &mut |_| {}).unwrap();
    assert_eq!(decoded(&made.model).opset_import[0].version, 17);
    let (got, want) = (outputs(&made.model), outputs(&old));
    // The codes are the same, so the outputs are but for the mean.
    let direct = outputs(&model);
    let mean = direct.iter().sum::<f64>() / direct.len() as f64;
    assert!(got.iter().zip(&direct).all(|(g, d)| (g - d - mean).abs() < 1e-3), "{:?}", &got[..4]);
    assert_eq!(got.len(), want.len());
}

#[test]
fn layers_run_as_those_in_f32_do() {
    let kernels = |model: &[u8]| -> Vec<(String, String)> {
        let model = Model::from_bytes(model).unwrap();
        let explained = model.explain(&run(), &[("input", &[1, 1, SIDE, SIDE])]).unwrap();
        explained.layers.into_iter().map(|l| (l.name, l.chosen)).filter(|(_, k)| !k.starts_with("reorder")).collect()
    };
    let slow = |kernels: &[(String, String)]| kernels.iter().filter(|(_, k)| k.contains("reference")).count();
    assert_eq!(slow(&kernels(&net())), 0);
    let codings = [
        Coding::uniform(8),
        Coding::uniform(4),
        Coding::uniform(3),
        Coding { group: Some(64), ..Coding::uniform(4) },
        Values::Codebook { bits: 5, shared: Shared::Layer }.into(),
        Values::Codebook { bits: 2, shared: Shared::Channel }.into(),
        Values::Ternary { threshold: Threshold::Exact, whole: true }.into(),
        Values::Binary.into(),
    ];
    for coding in codings {
        let found = kernels(&coded(&options(coding)).model);
        assert_eq!(slow(&found), 0, "{coding:?}: {found:?}");
    }
    let found = kernels(&to_half(net(), HalfFormat::F16).unwrap().model);
    assert_eq!(slow(&found), 0, "{found:?}");
}

#[test]
fn codebooks_are_better_at_the_same_bits() {
    for bits in [2, 3, 4] {
        let uniform = coded(&options(Coding::uniform(bits))).report;
        for shared in [Shared::Layer, Shared::Channel] {
            let CodedModel { model, report } = coded(&options(Values::Codebook { bits, shared }.into()));
            for (u, c) in uniform.layers.iter().zip(&report.layers) {
                let (Some(u), Some(c)) = (u.sqnr_db, c.sqnr_db) else { continue };
                assert!(c >= u, "{bits} bits, {shared:?}: {c} and {u}");
            }
            let found = cosine(&model);
            println!("{bits} bits, {shared:?}: cosine {found}, {} bytes", model.len());
            assert!(found > [0.85, 0.95, 0.99][bits as usize - 2], "{bits} bits, {shared:?}: {found}");
        }
    }
}

#[test]
fn groups_have_their_own_scales() {
    let whole = coded(&options(Coding::uniform(3)));
    for values in [Values::Uniform { bits: 3 }, Values::Codebook { bits: 3, shared: Shared::Layer }] {
        let CodedModel { model, report } = coded(&options(Coding { values, group: Some(40) }));
        for (g, w) in report.layers.iter().zip(&whole.report.layers).filter(|(g, _)| g.weights > 1000) {
            assert!(g.sqnr_db > w.sqnr_db && g.bytes_after > w.bytes_after, "{g:?} {w:?}");
        }
        assert!(cosine(&model) > 0.95, "{values:?}");
    }
    // Four bits are narrow integers in rows of a group, put together again.
    let CodedModel { model, .. } = coded(&options(Coding { group: Some(50), ..Coding::uniform(4) }));
    assert!(cosine(&model) > 0.98);
}

#[test]
fn layers_may_differ_in_bits() {
    let mut o = options(Coding::uniform(2));
    o.bits_for = vec![("/f/*".into(), Some(8)), ("/f/f.3*".into(), None), ("/c/c.6/Gemm".into(), Some(5))];
    let CodedModel { model, report } = coded(&o);
    let bits: Vec<Option<u32>> = report.layers.iter().map(|l| l.coding.map(|c| c.bits())).collect();
    assert_eq!(bits, [Some(8), Some(8), None, Some(8), Some(8), Some(2), Some(2), Some(5)]);
    assert!(report.layers[2].kept.as_ref().is_some_and(|why| why.contains("asked")));
    assert!(cosine(&model) > 0.8);
    o.bits_for.push(("nowhere*".into(), Some(4)));
    let message = refused(&o).to_string();
    assert!(message.contains("'nowhere*'") && message.contains("'/c/c.6/Gemm'"), "{message}");
}

#[test]
fn ternary_networks_have_three_values_and_two_bits() {
    for threshold in [Threshold::Exact, Threshold::Rule] {
        for whole in [false, true] {
            let mut o = options(Values::Ternary { threshold, whole }.into());
            o.keep_ends = true;
            let CodedModel { model, report } = coded(&o);
            assert!(report.layers[0].coding.is_none() && report.layers[7].coding.is_none());
            let (before, after) = sizes(&report);
            assert!(after < before / 16 + before / 200, "{before} to {after}");
            assert!(report.layers[5].zeros > 0.2 && report.layers[5].zeros < 0.7, "{:?}", report.layers[5]);
            let found = cosine(&model);
            println!("{threshold:?} {whole}: cosine {found}");
            assert!(found > 0.6, "{threshold:?} {whole}: {found}");
        }
    }
}

#[test]
fn the_exact_threshold_is_never_worse() {
    let of = |threshold| coded(&options(Values::Ternary { threshold, whole: false }.into())).report.layers;
    for (exact, rule) in of(Threshold::Exact).iter().zip(of(Threshold::Rule)) {
        assert!(exact.sqnr_db >= rule.sqnr_db.map(|db| db - 1e-9), "{exact:?} {rule:?}");
    }
}

#[test]
fn binary_networks_have_one_bit_and_may_read_signs() {
    let mut o = options(Values::Binary.into());
    o.keep_ends = true;
    let CodedModel { model, report } = coded(&o);
    let (before, after) = sizes(&report);
    assert!(after < before / 32 + before / 200, "{before} to {after}");
    let signs = |model: &[u8]| decoded(model).graph.unwrap().node.iter().filter(|n| n.op_type == "Sign").count();
    assert_eq!(signs(&model), 0);
    o.sign_inputs = true;
    let CodedModel { model, .. } = coded(&o);
    assert_eq!(signs(&model), 6);
    // Every weight is the mean magnitude of its channel with a sign: the optimised graph has such constants.
    assert!(outputs(&model).iter().all(|x| x.is_finite()));
}

#[test]
fn biases_make_up_for_the_mean_error() {
    let samples = Images::first();
    let error = |correct: bool| {
        let mut o = options(Coding::uniform(3));
        o.bias_correction = correct;
        o.labels = Some(trained::labels("fashion").unwrap()[..COUNT].iter().map(|&l| i64::from(l)).collect());
        let report = code_weights(net(), &o, Some(&samples), &mut |_| {}).unwrap().report;
        assert_eq!((report.samples, report.accuracy.map(|a| a.samples)), (COUNT, Some(COUNT)));
        report.outputs[0].sqnr_db.unwrap()
    };
    let (with, without) = (error(true), error(false));
    assert!(with > without + 0.3, "{with} dB with and {without} dB without");
}

#[test]
fn halves_are_half_and_as_good() {
    for (format, least) in [(HalfFormat::F16, 1.0 - 1e-6), (HalfFormat::Bf16, 1.0 - 1e-4)] {
        let Halved { model, report } = to_half(net(), format).unwrap();
        assert_eq!(2 * report.weight_bytes_after, report.weight_bytes_before);
        assert_eq!(report.weight_bytes_before, 4 * 1_014_928);
        assert!(report.bytes_after < report.weight_bytes_after + 20_000 && report.bytes_after == model.len());
        assert!(report.max_relative_error < 1.0 / 256.0 && report.max_relative_error > 0.0);
        assert!(cosine(&model) > least, "{format:?}");
    }
    let once = to_half(net(), HalfFormat::F16).unwrap().model;
    assert!(matches!(to_half(once, HalfFormat::F16), Err(Error::NothingToHalve(_))));
}

#[test]
fn weights_that_do_not_fit_stay_with_a_reason() {
    let mut proto = decoded(&net());
    let large = proto.graph.as_mut().unwrap().initializer.iter_mut().find(|t| t.name == "c.1.weight").unwrap();
    let mut data = large.raw_data.as_ref().unwrap().to_vec();
    data[400..404].copy_from_slice(&7e4f32.to_le_bytes());
    large.raw_data = Some(data.clone().into());
    let Halved { model, report } = to_half(proto.encode_to_vec(), HalfFormat::F16).unwrap();
    let kept = report.tensors.iter().find(|t| t.name == "c.1.weight").unwrap();
    assert!(kept.kept.as_ref().unwrap().contains("element 100 is 70000"), "{kept:?}");
    let graph = decoded(&model).graph.unwrap();
    assert!(graph.initializer.iter().any(|t| t.name == "c.1.weight" && t.data_type == 1));

    let tensor = |p: &mut ModelProto, data: Vec<u8>| {
        let t = p.graph.as_mut().unwrap().initializer.iter_mut().find(|t| t.name == "c.1.weight").unwrap();
        t.raw_data = Some(data.into());
    };
    data[400..404].copy_from_slice(&f32::NAN.to_le_bytes());
    tensor(&mut proto, data);
    let report = code_weights(proto.encode_to_vec(), &options(Coding::uniform(4)), None, &mut |_| {}).unwrap().report;
    let kept = report.layers.iter().find(|l| l.coding.is_none()).unwrap();
    assert!(kept.name == "/c/c.1/Gemm" && kept.kept.as_ref().unwrap().contains("NaN"), "{kept:?}");
}

#[test]
fn what_makes_no_sense_is_refused() {
    let quantised = coded(&options(Coding::uniform(8))).model;
    let again = code_weights(quantised, &options(Coding::uniform(4)), None, &mut |_| {});
    assert!(matches!(again, Err(Error::AlreadyQuantised(_))), "{again:?}");
    for bits in [0, 1, 9, 32] {
        assert!(matches!(refused(&options(Coding::uniform(bits))), Error::Options(_)));
    }
    assert!(matches!(refused(&options(Coding { group: Some(1), ..Coding::uniform(4) })), Error::Options(_)));
    let mut o = options(Coding::uniform(4));
    o.labels = Some(vec![0]);
    assert!(matches!(refused(&o), Error::Options(_)));
    let mut o = options(Coding::uniform(4));
    o.bits_for = vec![("*".into(), None)];
    assert!(matches!(refused(&o), Error::NothingToCode(_)));
    let half = net()[..net().len() / 2].to_vec();
    assert!(matches!(code_weights(half, &options(Coding::uniform(4)), None, &mut |_| {}), Err(Error::Model(_))));
}

/// Damaged models are refused or coded, whatever they are by then; they are no reason to panic.
#[test]
fn damage_is_survived() {
    let whole = trained::model("resnet_s_mnist").unwrap();
    let mut state = 7u64;
    let mut next = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let mut refused = 0;
    for round in 0..40 {
        let mut model = whole.clone();
        // The nodes are at the beginning.
        for _ in 0..1 + next(3) {
            let at = next(12_000);
            model[at] ^= 1 << next(8);
        }
        let coding = match round % 3 {
            0 => Coding::uniform(4),
            1 => Coding { group: Some(20), values: Values::Codebook { bits: 3, shared: Shared::Channel } },
            _ => Values::Binary.into(),
        };
        refused += usize::from(code_weights(model.clone(), &options(coding), None, &mut |_| {}).is_err());
        let _ = to_half(model, HalfFormat::F16);
    }
    assert!(refused > 0);
}
