//! A convolution of signs beside the same one in `f32` by other algorithms, and by plain loops, on one thread.
//!
//! 256 channels to 256, windows of 3 x 3, 14 x 14 pixels: the middle of ResNet-18 in the networks of XNOR-Net and its kin.
//! Criterion's Gelem/s are GMAC/s. A table at the end says how many times as fast as the others signs are.

use criterion::{BenchmarkId, Criterion, Throughput};
use paring::Isolated;
use paring_kernel::{Machine, Problem, Registry};
use std::{
    hint::black_box,
    time::{Duration, Instant},
};

const CHANNELS: usize = 256;
const SIDE: usize = 14;

fn main() {
    let mut c = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(800))
        .configure_from_args();
    let (machine, registry) = (paring_simd::machine(), paring::builtin_registry());
    let [numbers, signs] = paring_benches::of_signs(CHANNELS, SIDE).expect("memory for weights");
    let mut rows = Vec::new();
    for (p, name) in [
        (&signs, "signs_lut"),
        (&signs, "signs_popcount"),
        (&numbers, "conv_winograd_f4x3"),
        (&numbers, "conv_direct"),
        (&numbers, "conv_im2col"),
    ] {
        kernel(&mut c, &registry, &machine, p, name, &mut rows);
    }
    let mut loops = Loops::new();
    measure(&mut c, "loops", &mut rows, &mut || loops.run());
    c.final_summary();
    let best = rows.iter().filter(|r| r.0.starts_with("signs")).map(|r| r.1).fold(f64::INFINITY, f64::min);
    for (name, ns) in &rows {
        println!("{name:30}  {:>10.1} us  {:>6.1} times as long as signs", ns / 1e3, ns / best);
    }
}

/// The best instruction set's kernel whose name begins so.
fn kernel(
    c: &mut Criterion,
    registry: &Registry,
    machine: &Machine,
    p: &Problem,
    prefix: &str,
    rows: &mut Vec<(String, f64)>,
) {
    let mut offers = Vec::new();
    for k in registry.candidates(p, machine).filter(|k| k.descriptor().name.starts_with(prefix)) {
        let mut own = Vec::new();
        // A kernel that declines has nothing to measure.
        if k.offers(p, machine, &mut own).is_ok() {
            offers.extend(own.into_iter().map(|o| (k, k.cost(p, &o, machine).ns, o)));
        }
    }
    if let Some((k, _, offer)) = offers.into_iter().min_by(|a, b| a.1.total_cmp(&b.1)) {
        let mut alone = Isolated::new(k, p, &offer).expect("packs and prepares");
        measure(c, k.descriptor().name, rows, &mut || alone.run().expect("runs"));
    }
}

fn measure(c: &mut Criterion, name: &str, rows: &mut Vec<(String, f64)>, run: &mut dyn FnMut()) {
    let mut group = c.benchmark_group("conv3x3");
    group.throughput(Throughput::Elements((CHANNELS * CHANNELS * 9 * SIDE * SIDE) as u64));
    let mut ns = f64::INFINITY;
    group.bench_function(BenchmarkId::from_parameter(name), |b| {
        b.iter_custom(|runs| {
            let start = Instant::now();
            (0..runs).for_each(|_| run());
            let time = start.elapsed();
            ns = ns.min(time.as_nanos() as f64 / runs as f64);
            time
        });
    });
    group.finish();
    if ns.is_finite() {
        rows.push((name.into(), ns));
    }
}

/// The definition, number by number, on an input with its padding around it.
struct Loops {
    x: Vec<f32>,
    w: Vec<f32>,
    y: Vec<f32>,
}

/// Side of the padded input.
const PADDED: usize = SIDE + 2;

impl Loops {
    fn new() -> Loops {
        let sign = |i: usize| if i * 37 % 101 > 50 { 1.0 } else { -1.0 };
        Loops {
            x: (0..CHANNELS * PADDED * PADDED).map(sign).collect(),
            w: (0..CHANNELS * CHANNELS * 9).map(sign).collect(),
            y: vec![0.0; CHANNELS * SIDE * SIDE],
        }
    }

    fn run(&mut self) {
        for (plane, w) in self.y.chunks_exact_mut(SIDE * SIDE).zip(self.w.chunks_exact(CHANNELS * 9)) {
            for (at, y) in plane.iter_mut().enumerate() {
                let first = at / SIDE * PADDED + at % SIDE;
                let mut sum = 0.0;
                for (x, w) in self.x.chunks_exact(PADDED * PADDED).zip(w.as_chunks::<9>().0) {
                    for i in 0..3 {
                        let row = &x[first + i * PADDED..][..3];
                        sum += row[0] * w[3 * i] + row[1] * w[3 * i + 1] + row[2] * w[3 * i + 2];
                    }
                }
                *y = sum;
            }
        }
        black_box(&mut self.y);
    }
}
