//! What a convolution of bytes multiplies, and how its weights are packed.

use crate::{
    family::Target,
    finish,
    late::{Late, operands},
    needed::Needed,
    operand::{Bytes, Channels, integer},
    rows::{Count, QUAD, Room, Rows},
};
use core::ops::Range;
use paring_core::{DType, Op, Tensor};
use paring_dense::{
    conv::{Geometry, Halo, View},
    panel::{Columns, columns},
};
use paring_kernel::{Isa, KernelError, Offer, Problem, Reject};
use paring_simd::LANES;

/// Longest sum: beyond, products of bytes and weights with a zero point might leave 32 bits.
const MOST_TERMS: usize = 32_000;
/// Weights with a zero point, of 255 at most, that sixteen bits hold together.
const MOST_REPEATS: usize = 128;

/// How often the most frequent channel is there.
fn most_often(channels: &[u32]) -> usize {
    let mut sorted = channels.to_vec();
    sorted.sort_unstable();
    sorted.chunk_by(|a, b| a == b).map(<[u32]>::len).max().unwrap_or(0)
}

/// Panels of sixteen columns each, where groups have `each` output channels.
fn sixteens(outputs: usize, each: usize) -> Vec<Columns> {
    let panel = |first: usize| {
        let lanes = (outputs - first).min(2 * LANES);
        Columns { first, lanes, vectors: 2, groups: first / each..(first + lanes - 1) / each + 1 }
    };
    (0..outputs).step_by(2 * LANES).map(panel).collect()
}

/// What is multiplied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Bytes as they are, with more rows where weights are large.
    Bytes,
    /// The same in panels of eight columns, of which fewer need such rows.
    Narrow,
    /// Words, made of the bytes once: for weights that are large throughout, and where nothing multiplies bytes.
    Words,
    /// Bytes as they are, where instructions add the products of any of them.
    Any,
    /// The same in panels of sixteen columns, each with one row for every four inputs of every block it touches.
    Tiles,
    /// The same with both rows of a block in one: eight weights of a column, then of the next.
    Eights,
}

impl Kind {
    pub const ALL: [Kind; 6] = [Kind::Bytes, Kind::Narrow, Kind::Words, Kind::Any, Kind::Tiles, Kind::Eights];

    /// Those that make sense with these instructions; narrow panels do where wide ones of bytes do.
    pub fn on(target: Target) -> &'static [Kind] {
        match target.isa {
            Isa::Portable => &[Kind::Words],
            _ if target.any_weights => &[Kind::Any],
            _ => &[Kind::Bytes, Kind::Words],
        }
    }

    /// That of an offer.
    pub fn of(o: &Offer) -> Kind {
        Kind::ALL.get(o.variant as usize).copied().unwrap_or(Kind::Words)
    }

    pub fn name(self) -> &'static str {
        match self {
            Kind::Bytes => "bytes",
            Kind::Narrow => "narrow",
            Kind::Words => "words",
            Kind::Any => "any",
            Kind::Tiles => "tiles",
            Kind::Eights => "eights",
        }
    }

    /// What a row of bytes has room for.
    fn room(self) -> Room {
        if matches!(self, Kind::Bytes | Kind::Narrow | Kind::Words) { Room::Pairs } else { Room::Any }
    }

    /// Whether rows come in pairs, both fours of a block.
    fn is_paired(self) -> bool {
        matches!(self, Kind::Tiles | Kind::Eights)
    }

    /// Bytes of an input.
    pub fn size(self) -> usize {
        if self == Kind::Words { 2 } else { 1 }
    }
}

/// A problem that is served here.
pub struct Plan {
    pub geometry: Geometry,
    pub view: View,
    pub panels: Vec<Columns>,
    pub x: Bytes,
    pub channels: Channels,
    pub late: Option<Late>,
    pub kind: Kind,
}

impl Plan {
    pub fn of(p: &Problem, kind: Kind) -> Result<Plan, Reject> {
        let (Op::Conv(a) | Op::ConvInteger(a)) = &p.op else { return Err(Reject::because("not a convolution")) };
        let (x, channels, late) = operands(p, 0)?;
        let geometry = Geometry::of_any_conv(p, a)?;
        finish::servable(p, geometry.outputs)?;
        if late.is_none() && geometry.depth.saturating_mul(geometry.taps) > MOST_TERMS {
            return Err(Reject::because("the sum is too long for 32 bits"));
        }
        if geometry.select.iter().any(|s| s.chunks(geometry.depth).any(|group| most_often(group) > MOST_REPEATS)) {
            return Err(Reject::because(
                "a group reads one input channel so often that its weights leave sixteen bits",
            ));
        }
        let view = geometry.view(LANES);
        let (columns, each) = (columns(geometry.outputs, geometry.groups), geometry.outputs / geometry.groups);
        let panels = match kind {
            Kind::Narrow => columns.iter().flat_map(|c| c.split(each)).collect(),
            Kind::Tiles | Kind::Eights => sixteens(geometry.outputs, each),
            Kind::Bytes | Kind::Words | Kind::Any => columns,
        };
        Ok(Plan { geometry, view, panels, x, channels, late, kind })
    }

    /// The input channel of weight channel `k` of `group`.
    fn channel(&self, group: usize, k: usize) -> usize {
        let at = group * self.geometry.depth + k;
        self.geometry.select.as_ref().map_or(at, |s| s[at] as usize)
    }

    /// Fours of input channels.
    pub fn quads(&self) -> usize {
        self.geometry.inputs.next_multiple_of(LANES) / QUAD
    }

    /// The fours of input channels that a panel reads: the first, and the one after the last.
    pub fn touched(&self, c: &Columns) -> (usize, usize) {
        let depth = self.geometry.depth;
        if self.geometry.select.is_none() {
            let (first, end) = (c.groups.start * depth / QUAD, (c.groups.end * depth).div_ceil(QUAD));
            return self.whole(first, end);
        }
        let channels = c.groups.clone().flat_map(|group| (0..self.geometry.depth).map(move |k| (group, k)));
        let quads = channels.map(|(group, k)| self.channel(group, k) / QUAD);
        let (first, end) = quads.fold((self.quads(), 0), |(lo, hi), quad| (lo.min(quad), hi.max(quad + 1)));
        self.whole(first, end)
    }

    /// Fours of channels as they come where both of an eight do.
    fn whole(&self, first: usize, end: usize) -> (usize, usize) {
        if self.kind.is_paired() { (first / 2 * 2, end.next_multiple_of(2)) } else { (first, end) }
    }

    /// Whether all weights are bytes as they lie.
    pub fn are_bytes(&self, w: &Tensor) -> bool {
        w.dtype() == DType::I8 && self.geometry.select.is_none() && self.channels.are_zero()
    }

    /// As [`Room::needed`] of each quad of a panel, at [vector of columns][quad][tap].
    fn needed(&self, w: &Tensor, c: &Columns) -> Vec<Vec<usize>> {
        let vectors = (0..c.lanes).step_by(LANES);
        if self.are_bytes(w) {
            return vectors.map(|lane| self.needed_by(w, c, lane..c.lanes.min(lane + LANES))).collect();
        }
        let (panel, room) = (self.panel(w, c), self.kind.room());
        let part = |lane: usize| panel.chunks_exact(c.width()).map(move |quad| &quad[lane..][..LANES]);
        vectors.map(|lane| part(lane).map(|quad| room.needed(quad)).collect()).collect()
    }

    /// The same for some columns of [bytes](Plan::are_bytes).
    fn needed_by(&self, w: &Tensor, c: &Columns, lanes: Range<usize>) -> Vec<usize> {
        let (g, each) = (&self.geometry, self.geometry.outputs / self.geometry.groups);
        let ((first, end), length) = (self.touched(c), g.depth * g.taps);
        let mut needed = Needed::new(self.kind.room(), end - first, g.taps);
        needed.columns(lanes.map(|lane| c.first + lane).map(|m| {
            let weights: &[i8] = bytemuck::cast_slice(&w.bytes()[m * length..][..length]);
            (m / each * g.depth - first * QUAD, weights)
        }));
        needed.quads()
    }

    /// Weights of a panel at [quad][tap][column][channel of the quad].
    pub fn panel(&self, w: &Tensor, c: &Columns) -> Vec<[i32; QUAD]> {
        let (g, each, width) = (&self.geometry, self.geometry.outputs / self.geometry.groups, c.width());
        let (first, end) = self.touched(c);
        let mut panel = vec![[0i32; QUAD]; (end - first) * g.taps * width];
        let (bytes, signed, length) = (w.bytes(), w.dtype() == DType::I8, g.depth * g.taps);
        if g.depth.is_multiple_of(QUAD) && self.are_bytes(w) {
            // The usual case, in the order of the panel, of which each cache line is then written once.
            let lanes = (c.first..c.first + c.lanes).map(|m| (m / each * g.depth / QUAD - first, m * length));
            let lanes: Vec<(usize, &[i8])> =
                lanes.map(|(quad, at)| (quad, bytemuck::cast_slice(&bytes[at..][..length]))).collect();
            for at in 0..length / QUAD {
                let (quad, tap) = (at / g.taps, at % g.taps);
                for (lane, (before, row)) in lanes.iter().enumerate() {
                    let weight = |i: usize| i32::from(row[(quad * QUAD + i) * g.taps + tap]);
                    panel[((before + quad) * g.taps + tap) * width + lane] =
                        [weight(0), weight(1), weight(2), weight(3)];
                }
            }
            return panel;
        }
        for lane in 0..c.lanes {
            let m = c.first + lane;
            let (group, zero) = (m / each, self.channels.zero_point[m]);
            for (k, taps) in bytes[m * length..][..length].chunks_exact(g.taps).enumerate() {
                let channel = self.channel(group, k);
                let at = (channel / QUAD - first) * g.taps * width + lane;
                for (tap, &byte) in taps.iter().enumerate() {
                    panel[at + tap * width][channel % QUAD] += integer(byte, signed) - zero;
                }
            }
        }
        panel
    }

    /// Rows for all panels.
    pub fn rows(&self, p: &Problem) -> Result<Rows, KernelError> {
        let w = p.constant(1).ok_or_else(|| KernelError::Problem("the weights are not constant".into()))?;
        let (taps, quads) = (self.geometry.taps, self.quads());
        let mut rows = Rows::new(self.kind.room());
        for c in &self.panels {
            rows.panel(c.width());
            let (first, end) = self.touched(c);
            let mut panel = self.panel(w, c);
            // Both quads of a block at one position before the next position: they share a cache line.
            for block in first / 2..end.div_ceil(2) {
                for tap in 0..taps {
                    let at = |quad: usize| ((quad - first) * taps + tap) * c.width();
                    let source = |quad: usize| (tap * quads + quad) as u32;
                    if self.kind == Kind::Eights {
                        let row = |quad: usize| &panel[at(quad)..][..c.width()];
                        rows.push_eights(source(2 * block), row(2 * block), row(2 * block + 1));
                        continue;
                    }
                    for quad in (2 * block).max(first)..(2 * block + 2).min(end) {
                        let (source, panel) = (source(quad), &mut panel[at(quad)..][..c.width()]);
                        match self.kind {
                            Kind::Bytes | Kind::Narrow | Kind::Any => rows.push(source, panel),
                            Kind::Tiles | Kind::Eights => rows.push_one(source, panel),
                            Kind::Words => {
                                rows.push_words(2 * source, panel.iter().map(|w| [w[0], w[1]]));
                                rows.push_words(2 * source + 1, panel.iter().map(|w| [w[2], w[3]]));
                            }
                        }
                    }
                }
            }
        }
        Ok(rows)
    }

    /// Bytes of packed [rows](Plan::rows), counted without packing them: in these panels and, where
    /// neighbours must fit together, in narrow ones.
    pub fn packed_bytes(&self, p: &Problem) -> Option<[usize; 2]> {
        let mut count = [Count::default(), Count::default()];
        let w = p.constant(1)?;
        for c in &self.panels {
            let (first, end) = self.touched(c);
            let quads = (end - first) * self.geometry.taps;
            if self.kind == Kind::Words {
                count[0].panel(c.width(), 2 * quads);
                continue;
            }
            let vectors = self.needed(w, c);
            let most = |quad: usize| vectors.iter().map(|rows| rows[quad]).max().unwrap_or(0);
            count[0].panel(c.width(), (0..quads).map(most).sum());
            for rows in &vectors {
                count[1].panel(LANES, rows.iter().sum());
            }
        }
        Some(count.map(|c| c.bytes()))
    }

    /// Names what the packed bytes depend on besides the weights.
    pub fn packed_format(&self, kind: Kind) -> String {
        let g = &self.geometry;
        let select = g.select.as_ref().map_or(String::new(), |s| format!("-{s:?}"));
        format!("conv-{}-g{}-c{}{select}{}", kind.name(), g.groups, g.inputs, self.channels.packed_as())
    }

    /// The copy of the input that is read, where it is not read as it lies.
    pub fn halo(&self) -> Option<Halo> {
        let (g, view) = (&self.geometry, &self.view);
        let copies = self.kind == Kind::Words || g.needs_halo();
        copies.then(|| Halo::new(g.samples * view.planes, g.input, g.halo, view))
    }

    /// Bytes of what is known only while running, and of the copy of the input after it.
    pub fn scratch(&self) -> [usize; 2] {
        let copy = self.halo().map_or(0, |h| h.elements() * self.kind.size());
        [self.late.as_ref().map_or(0, Late::scratch), copy]
    }
}
