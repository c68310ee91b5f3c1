//! Attributes of convolutions, matrix products and pooling.

use alloc::{string::String, vec::Vec};
use serde::{Deserialize, Serialize};

/// Padding around the spatial axes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Padding {
    /// As many elements before and after each axis.
    Explicit {
        /// Before each axis.
        before: Vec<usize>,
        /// After each axis.
        after: Vec<usize>,
    },
    /// So that the output has `ceil(input / stride)` elements; an odd one goes to the end.
    SameUpper,
    /// As `SameUpper`, but an odd one goes to the beginning.
    SameLower,
}

impl Padding {
    /// No padding on `axes` axes.
    pub fn none(axes: usize) -> Padding {
        Padding::Explicit { before: alloc::vec![0; axes], after: alloc::vec![0; axes] }
    }

    /// Padding before and after an axis of `input` elements under a window of `kernel` elements.
    pub fn resolve(&self, axis: usize, input: usize, kernel: usize, stride: usize, dilation: usize) -> (usize, usize) {
        let total = || {
            let span = kernel.saturating_sub(1).saturating_mul(dilation).saturating_add(1);
            let out = input.div_ceil(stride.max(1));
            out.saturating_sub(1).saturating_mul(stride).saturating_add(span).saturating_sub(input)
        };
        match self {
            Padding::Explicit { before, after } => {
                (before.get(axis).copied().unwrap_or(0), after.get(axis).copied().unwrap_or(0))
            }
            Padding::SameUpper => (total() / 2, total().div_ceil(2)),
            Padding::SameLower => (total().div_ceil(2), total() / 2),
        }
    }
}

/// Attributes of [`super::Op::Conv`]. Channels are axis 1 of `x`; outputs are axis 0 of `w`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConvAttrs {
    /// Kernel extent per spatial axis; equals the trailing dimensions of `w`.
    pub kernel: Vec<usize>,
    /// Step between windows per spatial axis, at least 1.
    pub stride: Vec<usize>,
    /// Step between taps per spatial axis, at least 1.
    pub dilation: Vec<usize>,
    /// Zero padding.
    pub padding: Padding,
    /// Input and output channels fall into this many independent groups, at least 1.
    pub groups: usize,
    /// Input channels to read, in the order the weights want them: weight channel `k` of group `g` reads channel
    /// `select[g * K + k]` of `x`. Absent: channel `g * K + k`. Absorbs channel shuffles, slices and concatenations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub select: Option<Vec<u32>>,
}

impl ConvAttrs {
    /// The extents of the output along the spatial axes for such an input; `None` where a window does not fit in.
    pub fn output(&self, input: &[usize]) -> Option<Vec<usize>> {
        let axis = |(i, &n): (usize, &usize)| {
            let (kernel, stride, dilation) = (*self.kernel.get(i)?, *self.stride.get(i)?, *self.dilation.get(i)?);
            let (before, after) = self.padding.resolve(i, n, kernel, stride, dilation);
            let span = kernel.checked_sub(1)?.checked_mul(dilation)?.checked_add(1)?;
            let room = n.checked_add(before)?.checked_add(after)?.checked_sub(span)?;
            Some(room.checked_div(stride)? + 1)
        };
        input.iter().enumerate().map(axis).collect()
    }
}

/// Attributes of [`super::Op::ConvTranspose`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConvTransposeAttrs {
    /// Kernel extent per spatial axis.
    pub kernel: Vec<usize>,
    /// Step between windows in the output.
    pub stride: Vec<usize>,
    /// Step between taps.
    pub dilation: Vec<usize>,
    /// Elements cut from the full output. The automatic kinds make the output `input * stride`.
    pub padding: Padding,
    /// Extra elements at the end of each output axis.
    pub output_padding: Vec<usize>,
    /// The output's spatial extent where the file fixes it; then the padding follows from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_shape: Option<Vec<usize>>,
    /// Groups.
    pub groups: usize,
}

/// Attributes of [`super::Op::Dense`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct DenseAttrs {
    /// `w` is `[N, K]` rather than `[K, N]`.
    pub transposed: bool,
}

/// Attributes of [`super::Op::Einsum`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EinsumAttrs {
    /// The equation, such as `bij,bjk->bik`; spaces are ignored, `...` is allowed. [`super::Equation`] reads it.
    pub equation: String,
}

/// What a pooling window computes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum PoolKind {
    /// The maximum; padding never wins.
    Max,
    /// The mean.
    Average {
        /// Whether padding counts as elements of the window.
        count_padding: bool,
    },
    /// `(sum |x|^p)^(1/p)`.
    Lp {
        /// The exponent, at least 1.
        p: u32,
    },
}

/// Attributes of [`super::Op::Pool`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PoolAttrs {
    /// Max, average or Lp.
    pub kind: PoolKind,
    /// Window extent per spatial axis.
    pub kernel: Vec<usize>,
    /// Step between windows.
    pub stride: Vec<usize>,
    /// Step between elements of a window.
    pub dilation: Vec<usize>,
    /// Padding.
    pub padding: Padding,
    /// Whether a last, partial window counts (it must start inside the input or its leading padding).
    pub ceil: bool,
    /// Indices of the second output count column-major.
    #[serde(default)]
    pub column_major: bool,
}

impl PoolAttrs {
    /// Maxima of two by two elements side by side, without those that an odd extent leaves over.
    pub fn halving() -> PoolAttrs {
        PoolAttrs {
            kind: PoolKind::Max,
            kernel: alloc::vec![2; 2],
            stride: alloc::vec![2; 2],
            dilation: alloc::vec![1; 2],
            padding: Padding::none(2),
            ceil: false,
            column_major: false,
        }
    }
}

/// What [`super::Op::GlobalPool`] computes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum GlobalPool {
    /// The maximum.
    Max,
    /// The mean.
    Average,
    /// `(sum |x|^p)^(1/p)`.
    Lp {
        /// The exponent, at least 1.
        p: u32,
    },
}

/// Attributes of [`super::Op::MaxUnpool`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MaxUnpoolAttrs {
    /// Window extent of the pooling that is undone.
    pub kernel: Vec<usize>,
    /// Its stride.
    pub stride: Vec<usize>,
    /// Its padding before each axis.
    pub before: Vec<usize>,
    /// Its padding after each axis.
    pub after: Vec<usize>,
}

/// Attributes of [`super::Op::RoiAlign`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RoiAlignAttrs {
    /// Take the maximum of the samples rather than their mean.
    pub max: bool,
    /// Rows of the output.
    pub output_height: usize,
    /// Columns of the output.
    pub output_width: usize,
    /// Samples per output element and axis; 0: as many as the region is large.
    pub sampling_ratio: usize,
    /// Factor from the coordinates of `rois` to those of `x`.
    pub spatial_scale: f32,
    /// Shift coordinates by half a pixel.
    pub half_pixel: bool,
}
