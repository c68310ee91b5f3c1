//! Winograd convolution for windows of 3 x 3, 5 x 5, and of one row or column, with stride 1, and of 3 x 3 and 7 x 7 with
//! stride 2.
//!
//! Tiles of the input are transformed, multiplied position by position by transformed weights (as many matrix products
//! as a tile has positions, by the shared micro-kernel), and transformed back with the epilogue. F(2, 3) takes 2.25
//! times fewer multiplications than the direct sum, F(4, 3) four times fewer, for more memory traffic.
//!
//! With stride 2, the pixels of even and of odd rows and columns are four convolutions with stride 1 (phases), by the taps
//! with the same parity. Where the window has an odd number of taps, r of them on even pixels and r - 1 on odd ones, F(m, r)
//! serves both: filters with a tap less leave out its last point, infinity, and the other rows of its matrices stay as they
//! are. As `A^T` is that of the points, phases are summed by the products, and transformed back together.

mod engine;
mod pack;
mod plan;
mod scheme;
mod transform;

use crate::{
    epilogue, stamp,
    tiled::{self, Layer, Rates, stages},
};
use core::marker::PhantomData;
use engine::Engine;
use paring_core::AlignedBuf;
use paring_kernel::{
    Cost, Isa, Kernel, KernelDescriptor, KernelError, Machine, Offer, Packed, Prepared, Problem, Reject,
};
use paring_simd::Simd;
use plan::{Axes, Plan};
use scheme::{F2x2, F2x3, F2x5, F3x2, F4x3, F4x5, F4x7, F5x2, F5x4, F6x3, Scheme};
use std::{borrow::Cow, sync::Arc};

/// Winograd convolution by one scheme, of square windows or of windows of one row or column.
pub struct Winograd<S, F, const N: usize, const M: usize, const SQUARE: bool, const STRIDE: usize> {
    descriptor: &'static KernelDescriptor,
    _marker: PhantomData<fn() -> (S, F)>,
}

impl<S, F, const N: usize, const M: usize, const SQUARE: bool, const STRIDE: usize>
    Winograd<S, F, N, M, SQUARE, STRIDE>
{
    /// Described by `descriptor`.
    pub const fn new(descriptor: &'static KernelDescriptor) -> Self {
        Winograd { descriptor, _marker: PhantomData }
    }
}

/// F(2, 3) of square windows.
pub type Square2x3<S> = Winograd<S, F2x3, 4, 2, true, 1>;
/// F(4, 3) of square windows.
pub type Square4x3<S> = Winograd<S, F4x3, 6, 4, true, 1>;
/// F(6, 3) of square windows.
pub type Square6x3<S> = Winograd<S, F6x3, 8, 6, true, 1>;
/// F(2, 3) of square windows with stride 2, as F(2, 2) of each phase.
pub type Strided2x3<S> = Winograd<S, F2x2, 3, 2, true, 2>;
/// F(3, 3) of square windows with stride 2, as F(3, 2) of each phase.
pub type Strided3x3<S> = Winograd<S, F3x2, 4, 3, true, 2>;
/// F(5, 3) of square windows with stride 2, as F(5, 2) of each phase.
pub type Strided5x3<S> = Winograd<S, F5x2, 6, 5, true, 2>;
/// F(5, 7) of square windows with stride 2, as F(5, 4) of each phase.
pub type Strided5x7<S> = Winograd<S, F5x4, 8, 5, true, 2>;
/// F(2, 5) of square windows.
pub type Square2x5<S> = Winograd<S, F2x5, 6, 2, true, 1>;
/// F(4, 5) of square windows.
pub type Square4x5<S> = Winograd<S, F4x5, 8, 4, true, 1>;
/// F(4, 3) of windows of one row or column.
pub type Line4x3<S> = Winograd<S, F4x3, 6, 4, false, 1>;
/// F(4, 7) of windows of one row or column.
pub type Line4x7<S> = Winograd<S, F4x7, 10, 4, false, 1>;

impl<S: Simd, F: Scheme<N, M>, const N: usize, const M: usize, const SQUARE: bool, const STRIDE: usize> Kernel
    for Winograd<S, F, N, M, SQUARE, STRIDE>
{
    fn descriptor(&self) -> &'static KernelDescriptor {
        self.descriptor
    }

    fn pools(&self) -> bool {
        SQUARE && STRIDE == 1
    }

    fn offers(&self, p: &Problem, _m: &Machine, out: &mut Vec<Offer>) -> Result<(), Reject> {
        Self::TILES.offers(p, F::NAME, out)
    }

    fn cost(&self, p: &Problem, o: &Offer, m: &Machine) -> Cost {
        Self::TILES.cost(p, o, F::CYCLES, S::ISA, m)
    }

    fn pack(&self, p: &Problem, o: &Offer) -> Result<Packed, KernelError> {
        let plan = Self::TILES.chosen(p, o)?;
        let window = STRIDE * (F::TAPS - 1) + 1;
        let weights = plan.weights(p, o, window)?;
        let mut data = AlignedBuf::zeroed(o.packed_bytes)?;
        let packed = bytemuck::cast_slice_mut(data.as_mut_slice());
        let factors = F::weights();
        let pack = pack::Pack { plan: &plan, factors: &factors, window, weights: &weights, packed };
        stamp::token::<S>()?.vectorize(pack);
        Ok(data.into())
    }

    fn prepare(&self, p: &Problem, o: &Offer, packed: Arc<Packed>) -> Result<Box<dyn Prepared>, KernelError> {
        let Plan { grid, axes, shared } = Self::TILES.chosen(p, o)?;
        let layer = Layer::new(p, o, grid, packed)?;
        let engine: Engine<S, F, N, M, SQUARE, STRIDE> =
            Engine { s: stamp::token()?, layer, axes, shared, scheme: PhantomData };
        Ok(Box::new(engine))
    }
}

/// What tiles a kernel has. A value: code that only plans is there once, not for every scheme and instruction set.
#[derive(Clone, Copy)]
struct Tiles {
    /// Inputs and outputs of a tile along an axis.
    extent: [usize; 2],
    /// Whether along both axes.
    square: bool,
    /// Of the convolution.
    stride: usize,
}

impl<S, F, const N: usize, const M: usize, const SQUARE: bool, const STRIDE: usize>
    Winograd<S, F, N, M, SQUARE, STRIDE>
{
    const TILES: Tiles = Tiles { extent: [N, M], square: SQUARE, stride: STRIDE };
}

impl Tiles {
    fn plan(self, p: &Problem, shared: bool) -> Result<Plan, Reject> {
        Plan::new(p, self.extent[0], self.extent[1], self.square, self.stride, shared)
    }

    /// The plan of an offer that was chosen.
    fn chosen(self, p: &Problem, o: &Offer) -> Result<Plan, KernelError> {
        self.plan(p, stages::is_shared(o)?).map_err(|r| KernelError::Problem(r.to_string()))
    }

    fn offers(self, p: &Problem, scheme: &str, out: &mut Vec<Offer>) -> Result<(), Reject> {
        for (variant, shared) in stages::VARIANTS.into_iter().enumerate() {
            let plan = self.plan(p, shared)?;
            if !shared && !stages::is_divisible(&plan.grid) {
                continue;
            }
            if plan.grid.pools && !epilogue::pools(p, plan.grid.outputs) {
                return Err(Reject::because("pools only after biases, ReLU and clamping"));
            }
            let offer = tiled::offer(p, &plan.grid);
            out.push(Offer {
                scratch: stages::scratch(shared, plan.grid.scratch() * size_of::<f32>()),
                packed_format: plan.packed_format(scheme).into(),
                variant: variant as u32,
                fused: offer.fused + usize::from(plan.grid.pools),
                ..offer
            });
        }
        Ok(())
    }

    /// `cycles`: those of [`Scheme::CYCLES`].
    fn cost(self, p: &Problem, o: &Offer, cycles: (f64, f64), isa: Isa, m: &Machine) -> Cost {
        let Ok(plan) = self.chosen(p, o) else { return Cost { ns: f64::INFINITY, bytes: f64::INFINITY } };
        // Every phase takes a transform of its own.
        let cycles = (cycles.0 * (self.stride * self.stride) as f64, cycles.1);
        // A line takes one of the transforms that a square takes along both axes, and, measured, some 40 cycles besides.
        let along = |both: f64| if self.square { both } else { both * 0.5 / self.extent[0] as f64 + 40.0 };
        let spilt = stages::spilt(&plan.grid, plan.grid.scratch() * size_of::<f32>(), m);
        tiled::cost(p, o, m, &plan.grid, Rates::of(isa, m), (along(cycles.0), along(cycles.1)), 0.0, spilt)
    }
}

impl Plan {
    /// Names what the packed bytes depend on besides the weights.
    fn packed_format(&self, scheme: &str) -> String {
        match self.axes {
            Axes::Both => scheme.into(),
            axes => format!("{scheme}-{axes:?}"),
        }
    }

    /// The weights of an offer, of windows of `taps` along an axis.
    ///
    /// # Errors
    /// [`KernelError::Problem`] where the offer is of another problem.
    fn weights<'a>(&self, p: &'a Problem, o: &Offer, taps: usize) -> Result<Cow<'a, [f32]>, KernelError> {
        let (grid, weights) = (&self.grid, stamp::weights(p, 1)?);
        let window: usize = self.axes.extent(taps).iter().product();
        let fits = weights.len() == grid.outputs * grid.inputs * window;
        match fits && grid.weights() * size_of::<f32>() == o.packed_bytes {
            true => Ok(weights),
            false => Err(KernelError::Problem("the offer is of another problem".into())),
        }
    }
}
