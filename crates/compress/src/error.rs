//! What can go wrong.

use thiserror::Error;

/// Why a network could not be made smaller.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// The model cannot be opened or run.
    #[error(transparent)]
    Model(#[from] paring::Error),
    /// The model is of an operator set without scales per output channel.
    #[error(
        "the model uses operator set {0}; scales per output channel came with 13: convert the model or export it again"
    )]
    Opset(i64),
    /// The model has quantised values already.
    #[error("the model is quantised already: node '{0}' converts to or from integers")]
    AlreadyQuantised(String),
    /// The model has no layer that could be quantised.
    #[error("there is nothing to quantise: no convolution, Gemm or MatMul has constant f32 weights")]
    Nothing,
    /// No weights can be stored in sixteen bits.
    #[error("there is nothing to store in sixteen bits: {0}")]
    NothingToHalve(String),
    /// No weights can be stored in fewer bits.
    #[error("there is nothing to store in fewer bits: {0}")]
    NothingToCode(String),
    /// A pattern for names of layers fits none.
    #[error("no layer with weights is called '{pattern}'; there are {names}")]
    NoSuchLayer {
        /// The pattern.
        pattern: String,
        /// Names that there are, or some of them.
        names: String,
    },
    /// The calibration data does not serve.
    #[error("calibration data: {0}")]
    Data(String),
    /// The bound on the error cannot be kept.
    #[error("the bound does not hold with even a single layer quantised")]
    Bound,
    /// What was asked for cannot be.
    #[error("{0}")]
    Options(String),
}

/// Shorthand.
pub type Result<T, E = Error> = std::result::Result<T, E>;
