//! NumPy's `.npz` format: a zip archive of `.npy` files.

use crate::data::npy;
use crate::exit::{Context, Failure, Result};
use paring::Tensor;
use std::io::{Cursor, Read};
use zip::ZipArchive;

/// Enough of an entry to hold its `.npy` header.
const HEAD: u64 = (1 << 16) + 12;

/// Every array of the archive with its name. Together they may have `limit` bytes: the size that each header
/// announces, not the archive's directory, decides how much is unpacked.
pub fn read(bytes: &[u8], limit: usize) -> Result<Vec<(String, Tensor)>> {
    let mut archive = ZipArchive::new(Cursor::new(bytes)).context("not a usable .npz archive")?;
    let mut arrays: Vec<(String, Tensor)> = Vec::new();
    let mut left = limit;
    for i in 0..archive.len() {
        let mut entry = archive.by_index(i).context("not a usable .npz archive")?;
        let name = entry.name().context("not a usable .npz archive")?;
        let Some(name) = name.strip_suffix(".npy").map(str::to_owned) else { continue };
        let within = |f: Failure| f.within(format!("array `{}`", name.escape_debug()));
        if arrays.iter().any(|(n, _)| *n == name) {
            return Err(within(Failure::other("is there twice")));
        }
        let mut data = Vec::new();
        entry.by_ref().take(HEAD).read_to_end(&mut data).context("cannot unpack").map_err(within)?;
        let need = npy::read_header(&data).map_err(within)?.file_bytes().filter(|&n| n <= left);
        let Some(need) = need else {
            return Err(within(Failure::limit(format!("is larger than the limit of {limit} bytes"))));
        };
        left -= need;
        let rest = need.saturating_sub(data.len()) as u64;
        entry.take(rest).read_to_end(&mut data).context("cannot unpack").map_err(within)?;
        arrays.push((name.clone(), npy::read(&data).map_err(within)?));
    }
    if arrays.is_empty() { Err(Failure::other("the archive holds no arrays")) } else { Ok(arrays) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;
    use std::io::Write;
    use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

    fn archive(files: &[(&str, &[u8])], method: CompressionMethod) -> Vec<u8> {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, data) in files {
            zip.start_file(*name, SimpleFileOptions::default().compression_method(method)).expect("an entry");
            zip.write_all(data).expect("its data");
        }
        zip.finish().expect("an archive").into_inner()
    }

    #[test]
    fn stored_and_deflated_arrays() {
        let (a, b) = (Tensor::new(&[2], &[1f32, 2.0]).expect("a tensor"), Tensor::from_i64s(&[7]));
        let (fa, fb) = (npy::write(&a).expect("a file"), npy::write(&b).expect("a file"));
        for method in [CompressionMethod::Stored, CompressionMethod::Deflated] {
            let zip = archive(&[("a.npy", &fa), ("readme.txt", b"x"), ("sub/b.npy", &fb)], method);
            let got = read(&zip, 1 << 20).expect("arrays");
            assert_eq!(got, [("a".to_owned(), a.clone()), ("sub/b".to_owned(), b.clone())]);
        }
    }

    #[test]
    fn a_bomb_meets_the_limit() {
        let zeros = npy::write(&Tensor::new(&[1 << 20], &vec![0u8; 1 << 20]).expect("a tensor")).expect("a file");
        let zip = archive(&[("a.npy", &zeros)], CompressionMethod::Deflated);
        assert!(zip.len() < 1 << 12);
        assert_eq!(read(&zip, 1 << 16).expect_err("too large").exit, Exit::Limit);
        assert!(read(&zip, 1 << 21).is_ok());
    }

    #[test]
    fn truncation_and_garbage_are_errors() {
        let f = npy::write(&Tensor::from_i64s(&[1, 2, 3])).expect("a file");
        let zip = archive(&[("a.npy", &f)], CompressionMethod::Deflated);
        for end in 0..zip.len() {
            assert!(read(&zip[..end], 1 << 20).is_err(), "{end} bytes");
        }
        for i in 0..zip.len() {
            let mut z = zip.clone();
            z[i] ^= 0x55;
            // Some bytes, such as times, do not matter: what counts is that nothing panics.
            if let Ok(arrays) = read(&z, 1 << 20) {
                assert_eq!(arrays.len(), 1);
            }
        }
        assert!(read(&archive(&[("a.txt", b"x")], CompressionMethod::Stored), 1 << 20).is_err());
    }
}
