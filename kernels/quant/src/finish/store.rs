//! From the sums of a tile to what is stored.

use super::{Finish, Place, Residual, Step};
use crate::lanes::{Kind, put_bytes};
use core::mem::MaybeUninit;
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
    /// Finishes the sums of pixels, of one vector of columns, and stores them. `y` are the first elements of the pixels.
    ///
    /// # Safety
    /// The elements of the pixels must be within the output and this task's alone. They ascend, by eight or more from pixel
    /// to pixel.
    #[inline(always)]
    pub unsafe fn store_sums<S: Simd, const PX: usize>(&self, s: S, place: &Place, sums: [S::I; PX], y: &[usize]) {
        let Some(how) = self.narrows(place, 1) else {
            let mut rows = [[0i32; LANES]; PX];
            for i in 0..PX {
                // SAFETY: eight elements.
                unsafe { s.store_sums(rows[i].as_mut_ptr(), sums[i]) };
            }
            // SAFETY: one vector for each pixel; the caller's promise.
            return unsafe { self.store_rows(s, place, Sums::Integers(rows.as_ptr().cast()), 1, y) };
        };
        let mut values = [s.splat(0.0); PX];
        for i in 0..PX {
            values[i] = s.sums_to_f32(sums[i]);
        }
        // SAFETY: the caller's promise.
        unsafe { self.narrow(s, place, values, y, how) };
    }

    /// As [`Finish::store_sums`], of sums that are numbers already.
    ///
    /// # Safety
    /// As there.
    #[inline(always)]
    pub unsafe fn store<S: Simd, const PX: usize>(&self, s: S, place: &Place, values: [S::V; PX], y: &[usize]) {
        let Some(how) = self.narrows(place, 1) else {
            let mut rows = [[0f32; LANES]; PX];
            for i in 0..PX {
                rows[i] = s.to_array(values[i]);
            }
            // SAFETY: one vector for each pixel; the caller's promise.
            return unsafe { self.store_rows(s, place, Sums::Numbers(rows.as_ptr().cast()), 1, y) };
        };
        // SAFETY: the caller's promise.
        unsafe { self.narrow(s, place, values, y, how) };
    }

    /// Stores sums as bytes.
    ///
    /// # Safety
    /// As for [`Finish::store_sums`].
    #[inline(always)]
    unsafe fn narrow<S: Simd, const PX: usize>(
        &self,
        s: S,
        place: &Place,
        mut values: [S::V; PX],
        y: &[usize],
        how: Narrow,
    ) {
        let (scale, shift) = (&self.scale[place.channel..][..LANES], &self.epilogue.shift[place.channel..][..LANES]);
        // SAFETY: eight elements.
        let (scale, shift) = unsafe { (s.load(scale.as_ptr()), s.load(shift.as_ptr())) };
        for i in 0..PX {
            values[i] = s.mul_add(values[i], scale, shift);
        }
        for i in (0..PX).step_by(2) {
            let next = if i + 1 < PX { i + 1 } else { i };
            let bytes = s.narrow([values[i], values[next]], how);
            // SAFETY: the caller's promise.
            unsafe {
                self.y.add(y[i] + place.first).cast::<u64>().write_unaligned(bytes[0]);
                self.y.add(y[next] + place.first).cast::<u64>().write_unaligned(bytes[1]);
            }
        }
    }

    /// How bytes are made of `vectors` vectors of columns, where that takes no more than scales, shifts and bounds.
    #[inline(always)]
    fn narrows(&self, place: &Place, vectors: usize) -> Option<Narrow> {
        let e = self.epilogue;
        let blank = e.blank && place.channel + place.lanes == e.columns && place.lanes + LANES > vectors * LANES;
        e.narrow.filter(|_| e.added.is_none() && (place.lanes >= vectors * LANES || blank))
    }

    /// As [`Finish::store_sums`], of two vectors of columns.
    ///
    /// # Safety
    /// As there.
    #[inline(always)]
    pub unsafe fn store_pairs<S: Simd, const PX: usize>(
        &self,
        s: S,
        place: &Place,
        sums: [<S::Pair as PairBytes<S>>::I; PX],
        y: &[usize],
    ) {
        let p = s.pair();
        let Some(how) = self.narrows(place, 2) else {
            let mut rows = [const { MaybeUninit::<[[i32; LANES]; 2]>::uninit() }; PX];
            for i in 0..PX {
                let (row, [first, second]) = (rows[i].as_mut_ptr().cast::<i32>(), p.sums(sums[i]));
                // SAFETY: two vectors of eight elements.
                unsafe {
                    s.store_sums(row, first);
                    s.store_sums(row.add(LANES), second);
                }
            }
            // SAFETY: all rows were written; the caller's promise.
            return unsafe { self.store_rows(s, place, Sums::Integers(rows.as_ptr().cast()), 2, y) };
        };
        let [scale, shift] = self.pair(s, place);
        // By four pixels, each time written out: in a loop all sums would go through memory.
        macro_rules! fours {
            ($($first:literal)*) => {$(
                if const { $first < PX } {
                    let n = if PX - $first < 4 { PX - $first } else { 4 };
                    let mut values = [shift; 4];
                    for k in 0..n {
                        values[k] = p.mul_add(p.sums_to_f32(sums[$first + k]), scale, shift);
                    }
                    // SAFETY: the caller's promise.
                    unsafe { self.narrow_four(s, place, values, &y[$first..$first + n], how) };
                }
            )*};
        }
        const { assert!(PX <= 16) }
        fours!(0 4 8 12);
    }

    /// Scale and shift of sixteen columns.
    #[inline(always)]
    fn pair<S: Simd>(&self, s: S, place: &Place) -> [<S::Pair as Lanes>::V; 2] {
        // SAFETY: sixteen elements.
        let load = |v: &[f32]| unsafe { s.pair().load(v[place.channel..][..2 * LANES].as_ptr()) };
        [load(self.scale), load(&self.epilogue.shift)]
    }

    /// Stores sixteen columns of up to four pixels as bytes.
    ///
    /// # Safety
    /// As for [`Finish::store_sums`].
    #[inline(always)]
    unsafe fn narrow_four<S: Simd>(
        &self,
        s: S,
        place: &Place,
        values: [<S::Pair as Lanes>::V; 4],
        y: &[usize],
        how: Narrow,
    ) {
        // SAFETY: the caller's promise; four pixels side by side are 32 bytes.
        unsafe {
            if y.len() == 4 && y[3] - y[0] == 3 * LANES {
                let to = self.y.add(y[0] + place.first);
                return s.pair().store_narrow([to, to.add(place.step)], values, how);
            }
            let mut four = [[0u64; 4]; 2];
            let [a, b] = &mut four;
            s.pair().store_narrow([a.as_mut_ptr().cast(), b.as_mut_ptr().cast()], values, how);
            for (k, y) in y.iter().enumerate() {
                let to = self.y.add(y + place.first);
                to.cast::<u64>().write_unaligned(four[0][k]);
                to.add(place.step).cast::<u64>().write_unaligned(four[1][k]);
            }
        }
    }

    /// Finishes sums in memory, one vector or two for each pixel: any epilogue, and vectors of which some lanes do not exist.
    /// Out of line, as it would swell every size of tile.
    ///
    /// # Safety
    /// As for [`Finish::store_sums`]; all sums must be valid for reads.
    #[inline(never)]
    unsafe fn store_rows<S: Simd>(&self, s: S, place: &Place, sums: Sums, vectors: usize, y: &[usize]) {
        s.vectorize(Rows { finish: self, place, sums, vectors, y });
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
                let mut values = [s.splat(0.0); $n];
                let mut to = [0; $n];
                for k in 0..$n {
                    // SAFETY: the caller's promise.
                    values[k] = unsafe { s.load(sums.add(($at + k) * LANES)) };
                    to[k] = y + ($at + k) * LANES;
                }
                // SAFETY: the caller's promise.
                unsafe { self.store::<S, $n>(s, place, values, &to) };
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
        let how = self.narrows(place, 1)?;
        let (scale, shift) = (&self.scale[place.channel..][..LANES], &e.shift[place.channel..][..LANES]);
        // SAFETY: eight elements.
        let (scale, shift) = unsafe { (s.load(scale.as_ptr()), s.load(shift.as_ptr())) };
        Some(Straight { scale, shift, how, y: self.y })
    }

    /// Any epilogue, and vectors of which some lanes do not exist, for one pixel. Out of line, as it would swell every
    /// size of tile.
    #[inline(never)]
    fn general<S: Simd>(&self, s: S, place: &Place, row: &mut [f32], y: usize) {
        s.vectorize(General { finish: self, place, row, y });
    }
}

/// Sums in memory.
#[derive(Clone, Copy)]
enum Sums {
    Integers(*const i32),
    Numbers(*const f32),
}

/// The body of [`Finish::store_rows`].
struct Rows<'a> {
    finish: &'a Finish<'a>,
    place: &'a Place,
    sums: Sums,
    vectors: usize,
    y: &'a [usize],
}

impl Task for Rows<'_> {
    type Output = ();

    #[inline(always)]
    fn call<S: Simd>(self, s: S) {
        let e = self.finish.epilogue;
        if e.sums {
            return self.as_they_are();
        }
        let short = e.narrow.is_some() || (e.out.is_none() && e.clamp.is_some());
        if !short || self.vectors < 2 || self.place.lanes < 2 * LANES {
            return self.any(s);
        }
        for first in (0..self.y.len()).step_by(4) {
            self.four(s, first);
        }
    }
}

impl Rows<'_> {
    /// Vector `h` of the sums of pixel `i`.
    #[inline(always)]
    fn load<S: Simd>(&self, s: S, h: usize, i: usize) -> S::V {
        let at = (i * self.vectors + h) * LANES;
        // SAFETY: eight elements of the sums.
        unsafe {
            match self.sums {
                Sums::Integers(p) => s.sums_to_f32(s.load_sums(p.add(at))),
                Sums::Numbers(p) => s.load(p.add(at)),
            }
        }
    }

    /// Stores sums as what they are.
    fn as_they_are(&self) {
        let (finish, Sums::Integers(sums)) = (self.finish, self.sums) else {
            debug_assert!(false, "numbers for integers");
            return;
        };
        for (i, y) in self.y.iter().enumerate() {
            for h in 0..self.vectors {
                let lanes = self.place.lanes.saturating_sub(h * LANES).min(LANES);
                // Columns that do not exist have no weights, so their sums are zero.
                let room = if finish.epilogue.padded { LANES } else { lanes };
                let at = y + self.place.first + h * self.place.step;
                assert!(at + room <= finish.elements);
                // SAFETY: eight sums; within the output.
                unsafe {
                    let from = sums.add((i * self.vectors + h) * LANES);
                    core::ptr::copy_nonoverlapping(from, finish.y.cast::<i32>().add(at), room);
                }
            }
        }
    }

    /// Two whole vectors of up to four pixels, which take no more than scales, shifts, a residual and bounds.
    #[inline(always)]
    fn four<S: Simd>(&self, s: S, first: usize) {
        let (p, e, place) = (s.pair(), self.finish.epilogue, self.place);
        let [scale, shift] = self.finish.pair(s, place);
        let y = &self.y[first..self.y.len().min(first + 4)];
        let mut values = [shift; 4];
        for k in 0..y.len() {
            // They were stored by themselves, and the way from a store to a load that is wider is a long one.
            let sums = p.join([self.load(s, 0, first + k), self.load(s, 1, first + k)]);
            values[k] = p.mul_add(sums, scale, shift);
        }
        if let Some(Residual { kind, .. }) = e.added {
            for (k, y) in y.iter().enumerate() {
                let at = [y + place.first, y + place.first + place.step];
                assert!(at[0] + LANES <= self.finish.elements && at[1] + LANES <= self.finish.elements);
                // SAFETY: residuals have as many elements as the output.
                values[k] = unsafe { kind.add_pair(s, self.finish.residuals[0], at, values[k]) };
            }
        }
        // SAFETY: the promise of whoever calls `Finish::store_rows`.
        unsafe {
            match (e.narrow, e.clamp) {
                (Some(how), _) => self.finish.narrow_four(s, place, values, y, how),
                (None, Some((lo, hi))) => {
                    for (k, y) in y.iter().enumerate() {
                        let bounded = p.min(p.splat(hi), p.max(p.splat(lo), values[k]));
                        for (h, v) in p.halves(bounded).into_iter().enumerate() {
                            s.store(self.finish.y.cast::<f32>().add(y + place.first + h * place.step), v);
                        }
                    }
                }
                (None, None) => debug_assert!(false, "a longer epilogue"),
            }
        }
    }

    /// All pixels, whatever they take and however few lanes exist.
    #[inline(always)]
    fn any<S: Simd>(&self, s: S) {
        let (finish, e, place) = (self.finish, self.finish.epilogue, self.place);
        for (i, y) in self.y.iter().enumerate() {
            let y = y + place.first;
            let mut row = [0.0; 2 * LANES];
            for (h, eight) in row.chunks_exact_mut(LANES).take(self.vectors).enumerate() {
                let of = |v: &[f32]| v[place.channel + h * LANES..][..LANES].as_ptr();
                // SAFETY: eight elements each.
                let (scale, shift) = unsafe { (s.load(of(finish.scale)), s.load(of(&e.shift))) };
                let mut v = s.mul_add(self.load(s, h, i), scale, shift);
                if let Some(r) = e.added {
                    v = s.add(v, finish.residual(s, r, finish.residuals[0], y, place, h));
                }
                // SAFETY: eight elements.
                unsafe { s.store(eight.as_mut_ptr(), v) };
            }
            finish.general(s, place, &mut row[..self.vectors * LANES], y);
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
