//! Which parts of Paring a model makes use of.

use crate::args::ConvertArgs;
use crate::compute;
use crate::exit::{Exit, Result};
use crate::output::{Console, Ink};
use crate::table::{Grid, Side};
use paring::{FeatureUse, Model};
use serde_json::json;

pub fn report(args: &ConvertArgs, model: &Model, console: &Console) -> Result<Exit> {
    let shapes = compute::input_shapes(model, &args.engine.model)?;
    let used = model.features(&compute::options(&args.engine), &compute::named_shapes(model, &shapes))?;
    let mut features: Vec<&str> = used.iter().filter_map(|u| u.feature).collect();
    features.sort_unstable();
    let line = dependency(&features);
    if console.json {
        console.emit(&json!({
            "model": args.model_file.display().to_string(), "features": features, "used": used, "dependency": line,
        }))?;
        return Ok(Exit::Ok);
    }
    console.print(&table(&used, console))?;
    console.print("A program that opens this model as a .pare file, and no other kind of file, needs no more than")?;
    console.print(&format!("  {}", console.paint(Ink::Bold, &line)))?;
    Ok(Exit::Ok)
}

fn dependency(features: &[&str]) -> String {
    let quoted: Vec<_> = features.iter().map(|f| format!("\"{f}\"")).collect();
    let version = env!("CARGO_PKG_VERSION");
    format!("paring = {{ version = \"{version}\", default-features = false, features = [{}] }}", quoted.join(", "))
}

fn table(used: &[FeatureUse], console: &Console) -> String {
    let columns = [("feature", Side::Left), ("steps", Side::Right), ("time", Side::Right), ("kernels", Side::Left)];
    let mut grid = Grid::new(console, &columns);
    for u in used {
        grid.row(vec![
            u.feature.unwrap_or("(always there)").into(),
            u.steps.to_string(),
            format!("{:.1} %", 100.0 * u.share),
            u.kernels.join(", "),
        ]);
    }
    grid.text()
}
