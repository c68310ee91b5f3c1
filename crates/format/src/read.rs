//! Reading.

use crate::{
    FormatError, Integrity, Metadata, PackSet, Recipe,
    coded::Coded,
    describe::decode,
    guard::{Guarded, compare},
    header::{self, Section, SectionKind},
};
use paring_core::{ALIGNMENT, AlignedBuf, Shared, SharedBytes};
use paring_ir::Graph;
use serde::de::DeserializeOwned;
use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

/// What a file may not exceed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Nodes of the graph.
    pub nodes: usize,
    /// Bytes of all descriptions and of the graph's text.
    pub text_bytes: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { nodes: 100_000, text_bytes: 256 << 20 }
    }
}

/// What is in a file. Constants still lie in it.
pub struct Contents {
    /// The graph.
    pub graph: Graph,
    /// Where it comes from.
    pub metadata: Metadata,
    /// How the file was made.
    pub recipe: Recipe,
    /// Weights that are packed already.
    pub packed: PackedWeights,
    /// Whether what was read so far is sound.
    pub integrity: Integrity,
    /// The table.
    pub sections: Vec<Section>,
}

/// Packed weights of a file, found by the constants they were made of and the name of the form.
#[derive(Default)]
pub struct PackedWeights {
    file: Option<Shared>,
    /// What there is for each kind of machine, as described.
    pub sets: Vec<PackSet>,
    blocks: HashMap<Key, Section>,
    integrity: Integrity,
}

/// Identities of constants, and a form.
type Key = (Vec<(usize, usize, usize)>, String);

impl PackedWeights {
    /// The block made of these constants, checked; `None` where there is none that is sound.
    pub fn find(&self, constants: &[SharedBytes], format: &str) -> Option<SharedBytes> {
        let key = (constants.iter().map(SharedBytes::identity).collect(), format.to_string());
        let (file, section) = (self.file.as_ref()?, self.blocks.get(&key)?);
        let bytes = SharedBytes::new(file.clone(), section.range.clone())?;
        let sound = compare(bytes.as_slice(), section.checksum, || format!("a block of packed weights ({format})"));
        self.integrity.note(sound).then_some(bytes)
    }
}

/// Reads what `file` holds; packed weights are those for kernels of version `kernels`. The bytes are used where they
/// lie; those not aligned to 64 bytes are copied.
///
/// # Errors
/// [`FormatError`]: of kinds [`Mark`](FormatError::Mark), [`Future`](FormatError::Future) and so on.
pub fn read(file: Shared, kernels: &str, limits: &Limits) -> Result<Contents, FormatError> {
    let file = aligned(file)?;
    let bytes = (*file).as_ref();
    let sections = header::decode(bytes)?;
    if cfg!(target_endian = "big") {
        return Err(FormatError::ByteOrder);
    }
    let texts = Texts { bytes, sections: &sections, limit: limits.text_bytes };
    let text = texts.get(SectionKind::Graph)?.ok_or_else(|| FormatError::Structure("it has no graph".into()))?;
    let integrity = Integrity::default();
    let constants = constants(&file, &sections, &integrity)?;
    let graph = Graph::parse_with(text, limits.text_bytes, &|i| constants.get(i).cloned())?;
    if graph.node_count() > limits.nodes {
        let (found, limit) = (graph.node_count() as u64, limits.nodes as u64);
        return Err(FormatError::Limit { what: "a number of nodes", found, limit });
    }
    let packed = packed(&texts, &constants, &file, kernels, &integrity)?;
    Ok(Contents {
        graph,
        metadata: texts.described(SectionKind::Metadata)?,
        recipe: texts.described(SectionKind::Recipe)?,
        packed,
        integrity,
        sections,
    })
}

fn aligned(file: Shared) -> Result<Shared, FormatError> {
    let bytes = (*file).as_ref();
    if (bytes.as_ptr() as usize).is_multiple_of(ALIGNMENT) {
        return Ok(file);
    }
    Ok(Arc::new(AlignedBuf::from_bytes(bytes)?))
}

fn of_kind(sections: &[Section], kind: SectionKind) -> impl Iterator<Item = &Section> {
    sections.iter().filter(move |s| s.kind == kind)
}

fn constants(file: &Shared, sections: &[Section], integrity: &Integrity) -> Result<Vec<SharedBytes>, FormatError> {
    let mut constants = Vec::new();
    for section in sections {
        let what = || format!("constant {}", constants.len());
        let constant = match section.kind {
            SectionKind::Constant => guarded(file, section, what(), integrity),
            SectionKind::CodedConstant => {
                let (range, integrity) = (section.range.clone(), integrity.clone());
                let coded = Coded::new(file.clone(), range, section.checksum, what(), integrity)?;
                let len = coded.len();
                SharedBytes::unread(Arc::new(coded), len)
            }
            _ => continue,
        };
        constants.push(constant);
    }
    Ok(constants)
}

fn guarded(file: &Shared, section: &Section, what: String, integrity: &Integrity) -> SharedBytes {
    let guarded = Guarded {
        file: file.clone(),
        range: section.range.clone(),
        checksum: section.checksum,
        what,
        integrity: integrity.clone(),
        checked: OnceLock::new(),
    };
    SharedBytes::unread(Arc::new(guarded), section.range.len())
}

/// The sections that are text.
struct Texts<'a> {
    bytes: &'a [u8],
    sections: &'a [Section],
    limit: usize,
}

impl<'a> Texts<'a> {
    /// The text of the first section of a kind, checked.
    fn get(&self, kind: SectionKind) -> Result<Option<&'a str>, FormatError> {
        let Some(section) = of_kind(self.sections, kind).next() else { return Ok(None) };
        if section.range.len() > self.limit {
            let (found, limit) = (section.range.len() as u64, self.limit as u64);
            return Err(FormatError::Limit { what: "a description", found, limit });
        }
        let wrong = || FormatError::Structure(format!("the {} is no text", kind.name()));
        let bytes = self.bytes.get(section.range.clone()).ok_or_else(wrong)?;
        compare(bytes, section.checksum, || format!("the {}", kind.name()))?;
        std::str::from_utf8(bytes).map(Some).map_err(|_| wrong())
    }

    fn described<T: DeserializeOwned + Default>(&self, kind: SectionKind) -> Result<T, FormatError> {
        self.get(kind)?.map_or_else(|| Ok(T::default()), |text| decode(text, kind.name()))
    }
}

fn packed(
    texts: &Texts<'_>,
    constants: &[SharedBytes],
    file: &Shared,
    kernels: &str,
    integrity: &Integrity,
) -> Result<PackedWeights, FormatError> {
    let sets: Vec<PackSet> = texts.described(SectionKind::PackIndex)?;
    let sections: Vec<&Section> = of_kind(texts.sections, SectionKind::Packed).collect();
    let mut blocks = HashMap::new();
    for set in sets.iter().filter(|s| s.kernels == kernels) {
        for pack in &set.packs {
            let section = sections.get(pack.section).copied().ok_or_else(|| {
                FormatError::Structure(format!("there is no block {} of packed weights", pack.section))
            })?;
            let identity = |&i: &usize| constants.get(i).map(SharedBytes::identity);
            let of: Option<Vec<_>> = pack.constants.iter().map(identity).collect();
            let of =
                of.ok_or_else(|| FormatError::Structure("packed weights of a constant that is not there".into()))?;
            blocks.insert((of, pack.format.clone()), section.clone());
        }
    }
    Ok(PackedWeights { file: Some(file.clone()), sets, blocks, integrity: integrity.clone() })
}
