//! Products by tiles: 32 pixels by 32 columns, 64 terms at a time.

use super::{Extent, ROWS_OF_EIGHT, Tiles, store, turn};
use crate::{conv::Kind, multiply::Multiply, operand::Bytes, product::Run};
use core::{mem::MaybeUninit, ops::Range};
use paring_dense::conv::Tasks;
use paring_kernel::{KernelError, Machine};
use paring_simd::{
    LANES, Simd,
    amx::{Amx, GROUP, ROW_BYTES, STEP_BYTES, TILE_ROWS, TileProduct, Tiles as Ready},
};

/// Groups of a block: the others find the weights of the first in a nearer cache.
const GROUPS: usize = 4;
/// Pixels that are brought side by side together.
const ABREAST: usize = 4;

/// The sums of a product of tiles.
#[repr(align(64))]
struct Sums(MaybeUninit<[i32; GROUP * GROUP]>);

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct ByTiles {
    amx: Amx,
    turn: u64,
}

impl Tiles for ByTiles {
    const KIND: Kind = Kind::Tiles;
    const LEAST_ROWS: usize = TILE_ROWS;

    fn of<S: Simd>(x: Bytes) -> Result<ByTiles, KernelError> {
        let amx = Amx::detect().ok_or_else(|| KernelError::Problem("this machine lacks amx".into()))?;
        Ok(ByTiles { amx, turn: turn::<S>(x) })
    }

    fn price(e: &Extent, m: &Machine) -> f64 {
        // Measured, in cycles: products of 450 bytes in each, of 1024 at best; six gathered bytes, or two to three finished results;
        // and 200 for each product of tiles, to begin and to end.
        let cycle = 32.0 / m.gmacs;
        let products = (e.pixels / GROUP as f64).ceil() * e.panels.div_ceil(2) as f64;
        let multiply = e.pixels * e.per_pixel / 450.0 + 200.0 * products;
        (multiply + e.pixels * e.gathered / 6.0 + e.elements / 2.5) * cycle
    }
}

impl Multiply for ByTiles {
    const BY_KIND: bool = false;
    type Ready = (Ready, u64);

    fn tasks<S: Simd>() -> Tasks {
        Tasks { macs: [16 << 20, 64 << 20], block: GROUPS * GROUP, step: TILE_ROWS, together: 2 }
    }

    fn ready(self) -> (Ready, u64) {
        (self.amx.tiles(), self.turn)
    }

    fn scratch(rows: usize) -> usize {
        GROUPS * rows.div_ceil(TILE_ROWS) * STEP_BYTES
    }

    #[inline(always)]
    unsafe fn multiply<S: Simd, const KIND: u8>(
        (tiles, turn): &(Ready, u64),
        s: S,
        run: &Run<'_>,
        panels: &Range<usize>,
        x: &[*const u8],
        y: &[usize],
        step: usize,
        scratch: *mut u8,
    ) {
        let mut sums = Sums(MaybeUninit::uninit());
        let sums: *mut i32 = sums.0.as_mut_ptr().cast();
        let mut i = panels.start;
        while i < panels.end {
            let panel = run.panel(i, step);
            let rows = panel.offsets.len();
            let group_bytes = rows.div_ceil(TILE_ROWS) * STEP_BYTES;
            if i == panels.start || !run.is_alike(i - 1) {
                for (group, x) in x.chunks(GROUP).enumerate() {
                    // SAFETY: the caller's promise; there is scratch for this many rows.
                    unsafe { gather(panel.offsets, x, *turn, scratch.add(group * group_bytes)) };
                }
            }
            let next = (i + 1 < panels.end && run.is_alike(i)).then(|| run.panel(i + 1, step));
            let second = next.as_ref().unwrap_or(&panel);
            let mut product = TileProduct {
                x: scratch,
                w: [panel.weights, second.weights],
                // Panels follow one another; each group of pixels fetches one.
                ahead: second.weights.wrapping_add(rows * ROW_BYTES),
                rows,
                init: [panel.init, second.init],
                sums,
            };
            let columns = 1 + usize::from(next.is_some());
            for y in y.chunks(GROUP) {
                // SAFETY: the inputs were gathered, and panels for tiles have rows of sixteen columns; the caller's promise.
                unsafe {
                    tiles.multiply(&product, y.len().div_ceil(TILE_ROWS), columns);
                    store::<S, GROUP>(s, &panel, sums, y);
                    if let Some(next) = &next {
                        store::<S, GROUP>(s, next, sums.add(TILE_ROWS), y);
                    }
                }
                product.x = product.x.wrapping_add(group_bytes);
                product.ahead = product.ahead.wrapping_add(rows * ROW_BYTES);
            }
            i += columns;
        }
    }
}

/// Brings the eights that pixels multiply side by side, as [`TileProduct::x`] has them: those of the last step at its end, after
/// zeros. What fours of pixels lack is copied from the last.
///
/// # Safety
/// Pixels must be readable at all offsets, of which two neighbours tell where one eight is, and `to` have room for the steps of
/// [`GROUP`] pixels.
#[inline(always)]
unsafe fn gather(offsets: &[usize], x: &[*const u8], turn: u64, to: *mut u8) {
    let mut all = [x[x.len() - 1]; GROUP];
    all[..x.len()].copy_from_slice(x);
    let mut to = to;
    for step in offsets.chunks(TILE_ROWS) {
        // SAFETY: the caller's promise.
        unsafe {
            if let Ok(step) = step.try_into() {
                gather_step::<{ TILE_ROWS }>(step, &all, x.len(), turn, to);
            } else {
                let zeros = (TILE_ROWS - step.len()) / ROWS_OF_EIGHT;
                for i in 0..GROUP {
                    to.add(i * ROW_BYTES).write_bytes(0, zeros * LANES);
                }
                for (k, eight) in step.chunks_exact(ROWS_OF_EIGHT).enumerate() {
                    let eight: &[usize; ROWS_OF_EIGHT] = &[eight[0], eight[1]];
                    gather_step::<ROWS_OF_EIGHT>(eight, &all, x.len(), turn, to.add((zeros + k) * LANES));
                }
            }
        }
        to = to.wrapping_add(STEP_BYTES);
    }
}

/// As [`gather`], for so many rows of weights.
///
/// # Safety
/// As there.
#[inline(always)]
unsafe fn gather_step<const ROWS: usize>(
    offsets: &[usize; ROWS],
    x: &[*const u8; GROUP],
    pixels: usize,
    turn: u64,
    to: *mut u8,
) {
    let offsets = *offsets;
    for i in (0..pixels.min(GROUP)).step_by(ABREAST) {
        let mut from = [x[i]; ABREAST];
        from.copy_from_slice(&x[i..i + ABREAST]);
        // A line after the other: two stores to one line are as fast as one.
        for p in 0..ABREAST {
            for k in 0..ROWS / ROWS_OF_EIGHT {
                // SAFETY: the caller's promise.
                unsafe {
                    let bytes = from[p].add(offsets[ROWS_OF_EIGHT * k]).cast::<u64>().read_unaligned();
                    to.add((i + p) * ROW_BYTES).cast::<u64>().add(k).write(bytes ^ turn);
                }
            }
        }
    }
}
