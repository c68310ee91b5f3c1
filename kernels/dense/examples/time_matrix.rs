//! Times the matrix kernels of this crate: `time_matrix M K N [BATCH]` (a batch: two operands known only while running),
//! or a list of well-known layers where no arguments are given.

use paring_core::{AlignedBuf, DType, Op, Tensor, op::DenseAttrs};
use paring_dense::KERNELS;
use paring_kernel::{Isa, Operand, Problem, RawOperand, RunCx, Serial};
use std::{sync::Arc, time::Instant};

fn main() {
    let args: Vec<usize> = std::env::args().skip(1).map(|a| a.parse().expect("a number")).collect();
    if let &[m, k, n, ref rest @ ..] = args.as_slice() {
        return time(m, k, n, rest.first().copied());
    }
    for (m, k, n) in
        [(1, 2048, 1000), (1, 25088, 4096), (1, 4096, 4096), (1, 512, 512), (2, 2048, 1000), (4, 2048, 1000)]
    {
        time(m, k, n, None);
    }
    for (m, k, n) in [(8, 2048, 1000), (128, 768, 768), (197, 768, 3072), (197, 3072, 768), (49, 1024, 1024)] {
        time(m, k, n, None);
    }
    for (batch, m, k, n) in
        [(12, 197, 64, 197), (12, 197, 197, 64), (12, 128, 64, 128), (1, 512, 512, 512), (12, 1, 64, 128)]
    {
        time(m, k, n, Some(batch));
    }
}

fn time(m: usize, k: usize, n: usize, batch: Option<usize>) {
    let machine = paring_simd::machine();
    let (x, w, y) = match batch {
        None => (vec![m, k], vec![k, n], vec![m, n]),
        Some(b) => (vec![b, m, k], vec![b, k, n], vec![b, m, n]),
    };
    let (op, second) = match batch {
        None => {
            let weights = vec![0.01f32; k * n];
            let tensor = Tensor::new(&w, &weights).expect("weights");
            (Op::Dense(DenseAttrs { transposed: false }), Operand::constant(Arc::new(tensor)))
        }
        Some(_) => (Op::MatMul, Operand::new(DType::F32, &w)),
    };
    let p = Problem {
        name: "product".into(),
        op,
        inputs: vec![Some(Operand::new(DType::F32, &x)), Some(second)],
        outputs: vec![Some(Operand::new(DType::F32, &y))],
        epilogue: vec![],
        numerics: Default::default(),
    };
    for kernel in KERNELS {
        let d = kernel.descriptor();
        if d.isa == Isa::Portable || !machine.isa.has(d.isa) || !d.ops.contains(&p.op.name()) {
            continue;
        }
        let mut offers = vec![];
        kernel.offers(&p, &machine, &mut offers).expect("an offer");
        let o = &offers[0];
        let packed = Arc::new(kernel.pack(&p, o).expect("packs"));
        let run = kernel.prepare(&p, o, packed).expect("prepares");
        let buffer = |bytes: usize| {
            let mut b = AlignedBuf::zeroed(bytes).expect("memory");
            bytemuck::cast_slice_mut::<u8, f32>(b.as_mut_slice()).fill(0.25);
            b
        };
        let raw = |b: &mut AlignedBuf| RawOperand { len: b.as_slice().len(), ptr: b.as_mut_ptr() };
        let bytes = |s: &[usize]| s.iter().product::<usize>() * 4;
        let (mut a, mut b, mut c) = (buffer(bytes(&x)), buffer(bytes(&w)), buffer(bytes(&y)));
        let mut own = buffer(o.scratch.per_worker);
        let inputs = [Some(raw(&mut a)), o.inputs[1].map(|_| raw(&mut b))];
        let outputs = [Some(raw(&mut c))];
        let mut best = f64::INFINITY;
        let begin = Instant::now();
        while begin.elapsed().as_millis() < 300 {
            let none = RawOperand { ptr: core::ptr::NonNull::<u64>::dangling().as_ptr().cast(), len: 0 };
            // SAFETY: all operands are buffers of their own with the lengths of the offer.
            let mut cx =
                unsafe { RunCx::new(&inputs, &outputs, None, none, raw(&mut own), o.scratch.per_worker, &Serial) };
            let t = Instant::now();
            run.run(&mut cx).expect("runs");
            best = best.min(t.elapsed().as_nanos() as f64);
        }
        let macs = (batch.unwrap_or(1) * m * k * n) as f64;
        println!(
            "{batch:?} {m} x {k} x {n} {}: {:.1} us, {:.1} GMAC/s, {:.1} GB/s of weights, modelled {:.1} us",
            d.name,
            best / 1e3,
            macs / best,
            o.packed_bytes as f64 / best,
            kernel.cost(&p, o, &machine).ns / 1e3
        );
    }
}
