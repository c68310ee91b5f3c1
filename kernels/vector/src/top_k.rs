//! The largest or smallest elements of an axis, in order.

use crate::support::*;
use paring_core::{DType, Layout, Op};
use paring_kernel::{KernelError, NumericClass, Offer, Packed, Prepared, Problem, Reject, RunCx, Scratch, SharedMut};
use paring_simd::Simd;
use std::sync::Arc;

/// `TopK` on `f32`.
pub(crate) struct TopK;

fn shapes(p: &Problem) -> Result<Run, Reject> {
    let Op::TopK(a) = p.op else { return Err("does not choose the first few".into()) };
    let x = p.input(0).ok_or("input 0 is absent")?;
    let (values, indices) = (p.output(0), p.output(1));
    let y = values.or(indices).ok_or("no output is wanted")?;
    if x.dtype != DType::F32 || values.is_some_and(|v| v.dtype != x.dtype) {
        return Err(format!("the elements are {}, not f32", x.dtype).into());
    }
    if indices.is_some_and(|i| i.dtype != DType::I64 || i.shape != y.shape) {
        return Err("there is not one i64 index per element".into());
    }
    let axis = paring_core::normalize_axis(a.axis, x.shape.len()).map_err(|e| Reject::from(e.to_string()))?;
    let around = Around::axes(&x.shape, axis, axis + 1);
    let fits = |(d, (&n, &m)): (usize, (&usize, &usize))| if d == axis { m <= n } else { m == n };
    if y.shape.len() != x.shape.len() || !x.shape.iter().zip(&y.shape).enumerate().all(fits) {
        return Err(format!("output {:?} is no part of input {:?}", y.shape, x.shape).into());
    }
    if u32::try_from(around.len).is_err() {
        return Err("the axis is longer than indices of 32 bits reach".into());
    }
    Ok(Run { around, k: y.shape[axis], largest: a.largest })
}

impl Family for TopK {
    fn offers(p: &Problem, out: &mut Vec<Offer>) -> Result<(), Reject> {
        let run = shapes(p)?;
        let mut o = Offer { numerics: NumericClass::Exact, ..uniform(p, Layout::Plain, 0) };
        // How many are wanted is in the shape of the output.
        if p.input(1).is_some_and(|k| k.constant.is_some()) {
            o.inputs[1] = None;
        }
        o.scratch = Scratch { shared: 0, per_worker: run.k * size_of::<u64>() };
        out.push(o);
        Ok(())
    }

    fn work(p: &Problem, _: &Offer) -> f64 {
        let kept = p.outputs.iter().flatten().next().map_or(0, |y| y.len());
        p.input(0).map_or(0, |x| x.len()) as f64 * 0.08 + kept as f64 * 35.0
    }

    fn prepare<S: Simd>(_: S, p: &Problem, _: &Offer, _: Arc<Packed>) -> Result<Box<dyn Prepared>, KernelError> {
        Ok(Box::new(shapes(p).map_err(problem)?))
    }
}

struct Run {
    around: Around,
    k: usize,
    largest: bool,
}

impl Prepared for Run {
    fn run(&self, cx: &mut RunCx<'_>) -> Result<(), KernelError> {
        let x = cx.input::<f32>(0);
        let (parallel, scratch) = (cx.parallel(), cx.worker_scratch());
        let (values, indices): (&mut [f32], &mut [i64]) = match (cx.has_output(0), cx.has_output(1)) {
            (true, true) => cx.two_outputs(0, 1),
            (true, false) => (cx.output(0), &mut []),
            _ => (&mut [], cx.output(1)),
        };
        let (values, indices) = (SharedMut::new(values), SharedMut::new(indices));
        let Around { outer, len, inner } = self.around;
        split(parallel, outer * inner, x.len() * 4, &|units, worker| {
            // SAFETY: this task alone runs as `worker`.
            let chosen = &mut unsafe { scratch.of::<u64>(worker) }[..self.k];
            for unit in units {
                let (outer, column) = (unit / inner, unit % inner);
                let x = &x[outer * len * inner + column..];
                self.choose(x, chosen);
                for (place, &key) in chosen.iter().enumerate() {
                    let (from, to) = (index(key), (outer * self.k + place) * inner + column);
                    // SAFETY: every unit has places of its own in the outputs.
                    unsafe {
                        if !values.is_empty() {
                            values.slice(to, 1)[0] = x[from * inner];
                        }
                        if !indices.is_empty() {
                            indices.slice(to, 1)[0] = from as i64;
                        }
                    }
                }
            }
        });
        Ok(())
    }
}

/// Elements that are compared with the least of those kept before they are looked at singly.
const GROUP: usize = 16;

impl Run {
    /// Fills `chosen` with the keys of the elements to choose from a column that begins at `x`, in order.
    fn choose(&self, x: &[f32], chosen: &mut [u64]) {
        let Around { len, inner, .. } = self.around;
        let (turn, flip) = if self.largest { (0, 0) } else { (u32::MAX, 1 << 31) };
        let key = |v: f32, i: usize| u64::from(rank(v) ^ turn) << 32 | u64::from(!(i as u32));
        for (i, (chosen, &v)) in chosen.iter_mut().zip(x.iter().step_by(inner)).enumerate() {
            *chosen = key(v, i);
        }
        for root in (0..chosen.len() / 2).rev() {
            sift(chosen, root);
        }
        let mut least = x[index(chosen[0]) * inner];
        let mut i = self.k;
        while i < len {
            let mut few = [least; GROUP];
            let n = (len - i).min(GROUP);
            let rest = &x[i * inner..];
            let group = match rest.first_chunk() {
                Some(group) if inner == 1 => group,
                _ => {
                    few[..n].iter_mut().zip(rest.iter().step_by(inner)).for_each(|(to, &v)| *to = v);
                    &few
                }
            };
            if above(group, least, flip) {
                for (j, &v) in group[..n].iter().enumerate() {
                    let key = key(v, i + j);
                    if key > chosen[0] {
                        chosen[0] = key;
                        sift(chosen, 0);
                    }
                }
                least = x[index(chosen[0]) * inner];
            }
            i += n;
        }
        for end in (1..chosen.len()).rev() {
            chosen.swap(0, end);
            sift(&mut chosen[..end], 0);
        }
    }
}

/// Whether any of a group may be above `least` once the bits of `flip` are changed. An equal one is not: it would come
/// behind. The order of NaN is for the keys to know.
#[inline]
fn above(group: &[f32; GROUP], least: f32, flip: u32) -> bool {
    let least = f32::from_bits(least.to_bits() ^ flip);
    let mut below = 0;
    for &v in group {
        below += u32::from(f32::from_bits(v.to_bits() ^ flip) <= least);
    }
    below != GROUP as u32
}

/// What numbers compare by: zeros are equal, and all that is not a number is equal and above everything.
fn rank(v: f32) -> u32 {
    let bits = v.to_bits();
    let ordered = if bits >> 31 == 1 { !bits } else { bits | 1 << 31 };
    if v.is_nan() {
        u32::MAX
    } else if v == 0.0 {
        1 << 31
    } else {
        ordered
    }
}

/// The index in a key: of equal elements the first is the largest.
fn index(key: u64) -> usize {
    !(key as u32) as usize
}

/// Lets the key at `root` down to where no smaller one is below it.
fn sift(heap: &mut [u64], mut root: usize) {
    let key = heap[root];
    loop {
        let mut child = 2 * root + 1;
        if child >= heap.len() {
            break;
        }
        if child + 1 < heap.len() {
            child += usize::from(heap[child + 1] < heap[child]);
        }
        if heap[child] >= key {
            break;
        }
        heap[root] = heap[child];
        root = child;
    }
    heap[root] = key;
}
