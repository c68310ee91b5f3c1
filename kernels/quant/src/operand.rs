//! Quantised operands as the kernels here read them.

use paring_core::{DType, Quant, normalize_axis};
use paring_kernel::{Operand, Reject};
use paring_simd::Simd;

/// What the bytes of a tensor stand for: `scale * (byte - zero_point)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bytes {
    /// Whether the bytes are `i8` rather than `u8`.
    pub signed: bool,
    pub scale: f32,
    pub zero_point: i32,
}

impl Bytes {
    /// Of an operand with one scale for all of it.
    ///
    /// # Errors
    /// [`Reject`] where it is none.
    pub fn of(o: &Operand) -> Result<Bytes, Reject> {
        let signed = match o.dtype {
            DType::U8 => false,
            DType::I8 => true,
            other => return Err(Reject::from(format!("only bytes, found {other}"))),
        };
        let whole = o.quant.as_ref().and_then(Quant::whole);
        let (scale, zero_point) = whole.ok_or_else(|| Reject::because("no scale for the whole tensor"))?;
        Ok(Bytes { signed, scale, zero_point })
    }

    /// The byte that stands for zero.
    pub fn zero(&self) -> u8 {
        self.zero_point as u8
    }

    /// Whether [`paring_simd::Bytes::dot`] sees these bytes with their uppermost bits turned.
    pub fn turned<S: Simd>(&self) -> bool {
        self.signed != S::SIGNED
    }

    /// What the products of [`paring_simd::Bytes::dot`] are too large by for each unit of weight.
    pub fn offset<S: Simd>(&self) -> i32 {
        let more = match (self.turned::<S>(), self.signed) {
            (false, _) => 0,
            (true, true) => 128,
            (true, false) => -128,
        };
        self.zero_point + more
    }

    /// The least and the largest byte, as numbers.
    pub fn range(&self) -> (f32, f32) {
        let (least, most) = range(self.signed);
        (least as f32, most as f32)
    }
}

/// Scale and zero point of each output channel of constant weights.
#[derive(Clone, Debug)]
pub struct Channels {
    pub scale: Vec<f32>,
    pub zero_point: Vec<i32>,
}

impl Channels {
    /// Of weights whose output channels run along `axis`.
    ///
    /// # Errors
    /// [`Reject`] where they are quantised along another axis, or not at all.
    pub fn of(w: &Operand, axis: usize) -> Result<Channels, Reject> {
        let range = w.dtype.byte_range();
        let range = range.ok_or_else(|| Reject::from(format!("only weights of bytes, found {}", w.dtype)))?;
        let quant = w.quant.as_ref().ok_or_else(|| Reject::because("the weights are not quantised"))?;
        if quant.zero_point.iter().any(|z| !range.contains(z)) {
            return Err(Reject::because("a zero point of the weights is no such byte as they are"));
        }
        let channels = w.shape.get(axis).copied().unwrap_or(0);
        if let Some((scale, zero_point)) = quant.whole() {
            return Ok(Channels { scale: vec![scale; channels], zero_point: vec![zero_point; channels] });
        }
        let along = quant.axis.and_then(|a| normalize_axis(a as i64, w.shape.len()).ok());
        if along != Some(axis) || quant.scale.len() != channels || quant.zero_point.len() != channels {
            return Err(Reject::because("the weights have scales along another axis than their output channels"));
        }
        Ok(Channels { scale: quant.scale.clone(), zero_point: quant.zero_point.clone() })
    }

    /// What a product of these weights with bytes of `x` stands for, channel by channel.
    pub fn products(&self, x: Bytes) -> Vec<f32> {
        self.scale.iter().map(|w| w * x.scale).collect()
    }

    /// Whether all zero points are zero.
    pub fn are_zero(&self) -> bool {
        self.zero_point.iter().all(|&z| z == 0)
    }

    /// Names what packed weights depend on besides their bytes.
    pub fn packed_as(&self) -> String {
        if self.are_zero() { String::new() } else { format!("-z{:?}", self.zero_point) }
    }
}

/// The least and the largest integer that a byte is.
pub fn range(signed: bool) -> (i32, i32) {
    if signed { (-128, 127) } else { (0, 255) }
}

/// The integer that a byte is.
#[inline(always)]
pub fn integer(byte: u8, signed: bool) -> i32 {
    if signed { i32::from(byte as i8) } else { i32::from(byte) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use paring_core::Quant;

    #[test]
    fn zero_points_beyond_a_byte_are_refused() {
        let weights = |dtype, zero_point| Operand {
            quant: Some(Quant::per_tensor(1.0, zero_point)),
            ..Operand::new(dtype, &[4, 4])
        };
        for (dtype, within, beyond) in [(DType::I8, [-128, 127], [-129, 128]), (DType::U8, [0, 255], [-1, 5000])] {
            assert!(within.iter().all(|&z| Channels::of(&weights(dtype, z), 0).is_ok()));
            assert!(beyond.iter().all(|&z| Channels::of(&weights(dtype, z), 0).is_err()));
        }
    }
}
