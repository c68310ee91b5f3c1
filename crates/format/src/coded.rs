//! Constants of few different numbers, as tables of them and codes of few bits.
//!
//! Weights stored in few bits are `f32` by the time a model is written. Where every row or every column of a constant has
//! at most 256 different numbers, the file has a table of these for each, and codes of 1, 2, 4 or 8 bits: exactly the same
//! numbers in an eighth of the bytes, say.

use crate::{
    FormatError, Integrity,
    guard::compare,
    header::{u32_at, u64_at},
};
use paring_core::{AlignedBuf, DType, Shared, Tensor};
use std::{
    collections::HashMap,
    ops::Range,
    sync::{Mutex, OnceLock},
};

/// Bytes in front of the tables.
const HEAD: usize = 64;
/// Shorter constants stay as they are.
const LEAST_ELEMENTS: usize = 1024;

/// How the elements are coded. Element `i` is an entry of table `i / span % tables`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Form {
    /// Of a code: 1, 2, 4 or 8.
    bits: usize,
    tables: usize,
    span: usize,
    elements: usize,
}

impl Form {
    /// Bytes of a table.
    fn table(&self) -> usize {
        size_of::<f32>() << self.bits
    }

    /// Bytes of the section.
    fn coded_bytes(&self) -> Option<usize> {
        let tables = self.table().checked_mul(self.tables)?;
        let codes = self.elements.div_ceil(8 / self.bits);
        HEAD.checked_add(tables)?.checked_add(codes)
    }

    /// Bytes of the constant: at most 32 times as many.
    pub fn plain_bytes(&self) -> usize {
        self.elements * size_of::<f32>()
    }

    /// Reads the head of a section, which has as many bytes as it says.
    pub fn of(section: &[u8], what: &str) -> Result<Form, FormatError> {
        let wrong = || FormatError::Structure(format!("{what} is not coded as it says"));
        let number = |at| u64_at(section, at).and_then(|n| usize::try_from(n).ok()).ok_or_else(wrong);
        let bits = u32_at(section, 0).ok_or_else(wrong)? as usize;
        let form = Form { bits, tables: number(8)?, span: number(16)?, elements: number(24)? };
        let sensible = matches!(bits, 1 | 2 | 4 | 8) && form.tables > 0 && form.span > 0;
        if !sensible || form.coded_bytes() != Some(section.len()) {
            return Err(wrong());
        }
        let round = form.tables.checked_mul(form.span).ok_or_else(wrong)?;
        if form.elements.is_multiple_of(round) { Ok(form) } else { Err(wrong()) }
    }

    fn head(&self) -> Vec<u8> {
        let mut head = (self.bits as u32).to_le_bytes().to_vec();
        head.resize(8, 0);
        for n in [self.tables, self.span, self.elements] {
            head.extend_from_slice(&(n as u64).to_le_bytes());
        }
        head.resize(HEAD, 0);
        head
    }

    /// Calls `each` with every element's number and the number of its table, in order, until it returns `None`.
    fn walk(&self, mut each: impl FnMut(usize, usize) -> Option<()>) -> Option<()> {
        let mut i = 0;
        while i < self.elements {
            for table in 0..self.tables {
                for _ in 0..self.span {
                    each(i, table)?;
                    i += 1;
                }
            }
        }
        Some(())
    }
}

/// The constant, coded; `None` where that would not be half as long at most.
pub(crate) fn encode(t: &Tensor) -> Option<Vec<u8>> {
    if t.dtype() != DType::F32 || t.len() < LEAST_ELEMENTS || t.quant().is_some() {
        return None;
    }
    let (&[first, ..], &[.., last]) = (t.shape(), t.shape()) else { return None };
    let by_row = (first, t.len() / first);
    let by_column = (last, 1);
    let ways = if t.shape().len() == 2 { vec![by_row, by_column] } else { vec![by_row] };
    ways.into_iter().find_map(|(tables, span)| encode_by(t, tables, span))
}

fn encode_by(t: &Tensor, tables: usize, span: usize) -> Option<Vec<u8>> {
    let bits_of = |i: usize| Some(u32::from_le_bytes(t.bytes().get(4 * i..4 * i + 4)?.try_into().ok()?));
    let widest = Form { bits: 8, tables, span, elements: t.len() };
    // Most constants end here, in their first row or column.
    let mut seen: Vec<HashMap<u32, usize>> = vec![HashMap::new(); tables];
    widest.walk(|i, table| {
        let next = seen[table].len();
        seen[table].entry(bits_of(i)?).or_insert(next);
        (seen[table].len() <= 256).then_some(())
    })?;
    let most = seen.iter().map(HashMap::len).max()?;
    let bits = [1, 2, 4, 8].into_iter().find(|&bits| most <= 1 << bits)?;
    let form = Form { bits, ..widest };
    if form.coded_bytes()? > t.byte_len() / 2 {
        return None;
    }
    let mut out = form.head();
    out.resize(form.coded_bytes()?, 0);
    let (entries, codes) = out[HEAD..].split_at_mut(tables * form.table());
    for (table, seen) in entries.chunks_exact_mut(form.table()).zip(&seen) {
        for (bits, &code) in seen {
            table[4 * code..][..4].copy_from_slice(&bits.to_le_bytes());
        }
    }
    form.walk(|i, table| {
        let code = *seen[table].get(&bits_of(i)?)?;
        codes[i * bits / 8] |= (code << (i * bits % 8)) as u8;
        Some(())
    })?;
    Some(out)
}

/// A section with a coded constant, checked and decoded on the first look.
pub(crate) struct Coded {
    file: Shared,
    range: Range<usize>,
    checksum: u32,
    what: String,
    integrity: Integrity,
    form: Form,
    /// Room for the elements, which the system makes only when it is written to: what can fail has happened by then.
    room: Mutex<Option<AlignedBuf>>,
    decoded: OnceLock<Option<AlignedBuf>>,
}

impl Coded {
    /// The constant in `range` of the file, of which the head is checked now, and the rest when it is read.
    pub fn new(
        file: Shared,
        range: Range<usize>,
        checksum: u32,
        what: String,
        integrity: Integrity,
    ) -> Result<Coded, FormatError> {
        let form = Form::of((*file).as_ref().get(range.clone()).unwrap_or_default(), &what)?;
        let room = Mutex::new(Some(AlignedBuf::zeroed(form.plain_bytes())?));
        Ok(Coded { file, range, checksum, what, integrity, form, room, decoded: OnceLock::new() })
    }

    /// Bytes of the constant.
    pub fn len(&self) -> usize {
        self.form.plain_bytes()
    }

    fn decode(&self) -> Option<AlignedBuf> {
        let section = (*self.file).as_ref().get(self.range.clone())?;
        self.integrity.note(compare(section, self.checksum, || self.what.clone()));
        let mut room = self.room.lock().ok()?.take()?;
        let Form { bits, tables, .. } = self.form;
        let (entries, codes) = section.get(HEAD..)?.split_at_checked(tables * self.form.table())?;
        let mask = (1 << bits) - 1;
        let (out, _) = room.as_mut_slice().as_chunks_mut::<4>();
        let (entries, _) = entries.as_chunks::<4>();
        self.form.walk(|i, table| {
            let code = usize::from(codes[i * bits / 8]) >> (i * bits % 8) & mask;
            out[i] = entries[(table << bits) + code];
            Some(())
        })?;
        Some(room)
    }
}

impl AsRef<[u8]> for Coded {
    fn as_ref(&self) -> &[u8] {
        self.decoded.get_or_init(|| self.decode()).as_ref().map_or(&[], AlignedBuf::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn round_trip(t: &Tensor) -> usize {
        let coded = encode(t).expect("few different numbers");
        let (len, checksum) = (coded.len(), crate::header::checksum(&coded));
        let integrity = Integrity::default();
        let back = Coded::new(Arc::new(coded), 0..len, checksum, "it".into(), integrity.clone()).expect("as written");
        assert_eq!((back.len(), back.as_ref()), (t.byte_len(), t.bytes()));
        integrity.check().expect("undamaged");
        len
    }

    /// Elements of which table `i / span % tables` has `different`.
    fn few(shape: &[usize], span: usize, tables: usize, different: usize) -> Tensor {
        let number = |i: usize| {
            let n = (i.wrapping_mul(0x9E37_79B1) >> 16) % different;
            if n == 3 {
                f32::from_bits(0x7fc0_0000 + i as u32 % 2)
            } else {
                (i / span % tables * 1000 + n) as f32 * -0.1
            }
        };
        let len = shape.iter().product();
        Tensor::new(shape, &(0..len).map(number).collect::<Vec<_>>()).expect("a small tensor")
    }

    #[test]
    fn constants_come_back_to_the_bit() {
        for (different, bits) in [(1, 1usize), (2, 1), (3, 2), (4, 4), (15, 4), (16, 8), (200, 8)] {
            let (rows, columns) = (few(&[5, 3, 1001], 3003, 5, different), few(&[4001, 7], 1, 7, different));
            assert_eq!(round_trip(&rows), 64 + 5 * (4 << bits) + (5 * 3003 * bits).div_ceil(8), "{different}");
            assert_eq!(round_trip(&columns), 64 + 7 * (4 << bits) + (7 * 4001 * bits).div_ceil(8), "{different}");
        }
    }

    #[test]
    fn others_stay_as_they_are() {
        assert!(encode(&few(&[5, 3, 1001], 3003, 5, 300)).is_none());
        // Tables would be as long as the rows.
        assert!(encode(&few(&[500, 9], 9, 500, 9)).is_none());
        assert!(encode(&few(&[10, 100], 100, 10, 4)).is_none());
    }

    #[test]
    fn heads_that_make_no_sense_are_refused() {
        let coded = encode(&few(&[5, 3003], 3003, 5, 4)).expect("few different numbers");
        for at in 0..32 {
            for bit in 0..8 {
                let mut damaged = coded.clone();
                damaged[at] ^= 1 << bit;
                let unused = (4..8).contains(&at);
                match Form::of(&damaged, "it") {
                    Ok(form) => assert!(unused || form.coded_bytes() == Some(coded.len()), "{at} {bit}"),
                    Err(e) => assert!(e.to_string().contains("coded"), "{e}"),
                }
            }
        }
        assert!(Form::of(&coded[..coded.len() - 1], "it").is_err());
        assert!(Form::of(&[], "it").is_err());
    }
}
