//! Batch norms after convolutions, folded into their weights.

use crate::net::{Index, Names, Net, float, floats_tensor, int, is_standard, operand};
use paring_onnx::proto::{NodeProto, TensorProto};
use std::collections::HashSet;

/// A convolution with the batch norm after it.
struct Fold {
    conv: usize,
    norm: usize,
    weights: TensorProto,
    bias: TensorProto,
}

/// Folds every batch norm that is the only reader of a convolution with constant weights.
pub fn fold_batch_norms(net: &mut Net) {
    let mut names = Names::of(&net.graph);
    let index = Index::of(&net.graph);
    let nodes = net.graph.node.iter().enumerate();
    let folds: Vec<Fold> = nodes.filter_map(|(i, n)| fold(&index, &net.graph.node, &mut names, i, n)).collect();
    let gone: HashSet<usize> = folds.iter().map(|f| f.norm).collect();
    for f in folds {
        let output = net.graph.node[f.norm].output[0].clone();
        let conv = &mut net.graph.node[f.conv];
        conv.input.truncate(1);
        conv.input.extend([f.weights.name.clone(), f.bias.name.clone()]);
        conv.output[0] = output;
        net.graph.initializer.extend([f.weights, f.bias]);
    }
    let mut at = 0..;
    net.graph.node.retain(|_| !gone.contains(&at.next().unwrap_or(usize::MAX)));
    net.drop_unused();
}

fn fold(index: &Index<'_>, nodes: &[NodeProto], names: &mut Names, at: usize, conv: &NodeProto) -> Option<Fold> {
    if conv.op_type != "Conv" || !is_standard(conv) {
        return None;
    }
    let norm = index.only_reader(conv.output.first()?)?;
    let bn = &nodes[norm];
    let used = bn.output.iter().filter(|o| !o.is_empty()).count();
    let plain = bn.op_type == "BatchNormalization" && is_standard(bn) && int(bn, "training_mode", 0) == 0 && used == 1;
    let first = bn.output.first().is_some_and(|o| !o.is_empty());
    if !plain || !first || bn.input.first() != conv.output.first() {
        return None;
    }
    let (mut weights, dims) = index.floats(operand(conv, 1)?)?;
    let channels = *dims.first()?;
    let vector = |name: &str| index.floats(name).map(|(v, _)| v).filter(|v| v.len() == channels);
    let [scale, shift, mean, variance] = [1, 2, 3, 4].map(|i| operand(bn, i).and_then(vector));
    let (scale, shift, mean, variance) = (scale?, shift?, mean?, variance?);
    let bias = match operand(conv, 2) {
        Some(name) => vector(name)?,
        None => vec![0.0; channels],
    };
    let epsilon = f64::from(float(bn, "epsilon", 1e-5));
    let factor = |c: usize| f64::from(scale[c]) / (f64::from(variance[c]) + epsilon).sqrt();
    let each = weights.len().checked_div(channels)?;
    for (c, row) in weights.chunks_exact_mut(each.max(1)).enumerate() {
        row.iter_mut().for_each(|w| *w = (f64::from(*w) * factor(c)) as f32);
    }
    let moved = |(c, b): (usize, &f32)| (f64::from(*b) - f64::from(mean[c])) * factor(c) + f64::from(shift[c]);
    let bias: Vec<f32> = bias.iter().enumerate().map(moved).map(|b| b as f32).collect();
    // Nonsense in a norm's variance must not spread to the weights of a whole layer.
    if weights.iter().chain(&bias).any(|v| !v.is_finite()) {
        return None;
    }
    let name = names.fresh(&format!("{}.folded", operand(conv, 1)?));
    let weights = floats_tensor(&name, &dims, &weights);
    let name = names.fresh(&format!("{}.bias", operand(conv, 1)?));
    Some(Fold { conv: at, norm, weights, bias: floats_tensor(&name, &[channels], &bias) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::title;
    use paring_onnx::proto::GraphProto;

    fn node(op: &str, input: &[&str], output: &str) -> NodeProto {
        NodeProto {
            op_type: op.into(),
            input: input.iter().map(|i| (*i).into()).collect(),
            output: vec![output.into()],
            ..NodeProto::default()
        }
    }

    /// A convolution of two channels with a batch norm, its output read by as many more nodes.
    fn net(readers: usize, variance: f32) -> Net {
        let mut net = Net::of(GraphProto::default());
        net.graph.node = vec![
            node("Conv", &["x", "w"], "c"),
            node("BatchNormalization", &["c", "scale", "shift", "mean", "variance"], "y"),
        ];
        net.graph.node.extend((0..readers).map(|i| node("Relu", &["c"], &format!("r{i}"))));
        net.graph.initializer = vec![
            floats_tensor("w", &[2, 1, 1, 2], &[1.0, 2.0, 3.0, 4.0]),
            floats_tensor("scale", &[2], &[2.0, 1.0]),
            floats_tensor("shift", &[2], &[0.5, -1.0]),
            floats_tensor("mean", &[2], &[1.0, 3.0]),
            floats_tensor("variance", &[2], &[4.0 - 1e-5, variance]),
        ];
        net
    }

    #[test]
    fn a_norm_becomes_weights_and_bias() {
        let mut net = net(0, 0.25 - 1e-5);
        fold_batch_norms(&mut net);
        let [conv] = &net.graph.node[..] else { panic!("{:?}", net.graph.node) };
        assert_eq!((conv.op_type.as_str(), title(conv), net.graph.initializer.len()), ("Conv", "y", 2));
        let index = Index::of(&net.graph);
        let near = |i: usize, want: &[f32]| {
            let (found, _) = index.floats(&conv.input[i]).expect("a constant");
            assert!(found.iter().zip(want).all(|(f, w)| (f - w).abs() < 1e-5), "{found:?}");
        };
        near(1, &[1.0, 2.0, 6.0, 8.0]);
        near(2, &[-0.5, -7.0]);
    }

    #[test]
    fn norms_stay_where_others_read_the_convolution_or_nonsense_would_come_out() {
        for (readers, variance) in [(1, 1.0), (0, -1.0), (0, f32::NAN)] {
            let mut net = net(readers, variance);
            fold_batch_norms(&mut net);
            assert_eq!(net.graph.node.len(), 2 + readers, "{readers} {variance}");
        }
    }
}
