//! Every network of the zoo computes what another implementation computed.

mod common;

use common::{feed, golden, open, single, slow_tests};
use paring::{Model, Options};
use paring_testkit::zoo::{self, Golden, GoldenOutput};
use std::time::Instant;

/// Relative to the RMS of an output.
const TOLERANCE: f64 = 1e-4;
/// Networks that take signs of computed values: a rounding difference can flip one and grow from there, so that only
/// the RMS of the difference means something. One early sign makes 0.1; unrelated results would differ by 1.4.
const BINARY: [&str; 2] = ["bireal_resnet18", "xnor_resnet18"];
const BINARY_TOLERANCE: f64 = 0.3;

#[derive(Clone, Copy)]
struct Mode {
    optimize: bool,
    portable: bool,
}

impl Mode {
    const FAST: Mode = Mode { optimize: true, portable: false };
    const ALL: [Mode; 4] = [
        Mode::FAST,
        Mode { optimize: true, portable: true },
        Mode { optimize: false, portable: false },
        Mode { optimize: false, portable: true },
    ];

    fn options(self) -> Options {
        let options = single().with_optimize(self.optimize);
        if self.portable { options.with_isa(&[]) } else { options }
    }

    fn name(self) -> String {
        let optimized = if self.optimize { "optimised" } else { "as written" };
        format!("{optimized}, {}", if self.portable { "portable" } else { "all instructions" })
    }
}

/// The RMS of the differences of the samples, over the golden RMS.
fn rms_error(golden: &GoldenOutput, elements: &[f32]) -> f64 {
    let squares = golden.index.iter().zip(&golden.value).map(|(&i, &v)| (f64::from(elements[i]) - v).powi(2));
    (squares.sum::<f64>() / golden.index.len() as f64).sqrt() / golden.rms
}

/// Runs once; a sentence where something is wrong.
fn check(name: &str, model: &Model, golden: &Golden, mode: Mode) -> Result<(), String> {
    let tell = |what: String| format!("{name} ({}): {what}", mode.name());
    let start = Instant::now();
    let mut session = model.session(&mode.options()).map_err(|e| tell(e.to_string()))?;
    feed(&mut session, golden).map_err(|e| tell(e.to_string()))?;
    session.prepare().map_err(|e| tell(e.to_string()))?;
    let prepared = start.elapsed();
    let start = Instant::now();
    session.run().map_err(|e| tell(e.to_string()))?;
    let ran = start.elapsed();
    let mut worst = 0f64;
    for (output, expected) in &golden.outputs {
        let found = session.output::<f32>(output).map_err(|e| tell(e.to_string()))?;
        let shape = session.output_shape(output).map_err(|e| tell(e.to_string()))?;
        if shape != expected.shape {
            return Err(tell(format!("'{output}' is {shape:?}, not {:?}", expected.shape)));
        }
        let (error, tolerance) = match BINARY.contains(&name) {
            true => (rms_error(expected, found), BINARY_TOLERANCE),
            false => (expected.error(found).unwrap_or(f64::INFINITY), TOLERANCE),
        };
        // Written so that NaN fails.
        if !matches!(error.partial_cmp(&tolerance), Some(std::cmp::Ordering::Less)) {
            return Err(tell(format!("'{output}' is off by {error:.2e} of its RMS")));
        }
        worst = worst.max(error);
    }
    let mut slow: Vec<String> = Vec::new();
    for step in session.plan().map_or(&[][..], |p| &p.steps).iter().filter(|s| s.kernel.ends_with("_reference")) {
        let kind = format!("{} by {}", step.op, step.kernel);
        if !slow.contains(&kind) {
            slow.push(kind);
        }
    }
    println!(
        "{}",
        tell(format!("error {worst:.1e}, prepared in {prepared:.1?}, ran in {ran:.1?} {}", slow.join(", ")))
    );
    Ok(())
}

fn check_all(names: &[&str], modes: &[Mode]) {
    let mut wrong = Vec::new();
    for name in names {
        let (model, golden) = (open(name), golden(name));
        wrong.extend(modes.iter().filter_map(|&m| check(name, &model, &golden, m).err()));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn small_networks_are_right() {
    let names = ["squeezenet1_1", "mobilenet_v2", "shufflenet_v2_x1_0", "crelu_pva", "enet_256x512"];
    check_all(&names, &[Mode::FAST]);
}

#[test]
fn small_networks_with_symbolic_dimensions_are_right() {
    check_all(&["squeezenet1_1_dyn", "shufflenet_v2_x1_0_dyn"], &[Mode::FAST]);
}

#[test]
fn a_transformer_with_symbolic_dimensions_is_right() {
    check_all(&["bert_plain_dyn"], &[Mode::FAST]);
}

#[test]
fn a_small_network_is_right_in_every_mode() {
    check_all(&["squeezenet1_1"], &Mode::ALL);
}

#[test]
fn every_network_is_right_in_every_mode() {
    if !slow_tests("all networks, optimised or not, with and without vector instructions") {
        return;
    }
    let names = zoo::names().unwrap();
    assert_eq!(names.len(), 36);
    let only = std::env::var("PARING_ZOO").ok();
    let names: Vec<&str> =
        names.iter().map(String::as_str).filter(|n| only.as_ref().is_none_or(|o| n.contains(o.as_str()))).collect();
    check_all(&names, &Mode::ALL);
}
