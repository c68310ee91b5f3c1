//! Resizing of images of bytes: nearest and linear interpolation.
//!
//! Where bytes are not just copied, the two rows that a row of the output lies between become one of numbers, and then
//! columns of that are mixed.

use crate::{
    family::{Family, Target, streaming},
    finish::{self, Epilogue, Finish, Place},
    operand::Bytes,
};
use paring_core::op::EpiOp;
use paring_kernel::{
    Cost, KernelError, Machine, NumericClass, Offer, Operand, Packed, Prepared, Problem, Reject, RunCx, Scratch,
    SharedMut,
};
use paring_simd::{LANES, Simd, Task};
use paring_vector::{
    places::Places,
    support::{BLOCKED, Planes, split},
};
use std::sync::Arc;

/// See the module.
pub struct Resize;

struct Plan {
    x: Bytes,
    planes: Planes,
    places: Places,
    /// Whether bytes are copied as they are: nearest elements that stand for the same numbers before and after.
    copies: bool,
}

impl Plan {
    fn of(p: &Problem) -> Result<Plan, Reject> {
        let places = Places::of(p, BLOCKED)?;
        let (Some(x), Some(y)) = (p.input(0), p.output(0)) else { return Err("an operand is missing".into()) };
        let planes = Planes::of(&x.shape)?;
        finish::servable(p, planes.channels)?;
        let x = Bytes::of(x)?;
        let only_quantises = matches!(p.epilogue[..], [EpiOp::Quantize { .. }]);
        let copies = !places.linear && only_quantises && Bytes::of(y).is_ok_and(|y| y == x);
        Ok(Plan { x, planes, places, copies })
    }

    /// Elements of scratch: a row of the input, and one of the output.
    fn scratch(&self) -> Option<usize> {
        if self.copies { Some(0) } else { self.places.input[1].checked_add(self.places.cols.len())?.checked_mul(LANES) }
    }
}

impl Family for Resize {
    fn offers(p: &Problem, _: Target, out: &mut Vec<Offer>) -> Result<(), Reject> {
        let plan = Plan::of(p)?;
        let bytes = plan.scratch().and_then(|n| n.checked_mul(size_of::<f32>())).filter(|&n| n <= 64 << 20);
        let per_worker = bytes.ok_or("a row is too long")?.next_multiple_of(64);
        let numerics = if plan.copies { NumericClass::Exact } else { NumericClass::Reassociated };
        out.push(Offer { scratch: Scratch { shared: 0, per_worker }, numerics, ..finish::offer(p, BLOCKED) });
        Ok(())
    }

    fn cost(p: &Problem, o: &Offer, target: Target, m: &Machine) -> Cost {
        // Measured: most of what is not copied goes into making bytes of numbers again.
        let each = if o.numerics == NumericClass::Exact { 0.08 } else { 0.65 };
        streaming(p, o, target, m, each * p.output(0).map_or(0, Operand::len) as f64)
    }

    fn prepare<S: Simd>(s: S, p: &Problem, _: &Offer, _: Arc<Packed>) -> Result<Box<dyn Prepared>, KernelError> {
        let plan = Plan::of(p).map_err(|r| KernelError::Problem(r.to_string()))?;
        let scale = vec![plan.x.scale; plan.planes.channels];
        Ok(Box::new(Engine { s, epilogue: Epilogue::of_sums_below(512.0, p, &scale, true)?, plan }))
    }
}

struct Engine<S> {
    s: S,
    plan: Plan,
    epilogue: Epilogue,
}

impl<S: Simd> Prepared for Engine<S> {
    fn run(&self, cx: &mut RunCx<'_>) -> Result<(), KernelError> {
        let Places { images, input: [height, width], ref rows, ref cols, .. } = self.plan.places;
        let (x, parallel, own) = (cx.input::<u8>(0), cx.parallel(), cx.worker_scratch());
        assert!(x.len() >= images * height * width * LANES);
        if self.plan.copies {
            let y = cx.shared_output::<u8>(0);
            split(parallel, images * rows.len(), 2 * y.len(), &|units, _| units.for_each(|row| self.copy(x, y, row)));
            return Ok(());
        }
        let output = cx.output::<u8>(0);
        let (y, len) = (output.as_mut_ptr(), output.len());
        assert!(len >= images * rows.len() * cols.len() * LANES * self.epilogue.size());
        let finish = self.epilogue.bind(cx, y, len);
        split(parallel, images * rows.len(), 2 * len, &|units, worker| {
            // SAFETY: a worker runs one task at a time.
            let scratch = unsafe { own.of::<f32>(worker) };
            for row in units {
                self.s.vectorize(Row { plan: &self.plan, finish: &finish, x, scratch, row });
            }
        });
        Ok(())
    }
}

impl<S: Simd> Engine<S> {
    /// Copies the elements of one row of the output, counted through all images.
    fn copy(&self, x: &[u8], y: SharedMut<'_, u8>, row: usize) {
        let Places { input: [height, width], ref rows, ref cols, .. } = self.plan.places;
        let first = (row / rows.len() * height + rows[row % rows.len()].first) * width * LANES;
        let from = &x[first..][..width * LANES];
        // SAFETY: every row is one task's.
        let to = unsafe { y.slice(row * cols.len() * LANES, cols.len() * LANES) };
        for (c, to) in cols.iter().zip(to.chunks_exact_mut(LANES)) {
            to.copy_from_slice(&from[c.first * LANES..][..LANES]);
        }
    }
}

/// One row of the output.
struct Row<'a> {
    plan: &'a Plan,
    finish: &'a Finish<'a>,
    x: &'a [u8],
    scratch: &'a mut [f32],
    /// Counted through all images.
    row: usize,
}

impl Task for Row<'_> {
    type Output = ();

    #[inline(always)]
    fn call<S: Simd>(self, s: S) {
        let Plan { x, planes, places, .. } = self.plan;
        let Places { images, input: [height, width], rows, cols, linear, .. } = places;
        let (image, r) = (self.row / rows.len(), rows[self.row % rows.len()]);
        let plane = &self.x[image * height * width * LANES..][..height * width * LANES];
        let line = |i: usize| &plane[i * width * LANES..][..width * LANES];
        let (above, below) = (line(r.first), line(r.second));
        let (zero, down) = (s.splat(x.zero_point as f32), s.splat(r.weight));
        let (mixed, sums) = self.scratch.split_at_mut(width * LANES);
        for (at, to) in mixed.chunks_exact_mut(LANES).enumerate() {
            // SAFETY: eight bytes of rows of `width` of them, and eight elements.
            unsafe {
                let mut v = s.sub(s.load_bytes(above.as_ptr().add(at * LANES), x.signed), zero);
                if *linear {
                    let other = s.sub(s.load_bytes(below.as_ptr().add(at * LANES), x.signed), zero);
                    v = s.mul_add(down, s.sub(other, v), v);
                }
                s.store(to.as_mut_ptr(), v);
            }
        }
        let (mixed, sums) = (&*mixed, &mut sums[..cols.len() * LANES]);
        for (c, to) in cols.iter().zip(sums.chunks_exact_mut(LANES)) {
            let (first, second) = (&mixed[c.first * LANES..][..LANES], &mixed[c.second * LANES..][..LANES]);
            // SAFETY: eight elements each.
            unsafe {
                let mut v = s.load(first.as_ptr());
                if *linear {
                    v = s.mul_add(s.splat(c.weight), s.sub(s.load(second.as_ptr()), v), v);
                }
                s.store(to.as_mut_ptr(), v);
            }
        }
        // Images of a block of channels follow one another.
        let block = image / (images / (planes.samples * planes.blocks())) % planes.blocks();
        let place = Place { channel: block * LANES, lanes: planes.lanes(block), first: 0, step: LANES };
        // SAFETY: the pixels of a row of the output, which is this task's alone, and as many sums.
        unsafe { self.finish.store_row(s, &place, sums.as_ptr(), cols.len(), self.row * cols.len() * LANES) };
    }
}
