//! The generator: counter based, the same bits everywhere.

use super::ZooError;

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
/// Standard deviation of the sum of four uniform 16-bit numbers.
const LANE_STD: f64 = 37837.22704;

/// The 64-bit FNV-1a hash of a text.
pub fn fnv1a64(text: &str) -> u64 {
    text.bytes().fold(0xCBF2_9CE4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01B3))
}

/// The finaliser of SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Number `index` of the sequence of a tensor.
pub fn hash(name: &str, seed: u64, index: u64) -> u64 {
    at(key(name, seed), index)
}

fn key(name: &str, seed: u64) -> u64 {
    mix(fnv1a64(name).wrapping_add(seed.wrapping_mul(GOLDEN)))
}

fn at(key: u64, index: u64) -> u64 {
    mix(key.wrapping_add(index.wrapping_add(1).wrapping_mul(GOLDEN)))
}

enum Kind {
    Normal { std: f64 },
    Uniform { lo: f64, hi: f64 },
    Sign,
    Index { n: u64 },
}

fn parse(spec: &str) -> Option<Kind> {
    let mut words = spec.split_whitespace();
    let kind = words.next()?;
    let arguments: Vec<(&str, f64)> =
        words.map(|w| w.split_once('=').and_then(|(k, v)| Some((k, v.parse().ok()?)))).collect::<Option<_>>()?;
    let get = |key: &str| arguments.iter().find(|(k, _)| *k == key).map(|(_, v)| *v);
    Some(match kind {
        "normal" => Kind::Normal { std: get("std")? },
        "uniform" => Kind::Uniform { lo: get("lo")?, hi: get("hi")? },
        "sign" => Kind::Sign,
        "index" => Kind::Index { n: get("n").filter(|&n| n >= 1.0)? as u64 },
        _ => return None,
    })
}

/// The first `count` elements of a tensor. `spec` is `normal std=S`, `uniform lo=A hi=B`, `sign` or `index n=K`; the
/// elements of the last are whole numbers.
///
/// # Errors
/// [`ZooError::Malformed`] where `spec` is none of these.
pub fn generate(spec: &str, name: &str, count: usize, seed: u64) -> Result<Vec<f32>, ZooError> {
    let kind = parse(spec).ok_or_else(|| ZooError::Malformed(format!("unknown kind of data '{spec}'")))?;
    let key = key(name, seed);
    let hashes = (0..count as u64).map(|i| at(key, i));
    Ok(match kind {
        Kind::Normal { std } => {
            let factor = std / LANE_STD;
            let lanes = |h: u64| (h & 0xFFFF) + (h >> 16 & 0xFFFF) + (h >> 32 & 0xFFFF) + (h >> 48);
            hashes.map(|h| ((lanes(h) as i64 - 131_070) as f64 * factor) as f32).collect()
        }
        Kind::Uniform { lo, hi } => {
            let unit = 1.0 / (1u64 << 53) as f64;
            hashes.map(|h| ((h >> 11) as f64 * unit * (hi - lo) + lo) as f32).collect()
        }
        Kind::Sign => hashes.map(|h| if h >> 63 == 1 { 1.0 } else { -1.0 }).collect(),
        Kind::Index { n } => hashes.map(|h| (h % n) as f32).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The specification gives eight decimals, or as many digits as tell the number apart.
    fn check(spec: &str, seed: u64, expected: [f64; 4]) {
        let found = generate(spec, "w", 4, seed).unwrap();
        for (x, e) in found.iter().zip(expected) {
            let slack = 5e-9 + 6e-8 * e.abs();
            assert!((f64::from(*x) - e).abs() <= slack, "{spec}: {found:?} instead of {expected:?}");
        }
    }

    #[test]
    fn hashes_are_those_of_the_specification() {
        assert_eq!(fnv1a64("w"), 0xaf63_ea4c_8602_0456);
        let first: Vec<u64> = (0..4).map(|i| hash("w", 0, i)).collect();
        let expected = [0x19b9_aa42_3a20_bbf9, 0xde41_7b48_3d47_3b74, 0x6dc5_23ed_92bf_5b25, 0x1802_cbe9_38cc_e5e7];
        assert_eq!(first, expected);
    }

    #[test]
    fn numbers_are_those_of_the_specification() {
        check("normal std=1", 0, [-0.47302622, -0.30937785, -0.868774, 0.01776029]);
        check("uniform lo=0.5 hi=1.5", 0, [0.60048926, 1.3681867, 0.9287894, 0.5937927]);
        check("sign", 0, [-1.0, 1.0, -1.0, -1.0]);
        check("index n=4096", 0, [3065.0, 2932.0, 2853.0, 1511.0]);
        check("normal std=0.05", 7, [-0.09042285, 0.0539363, -0.04854214, -0.06679665]);
    }

    #[test]
    fn unknown_kinds_are_refused() {
        for spec in ["", "normal", "normal std=x", "uniform lo=0", "index n=0", "other"] {
            assert!(generate(spec, "w", 1, 0).is_err(), "{spec}");
        }
    }
}
