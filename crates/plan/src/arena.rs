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

/// The most bytes that live at once: no arrangement takes less.
pub(crate) fn bound(lives: &[Option<Life>]) -> usize {
    let mut changes: Vec<(usize, bool, usize)> = Vec::new();
    for life in lives.iter().flatten() {
        changes.push((life.first, true, life.bytes));
        if let Some(after) = life.last.checked_add(1) {
            changes.push((after, false, life.bytes));
        }
    }
    // What ends before a step leaves before others come.
    changes.sort_unstable();
    let (mut now, mut most) = (0usize, 0usize);
    for (_, comes, bytes) in changes {
        now = if comes { now.saturating_add(bytes) } else { now.saturating_sub(bytes) };
        most = most.max(now);
    }
    most
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
        assert_eq!(bound(&lives), 1000 + 500 + 10);
    }

    #[test]
    fn the_bound_counts_what_lives_at_once() {
        let life = |first, last, bytes| Some(Life { first, last, bytes });
        assert_eq!(bound(&[]), 0);
        assert_eq!(bound(&[life(0, 0, 5), None, life(1, 1, 7)]), 7);
        assert_eq!(bound(&[life(0, 1, 5), life(1, 1, 7), life(2, usize::MAX, 11)]), 12);
        assert_eq!(bound(&[life(usize::MAX, usize::MAX, 3), life(2, usize::MAX, 11)]), 14);
        // What is large is placed first, at the bottom, and between two that are not there together a gap is left.
        let lives = [life(0, 1, 640), life(1, 2, 320), life(2, 3, 640), life(3, 4, 960)];
        assert!(bound(&lives) <= offsets(&lives).1);
    }
}
