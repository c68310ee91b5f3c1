//! Output files: safe names, nothing half-written, nothing overwritten by surprise.

use crate::data::npy;
use crate::exit::{Context, Failure, Result};
use paring::Tensor;
use std::collections::HashSet;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// Longest file name made of a tensor's name; most file systems allow 255 bytes.
const MAX_NAME: usize = 200;

/// `name` as the name of a file: no separators, no leading dot, nothing a shell or a terminal would mind.
pub fn file_stem(name: &str) -> String {
    let safe = |c: char| if c.is_alphanumeric() || matches!(c, '_' | '-' | '.') { c } else { '_' };
    let mut stem: String = name.chars().map(safe).collect();
    if stem.starts_with('.') {
        stem.replace_range(..1, "_");
    }
    let end = (0..=MAX_NAME.min(stem.len())).rev().find(|&i| stem.is_char_boundary(i)).unwrap_or(0);
    stem.truncate(end);
    if stem.is_empty() { "output".to_owned() } else { stem }
}

/// A file for each of `names` in `dir`, all different even on file systems that ignore case.
pub fn plan(dir: &Path, names: &[&str]) -> Vec<PathBuf> {
    let mut taken = HashSet::new();
    let mut path = |name: &&str| {
        let stem = file_stem(name);
        let unique = std::iter::once(stem.clone()).chain((1..).map(|i| format!("{stem}_{i}")));
        let free = unique.into_iter().find(|s| taken.insert(s.to_lowercase())).expect("some number is free");
        dir.join(format!("{free}.npy"))
    };
    names.iter().map(&mut path).collect()
}

/// Fails where one of `files` exists already, unless told to overwrite.
pub fn check_free(files: &[PathBuf], force: bool) -> Result<()> {
    match files.iter().find(|f| !force && f.symlink_metadata().is_ok()) {
        Some(f) => Err(Failure::other(format!("{} exists already; -f overwrites it", f.display()))),
        None => Ok(()),
    }
}

/// Writes `tensor` as `.npy`.
pub fn write(file: &Path, tensor: &Tensor) -> Result<()> {
    write_bytes(file, &npy::write(tensor).map_err(|f| f.within(file.display()))?)
}

/// Writes `bytes`, whole or not at all.
pub fn write_bytes(file: &Path, bytes: &[u8]) -> Result<()> {
    write_with(file, |out| out.write_all(bytes).context(file.display()))
}

/// Writes beside `file` first and renames, so that a reader never sees half of it.
pub fn write_with<T>(file: &Path, write: impl FnOnce(&mut dyn Write) -> Result<T>) -> Result<T> {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let temporary = file.with_file_name(format!(".{name}.{}.tmp", std::process::id()));
    let into_temporary = || {
        let mut out = BufWriter::new(File::create(&temporary).context(file.display())?);
        let result = write(&mut out)?;
        out.flush().context(file.display())?;
        Ok(result)
    };
    let done = into_temporary().and_then(|r| std::fs::rename(&temporary, file).context(file.display()).map(|()| r));
    if done.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_the_folder() {
        for hostile in ["../../etc/passwd", "..", ".", "a/b", "a\\b", "C:x", "\0", "", "x\ny", ".hidden"] {
            let stem = file_stem(hostile);
            assert!(
                !stem.is_empty() && !stem.starts_with('.') && !stem.contains(['/', '\\', ':', '\0', '\n']),
                "{stem}"
            );
        }
        assert_eq!(file_stem("layer1.0/conv"), "layer1.0_conv");
        assert_eq!(file_stem("größe"), "größe");
        assert!(file_stem(&"é".repeat(300)).len() <= MAX_NAME);
    }

    #[test]
    fn names_stay_apart() {
        let files = plan(Path::new("d"), &["a/b", "a:b", "A_B", "a_b_1"]);
        let names: Vec<_> = files.iter().map(|f| f.display().to_string().replace('\\', "/")).collect();
        assert_eq!(names, ["d/a_b.npy", "d/a_b_1.npy", "d/A_B_2.npy", "d/a_b_1_1.npy"]);
    }
}
