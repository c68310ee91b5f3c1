//! How many rows weights take that are bytes as they lie, found without making those rows: a plan asks for each kernel
//! that may run a layer, of which one packs.

use crate::rows::{QUAD, Room};

/// Rows that every four neighbouring inputs take, for the columns seen so far.
pub struct Needed {
    room: Room,
    /// Positions of the window.
    taps: usize,
    /// At [input][tap]: rows that two neighbouring inputs take, the first of which is even. What stands at odd ones is of no
    /// use, but comes for less than leaving it out.
    most: Vec<i16>,
}

impl Needed {
    /// For so many fours of inputs, before any column is seen.
    pub fn new(room: Room, quads: usize, taps: usize) -> Needed {
        Needed { room, taps, most: vec![0; quads * QUAD * taps] }
    }

    /// Looks at columns, each the weights at [input][tap] from an input on, others being zero; not at all, where those seen
    /// take as many rows as any could.
    pub fn columns<'a>(&mut self, columns: impl Iterator<Item = (usize, &'a [i8])>) {
        for (first, weights) in columns {
            self.column(first, weights);
            if self.is_full() {
                return;
            }
        }
    }

    fn column(&mut self, first: usize, weights: &[i8]) {
        let (room, taps, end) = (self.room, self.taps, first + weights.len() / self.taps);
        for ((most, &a), &b) in self.most[first * taps..].iter_mut().zip(weights).zip(&weights[taps..]) {
            *most = room.rows_of(a, b).max(*most);
        }
        // Those whose neighbour belongs to no or to another column.
        let mut alone = |input: usize, weights: &[i8]| {
            for (most, &a) in self.most[input * taps..].iter_mut().zip(weights) {
                *most = room.rows_of(a, 0).max(*most);
            }
        };
        if first % 2 == 1 {
            alone(first - 1, &weights[..taps]);
        }
        if end % 2 == 1 {
            alone(end - 1, &weights[weights.len() - taps..]);
        }
    }

    /// Looks at the weights of neighbouring inputs, of which the first is even, in all columns. There is one tap.
    pub fn neighbours(&mut self, first: usize, a: &[i8], b: &[i8]) {
        let rows = a.iter().zip(b).map(|(&a, &b)| self.room.rows_of(a, b)).max().unwrap_or(0);
        self.most[first] = rows.max(self.most[first]);
    }

    /// Whether no column can take more.
    fn is_full(&self) -> bool {
        self.most.chunks_exact(self.taps).step_by(2).flatten().all(|&rows| rows == self.room.most_rows())
    }

    /// Rows at [four inputs][tap].
    pub fn quads(&self) -> Vec<usize> {
        let mut quads = Vec::with_capacity(self.most.len() / QUAD);
        for quad in self.most.chunks_exact(QUAD * self.taps) {
            let (first, second) = quad.split_at(2 * self.taps);
            quads.extend(first[..self.taps].iter().zip(second).map(|(&a, &b)| a.max(b) as usize));
        }
        quads
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What panels made of the same weights say.
    fn by_panels(room: Room, columns: &[(usize, Vec<i8>)], quads: usize, taps: usize) -> Vec<usize> {
        let at = |quad: usize, tap: usize| {
            let weight = |(first, weights): &(usize, Vec<i8>), input: usize| {
                let at = input.checked_sub(*first).map(|k| k * taps + tap);
                at.and_then(|at| weights.get(at)).map_or(0, |&w| i32::from(w))
            };
            let panel: Vec<[i32; QUAD]> =
                columns.iter().map(|c| core::array::from_fn(|i| weight(c, quad * QUAD + i))).collect();
            room.needed(&panel)
        };
        (0..quads).flat_map(|quad| (0..taps).map(move |tap| at(quad, tap))).collect()
    }

    #[test]
    fn rows_are_those_of_panels_wherever_columns_begin() {
        let mut seed = 1u32;
        for (taps, depth) in [(1, 1usize), (1, 7), (1, 8), (9, 3), (9, 4), (2, 5)] {
            for firsts in [[0, 0, 0], [1, 2, 3], [0, 5, 2]] {
                for most in [1, 60, 128] {
                    let mut weight = || {
                        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                        (((seed >> 24) as i32 - 128) * most / 128) as i8
                    };
                    let mut column = |first: usize| (first, (0..depth * taps).map(|_| weight()).collect());
                    let columns: Vec<(usize, Vec<i8>)> = firsts.map(&mut column).into();
                    let quads = (5 + depth).div_ceil(QUAD);
                    for room in [Room::Pairs, Room::Any] {
                        let mut needed = Needed::new(room, quads, taps);
                        needed.columns(columns.iter().map(|(first, weights)| (*first, &weights[..])));
                        let expected = by_panels(room, &columns, quads, taps);
                        assert_eq!(needed.quads(), expected, "{taps} {depth} {firsts:?} {most} {room:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn columns_may_come_side_by_side() {
        let columns: [&[i8]; 2] = [&[0, 0, 127, 2, -128, -128], &[0, 0, 127, 1, 3, 5]];
        for room in [Room::Pairs, Room::Any] {
            let [mut one_by_one, mut beside] = [0; 2].map(|_| Needed::new(room, 2, 1));
            one_by_one.columns(columns.iter().map(|&weights| (0, weights)));
            for k in [0, 2, 4] {
                beside.neighbours(k, &columns.map(|c| c[k]), &columns.map(|c| c[k + 1]));
            }
            assert_eq!(beside.quads(), one_by_one.quads());
            assert!(!beside.is_full());
        }
    }

    #[test]
    fn columns_that_take_the_most_end_the_search() {
        for (room, zero, full) in [(Room::Any, [1, 1, 0, 0], [1; 4]), (Room::Pairs, [127, 127, 127, 0], [127; 4])] {
            let mut needed = Needed::new(room, 1, 1);
            needed.columns([(0, &zero[..])].into_iter());
            assert!(!needed.is_full());
            needed.columns([(0, &full[..]), (0, &[-128; 4])].into_iter());
            assert!(needed.is_full());
            assert_eq!(needed.quads(), [room.most_rows() as usize]);
        }
    }
}
