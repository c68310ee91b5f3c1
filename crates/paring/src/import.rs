//! From the bytes of a file to a model.

#[cfg(feature = "onnx")]
mod onnx;

use crate::{Error, ErrorKind, Limits, Loader, Model, Result};
use bytes::Bytes;
use std::{fs::File, io, path::Path, path::PathBuf, sync::Arc};

#[cfg(feature = "onnx")]
pub use onnx::read_tensor;

/// Reads a `.pare` file, or imports an ONNX model; external data of that must lie in `folder`.
pub(crate) fn import(bytes: Bytes, folder: Option<PathBuf>, loader: &Loader) -> Result<Model> {
    if paring_format::is_pare(&bytes) {
        return crate::file::open(Arc::new(bytes), loader);
    }
    other(bytes, folder, loader)
}

#[cfg(feature = "onnx")]
fn other(bytes: Bytes, folder: Option<PathBuf>, loader: &Loader) -> Result<Model> {
    onnx::import(bytes, folder, loader)
}

#[cfg(not(feature = "onnx"))]
fn other(_: Bytes, _: Option<PathBuf>, _: &Loader) -> Result<Model> {
    let what = "this is no .pare file, and this program was built to read no others: convert the model with `paring convert \
                MODEL -o MODEL.pare`, or build with the feature `onnx`";
    Err(Error::new(ErrorKind::Unsupported, what))
}

/// Maps a regular file of at most so many bytes, or reads it where there are no mappings.
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

/// Maps a file that was opened already.
fn map(file: &File, limit: usize) -> Result<Bytes> {
    let io = |e: io::Error| Error::new(ErrorKind::Io, e.to_string());
    let len = usize::try_from(file.metadata().map_err(io)?.len()).unwrap_or(usize::MAX);
    if len > limit {
        return Err(Error::new(ErrorKind::Limit, format!("has {len} bytes, more than the limit of {limit}")));
    }
    if len == 0 {
        return Ok(Bytes::new());
    }
    contents(file, len).map_err(io)
}

#[cfg(any(unix, windows))]
fn contents(file: &File, _: usize) -> io::Result<Bytes> {
    // SAFETY: the mapping is private and read only; `Model::open` tells its callers that the file must not be changed
    // or truncated meanwhile, and offers `from_bytes` to those who cannot promise it.
    let map = unsafe { memmap2::Mmap::map(file) }?;
    Ok(Bytes::from_owner(map))
}

/// WebAssembly has no mappings. Into a buffer that is aligned as sections of a `.pare` file are, which are then used in
/// place all the same.
#[cfg(not(any(unix, windows)))]
fn contents(mut file: &File, len: usize) -> io::Result<Bytes> {
    use std::io::Read;
    let mut all = paring_core::AlignedBuf::zeroed(len).map_err(|e| io::Error::new(io::ErrorKind::OutOfMemory, e))?;
    file.read_exact(all.as_mut_slice())?;
    Ok(Bytes::from_owner(all))
}
