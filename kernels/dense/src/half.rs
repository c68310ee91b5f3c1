//! Product of one row with a constant matrix that is kept in half precision.
//!
//! A single row reads every weight once, so that memory is the limit: half the bytes are half the time. The weights are
//! made single precision as they are loaded (`vcvtph2ps`); sums are in single precision. Where every weight is a half
//! anyway, as in a model of halves, nothing is lost; elsewhere only `Numerics::Fast` allows it.

use crate::{
    epilogue::{self, Epilogue},
    fully_connected::Extent,
    gemm,
    one_row::OneRow,
    panel::Columns,
    stamp::{self, generic_kernel},
    tile::Panel,
};
use core::ops::Range;
use half::f16;
use paring_core::{AlignedBuf, Layout};
use paring_kernel::{
    Cost, Kernel, KernelDescriptor, KernelError, Machine, NumericClass, Offer, Packed, Prepared, Problem, Reject, RunCx,
};
use paring_simd::{LANES, Simd, Task};
use std::sync::Arc;

generic_kernel! {
    /// Product of one row with a constant matrix in half precision.
    DenseHalf
}

/// Columns of a panel: two vectors.
const PANEL: usize = 2 * LANES;
/// Panels that are read at once: more streams than one are what memory needs.
const STREAMS: usize = 4;
/// Bytes of weights that a task reads.
const TASK_BYTES: usize = 128 << 10;

/// The extent of a problem that can be served, and whether its weights are halves anyway.
fn extent(p: &Problem) -> Result<(Extent, bool), Reject> {
    let e = Extent::of(p)?;
    if e.rows != 1 {
        return Err(Reject::because("more than one row: arithmetic is the limit, not memory"));
    }
    let weights = p.constant(1).ok_or_else(|| Reject::because("the matrix is not constant"))?;
    // Straight from the file's bytes, which need not be aligned: a copy would take longer than the look at the first
    // weight that is no half, which is most often the first of all.
    let weights = || weights.bytes().chunks_exact(size_of::<f32>()).map(bytemuck::pod_read_unaligned::<f32>);
    let exact = weights().all(|w| f16::from_f32(w).to_f32() == w);
    if !exact && !p.numerics.allows(NumericClass::Reduced) {
        return Err(Reject::because("the weights would be rounded: only numerics 'fast' allow that"));
    }
    let largest = weights().fold(0.0f32, |m, w| m.max(w.abs()));
    if largest > f16::MAX.to_f32() || weights().any(f32::is_nan) {
        return Err(Reject::from(format!("a weight of {largest} is beyond half precision")));
    }
    Ok((e, exact))
}

/// Panels of sixteen columns.
fn panels(e: &Extent) -> usize {
    e.columns.div_ceil(PANEL)
}

impl<S: Simd> Kernel for DenseHalf<S> {
    fn descriptor(&self) -> &'static KernelDescriptor {
        self.descriptor
    }

    fn offers(&self, p: &Problem, _m: &Machine, out: &mut Vec<Offer>) -> Result<(), Reject> {
        let (e, exact) = extent(p)?;
        out.push(Offer {
            packed_bytes: panels(&e) * e.depth * PANEL * size_of::<f16>(),
            packed_format: if e.transposed { "dense-f16-panels-nk" } else { "dense-f16-panels-kn" }.into(),
            numerics: if exact { NumericClass::Reassociated } else { NumericClass::Reduced },
            ..epilogue::offer(p, epilogue::fusable(p, e.columns), Layout::Plain, Layout::Plain)
        });
        Ok(())
    }

    fn cost(&self, p: &Problem, o: &Offer, m: &Machine) -> Cost {
        let weights = (o.packed_bytes / size_of::<f16>()) as f64;
        // Conversions take as long as the products.
        let compute = weights / (0.45 * stamp::rate(S::ISA, m));
        let stream = m.weights(o.packed_bytes, 1);
        let bytes = p.input(0).map_or(0, |x| x.len() * size_of::<f32>()) + o.packed_bytes;
        Cost { ns: compute.max(stream) + 0.1 * compute.min(stream) + 200.0, bytes: bytes as f64 }
    }

    fn pack(&self, p: &Problem, o: &Offer) -> Result<Packed, KernelError> {
        let e = Extent::of(p).map_err(|r| KernelError::Problem(r.to_string()))?;
        let w = stamp::weights(p, 1)?;
        let mut data = AlignedBuf::zeroed(o.packed_bytes)?;
        let out: &mut [u16] = bytemuck::cast_slice_mut(data.as_mut_slice());
        for (panel, rows) in out.chunks_exact_mut(e.depth * PANEL).enumerate() {
            for (k, row) in rows.chunks_exact_mut(PANEL).enumerate() {
                for (n, v) in (panel * PANEL..e.columns).zip(row) {
                    *v = f16::from_f32(if e.transposed { w[n * e.depth + k] } else { w[k * e.columns + n] }).to_bits();
                }
            }
        }
        Ok(data.into())
    }

    fn prepare(&self, p: &Problem, o: &Offer, packed: Arc<Packed>) -> Result<Box<dyn Prepared>, KernelError> {
        let extent = Extent::of(p).map_err(|r| KernelError::Problem(r.to_string()))?;
        if packed.elements::<u16>().len() != panels(&extent) * extent.depth * PANEL {
            return Err(KernelError::Problem("weights were packed for another problem".into()));
        }
        let epilogue = Epilogue::new(p, o.fused, extent.columns, false)?;
        Ok(Box::new(Bound { isa: stamp::token::<S>()?, extent, packed, epilogue }))
    }
}

struct Bound<S> {
    isa: S,
    extent: Extent,
    packed: Arc<Packed>,
    epilogue: Epilogue,
}

impl<S: Simd> Prepared for Bound<S> {
    fn run(&self, cx: &mut RunCx<'_>) -> Result<(), KernelError> {
        let (e, parallel) = (&self.extent, cx.parallel());
        let row = OneRow::bind(e, &self.epilogue, cx);
        let each = (TASK_BYTES / (e.depth * PANEL * size_of::<f16>())).max(1).next_multiple_of(STREAMS);
        let count = panels(e);
        parallel.run(count.div_ceil(each), &|task, _| {
            let panels = task * each..count.min((task + 1) * each);
            self.isa.vectorize(Run { row: &row, weights: self.packed.elements(), panels });
        });
        Ok(())
    }
}

/// One task.
struct Run<'a> {
    row: &'a OneRow<'a>,
    weights: &'a [u16],
    panels: Range<usize>,
}

impl Task for Run<'_> {
    type Output = ();

    #[inline(always)]
    fn call<S: Simd>(self, s: S) {
        let mut at = self.panels.start;
        while at + STREAMS <= self.panels.end {
            self.streams::<S, STREAMS>(s, at);
            at += STREAMS;
        }
        while at < self.panels.end {
            self.streams::<S, 1>(s, at);
            at += 1;
        }
    }
}

impl Run<'_> {
    /// Computes `N` panels from `first` on.
    #[inline(always)]
    fn streams<S: Simd, const N: usize>(&self, s: S, first: usize) {
        let OneRow { extent: e, epilogue, x, y, ref finish } = *self.row;
        let weights = self.weights;
        let size = e.depth * PANEL;
        assert!((first + N) * size <= weights.len());
        let mut w = [weights.as_ptr(); N];
        let mut sums = [[s.splat(0.0); 2]; N];
        for i in 0..N {
            w[i] = w[i].wrapping_add((first + i) * size);
        }
        for k in 0..x.len() {
            // SAFETY: within the row, and within each panel, as was checked.
            unsafe {
                let v = s.broadcast(x.as_ptr().add(k));
                for i in 0..N {
                    let at = w[i].add(k * PANEL);
                    sums[i][0] = s.mul_add(s.load_halves(at), v, sums[i][0]);
                    sums[i][1] = s.mul_add(s.load_halves(at.add(LANES)), v, sums[i][1]);
                }
            }
        }
        for i in 0..N {
            let channel = (first + i) * PANEL;
            let lanes = PANEL.min(e.columns - channel);
            let columns = Columns { first: channel, lanes, vectors: 2, groups: 0..1 };
            let panel: Panel<'_> =
                gemm::panel(&columns, core::ptr::null(), PANEL, e.depth, epilogue.init(columns.first), finish);
            // SAFETY: starts are padded to whole panels; these columns of the output are this task's alone.
            unsafe {
                let (a, b) = (s.load(panel.init), s.load(panel.init.add(LANES)));
                finish.store::<S, 1, 2>(s, &panel.place, [[s.add(sums[i][0], a), s.add(sums[i][1], b)]], [y]);
            }
        }
    }
}
