//! Where values lie: views instead of copies, in-place steps, arena offsets.

use crate::{Memory, arena, emit::Emitted};
use paring_core::{Layout, Op, normalize_axis};
use paring_kernel::{Offer, Problem, Scratch};

/// A value lying inside another, as bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub offset: usize,
    pub len: usize,
}

/// How the operands of a node can lie inside each other, so that nothing has to run.
pub(crate) enum Parts {
    /// The inputs of a concatenation, inside its output.
    Inputs(Vec<Part>),
    /// The outputs of a split or slice, inside its input.
    Outputs(Vec<Part>),
}

/// The parts of a concatenation, split or slice under this offer, where they are contiguous and leave no foreign data
/// in padding lanes.
pub(crate) fn parts(p: &Problem, o: &Offer) -> Option<Parts> {
    if !p.epilogue.is_empty() {
        return None;
    }
    match &p.op {
        Op::Concat(a) => {
            let whole = p.output(0)?;
            let layout = *o.outputs.first()?;
            if o.inputs.iter().any(|&l| l != Some(layout)) || p.inputs.iter().flatten().any(|x| x.dtype != whole.dtype)
            {
                return None;
            }
            let axis = normalize_axis(a.axis, whole.shape.len()).ok()?;
            let lengths: Vec<usize> = p.inputs.iter().map(|x| Some(x.as_ref()?.shape[axis])).collect::<Option<_>>()?;
            along(whole, layout, axis, &lengths).map(Parts::Inputs)
        }
        Op::Split(a) => {
            let whole = p.input(0)?;
            let layout = (*o.inputs.first()?)?;
            let axis = normalize_axis(a.axis, whole.shape.len()).ok()?;
            if o.outputs.iter().any(|&l| l != layout) {
                return None;
            }
            let lengths: Vec<usize> = p.outputs.iter().map(|x| Some(x.as_ref()?.shape[axis])).collect::<Option<_>>()?;
            (lengths.iter().sum::<usize>() == whole.shape[axis]).then_some(())?;
            along(whole, layout, axis, &lengths).map(Parts::Outputs)
        }
        Op::Slice => {
            let (whole, part) = (p.input(0)?, p.output(0)?);
            let layout = (*o.inputs.first()?)?;
            if o.outputs != [layout] || whole.shape.len() != part.shape.len() {
                return None;
            }
            let mut cut = (0..whole.shape.len()).filter(|&i| whole.shape[i] != part.shape[i]);
            let axis = cut.next()?;
            if cut.next().is_some() || part.shape[axis] == 0 {
                return None;
            }
            let start = slice_start(p, axis, whole.shape.len())?;
            let start = if start < 0 { start.checked_add(whole.shape[axis] as i64)? } else { start };
            let start = usize::try_from(start).ok()?.min(whole.shape[axis]);
            let rest = whole.shape[axis].checked_sub(start)?.checked_sub(part.shape[axis])?;
            let all = along(whole, layout, axis, &[start, part.shape[axis], rest])?;
            Some(Parts::Outputs(vec![all[1]]))
        }
        _ => None,
    }
}

/// First index of a slice with step 1 along `axis`, where it is constant.
fn slice_start(p: &Problem, axis: usize, rank: usize) -> Option<i64> {
    let starts = p.const_i64s(1)?;
    let axes = match p.input(3) {
        Some(_) => p.const_i64s(3)?,
        None => (0..starts.len() as i64).collect(),
    };
    let at = axes.iter().position(|&a| normalize_axis(a, rank) == Ok(axis))?;
    if p.input(4).is_some() && *p.const_i64s(4)?.get(at)? != 1 {
        return None;
    }
    starts.get(at).copied()
}

fn along(whole: &paring_kernel::Operand, layout: Layout, axis: usize, lengths: &[usize]) -> Option<Vec<Part>> {
    let outer: usize = whole.shape[..axis].iter().product();
    if outer != 1 {
        return None;
    }
    let inner: usize = whole.shape[axis + 1..].iter().product();
    let unit = whole.dtype.bytes(inner)?;
    let mut at = 0;
    let mut parts = Vec::with_capacity(lengths.len());
    for (i, &n) in lengths.iter().enumerate() {
        let end = at + n;
        let (first, last) = match layout {
            Layout::Plain => (at, end),
            Layout::Blocked(b) => {
                let b = b as usize;
                let whole_end = end == whole.shape[axis] || end.is_multiple_of(b);
                if axis != 1 || !at.is_multiple_of(b) || !whole_end || (n == 0 && i > 0 && i + 1 < lengths.len()) {
                    return None;
                }
                (at, end.next_multiple_of(b))
            }
            Layout::Signs => return None,
        };
        parts.push(Part { offset: first * unit, len: (last - first) * unit });
        at = end;
    }
    Some(parts)
}

/// Everything placed.
pub(crate) struct Placed {
    pub emitted: Emitted,
    /// For each step, the input that output 0 took over.
    pub in_place: Vec<Option<usize>>,
    /// Arena offset of each root.
    pub offsets: Vec<usize>,
    pub arena_bytes: usize,
    /// The least that any arrangement takes.
    pub arena_bound: usize,
}

impl Placed {
    /// Arena and scratch; what is packed is not known yet.
    pub fn memory(&self) -> Memory {
        let most = |bytes: fn(&Scratch) -> usize| {
            self.emitted.steps.iter().map(|s| bytes(&s.offer.scratch).next_multiple_of(64)).max().unwrap_or(0)
        };
        let (shared_scratch, worker_scratch) = (most(|s| s.shared), most(|s| s.per_worker));
        let (arena, arena_bound) = (self.arena_bytes, self.arena_bound);
        Memory { arena, arena_bound, shared_scratch, worker_scratch, ..Memory::default() }
    }
}

pub(crate) fn place(mut emitted: Emitted) -> Placed {
    let in_place = take_over(&mut emitted);
    let lives = lifetimes(&emitted);
    let (offsets, arena_bytes) = arena::offsets(&lives);
    let arena_bound = arena::bound(&lives);
    Placed { emitted, in_place, offsets, arena_bytes, arena_bound }
}

/// Lets output 0 of a step take over the memory of an input that is not needed afterwards.
fn take_over(e: &mut Emitted) -> Vec<Option<usize>> {
    let mut last = last_uses(e);
    let mut children: Vec<Vec<usize>> = vec![Vec::new(); e.physicals.len()];
    for (i, p) in e.physicals.iter().enumerate() {
        if let Some((parent, _)) = p.parent {
            children[parent].push(i);
        }
    }
    let mut chosen = vec![None; e.steps.len()];
    for s in 0..e.steps.len() {
        let step = &e.steps[s];
        let Some(i) = step.offer.in_place else { continue };
        let (Some(from), Some(to)) = (step.inputs.get(i).copied().flatten(), step.outputs.first().copied().flatten())
        else {
            continue;
        };
        let free = e.physicals[from].parent.is_none()
            && e.physicals[from].is_arena()
            && e.physicals[from].bytes == e.physicals[to].bytes
            && from != to;
        let mut members = vec![from];
        let mut at = 0;
        while at < members.len() {
            members.extend(&children[members[at]]);
            at += 1;
        }
        let read_here = step.inputs.iter().flatten().filter(|x| members.contains(x)).count();
        let dead_after = members.iter().all(|&m| last[m] <= s && !e.physicals[m].kept);
        if free && read_here == 1 && dead_after && e.root(to).0 != from {
            e.physicals[from].parent = Some((to, 0));
            children[to].push(from);
            last[to] = last[to].max(s);
            chosen[s] = Some(i);
        }
    }
    chosen
}

/// Index of the last step that reads each physical value; `usize::MAX` where it stays readable.
fn last_uses(e: &Emitted) -> Vec<usize> {
    let mut last = vec![0; e.physicals.len()];
    for (s, step) in e.steps.iter().enumerate() {
        for &v in step.inputs.iter().chain(&step.outputs).flatten() {
            last[v] = s;
        }
    }
    for (v, p) in e.physicals.iter().enumerate() {
        if p.kept {
            last[v] = usize::MAX;
        }
    }
    last
}

fn lifetimes(e: &Emitted) -> Vec<Option<arena::Life>> {
    let mut lives: Vec<Option<arena::Life>> = vec![None; e.physicals.len()];
    let mut touch = |v: usize, s: usize| {
        let (root, _) = e.root(v);
        if !e.physicals[root].is_arena() {
            return;
        }
        let life = lives[root].get_or_insert(arena::Life { first: s, last: s, bytes: e.physicals[root].bytes });
        life.first = life.first.min(s);
        life.last = life.last.max(s);
    };
    for (s, step) in e.steps.iter().enumerate() {
        for &v in step.inputs.iter().chain(&step.outputs).flatten() {
            touch(v, s);
        }
    }
    for (v, p) in e.physicals.iter().enumerate() {
        if p.kept {
            touch(v, usize::MAX);
        }
    }
    lives
}
