//! What a kernel says to a problem.

use alloc::{borrow::Cow, string::String, vec::Vec};
use core::fmt;
use paring_core::Layout;

/// How a kernel's results relate to the plain sum of products.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NumericClass {
    /// Bit-equal to the definition.
    Exact,
    /// Sums in another order, fused multiply-adds, approximated elementary functions within a few ulp.
    Reassociated,
    /// Another algorithm whose error is still near that of plain `f32` (Winograd, FFT).
    Transformed,
    /// Less than `f32` somewhere.
    Reduced,
}

/// Memory a kernel needs while it runs. Contents are unspecified at the start of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Scratch {
    /// Bytes shared by all workers.
    pub shared: usize,
    /// Bytes for each worker.
    pub per_worker: usize,
}

/// One way in which a kernel could run a problem.
#[derive(Clone, Debug, PartialEq)]
pub struct Offer {
    /// Layout of each input while running; `None` for an input that is absent, or not read then because
    /// [`pack`](crate::Kernel::pack) or [`prepare`](crate::Kernel::prepare) took what they need of it.
    pub inputs: Vec<Option<Layout>>,
    /// Layout of each output.
    pub outputs: Vec<Layout>,
    /// How many steps of the epilogue are done within the kernel, from the first.
    pub fused: usize,
    /// Memory while running.
    pub scratch: Scratch,
    /// Bytes of packed weights.
    pub packed_bytes: usize,
    /// Names the packed form: equal names and equal constants mean equal bytes. Empty where nothing is packed.
    pub packed_format: Cow<'static, str>,
    /// Relation to the plain definition.
    pub numerics: NumericClass,
    /// An input whose memory output 0 may take over, element for element.
    pub in_place: Option<usize>,
    /// The kernel's own mark, to tell its offers apart.
    pub variant: u32,
}

impl Offer {
    /// An offer in plain layout throughout that fuses nothing, packs nothing and needs no scratch: every present input
    /// is read while running.
    pub fn plain(p: &crate::Problem) -> Offer {
        Offer {
            inputs: p.inputs.iter().map(|i| i.as_ref().map(|_| Layout::Plain)).collect(),
            outputs: alloc::vec![Layout::Plain; p.outputs.len()],
            fused: 0,
            scratch: Scratch::default(),
            packed_bytes: 0,
            packed_format: Cow::Borrowed(""),
            numerics: NumericClass::Reassociated,
            in_place: None,
            variant: 0,
        }
    }
}

/// Why a kernel makes no offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject(pub Cow<'static, str>);

impl Reject {
    /// A reason known at compile time.
    pub const fn because(reason: &'static str) -> Reject {
        Reject(Cow::Borrowed(reason))
    }
}

impl From<String> for Reject {
    fn from(reason: String) -> Reject {
        Reject(Cow::Owned(reason))
    }
}

impl From<&'static str> for Reject {
    fn from(reason: &'static str) -> Reject {
        Reject(Cow::Borrowed(reason))
    }
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What an offer would take on one core.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct Cost {
    /// Nanoseconds.
    pub ns: f64,
    /// Bytes read and written.
    pub bytes: f64,
}
