//! The loops that are timed, and the rates that they give.

use paring_core::{AlignedBuf, AllocError};
use paring_kernel::{Isa, IsaSet, Parallel, Serial};
use paring_simd::{LANES, Lanes, Pair, Portable, Simd, Task};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// A block with something in it: one of zeros may be one page of memory many times, but each page that was written to
/// has memory of its own.
pub(super) fn block(bytes: usize) -> Result<AlignedBuf, AllocError> {
    let mut block = AlignedBuf::zeroed(bytes)?;
    block.as_mut_slice().fill(0x3f);
    Ok(block)
}

/// The instructions that [`vectorized`] uses.
pub(super) fn widest(isa: IsaSet) -> Isa {
    let known = [Isa::Avx512, Isa::Avx2, Isa::Neon];
    known.into_iter().find(|&i| isa.has(i)).unwrap_or(Isa::Portable)
}

// There are architectures without a token but the portable one.
#[allow(unused_variables, unused_macros)]
fn vectorized<T: Task>(isa: IsaSet, task: T) -> T::Output {
    let widest = widest(isa);
    macro_rules! run {
        ($token:ty) => {
            if <$token>::ISA == widest
                && let Some(s) = <$token>::detect()
            {
                return s.vectorize(task);
            }
        };
    }
    paring_simd::each_token!(run);
    Portable.vectorize(task)
}

/// `CHAINS` sums that do not wait for one another: how many hide the latency, and how many fit into the registers,
/// depends on the machine. Gives the sum of all, and how many numbers were in a register.
struct MulAdds<const CHAINS: usize>(usize);

impl<const CHAINS: usize> MulAdds<CHAINS> {
    #[inline(always)]
    fn sums<L: Lanes>(&self, l: L) -> [L::V; CHAINS] {
        // Goes to 1: neither huge nor denormal.
        let (factor, term) = (l.splat(black_box(0.5)), l.splat(black_box(0.5)));
        let mut sums: [L::V; CHAINS] = std::array::from_fn(|i| l.splat(i as f32));
        for _ in 0..self.0 {
            for sum in &mut sums {
                *sum = l.mul_add(*sum, factor, term);
            }
        }
        sums
    }
}

impl<const CHAINS: usize> Task for MulAdds<CHAINS> {
    type Output = (f32, usize);

    #[inline(always)]
    fn call<S: Simd>(self, s: S) -> (f32, usize) {
        if S::WIDE {
            let sums = self.sums(s.pair()).map(|v| s.pair().halves(v));
            return (sums.into_iter().flatten().fold(0.0, |total, v| total + s.sum(v)), 2 * LANES);
        }
        (self.sums(s).into_iter().fold(0.0, |total, v| total + s.sum(v)), LANES)
    }
}

/// Multiply-adds per nanosecond in the best of a few milliseconds.
fn chained<const CHAINS: usize>(parallel: &dyn Parallel, isa: IsaSet) -> f64 {
    const ROUND: Duration = Duration::from_micros(200);
    const ROUNDS: usize = 20;
    let time = |steps: usize| {
        timed(parallel, &|_| {
            black_box(vectorized(isa, MulAdds::<CHAINS>(steps)));
        })
    };
    let mut steps = 1 << 8;
    while steps < 1 << 24 && time(steps) < ROUND {
        steps *= 2;
    }
    let best = (0..ROUNDS).map(|_| time(steps)).min().unwrap_or(ROUND);
    let (_, lanes) = vectorized(isa, MulAdds::<CHAINS>(0));
    (steps * CHAINS * lanes * parallel.workers()) as f64 / nanoseconds(best)
}

struct Reading<'a>(&'a [f32]);

impl Task for Reading<'_> {
    type Output = f32;

    #[inline(always)]
    fn call<S: Simd>(self, s: S) -> f32 {
        const AT_ONCE: usize = 8;
        let mut sums = [s.splat(0.0); AT_ONCE];
        for row in self.0.as_chunks::<LANES>().0.as_chunks::<AT_ONCE>().0 {
            // By index: a zip of iterators may ask for lengths by a call, and then the sums live in memory.
            for i in 0..AT_ONCE {
                sums[i] = s.add(sums[i], s.from_array(row[i]));
            }
        }
        s.sum(sums.into_iter().fold(s.splat(0.0), |total, v| s.add(total, v)))
    }
}

/// Multiply-adds per nanosecond of as many sums at once as this machine likes best.
pub(super) fn mul_adds(parallel: &dyn Parallel, isa: IsaSet) -> f64 {
    let chains = [chained::<6>(parallel, isa), chained::<8>(parallel, isa), chained::<12>(parallel, isa)];
    chains.into_iter().fold(0.0, f64::max)
}

/// Bytes per nanosecond in the best piece of two passes over `block`: the cache keeps nothing of a piece until its turn
/// comes again.
pub(super) fn reading(parallel: &dyn Parallel, isa: IsaSet, block: &[f32]) -> f64 {
    const PASSES: usize = 2;
    const PIECES: usize = 16;
    let share = block.len() / PIECES / parallel.workers();
    let piece = share * parallel.workers();
    let times = block.chunks_exact(piece).cycle().take(PASSES * PIECES).map(|all| {
        timed(parallel, &|task| {
            black_box(vectorized(isa, Reading(&all[task * share..][..share])));
        })
    });
    (piece * size_of::<f32>()) as f64 / nanoseconds(times.min().unwrap_or(Duration::MAX))
}

/// Bytes per nanosecond when the calling thread reads `block` again and again, in the best of a few milliseconds.
pub(super) fn rereading(isa: IsaSet, block: &[f32]) -> f64 {
    const ROUND: Duration = Duration::from_micros(400);
    const ROUNDS: usize = 10;
    let pass = || {
        black_box(vectorized(isa, Reading(black_box(block))));
    };
    pass();
    let passes = (ROUND.as_nanos() / timed(&Serial, &|_| pass()).as_nanos().max(1)).clamp(1, 1 << 20) as usize;
    let round = || timed(&Serial, &|_| (0..passes).for_each(|_| pass()));
    let best = (0..ROUNDS).map(|_| round()).min().unwrap_or(ROUND);
    (passes * size_of_val(block)) as f64 / nanoseconds(best)
}

/// How long the workers take to do `f(task)` once each.
fn timed(parallel: &dyn Parallel, f: &(dyn Fn(usize) + Sync)) -> Duration {
    let start = Instant::now();
    parallel.run(parallel.workers(), &|task, _| f(task));
    start.elapsed()
}

fn nanoseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e9).max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loops_do_what_is_counted() {
        let ones = vec![1.0; 3 * LANES * 8];
        assert_eq!(vectorized(IsaSet::PORTABLE, Reading(&ones)), 192.0);
        // From 0, one step leads to 0.5 in each lane, and from 1 nowhere.
        assert_eq!(vectorized(IsaSet::PORTABLE, MulAdds::<2>(1)), (8.0 * 1.5, 8));
    }
}
