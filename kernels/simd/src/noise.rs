//! What tests multiply: numbers that look like any, the same each time.

// Each architecture's tests use some of it.
#![allow(dead_code)]

/// The next bits, of which the upper ones are the better (the generator of *Numerical Recipes*, section 7.1).
fn bits() -> impl FnMut() -> u32 {
    let mut seed = 1u32;
    move || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        seed
    }
}

/// Any byte.
pub fn bytes() -> impl FnMut() -> u8 {
    let mut bits = bits();
    move || (bits() >> 24) as u8
}

/// Numbers from -1 to 1.
pub fn numbers() -> impl FnMut() -> f32 {
    let mut bits = bits();
    move || (bits() >> 8) as f32 / (1 << 23) as f32 - 1.0
}
