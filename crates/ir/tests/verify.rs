//! The verifier names each kind of defect; the counts are those of well-known networks.

use paring_ir::{
    Conv2d, DType, Dim, Graph, GraphBuilder, GraphError, Node, NodeId, Op, Output, Pool2d, Tensor, TensorType, ValueId,
    op::{Act, Binary, EpiOp},
};

const TEXT: &str = r#"
graph "g" {
  input %x "x": f32[2, 3, 4, 4]
  const %w "w": f32[5, 3, 1, 1] = splat 1.0
  const %b "b": f32[5] = splat 0.5
  %r "r" = Conv(kernel: [1, 1], stride: [1, 1], dilation: [1, 1], padding: SameUpper, groups: 1)(%x, %w)
  %y "y" = Conv(kernel: [1, 1], stride: [1, 1], dilation: [1, 1], padding: SameUpper, groups: 1)(%x, %w)
    + bias(%b) + residual(%r) + act(Relu)
  %z "z" = Activation(Tanh)(%y)
  output "z" = %z
}
"#;

fn graph() -> Graph {
    let g = Graph::parse(TEXT).unwrap();
    g.verify().unwrap();
    g
}

fn find(g: &Graph, name: &str) -> ValueId {
    g.values().find(|(_, v)| v.name == name).unwrap().0
}

fn node(g: &Graph, name: &str) -> NodeId {
    g.nodes().find(|(_, n)| n.name == name).unwrap().0
}

fn defect(change: impl FnOnce(&mut Graph)) -> GraphError {
    let mut g = graph();
    change(&mut g);
    g.verify().expect_err("the graph has a defect")
}

#[test]
fn every_defect_is_found() {
    let e = defect(|g| {
        let (y, z) = (node(g, "y"), find(g, "z"));
        g.node_mut(y).unwrap().inputs[0] = Some(z);
    });
    assert!(matches!(e, GraphError::Cycle { .. }), "{e}");

    let e = defect(|g| {
        let z = node(g, "z");
        g.node_mut(z).unwrap().inputs[0] = Some(ValueId(1000));
    });
    assert!(matches!(&e, GraphError::NoSuchValue { value: 1000, .. }), "{e}");

    let e = defect(|g| {
        let z = node(g, "z");
        g.node_mut(z).unwrap().outputs[0] = Some(ValueId(1000));
    });
    assert!(matches!(&e, GraphError::NoSuchValue { value: 1000, .. }), "{e}");

    let e = defect(|g| g.set_outputs(vec![Output { name: "z".into(), value: ValueId(u32::MAX) }]));
    assert!(matches!(&e, GraphError::NoSuchValue { .. }), "{e}");

    let e = defect(|g| g.set_inputs(vec![ValueId(77)]));
    assert!(matches!(&e, GraphError::NoSuchValue { .. }), "{e}");

    let e = defect(|g| {
        let x = find(g, "x");
        g.set_inputs(vec![x, x]);
    });
    assert!(e.to_string().contains("twice"), "{e}");

    let e = defect(|g| g.set_inputs(vec![]));
    assert!(matches!(&e, GraphError::NotProduced { .. }), "{e}");

    let e = defect(|g| {
        let n = node(g, "y");
        g.remove(n);
    });
    assert!(matches!(&e, GraphError::NotProduced { .. }), "{e}");

    for second in ["y", "x", "w"] {
        let e = defect(|g| {
            let (n, v) = (node(g, "z"), find(g, second));
            g.node_mut(n).unwrap().outputs[0] = Some(v);
        });
        assert!(matches!(&e, GraphError::ProducedTwice { .. }), "{second}: {e}");
    }

    let e = defect(|g| {
        let z = find(g, "z");
        g.value_mut(z).producer = None;
    });
    assert!(e.to_string().contains("producer"), "{e}");

    let e = defect(|g| {
        let z = find(g, "z");
        g.value_mut(z).fact.ty = TensorType::concrete(DType::F32, &[2, 5, 4, 3]);
    });
    assert!(matches!(&e, GraphError::TypeMismatch { .. }), "{e}");

    let e = defect(|g| {
        let z = find(g, "z");
        g.value_mut(z).fact.ty.dtype = DType::I8;
    });
    assert!(matches!(&e, GraphError::TypeMismatch { .. }), "{e}");

    let e = defect(|g| {
        let w = find(g, "w");
        g.value_mut(w).fact.ty = TensorType::concrete(DType::F32, &[5, 3, 1, 2]);
    });
    assert!(e.to_string().contains("constant 'w'"), "{e}");

    let e = defect(|g| {
        let z = find(g, "z");
        g.add_output("z", z);
    });
    assert!(e.to_string().contains("two outputs"), "{e}");

    // A symbol where a number is inferred, and the other way round, agree.
    let mut g = graph();
    let z = find(&g, "z");
    g.value_mut(z).fact.ty.shape.as_mut().unwrap()[0] = Dim::symbol("N");
    g.verify().unwrap();
}

#[test]
fn epilogues_are_well_formed() {
    let with = |change: fn(&mut Node, ValueId, ValueId)| {
        defect(|g| {
            let (id, x, b) = (node(g, "y"), find(g, "x"), find(g, "b"));
            change(g.node_mut(id).unwrap(), x, b);
        })
    };
    let e = with(|n, _, _| n.epilogue[0] = EpiOp::Bias { input: 9 });
    assert!(e.to_string().contains("beyond"), "{e}");
    let e = with(|n, _, _| n.epilogue[0] = EpiOp::Bias { input: 1 });
    assert!(e.to_string().contains("operator itself"), "{e}");
    let e = with(|n, _, _| n.inputs[2] = None);
    assert!(e.to_string().contains("absent"), "{e}");
    let e = with(|n, x, _| n.inputs[2] = Some(x));
    assert!(e.to_string().contains("must be constant"), "{e}");
    let e = with(|n, x, _| n.inputs[3] = Some(x));
    assert!(e.to_string().contains("residual"), "{e}");
    let e = with(|n, _, b| n.inputs.push(Some(b)));
    assert!(e.to_string().contains("no step"), "{e}");
    let e = defect(|g| {
        let id = node(g, "y");
        let short = g.add_constant("short", Tensor::new(&[4], &[0f32; 4]).unwrap());
        g.node_mut(id).unwrap().inputs[2] = Some(short);
    });
    assert!(e.to_string().contains("expected f32[5]") || e.to_string().contains("must be f32[5]"), "{e}");
}

#[test]
fn a_graph_of_a_hundred_thousand_nodes_is_verified_quickly() {
    let mut g = Graph::new("long");
    let mut v = g.add_input("x", TensorType::concrete(DType::F32, &[4]));
    for _ in 0..100_000 {
        v = g.append_one("n", Op::Activation(Act::Relu), &[v]).unwrap();
    }
    g.add_output("y", v);
    let start = std::time::Instant::now();
    g.verify().unwrap();
    assert!(start.elapsed().as_secs() < 10);
}

/// Expressions that would double at every step are cut short.
#[test]
fn symbolic_bombs_stay_small() {
    let mut g = Graph::new("bomb");
    let mut v = g.add_input("x", TensorType::new(DType::F32, vec![Dim::symbol("N"), Dim::symbol("M")]));
    for _ in 0..200 {
        let both = g.append_one("c", Op::Concat(paring_ir::op::AxisAttrs { axis: 0 }), &[v, v]).unwrap();
        let t = g.append_one("t", Op::Transpose(paring_ir::op::TransposeAttrs { perm: None }), &[both]).unwrap();
        let f = g.append_one("s", Op::Binary(Binary::Add), &[t, both]).unwrap();
        v = g.append_one("m", Op::Flatten(paring_ir::op::AxisAttrs { axis: 1 }), &[f]).unwrap();
    }
    let text = g.ty(v).to_string();
    assert!(text.len() < 100_000, "{}", text.len());
}

fn vgg16() -> Graph {
    let mut b = GraphBuilder::new("vgg16");
    let mut x = b.input("image", DType::F32, &[1.into(), 3.into(), 224.into(), 224.into()]);
    let zeros =
        |shape: &[usize]| Tensor::from_bytes(DType::F32, shape, &vec![0; shape.iter().product::<usize>() * 4]).unwrap();
    let mut channels = 3;
    for block in [[64, 64, 0], [128, 128, 0], [256, 256, 256], [512, 512, 512], [512, 512, 512]] {
        for out in block.into_iter().filter(|&n| n > 0) {
            let (w, bias) = (b.constant("w", zeros(&[out, channels, 3, 3])), b.constant("b", zeros(&[out])));
            x = b.conv2d(x, w, Some(bias), Conv2d::new().padding(1)).unwrap();
            x = b.relu(x).unwrap();
            channels = out;
        }
        x = b.max_pool(x, Pool2d::new(2).stride(2)).unwrap();
    }
    x = b.flatten(x).unwrap();
    for (k, n) in [(25088, 4096), (4096, 4096), (4096, 1000)] {
        let (w, bias) = (b.constant("w", zeros(&[n, k])), b.constant("b", zeros(&[n])));
        x = b.dense(x, w, Some(bias)).unwrap();
    }
    b.output("scores", x);
    b.finish().unwrap()
}

#[test]
fn vgg16_costs_what_is_published() {
    let stats = vgg16().stats();
    assert_eq!(stats.params, 138_357_544);
    assert_eq!(stats.macs, Some(15_470_264_320));
    assert_eq!(stats.flops(), Some(30_940_528_640));
    assert_eq!(stats.weight_bytes, 4 * 138_357_544);
}

#[test]
fn counts_of_small_layers() {
    let g = graph();
    let by_name: Vec<_> = g.node_stats().into_iter().map(|(id, s)| (g.node(id).unwrap().name.clone(), s)).collect();
    let y = by_name.iter().find(|(n, _)| n == "y").unwrap().1;
    assert_eq!((y.params, y.macs), (20, Some(2 * 5 * 16 * 3)));
    assert_eq!(y.memory_elements, Some(96 + 15 + 5 + 160 + 160));
    // The weights that two nodes share count once.
    assert_eq!(g.stats().params, 20);
    // Depthwise and transposed convolutions.
    let mut b = GraphBuilder::new("b");
    let x = b.input("x", DType::F32, &["N".into(), 8.into(), 10.into(), 10.into()]);
    let w = b.constant("w", Tensor::new(&[8, 1, 3, 3], &[0f32; 72]).unwrap());
    let y = b.depthwise(x, w, None, Conv2d::new()).unwrap();
    b.output("y", y);
    let g = b.finish().unwrap();
    assert_eq!(g.stats().macs, None);
    let bound = g.bind(&|s| (s == "N").then_some(2)).unwrap();
    assert_eq!(bound.stats().macs, Some(2 * 8 * 64 * 9));
}
