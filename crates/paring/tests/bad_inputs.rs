//! Operands that no honest program gives, as constants, as inputs and as what a layer computed: an error that names
//! the node and the culprit, in little time and memory. Alone in its file: it counts memory for the whole process.

mod common;

use common::{onnx::*, single};
use paring::{Error, ErrorKind, Model, Options, Tensor};
use paring_onnx::proto::*;
use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

/// What any case may take at most. Honest ones of this size take a thousandth.
const MOST_BYTES: usize = 256 << 20;
const MOST_TIME: Duration = Duration::from_secs(20);

struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

fn took(bytes: usize) {
    PEAK.fetch_max(NOW.fetch_add(bytes, Relaxed) + bytes, Relaxed);
}

// SAFETY: every call is handed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        took(layout.size());
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        took(layout.size());
        // SAFETY: as the caller promises.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as the caller promises; `ptr` came from `System`.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How an operand comes to the node under test.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    /// It is stored in the file.
    Constant,
    /// It is an input of fixed shape.
    Input,
    /// It is an input whose dimensions are symbols.
    Symbolic,
    /// It comes out of an operator whose output shape depends on data.
    Computed,
}

const WAYS: [Way; 4] = [Way::Constant, Way::Input, Way::Symbolic, Way::Computed];

/// An operand: one that always is an input, or one that comes each [`Way`].
enum Operand {
    Plain(Tensor),
    Varied(Tensor),
    Absent,
}
use Operand::{Absent, Plain, Varied};

struct Case {
    op: &'static str,
    opset: i64,
    attributes: Vec<AttributeProto>,
    operands: Vec<Operand>,
    outputs: usize,
}

fn case(op: &'static str, attributes: Vec<AttributeProto>, operands: Vec<Operand>) -> Case {
    Case { op, opset: 18, attributes, operands, outputs: 1 }
}

/// One, two, three and so on.
fn x(shape: &[usize]) -> Operand {
    let v: Vec<f32> = (0..shape.iter().product()).map(|i: usize| i as f32 + 1.0).collect();
    Plain(floats(shape, &v))
}

fn i64s(v: &[i64]) -> Operand {
    Varied(Tensor::from_i64s(v))
}

fn i64_of(shape: &[usize], v: &[i64]) -> Operand {
    Varied(Tensor::new(shape, v).unwrap())
}

fn f32s(v: &[f32]) -> Operand {
    Varied(floats(&[v.len()], v))
}

/// The model of one node, `it`, and the inputs to run it with.
fn model(case: &Case, way: Way) -> (Vec<u8>, Vec<(String, Tensor)>) {
    let mut g = GraphProto { name: "g".into(), ..Default::default() };
    let (mut names, mut given) = (Vec::new(), Vec::new());
    for (i, operand) in case.operands.iter().enumerate() {
        let name = format!("i{i}");
        names.push(name.clone());
        match operand {
            Absent => names[i].clear(),
            Plain(t) => {
                g.input.push(declared(&name, t, false));
                given.push((name, t.clone()));
            }
            Varied(t) if way == Way::Constant => g.initializer.push(stored(&name, t)),
            // There is nothing to pick slices of.
            Varied(t) if way == Way::Computed && !t.shape().is_empty() => {
                let all = Tensor::from_bools(&[t.shape()[0]], &vec![true; t.shape()[0]]).unwrap();
                let (source, mask) = (format!("{name}.source"), format!("{name}.mask"));
                g.input.push(declared(&source, t, false));
                given.push((source.clone(), t.clone()));
                g.initializer.push(stored(&mask, &all));
                let all = [source, mask];
                g.node.push(node("Compress", &format!("pick{i}"), &all, &[name], vec![int("axis", 0)]));
            }
            Varied(t) => {
                g.input.push(declared(&name, t, way == Way::Symbolic));
                given.push((name, t.clone()));
            }
        }
    }
    let outputs: Vec<String> = (0..case.outputs).map(|k| format!("y{k}")).collect();
    g.node.push(node(case.op, "it", &names, &outputs, case.attributes.clone()));
    g.output = outputs.iter().map(|name| output(name)).collect();
    (encoded(g, case.opset), given)
}

fn options(optimize: bool) -> Options {
    let mut options = single().with_optimize(optimize);
    options.limits.tensor_bytes = 32 << 20;
    options.limits.arena_bytes = 64 << 20;
    options
}

fn run(case: &Case, way: Way, optimize: bool) -> Result<Vec<(String, Tensor)>, Error> {
    let (bytes, inputs) = model(case, way);
    let mut session = Model::from_vec(bytes)?.session(&options(optimize))?;
    let inputs: Vec<(&str, &Tensor)> = inputs.iter().map(|(n, t)| (n.as_str(), t)).collect();
    session.run_with(&inputs)
}

/// What went wrong so far: one list, so that one run of the test tells everything.
static FAILURES: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn fail(message: String) {
    FAILURES.lock().unwrap().push(message);
}

/// Runs the case every way, which must fail each time for the reason given: one of the kinds, with all `words`, or one of
/// those between bars.
fn refused_as(case: &Case, of_constants: &[ErrorKind], of_data: &[ErrorKind], words: &[&str]) {
    for (way, optimize) in WAYS.into_iter().flat_map(|w| [(w, true), (w, false)]) {
        let what = format!("{} {way:?}, optimised {optimize}", case.op);
        let (before, start) = (NOW.load(Relaxed), Instant::now());
        PEAK.store(before, Relaxed);
        let error = match run(case, way, optimize) {
            Err(error) => error,
            Ok(found) => {
                fail(format!("{what}: ran, though it should be refused with {words:?}: {:?}", found[0].1.shape()));
                continue;
            }
        };
        let (bytes, time) = (PEAK.load(Relaxed).saturating_sub(before), start.elapsed());
        let kinds = if way == Way::Constant { of_constants } else { of_data };
        let node = error.node().is_some_and(|n| n == "it" || n.starts_with("it."));
        if !kinds.contains(&error.kind()) || !node {
            fail(format!("{what}: {error:?} at {:?}, not one of {kinds:?} at 'it'", error.node()));
        }
        let text = error.to_string();
        for word in words.iter().chain(&["'it"]).filter(|w| !w.split('|').any(|w| text.contains(w))) {
            fail(format!("{what}: {error:?} does not say '{word}'"));
        }
        if bytes > MOST_BYTES || time > MOST_TIME {
            fail(format!("{what}: took {bytes} bytes and {time:?}"));
        }
    }
}

/// An element is wrong.
fn refused(case: Case, words: &[&str]) {
    refused_as(&case, &[ErrorKind::Corrupt, ErrorKind::Data], &[ErrorKind::Data], words);
}

/// A shape is wrong, which only a fixed one tells of the model itself.
fn misshapen(case: Case, words: &[&str]) {
    let all = [ErrorKind::Corrupt, ErrorKind::Data, ErrorKind::Invalid];
    refused_as(&case, &all, &all, words);
}

/// What is larger than the limits, or even than can be counted.
fn too_large(case: Case) {
    let (data, limit) = (ErrorKind::Data, ErrorKind::Limit);
    refused_as(&case, &[ErrorKind::Corrupt, data, limit], &[data, limit], &["limit|can address|overflow"]);
}

/// Runs the case every way; the first output must have this shape.
fn runs(case: Case, shape: &[usize]) {
    for (way, optimize) in WAYS.into_iter().flat_map(|w| [(w, true), (w, false)]) {
        let what = format!("{} {way:?}, optimised {optimize}", case.op);
        match run(&case, way, optimize) {
            Ok(found) if found[0].1.shape() == shape => {}
            Ok(found) => fail(format!("{what}: {:?} instead of {shape:?}", found[0].1.shape())),
            Err(error) => fail(format!("{what}: {error:?}")),
        }
    }
}

const HUGE: i64 = 1 << 40;

#[test]
fn everything() {
    // One test, so that no other one's memory is counted.
    gathering_and_scattering();
    regions_and_windows();
    slices();
    padding();
    resizing();
    choosing();
    repeating_and_making();
    shapes_and_axes();
    sequences();
    let failures = FAILURES.lock().unwrap();
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

fn gathering_and_scattering() {
    let far = [3, -4, i64::from(i32::MAX) + 1, i64::MIN, i64::MAX];
    for i in far {
        let axis = || vec![int("axis", 0)];
        refused(case("Gather", axis(), vec![x(&[3]), i64s(&[0, i])]), &["Gather", "3"]);
        refused(case("Gather", axis(), vec![x(&[3, 2]), i64s(&[i])]), &["Gather", "3"]);
        refused(case("GatherElements", axis(), vec![x(&[3]), i64s(&[i])]), &["3"]);
        refused(case("GatherND", vec![], vec![x(&[3]), i64_of(&[1, 1], &[i])]), &["3"]);
        refused(case("ScatterElements", axis(), vec![x(&[3]), i64s(&[i]), x(&[1])]), &["3"]);
        refused(case("ScatterND", vec![], vec![x(&[3]), i64_of(&[1, 1], &[i]), x(&[1])]), &["3"]);
    }
    let narrow = |i: i32| Varied(Tensor::new(&[1], &[i]).unwrap());
    for i in [3, -4, i32::MIN, i32::MAX] {
        refused(case("Gather", vec![], vec![x(&[3]), narrow(i)]), &["3"]);
    }
    // Tuples longer than the rank, and indices longer than the axes beside.
    misshapen(case("GatherND", vec![], vec![x(&[3]), i64_of(&[1, 2], &[0, 0])]), &["2"]);
    misshapen(case("GatherElements", vec![], vec![x(&[3, 1]), i64_of(&[1, 2], &[0, 0])]), &["1", "2"]);
    runs(case("Gather", vec![], vec![x(&[3]), i64s(&[-1, 2, -3])]), &[3]);
}

fn regions_and_windows() {
    let regions = |v: &[f32], batch: i64| {
        let attributes = vec![int("output_height", 2), int("output_width", 2)];
        case("RoiAlign", attributes, vec![x(&[1, 1, 4, 4]), Varied(floats(&[1, 4], v)), i64s(&[batch])])
    };
    for batch in [1, -1, i64::MIN, i64::MAX] {
        refused(regions(&[0.0, 0.0, 2.0, 2.0], batch), &["batch index", &batch.to_string()]);
    }
    for far in [1e30, f32::NAN, f32::INFINITY] {
        refused(regions(&[0.0, 0.0, far, far], 0), &["region", "too large"]);
    }
    runs(regions(&[-5.0, 9.0, 2.0, -2.0], 0), &[1, 1, 2, 2]);
    for i in [4, -1, i64::MIN, i64::MAX] {
        let operands = vec![x(&[1, 1, 1, 1]), i64_of(&[1, 1, 1, 1], &[i])];
        let attributes = vec![ints("kernel_shape", &[2, 2]), ints("strides", &[2, 2])];
        refused(case("MaxUnpool", attributes, operands), &["index", &i.to_string()]);
    }
    for (shape, word) in [([1, 1, -2, 2], "-2"), ([1, 1, 2, i64::MIN], "-9223372036854775808")] {
        let operands = vec![x(&[1, 1, 1, 1]), Plain(Tensor::new(&[1, 1, 1, 1], &[0i64]).unwrap()), i64s(&shape)];
        let attributes = vec![ints("kernel_shape", &[2, 2]), ints("strides", &[2, 2])];
        refused(case("MaxUnpool", attributes, operands), &[word]);
    }
    // Not implemented: no matter what the operands hold, nothing is read.
    let fold = case("Col2Im", vec![], vec![x(&[1, 5, 5]), i64s(&[5, 5]), i64s(&[-1, 5])]);
    refused_as(&fold, &[ErrorKind::Unsupported], &[ErrorKind::Unsupported], &["Col2Im", "18"]);
}

fn slices() {
    let slice = |starts: &[i64], ends: &[i64], axes: &[i64], steps: &[i64]| {
        case("Slice", vec![], vec![x(&[3, 4]), i64s(starts), i64s(ends), i64s(axes), i64s(steps)])
    };
    let (low, high) = (i64::MIN, i64::MAX);
    runs(slice(&[low], &[high], &[0], &[1]), &[3, 4]);
    runs(slice(&[high], &[low], &[-1], &[-1]), &[3, 4]);
    runs(slice(&[high], &[high], &[0], &[high]), &[0, 4]);
    runs(slice(&[-1], &[low], &[0], &[low]), &[1, 4]);
    runs(slice(&[7], &[9], &[1], &[1]), &[3, 0]);
    refused(slice(&[0], &[1], &[0], &[0]), &["steps", "0"]);
    refused(slice(&[0], &[1], &[2], &[1]), &["axis 2", "rank 2"]);
    refused(slice(&[0], &[1], &[low], &[1]), &["axis", "rank 2"]);
    refused(slice(&[0, 0], &[1, 1], &[0, -2], &[1, 1]), &["twice"]);
    misshapen(slice(&[0, 0], &[1], &[0], &[1]), &["2 entries", "1"]);
    refused(slice(&[0; 3], &[1; 3], &[0, 1, 0], &[1; 3]), &["twice"]);
}

fn padding() {
    let pad = |mode: &str, pads: &[i64]| case("Pad", vec![text("mode", mode)], vec![x(&[2, 3]), i64s(pads)]);
    runs(pad("constant", &[0, -1, 0, -1]), &[2, 1]);
    refused(pad("constant", &[0, -2, 0, -2]), &["axis 1", "-2"]);
    refused(pad("constant", &[i64::MIN, 0, i64::MIN, 0]), &["axis 0|overflows"]);
    misshapen(pad("constant", &[0, 1, 0]), &["4 entries", "3"]);
    for mode in ["constant", "edge", "reflect", "wrap"] {
        too_large(pad(mode, &[0, HUGE, 0, 0]));
        too_large(pad(mode, &[i64::MAX, 0, i64::MAX, 0]));
        // More than there is: repeated, as the reference implementation of ONNX has it.
        runs(pad(mode, &[5, 0, 5, 7]), &[12, 10]);
    }
    let empty = Plain(floats(&[0, 3], &[]));
    refused(case("Pad", vec![text("mode", "edge")], vec![empty, i64s(&[1, 0, 0, 0])]), &["axis 0", "empty"]);
    let axes = vec![x(&[2, 3]), i64s(&[1, 1]), Absent, i64s(&[5])];
    refused(case("Pad", vec![], axes), &["axis 5", "rank 2"]);
}

fn resizing() {
    for mode in ["nearest", "linear", "cubic"] {
        let by =
            |s: f32| case("Resize", vec![text("mode", mode)], vec![x(&[1, 1, 2, 2]), Absent, f32s(&[1.0, 1.0, s, s])]);
        for scale in [0.0, -1.0, f32::NAN, f32::INFINITY, f32::MIN_POSITIVE / 2.0] {
            refused(by(scale), &[]);
        }
        too_large(by(1e9));
        too_large(by(1e18));
        refused(by(1e30), &["overflow"]);
        let to = |s: i64| {
            case("Resize", vec![text("mode", mode)], vec![x(&[1, 1, 2, 2]), Absent, Absent, i64s(&[1, 1, s, s])])
        };
        for size in [0, -1, i64::MIN] {
            refused(to(size), &[&size.to_string()]);
        }
        too_large(to(HUGE));
        too_large(to(i64::MAX));
    }
    let few = case("Resize", vec![], vec![x(&[1, 1, 2, 2]), Absent, f32s(&[2.0, 2.0])]);
    misshapen(few, &["scales", "4", "2"]);
    let up = |s: f32| Case { opset: 9, ..case("Upsample", vec![], vec![x(&[1, 1, 2, 2]), f32s(&[1.0, 1.0, s, s])]) };
    refused(up(f32::NAN), &["scales", "NaN"]);
    too_large(up(1e9));
}

fn choosing() {
    let top = |k: &[i64]| Case { outputs: 2, ..case("TopK", vec![int("axis", 0)], vec![x(&[3]), i64s(k)]) };
    refused(top(&[4]), &["k", "3", "4"]);
    refused(top(&[-1]), &["k", "-1"]);
    refused(top(&[i64::MIN]), &["k"]);
    refused(top(&[i64::MAX]), &["k", "3"]);
    misshapen(top(&[1, 1]), &["k", "one number"]);
    runs(top(&[0]), &[0]);
    let hot = |depth: i64| {
        let off_on = Plain(floats(&[2], &[0.0, 1.0]));
        let indices = Varied(Tensor::from_i64s(&[-9, 0, i64::MAX]));
        case("OneHot", vec![], vec![indices, i64_of(&[], &[depth]), off_on])
    };
    for depth in [0, -1, i64::MIN] {
        refused(hot(depth), &["depth", &depth.to_string()]);
    }
    too_large(hot(HUGE));
    too_large(hot(i64::MAX));
    runs(hot(4), &[3, 4]);
    let float = |depth: f32| {
        let (indices, off_on) = (Plain(Tensor::from_i64s(&[1])), Plain(floats(&[2], &[0.0, 1.0])));
        case("OneHot", vec![], vec![indices, Varied(floats(&[], &[depth])), off_on])
    };
    refused(float(f32::NAN), &["depth"]);
    too_large(float(1e30));
    let mask = |n: usize| Varied(Tensor::from_bools(&[n], &vec![true; n]).unwrap());
    misshapen(case("Compress", vec![int("axis", 0)], vec![x(&[3]), mask(4)]), &["3"]);
}

fn repeating_and_making() {
    let tile = |repeats: &[i64]| case("Tile", vec![], vec![x(&[2, 3]), i64s(repeats)]);
    refused(tile(&[1, -1]), &["repeats", "-1"]);
    misshapen(tile(&[1]), &["repeats", "2 entries", "1"]);
    too_large(tile(&[HUGE, 1]));
    too_large(tile(&[HUGE, HUGE]));
    too_large(tile(&[i64::MAX, i64::MAX]));
    runs(tile(&[0, i64::MAX / 3]), &[0, (i64::MAX / 3 * 3) as usize]);

    let expand = |shape: &[i64]| case("Expand", vec![], vec![x(&[2, 1]), i64s(shape)]);
    refused(expand(&[3, 1]), &["2", "3"]);
    refused(expand(&[2, -1]), &["shape", "-1"]);
    too_large(expand(&[2, HUGE]));
    too_large(expand(&[i64::MAX, 2, i64::MAX]));

    let fill = |shape: &[i64]| case("ConstantOfShape", vec![], vec![i64s(shape)]);
    refused(fill(&[-1]), &["shape", "-1"]);
    refused(fill(&[2, i64::MIN]), &["shape"]);
    too_large(fill(&[HUGE]));
    too_large(fill(&[1 << 12, 1 << 12, 1 << 12]));
    too_large(fill(&[i64::MAX, i64::MAX]));
    runs(fill(&[0, 5]), &[0, 5]);

    let range = |v: [i64; 3]| case("Range", vec![], v.iter().map(|&i| i64_of(&[], &[i])).collect());
    refused(range([0, 5, 0]), &["delta", "0"]);
    too_large(range([0, HUGE, 1]));
    too_large(range([0, i64::MIN, -1]));
    too_large(range([0, i64::MAX, 1]));
    refused(range([i64::MIN, i64::MAX, 1]), &["overflow"]);
    let range = |v: [f32; 3]| case("Range", vec![], v.iter().map(|&f| Varied(floats(&[], &[f]))).collect());
    refused(range([0.0, f32::NAN, 1.0]), &["finite", "NaN"]);
    refused(range([0.0, f32::INFINITY, 1.0]), &["finite"]);
    refused(range([0.0, 5.0, 0.0]), &["delta"]);
    refused(range([0.0, 1e30, 1e-30]), &["overflow"]);
    too_large(range([0.0, 1e12, 1.0]));
}

fn shapes_and_axes() {
    let reshape = |shape: &[i64]| case("Reshape", vec![], vec![x(&[2, 3]), i64s(shape)]);
    refused(reshape(&[4, -1]), &["f32[2, 3]", "4"]);
    refused(reshape(&[-1, -1]), &["two axes open"]);
    refused(reshape(&[-2, 3]), &["negative"]);
    refused(reshape(&[2, 3, 0]), &["axis 2"]);
    refused(reshape(&[HUGE, HUGE]), &[]);
    refused(reshape(&[i64::MAX, -1]), &[]);
    for (op, rank) in [("Squeeze", "2"), ("Unsqueeze", "3"), ("ReduceSum", "2")] {
        for axis in [5, -5, i64::MIN, i64::MAX] {
            refused(case(op, vec![], vec![x(&[1, 2]), i64s(&[axis])]), &[&format!("rank {rank}")]);
        }
    }
    refused(case("Squeeze", vec![], vec![x(&[1, 2]), i64s(&[1])]), &["axis 1", "2"]);
    let split = |sizes: &[i64]| Case { outputs: 2, ..case("Split", vec![], vec![x(&[4]), i64s(sizes)]) };
    refused(split(&[1, 2]), &["4", "3"]);
    refused(split(&[5, -1]), &["-1"]);
    refused(split(&[i64::MAX, i64::MAX]), &[]);
    misshapen(split(&[1, 1, 2]), &["3", "2"]);
    for axis in [1, -2, i64::MIN, i64::MAX] {
        refused(case("CumSum", vec![], vec![x(&[4]), i64_of(&[], &[axis])]), &["axis"]);
    }
}

fn sequences() {
    for length in [4, -1, i64::MIN, i64::MAX] {
        let operands = vec![x(&[3, 1]), i64s(&[length])];
        refused(case("ReverseSequence", vec![], operands), &["length", &length.to_string()]);
    }
    let divide = |by: i64| case("Div", vec![], vec![Plain(Tensor::from_i64s(&[1, 2])), i64s(&[1, by])]);
    refused(divide(0), &["divided by zero"]);
    for n in [i64::MIN, -1, i64::MAX] {
        let most = || i64_of(&[], &[n]);
        let boxes = Plain(floats(&[1, 2, 4], &[0.0, 0.0, 1.0, 1.0, f32::NAN, 0.0, f32::INFINITY, 1.0]));
        let picked = run(&case("NonMaxSuppression", vec![], vec![boxes, x(&[1, 1, 2]), most()]), Way::Input, true);
        assert!(picked.is_ok(), "{picked:?}");
    }
}
