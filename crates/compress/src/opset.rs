//! To a later operator set, where all that a network uses means the same there.

use crate::net::{Net, is_standard};
use paring_onnx::proto::NodeProto;

/// Operators that mean the same from operator set 13 to 21: what changed is which element types they take, or attributes
/// that without being given mean what there was before.
const STEADY: &[&str] = &[
    "Abs",
    "Add",
    "And",
    "ArgMax",
    "ArgMin",
    "Cast",
    "Ceil",
    "Clip",
    "Concat",
    "Constant",
    "ConstantOfShape",
    "Conv",
    "ConvTranspose",
    "DepthToSpace",
    "Div",
    "Elu",
    "Equal",
    "Erf",
    "Exp",
    "Expand",
    "Flatten",
    "Floor",
    "Gather",
    "Gemm",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "Greater",
    "HardSigmoid",
    "HardSwish",
    "Identity",
    "InstanceNormalization",
    "LRN",
    "LayerNormalization",
    "LeakyRelu",
    "Less",
    "Log",
    "LogSoftmax",
    "MatMul",
    "Max",
    "MaxPool",
    "Min",
    "Mul",
    "Neg",
    "Not",
    "Or",
    "PRelu",
    "Pow",
    "Reciprocal",
    "ReduceSum",
    "Relu",
    "Reshape",
    "Round",
    "Selu",
    "Shape",
    "Sigmoid",
    "Sign",
    "Slice",
    "Softmax",
    "Softplus",
    "Softsign",
    "SpaceToDepth",
    "Sqrt",
    "Squeeze",
    "Sub",
    "Sum",
    "Tanh",
    "Tile",
    "Transpose",
    "Unsqueeze",
    "Where",
];
/// Where what [`STEADY`] says begins and ends.
const FROM: i64 = 13;
const TO: i64 = 21;

/// Makes the network one of operator set `version`, if need be; whether it is one of that or a later one then.
pub fn raise(net: &mut Net, version: i64) -> bool {
    if net.opset() >= version {
        return true;
    }
    // Functions and graphs within nodes have operators of their own.
    let possible = (FROM..=TO).contains(&net.opset())
        && version <= TO
        && !net.has_functions()
        && net.graph.node.iter().all(steady);
    if possible {
        net.set_opset(version);
    }
    possible
}

fn steady(node: &NodeProto) -> bool {
    let inner = node.attribute.iter().any(|a| a.g.is_some() || !a.graphs.is_empty());
    let used = node.output.iter().filter(|o| !o.is_empty()).count();
    let known = match node.op_type.as_str() {
        // While training they differ, and say so by further outputs.
        "BatchNormalization" | "Dropout" => used == 1,
        op => STEADY.contains(&op),
    };
    !inner && (known || !is_standard(node))
}

#[cfg(test)]
mod tests {
    use super::*;
    use paring_onnx::proto::GraphProto;

    fn net(op: &str, opset: i64) -> Net {
        let node = NodeProto { op_type: op.into(), output: vec!["y".into()], ..NodeProto::default() };
        let mut net = Net::of(GraphProto { node: vec![node], ..GraphProto::default() });
        net.import_opset(opset);
        net
    }

    #[test]
    fn only_what_means_the_same_is_raised() {
        for (op, from, to, possible) in [
            ("Conv", 13, 21, true),
            ("Conv", 12, 21, false),
            ("Conv", 17, 25, false),
            ("Conv", 25, 21, true),
            ("BatchNormalization", 17, 21, true),
            ("ReduceMean", 17, 21, false),
            ("Resize", 17, 21, false),
            ("Resize", 21, 21, true),
        ] {
            let mut net = net(op, from);
            assert_eq!(raise(&mut net, to), possible, "{op} from {from} to {to}");
            assert_eq!(net.opset(), if possible { from.max(to) } else { from });
        }
        let mut training = net("BatchNormalization", 13);
        training.graph.node[0].output.push("mean".into());
        assert!(!raise(&mut training, 21));
    }
}
