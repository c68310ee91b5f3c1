//! Offsets within one block of memory, by lifetime: largest first, each at the lowest place that is free for as long
//! as it lives (Pisarchyk and Lee, "Efficient Memory Management for Deep Neural Net Inference", 2020, greedy by size).

use paring_core::ALIGNMENT;

/// When a value is needed, in steps, both ends included, and how large it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Life {
    pub first: usize,
    pub last: usize,
    pub bytes: usize,
}

/// An offset for every life, and the size of the block.
pub(crate) fn offsets(lives: &[Option<Life>]) -> (Vec<usize>, usize) {
    let mut order: Vec<usize> = (0..lives.len()).filter(|&i| lives[i].is_some()).collect();
    order.sort_by_key(|&i| (std::cmp::Reverse(lives[i].map_or(0, |l| l.bytes)), i));
    let mut offsets = vec![0; lives.len()];
    // Placed lives by offset.
    let mut placed: Vec<(usize, usize, Life)> = Vec::new();
    let mut total = 0usize;
    for i in order {
        let Some(life) = lives[i] else { continue };
        let size = life.bytes.next_multiple_of(ALIGNMENT).max(ALIGNMENT);
        let mut at = 0;
        for &(offset, end, other) in &placed {
            let together = life.first <= other.last && other.first <= life.last;
            if together && at < end && offset < at + size {
                at = end;
            }
        }
        offsets[i] = at;
        total = total.max(at.saturating_add(size));
        let index = placed.partition_point(|p| p.0 < at);
        placed.insert(index, (at, at + size, life));
    }
    (offsets, total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lives_that_meet_never_overlap_and_others_share() {
        let life = |first, last, bytes| Some(Life { first, last, bytes });
        let lives = [life(0, 1, 1000), life(1, 2, 500), life(2, 3, 1000), None, life(0, 3, 10)];
        let (offsets, total) = offsets(&lives);
        for i in 0..lives.len() {
            for j in 0..i {
                let (Some(a), Some(b)) = (lives[i], lives[j]) else { continue };
                let meet = a.first <= b.last && b.first <= a.last;
                let apart = offsets[i] + a.bytes <= offsets[j] || offsets[j] + b.bytes <= offsets[i];
                assert!(!meet || apart, "{i} and {j}");
            }
        }
        assert_eq!(offsets[0], offsets[2], "the first is gone when the third comes");
        assert_eq!(total, 1024 + 512 + 64);
    }
}
