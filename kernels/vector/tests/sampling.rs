//! Sampling by grids.

mod support;

use paring_core::{DType, Tensor, op::*};
use support::{Case, Rng};

const PADDINGS: [GridPadding; 3] = [GridPadding::Zeros, GridPadding::Border, GridPadding::Reflection];

/// Every combination of attributes that there is a kernel for.
fn attributes() -> Vec<GridSampleAttrs> {
    let mut all = Vec::new();
    for mode in [GridMode::Linear, GridMode::Nearest] {
        for padding in PADDINGS {
            all.extend([false, true].map(|align_corners| GridSampleAttrs { mode, padding, align_corners }));
        }
    }
    all
}

fn sample(a: GridSampleAttrs, x: Tensor, grid: Tensor) {
    let y = [x.shape()[0], x.shape()[1], grid.shape()[1], grid.shape()[2]];
    Case::new(Op::GridSample(a)).input(x).input(grid).output(DType::F32, &y).check();
}

#[test]
fn samples_agree_inside_and_outside() {
    let mut rng = Rng::new(1);
    for a in attributes() {
        for (x, grid) in [
            ([2, 3, 5, 7], [2, 6, 9, 2]),
            ([1, 32, 24, 20], [1, 24, 40, 2]),
            ([3, 1, 1, 1], [3, 1, 65, 2]),
            ([1, 5, 1, 8], [1, 64, 1, 2]),
        ] {
            // Half of the places lie between -1 and 1.
            sample(a, rng.tensor(DType::F32, &x), rng.tensor(DType::F32, &grid));
        }
    }
}

#[test]
fn samples_on_edges_between_elements_and_far_away_agree() {
    let mut rng = Rng::new(2);
    let mut places = vec![f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN, 1e17, -1e14, 300.0, -41.5];
    // Elements, their edges and the middles between them, for four elements and for five, aligned or not.
    places.extend((-12..=12).flat_map(|i| [i as f32 / 4.0, i as f32 / 6.0, i as f32 / 5.0, i as f32 / 8.0]));
    let grid: Vec<f32> = places.iter().flat_map(|&x| places.iter().flat_map(move |&y| [x, y])).collect();
    let grid = Tensor::new(&[1, places.len(), places.len(), 2], &grid).unwrap();
    for a in attributes() {
        for (h, w) in [(4, 5), (5, 4), (1, 4)] {
            sample(a, rng.tensor(DType::F32, &[1, 2, h, w]), grid.clone());
        }
    }
}

#[test]
fn elements_outside_do_not_count_and_others_keep_what_they_are() {
    let values = [f32::INFINITY, 1.0, f32::NAN, 2.0, 3.0, f32::NEG_INFINITY, 4.0, 5.0, f32::INFINITY];
    let x = Tensor::new(&[1, 1, 3, 3], &values).unwrap();
    let grid: Vec<f32> = (0..17 * 17).flat_map(|i| [(i % 17 - 8) as f32 / 6.0, (i / 17 - 8) as f32 / 6.0]).collect();
    for a in attributes() {
        sample(a, x.clone(), Tensor::new(&[1, 17, 17, 2], &grid).unwrap());
    }
}

#[test]
fn what_is_not_served_is_declined() {
    let kernel = paring_vector::KERNELS.iter().find(|k| k.descriptor().name == "grid_sample_f32").unwrap();
    let mut rng = Rng::new(3);
    let mut reason = |mode: GridMode, x: &[usize], grid: &[usize], y: &[usize]| {
        let a = GridSampleAttrs { mode, padding: GridPadding::Zeros, align_corners: false };
        let case = Case::new(Op::GridSample(a)).input(rng.tensor(DType::F32, x)).input(rng.tensor(DType::F32, grid));
        let case = case.output(DType::F32, y);
        let machine = paring_kernel::Machine::generic(paring_simd::detect());
        kernel.offers(&case.problem, &machine, &mut Vec::new()).unwrap_err().to_string()
    };
    assert!(reason(GridMode::Cubic, &[1, 1, 4, 4], &[1, 2, 2, 2], &[1, 1, 2, 2]).contains("cubic"));
    let volumes = reason(GridMode::Linear, &[1, 1, 4, 4, 4], &[1, 2, 2, 2, 3], &[1, 1, 2, 2, 2]);
    assert!(volumes.contains("not images"));
    assert!(reason(GridMode::Linear, &[1, 1, 4, 4], &[1, 2, 2, 2], &[1, 1, 2, 3]).contains("do not fit"));
    assert!(reason(GridMode::Linear, &[2, 1, 4, 4], &[1, 2, 2, 2], &[2, 1, 2, 2]).contains("do not fit"));
}
