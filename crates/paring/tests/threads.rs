//! Threads: whose they are and how many changes no bit of a result, and no executor can do harm.

mod common;

use common::{feed, golden, open, prepared, results, single};
use paring::{
    DType, ErrorKind, Executor, Helper, Model, Options, RunOptions, Session, SharedPool, Tensor, Threads, View, ViewMut,
};
use paring_ir::{Conv2d, GraphBuilder};
use paring_testkit::zoo;
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

fn on(threads: Threads) -> Options {
    let mut options = Options::default();
    options.threads = threads;
    options
}

/// A thread for each helper, as a job system would find one.
struct ThreadEach {
    threads: usize,
    helped: AtomicUsize,
}

impl ThreadEach {
    fn new(threads: usize) -> Arc<ThreadEach> {
        Arc::new(ThreadEach { threads, helped: AtomicUsize::new(0) })
    }
}

impl Executor for ThreadEach {
    fn threads(&self) -> usize {
        self.threads
    }

    fn spawn(&self, helper: Helper) {
        self.helped.fetch_add(1, SeqCst);
        std::thread::spawn(|| helper.help());
    }
}

#[test]
fn results_are_the_same_bits_for_any_number_of_threads() {
    for name in ["squeezenet1_1", "mobilenet_v2", "enet_256x512"] {
        let (model, golden) = (open(name), golden(name));
        let run = |threads: Threads| {
            let mut session = model.session(&on(threads)).unwrap();
            feed(&mut session, &golden).unwrap();
            session.run().unwrap();
            results(&session)
        };
        let one = run(Threads::Single);
        let shared = SharedPool::new(3).unwrap();
        for threads in
            [Threads::Pool(2), Threads::Pool(3), Threads::Shared(shared), Threads::Caller(ThreadEach::new(4))]
        {
            let what = format!("{name} with {threads:?}");
            assert!(run(threads) == one, "{what} gives other bits");
        }
    }
}

#[test]
fn single_runs_may_take_other_threads() {
    for name in ["squeezenet1_1", "bert_plain_dyn"] {
        let mut session = prepared(name, &single());
        session.run().unwrap();
        let one = results(&session);
        let other = ThreadEach::new(8);
        let shared = SharedPool::new(2).unwrap();
        for threads in [1, 3] {
            let mut session = prepared(name, &Options::default().with_threads(threads));
            let with = RunOptions::default();
            let runs = [
                with,
                with.with_max_threads(0),
                with.with_max_threads(2),
                with.with_max_threads(usize::MAX),
                with.with_executor(&*other),
                with.with_executor(&shared).with_max_threads(2),
                with,
            ];
            for options in runs.iter().cycle().take(3 * runs.len()) {
                session.using(*options).run().unwrap();
                assert!(results(&session) == one, "{name}, {threads} threads, {options:?}: other bits");
            }
        }
        assert!(other.helped.load(SeqCst) > 0, "{name}: the other executor was not asked");
    }
}

#[test]
fn other_threads_also_for_runs_on_memory_of_the_caller_and_with_inputs() {
    let golden = golden("squeezenet1_1");
    let mut session = prepared("squeezenet1_1", &Options::default().with_threads(2));
    session.run().unwrap();
    let expected = session.output::<f32>(0).unwrap().to_vec();
    let other = ThreadEach::new(2);
    let options = RunOptions::default().with_executor(&*other);
    let inputs = zoo::golden_inputs(&golden).unwrap();
    let (name, input) = inputs.into_iter().next().unwrap();
    let mut scores = vec![f32::NAN; expected.len()];
    let elements = input.elements::<f32>().unwrap();
    session.using(options).run_on(&[View::of(&elements)], &mut [ViewMut::of(&mut scores)], None).unwrap();
    assert_eq!(scores, expected);
    assert!(other.helped.swap(0, SeqCst) > 0);
    let found = session.using(options).run_with(&[(&name, &input)]).unwrap();
    assert_eq!(&*found[0].1.elements::<f32>().unwrap(), expected);
    assert!(other.helped.load(SeqCst) > 0);
}

/// What an executor may do wrong.
#[derive(Clone, Copy, Debug)]
enum Vice {
    /// Loses helpers.
    Drops,
    /// Never lets go of them either.
    Leaks,
    /// Keeps them, to have them help when the session is long gone.
    Hoards,
    /// Has them help on the calling thread.
    Inline,
    /// Waits until they are done.
    Blocks,
    Panics,
    /// Says something else each time it is asked how many threads there are.
    Changes,
}

struct Vicious {
    vice: Vice,
    asked: AtomicUsize,
    hoard: Mutex<Vec<Helper>>,
}

impl Vicious {
    fn new(vice: Vice) -> Arc<Vicious> {
        Arc::new(Vicious { vice, asked: AtomicUsize::new(0), hoard: Mutex::default() })
    }
}

impl Executor for Vicious {
    fn threads(&self) -> usize {
        match self.vice {
            Vice::Changes => 2 + 1000 * self.asked.fetch_add(1, SeqCst),
            _ => 4,
        }
    }

    fn spawn(&self, helper: Helper) {
        match self.vice {
            Vice::Drops => drop(helper),
            Vice::Leaks => std::mem::forget(helper),
            Vice::Hoards => self.hoard.lock().unwrap().push(helper),
            Vice::Inline => helper.help(),
            Vice::Blocks => std::thread::spawn(|| helper.help()).join().unwrap(),
            Vice::Panics => panic!("as the test wants it"),
            Vice::Changes => drop(std::thread::spawn(|| helper.help())),
        }
    }
}

/// A network of few layers, each with work for several threads.
fn small() -> Model {
    let random = |name: &str, shape: &[usize]| zoo::generate("normal std=1", name, shape.iter().product(), 0).unwrap();
    let mut b = GraphBuilder::new("small");
    let x = b.input("x", DType::F32, &[1.into(), 8.into(), 56.into(), 56.into()]);
    let w = b.constant("w", Tensor::new(&[64, 8, 3, 3], &random("w", &[64, 8, 3, 3])).unwrap());
    let v = b.constant("v", Tensor::new(&[64, 64, 3, 3], &random("v", &[64, 64, 3, 3])).unwrap());
    let y = b.name("first").conv2d(x, w, None, Conv2d::new().padding(1)).unwrap();
    let y = b.name("relu").relu(y).unwrap();
    let y = b.name("second").conv2d(y, v, None, Conv2d::new().padding(1)).unwrap();
    b.output("y", y);
    Model::from_graph(b.finish().unwrap()).unwrap()
}

/// A session of [`small`] with its input.
fn small_session(model: &Model, threads: Threads) -> Session {
    let mut session = model.session(&on(threads)).unwrap();
    for (i, x) in session.input_mut::<f32>("x").unwrap().iter_mut().enumerate() {
        *x = (i % 17) as f32 - 8.0;
    }
    session
}

#[test]
fn a_faulty_executor_costs_time_at_most() {
    let model = small();
    let session = |threads: Threads| small_session(&model, threads);
    let mut one = session(Threads::Single);
    one.run().unwrap();
    let expected = results(&one);
    for vice in [Vice::Drops, Vice::Leaks, Vice::Hoards, Vice::Inline, Vice::Blocks, Vice::Panics, Vice::Changes] {
        let executor = Vicious::new(vice);
        let mut own = session(Threads::Caller(executor.clone()));
        let mut other = session(Threads::Pool(2));
        for _ in 0..3 {
            let results_of = |session: &Session, result: paring::Result<()>| match vice {
                Vice::Panics => {
                    let error = result.expect_err("the executor panicked");
                    assert!(error.kind() == ErrorKind::Invalid && error.to_string().contains("executor"), "{error}");
                }
                _ => {
                    result.unwrap_or_else(|e| panic!("{vice:?}: {e}"));
                    assert!(results(session) == expected, "{vice:?}: other bits");
                }
            };
            let result = own.run();
            results_of(&own, result);
            let result = other.using(RunOptions::default().with_executor(&*executor)).run();
            results_of(&other, result);
            other.run().unwrap();
            assert!(results(&other) == expected, "{vice:?}: other bits afterwards");
        }
        drop((own, other));
        // Too late to do anything.
        executor.hoard.lock().unwrap().drain(..).for_each(Helper::help);
    }
}

#[test]
fn helpers_kept_from_earlier_runs_may_come_to_later_ones() {
    let executor = Vicious::new(Vice::Hoards);
    let mut session = small_session(&small(), Threads::Caller(executor.clone()));
    session.run().unwrap();
    let expected = results(&session);
    let hoard: Vec<Helper> = executor.hoard.lock().unwrap().drain(..).collect();
    assert!(!hoard.is_empty());
    std::thread::scope(|scope| {
        for helper in hoard {
            scope.spawn(|| helper.help());
        }
        for _ in 0..20 {
            session.run().unwrap();
            assert!(results(&session) == expected);
        }
    });
}

#[test]
fn absurd_numbers_of_threads_are_refused() {
    struct Endless;
    impl Executor for Endless {
        fn threads(&self) -> usize {
            usize::MAX
        }
        fn spawn(&self, _: Helper) {}
    }
    let model = small();
    for threads in [Threads::Caller(Arc::new(Endless)), Threads::Pool(usize::MAX)] {
        let error = model.session(&on(threads)).unwrap_err();
        assert!(error.kind() == ErrorKind::Invalid && error.to_string().contains("threads"), "{error}");
    }
    // As an override there is no scratch for so many, and no need to refuse.
    small_session(&model, Threads::Pool(2)).using(RunOptions::default().with_executor(&Endless)).run().unwrap();
}
