//! What a `.pare` file says of itself.

use crate::output::bytes;
use paring::{Model, Recipe, Section, SectionKind};
use serde_json::{Value, json};

/// The lines about the file; none for models of other kinds.
pub fn lines(model: &Model) -> Vec<(&'static str, String)> {
    let (Some(recipe), Some(sections)) = (model.recipe(), model.sections()) else { return Vec::new() };
    let mut lines = vec![("made by", made_by(recipe))];
    if recipe.optimized {
        lines.push(("optimised", passes(recipe)));
    }
    if !recipe.compression.is_empty() {
        lines.push(("pared", recipe.compression.join(", ")));
    }
    let packed = model.packed_for();
    let packed: Vec<_> = packed.iter().map(|(machine, blocks)| format!("{machine} ({blocks} blocks)")).collect();
    lines.push(("packed", if packed.is_empty() { "for no kind of machine".into() } else { packed.join(", ") }));
    lines.push(("sections", sizes(sections)));
    lines
}

fn made_by(recipe: &Recipe) -> String {
    let mut text = recipe.tool.clone();
    if !recipe.source.is_empty() {
        text += &format!(" from {}", recipe.source);
    }
    if !recipe.source_sha256.is_empty() {
        text += &format!(", SHA-256 {}", recipe.source_sha256);
    }
    text
}

fn passes(recipe: &Recipe) -> String {
    let each: Vec<_> = recipe.passes.iter().map(|(pass, n)| format!("{pass} {n}")).collect();
    if each.is_empty() { "nothing to do".into() } else { each.join(", ") }
}

/// How many sections there are of each kind, and their bytes.
fn sizes(sections: &[Section]) -> String {
    let mut kinds: Vec<(SectionKind, usize, usize)> = Vec::new();
    for s in sections {
        match kinds.iter_mut().find(|(kind, ..)| *kind == s.kind) {
            Some((_, n, all)) => (*n, *all) = (*n + 1, *all + s.range.len()),
            None => kinds.push((s.kind, 1, s.range.len())),
        }
    }
    let each = kinds.iter().map(|(kind, n, all)| format!("{} {} ({})", n, kind.name(), bytes(*all as u64)));
    each.collect::<Vec<_>>().join(", ")
}

/// The same for programs; null for models of other kinds.
pub fn to_json(model: &Model) -> Value {
    let (Some(r), Some(sections)) = (model.recipe(), model.sections()) else { return Value::Null };
    let passes: serde_json::Map<_, _> = r.passes.iter().map(|(pass, n)| (pass.clone(), (*n).into())).collect();
    let packed: serde_json::Map<_, _> = model.packed_for().into_iter().map(|(m, n)| (m, n.into())).collect();
    let sections: Vec<Value> = sections
        .iter()
        .map(|s| json!({"kind": s.kind.name(), "offset": s.range.start, "bytes": s.range.len(), "crc32": s.checksum}))
        .collect();
    json!({
        "tool": r.tool, "source": r.source, "source_sha256": r.source_sha256, "optimized": r.optimized,
        "passes": passes, "compression": r.compression, "packed_blocks": packed, "sections": sections,
    })
}
