//! Measured times instead of estimates.

use crate::lower;
use paring_kernel::{Offer, Operand, Problem};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// First line of the text form; the number changes with the form, and with what the problems' marks cover.
const HEADER: &str = "paring-tuning 1";

/// Times of kernels on problems, measured on one kind of machine. The planner takes them for its estimates.
///
/// The text form has one line for each time, sorted, so that files can be compared, merged and kept under version
/// control: nanoseconds, kernel, offer and problem, between tabs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tuning {
    machine: String,
    times: BTreeMap<(String, String, String), f64>,
}

impl Tuning {
    /// No times yet, for the machine of that name.
    pub fn new(machine: &str) -> Tuning {
        Tuning { machine: clean(machine), times: BTreeMap::new() }
    }

    /// How many times there are.
    pub fn len(&self) -> usize {
        self.times.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    /// Notes that `kernel` took `ns` nanoseconds for `p` as it offered.
    pub fn insert(&mut self, p: &Problem, kernel: &str, offer: &Offer, ns: f64) {
        if ns.is_finite() && ns >= 0.0 {
            self.times.insert((describe(p), kernel.into(), describe_offer(offer)), ns);
        }
    }

    /// Nanoseconds that `kernel` took for `p` as it offers.
    pub fn get(&self, p: &Problem, kernel: &str, offer: &Offer) -> Option<f64> {
        self.times.get(&(describe(p), kernel.into(), describe_offer(offer))).copied()
    }

    /// Takes over all times of `other`.
    pub fn merge(&mut self, other: &Tuning) {
        self.times.extend(other.times.iter().map(|(k, v)| (k.clone(), *v)));
    }

    /// The text form.
    pub fn to_text(&self) -> String {
        let mut text = format!("{HEADER}\nmachine\t{}\n", self.machine);
        for ((problem, kernel, offer), ns) in &self.times {
            let _ = writeln!(text, "{ns:.0}\t{kernel}\t{offer}\t{problem}");
        }
        text
    }

    /// The times in `text` for the machine of that name, and why lines or all of it were passed over: a file of tuning
    /// comes from anywhere, and is a hint at most.
    pub fn parse(text: &str, machine: &str) -> (Tuning, Vec<String>) {
        let mut tuning = Tuning::new(machine);
        let mut lines = text.lines().enumerate();
        if lines.next().is_none_or(|(_, l)| l != HEADER) {
            return (tuning, vec![format!("ignored: the first line is not '{HEADER}'")]);
        }
        let found = lines.next().and_then(|(_, l)| l.strip_prefix("machine\t")).unwrap_or("");
        if found != tuning.machine {
            let found = clean(found);
            return (tuning, vec![format!("ignored: measured on '{found}', not on '{}'", clean(machine))]);
        }
        let mut warnings = Vec::new();
        for (i, line) in lines.filter(|(_, l)| !l.is_empty()) {
            let mut fields = line.splitn(4, '\t');
            let ns = fields.next().and_then(|f| f.parse::<f64>().ok()).filter(|ns| ns.is_finite() && *ns >= 0.0);
            match (ns, fields.next(), fields.next(), fields.next()) {
                (Some(ns), Some(kernel), Some(offer), Some(problem)) => {
                    tuning.times.insert((problem.into(), kernel.into(), offer.into()), ns);
                }
                _ => warnings.push(format!("line {} ignored: not four fields that begin with a time", i + 1)),
            }
        }
        (tuning, warnings)
    }
}

/// Without control characters, and not long.
fn clean(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(200).collect()
}

/// Operator and operands for people, and a mark of everything that a kernel sees of the problem but names and elements.
pub(crate) fn describe(p: &Problem) -> String {
    let operand = |o: &Option<Operand>| match o {
        Some(o) => format!("{}{:?}{}", o.dtype, o.shape, if o.constant.is_some() { "c" } else { "" }),
        None => "-".into(),
    };
    let list = |l: &[Option<Operand>]| l.iter().map(operand).collect::<Vec<_>>().join(" ").replace(", ", "x");
    let operands = format!("{} -> {}", list(&p.inputs), list(&p.outputs));
    let all = format!("{:?} {operands} {:?} {:?}", p.op, p.epilogue, p.numerics);
    format!("{} {operands} #{:016x}", p.op.name(), fnv1a(all.as_bytes()))
}

pub(crate) fn describe_offer(o: &Offer) -> String {
    format!("{} v{}", lower::layouts(o), o.variant)
}

/// The hash of Fowler, Noll and Vo, which is the same on every machine and with every compiler.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h, &b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use paring_core::{DType, Op};

    fn problem(n: usize) -> Problem {
        Problem {
            name: "any".into(),
            op: Op::Identity,
            inputs: vec![Some(Operand::new(DType::F32, &[n]))],
            outputs: vec![Some(Operand::new(DType::F32, &[n]))],
            epilogue: vec![],
            numerics: Default::default(),
        }
    }

    #[test]
    fn times_survive_their_text_form() {
        let mut t = Tuning::new("a machine");
        let (p, q) = (problem(3), problem(4));
        t.insert(&p, "k", &Offer::plain(&p), 12.0);
        t.insert(&p, "broken", &Offer::plain(&p), f64::NAN);
        let (back, warnings) = Tuning::parse(&t.to_text(), "a machine");
        assert_eq!((back.clone(), warnings), (t, vec![]));
        assert_eq!(back.get(&p, "k", &Offer::plain(&p)), Some(12.0));
        assert_eq!(back.get(&q, "k", &Offer::plain(&q)), None);
        assert_eq!(back.len(), 1);
        let other = Offer { variant: 1, ..Offer::plain(&p) };
        assert_eq!(back.get(&p, "k", &other), None);
    }

    #[test]
    fn foreign_and_broken_files_are_passed_over_with_a_reason() {
        for (text, reason) in [
            ("", "first line"),
            ("paring-tuning 2\nmachine\tm\n", "first line"),
            ("paring-tuning 1\nmachine\tother\n1\tk\to\tp\n", "measured on 'other'"),
            ("paring-tuning 1\nmachine\tm\nfast\tk\to\tp\n", "line 3"),
            ("paring-tuning 1\nmachine\tm\n1\tk\n", "line 3"),
            ("paring-tuning 1\nmachine\tm\nNaN\tk\to\tp\n", "line 3"),
        ] {
            let (t, warnings) = Tuning::parse(text, "m");
            assert!(t.is_empty() && warnings.len() == 1 && warnings[0].contains(reason), "{text:?}: {warnings:?}");
        }
    }
}
