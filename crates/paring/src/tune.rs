//! Measuring kernels on the layers of a model.

use crate::{Error, ErrorKind, Model, Options, Result, error::at_node, explain};
use paring_core::{AlignedBuf, DType};
use paring_kernel::{Kernel, Offer, Operand, Packed, Prepared, Problem, RawOperand, RunCx, Serial};
use paring_plan::{Case, Tuning};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Kernels estimated to take this many times the estimate of the best are not measured.
const HOPELESS: f64 = 4.0;
/// Each kernel is measured for so long, and so many times at least.
const TIME: Duration = Duration::from_millis(12);
const RUNS: usize = 5;
/// Weights that come back into the caches soon.
const SMALL_WEIGHTS: usize = 1 << 20;
/// Bytes of weights in turn, as far as so many copies go.
const WEIGHTS_IN_TURN: usize = 32 << 20;
const MOST_COPIES: usize = 6;

/// One layer of a model, with every kernel that was measured on it.
#[derive(Clone, Debug, serde::Serialize)]
pub struct TunedLayer {
    /// The first node of its kind.
    pub name: String,
    /// Operator.
    pub op: String,
    /// Shape of output 0.
    pub shape: Vec<usize>,
    /// The kernel that the estimates favour, by kernel time alone.
    pub estimated_best: usize,
    /// The kernel that took the least time.
    pub measured_best: usize,
    /// All kernels measured.
    pub kernels: Vec<TunedKernel>,
}

/// A kernel on a layer.
#[derive(Clone, Debug, serde::Serialize)]
pub struct TunedKernel {
    /// The kernel.
    pub kernel: String,
    /// Estimated microseconds.
    pub estimated_us: f64,
    /// Measured microseconds.
    pub measured_us: f64,
}

/// How a machine is named in files of tuning: times are worth nothing on another.
pub fn machine_name() -> String {
    paring_simd::name()
}

impl Model {
    /// Measures the kernels that could run each layer, on one thread, and returns their times for
    /// [`Options::tuning`], with the layers for people to look at. `progress` is called with the number of layers done
    /// and of all.
    ///
    /// # Errors
    /// As for [`Model::explain`]; of kind [`ErrorKind::Unsupported`] where a shape depends on data.
    pub fn tune(
        &self,
        options: &Options,
        shapes: &[(&str, &[usize])],
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<(Tuning, Vec<TunedLayer>)> {
        let key = explain::key(self, shapes)?;
        let graph = self.0.bound(options, &key)?;
        let machine = crate::model::machine(options);
        let registry = self.0.registry(options);
        let plan_options = paring_plan::Options { numerics: options.numerics, ..paring_plan::Options::default() };
        let layers = paring_plan::cases(&graph, &registry, &machine, &plan_options)?;
        let mut tuning = Tuning::new(&machine_name());
        let mut tuned = Vec::new();
        let count = layers.len();
        for (done, mut cases) in layers.into_iter().enumerate() {
            let best = cases.iter().map(|c| c.cost_ns).fold(f64::INFINITY, f64::min);
            cases.retain(|c| c.cost_ns <= HOPELESS * best);
            // A layer that nobody else can run needs no measurement.
            if cases.len() > 1 {
                tuned.push(layer(&cases, &mut tuning)?);
            }
            progress(done + 1, count);
        }
        Ok((tuning, tuned))
    }
}

fn layer(cases: &[Case], tuning: &mut Tuning) -> Result<TunedLayer> {
    let mut kernels = Vec::new();
    for c in cases {
        let name = c.kernel.descriptor().name;
        let ns = measure(c.kernel, &c.problem, &c.offer)?;
        tuning.insert(&c.problem, name, &c.offer, ns);
        kernels.push(TunedKernel { kernel: name.into(), estimated_us: c.cost_ns / 1e3, measured_us: ns / 1e3 });
    }
    let least = |time: &dyn Fn(&TunedKernel) -> f64| {
        (0..kernels.len()).min_by(|&a, &b| time(&kernels[a]).total_cmp(&time(&kernels[b]))).unwrap_or(0)
    };
    let p = &cases[0].problem;
    Ok(TunedLayer {
        name: p.name.clone(),
        op: p.op.name().into(),
        shape: p.output(0).map(|y| y.shape.clone()).unwrap_or_default(),
        estimated_best: least(&|k| k.estimated_us),
        measured_best: least(&|k| k.measured_us),
        kernels,
    })
}

/// Nanoseconds that `kernel` takes for `p` as it offered, on the calling thread: the least of several runs.
fn measure(kernel: &dyn Kernel, p: &Problem, offer: &Offer) -> Result<f64> {
    let mut alone = Isolated::new(kernel, p, offer)?;
    alone.run()?;
    let (mut best, begin, mut runs) = (f64::INFINITY, Instant::now(), 0);
    while runs < RUNS || begin.elapsed() < TIME {
        let start = Instant::now();
        alone.run()?;
        best = best.min(start.elapsed().as_nanos() as f64);
        runs += 1;
    }
    Ok(best)
}

/// A kernel with operands of its own, to be measured by itself on the calling thread.
///
/// Large weights are there several times and take turns, as in a network, where other layers drive a layer's weights
/// out of the caches between its runs.
pub struct Isolated {
    name: (String, &'static str),
    prepared: Vec<Box<dyn Prepared>>,
    turn: usize,
    inputs: Vec<Option<AlignedBuf>>,
    outputs: Vec<Option<AlignedBuf>>,
    shared: AlignedBuf,
    own: AlignedBuf,
}

impl Isolated {
    /// `kernel`, bound to `p` as it offered.
    ///
    /// # Errors
    /// Of kind [`ErrorKind::Memory`] or [`ErrorKind::Limit`] where memory is short, or as the kernel fails.
    pub fn new(kernel: &dyn Kernel, p: &Problem, offer: &Offer) -> Result<Isolated> {
        let failed = |e| at_node(&p.name, p.op.name(), e);
        let packed = kernel.pack(p, offer).map_err(failed)?;
        let bytes = packed.data.as_slice().len();
        let copies = if bytes < SMALL_WEIGHTS { 1 } else { (WEIGHTS_IN_TURN / bytes).clamp(1, MOST_COPIES) };
        let mut prepared = Vec::new();
        for _ in 1..copies {
            let copy = Packed { data: AlignedBuf::from_bytes(packed.data.as_slice())? };
            prepared.push(kernel.prepare(p, offer, Arc::new(copy)).map_err(failed)?);
        }
        prepared.push(kernel.prepare(p, offer, Arc::new(packed)).map_err(failed)?);
        let too_large = || Error::new(ErrorKind::Limit, format!("node '{}': an operand is too large", p.name));
        let buffer = |o: &Operand, layout| -> Result<AlignedBuf> {
            Ok(AlignedBuf::zeroed(o.bytes(layout).ok_or_else(too_large)?)?)
        };
        let mut inputs = Vec::new();
        for (x, layout) in p.inputs.iter().zip(&offer.inputs) {
            inputs.push(match (x, layout) {
                (Some(x), Some(layout)) => Some(fill(x, buffer(x, *layout)?)),
                _ => None,
            });
        }
        let mut outputs = Vec::new();
        for (y, &layout) in p.outputs.iter().zip(&offer.outputs) {
            outputs.push(y.as_ref().map(|y| buffer(y, layout)).transpose()?);
        }
        let shared = AlignedBuf::zeroed(offer.scratch.shared)?;
        let own = AlignedBuf::zeroed(offer.scratch.per_worker)?;
        Ok(Isolated { name: (p.name.clone(), p.op.name()), prepared, turn: 0, inputs, outputs, shared, own })
    }

    /// Runs once.
    ///
    /// # Errors
    /// As the kernel fails.
    pub fn run(&mut self) -> Result<()> {
        let inputs: Vec<_> = self.inputs.iter_mut().map(|b| b.as_mut().map(raw)).collect();
        let outputs: Vec<_> = self.outputs.iter_mut().map(|b| b.as_mut().map(raw)).collect();
        let (shared, own) = (raw(&mut self.shared), raw(&mut self.own));
        self.turn = (self.turn + 1) % self.prepared.len();
        // SAFETY: every operand is a buffer of its own, borrowed for the run, initialised, aligned to a cache line and
        // of the length that the offer's layout asks for; there is one worker, whose scratch is all of `own`.
        let mut cx = unsafe { RunCx::new(&inputs, &outputs, None, shared, own, own.len, &Serial) };
        self.prepared[self.turn].run(&mut cx).map_err(|e| at_node(&self.name.0, self.name.1, e))
    }
}

fn raw(b: &mut AlignedBuf) -> RawOperand {
    RawOperand { len: b.as_slice().len(), ptr: b.as_mut_ptr() }
}

/// The constant itself where it is read as it lies; else small numbers, as zeros and subnormals have speeds of their own.
fn fill(x: &Operand, mut buffer: AlignedBuf) -> AlignedBuf {
    let bytes = buffer.as_mut_slice();
    match &x.constant {
        Some(t) if t.bytes().len() == bytes.len() => bytes.copy_from_slice(t.bytes()),
        _ if x.dtype == DType::F32 => {
            let elements: &mut [f32] = bytemuck::cast_slice_mut(bytes);
            elements.iter_mut().enumerate().for_each(|(i, v)| *v = (i * 31 % 17) as f32 / 17.0);
        }
        _ => {}
    }
    buffer
}
