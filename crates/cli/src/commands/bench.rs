//! `paring bench`: how fast a model runs.

mod memory;
mod page;
mod roofline;
mod tables;
mod trace;

use crate::args::BenchArgs;
use crate::compute::{self, Watchdog, inputs};
use crate::data::write::{check_free, write_bytes};
use crate::exit::{Exit, Failure, Result};
use crate::output::{Console, Ink, ms};
use crate::stats::{Timing, UNSTABLE_CV};
use memory::weights;
use paring::{Memory, Options, Peaks, Session, Span};
use roofline::Layer;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Instant;

/// Times kept of each layer; more runs than these are sampled.
const SAMPLES: u32 = 1000;

pub fn run(args: &BenchArgs, console: &Console) -> Result<Exit> {
    let watchdog = Watchdog::start(args.engine.model.time_limit());
    check_files(args)?;
    let (model, mut load) = compute::open(&args.model_file, &args.engine.model)?;
    let tensors = inputs::gather(&model, &args.input, &args.engine.model, true, console)?;
    let mut options = compute::options(&args.engine);
    options.profile = args.profile || args.trace.is_some() || args.html.is_some();

    let start = Instant::now();
    let mut session = compute::session(&model, &options, &watchdog)?;
    inputs::set(&mut session, &tensors)?;
    session.prepare()?;
    load += start.elapsed();

    let before = peaks(&options, &watchdog)?;
    let measured = measure(&mut session, args, &watchdog, console)?;
    let after = peaks(&options, &watchdog)?;
    let report = Report {
        model: args.model_file.display().to_string(),
        threads: compute::threads(&args.engine),
        runs: args.runs,
        warmup: args.warmup,
        load_ms: ms(load),
        timing: measured.timing,
        memory: session.memory(),
        blocks: model.packed_blocks(),
        peak_resident: memory::peak_resident(),
        profile: before.zip(after).map(|(a, b)| profile(&session, &measured, a.or_better(&b))),
    };
    if report.timing.cv > UNSTABLE_CV {
        let percent = report.timing.cv * 100.0;
        console.warn(&format!("times vary by {percent:.1} %: the machine is busy, or the runs too few"));
    }
    if console.json {
        console.emit(&report.to_json())?;
    } else {
        console.print(&report.to_text(console))?;
    }
    write_files(&report, args, console)?;
    Ok(Exit::Ok)
}

/// Refuses before any work is done.
fn check_files(args: &BenchArgs) -> Result<()> {
    let files: Vec<PathBuf> = args.trace.iter().chain(&args.html).cloned().collect();
    if files.len() == 2 && files[0] == files[1] {
        return Err(Failure::usage("--trace and --html name the same file"));
    }
    check_free(&files, args.force)
}

fn write_files(report: &Report, args: &BenchArgs, console: &Console) -> Result<()> {
    let Some(profile) = &report.profile else { return Ok(()) };
    if let Some(file) = &args.trace {
        let trace = trace::trace(&report.model, &profile.layers, &profile.fastest);
        write_bytes(file, trace.to_string().as_bytes())?;
        console.note(&format!("wrote {}", file.display()));
    }
    if let Some(file) = &args.html {
        write_bytes(file, page::page(report, profile).as_bytes())?;
        console.note(&format!("wrote {}", file.display()));
    }
    Ok(())
}

/// What the machine can do, where layers are measured.
fn peaks(options: &Options, watchdog: &Watchdog) -> Result<Option<Peaks>> {
    let peaks = if options.profile { Some(Peaks::measure(options)?) } else { None };
    watchdog.check()?;
    Ok(peaks)
}

struct Measured {
    timing: Timing,
    /// Milliseconds of each layer, run by run.
    layers: Vec<Vec<f64>>,
    /// The layers of the fastest run.
    fastest: Vec<Span>,
}

fn measure(session: &mut Session, args: &BenchArgs, watchdog: &Watchdog, console: &Console) -> Result<Measured> {
    let bar = console.progress(u64::from(args.warmup) + u64::from(args.runs), "running");
    for _ in 0..args.warmup {
        session.run()?;
        watchdog.check()?;
        bar.inc(1);
    }
    session.reset_profile();
    let mut times = Vec::with_capacity(args.runs as usize);
    let (mut layers, mut fastest, mut best) = (Vec::new(), Vec::new(), f64::INFINITY);
    let stride = args.runs.div_ceil(SAMPLES);
    for i in 0..args.runs {
        let start = Instant::now();
        session.run()?;
        let time = ms(start.elapsed());
        times.push(time);
        watchdog.check()?;
        let spans = session.spans();
        if time < best {
            best = time;
            fastest.clear();
            fastest.extend_from_slice(spans);
        }
        if i % stride == 0 {
            layers.resize_with(spans.len(), Vec::new);
            for (samples, span) in layers.iter_mut().zip(spans) {
                samples.push(span.ns as f64 / 1e6);
            }
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    let timing = Timing::of(&times).ok_or_else(|| Failure::usage("no runs to measure"))?;
    Ok(Measured { timing, layers, fastest })
}

fn profile(session: &Session, measured: &Measured, peaks: Peaks) -> Profile {
    let times = session.profile().map(|p| p.layers).unwrap_or_default();
    let median = |samples: &Vec<f64>| Timing::of(samples).map_or(0.0, |t| t.median_ms);
    let layers = times.into_iter().zip(&measured.layers);
    Profile {
        layers: layers.map(|(time, samples)| Layer::new(time, median(samples), &peaks)).collect(),
        fastest: measured.fastest.clone(),
        peaks,
    }
}

struct Profile {
    layers: Vec<Layer>,
    fastest: Vec<Span>,
    peaks: Peaks,
}

struct Report {
    model: String,
    threads: usize,
    runs: u32,
    warmup: u32,
    load_ms: f64,
    timing: Timing,
    memory: Memory,
    /// Blocks of packed weights that the model file had, and those that had to be packed.
    blocks: (usize, usize),
    /// The most memory that the process has held so far, where the system tells.
    peak_resident: Option<u64>,
    profile: Option<Profile>,
}

impl Report {
    fn to_json(&self) -> Value {
        let (t, m) = (&self.timing, &self.memory);
        let layers = self.profile.as_ref().map(|p| p.layers.iter().map(layer_json).collect::<Vec<_>>());
        let peaks = self.profile.as_ref().map(|p| &p.peaks).map(|p| {
            json!({
                "threads": p.workers, "isa": p.isa.name(), "gmac_per_s": p.gmacs, "memory_gb_per_s": p.memory_bandwidth,
                "memory_block_bytes": p.block_bytes,
            })
        });
        json!({
            "model": self.model, "threads": self.threads, "runs": self.runs, "warmup": self.warmup,
            "load_ms": self.load_ms, "min_ms": t.min_ms, "median_ms": t.median_ms, "mean_ms": t.mean_ms,
            "p90_ms": t.p90_ms, "p99_ms": t.p99_ms, "max_ms": t.max_ms, "cv": t.cv, "unstable": t.cv > UNSTABLE_CV,
            "arena_bytes": m.arena_bytes, "arena_bound_bytes": m.arena_bound_bytes, "scratch_bytes": m.scratch_bytes,
            "io_bytes": m.io_bytes, "weight_bytes": weights(m), "packed_bytes": m.packed_bytes,
            "packed_blocks": {"from_file": self.blocks.0, "made": self.blocks.1},
            "constant_bytes": m.constant_bytes, "model_bytes": m.model_bytes, "memory_ratio": memory::ratio(m),
            "peak_resident_bytes": self.peak_resident, "layers": layers, "peaks": peaks,
        })
    }

    fn to_text(&self, console: &Console) -> String {
        let (t, m) = (&self.timing, &self.memory);
        let mut text =
            format!("model {}  {}  load {:.1} ms\n", self.model, tables::threads(self.threads), self.load_ms,);
        text += &memory::line(m, self.peak_resident);
        let median = console.paint(Ink::Bold, &format!("median {:.3}", t.median_ms));
        text += &format!(
            "runs {} (warm-up {})  min {:.3}  {median}  mean {:.3}  p90 {:.3}  p99 {:.3} ms  cv {:.1} %\n",
            self.runs,
            self.warmup,
            t.min_ms,
            t.mean_ms,
            t.p90_ms,
            t.p99_ms,
            t.cv * 100.0,
        );
        if let Some(p) = &self.profile {
            text += &tables::text(&p.layers, &p.peaks, console);
        }
        text
    }
}

fn layer_json(layer: &Layer) -> Value {
    let l = &layer.time;
    json!({
        "name": l.name, "op": l.op, "kernel": l.kernel, "shape": l.shape, "min_ms": l.min_ns as f64 / 1e6,
        "median_ms": layer.median_ms, "mean_ms": l.mean_ns as f64 / 1e6, "estimated_ms": l.estimated_ns as f64 / 1e6,
        "macs": l.macs, "bytes": l.bytes, "gmac_per_s": layer.gmacs(), "bound_ms": layer.bound.map(|b| b.ms),
        "bound_by": layer.bound.map(|b| b.by.name()), "eff": layer.efficiency(), "lost_ms": layer.lost_ms(),
    })
}
