//! What fuzzers and tests do with arbitrary bytes. None of it may panic, whatever it is given.

use crate::{
    Limits,
    header::{ENTRY, HEADER, checksum, u32_at, u64_at},
    read,
};
use std::sync::Arc;

/// Makes every checksum of a file right, as far as its table lies within it: damage behind checksums is what somebody
/// does who means harm.
pub fn seal(file: &mut [u8]) {
    let Some(count) = u32_at(file, 12) else { return };
    let Some(end) = (count as usize).checked_mul(ENTRY).map(|n| n + HEADER).filter(|&end| end <= file.len()) else {
        return;
    };
    for entry in (HEADER..end).step_by(ENTRY) {
        let (Some(start), Some(len)) = (u64_at(file, entry + 8), u64_at(file, entry + 16)) else { return };
        let range = start.checked_add(len).map(|end| start as usize..end as usize);
        if let Some(sum) = range.and_then(|r| file.get(r)).map(checksum) {
            put(file, entry + 4, sum);
        }
    }
    put(file, 24, checksum(&file[HEADER..end]));
    put(file, HEADER - 4, checksum(&file[..HEADER - 4]));
}

fn put(file: &mut [u8], at: usize, sum: u32) {
    file[at..at + 4].copy_from_slice(&sum.to_le_bytes());
}

/// Reads bytes as they are, and with right checksums: what is read is well formed, and nothing panics.
///
/// # Panics
/// Where that does not hold.
pub fn check(bytes: &[u8]) {
    let limits = Limits { nodes: 10_000, text_bytes: 1 << 20 };
    let mut sealed = bytes.to_vec();
    seal(&mut sealed);
    for file in [bytes.to_vec(), sealed] {
        let Ok(contents) = read(Arc::new(file), "0", &limits) else { continue };
        if contents.graph.verify().is_ok() {
            let text = contents.graph.to_text();
            assert!(!text.is_empty(), "a graph has a text");
        }
    }
}
