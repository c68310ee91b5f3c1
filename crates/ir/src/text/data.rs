//! The data of constants in the text form.

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};
use paring_core::{DType, Tensor};

/// Constants of at most this many elements are written out.
const INLINE: usize = 16;

/// The elements, one by one.
pub(super) fn written_out(t: &Tensor) -> String {
    format!("[{}]", numbers(t).join(", "))
}

/// What follows the `=` of a constant.
pub(super) fn print(t: &Tensor) -> String {
    if t.len() <= INLINE {
        return written_out(t);
    }
    let bytes = t.bytes();
    let width = t.dtype().bits() / 8;
    if width > 0 && bytes.chunks_exact(width).all(|c| c == &bytes[..width]) {
        let first = Tensor::from_bytes(t.dtype(), &[1], &bytes[..width]);
        if let Some(n) = first.ok().and_then(|f| numbers(&f).into_iter().next()) {
            return format!("splat {n}");
        }
    }
    format!("opaque fnv64:{:016x}", fnv64(bytes))
}

fn numbers(t: &Tensor) -> Vec<String> {
    if t.dtype() == DType::U64 {
        return t.elements::<u64>().map(|e| e.iter().map(ToString::to_string).collect()).unwrap_or_default();
    }
    if t.dtype() == DType::F32 {
        // In its own precision: 0.1 rather than 0.10000000149011612.
        return t.elements::<f32>().map(|e| e.iter().map(|x| format!("{x:?}")).collect()).unwrap_or_default();
    }
    match t.to_i64s() {
        Some(n) => n.iter().map(ToString::to_string).collect(),
        None => t.to_f64s().unwrap_or_default().iter().map(|x| format!("{x:?}")).collect(),
    }
}

/// The hash of Fowler, Noll and Vo (FNV-1a, 64 bits).
fn fnv64(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h, &b| (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// Appends one element, given as a number in the text. `None` where it does not fit the type.
pub(super) fn push_number(out: &mut Vec<u8>, dtype: DType, text: &str) -> Option<()> {
    macro_rules! integer {
        ($t:ty) => {
            out.extend_from_slice(&text.parse::<$t>().ok()?.to_ne_bytes())
        };
    }
    match dtype {
        DType::F32 => out.extend_from_slice(&text.parse::<f32>().ok()?.to_ne_bytes()),
        DType::F64 => out.extend_from_slice(&text.parse::<f64>().ok()?.to_ne_bytes()),
        DType::F16 => out.extend_from_slice(&f16_bits(text.parse().ok()?).to_ne_bytes()),
        DType::BF16 => out.extend_from_slice(&bf16_bits(text.parse().ok()?).to_ne_bytes()),
        DType::I8 => integer!(i8),
        DType::U8 => integer!(u8),
        DType::I16 => integer!(i16),
        DType::U16 => integer!(u16),
        DType::I32 => integer!(i32),
        DType::U32 => integer!(u32),
        DType::I64 => integer!(i64),
        DType::U64 => integer!(u64),
        DType::Bool => out.push(match text {
            "0" | "false" => 0,
            "1" | "true" => 1,
            _ => return None,
        }),
        DType::Sign => out.push(text.parse::<i8>().ok().filter(|n| (-1..=1).contains(n))? as u8),
        _ => return None,
    }
    Some(())
}

/// Bits of the nearest binary16, ties to even.
fn f16_bits(x: f64) -> u16 {
    let sign = if x.is_sign_negative() { 0x8000 } else { 0 };
    let a = libm::fabs(x);
    if x.is_nan() {
        return 0x7e00;
    }
    if a >= 65520.0 {
        return sign | 0x7c00;
    }
    // The step between neighbours: 2^-24 below 2^-14, else 2^(exponent - 10).
    let exponent = if a < 6.103_515_625e-5 { -14 } else { libm::ilogb(a) };
    let steps = libm::rint(libm::scalbn(a, 10 - exponent)) as u16;
    // A normal number has 1024 steps below its first; a carry moves on to the next exponent by itself.
    sign | (steps + ((exponent + 14) as u16) * 1024)
}

/// Bits of the nearest bfloat16, ties to even.
fn bf16_bits(x: f64) -> u16 {
    let bits = (x as f32).to_bits();
    if x.is_nan() {
        return 0x7fc0;
    }
    ((u64::from(bits) + 0x7fff + u64::from((bits >> 16) & 1)) >> 16) as u16
}

/// Pseudo-random elements (SplitMix64): floats in -1..1, signed integers in -8..8, signs in -1..=1, others in 0..16.
pub(super) fn random(dtype: DType, elements: usize, seed: u64) -> Option<Vec<u8>> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    let bytes = dtype.bytes(elements)?;
    let mut out = Vec::new();
    out.try_reserve_exact(bytes).ok()?;
    for _ in 0..elements {
        let r = next();
        // 24 bits fit a binary32 exactly.
        let unit = (r >> 40) as f32 / (1 << 23) as f32 - 1.0;
        let (signed, unsigned) = ((r & 15) as i64 - 8, r & 15);
        match dtype {
            DType::F32 => out.extend_from_slice(&unit.to_ne_bytes()),
            DType::F64 => out.extend_from_slice(&f64::from(unit).to_ne_bytes()),
            DType::F16 => out.extend_from_slice(&f16_bits(unit.into()).to_ne_bytes()),
            DType::BF16 => out.extend_from_slice(&bf16_bits(unit.into()).to_ne_bytes()),
            DType::I8 => out.extend_from_slice(&(signed as i8).to_ne_bytes()),
            DType::I16 => out.extend_from_slice(&(signed as i16).to_ne_bytes()),
            DType::I32 => out.extend_from_slice(&(signed as i32).to_ne_bytes()),
            DType::I64 => out.extend_from_slice(&signed.to_ne_bytes()),
            DType::U8 => out.push(unsigned as u8),
            DType::U16 => out.extend_from_slice(&(unsigned as u16).to_ne_bytes()),
            DType::U32 => out.extend_from_slice(&(unsigned as u32).to_ne_bytes()),
            DType::U64 => out.extend_from_slice(&unsigned.to_ne_bytes()),
            DType::Bool => out.push((unsigned & 1) as u8),
            DType::Sign => out.push(((unsigned % 3) as i8 - 1) as u8),
            _ => return None,
        }
    }
    Some(out)
}
