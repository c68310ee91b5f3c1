//! Runs kernels on plain data and compares them with sums in `f64`.
#![allow(dead_code)]

pub mod case;

use paring_core::{
    AlignedBuf, DType, Layout, Tensor,
    op::{Act, EpiOp},
};
use paring_dense::KERNELS;
use paring_kernel::{Kernel, Offer, Operand, Parallel, Problem, RawOperand, RunCx};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// As many threads, started anew for each run.
pub struct Threads(pub usize);

impl Parallel for Threads {
    fn workers(&self) -> usize {
        self.0
    }

    fn run(&self, tasks: usize, f: &(dyn Fn(usize, usize) + Sync)) {
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for worker in 0..self.0 {
                let next = &next;
                scope.spawn(move || {
                    loop {
                        let task = next.fetch_add(1, Ordering::Relaxed);
                        if task >= tasks {
                            return;
                        }
                        f(task, worker);
                    }
                });
            }
        });
    }
}

/// Numbers around zero from a linear congruential generator.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        self.0 >> 33
    }

    pub fn below(&mut self, n: usize) -> usize {
        self.next() as usize % n
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// Weights for sums of `sum` terms that keep the variance, so that epilogues see numbers around 1.
    pub fn weights(&mut self, n: usize, sum: usize) -> Vec<f32> {
        let scale = (3.0 / sum.max(1) as f32).sqrt();
        self.floats(n).into_iter().map(|w| w * scale).collect()
    }

    pub fn floats(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.next() as f32 / (1u64 << 30) as f32 - 1.0).collect()
    }
}

/// An operand with elements, constant or not.
pub fn operand(shape: &[usize], data: &[f32], constant: bool) -> Operand {
    match constant {
        true => Operand::constant(Arc::new(Tensor::new(shape, data).expect("a tensor"))),
        false => Operand::new(DType::F32, shape),
    }
}

/// Position of each logical element in `layout`.
fn positions(layout: Layout, shape: &[usize]) -> Vec<usize> {
    let n: usize = shape.iter().product();
    match layout {
        Layout::Plain => (0..n).collect(),
        Layout::Blocked(b) => {
            let b = b as usize;
            let inner: usize = shape[2..].iter().product();
            let (c, blocks) = (shape[1], shape[1].div_ceil(b));
            (0..n)
                .map(|i| {
                    let (at, ch, s) = (i % inner, i / inner % c, i / inner / c);
                    ((s * blocks + ch / b) * inner + at) * b + ch % b
                })
                .collect()
        }
        Layout::Signs => panic!("no layout of numbers"),
    }
}

fn arrange(layout: Layout, shape: &[usize], data: &[f32]) -> AlignedBuf {
    let mut buf = AlignedBuf::zeroed(4 * layout.elements(shape).expect("a size")).expect("memory");
    let out: &mut [f32] = bytemuck::cast_slice_mut(buf.as_mut_slice());
    for (at, v) in positions(layout, shape).into_iter().zip(data) {
        out[at] = *v;
    }
    buf
}

fn nans(bytes: usize) -> AlignedBuf {
    let mut buf = AlignedBuf::zeroed(bytes).expect("memory");
    buf.as_mut_slice().fill(0xFF);
    buf
}

fn raw(b: &mut AlignedBuf) -> RawOperand {
    RawOperand { len: b.as_slice().len(), ptr: b.as_mut_ptr() }
}

/// Output 0 of `offer`, whose memory and scratch held NaN before. Padding lanes must come out as zeros.
pub fn run(
    kernel: &dyn Kernel,
    p: &Problem,
    offer: &Offer,
    data: &[Vec<f32>],
    workers: usize,
    in_place: bool,
) -> Vec<f32> {
    let name = kernel.descriptor().name;
    let packed = kernel.pack(p, offer).expect("packs");
    assert_eq!(packed.data.as_slice().len(), offer.packed_bytes, "{name}: packed bytes");
    let prepared = kernel.prepare(p, offer, Arc::new(packed)).expect("prepares");
    let mut inputs: Vec<Option<AlignedBuf>> = (0..p.inputs.len())
        .map(|i| Some(arrange(offer.inputs[i]?, &p.input(i).expect("an input").shape, &data[i])))
        .collect();
    let y = p.output(0).expect("an output");
    let taken = offer.in_place.filter(|_| in_place);
    let mut out = match taken {
        Some(i) => inputs[i].take().expect("an input in place"),
        None => nans(y.bytes(offer.outputs[0]).expect("a size")),
    };
    let mut shared = nans(offer.scratch.shared);
    let mut own = nans(offer.scratch.per_worker * workers);
    let raws: Vec<_> = inputs.iter_mut().map(|i| i.as_mut().map(raw)).collect();
    let outs = [Some(raw(&mut out))];
    let threads = Threads(workers);
    let (a, b) = (raw(&mut shared), raw(&mut own));
    // SAFETY: every operand is a buffer of its own, of the length its layout asks for.
    let mut cx = unsafe { RunCx::new(&raws, &outs, taken, a, b, offer.scratch.per_worker, &threads) };
    prepared.run(&mut cx).expect("runs");
    let elements: &[f32] = bytemuck::cast_slice(out.as_slice());
    let at = positions(offer.outputs[0], &y.shape);
    let mut padding = vec![true; elements.len()];
    at.iter().for_each(|&i| padding[i] = false);
    for (i, _) in padding.iter().enumerate().filter(|p| *p.1) {
        assert_eq!(elements[i].to_bits(), 0, "{name}: padding lane {i} of {:?}", p.name);
    }
    at.into_iter().map(|i| elements[i]).collect()
}

/// Largest error relative to the root of the mean square of what is expected.
pub fn error(found: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let rms = (expected.iter().map(|e| e * e).sum::<f64>() / expected.len() as f64).sqrt();
    let worst = found.iter().zip(expected).map(|(&f, e)| {
        let d = (f64::from(f) - e).abs();
        if d.is_nan() { f64::INFINITY } else { d }
    });
    worst.fold(0.0, f64::max) / rms.max(1e-30)
}

/// Runs every offer of every kernel whose name starts with one of `names`, with one and three workers, in place where
/// offered, and compares. The number of offers that ran.
pub fn check(p: &Problem, data: &[Vec<f32>], names: &[&str], oracle: impl Fn(usize) -> Vec<f64>) -> usize {
    check_within(p, data, names, 1e-5, oracle)
}

/// As [`check`], for errors up to `tolerance`.
pub fn check_within(
    p: &Problem,
    data: &[Vec<f32>],
    names: &[&str],
    tolerance: f64,
    oracle: impl Fn(usize) -> Vec<f64>,
) -> usize {
    let machine = paring_simd::machine();
    let mut ran = 0;
    for kernel in KERNELS {
        let d = kernel.descriptor();
        let asked = names.iter().any(|n| d.name.starts_with(n));
        if !asked || !machine.isa.has(d.isa) || !d.ops.contains(&p.op.name()) {
            continue;
        }
        let mut offers = vec![];
        kernel.offers(p, &machine, &mut offers).unwrap_or_else(|why| panic!("{}: {why}: {p:?}", d.name));
        assert!(!offers.is_empty());
        for o in &offers {
            let one = run(*kernel, p, o, data, 1, false);
            let e = error(&one, &oracle(o.fused));
            assert!(e <= tolerance, "{} {:?}: error {e:.2e} in {p:?}", d.name, o.inputs);
            let three = run(*kernel, p, o, data, 3, true);
            assert!(one.iter().zip(&three).all(|(a, b)| a.to_bits() == b.to_bits()), "{}: workers in {p:?}", d.name);
            let cost = kernel.cost(p, o, &machine);
            assert!(cost.ns.is_finite() && cost.ns > 0.0, "{}: cost {cost:?}", d.name);
            ran += 1;
        }
    }
    ran
}

/// The activation in `f64`.
pub fn act(a: Act, x: f64) -> f64 {
    match a {
        Act::Relu => x.max(0.0),
        Act::LeakyRelu(alpha) => {
            if x < 0.0 {
                f64::from(alpha) * x
            } else {
                x
            }
        }
        Act::Clamp { lo, hi } => x.max(f64::from(lo)).min(f64::from(hi)),
        Act::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        Act::Tanh => x.tanh(),
        Act::Swish(alpha) => x / (1.0 + (-f64::from(alpha) * x).exp()),
        Act::HardSwish => x * (x / 6.0 + 0.5).clamp(0.0, 1.0),
        other => panic!("no oracle for {other:?}"),
    }
}

/// A random epilogue for an output of `shape` with its channels on axis `axis`: appends operands to `inputs`, `data`.
pub fn epilogue(
    r: &mut Random,
    shape: &[usize],
    axis: usize,
    inputs: &mut Vec<Option<Operand>>,
    data: &mut Vec<Vec<f32>>,
) -> Vec<EpiOp> {
    let acts = [
        Act::Relu,
        Act::Clamp { lo: 0.0, hi: 6.0 },
        Act::Sigmoid,
        Act::Swish(1.0),
        Act::LeakyRelu(0.1),
        Act::HardSwish,
        Act::Tanh,
    ];
    let mut steps = vec![];
    let mut add = |shape: &[usize], constant: bool, r: &mut Random| {
        let v = r.floats(shape.iter().product());
        inputs.push(Some(operand(shape, &v, constant)));
        data.push(v);
        inputs.len() - 1
    };
    let channels = [shape[axis]];
    for kind in r.pick(&["", "b", "ba", "br", "bra", "rba", "sba", "bp", "bar", "brra", "a"]).chars() {
        steps.push(match kind {
            'b' => EpiOp::Bias { input: add(&channels, true, r) },
            's' => EpiOp::Scale { input: add(&channels, true, r) },
            'p' => EpiOp::PRelu { input: add(&channels, true, r) },
            'r' => EpiOp::Residual { input: add(shape, false, r) },
            _ => EpiOp::Act(r.pick(&acts)),
        });
    }
    steps
}

/// Applies the first `fused` steps to `y`.
pub fn apply(p: &Problem, fused: usize, axis: usize, data: &[Vec<f32>], y: &mut [f64]) {
    let shape = &p.output(0).expect("an output").shape;
    let inner: usize = shape.iter().skip(axis + 1).product();
    for step in &p.epilogue[..fused] {
        for (i, v) in y.iter_mut().enumerate() {
            let c = i / inner % shape[axis];
            *v = match *step {
                EpiOp::Bias { input } => *v + f64::from(data[input][c]),
                EpiOp::Scale { input } => *v * f64::from(data[input][c]),
                EpiOp::PRelu { input } => {
                    if *v < 0.0 {
                        *v * f64::from(data[input][c])
                    } else {
                        *v
                    }
                }
                EpiOp::Residual { input } => *v + f64::from(data[input][i]),
                EpiOp::Act(a) => act(a, *v),
                EpiOp::MaxPool | EpiOp::Quantize { .. } | EpiOp::Sign { .. } => {
                    panic!("no step of these kernels on one number")
                }
            };
        }
    }
}
