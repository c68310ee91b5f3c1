//! What `paring` says when it is asked for nothing.

use crate::exit::{Exit, Result};
use crate::output::{Console, Ink};

const COMMANDS: &[(&str, &str)] = &[
    ("paring demo", "classify real pictures with a small network, right now"),
    ("paring inspect MODEL", "what is in a model, and how much work it is"),
    ("paring run MODEL --input cat.jpg", "run a model on pictures or arrays"),
    ("paring bench MODEL --profile", "how fast it runs, layer by layer"),
    ("paring explain MODEL", "why each layer runs the way it does"),
    ("paring compare A B", "whether two models, or recorded outputs, agree"),
    ("paring eval MODEL --data X --labels Y", "accuracy on a data set"),
    ("paring quantize MODEL --calibration X -o Q", "a model that computes with bytes"),
    ("paring convert MODEL --fp16 -o H", "the same model with weights in half precision"),
    ("paring lowbit MODEL --bits 4 -o W", "the same model with weights of few bits"),
    ("paring ternarize MODEL -o T", "weights of -1, 0 and 1; binarize has two"),
    ("paring optimize MODEL --dump", "the graph before and after optimisation"),
];

pub fn run(console: &Console) -> Result<Exit> {
    if console.json {
        let commands: Vec<_> =
            COMMANDS.iter().map(|(usage, what)| serde_json::json!({"usage": usage, "what": what})).collect();
        console.emit(&serde_json::json!({"version": env!("CARGO_PKG_VERSION"), "commands": commands}))?;
        return Ok(Exit::Ok);
    }
    let width = COMMANDS.iter().map(|(usage, _)| usage.len()).max().unwrap_or(0);
    let mut text = format!(
        "{} {} pares down trained neural networks (ONNX) and runs them fast on the CPU.\n\n",
        console.paint(Ink::Bold, "paring"),
        env!("CARGO_PKG_VERSION")
    );
    for (usage, what) in COMMANDS {
        let padding = " ".repeat(width - usage.len());
        text += &format!("  {}{padding}  {what}\n", console.paint(Ink::Cyan, usage));
    }
    text += "\nEvery command explains itself with --help and speaks JSON with --json.\n";
    console.print(&text)?;
    Ok(Exit::Ok)
}
