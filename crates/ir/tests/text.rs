//! The text form: what is printed reads back as the same graph.

use paring_ir::{
    Conv2d, DType, Dim, Graph, GraphBuilder, GraphError, Op, Pool2d, Quant, Tensor, TensorType,
    op::{Act, AxisAttrs, Binary, CastAttrs, EinsumAttrs, EpiOp, TopKAttrs, Unary},
};

fn tiny() -> Graph {
    let mut b = GraphBuilder::new("tiny \"net\"");
    let x = b.input("image", DType::F32, &["N".into(), 3.into(), 32.into(), Dim::symbol("width of it")]);
    let w = b.constant("conv.w", Tensor::new(&[8, 3, 3, 3], &[0.1f32; 216]).unwrap());
    let bias = b.constant("conv.b", Tensor::new(&[8], &[0.1f32, -2.5, f32::INFINITY, 0., 1., 2., 3., 4.]).unwrap());
    let y = b.name("conv").conv2d(x, w, Some(bias), Conv2d::new().stride(2).padding(1)).unwrap();
    let y = b.activation(Act::Clamp { lo: 0.0, hi: 6.0 }, y).unwrap();
    let p = b.max_pool(y, Pool2d::new(3).stride(2).ceil(true)).unwrap();
    let k = b.constant("k", Tensor::from_i64s(&[2]));
    let top = TopKAttrs { axis: 1, largest: true, sorted: true };
    let parts = b.op_with(Op::TopK(top), &[Some(p), Some(k)], 2).unwrap();
    let e = b.op(Op::Einsum(EinsumAttrs { equation: "a(b...".into() }), &[parts[0]]);
    assert!(e.is_err());
    b.output("values", parts[0]);
    b.output("indices", parts[1]);
    b.finish().unwrap()
}

#[test]
fn what_is_printed_reads_back() {
    let g = tiny();
    let text = g.to_text();
    let again = Graph::parse(&text).unwrap_or_else(|e| panic!("{e}\n{text}"));
    again.verify().unwrap();
    assert_eq!(again.to_text(), text);
    assert_eq!(again.symbols().len(), 2);
    assert!(text.contains("splat 0.1"), "{text}");
    assert!(text.contains("[0.1, -2.5, inf, 0.0"), "{text}");
}

#[test]
fn a_fixed_text_parses() {
    let text = r#"
// A comment.
graph "demo" {
  input %x "image": f32[N, 3, 8, 8]
  const %w: f32[4, 3, 3, 3] = random 7
  const %b "b": f32[4] = [0.0, 0.5, 1.0, -1.0]
  %1 "conv" = Conv(kernel: [3, 3], stride: [1, 1], dilation: [1, 1], padding: SameUpper, groups: 1)(%x, %w)
    + bias(%b) + act(Relu) : f32[N, 4, 8, 8]
  const %axes: i64[2] = [2, 3]
  %2 = "mean" Reduce(kind: Mean, axes: None, keep_dims: false, noop_if_empty: false)(%1, %axes)
  %3 = Clip(%2)
}
"#;
    let Err(GraphError::Parse { line: 11, message }) = Graph::parse(text) else { panic!("an unknown operator") };
    assert!(message.contains("Clip"), "{message}");
    let text = text.replace("%3 = Clip(%2)", "%3 = MatMul(%2, %w2)\n const %q: u8[1] quant((axis: None, scale: [0.5], zero_point: [3])) = [7]\noutput \"y\" = %3");
    assert!(Graph::parse(&text).unwrap_err().to_string().contains("%w2 is not defined"));
    let text = text.replace("  %3", "  const %w2: f32[4, 2] = splat 1.5\n  %3");
    let g = Graph::parse(&text).unwrap();
    g.verify().unwrap();
    assert_eq!(g.ty(g.outputs()[0].value).to_string(), "f32[N, 2]");
    let conv = g.nodes().next().unwrap().1;
    assert_eq!(conv.epilogue, [EpiOp::Bias { input: 2 }, EpiOp::Act(Act::Relu)]);
    let mean = g.nodes().nth(1).unwrap().1;
    assert_eq!(mean.name, "mean");
}

#[test]
fn a_pooling_step_reads_back() {
    let text = r#"
graph "pooled" {
  input %x: f32[N, 3, 9, W]
  const %w: f32[4, 3, 3, 3] = random 7
  const %b: f32[4] = splat 0.5
  %1 "conv" = Conv(kernel: [3, 3], stride: [1, 1], dilation: [1, 1], padding: SameUpper, groups: 1)(%x, %w)
    + bias(%b) + act(Relu) + maxpool
  output "y" = %1
}
"#;
    let g = Graph::parse(text).unwrap_or_else(|e| panic!("{e}"));
    g.verify().unwrap();
    assert_eq!(g.nodes().next().unwrap().1.epilogue.last(), Some(&EpiOp::MaxPool));
    let bound = g.bind(&|s| Some(if s == "N" { 2 } else { 7 })).unwrap();
    bound.verify().unwrap();
    assert_eq!(bound.ty(bound.outputs()[0].value).to_string(), "f32[2, 4, 4, 3]");
    assert_eq!(bound.stats().macs, Some(2 * 4 * 9 * 7 * 27), "those of the map before it is pooled");
    let printed = g.to_text();
    assert!(printed.contains("+ act(Relu) + maxpool"), "{printed}");
    let again = Graph::parse(&printed).unwrap();
    assert_eq!(again.nodes().next(), g.nodes().next());
    for (from, to) in [("+ maxpool", "+ maxpool + act(Relu)"), ("f32[N, 3, 9, W]", "f32[N, 3, 1, W]")] {
        assert!(Graph::parse(&text.replace(from, to)).is_err(), "{to}");
    }
    let dense =
        text.replace("Conv(kernel: [3, 3], stride: [1, 1], dilation: [1, 1], padding: SameUpper, groups: 1)", "MatMul");
    assert!(Graph::parse(&dense).is_err(), "only convolutions pool");
}

#[test]
fn every_kind_of_constant_reads_back() {
    let mut g = Graph::new("constants");
    let quant = Quant { axis: Some(0), scale: vec![0.5, 0.25], zero_point: vec![1, 2] };
    let tensors = vec![
        Tensor::new(&[3], &[f32::NAN, f32::NEG_INFINITY, 1e-40]).unwrap(),
        Tensor::new(&[2], &[1.0e300f64, -0.0]).unwrap(),
        Tensor::new(&[2], &[u64::MAX, 0]).unwrap(),
        Tensor::new(&[2], &[i64::MIN, i64::MAX]).unwrap(),
        Tensor::new(&[2], &[-128i8, 127]).unwrap().with_quant(Some(quant)),
        Tensor::from_bools(&[2], &[true, false]).unwrap(),
        Tensor::from_bytes(DType::F16, &[6], &[0x00, 0x3c, 0x01, 0x00, 0xff, 0x7b, 0x55, 0x35, 0x00, 0xfc, 0xff, 0x03])
            .unwrap(),
        Tensor::from_bytes(DType::BF16, &[2], &[0x80, 0x3f, 0x01, 0xc0]).unwrap(),
        Tensor::from_bytes(DType::Sign, &[3], &[255, 0, 1]).unwrap(),
        Tensor::new::<f32>(&[0, 4], &[]).unwrap(),
        Tensor::new(&[], &[2.5f32]).unwrap(),
        Tensor::new(&[5, 5], &[7i32; 25]).unwrap(),
    ];
    for (i, t) in tensors.iter().enumerate() {
        let v = g.add_constant(&format!("c{i}"), t.clone());
        g.add_output(&format!("o{i}"), v);
    }
    let again = Graph::parse(&g.to_text()).unwrap_or_else(|e| panic!("{e}\n{g}"));
    for (o, t) in again.outputs().iter().zip(&tensors) {
        let read = again.constant(o.value).unwrap();
        if t.dtype() == DType::F32 && t.shape() == [3] {
            assert!(read.elements::<f32>().unwrap()[0].is_nan());
            assert_eq!(read.bytes()[4..], t.bytes()[4..]);
        } else {
            assert_eq!(**read, *t);
        }
    }
    // Larger ones only leave a hash, from which data of that type are made up, always the same.
    let mut g = Graph::new("large");
    let data: Vec<f32> = (0..100).map(|i| i as f32).collect();
    let v = g.add_constant("w", Tensor::new(&[100], &data).unwrap());
    g.add_output("w", v);
    let (a, b) = (Graph::parse(&g.to_text()).unwrap(), Graph::parse(&g.to_text()).unwrap());
    let (a, b) = (a.constant(a.outputs()[0].value).unwrap(), b.constant(b.outputs()[0].value).unwrap());
    assert_eq!(a, b);
    assert!(a.elements::<f32>().unwrap().iter().all(|x| (-1.0..1.0).contains(x)));
}

#[test]
fn dimensions_read_back() {
    let (n, h) = (Dim::symbol("N"), Dim::symbol("H"));
    let c = Dim::from_i64;
    let dims = [
        n.mul(&c(2)).add(&c(1)),
        h.add(&c(1)).div_floor(&c(3)).max_of(&n),
        n.mul(&h).sub(&c(4)).min_of(&c(7)),
        c(0).sub(&n).add(&h),
        Dim::symbol("max"),
        Dim::symbol("a b\"c\\"),
        Dim::symbol("?3"),
        c(5),
    ];
    let mut g = Graph::new("dims");
    let x = g.add_input("x", TensorType::new(DType::F32, dims.to_vec()));
    let u = g.add_input("u", TensorType::unranked(DType::I8));
    g.add_output("x", x);
    g.add_output("u", u);
    let again = Graph::parse(&g.to_text()).unwrap_or_else(|e| panic!("{e}\n{g}"));
    assert_eq!(again.ty(again.inputs()[0]).shape.as_deref(), Some(dims.as_slice()));
    assert_eq!(again.ty(again.inputs()[1]).shape, None);
    // A new symbol is none of those in the text.
    let mut again = again;
    assert_eq!(again.fresh_symbol(), Dim::symbol("?4"));
}

#[test]
fn mistakes_are_named_with_their_line() {
    let wrap = |body: &str| format!("graph \"g\" {{\n{body}\n}}");
    let deep = "(".repeat(200_000);
    let cases = [
        ("", "expected 'graph'"),
        (&wrap("input %x: f99[1]"), "no element type 'f99'"),
        (&wrap("input %x: f32[-1]"), "negative"),
        (&wrap("input %x: f32[99999999999999999999]"), "no number"),
        (&wrap(&format!("input %x: f32[{deep}")), "nests deeper"),
        (&wrap("input %x: f32[1]\ninput %x: f32[1]"), "line 3"),
        (&wrap("const %w: f32[2] = [1.0]"), "needs 8 bytes of data, found 4"),
        (&wrap("const %w: f32[2] = [1.0, x]"), "'x' is no element of type f32"),
        (&wrap("const %w: f32[N] = splat 0"), "known dimensions"),
        (&wrap("const %w: f32[1000000, 1000000] = splat 0"), "more than the limit"),
        (&wrap("const %w: f32[1000000000000, 1000000000000] = splat 0"), "more elements than this machine"),
        (&wrap("const %w: u8[1] = hex \"0\""), "hexadecimal"),
        (&wrap("const %w: u8[1] = [256]"), "'256' is no element of type u8"),
        (&wrap("%y = Relu(%x)"), "operator Relu"),
        (&wrap("%y = MatMul"), "expected '('"),
        (&wrap("%y = Conv((((((("), "operator Conv"),
        (&wrap("input %x \"unclosed: f32[1]"), "not closed"),
        (&wrap("output \"y\" = %x"), "%x is not defined"),
        (&wrap("input %x: f32[2]\n%y = Activation(Relu)(%x) + swirl(%x)"), "no epilogue step 'swirl'"),
        (&wrap("input %x: f32[2]\n%y = Activation(Relu)(%x) : f32[3]"), "recorded as f32[3] but inferred as f32[2]"),
        (&wrap("input %x: f32[2]\n%y, %z = Activation(Relu)(%x)"), "at most 1 outputs"),
        (&wrap("} x"), "text after the graph"),
        ("graph \"g\" {", "expected"),
    ];
    for (text, expected) in cases {
        let error = Graph::parse(text).expect_err(text.get(..80).unwrap_or(text)).to_string();
        assert!(error.contains(expected), "{error}\nshould have: {expected}");
    }
}

/// Cutting or changing the text anywhere never panics.
#[test]
fn damaged_text_is_an_error_or_a_graph() {
    let text = tiny().to_text();
    for i in (0..text.len()).filter(|&i| text.is_char_boundary(i)) {
        let _ = Graph::parse(&text[..i]);
        for c in ["(", "\"", "9", "-", "é", ""] {
            let _ = Graph::parse(&format!("{}{c}{}", &text[..i], &text[i + 1..]));
        }
    }
}

mod random {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Chains of random operators print and read back.
        #[test]
        fn graphs_read_back(steps in prop::collection::vec((0usize..8, 0usize..4), 1..24), symbolic: bool) {
            let mut g = Graph::new("random");
            let n = if symbolic { Dim::symbol("N") } else { Dim::from(4) };
            let x = g.add_input("x", TensorType::new(DType::F32, vec![n, 6.into()]));
            let mut values = vec![x];
            for (i, (kind, pick)) in steps.into_iter().enumerate() {
                let at = |k: usize| values[(pick + k * 7) % values.len()];
                let (a, b) = (at(0), at(1));
                let (op, inputs) = match kind {
                    0 => (Op::Activation(Act::LeakyRelu(0.1 * pick as f32)), vec![a]),
                    1 => (Op::Binary(Binary::Add), vec![a, b]),
                    2 => (Op::Unary(Unary::Exp), vec![a]),
                    3 => (Op::Concat(AxisAttrs { axis: -1 }), vec![a, b]),
                    4 => (Op::Flatten(AxisAttrs { axis: 1 }), vec![a]),
                    5 => (Op::Cast(CastAttrs { to: DType::F32 }), vec![a]),
                    6 => (Op::Identity, vec![a]),
                    _ => (Op::Size, vec![a]),
                };
                if let Ok(v) = g.append_one(&format!("n{i}"), op, &inputs)
                    && g.ty(v).dtype == DType::F32
                {
                    values.push(v);
                }
            }
            g.add_output("y", values[values.len() - 1]);
            let text = g.to_text();
            let again = Graph::parse(&text).unwrap();
            again.verify().unwrap();
            prop_assert_eq!(again.to_text(), text);
        }

        /// Whatever the text is, the parser answers.
        #[test]
        fn noise_is_an_error(text in "(graph|\"g\"|\\{|\\}|input|const|output|%x|:|=|f32|\\[|\\]|\\(|\\)|[0-9]|,|Conv|MatMul|_|\\+|-|\\*| |\n){0,60}") {
            prop_assert!(Graph::parse(&text).is_err() || text.contains("graph"));
        }
    }
}

#[test]
fn constants_kept_elsewhere_read_back() {
    let g = tiny();
    let mut kept = Vec::new();
    let text = g
        .to_text_with(&mut |t| {
            if t.len() < 10 {
                return None;
            }
            kept.push(t.shared().clone());
            Some(kept.len() - 1)
        })
        .unwrap();
    assert!(text.contains("= data 0") && !text.contains("splat") && text.contains("[0.1, -2.5, inf"), "{text}");
    let again = Graph::parse_with(&text, 1 << 10, &|i| kept.get(i).cloned()).unwrap();
    again.verify().unwrap();
    // Neither copied nor counted against the limit.
    assert_eq!(again.to_text(), g.to_text());
    let e = Graph::parse(&text).unwrap_err().to_string();
    assert!(e.contains("data 0"), "{e}");
    let short = Tensor::new(&[2], &[1f32, 2.0]).unwrap();
    let e = Graph::parse_with(&text, 1 << 10, &|_| Some(short.shared().clone())).unwrap_err().to_string();
    assert!(e.contains("864") && e.contains('8'), "{e}");
}
