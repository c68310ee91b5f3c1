//! Shuffles, splits and slices of channels.

use crate::common::{becomes, ops, optimized, stays};

const PASS: &[&str] = &["absorb-channels", "dead-outputs"];

fn conv(y: &str, x: &str, w: &str, kernel: usize, groups: usize, rest: &str) -> String {
    format!(
        "%{y} \"{y}\" = Conv(kernel: [{kernel}, {kernel}], stride: [1, 1], dilation: [1, 1], padding: SameUpper, groups: {groups})(%{x}, %{w}) {rest}\n"
    )
}

#[test]
fn the_unit_of_shufflenet_v1_moves_nothing() {
    let text = format!(
        "input %x: f32[N, 12, 4, 5]
         const %w1: f32[6, 4, 1, 1] = random 1
         const %wd: f32[6, 1, 3, 3] = random 2
         const %bd: f32[6] = random 3
         const %w2: f32[12, 2, 1, 1] = random 4
         {}%s = ChannelShuffle(groups: 3)(%1)
         {}{} output \"y\" = %3",
        conv("1", "x", "w1", 1, 3, "+ act(Relu)"),
        conv("2", "s", "wd", 3, 6, "+ bias(%bd)"),
        conv("3", "2", "w2", 1, 3, "+ residual(%x)"),
    );
    let (graph, _) = becomes(&text, PASS, &["Conv+act", "Conv+bias", "Conv+residual"]);
    assert!(graph.to_text().contains("select: [0, 2, 4, 1, 3, 5]"), "{}", graph.to_text());
}

/// Two basic units of ShuffleNet v2 and the beginning of the next stage, with `c` channels per branch.
fn shufflenet_v2(c: usize) -> String {
    let c2 = 2 * c;
    let mut text = format!(
        "input %x: f32[N, 3, 6, 6]
         const %wa: f32[{c}, 3, 1, 1] = random 1
         const %wb: f32[{c}, 3, 1, 1] = random 2
         const %bb: f32[{c}] = random 3
         const %wd: f32[{c2}, 1, 3, 3] = random 4
         const %bd: f32[{c2}] = random 5
         const %w5: f32[8, {c2}, 1, 1] = random 6
         const %w6: f32[4, {c2}, 1, 1] = random 7\n"
    );
    text += &conv("a", "x", "wa", 1, 1, "+ act(Relu)");
    text += &conv("b", "x", "wb", 1, 1, "+ bias(%bb) + act(HardSigmoid(alpha: 0.2, beta: 0.5))");
    text += "%j0 = Concat(axis: 1)(%a, %b)\n %s0 = ChannelShuffle(groups: 2)(%j0)\n";
    for u in 1..=2 {
        let p = u - 1;
        text += &format!(
            "const %u{u}: f32[{c}, {c}, 1, 1] = random 1{u}
             const %d{u}: f32[{c}, 1, 3, 3] = random 2{u}
             const %v{u}: f32[{c}, {c}, 1, 1] = random 3{u}
             %l{u}, %r{u} = Split(axis: 1, sizes: [{c}, {c}])(%s{p})\n"
        );
        text += &conv(&format!("e{u}"), &format!("r{u}"), &format!("u{u}"), 1, 1, "+ act(Relu)");
        text += &conv(&format!("f{u}"), &format!("e{u}"), &format!("d{u}"), 3, c, "");
        text += &conv(&format!("g{u}"), &format!("f{u}"), &format!("v{u}"), 1, 1, "+ act(Relu)");
        text += &format!("%j{u} = Concat(axis: 1)(%l{u}, %g{u})\n %s{u} = ChannelShuffle(groups: 2)(%j{u})\n");
    }
    text += &conv("h", "s2", "wd", 3, c2, "+ bias(%bd)");
    text += &conv("y", "h", "w5", 1, 1, "");
    text += &conv("z", "s2", "w6", 1, 1, "");
    text + "output \"y\" = %y\n output \"z\" = %z"
}

#[test]
fn the_stages_of_shufflenet_v2_move_nothing() {
    for c in [5, 8] {
        let (graph, report) = optimized(&shufflenet_v2(c), PASS);
        let mut kinds = ops(&graph);
        kinds.retain(|k| !k.starts_with("Conv"));
        assert_eq!(kinds, ["Concat"; 3], "{}\n{:?}", graph.to_text(), report.remarks);
        let joined: Vec<usize> = graph
            .nodes()
            .filter(|(_, n)| n.op.name() == "Concat")
            .flat_map(|(_, n)| n.inputs.iter().flatten().map(|&v| graph.ty(v).known_dim(1)).collect::<Vec<_>>())
            .collect();
        assert!(joined.iter().all(|c| c.is_multiple_of(8)), "parts start at whole blocks: {joined:?}");
    }
}

trait KnownDim {
    fn known_dim(&self, i: usize) -> usize;
}

impl KnownDim for paring_ir::TensorType {
    fn known_dim(&self, i: usize) -> usize {
        self.shape.as_ref().unwrap()[i].known().unwrap()
    }
}

#[test]
fn a_shuffle_that_is_wanted_stays() {
    let text = format!(
        "input %x: f32[N, 6, 4, 5]
         const %w: f32[4, 6, 1, 1] = random 1
         %s = ChannelShuffle(groups: 2)(%x)
         {} output \"y\" = %1",
        conv("1", "s", "w", 1, 1, "")
    );
    becomes(&text, PASS, &["Conv"]);
    stays(&format!("{text}\n output \"s\" = %s"), PASS, "not every reader can select channels");
    stays(
        &format!("{text}\n %2 = Softmax(kind: Softmax, axis: 1, to_end: false)(%s)\n output \"z\" = %2"),
        PASS,
        "not every reader",
    );
}

#[test]
fn odd_slices_are_selected_and_whole_blocks_stay_views() {
    let text = |at: usize| {
        format!(
            "input %x: f32[N, 16, 4, 5]
             const %s: i64[1] = [{at}]
             const %e: i64[1] = [16]
             const %a: i64[1] = [1]
             const %w: f32[4, {}, 1, 1] = random 1
             %1 = Slice(%x, %s, %e, %a)
             {} output \"y\" = %2",
            16 - at,
            conv("2", "1", "w", 1, 1, "")
        )
    };
    becomes(&text(6), PASS, &["Conv"]);
    stays(&text(8), PASS, "");
}

#[test]
fn a_split_into_depthwise_convolutions_stays() {
    let text = format!(
        "input %x: f32[N, 12, 4, 5]
         const %w1: f32[6, 1, 3, 3] = random 1
         const %w2: f32[6, 1, 5, 5] = random 2
         const %w3: f32[4, 12, 1, 1] = random 3
         %a, %b = Split(axis: 1, sizes: [6, 6])(%x)
         {}{} %j = Concat(axis: 1)(%1, %2)
         {} output \"y\" = %3",
        conv("1", "a", "w1", 3, 6, ""),
        conv("2", "b", "w2", 5, 6, ""),
        conv("3", "j", "w3", 1, 1, ""),
    );
    stays(&text, PASS, "");
}
