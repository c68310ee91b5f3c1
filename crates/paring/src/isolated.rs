//! One kernel alone.

use crate::{Error, ErrorKind, Result, error::at_node};
use paring_core::{AlignedBuf, DType};
use paring_kernel::{Kernel, Offer, Operand, Prepared, Problem, RawOperand, RunCx, Serial};
use std::sync::Arc;

/// Weights that come back into the caches soon.
const SMALL_WEIGHTS: usize = 1 << 20;
/// Bytes of weights in turn, as far as so many copies go.
const WEIGHTS_IN_TURN: usize = 32 << 20;
const MOST_COPIES: usize = 6;

/// A kernel with operands of its own, to be measured by itself on the calling thread.
///
/// Large weights are there several times and take turns, as in a network, where other layers drive a layer's weights
/// out of the caches between its runs.
pub struct Isolated {
    name: (String, &'static str),
    prepared: Vec<Box<dyn Prepared>>,
    turn: usize,
    inputs: Vec<Option<AlignedBuf>>,
    outputs: Vec<Option<AlignedBuf>>,
    shared: AlignedBuf,
    own: AlignedBuf,
}

impl Isolated {
    /// `kernel`, bound to `p` as it offered.
    ///
    /// # Errors
    /// Of kind [`ErrorKind::Memory`] or [`ErrorKind::Limit`] where memory is short, or as the kernel fails.
    pub fn new(kernel: &dyn Kernel, p: &Problem, offer: &Offer) -> Result<Isolated> {
        let failed = |e| at_node(&p.name, p.op.name(), e);
        let packed = kernel.pack(p, offer).map_err(failed)?;
        let bytes = packed.data.as_slice().len();
        let copies = if bytes < SMALL_WEIGHTS { 1 } else { (WEIGHTS_IN_TURN / bytes).clamp(1, MOST_COPIES) };
        let mut prepared = Vec::new();
        for _ in 1..copies {
            let copy = AlignedBuf::from_bytes(packed.data.as_slice())?.into();
            prepared.push(kernel.prepare(p, offer, Arc::new(copy)).map_err(failed)?);
        }
        prepared.push(kernel.prepare(p, offer, Arc::new(packed)).map_err(failed)?);
        let too_large = || Error::new(ErrorKind::Limit, format!("node '{}': an operand is too large", p.name));
        let buffer = |o: &Operand, layout| -> Result<AlignedBuf> {
            Ok(AlignedBuf::zeroed(o.bytes(layout).ok_or_else(too_large)?)?)
        };
        let mut inputs = Vec::new();
        for (x, layout) in p.inputs.iter().zip(&offer.inputs) {
            inputs.push(match (x, layout) {
                (Some(x), Some(layout)) => Some(fill(x, buffer(x, *layout)?)),
                _ => None,
            });
        }
        let mut outputs = Vec::new();
        for (y, &layout) in p.outputs.iter().zip(&offer.outputs) {
            outputs.push(y.as_ref().map(|y| buffer(y, layout)).transpose()?);
        }
        let shared = AlignedBuf::zeroed(offer.scratch.shared)?;
        let own = AlignedBuf::zeroed(offer.scratch.per_worker)?;
        Ok(Isolated { name: (p.name.clone(), p.op.name()), prepared, turn: 0, inputs, outputs, shared, own })
    }

    /// Runs once.
    ///
    /// # Errors
    /// As the kernel fails.
    pub fn run(&mut self) -> Result<()> {
        let inputs: Vec<_> = self.inputs.iter_mut().map(|b| b.as_mut().map(raw)).collect();
        let outputs: Vec<_> = self.outputs.iter_mut().map(|b| b.as_mut().map(raw)).collect();
        let (shared, own) = (raw(&mut self.shared), raw(&mut self.own));
        self.turn = (self.turn + 1) % self.prepared.len();
        // SAFETY: every operand is a buffer of its own, borrowed for the run, initialised, aligned to a cache line and
        // of the length that the offer's layout asks for; there is one worker, whose scratch is all of `own`.
        let mut cx = unsafe { RunCx::new(&inputs, &outputs, None, shared, own, own.len, &Serial) };
        self.prepared[self.turn].run(&mut cx).map_err(|e| at_node(&self.name.0, self.name.1, e))
    }
}

fn raw(b: &mut AlignedBuf) -> RawOperand {
    RawOperand { len: b.as_slice().len(), ptr: b.as_mut_ptr() }
}

/// The constant itself where it is read as it lies; else small numbers, as zeros and subnormals have speeds of their own.
fn fill(x: &Operand, mut buffer: AlignedBuf) -> AlignedBuf {
    let bytes = buffer.as_mut_slice();
    match &x.constant {
        Some(t) if t.bytes().len() == bytes.len() => bytes.copy_from_slice(t.bytes()),
        _ if x.dtype == DType::F32 => {
            let elements: &mut [f32] = bytemuck::cast_slice_mut(bytes);
            elements.iter_mut().enumerate().for_each(|(i, v)| *v = (i * 31 % 17) as f32 / 17.0);
        }
        _ => {}
    }
    buffer
}
