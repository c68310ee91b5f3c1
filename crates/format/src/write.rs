//! Writing.

use crate::{
    FormatError, Metadata, PackDescription, PackSet, Recipe, coded,
    describe::encode,
    header::{self, HEADER, MOST_SECTIONS, Section, SectionKind, align, checksum},
};
use paring_core::{SharedBytes, Tensor};
use paring_ir::Graph;
use std::{
    collections::{HashMap, HashSet},
    io::Write,
    sync::Arc,
};

/// Weights to be written, packed for one kind of machine.
pub struct NewPackSet {
    /// The kind, such as `avx2`.
    pub machine: String,
    /// The version of the kernels.
    pub kernels: String,
    /// What there is.
    pub packs: Vec<NewPack>,
}

/// One block of packed weights.
pub struct NewPack {
    /// The name of the form.
    pub format: String,
    /// The bytes of the constants that it was made of, as they are shared with the graph.
    pub constants: Vec<SharedBytes>,
    /// The block.
    pub data: SharedBytes,
}

/// What a file came to have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// All of it, in bytes.
    pub bytes: u64,
    /// The graph.
    pub graph_bytes: usize,
    /// Constants that are not in the graph's text.
    pub constants: usize,
    /// Bytes of those in the file.
    pub constant_bytes: usize,
    /// For each kind of machine: its name, blocks, and bytes of those that no kind before it has.
    pub packed: Vec<(String, usize, usize)>,
    /// Blocks that were left out: they are packed from something that the graph does not have.
    pub left_out: usize,
}

/// Bytes that go into a section.
enum Body {
    Text(String),
    Shared(SharedBytes),
    Coded(Vec<u8>),
}

impl Body {
    fn bytes(&self) -> &[u8] {
        match self {
            Body::Text(t) => t.as_bytes(),
            Body::Shared(b) => b.as_slice(),
            Body::Coded(b) => b,
        }
    }
}

/// Constants of at most so many elements stand in the text, unless weights are packed from them.
const WRITTEN_OUT: usize = 16;

type Identity = (usize, usize, usize);

/// Writes a graph and what goes with it. The same network gives the same bytes.
///
/// # Errors
/// [`FormatError::Write`]; [`FormatError::Limit`] where there are more constants than a file can have.
pub fn write(
    out: &mut dyn Write,
    graph: &Graph,
    metadata: &Metadata,
    recipe: &Recipe,
    sets: &[NewPackSet],
) -> Result<Written, FormatError> {
    if cfg!(target_endian = "big") {
        return Err(FormatError::ByteOrder);
    }
    let mut written = Written::default();
    let mut constants: Vec<Arc<Tensor>> = Vec::new();
    let mut numbers: HashMap<Identity, usize> = HashMap::new();
    let packs = sets.iter().flat_map(|s| &s.packs);
    let packed: HashSet<Identity> = packs.flat_map(|p| &p.constants).map(SharedBytes::identity).collect();
    let text = graph.to_text_with(&mut |t| {
        let identity = t.shared().identity();
        if t.len() <= WRITTEN_OUT && !packed.contains(&identity) {
            return None;
        }
        Some(*numbers.entry(identity).or_insert_with(|| {
            constants.push(t.clone());
            constants.len() - 1
        }))
    });
    let text = text.map_err(|_| FormatError::Structure("an operator has no text form".into()))?;
    written.graph_bytes = text.len();
    written.constants = constants.len();

    let (index, packed) = index(sets, &numbers, &mut written);
    let mut bodies = vec![
        (SectionKind::Graph, Body::Text(text)),
        (SectionKind::Metadata, Body::Text(encode(metadata)?)),
        (SectionKind::Recipe, Body::Text(encode(recipe)?)),
        (SectionKind::PackIndex, Body::Text(encode(&index)?)),
    ];
    let first = bodies.len();
    bodies.extend(constants.iter().map(|t| match coded::encode(t) {
        Some(coded) => (SectionKind::CodedConstant, Body::Coded(coded)),
        None => (SectionKind::Constant, Body::Shared(t.shared().clone())),
    }));
    written.constant_bytes = bodies[first..].iter().map(|(_, body)| body.bytes().len()).sum();
    bodies.extend(packed.into_iter().map(|b| (SectionKind::Packed, Body::Shared(b))));
    written.bytes = put(out, &bodies)?;
    Ok(written)
}

/// The descriptions of packed weights, and the blocks; kinds of machines share those that are alike.
fn index(
    sets: &[NewPackSet],
    numbers: &HashMap<Identity, usize>,
    written: &mut Written,
) -> (Vec<PackSet>, Vec<SharedBytes>) {
    let mut blocks = Vec::new();
    let mut known: HashMap<(String, Vec<usize>), usize> = HashMap::new();
    let mut index = Vec::new();
    for set in sets {
        let before = blocks.len();
        let mut numbered = Vec::new();
        for pack in &set.packs {
            let number = |b: &SharedBytes| numbers.get(&b.identity()).copied();
            match pack.constants.iter().map(number).collect::<Option<Vec<_>>>() {
                Some(constants) => numbered.push((constants, pack)),
                None => written.left_out += 1,
            }
        }
        // As the graph reads them, which is about as a run does.
        numbered.sort_by(|(a, x), (b, y)| (a, &x.format).cmp(&(b, &y.format)));
        let mut packs = Vec::new();
        for (constants, pack) in numbered {
            let section = *known.entry((pack.format.clone(), constants.clone())).or_insert_with(|| {
                blocks.push(pack.data.clone());
                blocks.len() - 1
            });
            packs.push(PackDescription { format: pack.format.clone(), constants, section });
        }
        let bytes = blocks[before..].iter().map(SharedBytes::len).sum();
        written.packed.push((set.machine.clone(), packs.len(), bytes));
        index.push(PackSet { machine: set.machine.clone(), kernels: set.kernels.clone(), packs });
    }
    (index, blocks)
}

/// Lays the sections out and writes them behind their table.
fn put(out: &mut dyn Write, bodies: &[(SectionKind, Body)]) -> Result<u64, FormatError> {
    if bodies.len() > MOST_SECTIONS as usize {
        let (found, limit) = (bodies.len() as u64, MOST_SECTIONS.into());
        return Err(FormatError::Limit { what: "a number of sections", found, limit });
    }
    let mut end = HEADER + bodies.len() * header::ENTRY;
    let mut sections = Vec::with_capacity(bodies.len());
    for (kind, body) in bodies {
        let start = align(end);
        end = start + body.bytes().len();
        sections.push(Section { kind: *kind, checksum: checksum(body.bytes()), range: start..end });
    }
    let head = header::encode(&sections, end as u64);
    out.write_all(&head)?;
    let mut at = head.len();
    for (section, (_, body)) in sections.iter().zip(bodies) {
        out.write_all(&[0; paring_core::ALIGNMENT][..section.range.start - at])?;
        out.write_all(body.bytes())?;
        at = section.range.end;
    }
    Ok(end as u64)
}
