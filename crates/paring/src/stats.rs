//! What a model is made of, in numbers.

use serde::Serialize;

/// Numbers of one node.
#[derive(Clone, Debug, Default, Serialize)]
pub struct LayerStats {
    /// The node.
    pub name: String,
    /// The operator.
    pub op: String,
    /// Shape of output 0 in words.
    pub shape: String,
    /// Parameters.
    pub params: u64,
    /// Multiply-adds; `None` where a shape is symbolic.
    pub macs: Option<u64>,
    /// Elements read and written.
    pub memory_access: Option<u64>,
    /// Bytes of parameters.
    pub weight_bytes: u64,
}

/// Numbers of a model as it is written, before any optimisation. What depends on a symbolic dimension is `None`.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Stats {
    /// Parameters.
    pub params: u64,
    /// Multiply-adds.
    pub macs: Option<u64>,
    /// Floating-point operations: twice the multiply-adds.
    pub flops: Option<u64>,
    /// Elements read and written.
    pub memory_access: Option<u64>,
    /// Bytes read and written.
    pub memory_bytes: Option<u64>,
    /// Bytes of parameters.
    pub weight_bytes: u64,
    /// How often each operator occurs, most frequent first.
    pub ops: Vec<(String, usize)>,
    /// Node by node.
    pub layers: Vec<LayerStats>,
}
