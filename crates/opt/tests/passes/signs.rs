//! Networks of signs on signs.

use crate::common::becomes;

const PASSES: &[&str] = &["canonicalize", "fold-constants", "fuse-epilogues", "signs", "dead-outputs"];
const CONV: &str = "Conv(kernel: [3, 3], stride: [1, 1], dilation: [1, 1], padding: SameUpper, groups: 1)";

/// Numbers, weights of one magnitude for each output channel, and whatever follows.
fn network(tail: &str) -> String {
    format!(
        "input %x: f32[1, 3, 6, 5]
         const %zero: f32[] = [0.0]
         const %one: f32[] = [1.0]
         const %two: f32[] = [2.0]
         const %minus: f32[] = [-1.0]
         const %tenth: f32[] = [0.1]
         const %w: f32[4, 3, 3, 3] = splat 0.5
         {tail}
         output \"o\" = %o"
    )
}

#[test]
fn every_way_to_write_signs_is_read() {
    for (signs, of_zero) in [
        ("%s = Unary(Sign)(%x)", 0),
        ("%c = Binary(GreaterOrEqual)(%x, %zero)\n %s = Where(%c, %one, %minus)", 1),
        ("%c = Binary(Greater)(%x, %zero)\n %s = Where(%c, %one, %minus)", -1),
        ("%c = Binary(Less)(%x, %zero)\n %s = Where(%c, %minus, %one)", 1),
        ("%a = Unary(Sign)(%x)\n %b = Binary(Add)(%a, %tenth)\n %s = Unary(Sign)(%b)", 1),
        (
            "%c = Binary(GreaterOrEqual)(%x, %zero)\n %n = Cast(to: F32)(%c)\n %d = Binary(Mul)(%n, %two)
             %s = Binary(Sub)(%d, %one)",
            1,
        ),
    ] {
        let (graph, _) =
            becomes(&network(&format!("{signs}\n %o = {CONV}(%s, %w)")), PASSES, &["Identity+sign", "Conv"]);
        assert!(graph.to_text().contains(&format!("sign({of_zero})")), "{signs}: {graph}");
    }
}

#[test]
fn batch_norms_end_in_signs_where_nothing_else_reads_them() {
    let norm = "const %v: f32[3] = splat 1.0
                const %m: f32[3] = random 3
                %n = BatchNorm(epsilon: 1e-5)(%x, %v, %m, %m, %v)
                %s = Unary(Sign)(%n)";
    becomes(&network(&format!("{norm}\n %o = {CONV}(%s, %w)")), PASSES, &["BatchNorm+sign", "Conv"]);
    let twice = format!(
        "{norm}\n %c = {CONV}(%s, %w)\n %r = Activation(Tanh)(%n)\n output \"r\" = %r\n %o = Activation(Tanh)(%c)"
    );
    becomes(&network(&twice), PASSES, &["BatchNorm", "Tanh", "Identity+sign", "Conv+act"]);
}

#[test]
fn signs_are_moved_as_signs() {
    let text = network(
        "const %d: f32[180, 4] = splat -2.0
         %s = Unary(Sign)(%x)
         %t = Activation(Tanh)(%x)
         %u = Unary(Sign)(%t)
         %p = Concat(axis: 1)(%s, %u)
         %f = Flatten(axis: 1)(%p)
         %o = Dense(transposed: false)(%f, %d)",
    );
    let (graph, _) = becomes(&text, PASSES, &["Tanh", "Identity+sign", "Identity+sign", "Concat", "Flatten", "Dense"]);
    assert!(graph.to_text().contains("sign[1, 180]"), "{graph}");
}

#[test]
fn other_weights_read_numbers() {
    let mixed = "const %u: f32[4, 3, 3, 3] = random 7\n %s = Unary(Sign)(%x)";
    let (_, report) = becomes(&network(&format!("{mixed}\n %o = {CONV}(%s, %u)")), PASSES, &["Sign", "Conv"]);
    assert!(report.remarks.iter().any(|r| r.reason.contains("more than one magnitude")), "{:?}", report.remarks);
    let none = "%c = Binary(Greater)(%x, %zero)\n %s = Where(%c, %minus, %one)";
    becomes(&network(&format!("{none}\n %o = {CONV}(%s, %w)")), PASSES, &["Greater", "Where", "Conv"]);
    let half = "%c = Binary(Greater)(%x, %tenth)\n %s = Where(%c, %one, %minus)";
    becomes(&network(&format!("{half}\n %o = {CONV}(%s, %w)")), PASSES, &["Greater", "Where", "Conv"]);
}
