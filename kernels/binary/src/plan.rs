//! What a product of signs multiplies: convolutions and fully connected layers brought to one form.

use core::ops::Range;
use paring_core::{DType, Layout, Op, signs::Weights};
use paring_dense::{
    conv::{Geometry, Halo, View},
    epilogue,
};
use paring_kernel::{Problem, Reject};
use paring_simd::LANES;

/// Channels that one row of packed weights multiplies: two bytes of a pixel.
pub const ROW: usize = 8;
/// Most output channels of a panel.
pub const WIDEST: usize = 64;
/// Rows whose sums sixteen bits hold: a lookup, of which a row takes two, is 8 at most.
const MOST_ROWS: usize = u16::MAX as usize / 16;

/// Output channels that are computed together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Panel {
    /// The first.
    pub first: usize,
    /// How many there are.
    pub lanes: usize,
    /// The group they belong to.
    pub group: usize,
    /// The rows that are multiplied, in order: first those in which a weight is zero, twice, then the others. Once such a
    /// weight counts as 1 and once as -1, so that half the sum is what is wanted.
    pub rows: Vec<u32>,
    /// How many rows come twice.
    pub doubled: usize,
}

impl Panel {
    /// Whether place `at` of the [rows](Panel::rows) is the second of a row that comes twice.
    pub fn is_second(&self, at: usize) -> bool {
        (self.doubled..2 * self.doubled).contains(&at)
    }
}

/// A problem that is served here.
pub struct Plan {
    pub geometry: Geometry,
    /// The input as it is read: pixels of [`Plan::pixel`] bytes.
    pub view: View,
    pub weights: Weights,
    pub panels: Vec<Panel>,
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
        if g.depth.div_ceil(ROW).saturating_mul(g.taps) > MOST_ROWS {
            return Err("the sum is too long for sixteen bits".into());
        }
        if epilogue::fusable(p, g.outputs) < p.epilogue.len() {
            return Err("a step of the epilogue is none that products of signs end with".into());
        }
        let pixel = g.inputs.div_ceil(ROW) * 2;
        let view = View { lanes: pixel, planes: 1, ..g.view(1) };
        let panels = (0..g.groups).flat_map(|group| {
            let (first, end) = (group * each, (group + 1) * each);
            (first..end).step_by(WIDEST).map(move |at| (group, at..end.min(at + WIDEST)))
        });
        let panels: Vec<Panel> =
            panels.map(|(group, outputs)| panel(&geometry, &weights, &elements, group, outputs)).collect();
        if panels.iter().any(|p| 2 * p.doubled > MOST_ROWS) {
            return Err("the sum has too many weights of zero for sixteen bits".into());
        }
        Ok(Plan { geometry, view, weights, panels, is_matrix })
    }

    /// Eights of input channels of a group.
    pub fn eights(&self) -> usize {
        self.geometry.depth.div_ceil(ROW)
    }

    /// For each row of a panel the bytes from a pixel's first to the two that it multiplies.
    pub fn offsets<'a>(&'a self, panel: &'a Panel) -> impl Iterator<Item = usize> + 'a {
        let strides = self.view.strides();
        panel.rows.iter().map(move |&row| {
            let (tap, eight) = (row as usize / self.eights(), row as usize % self.eights());
            let at = self.geometry.phases[0].taps[tap].at;
            let at: usize = at.iter().zip(strides).map(|(a, s)| a * s).sum();
            at + 2 * (panel.group * self.eights() + eight)
        })
    }

    /// For the eight channels of row `at` of a panel the bits that say whether a weight counts as -1.
    pub fn bits(&self, elements: &[f32], panel: &Panel, column: usize, at: usize) -> u8 {
        let (row, second) = (panel.rows[at] as usize, panel.is_second(at));
        let (tap, eight) = (row / self.eights(), row % self.eights());
        let channels = eight * ROW..self.geometry.depth.min((eight + 1) * ROW);
        channels.fold(0, |bits, k| {
            let w = elements[self.weights.at(panel.first + column, k, tap)];
            let negative = w < 0.0 || (second && w == 0.0);
            bits | u8::from(negative) << (k % ROW)
        })
    }

    /// What a sum of each output channel stands for, for so many columns.
    pub fn scale(&self, columns: usize) -> Vec<f32> {
        let mut scale = self.weights.magnitudes.clone();
        scale.resize(columns, 0.0);
        scale
    }

    /// Multiply-adds of a pixel, those of padding channels included.
    pub fn macs_per_pixel(&self) -> usize {
        let each = |p: &Panel| p.lanes.next_multiple_of(WIDEST / 2) * p.rows.len();
        self.panels.iter().map(each).sum::<usize>() * ROW
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

/// The panel of some output channels of a group.
fn panel(g: &Geometry, w: &Weights, elements: &[f32], group: usize, outputs: Range<usize>) -> Panel {
    let eights = g.depth.div_ceil(ROW);
    let mut has_zero = vec![false; g.taps * eights];
    for m in outputs.clone().filter(|&m| w.with_zeros[m]) {
        for k in 0..g.depth {
            for tap in 0..g.taps {
                has_zero[tap * eights + k / ROW] |= elements[w.at(m, k, tap)] == 0.0;
            }
        }
    }
    let of =
        |zero: bool| (0..has_zero.len() as u32).filter(|&row| has_zero[row as usize] == zero).collect::<Vec<u32>>();
    let doubled = of(true);
    let rows = [&doubled[..], &doubled, &of(false)].concat();
    Panel { first: outputs.start, lanes: outputs.len(), group, rows, doubled: doubled.len() }
}

/// A matrix product as a convolution of single pixels.
fn matrix(x: &[usize], y: &[usize], w: &Weights) -> Result<Geometry, Reject> {
    let (&[rows, depth], outputs) = (x, w.magnitudes.len()) else {
        return Err("only matrices".into());
    };
    if depth != w.inputs || *y != [rows, outputs] {
        return Err("the shapes contradict each other".into());
    }
    Ok(Geometry::pointwise(rows, [1; 3], depth, outputs))
}
