//! What a product of signs multiplies: convolutions and fully connected layers brought to one form.

use core::ops::Range;
use paring_core::{DType, Layout, Op, signs::Weights};
use paring_dense::{
    conv::{Geometry, Halo, Phase, Tap, View},
    epilogue,
};
use paring_kernel::{Problem, Reject};
use paring_simd::LANES;

/// Channels that one row of packed weights multiplies: two bytes of a pixel.
pub const ROW: usize = 8;
/// Most output channels of a panel.
pub const WIDEST: usize = 64;
/// Longest sum that sixteen bits hold, of both planes.
const MOST_TERMS: usize = i16::MAX as usize;

/// Output channels that are computed together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Panel {
    /// The first.
    pub first: usize,
    /// How many there are.
    pub lanes: usize,
    /// The group they belong to.
    pub group: usize,
}

/// A problem that is served here.
pub struct Plan {
    pub geometry: Geometry,
    /// The input as it is read: pixels of [`Plan::pixel`] bytes.
    pub view: View,
    pub weights: Weights,
    pub panels: Vec<Panel>,
    /// 1 where no weight is zero; else 2, and the weights are half the sum of those of both.
    pub planes: usize,
    /// Whether the output is a matrix, row by row, rather than blocks of eight channels.
    pub is_matrix: bool,
}

impl Plan {
    pub fn of(p: &Problem) -> Result<Plan, Reject> {
        let (Some(x), Some(y)) = (p.input(0), p.output(0)) else { return Err("an operand is missing".into()) };
        if x.dtype != DType::Sign {
            return Err(format!("only signs, found {}", x.dtype).into());
        }
        if y.dtype != DType::F32 {
            return Err(format!("only results of f32, found {}", y.dtype).into());
        }
        let w = p.constant(1).ok_or("the weights are not constant")?;
        let weights = Weights::of(&p.op, w).ok_or("a row of weights has more than one magnitude")?;
        let (geometry, is_matrix) = match &p.op {
            Op::Conv(a) => (Geometry::of_any_conv(p, a)?, false),
            _ => (matrix(&x.shape, &y.shape, &weights)?, true),
        };
        let g = &geometry;
        if g.select.is_some() {
            return Err("channels are not read in order".into());
        }
        let each = g.outputs / g.groups;
        if g.groups > 1 && !(g.depth.is_multiple_of(ROW) && each.is_multiple_of(LANES)) {
            return Err("groups do not have whole eights of channels".into());
        }
        let elements = w.elements::<f32>().ok_or("the weights are not f32")?;
        let has_zeros = (0..g.outputs)
            .filter(|&m| weights.magnitudes[m] != 0.0)
            .any(|m| (0..g.depth).any(|k| (0..g.taps).any(|tap| elements[weights.at(m, k, tap)] == 0.0)));
        let planes = if has_zeros { 2 } else { 1 };
        let terms = g.depth.next_multiple_of(ROW).saturating_mul(g.taps).saturating_mul(planes);
        if terms > MOST_TERMS {
            return Err("the sum is too long for sixteen bits".into());
        }
        if epilogue::fusable(p, g.outputs) < p.epilogue.len() {
            return Err("a step of the epilogue is none that products of signs end with".into());
        }
        let pixel = g.inputs.div_ceil(ROW) * 2;
        let view = View { lanes: pixel, planes: 1, ..g.view(1) };
        let panels = (0..g.groups).flat_map(|group| {
            let (first, end) = (group * each, (group + 1) * each);
            (first..end).step_by(WIDEST).map(move |at| Panel { first: at, lanes: WIDEST.min(end - at), group })
        });
        let panels = panels.collect();
        Ok(Plan { geometry, view, weights, panels, planes, is_matrix })
    }

    /// Eights of input channels of a group.
    pub fn eights(&self) -> usize {
        self.geometry.depth.div_ceil(ROW)
    }

    /// Rows of one plane of a panel: positions, and the eights of channels at each.
    pub fn rows(&self) -> usize {
        self.geometry.taps * self.eights()
    }

    /// For each row of a plane the bytes from a pixel's first to the two that it multiplies, in a group.
    pub fn offsets(&self, group: usize) -> impl Iterator<Item = usize> + '_ {
        let strides = self.view.strides();
        let first = group * self.eights();
        self.geometry.phases[0].taps.iter().flat_map(move |tap| {
            let at: usize = tap.at.iter().zip(strides).map(|(a, s)| a * s).sum();
            (first..first + self.eights()).map(move |eight| at + 2 * eight)
        })
    }

    /// For the eight channels of a row the bits that say whether a weight counts as -1 in a plane; a weight of zero does in
    /// the second.
    pub fn bits(&self, elements: &[f32], output: usize, row: usize, plane: usize) -> u8 {
        let (tap, eight) = (row / self.eights(), row % self.eights());
        let channels = eight * ROW..self.geometry.depth.min((eight + 1) * ROW);
        channels.fold(0, |bits, k| {
            let w = elements[self.weights.at(output, k, tap)];
            let negative = w < 0.0 || (plane == 1 && w == 0.0);
            bits | u8::from(negative) << (k % ROW)
        })
    }

    /// What a sum of each output channel stands for, for so many columns.
    pub fn scale(&self, columns: usize) -> Vec<f32> {
        let mut scale: Vec<f32> = self.weights.magnitudes.iter().map(|m| m / self.planes as f32).collect();
        scale.resize(columns, 0.0);
        scale
    }

    /// Multiply-adds, those of padding channels included.
    pub fn macs(&self) -> usize {
        let g = &self.geometry;
        let pixels = g.samples * g.output.iter().product::<usize>();
        let lanes: usize = self.panels.iter().map(|p| p.lanes.next_multiple_of(WIDEST / 2)).sum();
        pixels * lanes * self.rows() * self.planes * ROW
    }

    /// The copy of the input in a frame of zeros, where it needs one.
    pub fn halo(&self) -> Option<Halo> {
        let g = &self.geometry;
        g.needs_halo().then(|| Halo::new(g.samples, g.input, g.halo, &self.view))
    }

    /// Layouts of the input and of the output.
    pub fn layouts(&self) -> (Layout, Layout) {
        (Layout::Signs, if self.is_matrix { Layout::Plain } else { Layout::Blocked(LANES as u8) })
    }

    /// Names what packed weights depend on besides the constant.
    pub fn packed_format(&self, method: &str) -> String {
        let s = self.weights.strides;
        format!("signs-{method}-g{}-{}-{}-{}", self.geometry.groups, s.output, s.input, s.tap)
    }

    /// The columns of a panel in vectors of eight, two at a time: the first of them in the panel, and how many there are.
    pub fn pairs(panel: &Panel) -> impl Iterator<Item = (Range<usize>, usize)> {
        let lanes = panel.lanes;
        (0..lanes)
            .step_by(2 * LANES)
            .map(move |at| (at..lanes.min(at + 2 * LANES), (lanes - at).div_ceil(LANES).min(2)))
    }
}

/// A matrix product as a convolution of single pixels.
fn matrix(x: &[usize], y: &[usize], w: &Weights) -> Result<Geometry, Reject> {
    let (&[rows, depth], outputs) = (x, w.magnitudes.len()) else {
        return Err("only matrices".into());
    };
    if depth != w.inputs || *y != [rows, outputs] {
        return Err("the shapes contradict each other".into());
    }
    let one = [1; 3];
    let taps = vec![Tap { index: 0, at: [0; 3] }];
    let phase = Phase { grid: one, input_step: one, origin: [0; 3], output_step: one, taps };
    Ok(Geometry {
        samples: rows,
        inputs: depth,
        outputs,
        groups: 1,
        depth,
        select: None,
        input: one,
        output: one,
        taps: 1,
        halo: [0; 3],
        padded: one,
        phases: vec![phase],
        transposed: false,
    })
}
