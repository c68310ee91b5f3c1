//! Recorded inputs and outputs of a model.

use crate::compute::names;
use crate::data::{self, write::file_stem};
use crate::exit::{Context, Failure, Result};
use paring::{IoInfo, Model, Tensor};
use std::path::{Path, PathBuf};

/// What was recorded: an input for every input of the model, and some outputs with their places.
pub struct Recorded {
    pub inputs: Vec<Tensor>,
    pub outputs: Vec<(usize, Tensor)>,
}

/// Reads a folder of `.npy` and `.npz` files, an `.npz` file, or an ONNX test-data folder.
pub fn read(path: &Path, model: &Model, limit: usize) -> Result<Recorded> {
    let recorded = if path.join("output_0.pb").is_file() {
        read_test_data(path, model, limit)?
    } else {
        by_name(arrays(path, limit)?, model, path)?
    };
    if recorded.outputs.is_empty() {
        let outputs = names(model.outputs());
        return Err(Failure::usage(format!("{}: holds none of the outputs {outputs}", path.display())));
    }
    Ok(recorded)
}

/// `input_0.pb`, `output_0.pb` and so on, numbered as the model's inputs that are not initializers.
fn read_test_data(dir: &Path, model: &Model, limit: usize) -> Result<Recorded> {
    let read = |what: &str, i: usize| {
        let file = dir.join(format!("{what}_{i}.pb"));
        file.is_file().then(|| data::read_array(&file, None, limit)).transpose()
    };
    let inputs = model.inputs().iter().enumerate().map(|(i, info)| {
        read("input", i)?
            .ok_or_else(|| Failure::usage(format!("{}: no input_{i}.pb for `{}`", dir.display(), info.name)))
    });
    let inputs = inputs.collect::<Result<Vec<_>>>()?;
    let mut outputs = Vec::new();
    for i in 0..model.outputs().len() {
        if let Some(tensor) = read("output", i)? {
            outputs.push((i, tensor));
        }
    }
    match dir.join(format!("output_{}.pb", model.outputs().len())).exists() {
        true => Err(Failure::usage(format!("{}: has more outputs than the model", dir.display()))),
        false => Ok(Recorded { inputs, outputs }),
    }
}

/// Every named array at `path`; a `.npy` file is named by its stem.
fn arrays(path: &Path, limit: usize) -> Result<Vec<(String, Tensor)>> {
    let mut files = if path.is_dir() { list(path)? } else { vec![path.to_owned()] };
    files.sort();
    let mut all = Vec::new();
    for file in files {
        let stem = file.file_stem().and_then(|s| s.to_str()).unwrap_or_default();
        let arrays = data::read_arrays(&file, limit)?;
        all.extend(arrays.into_iter().map(|(name, t)| (name.unwrap_or_else(|| stem.to_owned()), t)));
    }
    Ok(all)
}

fn list(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(dir).context(dir.display())?;
    let files = entries.map(|e| e.map(|e| e.path())).collect::<std::io::Result<Vec<_>>>().context(dir.display())?;
    let is_array = |f: &PathBuf| matches!(f.extension().and_then(|e| e.to_str()), Some("npy" | "npz"));
    Ok(files.into_iter().filter(is_array).collect())
}

fn by_name(arrays: Vec<(String, Tensor)>, model: &Model, path: &Path) -> Result<Recorded> {
    // Names that no file can have are found under the name that `paring run` writes.
    let find = |info: &IoInfo| {
        let named = arrays.iter().find(|(n, _)| *n == info.name);
        named.or_else(|| arrays.iter().find(|(n, _)| *n == file_stem(&info.name))).map(|(_, t)| t.clone())
    };
    let inputs = model.inputs().iter().map(|info| {
        find(info).ok_or_else(|| Failure::usage(format!("{}: no array for input `{}`", path.display(), info.name)))
    });
    let inputs = inputs.collect::<Result<Vec<_>>>()?;
    let outputs = model.outputs().iter().enumerate().filter_map(|(i, info)| Some((i, find(info)?))).collect();
    Ok(Recorded { inputs, outputs })
}
