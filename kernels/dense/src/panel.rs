//! Output channels cut into panels, for any number of groups.
//!
//! Panels follow the blocks of eight channels of the *output*, so that results are stored in whole vectors. Where
//! blocks do not match groups, a panel sums over the input channels of every group it touches, with weights of zero
//! where a channel is not of its group: a block-diagonal matrix. An infinite input of one group then reaches the others
//! of such a panel as NaN.

use core::ops::Range;
use paring_simd::LANES;

/// Columns that one pass computes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Columns {
    /// First output channel, a multiple of eight.
    pub first: usize,
    /// Channels that exist.
    pub lanes: usize,
    /// Vectors: one to three.
    pub vectors: usize,
    /// The groups these channels belong to.
    pub groups: Range<usize>,
}

impl Columns {
    /// Columns, those that do not exist included.
    pub fn width(&self) -> usize {
        self.vectors * LANES
    }

    /// The same columns in panels of one vector, where groups have `each` output channels.
    pub fn split(&self, each: usize) -> impl Iterator<Item = Columns> + use<> {
        let (first, end) = (self.first, self.first + self.lanes);
        (first..end).step_by(LANES).map(move |first| {
            let last = end.min(first + LANES) - 1;
            Columns { first, lanes: last + 1 - first, vectors: 1, groups: first / each..last / each + 1 }
        })
    }

    /// Time per column, relative to the fastest panels.
    pub fn slowdown(&self) -> f64 {
        SLOWDOWN[self.vectors.min(3)]
    }
}

/// Time per column of panels of so many vectors, measured, with two vectors as the unit.
const SLOWDOWN: [f64; 4] = [0.0, 1.6, 1.0, 1.03];

/// Cuts `channels` output channels in `groups` groups into panels that take the least time together.
pub fn columns(channels: usize, groups: usize) -> Vec<Columns> {
    let each = (channels / groups).max(1);
    let blocks = channels.div_ceil(LANES);
    let panel = |block: usize, vectors: usize| {
        let first = block * LANES;
        let end = channels.min(first + vectors * LANES);
        Columns { first, lanes: end - first, vectors, groups: first / each..(end - 1) / each + 1 }
    };
    // Least time from each block to the last, and the vectors of the panel that begins there.
    let mut best = vec![(0.0, 0); blocks + 1];
    for block in (0..blocks).rev() {
        let time = |vectors: usize| {
            let p = panel(block, vectors);
            (p.width() * p.groups.len()) as f64 * p.slowdown() + best[block + vectors].0
        };
        let options = [2, 1, 3].into_iter().filter(|v| block + v <= blocks).map(|v| (time(v), v));
        best[block] = options.min_by(|a, b| a.0.total_cmp(&b.0)).unwrap_or((0.0, 1));
    }
    let mut panels = vec![];
    let mut block = 0;
    while block < blocks {
        let vectors = best[block].1;
        panels.push(panel(block, vectors));
        block += vectors;
    }
    panels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panels_cover_every_channel_once_and_touch_its_group() {
        for (channels, groups) in
            [(64, 1), (24, 1), (20, 1), (60, 3), (240, 3), (32, 8), (16, 16), (7, 7), (9, 3), (48, 2)]
        {
            let mut next = 0;
            for p in columns(channels, groups) {
                assert_eq!(p.first, next);
                assert!(p.first.is_multiple_of(LANES) && p.lanes <= p.width());
                for c in p.first..p.first + p.lanes {
                    assert!(p.groups.contains(&(c / (channels / groups))));
                }
                next += p.lanes;
            }
            assert_eq!(next, channels);
        }
    }

    #[test]
    fn remainders_of_eight_go_into_wide_panels_at_the_end() {
        let vectors = |channels| columns(channels, 1).iter().map(|c| c.vectors).collect::<Vec<_>>();
        assert_eq!(vectors(64), [2, 2, 2, 2]);
        assert_eq!(vectors(24), [3]);
        assert_eq!(vectors(40), [2, 3]);
        assert_eq!(vectors(8), [1]);
    }

    #[test]
    fn aligned_groups_never_share_a_panel() {
        assert!(columns(240, 3).iter().all(|p| p.groups.len() == 1));
        assert!(columns(24, 3).iter().all(|p| p.groups.len() == 1));
    }
}
