//! Direct convolution against its definition in `f64`.

mod support;

use paring_core::{
    DType, Op,
    op::{ConvAttrs, Padding},
};
use paring_kernel::{Operand, Problem};
use support::{Random, case::Case, operand};

const NAMES: &[&str] = &["conv_direct"];

#[test]
fn layers_of_well_known_networks() {
    let mut r = Random(1);
    for (x, outputs, kernel, stride, pad) in [
        ([1, 3, 40, 36], 64, 7, 2, 3),
        ([1, 64, 14, 14], 64, 3, 1, 1),
        ([1, 64, 14, 14], 256, 1, 1, 0),
        ([1, 64, 14, 14], 128, 1, 2, 0),
        ([1, 24, 14, 14], 144, 1, 1, 0),
        ([1, 144, 7, 7], 24, 1, 1, 0),
        ([1, 58, 7, 7], 58, 1, 1, 0),
        ([2, 116, 7, 7], 20, 1, 1, 0),
        ([1, 256, 7, 7], 40, 3, 1, 1),
        ([1, 64, 13, 13], 17, 3, 2, 1),
        ([1, 3, 33, 31], 32, 3, 2, 1),
    ] {
        let mut case = Case::new(&x, outputs, &[kernel; 2]);
        case.attrs.stride = vec![stride; 2];
        case.attrs.padding = Padding::Explicit { before: vec![pad; 2], after: vec![pad; 2] };
        assert!(case.check(&mut r, NAMES, 1e-5) > 0);
    }
}

#[test]
fn groups_of_any_size() {
    let mut r = Random(2);
    for (inputs, outputs, groups) in [
        (24, 60, 3),
        (60, 240, 3),
        (64, 64, 8),
        (32, 32, 8),
        (20, 30, 10),
        (16, 16, 16),
        (9, 27, 9),
        (48, 32, 2),
        (34, 6, 2),
    ] {
        for kernel in [1, 3] {
            let mut case = Case::new(&[2, inputs, 6, 7], outputs, &[kernel; 2]);
            case.attrs.groups = groups;
            case.attrs.padding = Padding::SameUpper;
            assert!(case.check(&mut r, NAMES, 1e-5) > 0);
        }
    }
}

#[test]
fn selected_channels() {
    let mut r = Random(3);
    let shuffled: Vec<u32> = (0..48).map(|i| (i % 3) * 16 + i / 3).collect();
    let second_half: Vec<u32> = (24..48).collect();
    let odd_half: Vec<u32> = (0..48).filter(|i| i % 2 == 1).collect();
    let repeated: Vec<u32> = vec![47, 0, 0, 13, 5];
    for (select, groups) in [(shuffled.clone(), 1), (shuffled, 3), (second_half, 1), (odd_half, 2), (repeated, 1)] {
        for kernel in [1, 3] {
            let mut case = Case::new(&[1, 48, 5, 6], 24, &[kernel; 2]);
            case.attrs.select = Some(select.clone());
            case.attrs.groups = groups;
            case.attrs.padding = Padding::Explicit { before: vec![kernel / 2; 2], after: vec![1, 2] };
            assert!(case.check(&mut r, NAMES, 1e-5) > 0);
        }
    }
}

#[test]
fn one_and_three_spatial_axes() {
    let mut r = Random(4);
    let mut case = Case::new(&[2, 20, 50], 33, &[5]);
    case.attrs.padding = Padding::SameLower;
    case.attrs.stride = vec![2];
    assert!(case.check(&mut r, NAMES, 1e-5) > 0);
    let mut case = Case::new(&[2, 8, 5, 6, 7], 24, &[3, 2, 3]);
    case.attrs.padding = Padding::Explicit { before: vec![1, 0, 2], after: vec![0, 1, 1] };
    case.attrs.dilation = vec![1, 2, 1];
    case.attrs.stride = vec![2, 1, 1];
    assert!(case.check(&mut r, NAMES, 1e-5) > 0);
}

#[test]
fn random_problems() {
    let mut r = Random(5);
    let mut ran = 0;
    while ran < 500 {
        let groups = r.pick(&[1, 1, 1, 1, 2, 3, 4]);
        let (inputs, outputs) = (groups * (1 + r.below(24)), groups * (1 + r.below(40)));
        let x = [1 + r.below(3), inputs, 1 + r.below(14), 1 + r.below(14)];
        let mut case = Case::new(&x, outputs, &[1 + r.below(4), 1 + r.below(4)]);
        case.attrs.groups = groups;
        case.attrs.stride = vec![1 + r.below(3), 1 + r.below(3)];
        case.attrs.dilation = vec![1 + r.below(2), 1 + r.below(2)];
        let pads = |r: &mut Random| vec![r.below(3), r.below(3)];
        let explicit = Padding::Explicit { before: pads(&mut r), after: pads(&mut r) };
        case.attrs.padding = match r.below(4) {
            0 => Padding::SameUpper,
            1 => Padding::SameLower,
            _ => explicit,
        };
        if case.output().is_some() {
            ran += case.check(&mut r, NAMES, 1e-5);
        }
    }
}

#[test]
fn problems_that_contradict_themselves_are_rejected_with_a_reason() {
    let mut r = Random(6);
    let base = |attrs: ConvAttrs, w: &[usize], y: &[usize], constant: bool, r: &mut Random| Problem {
        name: "conv".into(),
        op: Op::Conv(attrs),
        inputs: vec![
            Some(Operand::new(DType::F32, &[1, 8, 6, 6])),
            Some(operand(w, &r.floats(w.iter().product()), constant)),
        ],
        outputs: vec![Some(Operand::new(DType::F32, y))],
        epilogue: vec![],
        numerics: Default::default(),
    };
    let attrs = Case::new(&[1, 8, 6, 6], 8, &[3, 3]).attrs;
    let (w, y) = ([8, 8, 3, 3], [1, 8, 4, 4]);
    let with = |change: &dyn Fn(&mut ConvAttrs)| {
        let mut a = attrs.clone();
        change(&mut a);
        a
    };
    let far = Padding::Explicit { before: vec![1 << 40; 2], after: vec![1 << 40; 2] };
    let problems = [
        (base(attrs.clone(), &w, &y, false, &mut r), "not constant"),
        (base(attrs.clone(), &w, &[1, 8, 5, 4], true, &mut r), "extent"),
        (base(attrs.clone(), &[8, 4, 3, 3], &y, true, &mut r), "groups"),
        (base(with(&|a| a.groups = 0), &w, &y, true, &mut r), "groups"),
        (base(with(&|a| a.stride = vec![0, 1]), &w, &y, true, &mut r), "attributes"),
        (base(with(&|a| a.dilation = vec![usize::MAX; 2]), &w, &y, true, &mut r), "extent"),
        (base(with(&|a| a.select = Some(vec![8; 8])), &w, &y, true, &mut r), "groups"),
        (base(with(&|a| a.padding = far.clone()), &w, &y, true, &mut r), ""),
        (base(with(&|a| (a.padding, a.stride) = (far.clone(), vec![1 << 39; 2])), &w, &y, true, &mut r), "dwarfs"),
    ];
    let machine = paring_simd::machine();
    for (p, reason) in &problems {
        for kernel in paring_dense::KERNELS.iter().filter(|k| k.descriptor().name.starts_with("conv_direct")) {
            let mut offers = vec![];
            match kernel.offers(p, &machine, &mut offers) {
                Err(why) => assert!(why.to_string().contains(reason), "{why} rather than {reason}"),
                Ok(()) => assert!(reason.is_empty(), "{:?} is not rejected: {reason}", p.op),
            }
        }
    }
}
