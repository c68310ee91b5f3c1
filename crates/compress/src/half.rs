//! Weights in sixteen bits: the file halves, and the network computes in `f32` as before.

use crate::measure::decibel;
use crate::net::{BFLOAT16, FLOAT, FLOAT16, Net, tensor};
use crate::rewrite::{Rewriter, constants, int};
use crate::{Error, Result};
use ::half::{bf16, f16};
use bytes::Bytes;
use paring::Model;
use paring_onnx::proto::TensorProto;
use serde::Serialize;

/// Constants of fewer elements stay: the node that widens them would take as many bytes as they lose.
const LEAST: usize = 128;
/// Noise to signal beyond which a tensor is too small for the format: the coarsest normal numbers of both are 40 dB better.
const MOST_NOISE: f64 = 1e-4;

/// A format of sixteen bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum HalfFormat {
    /// Eleven significant bits, numbers up to 65504.
    #[default]
    F16,
    /// Eight significant bits, as wide a range as `f32`.
    Bf16,
}

impl HalfFormat {
    fn onnx(self) -> i32 {
        match self {
            HalfFormat::F16 => FLOAT16,
            HalfFormat::Bf16 => BFLOAT16,
        }
    }

    /// The bits, and what they stand for.
    fn round(self, x: f32) -> (u16, f32) {
        match self {
            HalfFormat::F16 => (f16::from_f32(x).to_bits(), f16::from_f32(x).to_f32()),
            HalfFormat::Bf16 => (bf16::from_f32(x).to_bits(), bf16::from_f32(x).to_f32()),
        }
    }

    /// The largest number, and the least that has all significant bits.
    fn range(self) -> [f32; 2] {
        match self {
            HalfFormat::F16 => [f16::MAX.to_f32(), f16::MIN_POSITIVE.to_f32()],
            HalfFormat::Bf16 => [bf16::MAX.to_f32(), bf16::MIN_POSITIVE.to_f32()],
        }
    }
}

/// One constant of `f32` of two axes or more, or of many elements.
#[derive(Clone, Debug, Serialize)]
pub struct HalfTensor {
    /// Its name.
    pub name: String,
    /// Numbers in it.
    pub elements: usize,
    /// Why it stays in `f32`, where it does.
    pub kept: Option<String>,
    /// The largest error relative to the number, among those that have all significant bits.
    pub max_relative_error: f64,
    /// Signal to noise in dB; `None` where it is exact or stays.
    pub sqnr_db: Option<f64>,
    /// Numbers below those with all significant bits, zeros apart.
    pub small: usize,
}

/// What halving did.
#[derive(Clone, Debug, Serialize)]
pub struct HalfReport {
    /// The format of the weights.
    pub format: HalfFormat,
    /// Every constant that was looked at.
    pub tensors: Vec<HalfTensor>,
    /// Constants that stay because they are small or vectors (biases, norms), and the bytes of them.
    pub small_constants: usize,
    /// Bytes of those.
    pub small_bytes: usize,
    /// Bytes of the weights that were converted.
    pub weight_bytes_before: usize,
    /// The same afterwards: half of it.
    pub weight_bytes_after: usize,
    /// Bytes of the files.
    pub bytes_before: usize,
    /// Bytes of the file that was made.
    pub bytes_after: usize,
    /// The largest relative error of all.
    pub max_relative_error: f64,
}

/// A model with halved weights.
#[derive(Clone, Debug)]
pub struct Halved {
    /// The bytes of its ONNX file.
    pub model: Vec<u8>,
    /// What was done.
    pub report: HalfReport,
}

/// Stores the weights of an ONNX model in sixteen bits, each with a `Cast` to `f32` after it. Vectors (biases, norms) and
/// constants of under 128 numbers stay, as do weights that the format cannot hold.
///
/// # Errors
/// [`Error`] where the model cannot be opened, or has nothing to convert.
pub fn to_half(model: Vec<u8>, format: HalfFormat) -> Result<Halved> {
    let bytes = Bytes::from(model);
    Model::from_vec(bytes.to_vec())?;
    let net = Net::decode(bytes.clone())?;
    let mut rewriter = Rewriter::of(&net);
    let mut report = HalfReport {
        format,
        tensors: Vec::new(),
        small_constants: 0,
        small_bytes: 0,
        weight_bytes_before: 0,
        weight_bytes_after: 0,
        bytes_before: bytes.len(),
        bytes_after: 0,
        max_relative_error: 0.0,
    };
    for (name, proto) in constants(&net) {
        let Some(values) = floats(&proto) else { continue };
        if proto.dims.len() < 2 || values.len() < LEAST {
            report.small_constants += 1;
            report.small_bytes += 4 * values.len();
            continue;
        }
        let (found, halves) = convert(&name, &values, format);
        if found.kept.is_none() {
            let dims: Vec<usize> = proto.dims.iter().map(|&d| d as usize).collect();
            report.weight_bytes_before += 4 * values.len();
            report.weight_bytes_after += halves.len();
            report.max_relative_error = report.max_relative_error.max(found.max_relative_error);
            rewriter.remove(&name);
            let half = rewriter.constant(tensor(&format!("{name}.half"), format.onnx(), &dims, halves));
            rewriter.node_to("Cast", &[&half], &[int("to", FLOAT.into())], &name);
        }
        report.tensors.push(found);
    }
    if report.weight_bytes_after == 0 {
        return Err(Error::NothingToHalve(why_nothing(&report)));
    }
    let model = rewriter.finish().encode();
    Model::from_vec(model.clone())?;
    report.bytes_after = model.len();
    Ok(Halved { model, report })
}

fn why_nothing(report: &HalfReport) -> String {
    match report.tensors.iter().find_map(|t| Some((&t.name, t.kept.as_ref()?))) {
        Some((name, why)) => format!("'{name}' {why}"),
        None => "no constant of f32 has two axes and 128 numbers".into(),
    }
}

fn floats(proto: &TensorProto) -> Option<Vec<f32>> {
    if proto.data_type != FLOAT {
        return None;
    }
    Some(paring_onnx::tensor_of(proto).ok()?.elements::<f32>()?.into_owned())
}

/// What becomes of a constant, and the bytes of it.
fn convert(name: &str, values: &[f32], format: HalfFormat) -> (HalfTensor, Vec<u8>) {
    let [largest, least] = format.range();
    let mut found = HalfTensor {
        name: name.into(),
        elements: values.len(),
        kept: None,
        max_relative_error: 0.0,
        sqnr_db: None,
        small: 0,
    };
    let mut bytes = Vec::with_capacity(2 * values.len());
    let (mut signal, mut noise) = (0f64, 0f64);
    for (i, &x) in values.iter().enumerate() {
        let (bits, rounded) = format.round(x);
        if !rounded.is_finite() {
            let what = if x.is_finite() { format!("beyond {largest}, the most it holds") } else { "no number".into() };
            found.kept = Some(format!("stays in f32: element {i} is {x}, {what}"));
            return (found, bytes);
        }
        let off = f64::from(rounded) - f64::from(x);
        signal += f64::from(x).powi(2);
        noise += off * off;
        if x.abs() >= least {
            found.max_relative_error = found.max_relative_error.max(off.abs() / f64::from(x.abs()));
        } else {
            found.small += usize::from(x != 0.0);
        }
        bytes.extend(bits.to_le_bytes());
    }
    found.sqnr_db = decibel(signal, noise);
    if noise > MOST_NOISE * signal {
        let off =
            found.sqnr_db.map_or("nothing would be left of it".into(), |db| format!("only {db:.0} dB would be left"));
        found.kept = Some(format!("stays in f32: its numbers are below {least:e}, {off}"));
    }
    (found, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_within_half_a_step() {
        let values: Vec<f32> = (1..2000).map(|i| (i as f32 * 0.37).sin() * 3.0).collect();
        for (format, step) in [(HalfFormat::F16, 2f64.powi(-11)), (HalfFormat::Bf16, 2f64.powi(-8))] {
            let (found, bytes) = convert("w", &values, format);
            assert_eq!((found.kept, bytes.len()), (None, 2 * values.len()));
            assert!(found.max_relative_error > step / 2.0 && found.max_relative_error <= step, "{format:?}");
        }
        assert_eq!(convert("w", &[0.5, -2.0], HalfFormat::F16).1, [0x00, 0x38, 0x00, 0xc0]);
    }

    #[test]
    fn what_does_not_fit_stays() {
        let kept = |values: &[f32], format| convert("w", values, format).0.kept;
        assert_eq!(kept(&[65504.0, 1.0], HalfFormat::F16), None);
        let beyond = kept(&[1.0, 65520.0], HalfFormat::F16).unwrap();
        assert!(beyond.contains("element 1 is 65520") && beyond.contains("65504"), "{beyond}");
        assert_eq!(kept(&[1.0, 65520.0], HalfFormat::Bf16), None);
        for bad in [f32::NAN, f32::INFINITY] {
            assert!(kept(&[bad], HalfFormat::Bf16).unwrap().contains("no number"));
        }
        assert!(kept(&[1e-9; 4], HalfFormat::F16).unwrap().contains("below"));
        assert!(kept(&[f32::MAX], HalfFormat::Bf16).is_some(), "it rounds to infinity");
        // A few small numbers beside large ones do no harm, and are counted.
        let (found, _) = convert("w", &[1.0, 1e-9, 0.0], HalfFormat::F16);
        assert_eq!((found.kept, found.small), (None, 1));
    }
}
