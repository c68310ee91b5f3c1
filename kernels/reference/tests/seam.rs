//! The reference behind the seam: it offers what it serves, and a planned run gives what an evaluation gives.

mod common;

use common::{out, problem, t};
use paring_core::{AlignedBuf, DType, Op, Tensor, op::*};
use paring_kernel::{IsaSet, Kernel, Machine, Packed, Problem, RawOperand, Registry, RunCx, Serial};
use paring_reference::{KERNELS, evaluate};
use std::sync::Arc;

fn kernel_for(p: &Problem) -> &'static dyn Kernel {
    let machine = Machine::generic(IsaSet::PORTABLE);
    let registry = Registry::empty().with(KERNELS);
    registry.candidates(p, &machine).next().expect("every operator has a reference")
}

/// Runs a problem as a plan would: offer, prepare, run on caller-owned memory.
fn run_planned(p: &Problem) -> Vec<Tensor> {
    let (kernel, machine) = (kernel_for(p), Machine::generic(IsaSet::PORTABLE));
    let mut offers = Vec::new();
    kernel.offers(p, &machine, &mut offers).unwrap();
    let offer = &offers[0];
    assert_eq!(offer.fused, p.epilogue.len());
    assert!(kernel.cost(p, offer, &machine).ns.is_finite());
    let prepared = kernel.prepare(p, offer, Arc::new(Packed::none())).unwrap();

    let raw = |b: &mut AlignedBuf| RawOperand { ptr: b.as_mut_ptr(), len: b.as_slice().len() };
    let mut inputs: Vec<Option<AlignedBuf>> = p
        .inputs
        .iter()
        .map(|i| i.as_ref().map(|o| AlignedBuf::from_bytes(o.constant.as_ref().unwrap().bytes()).unwrap()))
        .collect();
    let mut outputs: Vec<AlignedBuf> = p
        .outputs
        .iter()
        .map(|o| AlignedBuf::zeroed(o.as_ref().unwrap().bytes(paring_core::Layout::Plain).unwrap()).unwrap())
        .collect();
    let mut scratch = AlignedBuf::zeroed(offer.scratch.shared).unwrap();
    let mut none = AlignedBuf::zeroed(0).unwrap();
    let raw_inputs: Vec<_> = inputs.iter_mut().map(|i| i.as_mut().map(raw)).collect();
    let raw_outputs: Vec<_> = outputs.iter_mut().map(|o| Some(raw(o))).collect();
    // SAFETY: every buffer is aligned, outlives the context, has the length of its operand and is used by it alone.
    let mut cx = unsafe { RunCx::new(&raw_inputs, &raw_outputs, None, raw(&mut scratch), raw(&mut none), 0, &Serial) };
    prepared.run(&mut cx).unwrap();
    let tensors = p.outputs.iter().zip(outputs);
    tensors
        .map(|(o, b)| Tensor::from_buffer(o.as_ref().unwrap().dtype, &o.as_ref().unwrap().shape, b).unwrap())
        .collect()
}

#[test]
fn a_planned_run_gives_what_an_evaluation_gives() {
    let x = t(&[1, 2, 3, 3], &(0..18).map(|i| i as f32 - 9.0).collect::<Vec<_>>());
    let conv = Op::Conv(ConvAttrs {
        kernel: vec![3, 3],
        stride: vec![1, 1],
        dilation: vec![1, 1],
        padding: Padding::SameUpper,
        groups: 1,
        select: None,
    });
    let w = t(&[1, 2, 3, 3], &(0..18).map(|i| 0.25 * i as f32).collect::<Vec<_>>());
    let bias = t(&[1], &[0.5f32]);
    let steps = [EpiOp::Bias { input: 2 }, EpiOp::Act(Act::Relu)];
    let convolution =
        problem(conv, &[Some(x.clone()), Some(w), Some(bias)], vec![out(DType::F32, &[1, 1, 3, 3])], &steps);
    let top = Op::TopK(TopKAttrs { axis: 1, largest: true, sorted: true });
    let k = Some(Tensor::from_i64s(&[1]));
    let outputs = vec![out(DType::F32, &[1, 1, 3, 3]), out(DType::I64, &[1, 1, 3, 3])];
    let top = problem(top, &[Some(x.clone()), k], outputs, &[]);
    let slice = [
        Some(x),
        Some(Tensor::from_i64s(&[2])),
        Some(Tensor::from_i64s(&[i64::MIN])),
        Some(Tensor::from_i64s(&[-1])),
        Some(Tensor::from_i64s(&[-2])),
    ];
    let slice = problem(Op::Slice, &slice, vec![out(DType::F32, &[1, 2, 3, 2])], &[]);
    for p in [convolution, top, slice] {
        let expected: Vec<Tensor> = evaluate(&p, &[]).unwrap().into_iter().flatten().collect();
        assert_eq!(run_planned(&p), expected, "{}", p.op.name());
    }
}

#[test]
fn data_dependent_operators_make_no_offer() {
    let p = problem(Op::NonZero, &[Some(t(&[1], &[1f32]))], vec![out(DType::I64, &[1, 1])], &[]);
    let why = kernel_for(&p).offers(&p, &Machine::generic(IsaSet::PORTABLE), &mut Vec::new()).unwrap_err();
    assert!(why.to_string().contains("depends on the data"), "{why}");
}

#[test]
fn a_shape_operand_must_be_constant() {
    let mut p = problem(
        Op::Slice,
        &[Some(t(&[2], &[1f32, 2.])), Some(Tensor::from_i64s(&[0])), Some(Tensor::from_i64s(&[1]))],
        vec![out(DType::F32, &[1])],
        &[],
    );
    p.inputs[1].as_mut().unwrap().constant = None;
    let why = kernel_for(&p).offers(&p, &Machine::generic(IsaSet::PORTABLE), &mut Vec::new()).unwrap_err();
    assert!(why.to_string().contains("input 1"), "{why}");
}

#[test]
fn names_are_unique() {
    let mut names: Vec<_> = KERNELS.iter().map(|k| k.descriptor().name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), KERNELS.len());
}
