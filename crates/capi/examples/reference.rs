//! What the C and C++ programs are held against: the demo in the Rust library.
//!
//! `reference save FILE` writes the demo's network as a `.pare` file, packed for this machine; `reference compare FILE...`
//! checks that each file holds the logits of all pictures, bit by bit.
use facade::{MachineKind, Model, Options, SaveOptions};
use std::{error::Error, fs};

const NETWORK: &[u8] = include_bytes!("../../cli/demo/resnet_s_fashion.onnx");
const PICTURES: &[u8] = include_bytes!("../../cli/demo/fashion_x.npy");
/// Bytes of the header that the pictures follow.
const HEADER: usize = 128;
const SIDE: usize = 28;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["save", file] => save(file),
        ["compare", files @ ..] if !files.is_empty() => compare(files),
        _ => Err("usage: reference save FILE | reference compare FILE...".into()),
    }
}

fn save(file: &str) -> Result<(), Box<dyn Error>> {
    let mut options = SaveOptions { pack_for: vec![MachineKind::This], ..SaveOptions::default() };
    let model = Model::from_bytes(NETWORK)?;
    options.shapes = vec![(model.inputs()[0].name.clone(), vec![1, 1, SIDE, SIDE])];
    model.save(&mut fs::File::create(file)?, &options)?;
    Ok(())
}

fn compare(files: &[&str]) -> Result<(), Box<dyn Error>> {
    let expected = logits()?;
    for file in files {
        if fs::read(file)? != expected {
            return Err(format!("{file} differs from what the Rust library computes").into());
        }
    }
    println!("{} programs compute what the Rust library does", files.len());
    Ok(())
}

fn logits() -> Result<Vec<u8>, Box<dyn Error>> {
    let mut session = Model::from_bytes(NETWORK)?.session(&Options::default().with_threads(1))?;
    session.resize(0, &[1, 1, SIDE, SIDE])?;
    let mut all = Vec::new();
    for picture in PICTURES[HEADER..].chunks_exact(SIDE * SIDE) {
        let input = session.input_mut::<f32>(0)?;
        input.iter_mut().zip(picture).for_each(|(x, &p)| *x = f32::from(p) / 255.0);
        session.run()?;
        all.extend_from_slice(session.output_bytes(0)?);
    }
    Ok(all)
}
