//! Numbers that are -1, 0 or 1, and how they are packed.

use crate::{Op, Tensor};
use alloc::{vec, vec::Vec};

/// Numbers in a byte of [`Layout::Signs`](crate::Layout::Signs).
pub const PER_BYTE: usize = 4;

/// The byte of four zeros.
pub const ZEROS: u8 = 80;

/// Four numbers in a byte: twice the number whose digits to base 3 are each more by one, the first counting least. Twice,
/// so that eight times the byte is the place of an entry in a table of sixteen bytes for each.
///
/// Numbers beyond -1 to 1 are taken for the nearest.
pub const fn pack(d: [i8; PER_BYTE]) -> u8 {
    let (mut byte, mut weight, mut i) = (0, 2, 0);
    while i < PER_BYTE {
        byte += weight * (d[i].signum() + 1) as u8;
        // The last product is not used, and would not fit.
        weight = weight.wrapping_mul(3);
        i += 1;
    }
    byte
}

/// The four numbers of a byte that [`pack`] made; some of -1 to 1 for any other byte.
pub const fn unpack(byte: u8) -> [i8; PER_BYTE] {
    let (mut rest, mut d, mut i) = (byte / 2, [0; PER_BYTE], 0);
    while i < PER_BYTE {
        d[i] = (rest % 3) as i8 - 1;
        rest /= 3;
        i += 1;
    }
    d
}

/// How far apart weights lie in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strides {
    /// From one output channel to the next.
    pub output: usize,
    /// From one input channel of a group to the next.
    pub input: usize,
    /// From one position of the window to the next.
    pub tap: usize,
}

/// Weights that are signs times a magnitude for each output channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights {
    /// The magnitude of each output channel.
    pub magnitudes: Vec<f32>,
    /// Output channels of some magnitude that have weights of zero.
    pub with_zeros: Vec<bool>,
    /// Input channels of a group.
    pub inputs: usize,
    /// Positions of the window.
    pub taps: usize,
    /// Where they are.
    pub strides: Strides,
}

impl Weights {
    /// Of a `Conv` or `Dense`; `None` where `w` are no such weights.
    pub fn of(op: &Op, w: &Tensor) -> Option<Weights> {
        let numbers = w.elements::<f32>()?;
        let (outputs, inputs, taps, strides) = match (op, w.shape()) {
            (Op::Conv(_), &[m, c, ref kernel @ ..]) => {
                let taps = crate::numel(kernel).ok()?;
                (m, c, taps, Strides { output: c * taps, input: taps, tap: 1 })
            }
            (Op::Dense(a), &[n, k]) if a.transposed => (n, k, 1, Strides { output: k, input: 1, tap: 0 }),
            (Op::Dense(_), &[k, n]) => (n, k, 1, Strides { output: 1, input: n, tap: 0 }),
            _ => return None,
        };
        if numbers.is_empty() {
            return None;
        }
        let (mut magnitudes, mut with_zeros) = (vec![0.0; outputs], vec![false; outputs]);
        // Weights of one output channel follow each other, or take turns: one pass over memory either way.
        let runs = || numbers.chunks_exact(strides.output).zip((0..outputs).cycle());
        for (run, m) in runs() {
            magnitudes[m] = run.iter().fold(magnitudes[m], |most: f32, w| if w.abs() > most { w.abs() } else { most });
        }
        for (run, m) in runs() {
            let magnitude = magnitudes[m];
            let (mut others, mut zeros) = (0usize, 0usize);
            for w in run {
                others += usize::from(w.abs() != magnitude);
                zeros += usize::from(*w == 0.0);
            }
            // What is not a number is neither.
            if others > zeros || (magnitude == 0.0 && zeros < run.len()) || magnitude.is_infinite() {
                return None;
            }
            with_zeros[m] |= magnitude != 0.0 && zeros > 0;
        }
        Some(Weights { magnitudes, with_zeros, inputs, taps, strides })
    }

    /// The element of an output channel, an input channel of its group and a position.
    pub fn at(&self, output: usize, input: usize, tap: usize) -> usize {
        output * self.strides.output + input * self.strides.input + tap * self.strides.tap
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::{ConvAttrs, DenseAttrs, Padding};

    #[test]
    fn four_numbers_come_back() {
        assert_eq!(pack([0; 4]), ZEROS);
        let mut seen = [false; 256];
        for n in 0..81usize {
            let d = [n % 3, n / 3 % 3, n / 9 % 3, n / 27].map(|d| d as i8 - 1);
            let byte = pack(d);
            assert!(byte.is_multiple_of(2) && !core::mem::replace(&mut seen[byte as usize], true));
            assert_eq!(unpack(byte), d);
        }
        assert_eq!(pack([7, -7, 0, 1]), pack([1, -1, 0, 1]));
        assert!((0..=255).all(|b| unpack(b).iter().all(|d| (-1..=1).contains(d))));
    }

    #[test]
    fn one_magnitude_or_none() {
        let of = |w: &[f32]| {
            let w = Tensor::new(&[1, w.len()], w).unwrap();
            Weights::of(&Op::Dense(DenseAttrs { transposed: true }), &w).map(|w| (w.magnitudes[0], w.with_zeros[0]))
        };
        assert_eq!(of(&[2.0, -2.0, 0.0]), Some((2.0, true)));
        assert_eq!(of(&[2.0, -2.0]), Some((2.0, false)));
        assert_eq!(of(&[0.0, -0.0]), Some((0.0, false)));
        for bad in [&[2.0, 1.0][..], &[f32::NAN, 1.0], &[1.0, f32::NAN], &[f32::INFINITY, 1.0], &[f32::NAN], &[]] {
            assert_eq!(of(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn weights_by_output_channel() {
        let w = Tensor::new(&[2, 3], &[1.0f32, -1.0, 1.0, 0.5, 0.0, -0.5]).unwrap();
        let of = |transposed| Weights::of(&Op::Dense(DenseAttrs { transposed }), &w);
        assert_eq!(of(true).map(|w| w.magnitudes), Some(vec![1.0, 0.5]));
        assert_eq!(of(false), None, "1 and 0.5 in a column");
        let w = Tensor::new(&[2, 1, 1, 2], &[3.0f32, -3.0, 0.0, 0.0]).unwrap();
        let line = ConvAttrs {
            kernel: vec![1, 2],
            stride: vec![1, 1],
            dilation: vec![1, 1],
            padding: Padding::none(2),
            groups: 1,
            select: None,
        };
        let weights = Weights::of(&Op::Conv(line), &w).unwrap();
        assert_eq!((&weights.magnitudes[..], weights.taps, weights.at(1, 0, 1)), (&[3.0, 0.0][..], 2, 3));
    }
}
