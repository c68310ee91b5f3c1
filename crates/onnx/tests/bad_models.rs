//! Models that are readable but wrong: the message names the culprit.

mod common;

use common::*;
use paring_onnx::{ImportError, proto::*};

fn with_tensor(tensor: TensorProto) -> Result<paring_ir::Graph, ImportError> {
    read(&model(graph(vec![node("Add", &["x", "w"], &["y"])], vec![tensor])))
}

#[test]
fn data_that_does_not_fit_the_shape() {
    refused(with_tensor(floats("w", &[3], &[1.0; 2])), &["'w'", "12 bytes", "8"]);
    let typed = TensorProto { raw_data: None, float_data: vec![1.0; 5], ..floats("w", &[3], &[]) };
    refused(with_tensor(typed), &["'w'", "needs 3", "holds 5"]);
    // The data is there, but in the field of another type.
    let confused = TensorProto { raw_data: None, int64_data: vec![1; 3], ..floats("w", &[3], &[]) };
    refused(with_tensor(confused), &["'w'", "float_data holds 0"]);
}

#[test]
fn impossible_shapes() {
    refused(with_tensor(floats("w", &[-1, 4], &[1.0; 4])), &["'w'", "-1"]);
    refused(with_tensor(floats("w", &[i64::MAX, 4], &[])), &["'w'"]);
    refused(with_tensor(floats("w", &[1 << 40, 1 << 20], &[])), &["'w'"]);
    refused(with_tensor(floats("w", &[1; 100], &[1.0])), &["'w'", "rank 100"]);
    let mut g = graph(vec![node("Relu", &["x"], &["y"])], Vec::new());
    g.input[0] = value("x", FLOAT, &[i64::MAX, i64::MAX]);
    refused(read(&model(g.clone())), &["'x'"]);
    g.input[0] = value("x", FLOAT, &[-7]);
    refused(read(&model(g)), &["'x'", "-7"]);
}

#[test]
fn unsupported_element_types() {
    let types = [
        (8, "string"),
        (14, "complex64"),
        (15, "complex128"),
        (17, "float8e4m3fn"),
        (20, "float8e5m2fnuz"),
        (21, "uint4"),
        (22, "int4"),
        (23, "float4e2m1"),
        (26, "int2"),
    ];
    for (number, name) in types {
        let byte = Some(bytes::Bytes::from_static(&[0]));
        let dims = if name.ends_with('2') { vec![4] } else { vec![2] };
        let of_type = |name: &str| TensorProto {
            data_type: number,
            dims: dims.clone(),
            raw_data: byte.clone(),
            ..floats(name, &[2], &[])
        };
        let error = refused(with_tensor(of_type("w")), &["tensor 'w'", name, "not supported"]);
        assert!(matches!(error, ImportError::UnsupportedType { .. }), "{error}");
        let mut g = graph(vec![node("Identity", &["x"], &["y"])], Vec::new());
        g.input[0] = value("x", number, &[2]);
        let error = refused(read(&model(g)), &["input 'x'", name, "not supported"]);
        assert!(matches!(error, ImportError::UnsupportedType { .. }), "{error}");
        // Within a node it is the node that is not supported, told with all others.
        let constant = named("c", with(node("Constant", &[], &["a"]), tensor("value", of_type(""))));
        let cast = named("k", with(node("Cast", &["x"], &["b"]), int("to", number.into())));
        let error = refused(read_nodes(vec![constant, cast, node("Add", &["a", "b"], &["y"])]), &["'c'", "'k'", name]);
        assert!(matches!(&error, ImportError::Unsupported(all) if all.len() == 2), "{error}");
    }
    let unknown = TensorProto { data_type: 99, ..floats("w", &[2], &[1.0]) };
    let error = refused(with_tensor(unknown), &["'w'", "unknown element type 99"]);
    assert!(matches!(error, ImportError::Tensor { .. }), "{error}");
    let undefined = with(node("Cast", &["x"], &["y"]), int("to", 99));
    assert!(matches!(read_nodes(vec![undefined]).unwrap_err(), ImportError::Node { .. }));
}

/// Narrow integers are bytes here, which only `DequantizeLinear` takes for the same.
#[test]
fn integers_narrower_than_a_byte() {
    let packed = |ty: i32, dims: &[i64], data: &'static [u8]| TensorProto {
        data_type: ty,
        raw_data: Some(bytes::Bytes::from_static(data)),
        dims: dims.to_vec(),
        ..floats("w", &[1], &[])
    };
    let reading = |t: TensorProto| {
        let nodes = vec![node("DequantizeLinear", &["w", "s"], &["y"])];
        read(&model(graph(nodes, vec![t, floats("s", &[], &[1.0])])))
    };
    let elements = |t: TensorProto| {
        let g = reading(t).unwrap();
        let (_, node) = g.nodes().find(|(_, n)| n.op.name() == "DequantizeLinear").unwrap();
        g.constant(node.input(0).unwrap()).unwrap().to_i64s().unwrap()
    };
    assert_eq!(elements(packed(22, &[3], &[0x8f, 0x07])), [-1, -8, 7]);
    assert_eq!(elements(packed(21, &[2, 2], &[0x8f, 0x07])), [15, 8, 7, 0]);
    assert_eq!(elements(packed(26, &[5], &[0b1110_0100, 0b10])), [0, 1, -2, -1, -2]);
    assert_eq!(elements(packed(25, &[4], &[0b1110_0100])), [0, 1, 2, 3]);
    let typed = TensorProto { raw_data: None, int32_data: vec![0x8f, 0x07], ..packed(22, &[3], &[]) };
    assert_eq!(elements(typed), [-1, -8, 7]);

    refused(reading(packed(22, &[3], &[0x8f])), &["'w'", "3 elements of int4 need 2 bytes", "there are 1"]);
    refused(reading(packed(26, &[1 << 40, 1 << 30], &[0])), &["'w'"]);
    refused(reading(packed(25, &[-1], &[0])), &["'w'", "-1"]);
    for (op, inputs) in [("QuantizeLinear", &["x", "s", "w"][..]), ("Reshape", &["w", "s"]), ("Add", &["x", "w"])] {
        let g =
            graph(vec![named("n", node(op, inputs, &["y"]))], vec![packed(22, &[2], &[0]), floats("s", &[], &[1.0])]);
        refused(read(&model(g)), &["'w'", "int4", "'n'", "DequantizeLinear"]);
    }
    let mut g = graph(vec![node("Relu", &["x"], &["y"])], vec![packed(22, &[2], &[0])]);
    g.output.push(value("w", 22, &[2]));
    refused(read(&model(g)), &["'w'", "int4", "output"]);
}

#[test]
fn zero_strides_groups_kernels_and_wrong_lengths() {
    let conv = |a: AttributeProto| {
        let n = named("first", with(node("Conv", &["x", "w"], &["y"]), a));
        read(&model(graph(vec![n], vec![floats("w", &[1, 2, 3, 3], &[0.0; 18])])))
    };
    refused(conv(ints("strides", &[0, 1])), &["'first'", "Conv", "strides", "at least 1"]);
    refused(conv(ints("dilations", &[1, 0])), &["'first'", "dilations"]);
    refused(conv(int("group", 0)), &["'first'", "group"]);
    refused(conv(int("group", -3)), &["'first'", "group", "-3"]);
    refused(conv(ints("strides", &[1, 1, 1])), &["'first'", "strides", "3 entries", "expected 2"]);
    refused(conv(ints("pads", &[1, 1])), &["'first'", "pads", "2 entries", "expected 4"]);
    refused(conv(ints("kernel_shape", &[0, 3])), &["'first'", "kernel_shape"]);
    refused(conv(ints("strides", &[i64::MAX, 1])), &["'first'", "strides"]);
    refused(conv(ints("kernel_shape", &[5, 5])), &["first"]);
    conv(ints("strides", &[2, 1])).unwrap();
}

#[test]
fn attributes_of_the_wrong_type_twice_or_unknown() {
    refused(read_nodes(vec![with(node("Flatten", &["x"], &["y"]), ints("axis", &[1]))]), &["axis", "an int", "ints"]);
    let twice = with(with(node("Flatten", &["x"], &["y"]), int("axis", 1)), int("axis", 1));
    refused(read_nodes(vec![twice]), &["Flatten_0", "'axis'", "twice"]);
    let unknown = with(node("Relu", &["x"], &["y"]), int("fancy", 1));
    refused(read_nodes(vec![unknown]), &["Relu_0", "unknown attribute 'fancy'"]);
}

#[test]
fn undefined_duplicate_and_missing_names() {
    refused(read_nodes(vec![node("Add", &["x", "nowhere"], &["y"])]), &["Add_0", "'nowhere'"]);
    refused(read_nodes(vec![node("Relu", &["x"], &["z"])]), &["output", "'y'"]);
    let twice = vec![named("a", node("Relu", &["x"], &["y"])), named("b", node("Relu", &["x"], &["y"]))];
    refused(read_nodes(twice), &["'y'", "'a'", "'b'"]);
    let redefined = vec![node("Constant", &[], &["x"]), node("Relu", &["x"], &["y"])];
    let redefined = redefined.into_iter().map(|n| if n.input.is_empty() { with(n, int("value_int", 1)) } else { n });
    refused(read_nodes(redefined.collect()), &["'x'", "an input", "Constant_0"]);
    refused(read_nodes(vec![node("Relu", &["x"], &["x"])]), &["circle", "Relu_0"]);
    refused(read_nodes(vec![node("Add", &["x", ""], &["y"])]), &["Add_0", "input 1 is missing"]);
    let mut g = graph(vec![node("Relu", &["x"], &["y"])], Vec::new());
    g.initializer = vec![floats("w", &[1], &[1.0]), floats("w", &[1], &[1.0])];
    refused(read(&model(g)), &["'w'", "twice"]);
}

#[test]
fn circles_and_functions_that_call_themselves() {
    let circle = vec![
        named("p", node("Add", &["x", "b"], &["a"])),
        named("q", node("Relu", &["a"], &["b"])),
        named("r", node("Relu", &["a"], &["y"])),
    ];
    let error = refused(read_nodes(circle), &["circle", "'p'"]);
    assert!(matches!(error, ImportError::Cycle(_)));

    let opset_import = vec![
        OperatorSetIdProto { domain: String::new(), version: 17 },
        OperatorSetIdProto { domain: "my".into(), version: 1 },
    ];
    let call = NodeProto { domain: "my".into(), ..node("F", &["x"], &["y"]) };
    let function = FunctionProto {
        name: "F".into(),
        domain: "my".into(),
        input: vec!["x".into()],
        output: vec!["y".into()],
        node: vec![call.clone()],
        opset_import: opset_import.clone(),
        ..Default::default()
    };
    let mut proto = model(graph(vec![call], Vec::new()));
    proto.opset_import = opset_import;
    proto.functions = vec![function];
    refused(read(&proto), &["'F'", "calls itself"]);
    proto.functions[0].node = vec![node("Relu", &["x"], &["t"]), node("Neg", &["t"], &["y"])];
    assert_eq!(read(&proto).unwrap().node_count(), 2);
}

#[test]
fn functions_that_call_functions_cannot_explode() {
    let opset_import = vec![
        OperatorSetIdProto { domain: String::new(), version: 17 },
        OperatorSetIdProto { domain: "my".into(), version: 1 },
    ];
    let call =
        |k: usize, from: &str, to: &str| NodeProto { domain: "my".into(), ..node(&format!("F{k}"), &[from], &[to]) };
    let functions = (0..40).map(|k| FunctionProto {
        name: format!("F{k}"),
        domain: "my".into(),
        input: vec!["x".into()],
        output: vec!["y".into()],
        node: if k == 0 {
            vec![node("Relu", &["x"], &["y"])]
        } else {
            vec![call(k - 1, "x", "t"), call(k - 1, "t", "y")]
        },
        opset_import: opset_import.clone(),
        ..Default::default()
    });
    let mut proto = model(graph(vec![call(39, "x", "y")], Vec::new()));
    proto.functions = functions.collect();
    proto.opset_import = opset_import;
    let mut options = paring_onnx::ImportOptions::default();
    options.limits.nodes = 10_000;
    let bytes = prost::Message::encode_to_vec(&proto);
    refused(paring_onnx::import(bytes.into(), &options), &["nodes after inlining"]);
}

#[test]
fn everything_unsupported_is_told_at_once() {
    let nodes = vec![
        named("one", node("Nope", &["x"], &["a"])),
        named("two", node("Relu", &["a"], &["b"])),
        named("three", NodeProto { domain: "org.example".into(), ..node("Custom", &["b"], &["c"]) }),
        node("RandomNormal", &["c"], &["d"]),
        with(node("BatchNormalization", &["x", "s", "s", "s", "s"], &["e"]), int("training_mode", 1)),
        node("Add", &["d", "e"], &["y"]),
    ];
    let g = graph(nodes, vec![floats("s", &[2], &[1.0; 2])]);
    let error = refused(read(&model(g)), &["4 nodes", "'one'", "Nope", "17", "org.example", "training_mode"]);
    let ImportError::Unsupported(ops) = error else { panic!("{error}") };
    let names: Vec<&str> = ops.iter().map(|o| o.node.as_str()).collect();
    assert_eq!(names, ["one", "three", "RandomNormal_3", "BatchNormalization_4"]);
}

#[test]
fn operators_younger_than_the_operator_set() {
    refused(read_nodes(vec![node("Mish", &["x"], &["y"])]), &["Mish", "18"]);
}

#[test]
fn sparse_tensors_that_are_not_sorted_or_out_of_range() {
    let sparse = |indices: Vec<i64>| {
        let count = indices.len() as i64;
        let values = floats("w", &[count], &vec![1.0; indices.len()]);
        let indices = TensorProto { dims: vec![count], data_type: INT64, int64_data: indices, ..Default::default() };
        let mut g = graph(vec![node("Add", &["x", "w"], &["y"])], Vec::new());
        g.sparse_initializer = vec![SparseTensorProto { values: Some(values), indices: Some(indices), dims: vec![4] }];
        read(&model(g))
    };
    refused(sparse(vec![2, 1]), &["'w'", "ascending"]);
    refused(sparse(vec![1, 1]), &["'w'", "ascending"]);
    refused(sparse(vec![0, 4]), &["'w'", "out of range"]);
    refused(sparse(vec![-1, 2]), &["'w'", "out of range"]);
    let g = sparse(vec![1, 3]).unwrap();
    let (_, w) = g.values().find(|(_, v)| v.name == "w").unwrap();
    assert_eq!(w.fact.constant.as_ref().unwrap().elements::<f32>().unwrap().to_vec(), [0.0, 1.0, 0.0, 1.0]);
}

#[test]
fn inputs_that_are_no_tensors() {
    let kinds = [
        (TypeKind::Sequence(Vec::new()), "sequence"),
        (TypeKind::Map(Vec::new()), "map"),
        (TypeKind::SparseTensor(Vec::new()), "sparse tensor"),
        (TypeKind::Optional(Vec::new()), "optional"),
    ];
    for (kind, says) in kinds {
        let mut g = graph(vec![node("Relu", &["x"], &["y"])], Vec::new());
        g.input[0].r#type = Some(TypeProto { value: Some(kind) });
        let error = refused(read(&model(g)), &["'x'", says, "not supported"]);
        assert!(matches!(error, ImportError::UnsupportedType { .. }), "{error}");
    }
    let mut g = graph(vec![node("Relu", &["x"], &["y"])], Vec::new());
    g.input[0].r#type = None;
    refused(read(&model(g)), &["'x'", "no type"]);
}

#[test]
fn loops_are_named() {
    let body = graph(vec![node("Relu", &["x"], &["y"])], Vec::new());
    let nodes = vec![named("l", with(node("Loop", &["x"], &["y"]), subgraph("body", body)))];
    refused(read_nodes(nodes), &["'l'", "Loop", "not implemented"]);
}
