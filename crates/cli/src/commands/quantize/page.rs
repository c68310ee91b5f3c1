//! What quantisation did, as a page.

use super::{quantised, report::kind};
use crate::args::QuantizeArgs;
use crate::commands::compress::decibel;
use crate::html::{document, escape};
use crate::output::bytes;
use paring_compress::{LayerReport, Report};
use std::fmt::Write;

/// Colours of bytes and of `f32` in the style sheet.
const COLOURS: [usize; 2] = [0, 1];
/// Signal to noise that fills a bar, in dB.
const FULL_DB: f64 = 60.0;

/// Everything about `report` in HTML.
pub fn page(args: &QuantizeArgs, report: &Report) -> String {
    let name = args.model_file.file_name().unwrap_or_default().to_string_lossy();
    let title = escape(&name);
    let (done, all) = quantised(report);
    let header = format!(
        "<header>\n<h1>{title}</h1>\n<p>{done} of {all} layers with weights and {} other nodes in bytes · {} samples · \
         paring {}</p>\n</header>\n",
        report.other_nodes,
        report.samples,
        env!("CARGO_PKG_VERSION")
    );
    document(&title, "quantisation", &[header, cards(report), layers(report), FOOTER.into()].concat())
}

const FOOTER: &str = "<footer>\n<p>Signal to noise compares with the model in f32, over all samples: of the weights as \
                      they were rounded, and of a layer's result, in which the errors of all layers before it \
                      are.</p>\n</footer>\n";

fn cards(report: &Report) -> String {
    let mut cards = vec![
        (
            "size",
            bytes(report.bytes_after as u64),
            format!(
                "{} before, {:.2} times smaller",
                bytes(report.bytes_before as u64),
                report.bytes_before as f64 / report.bytes_after.max(1) as f64
            ),
        ),
        (
            "time on one thread",
            format!("{:.3} ms", report.ms_after),
            format!(
                "{:.3} ms before, {:.2} times as fast",
                report.ms_before,
                report.ms_before / report.ms_after.max(1e-9)
            ),
        ),
    ];
    if let Some(a) = report.accuracy {
        let percent = |n: usize| 100.0 * n as f64 / a.samples.max(1) as f64;
        let more = format!("{:.2} % before, {} samples", percent(a.float), a.samples);
        cards.push(("top-1", format!("{:.2} %", percent(a.quantized)), more));
    }
    for o in &report.outputs {
        let cosine = o.cosine.map_or("-".into(), |c| format!("{c:.5}"));
        let more = format!("cosine of {} · signal to noise {} dB", escape(&o.name), decibel(o.sqnr_db));
        cards.push(("error", cosine, more));
    }
    let mut html = String::from("<section class=\"cards\">\n");
    for (name, value, more) in cards {
        let _ = writeln!(html, "<div><h2>{name}</h2><p><b>{value}</b></p><small>{more}</small></div>");
    }
    html + "</section>\n"
}

fn layers(report: &Report) -> String {
    let mut html = String::from(
        "<section>\n<h2>Layers with weights</h2>\n<table>\n<tr><th>layer</th><th class=\"wide\"></th><th>op</th>\
         <th>in</th><th>weights dB</th><th>result dB</th><th>alone dB</th></tr>\n",
    );
    for l in &report.layers {
        let colour = COLOURS[usize::from(l.float)];
        let _ = writeln!(
            html,
            "<tr><td><i class=\"dot k{colour}\"></i>{}</td><td class=\"wide\">{}</td><td>{}</td><td>{}</td><td>{}</td>\
             <td>{}</td><td>{}</td></tr>",
            escape(&l.name),
            bar(l, colour),
            escape(&l.op),
            kind(l),
            decibel(l.weight_sqnr_db),
            decibel(l.output_sqnr_db),
            decibel(l.alone_sqnr_db),
        );
    }
    html + "</table>\n</section>\n"
}

/// The signal to noise of a layer's result.
fn bar(l: &LayerReport, colour: usize) -> String {
    let part = (l.output_sqnr_db.unwrap_or(0.0) / FULL_DB).clamp(0.0, 1.0) * 100.0;
    format!("<div class=\"bar k{colour}\" style=\"width:{part:.1}%\"><i style=\"width:100%\"></i></div>")
}
