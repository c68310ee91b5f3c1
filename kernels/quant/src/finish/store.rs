//! From the sums of a tile to what is stored.

use super::{Finish, Place, Residual, Step, VECTORS};
use crate::lanes::{Kind, put_bytes};
use paring_simd::{LANES, Lanes, Pair, PairBytes, Simd, Task, by_act, bytes::Narrow};

/// Copies of what finishes vectors of eight columns, for loops that store: what they store to might be the original.
#[derive(Clone, Copy)]
pub struct Straight<S: Simd> {
    scale: S::V,
    shift: S::V,
    how: Narrow,
    y: *mut u8,
}

impl<S: Simd> Straight<S> {
    /// Finishes the sums of four pixels side by side, and stores those that there are `left` from element `y` of the output
    /// on.
    ///
    /// # Safety
    /// They must be within the output and this task's alone.
    #[inline(always)]
    pub unsafe fn store_four(&self, s: S, sums: [[S::I; 1]; 4], left: usize, y: usize) {
        let mut values = [self.shift; 4];
        for k in 0..4 {
            values[k] = s.mul_add(s.sums_to_f32(sums[k][0]), self.scale, self.shift);
        }
        // SAFETY: the caller's promise.
        unsafe {
            let to = self.y.add(y);
            if left >= 4 {
                return s.store_narrow(to, values, self.how);
            }
            let mut four = [0u64; 4];
            s.store_narrow(four.as_mut_ptr().cast(), values, self.how);
            for k in 0..left {
                to.cast::<u64>().add(k).write_unaligned(four[k]);
            }
        }
    }
}

impl Finish<'_> {
    /// Finishes the sums of a tile and stores them. `y` are the first elements of the pixels.
    ///
    /// # Safety
    /// The elements of the pixels must be within the output and this task's alone.
    #[inline(always)]
    pub unsafe fn store_sums<S: Simd, const PX: usize, const NV: usize>(
        &self,
        s: S,
        place: &Place,
        sums: [[S::I; NV]; PX],
        y: &[usize],
    ) {
        if self.epilogue.sums {
            // SAFETY: the caller's promise.
            return unsafe { self.store_as_they_are(s, place, sums, y) };
        }
        let mut values = [[s.splat(0.0); NV]; PX];
        for i in 0..PX {
            for h in 0..NV {
                values[i][h] = s.sums_to_f32(sums[i][h]);
            }
        }
        // SAFETY: the caller's promise.
        unsafe { self.store(s, place, values, y) }
    }

    /// How bytes are made of `vectors` whole vectors of columns, where that takes no more than scales, shifts and bounds.
    #[inline(always)]
    pub fn narrows(&self, place: &Place, vectors: usize) -> Option<Narrow> {
        self.epilogue.narrow.filter(|_| self.epilogue.added.is_none() && place.lanes >= vectors * LANES)
    }

    /// Finishes the sums of two vectors of columns, those from vector `h` on, as [narrowed](Finish::narrows).
    ///
    /// # Safety
    /// As for [`Finish::store_sums`].
    #[inline(always)]
    pub unsafe fn store_pairs<S: Simd, const PX: usize>(
        &self,
        s: S,
        place: &Place,
        h: usize,
        sums: [<S::Pair as PairBytes<S>>::I; PX],
        y: &[usize],
        how: Narrow,
    ) {
        let (p, place) = (s.pair(), place.from(h));
        let (scale, shift) = (&self.scale[place.channel..], &self.epilogue.shift[place.channel..]);
        let (scale, shift) = (&scale[..2 * LANES], &shift[..2 * LANES]);
        // SAFETY: sixteen elements; the caller's promise.
        unsafe {
            let (scale, shift) = (p.load(scale.as_ptr()), p.load(shift.as_ptr()));
            for first in (0..PX).step_by(4) {
                let n = if PX - first < 4 { PX - first } else { 4 };
                let mut values = [shift; 4];
                for k in 0..n {
                    values[k] = p.mul_add(p.sums_to_f32(sums[first + k]), scale, shift);
                }
                let at = y[first] + place.first;
                if n == 4 && y[first + 3] - y[first] == 3 * LANES {
                    p.store_narrow([self.y.add(at), self.y.add(at + place.step)], values, how);
                    continue;
                }
                let mut four = [[0u64; 4]; 2];
                let [a, b] = &mut four;
                p.store_narrow([a.as_mut_ptr().cast(), b.as_mut_ptr().cast()], values, how);
                for k in 0..n {
                    let to = self.y.add(y[first + k] + place.first);
                    to.cast::<u64>().write_unaligned(four[0][k]);
                    to.add(place.step).cast::<u64>().write_unaligned(four[1][k]);
                }
            }
        }
    }

    /// # Safety
    /// As for [`Finish::store_sums`].
    #[inline(always)]
    unsafe fn store_as_they_are<S: Simd, const PX: usize, const NV: usize>(
        &self,
        s: S,
        place: &Place,
        sums: [[S::I; NV]; PX],
        y: &[usize],
    ) {
        for h in 0..NV {
            let lanes = place.lanes.saturating_sub(h * LANES).min(LANES);
            let room = if self.epilogue.padded { LANES } else { lanes };
            for i in 0..PX {
                let at = y[i] + place.first + h * place.step;
                assert!(at + room <= self.elements);
                // SAFETY: within the output; columns that do not exist have no weights, so their sums are zero.
                unsafe {
                    let to = self.y.cast::<i32>().add(at);
                    if room == LANES {
                        s.store_sums(to, sums[i][h]);
                        continue;
                    }
                    let mut row = [0; LANES];
                    s.store_sums(row.as_mut_ptr(), sums[i][h]);
                    core::ptr::copy_nonoverlapping(row.as_ptr(), to, lanes);
                }
            }
        }
    }

    /// As [`Finish::store_sums`], of sums that are numbers already.
    ///
    /// # Safety
    /// As there.
    #[inline(always)]
    pub unsafe fn store<S: Simd, const PX: usize, const NV: usize>(
        &self,
        s: S,
        place: &Place,
        mut values: [[S::V; NV]; PX],
        y: &[usize],
    ) {
        let e = self.epilogue;
        for h in 0..NV {
            let at = place.channel + h * LANES;
            assert!(at + LANES <= self.scale.len() && at + LANES <= e.shift.len());
            // SAFETY: just checked.
            let (scale, shift) = unsafe { (s.load(self.scale.as_ptr().add(at)), s.load(e.shift.as_ptr().add(at))) };
            for i in 0..PX {
                values[i][h] = s.mul_add(values[i][h], scale, shift);
            }
        }
        let at = |i: usize, h: usize| y[i] + place.first + h * place.step;
        let whole = place.lanes >= NV * LANES;
        if let Some(r) = e.added {
            let mut rows = [[[0.0; LANES]; NV]; PX];
            for i in 0..PX {
                for h in 0..NV {
                    rows[i][h] = s.to_array(values[i][h]);
                }
            }
            self.add(s, r, place, rows.as_flattened_mut(), NV, y);
            for i in 0..PX {
                for h in 0..NV {
                    values[i][h] = s.from_array(rows[i][h]);
                }
            }
        }
        if let Some(how) = e.narrow
            && whole
        {
            // Two at once: vectors of a pixel, and the last ones of two pixels.
            for i in 0..PX {
                for h in 0..NV / 2 {
                    let bytes = s.narrow([values[i][2 * h], values[i][2 * h + 1]], how);
                    // SAFETY: the caller's promise.
                    unsafe {
                        self.y.add(at(i, 2 * h)).cast::<u64>().write_unaligned(bytes[0]);
                        self.y.add(at(i, 2 * h + 1)).cast::<u64>().write_unaligned(bytes[1]);
                    }
                }
            }
            if NV % 2 == 1 {
                for i in 0..PX.div_ceil(2) {
                    let (first, second) = (2 * i, if 2 * i + 1 < PX { 2 * i + 1 } else { 2 * i });
                    let bytes = s.narrow([values[first][NV - 1], values[second][NV - 1]], how);
                    // SAFETY: the caller's promise.
                    unsafe {
                        self.y.add(at(first, NV - 1)).cast::<u64>().write_unaligned(bytes[0]);
                        self.y.add(at(second, NV - 1)).cast::<u64>().write_unaligned(bytes[1]);
                    }
                }
            }
            return;
        }
        if let (None, Some((lo, hi))) = (e.out, e.clamp)
            && whole
        {
            let (lo, hi) = (s.splat(lo), s.splat(hi));
            for i in 0..PX {
                for h in 0..NV {
                    // SAFETY: the caller's promise.
                    unsafe { s.store(self.y.cast::<f32>().add(at(i, h)), s.min(hi, s.max(lo, values[i][h]))) };
                }
            }
            return;
        }
        for i in 0..PX {
            let mut row = [0.0; VECTORS * LANES];
            for h in 0..NV {
                // SAFETY: within the row.
                unsafe { s.store(row.as_mut_ptr().add(h * LANES), values[i][h]) };
            }
            self.general(s, place, &mut row[..NV * LANES], y[i] + place.first);
        }
    }

    /// Finishes `width` pixels of one vector of columns, whose sums follow one another as do the pixels, from element `y`
    /// of the output on.
    ///
    /// # Safety
    /// As for [`Finish::store`]; `sums` must be valid for reads of all of them.
    #[inline(always)]
    pub unsafe fn store_row<S: Simd>(&self, s: S, place: &Place, sums: *const f32, width: usize, y: usize) {
        macro_rules! some {
            ($n:literal, $at:expr) => {{
                let mut values = [[s.splat(0.0)]; $n];
                let mut to = [0; $n];
                for k in 0..$n {
                    // SAFETY: the caller's promise.
                    values[k][0] = unsafe { s.load(sums.add(($at + k) * LANES)) };
                    to[k] = y + ($at + k) * LANES;
                }
                // SAFETY: the caller's promise.
                unsafe { self.store::<S, $n, 1>(s, place, values, &to) };
            }};
        }
        let mut at = 0;
        while at + 4 <= width {
            some!(4, at);
            at += 4;
        }
        while at < width {
            some!(1, at);
            at += 1;
        }
    }

    /// What finishes whole vectors of the columns at `place`, where that takes no more than scales, shifts and bounds.
    #[inline(always)]
    pub fn straight<S: Simd>(&self, s: S, place: &Place) -> Option<Straight<S>> {
        let e = self.epilogue;
        let how = e.narrow.filter(|_| place.lanes >= LANES && e.added.is_none())?;
        let (scale, shift) = (&self.scale[place.channel..][..LANES], &e.shift[place.channel..][..LANES]);
        // SAFETY: eight elements.
        let (scale, shift) = unsafe { (s.load(scale.as_ptr()), s.load(shift.as_ptr())) };
        Some(Straight { scale, shift, how, y: self.y })
    }

    /// Adds the first residual to `vectors` vectors of each pixel. Out of line, as it would swell every size of tile.
    #[inline(never)]
    fn add<S: Simd>(&self, s: S, r: Residual, place: &Place, rows: &mut [[f32; LANES]], vectors: usize, y: &[usize]) {
        s.vectorize(Add { finish: self, residual: r, place, rows, vectors, y });
    }

    /// Any epilogue, and vectors of which some lanes do not exist, for one pixel. Out of line, as it would swell every
    /// size of tile.
    #[inline(never)]
    fn general<S: Simd>(&self, s: S, place: &Place, row: &mut [f32], y: usize) {
        s.vectorize(General { finish: self, place, row, y });
    }
}

/// The body of [`Finish::add`].
struct Add<'a> {
    finish: &'a Finish<'a>,
    residual: Residual,
    place: &'a Place,
    rows: &'a mut [[f32; LANES]],
    vectors: usize,
    y: &'a [usize],
}

impl Task for Add<'_> {
    type Output = ();

    #[inline(always)]
    fn call<S: Simd>(self, s: S) {
        let Add { finish, residual, place, rows, vectors, y } = self;
        let from = finish.residuals[0];
        for (row, y) in rows.chunks_exact_mut(vectors).zip(y) {
            for (h, eight) in row.iter_mut().enumerate() {
                let more = finish.residual(s, residual, from, y + place.first, place, h);
                *eight = s.to_array(s.add(s.from_array(*eight), more));
            }
        }
    }
}

/// The body of [`Finish::general`].
struct General<'a> {
    finish: &'a Finish<'a>,
    place: &'a Place,
    row: &'a mut [f32],
    /// The first element.
    y: usize,
}

impl Task for General<'_> {
    type Output = ();

    #[inline(always)]
    fn call<S: Simd>(self, s: S) {
        let General { finish, place, row, y } = self;
        let e = finish.epilogue;
        let mut residual = 0;
        for step in &e.steps {
            macro_rules! each {
                ($v:ident => $value:expr) => {
                    each!(|_h| $v => $value)
                };
                (|$h:ident| $v:ident => $value:expr) => {
                    for ($h, eight) in row.chunks_exact_mut(LANES).enumerate() {
                        // SAFETY: eight elements.
                        #[allow(unused_unsafe)]
                        unsafe {
                            let $v = s.load(eight.as_ptr());
                            s.store(eight.as_mut_ptr(), $value);
                        }
                    }
                };
            }
            let of = |v: &[f32], h: usize| v[place.channel + h * LANES..][..LANES].as_ptr();
            match step {
                // SAFETY: eight elements.
                Step::Bias(b) => each!(|h| v => s.add(v, s.load(of(b, h)))),
                // SAFETY: as above.
                Step::Scale(b) => each!(|h| v => s.mul(v, s.load(of(b, h)))),
                Step::PRelu(b) => {
                    // SAFETY: as above.
                    each!(|h| v => s.select(s.less(v, s.splat(0.0)), s.mul(v, s.load(of(b, h))), v));
                }
                Step::Residual(r) => {
                    let from = finish.residuals[residual];
                    residual += 1;
                    each!(|h| v => s.add(v, finish.residual(s, *r, from, y, place, h)));
                }
                Step::Act(act) => by_act!(s, *act, v, each!()),
            }
        }
        for (h, eight) in row.chunks_exact(LANES).enumerate() {
            let lanes = place.lanes.saturating_sub(h * LANES).min(LANES);
            finish.put(s, eight, y + h * place.step, lanes);
        }
    }
}

impl Finish<'_> {
    /// Vector `h` of a residual, of the columns at `place` of the pixel whose first column is element `y`.
    #[inline(always)]
    fn residual<S: Simd>(&self, s: S, r: Residual, from: *const u8, y: usize, place: &Place, h: usize) -> S::V {
        let (at, lanes) = (y + h * place.step, place.lanes.saturating_sub(h * LANES).min(LANES));
        assert!(at + lanes <= self.elements);
        // SAFETY: residuals have as many elements as the output.
        unsafe { r.kind.load(s, from, at, lanes) }
    }

    /// Stores eight results, of which `lanes` exist.
    #[inline(always)]
    fn put<S: Simd>(&self, s: S, eight: &[f32], at: usize, lanes: usize) {
        let e = self.epilogue;
        let room = if e.padded { LANES } else { lanes };
        assert!(at + room <= self.elements);
        // SAFETY: eight elements of a row.
        let mut v = unsafe { s.load(eight.as_ptr()) };
        match e.out {
            None => {
                if let Some((lo, hi)) = e.clamp {
                    v = s.min(s.splat(hi), s.max(s.splat(lo), v));
                }
                // SAFETY: within the output.
                unsafe { Kind::F32.store(s, self.y, at, v, lanes, room) };
            }
            Some(out) => {
                let (least, largest) = out.range();
                let zero = out.zero_point as f32;
                let (v, lo, hi) = match e.clamp {
                    Some((lo, hi)) => (v, lo, hi),
                    None => (s.mul(v, s.splat(1.0 / out.scale)), least - zero, largest - zero),
                };
                let v = s.add(s.round(s.min(s.splat(hi), s.max(s.splat(lo), v))), s.splat(zero));
                // SAFETY: within the output.
                unsafe { put_bytes(self.y.add(at), s.to_bytes(v, out.signed), lanes, room) };
            }
        }
    }
}
