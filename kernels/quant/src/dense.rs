//! Products of bytes with a constant matrix.

use crate::{
    family::{Family, Target, rate},
    finish,
    late::{Late, operands},
    needed::Needed,
    operand::{Bytes, Channels, integer},
    product::{BLOCK, Product, Run},
    rows::{Count, QUAD, Room, Rows},
    tile,
};
use paring_core::{DType, Layout, Tensor};
use paring_dense::{
    conv::{Work, cut},
    fully_connected::Extent,
    panel::{Columns, columns},
};
use paring_kernel::{Cost, KernelError, Machine, Offer, Packed, Prepared, Problem, Reject, RunCx, Scratch};
use paring_simd::{LANES, Simd, Task};
use std::sync::Arc;

/// See the module.
pub struct Dense;

/// Longest sum that stays within 32 bits, whatever the bytes.
const MOST_TERMS: usize = 32_000;
/// Multiply-adds of a task.
const TASK_MACS: usize = 1 << 20;

struct Plan {
    extent: Extent,
    panels: Vec<Columns>,
    x: Bytes,
    channels: Channels,
    late: Option<Late>,
}

impl Plan {
    fn of(p: &Problem) -> Result<Plan, Reject> {
        let extent = Extent::of_any(p)?;
        let (x, channels, late) = operands(p, usize::from(!extent.transposed))?;
        finish::servable(p, extent.columns)?;
        if late.is_none() && extent.depth > MOST_TERMS {
            return Err(Reject::because("the sum is too long for 32 bits"));
        }
        Ok(Plan { panels: columns(extent.columns, 1), extent, x, channels, late })
    }

    /// Weights of a panel at [four of the sum][column][one of the four].
    fn panel(&self, w: &Tensor, c: &Columns) -> Vec<[i32; QUAD]> {
        let (Extent { depth, columns, transposed, .. }, width) = (self.extent, c.width());
        let mut panel = vec![[0; QUAD]; depth.div_ceil(QUAD) * width];
        let (bytes, signed) = (w.bytes(), w.dtype() == DType::I8);
        for lane in 0..c.lanes {
            let (n, zero) = (c.first + lane, self.channels.zero_point[c.first + lane]);
            if transposed {
                for (i, four) in bytes[n * depth..][..depth].chunks(QUAD).enumerate() {
                    for (to, &byte) in panel[i * width + lane].iter_mut().zip(four) {
                        *to = integer(byte, signed) - zero;
                    }
                }
                continue;
            }
            for k in 0..depth {
                panel[k / QUAD * width + lane][k % QUAD] = integer(bytes[k * columns + n], signed) - zero;
            }
        }
        panel
    }

    fn rows(&self, p: &Problem, room: Room) -> Result<Rows, KernelError> {
        let w = p.constant(1).ok_or_else(|| KernelError::Problem("the matrix is not constant".into()))?;
        let mut rows = Rows::new(room);
        for c in &self.panels {
            rows.panel(c.width());
            let mut panel = self.panel(w, c);
            for (index, quad) in panel.chunks_exact_mut(c.width()).enumerate() {
                rows.push(index as u32, quad);
            }
        }
        Ok(rows)
    }

    /// What the columns of a panel take, of weights that are bytes as they lie.
    fn needed(&self, weights: &[i8], c: &Columns, room: Room) -> Needed {
        let Extent { depth, columns, transposed, .. } = self.extent;
        let mut needed = Needed::new(room, depth.div_ceil(QUAD), 1);
        if transposed {
            needed.columns((c.first..c.first + c.lanes).map(|n| (0, &weights[n * depth..][..depth])));
            return needed;
        }
        let nothing = vec![0; c.lanes];
        let row = |k: usize| if k < depth { &weights[k * columns + c.first..][..c.lanes] } else { &nothing };
        for k in (0..depth).step_by(2) {
            needed.neighbours(k, row(k), row(k + 1));
        }
        needed
    }

    /// Bytes of packed [rows](Plan::rows), counted without packing them.
    fn packed_bytes(&self, p: &Problem, room: Room) -> Option<usize> {
        let (w, mut count) = (p.constant(1)?, Count::default());
        let are_bytes = w.dtype() == DType::I8 && self.channels.are_zero();
        for c in &self.panels {
            let rows = if are_bytes {
                self.needed(bytemuck::cast_slice(w.bytes()), c, room).quads().iter().sum()
            } else {
                self.panel(w, c).chunks_exact(c.width()).map(|quad| room.needed(quad)).sum()
            };
            count.panel(c.width(), rows);
        }
        Some(count.bytes())
    }

    /// Bytes of a row of the input that can be read in fours.
    fn stride(&self) -> usize {
        self.extent.depth.next_multiple_of(QUAD)
    }

    /// Bytes of a copy of the input with such rows, where it has none.
    fn copied(&self) -> usize {
        if self.stride() == self.extent.depth { 0 } else { self.extent.rows * self.stride() }
    }

    /// Bytes of what is known only while running, and of the copy after it.
    fn scratch(&self) -> [usize; 2] {
        [self.late.as_ref().map_or(0, Late::scratch), self.copied()]
    }
}

impl Family for Dense {
    fn offers(p: &Problem, target: Target, out: &mut Vec<Offer>) -> Result<(), Reject> {
        let (plan, room) = (Plan::of(p)?, Room::of(target));
        let bytes = plan.packed_bytes(p, room).ok_or("the matrix is not constant")?;
        let order = if plan.extent.transposed { "nk" } else { "kn" };
        let offer = finish::offer(p, Layout::Plain);
        out.push(Offer {
            inputs: plan.late.as_ref().map_or(offer.inputs.clone(), |late| late.inputs(&offer)),
            scratch: Scratch { shared: plan.scratch().iter().sum(), per_worker: 0 },
            packed_bytes: bytes,
            packed_format: format!("dense-{}-{order}{}", room.name(), plan.channels.packed_as()).into(),
            variant: room as u32,
            ..offer
        });
        Ok(())
    }

    fn cost(p: &Problem, o: &Offer, target: Target, m: &Machine) -> Cost {
        let rows = p.input(0).map_or(0, |x| x.len() / x.shape.last().copied().unwrap_or(1).max(1)) as f64;
        let compute = rows * o.packed_bytes as f64 / (0.9 * rate(target, m));
        let stream = m.weights(o.packed_bytes, 1);
        Cost { ns: compute.max(stream) + 0.1 * compute.min(stream) + 200.0, bytes: o.packed_bytes as f64 }
    }

    fn pack(p: &Problem, o: &Offer) -> Result<Packed, KernelError> {
        let plan = Plan::of(p).map_err(|r| KernelError::Problem(r.to_string()))?;
        Ok(plan.rows(p, Room::of_offer(o))?.pack()?.into())
    }

    fn prepare<S: Simd>(s: S, p: &Problem, _: &Offer, packed: Arc<Packed>) -> Result<Box<dyn Prepared>, KernelError> {
        let plan = Plan::of(p).map_err(|r| KernelError::Problem(r.to_string()))?;
        let quads = plan.stride() / QUAD;
        let offset = |source: u32| Some(source as usize).filter(|&s| s < quads).map(|s| s * QUAD);
        let (x, channels) = (plan.x, &plan.channels);
        let product = Product::new(p, plan.panels.clone(), (x, channels), x.offset::<S>(), packed, false, offset)?;
        let work = work(plan.extent.rows, &product);
        Ok(Box::new(Engine { s, plan, product, work }))
    }
}

/// Cuts the problem into tasks, by its shape alone: rows first, panels where those are few.
fn work(rows: usize, product: &Product) -> Vec<Work> {
    let per_row = product.per_pixel();
    let per_task = (TASK_MACS / per_row).max(1).next_multiple_of(BLOCK).min(rows);
    cut(rows, per_task, product.panels(), per_row.saturating_mul(per_task) / TASK_MACS)
}

struct Engine<S> {
    s: S,
    plan: Plan,
    product: Product,
    work: Vec<Work>,
}

impl<S: Simd> Prepared for Engine<S> {
    fn run(&self, cx: &mut RunCx<'_>) -> Result<(), KernelError> {
        let Extent { rows, depth, columns, .. } = self.plan.extent;
        let (stride, parallel) = (self.plan.stride(), cx.parallel());
        let input = cx.input::<u8>(0);
        assert!(input.len() >= rows * depth);
        let mut x = input.as_ptr();
        let (scratch, [late, copied]) = (cx.scratch::<u8>(), self.plan.scratch());
        // SAFETY: the only slice of this part of the scratch.
        let values = unsafe { scratch.slice(0, late) };
        let late = self.plan.late.as_ref().map(|l| l.values(cx, l.zero(cx), &self.product, values));
        if copied > 0 {
            // SAFETY: the only slice of the rest.
            let copy = unsafe { scratch.slice(self.plan.scratch()[0], copied) };
            for (to, from) in copy.chunks_exact_mut(stride).zip(input.chunks_exact(depth)) {
                to[..depth].copy_from_slice(from);
                to[depth..].fill(0);
            }
            x = copy.as_ptr();
        }
        let run = self.product.bind(cx, x, rows * columns, late);
        parallel.run(self.work.len(), &|task, _| {
            let work = &self.work[task];
            match self.plan.x.turned::<S>() {
                true => self.s.vectorize(Call::<S, { tile::TURNED }> { engine: self, run: &run, work }),
                false => self.s.vectorize(Call::<S, { tile::STRAIGHT }> { engine: self, run: &run, work }),
            }
        });
        Ok(())
    }
}

struct Call<'a, E, const KIND: u8> {
    engine: &'a Engine<E>,
    run: &'a Run<'a>,
    work: &'a Work,
}

impl<E: Simd, const KIND: u8> Task for Call<'_, E, KIND> {
    type Output = ();

    #[inline(always)]
    fn call<S: Simd>(self, s: S) {
        let e = self.engine;
        let (stride, columns) = (e.plan.stride(), e.plan.extent.columns);
        let mut x = [self.run.x; BLOCK];
        let mut y = [0usize; BLOCK];
        for first in self.work.pixels.clone().step_by(BLOCK) {
            let n = (self.work.pixels.end - first).min(BLOCK);
            for i in 0..n {
                x[i] = self.run.x.wrapping_add((first + i) * stride);
                y[i] = (first + i) * columns;
            }
            // SAFETY: rows of the input are `stride` bytes long, and offsets within; rows and columns of the output are
            // those of its shape, and no other task has them.
            unsafe { self.run.multiply::<S, KIND>(s, &self.work.panels, &x[..n], &y[..n], LANES) };
        }
    }
}
