//! Times the products of signs of this crate, and taking signs: `time_signs C H M K STRIDE PAD`, or layers of well-known
//! networks where no arguments are given.

use paring_binary::KERNELS;
use paring_core::{
    AlignedBuf, DType, Op, Quant, Tensor,
    op::{ConvAttrs, EpiOp, Padding},
    signs::ZEROS,
};
use paring_kernel::{Kernel, Machine, Offer, Operand, Problem, RawOperand, RunCx, Serial};
use std::{sync::Arc, time::Instant};

fn main() {
    let args: Vec<usize> = std::env::args().skip(1).map(|a| a.parse().expect("a number")).collect();
    let machine = paring_simd::machine();
    if let Ok(layer) = args.try_into() {
        return time(layer, &machine);
    }
    for layer in [[64, 56, 64, 3, 1, 1], [128, 28, 128, 3, 1, 1], [256, 14, 256, 3, 1, 1], [512, 7, 512, 3, 1, 1]] {
        time(layer, &machine);
    }
}

fn time([c, h, m, k, stride, pad]: [usize; 6], machine: &Machine) {
    let out = (h + 2 * pad - k) / stride + 1;
    let weights: Vec<f32> = (0..m * c * k * k).map(|i| if i * 37 % 101 > 50 { 0.1 } else { -0.1 }).collect();
    let signs = Operand { quant: Some(Quant::per_tensor(1.0, 0)), ..Operand::new(DType::Sign, &[1, c, h, h]) };
    let bias = Tensor::new(&[m], &vec![0.1f32; m]).expect("bias");
    let product = Problem {
        name: "layer".into(),
        op: Op::Conv(ConvAttrs {
            kernel: vec![k; 2],
            stride: vec![stride; 2],
            dilation: vec![1; 2],
            padding: Padding::Explicit { before: vec![pad; 2], after: vec![pad; 2] },
            groups: 1,
            select: None,
        }),
        inputs: vec![
            Some(signs.clone()),
            Some(Operand::constant(Arc::new(Tensor::new(&[m, c, k, k], &weights).expect("weights")))),
            Some(Operand::constant(Arc::new(bias))),
        ],
        outputs: vec![Some(Operand::new(DType::F32, &[1, m, out, out]))],
        epilogue: vec![EpiOp::Bias { input: 2 }],
        numerics: Default::default(),
    };
    let take = Problem {
        name: "signs".into(),
        op: Op::Identity,
        inputs: vec![Some(Operand::new(DType::F32, &[1, c, h, h]))],
        outputs: vec![Some(signs)],
        epilogue: vec![EpiOp::Sign { of_zero: 0 }],
        numerics: Default::default(),
    };
    for (p, work) in [(product, m * out * out * c * k * k), (take, c * h * h)] {
        for kernel in KERNELS {
            let mut offers = vec![];
            let served = machine.isa.has(kernel.descriptor().isa) && kernel.descriptor().ops.contains(&p.op.name());
            if !served || kernel.offers(&p, machine, &mut offers).is_err() {
                continue;
            }
            for o in offers {
                let (best, modelled) = (measure(*kernel, &p, &o), kernel.cost(&p, &o, machine).ns);
                let layout = o.inputs[0].map_or("-".into(), |l| l.to_string());
                let (name, each) = (kernel.descriptor().name, work as f64 / best);
                println!(
                    "{c} {h} {m} {k}: {name} {layout}: {:.1} us, {each:.1} G/s, modelled {:.1} us",
                    best / 1e3,
                    modelled / 1e3
                );
            }
        }
    }
}

fn measure(kernel: &dyn Kernel, p: &Problem, o: &Offer) -> f64 {
    let packed = Arc::new(kernel.pack(p, o).expect("packs"));
    let run = kernel.prepare(p, o, packed).expect("prepares");
    let buffer = |bytes: usize| AlignedBuf::zeroed(bytes).expect("memory");
    let mut x = buffer(p.input(0).and_then(|i| i.bytes(o.inputs[0]?)).expect("a size"));
    x.as_mut_slice().fill(ZEROS);
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
