//! Which of this crate's cargo features a model makes use of.

use crate::{Model, Options, Result, explain, model};
use paring_kernel::Kernel;
use serde::Serialize;

/// What a model uses of one feature.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FeatureUse {
    /// The feature; `None` for what is in every build.
    pub feature: Option<&'static str>,
    /// Kernels of it that run.
    pub kernels: Vec<String>,
    /// Steps that they run.
    pub steps: usize,
    /// Their estimated part of the time, from 0 to 1.
    pub share: f64,
}

/// The feature that brings a kernel of that name; `None` for those of every build, and for the program's own.
fn feature_of(kernel: &str) -> Option<&'static str> {
    const PREFIXES: [(&str, &str); 7] = [
        ("conv_winograd_", "winograd"),
        ("conv_fft_", "fft"),
        ("conv_im2col_", "im2col"),
        ("conv_transpose_", "transposed"),
        ("conv_half_", "fp16"),
        ("dense_half_", "fp16"),
        ("dense_table_", "lowbit"),
    ];
    let families: &[(&'static str, &[&dyn Kernel])] = &[
        #[cfg(feature = "fallback")]
        ("fallback", paring_reference::KERNELS),
        #[cfg(feature = "int8")]
        ("int8", paring_quant::KERNELS),
        #[cfg(feature = "binary")]
        ("binary", paring_binary::KERNELS),
    ];
    let has = |kernels: &[&dyn Kernel]| kernels.iter().any(|k| k.descriptor().name == kernel);
    let of_crate = families.iter().find(|(_, kernels)| has(kernels)).map(|(feature, _)| *feature);
    of_crate.or_else(|| PREFIXES.iter().find(|(prefix, _)| kernel.starts_with(prefix)).map(|(_, feature)| *feature))
}

impl Model {
    /// The features that a plan for these options and shapes makes use of, most time first. A build with these alone runs
    /// the model as this one does, once it is [saved](Model::save) as a `.pare` file. Other machines may choose other
    /// kernels: pass their instructions in the options.
    ///
    /// # Errors
    /// As for [`Model::explain`].
    pub fn features(&self, options: &Options, shapes: &[(&str, &[usize])]) -> Result<Vec<FeatureUse>> {
        let inner = &self.0;
        let key = explain::key(self, shapes)?;
        let program = inner.program(options, &model::machine(options), &inner.registry(options), &key)?;
        let steps = &program.plan.steps;
        let all: f64 = steps.iter().map(|s| s.cost_ns).sum();
        let mut used: Vec<FeatureUse> = Vec::new();
        let mut note = |feature, kernel: Option<&str>, share| {
            let at = used.iter().position(|u| u.feature == feature).unwrap_or_else(|| {
                used.push(FeatureUse { feature, kernels: Vec::new(), steps: 0, share: 0.0 });
                used.len() - 1
            });
            let Some(kernel) = kernel else { return };
            let entry = &mut used[at];
            (entry.steps, entry.share) = (entry.steps + 1, entry.share + share);
            if !entry.kernels.iter().any(|k| k == kernel) {
                entry.kernels.push(kernel.into());
            }
        };
        for step in steps {
            note(feature_of(step.kernel), Some(step.kernel), step.cost_ns / all.max(f64::MIN_POSITIVE));
        }
        if program.rest.is_some() {
            // What depends on data is computed by the reference, and planned once it is known.
            note(Some("fallback"), None, 0.0);
        }
        used.sort_by(|a, b| b.share.total_cmp(&a.share));
        Ok(used)
    }
}

#[cfg(all(test, feature = "onnx", feature = "binary"))]
mod tests {
    use super::*;

    #[test]
    fn every_kernel_has_a_feature_or_is_always_there() {
        for kernel in crate::builtin_registry().iter() {
            let name = kernel.descriptor().name;
            let base = paring_vector::KERNELS.iter().chain(paring_dense::KERNELS).any(|k| k.descriptor().name == name);
            assert!(base || feature_of(name).is_some(), "{name}");
        }
        for feature in ["winograd", "fft", "im2col", "transposed", "fp16", "lowbit", "int8", "binary", "fallback"] {
            let kernels = crate::builtin_registry();
            assert!(kernels.iter().any(|k| feature_of(k.descriptor().name) == Some(feature)), "{feature}");
        }
    }
}
