use crate::{Lanes, Pair, PairBytes, Portable, Simd, Task, bytes::Narrow};

/// Every operation on one pair of vectors, as bits.
struct All([f32; 8], [f32; 8]);

impl Task for All {
    type Output = Vec<[u32; 8]>;
    #[inline(always)]
    fn call<S: Simd>(self, s: S) -> Self::Output {
        let (a, b) = (s.from_array(self.0), s.from_array(self.1));
        let rows = std::array::from_fn(|i| s.add(a, s.splat(i as f32)));
        let mut out = vec![
            s.add(a, b),
            s.sub(a, b),
            s.mul(a, b),
            s.div(a, b),
            s.min(a, b),
            s.max(a, b),
            s.sqrt(s.abs(a)),
            s.round(a),
            s.less(a, b),
            s.select(s.less(a, b), a, b),
            s.to_exponent(a),
            s.exponent(s.add(s.abs(a), s.splat(1.0))),
            s.and(a, b),
            s.or(a, b),
            s.xor(a, b),
            s.splat(s.sum(a)),
        ];
        out.extend(s.transpose(rows));
        out.into_iter().map(|v| s.to_array(v).map(f32::to_bits)).collect()
    }
}

const A: [f32; 16] =
    [1.5, -2.5, 0.5, 3.0, -0.0, 7.25, 1e-8, -9.0, f32::NAN, 1.0, f32::INFINITY, -1.0, 0.0, 2.5, -3.5, 4.5];
const B: [f32; 16] =
    [2.0, -1.0, 0.5, -3.0, 0.0, 1.0, 2e8, -8.5, 1.0, f32::NAN, 1.0, f32::NEG_INFINITY, 1.0, 2.0, 3.0, 4.0];

/// The halves of [`A`] and of [`B`].
fn operands() -> [([f32; 8], [f32; 8]); 2] {
    let half = |v: &[f32; 16], h: usize| std::array::from_fn(|i| v[8 * h + i]);
    [0, 1].map(|h| (half(&A, h), half(&B, h)))
}

/// Asserts that all are the same bits, or both NaN.
fn assert_same(what: &str, x: &[[u32; 8]], y: &[[u32; 8]]) {
    assert_eq!(x.len(), y.len());
    for (i, (x, y)) in x.iter().zip(y).enumerate() {
        for (x, y) in x.iter().zip(y) {
            let same_nan = f32::from_bits(*x).is_nan() && f32::from_bits(*y).is_nan();
            assert!(x == y || same_nan, "{what}, operation {i}: {x:08x} {y:08x}");
        }
    }
}

/// Calls `$check(name, token)` for every token that this machine has, the portable one included.
macro_rules! on_every_token {
    ($check:ident) => {
        $check("portable", Portable);
        #[allow(unused_macros)]
        macro_rules! on {
            ($token:ty) => {
                if let Some(s) = <$token>::detect() {
                    $check(<$token>::ISA.name(), s);
                }
            };
        }
        crate::each_token!(on);
    };
}

/// Holds the operations of `S` against the portable ones.
fn agrees_with_portable<S: Simd>(name: &str, s: S) {
    for (a, b) in operands() {
        assert_same(name, &s.vectorize(All(a, b)), &Portable.vectorize(All(a, b)));
    }
}

#[test]
fn every_token_agrees_with_portable_bit_for_bit() {
    on_every_token!(agrees_with_portable);
}

/// Every operation on a pair of vectors, as bits: the first halves of all, and the others.
struct Paired;

impl Task for Paired {
    type Output = [Vec<[u32; 8]>; 2];
    #[inline(always)]
    fn call<S: Simd>(self, s: S) -> Self::Output {
        let p = s.pair();
        // SAFETY: both have sixteen elements.
        let (a, b, one) = unsafe { (p.load(A.as_ptr()), p.load(B.as_ptr()), p.broadcast(&A[3])) };
        let pairs = [
            p.add(a, b),
            p.sub(a, b),
            p.mul(a, b),
            p.div(a, b),
            p.mul_add(a, b, one),
            p.min(a, b),
            p.max(a, b),
            p.sqrt(p.abs(a)),
            p.round(a),
            p.less(a, b),
            p.select(p.less(a, b), a, b),
            p.to_exponent(a),
            p.exponent(p.add(p.abs(a), p.splat(1.0))),
            p.and(a, b),
            p.or(a, b),
            p.xor(a, b),
            p.join(p.halves(a)),
        ];
        [0, 1].map(|h| pairs.iter().map(|&v| s.to_array(p.halves(v)[h]).map(f32::to_bits)).collect())
    }
}

/// The same operations on one half.
struct Half([f32; 8], [f32; 8]);

impl Task for Half {
    type Output = Vec<[u32; 8]>;
    #[inline(always)]
    fn call<S: Simd>(self, s: S) -> Self::Output {
        let mut all = All(self.0, self.1).call(s);
        let three = s.splat(A[3]);
        let fused = s.mul_add(s.from_array(self.0), s.from_array(self.1), three);
        all.truncate(15);
        all.insert(4, s.to_array(fused).map(f32::to_bits));
        all.push(self.0.map(f32::to_bits));
        all
    }
}

/// Holds pairs of `S` against its vectors.
fn pairs_are_two_vectors<S: Simd>(name: &str, s: S) {
    let found = s.vectorize(Paired);
    for ((a, b), found) in operands().into_iter().zip(found) {
        assert_same(name, &found, &s.vectorize(Half(a, b)));
    }
}

#[test]
fn pairs_agree_with_vectors() {
    on_every_token!(pairs_are_two_vectors);
}

#[test]
fn transpose_swaps_rows_and_lanes() {
    let rows: [[f32; 8]; 8] = std::array::from_fn(|i| std::array::from_fn(|j| (10 * i + j) as f32));
    let t = Portable.transpose(rows.map(|r| Portable.from_array(r))).map(|v| Portable.to_array(v));
    for i in 0..8 {
        for j in 0..8 {
            assert_eq!(t[j][i], rows[i][j]);
        }
    }
}

/// What sums of products start from to come to what they would of bytes without signs: each byte that products see with
/// a sign is less by 128.
fn starts<S: Simd, const N: usize>(start: [i32; N], w: &[i8]) -> [i32; N] {
    let weights = |lane: usize| w[4 * lane..][..4].iter().map(|&w| i32::from(w)).sum::<i32>();
    std::array::from_fn(|lane| start[lane] + if S::SIGNED { 128 * weights(lane) } else { 0 })
}

/// A quad that products see as bytes without signs, with [`starts`]; as those with signs, more by 128, where `$turned`.
macro_rules! quad {
    ($p:expr, $turned:literal, $x:expr) => {
        if S::SIGNED == $turned { $p.quad::<false>($x) } else { $p.quad::<true>($x) }
    };
}

/// Every operation on bytes, in plain form.
struct AllBytes([u8; 8], [i8; 32], [i16; 16]);

impl Task for AllBytes {
    type Output = Vec<u64>;
    #[inline(always)]
    fn call<S: Simd>(self, s: S) -> Self::Output {
        let AllBytes(x, w, words) = self;
        let start = [1i32, -2, 3, -4, 5, -6, 7, -8];
        let mut out = vec![];
        macro_rules! put {
            ($v:expr) => {
                out.extend(s.to_array($v).map(|x| u64::from(x.to_bits())))
            };
        }
        // SAFETY: all operands are arrays of the lengths that are read.
        unsafe {
            let sums = s.load_sums(start.as_ptr());
            put!(s.sums_to_f32(sums));
            let large = s.load_sums([i32::MIN, i32::MAX, 1 << 30, -1, 1, 0, -2, 2].as_ptr());
            for sums in [s.add_sums(large, sums), s.sub_sums(sums, large)] {
                let mut stored = [0; 8];
                s.store_sums(stored.as_mut_ptr(), sums);
                out.extend(stored.map(|sum| sum as u64));
            }
            let from = starts::<S, 8>(start, &w);
            let from = s.load_sums(from.as_ptr());
            put!(s.sums_to_f32(s.dot(from, quad!(s, false, x.as_ptr()), w.as_ptr())));
            put!(s.sums_to_f32(s.dot(from, quad!(s, true, x.as_ptr().add(4)), w.as_ptr())));
            // Each tap by itself, of bytes that all differ.
            let apart = std::array::from_fn::<u8, 32, _>(|i| (i * 37) as u8 ^ if S::SIGNED { 0x80 } else { 0 });
            for tap in 0..4 {
                let one: [i8; 32] = std::array::from_fn(|i| i8::from(i % 4 == tap));
                let from = s.load_sums(starts::<S, 8>([0; 8], &one).as_ptr());
                put!(s.sums_to_f32(s.dot_fours(from, s.gather_fours(apart.as_ptr()), one.as_ptr())));
            }
            let fours = w.map(|x| if S::SIGNED { x as u8 ^ 0x80 } else { x as u8 });
            put!(s.sums_to_f32(s.dot_fours(from, s.gather_fours(fours.as_ptr()), w.as_ptr())));
            put!(s.sums_to_f32(s.dot_words(sums, s.quad::<false>(x.as_ptr()), words.as_ptr())));
            for signed in [false, true] {
                let mut larger: [u8; 32] = std::array::from_fn(|i| (i * 37) as u8);
                s.keep_larger(larger.as_mut_ptr(), w.as_ptr().cast(), signed);
                out.extend(larger.map(u64::from));
                let v = s.load_bytes(x.as_ptr(), signed);
                put!(v);
                let scaled = s.mul(v, s.splat(0.5));
                let mut stored = [0i16; 8];
                s.store_words(stored.as_mut_ptr(), v);
                out.extend(stored.map(|w| w as u64));
                out.push(s.to_bytes(scaled, signed));
                for how in [
                    Narrow { zero: 0, lo: -128, hi: 127, signed: true },
                    Narrow { zero: 100, lo: 7, hi: 255, signed: false },
                ] {
                    let large = s.mul(v, s.splat(3000.0));
                    out.extend(s.narrow([scaled, large], how));
                    let mut stored = [0u64; 4];
                    s.store_narrow(stored.as_mut_ptr().cast(), [large, scaled, v, s.sub(large, v)], how);
                    out.extend(stored);
                }
            }
        }
        out
    }
}

/// Holds the operations of `S` on bytes against the portable ones.
fn bytes_agree_with_portable<S: Simd>(name: &str, s: S) {
    let x = [0, 255, 128, 127, 1, 254, 77, 200];
    // Neighbours fit sixteen bits whatever they are multiplied by.
    let w = std::array::from_fn(|i| [127, 1, -128, 0, 64, 64, -64, -64][i % 8]);
    let words = std::array::from_fn(|i| [255, -255, 32767, -32768][i % 4]);
    let all = || AllBytes(x, w, words);
    assert_eq!(s.vectorize(all()), Portable.vectorize(all()), "{name}");
}

#[test]
fn bytes_of_every_token_agree_with_portable_bit_for_bit() {
    on_every_token!(bytes_agree_with_portable);
}

/// Sums of products in two vectors at once, and in one after the other.
struct Sums([i8; 64], [i16; 32]);

impl Task for Sums {
    type Output = [Vec<[u32; 8]>; 2];
    #[inline(always)]
    fn call<S: Simd>(self, s: S) -> Self::Output {
        let (Sums(w, words), p) = (self, s.pair());
        let start: [i32; 16] = std::array::from_fn(|i| i as i32 * 1000 - 9000);
        let from = starts::<S, 16>(start, &w);
        let x = [255, 128, 127, 0, 255, 255];
        let mut found = [vec![], vec![]];
        let bits = |sums: S::I| s.to_array(s.sums_to_f32(sums)).map(f32::to_bits);
        // SAFETY: all operands are arrays of the lengths that are read.
        unsafe {
            for at in 0..3 {
                let x = x.as_ptr().add(at);
                let (q, r, two) = (quad!(p, false, x), quad!(p, true, x), p.quad::<false>(x));
                let sums = p.load_sums(from.as_ptr());
                let words_of = p.load_sums(start.as_ptr());
                let all = [
                    p.dot(sums, q, w.as_ptr()),
                    p.dot(sums, r, w.as_ptr()),
                    p.dot_words(words_of, two, words.as_ptr()),
                ];
                for sums in all {
                    found[0].extend(p.sums(sums).map(bits));
                }
                let halves = [0, 8].map(|at| (s.load_sums(from.as_ptr().add(at)), w.as_ptr().add(4 * at)));
                found[1].extend(halves.map(|(sums, w)| bits(s.dot(sums, p.half(q), w))));
                found[1].extend(halves.map(|(sums, w)| bits(s.dot(sums, quad!(s, true, x), w))));
                for at in [0, 8] {
                    let sums = s.load_sums(start.as_ptr().add(at));
                    found[1].push(bits(s.dot_words(sums, s.quad::<false>(x), words.as_ptr().add(2 * at))));
                }
                for (signed, lo, hi) in [(false, 3, 250), (true, -120, 127)] {
                    let how = Narrow { zero: 9, lo, hi, signed };
                    let four = [all[0], all[1], all[2], words_of];
                    let (mut pairs, mut singles) = ([[0u32; 8]; 2], [[0u32; 8]; 2]);
                    let numbers = four.map(|v| p.mul(p.sums_to_f32(v), p.splat(0.003)));
                    let [a, b] = &mut pairs;
                    p.store_narrow([a.as_mut_ptr().cast(), b.as_mut_ptr().cast()], numbers, how);
                    for (h, to) in singles.iter_mut().enumerate() {
                        let numbers = four.map(|v| s.mul(s.sums_to_f32(p.sums(v)[h]), s.splat(0.003)));
                        s.store_narrow(to.as_mut_ptr().cast(), numbers, how);
                    }
                    found[0].extend(pairs);
                    found[1].extend(singles);
                    let bytes = w.as_ptr().cast::<u8>();
                    let loaded = p.halves(p.load_bytes([bytes.add(8), bytes.add(3)], signed));
                    found[0].extend(loaded.map(|v| s.to_array(v).map(f32::to_bits)));
                    found[1].extend([8, 3].map(|at| s.to_array(s.load_bytes(bytes.add(at), signed)).map(f32::to_bits)));
                }
            }
        }
        found
    }
}

/// Holds sums of `S` against the portable ones: of weights that fit, and of any where the instructions take them.
fn sums_are_exact<S: Simd>(name: &str, s: S) {
    let words = std::array::from_fn(|i| [255, -255, 32767, -32768, 1000][i % 5]);
    let any = [127, 127, 127, 127, -128, -128, -128, -128, 127, -128, -128, 127];
    let fit = [127, 1, 64, 64, -128, 0, -64, -64, 127, -128, -1, -127];
    for (w, exact) in [(fit, true), (any, S::ANY_WEIGHTS)] {
        let w = std::array::from_fn(|i| w[i % w.len()]);
        let [pairs, singles] = s.vectorize(Sums(w, words));
        assert_eq!(pairs, singles, "{name}");
        assert_eq!(pairs == Portable.vectorize(Sums(w, words))[1], exact, "{name}");
    }
}

#[test]
fn sums_of_products_are_exact_where_they_are_said_to_be() {
    on_every_token!(sums_are_exact);
}
