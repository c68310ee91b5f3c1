//! Physical layouts: how the logical elements of a tensor lie in memory.

use serde::{Deserialize, Serialize};

/// How the elements of a tensor lie in memory. The graph never mentions layouts; the planner assigns them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Layout {
    /// Row-major, in the logical order of the dimensions.
    Plain,
    /// Axis 1 (channels) cut into blocks of this many, the block innermost: `[N][C/b][spatial...][b]`.
    /// The last block is padded with zeros. Needs rank 2 or more.
    Blocked(u8),
    /// Only for [`DType::Sign`](crate::DType::Sign): the channels (axis 1) of a pixel together, eight in two bytes:
    /// `[N][spatial...][2 * C/8]`. A byte holds four as [`pack`](crate::signs::pack) says; channels that are missing of
    /// the last eight are zero. Needs rank 2 or more.
    Signs,
}

impl Layout {
    /// Elements that a tensor of `shape` occupies, padding lanes included, where those of `Signs` are four each; `None`
    /// on overflow or where the layout does not fit the rank.
    pub fn elements(self, shape: &[usize]) -> Option<usize> {
        match self {
            Layout::Plain => crate::numel(shape).ok(),
            Layout::Blocked(b) => {
                let (&n, rest) = shape.split_first()?;
                let (&c, spatial) = rest.split_first()?;
                let c = c.checked_next_multiple_of(b as usize)?;
                let inner = crate::numel(spatial).ok()?;
                n.checked_mul(c)?.checked_mul(inner).filter(|&x| x <= isize::MAX as usize)
            }
            Layout::Signs => Layout::Blocked(8).elements(shape).map(|n| n / 4),
        }
    }

    /// Whether a tensor of `shape` has the very same bytes in both layouts, so that no reorder is needed.
    pub fn same_bytes(self, other: Layout, shape: &[usize]) -> bool {
        if self == other {
            return true;
        }
        let spatial_is_one = shape.len() >= 2 && shape[2..].iter().all(|&d| d == 1);
        let whole = |l: Layout| match l {
            Layout::Plain => true,
            Layout::Blocked(b) => spatial_is_one && shape[1].is_multiple_of(b as usize),
            Layout::Signs => false,
        };
        whole(self) && whole(other)
    }
}

impl core::fmt::Display for Layout {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Layout::Plain => f.pad("plain"),
            Layout::Blocked(b) => write!(f, "{b}c"),
            Layout::Signs => f.pad("signs"),
        }
    }
}
