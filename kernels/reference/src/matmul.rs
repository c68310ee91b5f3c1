//! Matrix products.

use crate::io::{
    Built, KernelResult, Num, Slot, View, ViewMut, built, cast_scratch, ensure, problem, with_floats, words,
};
use crate::walk::{Walk, product};
use alloc::format;
use paring_core::{broadcast, op::DenseAttrs};
use paring_kernel::Problem;

/// One product `[m, k] x [k, n]`; element `(i, j)` of the second factor lies at `i * row + j * column`.
#[derive(Clone, Copy)]
struct Shape {
    m: usize,
    k: usize,
    n: usize,
    row: usize,
    column: usize,
}

/// `Dense`.
pub(crate) fn dense(p: &Problem, a: &DenseAttrs) -> KernelResult<Built> {
    let (x, w, y) = (Slot::input(p, 0)?, Slot::input(p, 1)?, Slot::output(p, 0)?);
    let &[rows, columns] = w.shape.as_slice() else {
        return Err(problem(format!("weights {:?} are not a matrix", w.shape)));
    };
    let (k, n) = if a.transposed { (columns, rows) } else { (rows, columns) };
    ensure(x.shape.last() == Some(&k), || format!("input {:?} does not end in {k}", x.shape))?;
    let lead = &x.shape[..x.rank() - 1];
    let mut expected = lead.to_vec();
    expected.push(n);
    y.expect_shape("the output", &expected)?;
    let (row, column) = if a.transposed { (1, k) } else { (n, 1) };
    let s = Shape { m: product(lead), k, n, row, column };
    check(&x, &w, &y)?;
    built(scratch(&s)?, move |io| {
        let (xv, wv) = (x.view(io), w.view(io));
        let acc = cast_scratch::<f64>(io.scratch());
        multiply(&s, (&xv, 0), (&wv, 0), (&mut y.target(io), 0), acc)
    })
}

/// `MatMul` by the rules of NumPy: vectors are a row on the left and a column on the right.
pub(crate) fn matmul(p: &Problem) -> KernelResult<Built> {
    let (a, b, y) = (Slot::input(p, 0)?, Slot::input(p, 1)?, Slot::output(p, 0)?);
    ensure(a.rank() > 0 && b.rank() > 0, || "a factor is a scalar".into())?;
    let (a_lead, m) = if a.rank() > 1 { (&a.shape[..a.rank() - 2], a.shape[a.rank() - 2]) } else { (&[][..], 1) };
    let (b_lead, n) = if b.rank() > 1 { (&b.shape[..b.rank() - 2], b.shape[b.rank() - 1]) } else { (&[][..], 1) };
    let k = a.shape[a.rank() - 1];
    let inner = b.shape[b.rank().saturating_sub(2).min(b.rank() - 1)];
    ensure(k == inner, || format!("factors {:?} and {:?} do not fit", a.shape, b.shape))?;
    let batch = broadcast(a_lead, b_lead).map_err(|e| problem(format!("{e}")))?;
    let mut expected = batch.clone();
    expected.extend((a.rank() > 1).then_some(m));
    expected.extend((b.rank() > 1).then_some(n));
    y.expect_shape("the output", &expected)?;
    check(&a, &b, &y)?;
    let s = Shape { m, k, n, row: n, column: 1 };
    let (a_walk, b_walk) = (Walk::broadcast(a_lead, &batch)?, Walk::broadcast(b_lead, &batch)?);
    let count: usize = product(&batch);
    built(scratch(&s)?, move |io| {
        let (av, bv) = (a.view(io), b.view(io));
        let acc = cast_scratch::<f64>(io.scratch());
        let mut out = y.target(io);
        for i in 0..count {
            multiply(&s, (&av, a_walk.at(i) * m * k), (&bv, b_walk.at(i) * k * n), (&mut out, i * m * n), acc)?;
        }
        Ok(())
    })
}

fn check(a: &Slot, b: &Slot, y: &Slot) -> KernelResult<()> {
    let floats = a.dtype.is_float() && b.dtype.is_float() && y.dtype.is_float();
    let ints = a.dtype.is_int() && b.dtype.is_int() && y.dtype.is_int();
    ensure(floats || ints, || format!("a product of {} and {} has no reference", a.dtype, b.dtype))
}

fn scratch(s: &Shape) -> KernelResult<usize> {
    words(s.k.checked_add(s.n).ok_or_else(|| problem("the matrices are too large"))?)
}

fn multiply(
    s: &Shape,
    (a, a_at): (&View<'_>, usize),
    (b, b_at): (&View<'_>, usize),
    (y, y_at): (&mut ViewMut<'_>, usize),
    scratch: &mut [f64],
) -> KernelResult<()> {
    if matches!(b, View::F32(_) | View::F16(_) | View::BF16(_) | View::F64(_)) {
        let (left, acc) = scratch[..s.k + s.n].split_at_mut(s.k);
        for i in 0..s.m {
            (0..s.k).for_each(|k| left[k] = a.f(a_at + i * s.k + k));
            acc.fill(0.0);
            with_floats!(*b, bs => row(s, left, &bs[b_at..], acc));
            (0..s.n).for_each(|j| y.put_f(y_at + i * s.n + j, acc[j]));
        }
        return Ok(());
    }
    for i in 0..s.m {
        for j in 0..s.n {
            let sum = (0..s.k).fold(0i128, |sum, k| {
                let (left, right) = (a.int(a_at + i * s.k + k), b.int(b_at + k * s.row + j * s.column));
                sum.wrapping_add(left.wrapping_mul(right))
            });
            y.put_int(y_at + i * s.n + j, sum);
        }
    }
    Ok(())
}

/// One row of a product, in the order that reads the second factor along its rows.
fn row<T: Num>(s: &Shape, left: &[f64], b: &[T], acc: &mut [f64]) {
    if s.column == 1 {
        for (k, &l) in left.iter().enumerate() {
            for (a, v) in acc.iter_mut().zip(&b[k * s.row..k * s.row + s.n]) {
                *a += l * v.to_f();
            }
        }
    } else {
        for (j, a) in acc.iter_mut().enumerate() {
            *a = left.iter().zip(&b[j * s.column..j * s.column + s.k]).map(|(l, v)| l * v.to_f()).sum();
        }
    }
}
