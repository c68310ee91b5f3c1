//! How large the caches are, as far as the system or the processor says.

/// Bytes of the data caches, by level from the first; `None` where nobody says.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Caches {
    pub l1: Option<usize>,
    pub l2: Option<usize>,
    pub l3: Option<usize>,
}

impl Caches {
    /// Those of the first core.
    pub fn detect() -> Caches {
        let all = linux();
        if all.is_empty() { Caches::of(&processor()) } else { Caches::of(&all) }
    }

    fn of(all: &[Cache]) -> Caches {
        let size = |level| all.iter().filter(|c| c.level == level).map(|c| c.bytes).max().filter(|&b| b > 0);
        Caches { l1: size(1), l2: size(2), l3: size(3) }
    }
}

/// A cache that holds data.
#[derive(Debug, PartialEq)]
struct Cache {
    level: u32,
    bytes: usize,
}

/// What Linux says; nothing elsewhere.
fn linux() -> Vec<Cache> {
    let read = |index: usize, file: &str| {
        std::fs::read_to_string(format!("/sys/devices/system/cpu/cpu0/cache/index{index}/{file}")).ok()
    };
    let cache = |index| {
        let (level, kind, size) = (read(index, "level")?, read(index, "type")?, read(index, "size")?);
        let cache = Cache { level: level.trim().parse().ok()?, bytes: kibibytes(&size)? };
        (kind.trim() != "Instruction").then_some(cache)
    };
    (0..8).filter_map(cache).collect()
}

/// Bytes of a size such as `512K`.
fn kibibytes(text: &str) -> Option<usize> {
    text.trim().strip_suffix('K')?.parse::<usize>().ok()?.checked_mul(1 << 10)
}

/// What the processor says of itself.
#[cfg(target_arch = "x86_64")]
fn processor() -> Vec<Cache> {
    use core::arch::x86_64::{__cpuid, __cpuid_count};
    // Leaves of one form: Intel's, and AMD's.
    let leaf = if __cpuid(0x8000_0000).eax >= 0x8000_001d && __cpuid_count(0x8000_001d, 0).eax & 31 != 0 {
        0x8000_001d
    } else if __cpuid(0).eax >= 4 {
        4
    } else {
        return Vec::new();
    };
    let described = (0..8).map(|i| __cpuid_count(leaf, i)).take_while(|r| r.eax & 31 != 0);
    let data = described.filter(|r| matches!(r.eax & 31, 1 | 3));
    data.map(|r| {
        let (line, partitions, ways) = (r.ebx & 0xfff, r.ebx >> 12 & 0x3ff, r.ebx >> 22);
        let bytes = [line, partitions, ways, r.ecx]
            .iter()
            .fold(1, |product: usize, &less_one| product.saturating_mul(less_one as usize + 1));
        Cache { level: r.eax >> 5 & 7, bytes }
    })
    .collect()
}

/// What the processor says of itself: there is no way to ask here.
#[cfg(not(target_arch = "x86_64"))]
fn processor() -> Vec<Cache> {
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read() {
        assert_eq!(kibibytes("512K\n"), Some(512 << 10));
        for bad in ["", "K", "512", "-1K", "1M", "99999999999999999999K"] {
            assert_eq!(kibibytes(bad), None, "{bad:?}");
        }
        let all = [Cache { level: 1, bytes: 32 }, Cache { level: 3, bytes: 512 }, Cache { level: 2, bytes: 0 }];
        assert_eq!(Caches::of(&all), Caches { l1: Some(32), l2: None, l3: Some(512) });
    }

    /// Where both speak, they speak of one machine.
    #[test]
    fn system_and_processor_agree() {
        let (said, asked) = (Caches::of(&linux()), Caches::of(&processor()));
        for (a, b) in [(said.l1, asked.l1), (said.l2, asked.l2)] {
            assert!(a.is_none() || b.is_none() || a == b, "{said:?} {asked:?}");
        }
    }
}
