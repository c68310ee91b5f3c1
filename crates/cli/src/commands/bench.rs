//! `paring bench`: how fast a model runs.

use crate::args::BenchArgs;
use crate::compute::{self, Watchdog, inputs};
use crate::exit::{Exit, Failure, Result};
use crate::output::{Console, Ink, bytes, ms};
use crate::stats::{Timing, UNSTABLE_CV};
use crate::table::{Grid, Side};
use paring::{LayerTime, Memory, Session};
use serde_json::{Value, json};
use std::time::Instant;

pub fn run(args: &BenchArgs, console: &Console) -> Result<Exit> {
    let watchdog = Watchdog::start(args.engine.model.time_limit());
    let (model, mut load) = compute::open(&args.model_file, &args.engine.model)?;
    let tensors = inputs::gather(&model, &args.input, &args.engine.model, true, console)?;
    let mut options = compute::options(&args.engine);
    options.profile = args.profile;

    let start = Instant::now();
    let mut session = compute::session(&model, &options, &watchdog)?;
    inputs::set(&mut session, &tensors)?;
    session.prepare()?;
    load += start.elapsed();

    let timing = measure(&mut session, args, &watchdog, console)?;
    let report = Report {
        model: args.model_file.display().to_string(),
        threads: compute::threads(&args.engine),
        load_ms: ms(load),
        timing,
        memory: session.memory(),
        layers: session.profile().map(|p| p.layers),
    };
    if timing.cv > UNSTABLE_CV {
        console.warn(&format!("times vary by {:.1} %: the machine is busy, or the runs too few", timing.cv * 100.0));
    }
    if console.json {
        console.emit(&report.to_json(args))?;
    } else {
        console.print(&report.to_text(args, console))?;
    }
    Ok(Exit::Ok)
}

fn measure(session: &mut Session, args: &BenchArgs, watchdog: &Watchdog, console: &Console) -> Result<Timing> {
    let bar = console.progress(u64::from(args.warmup) + u64::from(args.runs), "running");
    for _ in 0..args.warmup {
        session.run()?;
        watchdog.check()?;
        bar.inc(1);
    }
    session.reset_profile();
    let mut times = Vec::with_capacity(args.runs as usize);
    for _ in 0..args.runs {
        let start = Instant::now();
        session.run()?;
        times.push(ms(start.elapsed()));
        watchdog.check()?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    Timing::of(&times).ok_or_else(|| Failure::usage("no runs to measure"))
}

struct Report {
    model: String,
    threads: usize,
    load_ms: f64,
    timing: Timing,
    memory: Memory,
    layers: Option<Vec<LayerTime>>,
}

impl Report {
    fn to_json(&self, args: &BenchArgs) -> Value {
        let (t, m) = (&self.timing, &self.memory);
        let layers = self.layers.as_ref().map(|all| all.iter().map(layer_json).collect::<Vec<_>>());
        json!({
            "model": self.model, "threads": self.threads, "runs": args.runs, "warmup": args.warmup,
            "load_ms": self.load_ms, "min_ms": t.min_ms, "median_ms": t.median_ms, "mean_ms": t.mean_ms,
            "p90_ms": t.p90_ms, "p99_ms": t.p99_ms, "max_ms": t.max_ms, "cv": t.cv, "unstable": t.cv > UNSTABLE_CV,
            "arena_bytes": m.arena_bytes, "scratch_bytes": m.scratch_bytes, "io_bytes": m.io_bytes,
            "weight_bytes": weights(m), "packed_bytes": m.packed_bytes, "layers": layers,
        })
    }

    fn to_text(&self, args: &BenchArgs, console: &Console) -> String {
        let (t, m) = (&self.timing, &self.memory);
        let plural = if self.threads == 1 { "" } else { "s" };
        let mut text = format!(
            "model {}  {} thread{plural}  load {:.1} ms  arena {}  scratch {}  weights {} (packed {})\n",
            self.model,
            self.threads,
            self.load_ms,
            bytes(m.arena_bytes as u64),
            bytes(m.scratch_bytes as u64),
            bytes(weights(m) as u64),
            bytes(m.packed_bytes as u64),
        );
        let median = console.paint(Ink::Bold, &format!("median {:.3}", t.median_ms));
        text += &format!(
            "runs {} (warm-up {})  min {:.3}  {median}  mean {:.3}  p90 {:.3}  p99 {:.3} ms  cv {:.1} %\n",
            args.runs,
            args.warmup,
            t.min_ms,
            t.mean_ms,
            t.p90_ms,
            t.p99_ms,
            t.cv * 100.0,
        );
        if let Some(layers) = &self.layers {
            text += &layer_table(layers, console);
        }
        text
    }
}

/// Bytes of weights that runs read: packed by kernels, or as they are in the model.
fn weights(m: &Memory) -> usize {
    m.packed_bytes + m.constant_bytes
}

fn layer_json(l: &LayerTime) -> Value {
    json!({
        "name": l.name, "op": l.op, "kernel": l.kernel, "shape": l.shape, "min_ms": l.min_ns as f64 / 1e6,
        "mean_ms": l.mean_ns as f64 / 1e6, "estimated_ms": l.estimated_ns as f64 / 1e6, "macs": l.macs, "bytes": l.bytes, "gmac_per_s": gmacs(l),
    })
}

/// Billions of multiply-adds a second; `None` for layers without any.
fn gmacs(l: &LayerTime) -> Option<f64> {
    (l.macs > 0 && l.mean_ns > 0).then(|| l.macs as f64 / l.mean_ns as f64)
}

fn layer_table(layers: &[LayerTime], console: &Console) -> String {
    let columns = [
        ("#", Side::Right),
        ("layer", Side::Left),
        ("op", Side::Left),
        ("kernel", Side::Left),
        ("ms", Side::Right),
        ("%", Side::Right),
        ("cum %", Side::Right),
        ("GMAC/s", Side::Right),
        ("bytes", Side::Right),
    ];
    let mut grid = Grid::new(console, &columns);
    let total: f64 = layers.iter().map(|l| l.mean_ns as f64).sum::<f64>().max(1.0);
    let mut sum = 0.0;
    for (i, l) in layers.iter().enumerate() {
        let share = l.mean_ns as f64 / total * 100.0;
        sum += share;
        grid.row(vec![
            (i + 1).to_string(),
            l.name.clone(),
            l.op.clone(),
            l.kernel.clone(),
            format!("{:.4}", l.mean_ns as f64 / 1e6),
            format!("{share:.1}"),
            format!("{sum:.1}"),
            gmacs(l).map_or(String::new(), |g| format!("{g:.1}")),
            bytes(l.bytes),
        ]);
    }
    grid.text() + &kernel_table(layers, total, console)
}

/// Time by kernel, the greatest first.
fn kernel_table(layers: &[LayerTime], total: f64, console: &Console) -> String {
    let mut kernels: Vec<(&str, usize, f64)> = Vec::new();
    for l in layers {
        match kernels.iter_mut().find(|(name, ..)| *name == l.kernel) {
            Some((_, n, ns)) => {
                *n += 1;
                *ns += l.mean_ns as f64;
            }
            None => kernels.push((&l.kernel, 1, l.mean_ns as f64)),
        }
    }
    kernels.sort_by(|a, b| b.2.total_cmp(&a.2));
    let mut grid =
        Grid::new(console, &[("kernel", Side::Left), ("layers", Side::Right), ("ms", Side::Right), ("%", Side::Right)]);
    for (name, n, ns) in kernels {
        grid.row(vec![
            name.to_owned(),
            n.to_string(),
            format!("{:.4}", ns / 1e6),
            format!("{:.1}", ns / total * 100.0),
        ]);
    }
    grid.text()
}
