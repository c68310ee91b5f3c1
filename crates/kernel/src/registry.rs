//! The kernels a planner may choose from.

use crate::{Kernel, Machine, Problem};
use alloc::vec::Vec;

/// The kernels of all parts, for tables that are written in parts: `joined::<{ count(PARTS) }>(PARTS)`.
///
/// # Panics
/// Where there are not `N`; when compiling, in a constant.
pub const fn joined<const N: usize>(parts: &[&[&'static dyn Kernel]]) -> [&'static dyn Kernel; N] {
    assert!(N > 0 && count(parts) == N);
    let mut part = 0;
    while parts[part].is_empty() {
        part += 1;
    }
    let mut all = [parts[part][0]; N];
    let (mut part, mut at) = (0, 0);
    while part < parts.len() {
        let mut i = 0;
        while i < parts[part].len() {
            all[at] = parts[part][i];
            (at, i) = (at + 1, i + 1);
        }
        part += 1;
    }
    all
}

/// How many kernels there are in all parts.
pub const fn count(parts: &[&[&'static dyn Kernel]]) -> usize {
    let (mut part, mut kernels) = (0, 0);
    while part < parts.len() {
        (part, kernels) = (part + 1, kernels + parts[part].len());
    }
    kernels
}

/// An ordered list of kernels. There is no link-time registration: whoever builds the list names what is in it.
#[derive(Clone, Default)]
pub struct Registry {
    kernels: Vec<&'static dyn Kernel>,
}

impl Registry {
    /// No kernels.
    pub fn empty() -> Registry {
        Registry::default()
    }

    /// This registry and `kernels`. Of kernels with one name the later one replaces the earlier.
    #[must_use]
    pub fn with(mut self, kernels: &[&'static dyn Kernel]) -> Registry {
        for &k in kernels {
            self.kernels.retain(|old| old.descriptor().name != k.descriptor().name);
            self.kernels.push(k);
        }
        self
    }

    /// This registry without those kernels whose name `keep` refuses.
    #[must_use]
    pub fn filtered(mut self, keep: impl Fn(&str) -> bool) -> Registry {
        self.kernels.retain(|k| keep(k.descriptor().name));
        self
    }

    /// All kernels.
    pub fn iter(&self) -> impl Iterator<Item = &'static dyn Kernel> + '_ {
        self.kernels.iter().copied()
    }

    /// The kernels that serve the operator of `p`, operands such as it has, and its pooling where it has one, on `m`.
    pub fn candidates<'a>(&'a self, p: &'a Problem, m: &'a Machine) -> impl Iterator<Item = &'static dyn Kernel> + 'a {
        self.iter().filter(move |k| {
            let d = k.descriptor();
            let serves = m.isa.has(d.isa) && d.ops.contains(&p.op.name());
            serves && (k.reads_quantised() || !p.is_quantised()) && (k.pools() || !p.pools())
        })
    }

    /// The kernel of that name.
    pub fn get(&self, name: &str) -> Option<&'static dyn Kernel> {
        self.iter().find(|k| k.descriptor().name == name)
    }
}
