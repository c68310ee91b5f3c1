//! What this machine does at best: what profiles are held against, and what estimates reckon with.

mod caches;
mod calibration;
mod peaks;
mod rates;

pub use calibration::Calibration;
pub use peaks::Peaks;
