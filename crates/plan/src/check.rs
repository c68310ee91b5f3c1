//! A second opinion on memory: replays a plan on an imaginary arena and looks for bytes that are read after something
//! else was written over them. Shares no code with the placement that it checks.

use crate::{Location, Plan, Slot};

/// What lies in a range of the arena: so many bytes of a value, from its byte `from` on.
#[derive(Clone, Copy, Debug)]
struct Piece {
    at: usize,
    len: usize,
    root: u32,
    from: usize,
}

#[derive(Default)]
struct Imaginary {
    pieces: Vec<Piece>,
}

impl Imaginary {
    fn write(&mut self, at: usize, len: usize, root: u32, from: usize) {
        let mut kept = Vec::with_capacity(self.pieces.len() + 2);
        for p in &self.pieces {
            let (end, p_end) = (at + len, p.at + p.len);
            if p_end <= at || end <= p.at {
                kept.push(*p);
                continue;
            }
            if p.at < at {
                kept.push(Piece { len: at - p.at, ..*p });
            }
            if end < p_end {
                kept.push(Piece { at: end, len: p_end - end, root: p.root, from: p.from + (end - p.at) });
            }
        }
        kept.push(Piece { at, len, root, from });
        self.pieces = kept;
    }

    /// Whether all these bytes hold those of `root` from `from` on.
    fn holds(&self, at: usize, len: usize, root: u32, from: usize) -> bool {
        let covered: usize = self
            .pieces
            .iter()
            .filter(|p| p.root == root)
            .map(|p| {
                let (start, end) = (at.max(p.at), (at + len).min(p.at + p.len));
                let same = start < end && p.from + (start - p.at) == from + (start - at);
                if same { end - start } else { 0 }
            })
            .sum();
        covered == len
    }
}

/// Whether every step of `plan` reads just what earlier steps wrote, inside the arena, and no output overlaps an input
/// that is not taken over.
///
/// # Errors
/// A sentence about the first step that does not.
pub fn check(plan: &Plan) -> Result<(), String> {
    let arena = plan.memory().arena;
    let mut memory = Imaginary::default();
    let inside = |s: &Slot| s.location != Location::Arena || s.offset.checked_add(s.len).is_some_and(|e| e <= arena);
    for (n, step) in plan.steps.iter().enumerate() {
        let tell = |what: &str| Err(format!("step {n} '{}' ({}): {what}", step.name, step.kernel));
        for (i, s) in step.inputs.iter().enumerate() {
            let Some(s) = s else { continue };
            if !inside(s) {
                return tell(&format!("input {i} lies outside the arena"));
            }
            if s.location == Location::Arena && !memory.holds(s.offset, s.len, s.root, s.root_offset) {
                return tell(&format!("input {i} was overwritten or never written"));
            }
        }
        for (o, s) in step.outputs.iter().enumerate() {
            let Some(s) = s else { continue };
            if !inside(s) {
                return tell(&format!("output {o} lies outside the arena"));
            }
            let overlaps = |other: &Slot| {
                other.location == s.location && s.offset < other.offset + other.len && other.offset < s.offset + s.len
            };
            for (i, x) in step.inputs.iter().enumerate() {
                let taken = o == 0 && step.in_place == Some(i);
                if let Some(x) = x
                    && !taken
                    && overlaps(x)
                {
                    return tell(&format!("output {o} overlaps input {i}"));
                }
            }
            if step.outputs[..o].iter().flatten().any(overlaps) {
                return tell(&format!("output {o} overlaps another output"));
            }
            if matches!(s.location, Location::Input(_) | Location::Constant(_)) {
                return tell(&format!("output {o} is written into an input or constant"));
            }
            if s.location == Location::Arena {
                memory.write(s.offset, s.len, s.root, s.root_offset);
            }
        }
    }
    for (name, s) in &plan.kept {
        if s.location == Location::Arena && !memory.holds(s.offset, s.len, s.root, s.root_offset) {
            return Err(format!("kept value '{name}' was overwritten"));
        }
    }
    Ok(())
}
