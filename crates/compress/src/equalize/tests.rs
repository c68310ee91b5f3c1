use super::*;
use crate::coding::tests::normal;
use crate::net::FLOAT;
use crate::rewrite::{int, ints};
use crate::{Batch, Options, Samples, quantize};
use paring::{Model, Tensor};
use paring_onnx::proto::*;

const CHANNELS: usize = 6;
const SHAPE: [usize; 4] = [8, 3, 10, 10];

fn node(op: &str, inputs: &[&str], output: &str, attributes: &[AttributeProto]) -> NodeProto {
    NodeProto {
        name: output.into(),
        op_type: op.into(),
        input: inputs.iter().map(|&i| i.into()).collect(),
        output: vec![output.into()],
        attribute: attributes.to_vec(),
        ..NodeProto::default()
    }
}

fn value(name: &str, dims: &[usize]) -> ValueInfoProto {
    let dim = |&d: &usize| DimensionProto { value: Some(DimensionKind::Value(d as i64)) };
    let shape = (!dims.is_empty()).then(|| TensorShapeProto { dim: dims.iter().map(dim).collect() });
    let tensor = TensorTypeProto { elem_type: FLOAT, shape };
    let r#type = Some(TypeProto { value: Some(TypeKind::Tensor(tensor)) });
    ValueInfoProto { name: name.into(), r#type, doc_string: String::new() }
}

/// A depthwise-separable network of five layers with every function in between that lets scales through. Channel by
/// channel, `wild` is multiplied to what the first layer makes, and taken off where the second reads it.
fn net(wild: &[f32; CHANNELS]) -> Net {
    let pad = || ints("pads", &[1, 1, 1, 1]);
    let mut first = normal(1, CHANNELS * 27);
    first.chunks_mut(27).zip(wild).for_each(|(row, f)| row.iter_mut().for_each(|w| *w *= f * 0.3));
    let mut depthwise = normal(2, CHANNELS * 9);
    depthwise.chunks_mut(9).zip(wild).for_each(|(row, f)| row.iter_mut().for_each(|w| *w /= f));
    let bias: Vec<f32> = normal(3, CHANNELS).iter().zip(wild).map(|(b, f)| b * f).collect();
    let graph = GraphProto {
        node: vec![
            node("Conv", &["x", "w1", "b1"], "c1", &[pad()]),
            node("Relu", &["c1"], "r1", &[]),
            node("MaxPool", &["r1"], "p1", &[ints("kernel_shape", &[2, 2]), ints("strides", &[2, 2])]),
            node("Conv", &["p1", "w2"], "c2", &[pad(), int("group", CHANNELS as i64)]),
            node("PRelu", &["c2", "slope"], "r2", &[]),
            node("Conv", &["r2", "w3", "b3"], "c3", &[]),
            node("LeakyRelu", &["c3"], "r3", &[]),
            node("GlobalAveragePool", &["r3"], "g", &[]),
            node("Flatten", &["g"], "f", &[]),
            node("Gemm", &["f", "w4", "b4"], "m", &[]),
            node("MatMul", &["m", "w5"], "y", &[]),
        ],
        initializer: vec![
            floats_tensor("w1", &[CHANNELS, 3, 3, 3], &first),
            floats_tensor("b1", &[CHANNELS], &bias),
            floats_tensor("w2", &[CHANNELS, 1, 3, 3], &depthwise),
            floats_tensor("slope", &[CHANNELS, 1, 1], &[0.1, 0.2, 0.3, 0.4, 0.5, 0.6]),
            floats_tensor("w3", &[5, CHANNELS, 1, 1], &normal(4, 5 * CHANNELS)),
            floats_tensor("b3", &[5], &normal(5, 5)),
            floats_tensor("w4", &[5, 4], &normal(6, 20)),
            floats_tensor("b4", &[4], &normal(7, 4)),
            floats_tensor("w5", &[4, 3], &normal(8, 12)),
        ],
        input: vec![value("x", &SHAPE)],
        output: vec![value("y", &[])],
        ..GraphProto::default()
    };
    let mut net = Net::of(graph);
    net.import_opset(13);
    net
}

const WILD: [f32; CHANNELS] = [1e-3, 1.0, 300.0, 0.02, 5.0, 40.0];

struct Noise;

impl Samples for Noise {
    fn batches(&self) -> usize {
        4
    }

    fn batch(&self, i: usize) -> Result<Batch, String> {
        let x = normal(100 + i as u64, SHAPE.iter().product());
        Ok(Batch { inputs: vec![Tensor::new(&SHAPE, &x).map_err(|e| e.to_string())?], samples: SHAPE[0] })
    }
}

fn run(net: &Net) -> Vec<f64> {
    let options = paring::Options::default().with_threads(1);
    let mut session = Model::from_vec(net.encode()).unwrap().session(&options).unwrap();
    session.set_input(0, &Noise.batch(0).unwrap().inputs[0]).unwrap();
    session.run().unwrap();
    session.output_tensor(0).unwrap().to_f64s().unwrap()
}

#[test]
fn the_network_computes_the_same() {
    let (mut net, before) = (net(&WILD), run(&net(&WILD)));
    assert_eq!(equalize(&mut net), 4);
    let after = run(&net);
    let largest = before.iter().fold(0f64, |m, x| m.max(x.abs()));
    assert!(before.iter().zip(&after).all(|(b, a)| (a - b).abs() <= 1e-5 * largest), "{before:?} {after:?}");
    let first = Index::of(&net.graph).floats(&net.graph.node[0].input[1]).unwrap().0;
    let ranges: Vec<f32> = first.chunks(27).map(|row| row.iter().fold(0f32, |m, w| m.max(w.abs()))).collect();
    let spread = ranges.iter().copied().fold(0f32, f32::max) / ranges.iter().copied().fold(f32::MAX, f32::min);
    assert!(spread < 100.0, "channels that were 300,000 times apart are now {spread}");
}

#[test]
fn wild_ranges_no_longer_cost_precision() {
    let sqnr = |wild: &[f32; CHANNELS], equalize: bool| {
        let mut options = Options::default();
        (options.equalize, options.run) = (equalize, paring::Options::default().with_threads(1));
        let report = quantize(net(wild).encode(), &Noise, &options, &mut |_| {}).unwrap().report;
        assert_eq!(report.equalized, if equalize { 4 } else { 0 });
        report.outputs[0].sqnr_db.unwrap()
    };
    let (plain, equalized, tame) = (sqnr(&WILD, false), sqnr(&WILD, true), sqnr(&[1.0; CHANNELS], false));
    println!("{plain} dB, {equalized} dB equalized, {tame} dB where nothing is wild");
    assert!(equalized > plain + 10.0 && equalized > tame - 3.0, "{plain}, {equalized}, {tame}");
}

#[test]
fn what_does_not_scale_keeps_layers_apart() {
    let change = |at: usize, change: &dyn Fn(&mut NodeProto)| {
        let mut net = net(&WILD);
        change(&mut net.graph.node[at]);
        equalize(&mut net)
    };
    assert_eq!(change(1, &|n| n.op_type = "Sigmoid".into()), 3);
    assert_eq!(change(1, &|n| n.op_type = "Clip".into()), 3);
    assert_eq!(change(6, &|n| n.op_type = "Tanh".into()), 3);
    assert_eq!(change(10, &|n| n.input[1] = "w4".into()), 2, "shared weights");

    // Somebody else looks at what is between.
    let mut shown = net(&WILD);
    shown.graph.output.push(value("r1", &[]));
    assert_eq!(equalize(&mut shown), 3);
}

#[test]
fn channels_without_a_range_stay() {
    let mut wild = WILD;
    wild[1] = 0.0;
    let mut net = net(&wild);
    // What was divided by zero there is nonsense, which no one equalises.
    assert_eq!(equalize(&mut net), 2);
    assert_eq!((factor(0.0, 1.0), factor(1.0, 0.0), factor(4.0, 1.0)), (1.0, 1.0, 2.0));
    assert_eq!(factor(1e30, 1e-30), MOST);
}
