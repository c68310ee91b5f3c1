//! Tokens of instruction sets that extend another.

/// Expands to functions of vectors that the token within has already.
macro_rules! delegate {
    ($($name:ident($($arg:ident),*);)*) => {$(
        #[inline(always)]
        fn $name(self, $($arg: __m256),*) -> __m256 {
            self.0.$name($($arg),*)
        }
    )*};
}
pub(crate) use delegate;

/// Implements `Lanes`, `Bytes`, `Lookup` and `Simd` for a token that holds another, of vectors of eight in registers of 256 bits:
/// what is not given here is as there. Compiled within `enter`, the same operations have the new registers.
macro_rules! extend {
    ($token:ident: bytes { $($bytes:tt)* } simd { $($simd:tt)* }) => {
        impl Lanes for $token {
            type V = __m256;

            #[inline(always)]
            fn splat(self, x: f32) -> __m256 {
                self.0.splat(x)
            }
            $crate::operations!(delegate);
        }

        impl Bytes for $token {
            type I = __m256i;
            type Quad = __m256i;
            type Fours = __m256i;

            $($bytes)*

            #[inline(always)]
            unsafe fn load_sums(self, p: *const i32) -> __m256i {
                // SAFETY: the caller's promise.
                unsafe { self.0.load_sums(p) }
            }
            #[inline(always)]
            unsafe fn quad<const TURNED: bool>(self, p: *const u8) -> __m256i {
                // SAFETY: the caller's promise.
                unsafe { self.0.quad::<TURNED>(p) }
            }
            #[inline(always)]
            unsafe fn gather_fours(self, p: *const u8) -> __m256i {
                // SAFETY: the caller's promise.
                unsafe { self.0.gather_fours(p) }
            }
            #[inline(always)]
            unsafe fn dot_fours(self, sums: __m256i, x: __m256i, w: *const i8) -> __m256i {
                // SAFETY: the caller's promise.
                unsafe { self.dot(sums, x, w) }
            }
            #[inline(always)]
            unsafe fn keep_larger(self, to: *mut u8, from: *const u8, signed: bool) {
                // SAFETY: the caller's promise.
                unsafe { self.0.keep_larger(to, from, signed) }
            }
            #[inline(always)]
            unsafe fn store_narrow(self, p: *mut u8, v: [__m256; 4], how: $crate::bytes::Narrow) {
                // SAFETY: the caller's promise.
                unsafe { self.0.store_narrow(p, v, how) }
            }
            #[inline(always)]
            unsafe fn store_words(self, p: *mut i16, v: __m256) {
                // SAFETY: the caller's promise.
                unsafe { self.0.store_words(p, v) }
            }
            #[inline(always)]
            fn add_sums(self, a: __m256i, b: __m256i) -> __m256i {
                self.0.add_sums(a, b)
            }
            #[inline(always)]
            fn sub_sums(self, a: __m256i, b: __m256i) -> __m256i {
                self.0.sub_sums(a, b)
            }
            #[inline(always)]
            unsafe fn store_sums(self, p: *mut i32, sums: __m256i) {
                // SAFETY: the caller's promise.
                unsafe { self.0.store_sums(p, sums) }
            }
            #[inline(always)]
            fn sums_to_f32(self, sums: __m256i) -> __m256 {
                self.0.sums_to_f32(sums)
            }
            #[inline(always)]
            unsafe fn load_bytes(self, p: *const u8, signed: bool) -> __m256 {
                // SAFETY: the caller's promise.
                unsafe { self.0.load_bytes(p, signed) }
            }
            #[inline(always)]
            fn narrow(self, v: [__m256; 2], how: $crate::bytes::Narrow) -> [u64; 2] {
                self.0.narrow(v, how)
            }
            #[inline(always)]
            fn to_bytes(self, v: __m256, signed: bool) -> u64 {
                self.0.to_bytes(v, signed)
            }
        }

        impl $crate::Lookup for $token {
            type B = __m256i;

            #[inline(always)]
            fn no_bytes(self) -> __m256i {
                self.0.no_bytes()
            }
            #[inline(always)]
            unsafe fn table(self, p: *const u8) -> __m256i {
                // SAFETY: the caller's promise.
                unsafe { self.0.table(p) }
            }
            #[inline(always)]
            unsafe fn nibbles<const UPPER: bool>(self, p: *const u8) -> __m256i {
                // SAFETY: the caller's promise.
                unsafe { self.0.nibbles::<UPPER>(p) }
            }
            #[inline(always)]
            fn look_up(self, table: __m256i, index: __m256i) -> __m256i {
                self.0.look_up(table, index)
            }
            #[inline(always)]
            fn assemble(self, planes: [__m256i; 4]) -> [__m256; 4] {
                self.0.assemble(planes)
            }
            #[inline(always)]
            fn add_bytes(self, a: __m256i, b: __m256i) -> __m256i {
                self.0.add_bytes(a, b)
            }
            #[inline(always)]
            unsafe fn add_to_words(self, p: *mut u16, bytes: __m256i) {
                // SAFETY: the caller's promise.
                unsafe { self.0.add_to_words(p, bytes) }
            }
            #[inline(always)]
            unsafe fn words_to_f32(self, p: *const u16, less: u16) -> __m256 {
                // SAFETY: the caller's promise.
                unsafe { self.0.words_to_f32(p, less) }
            }
            #[inline(always)]
            fn fours(self, v: [__m256; 4]) -> [u8; 8] {
                self.0.fours(v)
            }
        }

        impl Simd for $token {
            $($simd)*

            #[inline(always)]
            fn vectorize<T: Task>(self, task: T) -> T::Output {
                // SAFETY: the token proves the instructions.
                unsafe { self.enter(task) }
            }
            #[inline(always)]
            unsafe fn load(self, p: *const f32) -> __m256 {
                // SAFETY: the caller's promise.
                unsafe { self.0.load(p) }
            }
            #[inline(always)]
            unsafe fn load_halves(self, p: *const u16) -> __m256 {
                // SAFETY: the caller's promise.
                unsafe { self.0.load_halves(p) }
            }
            #[inline(always)]
            unsafe fn store(self, p: *mut f32, v: __m256) {
                // SAFETY: the caller's promise.
                unsafe { self.0.store(p, v) }
            }
            #[inline(always)]
            unsafe fn broadcast(self, p: *const f32) -> __m256 {
                // SAFETY: the caller's promise.
                unsafe { self.0.broadcast(p) }
            }
            #[inline(always)]
            fn to_array(self, v: __m256) -> [f32; 8] {
                self.0.to_array(v)
            }
            #[inline(always)]
            fn from_array(self, a: [f32; 8]) -> __m256 {
                self.0.from_array(a)
            }
            #[inline(always)]
            fn transpose(self, rows: [__m256; 8]) -> [__m256; 8] {
                self.0.transpose(rows)
            }
        }
    };
}
pub(crate) use extend;
