//! Inputs of a run: files, pictures, random numbers.

use super::{data_limit, find_input, input_shapes, names};
use crate::args::{InputArgs, ModelArgs, split_input};
use crate::data::{self, Kind, image};
use crate::exit::{Failure, Result};
use crate::output::Console;
use crate::rng::Rng;
use half::{bf16, f16};
use paring::{DType, DimInfo, IoInfo, Model, Session, Tensor};
use std::path::Path;

/// A tensor for every input of the model, in its order. Inputs without a file are random where `--random` or
/// `random` allows it.
pub fn gather(
    model: &Model,
    args: &InputArgs,
    shapes: &ModelArgs,
    random: bool,
    console: &Console,
) -> Result<Vec<Tensor>> {
    let inputs = model.inputs();
    let mut tensors: Vec<Option<Tensor>> = vec![None; inputs.len()];
    for text in &args.inputs {
        let (name, path) = split_input(text);
        let named = name.map(|n| find_input(inputs, n)).transpose()?;
        for (place, tensor) in read(inputs, named, path, args, data_limit(shapes))? {
            let tensor = convert(tensor, &inputs[place], path, console)?;
            if tensors[place].replace(tensor).is_some() {
                return Err(Failure::usage(format!("input `{}` is given twice", inputs[place].name)));
            }
        }
    }
    if tensors.iter().all(Option::is_some) {
        return Ok(tensors.into_iter().flatten().collect());
    }
    if !random && !args.random {
        let missing: Vec<_> =
            inputs.iter().zip(&tensors).filter(|(_, t)| t.is_none()).map(|(i, _)| format!("`{}`", i.name)).collect();
        return Err(Failure::usage(format!("no data for {}: give --input NAME=FILE, or --random", missing.join(", "))));
    }
    let shapes = random_shapes(model, &tensors, shapes)?;
    let fill = |(place, tensor): (usize, Option<Tensor>)| match tensor {
        Some(t) => Ok(t),
        None => random_tensor(inputs[place].dtype, &shapes[place], &mut Rng::new(args.seed, place as u64)),
    };
    tensors.into_iter().enumerate().map(fill).collect()
}

/// Shapes for the inputs that have no data; dimensions they share with inputs that do take their size.
fn random_shapes(model: &Model, given: &[Option<Tensor>], args: &ModelArgs) -> Result<Vec<Vec<usize>>> {
    let mut args = args.clone();
    for (info, tensor) in model.inputs().iter().zip(given) {
        let Some(tensor) = tensor else { continue };
        for (dim, &size) in info.dims.iter().flatten().zip(tensor.shape()) {
            if let DimInfo::Symbol(s) = dim {
                args.sets.insert(0, (s.clone(), size));
            }
        }
        let shape = crate::args::ShapeArg { name: Some(info.name.clone()), dims: tensor.shape().to_vec() };
        args.shapes.push(shape);
    }
    input_shapes(model, &args)
}

/// The tensors of one `--input`, with the inputs they are for.
fn read(
    inputs: &[IoInfo],
    named: Option<usize>,
    path: &Path,
    args: &InputArgs,
    limit: usize,
) -> Result<Vec<(usize, Tensor)>> {
    let kind = Kind::of(path)?;
    if kind == Kind::Npz && named.is_none() {
        let arrays = data::read_arrays(path, limit)?;
        if let ([_], [_]) = (inputs, &arrays[..]) {
            return Ok(arrays.into_iter().map(|(_, t)| (0, t)).collect());
        }
        return arrays.into_iter().map(|(n, t)| Ok((find_input(inputs, &n.unwrap_or_default())?, t))).collect();
    }
    let place = match named {
        Some(place) => place,
        None if inputs.len() == 1 => 0,
        None => {
            return Err(Failure::usage(format!("which input is {} for? Inputs are {}", path.display(), names(inputs))));
        }
    };
    let info = &inputs[place];
    let tensor = match kind {
        Kind::Image => image::read(path, target(info, args)?, &args.image, limit)?,
        _ => data::read_array(path, Some(&info.name), limit)?,
    };
    Ok(vec![(place, tensor)])
}

fn target(info: &IoInfo, args: &InputArgs) -> Result<image::Target> {
    let size = |d: &DimInfo| if let DimInfo::Known(n) = d { Some(*n) } else { None };
    let dims: Vec<_> = info.dims.as_ref().map_or(vec![None; 4], |all| all.iter().map(size).collect());
    image::Target::of(info.dtype, &dims, args.image.layout).map_err(|f| f.within(format!("input `{}`", info.name)))
}

/// Floats become the floats that the input takes, with a warning; other types must match.
fn convert(tensor: Tensor, info: &IoInfo, path: &Path, console: &Console) -> Result<Tensor> {
    let (have, want) = (tensor.dtype(), info.dtype);
    if have == want {
        return Ok(tensor);
    }
    if !(have.is_float() && want.is_float()) {
        return Err(Failure::usage(format!(
            "{}: holds {have}, but input `{}` takes {want}",
            path.display(),
            info.name
        )));
    }
    console.warn(&format!("{}: holds {have}, input `{}` takes {want}: converted", path.display(), info.name));
    floats(want, tensor.shape(), &tensor.to_f64s().unwrap_or_default())
}

/// A tensor of a floating-point type.
fn floats(dtype: DType, shape: &[usize], x: &[f64]) -> Result<Tensor> {
    let tensor = match dtype {
        DType::F16 => Tensor::new(shape, &x.iter().map(|&x| f16::from_f64(x)).collect::<Vec<_>>()),
        DType::BF16 => Tensor::new(shape, &x.iter().map(|&x| bf16::from_f64(x)).collect::<Vec<_>>()),
        DType::F64 => Tensor::new(shape, x),
        _ => Tensor::new(shape, &x.iter().map(|&x| x as f32).collect::<Vec<_>>()),
    };
    tensor.map_err(Failure::said)
}

/// Normal floats, whole bytes, 0 and 1 in wider integers (valid as an index, a mask or a kind of token), booleans.
pub fn random_tensor(dtype: DType, shape: &[usize], rng: &mut Rng) -> Result<Tensor> {
    let elements = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
    let elements = elements.filter(|&n| dtype.bytes(n).is_some_and(|b| b <= data::DEFAULT_LIMIT));
    let n = elements.ok_or_else(|| Failure::limit(format!("an input of shape {shape:?} is too large")))?;
    if dtype.is_float() {
        return floats(dtype, shape, &(0..n).map(|_| rng.normal()).collect::<Vec<_>>());
    }
    let mut whole = |mask: u64| (0..n).map(|_| rng.next_u64() >> 32 & mask).collect::<Vec<_>>();
    let tensor = match dtype {
        DType::Bool => Tensor::from_bools(shape, &whole(1).iter().map(|&x| x != 0).collect::<Vec<_>>()),
        DType::U8 => Tensor::new(shape, &whole(255).iter().map(|&x| x as u8).collect::<Vec<_>>()),
        DType::I8 => Tensor::new(shape, &whole(255).iter().map(|&x| x as u8 as i8).collect::<Vec<_>>()),
        DType::I16 => Tensor::new(shape, &whole(1).iter().map(|&x| x as i16).collect::<Vec<_>>()),
        DType::U16 => Tensor::new(shape, &whole(1).iter().map(|&x| x as u16).collect::<Vec<_>>()),
        DType::I32 => Tensor::new(shape, &whole(1).iter().map(|&x| x as i32).collect::<Vec<_>>()),
        DType::U32 => Tensor::new(shape, &whole(1).iter().map(|&x| x as u32).collect::<Vec<_>>()),
        DType::I64 => Tensor::new(shape, &whole(1).iter().map(|&x| x as i64).collect::<Vec<_>>()),
        DType::U64 => Tensor::new(shape, &whole(1)),
        other => return Err(Failure::usage(format!("no random numbers for inputs of type {other}"))),
    };
    tensor.map_err(Failure::said)
}

/// Hands every input its tensor.
pub fn set(session: &mut Session, tensors: &[Tensor]) -> Result<()> {
    for (place, tensor) in tensors.iter().enumerate() {
        session.set_input(place, tensor)?;
    }
    Ok(())
}

/// Every output of the last run, with its name.
pub fn outputs(session: &Session) -> Result<Vec<(String, Tensor)>> {
    let names: Vec<String> = session.outputs().iter().map(|o| o.name.clone()).collect();
    names.into_iter().enumerate().map(|(i, name)| Ok((name, session.output_tensor(i)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_tensors_of_every_type_repeat() {
        for dtype in DType::ALL.into_iter().filter(|&d| d != DType::Sign) {
            let tensor = |seed| random_tensor(dtype, &[5, 20], &mut Rng::new(seed, 0)).expect("a tensor");
            assert_eq!((tensor(1).dtype(), tensor(1).shape()), (dtype, &[5, 20][..]));
            assert_eq!(tensor(1), tensor(1));
            assert_ne!(tensor(1), tensor(2), "{dtype}");
        }
    }

    #[test]
    fn impossible_sizes_are_refused() {
        for shape in [&[usize::MAX, 2][..], &[1 << 40], &[1 << 20, 1 << 20]] {
            assert!(random_tensor(DType::F32, shape, &mut Rng::new(0, 0)).is_err());
        }
    }
}
