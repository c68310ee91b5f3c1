//! What a model takes in memory, beside the least that could be.

use crate::output::bytes;
use paring::Memory;

/// Bytes of weights that runs read: packed by kernels, or as they are in the model.
pub fn weights(m: &Memory) -> usize {
    m.packed_bytes + m.constant_bytes
}

/// What running takes, over the weights as the model has them and the least that the values between the layers take.
pub fn ratio(m: &Memory) -> f64 {
    let taken = weights(m) + m.arena_bytes + m.scratch_bytes;
    taken as f64 / (m.model_bytes + m.arena_bound_bytes).max(1) as f64
}

/// All of it in one line.
pub fn line(m: &Memory, peak_resident: Option<u64>) -> String {
    let b = |n: usize| bytes(n as u64);
    let resident = peak_resident.map_or(String::new(), |n| format!("  process {} at most", bytes(n)));
    format!(
        "memory  weights {} (packed {}, in the model {})  arena {} (at least {})  scratch {}  {:.2} x the least{resident}\n",
        b(weights(m)),
        b(m.packed_bytes),
        b(m.model_bytes),
        b(m.arena_bytes),
        b(m.arena_bound_bytes),
        b(m.scratch_bytes),
        ratio(m),
    )
}

/// The most memory that this process has held so far, mapped files included; Linux tells.
pub fn peak_resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1 << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratio_is_of_what_is_taken_to_the_least() {
        let mut m = Memory::default();
        assert_eq!(ratio(&m), 0.0);
        m.packed_bytes = 100;
        m.constant_bytes = 20;
        m.arena_bytes = 25;
        m.scratch_bytes = 5;
        m.model_bytes = 80;
        m.arena_bound_bytes = 20;
        assert_eq!(ratio(&m), 1.5);
        let line = line(&m, Some(3_000_000));
        for part in ["1.50 x", "at least 20 B", "in the model 80 B", "3.00 MB at most"] {
            assert!(line.contains(part), "{line} lacks {part}");
        }
    }
}
