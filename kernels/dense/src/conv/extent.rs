//! The extents of a convolution along any number of spatial axes, checked.

use paring_core::{DType, op::ConvAttrs};
use paring_kernel::{Problem, Reject};

/// A convolution whose operands and attributes fit each other.
#[derive(Clone, Debug)]
pub struct Extent<'a> {
    /// Samples.
    pub samples: usize,
    /// Input channels.
    pub inputs: usize,
    /// Output channels.
    pub outputs: usize,
    /// Input channels that a group sums over.
    pub depth: usize,
    /// Spatial extent of the input.
    pub input: &'a [usize],
    /// Spatial extent of the output.
    pub output: &'a [usize],
    /// Zeros before the input, per axis.
    pub before: Vec<usize>,
    /// Spatial extent of the input with its zeros, as far as it is read.
    pub padded: Vec<usize>,
}

impl<'a> Extent<'a> {
    /// The extent of `p`, whose operator has the attributes `a`.
    ///
    /// # Errors
    /// [`Reject`] where shapes and attributes contradict each other.
    pub fn of(p: &'a Problem, a: &ConvAttrs) -> Result<Extent<'a>, Reject> {
        let [x, w, y] = shapes(p)?;
        let axes = x.len() - 2;
        attributes(axes, &w[2..], [&a.kernel, &a.stride, &a.dilation])?;
        let depth = w[1];
        let channels = match &a.select {
            Some(s) => s.len(),
            None => x[1],
        };
        if a.groups == 0
            || !y[1].is_multiple_of(a.groups)
            || w[0] != y[1]
            || y[0] != x[0]
            || Some(channels) != depth.checked_mul(a.groups)
            || a.select.iter().flatten().any(|&c| c as usize >= x[1])
        {
            return Err(Reject::because("channels, groups and weights contradict each other"));
        }
        let mut before = vec![0; axes];
        let mut padded = vec![0; axes];
        for i in 0..axes {
            let contradiction = || Reject::because("the output's extent contradicts the attributes");
            let (first, last) = a.padding.resolve(i, x[2 + i], a.kernel[i], a.stride[i], a.dilation[i]);
            let span = (a.kernel[i] - 1).checked_mul(a.dilation[i]).ok_or_else(contradiction)?;
            let reach = (y[2 + i] - 1).checked_mul(a.stride[i]).and_then(|r| r.checked_add(span)?.checked_add(1));
            let all = x[2 + i].checked_add(first).and_then(|n| n.checked_add(last));
            before[i] = first;
            padded[i] = reach.filter(|&r| all.is_some_and(|all| r <= all)).ok_or_else(contradiction)?;
        }
        let (samples, inputs, outputs) = (x[0], x[1], y[1]);
        Ok(Extent { samples, inputs, outputs, depth, input: &x[2..], output: &y[2..], before, padded })
    }
}

/// The product, where it is far from overflowing.
pub fn product(v: &[usize]) -> Option<usize> {
    v.iter().try_fold(1usize, |n, &d| n.checked_mul(d)).filter(|&n| n <= isize::MAX as usize / 64)
}

/// The shapes of `x`, `w` and the output, checked to be of one rank with spatial axes.
pub fn shapes(p: &Problem) -> Result<[&[usize]; 3], Reject> {
    let missing = || Reject::because("an operand is missing");
    let (x, w) = (p.input(0).ok_or_else(missing)?, p.input(1).ok_or_else(missing)?);
    let y = p.output(0).ok_or_else(|| Reject::because("nobody wants the output"))?;
    let rank = x.shape.len();
    if rank < 3 || w.shape.len() != rank || y.shape.len() != rank {
        return Err(Reject::because("no spatial axes, or not the same for all operands"));
    }
    if [x, w, y].iter().any(|o| o.shape.contains(&0) || product(&o.shape).is_none()) {
        return Err(Reject::because("an operand is empty"));
    }
    Ok([&x.shape, &w.shape, &y.shape])
}

/// Refuses problems of anything but `f32`.
pub fn only_f32(p: &Problem) -> Result<(), Reject> {
    let operands = [p.input(0), p.input(1), p.output(0)];
    match operands.iter().flatten().all(|o| o.dtype == DType::F32) {
        true => Ok(()),
        false => Err(Reject::because("only f32")),
    }
}

/// Checks that spatial attributes have one entry of at least 1 per axis.
pub fn attributes(axes: usize, kernel: &[usize], lists: [&[usize]; 3]) -> Result<(), Reject> {
    if lists[0] != kernel || lists.iter().any(|l| l.len() != axes || l.contains(&0)) {
        return Err(Reject::because("attributes contradict the weights"));
    }
    Ok(())
}
