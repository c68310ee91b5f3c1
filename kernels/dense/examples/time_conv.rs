//! Times the convolution kernels of this crate: `time_conv N C H W M K STRIDE PAD [GROUPS [KERNEL-NAME]]`, or a list of
//! well-known layers where no arguments are given.

use paring_core::{
    AlignedBuf, DType, Layout, Op, Tensor,
    op::{Act, ConvAttrs, EpiOp, Padding},
};
use paring_dense::KERNELS;
use paring_kernel::{Kernel, Operand, Problem, RawOperand, RunCx, Serial};
use std::{sync::Arc, time::Instant};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let machine = paring_simd::machine();
    if args.len() >= 8 {
        let n: Vec<usize> = args.iter().take(9).map(|a| a.parse().expect("a number")).collect();
        let name = args.get(9).map(String::as_str);
        time(&n[..8], n.get(8).copied().unwrap_or(1), name, &machine);
        return;
    }
    for layer in [
        [1, 3, 224, 224, 64, 7, 2, 3],
        [1, 3, 224, 224, 32, 3, 2, 1],
        [1, 64, 56, 56, 64, 1, 1, 0],
        [1, 64, 56, 56, 256, 1, 1, 0],
        [1, 256, 56, 56, 64, 1, 1, 0],
        [1, 64, 56, 56, 64, 3, 1, 1],
        [1, 256, 56, 56, 512, 1, 2, 0],
        [1, 128, 28, 28, 128, 3, 1, 1],
        [1, 512, 28, 28, 128, 1, 1, 0],
        [1, 256, 14, 14, 256, 3, 1, 1],
        [1, 1024, 14, 14, 256, 1, 1, 0],
        [1, 512, 7, 7, 512, 3, 1, 1],
        [1, 2048, 7, 7, 512, 1, 1, 0],
        [1, 32, 112, 112, 16, 1, 1, 0],
        [1, 16, 112, 112, 96, 1, 1, 0],
        [1, 24, 56, 56, 144, 1, 1, 0],
        [1, 144, 56, 56, 24, 1, 1, 0],
        [1, 192, 28, 28, 32, 1, 1, 0],
        [1, 384, 14, 14, 64, 1, 1, 0],
        [1, 960, 7, 7, 160, 1, 1, 0],
        [1, 320, 7, 7, 1280, 1, 1, 0],
        [1, 16, 55, 55, 64, 3, 1, 1],
        [1, 64, 27, 27, 256, 3, 1, 1],
        [1, 512, 13, 13, 1000, 1, 1, 0],
    ] {
        time(&layer, 1, None, &machine);
    }
}

fn time(n: &[usize], groups: usize, name: Option<&str>, machine: &paring_kernel::Machine) {
    let &[batch, c, h, w, m, k, stride, pad] = n else { return };
    let out = |x: usize| (x + 2 * pad - k) / stride + 1;
    let (oh, ow) = (out(h), out(w));
    let weights: Vec<f32> = (0..m * c / groups * k * k).map(|i| ((i * 37 % 101) as f32 - 50.0) / 500.0).collect();
    let w_shape = [m, c / groups, k, k];
    let weights = Arc::new(Tensor::new(&w_shape, &weights).expect("weights"));
    let bias = Arc::new(Tensor::new(&[m], &vec![0.1f32; m]).expect("bias"));
    let p = Problem {
        name: "layer".into(),
        op: Op::Conv(ConvAttrs {
            kernel: vec![k; 2],
            stride: vec![stride; 2],
            dilation: vec![1; 2],
            padding: Padding::Explicit { before: vec![pad; 2], after: vec![pad; 2] },
            groups,
            select: None,
        }),
        inputs: vec![
            Some(Operand::new(DType::F32, &[batch, c, h, w])),
            Some(Operand::constant(weights)),
            Some(Operand::constant(bias)),
        ],
        outputs: vec![Some(Operand::new(DType::F32, &[batch, m, oh, ow]))],
        epilogue: vec![EpiOp::Bias { input: 2 }, EpiOp::Act(Act::Relu)],
        numerics: Default::default(),
    };
    let macs = (batch * m * oh * ow * (c / groups) * k * k) as f64;
    for kernel in KERNELS {
        let d = kernel.descriptor();
        let asked = name.map_or(d.isa != paring_kernel::Isa::Portable, |n| d.name.contains(n));
        if !asked || !machine.isa.has(d.isa) || !d.ops.contains(&"Conv") {
            continue;
        }
        let mut offers = vec![];
        if let Err(why) = kernel.offers(&p, machine, &mut offers) {
            println!("{n:?}: {}: {why}", d.name);
        }
        for o in offers {
            if o.inputs[0] == Some(Layout::Blocked(8)) && c == 3 {
                continue;
            }
            let best = measure(*kernel, &p, &o);
            let cost = kernel.cost(&p, &o, machine).ns;
            println!(
                "{n:?} {} {}: {:.1} us, {:.1} GMAC/s, modelled {:.1} us",
                d.name,
                o.inputs[0].map_or("-".into(), |l| l.to_string()),
                best / 1e3,
                macs / best,
                cost / 1e3
            );
        }
    }
}

fn measure(kernel: &dyn Kernel, p: &Problem, o: &paring_kernel::Offer) -> f64 {
    let packed = Arc::new(kernel.pack(p, o).expect("packs"));
    let run = kernel.prepare(p, o, packed).expect("prepares");
    let buffer = |bytes: usize| AlignedBuf::zeroed(bytes).expect("memory");
    let mut x = buffer(p.input(0).and_then(|i| i.bytes(o.inputs[0]?)).expect("a size"));
    for (i, v) in bytemuck::cast_slice_mut::<u8, f32>(x.as_mut_slice()).iter_mut().enumerate() {
        *v = (i * 31 % 17) as f32 / 17.0;
    }
    let mut y = buffer(p.output(0).and_then(|i| i.bytes(o.outputs[0])).expect("a size"));
    let (mut shared, mut own) = (buffer(o.scratch.shared), buffer(o.scratch.per_worker));
    let raw = |b: &mut AlignedBuf| RawOperand { len: b.as_slice().len(), ptr: b.as_mut_ptr() };
    let inputs = [Some(raw(&mut x)), None, None];
    let outputs = [Some(raw(&mut y))];
    let mut best = f64::INFINITY;
    let begin = Instant::now();
    while begin.elapsed().as_millis() < 300 {
        let each = o.scratch.per_worker;
        let (a, b) = (raw(&mut shared), raw(&mut own));
        // SAFETY: all operands are buffers of their own with the lengths of the offer.
        let mut cx = unsafe { RunCx::new(&inputs, &outputs, None, a, b, each, &Serial) };
        let t = Instant::now();
        run.run(&mut cx).expect("runs");
        best = best.min(t.elapsed().as_nanos() as f64);
    }
    best
}
