//! ONNX models.

use crate::{Error, ErrorKind, Loader, Metadata, Model, Result, error::graph_node};
use bytes::Bytes;
use paring_core::Tensor;
use paring_onnx::{ImportError, ImportOptions};
use std::{fs::File, io, path::PathBuf, sync::Arc};

/// Imports a model; its external data must lie in `folder`.
pub(super) fn import(bytes: Bytes, folder: Option<PathBuf>, loader: &Loader) -> Result<Model> {
    let limits = &loader.limits;
    let mut options = ImportOptions::default();
    options.limits.bytes = limits.model_bytes;
    options.limits.nodes = limits.nodes;
    options.operators = loader.operators.clone();
    if let Some(folder) = folder {
        let folder = if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder };
        let limit = limits.model_bytes;
        let load = move |file: File| super::map(&file, limit).map_err(|e| io::Error::other(e.to_string()));
        options = options.with_external(Arc::new(paring_onnx::Folder::new(folder, load)));
    }
    let imported = paring_onnx::import_model(bytes, &options).map_err(import_error)?;
    let m = imported.metadata;
    let metadata = Metadata {
        name: imported.graph.name.clone(),
        producer: format!("{} {}", m.producer, m.producer_version).trim().to_string(),
        doc: m.doc,
        opsets: m.opsets,
        properties: m.properties,
    };
    Model::new(imported.graph, metadata, None)
}

fn import_error(e: ImportError) -> Error {
    let kind = match &e {
        ImportError::Unsupported(_) | ImportError::UnsupportedType { .. } | ImportError::OpsetVersion { .. } => {
            ErrorKind::Unsupported
        }
        ImportError::Limit { .. } => ErrorKind::Limit,
        ImportError::External { .. } => ErrorKind::Io,
        _ => ErrorKind::Corrupt,
    };
    let node = match &e {
        ImportError::Node { node, .. } => Some(node.clone()),
        ImportError::Unsupported(all) => all.first().map(|n| n.node.clone()),
        ImportError::Graph(g) => graph_node(g),
        _ => None,
    };
    Error::from_source(kind, e).maybe_at(node)
}

/// Reads one tensor in ONNX's own format, as test data comes in.
///
/// # Errors
/// Of kind [`ErrorKind::Corrupt`] or [`ErrorKind::Unsupported`].
pub fn read_tensor(bytes: &[u8]) -> Result<Tensor> {
    paring_onnx::read_tensor(Bytes::copy_from_slice(bytes)).map_err(import_error)
}
