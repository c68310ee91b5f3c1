//! Convolutions as sums of products, row by row.

use crate::io::{Built, KernelResult, Num, Slot, built, cast_scratch, ensure, problem, with_floats, words};
use crate::walk::product;
use alloc::{format, vec::Vec};
use paring_core::op::{ConvAttrs, ConvTransposeAttrs, Padding};
use paring_core::strides;
use paring_kernel::Problem;

/// One spatial axis.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Axis {
    pub input: usize,
    pub output: usize,
    pub kernel: usize,
    pub stride: usize,
    pub dilation: usize,
    pub before: usize,
    pub after: usize,
}

impl Axis {
    /// The input position of tap `k` of window `o`, if it is not padding.
    #[inline]
    pub fn tap(&self, o: usize, k: usize) -> Option<usize> {
        (o * self.stride + k * self.dilation).checked_sub(self.before).filter(|&i| i < self.input)
    }

    /// The windows whose tap `k` is not padding.
    fn windows(&self, k: usize) -> (usize, usize) {
        let at = k * self.dilation;
        if at >= self.before + self.input {
            return (0, 0);
        }
        let lo = self.before.saturating_sub(at).div_ceil(self.stride);
        let hi = (self.before + self.input - 1 - at) / self.stride + 1;
        (lo.min(self.output), hi.min(self.output))
    }
}

/// The spatial axes of a windowed operator, with all numbers small enough that positions cannot overflow.
pub(crate) fn axes(
    x: &[usize],
    y: &[usize],
    kernel: &[usize],
    stride: &[usize],
    dilation: &[usize],
    padding: &Padding,
) -> KernelResult<Vec<Axis>> {
    let n = x.len().saturating_sub(2);
    ensure(x.len() > 2 && y.len() == x.len(), || format!("shapes {x:?} and {y:?} do not have equal spatial axes"))?;
    ensure(kernel.len() == n && stride.len() == n && dilation.len() == n, || {
        format!("kernel {kernel:?}, stride {stride:?} and dilation {dilation:?} need {n} entries each")
    })?;
    (0..n)
        .map(|a| {
            let (input, output) = (x[a + 2], y[a + 2]);
            ensure(stride[a] > 0 && dilation[a] > 0, || "a stride or dilation is 0".into())?;
            let (before, after) = padding.resolve(a, input, kernel[a], stride[a], dilation[a]);
            let axis =
                Axis { input, output, kernel: kernel[a], stride: stride[a], dilation: dilation[a], before, after };
            let last = output
                .checked_mul(axis.stride)
                .and_then(|o| o.checked_add(axis.kernel.checked_mul(axis.dilation)?))
                .and_then(|o| o.checked_add(before)?.checked_add(after)?.checked_add(input));
            ensure(last.is_some_and(|l| l <= isize::MAX as usize), || format!("the windows of axis {a} overflow"))?;
            Ok(axis)
        })
        .collect()
}

/// `Conv`.
pub(crate) fn conv(p: &Problem, a: &ConvAttrs) -> KernelResult<Built> {
    let (x, w, y) = (Slot::input(p, 0)?, Slot::input(p, 1)?, Slot::output(p, 0)?);
    x.expect_float("the input")?;
    w.expect_float("the weights")?;
    y.expect_float("the output")?;
    let axes = axes(&x.shape, &y.shape, &a.kernel, &a.stride, &a.dilation, &a.padding)?;
    ensure(w.rank() == x.rank() && w.shape[2..] == a.kernel[..], || {
        format!("weights {:?} do not fit kernel {:?}", w.shape, a.kernel)
    })?;
    let (batch, channels, m, depth) = (x.shape[0], x.shape[1], w.shape[0], w.shape[1]);
    let reads = match &a.select {
        Some(s) => s.iter().map(|&c| c as usize).collect(),
        None => (0..channels).collect::<Vec<_>>(),
    };
    ensure(a.groups > 0 && m % a.groups == 0 && Some(reads.len()) == depth.checked_mul(a.groups), || {
        format!("{channels} channels, {} groups and weights {:?} do not fit", a.groups, w.shape)
    })?;
    ensure(reads.iter().all(|&c| c < channels), || format!("a selected channel lies beyond the {channels} of x"))?;
    let per_group = m / a.groups;
    let mut expected = alloc::vec![batch, m];
    for s in &axes {
        let span = (s.kernel.max(1) - 1) * s.dilation + 1;
        let room = (s.input + s.before + s.after).checked_sub(span);
        expected.push(room.map_or(0, |r| r / s.stride + 1));
    }
    y.expect_shape("the output", &expected)?;

    let (last, outer) = axes.split_last().map(|(l, o)| (*l, o.to_vec())).ok_or_else(|| problem("no spatial axis"))?;
    let out_strides = strides(&outer.iter().map(|s| s.output).collect::<Vec<_>>());
    let tap_strides = strides(&a.kernel[..outer.len()]);
    let in_strides = strides(&x.shape[2..]);
    let (rows, taps) = (product(&y.shape[2..x.rank() - 1]), product(&a.kernel[..outer.len()]));
    let plane: usize = product(&x.shape[2..]);
    built(words(last.output)?, move |io| {
        let (xv, wv) = (x.view(io), w.view(io));
        let acc = &mut cast_scratch::<f64>(io.scratch())[..last.output];
        let mut out = y.target(io);
        let mut at = 0;
        for n in 0..batch {
            for o in 0..m {
                for row in 0..rows {
                    acc.fill(0.0);
                    for k in 0..depth {
                        let channel = (n * channels + reads[o / per_group * depth + k]) * plane;
                        for tap in 0..taps {
                            let mut place = Some(channel);
                            for (d, s) in outer.iter().enumerate() {
                                let (i, t) = (row / out_strides[d] % s.output, tap / tap_strides[d] % s.kernel);
                                place = place.zip(s.tap(i, t)).map(|(p, i)| p + i * in_strides[d]);
                            }
                            let Some(place) = place else { continue };
                            let weights = ((o * depth + k) * taps + tap) * last.kernel;
                            with_floats!(xv, xs => {
                                let xs = &xs[place..place + last.input];
                                for t in 0..last.kernel {
                                    add_row(acc, xs, wv.f(weights + t), &last, t);
                                }
                            });
                        }
                    }
                    for &v in acc.iter() {
                        out.put_f(at, v);
                        at += 1;
                    }
                }
            }
        }
        Ok(())
    })
}

/// Adds tap `t` with weight `w` to every window of a row.
#[inline]
fn add_row<T: Num>(acc: &mut [f64], x: &[T], w: f64, axis: &Axis, t: usize) {
    let (lo, hi) = axis.windows(t);
    if lo >= hi {
        return;
    }
    let first = lo * axis.stride + t * axis.dilation - axis.before;
    if axis.stride == 1 {
        for (a, &v) in acc[lo..hi].iter_mut().zip(&x[first..]) {
            *a += w * v.to_f();
        }
    } else {
        for (a, &v) in acc[lo..hi].iter_mut().zip(x[first..].iter().step_by(axis.stride)) {
            *a += w * v.to_f();
        }
    }
}

/// `ConvTranspose`, gathered: every output element sums the inputs whose windows reach it.
pub(crate) fn conv_transpose(p: &Problem, a: &ConvTransposeAttrs) -> KernelResult<Built> {
    let (x, w, y) = (Slot::input(p, 0)?, Slot::input(p, 1)?, Slot::output(p, 0)?);
    x.expect_float("the input")?;
    w.expect_float("the weights")?;
    y.expect_float("the output")?;
    let mut axes = axes(&x.shape, &y.shape, &a.kernel, &a.stride, &a.dilation, &Padding::none(x.rank()))?;
    for (d, s) in axes.iter_mut().enumerate() {
        s.before = cut_before(a, d, s)?;
    }
    ensure(w.rank() == x.rank() && w.shape[2..] == a.kernel[..] && w.shape[0] == x.shape[1], || {
        format!("weights {:?} do not fit kernel {:?} and input {:?}", w.shape, a.kernel, x.shape)
    })?;
    let (batch, channels, per_group) = (x.shape[0], x.shape[1], w.shape[1]);
    ensure(a.groups > 0 && channels.is_multiple_of(a.groups), || format!("{channels} channels, {} groups", a.groups))?;
    let m = per_group.checked_mul(a.groups).ok_or_else(|| problem("too many output channels"))?;
    ensure(y.shape[..2] == [batch, m], || format!("output {:?} needs {batch} x {m} planes", y.shape))?;

    let depth = channels / a.groups;
    let (out_strides, in_strides, tap_strides) = (strides(&y.shape[2..]), strides(&x.shape[2..]), strides(&a.kernel));
    let (out_plane, in_plane): (usize, usize) = (product(&y.shape[2..]), product(&x.shape[2..]));
    let taps: usize = product(&a.kernel);
    built(0, move |io| {
        let (xv, wv) = (x.view(io), w.view(io));
        let mut out = y.target(io);
        for at in 0..y.len {
            let (n, o, pos) = (at / out_plane / m, at / out_plane % m, at % out_plane);
            let group = o / per_group;
            let mut sum = 0.0;
            for tap in 0..taps {
                let mut place = Some(0);
                for (d, s) in axes.iter().enumerate() {
                    let reach = pos / out_strides[d] % s.output + s.before;
                    let from = reach.checked_sub(tap / tap_strides[d] % s.kernel * s.dilation);
                    let from = from.filter(|f| f % s.stride == 0).map(|f| f / s.stride).filter(|&f| f < s.input);
                    place = place.zip(from).map(|(p, f)| p + f * in_strides[d]);
                }
                let Some(place) = place else { continue };
                for c in group * depth..(group + 1) * depth {
                    let weight = (c * per_group + o % per_group) * taps + tap;
                    sum += xv.f((n * channels + c) * in_plane + place) * wv.f(weight);
                }
            }
            out.put_f(at, sum);
        }
        Ok(())
    })
}

/// Elements of the full output that are cut off at the beginning of an axis (ONNX, `ConvTranspose`).
fn cut_before(a: &ConvTransposeAttrs, d: usize, s: &Axis) -> KernelResult<usize> {
    let fixed = match (&a.padding, &a.output_shape) {
        (Padding::Explicit { before, .. }, None) => {
            let before = before.get(d).copied().unwrap_or(0);
            ensure(before <= isize::MAX as usize / 2, || format!("padding {before} is too large"))?;
            return Ok(before);
        }
        (_, Some(shape)) => shape.get(d).copied().unwrap_or(s.output),
        (_, None) => s.input.saturating_mul(s.stride),
    };
    let full = s.input.saturating_sub(1).saturating_mul(s.stride);
    let span = s.kernel.saturating_sub(1).saturating_mul(s.dilation).saturating_add(1);
    let extra = a.output_padding.get(d).copied().unwrap_or(0);
    let total = full.saturating_add(span).saturating_add(extra).saturating_sub(fixed);
    let half = total / 2;
    Ok((if a.padding == Padding::SameUpper { half } else { total - half }).min(isize::MAX as usize / 2))
}
