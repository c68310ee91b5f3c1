//! Threads do not spin when there is nothing to do. Alone in its file: it reads the processor time of the process.
#![cfg(target_os = "linux")]

mod common;

use common::prepared;
use paring::{
    DType, Isa, Model, Options, Session, Tensor,
    graph::op::{Act, Op},
    kernel::{
        Cost, Kernel, KernelDescriptor, KernelError, Machine, NumericClass, Offer, Packed, Prepared, Problem, Reject,
        RunCx,
    },
};
use paring_ir::GraphBuilder;
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

/// How long nothing is done.
const PAUSE: Duration = Duration::from_millis(400);
/// Processor time that may pass in it: one spinning thread takes eight times as much.
const MOST: Duration = Duration::from_millis(50);

/// Processor time of this process so far, in steps of 10 ms.
fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    // Fields 14 and 15, user and system time; the name before may hold blanks.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

/// One test, so that no other takes processor time meanwhile.
#[test]
fn threads_sleep_between_runs_and_through_long_steps_without_work_for_them() {
    let mut session = prepared("squeezenet1_1", &Options::default().with_threads(4));
    for _ in 0..3 {
        session.run().unwrap();
    }
    let before = processor_time();
    std::thread::sleep(PAUSE);
    let taken = processor_time() - before;
    assert!(taken <= MOST, "{taken:?} after the run");

    sleeping_session().run().unwrap();
    let taken = TAKEN.lock().unwrap().expect("the kernel has run");
    assert!(taken <= MOST, "{taken:?} during a step of one task");
}

/// A layer of many tasks before one of a single task that takes long.
fn sleeping_session() -> Session {
    let shape = [1, 64, 128, 128];
    let mut b = GraphBuilder::new("nap");
    let x = b.input("x", DType::F32, &shape.map(Into::into));
    let y = b.name("busy").op(Op::Activation(Act::Sigmoid), &[x]).unwrap();
    let y = b.name("nap").relu(y).unwrap();
    b.output("y", y);
    let model = Model::from_graph(b.finish().unwrap()).unwrap().with_kernels(&[&NAP]);
    let mut session = model.session(&Options::default().with_threads(4).with_optimize(false)).unwrap();
    session.set_input("x", &Tensor::new(&shape, &vec![0.5f32; shape.iter().product()]).unwrap()).unwrap();
    session
}

/// Processor time that passed while [`Nap`] slept.
static TAKEN: Mutex<Option<Duration>> = Mutex::new(None);
static NAP: Nap = Nap;
static DESCRIPTOR: KernelDescriptor = KernelDescriptor {
    name: "nap",
    summary: "max(x, 0), after a while",
    ops: &["Activation"],
    isa: Isa::Portable,
    numerics: NumericClass::Exact,
};

struct Nap;

impl Kernel for Nap {
    fn descriptor(&self) -> &'static KernelDescriptor {
        &DESCRIPTOR
    }

    fn offers(&self, p: &Problem, _: &Machine, out: &mut Vec<Offer>) -> Result<(), Reject> {
        if p.op != Op::Activation(Act::Relu) {
            return Err(Reject::because("only max(x, 0)"));
        }
        out.push(Offer { numerics: NumericClass::Exact, ..Offer::plain(p) });
        Ok(())
    }

    fn cost(&self, _: &Problem, _: &Offer, _: &Machine) -> Cost {
        Cost { ns: 1e-3, bytes: 1.0 }
    }

    fn prepare(&self, _: &Problem, _: &Offer, _: Arc<Packed>) -> Result<Box<dyn Prepared>, KernelError> {
        Ok(Box::new(Nap))
    }
}

impl Prepared for Nap {
    fn run(&self, cx: &mut RunCx<'_>) -> Result<(), KernelError> {
        let before = processor_time();
        std::thread::sleep(PAUSE);
        *TAKEN.lock().unwrap() = Some(processor_time() - before);
        let x: &[f32] = cx.input(0);
        for (y, x) in cx.output::<f32>(0).iter_mut().zip(x) {
            *y = x.max(0.0);
        }
        Ok(())
    }
}
