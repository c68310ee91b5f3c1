//! Small trained networks with test images: see `data/trained/NOTICE`.

use crate::zoo::{ZooError, read};
use std::path::PathBuf;

/// Height and width of the images.
pub const SIDE: usize = 28;
/// Entries of one vector of logits.
pub const CLASSES: usize = 10;

fn file(name: &str) -> Result<Vec<u8>, ZooError> {
    read(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("data/trained").join(name))
}

/// The elements of a file in NumPy's format, version 1 (the header tells a length of its own at byte 8).
fn elements(name: &str) -> Result<Vec<u8>, ZooError> {
    let bytes = file(name)?;
    let malformed = || ZooError::Malformed(format!("{name} is not in NumPy's format"));
    let head = bytes.get(..10).filter(|h| h.starts_with(b"\x93NUMPY\x01")).ok_or_else(malformed)?;
    let start = 10 + usize::from(u16::from_le_bytes([head[8], head[9]]));
    bytes.get(start..).map(<[u8]>::to_vec).ok_or_else(malformed)
}

/// A network by name, such as `resnet_s_mnist`.
///
/// # Errors
/// [`ZooError::Read`] where there is none.
pub fn model(name: &str) -> Result<Vec<u8>, ZooError> {
    file(&format!("{name}.onnx"))
}

/// The test images of `mnist` or `fashion`, one after the other, as the networks want them: 0 to 1.
///
/// # Errors
/// [`ZooError`] where the data is missing or damaged.
pub fn images(data: &str) -> Result<Vec<f32>, ZooError> {
    Ok(elements(&format!("{data}_test_x.npy"))?.into_iter().map(|p| f32::from(p) / 255.0).collect())
}

/// The classes that the test images show.
///
/// # Errors
/// As for [`images`].
pub fn labels(data: &str) -> Result<Vec<u8>, ZooError> {
    elements(&format!("{data}_test_y.npy"))
}

/// The logits that another implementation computed for the first 64 images.
///
/// # Errors
/// As for [`images`].
pub fn logits(name: &str) -> Result<Vec<f32>, ZooError> {
    let bytes = elements(&format!("{name}_logits64.npy"))?;
    Ok(bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
}
