//! Running the network on calibration data, and what its values look like meanwhile.

use crate::{Batch, Error, Progress, Result, Samples, net::Net, range::Histogram};
use paring::{DType, IoInfo, Model, Options, Session, Tensor};
use std::collections::HashMap;

/// Everything seen of one value.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub histogram: Histogram,
    /// Means along the axis of the channels, where they were asked for.
    pub means: Option<Means>,
}

/// Sums of each channel.
#[derive(Clone, Debug)]
pub struct Means {
    /// The channels' axis; `None` for the last.
    axis: Option<usize>,
    sums: Vec<f64>,
    count: f64,
}

impl Means {
    pub fn along(axis: Option<usize>) -> Means {
        Means { axis, sums: Vec::new(), count: 0.0 }
    }

    fn add(&mut self, values: &[f32], shape: &[usize]) {
        let axis = self.axis.unwrap_or(shape.len().saturating_sub(1));
        let Some(&channels) = shape.get(axis) else { return };
        self.sums.resize(channels, 0.0);
        let plane = shape[axis + 1..].iter().product::<usize>().max(1);
        for (i, part) in values.chunks_exact(plane).enumerate() {
            self.sums[i % channels] += part.iter().map(|&v| f64::from(v)).sum::<f64>();
        }
        self.count += values.len() as f64 / channels.max(1) as f64;
    }

    /// The mean of each channel.
    pub fn get(&self) -> Vec<f64> {
        self.sums.iter().map(|s| s / self.count.max(1.0)).collect()
    }
}

/// Opens the network with `values` as outputs beside its own.
pub fn session(net: &Net, values: &[String], options: &Options) -> Result<Session> {
    let model = Model::from_vec(net.showing(values.iter().map(String::as_str)))?;
    Ok(model.session(options)?)
}

/// One batch, checked against the model's inputs.
pub fn batch(samples: &dyn Samples, i: usize, inputs: &[IoInfo]) -> Result<Batch> {
    let batch = samples.batch(i).map_err(Error::Data)?;
    if batch.inputs.len() != inputs.len() {
        let message = format!("{} tensors, but the model has {} inputs", batch.inputs.len(), inputs.len());
        return Err(Error::Data(message));
    }
    for (tensor, info) in batch.inputs.iter().zip(inputs) {
        if tensor.dtype() != info.dtype {
            let message = format!("holds {}, but input '{}' takes {}", tensor.dtype(), info.name, info.dtype);
            return Err(Error::Data(message));
        }
        if let Some(values) = floats(tensor)
            && let Some(at) = values.iter().position(|v| !v.is_finite())
        {
            let each = values.len() / batch.samples.max(1);
            let message = format!("{} in batch {i}, sample {}, at element {}", values[at], at / each, at % each);
            return Err(Error::Data(message));
        }
    }
    Ok(batch)
}

fn floats(tensor: &Tensor) -> Option<std::borrow::Cow<'_, [f32]>> {
    tensor.elements::<f32>()
}

/// Hands over a batch and runs; what the model does not take is the data's fault.
pub fn run(session: &mut Session, batch: &Batch) -> Result<()> {
    for (i, tensor) in batch.inputs.iter().enumerate() {
        session.set_input(i, tensor).map_err(|e| Error::Data(e.to_string()))?;
    }
    Ok(session.run()?)
}

/// Runs all samples and looks at `values`, at the means of those with an axis too. The number of samples comes along.
pub fn observe(
    net: &Net,
    values: &[String],
    axes: &HashMap<String, Option<usize>>,
    samples: &dyn Samples,
    options: &Options,
    progress: &mut dyn FnMut(Progress),
) -> Result<(HashMap<String, Seen>, usize)> {
    let mut session = session(net, values, options)?;
    let means = |name: &String| axes.get(name).map(|&axis| Means::along(axis));
    let mut seen: Vec<Seen> = values.iter().map(|name| Seen { means: means(name), ..Seen::default() }).collect();
    let inputs: Vec<IoInfo> = session.inputs().to_vec();
    let mut count = 0;
    for i in 0..samples.batches() {
        let batch = batch(samples, i, &inputs)?;
        run(&mut session, &batch)?;
        count += batch.samples;
        for (name, seen) in values.iter().zip(&mut seen) {
            let tensor = match inputs.iter().position(|input| input.name == *name) {
                Some(place) => batch.inputs[place].clone(),
                None => session.output_tensor(name.as_str())?,
            };
            let Some(x) = floats(&tensor).filter(|_| tensor.dtype() == DType::F32) else {
                return Err(Error::Options(format!("'{name}' holds {}; only f32 can be quantised", tensor.dtype())));
            };
            if let Some(v) = x.iter().find(|v| !v.is_finite()) {
                return Err(Error::Data(format!("the model makes {v} of batch {i}, in '{name}'")));
            }
            seen.histogram.add(&x);
            if let Some(means) = &mut seen.means {
                means.add(&x, tensor.shape());
            }
        }
        progress(Progress { step: "calibrating", done: i + 1, of: samples.batches() });
    }
    Ok((values.iter().cloned().zip(seen).collect(), count))
}
