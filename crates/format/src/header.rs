//! Header and table: the fixed part of a file.

use crate::FormatError;
use paring_core::ALIGNMENT;
use std::ops::Range;

/// The first bytes of every file. Transfers that change line ends or strip the eighth bit are caught by it, as in PNG.
pub const MARK: [u8; 8] = *b"\x89PARE\r\n\x1a";

/// The version that is written. Readers refuse a greater major one; a greater minor one adds sections only.
pub const VERSION: (u16, u16) = (1, 0);

pub(crate) const HEADER: usize = 64;
pub(crate) const ENTRY: usize = 32;
/// Far above what networks need; a table of them has 2 MiB.
pub(crate) const MOST_SECTIONS: u32 = 1 << 16;

/// What a section is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SectionKind {
    /// The graph in text form; constants of more than 16 elements are `data N`, the `N`th constant section,
    /// plain or coded.
    Graph,
    /// Where the network comes from, in RON.
    Metadata,
    /// How the file was made, in RON.
    Recipe,
    /// The elements of one constant.
    Constant,
    /// What the packed sections are, in RON.
    PackIndex,
    /// Weights in the form that a kernel reads.
    Packed,
    /// The elements of one constant, as tables and codes.
    CodedConstant,
    /// Something that this version does not know, and skips.
    Unknown(u32),
}

impl SectionKind {
    pub(crate) fn code(self) -> u32 {
        match self {
            SectionKind::Graph => 1,
            SectionKind::Metadata => 2,
            SectionKind::Recipe => 3,
            SectionKind::Constant => 4,
            SectionKind::PackIndex => 5,
            SectionKind::Packed => 6,
            SectionKind::CodedConstant => 7,
            SectionKind::Unknown(code) => code,
        }
    }

    fn from_code(code: u32) -> SectionKind {
        match code {
            1 => SectionKind::Graph,
            2 => SectionKind::Metadata,
            3 => SectionKind::Recipe,
            4 => SectionKind::Constant,
            5 => SectionKind::PackIndex,
            6 => SectionKind::Packed,
            7 => SectionKind::CodedConstant,
            code => SectionKind::Unknown(code),
        }
    }

    /// For messages and tables.
    pub fn name(self) -> &'static str {
        match self {
            SectionKind::Graph => "graph",
            SectionKind::Metadata => "metadata",
            SectionKind::Recipe => "recipe",
            SectionKind::Constant => "constant",
            SectionKind::PackIndex => "pack index",
            SectionKind::Packed => "packed weights",
            SectionKind::CodedConstant => "coded constant",
            SectionKind::Unknown(_) => "unknown",
        }
    }
}

/// One line of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// What it is.
    pub kind: SectionKind,
    /// CRC-32 (IEEE 802.3) of its bytes.
    pub checksum: u32,
    /// Where they lie in the file.
    pub range: Range<usize>,
}

/// Whether a file that begins with these bytes is one of ours.
pub fn is_pare(start: &[u8]) -> bool {
    start.starts_with(&MARK)
}

pub(crate) fn checksum(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

pub(crate) fn align(n: usize) -> usize {
    n.next_multiple_of(ALIGNMENT)
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?))
}

/// Header and table of a file with these sections.
pub(crate) fn encode(sections: &[Section], length: u64) -> Vec<u8> {
    let mut table = Vec::with_capacity(sections.len() * ENTRY);
    for s in sections {
        table.extend_from_slice(&s.kind.code().to_le_bytes());
        table.extend_from_slice(&s.checksum.to_le_bytes());
        table.extend_from_slice(&(s.range.start as u64).to_le_bytes());
        table.extend_from_slice(&(s.range.len() as u64).to_le_bytes());
        table.extend_from_slice(&[0; 8]);
    }
    let mut out = Vec::with_capacity(HEADER + table.len());
    out.extend_from_slice(&MARK);
    out.extend_from_slice(&VERSION.0.to_le_bytes());
    out.extend_from_slice(&VERSION.1.to_le_bytes());
    out.extend_from_slice(&(sections.len() as u32).to_le_bytes());
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&checksum(&table).to_le_bytes());
    out.resize(HEADER - 4, 0);
    out.extend_from_slice(&checksum(&out).to_le_bytes());
    out.extend_from_slice(&table);
    out
}

/// The table of a file, all of it checked: every section lies within the file, behind the table.
pub(crate) fn decode(file: &[u8]) -> Result<Vec<Section>, FormatError> {
    if !is_pare(file) {
        return Err(FormatError::Mark);
    }
    let found = file.len() as u64;
    let short = || FormatError::Length { expected: HEADER as u64, found };
    let header = file.get(..HEADER).ok_or_else(short)?;
    let version = u32_at(header, 8).ok_or_else(short)?;
    // Before the checksum, which another version may keep elsewhere.
    let (major, minor) = (version as u16, (version >> 16) as u16);
    if major > VERSION.0 {
        return Err(FormatError::Future { major, minor, known: VERSION.0 });
    }
    let (stated, actual) = (u32_at(header, HEADER - 4).ok_or_else(short)?, checksum(&header[..HEADER - 4]));
    if stated != actual {
        return Err(FormatError::Checksum { what: "the header".into(), expected: stated, found: actual });
    }
    if major == 0 {
        return Err(FormatError::Structure("there is no version 0".into()));
    }
    let expected = u64_at(header, 16).ok_or_else(short)?;
    if expected != found {
        return Err(FormatError::Length { expected, found });
    }
    let count = u32_at(header, 12).ok_or_else(short)?;
    if count > MOST_SECTIONS {
        let (found, limit) = (count.into(), MOST_SECTIONS.into());
        return Err(FormatError::Limit { what: "a number of sections", found, limit });
    }
    let end = HEADER + count as usize * ENTRY;
    let table = file.get(HEADER..end).ok_or(FormatError::Length { expected: end as u64, found })?;
    let (stated, actual) = (u32_at(header, 24).ok_or_else(short)?, checksum(table));
    if stated != actual {
        return Err(FormatError::Checksum { what: "the table of sections".into(), expected: stated, found: actual });
    }
    table.chunks_exact(ENTRY).enumerate().map(|(i, entry)| section(i, entry, end, file.len())).collect()
}

fn section(i: usize, entry: &[u8], table_end: usize, length: usize) -> Result<Section, FormatError> {
    let wrong = |what: &str| FormatError::Structure(format!("section {i} {what}"));
    let (Some(code), Some(checksum)) = (u32_at(entry, 0), u32_at(entry, 4)) else { return Err(wrong("is cut off")) };
    let (Some(start), Some(bytes)) = (u64_at(entry, 8), u64_at(entry, 16)) else { return Err(wrong("is cut off")) };
    let end = start.checked_add(bytes).filter(|&end| end <= length as u64);
    let (Ok(start), Some(Ok(end))) = (usize::try_from(start), end.map(usize::try_from)) else {
        return Err(wrong("reaches beyond the end of the file"));
    };
    if start < table_end || !start.is_multiple_of(ALIGNMENT) {
        return Err(wrong("does not begin at a multiple of 64 bytes behind the table"));
    }
    Ok(Section { kind: SectionKind::from_code(code), checksum, range: start..end })
}
