//! Names of values, and what they stand for.

use crate::{ImportError, tensor::shown};
use paring_ir::ValueId;
use std::collections::HashMap;

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Slot {
    Value(ValueId),
    /// The output of a node that could not be imported.
    Missing,
}

/// The names of a graph, over those of the graphs around it.
#[derive(Default)]
pub(crate) struct Scopes {
    levels: Vec<HashMap<String, (Slot, String)>>,
    /// Below this level nothing is seen: a function sees nothing of its caller.
    floor: usize,
}

impl Scopes {
    pub(crate) fn enter(&mut self) {
        self.levels.push(HashMap::new());
    }

    pub(crate) fn leave(&mut self) {
        self.levels.pop();
    }

    /// Enters a function; returns what [`Scopes::leave_function`] wants.
    pub(crate) fn enter_function(&mut self) -> usize {
        self.enter();
        std::mem::replace(&mut self.floor, self.levels.len() - 1)
    }

    pub(crate) fn leave_function(&mut self, floor: usize) {
        self.floor = floor;
        self.leave();
    }

    pub(crate) fn get(&self, name: &str) -> Option<Slot> {
        self.levels[self.floor..].iter().rev().find_map(|l| l.get(name)).map(|(slot, _)| *slot)
    }

    /// Whether the innermost level has that name.
    pub(crate) fn is_own(&self, name: &str) -> bool {
        self.levels.last().is_some_and(|l| l.contains_key(name))
    }

    /// Gives `name` its meaning. `by` says what defines it, for messages.
    pub(crate) fn define(&mut self, name: &str, slot: Slot, by: &str) -> Result<(), ImportError> {
        let Some(level) = self.levels.last_mut() else { return Ok(()) };
        if let Some((_, first)) = level.get(name) {
            return Err(ImportError::Duplicate { value: shown(name), first: first.clone(), second: by.into() });
        }
        level.insert(name.into(), (slot, by.into()));
        Ok(())
    }
}
