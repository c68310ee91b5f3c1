//! One run in the trace event format, for Perfetto and chrome://tracing.

use super::roofline::Layer;
use crate::output::shape;
use paring::Span;
use serde_json::{Value, json};

/// Layers as complete events, in microseconds from the beginning of the run.
pub fn trace(model: &str, layers: &[Layer], run: &[Span]) -> Value {
    let microseconds = |ns: u64| ns as f64 / 1e3;
    let name = |what: &str, name: &str| json!({"ph": "M", "pid": 1, "tid": 1, "name": what, "args": {"name": name}});
    let layer = |(l, span): (&Layer, &Span)| {
        let t = &l.time;
        json!({
            "ph": "X", "pid": 1, "tid": 1, "name": t.name, "cat": t.op, "ts": microseconds(span.start_ns),
            "dur": microseconds(span.ns),
            "args": {
                "kernel": t.kernel, "shape": shape(&t.shape), "macs": t.macs, "bytes": t.bytes,
                "bound_us": l.bound.map(|b| b.ms * 1e3), "bound_by": l.bound.map(|b| b.by.name()),
            },
        })
    };
    let names = [name("process_name", model), name("thread_name", "layers")];
    let events: Vec<Value> = names.into_iter().chain(layers.iter().zip(run).map(layer)).collect();
    json!({"displayTimeUnit": "ns", "traceEvents": events})
}
