//! Horizontal merging.

use crate::common::{becomes, stays};

const PASS: &[&str] = &["merge-siblings"];

fn conv(out: &str, w: &str, rest: &str) -> String {
    format!(
        "%{out} \"{out}\" = Conv(kernel: [1, 1], stride: [1, 1], dilation: [1, 1], padding: SameUpper, groups: 1)(%x, %{w}) {rest}\n"
    )
}

fn branches(first: &str, second: &str, sizes: [usize; 2], tail: &str) -> String {
    let [m, n] = sizes;
    format!(
        "input %x: f32[N, 5, 3, 4]
         const %wa: f32[{m}, 5, 1, 1] = random 1
         const %wb: f32[{n}, 5, 1, 1] = random 2
         const %ba: f32[{m}] = random 3
         const %bb: f32[{n}] = random 4
         {}{}{tail}",
        conv("a", "wa", first),
        conv("b", "wb", second)
    )
}

#[test]
fn siblings_become_one_convolution_and_a_split() {
    let tail = "%y = Concat(axis: 1)(%a, %b)\n output \"y\" = %y\n output \"b\" = %b";
    let text = branches("+ bias(%ba) + act(Relu)", "+ bias(%bb) + act(Relu)", [8, 6], tail);
    let (graph, _) = becomes(&text, PASS, &["Conv+bias+act", "Split", "Concat"]);
    assert!(graph.nodes().any(|(_, n)| n.name == "a+b"));
}

#[test]
fn unlike_siblings_stay() {
    let tail = "output \"a\" = %a\n output \"b\" = %b";
    stays(&branches("+ act(Relu)", "", [8, 8], tail), PASS, "other attributes or another activation");
    stays(&branches("+ bias(%ba)", "", [8, 8], tail), PASS, "other attributes");
    stays(&branches("", "", [6, 8], tail), PASS, "blocks of 8");
    let strided = branches("", "", [8, 8], tail).replacen("stride: [1, 1]", "stride: [2, 2]", 1);
    stays(&strided, PASS, "other attributes");
}
