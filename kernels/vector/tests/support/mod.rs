//! Runs every kernel of this crate that takes a problem, in every layout it offers, against the reference.

#![allow(dead_code)]

use paring_core::{AlignedBuf, DType, Layout, Tensor, op::Op};
use paring_kernel::{Kernel, Machine, Numerics, Offer, Operand, Parallel, Problem, RawOperand, RunCx, Serial};
use paring_vector::KERNELS;
use std::sync::{Arc, Mutex};

/// Deterministic numbers between -2 and 2.
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Rng {
        Rng(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u64 << 24) as f32
    }

    pub fn tensor(&mut self, dtype: DType, shape: &[usize]) -> Tensor {
        let n: usize = shape.iter().product();
        match dtype {
            DType::F32 => Tensor::new(shape, &(0..n).map(|_| self.unit() * 4.0 - 2.0).collect::<Vec<_>>()).unwrap(),
            DType::Bool => {
                Tensor::from_bools(shape, &(0..n).map(|_| self.next() >> 63 == 1).collect::<Vec<_>>()).unwrap()
            }
            DType::I64 => {
                Tensor::new(shape, &(0..n).map(|_| (self.next() >> 40) as i64 % 17 - 8).collect::<Vec<_>>()).unwrap()
            }
            DType::I32 => {
                Tensor::new(shape, &(0..n).map(|_| (self.next() >> 40) as i32 % 17 - 8).collect::<Vec<_>>()).unwrap()
            }
            other => {
                let bytes: Vec<u8> = (0..other.bytes(n).unwrap()).map(|_| (self.next() >> 40) as u8).collect();
                Tensor::from_bytes(other, shape, &bytes).unwrap()
            }
        }
    }
}

/// Several workers, each on its own thread, tasks in no particular order.
pub struct Threads(pub usize);

impl Parallel for Threads {
    fn workers(&self) -> usize {
        self.0
    }

    fn run(&self, tasks: usize, f: &(dyn Fn(usize, usize) + Sync)) {
        let next = Mutex::new(tasks);
        std::thread::scope(|scope| {
            for worker in 0..self.0 {
                let next = &next;
                scope.spawn(move || {
                    loop {
                        let task = {
                            let mut n = next.lock().unwrap();
                            if *n == 0 {
                                break;
                            }
                            *n -= 1;
                            *n
                        };
                        f(task, worker);
                    }
                });
            }
        });
    }
}

/// A problem under construction, with the tensors of its inputs.
pub struct Case {
    pub problem: Problem,
    pub inputs: Vec<Option<Tensor>>,
    /// Allowed error relative to the root mean square of the expected output.
    pub tolerance: f64,
}

impl Case {
    pub fn new(op: Op) -> Case {
        let problem = Problem {
            name: "case".into(),
            op,
            inputs: Vec::new(),
            outputs: Vec::new(),
            epilogue: Vec::new(),
            numerics: Numerics::Default,
        };
        Case { problem, inputs: Vec::new(), tolerance: 1e-6 }
    }

    pub fn input(mut self, t: Tensor) -> Case {
        self.problem.inputs.push(Some(Operand::new(t.dtype(), t.shape())));
        self.inputs.push(Some(t));
        self
    }

    pub fn constant(mut self, t: Tensor) -> Case {
        self.problem.inputs.push(Some(Operand::constant(Arc::new(t.clone()))));
        self.inputs.push(Some(t));
        self
    }

    pub fn i64s(self, values: &[i64]) -> Case {
        self.constant(Tensor::from_i64s(values))
    }

    pub fn absent(mut self) -> Case {
        self.problem.inputs.push(None);
        self.inputs.push(None);
        self
    }

    pub fn output(mut self, dtype: DType, shape: &[usize]) -> Case {
        self.problem.outputs.push(Some(Operand::new(dtype, shape)));
        self
    }

    pub fn unwanted(mut self) -> Case {
        self.problem.outputs.push(None);
        self
    }

    pub fn epilogue(mut self, step: paring_core::op::EpiOp) -> Case {
        self.problem.epilogue.push(step);
        self
    }

    pub fn tolerance(mut self, tolerance: f64) -> Case {
        self.tolerance = tolerance;
        self
    }

    /// Runs every kernel in every offer and counts the distinct sets of output layouts; fails where a kernel is wrong
    /// or where none offers.
    pub fn check(&self) -> Vec<Layout> {
        let m = Machine::generic(paring_simd::detect());
        let mut seen = Vec::new();
        let mut reasons = Vec::new();
        for k in KERNELS {
            let d = k.descriptor();
            if !m.isa.has(d.isa) || !d.ops.contains(&self.problem.op.name()) {
                continue;
            }
            let mut offers = Vec::new();
            match k.offers(&self.problem, &m, &mut offers) {
                Ok(()) => assert!(!offers.is_empty(), "{} neither offers nor says why", d.name),
                Err(r) => reasons.push(format!("{}: {r}", d.name)),
            }
            for o in &offers {
                let cost = k.cost(&self.problem, o, &m);
                assert!(cost.ns.is_finite() && cost.ns > 0.0);
                self.check_offer(*k, o);
                seen.push(o.outputs[0]);
            }
        }
        assert!(!seen.is_empty(), "no kernel for {:?}: {reasons:?}", self.problem);
        seen.sort();
        seen.dedup();
        seen
    }

    /// As [`Case::check`], and the blocked layout must be among the offers.
    pub fn check_blocked(&self) {
        assert!(self.check().contains(&Layout::Blocked(8)), "no blocked offer for {:?}", self.problem);
    }

    fn expected(&self, fused: usize) -> Vec<Option<Tensor>> {
        let mut p = self.problem.clone();
        p.epilogue.truncate(fused);
        let inputs: Vec<_> = self.inputs.iter().map(Option::as_ref).collect();
        paring_reference::evaluate(&p, &inputs).unwrap_or_else(|e| panic!("{e}: {p:?}"))
    }

    fn check_offer(&self, k: &dyn Kernel, o: &Offer) {
        let what = format!("{} {o:?} of {:?}", k.descriptor().name, self.problem);
        let expected = self.expected(o.fused);
        let one = self.run(k, o, &Serial, None).unwrap_or_else(|e| panic!("{e}: {what}"));
        let three = self.run(k, o, &Threads(3), None).unwrap();
        assert!(one == three, "workers change bits: {what}");
        if let Some(i) = o.in_place {
            assert!(one == self.run(k, o, &Serial, Some(i)).unwrap(), "in place differs: {what}");
        }
        for (i, (got, expected)) in one.iter().zip(&expected).enumerate() {
            let (Some(got), Some(expected)) = (got, expected) else { continue };
            let operand = self.problem.outputs[i].as_ref().unwrap();
            let plain = to_plain(operand, o.outputs[i], got, &what);
            if operand.dtype == DType::F32 {
                close(&plain, expected, self.tolerance, &what);
            } else {
                assert!(plain == expected.bytes(), "output {i} differs: {what}");
            }
        }
    }

    /// The bytes of the outputs.
    #[allow(clippy::type_complexity)]
    pub fn run(
        &self,
        k: &dyn Kernel,
        o: &Offer,
        parallel: &dyn Parallel,
        in_place: Option<usize>,
    ) -> Result<Vec<Option<Vec<u8>>>, paring_kernel::KernelError> {
        let packed = k.pack(&self.problem, o)?;
        assert_eq!(packed.data.as_slice().len(), o.packed_bytes, "{}", k.descriptor().name);
        let prepared = k.prepare(&self.problem, o, Arc::new(packed))?;
        let mut inputs: Vec<Option<AlignedBuf>> =
            self.inputs.iter().zip(&o.inputs).map(|(t, l)| Some(from_plain(t.as_ref()?, (*l)?))).collect();
        let mut outputs: Vec<Option<AlignedBuf>> = self
            .problem
            .outputs
            .iter()
            .zip(&o.outputs)
            .map(|(y, &l)| {
                let mut b = AlignedBuf::zeroed(y.as_ref()?.bytes(l).unwrap()).unwrap();
                b.as_mut_slice().fill(0xff);
                Some(b)
            })
            .collect();
        if let Some(i) = in_place {
            outputs[0] = inputs[i].take();
        }
        let raw = |b: &mut Option<AlignedBuf>| {
            b.as_mut().map(|b| RawOperand { ptr: b.as_mut_ptr(), len: b.as_slice().len() })
        };
        let mut ins: Vec<_> = inputs.iter_mut().map(raw).collect();
        let outs: Vec<_> = outputs.iter_mut().map(raw).collect();
        if let Some(i) = in_place {
            ins[i] = outs[0];
        }
        let mut shared = AlignedBuf::zeroed(o.scratch.shared).unwrap();
        let mut worker = AlignedBuf::zeroed(o.scratch.per_worker * parallel.workers()).unwrap();
        worker.as_mut_slice().fill(0xff);
        let of = |b: &mut AlignedBuf| RawOperand { ptr: b.as_mut_ptr(), len: b.as_slice().len() };
        // SAFETY: all buffers live through the run, have the lengths of their layouts, and are disjoint.
        let mut cx = unsafe {
            RunCx::new(&ins, &outs, in_place, of(&mut shared), of(&mut worker), o.scratch.per_worker, parallel)
        };
        prepared.run(&mut cx)?;
        Ok(outputs.into_iter().map(|b| b.map(|b| b.as_slice().to_vec())).collect())
    }
}

fn blocked_index(shape: &[usize], i: usize) -> usize {
    let plane: usize = shape[2..].iter().product();
    let (n, c, s) = (i / plane / shape[1], i / plane % shape[1], i % plane);
    ((n * shape[1].div_ceil(8) + c / 8) * plane + s) * 8 + c % 8
}

fn from_plain(t: &Tensor, layout: Layout) -> AlignedBuf {
    if layout == Layout::Plain {
        return AlignedBuf::from_bytes(t.bytes()).unwrap();
    }
    let mut b = AlignedBuf::zeroed(layout.elements(t.shape()).unwrap() * 4).unwrap();
    let y: &mut [f32] = bytemuck::cast_slice_mut(b.as_mut_slice());
    for (i, &v) in t.elements::<f32>().unwrap().iter().enumerate() {
        y[blocked_index(t.shape(), i)] = v;
    }
    b
}

/// The elements in logical order. Padding lanes must be zero.
fn to_plain(o: &Operand, layout: Layout, bytes: &[u8], what: &str) -> Vec<u8> {
    if layout == Layout::Plain {
        return bytes.to_vec();
    }
    let all: Vec<f32> = bytemuck::pod_collect_to_vec(bytes);
    let mut used = vec![false; all.len()];
    let mut plain = Vec::new();
    for i in 0..o.len() {
        let at = blocked_index(&o.shape, i);
        used[at] = true;
        plain.push(all[at]);
    }
    for (i, v) in all.iter().enumerate() {
        assert!(used[i] || *v == 0.0, "padding lane {i} holds {v}: {what}");
    }
    bytemuck::cast_slice(&plain).to_vec()
}

fn close(got: &[u8], expected: &Tensor, tolerance: f64, what: &str) {
    let got: Vec<f32> = bytemuck::pod_collect_to_vec(got);
    let expected = expected.elements::<f32>().unwrap();
    assert_eq!(got.len(), expected.len(), "{what}");
    let finite = expected.iter().filter(|v| v.is_finite());
    let squares: f64 = finite.clone().map(|&v| f64::from(v) * f64::from(v)).sum();
    let rms = (squares / finite.count().max(1) as f64).sqrt();
    for (i, (&g, &e)) in got.iter().zip(expected.iter()).enumerate() {
        let equal = g == e || (g.is_nan() && e.is_nan());
        let error = (f64::from(g) - f64::from(e)).abs();
        assert!(equal || error <= tolerance * rms.max(f64::from(e).abs()), "element {i} is {g}, not {e}: {what}");
    }
}
