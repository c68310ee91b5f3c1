//! Codes whose values are learnt: k-means, begun on the uniform grid (Gong et al. 2014, Han et al. 2016).

use super::balance::balance;
use super::rows::{Book, Coded, Cut, half};
use super::uniform;
use serde::Serialize;

/// Most rounds; the error hardly falls after a few.
const ROUNDS: usize = 30;
/// Part of the error that a round must take off for another to follow.
const GAIN: f64 = 1e-4;

/// Who shares a codebook.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Shared {
    /// All weights of a layer, whose rows have a scale each besides.
    #[default]
    Layer,
    /// The weights of a row.
    Channel,
}

/// Codes of `bits` bits, never with a greater squared error than [`uniform::code`] has.
pub fn code(weights: &[f32], cut: Cut, bits: u32, shared: Shared) -> Coded {
    let mut grid = uniform::code(weights, cut, bits);
    balance(weights, &mut grid);
    // As many values below zero as above it, over the range of the grid.
    let (codes, half) = (-half(bits)..half(bits), half(bits) as f32);
    let (own, even): (Vec<f32>, f32) = match grid.book {
        Book::Odd => (codes.clone().map(|c| (2 * c + 1) as f32).collect(), 2.0),
        _ => (codes.clone().map(|c| c as f32).collect(), (half - 1.0) / (half - 0.5)),
    };
    let levels: Vec<f32> = codes.map(|c| (c as f32 + 0.5) * even).collect();
    let mut learnt = match shared {
        Shared::Layer => of_layer(weights, &grid, &levels),
        Shared::Channel => of_rows(weights, &grid, &levels),
    };
    balance(weights, &mut learnt);
    if learnt.noise(weights) <= grid.noise(weights) { learnt } else { as_book(grid, &own, shared) }
}

/// The grid itself in the form of a codebook.
fn as_book(grid: Coded, levels: &[f32], shared: Shared) -> Coded {
    let book = match shared {
        Shared::Layer => Book::Layer(levels.to_vec()),
        Shared::Channel => Book::Rows(grid.scales.iter().flat_map(|s| levels.iter().map(move |l| l * s)).collect()),
    };
    Coded { book, ..grid }
}

fn of_layer(weights: &[f32], grid: &Coded, levels: &[f32]) -> Coded {
    let (mut coded, cut) = (grid.clone(), grid.cut);
    let (mut book, mut before) = (levels.to_vec(), f64::INFINITY);
    for _ in 0..ROUNDS {
        let assign = Assign::to(&book);
        let mut cells = vec![Cell::default(); book.len()];
        let mut error = 0.0;
        let rows = cut.split(weights).zip(cut.split_mut(&mut coded.codes));
        for ((row, codes), &scale) in rows.zip(&coded.scales) {
            error += assign.row(row, scale, codes, &mut cells);
        }
        if error >= before * (1.0 - GAIN) {
            break;
        }
        before = error;
        cells.iter().zip(&mut book).for_each(|(cell, entry)| *entry = cell.mean(*entry));
        let rows = cut.split(weights).zip(cut.split(&coded.codes));
        for ((row, codes), scale) in rows.zip(&mut coded.scales) {
            *scale = fitted(row, codes, &book, *scale);
        }
    }
    // The last change of the book came after the last look at which entry is nearest.
    let (assign, mut cells) = (Assign::to(&book), vec![Cell::default(); book.len()]);
    let rows = cut.split(weights).zip(cut.split_mut(&mut coded.codes));
    rows.zip(&coded.scales).for_each(|((row, codes), &scale)| _ = assign.row(row, scale, codes, &mut cells));
    Coded { book: Book::Layer(book), ..coded }
}

/// The scale of least error for these codes.
fn fitted(row: &[f32], codes: &[i8], book: &[f32], before: f32) -> f32 {
    let least = book.len() as i32 / 2;
    let (mut both, mut square) = (0f64, 0f64);
    for (&w, &code) in row.iter().zip(codes) {
        let entry = f64::from(book[(i32::from(code) + least) as usize]);
        both += f64::from(w) * entry;
        square += entry * entry;
    }
    let fitted = (both / square) as f32;
    if fitted.is_normal() && fitted > 0.0 { fitted } else { before }
}

fn of_rows(weights: &[f32], grid: &Coded, levels: &[f32]) -> Coded {
    let (mut coded, cut) = (grid.clone(), grid.cut);
    let mut books = Vec::with_capacity(levels.len() * grid.scales.len());
    let rows = cut.split(weights).zip(cut.split_mut(&mut coded.codes));
    for ((row, codes), scale) in rows.zip(&grid.scales) {
        let (mut book, mut before): (Vec<f32>, f64) = (levels.iter().map(|l| l * scale).collect(), f64::INFINITY);
        for _ in 0..ROUNDS {
            let mut cells = vec![Cell::default(); book.len()];
            let error = Assign::to(&book).row(row, 1.0, codes, &mut cells);
            if error >= before * (1.0 - GAIN) {
                break;
            }
            before = error;
            cells.iter().zip(&mut book).for_each(|(cell, entry)| *entry = cell.mean(*entry));
        }
        Assign::to(&book).row(row, 1.0, codes, &mut vec![Cell::default(); book.len()]);
        books.extend(book);
    }
    Coded { book: Book::Rows(books), ..coded }
}

/// Which entry of an ascending codebook is nearest.
struct Assign<'a> {
    book: &'a [f32],
    /// Midway between an entry and the next.
    borders: Vec<f32>,
}

impl<'a> Assign<'a> {
    fn to(book: &'a [f32]) -> Assign<'a> {
        Assign { book, borders: book.windows(2).map(|w| w[0] / 2.0 + w[1] / 2.0).collect() }
    }

    /// Codes a row, adds its weights to the cells of their entries, and returns the squared error.
    fn row(&self, row: &[f32], scale: f32, codes: &mut [i8], cells: &mut [Cell]) -> f64 {
        let (least, wide) = (self.book.len() as i32 / 2, f64::from(scale));
        let mut error = 0.0;
        for (code, &w) in codes.iter_mut().zip(row) {
            let x = w / scale;
            let entry = self.borders.partition_point(|&b| b < x);
            *code = (entry as i32 - least) as i8;
            error += (f64::from(w) - f64::from(self.book[entry]) * wide).powi(2);
            cells[entry].sum += f64::from(w) * wide;
            cells[entry].weight += wide * wide;
        }
        error
    }
}

/// The weights that one entry stands for.
#[derive(Clone, Copy, Debug, Default)]
struct Cell {
    sum: f64,
    weight: f64,
}

impl Cell {
    /// Where the error of the cell is least; an empty one stays where it is.
    fn mean(&self, before: f32) -> f32 {
        let mean = (self.sum / self.weight) as f32;
        if mean.is_finite() { mean } else { before }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coding::tests::normal;

    #[test]
    fn never_worse_than_uniform_at_the_same_bits() {
        for bits in 2..=8 {
            for (seed, power) in [(1, 1), (2, 3), (3, 5)] {
                let weights: Vec<f32> = normal(seed, 1200).iter().map(|w| w.powi(power)).collect();
                for cut in [Cut::channels(4, 1200, None), Cut::channels(4, 1200, Some(50)), Cut::whole(1200)] {
                    let mut grid = uniform::code(&weights, cut, bits);
                    balance(&weights, &mut grid);
                    let grid = grid.noise(&weights);
                    for shared in [Shared::Layer, Shared::Channel] {
                        let found = code(&weights, cut, bits, shared).noise(&weights);
                        assert!(found <= grid, "{bits} bits, {shared:?}, {cut:?}: {found} and {grid}");
                    }
                }
            }
        }
    }

    #[test]
    fn weights_of_few_values_are_found() {
        let values = [-0.9f32, -0.1, 0.2, 1.7];
        let weights: Vec<f32> = (0..64).map(|i| values[i * 7 % 4]).collect();
        let cut = Cut::whole(64);
        assert!(code(&weights, cut, 2, Shared::Channel).noise(&weights) < 1e-9);
        assert!(uniform::code(&weights, cut, 2).noise(&weights) > 1.0);
    }

    #[test]
    fn clearly_better_for_weights_with_long_tails() {
        let weights: Vec<f32> = normal(5, 4000).iter().map(|w| w.powi(3)).collect();
        let cut = Cut::channels(4, 4000, None);
        let (grid, learnt) = (uniform::code(&weights, cut, 3), code(&weights, cut, 3, Shared::Layer));
        assert!(learnt.noise(&weights) < 0.7 * grid.noise(&weights));
    }

    #[test]
    fn odd_rows_are_no_trouble() {
        for row in [&[0.0, 0.0][..], &[f32::MAX, -f32::MAX], &[1e-40, -1e-40], &[-3.0], &[1e-45, 1e38]] {
            for (bits, shared) in [(2, Shared::Layer), (8, Shared::Channel), (3, Shared::Layer)] {
                let coded = code(row, Cut::whole(row.len()), bits, shared);
                assert!(coded.noise(row).is_finite(), "{row:?}: {coded:?}");
            }
        }
    }
}
