//! How often the estimates choose the fastest kernel, over the layers of the zoo's networks at batch one.
//!
//! `cargo bench -p paring-benches --bench selection` measures, for each distinct layer, the kernels that have a chance
//! (`paring::TunedLayer`, as `paring tune` does), and holds the plan's choice against the fastest kernel in the layouts
//! that the plan gives the layer. After `--` may follow:
//!
//! - a part of `model/layer`, to take only those;
//! - `--times FILE`: take times from there where it has them, and write all back: a changed formula is then judged
//!   without measuring again, and without the noise of that;
//! - `--all`: print every kernel that was measured, not only where the choice lost;
//! - `--rates FILE`: estimate with what `paring tune --machine` measured.

use paring::{Calibration, DimInfo, IoInfo, Model, Options, TunedLayer, Tuning, machine_name};
use paring_testkit::zoo;
use std::collections::{BTreeMap, HashSet};
use std::error::Error;
use std::time::Instant;

/// A choice this near to the best is as good as the best: measurements vary more.
const NEAR: f64 = 1.05;
/// Layers listed as the worst.
const WORST: usize = 10;

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse(std::env::args().skip(1))?;
    let mut options = Options::default();
    if let Some(file) = &args.calibration {
        options.calibration = Some(serde_json::from_str::<Calibration>(&std::fs::read_to_string(file)?)?);
    }
    let mut times = args.earlier()?;
    let (mut layers, mut seen, begin) = (Vec::new(), HashSet::new(), Instant::now());
    for name in zoo::names()? {
        if let Err(e) = model(&name, &args, &options, &mut seen, &mut times, &mut layers) {
            eprintln!("{name}: {e}");
        }
        eprintln!("{:>5.0} s  {name}", begin.elapsed().as_secs_f64());
    }
    if let Some(file) = &args.times {
        std::fs::write(file, times.to_text())?;
    }
    report(seen.len(), &layers);
    Ok(())
}

/// What the command line asks for.
#[derive(Default)]
struct Args {
    filter: String,
    all: bool,
    times: Option<String>,
    calibration: Option<String>,
}

impl Args {
    fn parse(mut args: impl Iterator<Item = String>) -> Result<Args, String> {
        let mut parsed = Args::default();
        while let Some(arg) = args.next() {
            let mut file = || args.next().ok_or_else(|| format!("{arg} wants a file"));
            match arg.as_str() {
                // Cargo says this to every benchmark.
                "--bench" => {}
                "--all" => parsed.all = true,
                "--times" => parsed.times = Some(file()?),
                "--rates" => parsed.calibration = Some(file()?),
                option if option.starts_with('-') => return Err(format!("no option is called {option}")),
                _ => parsed.filter = arg,
            }
        }
        Ok(parsed)
    }

    /// The times measured before.
    fn earlier(&self) -> Result<Tuning, Box<dyn Error>> {
        let machine = machine_name();
        let Some(file) = self.times.as_ref().filter(|f| std::path::Path::new(f).exists()) else {
            return Ok(Tuning::new(&machine));
        };
        let (times, warnings) = Tuning::parse(&std::fs::read_to_string(file)?, &machine);
        if warnings.is_empty() { Ok(times) } else { Err(format!("{file}: {}", warnings.join("; ")).into()) }
    }
}

/// Measures the layers of a model that were not seen before.
fn model(
    name: &str,
    args: &Args,
    options: &Options,
    seen: &mut HashSet<String>,
    times: &mut Tuning,
    layers: &mut Vec<(String, TunedLayer)>,
) -> Result<(), Box<dyn Error>> {
    let golden = &zoo::goldens()?[name];
    let model = Model::from_bytes(&zoo::model(name, golden.seed)?)?;
    let shapes: Vec<Vec<usize>> =
        model.inputs().iter().map(|i| at_batch_one(i, &golden.inputs[&i.name].shape)).collect();
    let named: Vec<_> = model.inputs().iter().zip(&shapes).map(|(i, s)| (i.name.as_str(), s.as_slice())).collect();
    for s in model.selections(options, &named)? {
        let place = format!("{name}/{}", s.problem.name);
        if !place.contains(&args.filter) || !seen.insert(s.key()) {
            continue;
        }
        if let Some(layer) = TunedLayer::measure(&s, times)? {
            if args.all {
                println!("{}", all(&place, &layer));
            } else if layer.lost() > NEAR {
                println!("{}", lost(&place, &layer));
            }
            layers.push((place, layer));
        }
    }
    Ok(())
}

/// The shape that the recorded results belong to, with 1 for an open first dimension.
fn at_batch_one(input: &IoInfo, recorded: &[usize]) -> Vec<usize> {
    let mut shape = recorded.to_vec();
    if let Some([DimInfo::Symbol(_), ..]) = input.dims.as_deref() {
        shape[0] = 1;
    }
    shape
}

/// The choice for a layer and what would have been better.
fn lost(place: &str, l: &TunedLayer) -> String {
    format!("{}\n{}\n{}", heading(place, l), kernel(l, l.chosen), kernel(l, l.measured_best))
}

/// Every kernel that was measured.
fn all(place: &str, l: &TunedLayer) -> String {
    let kernels = (0..l.kernels.len()).map(|i| {
        let chosen = if i == l.chosen { ", chosen" } else { "" };
        let best = if i == l.measured_best { ", best in these layouts" } else { "" };
        format!("\n{}{chosen}{best}", kernel(l, i))
    });
    heading(place, l) + &kernels.collect::<String>()
}

fn heading(place: &str, l: &TunedLayer) -> String {
    let shape = l.shape.iter().map(usize::to_string).collect::<Vec<_>>().join("x");
    format!("{:.2}x  {place}  {} {shape}", l.lost(), l.op)
}

fn kernel(l: &TunedLayer, i: usize) -> String {
    let k = &l.kernels[i];
    format!("       {} [{}] {:.1} us (estimated {:.1})", k.kernel, k.offer, k.measured_us, k.estimated_us)
}

fn report(distinct: usize, layers: &[(String, TunedLayer)]) {
    let mut worst: Vec<_> = layers.iter().filter(|(_, l)| l.lost() > NEAR).collect();
    worst.sort_by(|a, b| b.1.lost().total_cmp(&a.1.lost()));
    println!("\nthe worst");
    for (place, l) in worst.iter().take(WORST) {
        println!("{}", lost(place, l));
    }
    println!("\nwithin 5 % of the best");
    let mut by_operator: BTreeMap<&str, Vec<&TunedLayer>> = BTreeMap::new();
    for (_, l) in layers {
        by_operator.entry(&l.op).or_default().push(l);
    }
    for (operator, of) in &by_operator {
        println!("{operator:<20} {}", share(of));
    }
    let all: Vec<_> = layers.iter().map(|(_, l)| l).collect();
    let open: Vec<_> = all.iter().copied().filter(|l| l.rivals > 1).collect();
    println!("\n{distinct} distinct layers; of those with more than one kernel worth measuring {}", share(&all));
    println!("of those with more than one on the same instructions {}", share(&open));
}

/// How many of `layers` run on a kernel as good as the best.
fn share(layers: &[&TunedLayer]) -> String {
    let near = layers.iter().filter(|l| l.lost() <= NEAR).count();
    format!("{near} of {} ({:.1} %)", layers.len(), 100.0 * near as f64 / layers.len().max(1) as f64)
}
