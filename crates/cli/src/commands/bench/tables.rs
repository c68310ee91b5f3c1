//! The profile as text.

use super::roofline::{Layer, bound_ms, by_loss, kernels, total_ms};
use crate::output::{Console, bytes};
use crate::table::{Grid, Side};
use paring::Peaks;

/// Rows of the table of losses.
const WORST: usize = 10;

/// Layers, what they were compared with, time by kernel, and the layers furthest from their bound.
pub fn text(layers: &[Layer], peaks: &Peaks, console: &Console) -> String {
    let total = total_ms(layers).max(1e-6);
    layer_table(layers, total, console)
        + &peaks_line(peaks)
        + &roofline_line(layers, total)
        + &kernel_table(layers, total, console)
        + &loss_table(layers, total, console)
}

fn percent(x: f64) -> String {
    format!("{:.0} %", x * 100.0)
}

/// `1 thread`, `2 threads`.
pub fn threads(n: usize) -> String {
    format!("{n} thread{}", if n == 1 { "" } else { "s" })
}

/// What the rates are, and of what.
fn peaks_line(p: &Peaks) -> String {
    format!(
        "eff against {:.1} GMAC/s (f32 multiply-adds in registers, {}, {}) and {:.1} GB/s (reading {} of memory)\n",
        p.gmacs,
        p.isa,
        threads(p.workers),
        p.memory_bandwidth,
        bytes(p.block_bytes as u64),
    )
}

/// All layers together.
fn roofline_line(layers: &[Layer], total: f64) -> String {
    let bound = bound_ms(layers);
    format!("roofline of all layers {bound:.3} ms, {} of their {total:.3} ms\n", percent(bound / total))
}

fn layer_table(layers: &[Layer], total: f64, console: &Console) -> String {
    let columns = [
        ("#", Side::Right),
        ("layer", Side::Left),
        ("op", Side::Left),
        ("kernel", Side::Left),
        ("ms", Side::Right),
        ("%", Side::Right),
        ("cum %", Side::Right),
        ("GMAC/s", Side::Right),
        ("bytes", Side::Right),
        ("eff", Side::Right),
    ];
    let mut grid = Grid::new(console, &columns);
    let mut sum = 0.0;
    for (i, l) in layers.iter().enumerate() {
        let share = l.median_ms / total * 100.0;
        sum += share;
        grid.row(vec![
            (i + 1).to_string(),
            l.time.name.clone(),
            l.time.op.clone(),
            l.time.kernel.clone(),
            format!("{:.4}", l.median_ms),
            format!("{share:.1}"),
            format!("{sum:.1}"),
            l.gmacs().map_or(String::new(), |g| format!("{g:.1}")),
            bytes(l.time.bytes),
            l.efficiency().map_or(String::new(), percent),
        ]);
    }
    grid.text()
}

fn kernel_table(layers: &[Layer], total: f64, console: &Console) -> String {
    let columns = [
        ("kernel", Side::Left),
        ("layers", Side::Right),
        ("ms", Side::Right),
        ("%", Side::Right),
        ("eff", Side::Right),
    ];
    let mut grid = Grid::new(console, &columns);
    for k in kernels(layers) {
        grid.row(vec![
            k.name.to_owned(),
            k.layers.to_string(),
            format!("{:.4}", k.ms),
            format!("{:.1}", k.ms / total * 100.0),
            if k.ms > 0.0 { percent(k.bound_ms / k.ms) } else { String::new() },
        ]);
    }
    grid.text()
}

/// The layers that lose most time against their bound.
fn loss_table(layers: &[Layer], total: f64, console: &Console) -> String {
    let columns = [
        ("furthest from its bound", Side::Left),
        ("kernel", Side::Left),
        ("bound by", Side::Left),
        ("bound ms", Side::Right),
        ("ms", Side::Right),
        ("lost ms", Side::Right),
        ("lost %", Side::Right),
        ("eff", Side::Right),
    ];
    let mut grid = Grid::new(console, &columns);
    let worst = by_loss(layers);
    for l in worst.iter().take(WORST).map(|&i| &layers[i]) {
        let Some(bound) = l.bound else { continue };
        grid.row(vec![
            l.time.name.clone(),
            l.time.kernel.clone(),
            bound.by.name().to_owned(),
            format!("{:.4}", bound.ms),
            format!("{:.4}", l.median_ms),
            format!("{:.4}", l.lost_ms()),
            format!("{:.1}", l.lost_ms() / total * 100.0),
            l.efficiency().map_or(String::new(), percent),
        ]);
    }
    if worst.is_empty() { String::new() } else { grid.text() }
}
