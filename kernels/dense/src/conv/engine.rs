//! Runs a lowered convolution.

use super::{
    cursor::Cursor,
    geometry::Geometry,
    halo::Halo,
    lower::{Lowered, LoweredPhase, PhasePanel, Walk},
    work::Work,
};
use crate::{
    epilogue::{Epilogue, Finish, Place},
    tile::{self, Panel},
};
use paring_kernel::{KernelError, Packed, Prepared, RunCx};
use paring_simd::{LANES, Simd, Task};
use std::sync::Arc;

/// A convolution bound to its weights and epilogue.
pub struct Engine<S> {
    isa: S,
    lowered: Lowered,
    halo: Option<Halo>,
    packed: Arc<Packed>,
    epilogue: Epilogue,
}

impl<S: Simd> Engine<S> {
    /// Binds `geometry`, read with `lanes` channels side by side, to packed weights.
    ///
    /// # Errors
    /// [`KernelError::Problem`] where the weights were packed for another problem.
    pub fn new(
        isa: S,
        geometry: Geometry,
        lanes: usize,
        packed: Arc<Packed>,
        epilogue: Epilogue,
    ) -> Result<Engine<S>, KernelError> {
        let halo = halo(&geometry, lanes);
        let lowered = geometry.lower(lanes);
        if packed.data.as_slice().len() != lowered.packed * size_of::<f32>() {
            return Err(KernelError::Problem("weights were packed for another problem".into()));
        }
        Ok(Engine { isa, lowered, halo, packed, epilogue })
    }
}

/// The copy that frames the input with zeros, where one is needed.
pub fn halo(geometry: &Geometry, lanes: usize) -> Option<Halo> {
    let view = geometry.view(lanes);
    geometry.needs_halo().then(|| Halo::new(geometry.samples * view.planes, geometry.input, geometry.halo, &view))
}

/// Where a run reads the input as the panels do, framed with zeros where they are needed, and where it writes: the output's first
/// element and their number. Both are as large as they should be.
pub fn operands(lowered: &Lowered, halo: Option<&Halo>, cx: &mut RunCx<'_>) -> (*const f32, *mut f32, usize) {
    let (g, view) = (&lowered.geometry, &lowered.view);
    let input = cx.input::<f32>(0);
    let x = match halo {
        Some(halo) => {
            let scratch = cx.scratch::<f32>();
            halo.run(input, 0.0, scratch, cx.parallel());
            assert!(scratch.len() >= halo.elements());
            scratch.as_ptr().cast_const()
        }
        None => input.as_ptr(),
    };
    let output = cx.output::<f32>(0);
    let (y, len) = (output.as_mut_ptr(), output.len());
    assert!(len >= g.samples * g.outputs.next_multiple_of(LANES) * g.output.iter().product::<usize>());
    assert!(halo.is_some() || input.len() >= g.samples * view.planes * view.plane());
    (x, y, len)
}

impl<S: Simd> Prepared for Engine<S> {
    fn run(&self, cx: &mut RunCx<'_>) -> Result<(), KernelError> {
        let (x, y, len) = operands(&self.lowered, self.halo.as_ref(), cx);
        let parallel = cx.parallel();
        let finish = self.epilogue.bind(cx, y, len);
        let shared = Shared {
            lowered: &self.lowered,
            weights: self.packed.elements(),
            x,
            y,
            finish: &finish,
            epilogue: &self.epilogue,
        };
        parallel.run(self.lowered.work.len(), &|task, _| {
            let (phase, work) = &self.lowered.work[task];
            let phase = &self.lowered.phases[*phase];
            match self.lowered.walk {
                Walk::Blocks => self.isa.vectorize(Run::<{ tile::BLOCKS }> { shared: &shared, phase, work }),
                Walk::Channels => self.isa.vectorize(Run::<{ tile::CHANNELS }> { shared: &shared, phase, work }),
            }
        });
        Ok(())
    }
}

/// What all tasks of a run share.
struct Shared<'a> {
    lowered: &'a Lowered,
    weights: &'a [f32],
    x: *const f32,
    y: *mut f32,
    finish: &'a Finish<'a>,
    epilogue: &'a Epilogue,
}

// SAFETY: tasks read the input and write disjoint parts of the output.
unsafe impl Sync for Shared<'_> {}

/// One task.
struct Run<'a, const WALK: u8> {
    shared: &'a Shared<'a>,
    phase: &'a LoweredPhase,
    work: &'a Work,
}

/// Most pixels in a block, for tables on the stack.
const MOST: usize = 64;

impl<const WALK: u8> Task for Run<'_, WALK> {
    type Output = ();

    #[inline(always)]
    fn call<S: Simd>(self, s: S) {
        let lowered = self.shared.lowered;
        let phase = self.phase;
        let plane = lowered.geometry.output.iter().product::<usize>() * LANES;
        let mut x = [self.shared.x; MOST];
        let mut y = [self.shared.y; MOST];
        let all = self.work.pixels.len();
        let blocks = all.div_ceil(lowered.block.min(MOST)).max(1);
        let each = all.div_ceil(blocks).next_multiple_of(tile::STEP).min(MOST);
        let mut cursor = Cursor::new(&lowered.geometry, &lowered.view, &phase.phase, self.work.pixels.start);
        let mut left = all;
        while left > 0 {
            let n = left.min(each);
            cursor.fill(self.shared.x, &mut x[..n], &mut y[..n], |at| self.shared.y.wrapping_add(at));
            let panels = &phase.panels[self.work.panels.clone()];
            let panel = |i: usize| {
                let p: &PhasePanel = &panels[i];
                let next = panels.get(i + 1).unwrap_or(&panels[0]);
                let first = p.columns.first / LANES * plane;
                Panel {
                    weights: self.shared.weights[p.weights..].as_ptr(),
                    ahead: self.shared.weights[next.weights..].as_ptr(),
                    step: p.columns.width(),
                    offsets: &lowered.offsets[p.offsets.clone()],
                    k: 0,
                    beside: 0,
                    init: self.shared.epilogue.init(p.columns.first),
                    place: Place { channel: p.columns.first, lanes: p.columns.lanes, columns: [first, first + plane] },
                    finish: self.shared.finish,
                }
            };
            let mut i = 0;
            while i < panels.len() {
                let vectors = panels[i].columns.vectors;
                let two = panels.get(i + 1).is_some_and(|next| {
                    tile::abreast::<S>(vectors, next.columns.vectors) && panels[i].offsets == next.offsets
                });
                // SAFETY: the view was laid out so that every pixel reads within it at every offset; pixels and
                // channels of the output are those of its layout, and no other task has them.
                unsafe {
                    match vectors {
                        _ if S::WIDE && two => {
                            tile::rows::<S, 4, WALK>(s, &panel(i).with(&panel(i + 1)), &x[..n], &y[..n]);
                        }
                        3 => tile::rows::<S, 3, WALK>(s, &panel(i), &x[..n], &y[..n]),
                        2 => tile::rows::<S, 2, WALK>(s, &panel(i), &x[..n], &y[..n]),
                        _ => tile::rows::<S, 1, WALK>(s, &panel(i), &x[..n], &y[..n]),
                    }
                }
                i += if two { 2 } else { 1 };
            }
            left -= n;
        }
    }
}
