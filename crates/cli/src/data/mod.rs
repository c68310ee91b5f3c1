//! Tensors from and to files.

pub mod image;
pub mod npy;
pub mod npz;
pub mod write;

use crate::exit::{Context, Failure, Result};
use paring::Tensor;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Largest data file, and largest array of one, that is read when no limit is given.
pub const DEFAULT_LIMIT: usize = 4 << 30;

/// What kind of file a name promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Npy,
    Npz,
    Protobuf,
    Image,
}

impl Kind {
    /// By extension.
    pub fn of(path: &Path) -> Result<Kind> {
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
        match extension.as_str() {
            "npy" => Ok(Kind::Npy),
            "npz" => Ok(Kind::Npz),
            "pb" => Ok(Kind::Protobuf),
            "png" | "jpg" | "jpeg" => Ok(Kind::Image),
            _ => Err(Failure::usage(format!(
                "{}: expected a file that ends in .npy, .npz, .pb, .png or .jpg",
                path.display()
            ))),
        }
    }
}

/// The whole file, if it is a regular one within `limit` bytes.
pub fn read_file(path: &Path, limit: usize) -> Result<Vec<u8>> {
    let name = path.display();
    // Opening a pipe or a device may block or never end, so look first.
    let meta = std::fs::metadata(path).context(&name)?;
    if !meta.is_file() {
        return Err(Failure::other(format!("{name}: not a regular file")));
    }
    let over = || Failure::limit(format!("{name}: larger than the limit of {limit} bytes"));
    if meta.len() > limit as u64 {
        return Err(over());
    }
    let mut bytes = Vec::new();
    let file = File::open(path).context(&name)?;
    file.take(limit as u64 + 1).read_to_end(&mut bytes).context(&name)?;
    if bytes.len() > limit { Err(over()) } else { Ok(bytes) }
}

/// The tensors of a data file with their names; a file that holds just one has no name for it.
pub fn read_arrays(path: &Path, limit: usize) -> Result<Vec<(Option<String>, Tensor)>> {
    let kind = Kind::of(path)?;
    let bytes = read_file(path, limit)?;
    let arrays = match kind {
        Kind::Npy => npy::read(&bytes).map(|t| vec![(None, t)]),
        Kind::Npz => npz::read(&bytes, limit).map(|all| all.into_iter().map(|(n, t)| (Some(n), t)).collect()),
        Kind::Protobuf => paring::read_onnx_tensor(&bytes).map(|t| vec![(None, t)]).map_err(Failure::from),
        Kind::Image => Err(Failure::usage("an image is no array")),
    };
    arrays.map_err(|f| f.within(path.display()))
}

/// The one tensor of a data file: of an `.npz`, the array `name` or its only one.
pub fn read_array(path: &Path, name: Option<&str>, limit: usize) -> Result<Tensor> {
    let mut arrays = read_arrays(path, limit)?;
    if let Some(i) = arrays.iter().position(|(n, _)| n.is_some() && n.as_deref() == name) {
        return Ok(arrays.swap_remove(i).1);
    }
    match arrays.len() {
        1 => Ok(arrays.remove(0).1),
        _ => {
            let names: Vec<_> = arrays.iter().filter_map(|(n, _)| n.as_deref()).collect();
            let wanted = name.map_or(String::new(), |n| format!(", none of them `{n}`"));
            Err(Failure::usage(format!("{}: holds arrays {}{wanted}", path.display(), names.join(", "))))
        }
    }
}
