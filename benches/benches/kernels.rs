//! Times every offer of every kernel of the registry on layers of well-known networks, on one thread.
//!
//! `cargo bench -p paring-benches` measures all; an argument such as `-- mobilenet_v2/depthwise` only what contains it.
//! Offers priced at many times the cheapest one (the reference kernels) are left out: they would take most of the time.

use criterion::{BenchmarkId, Criterion, Throughput};
use paring::Isolated;
use paring_kernel::{Kernel, Machine, Offer, Operand, Problem, Registry};
use std::time::Duration;

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
            let mut alone = Isolated::new(*kernel, p, offer).expect("packs and prepares");
            b.iter(|| alone.run().expect("runs"));
        });
    }
    group.finish();
}
