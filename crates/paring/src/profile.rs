//! Where the time goes.

use serde::Serialize;
use std::time::{Duration, Instant};

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

/// When a layer ran, within one run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Span {
    /// Nanoseconds from the beginning of the run.
    pub start_ns: u64,
    /// Nanoseconds that the layer took.
    pub ns: u64,
}

/// Collects times without allocating. Runs that do not come to their end leave no trace.
#[derive(Default)]
pub(crate) struct Recorder {
    runs: u64,
    /// Shortest and total time of each step.
    steps: Vec<(u64, u64)>,
    /// Steps of the last run that came to its end, and of the one under way.
    spans: Vec<Span>,
    running: Vec<Span>,
    begun: Option<Instant>,
}

impl Recorder {
    pub fn reset(&mut self, steps: usize) {
        self.runs = 0;
        self.steps.clear();
        self.steps.resize(steps, (u64::MAX, 0));
        for spans in [&mut self.spans, &mut self.running] {
            spans.clear();
            spans.resize(steps, Span::default());
        }
    }

    /// A run begins.
    pub fn begin(&mut self) {
        self.begun = Some(Instant::now());
    }

    /// A step that began at `start` is done.
    pub fn add(&mut self, step: usize, start: Instant) {
        let ns = nanoseconds(start.elapsed());
        let since = self.begun.map_or(Duration::ZERO, |b| start.duration_since(b));
        if let Some(span) = self.running.get_mut(step) {
            *span = Span { start_ns: nanoseconds(since), ns };
        }
    }

    /// The run came to its end.
    pub fn end(&mut self) {
        self.runs += 1;
        std::mem::swap(&mut self.spans, &mut self.running);
        for ((min, total), span) in self.steps.iter_mut().zip(&self.spans) {
            *min = (*min).min(span.ns);
            *total = total.saturating_add(span.ns);
        }
    }

    /// The steps of the last run; none before the first.
    pub fn spans(&self) -> &[Span] {
        if self.runs == 0 { &[] } else { &self.spans }
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

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
