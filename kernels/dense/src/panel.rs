//! Output channels cut into panels, for any number of groups.
//!
//! Panels follow the blocks of eight channels of the *output*, so that results are stored in whole vectors. Where
//! blocks do not match groups, a panel sums over the input channels of every group it touches, with weights of zero
//! where a channel is not of its group: a block-diagonal matrix.

use core::ops::Range;
use paring_simd::LANES;

/// Columns that one pass computes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Columns {
    /// First output channel, a multiple of eight.
    pub first: usize,
    /// Channels that exist.
    pub lanes: usize,
    /// Vectors: one or two.
    pub vectors: usize,
    /// The groups these channels belong to.
    pub groups: Range<usize>,
}

impl Columns {
    /// Columns, those that do not exist included.
    pub fn width(&self) -> usize {
        self.vectors * LANES
    }
}

/// Cuts `channels` output channels in `groups` groups into panels of sixteen or eight.
pub fn columns(channels: usize, groups: usize) -> Vec<Columns> {
    let each = (channels / groups).max(1);
    let touched = |from: usize, to: usize| from / each..(to - 1) / each + 1;
    let mut panels = vec![];
    let mut first = 0;
    while first < channels {
        let one = channels.min(first + LANES);
        let two = channels.min(first + 2 * LANES);
        let (a, both) = (touched(first, one), touched(first, two));
        // Two vectors at once run at full rate, one alone at some three quarters: worth a few more weights of zero.
        let pair = two > one && {
            let apart = a.len() + touched(one, two).len();
            2 * both.len() * 3 <= apart * 4
        };
        let (end, vectors, groups) = if pair { (two, 2, both) } else { (one, 1, a) };
        panels.push(Columns { first, lanes: end - first, vectors, groups });
        first = end;
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
    fn aligned_groups_never_share_a_panel() {
        assert!(columns(240, 3).iter().all(|p| p.groups.len() == 1));
        assert!(columns(24, 3).iter().all(|p| p.groups.len() == 1));
    }
}
