//! `paring tune`: which kernel is fastest for each layer, by measurement.

mod machine;

use crate::args::TuneArgs;
use crate::compute::{self, Watchdog};
use crate::data::write;
use crate::exit::{Context, Exit, Result};
use crate::output::{Console, shape};
use crate::table::{Grid, Side};
use paring::{TunedLayer, Tuning};
use serde_json::json;
use std::path::{Path, PathBuf};

/// A choice this near to the best is as good as the best: measurements vary more.
const NEAR: f64 = 1.05;

pub fn run(args: &TuneArgs, console: &Console) -> Result<Exit> {
    match &args.model_file {
        Some(model) => layers(model, args, console),
        None => machine::run(args, console),
    }
}

fn layers(model_file: &Path, args: &TuneArgs, console: &Console) -> Result<Exit> {
    let watchdog = Watchdog::start(args.engine.model.time_limit());
    let file = args.output.clone().unwrap_or_else(|| beside(model_file));
    if !args.append {
        write::check_free(std::slice::from_ref(&file), args.force)?;
    }
    let (model, _) = compute::open(model_file, &args.engine.model)?;
    let shapes = compute::input_shapes(&model, &args.engine.model)?;
    let named = compute::named_shapes(&model, &shapes);
    let bar = console.progress(1, "measuring");
    let (tuning, layers) = model.tune(&compute::options(&args.engine), &named, &mut |done, count| {
        bar.set_length(count as u64);
        bar.set_position(done as u64);
    })?;
    bar.finish_and_clear();
    watchdog.check()?;
    let all = if args.append { earlier(&file, &tuning, console)? } else { tuning };
    write::write_bytes(&file, all.to_text().as_bytes())?;
    report(&file, &all, &layers, console)?;
    Ok(Exit::Ok)
}

fn beside(model: &Path) -> PathBuf {
    PathBuf::from(model.file_name().unwrap_or_default()).with_extension("tuning")
}

/// The times in `file`, where it is there, and the new ones.
fn earlier(file: &Path, new: &Tuning, console: &Console) -> Result<Tuning> {
    let machine = paring::machine_name();
    let mut all = Tuning::new(&machine);
    if file.exists() {
        let text = std::fs::read_to_string(file).context(file.display())?;
        let (old, warnings) = Tuning::parse(&text, &machine);
        for w in warnings {
            console.warn(&format!("{}: {w}", file.display()));
        }
        all.merge(&old);
    }
    all.merge(new);
    Ok(all)
}

fn report(file: &Path, all: &Tuning, layers: &[TunedLayer], console: &Console) -> Result<()> {
    let near = layers.iter().filter(|l| l.lost() <= NEAR).count();
    if console.json {
        return console.emit(&json!({
            "file": file.display().to_string(),
            "times": all.len(),
            "layers": layers,
            "choices_near_best": near,
        }));
    }
    let columns = [
        ("layer", Side::Left),
        ("shape", Side::Left),
        ("chosen", Side::Left),
        ("us", Side::Right),
        ("measured best", Side::Left),
        ("us", Side::Right),
        ("lost", Side::Right),
    ];
    let mut grid = Grid::new(console, &columns);
    for l in layers {
        let (c, m) = (&l.kernels[l.chosen], &l.kernels[l.measured_best]);
        grid.row(vec![
            l.name.clone(),
            shape(&l.shape),
            c.kernel.clone(),
            format!("{:.1}", c.measured_us),
            if l.chosen == l.measured_best { String::new() } else { m.kernel.clone() },
            format!("{:.1}", m.measured_us),
            format!("{:.0} %", 100.0 * (l.lost() - 1.0)),
        ]);
    }
    console.print(&grid.text())?;
    console.print(&format!(
        "estimates choose within 5 % of the best measured in the same layouts on {near} of {} layers\n\
         {} times in {}; use them with --tuning {}\n",
        layers.len(),
        all.len(),
        file.display(),
        file.display()
    ))
}
