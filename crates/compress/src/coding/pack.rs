//! Codes of any width in bytes, and the tables that take bytes apart again.
//!
//! A byte holds fields of one, two or four bits, the first in its low bits. Codes of other widths are the sum of such, each
//! kind of field in bytes of its own: five bits are four and one. A table of 256 rows has the values of the fields of every
//! byte, so that one `Gather` unpacks.

use paring_onnx::proto::TensorProto;

use crate::net::{INT8, tensor};

/// Rows of a table.
const BYTES: usize = 256;

/// Some of the bits of all codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plane {
    /// Bits of a field.
    pub width: u32,
    /// Bits of the code below them.
    shift: u32,
    /// Whether they are the highest bits, whose first one counts negative.
    highest: bool,
    /// Whether twice the code and one is wanted, rather than the code.
    odd: bool,
}

impl Plane {
    /// What codes of `bits` bits consist of. The planes add up to the codes, or to twice the code and one.
    pub fn of(bits: u32, odd: bool) -> Vec<Plane> {
        let mut below = bits;
        let mut planes = Vec::new();
        for width in [4, 2, 1] {
            while below >= width {
                below -= width;
                planes.push(Plane { width, shift: below, highest: planes.is_empty(), odd });
            }
        }
        planes
    }

    /// Fields of a byte.
    pub fn fields(self) -> usize {
        8 / self.width as usize
    }

    /// The table, without a name; for other planes it has others.
    pub fn table(self) -> TensorProto {
        let fields = |byte: usize| (0..self.fields()).map(move |i| self.value((byte >> (i as u32 * self.width)) as u8));
        let data = (0..BYTES).flat_map(fields).map(|v| v as u8).collect();
        tensor("", INT8, &[BYTES, self.fields()], data)
    }

    /// A name for the table.
    pub fn name(self) -> String {
        let kind = if self.odd { "odd" } else { "bits" };
        let end = if self.highest { "_signed" } else { "" };
        format!("unpack.{kind}_{}_at_{}{end}", self.width, self.shift)
    }

    /// What this plane adds to the codes whose field is in the low bits of `byte`.
    fn value(self, byte: u8) -> i8 {
        let above = 8 - self.width;
        let field = if self.highest { ((byte << above) as i8) >> above } else { ((byte << above) >> above) as i8 };
        match self.odd {
            false => field << self.shift,
            // One of the planes has the one.
            true => (field << (self.shift + 1)) + i8::from(self.shift == 0),
        }
    }

    /// The fields of all codes.
    pub fn pack(self, codes: &[i8]) -> Vec<u8> {
        let field = |code: i8| code as u8 >> self.shift;
        let byte = |part: &[i8]| {
            let fields = part.iter().enumerate();
            fields.fold(0, |b, (i, &c)| b | (field(c) & ((1 << self.width) - 1)) << (i as u32 * self.width))
        };
        codes.chunks(self.fields()).map(byte).collect()
    }
}

/// Codes of four or two bits in the form of ONNX's own types of that width.
pub fn narrow(codes: &[i8], bits: u32) -> Vec<u8> {
    Plane { width: bits, shift: 0, highest: true, odd: false }.pack(codes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coding::rows::half;

    #[test]
    fn what_was_packed_comes_back() {
        for (bits, odd) in (1..=7).flat_map(|bits| [(bits, false), (bits, true)]).filter(|&(b, odd)| b < 7 || !odd) {
            let codes: Vec<i8> = (0..201).map(|i| (i % (2 * half(bits)) - half(bits)) as i8).collect();
            let mut sums = vec![0i8; codes.len()];
            let mut bytes = 0;
            for plane in Plane::of(bits, odd) {
                let (packed, table) = (plane.pack(&codes), plane.table());
                let values = table.raw_data.unwrap();
                let fields = packed.iter().flat_map(|&b| &values[usize::from(b) * plane.fields()..][..plane.fields()]);
                sums.iter_mut().zip(fields).for_each(|(sum, &v)| *sum += v as i8);
                bytes += packed.len();
            }
            let wanted: Vec<i8> = codes.iter().map(|&c| if odd { 2 * c + 1 } else { c }).collect();
            assert_eq!(sums, wanted, "{bits} bits, {odd}");
            assert!(bytes <= (codes.len() * bits as usize).div_ceil(8) + 2, "{bits} bits: {bytes}");
        }
    }

    #[test]
    fn the_first_code_is_in_the_low_bits() {
        assert_eq!(narrow(&[-1, 7, -8], 4), [0x7f, 0x08]);
        assert_eq!(narrow(&[1, -2, -1, 0, 1], 2), [0b0011_1001, 0b01]);
        assert_eq!(Plane::of(1, true)[0].pack(&[-1, 0, 0, -1]), [0b1001]);
    }
}
