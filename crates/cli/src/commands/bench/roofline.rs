//! How long each layer took, and how long it had to take: the roofline of the machine.

use paring::{LayerTime, Peaks};

/// One layer, measured.
pub struct Layer {
    /// The layer, with its mean and its shortest time.
    pub time: LayerTime,
    /// Median over the runs.
    pub median_ms: f64,
    /// `None` for what neither computes nor moves anything.
    pub bound: Option<Bound>,
}

/// The least time of a layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bound {
    pub ms: f64,
    pub by: Resource,
}

/// What a layer has to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    Compute,
    Memory,
}

impl Resource {
    pub fn name(self) -> &'static str {
        match self {
            Resource::Compute => "compute",
            Resource::Memory => "memory",
        }
    }
}

/// The longer of the time for so many multiply-adds and of the time to read so many bytes.
pub fn bound(macs: u64, bytes: u64, peaks: &Peaks) -> Option<Bound> {
    let compute = macs as f64 / peaks.gmacs / 1e6;
    let memory = bytes as f64 / peaks.memory_bandwidth / 1e6;
    let (ms, by) = if compute >= memory { (compute, Resource::Compute) } else { (memory, Resource::Memory) };
    (ms > 0.0 && ms.is_finite()).then_some(Bound { ms, by })
}

impl Layer {
    pub fn new(time: LayerTime, median_ms: f64, peaks: &Peaks) -> Layer {
        let bound = bound(time.macs, time.bytes, peaks);
        Layer { time, median_ms, bound }
    }

    /// Least time over time: 1 at the bound, more where the layer has less to do than the bound supposes.
    pub fn efficiency(&self) -> Option<f64> {
        self.bound.filter(|_| self.median_ms > 0.0).map(|b| b.ms / self.median_ms)
    }

    /// Time beyond the bound.
    pub fn lost_ms(&self) -> f64 {
        self.bound.map_or(0.0, |b| (self.median_ms - b.ms).max(0.0))
    }

    /// Billions of multiply-adds a second; `None` for layers without any.
    pub fn gmacs(&self) -> Option<f64> {
        (self.time.macs > 0 && self.median_ms > 0.0).then(|| self.time.macs as f64 / self.median_ms / 1e6)
    }
}

/// Sum of the medians.
pub fn total_ms(layers: &[Layer]) -> f64 {
    layers.iter().map(|l| l.median_ms).sum()
}

/// Sum of the bounds.
pub fn bound_ms(layers: &[Layer]) -> f64 {
    layers.iter().filter_map(|l| l.bound).map(|b| b.ms).sum()
}

/// Places of the layers that lose time, the greatest loss first.
pub fn by_loss(layers: &[Layer]) -> Vec<usize> {
    let mut places: Vec<usize> = (0..layers.len()).filter(|&i| layers[i].lost_ms() > 0.0).collect();
    places.sort_by(|&a, &b| layers[b].lost_ms().total_cmp(&layers[a].lost_ms()));
    places
}

/// All that layers of one kernel take.
#[derive(Clone, Debug, PartialEq)]
pub struct Kernel<'a> {
    pub name: &'a str,
    pub layers: usize,
    pub ms: f64,
    pub bound_ms: f64,
}

/// Time by kernel, the greatest first.
pub fn kernels(layers: &[Layer]) -> Vec<Kernel<'_>> {
    let mut kernels: Vec<Kernel<'_>> = Vec::new();
    for l in layers {
        let bound_ms = l.bound.map_or(0.0, |b| b.ms);
        match kernels.iter_mut().find(|k| k.name == l.time.kernel) {
            Some(k) => {
                k.layers += 1;
                k.ms += l.median_ms;
                k.bound_ms += bound_ms;
            }
            None => kernels.push(Kernel { name: &l.time.kernel, layers: 1, ms: l.median_ms, bound_ms }),
        }
    }
    kernels.sort_by(|a, b| b.ms.total_cmp(&a.ms));
    kernels
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(name: &str, kernel: &str, median_ms: f64, bound_ms: f64) -> Layer {
        let time = LayerTime {
            name: name.into(),
            op: "Conv".into(),
            kernel: kernel.into(),
            shape: vec![1],
            min_ns: 0,
            mean_ns: 0,
            estimated_ns: 0,
            macs: 2_000_000,
            bytes: 8,
        };
        Layer { time, median_ms, bound: Some(Bound { ms: bound_ms, by: Resource::Compute }) }
    }

    #[test]
    fn efficiency_is_bound_over_time() {
        let l = layer("a", "k", 2.0, 0.5);
        assert_eq!((l.efficiency(), l.lost_ms(), l.gmacs()), (Some(0.25), 1.5, Some(1.0)));
        let fast = layer("a", "k", 0.5, 1.0);
        assert_eq!((fast.efficiency(), fast.lost_ms()), (Some(2.0), 0.0));
        assert_eq!(layer("a", "k", 0.0, 1.0).efficiency(), None);
    }

    #[test]
    fn losses_and_kernels_are_in_order() {
        let all = [layer("a", "k", 2.0, 1.5), layer("b", "l", 4.0, 1.0), layer("c", "k", 3.0, 3.5)];
        assert_eq!(by_loss(&all), [1, 0]);
        assert_eq!((total_ms(&all), bound_ms(&all)), (9.0, 6.0));
        let k = kernels(&all);
        assert_eq!((k[0].name, k[0].layers, k[0].ms, k[0].bound_ms), ("k", 2, 5.0, 5.0));
        assert_eq!(k[1], Kernel { name: "l", layers: 1, ms: 4.0, bound_ms: 1.0 });
    }
}
