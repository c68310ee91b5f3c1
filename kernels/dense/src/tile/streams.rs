//! Few rows against several panels at once.

use super::{CHUNK, Panel};
use paring_simd::{LANES, Simd};

/// One to three rows against `P` panels of sixteen columns at once: several streams of weights read faster from memory
/// than one, and their sums do not wait for each other.
///
/// # Safety
/// As for [`rows`]; all panels have the same length of sum and are packed.
#[inline(always)]
pub unsafe fn streams<S: Simd, const PX: usize, const P: usize>(
    s: S,
    panels: &[Panel<'_>; P],
    x: [*const f32; PX],
    y: [*mut f32; PX],
) {
    let mut sums = [[[s.splat(0.0); 2]; PX]; P];
    let mut w = [panels[0].weights; P];
    for p in 0..P {
        w[p] = panels[p].weights;
        for i in 0..PX {
            for h in 0..2 {
                // SAFETY: one entry per column.
                sums[p][i][h] = unsafe { s.load(panels[p].init.add(LANES * h)) };
            }
        }
    }
    let mut total = [[[s.splat(0.0); 2]; PX]; P];
    let depth = panels[0].k;
    for from in (0..depth).step_by(CHUNK) {
        for k in from..depth.min(from + CHUNK) {
            // SAFETY: the caller promises `k` elements in each row and `k` rows in each panel.
            unsafe {
                for i in 0..PX {
                    let a = s.broadcast(x[i].add(k));
                    for p in 0..P {
                        for h in 0..2 {
                            sums[p][i][h] = s.mul_add(s.load(w[p].add(2 * LANES * k + LANES * h)), a, sums[p][i][h]);
                        }
                    }
                }
            }
        }
        for p in 0..P {
            for i in 0..PX {
                for h in 0..2 {
                    total[p][i][h] = s.add(total[p][i][h], sums[p][i][h]);
                    sums[p][i][h] = s.splat(0.0);
                }
            }
        }
    }
    for p in 0..P {
        // SAFETY: the caller's promise.
        unsafe { panels[p].finish.store(s, &panels[p].place, total[p], y) };
    }
}
