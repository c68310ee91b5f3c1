//! Weights as the tile reads them: rows of four bytes for each column of a panel.
//!
//! A row multiplies four neighbouring bytes of the input. Where two neighbouring weights could exceed sixteen bits
//! together (see [`paring_simd::bytes::fits`]), as much of them as fits goes into one row and the rest into another on
//! the same inputs: the sum is exact for any weights, and costs more only where they are large. So are weights with a
//! zero point, whose range is wider than a byte. Rows of nothing but zeros are left out. Instructions that add products
//! in 32 bits need more rows for the latter alone: see [`Room`].

use crate::family::Target;
use core::ops::Range;
use paring_core::{AlignedBuf, AllocError};
use paring_kernel::Offer;

/// Inputs that a row multiplies.
pub const QUAD: usize = 4;

/// What a row has room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// Neighbours that fit sixteen bits together.
    Pairs,
    /// Any four bytes.
    Any,
}

impl Room {
    /// What [`paring_simd::Bytes::dot`] asks for.
    pub fn of(target: Target) -> Room {
        if target.any_weights { Room::Any } else { Room::Pairs }
    }

    /// That of an offer whose variant it is.
    pub fn of_offer(o: &Offer) -> Room {
        if o.variant == Room::Any as u32 { Room::Any } else { Room::Pairs }
    }

    /// Names the packed format.
    pub fn name(self) -> &'static str {
        match self {
            Room::Pairs => "pairs",
            Room::Any => "any",
        }
    }

    /// As much of two weights as there is room for, and what is left.
    fn split(self, a: i32, b: i32) -> ([i8; 2], [i32; 2]) {
        /// Most that two neighbours of one sign may make together: 255 times that fits sixteen bits.
        const MOST: i32 = 128;
        let first = a.clamp(-MOST, MOST - 1);
        let room = if self == Room::Pairs && (first < 0) == (b < 0) { MOST - first.abs() } else { MOST };
        let second = b.clamp(-room, room.min(MOST - 1));
        ([first as i8, second as i8], [a - first, b - second])
    }

    /// Whether one row has room for a quad.
    pub fn fits_one(self, quad: &[[i32; QUAD]]) -> bool {
        // Unlike signs never exceed a byte's range where like ones do not exceed 127 together.
        let pair = |a: i32, b: i32| match self {
            Room::Pairs => a.abs() + b.abs() <= 127,
            Room::Any => i8::try_from(a).is_ok() && i8::try_from(b).is_ok(),
        };
        quad.iter().all(|w| pair(w[0], w[1]) && pair(w[2], w[3]))
    }

    /// Rows that two neighbours take that are bytes: two where they are of one sign and too large together. In words, as
    /// many of them are looked at together.
    #[inline(always)]
    pub fn rows_of(self, a: i8, b: i8) -> i16 {
        let (a, b) = (i16::from(a), i16::from(b));
        let apart = self == Room::Pairs && (a + b).abs() > 128;
        i16::from(a | b != 0) + i16::from(apart)
    }

    /// The most rows that two neighbours take that are bytes.
    pub fn most_rows(self) -> i16 {
        if self == Room::Pairs { 2 } else { 1 }
    }

    /// Rows that [`Rows::push`] makes of a quad.
    pub fn needed(self, quad: &[[i32; QUAD]]) -> usize {
        if self.fits_one(quad) {
            return usize::from(quad.iter().any(|w| *w != [0; QUAD]));
        }
        let pair = |mut a: i32, mut b: i32| {
            let mut rows = 0;
            while (a, b) != (0, 0) {
                ([_, _], [a, b]) = self.split(a, b);
                rows += 1;
            }
            rows
        };
        quad.iter().map(|w| pair(w[0], w[1]).max(pair(w[2], w[3]))).max().unwrap_or(0)
    }
}

/// The rows of all panels while they are made.
pub struct Rows {
    room: Room,
    /// Where the four inputs of each row lie, as an index that the kernel knows how to read.
    sources: Vec<u32>,
    /// Rows of each panel.
    counts: Vec<u32>,
    /// Weights, a row of a panel of `n` columns being `4 n` bytes.
    weights: Vec<i8>,
    /// The sum of the weights of each column, panel by panel, modulo 2^32.
    sums: Vec<i32>,
}

impl Rows {
    /// None yet.
    pub fn new(room: Room) -> Rows {
        Rows { room, sources: vec![], counts: vec![], weights: vec![], sums: vec![] }
    }

    /// Begins a panel of `width` columns.
    pub fn panel(&mut self, width: usize) {
        self.counts.push(0);
        self.sums.resize(self.sums.len() + width, 0);
    }

    /// Begins a row for the inputs at `source`.
    fn begin(&mut self, source: u32) {
        self.sources.push(source);
        *self.counts.last_mut().expect("a panel was begun") += 1;
    }

    /// Adds weights of the columns of the panel to their sums.
    fn count(&mut self, quad: &[[i32; QUAD]]) {
        let at = self.sums.len() - quad.len();
        for (sum, w) in self.sums[at..].iter_mut().zip(quad) {
            *sum = sum.wrapping_add(w.iter().sum());
        }
    }

    /// Adds one row for `quad`, four weights for each column of the panel that are bytes, even if all are zero.
    pub fn push_one(&mut self, source: u32, quad: &[[i32; QUAD]]) {
        self.count(quad);
        self.begin(source);
        self.weights.extend(quad.as_flattened().iter().map(|&w| w as i8));
    }

    /// As [`Rows::push_one`], two rows: for `first` and, at the source after, for `second`. Both fours of a column are
    /// neighbours.
    pub fn push_eights(&mut self, source: u32, first: &[[i32; QUAD]], second: &[[i32; QUAD]]) {
        for (source, quad) in [(source, first), (source + 1, second)] {
            self.count(quad);
            self.begin(source);
        }
        self.weights.extend(first.iter().zip(second).flat_map(|(a, b)| a.iter().chain(b)).map(|&w| w as i8));
    }

    /// Adds what `quad`, four weights for each column of the panel, takes to multiply the inputs at `source`.
    pub fn push(&mut self, source: u32, quad: &mut [[i32; QUAD]]) {
        if self.room.fits_one(quad) && quad.iter().any(|w| *w != [0; QUAD]) {
            return self.push_one(source, quad);
        }
        self.count(quad);
        while quad.iter().flatten().any(|&w| w != 0) {
            self.begin(source);
            for w in quad.iter_mut() {
                let ([a, b], [left_a, left_b]) = self.room.split(w[0], w[1]);
                let ([c, d], [left_c, left_d]) = self.room.split(w[2], w[3]);
                self.weights.extend([a, b, c, d]);
                *w = [left_a, left_b, left_c, left_d];
            }
        }
    }

    /// Adds a row of words: two weights for each column, for the inputs at `source`.
    pub fn push_words(&mut self, source: u32, pair: impl Iterator<Item = [i32; 2]>) {
        self.begin(source);
        for word in pair.flatten() {
            self.weights.extend((word as i16).to_le_bytes().map(|b| b as i8));
        }
    }

    /// Bytes of [`Rows::pack`].
    fn bytes(&self) -> usize {
        self.weights_at() + self.weights.len()
    }

    fn weights_at(&self) -> usize {
        (size_of::<u32>() * (1 + self.counts.len() + self.sources.len() + self.sums.len())).next_multiple_of(64)
    }

    /// All of it in one piece: the number of rows, counts, sources, sums, and on the next cache line the weights.
    pub fn pack(&self) -> Result<AlignedBuf, AllocError> {
        let mut buf = AlignedBuf::zeroed(self.bytes())?;
        let (head, weights) = buf.as_mut_slice().split_at_mut(self.weights_at());
        let head: &mut [u32] = bytemuck::cast_slice_mut(head);
        let words = core::iter::once(self.sources.len() as u32).chain(self.counts.iter().copied());
        let words = words.chain(self.sources.iter().copied()).chain(self.sums.iter().map(|&s| s as u32));
        head.iter_mut().zip(words).for_each(|(to, word)| *to = word);
        weights.copy_from_slice(bytemuck::cast_slice(&self.weights));
        Ok(buf)
    }
}

/// Counts bytes of rows that are not made.
#[derive(Default)]
pub struct Count {
    words: usize,
    weights: usize,
}

impl Count {
    /// A panel of so many rows.
    pub fn panel(&mut self, width: usize, rows: usize) {
        self.words += 1 + rows + width;
        self.weights += rows * width * QUAD;
    }

    /// Bytes of all panels when [packed](Rows::pack).
    pub fn bytes(&self) -> usize {
        (size_of::<u32>() * (1 + self.words)).next_multiple_of(64) + self.weights
    }
}

/// One panel of packed rows.
#[derive(Clone, Debug, PartialEq)]
pub struct PanelRows {
    /// Its rows among those of all panels.
    pub rows: Range<usize>,
    /// Its weights, as bytes of the whole.
    pub weights: Range<usize>,
}

/// Packed rows of panels, read back.
#[derive(Clone, Debug)]
pub struct Layout {
    pub panels: Vec<PanelRows>,
    /// Where the inputs of each row lie.
    pub sources: Vec<u32>,
    /// The sum of the weights of each column.
    pub sums: Vec<i32>,
}

impl Layout {
    /// Of panels of these widths; `None` where `bytes` are not theirs.
    pub fn read(bytes: &[u8], widths: &[usize]) -> Option<Layout> {
        let words: &[u32] = bytemuck::try_cast_slice(bytes.get(..bytes.len() / 4 * 4)?).ok()?;
        let rows = *words.first()? as usize;
        let columns: usize = widths.iter().sum();
        let end = rows.checked_add(1 + widths.len())?.checked_add(columns)?;
        let (counts, rest) = words.get(1..end)?.split_at(widths.len());
        let (sources, sums) = rest.split_at(rows);
        let (mut row, mut byte) = (0, (end * size_of::<u32>()).next_multiple_of(64));
        let panels = counts.iter().zip(widths).map(|(&count, width)| {
            let (rows, weights) = (count as usize, count as usize * width * QUAD);
            let panel = PanelRows { rows: row..row + rows, weights: byte..byte + weights };
            (row, byte) = (row + rows, byte + weights);
            panel
        });
        let panels = panels.collect();
        let sums = sums.iter().map(|&s| s as i32).collect();
        (row == rows && byte == bytes.len()).then_some(Layout { panels, sources: sources.to_vec(), sums })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use paring_simd::bytes::fits;

    /// Splits two weights into as many rows as they take.
    fn rows_of(room: Room, a: i32, b: i32) -> Vec<[i8; 2]> {
        let (mut left, mut rows) = ([a, b], vec![]);
        while left != [0, 0] {
            let (row, rest) = room.split(left[0], left[1]);
            rows.push(row);
            left = rest;
        }
        let sum = |i: usize| rows.iter().map(|r| i32::from(r[i])).sum::<i32>();
        assert_eq!([sum(0), sum(1)], [a, b]);
        assert_eq!(room.needed(&[[0, 0, a, b]]), rows.len());
        rows
    }

    #[test]
    fn pairs_are_split_without_loss_into_rows_that_fit() {
        for a in -300..=300 {
            for b in -300..=300 {
                let rows = rows_of(Room::Pairs, a, b);
                assert!(rows.iter().all(|r| fits(r[0], r[1])), "{a} {b}: {rows:?}");
                let alone = a.abs() + b.abs() <= 127;
                assert!(rows.len() <= 6 && (!alone || rows.len() <= 1), "{a} {b} took {} rows", rows.len());
                let any = rows_of(Room::Any, a, b).len();
                if let (Ok(x), Ok(y)) = (i8::try_from(a), i8::try_from(b)) {
                    let bytes = [Room::Pairs, Room::Any].map(|room| room.rows_of(x, y) as usize);
                    assert_eq!(bytes, [rows.len(), any], "{a} {b}");
                }
                assert!(
                    any <= 3 && (any <= 1 || [a, b].iter().any(|&w| i8::try_from(w).is_err())),
                    "{a} {b} took {any}"
                );
            }
        }
    }

    #[test]
    fn eights_are_two_rows_whose_columns_are_neighbours() {
        let (a, b) = ([[1, 2, 3, 4], [5, 6, 7, 8]], [[-1, -2, -3, -4], [-5, -6, -7, -128]]);
        let mut rows = Rows::new(Room::Any);
        rows.panel(2);
        rows.push_eights(6, &a, &b);
        let packed = rows.pack().unwrap();
        let read = Layout::read(packed.as_slice(), &[2]).unwrap();
        assert_eq!((read.sources, read.sums), (vec![6, 7], vec![0, 26 - 146]));
        let weights: &[i8] = bytemuck::cast_slice(&packed.as_slice()[read.panels[0].weights.clone()]);
        assert_eq!(weights, [1, 2, 3, 4, -1, -2, -3, -4, 5, 6, 7, 8, -5, -6, -7, -128]);
    }

    #[test]
    fn rows_read_back_as_they_were_packed() {
        let mut rows = Rows::new(Room::Pairs);
        rows.panel(2);
        rows.push(7, &mut [[1, 2, 3, 4], [0, 0, 0, -5]]);
        rows.push(8, &mut [[0; 4]; 2]);
        rows.panel(1);
        rows.push(9, &mut [[127, 127, 0, 0]]);
        let packed = rows.pack().unwrap();
        let mut count = Count::default();
        count.panel(2, Room::Pairs.needed(&[[1, 2, 3, 4], [0, 0, 0, -5]]) + Room::Pairs.needed(&[[0; 4]; 2]));
        count.panel(1, Room::Pairs.needed(&[[127, 127, 0, 0]]));
        assert_eq!(packed.as_slice().len(), count.bytes());
        let read = Layout::read(packed.as_slice(), &[2, 1]).unwrap();
        assert_eq!(read.panels.iter().map(|p| p.rows.clone()).collect::<Vec<_>>(), [0..1, 1..3]);
        assert_eq!(read.sources, [7, 9, 9]);
        assert_eq!(read.sums, [10, -5, 254]);
        assert_eq!(packed.as_slice()[read.panels[0].weights.clone()], [1, 2, 3, 4, 0, 0, 0, 251]);
        assert!(Layout::read(packed.as_slice(), &[1, 1]).is_none());
        assert!(Layout::read(&packed.as_slice()[..3], &[2, 1]).is_none());
    }
}
