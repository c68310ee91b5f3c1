//! Imports every model under the folders given and says how many there are, and why the others fail:
//!
//! ```text
//! cargo run -p paring-onnx --example import_all -- path/to/onnx/backend/test/data
//! ```

use paring_onnx::{Folder, ImportError, ImportOptions, import};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

fn models(folder: &Path, out: &mut Vec<PathBuf>) {
    if folder.is_file() {
        return out.push(folder.into());
    }
    let Ok(entries) = folder.read_dir() else { return };
    let mut entries: Vec<PathBuf> = entries.flatten().map(|e| e.path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            models(&path, out);
        } else if path.extension().is_some_and(|e| e == "onnx") {
            out.push(path);
        }
    }
}

fn main() {
    let mut paths = Vec::new();
    for folder in std::env::args().skip(1) {
        models(Path::new(&folder), &mut paths);
    }
    let mut failures: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut imported = 0;
    for path in &paths {
        let Ok(bytes) = std::fs::read(path) else { continue };
        let folder = path.parent().unwrap_or(Path::new("."));
        let options = ImportOptions::default().with_external(Arc::new(Folder::reading(folder)));
        match import(bytes.into(), &options) {
            Ok(graph) => match graph.verify() {
                Ok(()) => imported += 1,
                Err(e) => failures.entry(format!("not well formed: {e}")).or_default().push(path.display().to_string()),
            },
            Err(e) => {
                let reason = match &e {
                    ImportError::Unsupported(ops) => {
                        let mut seen: Vec<String> = ops.iter().map(|o| format!("{}: {}", o.op, o.reason)).collect();
                        seen.sort();
                        seen.dedup();
                        seen.join("; ")
                    }
                    e => e.to_string(),
                };
                let name = if path.ends_with("model.onnx") { folder } else { path };
                failures.entry(reason).or_default().push(name.file_name().unwrap_or_default().display().to_string());
            }
        }
    }
    println!("{imported} of {} models imported", paths.len());
    let mut failures: Vec<_> = failures.into_iter().collect();
    failures.sort_by_key(|(_, names)| std::cmp::Reverse(names.len()));
    for (reason, names) in failures {
        println!("{:5}  {reason}\n       {}", names.len(), names[..names.len().min(4)].join(" "));
    }
}
