//! Sessions: threads, memory, shapes, errors.

mod common;

use common::{prepared, results, single, slow_tests};
use paring::{
    Canceller, DType, ErrorKind, Isa, Model, Options, SharedPool, Tensor, Threads, View, ViewMut,
    graph::op::{Act, AxisAttrs, Op},
    kernel::{
        Cost, Kernel, KernelDescriptor, KernelError, Machine, NumericClass, Offer, Packed, Prepared, Problem, Reject,
        RunCx,
    },
};
use paring_core::AlignedBuf;
use paring_ir::{Conv2d, Dim, Graph, GraphBuilder};
use paring_testkit::zoo;
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

fn numbers(name: &str, shape: &[usize]) -> Tensor {
    let elements = zoo::generate("normal std=1", name, shape.iter().product(), 0).unwrap();
    Tensor::new(shape, &elements).unwrap()
}

fn symbolic() -> Graph {
    let mut b = GraphBuilder::new("symbolic");
    let x = b.input("image", DType::F32, &["N".into(), 3.into(), "H".into(), "W".into()]);
    let w = b.constant("w", numbers("w", &[5, 3, 3, 3]));
    let bias = b.constant("bias", numbers("bias", &[5]));
    let y = b.name("conv").conv2d(x, w, Some(bias), Conv2d::new().padding(1)).unwrap();
    let y = b.name("relu").relu(y).unwrap();
    let y = b.name("mean").global_average_pool(y).unwrap();
    let y = b.name("scores").flatten(y).unwrap();
    b.output("scores", y);
    b.finish().unwrap()
}

/// What [`symbolic`] computes, by the definition.
fn by_definition(x: &Tensor) -> Vec<f32> {
    let (w, bias, x) = (numbers("w", &[5, 3, 3, 3]), numbers("bias", &[5]), x);
    let (w, bias) = (w.elements::<f32>().unwrap(), bias.elements::<f32>().unwrap());
    let (n, h, width) = (x.shape()[0], x.shape()[2], x.shape()[3]);
    let x = x.elements::<f32>().unwrap();
    let mut scores = Vec::new();
    for (image, m) in (0..n * 5).map(|i| (i / 5, i % 5)) {
        let mut total = 0f64;
        for (row, column) in (0..h * width).map(|i| (i / width, i % width)) {
            let mut sum = f64::from(bias[m]);
            for (c, tap) in (0..27).map(|i| (i / 9, i % 9)) {
                let (r, k) = (row + tap / 3, column + tap % 3);
                if (1..=h).contains(&r) && (1..=width).contains(&k) {
                    let at = ((image * 3 + c) * h + r - 1) * width + k - 1;
                    sum += f64::from(x[at]) * f64::from(w[m * 27 + c * 9 + tap]);
                }
            }
            total += sum.max(0.0);
        }
        scores.push((total / (h * width) as f64) as f32);
    }
    scores
}

fn assert_close(found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len());
    let rms = (expected.iter().map(|x| x * x).sum::<f32>() / expected.len() as f32).sqrt();
    for (f, e) in found.iter().zip(expected) {
        assert!((f - e).abs() <= 1e-5 * rms, "{found:?} instead of {expected:?}");
    }
}

#[test]
fn sessions_on_a_shared_pool_run_side_by_side() {
    let pool = SharedPool::new(2).unwrap();
    let model = Model::from_graph(symbolic()).unwrap();
    std::thread::scope(|scope| {
        for n in 1..4 {
            let (model, pool) = (model.clone(), pool.clone());
            scope.spawn(move || {
                let mut options = Options::default();
                options.threads = Threads::Shared(pool);
                let mut session = model.session(&options).unwrap();
                let x = numbers("x", &[n, 3, 9, 7]);
                for _ in 0..20 {
                    let found = session.run_with(&[("image", &x)]).unwrap();
                    assert_close(&found[0].1.elements::<f32>().unwrap(), &by_definition(&x));
                }
            });
        }
    });
}

#[test]
fn plans_never_read_memory_that_was_overwritten() {
    let small = ["squeezenet1_1", "mobilenet_v2", "shufflenet_v2_x1_0", "crelu_pva", "enet_256x512", "bert_plain_dyn"];
    let all = zoo::names().unwrap();
    let names = match slow_tests("the plans of all networks") {
        true => all.iter().map(String::as_str).collect(),
        false => small.to_vec(),
    };
    for name in names {
        for optimize in [true, false] {
            let session = prepared(name, &single().with_optimize(optimize));
            paring_plan::check(session.plan().unwrap()).unwrap_or_else(|e| panic!("{name}, optimised {optimize}: {e}"));
        }
    }
}

#[test]
fn intermediates_keep_plans_sound_and_hold_what_the_definition_says() {
    let mut options = single().with_optimize(false);
    options.keep_intermediates = true;
    let x = numbers("x", &[2, 3, 6, 5]);
    let mut session = Model::from_graph(symbolic()).unwrap().session(&options).unwrap();
    session.run_with(&[("image", &x)]).unwrap();
    paring_plan::check(session.plan().unwrap()).unwrap();
    let names = session.intermediate_names();
    assert!(["conv", "relu", "mean"].iter().all(|n| names.iter().any(|k| k == n)), "{names:?}");
    let (conv, relu) = (session.intermediate("conv").unwrap(), session.intermediate("relu").unwrap());
    assert_eq!((conv.shape(), relu.shape()), (&[2, 5, 6, 5][..], &[2, 5, 6, 5][..]));
    let (conv, relu) = (conv.elements::<f32>().unwrap(), relu.elements::<f32>().unwrap());
    assert!(conv.iter().zip(relu.iter()).all(|(c, r)| c.max(0.0) == *r));
    assert!(conv.iter().any(|c| *c < 0.0) && conv.iter().any(|c| *c > 0.0));
    let means: Vec<f32> = relu.chunks(30).map(|plane| plane.iter().sum::<f32>() / 30.0).collect();
    assert_close(session.output::<f32>("scores").unwrap(), &means);
    let error = session.intermediate("nothing").unwrap_err();
    assert!(error.to_string().contains("nothing"), "{error}");
}

#[test]
fn shapes_may_alternate() {
    let model = Model::from_graph(symbolic()).unwrap();
    for plan_cache in [1, 8] {
        let mut options = single();
        options.plan_cache = plan_cache;
        let mut session = model.session(&options).unwrap();
        let inputs = [numbers("a", &[1, 3, 8, 8]), numbers("b", &[3, 3, 5, 11])];
        let mut first = Vec::new();
        for round in 0..3 {
            for (i, x) in inputs.iter().enumerate() {
                session.set_input("image", x).unwrap();
                session.run().unwrap();
                assert_eq!(session.output_shape("scores").unwrap(), [x.shape()[0], 5]);
                let found = session.output::<f32>("scores").unwrap().to_vec();
                assert_close(&found, &by_definition(x));
                if round == 0 {
                    first.push(found);
                } else {
                    assert_eq!(found, first[i], "round {round}");
                }
            }
        }
    }
}

#[test]
fn runs_on_memory_of_the_caller() {
    let x = numbers("x", &[2, 3, 7, 9]);
    let mut session = Model::from_graph(symbolic()).unwrap().session(&single()).unwrap();
    session.resize("image", x.shape()).unwrap();
    session.prepare().unwrap();
    let mut arena = AlignedBuf::zeroed(session.working_bytes()).unwrap();
    // Whatever lies in the memory before must not matter.
    arena.as_mut_slice().fill(0xff);
    let input = x.elements::<f32>().unwrap();
    let mut scores = vec![f32::NAN; 10];
    session.run_on(&[View::of(&input)], &mut [ViewMut::of(&mut scores)], Some(arena.as_mut_slice())).unwrap();
    assert_close(&scores, &by_definition(&x));

    let short = session.run_on(&[View::of(&input[1..])], &mut [ViewMut::of(&mut scores)], None).unwrap_err();
    assert_eq!(short.kind(), ErrorKind::Invalid);
    assert!(short.to_string().contains("'image'"), "{short}");
    let mut doubles = vec![0f64; 5];
    let wrong = session.run_on(&[View::of(&input)], &mut [ViewMut::of(&mut doubles)], None).unwrap_err();
    assert!(wrong.kind() == ErrorKind::Invalid && wrong.to_string().contains("'scores'"), "{wrong}");
    let none = session.run_on(&[], &mut [ViewMut::of(&mut scores)], None).unwrap_err();
    assert_eq!(none.kind(), ErrorKind::Invalid);
    if session.working_bytes() > 0 {
        let missing = &mut arena.as_mut_slice()[..session.working_bytes() - 1];
        let small = session.run_on(&[View::of(&input)], &mut [ViewMut::of(&mut scores)], Some(missing)).unwrap_err();
        assert!(small.kind() == ErrorKind::Invalid && small.to_string().contains("working memory"), "{small}");
    }
}

#[test]
fn a_run_can_be_cancelled_from_another_thread() {
    let mut session = prepared("squeezenet1_1", &single());
    session.run().unwrap();
    let before = results(&session);

    let canceller = session.canceller();
    std::thread::spawn(move || canceller.cancel()).join().unwrap();
    assert_eq!(session.run().unwrap_err().kind(), ErrorKind::Cancelled);
    assert!(session.output::<f32>(0).is_err(), "a cancelled run has no results");

    session.run().unwrap();
    assert!(results(&session) == before, "a cancellation ends one run");

    let (canceller, done) = (session.canceller(), AtomicBool::new(false));
    let error = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                canceller.cancel();
                std::thread::yield_now();
            }
        });
        let error = session.run().expect_err("the run is cancelled sooner or later");
        done.store(true, Ordering::Relaxed);
        error
    });
    assert_eq!(error.kind(), ErrorKind::Cancelled);

    // The thread may have asked once more when that run had ended: for the next one. The one after that is whole.
    let _ = session.run();
    session.run().unwrap();
    assert!(results(&session) == before);
}

#[test]
fn a_cancellation_during_the_last_layer_ends_that_run_and_no_other() {
    let mut b = GraphBuilder::new("last");
    let x = b.input("x", DType::F32, &[2.into()]);
    let y = b.name("last").relu(x).unwrap();
    b.output("y", y);
    let model = Model::from_graph(b.finish().unwrap()).unwrap().with_kernels(&[&CANCELLING]);
    let mut session = model.session(&single()).unwrap();
    let x = Tensor::new(&[2], &[-1f32, 2.0]).unwrap();
    *CANCELLING.request.lock().unwrap() = Some(model.session(&single()).unwrap().canceller());
    let found = session.run_with(&[("x", &x)]).expect("another session's run is its own affair");
    assert_eq!(&*found[0].1.elements::<f32>().unwrap(), [0.0, 2.0]);

    let canceller = session.canceller();
    let on_memory = |request: Option<Canceller>, session: &mut paring::Session| {
        *CANCELLING.request.lock().unwrap() = request;
        let mut y = [f32::NAN; 2];
        session.run_on(&[View::of(&[-1f32, 2.0])], &mut [ViewMut::of(&mut y)], None).map(|()| y.to_vec())
    };
    for _ in 0..2 {
        *CANCELLING.request.lock().unwrap() = Some(canceller.clone());
        assert_eq!(session.run().unwrap_err().kind(), ErrorKind::Cancelled);
        assert!(session.output::<f32>("y").is_err(), "a cancelled run has no results");
        *CANCELLING.request.lock().unwrap() = None;
        session.run().unwrap();
        assert_eq!(session.output::<f32>("y").unwrap(), [0.0, 2.0]);
        let error = on_memory(Some(canceller.clone()), &mut session).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled);
        assert_eq!(on_memory(None, &mut session).unwrap(), [0.0, 2.0]);
    }
    // Between runs: the next one, once, however often it was asked for.
    canceller.cancel();
    canceller.cancel();
    assert_eq!(session.run().unwrap_err().kind(), ErrorKind::Cancelled);
    session.run().unwrap();
    // A run that fails for another reason is the one that was asked to end as well.
    canceller.cancel();
    assert_eq!(session.run_on(&[], &mut [], None).unwrap_err().kind(), ErrorKind::Invalid);
    session.run().unwrap();
}

#[test]
fn wrong_arguments_are_named() {
    let model = Model::from_graph(symbolic()).unwrap();
    let mut session = model.session(&single()).unwrap();
    let good = numbers("x", &[1, 3, 4, 4]);
    let check = |e: paring::Error, words: &[&str]| {
        assert_eq!(e.kind(), ErrorKind::Invalid, "{e}");
        assert!(words.iter().all(|w| e.to_string().contains(w)), "{e} lacks one of {words:?}");
    };
    check(session.run().unwrap_err(), &["'image'", "no shape"]);
    check(session.set_input("picture", &good).unwrap_err(), &["'picture'", "image"]);
    check(session.set_input(1, &good).unwrap_err(), &["1"]);
    let doubles = Tensor::new(&[1, 3, 4, 4], &[0f64; 48]).unwrap();
    check(session.set_input("image", &doubles).unwrap_err(), &["'image'", "f32", "f64"]);
    check(session.resize("image", &[1, 4, 4, 4]).unwrap_err(), &["image"]);
    check(session.resize("image", &[3, 4, 4]).unwrap_err(), &["image"]);
    check(session.input_mut::<f32>("image").map(|_| ()).unwrap_err(), &["'image'", "no shape"]);
    session.set_input("image", &good).unwrap();
    check(session.input_mut::<i32>("image").map(|_| ()).unwrap_err(), &["'image'"]);
    check(session.output::<f32>("scores").map(|_| ()).unwrap_err(), &["'scores'", "run"]);
    session.run().unwrap();
    check(session.output::<f32>("labels").map(|_| ()).unwrap_err(), &["'labels'", "scores"]);
    check(session.output::<i64>("scores").map(|_| ()).unwrap_err(), &["'scores'"]);
    assert_close(session.output::<f32>("scores").unwrap(), &by_definition(&good));
}

#[test]
fn limits_hold() {
    let model = Model::from_graph(symbolic()).unwrap();
    let mut options = single();
    options.limits.arena_bytes = 1000;
    let mut session = model.session(&options).unwrap();
    session.resize("image", &[1, 3, 64, 64]).unwrap();
    let error = session.run().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
    // The session is still good for what fits.
    let x = numbers("x", &[1, 3, 1, 1]);
    if let Ok(found) = session.run_with(&[("image", &x)]) {
        assert_close(&found[0].1.elements::<f32>().unwrap(), &by_definition(&x));
    }

    let mut options = single();
    options.limits.tensor_bytes = 1 << 20;
    let mut session = model.session(&options).unwrap();
    assert_eq!(session.resize("image", &[1, 3, 512, 512]).unwrap_err().kind(), ErrorKind::Limit);
    assert!(session.resize("image", &[usize::MAX, 3, usize::MAX, 4]).is_err());

    let bytes: Vec<u8> = zoo::model("squeezenet1_1", 0).unwrap().into();
    let path = std::env::temp_dir().join(format!("paring-limits-{}.onnx", std::process::id()));
    std::fs::write(&path, bytes).unwrap();
    let mut limits = paring::Limits::default();
    limits.model_bytes = 1000;
    let error = Model::open_with(&path, &limits).unwrap_err();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
}

#[test]
fn shapes_may_depend_on_data() {
    let mut b = GraphBuilder::new("choose");
    let x = b.input("x", DType::F32, &[Dim::symbol("N")]);
    let places = b.name("places").op(Op::NonZero, &[x]).unwrap();
    let chosen = b.name("chosen").op(Op::Gather(AxisAttrs { axis: 0 }), &[x, places]).unwrap();
    let two = b.constant("two", Tensor::new(&[1], &[2f32]).unwrap());
    let doubled = b.name("doubled").mul(chosen, two).unwrap();
    b.output("places", places);
    b.output("doubled", doubled);
    let model = Model::from_graph(b.finish().unwrap()).unwrap();
    for optimize in [true, false] {
        let mut session = model.session(&single().with_optimize(optimize)).unwrap();
        for elements in [&[0f32, 3.0, 0.0, -1.5, 4.0][..], &[1.0, 0.0][..], &[0.0, 0.0, 0.0][..], &[7.0, 8.0, 9.0]] {
            let x = Tensor::new(&[elements.len()], elements).unwrap();
            session.set_input("x", &x).unwrap();
            session.run().unwrap();
            let places: Vec<i64> = (0..elements.len()).filter(|&i| elements[i] != 0.0).map(|i| i as i64).collect();
            let doubled: Vec<f32> = elements.iter().filter(|&&e| e != 0.0).map(|e| 2.0 * e).collect();
            assert_eq!(session.output::<i64>("places").unwrap(), places);
            assert_eq!(session.output::<f32>("doubled").unwrap(), doubled);
            assert_eq!(session.output_shape("doubled").unwrap(), [1, places.len()]);
        }
    }
}

/// A kernel of the user's own that counts its runs.
struct CountingRelu(&'static AtomicUsize);

static RUNS: AtomicUsize = AtomicUsize::new(0);
static RELU: CountingRelu = CountingRelu(&RUNS);
static DESCRIPTOR: KernelDescriptor = KernelDescriptor {
    name: "counting_relu",
    summary: "max(x, 0), counted",
    ops: &["Activation"],
    isa: Isa::Portable,
    numerics: NumericClass::Exact,
};

impl Kernel for CountingRelu {
    fn descriptor(&self) -> &'static KernelDescriptor {
        &DESCRIPTOR
    }

    fn offers(&self, p: &Problem, _: &Machine, out: &mut Vec<Offer>) -> Result<(), Reject> {
        if p.op != Op::Activation(Act::Relu) || p.input(0).is_none_or(|x| x.dtype != DType::F32) {
            return Err(Reject::because("only max(x, 0) of f32"));
        }
        out.push(Offer { numerics: NumericClass::Exact, ..Offer::plain(p) });
        Ok(())
    }

    fn cost(&self, _: &Problem, _: &Offer, _: &Machine) -> Cost {
        Cost { ns: 1e-3, bytes: 1.0 }
    }

    fn prepare(&self, _: &Problem, _: &Offer, _: Arc<Packed>) -> Result<Box<dyn Prepared>, KernelError> {
        Ok(Box::new(CountedRun(self.0)))
    }
}

struct CountedRun(&'static AtomicUsize);

impl Prepared for CountedRun {
    fn run(&self, cx: &mut RunCx<'_>) -> Result<(), KernelError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        let x: &[f32] = cx.input(0);
        for (y, x) in cx.output::<f32>(0).iter_mut().zip(x) {
            *y = x.max(0.0);
        }
        Ok(())
    }
}

#[test]
fn later_stages_do_not_compute_anew_what_is_there() {
    static RUNS: AtomicUsize = AtomicUsize::new(0);
    static RELU: CountingRelu = CountingRelu(&RUNS);
    let mut b = GraphBuilder::new("stages");
    let x = b.input("x", DType::F32, &[200.into()]);
    let positive = b.name("positive").relu(x).unwrap();
    // Nothing that waits for the data reads `positive`.
    let places = b.name("places").op(Op::NonZero, &[x]).unwrap();
    let chosen = b.name("chosen").op(Op::Gather(AxisAttrs { axis: 0 }), &[x, places]).unwrap();
    b.output("x", x);
    b.output("positive", positive);
    b.output("chosen", chosen);
    let model = Model::from_graph(b.finish().unwrap()).unwrap().with_kernels(&[&RELU]);
    let mut session = model.session(&single()).unwrap();
    for (run, elements) in [[0f32, 3.0, -1.0, 2.0].repeat(50), vec![1.0; 200]].iter().enumerate() {
        let found = session.run_with(&[("x", &Tensor::new(&[200], elements).unwrap())]).unwrap();
        let positive: Vec<f32> = elements.iter().map(|e| e.max(0.0)).collect();
        let chosen: Vec<f32> = elements.iter().copied().filter(|&e| e != 0.0).collect();
        let found: Vec<Vec<f32>> = found.iter().map(|(_, t)| t.elements::<f32>().unwrap().to_vec()).collect();
        assert_eq!(found, [elements.to_vec(), positive, chosen]);
        assert_eq!(RUNS.load(Ordering::Relaxed), run + 1);
    }
}

/// A kernel that asks for the cancellation of a run while it computes.
struct CancellingRelu {
    request: Mutex<Option<Canceller>>,
}

static CANCELLING: CancellingRelu = CancellingRelu { request: Mutex::new(None) };
static CANCELLING_DESCRIPTOR: KernelDescriptor = KernelDescriptor { name: "cancelling_relu", ..DESCRIPTOR };

impl Kernel for CancellingRelu {
    fn descriptor(&self) -> &'static KernelDescriptor {
        &CANCELLING_DESCRIPTOR
    }

    fn offers(&self, p: &Problem, m: &Machine, out: &mut Vec<Offer>) -> Result<(), Reject> {
        RELU.offers(p, m, out)
    }

    fn cost(&self, _: &Problem, _: &Offer, _: &Machine) -> Cost {
        Cost { ns: 1e-3, bytes: 1.0 }
    }

    fn prepare(&self, _: &Problem, _: &Offer, _: Arc<Packed>) -> Result<Box<dyn Prepared>, KernelError> {
        Ok(Box::new(CancellingRun))
    }
}

struct CancellingRun;

impl Prepared for CancellingRun {
    fn run(&self, cx: &mut RunCx<'_>) -> Result<(), KernelError> {
        if let Some(canceller) = &*CANCELLING.request.lock().unwrap() {
            canceller.cancel();
        }
        let x: &[f32] = cx.input(0);
        for (y, x) in cx.output::<f32>(0).iter_mut().zip(x) {
            *y = x.max(0.0);
        }
        Ok(())
    }
}

#[test]
fn a_kernel_of_the_user_takes_part() {
    let model = Model::from_graph(symbolic()).unwrap().with_kernels(&[&RELU]);
    let x = numbers("x", &[1, 3, 6, 6]);
    let mut session = model.session(&single().with_optimize(false)).unwrap();
    let found = session.run_with(&[("image", &x)]).unwrap();
    assert_close(&found[0].1.elements::<f32>().unwrap(), &by_definition(&x));
    assert!(session.plan().unwrap().steps.iter().any(|s| s.kernel == "counting_relu"));
    assert_eq!(RUNS.load(Ordering::Relaxed), 1);

    let mut without = single().with_optimize(false);
    without.exclude_kernels = vec!["counting_relu".into()];
    let mut session = model.session(&without).unwrap();
    session.run_with(&[("image", &x)]).unwrap();
    assert!(session.plan().unwrap().steps.iter().all(|s| s.kernel != "counting_relu"));
    assert_eq!(RUNS.load(Ordering::Relaxed), 1);
}
