//! Random graphs compute the same before and after all passes.

#[path = "passes/common.rs"]
#[allow(dead_code)]
mod common;

use common::{Reference, assert_same_results};
use paring_core::op::{Act, AxisAttrs, Binary, ChannelShuffleAttrs, PadAttrs, PadMode, SplitAttrs};
use paring_ir::{Conv2d, DType, Dim, Graph, GraphBuilder, Op, Pool2d, Tensor, ValueId};
use paring_opt::{Options, optimize};
use proptest::prelude::*;

fn tensor(shape: &[usize], seed: usize) -> Tensor {
    let n: usize = shape.iter().product();
    let at = |i: usize| ((i * 7919 + seed * 104_729) % 2003) as f32 / 1001.5 - 1.0;
    Tensor::new(shape, &(0..n).map(at).collect::<Vec<_>>()).unwrap()
}

/// Builds a graph of feature maps; each instruction takes earlier values by index.
fn build(code: &[(u8, usize, usize)]) -> Graph {
    let mut b = GraphBuilder::new("random");
    let x = b.input("x", DType::F32, &[Dim::from(1), Dim::from(6), Dim::from(6), Dim::from(6)]);
    let mut values: Vec<ValueId> = vec![x];
    for (n, &(kind, i, j)) in code.iter().enumerate() {
        let v = values[values.len() - 1 - i % values.len().min(3)];
        let w = values[j % values.len()];
        let c = b.ty(v).unwrap().known_shape().unwrap()[1];
        let made = match kind % 14 {
            0 | 1 => {
                let m = [4, 6, 8, 10][j % 4];
                let (w, bias) = (b.constant("w", tensor(&[m, c, 1, 1], n)), b.constant("b", tensor(&[m], n + 1)));
                b.conv2d(v, w, (j % 2 == 0).then_some(bias), Conv2d::new())
            }
            2 => {
                let w = b.constant("w", tensor(&[6, c, 3, 3], n));
                b.conv2d(v, w, None, Conv2d::new().padding(1))
            }
            3 | 4 => {
                let w = b.constant("w", tensor(&[c, 1, 3, 3], n));
                b.depthwise(v, w, None, Conv2d::new().padding(1))
            }
            5 => b.activation([Act::Relu, Act::Clamp { lo: 0.0, hi: 6.0 }, Act::Sigmoid, Act::HardSwish][j % 4], v),
            6 => {
                let p: Vec<ValueId> = (0..3).map(|k| b.constant("p", tensor(&[c], n + k))).collect();
                let var = Tensor::new(&[c], &vec![0.5f32; c]).unwrap();
                let var = b.constant("v", var);
                b.batch_norm(v, p[0], p[1], p[2], var, 1e-3)
            }
            7 => b.add(v, w),
            8 => {
                let k = b.constant("k", tensor(&[1, c, 1, 1], n));
                b.op(Op::Binary([Binary::Add, Binary::Mul, Binary::PRelu, Binary::Sub][j % 4]), &[v, k])
            }
            9 => b.concat(&[v, w], 1),
            10 | 11 => b.op(Op::ChannelShuffle(ChannelShuffleAttrs { groups: 2 }), &[v]),
            12 => {
                let sizes = vec![c / 2, c - c / 2];
                let parts = b.op_with(Op::Split(SplitAttrs { axis: 1, sizes: Some(sizes) }), &[Some(v)], 2);
                parts.map(|p| {
                    values.push(p[0]);
                    p[1]
                })
            }
            _ => match j % 3 {
                0 => b.max_pool(v, Pool2d::new(3).padding(1)),
                1 => b.op(Op::Concat(AxisAttrs { axis: 1 }), &[v]),
                _ => {
                    let pads = b.constant("pads", Tensor::from_i64s(&[0; 8]));
                    b.op(Op::Pad(PadAttrs { mode: PadMode::Constant }), &[v, pads])
                }
            },
        };
        // Operands that do not fit make no node.
        if let Ok(y) = made
            && b.ty(y).unwrap().known_shape().unwrap()[1] <= 64
        {
            values.push(y);
        }
    }
    let last = *values.last().unwrap();
    b.output("y", last);
    if code.len().is_multiple_of(3) {
        b.output("z", values[values.len() / 2]);
    }
    b.finish().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn random_graphs_compute_the_same(code in prop::collection::vec((0u8..14, 0usize..8, 0usize..16), 1..24), seed in 1u64..1000) {
        let before = build(&code);
        let mut after = before.clone();
        let options = Options { verify: true, ..Options::default() };
        let report = optimize(&mut after, &Reference, &options).unwrap();
        prop_assert!(report.steps < 500, "{:#?}", report.applied);
        assert_same_results(&before, &after, seed);
    }
}
