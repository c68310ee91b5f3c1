//! How far one tensor is from another.

use crate::rank::top_k;
use paring::{DType, Tensor};
use serde::Serialize;

/// What counts as agreement.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Criterion {
    /// Every element: `|a - b| <= atol + rtol * |b|`, as NumPy's `allclose`; NaN equals NaN.
    Elementwise { rtol: f64, atol: f64 },
    /// Root of the mean squared error, relative to that of the reference.
    Rms(f64),
}

/// Absolute tolerance at the least for the outputs of half-width types.
const HALF_ATOL: f64 = 1e-2;

/// The comparison of one output. Figures are absent where the two cannot be compared.
#[derive(Clone, Debug, Serialize)]
pub struct Diff {
    pub name: String,
    pub agree: bool,
    /// Why the two cannot be compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    pub dtype: String,
    pub shape: Vec<usize>,
    pub elements: usize,
    /// Elements beyond the tolerance; `None` under an RMS criterion.
    pub beyond: Option<usize>,
    pub max_abs: Option<f64>,
    pub rms_relative: Option<f64>,
    pub cosine: Option<f64>,
    pub snr_db: Option<f64>,
    /// Share of rows whose best class is the same, for outputs that look like class scores.
    pub top1: Option<f64>,
}

/// Compares `got` with the reference `want`.
pub fn diff(name: &str, got: &Tensor, want: &Tensor, criterion: Criterion) -> Diff {
    let mut d = Diff {
        name: name.to_owned(),
        agree: false,
        reason: None,
        dtype: want.dtype().to_string(),
        shape: want.shape().to_vec(),
        elements: want.len(),
        beyond: None,
        max_abs: None,
        rms_relative: None,
        cosine: None,
        snr_db: None,
        top1: None,
    };
    if got.dtype() != want.dtype() {
        d.reason = Some(format!("type {} where {} is expected", got.dtype(), want.dtype()));
        return d;
    }
    if got.shape() != want.shape() {
        d.reason = Some(format!("shape {:?} where {:?} is expected", got.shape(), want.shape()));
        return d;
    }
    let (Some(a), Some(b)) = (got.to_f64s(), want.to_f64s()) else {
        d.reason = Some(format!("elements of type {} cannot be compared", want.dtype()));
        return d;
    };
    let sums = Sums::of(&a, &b);
    d.max_abs = Some(sums.max_abs);
    d.rms_relative = Some(sums.rms_relative());
    d.cosine = sums.cosine();
    d.snr_db = sums.snr_db();
    d.top1 = top1(&a, &b, want.shape(), want.dtype());
    d.agree = match criterion {
        Criterion::Rms(limit) => sums.rms_relative() <= limit,
        Criterion::Elementwise { rtol, atol } => {
            let half = matches!(want.dtype(), DType::F16 | DType::BF16);
            let atol = if half { atol.max(HALF_ATOL) } else { atol };
            let exact = !want.dtype().is_float() && got.bytes() == want.bytes();
            let beyond = if exact { 0 } else { a.iter().zip(&b).filter(|&(&a, &b)| !close(a, b, rtol, atol)).count() };
            d.beyond = Some(beyond);
            beyond == 0
        }
    };
    d
}

fn close(a: f64, b: f64, rtol: f64, atol: f64) -> bool {
    a == b || (a.is_nan() && b.is_nan()) || (b.is_finite() && (a - b).abs() <= atol + rtol * b.abs())
}

/// Difference in which equal infinities and two NaN cancel.
fn error(a: f64, b: f64) -> f64 {
    if a == b || (a.is_nan() && b.is_nan()) {
        0.0
    } else if a.is_finite() && b.is_finite() {
        a - b
    } else {
        f64::INFINITY
    }
}

/// Sums over both tensors that the figures are made of.
#[derive(Default)]
struct Sums {
    max_abs: f64,
    error2: f64,
    a2: f64,
    b2: f64,
    ab: f64,
}

impl Sums {
    fn of(a: &[f64], b: &[f64]) -> Sums {
        a.iter().zip(b).fold(Sums::default(), |mut s, (&a, &b)| {
            let e = error(a, b);
            s.max_abs = s.max_abs.max(e.abs());
            s.error2 += e * e;
            if a.is_finite() && b.is_finite() {
                s.a2 += a * a;
                s.b2 += b * b;
                s.ab += a * b;
            }
            s
        })
    }

    fn rms_relative(&self) -> f64 {
        if self.error2 == 0.0 { 0.0 } else { (self.error2 / self.b2).sqrt() }
    }

    /// `None` where a tensor is zero, so has no direction.
    fn cosine(&self) -> Option<f64> {
        (self.a2 > 0.0 && self.b2 > 0.0).then(|| (self.ab / (self.a2.sqrt() * self.b2.sqrt())).clamp(-1.0, 1.0))
    }

    /// `None` without signal or without noise.
    fn snr_db(&self) -> Option<f64> {
        (self.error2 > 0.0 && self.b2 > 0.0).then(|| 10.0 * (self.b2 / self.error2).log10())
    }
}

/// Agreement of the best class of each row, for floats of shape `[N, C]` (trailing axes of one element aside).
fn top1(a: &[f64], b: &[f64], shape: &[usize], dtype: DType) -> Option<f64> {
    let end = shape.iter().rposition(|&d| d != 1).map_or(0, |i| i + 1);
    let &[rows, classes] = shape.get(..end)? else { return None };
    if !dtype.is_float() || rows == 0 || classes < 2 {
        return None;
    }
    let same = a.chunks_exact(classes).zip(b.chunks_exact(classes)).filter(|(a, b)| top_k(a, 1) == top_k(b, 1)).count();
    Some(same as f64 / rows as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    const TIGHT: Criterion = Criterion::Elementwise { rtol: 1e-3, atol: 1e-5 };

    fn floats(x: &[f32]) -> Tensor {
        Tensor::new(&[1, x.len()], x).expect("a tensor")
    }

    #[test]
    fn figures_of_a_known_pair() {
        let d = diff("y", &floats(&[3.0, 4.0]), &floats(&[3.0, 5.0]), Criterion::Rms(0.2));
        assert_eq!((d.max_abs, d.top1, d.agree), (Some(1.0), Some(1.0), true));
        assert!((d.rms_relative.expect("a figure") - (1.0f64 / 34.0).sqrt()).abs() < 1e-12);
        assert!((d.cosine.expect("a figure") - 29.0 / (5.0 * 34f64.sqrt())).abs() < 1e-12);
        assert!((d.snr_db.expect("a figure") - 10.0 * 34f64.log10()).abs() < 1e-9);
    }

    #[test]
    fn tolerance_is_numpys() {
        let near = diff("y", &floats(&[1.0009, 1e-6]), &floats(&[1.0, 0.0]), TIGHT);
        assert_eq!((near.agree, near.beyond), (true, Some(0)));
        let far = diff("y", &floats(&[1.0012, 0.0]), &floats(&[1.0, 0.0]), TIGHT);
        assert_eq!((far.agree, far.beyond), (false, Some(1)));
    }

    #[test]
    fn specials_equal_only_themselves() {
        let specials = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1.0];
        assert!(diff("y", &floats(&specials), &floats(&specials), TIGHT).agree);
        assert!(diff("y", &floats(&specials), &floats(&specials), Criterion::Rms(0.0)).agree);
        for i in 0..3 {
            let mut other = specials;
            other[i] = 0.5;
            for criterion in [TIGHT, Criterion::Rms(1e3), Criterion::Elementwise { rtol: 0.0, atol: f64::MAX }] {
                assert!(!diff("y", &floats(&other), &floats(&specials), criterion).agree, "{i} {criterion:?}");
                assert!(!diff("y", &floats(&specials), &floats(&other), criterion).agree || i > 2, "{i} {criterion:?}");
            }
        }
        let opposite = diff("y", &floats(&[f32::INFINITY]), &floats(&[f32::NEG_INFINITY]), TIGHT);
        assert!(!opposite.agree);
    }

    #[test]
    fn zero_reference_and_empty() {
        let zero = diff("y", &floats(&[0.0]), &floats(&[0.0]), Criterion::Rms(0.0));
        assert_eq!((zero.agree, zero.cosine, zero.snr_db), (true, None, None));
        assert!(!diff("y", &floats(&[1e-9]), &floats(&[0.0]), Criterion::Rms(1e3)).agree);
        let none = Tensor::new::<f32>(&[0, 5], &[]).expect("a tensor");
        assert!(diff("y", &none, &none, TIGHT).agree);
    }

    #[test]
    fn type_and_shape_must_match() {
        let ints = Tensor::new(&[1, 2], &[1i32, 2]).expect("a tensor");
        let d = diff("y", &ints, &floats(&[1.0, 2.0]), TIGHT);
        assert!(!d.agree && d.reason.is_some_and(|r| r.contains("i32")));
        let d = diff("y", &floats(&[1.0, 2.0]), &floats(&[1.0, 2.0]).reshaped(&[2]).expect("a tensor"), TIGHT);
        assert!(!d.agree && d.reason.is_some_and(|r| r.contains("[1, 2]")));
    }

    #[test]
    fn half_width_outputs_are_read_generously() {
        let half = |bits: u16| Tensor::from_bytes(DType::BF16, &[1], &bits.to_ne_bytes()).expect("a tensor");
        // 1.0 and its neighbour 1.0078125.
        assert!(diff("y", &half(0x3f81), &half(0x3f80), TIGHT).agree);
        assert!(!diff("y", &half(0x3f83), &half(0x3f80), TIGHT).agree);
    }

    #[test]
    fn best_class_per_row() {
        let a = Tensor::new(&[2, 2, 1, 1], &[1f32, 2.0, 3.0, 1.0]).expect("a tensor");
        let b = Tensor::new(&[2, 2, 1, 1], &[1f32, 2.0, 1.0, 3.0]).expect("a tensor");
        assert_eq!(diff("y", &a, &b, TIGHT).top1, Some(0.5));
        assert_eq!(diff("y", &floats(&[1.0]), &floats(&[1.0]), TIGHT).top1, None);
    }
}
