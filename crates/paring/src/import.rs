//! From the bytes of a file to a model.

use crate::{Error, ErrorKind, Limits, Loader, Metadata, Model, Result, error::graph_node};
use bytes::Bytes;
use paring_onnx::{ImportError, ImportOptions};
use std::{fs::File, io, path::Path, path::PathBuf, sync::Arc};

/// Reads a `.pare` file, or imports an ONNX model; external data of that must lie in `folder`.
pub(crate) fn import(bytes: Bytes, folder: Option<PathBuf>, loader: &Loader) -> Result<Model> {
    if paring_format::is_pare(&bytes) {
        return crate::file::open(Arc::new(bytes), loader);
    }
    let limits = &loader.limits;
    let mut options = ImportOptions::default();
    options.limits.bytes = limits.model_bytes;
    options.limits.nodes = limits.nodes;
    options.operators = loader.operators.clone();
    if let Some(folder) = folder {
        let folder = if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder };
        let limit = limits.model_bytes;
        let load = move |file: File| map(&file, limit).map_err(|e| io::Error::other(e.to_string()));
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

pub(crate) fn import_error(e: ImportError) -> Error {
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

/// Maps a regular file of at most so many bytes.
pub(crate) fn map_file(path: &Path, limits: &Limits) -> Result<Bytes> {
    let name = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
    // Opening a pipe would wait for a writer.
    let meta = std::fs::metadata(path).map_err(|e| Error::new(ErrorKind::Io, name(&e)))?;
    if !meta.is_file() {
        return Err(Error::new(ErrorKind::Io, name(&"is not a regular file")));
    }
    let file = File::open(path).map_err(|e| Error::new(ErrorKind::Io, name(&e)))?;
    map(&file, limits.model_bytes).map_err(|e| Error::new(e.kind(), name(&e)))
}

fn map(file: &File, limit: usize) -> Result<Bytes> {
    let io = |e: io::Error| Error::new(ErrorKind::Io, e.to_string());
    let len = usize::try_from(file.metadata().map_err(io)?.len()).unwrap_or(usize::MAX);
    if len > limit {
        return Err(Error::new(ErrorKind::Limit, format!("has {len} bytes, more than the limit of {limit}")));
    }
    if len == 0 {
        return Ok(Bytes::new());
    }
    // SAFETY: the mapping is private and read only; `Model::open` tells its callers that the file must not be changed
    // or truncated meanwhile, and offers `from_bytes` to those who cannot promise it.
    let map = unsafe { memmap2::Mmap::map(file) }.map_err(io)?;
    Ok(Bytes::from_owner(map))
}
