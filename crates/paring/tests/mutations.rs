//! Damaged models that are still models: whatever the importer lets through is optimised, planned and run, or refused
//! with an error; it never panics, and no pass and no kernel is at fault.

mod common;

use common::{noise, onnx::*, single, slow_tests};
use paring::{DType, ErrorKind, Model, Options, Tensor};
use paring_onnx::proto::*;

fn weights(name: &str, shape: &[usize]) -> TensorProto {
    let v: Vec<f32> = (0..shape.iter().product::<usize>()).map(|i| (i % 7) as f32 / 4.0 - 0.5).collect();
    stored(name, &floats(shape, &v))
}

fn numbers(name: &str, v: &[i64]) -> TensorProto {
    stored(name, &Tensor::from_i64s(v))
}

fn step(op: &str, inputs: &[&str], outputs: &[&str], attributes: Vec<AttributeProto>) -> NodeProto {
    let own = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    node(op, "", &own(inputs), &own(outputs), attributes)
}

fn model(input: &[usize], symbolic: bool, nodes: Vec<NodeProto>, initializer: Vec<TensorProto>) -> Vec<u8> {
    let x = floats(input, &vec![0.0; input.iter().product()]);
    let g = GraphProto {
        name: "g".into(),
        node: nodes,
        initializer,
        input: vec![declared("x", &x, symbolic)],
        output: vec![output("y")],
        ..Default::default()
    };
    encoded(g, 23)
}

/// Small models that between them have most kinds of layers.
fn seeds() -> Vec<Vec<u8>> {
    let pads = || ints("pads", &[1, 1, 1, 1]);
    let convolution = vec![
        step("Conv", &["x", "w1", "b1"], &["a"], vec![pads(), ints("strides", &[1, 1])]),
        step("BatchNormalization", &["a", "s", "s", "s", "s"], &["b"], vec![]),
        step("Relu", &["b"], &["c"], vec![]),
        step("Conv", &["c", "w2"], &["d"], vec![pads(), int("group", 8)]),
        step("Add", &["d", "c"], &["e"], vec![]),
        step("MaxPool", &["e"], &["f"], vec![ints("kernel_shape", &[2, 2]), ints("strides", &[2, 2])]),
        step("GlobalAveragePool", &["f"], &["g"], vec![]),
        step("Flatten", &["g"], &["h"], vec![]),
        step("Gemm", &["h", "w3", "b3"], &["i"], vec![int("transB", 1)]),
        step("Softmax", &["i"], &["y"], vec![]),
    ];
    let tensors = vec![
        weights("w1", &[8, 3, 3, 3]),
        weights("b1", &[8]),
        stored("s", &floats(&[8], &[1.0; 8])),
        weights("w2", &[8, 1, 3, 3]),
        weights("w3", &[4, 8]),
        weights("b3", &[4]),
    ];
    let movement = vec![
        step("Slice", &["x", "n0", "n4", "n1"], &["a"], vec![]),
        step("Transpose", &["a"], &["b"], vec![ints("perm", &[0, 2, 3, 1])]),
        step("Reshape", &["b", "shape"], &["c"], vec![]),
        step("Concat", &["c", "c"], &["d"], vec![int("axis", 1)]),
        step("Pad", &["d", "pads"], &["e"], vec![text("mode", "reflect")]),
        step("Gather", &["e", "indices"], &["f"], vec![int("axis", 1)]),
        step("ReduceMean", &["f", "n1"], &["g"], vec![]),
        step("Tile", &["g", "times"], &["h"], vec![]),
        step("TopK", &["h", "n1"], &["i", "j"], vec![int("axis", 1)]),
        step("Resize", &["x", "", "scales"], &["k"], vec![text("mode", "linear")]),
        step("ConvTranspose", &["k", "w"], &["l"], vec![ints("strides", &[2, 2])]),
        step("ReduceMax", &["l"], &["m"], vec![int("keepdims", 0)]),
        step("Add", &["i", "m"], &["y"], vec![]),
    ];
    let operands = vec![
        numbers("n0", &[0]),
        numbers("n1", &[1]),
        numbers("n4", &[4]),
        numbers("shape", &[1, 8, -1]),
        numbers("pads", &[0, 1, 0, 0, 1, 0]),
        numbers("indices", &[0, -1, 3]),
        numbers("times", &[1, 2, 1]),
        stored("scales", &floats(&[4], &[1.0, 1.0, 2.0, 1.5])),
        weights("w", &[4, 2, 2, 2]),
    ];
    let transformer = vec![
        step("LayerNormalization", &["x", "s4"], &["a"], vec![]),
        step("MatMul", &["a", "w4"], &["q"], vec![]),
        step("Attention", &["q", "a", "x"], &["b"], vec![int("q_num_heads", 2), int("kv_num_heads", 2)]),
        step("Gelu", &["b"], &["c"], vec![]),
        step("Shape", &["c"], &["d"], vec![]),
        step("Reshape", &["c", "d"], &["e"], vec![]),
        step("NonZero", &["e"], &["f"], vec![]),
        step("Transpose", &["f"], &["g"], vec![]),
        step("GatherND", &["x", "g"], &["y"], vec![]),
    ];
    let small = vec![stored("s4", &floats(&[4], &[1.0; 4])), weights("w4", &[4, 4])];
    vec![
        model(&[1, 3, 6, 6], false, convolution, tensors),
        model(&[1, 4, 4, 4], false, movement, operands),
        model(&[2, 3, 4], true, transformer, small),
    ]
}

fn options(optimize: bool) -> Options {
    let mut options = single().with_optimize(optimize);
    options.limits.tensor_bytes = 1 << 18;
    options.limits.arena_bytes = 1 << 20;
    options
}

/// Opens and runs; the kind of failure, if any.
fn run(bytes: &[u8], optimize: bool) -> Result<(), (ErrorKind, String)> {
    let told = |e: paring::Error| (e.kind(), e.to_string());
    let model = Model::from_bytes(bytes).map_err(told)?;
    let mut session = model.session(&options(optimize)).map_err(told)?;
    for (i, info) in model.inputs().to_vec().iter().enumerate() {
        let known = |d: &paring::DimInfo| match d {
            paring::DimInfo::Known(n) => *n,
            paring::DimInfo::Symbol(_) => 4,
        };
        let shape: Vec<usize> = info.dims.as_ref().map_or(vec![4], |d| d.iter().map(known).collect());
        session.resize(i, &shape).map_err(told)?;
        if info.dtype == DType::F32 {
            let x = session.input_mut::<f32>(i).map_err(told)?;
            x.iter_mut().enumerate().for_each(|(i, x)| *x = (i % 5) as f32 - 1.0);
        }
    }
    session.run().map_err(told)
}

#[test]
fn no_change_of_bytes_is_the_fault_of_a_pass_or_a_kernel() {
    let rounds = if slow_tests("many more damaged models") { 20_000 } else { 1_500 };
    let mut next = noise();
    for (seed, bytes) in seeds().iter().enumerate() {
        for optimize in [true, false] {
            run(bytes, optimize).unwrap_or_else(|e| panic!("seed {seed}, optimised {optimize}: {e:?}"));
        }
        let mut ran = 0;
        for round in 0..rounds {
            let mut damaged = bytes.clone();
            for _ in 0..=next(3) {
                let at = next(damaged.len());
                match next(3) {
                    0 => damaged[at] = next(256) as u8,
                    1 => damaged[at] ^= 1 << next(8),
                    // Small numbers are what attributes and shapes are made of.
                    _ => damaged[at] = next(9) as u8,
                }
            }
            for optimize in [true, false] {
                match run(&damaged, optimize) {
                    Ok(()) => ran += 1,
                    Err((ErrorKind::Internal, e)) => panic!("seed {seed}, round {round}, optimised {optimize}: {e}"),
                    Err(_) => {}
                }
            }
        }
        assert!(ran > rounds / 20, "seed {seed}: only {ran} runs of {} came to the end", 2 * rounds);
    }
}
