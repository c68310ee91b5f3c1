//! The `.pare` model file: opening one, and saving a model as one.

use crate::{
    Error, ErrorKind, Loader, Metadata, Model, Options, Result, explain,
    model::{self, Inner},
    operator,
    program::Tools,
};
use paring_core::SharedBytes;
use paring_format as format;
use paring_kernel::{Isa, IsaSet, Machine};
use paring_plan::{PackCache, PackStore};
use std::{collections::BTreeMap, io::Write, sync::Arc};

pub use paring_format::{Recipe, Section, SectionKind, Written};

/// What is kept of the file that a model was opened from.
pub(crate) struct Backing {
    pub recipe: Recipe,
    /// Sections of the file.
    pub sections: Vec<Section>,
    integrity: format::Integrity,
    packed: Arc<Store>,
}

impl Backing {
    /// Fails where something that was read from the file meanwhile is damaged.
    pub fn check(&self) -> Result<()> {
        self.integrity.check().map_err(damaged)
    }

    /// A cache of packed weights that begins with those of the file.
    pub fn packs(&self) -> PackCache {
        PackCache::with_store(self.packed.clone())
    }
}

struct Store(format::PackedWeights);

impl PackStore for Store {
    fn find(&self, constants: &[SharedBytes], form: &str) -> Option<SharedBytes> {
        self.0.find(constants, form)
    }
}

/// The version of the packed forms: packed weights of others are not used, but made anew.
const KERNELS: &str = env!("CARGO_PKG_VERSION");

/// The model in a `.pare` file.
pub(crate) fn open(file: paring_core::Shared, loader: &Loader) -> Result<Model> {
    let within = format::Limits { nodes: loader.limits.nodes, ..format::Limits::default() };
    let mut contents = format::read(file, KERNELS, &within).map_err(damaged)?;
    operator::define(&mut contents.graph, &loader.operators, &contents.metadata.opsets)?;
    let metadata = Metadata {
        name: contents.graph.name.clone(),
        producer: contents.metadata.producer,
        doc: contents.metadata.doc,
        opsets: contents.metadata.opsets,
        properties: contents.metadata.properties,
    };
    let backing = Backing {
        recipe: contents.recipe,
        sections: contents.sections,
        integrity: contents.integrity,
        packed: Arc::new(Store(contents.packed)),
    };
    Model::new(contents.graph, metadata, Some(Arc::new(backing)))
}

fn damaged(e: format::FormatError) -> Error {
    use format::FormatError as F;
    match e {
        F::Graph(e) => e.into(),
        F::Future { .. } | F::ByteOrder => Error::from_source(ErrorKind::Unsupported, e),
        F::Limit { .. } => Error::from_source(ErrorKind::Limit, e),
        F::Alloc(e) => e.into(),
        F::Write(_) => Error::from_source(ErrorKind::Io, e),
        _ => Error::from_source(ErrorKind::Corrupt, e),
    }
}

/// A kind of machine that weights can be packed for.
///
/// Packing is planned with the kernels that this machine can run. For other kinds it plans with theirs as far as it has
/// them and with their typical rates: what such a machine chooses otherwise, it packs itself when it opens the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MachineKind {
    /// The one that this program runs on.
    This,
    /// Any, without particular instructions.
    Portable,
    /// x86-64 with AVX2 and FMA.
    Avx2,
    /// x86-64 with AVX-512 and dot products.
    Avx512,
    /// The same with AMX.
    Amx,
    /// AArch64.
    Neon,
}

impl MachineKind {
    /// Every kind.
    pub const ALL: [MachineKind; 6] = [
        MachineKind::This,
        MachineKind::Portable,
        MachineKind::Avx2,
        MachineKind::Avx512,
        MachineKind::Amx,
        MachineKind::Neon,
    ];

    /// The name used by options and files, such as `avx2`.
    pub const fn name(self) -> &'static str {
        match self {
            MachineKind::This => "this-machine",
            MachineKind::Portable => "portable",
            MachineKind::Avx2 => "avx2",
            MachineKind::Avx512 => "avx512",
            MachineKind::Amx => "amx",
            MachineKind::Neon => "neon",
        }
    }

    /// The kind of that [`name`](MachineKind::name).
    pub fn from_name(name: &str) -> Option<MachineKind> {
        MachineKind::ALL.into_iter().find(|k| k.name() == name)
    }

    fn isa(self, here: IsaSet) -> IsaSet {
        let of = |all: &[Isa]| all.iter().fold(IsaSet::PORTABLE, |set, &isa| set.with(isa));
        let avx512 = of(&[Isa::Avx2, Isa::Avx512, Isa::AvxVnni, Isa::Avx512Vnni]);
        match self {
            MachineKind::This => here,
            MachineKind::Portable => IsaSet::PORTABLE,
            MachineKind::Avx2 => of(&[Isa::Avx2]),
            MachineKind::Avx512 => avx512,
            MachineKind::Amx => avx512.with(Isa::Amx),
            MachineKind::Neon => of(&[Isa::Neon, Isa::DotProd, Isa::I8mm, Isa::Fp16]),
        }
    }

    /// What a plan for such a machine is made with.
    fn machine(self, options: &Options) -> Machine {
        let here = model::machine(options);
        let isa = self.isa(here.isa);
        if isa == here.isa {
            return here;
        }
        let Machine { gmacs, vector_gmacs, .. } = Machine::generic(isa);
        Machine { isa: isa.intersect(here.isa), gmacs, vector_gmacs, ..here }
    }
}

/// How [`Model::save`] writes.
#[derive(Clone, Debug, Default)]
pub struct SaveOptions {
    /// Kinds of machines to pack weights for. A file without any is the smallest, and packs when it is opened.
    pub pack_for: Vec<MachineKind>,
    /// Shapes that plans are made for, of inputs whose dimensions are symbolic. Packed forms hardly depend on them.
    pub shapes: Vec<(String, Vec<usize>)>,
    /// What plans are made with: numerics and kernels decide what is packed.
    pub options: Options,
    /// How the model came about, as far as the caller knows. Tool, passes and the like are filled in.
    pub recipe: Recipe,
}

impl Model {
    /// Writes the network, optimised, as a `.pare` file, which [`Model::open`] maps and uses in place.
    ///
    /// # Errors
    /// Of kind [`ErrorKind::Io`] where writing fails, [`ErrorKind::Invalid`] where weights are to be packed and a shape
    /// is missing or wrong, or as for [`Model::session`].
    pub fn save(&self, out: &mut dyn Write, options: &SaveOptions) -> Result<Written> {
        let inner = &self.0;
        let rewritten = inner.rewritten(&options.options)?;
        let sets = options.pack_for.iter().map(|&kind| self.pack_set(kind, options)).collect::<Result<Vec<_>>>()?;
        let m = inner.metadata.clone();
        let metadata =
            format::Metadata { producer: m.producer, doc: m.doc, opsets: m.opsets, properties: m.properties };
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for a in &rewritten.applied {
            *counts.entry(&a.pass).or_default() += 1;
        }
        let given = match &inner.file {
            Some(file) if options.recipe == Recipe::default() => file.recipe.clone(),
            _ => options.recipe.clone(),
        };
        let optimized = inner.is_optimized() || (options.options.optimize && cfg!(feature = "optimizer"));
        let mut recipe = Recipe { tool: format!("paring {KERNELS}"), optimized, ..given };
        if recipe.passes.is_empty() {
            recipe.passes = counts.into_iter().map(|(pass, n)| (pass.into(), n)).collect();
        }
        let written = format::write(out, &rewritten.graph, &metadata, &recipe, &sets).map_err(damaged)?;
        inner.check_file()?;
        Ok(written)
    }

    /// Everything that a plan for `kind` packs.
    fn pack_set(&self, kind: MachineKind, save: &SaveOptions) -> Result<format::NewPackSet> {
        let shapes: Vec<(&str, &[usize])> = save.shapes.iter().map(|(n, s)| (n.as_str(), s.as_slice())).collect();
        let key = explain::key(self, &shapes)?;
        let graph = self.0.bound(&save.options, &key)?;
        let machine = kind.machine(&save.options);
        let packs = PackCache::new();
        let registry = self.0.registry(&save.options);
        let tools = Tools { registry: &registry, machine: &machine, packs: &packs, options: &save.options };
        let _program = tools.program(graph)?;
        let pack = |e: paring_plan::PackedEntry| format::NewPack {
            format: e.format,
            constants: e.constants,
            data: e.packed.data.clone(),
        };
        let packs = packs.entries().into_iter().map(pack).collect();
        Ok(format::NewPackSet { machine: kind_name(kind, machine.isa), kernels: KERNELS.into(), packs })
    }

    /// How the file was made that this model was opened from, where that was a `.pare` file.
    pub fn recipe(&self) -> Option<&Recipe> {
        Some(&self.0.file.as_ref()?.recipe)
    }

    /// The sections of that file.
    pub fn sections(&self) -> Option<&[Section]> {
        Some(&self.0.file.as_ref()?.sections)
    }

    /// Blocks of packed weights that sessions of this model took from its file, and those that they had to pack.
    pub fn packed_blocks(&self) -> (usize, usize) {
        self.0.packs.found_and_made()
    }

    /// The kinds of machines that the file has packed weights for, and how many blocks.
    pub fn packed_for(&self) -> Vec<(String, usize)> {
        let sets = self.0.file.iter().flat_map(|f| &f.packed.0.sets);
        sets.map(|s| (s.machine.clone(), s.packs.len())).collect()
    }
}

/// The name that a file has for `kind`; this machine goes by its widest instructions.
fn kind_name(kind: MachineKind, isa: IsaSet) -> String {
    let widest = [
        (Isa::Amx, MachineKind::Amx),
        (Isa::Avx512, MachineKind::Avx512),
        (Isa::Avx2, MachineKind::Avx2),
        (Isa::Neon, MachineKind::Neon),
    ];
    let named = widest.into_iter().find(|&(i, _)| isa.has(i)).map_or(MachineKind::Portable, |(_, kind)| kind);
    if kind == MachineKind::This { named.name() } else { kind.name() }.into()
}

impl Inner {
    /// Fails where something that was read from the model's file meanwhile is damaged.
    pub fn check_file(&self) -> Result<()> {
        self.file.as_ref().map_or(Ok(()), |f| f.check())
    }
}
