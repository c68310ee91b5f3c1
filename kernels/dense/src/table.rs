//! Product of one row with a constant matrix of which every column has few different weights.
//!
//! Weights stored in up to four bits, evenly spaced, from a codebook, ternary or binary, are `f32` again by the time they
//! come here, whatever operators said so in the file. A column of at most sixteen different ones is kept as a table of
//! these and four bits for each weight: nothing is lost. A single row reads every weight once, so that memory is the limit,
//! and an eighth of the bytes is what counts. Codes are looked up 32 at a time, in a table for each of the four bytes of a number
//! (byte shuffles), and the bytes put together.

use crate::{
    epilogue::{self, Epilogue, Place},
    fully_connected::Extent,
    one_row::OneRow,
    stamp::{self, generic_kernel},
};
use core::ops::Range;
use paring_core::{AlignedBuf, Layout};
use paring_kernel::{
    Cost, Kernel, KernelDescriptor, KernelError, Machine, Offer, Packed, Prepared, Problem, Reject, RunCx,
};
use paring_simd::{
    LANES, Simd, Task,
    lookup::{BYTES, plane_lane},
};
use std::sync::Arc;

generic_kernel! {
    /// Product of one row with a constant matrix of few different weights in each column.
    DenseTable
}

/// Entries of a table: what four bits tell apart.
const ENTRIES: usize = 16;
/// The bytes of numbers.
const PLANES: usize = size_of::<f32>();
/// Bytes of a table: the lowest bytes of all entries, then the next, and so on.
const TABLE: usize = ENTRIES * PLANES;
/// Weights whose codes are read at once: lower halves of bytes, then upper ones.
const BLOCK: usize = 2 * BYTES;
/// Sums shorter than that gain nothing.
const SHORTEST: usize = 2 * BLOCK;
/// Bytes of codes that a task reads.
const TASK_BYTES: usize = 32 << 10;

/// Where things lie in the packed weights: the tables of all columns, then the codes of all columns.
#[derive(Clone, Copy)]
struct Form {
    columns: usize,
    /// Bytes of the codes of a column.
    codes: usize,
}

impl Form {
    fn of(e: &Extent) -> Form {
        Form { columns: e.columns, codes: e.depth.div_ceil(BLOCK) * BYTES }
    }

    /// Which of the codes of a column row `k` has, and how far up in the byte.
    fn place(k: usize) -> (usize, usize) {
        let (block, within) = (k / BLOCK, k % BLOCK);
        (block * BYTES + plane_lane(within % BYTES), within / BYTES * 4)
    }

    fn bytes(&self) -> usize {
        self.columns * (TABLE + self.codes)
    }
}

/// The different weights of a column, as bits: zeros of either sign count each for itself. What is not used repeats the
/// first, so that all can be compared with at once.
#[derive(Clone, Copy, Default)]
struct Different {
    bits: [u32; ENTRIES],
    count: usize,
}

impl Different {
    /// The code of a weight; `None` where there are too many others.
    fn code(&mut self, weight: f32) -> Option<usize> {
        let bits = weight.to_bits();
        let mut same = 0;
        for (i, &b) in self.bits.iter().enumerate() {
            same |= u32::from(b == bits) << i;
        }
        if same != 0 && self.count > 0 {
            return Some(same.trailing_zeros() as usize);
        }
        let code = self.count;
        if code == 0 {
            self.bits = [bits; ENTRIES];
        }
        *self.bits.get_mut(code)? = bits;
        self.count += 1;
        Some(code)
    }

    /// The bytes of the entries, plane by plane.
    fn planes(&self) -> [u8; TABLE] {
        core::array::from_fn(|i| self.bits[i % ENTRIES].to_le_bytes()[i / ENTRIES])
    }
}

/// The extent of a problem that can be served.
fn extent(p: &Problem) -> Result<Extent, Reject> {
    let e = Extent::of(p)?;
    if e.rows != 1 {
        return Err(Reject::because("more than one row: arithmetic is the limit, not memory"));
    }
    if e.depth < SHORTEST {
        return Err(Reject::because("a table would be hardly shorter than the column"));
    }
    Ok(e)
}

/// Calls `each` with column, row and code of every weight, in the order in which they are stored, which most often ends in
/// the first column; then returns the tables.
fn encode(p: &Problem, e: &Extent, mut each: impl FnMut(usize, usize, usize)) -> Result<Vec<Different>, Reject> {
    let odd = || Reject::because("a weight is no finite number");
    let too_many = || Reject::from(format!("a column has more than {ENTRIES} different weights"));
    let bytes = p.constant(1).ok_or_else(|| Reject::because("the matrix is not constant"))?.bytes();
    let mut tables = vec![Different::default(); e.columns];
    let row = if e.transposed { e.depth } else { e.columns };
    for (i, stored) in bytes.chunks_exact(row * size_of::<f32>()).enumerate() {
        // Elements in a file need not be aligned.
        let weights = stored.chunks_exact(size_of::<f32>()).map(bytemuck::pod_read_unaligned::<f32>);
        for (j, weight) in weights.enumerate() {
            let (column, k) = if e.transposed { (i, j) } else { (j, i) };
            if !weight.is_finite() {
                return Err(odd());
            }
            each(column, k, tables[column].code(weight).ok_or_else(too_many)?);
        }
    }
    Ok(tables)
}

impl<S: Simd> Kernel for DenseTable<S> {
    fn descriptor(&self) -> &'static KernelDescriptor {
        self.descriptor
    }

    fn offers(&self, p: &Problem, _m: &Machine, out: &mut Vec<Offer>) -> Result<(), Reject> {
        let e = extent(p)?;
        encode(p, &e, |_, _, _| {})?;
        out.push(Offer {
            packed_bytes: Form::of(&e).bytes(),
            packed_format: if e.transposed { "dense-table-nk" } else { "dense-table-kn" }.into(),
            ..epilogue::offer(p, epilogue::fusable(p, e.columns), Layout::Plain, Layout::Plain)
        });
        Ok(())
    }

    fn cost(&self, p: &Problem, o: &Offer, m: &Machine) -> Cost {
        let Ok(e) = Extent::of(p) else { return Cost { ns: f64::INFINITY, bytes: f64::INFINITY } };
        let compute = (e.depth * e.columns) as f64 / (0.2 * stamp::rate(S::ISA, m)) + 5.0 * e.columns as f64;
        let stream = m.weights(o.packed_bytes, 1);
        let bytes = e.depth * size_of::<f32>() + o.packed_bytes;
        Cost { ns: compute.max(stream) + 0.1 * compute.min(stream) + 200.0, bytes: bytes as f64 }
    }

    fn pack(&self, p: &Problem, o: &Offer) -> Result<Packed, KernelError> {
        let problem = |r: Reject| KernelError::Problem(r.to_string());
        let e = Extent::of(p).map_err(problem)?;
        let form = Form::of(&e);
        let mut data = AlignedBuf::zeroed(o.packed_bytes)?;
        let (tables, codes) = data.as_mut_slice().split_at_mut(form.columns * TABLE);
        let different = encode(p, &e, |column, k, code| {
            let (byte, up) = Form::place(k);
            codes[column * form.codes + byte] |= (code << up) as u8;
        });
        for (table, d) in tables.chunks_exact_mut(TABLE).zip(&different.map_err(problem)?) {
            table.copy_from_slice(&d.planes());
        }
        Ok(data.into())
    }

    fn prepare(&self, p: &Problem, o: &Offer, packed: Arc<Packed>) -> Result<Box<dyn Prepared>, KernelError> {
        let extent = Extent::of(p).map_err(|r| KernelError::Problem(r.to_string()))?;
        let form = Form::of(&extent);
        if packed.data.as_slice().len() != form.bytes() {
            return Err(KernelError::Problem("weights were packed for another problem".into()));
        }
        let epilogue = Epilogue::new(p, o.fused, extent.columns, false)?;
        Ok(Box::new(Bound { isa: stamp::token::<S>()?, extent, form, packed, epilogue }))
    }
}

struct Bound<S> {
    isa: S,
    extent: Extent,
    form: Form,
    packed: Arc<Packed>,
    epilogue: Epilogue,
}

impl<S: Simd> Prepared for Bound<S> {
    fn run(&self, cx: &mut RunCx<'_>) -> Result<(), KernelError> {
        let (columns, parallel) = (self.extent.columns, cx.parallel());
        let row = OneRow::bind(&self.extent, &self.epilogue, cx);
        let each = (TASK_BYTES / self.form.codes).max(1).next_multiple_of(LANES);
        parallel.run(columns.div_ceil(each), &|task, _| {
            let columns = task * each..columns.min((task + 1) * each);
            self.isa.vectorize(Run { row: &row, packed: self.packed.data.as_slice(), form: self.form, columns });
        });
        Ok(())
    }
}

/// One task.
struct Run<'a> {
    row: &'a OneRow<'a>,
    packed: &'a [u8],
    form: Form,
    columns: Range<usize>,
}

impl Task for Run<'_> {
    type Output = ();

    #[inline(always)]
    fn call<S: Simd>(self, s: S) {
        let OneRow { epilogue, x, y, ref finish, .. } = *self.row;
        let (blocks, rest) = x.as_chunks::<BLOCK>();
        let mut last = [0.0; BLOCK];
        last[..rest.len()].copy_from_slice(rest);
        let (tables, codes) = self.packed.split_at(self.form.columns * TABLE);
        for first in self.columns.clone().step_by(LANES) {
            let lanes = LANES.min(self.columns.end - first);
            let mut sums = [0.0; LANES];
            for (i, sum) in sums[..lanes].iter_mut().enumerate() {
                let column = first + i;
                let (table, codes) = (&tables[column * TABLE..], &codes[column * self.form.codes..][..self.form.codes]);
                // SAFETY: as many bytes as a table has.
                let planes = core::array::from_fn(|p| unsafe { s.table(table[p * ENTRIES..][..ENTRIES].as_ptr()) });
                *sum = dot(s, planes, codes, blocks, &last);
            }
            let place = Place { channel: first, lanes, columns: [first, first + LANES] };
            // SAFETY: starts are padded to whole vectors; the columns exist and no other task has them.
            unsafe {
                let sums = s.add(s.from_array(sums), s.load(epilogue.init(first)));
                finish.store::<S, 1, 1>(s, &place, [[sums]], [y]);
            }
        }
    }
}

/// The products of blocks of numbers, and of `last` where there are codes for it, with the weights that the codes of a
/// column stand for.
#[inline(always)]
fn dot<S: Simd>(s: S, planes: [S::B; PLANES], codes: &[u8], blocks: &[[f32; BLOCK]], last: &[f32; BLOCK]) -> f32 {
    let mut sums = [s.splat(0.0); 4];
    let (codes, _) = codes.as_chunks::<BYTES>();
    for (codes, x) in codes.iter().zip(blocks) {
        add(s, planes, codes, x, &mut sums);
    }
    if let Some(codes) = codes.get(blocks.len()) {
        add(s, planes, codes, last, &mut sums);
    }
    s.sum(s.add(s.add(sums[0], sums[1]), s.add(sums[2], sums[3])))
}

/// Adds the products of a block.
#[inline(always)]
fn add<S: Simd>(s: S, planes: [S::B; PLANES], codes: &[u8; BYTES], x: &[f32; BLOCK], sums: &mut [S::V; 4]) {
    // SAFETY: as many bytes as are read, and a block of numbers is eight vectors.
    unsafe {
        let codes = [s.nibbles::<false>(codes.as_ptr()), s.nibbles::<true>(codes.as_ptr())];
        for (half, codes) in codes.into_iter().enumerate() {
            let weights = s.assemble(planes.map(|p| s.look_up(p, codes)));
            for (v, w) in weights.into_iter().enumerate() {
                let x = s.load(x.as_ptr().add(half * BYTES + v * LANES));
                sums[v] = s.mul_add(w, x, sums[v]);
            }
        }
    }
}
