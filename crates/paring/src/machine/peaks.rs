//! What profiles are held against.

use super::caches::Caches;
use super::rates::{block, mul_adds, reading, widest};
use crate::{Options, Result, RunOptions, clock, model, session::Workers};
use paring_kernel::Isa;

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
    /// Of kind [`crate::ErrorKind::Memory`] where there is not enough for the threads or for the block that is read;
    /// [`crate::ErrorKind::Unsupported`] where the platform lacks the threads or a [clock](crate::has_clock).
    pub fn measure(options: &Options) -> Result<Peaks> {
        clock::needed_for("measuring the machine")?;
        let workers = Workers::new(&options.threads)?;
        let isa = model::machine(options).isa;
        let block = block(beyond(Caches::detect().l3))?;
        let block_bytes = block.as_slice().len();
        let (gmacs, memory_bandwidth) = workers.awake(RunOptions::default(), |parallel| {
            Ok((mul_adds(parallel, isa), reading(parallel, isa, bytemuck::cast_slice(block.as_slice()))))
        })?;
        Ok(Peaks { workers: workers.count(), isa: widest(isa), gmacs, memory_bandwidth, block_bytes })
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

/// Bytes of a block of which the last-level cache keeps nothing to speak of: four times its size, or what is enough for
/// most where that is not known.
pub(super) fn beyond(cache: Option<usize>) -> usize {
    const TYPICAL: usize = 32 << 20;
    cache.unwrap_or(TYPICAL).saturating_mul(4).clamp(64 << 20, 512 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_those_of_a_machine() {
        for (isa, expected) in [(&[Isa::Portable][..], Isa::Portable), (&Isa::ALL, widest(paring_simd::detect()))] {
            let options = Options::default().with_isa(isa).with_threads(2);
            let p = Peaks::measure(&options).expect("memory enough");
            assert_eq!((p.workers, p.isa), (2, expected));
            assert!((0.01..1e5).contains(&p.gmacs) && (0.01..1e5).contains(&p.memory_bandwidth), "{p:?}");
            let better = Peaks { gmacs: 2e5, memory_bandwidth: 0.0, ..p.clone() }.or_better(&p);
            assert_eq!((better.gmacs, better.memory_bandwidth), (2e5, p.memory_bandwidth));
        }
    }
}
