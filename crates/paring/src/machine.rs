//! What this machine does at best: the yardstick that profiles are held against.

use crate::{Options, Result, model, session::Workers};
use paring_core::AlignedBuf;
use paring_kernel::{Isa, IsaSet, Parallel};
use paring_simd::{LANES, Portable, Simd, Task};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Rates that the workers of a session reach together at best, measured within a tenth of a second.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Peaks {
    /// How many workers were busy.
    pub workers: usize,
    /// The instructions of the multiply-adds.
    pub isa: Isa,
    /// Multiply-adds of `f32` per nanosecond, operands in registers.
    pub gmacs: f64,
    /// Bytes per nanosecond read from memory, one after the other.
    pub memory_bandwidth: f64,
    /// Bytes of the block that was read, several times the last-level cache.
    pub block_bytes: usize,
}

impl Peaks {
    /// Measures with the threads and the instructions of `options`. What else the machine does meanwhile makes the
    /// rates smaller; [`Peaks::or_better`] joins measurements.
    ///
    /// # Errors
    /// Of kind [`crate::ErrorKind::Memory`] where there is not enough for the threads or for the block that is read.
    pub fn measure(options: &Options) -> Result<Peaks> {
        let workers = Workers::new(&options.threads)?;
        let isa = model::machine(options).isa;
        let mut block = AlignedBuf::zeroed(block_bytes())?;
        // A block of zeros may be one page many times; each page written to has memory of its own.
        block.as_mut_slice().fill(0x3f);
        let block_bytes = block.as_slice().len();
        let (gmacs, memory_bandwidth) = workers.awake(|parallel| {
            let chains = [mul_adds::<6>(parallel, isa), mul_adds::<8>(parallel, isa), mul_adds::<12>(parallel, isa)];
            let gmacs = chains.into_iter().fold(0.0, f64::max);
            (gmacs, reading(parallel, isa, bytemuck::cast_slice(block.as_slice())))
        });
        Ok(Peaks { workers: workers.parallel().workers(), isa: widest(isa), gmacs, memory_bandwidth, block_bytes })
    }

    /// The higher of both rates, for two measurements of the same.
    #[must_use]
    pub fn or_better(self, other: &Peaks) -> Peaks {
        Peaks {
            gmacs: self.gmacs.max(other.gmacs),
            memory_bandwidth: self.memory_bandwidth.max(other.memory_bandwidth),
            ..self
        }
    }
}

/// Four times the last-level cache, or what is enough for most where the system does not say.
fn block_bytes() -> usize {
    const TYPICAL: usize = 32 << 20;
    let size = std::fs::read_to_string("/sys/devices/system/cpu/cpu0/cache/index3/size").ok();
    let cache = size.and_then(|s| s.trim().strip_suffix('K')?.parse::<usize>().ok()?.checked_mul(1 << 10));
    (cache.unwrap_or(TYPICAL).saturating_mul(4)).clamp(64 << 20, 512 << 20)
}

/// The instructions that [`vectorized`] uses.
fn widest(isa: IsaSet) -> Isa {
    if isa.has(Isa::Avx2) { Isa::Avx2 } else { Isa::Portable }
}

fn vectorized<T: Task>(isa: IsaSet, task: T) -> T::Output {
    #[cfg(target_arch = "x86_64")]
    if let (Isa::Avx2, Some(s)) = (widest(isa), paring_simd::Avx2::detect()) {
        return s.vectorize(task);
    }
    let _ = isa;
    Portable.vectorize(task)
}

/// `CHAINS` sums that do not wait for one another: how many hide the latency, and how many fit into the registers,
/// depends on the machine.
struct MulAdds<const CHAINS: usize>(usize);

impl<const CHAINS: usize> Task for MulAdds<CHAINS> {
    type Output = f32;

    #[inline(always)]
    fn call<S: Simd>(self, s: S) -> f32 {
        // Goes to 1: neither huge nor denormal.
        let (factor, term) = (s.splat(black_box(0.5)), s.splat(black_box(0.5)));
        let mut sums: [S::V; CHAINS] = std::array::from_fn(|i| s.splat(i as f32));
        for _ in 0..self.0 {
            for sum in &mut sums {
                *sum = s.mul_add(*sum, factor, term);
            }
        }
        sums.into_iter().fold(0.0, |total, v| total + s.sum(v))
    }
}

/// Multiply-adds per nanosecond in the best of a few milliseconds.
fn mul_adds<const CHAINS: usize>(parallel: &dyn Parallel, isa: IsaSet) -> f64 {
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
    (steps * CHAINS * LANES * parallel.workers()) as f64 / nanoseconds(best)
}

struct Reading<'a>(&'a [f32]);

impl Task for Reading<'_> {
    type Output = f32;

    #[inline(always)]
    fn call<S: Simd>(self, s: S) -> f32 {
        const AT_ONCE: usize = 8;
        let mut sums = [s.splat(0.0); AT_ONCE];
        for row in self.0.as_chunks::<LANES>().0.as_chunks::<AT_ONCE>().0 {
            for (sum, &lanes) in sums.iter_mut().zip(row) {
                *sum = s.add(*sum, s.from_array(lanes));
            }
        }
        sums.into_iter().fold(0.0, |total, v| total + s.sum(v))
    }
}

/// Bytes per nanosecond in the best piece of two passes over `block`: the cache keeps nothing of a piece until its turn
/// comes again.
fn reading(parallel: &dyn Parallel, isa: IsaSet, block: &[f32]) -> f64 {
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
    fn rates_are_those_of_a_machine() {
        for isa in [&[Isa::Portable][..], &Isa::ALL] {
            let options = Options::default().with_isa(isa).with_threads(2);
            let p = Peaks::measure(&options).expect("memory enough");
            assert_eq!((p.workers, p.isa == Isa::Portable), (2, p.isa != Isa::Avx2));
            assert!((0.01..1e5).contains(&p.gmacs) && (0.01..1e5).contains(&p.memory_bandwidth), "{p:?}");
            let better = Peaks { gmacs: 2e5, memory_bandwidth: 0.0, ..p.clone() }.or_better(&p);
            assert_eq!((better.gmacs, better.memory_bandwidth), (2e5, p.memory_bandwidth));
        }
    }

    #[test]
    fn loops_do_what_is_counted() {
        let ones = vec![1.0; 3 * LANES * 8];
        assert_eq!(vectorized(IsaSet::PORTABLE, Reading(&ones)), 192.0);
        // From 0, one step leads to 0.5 in each lane, and from 1 nowhere.
        assert_eq!(vectorized(IsaSet::PORTABLE, MulAdds::<2>(1)), 8.0 * 1.5);
    }
}
