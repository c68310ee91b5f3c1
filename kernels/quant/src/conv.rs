//! Convolution of bytes: direct, on blocks of eight channels.
//!
//! A row of the packed weights multiplies four neighbouring channels at one position of the window, so any order and
//! grouping of the input channels is a matter of which weights are zero.

use crate::{
    family::{Family, rate, word_rate},
    finish::{self, Epilogue, Finish, Place},
    operand::{Bytes, Channels, integer},
    rows::{self, Count, Layout as RowLayout, QUAD, Rows},
    tile::{self, Panel},
};
use core::ops::Range;
use paring_core::{Layout, Op};
use paring_dense::{
    conv::{Cursor, Geometry, Halo, View},
    panel::{Columns, columns},
};
use paring_kernel::{
    Cost, Isa, KernelError, Machine, NumericClass, Offer, Packed, Prepared, Problem, Reject, RunCx, Scratch, SharedMut,
};
use paring_simd::{LANES, Simd, Task};
use std::sync::Arc;

/// See the module.
pub struct Conv;

/// Longest sum: beyond, products of bytes and weights with a zero point might leave 32 bits.
const MOST_TERMS: usize = 32_000;
/// Multiply-adds of a task, and pixels that go against one panel before the next.
const TASK_MACS: usize = 2 << 20;
const LEAST_TASK_MACS: usize = 1 << 19;
const BLOCK: usize = 48;

/// What is multiplied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Bytes as they are, with more rows where weights are large.
    Bytes,
    /// The same in panels of eight columns, of which fewer need such rows.
    Narrow,
    /// Words, made of the bytes once: for weights that are large throughout, and where nothing multiplies bytes.
    Words,
}

impl Kind {
    const ALL: [Kind; 3] = [Kind::Bytes, Kind::Narrow, Kind::Words];

    /// That of an offer.
    fn of(o: &Offer) -> Kind {
        Kind::ALL.get(o.variant as usize).copied().unwrap_or(Kind::Words)
    }

    fn name(self) -> &'static str {
        match self {
            Kind::Bytes => "bytes",
            Kind::Narrow => "narrow",
            Kind::Words => "words",
        }
    }

    /// Bytes of an input.
    fn size(self) -> usize {
        if self == Kind::Words { 2 } else { 1 }
    }
}

/// A problem that is served here.
struct Plan {
    geometry: Geometry,
    view: View,
    panels: Vec<Columns>,
    x: Bytes,
    channels: Channels,
    kind: Kind,
}

impl Plan {
    fn of(p: &Problem, kind: Kind) -> Result<Plan, Reject> {
        let Op::Conv(a) = &p.op else { return Err(Reject::because("not a convolution")) };
        let (Some(x), Some(w)) = (p.input(0), p.input(1)) else { return Err(Reject::because("an operand is missing")) };
        let (x, channels) = (Bytes::of(x)?, Channels::of(w, 0)?);
        let geometry = Geometry::of_any_conv(p, a)?;
        finish::servable(p, geometry.outputs)?;
        if geometry.depth.saturating_mul(geometry.taps) > MOST_TERMS {
            return Err(Reject::because("the sum is too long for 32 bits"));
        }
        let view = geometry.view(LANES);
        let mut panels = columns(geometry.outputs, geometry.groups);
        if kind == Kind::Narrow {
            panels = panels.iter().flat_map(|c| c.split(geometry.outputs / geometry.groups)).collect();
        }
        Ok(Plan { geometry, view, panels, x, channels, kind })
    }

    /// The input channel of weight channel `k` of `group`.
    fn channel(&self, group: usize, k: usize) -> usize {
        let at = group * self.geometry.depth + k;
        self.geometry.select.as_ref().map_or(at, |s| s[at] as usize)
    }

    /// Fours of input channels.
    fn quads(&self) -> usize {
        self.geometry.inputs.next_multiple_of(LANES) / QUAD
    }

    /// The fours of input channels that a panel reads: the first, and the one after the last.
    fn touched(&self, c: &Columns) -> (usize, usize) {
        let channels = c.groups.clone().flat_map(|group| (0..self.geometry.depth).map(move |k| (group, k)));
        let quads = channels.map(|(group, k)| self.channel(group, k) / QUAD);
        quads.fold((self.quads(), 0), |(lo, hi), quad| (lo.min(quad), hi.max(quad + 1)))
    }

    /// Weights of a panel at [quad][tap][column][channel of the quad].
    fn panel(&self, w: &impl Fn(usize) -> i32, c: &Columns) -> Vec<[i32; QUAD]> {
        let (g, each) = (&self.geometry, self.geometry.outputs / self.geometry.groups);
        let (first, end) = self.touched(c);
        let mut panel = vec![[0i32; QUAD]; (end - first) * g.taps * c.width()];
        for lane in 0..c.lanes {
            let m = c.first + lane;
            let zero = self.channels.zero_point[m];
            for k in 0..g.depth {
                let channel = self.channel(m / each, k);
                let at = (channel / QUAD - first) * g.taps;
                for tap in 0..g.taps {
                    let value = w((m * g.depth + k) * g.taps + tap) - zero;
                    panel[(at + tap) * c.width() + lane][channel % QUAD] += value;
                }
            }
        }
        panel
    }

    /// Rows for all panels.
    fn rows(&self, p: &Problem) -> Result<Rows, KernelError> {
        let w = p.constant(1).ok_or_else(|| KernelError::Problem("the weights are not constant".into()))?;
        let (w, taps, quads) = (integer(w), self.geometry.taps, self.quads());
        let mut rows = Rows::default();
        for c in &self.panels {
            rows.panel(c.width());
            let (first, end) = self.touched(c);
            let mut panel = self.panel(&w, c);
            // Both quads of a block at one position before the next position: they share a cache line.
            for block in first / 2..end.div_ceil(2) {
                for tap in 0..taps {
                    for quad in (2 * block).max(first)..(2 * block + 2).min(end) {
                        let at = ((quad - first) * taps + tap) * c.width();
                        let (source, panel) = ((tap * quads + quad) as u32, &mut panel[at..at + c.width()]);
                        match self.kind {
                            Kind::Bytes | Kind::Narrow => rows.push(source, panel),
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

    /// Bytes of packed [rows](Plan::rows), counted without packing them.
    fn packed_bytes(&self, p: &Problem) -> Option<usize> {
        let taps = self.geometry.taps;
        let mut count = Count::default();
        let w = integer(p.constant(1)?);
        for c in &self.panels {
            let (first, end) = self.touched(c);
            let rows = match self.kind {
                Kind::Words => 2 * (end - first) * taps,
                Kind::Bytes | Kind::Narrow => {
                    let panel = self.panel(&w, c);
                    panel.chunks_exact(c.width()).map(rows::needed).sum()
                }
            };
            count.panel(c.width(), rows);
        }
        Some(count.bytes())
    }

    /// The copy of the input that is read, where it is not read as it lies.
    fn halo(&self) -> Option<Halo> {
        let (g, view) = (&self.geometry, &self.view);
        let copies = self.kind == Kind::Words || g.needs_halo();
        copies.then(|| Halo::new(g.samples * view.planes, g.input, g.halo, view))
    }
}

impl Family for Conv {
    fn offers<S: Simd>(p: &Problem, out: &mut Vec<Offer>) -> Result<(), Reject> {
        let blocked = Layout::Blocked(LANES as u8);
        let mut inputs = vec![None; p.inputs.len()];
        inputs[0] = Some(blocked);
        for r in finish::residuals(p) {
            inputs[r] = Some(blocked);
        }
        let kinds: &[Kind] = if S::ISA == Isa::Portable { &[Kind::Words] } else { &Kind::ALL };
        for &kind in kinds {
            let plan = Plan::of(p, kind)?;
            let format = format!("conv-{}-g{}{}", kind.name(), plan.geometry.groups, plan.channels.packed_as());
            out.push(Offer {
                inputs: inputs.clone(),
                outputs: vec![blocked; p.outputs.len()],
                fused: p.epilogue.len(),
                scratch: Scratch { shared: plan.halo().map_or(0, |h| h.elements() * kind.size()), per_worker: 0 },
                packed_bytes: plan.packed_bytes(p).ok_or("the weights are not constant")?,
                packed_format: format.into(),
                numerics: NumericClass::Reassociated,
                variant: kind as u32,
                ..Offer::plain(p)
            });
        }
        Ok(())
    }

    fn cost<S: Simd>(p: &Problem, o: &Offer, m: &Machine) -> Cost {
        let kind = Kind::of(o);
        let pixels = p.output(0).map_or(0, |y| y.len() / y.shape.get(1).copied().unwrap_or(1).max(1)) as f64;
        let macs = pixels * (o.packed_bytes / kind.size()) as f64;
        let bytes =
            |i: Option<&paring_kernel::Operand>| i.and_then(|i| i.bytes(Layout::Blocked(8))).unwrap_or(0) as f64;
        let (input, output) = (bytes(p.input(0)), bytes(p.output(0)));
        // Measured: filling and draining a tile takes as long as some four rows.
        let drain = 14.0 * p.output(0).map_or(0, |y| y.len()) as f64;
        let stream = m.weights(o.packed_bytes, 1) + output / (2.0 * m.l3_bandwidth);
        let (rate, convert) = match kind {
            Kind::Bytes | Kind::Narrow => (rate::<S>(m), 0.0),
            // Measured: what it takes to make a word of a byte, in nanoseconds.
            Kind::Words => (word_rate::<S>(m), 0.1),
        };
        let copy = o.scratch.shared as f64 * (2.0 / m.l3_bandwidth + convert);
        Cost {
            ns: (macs + drain) / (0.92 * rate) + 0.5 * stream + copy + 300.0,
            bytes: input + output + o.packed_bytes as f64 + 2.0 * o.scratch.shared as f64,
        }
    }

    fn pack(p: &Problem, o: &Offer) -> Result<Packed, KernelError> {
        let plan = Plan::of(p, Kind::of(o)).map_err(|r| KernelError::Problem(r.to_string()))?;
        Ok(Packed { data: plan.rows(p)?.pack()? })
    }

    fn prepare<S: Simd>(s: S, p: &Problem, o: &Offer, packed: Arc<Packed>) -> Result<Box<dyn Prepared>, KernelError> {
        let plan = Plan::of(p, Kind::of(o)).map_err(|r| KernelError::Problem(r.to_string()))?;
        let widths: Vec<usize> = plan.panels.iter().map(Columns::width).collect();
        let wrong = || KernelError::Problem("the weights were packed for another problem".into());
        let layout = RowLayout::read(packed.data.as_slice(), &widths).ok_or_else(wrong)?;
        let (kind, taps, strides) = (plan.kind, &plan.geometry.phases[0].taps, plan.view.strides());
        let offset = |source: u32| {
            let (source, half) = (source as usize / kind.size(), source as usize % kind.size());
            let (tap, quad) = (taps.get(source / plan.quads())?, source % plan.quads());
            let inner: usize = tap.at.iter().zip(strides).map(|(a, s)| a * s).sum();
            Some((quad / 2 * plan.view.plane() + inner + quad % 2 * QUAD + half * QUAD / 2) * kind.size())
        };
        let offsets = layout.sources.iter().map(|&s| offset(s)).collect::<Option<Vec<_>>>().ok_or_else(wrong)?;
        let scale: Vec<f32> = plan.channels.scale.iter().map(|w| w * plan.x.scale).collect();
        let epilogue = Epilogue::new(p, &scale, true)?;
        // Words are less the zero point already.
        let zero = if kind == Kind::Words { 0 } else { plan.x.offset() };
        let init = layout.sums.iter().map(|s| -zero * s).collect();
        let (halo, work) = (plan.halo(), work(&plan, &layout));
        Ok(Box::new(Engine { s, plan, halo, layout, offsets, init, epilogue, packed, work }))
    }
}

/// Pixels times panels.
struct Work {
    pixels: Range<usize>,
    panels: Range<usize>,
}

/// Cuts the problem into tasks, by its shape alone: pixels first, panels where those are few.
fn work(plan: &Plan, layout: &RowLayout) -> Vec<Work> {
    let g = &plan.geometry;
    let pixels = g.samples * g.output.iter().product::<usize>();
    let per_pixel = layout.panels.iter().map(|p| p.weights.len()).sum::<usize>().max(1);
    let target = (per_pixel.saturating_mul(pixels) / 16).clamp(LEAST_TASK_MACS, TASK_MACS);
    let blocks = pixels.div_ceil(BLOCK);
    let even = pixels.div_ceil(blocks).next_multiple_of(4);
    let per_task = (target / per_pixel).max(1).next_multiple_of(even).min(pixels.next_multiple_of(4));
    let parts = (per_pixel.saturating_mul(per_task) / (2 * target)).clamp(1, plan.panels.len());
    let cut = |i: usize| i * plan.panels.len() / parts;
    let part = |part: usize| (0..pixels).step_by(per_task).map(move |from| (part, from..pixels.min(from + per_task)));
    (0..parts).flat_map(part).map(|(i, pixels)| Work { pixels, panels: cut(i)..cut(i + 1) }).collect()
}

struct Engine<S> {
    s: S,
    plan: Plan,
    halo: Option<Halo>,
    layout: RowLayout,
    /// For each row the bytes from a pixel's first to the four that it multiplies.
    offsets: Vec<usize>,
    init: Vec<i32>,
    epilogue: Epilogue,
    packed: Arc<Packed>,
    work: Vec<Work>,
}

impl<S: Simd> Prepared for Engine<S> {
    fn run(&self, cx: &mut RunCx<'_>) -> Result<(), KernelError> {
        let (g, view) = (&self.plan.geometry, &self.plan.view);
        let parallel = cx.parallel();
        let input = cx.input::<u8>(0);
        let scratch = cx.scratch::<u8>();
        let elements = self.halo.as_ref().map_or(0, Halo::elements);
        assert!(scratch.len() >= elements * self.plan.kind.size());
        let x = match (&self.halo, self.plan.kind) {
            (None, _) => input.as_ptr(),
            (Some(halo), Kind::Bytes | Kind::Narrow) => {
                halo.run(input, self.plan.x.zero(), scratch, parallel);
                scratch.as_ptr().cast_const()
            }
            (Some(halo), Kind::Words) => {
                // SAFETY: the only slice of the scratch, which is aligned to a cache line.
                let words: &mut [i16] = bytemuck::cast_slice_mut(unsafe { scratch.slice(0, elements * 2) });
                let x = self.plan.x;
                let convert = |from: &[u8], to: &mut [i16]| self.s.vectorize(ToWords { x, from, to });
                halo.convert(input, 0, SharedMut::new(words), parallel, &convert);
                words.as_ptr().cast()
            }
        };
        let (y, len) = {
            let output = cx.output::<u8>(0);
            (output.as_mut_ptr(), output.len())
        };
        let elements = g.samples * g.outputs.next_multiple_of(LANES) * g.output.iter().product::<usize>();
        assert!(len >= elements * self.epilogue.size());
        assert!(self.halo.is_some() || input.len() >= g.samples * view.planes * view.plane());
        let finish = self.epilogue.bind(cx, y, len);
        let run = Run { x, finish: &finish };
        parallel.run(self.work.len(), &|task, _| {
            let work = &self.work[task];
            match (self.plan.kind, self.plan.x.signed) {
                (Kind::Words, _) => self.s.vectorize(Call::<S, { tile::WORDS }> { engine: self, run: &run, work }),
                (_, true) => self.s.vectorize(Call::<S, { tile::SIGNED }> { engine: self, run: &run, work }),
                (_, false) => self.s.vectorize(Call::<S, { tile::UNSIGNED }> { engine: self, run: &run, work }),
            }
        });
        Ok(())
    }
}

/// Makes words of bytes, less their zero point.
struct ToWords<'a> {
    x: Bytes,
    from: &'a [u8],
    to: &'a mut [i16],
}

impl Task for ToWords<'_> {
    type Output = ();

    #[inline(always)]
    fn call<S: Simd>(self, s: S) {
        let zero = s.splat(self.x.zero_point as f32);
        let (from, to) = (self.from.as_ptr(), self.to.as_mut_ptr());
        for at in (0..self.from.len().min(self.to.len()) / LANES * LANES).step_by(LANES) {
            // SAFETY: eight bytes, and eight words.
            unsafe { s.store_words(to.add(at), s.sub(s.load_bytes(from.add(at), self.x.signed), zero)) };
        }
    }
}

/// What all tasks of a run share.
struct Run<'a> {
    x: *const u8,
    finish: &'a Finish<'a>,
}

// SAFETY: tasks only read the input.
unsafe impl Sync for Run<'_> {}

/// One task.
struct Call<'a, E, const KIND: u8> {
    engine: &'a Engine<E>,
    run: &'a Run<'a>,
    work: &'a Work,
}

impl<E: Simd, const KIND: u8> Task for Call<'_, E, KIND> {
    type Output = ();

    #[inline(always)]
    fn call<S: Simd>(self, s: S) {
        let e = self.engine;
        let g = &e.plan.geometry;
        let plane = g.output.iter().product::<usize>() * LANES;
        let mut cursor = Cursor::new(g, &e.plan.view, &g.phases[0], self.work.pixels.start);
        let mut x = [self.run.x; BLOCK];
        let mut y = [0usize; BLOCK];
        let mut left = self.work.pixels.len();
        let each = left.div_ceil(left.div_ceil(BLOCK).max(1)).next_multiple_of(4).min(BLOCK);
        while left > 0 {
            let n = left.min(each);
            match KIND {
                tile::WORDS => {
                    let mut words = [self.run.x.cast::<i16>(); BLOCK];
                    cursor.fill(self.run.x.cast(), &mut words[..n], &mut y[..n], |at| at);
                    for i in 0..n {
                        x[i] = words[i].cast();
                    }
                }
                _ => cursor.fill(self.run.x, &mut x[..n], &mut y[..n], |at| at),
            }
            for i in self.work.panels.clone() {
                let (c, rows) = (&e.plan.panels[i], &e.layout.panels[i]);
                let panel = Panel {
                    weights: e.packed.data.as_slice()[rows.weights.clone()].as_ptr().cast(),
                    offsets: &e.offsets[rows.rows.clone()],
                    init: e.init[c.first..][..c.width()].as_ptr(),
                    place: Place { channel: c.first, lanes: c.lanes, first: c.first / LANES * plane, step: plane },
                    finish: self.run.finish,
                };
                // SAFETY: the view was laid out so that every pixel reads within it at every offset; pixels and
                // channels of the output are those of its layout, and no other task has them.
                unsafe {
                    match c.vectors {
                        3 => tile::pixels::<S, 3, KIND>(s, &panel, &x[..n], &y[..n]),
                        2 => tile::pixels::<S, 2, KIND>(s, &panel, &x[..n], &y[..n]),
                        _ => tile::pixels::<S, 1, KIND>(s, &panel, &x[..n], &y[..n]),
                    }
                }
            }
            left -= n;
        }
    }
}
