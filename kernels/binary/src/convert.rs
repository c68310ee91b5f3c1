//! Packed signs one by one, the reverse, and as numbers.

use paring_core::{
    DType, Layout, Op,
    signs::{PER_BYTE, pack, unpack},
};
use paring_kernel::{
    Cost, KernelError, Machine, NumericClass, Offer, Operand, Packed, Prepared, Problem, Reject, RunCx,
};
use paring_quant::family::{Family, Target, streaming};
use paring_simd::{LANES, Simd};
use paring_vector::support::{BLOCKED, Planes, split};
use std::sync::Arc;

/// `Identity` of signs from layout to layout, and `DequantizeLinear` of them by one scale.
pub struct Convert;

/// What becomes of signs.
#[derive(Clone, Copy)]
enum Kind {
    /// They lie elsewhere.
    Move,
    /// They are multiplied by this.
    Scale(f32),
}

/// The operand and what becomes of it.
fn kind(p: &Problem) -> Result<(&Operand, Kind), Reject> {
    let (Some(x), Some(y)) = (p.input(0), p.output(0)) else { return Err("an operand is missing".into()) };
    if x.dtype != DType::Sign || x.shape != y.shape || !p.epilogue.is_empty() {
        return Err(format!("only signs as they are, found {}", x.dtype).into());
    }
    match &p.op {
        Op::Identity if y.dtype == DType::Sign => Ok((x, Kind::Move)),
        Op::DequantizeLinear(_) if y.dtype == DType::F32 && p.input(2).is_none() => {
            let scale = p.const_f32s(1).filter(|s| s.len() == 1).ok_or("the scale is not one constant")?;
            Ok((x, Kind::Scale(scale[0])))
        }
        _ => Err("not a conversion of signs".into()),
    }
}

impl Family for Convert {
    fn offers(p: &Problem, _: Target, out: &mut Vec<Offer>) -> Result<(), Reject> {
        let (x, kind) = kind(p)?;
        let moves = [(Layout::Plain, Layout::Signs), (Layout::Signs, Layout::Plain)];
        let numbers = [(Layout::Plain, Layout::Plain), (Layout::Signs, BLOCKED), (Layout::Signs, Layout::Plain)];
        let layouts = match kind {
            Kind::Move => &moves[..],
            Kind::Scale(_) => &numbers[..],
        };
        for &(input, output) in layouts {
            if x.shape.len() < 2 && (input, output) != (Layout::Plain, Layout::Plain) {
                continue;
            }
            let mut inputs = vec![None; p.inputs.len()];
            inputs[0] = Some(input);
            out.push(Offer { inputs, outputs: vec![output], numerics: NumericClass::Exact, ..Offer::plain(p) });
        }
        if out.is_empty() { Err("signs without channels lie in one way only".into()) } else { Ok(()) }
    }

    fn cost(p: &Problem, o: &Offer, target: Target, m: &Machine) -> Cost {
        let each = if o.outputs.first() == Some(&BLOCKED) { 0.2 } else { 0.8 };
        streaming(p, o, target, m, each * p.output(0).map_or(0, Operand::len) as f64)
    }

    fn prepare<S: Simd>(_: S, p: &Problem, o: &Offer, _: Arc<Packed>) -> Result<Box<dyn Prepared>, KernelError> {
        let problem = |r: Reject| KernelError::Problem(r.to_string());
        let (x, kind) = kind(p).map_err(problem)?;
        let planes = Planes::of(&x.shape).unwrap_or(Planes { samples: 1, channels: 1, plane: x.len() });
        let layouts = (o.inputs[0].unwrap_or(Layout::Plain), o.outputs[0]);
        Ok(match (kind, layouts) {
            (Kind::Move, (Layout::Plain, _)) => Box::new(Pack { planes }),
            (Kind::Move, _) => Box::new(Unpack { planes, of: |sign, _| sign as u8, scale: 1.0 }),
            (Kind::Scale(scale), (Layout::Plain, _)) => Box::new(Numbers { scale }),
            (Kind::Scale(scale), (_, Layout::Plain)) => {
                Box::new(Unpack { planes, of: |sign, scale| f32::from(sign) * scale, scale })
            }
            (Kind::Scale(scale), _) => Box::new(Blocks { planes, scale }),
        })
    }
}

/// Signs one by one become packed ones.
struct Pack {
    planes: Planes,
}

impl Prepared for Pack {
    fn run(&self, cx: &mut RunCx<'_>) -> Result<(), KernelError> {
        let (x, parallel, Planes { samples, channels, plane }) = (cx.input::<i8>(0), cx.parallel(), self.planes);
        let row = 2 * self.planes.blocks();
        let y = cx.shared_output::<u8>(0);
        split(parallel, samples * plane, x.len() + y.len(), &|pixels, _| {
            for pixel in pixels {
                // SAFETY: every pixel is one task's.
                let to = unsafe { y.slice(pixel * row, row) };
                let first = pixel / plane * channels * plane + pixel % plane;
                for (four, to) in to.iter_mut().enumerate() {
                    let at = |i: usize| {
                        let channel = four * PER_BYTE + i;
                        if channel < channels { x[first + channel * plane] } else { 0 }
                    };
                    *to = pack([at(0), at(1), at(2), at(3)]);
                }
            }
        });
        Ok(())
    }
}

/// Packed signs become elements one by one, each `of` a sign and the scale.
struct Unpack<T> {
    planes: Planes,
    of: fn(i8, f32) -> T,
    scale: f32,
}

impl<T: bytemuck::Pod + Send + Sync> Prepared for Unpack<T> {
    fn run(&self, cx: &mut RunCx<'_>) -> Result<(), KernelError> {
        let (x, parallel, Planes { samples, channels, plane }) = (cx.input::<u8>(0), cx.parallel(), self.planes);
        let row = 2 * self.planes.blocks();
        let y = cx.shared_output::<T>(0);
        split(parallel, samples * channels, x.len() + y.len() * size_of::<T>(), &|units, _| {
            for unit in units {
                let (sample, channel) = (unit / channels, unit % channels);
                // SAFETY: every channel of a sample is one task's.
                let to = unsafe { y.slice(unit * plane, plane) };
                let bytes = &x[sample * plane * row..][..plane * row];
                for (to, pixel) in to.iter_mut().zip(bytes.chunks_exact(row)) {
                    *to = (self.of)(unpack(pixel[channel / PER_BYTE])[channel % PER_BYTE], self.scale);
                }
            }
        });
        Ok(())
    }
}

/// Signs one by one become numbers.
struct Numbers {
    scale: f32,
}

impl Prepared for Numbers {
    fn run(&self, cx: &mut RunCx<'_>) -> Result<(), KernelError> {
        let (x, parallel) = (cx.input::<i8>(0), cx.parallel());
        let y = cx.shared_output::<f32>(0);
        split(parallel, x.len(), x.len() * 5, &|range, _| {
            // SAFETY: every element is one task's.
            let to = unsafe { y.slice(range.start, range.len()) };
            for (to, &sign) in to.iter_mut().zip(&x[range]) {
                *to = f32::from(sign) * self.scale;
            }
        });
        Ok(())
    }
}

/// Packed signs become numbers in blocks of eight channels.
struct Blocks {
    planes: Planes,
    scale: f32,
}

impl Prepared for Blocks {
    fn run(&self, cx: &mut RunCx<'_>) -> Result<(), KernelError> {
        let (x, parallel, Planes { samples, plane, .. }) = (cx.input::<u8>(0), cx.parallel(), self.planes);
        let (blocks, row) = (self.planes.blocks(), 2 * self.planes.blocks());
        let y = cx.shared_output::<f32>(0);
        split(parallel, samples * blocks, x.len() + 4 * y.len(), &|units, _| {
            for unit in units {
                let (sample, block) = (unit / blocks, unit % blocks);
                // SAFETY: every block is one task's.
                let to = unsafe { y.slice(unit * plane * LANES, plane * LANES) };
                let bytes = &x[sample * plane * row..][..plane * row];
                for (to, pixel) in to.chunks_exact_mut(LANES).zip(bytes.chunks_exact(row)) {
                    let signs = [unpack(pixel[2 * block]), unpack(pixel[2 * block + 1])];
                    for (to, &sign) in to.iter_mut().zip(signs.as_flattened()) {
                        *to = f32::from(sign) * self.scale;
                    }
                }
            }
        });
        Ok(())
    }
}
