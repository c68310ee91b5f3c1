//! Cuts a convolution into tasks, by its shape alone, so that results do not depend on who runs them.

use core::ops::Range;

/// What one task computes: some pixels, counted through all samples, times some panels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Work {
    /// Pixels.
    pub pixels: Range<usize>,
    /// Panels.
    pub panels: Range<usize>,
}

/// All pixels, `per_task` in each task, times `parts` of the panels, as far as there are so many.
pub fn cut(pixels: usize, per_task: usize, panels: usize, parts: usize) -> Vec<Work> {
    let parts = parts.clamp(1, panels);
    let edge = |i: usize| i * panels / parts;
    let part = |part: usize| {
        let ranges = (0..pixels).step_by(per_task).map(move |from| from..pixels.min(from + per_task));
        ranges.map(move |pixels| Work { pixels, panels: edge(part)..edge(part + 1) })
    };
    (0..parts).flat_map(part).collect()
}

/// Pixels of even blocks, a multiple of `step` of at most `most` each.
pub fn even(pixels: usize, most: usize, step: usize) -> usize {
    pixels.div_ceil(pixels.div_ceil(most).max(1)).next_multiple_of(step)
}

/// How large tasks are.
#[derive(Clone, Copy, Debug)]
pub struct Tasks {
    /// Multiply-adds of a task where the whole problem is small, and elsewhere.
    pub macs: [usize; 2],
    /// Pixels that go against one panel before the next.
    pub block: usize,
    /// Pixels come in multiples of this where there is a choice.
    pub step: usize,
    /// Panels that are multiplied together where they can be: no task parts them.
    pub together: usize,
}

impl Tasks {
    /// Cuts a problem that takes `per_pixel` multiply-adds for a pixel and all panels: pixels first, as tasks then share weights;
    /// panels where pixels are few.
    pub fn of(&self, pixels: usize, per_pixel: usize, panels: usize) -> Vec<Work> {
        let [least, most] = self.macs;
        let target = (per_pixel.saturating_mul(pixels) / 16).clamp(least, most);
        let even = even(pixels, self.block, self.step);
        let per_task = (target / per_pixel).max(1).next_multiple_of(even).min(pixels.next_multiple_of(self.step));
        let parts = per_pixel.saturating_mul(per_task) / (2 * target);
        let mut tasks = cut(pixels, per_task, panels.div_ceil(self.together), parts);
        for Work { panels: Range { start, end }, .. } in &mut tasks {
            (*start, *end) = (*start * self.together, panels.min(*end * self.together));
        }
        tasks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_have_every_pixel_and_panel_once() {
        let problems = [(1, 1, 1), (49, 1 << 20, 33), (196, 1 << 18, 16), (3136, 4096, 4)];
        for (together, (pixels, per_pixel, panels)) in [1, 2].into_iter().flat_map(|n| problems.map(|p| (n, p))) {
            let tasks = Tasks { macs: [1 << 18, 1 << 20], block: 48, step: 6, together };
            let mut seen = vec![0; pixels * panels];
            for w in tasks.of(pixels, per_pixel, panels) {
                assert!(!w.pixels.is_empty() && !w.panels.is_empty() && w.panels.start.is_multiple_of(together));
                w.pixels.flat_map(|p| w.panels.clone().map(move |q| p * panels + q)).for_each(|i| seen[i] += 1);
            }
            assert!(seen.iter().all(|&n| n == 1), "{pixels} pixels, {panels} panels");
        }
    }
}
