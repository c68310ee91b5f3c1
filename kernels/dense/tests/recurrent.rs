//! Recurrent layers against the reference, which computes in `f64`.

mod support;

use paring_core::{
    AlignedBuf, DType, Op, Tensor,
    op::{Act, Cell, Direction, RecurrentAttrs},
};
use paring_dense::KERNELS;
use paring_kernel::{Kernel, Offer, Operand, Problem, RawOperand, RunCx};
use std::sync::Arc;
use support::{Random, Threads, error, operand};

const LBR: Cell = Cell::Gru { linear_before_reset: true };
const GRU: Cell = Cell::Gru { linear_before_reset: false };
const CELLS: [Cell; 4] = [Cell::Lstm, GRU, LBR, Cell::Plain];
const DIRECTIONS: [Direction; 3] = [Direction::Forward, Direction::Reverse, Direction::Bidirectional];

/// A layer with random operands.
struct Case {
    attrs: RecurrentAttrs,
    time: usize,
    batch: usize,
    features: usize,
    bias: bool,
    /// Which of the initial states are given.
    initial: [bool; 2],
    /// Which outputs are wanted.
    wanted: [bool; 3],
}

fn functions(cell: Cell) -> Vec<Act> {
    match cell {
        Cell::Lstm => vec![Act::Sigmoid, Act::Tanh, Act::Tanh],
        Cell::Gru { .. } => vec![Act::Sigmoid, Act::Tanh],
        Cell::Plain => vec![Act::Tanh],
    }
}

impl Case {
    fn new(cell: Cell, direction: Direction, [time, batch, features, hidden]: [usize; 4]) -> Case {
        let directions = if direction == Direction::Bidirectional { 2 } else { 1 };
        let attrs = RecurrentAttrs {
            cell,
            direction,
            hidden,
            activations: functions(cell).repeat(directions),
            clip: None,
            input_forget: false,
            batch_first: false,
        };
        let lstm = cell == Cell::Lstm;
        Case { attrs, time, batch, features, bias: true, initial: [false; 2], wanted: [true, true, lstm] }
    }

    fn problem(&self, r: &mut Random) -> (Problem, Vec<Vec<f32>>) {
        let Case { time: t, batch: n, features, .. } = *self;
        let (hidden, first) = (self.attrs.hidden, self.attrs.batch_first);
        let d = if self.attrs.direction == Direction::Bidirectional { 2 } else { 1 };
        let rows = hidden
            * match self.attrs.cell {
                Cell::Lstm => 4,
                Cell::Gru { .. } => 3,
                Cell::Plain => 1,
            };
        let state = if first { [n, d, hidden] } else { [d, n, hidden] };
        let sequence = if first { [n, t, d, hidden] } else { [t, d, n, hidden] };
        let x = if first { [n, t, features] } else { [t, n, features] };
        let (mut inputs, mut data) = (vec![], vec![]);
        let mut add = |shape: &[usize], sum: usize, constant: bool, given: bool| {
            let values = r.weights(shape.iter().product(), sum);
            inputs.push(given.then(|| operand(shape, &values, constant)));
            data.push(values);
        };
        add(&x, 3, false, true);
        add(&[d, rows, features], features, true, true);
        add(&[d, rows, hidden], hidden, true, true);
        add(&[d, 2 * rows], 12, true, self.bias);
        add(&[n], 1, true, false);
        add(&state, 3, false, self.initial[0]);
        add(&state, 3, false, self.initial[1]);
        let shapes: [&[usize]; 3] = [&sequence, &state, &state];
        let outputs = shapes.iter().zip(self.wanted).map(|(s, w)| w.then(|| Operand::new(DType::F32, s)));
        let p = Problem {
            name: "recurrent".into(),
            op: Op::Recurrent(self.attrs.clone()),
            inputs,
            outputs: outputs.collect(),
            epilogue: vec![],
            numerics: Default::default(),
        };
        (p, data)
    }

    fn check(&self, r: &mut Random) {
        let (p, data) = self.problem(r);
        check(&p, &data);
    }
}

fn buffer(values: &[f32]) -> AlignedBuf {
    let mut buf = AlignedBuf::zeroed(4 * values.len()).expect("memory");
    buf.as_mut_slice().copy_from_slice(bytemuck::cast_slice(values));
    buf
}

fn raw(b: &mut AlignedBuf) -> RawOperand {
    RawOperand { len: b.as_slice().len(), ptr: b.as_mut_ptr() }
}

/// All outputs, whose memory and scratch held NaN before.
fn run(kernel: &dyn Kernel, p: &Problem, offer: &Offer, data: &[Vec<f32>], workers: usize) -> Vec<Vec<f32>> {
    let packed = kernel.pack(p, offer).expect("packs");
    assert_eq!(packed.data.as_slice().len(), offer.packed_bytes);
    let prepared = kernel.prepare(p, offer, Arc::new(packed)).expect("prepares");
    let mut inputs: Vec<_> = offer.inputs.iter().zip(data).map(|(l, v)| l.map(|_| buffer(v))).collect();
    let nans = |bytes: usize| buffer(&vec![f32::NAN; bytes.div_ceil(4)]);
    let mut outputs: Vec<_> = p.outputs.iter().map(|o| o.as_ref().map(|o| nans(4 * o.len()))).collect();
    let (mut shared, mut own) = (nans(offer.scratch.shared), nans(offer.scratch.per_worker * workers));
    let raws: Vec<_> = inputs.iter_mut().map(|i| i.as_mut().map(raw)).collect();
    let outs: Vec<_> = outputs.iter_mut().map(|o| o.as_mut().map(raw)).collect();
    let threads = Threads(workers);
    let (a, b) = (raw(&mut shared), raw(&mut own));
    // SAFETY: every operand is a buffer of its own, of the length its shape asks for.
    let mut cx = unsafe { RunCx::new(&raws, &outs, None, a, b, offer.scratch.per_worker, &threads) };
    prepared.run(&mut cx).expect("runs");
    let values = |o: &AlignedBuf| bytemuck::cast_slice::<u8, f32>(o.as_slice()).to_vec();
    outputs.iter().flatten().map(values).collect()
}

fn offers(kernel: &dyn Kernel, p: &Problem) -> Result<Vec<Offer>, String> {
    let mut offers = vec![];
    kernel.offers(p, &paring_simd::machine(), &mut offers).map_err(|r| r.to_string())?;
    Ok(offers)
}

fn kernels() -> impl Iterator<Item = &'static dyn Kernel> {
    let machine = paring_simd::machine();
    let ours = move |k: &&'static dyn Kernel| {
        k.descriptor().name.starts_with("recurrent_f32") && machine.isa.has(k.descriptor().isa)
    };
    KERNELS.iter().copied().filter(ours)
}

/// Every kernel, with one and three workers, against the reference.
fn check(p: &Problem, data: &[Vec<f32>]) {
    let mut asked = p.clone();
    asked.inputs.iter_mut().flatten().for_each(|i| i.constant = None);
    let of_op = |k: &&&dyn Kernel| k.descriptor().ops.contains(&"Recurrent");
    let reference = *paring_reference::KERNELS.iter().find(of_op).expect("a reference");
    let plain = &offers(reference, &asked).expect("an offer")[0];
    let expected = run(reference, &asked, plain, data, 1);
    let mut ran = 0;
    for kernel in kernels() {
        let name = kernel.descriptor().name;
        for o in &offers(kernel, p).unwrap_or_else(|why| panic!("{name}: {why}: {p:?}")) {
            let one = run(kernel, p, o, data, 1);
            assert_eq!(one.len(), expected.len());
            for (i, (found, expected)) in one.iter().zip(&expected).enumerate() {
                let expected: Vec<f64> = expected.iter().map(|&e| f64::from(e)).collect();
                let e = error(found, &expected);
                assert!(e <= 1e-5, "{name}: error {e:.2e} in output {i} of {:?} {:?}", p.op, p.inputs[0]);
            }
            let bits = |all: &[Vec<f32>]| all.iter().flatten().map(|v| v.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&one), bits(&run(kernel, p, o, data, 3)), "{name}: workers");
            let cost = kernel.cost(p, o, &paring_simd::machine());
            assert!(cost.ns.is_finite() && cost.ns > 0.0, "{name}: cost {cost:?}");
            ran += 1;
        }
    }
    assert!(ran > 0);
}

#[test]
fn cells_directions_and_layouts() {
    let mut r = Random(21);
    for cell in CELLS {
        for direction in DIRECTIONS {
            for extent in [[5, 1, 7, 8], [4, 3, 16, 5], [3, 14, 5, 19], [1, 2, 1, 1], [6, 2, 9, 33]] {
                for batch_first in [false, true] {
                    let mut case = Case::new(cell, direction, extent);
                    case.attrs.batch_first = batch_first;
                    case.bias = r.below(4) > 0;
                    case.initial = [r.below(2) == 1, r.below(2) == 1 && cell == Cell::Lstm];
                    case.check(&mut r);
                }
            }
        }
    }
}

/// Enough steps and units for several chunks of the input, several tasks for each, and four panels at once.
#[test]
fn long_and_wide_layers() {
    let mut r = Random(22);
    for (cell, extent) in [
        (Cell::Lstm, [60, 1, 40, 256]),
        (Cell::Lstm, [9, 50, 300, 64]),
        (GRU, [30, 13, 64, 128]),
        (LBR, [70, 2, 20, 136]),
        (Cell::Plain, [200, 4, 10, 200]),
    ] {
        for batch_first in [false, true] {
            let mut case = Case::new(cell, Direction::Bidirectional, extent);
            case.attrs.batch_first = batch_first;
            case.check(&mut r);
        }
    }
}

#[test]
fn outputs_that_nobody_wants() {
    let mut r = Random(23);
    for wanted in [[true, false, false], [false, true, false], [false, false, true], [true, false, true]] {
        let mut case = Case::new(Cell::Lstm, Direction::Bidirectional, [6, 3, 5, 12]);
        case.wanted = wanted;
        case.check(&mut r);
    }
    let mut case = Case::new(LBR, Direction::Forward, [6, 1, 5, 12]);
    case.wanted = [false, true, false];
    case.check(&mut r);
}

#[test]
fn clips_coupled_gates_and_other_activations() {
    let mut r = Random(24);
    let hard = Act::HardSigmoid { alpha: 0.2, beta: 0.5 };
    for (cell, acts) in [
        (Cell::Lstm, vec![hard, Act::Softsign, Act::LeakyRelu(0.1), Act::Sigmoid, Act::Relu, Act::Tanh]),
        (GRU, vec![hard, Act::Tanh, Act::Sigmoid, Act::Softsign]),
        (Cell::Plain, vec![Act::Relu, Act::Softplus]),
    ] {
        for (clip, input_forget) in [(Some(0.3), false), (None, cell == Cell::Lstm)] {
            let mut case = Case::new(cell, Direction::Bidirectional, [5, 3, 6, 11]);
            (case.attrs.activations, case.attrs.clip) = (acts.clone(), clip);
            case.attrs.input_forget = input_forget;
            case.check(&mut r);
        }
    }
}

/// NaN of one step reaches those after it, and no other sequence.
#[test]
fn nan_stays_in_its_sequence() {
    let mut r = Random(25);
    for cell in CELLS {
        let case = Case::new(cell, Direction::Forward, [4, 3, 6, 10]);
        let (p, mut data) = case.problem(&mut r);
        data[0][(2 * 3 + 1) * 6] = f32::NAN;
        for kernel in kernels() {
            let y = &run(kernel, &p, &offers(kernel, &p).expect("an offer")[0], &data, 1)[0];
            for (i, v) in y.iter().enumerate() {
                let (t, n) = (i / 30, i / 10 % 3);
                assert_eq!(v.is_nan(), t >= 2 && n == 1, "{cell:?}: time {t}, sequence {n}");
            }
        }
    }
}

#[test]
fn lengths_that_say_nothing_new_are_fine() {
    let mut r = Random(26);
    let (mut p, data) = Case::new(GRU, Direction::Reverse, [5, 2, 3, 8]).problem(&mut r);
    let lengths = |values: &[i32]| Some(Operand::constant(Arc::new(Tensor::new(&[2], values).expect("a tensor"))));
    let without = p.clone();
    for kernel in kernels() {
        p.inputs[4] = lengths(&[5, 5]);
        let o = &offers(kernel, &p).expect("an offer")[0];
        let plain = &offers(kernel, &without).expect("an offer")[0];
        assert_eq!(run(kernel, &p, o, &data, 1), run(kernel, &without, plain, &data, 1));
        p.inputs[4] = lengths(&[5, 4]);
        assert_eq!(offers(kernel, &p).unwrap_err(), "only sequences as long as the input");
        p.inputs[4] = Some(Operand::new(DType::I32, &[2]));
        assert_eq!(offers(kernel, &p).unwrap_err(), "only sequences as long as the input");
    }
}

#[test]
fn what_is_declined() {
    let mut r = Random(27);
    let (p, _) = Case::new(Cell::Lstm, Direction::Forward, [5, 2, 3, 8]).problem(&mut r);
    let declined = |change: &dyn Fn(&mut Problem), reason: &str| {
        let mut p = p.clone();
        change(&mut p);
        for kernel in kernels() {
            assert_eq!(offers(kernel, &p).unwrap_err(), reason);
        }
    };
    declined(&|p| p.inputs[2].as_mut().expect("weights").constant = None, "the weights are not constant");
    declined(&|p| p.inputs[3].as_mut().expect("biases").constant = None, "the weights are not constant");
    declined(&|p| p.inputs[0].as_mut().expect("an input").dtype = DType::F16, "only f32");
    declined(&|p| p.inputs[0] = Some(Operand::new(DType::F32, &[0, 2, 3])), "an operand is empty");
    declined(
        &|p| p.inputs[0] = Some(Operand::new(DType::F32, &[5, 2, 4])),
        "the operands' shapes contradict each other",
    );
    declined(&|p| p.inputs[0] = Some(Operand::new(DType::F32, &[5, 6])), "the input is not of rank 3");
    declined(&|p| p.inputs[5] = Some(Operand::new(DType::F32, &[2, 8])), "the operands' shapes contradict each other");
    declined(&|p| p.inputs.push(Some(Operand::new(DType::F32, &[1, 24]))), "no peepholes");
    let more = |p: &mut Problem| {
        if let Op::Recurrent(a) = &mut p.op {
            a.activations.pop();
        }
    };
    declined(&more, "the operands' shapes contradict each other");
}
