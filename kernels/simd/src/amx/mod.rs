//! AMX: products of tiles, sixteen rows by sixteen columns and 64 bytes of terms in one instruction: bytes, or numbers of sixteen
//! bits, of which two or three make one of 32.
//!
//! The compiler knows nothing of these registers, so what uses them is written in their own words: a whole product, from where
//! its sums start to where they are stored.

#[macro_use]
mod product;
mod bytes;
mod split;

pub use bytes::TileProduct;
pub use split::{EIGHTS, Pieces, SPLIT_TERMS, SplitProduct};

use crate::{Avx512Vnni, Simd};
use core::{
    arch::{asm, x86_64::__cpuid_count},
    marker::PhantomData,
};
use std::sync::OnceLock;

/// Rows of a tile of inputs, and of a tile of weights.
pub const TILE_ROWS: usize = 16;
/// Bytes of a row of a tile: terms of a row of inputs, four for each of sixteen columns in a row of weights.
pub const ROW_BYTES: usize = 64;
/// Rows of inputs, and columns of sums, that [`Tiles::multiply`] takes at most.
pub const GROUP: usize = 2 * TILE_ROWS;
/// Bytes from the inputs of one step to those of the next, where they are bytes.
pub const STEP_BYTES: usize = GROUP * ROW_BYTES;

/// Proof that this machine has AMX for bytes and halves, and that the system lets this process use it.
#[derive(Clone, Copy, Debug)]
pub struct Amx(());

impl Amx {
    /// The token, if this machine has it. Asks the system for the registers at the first call: Linux gives them to those
    /// processes alone that ask, as they make the frames of signals larger.
    pub fn detect() -> Option<Amx> {
        static FOUND: OnceLock<bool> = OnceLock::new();
        FOUND.get_or_init(|| is_there() && is_permitted()).then_some(Amx(()))
    }

    /// Readies the tiles of this thread until what is returned is dropped.
    pub fn tiles(self) -> Tiles {
        /// Palette 1, then rows and bytes of a row of eight tiles.
        #[repr(align(64))]
        struct Config([u8; 64]);
        static CONFIG: Config = {
            let mut bytes = [0; 64];
            bytes[0] = 1;
            let mut tile = 0;
            while tile < 8 {
                bytes[16 + 2 * tile] = ROW_BYTES as u8;
                bytes[48 + tile] = TILE_ROWS as u8;
                tile += 1;
            }
            Config(bytes)
        };
        // SAFETY: the token proves the instruction; the configuration is one of its palette.
        unsafe { asm!("ldtilecfg [{}]", in(reg) CONFIG.0.as_ptr(), options(nostack, readonly)) };
        Tiles(PhantomData)
    }
}

/// Whether the processor has tiles of bytes and halves, and the system saves them: whether it lets this process use them is another matter.
pub fn is_there() -> bool {
    /// CPUID function 7: AMX-BF16, AMX-TILE and AMX-INT8.
    const TILES: u32 = 1 << 22 | 1 << 24 | 1 << 25;
    /// XCR0: configuration and data of tiles.
    const STATE: u32 = 1 << 17 | 1 << 18;
    cfg!(target_pointer_width = "64")
        && Avx512Vnni::detect().is_some()
        && __cpuid_count(7, 0).edx & TILES == TILES
        && enabled_state() & STATE == STATE
}

/// What the system saves of the processor's state when it switches threads: XCR0.
fn enabled_state() -> u32 {
    let low: u32;
    // SAFETY: whoever has AVX-512 has this instruction and may use it.
    unsafe { asm!("xgetbv", in("ecx") 0, out("eax") low, out("edx") _, options(nomem, nostack)) };
    low
}

/// Asks for the data of tiles.
#[cfg(target_os = "linux")]
fn is_permitted() -> bool {
    const ARCH_PRCTL: usize = 158;
    const ARCH_REQ_XCOMP_PERM: usize = 0x1023;
    const TILE_DATA: usize = 18;
    let mut result = ARCH_PRCTL;
    // SAFETY: the call reads nothing but its arguments, and changes what this process may use.
    unsafe {
        asm!("syscall", inout("rax") result, in("rdi") ARCH_REQ_XCOMP_PERM, in("rsi") TILE_DATA,
            out("rcx") _, out("r11") _, options(nostack));
    }
    result == 0
}

/// Asks for the data of tiles: nothing is known of how to here.
#[cfg(not(target_os = "linux"))]
fn is_permitted() -> bool {
    false
}

/// The tiles of this thread, ready for use.
pub struct Tiles(PhantomData<*mut ()>);

impl Drop for Tiles {
    fn drop(&mut self) {
        // SAFETY: there are tiles, as they were readied. They are of no use to anyone else, and cost time to save.
        unsafe { asm!("tilerelease", options(nomem, nostack)) };
    }
}
