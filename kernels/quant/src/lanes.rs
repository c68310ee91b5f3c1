//! Eight elements of an operand as numbers, whatever it is made of, and back.

use crate::operand::Bytes;
use paring_core::DType;
use paring_kernel::{Operand, Reject};
use paring_simd::{LANES, Lanes, Pair, Simd};

/// What an operand is made of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Numbers.
    F32,
    /// Bytes that stand for numbers.
    Bytes(Bytes),
}

impl Kind {
    /// Of an operand.
    ///
    /// # Errors
    /// [`Reject`] where it is made of something else.
    pub fn of(o: &Operand) -> Result<Kind, Reject> {
        match (&o.quant, o.dtype) {
            (Some(_), _) => Bytes::of(o).map(Kind::Bytes),
            (None, DType::F32) => Ok(Kind::F32),
            (None, other) => Err(Reject::from(format!("neither quantised nor f32 but {other}"))),
        }
    }

    /// Bytes of an element.
    pub fn size(self) -> usize {
        if self == Kind::F32 { size_of::<f32>() } else { 1 }
    }

    /// `n` elements from element `at` of the operand at `p`, as numbers; zeros in the other lanes.
    ///
    /// # Safety
    /// They must be valid for reads.
    #[inline(always)]
    pub unsafe fn load<S: Simd>(self, s: S, p: *const u8, at: usize, n: usize) -> S::V {
        // SAFETY: the caller's promise.
        unsafe {
            let (v, b) = match self {
                Kind::F32 => {
                    let p = p.cast::<f32>().add(at);
                    if n >= LANES {
                        return s.load(p);
                    }
                    let mut row = [0.0; LANES];
                    core::ptr::copy_nonoverlapping(p, row.as_mut_ptr(), n);
                    return s.from_array(row);
                }
                Kind::Bytes(b) if n >= LANES => (s.load_bytes(p.add(at), b.signed), b),
                Kind::Bytes(b) => {
                    let mut row = [b.zero(); LANES];
                    core::ptr::copy_nonoverlapping(p.add(at), row.as_mut_ptr(), n);
                    (s.load_bytes(row.as_ptr(), b.signed), b)
                }
            };
            s.mul(s.sub(v, s.splat(b.zero_point as f32)), s.splat(b.scale))
        }
    }

    /// Adds to `v` eight elements from each of `at` on of the operand at `p`: bytes times their scale, without regard to
    /// their zero point.
    ///
    /// # Safety
    /// They must be valid for reads.
    #[inline(always)]
    pub unsafe fn add_pair<S: Simd>(
        self,
        s: S,
        p: *const u8,
        at: [usize; 2],
        v: <S::Pair as Lanes>::V,
    ) -> <S::Pair as Lanes>::V {
        let pair = s.pair();
        // SAFETY: the caller's promise.
        unsafe {
            match self {
                Kind::F32 => {
                    let p = p.cast::<f32>();
                    pair.add(v, pair.join([s.load(p.add(at[0])), s.load(p.add(at[1]))]))
                }
                Kind::Bytes(b) => {
                    let more = pair.load_bytes([p.add(at[0]), p.add(at[1])], b.signed);
                    pair.mul_add(more, pair.splat(b.scale), v)
                }
            }
        }
    }

    /// Stores the first `n` lanes, and zeros in as many after them as there are `room`s more.
    ///
    /// # Safety
    /// `max(n, room)` elements from `at` must be valid for writes.
    #[inline(always)]
    pub unsafe fn store<S: Simd>(self, s: S, p: *mut u8, at: usize, v: S::V, n: usize, room: usize) {
        // SAFETY: the caller's promise.
        unsafe {
            match self {
                Kind::F32 => {
                    let p = p.cast::<f32>().add(at);
                    if n >= LANES {
                        return s.store(p, v);
                    }
                    let row = s.to_array(v);
                    for lane in 0..room.max(n) {
                        p.add(lane).write(if lane < n { row[lane] } else { 0.0 });
                    }
                }
                Kind::Bytes(b) => {
                    put_bytes(p.add(at), s.to_bytes(b.quantise(s, v), b.signed), n, room);
                }
            }
        }
    }
}

/// Stores the first `n` of eight bytes, and zeros in as many after them as there are `room`s more.
///
/// # Safety
/// `max(n, room)` bytes must be valid for writes.
#[inline(always)]
pub unsafe fn put_bytes(p: *mut u8, bytes: u64, n: usize, room: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        if n >= LANES {
            return p.cast::<u64>().write_unaligned(bytes);
        }
        for (lane, byte) in bytes.to_le_bytes().into_iter().enumerate().take(room.max(n)) {
            p.add(lane).write(if lane < n { byte } else { 0 });
        }
    }
}

impl Bytes {
    /// The bytes that stand for eight numbers, as numbers.
    #[inline(always)]
    pub fn quantise<S: Simd>(&self, s: S, v: S::V) -> S::V {
        let (lo, hi) = self.range();
        let q = s.add(s.round(s.div(v, s.splat(self.scale))), s.splat(self.zero_point as f32));
        // What is not a number becomes the least: `max` gives the second operand then.
        s.min(s.max(q, s.splat(lo)), s.splat(hi))
    }
}

/// A tensor in eights: of elements in plain layout, of the channels of a pixel in blocked layout.
#[derive(Clone, Copy, Debug)]
pub struct Eights {
    /// Eights of a block of channels; all where the layout is plain.
    plane: usize,
    /// Blocks of a sample.
    blocks: usize,
    /// Elements of the last eight of all, or of every eight of the last block.
    rest: usize,
    /// All eights.
    pub count: usize,
    blocked: bool,
}

impl Eights {
    /// Of a shape in plain layout.
    pub fn plain(len: usize) -> Eights {
        let count = len.div_ceil(LANES);
        let rest = len - count.saturating_sub(1) * LANES;
        Eights { plane: count.max(1), blocks: 1, rest, count, blocked: false }
    }

    /// Of a shape of rank 2 or more in blocks of eight channels.
    pub fn blocked(shape: &[usize]) -> Eights {
        let plane = shape[2..].iter().product::<usize>();
        let blocks = shape[1].div_ceil(LANES);
        let rest = shape[1] - blocks.saturating_sub(1) * LANES;
        Eights { plane: plane.max(1), blocks: blocks.max(1), rest, count: shape[0] * blocks * plane, blocked: true }
    }

    /// All elements, those that there is room for included.
    pub fn elements(&self) -> usize {
        let (last, room) = self.at(self.count - 1);
        (self.count - 1) * LANES + last.max(room)
    }

    /// The elements of eight `i` that exist, and those that there is room for.
    #[inline(always)]
    pub fn at(&self, i: usize) -> (usize, usize) {
        if self.blocked {
            let last = i / self.plane % self.blocks + 1 == self.blocks;
            (if last { self.rest } else { LANES }, LANES)
        } else {
            let n = if i + 1 == self.count { self.rest } else { LANES };
            (n, n)
        }
    }

    /// Eights from `i` on that are whole, before `end`.
    #[inline(always)]
    pub fn whole(&self, i: usize, end: usize) -> usize {
        let until = if self.rest == LANES {
            end
        } else if self.blocked {
            let within = i % (self.plane * self.blocks);
            i - within + self.plane * (self.blocks - 1)
        } else {
            self.count - 1
        };
        until.min(end).max(i)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_is_in_one_eight() {
        for len in [1, 7, 8, 9, 40] {
            let e = Eights::plain(len);
            assert_eq!((0..e.count).map(|i| e.at(i).0).sum::<usize>(), len);
        }
        for shape in [&[2, 3, 5][..], &[1, 8, 2, 2], &[2, 20, 3]] {
            let e = Eights::blocked(shape);
            assert_eq!((0..e.count).map(|i| e.at(i).0).sum::<usize>(), shape.iter().product::<usize>());
            for i in 0..e.count {
                let whole = e.whole(i, e.count);
                assert!((i..whole).all(|j| e.at(j).0 == LANES));
                assert!(whole == e.count || e.at(whole).0 < LANES, "{shape:?} {i} {whole}");
            }
        }
    }
}
