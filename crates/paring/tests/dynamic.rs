//! Networks quantised dynamically: bytes whose scales and zero points are known only while running.

mod common;

use common::{noise, onnx::*, single};
use paring::{LayerReport, MachineKind, Model, Options, SaveOptions, Tensor};
use paring_onnx::proto::*;

fn bytes(signed: bool, shape: &[usize], below: &mut impl FnMut(usize) -> usize) -> Tensor {
    let n: usize = shape.iter().product();
    let all: Vec<u8> =
        (0..n).map(|_| if below(5) == 0 { [0, 255, 127, 128][below(4)] } else { below(256) as u8 }).collect();
    let dtype = if signed { paring::DType::I8 } else { paring::DType::U8 };
    Tensor::from_bytes(dtype, shape, &all).unwrap()
}

fn integers(t: &Tensor) -> Vec<i32> {
    t.to_f64s().unwrap().iter().map(|&v| v as i32).collect()
}

/// A model of `nodes` from the inputs to the outputs of those names.
fn model(nodes: Vec<NodeProto>, inputs: &[(&str, &Tensor)], constants: &[(&str, Tensor)], outputs: &[&str]) -> Model {
    shaped(false, nodes, inputs, constants, outputs)
}

/// The same, whose inputs have any shape where `symbolic`.
fn shaped(
    symbolic: bool,
    nodes: Vec<NodeProto>,
    inputs: &[(&str, &Tensor)],
    constants: &[(&str, Tensor)],
    outputs: &[&str],
) -> Model {
    let graph = GraphProto {
        name: "dynamic".into(),
        input: inputs.iter().map(|(n, t)| declared(n, t, symbolic)).collect(),
        output: outputs.iter().map(|n| output(n)).collect(),
        initializer: constants.iter().map(|(n, t)| stored(n, t)).collect(),
        node: nodes,
        ..Default::default()
    };
    Model::from_vec(encoded(graph, 17)).unwrap_or_else(|e| panic!("{e}"))
}

fn step(op: &str, inputs: &[&str], outputs: &[&str]) -> NodeProto {
    let own = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    node(op, outputs[0], &own(inputs), &own(outputs), if op == "Cast" { vec![int("to", 1)] } else { vec![] })
}

fn run(model: &Model, options: &Options, inputs: &[(&str, &Tensor)]) -> Vec<Tensor> {
    let mut session = model.session(options).unwrap();
    for (name, tensor) in inputs {
        session.set_input(*name, tensor).unwrap();
    }
    session.run().unwrap();
    (0..session.outputs().len()).map(|k| session.output_tensor(k).unwrap()).collect()
}

fn layers(model: &Model) -> Vec<LayerReport> {
    model.explain(&single(), &[]).unwrap().layers
}

#[test]
fn products_of_integers_are_those_of_the_standard() {
    let mut below = noise();
    let (batch, rows, depth, columns) = (2, 3, 37, 21);
    for (signed_a, signed_b, per_row, per_column) in [
        (false, true, false, false),
        (false, false, false, true),
        (true, true, false, true),
        (true, false, true, true),
        (false, true, true, false),
    ] {
        let a = bytes(signed_a, &[batch, rows, depth], &mut below);
        let b = bytes(signed_b, &[depth, columns], &mut below);
        let of_a = bytes(signed_a, if per_row { &[3][..] } else { &[] }, &mut below);
        let of_b = bytes(signed_b, if per_column { &[21][..] } else { &[] }, &mut below);
        let inputs = [("a", &a), ("za", &of_a)];
        let nodes = vec![step("MatMulInteger", &["a", "b", "za", "zb"], &["y"])];
        let m = model(nodes, &inputs, &[("b", b.clone()), ("zb", of_b.clone())], &["y"]);
        let (a, b, of_a, of_b) = (integers(&a), integers(&b), integers(&of_a), integers(&of_b));
        let expected: Vec<i32> = (0..batch * rows * columns)
            .map(|i| {
                let (row, column) = (i / columns, i % columns);
                let zeros = (of_a[row % rows % of_a.len()], of_b[column % of_b.len()]);
                (0..depth).map(|k| (a[row * depth + k] - zeros.0) * (b[k * columns + column] - zeros.1)).sum()
            })
            .collect();
        for options in [single(), single().with_threads(3), single().with_optimize(false)] {
            let y = &run(&m, &options, &inputs)[0];
            assert_eq!((y.shape(), integers(y)), (&[batch, rows, columns][..], expected.clone()));
        }
        let expected = if per_row { "matmul_reference" } else { "dense_bytes_" };
        let chosen = &layers(&m)[0].chosen;
        assert!(chosen.starts_with(expected), "{chosen}");
    }
}

#[test]
fn convolutions_of_integers_are_those_of_the_standard() {
    let mut below = noise();
    let (channels, outputs, side, kernel) = (11, 13, 9, 3);
    for (signed_x, signed_w, per_channel, groups) in
        [(false, true, false, 1), (false, false, true, 1), (true, true, true, 1), (true, false, false, 11)]
    {
        let outputs = if groups == 1 { outputs } else { 2 * groups };
        let depth = channels / groups;
        let x = bytes(signed_x, &[2, channels, side, side], &mut below);
        let w = bytes(signed_w, &[outputs, depth, kernel, kernel], &mut below);
        let (of_x, shape) = (bytes(signed_x, &[], &mut below), [outputs]);
        let of_w = bytes(signed_w, if per_channel { &shape[..] } else { &[] }, &mut below);
        let mut conv = step("ConvInteger", &["x", "w", "zx", "zw"], &["y"]);
        conv.attribute = vec![ints("pads", &[1, 1, 1, 1]), int("group", groups as i64)];
        let inputs = [("x", &x), ("zx", &of_x)];
        let m = model(vec![conv], &inputs, &[("w", w.clone()), ("zw", of_w.clone())], &["y"]);
        let (x, w, of_x, of_w) = (integers(&x), integers(&w), integers(&of_x)[0], integers(&of_w));
        // What pads is the zero point.
        let at = |n: usize, c: usize, h: usize, v: usize| {
            let inside = (1..=side).contains(&h) && (1..=side).contains(&v);
            if inside { x[((n * channels + c) * side + h - 1) * side + v - 1] - of_x } else { 0 }
        };
        let sum = |i: usize| -> i32 {
            let (n, o, h, v) = (i / side / side / outputs, i / side / side % outputs, i / side % side, i % side);
            let first = o / (outputs / groups) * depth;
            let terms = (0..depth * kernel * kernel).map(|k| {
                let (c, p, q) = (k / kernel / kernel, k / kernel % kernel, k % kernel);
                at(n, first + c, h + p, v + q) * (w[o * depth * kernel * kernel + k] - of_w[o % of_w.len()])
            });
            terms.sum()
        };
        let expected: Vec<i32> = (0..2 * outputs * side * side).map(sum).collect();
        for options in [single(), single().with_threads(3), single().with_optimize(false)] {
            assert_eq!(integers(&run(&m, &options, &inputs)[0]), expected, "{groups} groups");
        }
        assert!(layers(&m).iter().any(|l| l.chosen.starts_with("conv_bytes_")), "{:?}", layers(&m));
    }
}

/// Bytes, scale and zero point, as the standard has them.
fn quantised(x: &[f32]) -> (Vec<i32>, f32, i32) {
    let low = x.iter().copied().fold(0.0, f32::min);
    let high = x.iter().copied().fold(0.0, f32::max);
    let scale = (high - low) / 255.0;
    let zero = (-low / scale).clamp(0.0, 255.0).round_ties_even();
    let byte = |v: &f32| ((v / scale).round_ties_even() + zero).clamp(0.0, 255.0) as i32;
    (x.iter().map(byte).collect(), scale, zero as i32)
}

/// A layer as ONNX Runtime's `quantize_dynamic` writes it, from the value `x` to `y`.
fn layer(x: &str, w: &str, y: &str) -> Vec<NodeProto> {
    let name = |s: &str| format!("{y}_{s}");
    let (q, s, z, sums, cast) = (name("q"), name("s"), name("z"), name("sums"), name("cast"));
    let (scales, scaled, ws, wz, b) =
        (name("scales"), name("scaled"), format!("{w}s"), format!("{w}z"), format!("{w}b"));
    vec![
        step("DynamicQuantizeLinear", &[x], &[&q, &s, &z]),
        step("MatMulInteger", &[&q, w, &z, &wz], &[&sums]),
        step("Cast", &[&sums], &[&cast]),
        step("Mul", &[&s, &ws], &[&scales]),
        step("Mul", &[&cast, &scales], &[&scaled]),
        step("Add", &[&scaled, &b], &[y]),
    ]
}

/// Weights, their scale or scales, zero point or zero points, and bias.
struct Weights {
    w: Tensor,
    scale: Tensor,
    zero: Tensor,
    bias: Tensor,
}

impl Weights {
    fn new(shape: &[usize; 2], signed: bool, per_column: bool, below: &mut impl FnMut(usize) -> usize) -> Weights {
        let columns = if per_column { vec![shape[1]] } else { vec![] };
        let scales: Vec<f32> = (0..columns.iter().product()).map(|_| 0.002 + below(100) as f32 * 1e-4).collect();
        let bias: Vec<f32> = (0..shape[1]).map(|_| below(200) as f32 * 0.01 - 1.0).collect();
        let zero = if signed {
            Tensor::from_bytes(paring::DType::I8, &columns, &vec![0; scales.len()]).unwrap()
        } else {
            bytes(false, &columns, below)
        };
        Weights {
            w: bytes(signed, shape, below),
            scale: floats(&columns, &scales),
            zero,
            bias: floats(&[shape[1]], &bias),
        }
    }

    fn constants(&self, name: &str) -> Vec<(String, Tensor)> {
        [("", &self.w), ("s", &self.scale), ("z", &self.zero), ("b", &self.bias)]
            .map(|(suffix, t)| (format!("{name}{suffix}"), t.clone()))
            .into()
    }

    /// What the layer makes of rows of `x`, step by step as the file has it.
    fn apply(&self, x: &[f32]) -> Vec<f32> {
        let &[depth, columns] = self.w.shape() else { panic!("no matrix") };
        let (x, scale, zero) = quantised(x);
        let (w, zeros) = (integers(&self.w), integers(&self.zero));
        let (scales, bias) = (self.scale.to_f64s().unwrap(), self.bias.to_f64s().unwrap());
        (0..x.len() / depth * columns)
            .map(|i| {
                let (row, c) = (i / columns, i % columns);
                let term = |k: usize| (x[row * depth + k] - zero) * (w[k * columns + c] - zeros[c % zeros.len()]);
                let sum: i32 = (0..depth).map(term).sum();
                sum as f32 * (scale * scales[c % scales.len()] as f32) + bias[c] as f32
            })
            .collect()
    }
}

#[track_caller]
fn close(found: &Tensor, expected: &[f32], tolerance: f64) {
    let found = found.to_f64s().unwrap();
    let rms = (expected.iter().map(|&e| f64::from(e).powi(2)).sum::<f64>() / expected.len() as f64).sqrt();
    let worst = found.iter().zip(expected).map(|(f, &e)| (f - f64::from(e)).abs()).fold(0.0, f64::max);
    assert!(found.len() == expected.len() && worst <= tolerance * rms, "off by {worst} at an RMS of {rms}");
}

#[test]
fn a_dynamically_quantised_network_runs_on_bytes() {
    let mut below = noise();
    let x: Vec<f32> = (0..5 * 37).map(|_| below(2000) as f32 * 1e-3 - 0.7).collect();
    let x = floats(&[5, 37], &x);
    let hidden = Weights::new(&[37, 24], true, false, &mut below);
    let last = Weights::new(&[24, 10], false, true, &mut below);
    let mut nodes = layer("x", "w", "sum");
    nodes.push(step("Relu", &["sum"], &["h"]));
    nodes.extend(layer("h", "v", "y"));
    let constants: Vec<(String, Tensor)> = hidden.constants("w").into_iter().chain(last.constants("v")).collect();
    let constants: Vec<(&str, Tensor)> = constants.iter().map(|(n, t)| (n.as_str(), t.clone())).collect();
    let m = model(nodes.clone(), &[("x", &x)], &constants, &["h", "y"]);

    let first: Vec<f32> = hidden.apply(&x.to_f64s().unwrap().iter().map(|&v| v as f32).collect::<Vec<_>>());
    let first: Vec<f32> = first.iter().map(|v| v.max(0.0)).collect();
    let found = run(&m, &single(), &[("x", &x)]);
    close(&found[0], &first, 1e-5);
    // A number of the hidden layer may be rounded to the other of two bytes.
    close(&found[1], &last.apply(&first), 2e-2);
    for options in [single().with_threads(3), single().with_optimize(false)] {
        let other = run(&m, &options, &[("x", &x)]);
        close(&other[0], &first, 1e-5);
        close(&other[1], &last.apply(&first), 2e-2);
    }
    let threads = run(&m, &single().with_threads(3), &[("x", &x)]);
    let same = |other: &[Tensor]| found.iter().zip(other).all(|(a, b)| a.bytes() == b.bytes());
    assert!(same(&threads), "threads change results");
    let any_shape = shaped(true, nodes, &[("x", &x)], &constants, &["h", "y"]);
    assert!(same(&run(&any_shape, &single(), &[("x", &x)])), "symbols change results");
    let mut file = Vec::new();
    let packed = SaveOptions { pack_for: vec![MachineKind::This], options: single(), ..SaveOptions::default() };
    m.save(&mut file, &packed).unwrap();
    assert!(same(&run(&Model::from_vec(file).unwrap(), &single(), &[("x", &x)])), "saving changes results");

    let layers = layers(&m);
    let of = |op: &str| layers.iter().filter(|l| l.op == op).collect::<Vec<_>>();
    let (products, ranges) = (of("MatMulInteger"), of("DynamicQuantizeLinear"));
    assert!(products.len() == 2 && products.iter().all(|l| l.chosen.starts_with("dense_bytes_")), "{layers:?}");
    assert!(ranges.len() == 2 && ranges.iter().all(|l| l.chosen.starts_with("dynamic_quantize_bytes_")), "{layers:?}");
    // What follows a product is part of it; what is left are the products of two scales.
    assert!(of("Cast").is_empty() && of("Add").is_empty() && of("Mul").len() == 2, "{layers:?}");
    assert_eq!((products[0].fused.len(), products[1].fused.len()), (2, 1), "{layers:?}");
}
