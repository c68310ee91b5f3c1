//! Ways to multiply numbers as halves.

use super::PANEL;
use paring_kernel::NumericClass;

/// A way to multiply numbers as halves.
pub trait Way: Copy + Send + Sync + 'static {
    /// Pixels that are made halves before they are multiplied.
    const PIXELS: usize;
    /// Pixels that are multiplied together.
    const GROUP: usize;
    /// Pixels come in multiples of this where there is a choice.
    const ROWS: usize;
    /// Panels that are multiplied together.
    const ABREAST: usize;
    /// Terms of a step, eights of them.
    const TERMS: usize;
    /// Bytes of the halves of [`PIXELS`](Way::PIXELS), which stay in a near cache.
    const INPUT_BYTES: usize;
    /// Proof of the instructions.
    type Proof: Copy + Send + Sync + 'static;
    /// What a task holds while it runs.
    type Ready;

    /// The way of a kernel of this class.
    fn of(class: NumericClass) -> Self;

    /// Why other numerics exclude it.
    fn excluded(self) -> &'static str;

    /// Bytes from the inputs of one step of [`GROUP`](Way::GROUP) pixels to those of the next.
    fn input_bytes(self) -> usize;

    /// Bytes from the weights of one step of a panel to those of the next.
    fn weight_bytes(self) -> usize;

    /// Names how weights are packed.
    fn format(self) -> String;

    /// Packs the weights of one step of a panel, term by term, zeros where there are none, to zeros.
    fn pack(self, weights: &[[f32; PANEL]], to: &mut [u8]);

    /// What a sum of so many terms takes.
    fn rates(self, terms: usize) -> Rates;

    /// The proof, if this machine has the instructions.
    fn detect() -> Option<Self::Proof>;

    /// Readies a task.
    fn ready(proof: Self::Proof) -> Self::Ready;

    /// Makes halves of the eights at `offsets` bytes of each pixel.
    ///
    /// # Safety
    /// Pixels, one at the least and [`GROUP`](Way::GROUP) at most, must be readable at all offsets, and `to` be writable for as many
    /// steps.
    unsafe fn convert(self, ready: &Self::Ready, offsets: &[usize], x: &[*const f32], to: *mut u8);

    /// Sums the products of so many pixels and panels.
    ///
    /// # Safety
    /// Operands must be there as [`Product`] has them.
    unsafe fn multiply(self, ready: &Self::Ready, p: &Product, pixels: usize, panels: usize);
}

/// In the time that 32 multiply-adds of `f32` take at best.
pub struct Rates {
    /// Terms that count: those of whole steps where what is lacking is multiplied, too.
    pub terms: usize,
    /// Products.
    pub products: f64,
    /// What it takes to make a number halves.
    pub convert: f64,
    /// What it takes to begin and to end a [`Product`].
    pub begin: f64,
    /// What it takes to finish a result: usually, and where an activation waits for itself.
    pub finish: [f64; 2],
}

/// Operands of [`Way::multiply`].
pub struct Product {
    /// Inputs, step by step.
    pub x: *const u8,
    /// Weights of the panels, step by step.
    pub w: [*const u8; 2],
    /// Weights that are worth fetching.
    pub ahead: *const u8,
    /// Eights of terms, one at the least, of which the last step may lack some.
    pub eights: usize,
    /// What sums start from, for each column of the panels.
    pub init: [*const f32; 2],
    /// Bytes from what the sums of a pixel start from to what those of the next do: zero where they all start from the same.
    pub init_row: usize,
    /// Sums: [`Way::GROUP`] rows of the columns of [`Way::ABREAST`] panels.
    pub sums: *mut f32,
}
