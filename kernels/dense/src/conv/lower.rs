//! From a geometry and a layout to panels, offset tables and tasks.

use super::{
    geometry::{Geometry, Phase},
    work::{Tasks, Work},
};
use crate::{
    panel::{Columns, columns},
    tile,
};
use core::ops::Range;
use paring_core::{AlignedBuf, AllocError, Layout};
use paring_simd::LANES;

/// How the (padded) input lies in memory: `[sample][channel / lanes][extent...][lanes]`.
#[derive(Clone, Copy, Debug)]
pub struct View {
    /// 8 in blocked layout, 1 in plain layout.
    pub lanes: usize,
    /// Spatial extent.
    pub extent: [usize; 3],
    /// Blocks of channels in a sample.
    pub planes: usize,
}

impl View {
    /// Elements of a plane.
    pub fn plane(&self) -> usize {
        self.extent.iter().product::<usize>() * self.lanes
    }

    /// Elements from one position to the next along each axis.
    pub fn strides(&self) -> [usize; 3] {
        let [_, h, w] = self.extent;
        [h * w * self.lanes, w * self.lanes, self.lanes]
    }

    fn at(&self, channel: usize, position: [usize; 3]) -> usize {
        let inner: usize = position.iter().zip(self.strides()).map(|(p, s)| p * s).sum();
        channel / self.lanes * self.plane() + inner + channel % self.lanes
    }
}

/// How the panels read the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Walk {
    /// Eight channels of one block at a time.
    Blocks,
    /// One channel at a time.
    Channels,
}

impl Walk {
    /// The name in packed formats.
    pub fn name(self) -> &'static str {
        match self {
            Walk::Blocks => "blocks",
            Walk::Channels => "channels",
        }
    }
}

/// A panel of one phase.
#[derive(Clone, Debug)]
pub struct PhasePanel {
    /// Its columns.
    pub columns: Columns,
    /// First element in the packed weights.
    pub weights: usize,
    /// Its part of the offset table.
    pub offsets: Range<usize>,
}

/// A phase ready to run.
#[derive(Clone, Debug)]
pub struct LoweredPhase {
    /// The grid.
    pub phase: Phase,
    /// The panels.
    pub panels: Vec<PhasePanel>,
}

/// Everything but the weights and the epilogue.
#[derive(Clone, Debug)]
pub struct Lowered {
    /// The problem.
    pub geometry: Geometry,
    /// The input as the panels read it.
    pub view: View,
    /// How they do.
    pub walk: Walk,
    /// Phases.
    pub phases: Vec<LoweredPhase>,
    /// Byte offsets from a pixel's first element.
    pub offsets: Vec<usize>,
    /// Elements of packed weights.
    pub packed: usize,
    /// Pixels that are computed against one panel before the next.
    pub block: usize,
    /// Tasks, each with the index of its phase.
    pub work: Vec<(usize, Work)>,
}

/// Pixels against one panel: their channels stay in the first-level cache, as does the panel of a short sum.
const BLOCK: usize = 48;

/// Multiply-adds of a task: some twenty microseconds, less where the whole problem is small.
const TASKS: Tasks = Tasks { macs: [1 << 19, 1 << 20], block: BLOCK, step: tile::STEP, together: 1 };

/// The layout's lanes, where it is one that is served.
pub fn lanes(layout: Layout) -> Option<usize> {
    match layout {
        Layout::Plain => Some(1),
        Layout::Blocked(8) => Some(LANES),
        _ => None,
    }
}

impl Geometry {
    /// The input channel for weight channel `k` of `group`.
    fn channel(&self, group: usize, k: usize) -> usize {
        let at = group * self.depth + k;
        self.select.as_ref().map_or(at, |s| s[at] as usize)
    }

    /// Whether weight channels come in whole blocks of input channels.
    pub fn walk(&self, lanes: usize) -> Walk {
        let in_order = |group: usize, from: usize, n: usize| {
            let first = self.channel(group, from);
            first.is_multiple_of(LANES) && (1..n).all(|i| self.channel(group, from + i) == first + i)
        };
        let whole = |group: usize| {
            (0..self.depth).step_by(LANES).all(|from| {
                let n = LANES.min(self.depth - from);
                // Channels of a part block meet weights of zero: they must be padding.
                in_order(group, from, n) && (n == LANES || self.channel(group, from) + n == self.inputs)
            })
        };
        let waste = self.depth.next_multiple_of(LANES) * 8 > self.depth * 9;
        let blocks = lanes == LANES && !waste && (0..self.groups).all(whole);
        if blocks { Walk::Blocks } else { Walk::Channels }
    }

    /// The input with `lanes` channels side by side, framed with zeros where they are needed.
    pub fn view(&self, lanes: usize) -> View {
        let extent = if self.needs_halo() { self.padded } else { self.input };
        View { lanes, extent, planes: self.inputs.div_ceil(lanes) }
    }

    /// Length of the sum of `columns` over `taps`, in rows of packed weights.
    fn rows(&self, walk: Walk, columns: &Columns, taps: usize) -> usize {
        let depth = match walk {
            Walk::Blocks => self.depth.next_multiple_of(LANES),
            Walk::Channels => self.depth,
        };
        columns.groups.len() * depth * taps
    }

    /// Elements of packed weights, and multiply-adds including those with weights of zero; `None` on overflow.
    pub fn sizes(&self, walk: Walk) -> Option<(usize, f64)> {
        let columns = columns(self.outputs, self.groups);
        let (mut packed, mut macs) = (0usize, 0.0);
        for phase in &self.phases {
            let pixels = self.samples as f64 * phase.grid.iter().map(|&g| g as f64).product::<f64>();
            for c in &columns {
                let depth = self.depth.checked_next_multiple_of(LANES)?;
                c.groups.len().checked_mul(depth)?.checked_mul(phase.taps.len())?.checked_mul(16)?;
                let n = self.rows(walk, c, phase.taps.len()) * c.width();
                packed = packed.checked_add(n).filter(|&n| n <= isize::MAX as usize / 8)?;
                macs += n as f64 * pixels * c.slowdown();
            }
        }
        Some((packed, macs))
    }

    /// Calls `f` with every row of packed weights of `columns` in `phase`: group, weight channel and tap, where the
    /// weight channel may lie in the padding of a block.
    fn each_row(&self, walk: Walk, columns: &Columns, phase: &Phase, mut f: impl FnMut(usize, usize, usize)) {
        let lanes = match walk {
            Walk::Blocks => LANES,
            Walk::Channels => 1,
        };
        for group in columns.groups.clone() {
            for from in (0..self.depth).step_by(lanes) {
                for tap in 0..phase.taps.len() {
                    for k in from..from + lanes {
                        f(group, k, tap);
                    }
                }
            }
        }
    }

    /// Weights as the panels read them.
    ///
    /// # Errors
    /// [`AllocError`] where memory is short.
    pub fn pack(&self, walk: Walk, packed: usize, w: &[f32]) -> Result<AlignedBuf, AllocError> {
        let mut buf = AlignedBuf::zeroed(packed * size_of::<f32>())?;
        let out: &mut [f32] = bytemuck::cast_slice_mut(buf.as_mut_slice());
        let each = self.outputs / self.groups;
        // The weight of the first channel of a group, and elements from one channel to the next.
        let weights = |group: usize, k: usize, tap: usize| match self.transposed {
            false => ((group * each * self.depth + k) * self.taps + tap, self.depth * self.taps),
            true => ((group * self.depth + k) * each * self.taps + tap, self.taps),
        };
        let mut at = 0;
        for phase in &self.phases {
            for c in columns(self.outputs, self.groups) {
                self.each_row(walk, &c, phase, |group, k, tap| {
                    if k < self.depth {
                        let (from, step) = weights(group, k, phase.taps[tap].index);
                        // The channels of this panel that are of this group.
                        let first = c.first.max(group * each);
                        let end = (c.first + c.lanes).min((group + 1) * each);
                        let to = &mut out[at + first - c.first..at + end - c.first];
                        let from = &w[from + (first - group * each) * step..];
                        for (to, from) in to.iter_mut().zip(from.iter().step_by(step)) {
                            *to = *from;
                        }
                    }
                    at += c.width();
                });
            }
        }
        debug_assert_eq!(at, out.len());
        Ok(buf)
    }

    /// Panels, offsets and tasks for an input with `lanes` channels side by side.
    pub fn lower(self, lanes: usize) -> Lowered {
        let walk = self.walk(lanes);
        let view = self.view(lanes);
        let mut offsets = vec![];
        let mut packed = 0;
        let mut phases = vec![];
        for phase in &self.phases {
            let mut panels: Vec<PhasePanel> = vec![];
            for c in columns(self.outputs, self.groups) {
                // Panels of the same groups read the same input.
                let same = panels.last().filter(|p| p.columns.groups == c.groups).map(|p| p.offsets.clone());
                let range = same.unwrap_or_else(|| {
                    let from = offsets.len();
                    self.each_row(walk, &c, phase, |group, k, tap| {
                        if walk == Walk::Channels || k.is_multiple_of(LANES) {
                            let at = view.at(self.channel(group, k), phase.taps[tap].at);
                            offsets.push(at * size_of::<f32>());
                        }
                    });
                    from..offsets.len()
                });
                let rows = self.rows(walk, &c, phase.taps.len());
                let width = c.width();
                panels.push(PhasePanel { columns: c, weights: packed, offsets: range });
                packed += rows * width;
            }
            phases.push(LoweredPhase { phase: phase.clone(), panels });
        }
        let mut lowered = Lowered { geometry: self, view, walk, phases, offsets, packed, block: BLOCK, work: vec![] };
        lowered.work = lowered.split();
        lowered
    }
}

impl Lowered {
    /// Cuts the problem into tasks.
    fn split(&self) -> Vec<(usize, Work)> {
        let of_phase = |(index, phase): (usize, &LoweredPhase)| {
            let pixels = self.geometry.samples * phase.phase.grid.iter().product::<usize>();
            let macs = |p: &PhasePanel| {
                let per_offset = if self.walk == Walk::Blocks { LANES } else { 1 };
                (p.offsets.len() * per_offset).max(1) * p.columns.width()
            };
            let per_pixel = phase.panels.iter().map(macs).sum::<usize>().max(1);
            TASKS.of(pixels, per_pixel, phase.panels.len()).into_iter().map(move |work| (index, work))
        };
        self.phases.iter().enumerate().flat_map(of_phase).collect()
    }
}
