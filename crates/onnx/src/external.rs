//! Tensor data in files next to the model.

use bytes::Bytes;
use std::{
    fs::{self, File, Metadata},
    io,
    path::{Component, Path, PathBuf},
};

/// Gives access to the files that a model names as the place of its tensor data.
pub trait ExternalData: Send + Sync {
    /// The whole content at `location`, a path relative to the model with `/` as the separator.
    ///
    /// # Errors
    /// A sentence that says why the data cannot or may not be read.
    fn open(&self, location: &str) -> Result<Bytes, String>;
}

type Load = Box<dyn Fn(File) -> io::Result<Bytes> + Send + Sync>;

/// External data confined to one folder.
///
/// A location is refused that is absolute, contains `..`, passes through or ends in a symbolic link, or names anything
/// but a regular file with a single hard link. The file that was opened is compared with the one that was checked, so
/// that one swapped in between is noticed.
pub struct Folder {
    root: PathBuf,
    load: Load,
}

impl Folder {
    /// The files in `root`, turned to bytes by `load`, which may map or read them.
    pub fn new(root: impl Into<PathBuf>, load: impl Fn(File) -> io::Result<Bytes> + Send + Sync + 'static) -> Folder {
        Folder { root: root.into(), load: Box::new(load) }
    }

    /// The files in `root`, read to memory.
    pub fn reading(root: impl Into<PathBuf>) -> Folder {
        Folder::new(root, |mut file| {
            let mut bytes = Vec::new();
            io::Read::read_to_end(&mut file, &mut bytes)?;
            Ok(bytes.into())
        })
    }

    fn resolve(&self, location: &str) -> Result<PathBuf, String> {
        if location.is_empty() {
            return Err("the location is empty".into());
        }
        if location.contains(['\0', '\\', ':']) {
            return Err("the location contains a NUL, a backslash or a colon".into());
        }
        let mut path = self.root.clone();
        let mut parts = Path::new(location).components().peekable();
        while let Some(part) = parts.next() {
            match part {
                Component::Normal(name) => path.push(name),
                Component::CurDir => continue,
                Component::ParentDir => return Err("'..' would leave the model's folder".into()),
                Component::RootDir | Component::Prefix(_) => {
                    return Err("the path is absolute; external data must lie in the model's folder".into());
                }
            }
            let kind = fs::symlink_metadata(&path).map_err(|e| e.to_string())?.file_type();
            if kind.is_symlink() {
                return Err("the path goes through a symbolic link, which may leave the model's folder".into());
            }
            if parts.peek().is_some() && !kind.is_dir() {
                return Err("a part of the path is not a folder".into());
            }
        }
        let inside = |p: &Path| p.canonicalize().map_err(|e| e.to_string());
        if !inside(&path)?.starts_with(inside(&self.root)?) {
            return Err("the file lies outside the model's folder".into());
        }
        Ok(path)
    }
}

impl ExternalData for Folder {
    fn open(&self, location: &str) -> Result<Bytes, String> {
        let path = self.resolve(location)?;
        let checked = fs::symlink_metadata(&path).map_err(|e| e.to_string())?;
        // Opening a pipe or device could block or have effects: look first.
        if !checked.is_file() {
            return Err("not a regular file".into());
        }
        if links(&checked) > 1 {
            return Err("the file has more than one hard link and may be another's".into());
        }
        let file = File::open(&path).map_err(|e| e.to_string())?;
        let opened = file.metadata().map_err(|e| e.to_string())?;
        if !opened.is_file() || !same(&checked, &opened) {
            return Err("the file was replaced while it was opened".into());
        }
        (self.load)(file).map_err(|e| e.to_string())
    }
}

#[cfg(unix)]
fn links(m: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::nlink(m)
}

#[cfg(not(unix))]
fn links(_: &Metadata) -> u64 {
    1
}

#[cfg(unix)]
fn same(a: &Metadata, b: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

#[cfg(not(unix))]
fn same(a: &Metadata, b: &Metadata) -> bool {
    a.len() == b.len()
}
