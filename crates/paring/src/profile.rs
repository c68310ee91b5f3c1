//! Where the time goes.

use serde::Serialize;
use std::time::Duration;

/// Time of one layer over the runs so far.
#[derive(Clone, Debug, Serialize)]
pub struct LayerTime {
    /// The node.
    pub name: String,
    /// The operator.
    pub op: String,
    /// The kernel.
    pub kernel: String,
    /// Shape of output 0.
    pub shape: Vec<usize>,
    /// Shortest run, nanoseconds.
    pub min_ns: u64,
    /// Mean over the runs, nanoseconds.
    pub mean_ns: u64,
    /// The planner's estimate for one core, nanoseconds.
    pub estimated_ns: u64,
    /// Multiply-adds.
    pub macs: u64,
    /// Bytes of all operands.
    pub bytes: u64,
}

/// Times of all layers since the session was made or [`crate::Session::reset_profile`] was called.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Profile {
    /// Completed runs.
    pub runs: u64,
    /// One entry for each step that runs, in order.
    pub layers: Vec<LayerTime>,
}

/// Collects times without allocating.
#[derive(Default)]
pub(crate) struct Recorder {
    pub runs: u64,
    steps: Vec<(u64, u64)>,
}

impl Recorder {
    pub fn reset(&mut self, steps: usize) {
        self.runs = 0;
        self.steps.clear();
        self.steps.resize(steps, (u64::MAX, 0));
    }

    pub fn add(&mut self, step: usize, time: Duration) {
        let ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        if let Some((min, total)) = self.steps.get_mut(step) {
            *min = (*min).min(ns);
            *total = total.saturating_add(ns);
        }
    }

    pub fn profile(&self, plan: &paring_plan::Plan) -> Profile {
        let layers = plan.steps.iter().zip(&self.steps).map(|(s, &(min, total))| LayerTime {
            name: s.name.clone(),
            op: s.op.into(),
            kernel: s.kernel.into(),
            shape: s.outputs.first().and_then(|o| Some(o.as_ref()?.shape.clone())).unwrap_or_default(),
            min_ns: if self.runs == 0 { 0 } else { min },
            mean_ns: total.checked_div(self.runs).unwrap_or(0),
            estimated_ns: s.cost_ns as u64,
            macs: s.macs,
            bytes: s.bytes,
        });
        Profile { runs: self.runs, layers: layers.collect() }
    }
}
