//! Packed weights, shared between plans, and the final assembly.

use crate::{
    IoSlot, Location, Options, Plan, PlanError, Slot, Step,
    emit::{Emitted, EmittedStep},
    lower::Lowered,
    place::Placed,
    work::work,
};
use paring_core::{AlignedBuf, SharedBytes, Tensor};
use paring_kernel::{KernelError, Packed, Prepared};
use std::{
    collections::HashMap,
    iter,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
};

/// Packed weights that were made before, such as those in a model file.
pub trait PackStore: Send + Sync {
    /// The bytes that packing these constants in that form gave, aligned to a cache line.
    fn find(&self, constants: &[SharedBytes], format: &str) -> Option<SharedBytes>;
}

/// Packed weights by the constants and the form, shared by all plans and sessions of a model. Entries last as long as
/// their constants: once those are gone, nobody can ask for the same again.
#[derive(Default)]
pub struct PackCache {
    entries: Mutex<HashMap<Key, Entry>>,
    store: Option<Arc<dyn PackStore>>,
    found: AtomicUsize,
    made: AtomicUsize,
}

/// Identities of the constants, and the form.
pub(crate) type Key = (Vec<(usize, usize, usize)>, String);

struct Entry {
    packed: Arc<Packed>,
    constants: Vec<Weak<Tensor>>,
}

impl Entry {
    fn is_alive(&self) -> bool {
        self.constants.iter().all(|c| c.strong_count() > 0)
    }
}

/// What was packed from which constants, and in which form.
pub struct PackedEntry {
    /// The constants.
    pub constants: Vec<SharedBytes>,
    /// The name of the form.
    pub format: String,
    /// The weights.
    pub packed: Arc<Packed>,
}

impl PackCache {
    /// An empty cache.
    pub fn new() -> PackCache {
        PackCache::default()
    }

    /// An empty cache that looks into `store` before anything is packed.
    pub fn with_store(store: Arc<dyn PackStore>) -> PackCache {
        PackCache { store: Some(store), ..PackCache::default() }
    }

    /// Bytes of everything packed so far, of constants that are still there.
    pub fn bytes(&self) -> usize {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.values().filter(|e| e.is_alive()).map(|e| e.packed.data.len()).sum()
    }

    /// Blocks that the store had, and blocks that had to be packed, since the cache was made.
    pub fn found_and_made(&self) -> (usize, usize) {
        (self.found.load(Ordering::Relaxed), self.made.load(Ordering::Relaxed))
    }

    /// Everything packed so far, of constants that are still there, in no particular order.
    pub fn entries(&self) -> Vec<PackedEntry> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = |((_, format), e): (&Key, &Entry)| {
            let constants = e.constants.iter().map(|c| Some(c.upgrade()?.shared().clone()));
            Some(PackedEntry {
                constants: constants.collect::<Option<_>>()?,
                format: format.clone(),
                packed: e.packed.clone(),
            })
        };
        entries.iter().filter_map(entry).collect()
    }

    fn packed(&self, step: &EmittedStep) -> Result<Arc<Packed>, KernelError> {
        let Some(key) = key(step) else {
            return step.kernel.pack(&step.problem, &step.offer).map(Arc::new);
        };
        {
            let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
            entries.retain(|_, e| e.is_alive());
            if let Some(e) = entries.get(&key) {
                return Ok(e.packed.clone());
            }
        }
        let (packed, count) = match self.stored(step, &key.1) {
            Some(packed) => (packed, &self.found),
            None => (step.kernel.pack(&step.problem, &step.offer)?, &self.made),
        };
        count.fetch_add(1, Ordering::Relaxed);
        let packed = Arc::new(packed);
        let constants = packed_constants(step).map(Arc::downgrade).collect();
        let entry = Entry { packed: packed.clone(), constants };
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).insert(key, entry);
        Ok(packed)
    }

    /// What the store has for `step` in that form, if it is as long as the kernel expects.
    fn stored(&self, step: &EmittedStep, form: &str) -> Option<Packed> {
        let constants: Vec<SharedBytes> = packed_constants(step).map(|t| t.shared().clone()).collect();
        let data = self.store.as_ref()?.find(&constants, form)?;
        (data.len() == step.offer.packed_bytes).then_some(Packed { data })
    }
}

/// The constants that a step reads only while packing.
fn packed_constants(step: &EmittedStep) -> impl Iterator<Item = &Arc<Tensor>> {
    let inputs = step.problem.inputs.iter().zip(&step.offer.inputs);
    inputs.filter(|(_, l)| l.is_none()).filter_map(|(x, _)| x.as_ref()?.constant.as_ref())
}

/// What the packed weights of a step are shared by; `None` where they are its own, or none. Types and shapes belong to the
/// form: one block of bytes may be two matrices.
pub(crate) fn key(step: &EmittedStep) -> Option<Key> {
    let format = &step.offer.packed_format;
    if format.is_empty() {
        return None;
    }
    let identities = packed_constants(step).map(|t| t.shared().identity()).collect();
    let kinds = packed_constants(step).map(|t| format!(" {}{:?}", t.dtype(), t.shape()));
    Some((identities, iter::once(format.to_string()).chain(kinds).collect()))
}

pub(crate) fn finish(low: Lowered, placed: Placed, cache: &PackCache, options: &Options) -> Result<Plan, PlanError> {
    let mut memory = placed.memory();
    let Placed { emitted, in_place, offsets, .. } = placed;
    let needed = memory.working_set(1);
    if needed > options.arena_limit {
        let what = "the memory between the layers".into();
        return Err(PlanError::Limit { what, needed, limit: options.arena_limit });
    }
    let slot = |v: usize| {
        let (root, offset) = emitted.root(v);
        let p = &emitted.physicals[v];
        let (location, base) = match emitted.physicals[root].outside {
            Some(location) => (location, 0),
            None => (Location::Arena, offsets[root]),
        };
        let operand = &p.operand;
        Slot {
            location,
            offset: base + offset,
            len: p.bytes,
            dtype: operand.dtype,
            shape: operand.shape.clone(),
            layout: p.layout,
            root: root as u32,
            root_offset: offset,
        }
    };
    let mut steps = Vec::with_capacity(emitted.steps.len());
    let mut seen: HashMap<usize, usize> = HashMap::new();
    for (s, step) in emitted.steps.iter().enumerate() {
        let fail =
            |source| PlanError::Kernel { node: step.problem.name.clone(), op: step.problem.op.name().into(), source };
        let packed = cache.packed(step).map_err(fail)?;
        seen.insert(Arc::as_ptr(&packed) as usize, packed.data.len());
        let prepared: Arc<dyn Prepared> =
            Arc::from(step.kernel.prepare(&step.problem, &step.offer, packed).map_err(fail)?);
        let w = work(&step.problem);
        steps.push(Step {
            name: step.problem.name.clone(),
            op: step.problem.op.name(),
            kernel: step.kernel.descriptor().name,
            prepared,
            inputs: step.inputs.iter().map(|v| v.map(slot)).collect(),
            outputs: step.outputs.iter().map(|v| v.map(slot)).collect(),
            in_place: in_place[s],
            worker_scratch: step.offer.scratch.per_worker,
            shared_scratch: step.offer.scratch.shared,
            macs: w.macs,
            bytes: w.bytes,
            cost_ns: step.cost_ns,
        });
    }
    memory.packed = seen.values().sum();
    let kept = emitted.kept.iter().map(|(name, v)| (name.clone(), slot(*v))).collect();
    let io = io_slots(&low);
    let Emitted { constants, layers, .. } = emitted;
    let constants = constants.iter().map(aligned).collect::<Result<Vec<_>, _>>()?;
    memory.constants = constants.iter().map(|t| t.byte_len()).sum();
    Ok(Plan::assemble(steps, io, constants, kept, layers, memory))
}

fn io_slots(low: &Lowered) -> (Vec<IoSlot>, Vec<IoSlot>) {
    let io = |(value, name, v): &(paring_ir::ValueId, String, usize)| {
        let operand = &low.values[*v].operand;
        let len = operand.bytes(paring_core::Layout::Plain).unwrap_or(0);
        IoSlot { value: *value, name: name.clone(), dtype: operand.dtype, shape: operand.shape.clone(), len }
    };
    (low.inputs.iter().map(io).collect(), low.outputs.iter().map(io).collect())
}

/// The constant itself where its bytes lie on a cache line, else a copy that does.
fn aligned(t: &Arc<Tensor>) -> Result<Tensor, PlanError> {
    if (t.bytes().as_ptr() as usize).is_multiple_of(16) {
        return Ok((**t).clone());
    }
    let copy = AlignedBuf::from_bytes(t.bytes())
        .map_err(KernelError::from)
        .and_then(|b| Ok(Tensor::from_buffer(t.dtype(), t.shape(), b)?));
    copy.map(|c| c.with_quant(t.quant().cloned())).map_err(|source| PlanError::Kernel {
        node: "a constant".into(),
        op: "constant".into(),
        source,
    })
}
