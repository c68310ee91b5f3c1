//! Every kernel, in every way in which it offers to run a problem, against the reference.

use paring::kernel::{
    Isa, Kernel, Machine, NumericClass, Numerics, Offer, Operand, Parallel, Problem, RawOperand, RunCx, Serial,
};
use paring_core::{
    AlignedBuf, DType, Layout, Tensor,
    op::{Act, EpiOp},
    signs,
};
use paring_testkit::problems::{Case, cases, channel_read_often, extreme_products, same_weights};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

/// Kernels that no generated problem reaches, and why.
const NEVER: [(&str, &str); 1] =
    [("select_reference", "shapes that depend on data are resolved between the stages of a run, not by a kernel")];

/// Several workers that take turns: shows whether tasks depend on each other or on who does them.
struct Turns(usize);

impl Parallel for Turns {
    fn workers(&self) -> usize {
        self.0
    }

    fn run(&self, tasks: usize, f: &(dyn Fn(usize, usize) + Sync)) {
        let next = AtomicUsize::new(tasks);
        let work = |worker: usize| {
            let take = || next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
            while let Ok(n) = take() {
                f(n - 1, worker);
            }
        };
        std::thread::scope(|scope| {
            for worker in 0..self.0 {
                // Processors that are emulated may have no threads: then this one does the work of the others.
                if std::thread::Builder::new().spawn_scoped(scope, move || work(worker)).is_err() {
                    work(worker);
                }
            }
        });
    }
}

fn physical_index(shape: &[usize], block: usize, i: usize) -> usize {
    let plane: usize = shape[2..].iter().product();
    let (n, c, s) = (i / plane / shape[1], i / plane % shape[1], i % plane);
    ((n * shape[1].div_ceil(block) + c / block) * plane + s) * block + c % block
}

/// The bytes of `Layout::Signs`.
fn packed_signs(shape: &[usize], plain: &[u8]) -> Vec<u8> {
    let (c, plane) = (shape[1], shape[2..].iter().product::<usize>());
    let mut packed = vec![];
    for pixel in 0..shape[0] * plane {
        let at = |ch: usize| (pixel / plane * c + ch) * plane + pixel % plane;
        for four in (0..c.next_multiple_of(8)).step_by(4) {
            packed.push(signs::pack([0, 1, 2, 3].map(|i| if four + i < c { plain[at(four + i)] as i8 } else { 0 })));
        }
    }
    packed
}

/// The signs in logical order; an error where channels that do not exist are not zero.
fn from_packed_signs(shape: &[usize], packed: &[u8]) -> Result<Vec<u8>, String> {
    let (c, plane) = (shape[1], shape[2..].iter().product::<usize>());
    let all: Vec<i8> = packed.iter().flat_map(|&b| signs::unpack(b)).collect();
    let row = c.next_multiple_of(8);
    let mut plain = vec![0; shape[0] * c * plane];
    for (pixel, channels) in all.chunks_exact(row).enumerate() {
        for (ch, &sign) in channels.iter().enumerate() {
            if ch < c {
                plain[(pixel / plane * c + ch) * plane + pixel % plane] = sign as u8;
            } else if sign != 0 {
                return Err("padding lanes are not zero".into());
            }
        }
    }
    Ok(plain)
}

fn from_plain(t: &Tensor, layout: Layout) -> AlignedBuf {
    let block = match layout {
        Layout::Plain => return AlignedBuf::from_bytes(t.bytes()).unwrap(),
        Layout::Blocked(block) => block,
        Layout::Signs => return AlignedBuf::from_bytes(&packed_signs(t.shape(), t.bytes())).unwrap(),
    };
    let size = t.dtype().bits() / 8;
    let mut buffer = AlignedBuf::zeroed(layout.elements(t.shape()).unwrap() * size).unwrap();
    for (i, element) in t.bytes().chunks_exact(size).enumerate() {
        let at = physical_index(t.shape(), block.into(), i) * size;
        buffer.as_mut_slice()[at..at + size].copy_from_slice(element);
    }
    buffer
}

/// The elements in logical order; an error where a padding lane is not zero.
fn to_plain(o: &Operand, layout: Layout, bytes: &[u8]) -> Result<Vec<u8>, String> {
    let block = match layout {
        Layout::Plain => return Ok(bytes.to_vec()),
        Layout::Blocked(block) => block,
        Layout::Signs => return from_packed_signs(&o.shape, bytes),
    };
    let size = o.dtype.bits() / 8;
    let mut padding = bytes.to_vec();
    let mut plain = Vec::with_capacity(o.len() * size);
    for i in 0..o.len() {
        let at = physical_index(&o.shape, block.into(), i) * size;
        plain.extend_from_slice(&bytes[at..at + size]);
        padding[at..at + size].fill(0);
    }
    // A zero may be negative: it adds nothing either way.
    let zero = |e: &[u8]| e.iter().all(|&b| b == 0) || (o.dtype == DType::F32 && e == (-0f32).to_le_bytes());
    match padding.chunks_exact(size).all(zero) {
        true => Ok(plain),
        false => Err("padding lanes are not zero".into()),
    }
}

fn tolerance(class: NumericClass) -> f64 {
    match class {
        NumericClass::Exact => 0.0,
        NumericClass::Reassociated => 1e-5,
        // The widest that docs/numerics.md gives for any; the tests of each kernel hold it to its own.
        NumericClass::Transformed => 1e-4,
        // Twice that: some activations here make more of an error.
        NumericClass::Reduced => 2e-2,
    }
}

/// Numbers that are rounded to multiples of a scale, in units of that.
struct Unrounded {
    numbers: Vec<f32>,
    scale: f32,
    /// How far they may be off.
    error: f32,
}

impl Unrounded {
    /// Whether the number before element `i` was all but half-way between two multiples.
    fn is_half(&self, i: usize) -> bool {
        let n = self.numbers[i];
        (n - n.floor() - 0.5).abs() < self.error
    }
}

/// What the last step of the epilogue rounds, which may be off by `tolerance` of its RMS; `None` where it does not.
fn unrounded(p: &Problem, inputs: &[Option<&Tensor>], tolerance: f64) -> Option<Unrounded> {
    /// Of the step between two: what they may be off at least.
    const ROUNDING: f64 = 1e-3;
    let (last, before) = p.epilogue.split_last()?;
    let (EpiOp::Quantize { scale, .. } | EpiOp::Act(Act::Grid { scale, .. })) = *last else { return None };
    let y = p.output(0)?;
    let numbers = Operand::new(DType::F32, &y.shape);
    let p = Problem { epilogue: before.to_vec(), outputs: vec![Some(numbers)], ..p.clone() };
    let numbers = paring_reference::evaluate(&p, inputs).ok()?.swap_remove(0)?;
    let numbers: Vec<f32> = numbers.elements::<f32>()?.iter().map(|n| n / scale).collect();
    let finite = || numbers.iter().filter(|n| n.is_finite()).map(|&n| f64::from(n));
    let rms = (finite().map(|n| n * n).sum::<f64>() / finite().count().max(1) as f64).sqrt();
    Some(Unrounded { numbers, scale, error: ROUNDING.max(tolerance * rms) as f32 })
}

/// Checks bytes that may differ by one where a half is rounded the other way: the number before was rounded, too. Where
/// `unrounded` tells those numbers, they lie half-way; else differences are few.
fn close_bytes(found: &[u8], expected: &Tensor, unrounded: Option<&Unrounded>) -> Result<(), String> {
    let apart = |(a, b): (&u8, &u8)| match expected.dtype() {
        DType::I8 => (*a as i8).abs_diff(*b as i8),
        _ => a.abs_diff(*b),
    };
    let off: Vec<(usize, u8)> =
        found.iter().zip(expected.bytes()).map(apart).enumerate().filter(|&(_, d)| d > 0).collect();
    let allowed = match unrounded {
        Some(before) => off.iter().all(|&(i, _)| before.is_half(i)),
        None => off.len() * 50 <= found.len() + 100,
    };
    let most = off.iter().map(|&(_, d)| d).max().unwrap_or(0);
    if most <= 1 && allowed { Ok(()) } else { Err(format!("{} bytes differ, by {most} at most", off.len())) }
}

/// Checks `found` against `expected`, where elements may differ by `tolerance` of the RMS, or of themselves where they
/// are larger, or by a step where they are rounded.
fn close(found: &[u8], expected: &Tensor, unrounded: Option<&Unrounded>, tolerance: f64) -> Result<(), String> {
    if expected.dtype() != DType::Sign && expected.quant().is_some() && tolerance > 0.0 {
        return close_bytes(found, expected, unrounded);
    }
    if expected.dtype() != DType::F32 {
        return if found == expected.bytes() { Ok(()) } else { Err("elements differ".into()) };
    }
    let found: Vec<f32> = bytemuck::pod_collect_to_vec(found);
    let expected = expected.elements::<f32>().unwrap();
    if found.len() != expected.len() {
        return Err(format!("{} elements instead of {}", found.len(), expected.len()));
    }
    let finite: Vec<f64> = expected.iter().filter(|e| e.is_finite()).map(|&e| f64::from(e)).collect();
    let rms = (finite.iter().map(|e| e * e).sum::<f64>() / finite.len().max(1) as f64).sqrt();
    for (i, (&f, &e)) in found.iter().zip(expected.iter()).enumerate() {
        let same = f == e || (f.is_nan() && e.is_nan());
        let error = (f64::from(f) - f64::from(e)).abs();
        let other_way = unrounded.is_some_and(|u| u.is_half(i) && error <= 1.01 * f64::from(u.scale));
        if !same
            && !other_way
            && !matches!(error.partial_cmp(&(tolerance * rms.max(f64::from(e).abs()))), Some(o) if o.is_le())
        {
            return Err(format!("element {i} is {f}, not {e} (RMS {rms:.2e})"));
        }
    }
    Ok(())
}

type Outputs = Vec<Option<Vec<u8>>>;

/// Runs one offer; outputs and scratch hold NaNs before.
fn run(
    case: &Case,
    k: &dyn Kernel,
    o: &Offer,
    parallel: &dyn Parallel,
    place: Option<usize>,
) -> Result<Outputs, String> {
    let p = &case.problem;
    let packed = k.pack(p, o).map_err(|e| e.to_string())?;
    if packed.data.as_slice().len() != o.packed_bytes {
        return Err(format!("{} packed bytes instead of {}", packed.data.as_slice().len(), o.packed_bytes));
    }
    let prepared = k.prepare(p, o, Arc::new(packed)).map_err(|e| e.to_string())?;
    let layouts = o.inputs.iter().copied().chain(std::iter::repeat(None));
    let mut inputs: Vec<Option<AlignedBuf>> =
        case.inputs.iter().zip(layouts).map(|(t, l)| Some(from_plain(t.as_ref()?, l?))).collect();
    let nan = |bytes: usize| {
        let mut b = AlignedBuf::zeroed(bytes).unwrap();
        b.as_mut_slice().fill(0xff);
        b
    };
    let output = |(y, &l): (&Option<Operand>, &Layout)| Some(nan(y.as_ref()?.bytes(l)?));
    let mut outputs: Vec<Option<AlignedBuf>> = p.outputs.iter().zip(&o.outputs).map(output).collect();
    if let Some(i) = place {
        outputs[0] = inputs[i].take();
    }
    let raw = |b: &mut AlignedBuf| RawOperand { ptr: b.as_mut_ptr(), len: b.as_slice().len() };
    let mut ins: Vec<Option<RawOperand>> = inputs.iter_mut().map(|b| b.as_mut().map(raw)).collect();
    let outs: Vec<Option<RawOperand>> = outputs.iter_mut().map(|b| b.as_mut().map(raw)).collect();
    if let Some(i) = place {
        ins[i] = outs[0];
    }
    let (mut shared, mut own) = (nan(o.scratch.shared), nan(o.scratch.per_worker * parallel.workers()));
    let (shared, own) = (raw(&mut shared), raw(&mut own));
    // SAFETY: all buffers live through the run, are initialised, aligned and of the lengths of their layouts; they are
    // disjoint, but for output 0 and the input it takes over.
    let mut cx = unsafe { RunCx::new(&ins, &outs, place, shared, own, o.scratch.per_worker, parallel) };
    prepared.run(&mut cx).map_err(|e| e.to_string())?;
    Ok(outputs.into_iter().map(|b| b.map(|b| b.as_slice().to_vec())).collect())
}

fn check(case: &Case, k: &dyn Kernel, o: &Offer, m: &Machine) -> Result<(), String> {
    let cost = k.cost(&case.problem, o, m);
    if !(cost.ns.is_finite() && cost.ns > 0.0) {
        return Err(format!("costs {} ns", cost.ns));
    }
    if o.numerics > k.descriptor().numerics {
        return Err("is less exact than its kernel says".into());
    }
    let mut p = case.problem.clone();
    p.epilogue.truncate(o.fused);
    let inputs: Vec<Option<&Tensor>> = case.inputs.iter().map(Option::as_ref).collect();
    let expected = paring_reference::evaluate(&p, &inputs).map_err(|e| format!("reference: {e}"))?;
    let unrounded = unrounded(&p, &inputs, tolerance(o.numerics));
    let one = run(case, k, o, &Serial, None)?;
    if run(case, k, o, &Turns(3), None)? != one {
        return Err("three workers give other bits".into());
    }
    if let Some(i) = o.in_place
        && run(case, k, o, &Serial, Some(i))? != one
    {
        return Err("in place gives other bits".into());
    }
    for (i, (found, expected)) in one.iter().zip(&expected).enumerate() {
        let (Some(found), Some(expected), Some(operand)) = (found, expected, case.problem.output(i)) else { continue };
        let plain = to_plain(operand, o.outputs[i], found).map_err(|e| format!("output {i}: {e}"))?;
        close(&plain, expected, unrounded.as_ref(), tolerance(o.numerics)).map_err(|e| format!("output {i}: {e}"))?;
    }
    Ok(())
}

#[test]
fn every_kernel_agrees_with_the_reference() {
    let registry = paring::builtin_registry();
    let machine = Machine::generic(paring_simd::detect());
    // Emulated processors are slow: `PARING_ISA=avx512` looks at the kernels of these instructions alone, and
    // `PARING_KERNEL=dense` at those whose names have that in them.
    let only = std::env::var("PARING_ISA").ok().map(|name| Isa::from_name(&name).expect("the name of instructions"));
    let named = std::env::var("PARING_KERNEL").unwrap_or_default();
    let wanted = |k: &dyn Kernel| {
        let d = k.descriptor();
        only.is_none_or(|isa| d.isa == isa) && d.name.contains(&named)
    };
    assert!(registry.iter().any(wanted), "no kernel is wanted");
    let kernels = || registry.iter().filter(|&k| wanted(k));
    let ops: BTreeSet<&str> = kernels().flat_map(|k| k.descriptor().ops.iter().copied()).collect();
    let mut exercised: BTreeMap<&str, usize> = BTreeMap::new();
    let mut wrong: BTreeMap<String, (usize, String)> = BTreeMap::new();
    let mut unserved = Vec::new();
    for mut case in ops.iter().flat_map(|op| (0..2).flat_map(|seed| cases(op, seed))) {
        let mut served = false;
        let candidates: Vec<_> = registry.candidates(&case.problem, &machine).filter(|&k| wanted(k)).collect();
        for k in candidates {
            let name = k.descriptor().name;
            let reduced = k.descriptor().numerics == NumericClass::Reduced;
            case.problem.numerics = if reduced { Numerics::Fast } else { Numerics::Default };
            let mut offers = Vec::new();
            match k.offers(&case.problem, &machine, &mut offers) {
                Ok(()) => served |= !offers.is_empty(),
                Err(reason) => assert!(!reason.0.is_empty(), "{name} declines without a reason"),
            }
            for o in &offers {
                *exercised.entry(name).or_default() += 1;
                if let Err(e) = check(&case, k, o, &machine) {
                    let shapes: Vec<_> = case.problem.inputs.iter().flatten().map(|i| (&i.shape, i.dtype)).collect();
                    let (op, epilogue) = (&case.problem.op, &case.problem.epilogue);
                    let what = format!("{e}: {op:?} + {epilogue:?} of {shapes:?} by {:?} -> {:?}", o.inputs, o.outputs);
                    wrong.entry(format!("{name} on {}", op.name())).or_insert((0, what)).0 += 1;
                }
            }
        }
        if !served && only.is_none() && named.is_empty() {
            unserved.push(format!("{:?}", case.problem.op));
        }
    }
    for (name, offers) in &exercised {
        println!("{name}: {offers} offers");
    }
    let list: Vec<String> = wrong.iter().map(|(k, (n, first))| format!("{k}, {n} times, first: {first}")).collect();
    assert!(list.is_empty(), "{}", list.join("\n"));
    assert!(unserved.is_empty(), "no kernel for {unserved:?}");
    for k in kernels() {
        let d = k.descriptor();
        let reason = NEVER.iter().find(|(n, _)| *n == d.name);
        let reached = exercised.contains_key(d.name);
        if machine.isa.has(d.isa) {
            assert_eq!(reached, reason.is_none(), "{}: reached {reached}, exempt {reason:?}", d.name);
        }
    }
}

/// Runs the case in every way that kernels other than the reference offer, and tells in how many.
fn offers_that_give(case: &Case, expected: &[f32], machine: &Machine) -> usize {
    let mut offered = 0;
    let registry = paring::builtin_registry();
    for k in registry.candidates(&case.problem, machine).filter(|k| !k.descriptor().name.contains("reference")) {
        let mut offers = Vec::new();
        let _ = k.offers(&case.problem, machine, &mut offers);
        for o in &offers {
            offered += 1;
            let found = run(case, k, o, &Serial, None).unwrap()[0].clone().unwrap();
            let found = to_plain(case.problem.output(0).unwrap(), o.outputs[0], &found).unwrap();
            let found: Vec<f32> = bytemuck::pod_collect_to_vec(&found);
            let name = k.descriptor().name;
            assert_eq!(found, expected, "{name} {:?} {:?}", case.problem.inputs[0].as_ref().unwrap().quant, o);
        }
    }
    offered
}

#[test]
fn sums_of_bytes_are_exact() {
    let machine = Machine::generic(paring_simd::detect());
    for (case, expected) in extreme_products() {
        assert!(offers_that_give(&case, &expected, &machine) > 1, "no kernel for {:?}", case.problem.op);
    }
    // Weights of one channel come together in one packed weight as long as that has room for them.
    for (times, served) in [(2, true), (127, true), (128, true), (129, false), (300, false)] {
        let (case, expected) = channel_read_often(times);
        assert_eq!(offers_that_give(&case, &expected, &machine) > 0, served, "{times} times");
    }
}

#[test]
fn packed_weights_of_one_name_are_the_same_bytes() {
    let machine = Machine::generic(paring_simd::detect());
    let cases = same_weights();
    let mut packed = BTreeMap::new();
    for k in paring::builtin_registry().iter() {
        for Case { problem: p, .. } in &cases {
            let mut offers = Vec::new();
            let _ = k.offers(p, &machine, &mut offers);
            for o in &offers {
                let bytes = k.pack(p, o).unwrap().data.as_slice().to_vec();
                let name = (p.inputs[1].as_ref().unwrap().dtype, o.packed_format.clone());
                let first = packed.entry(name).or_insert_with(|| bytes.clone());
                assert!(*first == bytes, "{}: {} {:?}", k.descriptor().name, o.packed_format, p.op);
            }
        }
    }
}

#[test]
fn the_generators_are_deterministic_and_cover_every_operator() {
    for k in paring::builtin_registry().iter() {
        for op in k.descriptor().ops {
            let data_dependent = ["Unique", "NonMaxSuppression", "NonZero", "Compress"].contains(op);
            let (a, b) = (cases(op, 1), cases(op, 1));
            assert_eq!(a.is_empty(), data_dependent, "{op}");
            assert!(a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| a.problem == b.problem), "{op}");
        }
    }
}
