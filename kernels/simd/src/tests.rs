use crate::{Portable, Simd, Task};

/// Every operation on one pair of vectors, as bits.
struct All([f32; 8], [f32; 8]);

impl Task for All {
    type Output = Vec<[u32; 8]>;
    #[inline(always)]
    fn call<S: Simd>(self, s: S) -> Self::Output {
        let (a, b) = (s.from_array(self.0), s.from_array(self.1));
        let rows = std::array::from_fn(|i| s.add(a, s.splat(i as f32)));
        let mut out = vec![
            s.add(a, b),
            s.sub(a, b),
            s.mul(a, b),
            s.div(a, b),
            s.min(a, b),
            s.max(a, b),
            s.sqrt(s.abs(a)),
            s.round(a),
            s.less(a, b),
            s.select(s.less(a, b), a, b),
            s.exp2_int(s.round(s.splat(3.0))),
            s.exponent(s.add(s.abs(a), s.splat(1.0))),
            s.and(a, b),
            s.or(a, b),
            s.xor(a, b),
            s.splat(s.sum(a)),
        ];
        out.extend(s.transpose(rows));
        out.into_iter().map(|v| s.to_array(v).map(f32::to_bits)).collect()
    }
}

#[test]
#[cfg(target_arch = "x86_64")]
fn avx2_agrees_with_portable_bit_for_bit() {
    let Some(avx2) = crate::Avx2::detect() else { return };
    let pairs = [
        ([1.5, -2.5, 0.5, 3.0, -0.0, 7.25, 1e-8, -9.0], [2.0, -1.0, 0.5, -3.0, 0.0, 1.0, 2e8, -8.5]),
        (
            [f32::NAN, 1.0, f32::INFINITY, -1.0, 0.0, 2.5, -3.5, 4.5],
            [1.0, f32::NAN, 1.0, f32::NEG_INFINITY, 1.0, 2.0, 3.0, 4.0],
        ),
    ];
    for (a, b) in pairs {
        let (x, y) = (avx2.vectorize(All(a, b)), Portable.vectorize(All(a, b)));
        for (i, (x, y)) in x.iter().zip(&y).enumerate() {
            for (x, y) in x.iter().zip(y) {
                let same_nan = f32::from_bits(*x).is_nan() && f32::from_bits(*y).is_nan();
                assert!(x == y || same_nan, "operation {i}: {x:08x} {y:08x}");
            }
        }
    }
}

#[test]
fn transpose_swaps_rows_and_lanes() {
    let rows: [[f32; 8]; 8] = std::array::from_fn(|i| std::array::from_fn(|j| (10 * i + j) as f32));
    let t = Portable.transpose(rows.map(|r| Portable.from_array(r))).map(|v| Portable.to_array(v));
    for i in 0..8 {
        for j in 0..8 {
            assert_eq!(t[j][i], rows[i][j]);
        }
    }
}
