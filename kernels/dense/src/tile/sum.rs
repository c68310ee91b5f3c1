//! The sums of a tile.

use super::{
    BLOCKS, CHANNELS, CHUNK, LINE, Panel, STRIDED,
    columns::{Columns, Narrow, Wide, Wider},
    height, width,
};
use paring_simd::{LANES, Simd};

/// The sums of one tile.
///
/// # Safety
/// As for [`rows`](super::rows).
#[inline(always)]
pub unsafe fn sum<S: Simd, const PX: usize, const NV: usize, const WALK: u8>(
    s: S,
    panel: &Panel<'_>,
    x: [*const f32; PX],
    ahead: *const f32,
) -> [[S::V; NV]; PX] {
    // SAFETY: the caller's promise.
    unsafe {
        if const { S::WIDE && NV > 2 } {
            sum_of::<S, Wider, PX, NV, WALK>(s, panel, x, ahead)
        } else if const { S::WIDE && NV == 2 } {
            sum_of::<S, Wide, PX, NV, WALK>(s, panel, x, ahead)
        } else {
            sum_of::<S, Narrow, PX, NV, WALK>(s, panel, x, ahead)
        }
    }
}

/// [`sum`], with columns in registers as `C` has them.
///
/// # Safety
/// As for [`rows`](super::rows).
#[inline(always)]
unsafe fn sum_of<S: Simd, C: Columns<S, NV>, const PX: usize, const NV: usize, const WALK: u8>(
    s: S,
    panel: &Panel<'_>,
    x: [*const f32; PX],
    mut ahead: *const f32,
) -> [[S::V; NV]; PX] {
    // Few accumulators wait for each other: then odd terms go to a second set.
    let few = match (NV, S::WIDE) {
        (1, _) => PX <= 5,
        (2, true) => PX <= 7,
        (2, false) | (_, true) => PX <= 3,
        _ => PX == 1,
    };
    let split = few && height::<S, 2>() > 2;
    let mut odd = [C::zero(s); PX];
    // SAFETY: one entry per column, in the order of the columns.
    let mut even = [unsafe { C::load(s, panel.init, 2 * LANES) }; PX];
    // A constant, lest address arithmetic take the registers that the sums need.
    let step = if WALK == STRIDED { panel.step } else { width(NV) };
    let (mut w, beside) = (panel.weights, panel.beside);

    macro_rules! product {
        ($sums:ident, $w:expr, $at:expr) => {
            // SAFETY: the caller promises that rows are readable at all offsets and weights for all rows.
            unsafe {
                let b = C::load(s, $w, beside);
                for i in 0..PX {
                    $sums[i] = C::mul_add(s, x[i].byte_add($at), b, $sums[i]);
                }
            }
        };
    }
    macro_rules! pair {
        ($w:expr, $first:expr, $second:expr) => {
            product!(even, $w, $first);
            // SAFETY: within the weights, as there is a second term.
            let second = unsafe { $w.add(step) };
            if split {
                product!(odd, second, $second);
            } else {
                product!(even, second, $second);
            }
        };
    }
    macro_rules! skip {
        ($n:expr) => {
            // SAFETY: at most one past the last row.
            w = unsafe { w.add($n * step) }
        };
    }
    macro_rules! fetch {
        () => {
            // Rows that are apart are not where this would look.
            if WALK != STRIDED {
                s.prefetch(ahead);
                s.prefetch(ahead.wrapping_add(LINE));
                ahead = ahead.wrapping_add(2 * LINE);
            }
        };
    }
    match WALK {
        BLOCKS => {
            for &at in panel.offsets {
                for c in 0..LANES / 2 {
                    // SAFETY: eight rows of weights belong to each offset.
                    let w = unsafe { w.add(2 * c * step) };
                    pair!(w, at + 8 * c, at + 8 * c + 4);
                }
                skip!(LANES);
                fetch!();
            }
        }
        CHANNELS => {
            let mut pairs = panel.offsets.chunks_exact(2);
            for two in &mut pairs {
                pair!(w, two[0], two[1]);
                skip!(2);
            }
            if let &[last] = pairs.remainder() {
                product!(even, w, last);
            }
        }
        _ => {
            let (mut at, mut left) = (0, panel.k);
            let mut total = [C::zero(s); PX];
            while left > CHUNK {
                for _ in 0..CHUNK / 2 {
                    pair!(w, at, at + 4);
                    skip!(2);
                    at += 8;
                }
                left -= CHUNK;
                for i in 0..PX {
                    total[i] = C::add(s, total[i], even[i]);
                    even[i] = C::zero(s);
                }
            }
            for _ in 0..left / 4 {
                pair!(w, at, at + 4);
                skip!(2);
                pair!(w, at + 8, at + 12);
                skip!(2);
                fetch!();
                at += 16;
            }
            for _ in 0..left % 4 {
                product!(even, w, at);
                skip!(1);
                at += 4;
            }
            if panel.k > CHUNK {
                for i in 0..PX {
                    even[i] = C::add(s, even[i], total[i]);
                }
            }
        }
    }
    let mut sums = [[s.splat(0.0); NV]; PX];
    for i in 0..PX {
        let all = if split { C::add(s, even[i], odd[i]) } else { even[i] };
        sums[i] = C::vectors(s, all);
    }
    sums
}
