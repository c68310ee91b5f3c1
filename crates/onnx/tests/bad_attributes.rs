//! Attributes that are zero, negative, too many, too few or unknown: the message names the node and the attribute.

mod common;

use common::*;
use paring_onnx::{ImportError, proto::*};

fn text(name: &str, s: &str) -> AttributeProto {
    let s = Some(s.as_bytes().to_vec().into());
    AttributeProto { name: name.into(), s, r#type: attribute_type::STRING, ..Default::default() }
}

/// Reads a model of one node, `it`, whose first input is `x [1, 4, 4, 4]` and whose others are weights of ones.
fn read_op(op: &str, weights: &[&[i64]], attributes: Vec<AttributeProto>) -> Result<paring_ir::Graph, ImportError> {
    let names: Vec<String> = (0..weights.len()).map(|i| format!("w{i}")).collect();
    let mut inputs = vec!["x"];
    inputs.extend(names.iter().map(String::as_str));
    let it = attributes.into_iter().fold(named("it", node(op, &inputs, &["y"])), with);
    let ones = |d: &[i64]| vec![1.0; d.iter().product::<i64>() as usize];
    let stored = names.iter().zip(weights).map(|(n, d)| floats(n, d, &ones(d))).collect();
    let mut g = graph(vec![it], stored);
    g.input[0] = value("x", FLOAT, &[1, 4, 4, 4]);
    let mut model = model(g);
    model.opset_import[0].version = 18;
    read(&model)
}

/// An operator with windows: its name, the shapes of its weights, and the attributes it needs.
type Windowed = (&'static str, Vec<&'static [i64]>, Vec<AttributeProto>);

fn windows() -> Vec<Windowed> {
    let kernel = || vec![ints("kernel_shape", &[2, 2])];
    vec![
        ("Conv", vec![&[4, 4, 2, 2]], vec![]),
        ("ConvTranspose", vec![&[4, 4, 2, 2]], vec![]),
        ("MaxPool", vec![], kernel()),
        ("AveragePool", vec![], kernel()),
        ("LpPool", vec![], kernel()),
    ]
}

#[test]
fn windows_of_zero_or_of_the_wrong_length() {
    for (op, weights, needed) in windows() {
        read_op(op, &weights, needed.clone()).unwrap_or_else(|e| panic!("{op}: {e}"));
        let refuse = |a: AttributeProto, words: &[&str]| {
            let name = a.name.clone();
            let mut all: Vec<AttributeProto> = needed.iter().filter(|n| n.name != name).cloned().collect();
            all.push(a);
            let error = refused(read_op(op, &weights, all), &["it", op]);
            assert!(words.iter().all(|w| error.to_string().contains(w)), "{op} {name}: {error}");
        };
        for name in ["strides", "dilations", "kernel_shape"] {
            if op == "ConvTranspose" && name == "kernel_shape" {
                refuse(ints(name, &[0, 2]), &[name]);
                continue;
            }
            for bad in [[0, 1], [1, 0], [-1, 1], [i64::MIN, 1], [i64::MAX, 1]] {
                refuse(ints(name, &bad), &[name]);
            }
            for bad in [&[1][..], &[1, 1, 1], &[]] {
                refuse(ints(name, bad), &[]);
            }
        }
        for bad in [&[1, 1][..], &[1, 1, 1], &[1; 5], &[-1, 0, 0, 0], &[i64::MAX, 0, 0, 0]] {
            refuse(ints("pads", bad), &["pad"]);
        }
        refuse(text("auto_pad", "SOMEHOW"), &["auto_pad", "SOMEHOW"]);
    }
    refused(read_op("MaxPool", &[], vec![]), &["it", "kernel_shape"]);
    let larger = vec![ints("kernel_shape", &[5, 5])];
    for op in ["MaxPool", "AveragePool", "LpPool"] {
        refused(read_op(op, &[], larger.clone()), &["it", "window of 5", "input of 4"]);
    }
    for p in [0, -1, 1 << 40] {
        let attributes = vec![ints("kernel_shape", &[2, 2]), int("p", p)];
        refused(read_op("LpPool", &[], attributes), &["it", "'p'", &p.to_string()]);
    }
}

#[test]
fn convolutions_of_no_channels_groups_or_outputs() {
    for op in ["Conv", "ConvTranspose"] {
        for group in [0, -1, 3, 5, i64::MAX] {
            refused(read_op(op, &[&[4, 4, 2, 2]], vec![int("group", group)]), &["it", "group"]);
        }
        refused(read_op(op, &[&[0, 4, 2, 2]], vec![]), &["it", "0"]);
        refused(read_op(op, &[&[4, 0, 2, 2]], vec![]), &["it", "0"]);
        refused(read_op(op, &[&[4, 4, 0, 2]], vec![]), &["it", "0"]);
        refused(read_op(op, &[&[4, 4, 2]], vec![]), &["it", "rank"]);
    }
    refused(read_op("Conv", &[&[4, 3, 2, 2]], vec![]), &["it", "4", "3"]);
    refused(read_op("ConvTranspose", &[&[3, 4, 2, 2]], vec![]), &["it", "4", "3"]);
    for (name, bad) in [
        ("output_padding", &[1][..]),
        ("output_padding", &[-1, 0]),
        ("output_padding", &[i64::MAX, 0]),
        ("output_shape", &[8]),
        ("output_shape", &[0, 8]),
        ("output_shape", &[-8, 8]),
    ] {
        let found = read_op("ConvTranspose", &[&[4, 4, 2, 2]], vec![ints(name, bad)]);
        refused(found, &["it", &name[..6]]);
    }
    let mut g =
        graph(vec![named("it", node("Conv", &["x", "w"], &["y"]))], vec![floats("w", &[1, 2, 3, 3], &[1.0; 18])]);
    g.input[0] = value("x", FLOAT, &[1, 0, 4, 4]);
    refused(read(&model(g.clone())), &["it", "channels"]);
    g.input[0] = value("x", FLOAT, &[1, 2, 0, 4]);
    refused(read(&model(g)), &["it", "axis 0"]);
}

#[test]
fn sizes_and_groups_of_zero() {
    let c: &[i64] = &[4];
    for (op, weights, name) in [
        ("LRN", vec![], "size"),
        ("GroupNormalization", vec![c, c], "num_groups"),
        ("DepthToSpace", vec![], "blocksize"),
        ("SpaceToDepth", vec![], "blocksize"),
    ] {
        for bad in [0, -1, i64::MAX] {
            refused(read_op(op, &weights, vec![int(name, bad)]), &["it", op, name]);
        }
        refused(read_op(op, &weights, vec![]), &["it", op, name]);
    }
    refused(read_op("DepthToSpace", &[], vec![int("blocksize", 1 << 30)]), &["it", "channels"]);
    refused(read_op("RoiAlign", &[&[1, 4], &[1]], vec![int("output_height", 0)]), &["it"]);
    for axis in [4, -5, i64::MIN, i64::MAX] {
        for op in ["Concat", "Softmax", "ArgMax", "Hardmax", "LpNormalization", "Split", "Flatten", "Gather"] {
            // One beyond the last is where Flatten may still cut.
            if op != "Flatten" || axis != 4 {
                refused(read_op(op, &[], vec![int("axis", axis)]), &["it"]);
            }
        }
    }
    for perm in [&[0, 1, 2][..], &[0, 1, 2, 2], &[0, 1, 2, 4], &[-1, 0, 1, 2], &[0, 1, 2, 3, 4]] {
        refused(read_op("Transpose", &[], vec![ints("perm", perm)]), &["it", "perm"]);
    }
}

#[test]
fn enumerations_that_nobody_knows() {
    for (op, name) in [
        ("DepthToSpace", "mode"),
        ("Pad", "mode"),
        ("Resize", "mode"),
        ("Resize", "nearest_mode"),
        ("Resize", "coordinate_transformation_mode"),
        ("ScatterElements", "reduction"),
        ("GridSample", "padding_mode"),
        ("Gelu", "approximate"),
    ] {
        let mut all = vec![text(name, "sideways")];
        if op == "DepthToSpace" {
            all.push(int("blocksize", 2));
        }
        let weights: &[&[i64]] = &[&[4], &[4]];
        let mut proto = graph(
            vec![all.into_iter().fold(named("it", node(op, &["x", "w0", "w1"], &["y"])), with)],
            vec![floats("w0", weights[0], &[1.0; 4]), floats("w1", weights[1], &[1.0; 4])],
        );
        proto.input[0] = value("x", FLOAT, &[1, 4, 4, 4]);
        let mut proto = model(proto);
        proto.opset_import[0].version = 20;
        refused(read(&proto), &["it", op, name, "sideways"]);
    }
    let unknown = TensorProto { data_location: 7, ..floats("w", &[1], &[1.0]) };
    refused(read(&model(graph(vec![node("Add", &["x", "w"], &["y"])], vec![unknown]))), &["'w'", "location 7"]);
    let mut kind = int("axis", 1);
    kind.r#type = 99;
    refused(read_op("Flatten", &[], vec![kind]), &["it", "axis", "another type"]);
    let not_text = AttributeProto { s: Some(vec![0xff, 0xfe].into()), ..text("auto_pad", "") };
    refused(read_op("Conv", &[&[4, 4, 2, 2]], vec![not_text]), &["it", "auto_pad", "UTF-8"]);
    refused(read_op("Conv", &[&[4, 4, 2, 2]], vec![text("auto_pad", "VALID\0")]), &["it", "auto_pad"]);
}

#[test]
fn operands_that_are_missing_or_too_many() {
    let read_io = |op: &str, inputs: &[&str], outputs: &[&str]| {
        let weights = vec![floats("w", &[4, 2, 1, 1], &[1.0; 8])];
        read(&model(graph(vec![named("it", node(op, inputs, outputs))], weights)))
    };
    for (op, inputs) in [("Conv", &["x"][..]), ("Conv", &["", "w"]), ("Conv", &[]), ("Add", &["x"]), ("Concat", &[])] {
        refused(read_io(op, inputs, &["y"]), &["it", op]);
    }
    refused(read_io("Relu", &["x", "x", "x"], &["y"]), &["it", "Relu", "at most 1", "3"]);
    refused(read_io("Add", &["x", "x", "x"], &["y"]), &["it", "Add", "at most 2", "3"]);
    refused(read_io("Relu", &["x"], &["y", "z"]), &["it", "2"]);
    refused(read_io("Relu", &["x"], &[]), &["output", "'y'"]);
}
