//! Times every offer of every kernel of the registry on layers of well-known networks, on one thread.
//!
//! `cargo bench -p paring-benches` measures all; an argument such as `-- mobilenet_v2/depthwise` only what contains it.
//! Offers priced at many times the cheapest one (the reference kernels) are left out: they would take most of the time.

use criterion::{BenchmarkId, Criterion, Throughput};
use paring_core::AlignedBuf;
use paring_kernel::{Kernel, Machine, Offer, Operand, Problem, RawOperand, Registry, RunCx, Serial};
use std::{sync::Arc, time::Duration};

/// Offers that cost more than this many times the cheapest are not measured.
const DEAREST: f64 = 30.0;

fn main() {
    let mut c = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(800))
        .configure_from_args();
    let (machine, registry) = (paring_simd::machine(), paring::builtin_registry());
    for p in paring_benches::problems().expect("memory for weights") {
        problem(&mut c, &registry, &machine, &p);
    }
    c.final_summary();
}

fn problem(c: &mut Criterion, registry: &Registry, machine: &Machine, p: &Problem) {
    let mut offers: Vec<(&dyn Kernel, Offer, f64)> = Vec::new();
    for kernel in registry.candidates(p, machine) {
        let mut own = Vec::new();
        // A kernel that declines has nothing to measure.
        if kernel.offers(p, machine, &mut own).is_ok() {
            offers.extend(own.into_iter().map(|o| {
                let ns = kernel.cost(p, &o, machine).ns;
                (kernel, o, ns)
            }));
        }
    }
    let cheapest = offers.iter().map(|o| o.2).fold(f64::INFINITY, f64::min);
    let mut group = c.benchmark_group(&p.name);
    group.throughput(Throughput::Elements(p.output(0).map_or(0, Operand::len) as u64));
    for (kernel, offer, _) in offers.iter().filter(|o| o.2 <= DEAREST * cheapest) {
        let layouts: Vec<String> =
            offer.inputs.iter().flatten().chain(&offer.outputs).map(ToString::to_string).collect();
        let id = BenchmarkId::new(kernel.descriptor().name, format!("{}_v{}", layouts.join("_"), offer.variant));
        // Inside the closure, which runs only where the filter of the command line lets it.
        group.bench_function(id, |b| {
            let mut bound = Bound::new(*kernel, p, offer);
            b.iter(|| bound.run());
        });
    }
    group.finish();
}

/// A kernel with operands of its own.
struct Bound<'a> {
    offer: &'a Offer,
    prepared: Box<dyn paring_kernel::Prepared>,
    inputs: Vec<Option<AlignedBuf>>,
    outputs: Vec<Option<AlignedBuf>>,
    shared: AlignedBuf,
    own: AlignedBuf,
}

impl<'a> Bound<'a> {
    fn new(kernel: &dyn Kernel, p: &Problem, offer: &'a Offer) -> Bound<'a> {
        let packed = Arc::new(kernel.pack(p, offer).expect("packs"));
        let prepared = kernel.prepare(p, offer, packed).expect("prepares");
        let input = |(x, layout): (&Option<Operand>, &Option<paring_core::Layout>)| {
            let bytes = x.as_ref()?.bytes((*layout)?).expect("a size");
            let mut b = buffer(bytes);
            let elements: &mut [f32] = bytemuck::cast_slice_mut(b.as_mut_slice());
            elements.iter_mut().enumerate().for_each(|(i, v)| *v = (i * 31 % 17) as f32 / 17.0);
            Some(b)
        };
        let output = |(y, layout): (&Option<Operand>, &paring_core::Layout)| {
            Some(buffer(y.as_ref()?.bytes(*layout).expect("a size")))
        };
        Bound {
            offer,
            prepared,
            inputs: p.inputs.iter().zip(&offer.inputs).map(input).collect(),
            outputs: p.outputs.iter().zip(&offer.outputs).map(output).collect(),
            shared: buffer(offer.scratch.shared),
            own: buffer(offer.scratch.per_worker),
        }
    }

    fn run(&mut self) {
        let inputs: Vec<_> = self.inputs.iter_mut().map(|b| b.as_mut().map(raw)).collect();
        let outputs: Vec<_> = self.outputs.iter_mut().map(|b| b.as_mut().map(raw)).collect();
        let (shared, own) = (raw(&mut self.shared), raw(&mut self.own));
        let each = self.offer.scratch.per_worker;
        // SAFETY: every operand is a buffer of its own, borrowed for the run, initialised, aligned to a cache line and
        // of the length that the offer's layout asks for; there is one worker.
        let mut cx = unsafe { RunCx::new(&inputs, &outputs, None, shared, own, each, &Serial) };
        self.prepared.run(&mut cx).expect("runs");
    }
}

fn buffer(bytes: usize) -> AlignedBuf {
    AlignedBuf::zeroed(bytes).expect("memory")
}

fn raw(b: &mut AlignedBuf) -> RawOperand {
    RawOperand { len: b.as_slice().len(), ptr: b.as_mut_ptr() }
}
