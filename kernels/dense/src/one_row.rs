//! What products of one row with a constant matrix have in common, however the matrix is kept.

use crate::{
    epilogue::{Epilogue, Finish},
    fully_connected::Extent,
};
use paring_kernel::RunCx;

/// The operands of one run.
pub struct OneRow<'a> {
    pub extent: &'a Extent,
    pub epilogue: &'a Epilogue,
    pub x: &'a [f32],
    pub y: *mut f32,
    pub finish: Finish<'a>,
}

// SAFETY: tasks read the input and write disjoint columns of the output.
unsafe impl Sync for OneRow<'_> {}

impl<'a> OneRow<'a> {
    /// Binds the operands of a run.
    ///
    /// # Panics
    /// Where they are shorter than the extent.
    pub fn bind<'x: 'a>(extent: &'a Extent, epilogue: &'a Epilogue, cx: &mut RunCx<'x>) -> OneRow<'a> {
        let x = cx.input::<f32>(0);
        let output = cx.output::<f32>(0);
        let (y, len) = (output.as_mut_ptr(), output.len());
        assert!(x.len() >= extent.depth && len >= extent.columns);
        OneRow { extent, epilogue, x: &x[..extent.depth], y, finish: epilogue.bind(cx, y, len) }
    }
}
