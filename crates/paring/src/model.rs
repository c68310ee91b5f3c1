//! Models: opened once, shared by sessions.

#[cfg(doc)]
use crate::ErrorKind;
use crate::{
    Explanation, IoInfo, Limits, Loader, Optimized, Options, Result, Session, Stats,
    bind::{self, Key},
    explain,
    file::Backing,
    operator,
    program::{Program, Tools},
    rewrite::{Rewritten, rewrite},
};
use paring_ir::Graph;
use paring_kernel::{Isa, IsaSet, Machine, Registry};
use paring_plan::PackCache;
use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, Mutex, PoisonError, Weak},
};

/// Where a model comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// The graph's name.
    pub name: String,
    /// The program that wrote it, with version.
    pub producer: String,
    /// The documentation string.
    pub doc: String,
    /// Operator sets by domain.
    pub opsets: Vec<(String, i64)>,
    /// Free key-value pairs.
    pub properties: Vec<(String, String)>,
}

/// A network, opened and verified. Cloning is cheap; all clones share weights and plans.
#[derive(Clone)]
pub struct Model(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub graph: Graph,
    pub metadata: Metadata,
    pub inputs: Vec<IoInfo>,
    pub outputs: Vec<IoInfo>,
    pub shape_inputs: Vec<bool>,
    pub packs: PackCache,
    /// The `.pare` file it lies in.
    pub file: Option<Arc<Backing>>,
    /// Optimised graphs by options. They hold the weights that were folded: see [`Inner::rewritten`].
    optimized: Mutex<HashMap<String, Remembered>>,
    programs: Mutex<Vec<(String, Key, Arc<Program>)>>,
    custom: Registry,
}

/// An optimised graph, and the hold on it where it is to last.
type Remembered = (Weak<Rewritten>, Option<Arc<Rewritten>>);

impl Model {
    /// Opens an ONNX or a `.pare` file. Weights stay in the mapped file until they are packed: it must not be changed or truncated
    /// while the model is in use. Read it into memory and use [`Model::from_bytes`] where that cannot be promised.
    ///
    /// # Errors
    /// Of kind [`ErrorKind::Io`], [`ErrorKind::Corrupt`], [`ErrorKind::Unsupported`] or [`ErrorKind::Limit`].
    pub fn open(path: impl AsRef<Path>) -> Result<Model> {
        Model::open_with(path, &Limits::default())
    }

    /// As [`Model::open`], within these limits.
    ///
    /// # Errors
    /// As for [`Model::open`].
    pub fn open_with(path: impl AsRef<Path>, limits: &Limits) -> Result<Model> {
        Loader::new().with_limits(limits.clone()).open(path)
    }

    /// Reads an ONNX or `.pare` model from memory; the bytes are copied. External data cannot be found this way.
    ///
    /// # Errors
    /// As for [`Model::open`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Model> {
        Loader::new().from_bytes(bytes)
    }

    /// Reads an ONNX or `.pare` model from memory without copying the weights.
    ///
    /// # Errors
    /// As for [`Model::open`].
    pub fn from_vec(bytes: Vec<u8>) -> Result<Model> {
        Loader::new().from_owner(bytes)
    }

    /// A model of a graph made in Rust.
    ///
    /// # Errors
    /// Of kind [`ErrorKind::Corrupt`] where the graph is not well formed.
    pub fn from_graph(graph: Graph) -> Result<Model> {
        let metadata = Metadata { name: graph.name.clone(), ..Metadata::default() };
        Model::new(graph, metadata, None)
    }

    pub(crate) fn new(graph: Graph, metadata: Metadata, file: Option<Arc<Backing>>) -> Result<Model> {
        graph.verify()?;
        let inputs = graph.inputs().iter().map(|&v| IoInfo::of(&graph, &graph.value(v).name, v)).collect();
        let outputs = graph.outputs().iter().map(|o| IoInfo::of(&graph, &o.name, o.value)).collect();
        let shape_inputs = bind::shape_inputs(&graph);
        Ok(Model(Arc::new(Inner {
            graph,
            metadata,
            inputs,
            outputs,
            shape_inputs,
            packs: packs(&file),
            file,
            optimized: Mutex::default(),
            programs: Mutex::default(),
            custom: Registry::empty(),
        })))
    }

    /// This model with kernels of the user's own; one of a built-in kernel's name replaces that.
    #[must_use]
    pub fn with_kernels(self, kernels: &[&'static dyn paring_kernel::Kernel]) -> Model {
        let inner = &self.0;
        Model(Arc::new(Inner {
            graph: inner.graph.clone(),
            metadata: inner.metadata.clone(),
            inputs: inner.inputs.clone(),
            outputs: inner.outputs.clone(),
            shape_inputs: inner.shape_inputs.clone(),
            packs: packs(&inner.file),
            file: inner.file.clone(),
            optimized: Mutex::default(),
            programs: Mutex::default(),
            custom: inner.custom.clone().with(kernels),
        }))
    }

    /// The inputs, in the order of the file.
    pub fn inputs(&self) -> &[IoInfo] {
        &self.0.inputs
    }

    /// The outputs, in the order of the file.
    pub fn outputs(&self) -> &[IoInfo] {
        &self.0.outputs
    }

    /// Where the model comes from.
    pub fn metadata(&self) -> &Metadata {
        &self.0.metadata
    }

    /// Parameters, multiply-adds and the like, as the model is written.
    pub fn stats(&self) -> Stats {
        explain::stats(&self.0.graph)
    }

    /// As [`Model::stats`], with these shapes for the inputs whose dimensions are symbolic.
    ///
    /// # Errors
    /// Of kind [`ErrorKind::Invalid`] where a shape is missing or wrong.
    pub fn stats_for(&self, shapes: &[(&str, &[usize])]) -> Result<Stats> {
        explain::stats_for(self, shapes)
    }

    /// The graph as it is written, in text form.
    pub fn graph_text(&self) -> String {
        self.0.graph.to_text()
    }

    /// The graph after the optimizer, and what was done and declined.
    ///
    /// # Errors
    /// Of kind [`ErrorKind::Internal`] where a pass fails.
    pub fn optimized(&self, options: &Options) -> Result<Optimized> {
        let r = self.0.rewritten(options)?;
        Ok(explain::optimized(&r))
    }

    /// Every decision: rewrites made and declined, and for each layer what every kernel said. Inputs with symbolic
    /// dimensions need a shape.
    ///
    /// # Errors
    /// As for [`Model::session`]; of kind [`ErrorKind::Invalid`] where a shape is missing or wrong.
    pub fn explain(&self, options: &Options, shapes: &[(&str, &[usize])]) -> Result<Explanation> {
        explain::explain(self, options, shapes)
    }

    /// Something to run the model with. Where all input shapes are known, everything is prepared here.
    ///
    /// # Errors
    /// Of kind [`ErrorKind::Unsupported`], [`ErrorKind::Limit`] or [`ErrorKind::Memory`], with the node.
    pub fn session(&self, options: &Options) -> Result<Session> {
        Session::new(self.clone(), options)
    }
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Model('{}', {} nodes)", self.0.metadata.name, self.0.graph.node_count())
    }
}

impl Inner {
    /// The optimised graph under these options; dimensions may still be symbolic.
    ///
    /// It holds weights of its own, such as those that took up a batch norm, which kernels read in packed form only. A
    /// model of symbolic dimensions keeps it for plans to come. Where every shape is known, one plan is all that is made
    /// of it, and it goes as soon as nobody uses it.
    pub fn rewritten(&self, options: &Options) -> Result<Arc<Rewritten>> {
        let key = format!("{} {:?} {}", options.optimize, options.opt_stop_at, options.keep_intermediates);
        if let Some(r) = lock(&self.optimized).get(&key).and_then(|(r, _)| r.upgrade()) {
            return Ok(r);
        }
        let mut graph = self.graph.clone();
        let (applied, remarks) = if self.is_optimized() { Default::default() } else { rewrite(&mut graph, options)? };
        self.check_file()?;
        let r = Rewritten { graph, applied, remarks };
        if let Some(log) = &options.log {
            log.rewritten(&r);
        }
        let r = Arc::new(r);
        let lasting = (!self.has_known_shapes()).then(|| r.clone());
        lock(&self.optimized).insert(key, (Arc::downgrade(&r), lasting));
        Ok(r)
    }

    /// Whether the optimizer went over the graph before it was written to the model's file.
    pub fn is_optimized(&self) -> bool {
        self.file.as_ref().is_some_and(|f| f.recipe.optimized)
    }

    /// The program for one set of shapes, from the cache or made anew.
    pub fn program(
        &self,
        options: &Options,
        machine: &Machine,
        registry: &Registry,
        key: &Key,
    ) -> Result<Arc<Program>> {
        let fingerprint = fingerprint(options);
        {
            let mut programs = lock(&self.programs);
            if let Some(i) = programs.iter().position(|(f, k, _)| *f == fingerprint && k == key) {
                let entry = programs.remove(i);
                let program = entry.2.clone();
                programs.push(entry);
                return Ok(program);
            }
        }
        let graph = self.bound(options, key)?;
        let tools = Tools { registry, machine, packs: &self.packs, options };
        let program =
            tools.program(graph).map_err(|e| if self.is_bound_by(key) { e.blame(bind::blame(key)) } else { e })?;
        self.check_file()?;
        if let Some(log) = &options.log {
            log.planned(&program.plan);
        }
        let program = Arc::new(program);
        let mut programs = lock(&self.programs);
        programs.push((fingerprint, key.clone(), program.clone()));
        let most = options.plan_cache.max(1);
        if programs.len() > most {
            programs.remove(0);
        }
        Ok(program)
    }

    /// The optimised graph for one set of shapes.
    pub fn bound(&self, options: &Options, key: &Key) -> Result<Graph> {
        let base = self.rewritten(options)?;
        let mut graph = bind::bind(&base.graph, key)?;
        if self.is_bound_by(key) {
            rewrite(&mut graph, options).map_err(|e| e.blame(bind::blame(key)))?;
        }
        Ok(graph)
    }

    /// Whether `key` says anything that the model does not.
    fn is_bound_by(&self, key: &Key) -> bool {
        key.0.iter().any(|(_, e)| e.is_some()) || self.inputs.iter().any(|i| i.known_shape().is_none())
    }

    /// Whether the model says all that a plan depends on.
    fn has_known_shapes(&self) -> bool {
        self.inputs.iter().all(|i| i.known_shape().is_some()) && !self.shape_inputs.contains(&true)
    }

    /// The kernels that `options` allow.
    pub fn registry(&self, options: &Options) -> Registry {
        let mut all = builtin_registry();
        let own: Vec<_> = self.custom.iter().collect();
        all = all.with(&[operator::KERNEL]).with(&own);
        let allowed = |name: &str| {
            let named = options.kernels.as_ref().is_none_or(|k| k.iter().any(|n| n == name));
            named && !options.exclude_kernels.iter().any(|n| n == name)
        };
        all.filtered(allowed)
    }
}

fn packs(file: &Option<Arc<Backing>>) -> PackCache {
    file.as_ref().map_or_else(PackCache::new, |f| f.packs())
}

/// What of the options a program depends on.
fn fingerprint(o: &Options) -> String {
    format!(
        "{:?} {:?} {} {:?} {:?} {:?} {:?} {} {} {:?} {:?}",
        o.numerics,
        o.isa,
        o.optimize,
        o.opt_stop_at,
        o.kernels,
        o.exclude_kernels,
        o.max_memory,
        o.keep_intermediates,
        o.limits.arena_bytes,
        o.calibration,
        // The address is enough: whoever holds a program's options holds the times.
        o.tuning.as_ref().map(Arc::as_ptr)
    )
}

/// This machine, as calibrated or typical, less the instructions that `options` rule out.
pub(crate) fn machine(options: &Options) -> Machine {
    let here = options.calibration.as_ref().map_or_else(paring_simd::machine, |c| c.machine().clone());
    let wanted = match &options.isa {
        Some(only) => here.isa.intersect(only.iter().fold(IsaSet::PORTABLE, |s, &i| s.with(i))),
        None => here.isa,
    };
    // Nobody asks for what there are no kernels for.
    let tiles = cfg!(feature = "avx512");
    here.limited_to(paring_simd::permitted(if tiles { wanted } else { wanted.without(Isa::Amx) }))
}

/// Every kernel that comes with Paring. This is the one place where planner and kernels meet.
pub fn builtin_registry() -> Registry {
    let families: &[&[&'static dyn paring_kernel::Kernel]] = &[
        #[cfg(feature = "fallback")]
        paring_reference::KERNELS,
        paring_vector::KERNELS,
        paring_dense::KERNELS,
        #[cfg(feature = "int8")]
        paring_quant::KERNELS,
        #[cfg(feature = "binary")]
        paring_binary::KERNELS,
    ];
    families.iter().fold(Registry::empty(), |all, kernels| all.with(kernels))
}

pub(crate) fn lock<T>(m: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}
