//! The profile as a page: one file, no network, no scripts.

use super::roofline::{Bound, Kernel, Layer, Resource, bound_ms, by_loss, kernels, total_ms};
use super::{Profile, Report, tables, weights};
use crate::html::{document, escape};
use crate::output::{bytes, count, shape};
use std::fmt::Write;

/// Colours of the style sheet; kernels beyond them share the last.
const COLOURS: usize = 10;

/// Everything about `report` in HTML.
pub fn page(report: &Report, profile: &Profile) -> String {
    let kernels = kernels(&profile.layers);
    let title = escape(report.model.rsplit(['/', '\\']).next().unwrap_or(&report.model));
    let body = [
        header(report, profile, &title),
        cards(report, profile),
        timeline(profile, &kernels),
        algorithms(profile, &kernels),
        layers(profile, &kernels),
        footer(profile),
    ]
    .concat();
    document(&title, "profile", &body)
}

fn colour(kernel: &str, kernels: &[Kernel<'_>]) -> usize {
    kernels.iter().position(|k| k.name == kernel).unwrap_or(COLOURS).min(COLOURS - 1)
}

/// Multiply-adds, such as `118 MMAC`.
fn work(macs: u64) -> String {
    let n = count(macs);
    let space = if n.ends_with(|c: char| c.is_ascii_digit()) { " " } else { "" };
    format!("{n}{space}MAC")
}

fn percent(x: f64) -> String {
    format!("{:.0} %", x * 100.0)
}

fn header(report: &Report, profile: &Profile, title: &str) -> String {
    format!(
        "<header>\n<h1>{title}</h1>\n<p>{} · {} · {} runs · {} layers · paring {}</p>\n</header>\n",
        profile.peaks.isa,
        tables::threads(report.threads),
        report.runs,
        profile.layers.len(),
        env!("CARGO_PKG_VERSION"),
    )
}

fn cards(report: &Report, profile: &Profile) -> String {
    let (t, m, p) = (&report.timing, &report.memory, &profile.peaks);
    let (total, bound) = (total_ms(&profile.layers), bound_ms(&profile.layers));
    let macs: u64 = profile.layers.iter().map(|l| l.time.macs).sum();
    let rate = macs as f64 / total.max(1e-6) / 1e6;
    let cards = [
        (
            "median",
            format!("{:.2}", t.median_ms),
            "ms",
            format!("min {:.2} · p90 {:.2} · p99 {:.2} · cv {:.1} %", t.min_ms, t.p90_ms, t.p99_ms, t.cv * 100.0),
        ),
        (
            "roofline",
            format!("{bound:.2}"),
            "ms",
            format!("{} of the time of the layers, {total:.2} ms", percent(bound / total.max(1e-6))),
        ),
        ("arithmetic", format!("{rate:.1}"), "GMAC/s", format!("{}, peak {:.1} GMAC/s", work(macs), p.gmacs)),
        (
            "memory",
            bytes((weights(m) + m.arena_bytes + m.scratch_bytes) as u64),
            "",
            format!(
                "weights {} · arena {} · read at {:.1} GB/s",
                bytes(weights(m) as u64),
                bytes(m.arena_bytes as u64),
                p.memory_bandwidth
            ),
        ),
    ];
    let mut html = String::from("<section class=\"cards\">\n");
    for (name, value, unit, more) in cards {
        let _ = writeln!(html, "<div><h2>{name}</h2><p><b>{value}</b> {unit}</p><small>{more}</small></div>");
    }
    html + "</section>\n"
}

/// The fastest run from left to right.
fn timeline(profile: &Profile, kernels: &[Kernel<'_>]) -> String {
    let end = profile.fastest.last().map_or(1, |s| s.start_ns + s.ns).max(1) as f64;
    let mut html = String::from(
        "<section>\n<h2>One run, the fastest</h2>\n\
         <svg class=\"timeline\" viewBox=\"0 0 1000 40\" preserveAspectRatio=\"none\" role=\"img\" \
         aria-label=\"layers over time\">\n",
    );
    for (l, span) in profile.layers.iter().zip(&profile.fastest) {
        let (x, width) = (span.start_ns as f64 / end * 1000.0, span.ns as f64 / end * 1000.0);
        let _ = writeln!(
            html,
            "<rect class=\"k{}\" x=\"{x:.2}\" width=\"{width:.2}\" height=\"40\"><title>{}\n{}, {:.3} ms</title></rect>",
            colour(&l.time.kernel, kernels),
            escape(&l.time.name),
            escape(&l.time.kernel),
            span.ns as f64 / 1e6,
        );
    }
    let _ = writeln!(html, "</svg>\n<p class=\"axis\"><span>0</span><span>{:.2} ms</span></p>\n</section>", end / 1e6);
    html
}

/// The legend, with totals.
fn algorithms(profile: &Profile, kernels: &[Kernel<'_>]) -> String {
    let total = total_ms(&profile.layers).max(1e-6);
    let most = kernels.first().map_or(1.0, |k| k.ms).max(1e-6);
    let mut html = String::from(
        "<section>\n<h2>By algorithm</h2>\n<table>\n<tr><th>algorithm</th><th class=\"wide\"></th><th>layers</th>\
         <th>ms</th><th>share</th><th>eff</th></tr>\n",
    );
    for (i, k) in kernels.iter().enumerate() {
        let (colour, efficiency) = (i.min(COLOURS - 1), (k.ms > 0.0).then(|| k.bound_ms / k.ms));
        let _ = writeln!(
            html,
            "<tr><td><i class=\"dot k{colour}\"></i>{}</td><td class=\"wide\">{}</td><td>{}</td><td>{:.3}</td>\
             <td>{:.1} %</td>{}</tr>",
            escape(k.name),
            bar(colour, k.ms / most, efficiency),
            k.layers,
            k.ms,
            k.ms / total * 100.0,
            grade("td", efficiency),
        );
    }
    html + "</table>\n</section>\n"
}

/// A bar of that part of the whole width: solid up to the bound, pale beyond.
fn bar(colour: usize, part: f64, efficiency: Option<f64>) -> String {
    format!(
        "<div class=\"bar k{colour}\" style=\"width:{:.2}%\"><i style=\"width:{:.1}%\"></i></div>",
        part * 100.0,
        efficiency.unwrap_or(0.0).min(1.0) * 100.0
    )
}

/// An efficiency in the colour of its worth.
fn grade(tag: &str, efficiency: Option<f64>) -> String {
    let Some(e) = efficiency else { return format!("<{tag} class=\"eff\"></{tag}>") };
    let worth = match e {
        e if e >= 0.8 => "good",
        e if e >= 0.5 => "fair",
        _ => "poor",
    };
    format!("<{tag} class=\"eff {worth}\">{}</{tag}>", percent(e))
}

fn layers(profile: &Profile, kernels: &[Kernel<'_>]) -> String {
    let all = &profile.layers;
    let (total, most) = (total_ms(all).max(1e-6), all.iter().map(|l| l.median_ms).fold(1e-6, f64::max));
    let mut by_time: Vec<usize> = (0..all.len()).collect();
    by_time.sort_by(|&a, &b| all[b].median_ms.total_cmp(&all[a].median_ms));
    let (time_rank, loss_rank) = (ranks(&by_time, all.len()), ranks(&by_loss(all), all.len()));
    let mut html = String::from(
        "<section class=\"layers\">\n<h2>Layers</h2>\n\
         <input type=\"radio\" name=\"order\" id=\"run\" checked><label for=\"run\">as they run</label>\n\
         <input type=\"radio\" name=\"order\" id=\"time\"><label for=\"time\">by time</label>\n\
         <input type=\"radio\" name=\"order\" id=\"loss\"><label for=\"loss\">by time lost</label>\n<ol>\n",
    );
    for (i, l) in all.iter().enumerate() {
        let t = &l.time;
        let _ = writeln!(
            html,
            "<li tabindex=\"0\" style=\"--t:{};--l:{}\"><span class=\"n\">{}</span>\
             <span class=\"name\">{}<small>{} {}</small></span><span class=\"track\">{}</span>\
             <span class=\"ms\">{:.3}</span>{}{}</li>",
            time_rank[i],
            loss_rank[i],
            i + 1,
            escape(&t.name),
            escape(&t.op),
            shape(&t.shape),
            bar(colour(&t.kernel, kernels), l.median_ms / most, l.efficiency()),
            l.median_ms,
            grade("span", l.efficiency()),
            details(l, total),
        );
    }
    html + "</ol>\n</section>\n"
}

/// For each of `n` layers its place in `order`; after all of them where it is not there.
fn ranks(order: &[usize], n: usize) -> Vec<usize> {
    let mut ranks = vec![n; n];
    for (rank, &i) in order.iter().enumerate() {
        ranks[i] = rank;
    }
    ranks
}

/// What shows when the pointer rests on a layer.
fn details(l: &Layer, total: f64) -> String {
    let t = &l.time;
    let mut facts = vec![
        ("algorithm", escape(&t.kernel)),
        ("output", format!("{} {}", escape(&t.op), shape(&t.shape))),
        (
            "time",
            format!(
                "{:.4} ms, {:.1} % (min {:.4}, mean {:.4})",
                l.median_ms,
                l.median_ms / total * 100.0,
                t.min_ns as f64 / 1e6,
                t.mean_ns as f64 / 1e6
            ),
        ),
    ];
    if let Some(rate) = l.gmacs() {
        facts.push(("arithmetic", format!("{} at {rate:.1} GMAC/s", work(t.macs))));
    }
    facts.push(("operands", bytes(t.bytes)));
    if let Some(Bound { ms, by }) = l.bound {
        let why = match by {
            Resource::Compute => "its arithmetic at the peak",
            Resource::Memory => "its operands from memory",
        };
        facts.push(("at best", format!("{ms:.4} ms: {why}")));
        facts.push(("lost", format!("{:.4} ms", l.lost_ms())));
    }
    facts.push(("planned", format!("{:.4} ms on one core", t.estimated_ns as f64 / 1e6)));
    let rows: String = facts.iter().map(|(k, v)| format!("<dt>{k}</dt><dd>{v}</dd>")).collect();
    format!("<div class=\"tip\"><b>{}</b><dl>{rows}</dl></div>", escape(&t.name))
}

fn footer(profile: &Profile) -> String {
    let p = &profile.peaks;
    format!(
        "<footer>\n<p>Times are medians. A bar is solid as far as the layer had to take, and pale where it took longer; \
         <b>eff</b> is the solid part. A layer has to take the time of its multiply-adds at {:.1} GMAC/s (f32, operands \
         in registers, {}, {}) or that of its operands at {:.1} GB/s (reading {} of memory), whichever is longer; both \
         rates were measured before and after the runs. An algorithm with fewer multiply-adds, such as Winograd, and a \
         layer that finds its operands in the cache, can be beyond 100 %.</p>\n</footer>\n",
        p.gmacs,
        p.isa,
        tables::threads(p.workers),
        p.memory_bandwidth,
        bytes(p.block_bytes as u64),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_has_a_unit() {
        assert_eq!((work(118_013_952), work(12)), ("118 MMAC".into(), "12 MAC".into()));
    }

    #[test]
    fn layers_without_a_rank_come_last() {
        assert_eq!(ranks(&[2, 0], 4), [1, 4, 0, 4]);
    }
}
