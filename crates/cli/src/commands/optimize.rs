//! `paring optimize`: the graph before and after, and the steps between.

use crate::args::OptimizeArgs;
use crate::compute::{self, Watchdog};
use crate::exit::{Exit, Result};
use crate::output::{Console, Ink};
use crate::table::printable;
use serde_json::{Value, json};

pub fn run(args: &OptimizeArgs, console: &Console) -> Result<Exit> {
    let _watchdog = Watchdog::start(args.engine.model.time_limit());
    let (model, _) = compute::open(&args.model_file, &args.engine.model)?;
    let optimized = model.optimized(&compute::options(&args.engine))?;
    let before = args.dump.then(|| model.graph_text());
    if console.json {
        let applied: Vec<Value> =
            optimized.applied.iter().map(|a| json!({"pass": a.pass, "node": a.node, "what": a.what})).collect();
        let remarks: Vec<Value> =
            optimized.remarks.iter().map(|r| json!({"pass": r.pass, "node": r.node, "reason": r.reason})).collect();
        let after = args.dump.then_some(&optimized.text);
        console.emit(&json!({"applied": applied, "remarks": remarks, "before": before, "after": after}))?;
        return Ok(Exit::Ok);
    }
    let heading = |t: &str| format!("{}\n", console.paint(Ink::Bold, &format!("# {t}")));
    let mut text = String::new();
    if let Some(before) = before {
        text += &format!("{}{before}\n{}{}\n", heading("before"), heading("after"), optimized.text);
    }
    text += &heading(&format!("steps applied: {}", optimized.applied.len()));
    for (i, a) in optimized.applied.iter().enumerate() {
        text += &printable(&format!("{:>5}  {}  {}: {}\n", i + 1, a.pass, a.node, a.what));
    }
    text += &heading(&format!("steps declined: {}", optimized.remarks.len()));
    for r in &optimized.remarks {
        text += &printable(&format!("       {}  {}: {}\n", r.pass, r.node, r.reason));
    }
    console.print(&text)?;
    Ok(Exit::Ok)
}
