//! Weights for models without.

use super::{ZooError, generate};
use paring_onnx::proto::ModelProto;
use prost::Message;

/// The model with data for every tensor whose description says `fill ...`.
///
/// # Errors
/// [`ZooError::Malformed`] where the bytes are not a model, or a description makes no sense.
pub fn fill_model(bytes: &[u8], seed: u64) -> Result<Vec<u8>, ZooError> {
    let mut model = ModelProto::decode(bytes).map_err(|e| ZooError::Malformed(e.to_string()))?;
    let graph = model.graph.as_mut().ok_or_else(|| ZooError::Malformed("the model has no graph".into()))?;
    for t in &mut graph.initializer {
        let Some(spec) = t.doc_string.strip_prefix("fill ") else { continue };
        let count = t.dims.iter().try_fold(1usize, |n, &d| n.checked_mul(usize::try_from(d).ok()?));
        let count = count.ok_or_else(|| ZooError::Malformed(format!("{}: shape {:?}", t.name, t.dims)))?;
        let data = generate(spec, &t.name, count, seed)?;
        let raw: Vec<u8> = data.iter().flat_map(|x| x.to_le_bytes()).collect();
        t.raw_data = Some(raw.into());
        t.doc_string.clear();
    }
    Ok(model.encode_to_vec())
}
