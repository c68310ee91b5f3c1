//! Handles: numbers that stand for objects, and that nothing but the table they are from knows.

use crate::status::{Failure, Result};
use std::sync::{PoisonError, RwLock};

/// Bits of a handle that say what kind of object it stands for.
const KIND_BITS: u32 = 4;
/// Bits that say which slot; those above count how often the slot was used.
const INDEX_BITS: u32 = usize::BITS / 2 - KIND_BITS;

/// All objects of one kind that callers have handles of.
pub(crate) struct Table<T> {
    kind: usize,
    what: &'static str,
    slots: RwLock<Slots<T>>,
}

struct Slots<T> {
    list: Vec<Slot<T>>,
    free: Vec<usize>,
}

struct Slot<T> {
    /// How often it was used, as far as a handle has room for it.
    uses: usize,
    value: Option<T>,
}

impl<T> Table<T> {
    /// An empty table. No two have the same `kind`, which is above 0 and below 16.
    pub const fn new(kind: usize, what: &'static str) -> Table<T> {
        assert!(0 < kind && kind < 1 << KIND_BITS);
        Table { kind, what, slots: RwLock::new(Slots { list: Vec::new(), free: Vec::new() }) }
    }

    /// Takes in an object. The handle is never 0.
    pub fn insert(&self, value: T) -> Result<usize> {
        let mut slots = self.slots.write().unwrap_or_else(PoisonError::into_inner);
        let index = match slots.free.pop() {
            Some(index) => index,
            None if slots.list.len() >> INDEX_BITS == 0 => {
                slots.list.push(Slot { uses: 0, value: None });
                slots.list.len() - 1
            }
            None => return Err(Failure::memory(format!("there are too many of kind {} at once", self.what))),
        };
        let slot = &mut slots.list[index];
        slot.value = Some(value);
        Ok(self.handle(index, slot.uses))
    }

    /// Gives the object back; nothing for a handle that stands for none.
    pub fn take(&self, handle: usize) -> Option<T> {
        let mut slots = self.slots.write().unwrap_or_else(PoisonError::into_inner);
        let index = self.index(handle);
        let slot = slots.list.get_mut(index).filter(|s| self.handle(index, s.uses) == handle)?;
        let value = slot.value.take()?;
        slot.uses = slot.uses.wrapping_add(1);
        slots.free.push(index);
        Some(value)
    }

    fn handle(&self, index: usize, uses: usize) -> usize {
        (uses << INDEX_BITS | index) << KIND_BITS | self.kind
    }

    fn index(&self, handle: usize) -> usize {
        handle >> KIND_BITS & ((1 << INDEX_BITS) - 1)
    }
}

impl<T: Clone> Table<T> {
    /// The object that `handle` stands for.
    pub fn get<H>(&self, handle: *const H) -> Result<T> {
        let slots = self.slots.read().unwrap_or_else(PoisonError::into_inner);
        let handle = handle.addr();
        let index = self.index(handle);
        let slot = slots.list.get(index).filter(|s| self.handle(index, s.uses) == handle);
        slot.and_then(|s| s.value.clone()).ok_or_else(|| {
            Failure::invalid(match handle {
                0 => format!("the {} is NULL", self.what),
                _ => format!("this is no {}, or one that was freed", self.what),
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static NUMBERS: Table<i32> = Table::new(1, "number");

    #[test]
    fn a_handle_stands_for_one_object_of_one_kind_until_that_is_taken() {
        let pointer = |h: usize| std::ptr::without_provenance::<u8>(h);
        let (a, b) = (NUMBERS.insert(1).unwrap(), NUMBERS.insert(2).unwrap());
        assert!(NUMBERS.get(pointer(a)).is_ok_and(|n| n == 1) && NUMBERS.get(pointer(b)).is_ok_and(|n| n == 2));
        assert_eq!((NUMBERS.take(a), NUMBERS.take(a)), (Some(1), None));
        let c = NUMBERS.insert(3).unwrap();
        assert_ne!(a, c, "the slot is used again, the handle is not");
        assert!(NUMBERS.get(pointer(a)).is_err());
        let other = Table::new(2, "other");
        let d = other.insert(0).unwrap();
        for wrong in [0, 1, d, usize::MAX, c ^ 1 << KIND_BITS] {
            assert!(NUMBERS.get(pointer(wrong)).is_err(), "{wrong}");
            assert_eq!(NUMBERS.take(wrong), None, "{wrong}");
        }
    }
}
