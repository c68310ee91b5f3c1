//! Measuring kernels on the layers of a model.

use crate::{Isolated, Model, Options, Result, clock, explain};
use paring_kernel::Problem;
use paring_plan::{Case, Selection, Tuning};
use std::time::{Duration, Instant};

/// Kernels estimated to take this many times the estimate of the best are not measured.
const HOPELESS: f64 = 4.0;
/// Kernels take turns, so that a drift of the machine's speed meets all alike: so many turns each.
const TURNS: usize = 4;
/// Kernels within this many times the least time have as many turns again as it takes to tell noise from difference.
const DOUBTFUL: f64 = 1.15;
const MORE_TURNS: usize = 8;
/// A turn takes so long, or one run where that is longer.
const TURN: Duration = Duration::from_micros(1500);

/// One layer of a model, with every kernel that was measured on it.
///
/// Two kernels are comparable by their own time where they read and write the same layouts: what others save or cost in
/// reorders is the business of the whole graph. So the choice of a plan is held against the fastest kernel in the
/// layouts that the plan gives the layer.
#[derive(Clone, Debug, serde::Serialize)]
pub struct TunedLayer {
    /// The first node of its kind.
    pub name: String,
    /// Operator.
    pub op: String,
    /// Shape of output 0.
    pub shape: Vec<usize>,
    /// The kernel that the plan chooses by estimates alone.
    pub chosen: usize,
    /// The kernel that took the least time, of those in the layouts of the chosen one.
    pub measured_best: usize,
    /// How many kernels were measured in those layouts on the instructions of the chosen one, itself included: where it
    /// is alone, all there was to choose was instructions.
    pub rivals: usize,
    /// All kernels measured.
    pub kernels: Vec<TunedKernel>,
}

/// A kernel on a layer.
#[derive(Clone, Debug, serde::Serialize)]
pub struct TunedKernel {
    /// The kernel.
    pub kernel: String,
    /// Layouts and variant of its offer, such as `8c,- -> 8c v0`.
    pub offer: String,
    /// Estimated microseconds.
    pub estimated_us: f64,
    /// Measured microseconds.
    pub measured_us: f64,
}

/// How a machine is named in files of measurements: they are worth nothing on another.
pub fn machine_name() -> String {
    paring_simd::name()
}

impl Model {
    /// Measures the kernels that could run each layer, on one thread, and returns their times for
    /// [`Options::tuning`], with the layers for people to look at. `progress` is called with the number of layers done
    /// and of all.
    ///
    /// # Errors
    /// As for [`Model::explain`]; of kind [`crate::ErrorKind::Unsupported`] where a shape depends on data, and without a
    /// [clock](crate::has_clock).
    pub fn tune(
        &self,
        options: &Options,
        shapes: &[(&str, &[usize])],
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<(Tuning, Vec<TunedLayer>)> {
        clock::needed_for("tuning")?;
        let selections = self.selections(options, shapes)?;
        let mut times = Tuning::new(&machine_name());
        let mut tuned = Vec::new();
        for (done, s) in selections.iter().enumerate() {
            tuned.extend(TunedLayer::measure(s, &mut times)?);
            progress(done + 1, selections.len());
        }
        Ok((times, tuned))
    }

    /// What the plan of this model chooses from, by estimates alone ([`Options::tuning`] is not looked at).
    ///
    /// # Errors
    /// As for [`Model::tune`].
    pub fn selections(&self, options: &Options, shapes: &[(&str, &[usize])]) -> Result<Vec<Selection>> {
        let key = explain::key(self, shapes)?;
        let graph = self.0.bound(options, &key)?;
        let machine = crate::model::machine(options);
        let plan_options = paring_plan::Options { numerics: options.numerics, ..paring_plan::Options::default() };
        Ok(paring_plan::selections(&graph, &self.0.registry(options), &machine, &plan_options)?)
    }
}

impl TunedLayer {
    /// Measures the kernels of a layer that have a chance, and notes their times; those in `times` already are taken
    /// from there. A layer that nobody else can run needs no measurement.
    ///
    /// # Errors
    /// As for [`Isolated::new`] and [`Isolated::run`]; of kind [`crate::ErrorKind::Unsupported`] without a
    /// [clock](crate::has_clock).
    pub fn measure(s: &Selection, times: &mut Tuning) -> Result<Option<TunedLayer>> {
        clock::needed_for("tuning")?;
        let least = s.cases.iter().map(|c| c.cost_ns).fold(f64::INFINITY, f64::min);
        let worth = |&i: &usize| i == s.chosen || s.cases[i].cost_ns <= HOPELESS * least;
        let worth: Vec<usize> = (0..s.cases.len()).filter(worth).collect();
        if worth.len() < 2 {
            return Ok(None);
        }
        let p = &s.problem;
        let known = |times: &Tuning, c: &Case| times.get(p, c.kernel.descriptor().name, &c.offer);
        let unknown: Vec<&Case> = worth.iter().map(|&i| &s.cases[i]).filter(|c| known(times, c).is_none()).collect();
        for (c, ns) in unknown.iter().zip(measure(p, &unknown)?) {
            times.insert(p, c.kernel.descriptor().name, &c.offer, ns);
        }
        let kernel = |&i: &usize| {
            let c = &s.cases[i];
            TunedKernel {
                kernel: c.kernel.descriptor().name.into(),
                offer: c.offered(),
                estimated_us: c.cost_ns / 1e3,
                measured_us: known(times, c).unwrap_or(f64::INFINITY) / 1e3,
            }
        };
        let kernels: Vec<TunedKernel> = worth.iter().map(kernel).collect();
        let rivals: Vec<usize> = (0..worth.len()).filter(|&k| s.is_rival(worth[k])).collect();
        let chosen = worth.iter().position(|&i| i == s.chosen).unwrap_or(0);
        let isa = |k: usize| s.cases[worth[k]].kernel.descriptor().isa;
        let faster = |a: &&usize, b: &&usize| kernels[**a].measured_us.total_cmp(&kernels[**b].measured_us);
        Ok(Some(TunedLayer {
            name: p.name.clone(),
            op: p.op.name().into(),
            shape: p.output(0).map(|y| y.shape.clone()).unwrap_or_default(),
            chosen,
            measured_best: rivals.iter().min_by(faster).copied().unwrap_or(chosen),
            rivals: rivals.iter().filter(|&&k| isa(k) == isa(chosen)).count(),
            kernels,
        }))
    }

    /// How many times the least time the chosen kernel takes; 1 for the best choice.
    pub fn lost(&self) -> f64 {
        self.kernels[self.chosen].measured_us / self.kernels[self.measured_best].measured_us
    }
}

/// Nanoseconds that each of `cases` takes for `p` on the calling thread: the least of all its runs.
fn measure(p: &Problem, cases: &[&Case]) -> Result<Vec<f64>> {
    let alone = |c: &&Case| Isolated::new(c.kernel, p, &c.offer);
    let mut kernels: Vec<Isolated> = cases.iter().map(alone).collect::<Result<_>>()?;
    for k in &mut kernels {
        k.run()?;
    }
    let mut best = vec![f64::INFINITY; kernels.len()];
    for turn in 0..TURNS + MORE_TURNS {
        let near = DOUBTFUL * best.iter().copied().fold(f64::INFINITY, f64::min);
        let again: Vec<usize> = (0..best.len()).filter(|&i| turn < TURNS || best[i] <= near).collect();
        if turn >= TURNS && again.len() < 2 {
            break;
        }
        for i in again {
            best[i] = best[i].min(take_turn(&mut kernels[i])?);
        }
    }
    Ok(best)
}

/// Nanoseconds of the shortest run of a turn.
fn take_turn(kernel: &mut Isolated) -> Result<f64> {
    let (mut best, begin) = (f64::INFINITY, Instant::now());
    loop {
        let start = Instant::now();
        kernel.run()?;
        best = best.min(start.elapsed().as_nanos() as f64);
        if begin.elapsed() >= TURN {
            return Ok(best);
        }
    }
}
