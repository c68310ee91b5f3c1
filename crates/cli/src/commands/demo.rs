//! `paring demo`: a small trained network on real pictures.

mod picture;

use crate::args::DemoArgs;
use crate::compute::{self, Watchdog};
use crate::data::npy;
use crate::exit::{Exit, Failure, Result};
use crate::output::{Console, Ink, ms};
use crate::rank::{softmax, top_k};
use crate::stats::Timing;
use paring::{Model, Tensor};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const MODEL: &[u8] = include_bytes!("../../demo/resnet_s_fashion.onnx");
const IMAGES: &[u8] = include_bytes!("../../demo/fashion_x.npy");
const LABELS: &[u8] = include_bytes!("../../demo/fashion_y.npy");
const CLASSES: [&str; 10] =
    ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"];
const SIDE: usize = 28;

/// The network's opinion of one picture.
struct Answer {
    class: usize,
    label: usize,
    confidence: f64,
    time: Duration,
}

impl Answer {
    fn right(&self) -> bool {
        self.class == self.label
    }
}

pub fn run(args: &DemoArgs, console: &Console) -> Result<Exit> {
    let watchdog = Watchdog::start(args.engine.model.time_limit());
    let (images, labels) = (npy::read(IMAGES)?, npy::read(LABELS)?);
    let labels: Vec<usize> = labels.to_i64s().unwrap_or_default().into_iter().map(|l| l as usize).collect();
    let start = Instant::now();
    let model = Model::from_bytes(MODEL)?;
    let mut session = compute::session(&model, &compute::options(&args.engine), &watchdog)?;
    session.set_input(0, &pixels(&images, 0)?)?;
    session.run()?;
    let ready = start.elapsed();

    let mut answers = Vec::with_capacity(labels.len());
    for (i, &label) in labels.iter().enumerate() {
        session.set_input(0, &pixels(&images, i)?)?;
        let start = Instant::now();
        session.run()?;
        let time = start.elapsed();
        let scores = session.output_tensor(0)?.to_f64s().unwrap_or_default();
        let class = *top_k(&scores, 1).first().ok_or_else(|| Failure::other("the network has no scores"))?;
        answers.push(Answer { class, label, confidence: softmax(&scores)[class], time });
        watchdog.check()?;
    }
    if console.json {
        console.emit(&to_json(&answers, ready))?;
    } else {
        console.print(&to_text(&answers, &images, ready, args.show, console))?;
    }
    Ok(Exit::Ok)
}

/// Picture `i` as the network's input.
fn pixels(images: &Tensor, i: usize) -> Result<Tensor> {
    let x: Vec<f32> = image(images, i).iter().map(|&p| f32::from(p) / 255.0).collect();
    Tensor::new(&[1, 1, SIDE, SIDE], &x).map_err(Failure::said)
}

fn image(images: &Tensor, i: usize) -> &[u8] {
    &images.bytes()[i * SIDE * SIDE..(i + 1) * SIDE * SIDE]
}

fn median(answers: &[Answer]) -> f64 {
    Timing::of(&answers.iter().map(|a| ms(a.time)).collect::<Vec<_>>()).map_or(0.0, |t| t.median_ms)
}

fn to_json(answers: &[Answer], ready: Duration) -> Value {
    let one = |a: &Answer| {
        json!({
            "class": CLASSES[a.class], "label": CLASSES[a.label], "right": a.right(), "confidence": a.confidence,
            "ms": ms(a.time),
        })
    };
    let right = answers.iter().filter(|a| a.right()).count();
    json!({
        "images": answers.len(), "correct": right, "top1": right as f64 / answers.len() as f64,
        "ready_ms": ms(ready), "median_ms": median(answers), "answers": answers.iter().map(one).collect::<Vec<_>>(),
    })
}

fn to_text(answers: &[Answer], images: &Tensor, ready: Duration, show: usize, console: &Console) -> String {
    let title = console.paint(Ink::Bold, "Fashion-MNIST");
    let mut text = format!("{title}: pictures the network has never seen, and what it takes them for.\n");
    let gap = 3;
    let columns = usize::from(console.width().unwrap_or(96)).saturating_add(gap) / (SIDE + gap);
    let shown: Vec<usize> = (0..answers.len().min(show)).collect();
    for row in shown.chunks(columns.max(1)) {
        let cards: Vec<Vec<String>> = row.iter().map(|&i| card(&answers[i], image(images, i), console)).collect();
        text.push('\n');
        for line in 0..cards[0].len() {
            let parts: Vec<&str> = cards.iter().map(|c| c[line].as_str()).collect();
            text += parts.join(&" ".repeat(gap)).trim_end();
            text.push('\n');
        }
    }
    let right = answers.iter().filter(|a| a.right()).count();
    let wrong: Vec<String> = answers
        .iter()
        .filter(|a| !a.right())
        .map(|a| format!("{} for {}", CLASSES[a.class], CLASSES[a.label]))
        .collect();
    text += &format!("\n{right} of {} pictures right", answers.len());
    if !wrong.is_empty() {
        text += &format!("; mistaken: {}", wrong.join(", "));
    }
    text += &format!(
        ".\nready in {:.1} ms, median {} ms per picture\n",
        ms(ready),
        console.paint(Ink::Bold, &format!("{:.3}", median(answers)))
    );
    text
}

/// A picture with what the network says of it, `SIDE` columns wide.
fn card(a: &Answer, image: &[u8], console: &Console) -> Vec<String> {
    let mut lines = picture::draw(image, SIDE, console.colour());
    let (ink, verdict) = if a.right() { (Ink::Green, "right") } else { (Ink::Red, "wrong") };
    lines.push(console.paint(ink, &format!("{:<21}  {verdict}", CLASSES[a.class])));
    let bar = (a.confidence * 20.0).round() as usize;
    let (full, empty) = if console.colour() { ("█", "░") } else { ("#", ".") };
    lines.push(format!("{}{} {:>5.1} %", full.repeat(bar), empty.repeat(20 - bar.min(20)), a.confidence * 100.0));
    lines.push(format!("{:<28}", format!("{:.3} ms, is {}", ms(a.time), CLASSES[a.label])));
    lines
}
