//! What estimates reckon with: this machine as measured, and the file that keeps it.

use super::caches::Caches;
use super::peaks::beyond;
use super::rates::{block, mul_adds, reading, rereading};
use crate::{Error, Result, clock, machine_name};
use paring_kernel::{Isa, Machine, Serial};
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// Rates vary with what else the machine does: the best of so long is what it can.
const TIME: Duration = Duration::from_secs(2);
/// Sizes of caches that are believed, in bytes.
const BYTES: std::ops::RangeInclusive<usize> = 1 << 10..=1 << 30;
/// Rates that are believed, in multiply-adds or bytes per nanosecond.
const RATES: std::ops::RangeInclusive<f64> = 0.01..=1e5;
/// The share of its rate at which a level is still that level.
const FAST: f64 = 0.7;
/// The form of the file; the number changes with it.
const FORMAT: &str = "paring-machine 2";

/// Caches and rates of one core of this machine, for [`crate::Options::calibration`]: the formulas that estimate the
/// time of kernels take them instead of those of a typical machine.
///
/// Serialises as a small map that names the machine. What is deserialised is of this machine and within reason, or
/// refused with the name of what is wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "File", into = "File")]
pub struct Calibration(Machine);

impl Calibration {
    /// Measures, within about three seconds, on the calling thread.
    ///
    /// # Errors
    /// Of kind [`crate::ErrorKind::Memory`] where there is not enough for a block several times the last-level cache;
    /// [`crate::ErrorKind::Unsupported`] without a [clock](crate::has_clock).
    pub fn measure() -> Result<Calibration> {
        clock::needed_for("measuring the machine")?;
        let mut m = paring_simd::machine();
        let caches = Caches::detect();
        m.l1 = caches.l1.unwrap_or(m.l1);
        // Without a third level, the second is the last.
        let last = caches.l3.or(caches.l2).unwrap_or(m.l3);
        m.l2 = caches.l2.unwrap_or(m.l2);
        let block = block(beyond(Some(last)))?;
        let all: &[f32] = bytemuck::cast_slice(block.as_slice());
        let first = |bytes: usize| &all[..all.len().min(bytes / size_of::<f32>())];
        let sizes = std::iter::successors(Some(last), |b| Some(b / 2)).take_while(|&b| b >= 2 * m.l2);
        let mut levels: Vec<(usize, f64)> = sizes.map(|b| (b, 0.0)).collect();
        (m.gmacs, m.vector_gmacs, m.l2_bandwidth, m.memory_bandwidth) = (0.0, 0.0, 0.0, 0.0);
        let eights = m.isa.without(Isa::Avx512);
        let better = |rate: &mut f64, sample: f64| *rate = rate.max(sample);
        let begin = Instant::now();
        while begin.elapsed() < TIME {
            better(&mut m.gmacs, mul_adds(&Serial, m.isa));
            if eights != m.isa {
                better(&mut m.vector_gmacs, mul_adds(&Serial, eights));
            }
            better(&mut m.l2_bandwidth, rereading(m.isa, first(m.l2 / 2)));
            better(&mut m.memory_bandwidth, reading(&Serial, m.isa, all));
            for (bytes, rate) in &mut levels {
                better(rate, rereading(m.isa, first(*bytes)));
            }
        }
        if eights == m.isa {
            m.vector_gmacs = m.gmacs;
        }
        (m.l3, m.l3_bandwidth) = last_level(&levels).unwrap_or((m.l2, m.memory_bandwidth));
        Ok(Calibration(m))
    }

    /// What estimates reckon with where nothing was measured: the rates of a typical machine of these instructions.
    pub fn typical() -> Calibration {
        Calibration(paring_simd::machine())
    }

    /// The caches and rates, each in the unit of its field.
    pub fn machine(&self) -> &Machine {
        &self.0
    }
}

/// Bytes and rate of the last level. Others may use it too: what can be counted on is the most of it that is read
/// about as fast as the least.
fn last_level(levels: &[(usize, f64)]) -> Option<(usize, f64)> {
    let &(_, fastest) = levels.last()?;
    levels.iter().find(|l| l.1 >= FAST * fastest).copied()
}

/// The form of the file.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    format: String,
    machine: String,
    l1_bytes: usize,
    l2_bytes: usize,
    l3_bytes: usize,
    gmac_per_s: f64,
    vector_gmac_per_s: f64,
    l2_gb_per_s: f64,
    l3_gb_per_s: f64,
    memory_gb_per_s: f64,
}

impl From<Calibration> for File {
    fn from(Calibration(m): Calibration) -> File {
        File {
            format: FORMAT.into(),
            machine: machine_name(),
            l1_bytes: m.l1,
            l2_bytes: m.l2,
            l3_bytes: m.l3,
            gmac_per_s: m.gmacs,
            vector_gmac_per_s: m.vector_gmacs,
            l2_gb_per_s: m.l2_bandwidth,
            l3_gb_per_s: m.l3_bandwidth,
            memory_gb_per_s: m.memory_bandwidth,
        }
    }
}

impl TryFrom<File> for Calibration {
    type Error = Error;

    fn try_from(f: File) -> Result<Calibration> {
        if f.format != FORMAT {
            return Err(Error::invalid(format!("the format is '{}', not '{FORMAT}'", f.format.escape_debug())));
        }
        let here = machine_name();
        if f.machine != here {
            return Err(Error::invalid(format!("measured on '{}', not on '{here}'", f.machine.escape_debug())));
        }
        for (name, bytes) in [("l1_bytes", f.l1_bytes), ("l2_bytes", f.l2_bytes), ("l3_bytes", f.l3_bytes)] {
            if !BYTES.contains(&bytes) {
                return Err(Error::invalid(format!("{name} is {bytes}, not within {BYTES:?}")));
            }
        }
        for (name, rate) in [
            ("gmac_per_s", f.gmac_per_s),
            ("vector_gmac_per_s", f.vector_gmac_per_s),
            ("l2_gb_per_s", f.l2_gb_per_s),
            ("l3_gb_per_s", f.l3_gb_per_s),
            ("memory_gb_per_s", f.memory_gb_per_s),
        ] {
            if !RATES.contains(&rate) {
                return Err(Error::invalid(format!("{name} is {rate}, not within {RATES:?}")));
            }
        }
        Ok(Calibration(Machine {
            l1: f.l1_bytes,
            l2: f.l2_bytes,
            l3: f.l3_bytes,
            gmacs: f.gmac_per_s,
            vector_gmacs: f.vector_gmac_per_s,
            l2_bandwidth: f.l2_gb_per_s,
            l3_bandwidth: f.l3_gb_per_s,
            memory_bandwidth: f.memory_gb_per_s,
            ..paring_simd::machine()
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn what_is_measured_survives_its_file() {
        let c = Calibration::measure().expect("memory enough");
        let text = serde_json::to_string(&c).expect("numbers");
        assert_eq!(serde_json::from_str::<Calibration>(&text).expect("of this machine"), c);
        assert!(c.0.l1 <= c.0.l2 && c.0.l2 <= c.0.l3, "{text}");
    }

    #[test]
    fn what_is_wrong_with_a_file_is_named() {
        let changed = |field: &str, value: Value| {
            let mut file = serde_json::to_value(Calibration::typical()).expect("numbers");
            file[field] = value;
            serde_json::from_value::<Calibration>(file).map_err(|e| e.to_string())
        };
        assert_eq!(changed("l3_bytes", json!(8 << 20)), Ok(Calibration::typical()));
        for (field, value, message) in [
            ("format", json!("paring-machine 3"), "not 'paring-machine 2'"),
            ("machine", json!("abacus"), "measured on 'abacus', not on"),
            ("l2_bytes", json!(0), "l2_bytes is 0"),
            ("l3_bytes", json!(1u64 << 31), "l3_bytes is 2147483648"),
            ("l1_bytes", json!(-1), "-1"),
            ("gmac_per_s", json!(0.0), "gmac_per_s is 0"),
            ("l3_gb_per_s", json!(-3.0), "l3_gb_per_s is -3"),
            ("memory_gb_per_s", json!(1e300), "memory_gb_per_s is 1000"),
            // JSON has no NaN; where it is written all the same, it is null.
            ("gmac_per_s", json!(f64::NAN), "null"),
            ("colour", json!("red"), "unknown field `colour`"),
        ] {
            let why = changed(field, value).expect_err(field);
            assert!(why.contains(message), "{field}: {why}");
        }
        let nan = File { l2_gb_per_s: f64::NAN, ..Calibration::typical().into() };
        assert!(Calibration::try_from(nan).expect_err("not a rate").to_string().contains("l2_gb_per_s is NaN"));
        assert!(serde_json::from_str::<Calibration>("{}").expect_err("empty").to_string().contains("missing field"));
    }

    #[test]
    fn the_last_level_ends_where_it_slows() {
        assert_eq!(last_level(&[(32, 10.0), (16, 39.0), (8, 50.0), (4, 52.0)]), Some((16, 39.0)));
        assert_eq!(last_level(&[]), None);
    }
}
