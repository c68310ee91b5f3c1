//! `paring explain`: why each layer runs the way it does.

use crate::args::ExplainArgs;
use crate::compute::{self, Watchdog};
use crate::exit::{Exit, Failure, Result};
use crate::output::{Console, Ink, bytes, shape};
use crate::table::printable;
use paring::{CandidateReport, Explanation, LayerReport, Verdict};

pub fn run(args: &ExplainArgs, console: &Console) -> Result<Exit> {
    let _watchdog = Watchdog::start(args.engine.model.time_limit());
    let (model, _) = compute::open(&args.model_file, &args.engine.model)?;
    let shapes = compute::input_shapes(&model, &args.engine.model)?;
    let named = compute::named_shapes(&model, &shapes);
    let mut explanation = model.explain(&compute::options(&args.engine), &named)?;
    if let Some(part) = &args.layer {
        explanation.layers.retain(|l| l.name.contains(part));
        explanation.applied.retain(|a| a.node.contains(part));
        explanation.remarks.retain(|r| r.node.contains(part));
        if explanation.layers.is_empty() {
            return Err(Failure::usage(format!("no layer's name contains `{part}`")));
        }
    }
    if console.json {
        console.emit(&explanation)?;
    } else {
        console.print(&to_text(&explanation, console))?;
    }
    Ok(Exit::Ok)
}

fn to_text(e: &Explanation, console: &Console) -> String {
    let mut text = String::new();
    for (i, layer) in e.layers.iter().enumerate() {
        text += &layer_text(i + 1, layer, console);
    }
    let heading = |t: &str| format!("\n{}\n", console.paint(Ink::Bold, t));
    text += &heading(&format!("applied ({})", e.applied.len()));
    for a in &e.applied {
        text += &printable(&format!("  {}  {}: {}\n", a.pass, a.node, a.what));
    }
    text += &heading(&format!("declined ({})", e.remarks.len()));
    for r in &e.remarks {
        text += &printable(&format!("  {}  {}: {}\n", r.pass, r.node, r.reason));
    }
    text += &heading("memory");
    let m = &e.memory;
    text += &format!(
        "  arena {} (at least {})  scratch {}  weights {} (packed {})\n",
        bytes(m.arena_bytes as u64),
        bytes(m.arena_bound_bytes as u64),
        bytes(m.scratch_bytes as u64),
        bytes((m.packed_bytes + m.constant_bytes) as u64),
        bytes(m.packed_bytes as u64)
    );
    text
}

fn layer_text(number: usize, l: &LayerReport, console: &Console) -> String {
    let epilogue: String = l.fused.iter().map(|f| format!(" + {f}")).collect();
    let name = console.paint(Ink::Bold, &printable(&l.name));
    let op = printable(&l.op);
    let mut text =
        format!("{number:>4}  {name}  {op}{epilogue}  {}  {:.1} us  {}\n", shape(&l.shape), l.cost_us, l.layouts);
    let width = l.candidates.iter().map(|c| c.kernel.chars().count()).max().unwrap_or(0);
    if l.candidates.is_empty() {
        text += &format!("      {} {}\n", console.paint(Ink::Green, "->"), l.chosen);
    }
    for c in &l.candidates {
        text += &candidate_text(c, width, console);
    }
    text
}

fn candidate_text(c: &CandidateReport, width: usize, console: &Console) -> String {
    let kernel = format!("{:width$}", c.kernel);
    match &c.verdict {
        Verdict::Offer { layouts, cost_us, measured, fused, packed_bytes, numerics, chosen } => {
            let mark = if *chosen { console.paint(Ink::Green, "->") } else { "  ".to_owned() };
            let packed =
                if *packed_bytes > 0 { format!(", packed {}", bytes(*packed_bytes as u64)) } else { String::new() };
            let how = if *measured { " measured" } else { "" };
            format!("      {mark} {kernel}  {cost_us:>10.1} us{how}  {layouts}  fuses {fused}, {numerics}{packed}\n")
        }
        Verdict::Reject { reason } => {
            let why = console.paint(Ink::Dim, &printable(reason));
            format!("         {kernel}  {:>10}     {why}\n", "-")
        }
    }
}
