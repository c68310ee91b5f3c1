//! Writing `.pare` files.

use crate::args::ConvertArgs;
use crate::compute;
use crate::data::write;
use crate::exit::{Context, Exit, Result};
use crate::output::{Console, Ink, bytes};
use crate::table::{Grid, Side, printable};
use paring::{Model, Recipe, SaveOptions, Written};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io;
use std::path::Path;

pub fn convert(
    args: &ConvertArgs,
    output: &Path,
    model: &Model,
    compression: Vec<String>,
    console: &Console,
) -> Result<Exit> {
    let mut options = SaveOptions { pack_for: args.pack_for.clone(), ..SaveOptions::default() };
    options.options = compute::options(&args.engine);
    options.recipe = recipe(args, model, compression)?;
    if !args.pack_for.is_empty() {
        let shapes = compute::input_shapes(model, &args.engine.model)?;
        let named = compute::named_shapes(model, &shapes);
        options.shapes = named.into_iter().map(|(name, shape)| (name.to_owned(), shape.to_vec())).collect();
    }
    let written = write::write_with(output, |out| Ok(model.save(out, &options)?))?;
    report(args, output, &options.recipe, &written, console)?;
    Ok(Exit::Ok)
}

/// How the file comes about. A `.pare` file that is written anew keeps what it says of itself.
fn recipe(args: &ConvertArgs, model: &Model, compression: Vec<String>) -> Result<Recipe> {
    if let Some(recipe) = model.recipe() {
        return Ok(recipe.clone());
    }
    let mut hash = Sha256::new();
    let mut file = File::open(&args.model_file).context(args.model_file.display())?;
    io::copy(&mut file, &mut hash).context(args.model_file.display())?;
    let digest = hash.finalize();
    Ok(Recipe {
        source: args.model_file.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        source_sha256: digest.iter().map(|b| format!("{b:02x}")).collect(),
        compression,
        ..Recipe::default()
    })
}

fn report(args: &ConvertArgs, output: &Path, recipe: &Recipe, written: &Written, console: &Console) -> Result<()> {
    let file = output.display().to_string();
    if console.json {
        let packed: Vec<_> = written
            .packed
            .iter()
            .map(|(machine, blocks, new)| json!({"machine": machine, "blocks": blocks, "bytes": new}))
            .collect();
        return console.emit(&json!({
            "model": args.model_file.display().to_string(),
            "file": file,
            "bytes": written.bytes,
            "graph_bytes": written.graph_bytes,
            "constant_bytes": written.constant_bytes,
            "packed": packed,
            "left_out": written.left_out,
            "source_sha256": recipe.source_sha256,
        }));
    }
    let mut grid = Grid::new(console, &[("part", Side::Left), ("blocks", Side::Right), ("size", Side::Right)]);
    grid.row(vec!["graph".into(), "1".into(), bytes(written.graph_bytes as u64)]);
    grid.row(vec!["weights".into(), written.constants.to_string(), bytes(written.constant_bytes as u64)]);
    for (machine, blocks, new) in &written.packed {
        grid.row(vec![format!("packed for {machine}"), blocks.to_string(), bytes(*new as u64)]);
    }
    console.print(&grid.text())?;
    if written.left_out > 0 {
        console.note(&format!("{} blocks depend on shapes and are packed when the model is opened", written.left_out));
    }
    let size = bytes(written.bytes);
    console.print(&format!("wrote {}, {size}", console.paint(Ink::Bold, &printable(&file))))
}
