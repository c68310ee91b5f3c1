//! Weights of a layer row by row, a row being what shares a scale.

use crate::weights::Form;

/// How the weights of a layer, channel after channel, are cut into rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cut {
    /// Parts that are cut by themselves: the output channels, or the layer as a whole.
    pub parts: usize,
    /// Weights of a part.
    pub part: usize,
    /// Rows of a part.
    pub groups: usize,
    /// Weights of a row; the last of a part may have fewer.
    pub row: usize,
}

impl Cut {
    /// A row for each channel, or several of about `group` weights: as even as can be, so that the last is hardly shorter.
    pub fn channels(channels: usize, weights: usize, group: Option<usize>) -> Cut {
        let part = weights.checked_div(channels).unwrap_or(0);
        let groups = group.map_or(1, |g| part.div_ceil(g.max(1))).max(1);
        let row = part.div_ceil(groups).max(1);
        Cut { parts: channels, part, groups: part.div_ceil(row).max(1), row }
    }

    /// One row for all.
    pub fn whole(weights: usize) -> Cut {
        Cut { parts: 1, part: weights, groups: 1, row: weights.max(1) }
    }

    pub fn rows(&self) -> usize {
        self.parts * self.groups
    }

    /// The row of a weight, channel after channel.
    pub fn row_of(&self, i: usize) -> usize {
        i / self.part.max(1) * self.groups + i % self.part.max(1) / self.row
    }

    /// The rows of something for each weight.
    pub fn split<'a, T>(&self, all: &'a [T]) -> impl Iterator<Item = &'a [T]> + use<'a, T> {
        let row = self.row;
        all.chunks(self.part.max(1)).flat_map(move |part| part.chunks(row))
    }

    /// The same, to write to.
    pub fn split_mut<'a, T>(&self, all: &'a mut [T]) -> impl Iterator<Item = &'a mut [T]> + use<'a, T> {
        let row = self.row;
        all.chunks_mut(self.part.max(1)).flat_map(move |part| part.chunks_mut(row))
    }
}

/// What the codes of a layer stand for, next to the scales of their rows.
#[derive(Clone, Debug, PartialEq)]
pub enum Book {
    /// Code times scale.
    Grid,
    /// Twice the code and one, times scale: as many values below zero as above it, and none at it.
    Odd,
    /// The entry of the code, in units of the scale. Codes begin at a negative number: entry 0 is of the least.
    Layer(Vec<f32>),
    /// For each row entries of its own, without a scale.
    Rows(Vec<f32>),
}

/// Weights as whole numbers of few bits, channel after channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Coded {
    pub bits: u32,
    pub cut: Cut,
    pub codes: Vec<i8>,
    /// For each row.
    pub scales: Vec<f32>,
    pub book: Book,
}

impl Coded {
    /// The least code is the negative of that.
    pub fn half(&self) -> i32 {
        half(self.bits)
    }

    /// Bytes of codes, scales and codebook, but for what fills up a last byte.
    pub fn bytes(&self) -> usize {
        let scales = 4 * self.scales.len();
        let tables = match &self.book {
            Book::Grid | Book::Odd => scales,
            Book::Layer(book) => scales + 4 * book.len(),
            // Where the entries of a row begin takes as much as a scale.
            Book::Rows(books) => scales + 4 * books.len(),
        };
        tables + (self.cut.rows() * self.cut.row).min(self.codes.len() + self.cut.rows()) * self.bits as usize / 8
    }

    /// What the code of weight `i` stands for.
    pub fn real(&self, i: usize) -> f32 {
        self.value(self.cut.row_of(i), self.codes[i])
    }

    /// What a code stands for in a row.
    pub fn value(&self, row: usize, code: i8) -> f32 {
        let entry = (i32::from(code) + self.half()) as usize;
        match &self.book {
            Book::Grid => f32::from(code) * self.scales[row],
            Book::Odd => f32::from(2 * i16::from(code) + 1) * self.scales[row],
            Book::Layer(book) => book[entry] * self.scales[row],
            Book::Rows(books) => books[row * 2 * self.half() as usize + entry],
        }
    }

    /// The least and the greatest code.
    pub fn codes(&self) -> [i8; 2] {
        let least = if self.book == Book::Grid { 1 - self.half() } else { -self.half() };
        [least as i8, (self.half() - 1) as i8]
    }

    /// Sum of squares of the differences to `weights`.
    pub fn noise(&self, weights: &[f32]) -> f64 {
        let off = |(i, &w): (usize, &f32)| (f64::from(self.real(i)) - f64::from(w)).powi(2);
        weights.iter().enumerate().map(off).sum()
    }
}

/// Half of the codes of `bits` bits, which are whole numbers, as many below zero as from zero on.
pub fn half(bits: u32) -> i32 {
    1 << (bits.clamp(1, 8) - 1)
}

/// The weights of a layer, channel after channel.
pub fn by_channel(weights: &[f32], form: &Form) -> Vec<f32> {
    let mut out = Vec::with_capacity(weights.len());
    for c in 0..form.channels {
        form.each(c, |at, _| out.push(weights[at]));
    }
    out
}

/// Back to where they lie in the file.
pub fn in_place<T: Copy + Default>(by_channel: &[T], form: &Form) -> Vec<T> {
    let mut out = vec![T::default(); by_channel.len()];
    let mut next = by_channel.iter();
    for c in 0..form.channels {
        form.each(c, |at, _| out[at] = next.next().copied().unwrap_or_default());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_even() {
        assert_eq!(Cut::channels(2, 18, Some(32)), Cut { parts: 2, part: 9, groups: 1, row: 9 });
        let cut = Cut::channels(3, 30, Some(4));
        assert_eq!((cut.groups, cut.row, cut.rows()), (3, 4, 9));
        let all: Vec<usize> = (0..30).collect();
        let rows: Vec<&[usize]> = cut.split(&all).collect();
        assert_eq!((rows.len(), rows[2], rows[3]), (9, &[8, 9][..], &[10, 11, 12, 13][..]));
        for (i, row) in rows.iter().enumerate() {
            assert!(row.iter().all(|&w| cut.row_of(w) == i));
        }
        assert_eq!(Cut::channels(1, 0, Some(4)).rows(), 1);
        assert_eq!(Cut::whole(7).rows(), 1);
    }

    #[test]
    fn columns_come_back_to_their_places() {
        let form = Form { channels: 3, channel_stride: 1, depth: 2, depth_stride: 3, taps: 1, group: 3 };
        let weights = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0];
        let rows = by_channel(&weights, &form);
        assert_eq!(rows, [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
        assert_eq!(in_place(&rows, &form), weights);
    }
}
