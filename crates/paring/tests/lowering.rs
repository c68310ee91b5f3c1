//! Graphs whose nodes are cut in several steps, or run on other operands than they were written with.

mod common;

use common::single;
use paring::{Model, Options, Tensor, graph::Graph};
use std::sync::Arc;

const CONV: &str = "Conv(kernel: [3, 3], stride: [1, 1], dilation: [1, 1], padding: SameUpper, groups: 1)";

const POINTWISE: &str = "Conv(kernel: [1, 1], stride: [1, 1], dilation: [1, 1], padding: SameUpper, groups: 1)";

fn outputs(text: &str, inputs: &[Tensor], options: &Options) -> (Vec<f32>, Vec<String>) {
    let graph = Graph::parse(&format!("graph \"t\" {{\n{text}\n}}")).unwrap_or_else(|e| panic!("{e}\n{text}"));
    let model = Model::from_graph(graph).unwrap();
    let mut session = model.session(options).unwrap();
    for (i, t) in inputs.iter().enumerate() {
        session.input_mut::<f32>(i).unwrap().copy_from_slice(&t.elements::<f32>().unwrap());
    }
    session.run().unwrap();
    let kernels = model.explain(options, &[]).unwrap().layers.into_iter().map(|l| l.chosen).collect();
    (session.output::<f32>(0).unwrap().to_vec(), kernels)
}

fn numbers(shape: &[usize], seed: usize) -> Tensor {
    let n = shape.iter().product();
    let all: Vec<f32> = (0..n).map(|i: usize| ((i * 7919 + seed * 31) % 199) as f32 / 100.0 - 1.0).collect();
    Tensor::new(shape, &all).unwrap()
}

/// The optimised graph gives what the one that was written does, and no layer falls back on reference kernels.
fn holds(text: &str, inputs: &[Tensor]) {
    let (found, kernels) = outputs(text, inputs, &single());
    let (expected, _) = outputs(text, inputs, &single().with_optimize(false));
    let rms = (expected.iter().map(|e| e * e).sum::<f32>() / expected.len() as f32).sqrt();
    let worst = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(rms > 0.0 && worst <= 1e-4 * rms, "{worst} of {rms}: {kernels:?}");
    assert!(kernels.iter().all(|k| !k.contains("reference")), "{kernels:?}");
}

#[test]
fn operands_of_channels_stay_along_channels() {
    // Weights that are known only while running: nothing is folded into them, and kernels fuse next to nothing.
    let text = format!(
        "input %x: f32[2, 3, 6, 5]
         input %w: f32[4, 3, 3, 3]
         const %g: f32[4] = [0.5, 1.5, 2.0, -1.0]
         const %b: f32[4] = [0.1, -0.2, 0.3, 0.4]
         const %v: f32[4] = [1.0, 2.0, 0.5, 4.0]
         const %s: f32[4, 1, 1] = [0.1, 0.2, 0.3, 0.4]
         %c = {CONV}(%x, %w)
         %n = BatchNorm(epsilon: 1e-5)(%c, %g, %b, %b, %v)
         %p = Binary(PRelu)(%n, %s)
         %o = BatchNorm(epsilon: 1e-5)(%p, %g, %b, %b, %v)
         output \"o\" = %o"
    );
    holds(&text, &[numbers(&[2, 3, 6, 5], 1), numbers(&[4, 3, 3, 3], 2)]);
}

/// Layers of bytes that run on numbers round those instead of making bytes of them and numbers again.
#[test]
fn layers_on_numbers_round_their_results() {
    let layer = |x: &str, i: usize, zero: u8| {
        format!(
            "const %w{i}: i8[8, 8, 3, 3] = random {}
             const %s{i}: f32[] = splat 0.{i}7
             const %z{i}: u8[] = splat {zero}
             %k{i} = DequantizeLinear(axis: 0, to: F32)(%w{i}, %u, %n)
             %c{i} = {CONV}({x}, %k{i})
             %r{i} = Activation(Relu)(%c{i})
             %q{i} = QuantizeLinear(axis: 0, to: U8)(%r{i}, %s{i}, %z{i})
             %d{i} = DequantizeLinear(axis: 0, to: F32)(%q{i}, %s{i}, %z{i})\n",
            7 + i
        )
    };
    let text = format!(
        "input %x: f32[1, 8, 9, 11]
         const %u: f32[] = splat 0.01
         const %n: i8[] = splat 0
         {}{}output \"o\" = %d2",
        layer("%x", 1, 3),
        layer("%d1", 2, 0)
    );
    let mut on_numbers = single();
    let registry = paring::builtin_registry();
    let names = registry.iter().map(|k| k.descriptor().name);
    on_numbers.exclude_kernels =
        names.filter(|n| n.starts_with("conv_") && n.contains("_bytes")).map(Into::into).collect();
    let x = numbers(&[1, 8, 9, 11], 1);
    let (found, kernels) = outputs(&text, std::slice::from_ref(&x), &on_numbers);
    let (expected, _) = outputs(&text, &[x], &single().with_optimize(false));
    // A number that is half-way may be rounded the other way, and change what is made of it a little.
    let far = found.iter().zip(&expected).filter(|(a, b)| (*a - *b).abs() > 1e-4).count();
    assert!(far * 100 <= found.len() && expected.iter().any(|&v| v > 0.0), "{far} of {}: {kernels:?}", found.len());
    assert!(kernels.iter().all(|k| !k.contains("convert_bytes") && !k.contains("reference")), "{kernels:?}");
}

/// Roundings take the place of conversions only where nothing else is lost by that.
#[test]
fn conversions_that_others_need_stay() {
    let constants = "const %s: f32[] = splat 0.07
         const %z: u8[] = splat 3";
    let convert = |x: &str| {
        format!(
            "%q = QuantizeLinear(axis: 0, to: U8)({x}, %s, %z)
             %d = DequantizeLinear(axis: 0, to: F32)(%q, %s, %z)"
        )
    };
    let x = numbers(&[1, 8, 9, 11], 1);
    // Bytes that a pooling layer reads, too, and numbers of two kinds made of the same bytes.
    let shared = format!(
        "input %x: f32[1, 8, 9, 11]
         const %w: f32[8, 8, 3, 3] = random 7
         {constants}
         %c = {CONV}(%x, %w)
         {}
         %m = Pool(kind: Max, kernel: [3, 3], stride: [1, 1], dilation: [1, 1], padding: SameUpper, ceil: false, column_major: false)(%q)
         %e = DequantizeLinear(axis: 0, to: F32)(%m, %s, %z)
         %o = Binary(Mul)(%d, %e)
         output \"o\" = %o",
        convert("%c")
    );
    holds(&shared, std::slice::from_ref(&x));
    // The second output of a layer: the first is not rounded.
    let second = format!(
        "input %x: f32[1, 8, 9, 11]
         const %g: f32[11] = splat 1.5
         {constants}
         %y, %m = LayerNorm(axis: -1, epsilon: 1e-5, rms: false)(%x, %g, _)
         {}
         %o = Binary(Add)(%y, %d)
         output \"o\" = %o",
        convert("%m")
    );
    holds(&second, std::slice::from_ref(&x));
}

#[test]
fn pooling_stays_apart_from_layers_of_quantised_operands() {
    let text = format!(
        "input %x: f32[1, 16, 8, 8]
         const %q: i8[24, 16, 1, 1] = random 3
         const %s: f32[24] = splat 0.01
         const %z: i8[24] = splat 0
         const %b: f32[24] = random 5
         %w = DequantizeLinear(axis: 0, to: F32)(%q, %s, %z)
         %c = {POINTWISE}(%x, %w) + bias(%b)
         %r = Activation(Relu)(%c)
         %o = Pool(kind: Max, kernel: [2, 2], stride: [2, 2], dilation: [1, 1], padding: Explicit(before: [0, 0], after: [0, 0]), ceil: false, column_major: false)(%r)
         output \"o\" = %o"
    );
    holds(&text, &[numbers(&[1, 16, 8, 8], 3)]);
}

/// One block of bytes under two shapes is packed twice.
#[test]
fn weights_of_two_shapes_are_not_taken_for_each_other() {
    let text = "graph \"t\" {
         input %x: f32[3, 8]
         const %w: f32[8, 16] = random 1
         const %v: f32[16, 8] = random 2
         %h = MatMul(%x, %w)
         %y = MatMul(%h, %v)
         output \"y\" = %y
     }";
    let mut graph = Graph::parse(text).unwrap();
    let constants: Vec<_> = graph.values().filter(|(v, _)| graph.constant(*v).is_some()).map(|(v, _)| v).collect();
    let [w, v] = constants[..] else { panic!("{constants:?}") };
    let again = graph.constant(w).unwrap().reshaped(&[16, 8]).unwrap();
    graph.make_constant(v, Arc::new(again));
    let x = numbers(&[3, 8], 1);
    let product = |a: &[f32], b: &Tensor| -> Vec<f32> {
        let (depth, columns, b) = (b.shape()[0], b.shape()[1], b.elements::<f32>().unwrap());
        let sum = |row: &[f32], c: usize| (0..depth).map(|d| row[d] * b[d * columns + c]).sum::<f32>();
        a.chunks(depth).flat_map(|row| (0..columns).map(move |c| sum(row, c))).collect()
    };
    let expected =
        product(&product(&x.elements::<f32>().unwrap(), graph.constant(w).unwrap()), graph.constant(v).unwrap());
    let mut session = Model::from_graph(graph).unwrap().session(&single()).unwrap();
    session.input_mut::<f32>(0).unwrap().copy_from_slice(&x.elements::<f32>().unwrap());
    session.run().unwrap();
    let found = session.output::<f32>(0).unwrap();
    assert!(found.iter().zip(&expected).all(|(f, e)| (f - e).abs() < 1e-4), "{found:?} {expected:?}");
}
