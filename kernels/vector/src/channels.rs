//! Channels of blocked tensors joined, cut and reordered where they do not fall on whole blocks.

use crate::{concat::sizes, movement::slice_steps, support::*};
use bytemuck::Pod;
use paring_core::{DType, Op, normalize_axis};
use paring_kernel::{KernelError, NumericClass, Offer, Packed, Prepared, Problem, Reject, RunCx};
use paring_simd::{LANES, Simd};
use std::sync::Arc;

/// `Concat`, `Split`, `Slice`, `ChannelShuffle` and constant `Gather` along the channels, blocked.
pub(crate) struct Channels;

/// Inputs that a run can look up without allocating.
const MOST_INPUTS: usize = 32;

/// Where each channel of every output comes from: input and channel there.
type Sources = Vec<Option<Vec<(usize, usize)>>>;

fn sources(p: &Problem) -> Result<Sources, Reject> {
    let x = &p.input(0).ok_or("input 0 is absent")?.shape;
    let Planes { channels, .. } = Planes::of(x)?;
    let on_channels = |axis: i64| match normalize_axis(axis, x.len()) {
        Ok(1) => Ok(()),
        _ => Err(Reject::because("not along the channels")),
    };
    Ok(match &p.op {
        Op::Concat(a) => {
            on_channels(a.axis)?;
            let mut all = Vec::new();
            for (i, x) in p.inputs.iter().enumerate() {
                let x = x.as_ref().ok_or("an input is absent")?;
                all.extend((0..Planes::of(&x.shape)?.channels).map(|c| (i, c)));
            }
            vec![Some(all)]
        }
        Op::Split(a) => {
            on_channels(a.axis)?;
            let sizes = sizes(p, p.outputs.len(), 1)?.ok_or("a part has no size")?;
            if sizes.len() != p.outputs.len() {
                return Err("a part has no size".into());
            }
            let mut at = 0usize;
            let mut result = Vec::new();
            for (size, y) in sizes.into_iter().zip(&p.outputs) {
                let end = at.checked_add(size).filter(|&e| e <= channels).ok_or("the parts exceed the whole")?;
                result.push(y.as_ref().map(|_| (at..end).map(|c| (0, c)).collect()));
                at = end;
            }
            result
        }
        Op::Slice => {
            let y = &operands(p)?.1.shape;
            let steps = slice_steps(p, x, y)?;
            if x.iter().zip(y).enumerate().any(|(i, (a, b))| i != 1 && a != b)
                || steps.iter().enumerate().any(|(i, s)| i != 1 && s.1 != 1)
            {
                return Err("not along the channels alone".into());
            }
            let (start, step) = steps[1];
            vec![Some((0..y[1]).map(|i| (0, start.wrapping_add_signed(step.wrapping_mul(i as isize)))).collect())]
        }
        Op::ChannelShuffle(a) => {
            if a.groups == 0 || !channels.is_multiple_of(a.groups) {
                return Err("the groups do not divide the channels".into());
            }
            let each = channels / a.groups;
            vec![Some((0..channels).map(|c| (0, c % a.groups * each + c / a.groups)).collect())]
        }
        Op::Gather(a) => {
            on_channels(a.axis)?;
            let indices = p.const_i64s(1).ok_or("the indices are not constant")?;
            if p.input(1).is_none_or(|i| i.shape.len() != 1) {
                return Err("the indices are not a list".into());
            }
            let place = |i: i64| usize::try_from(if i < 0 { i.saturating_add(channels as i64) } else { i });
            let all: Result<Vec<_>, _> = indices.into_iter().map(|i| place(i).map(|c| (0, c))).collect();
            vec![Some(all.map_err(|_| "an index is outside")?)]
        }
        _ => return Err("does not move channels".into()),
    })
}

/// The sources of all outputs, checked against every operand.
fn checked(p: &Problem) -> Result<(Planes, Sources), Reject> {
    let sources = sources(p)?;
    let whole = &p.input(0).ok_or("input 0 is absent")?.shape;
    for (y, s) in p.outputs.iter().zip(&sources) {
        let (Some(y), Some(s)) = (y, s) else { continue };
        if y.shape.len() != whole.len() || y.shape[0] != whole[0] || y.shape[2..] != whole[2..] || y.shape[1] != s.len()
        {
            return Err(format!("output {:?} does not fit input {whole:?}", y.shape).into());
        }
        for &(i, c) in s {
            let x = p.input(i).ok_or("an input is absent")?;
            if x.shape.len() != whole.len() || x.shape[0] != whole[0] || x.shape[2..] != whole[2..] || c >= x.shape[1] {
                return Err(format!("channel {c} is not one of input {i}").into());
            }
        }
    }
    Ok((Planes::of(whole)?, sources))
}

impl Family for Channels {
    fn offers(p: &Problem, out: &mut Vec<Offer>) -> Result<(), Reject> {
        let all = if matches!(p.op, Op::Concat(_)) { p.inputs.len() } else { 1 };
        let quantised = p.input(0).is_some_and(|x| x.quant.is_some());
        match require_movable(p, 0..all)? {
            DType::F32 => {}
            DType::U8 | DType::I8 if quantised => {}
            _ => return Err("only f32 and quantised bytes are blocked".into()),
        }
        if all > MOST_INPUTS {
            return Err("more than 32 inputs".into());
        }
        checked(p)?;
        let mut o = uniform(p, BLOCKED, 0);
        for (i, x) in o.inputs.iter_mut().enumerate() {
            *x = p.input(i).filter(|_| i < all).map(|_| BLOCKED);
        }
        o.numerics = NumericClass::Exact;
        out.push(o);
        Ok(())
    }

    fn work(p: &Problem, _: &Offer) -> f64 {
        // Runs of lanes go together; where channels are reordered, there are none.
        let each = if matches!(p.op, Op::ChannelShuffle(_) | Op::Gather(_)) { 0.7 } else { 0.16 };
        p.outputs.iter().flatten().map(|y| y.len() as f64).sum::<f64>() * each
    }

    fn prepare<S: Simd>(_: S, p: &Problem, _: &Offer, _: Arc<Packed>) -> Result<Box<dyn Prepared>, KernelError> {
        let (planes, sources) = checked(p).map_err(problem)?;
        let all = if matches!(p.op, Op::Concat(_)) { p.inputs.len() } else { 1 };
        let channels =
            p.inputs.iter().take(all).map(|x| x.as_ref().map_or(0, |x| x.shape.get(1).copied().unwrap_or(0)));
        let channels: Vec<usize> = channels.collect();
        let table = |s: Vec<(usize, usize)>| -> Vec<[Source; LANES]> {
            s.chunks(LANES)
                .map(|c| std::array::from_fn(|l| c.get(l).map_or(Source::ZERO, |&s| Source::of(s))))
                .collect()
        };
        let tables = sources.into_iter().map(|s| s.map(table)).collect();
        let bytes = p.input(0).is_some_and(|x| x.dtype != DType::F32);
        Ok(Box::new(Run { samples: planes.samples, plane: planes.plane, channels, tables, bytes }))
    }
}

/// Where one lane comes from.
#[derive(Clone, Copy, PartialEq)]
struct Source {
    /// `usize::MAX` for a padding lane.
    input: usize,
    block: usize,
    lane: usize,
}

impl Source {
    const ZERO: Source = Source { input: usize::MAX, block: 0, lane: 0 };

    fn of((input, channel): (usize, usize)) -> Source {
        Source { input, block: channel / LANES, lane: channel % LANES }
    }
}

struct Run {
    samples: usize,
    plane: usize,
    /// Channels of every input.
    channels: Vec<usize>,
    /// For every wanted output, eight sources per block.
    tables: Vec<Option<Vec<[Source; LANES]>>>,
    /// Whether elements are bytes, rather than `f32`.
    bytes: bool,
}

impl Prepared for Run {
    fn run(&self, cx: &mut RunCx<'_>) -> Result<(), KernelError> {
        if self.bytes {
            self.run_on::<u8>(cx)
        } else {
            self.run_on::<f32>(cx)
        }
        Ok(())
    }
}

impl Run {
    fn run_on<T: Pod + Send + Sync>(&self, cx: &mut RunCx<'_>) {
        let mut inputs: [&[T]; MOST_INPUTS] = [&[]; MOST_INPUTS];
        for (i, x) in inputs.iter_mut().enumerate().take(self.channels.len()) {
            if self.channels[i] > 0 {
                *x = cx.input(i);
            }
        }
        let parallel = cx.parallel();
        let size = self.plane * LANES;
        for (o, table) in self.tables.iter().enumerate() {
            let Some(table) = table else { continue };
            let y = cx.shared_output::<T>(o);
            split(parallel, self.samples * table.len(), y.len() * 16, &|units, _| {
                for unit in units {
                    // SAFETY: every unit is a block of the output of its own.
                    let y = unsafe { y.slice(unit * size, size) };
                    self.block(&inputs, unit / table.len(), &table[unit % table.len()], y);
                }
            });
        }
    }

    fn block<T: Pod + Send + Sync>(
        &self,
        inputs: &[&[T]; MOST_INPUTS],
        sample: usize,
        from: &[Source; LANES],
        y: &mut [T],
    ) {
        let size = y.len();
        let plane = |s: Source| {
            let blocks = self.channels[s.input].div_ceil(LANES);
            &inputs[s.input][(sample * blocks + s.block) * size..][..size]
        };
        let first = from[0];
        if (0..LANES).all(|lane| from[lane] == Source { lane, ..first }) {
            return y.copy_from_slice(plane(first));
        }
        // Lanes that come from one block are copied in one pass over its plane.
        let mut lane = 0;
        while lane < LANES {
            let source = from[lane];
            if source == Source::ZERO {
                y.iter_mut().skip(lane).step_by(LANES).for_each(|y| *y = T::zeroed());
                lane += 1;
                continue;
            }
            let run =
                (lane..LANES).take_while(|&l| from[l] == Source { lane: source.lane + l - lane, ..source }).count();
            let x = plane(source);
            match run {
                1 => lanes::<T, 1>(x, source.lane, y, lane),
                2 => lanes::<T, 2>(x, source.lane, y, lane),
                3 => lanes::<T, 3>(x, source.lane, y, lane),
                4 => lanes::<T, 4>(x, source.lane, y, lane),
                5 => lanes::<T, 5>(x, source.lane, y, lane),
                6 => lanes::<T, 6>(x, source.lane, y, lane),
                7 => lanes::<T, 7>(x, source.lane, y, lane),
                _ => lanes::<T, 8>(x, source.lane, y, lane),
            }
            lane += run;
        }
    }
}

/// Copies `N` lanes of every pixel.
fn lanes<T: Pod + Send + Sync, const N: usize>(x: &[T], from: usize, y: &mut [T], to: usize) {
    for (x, y) in x.chunks_exact(LANES).zip(y.chunks_exact_mut(LANES)) {
        y[to..to + N].copy_from_slice(&x[from..from + N]);
    }
}
