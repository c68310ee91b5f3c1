//! Tables that fit the terminal, and stay whole in a pipe.

use crate::output::Console;
use comfy_table::{CellAlignment, ContentArrangement, LineStyle, Table, presets};

/// Side to which a column is flush.
#[derive(Clone, Copy, PartialEq)]
pub enum Side {
    Left,
    Right,
}

/// A table under construction.
pub struct Grid {
    table: Table,
    sides: Vec<Side>,
}

impl Grid {
    /// A table with these columns.
    pub fn new(console: &Console, columns: &[(&str, Side)]) -> Grid {
        let mut table = Table::new();
        table.load_style(presets::UTF8_HORIZONTAL_ONLY.row_separator(LineStyle::none()));
        match console.width() {
            Some(w) => {
                table.set_width(w).set_content_arrangement(ContentArrangement::Dynamic);
            }
            None => {
                table.set_content_arrangement(ContentArrangement::Disabled);
            }
        }
        table.set_header(columns.iter().map(|(name, _)| *name));
        Grid { table, sides: columns.iter().map(|&(_, side)| side).collect() }
    }

    /// Adds a row of as many cells as there are columns.
    pub fn row(&mut self, cells: Vec<String>) {
        debug_assert_eq!(cells.len(), self.sides.len());
        self.table.add_row(cells.into_iter().map(|c| printable(&c)));
    }

    /// The finished table.
    pub fn text(mut self) -> String {
        for (i, side) in self.sides.iter().enumerate() {
            if let Some(column) = self.table.column_mut(i) {
                column.set_cell_alignment(match side {
                    Side::Left => CellAlignment::Left,
                    Side::Right => CellAlignment::Right,
                });
            }
        }
        let mut text = self.table.trim_fmt();
        text.push('\n');
        text
    }
}

/// Names come from files: control characters must not reach the terminal.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_replaced() {
        assert_eq!(printable("a\x1b[31mb\nc"), "a\u{fffd}[31mb\nc");
    }
}
