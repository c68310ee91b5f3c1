//! Times every offer of every kernel of the registry on layers of well-known networks, on one thread.
//!
//! `cargo bench -p paring-benches --bench kernels` measures all; an argument such as `-- mobilenet_v2/depthwise` only
//! what contains it. Throughput is in multiply-adds (criterion's Gelem/s are GMAC/s), or in bytes where a layer has none.
//! A table at the end holds each kernel against what this machine can do at best.
//! Offers priced at many times the cheapest one (the reference kernels) are left out: they would take most of the time.

use criterion::{BenchmarkId, Criterion, Throughput};
use paring::{Isolated, Options, Peaks};
use paring_kernel::{Kernel, Machine, Offer, Problem, Registry};
use paring_plan::{Work, work};
use std::time::{Duration, Instant};

/// Offers that cost more than this many times the cheapest are not measured.
const DEAREST: f64 = 30.0;

fn main() {
    let mut c = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(800))
        .configure_from_args();
    let (machine, registry) = (paring_simd::machine(), paring::builtin_registry());
    let peaks = || Peaks::measure(&Options::default().with_threads(1)).expect("memory for a block");
    let (before, mut rows) = (peaks(), Vec::new());
    for p in paring_benches::problems().expect("memory for weights") {
        problem(&mut c, &registry, &machine, &p, &mut rows);
    }
    c.final_summary();
    table(&rows, &peaks().or_better(&before));
}

/// A kernel on a layer.
struct Row {
    name: String,
    work: Work,
    /// The least of the samples' means.
    ns: f64,
}

fn problem(c: &mut Criterion, registry: &Registry, machine: &Machine, p: &Problem, rows: &mut Vec<Row>) {
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
    let work = work(p);
    let mut group = c.benchmark_group(&p.name);
    group.throughput(if work.macs > 0 { Throughput::Elements(work.macs) } else { Throughput::Bytes(work.bytes) });
    for (kernel, offer, _) in offers.iter().filter(|o| o.2 <= DEAREST * cheapest) {
        let layouts: Vec<String> =
            offer.inputs.iter().flatten().chain(&offer.outputs).map(ToString::to_string).collect();
        let layouts = format!("{}_v{}", layouts.join("_"), offer.variant);
        let name = format!("{}/{}/{layouts}", p.name, kernel.descriptor().name);
        let mut ns = f64::INFINITY;
        // Inside the closure, which runs only where the filter of the command line lets it.
        group.bench_function(BenchmarkId::new(kernel.descriptor().name, layouts), |b| {
            let mut alone = Isolated::new(*kernel, p, offer).expect("packs and prepares");
            b.iter_custom(|runs| {
                let start = Instant::now();
                (0..runs).for_each(|_| alone.run().expect("runs"));
                let time = start.elapsed();
                ns = ns.min(time.as_nanos() as f64 / runs as f64);
                time
            });
        });
        if ns.is_finite() {
            rows.push(Row { name, work, ns });
        }
    }
    group.finish();
}

/// Each kernel with its rate, and the share of the peak that it is: of multiply-adds, or of reading memory, which what
/// is still in the cache may exceed.
fn table(rows: &[Row], peaks: &Peaks) {
    let width = rows.iter().map(|r| r.name.len()).max().unwrap_or(0);
    println!("\nof {:.1} GMAC/s and {:.1} GB/s ({})", peaks.gmacs, peaks.memory_bandwidth, peaks.isa);
    for r in rows {
        let (rate, unit, peak) = match r.work.macs {
            0 => (r.work.bytes as f64 / r.ns, "GB/s", peaks.memory_bandwidth),
            macs => (macs as f64 / r.ns, "GMAC/s", peaks.gmacs),
        };
        let (us, share) = (r.ns / 1e3, 100.0 * rate / peak);
        println!("{:width$}  {us:>10.1} us  {rate:>6.1} {unit:<6}  {share:>4.0} %", r.name);
    }
}
