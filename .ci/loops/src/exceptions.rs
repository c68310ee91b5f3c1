//! Loops that may touch the stack, and why.

/// An exception for the loops of one function.
#[derive(Debug, PartialEq, Eq)]
pub struct Exception {
    /// A part of the function's name.
    pub function: String,
    /// At most so many instructions of a loop may touch the stack.
    pub most: usize,
    pub used: bool,
}

impl Exception {
    pub fn covers(&self, function: &str, touching: usize) -> bool {
        function.contains(&self.function) && touching <= self.most
    }
}

/// Reads lines of `COUNT FUNCTION # REASON`. Blank lines and lines that begin with `#` are skipped.
pub fn parse(text: &str) -> Result<Vec<Exception>, String> {
    let lines = text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#'));
    lines
        .map(|line| {
            let wrong = || format!("'{line}' is not COUNT FUNCTION # REASON");
            let (rule, reason) = line.split_once(" # ").ok_or_else(wrong)?;
            let (most, function) = rule.trim().split_once(' ').ok_or_else(wrong)?;
            if reason.trim().is_empty() || function.trim().is_empty() {
                return Err(wrong());
            }
            let most = most.parse().map_err(|_| wrong())?;
            Ok(Exception { function: function.trim().into(), most, used: false })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exceptions_have_a_count_a_function_and_a_reason() {
        let found = parse("# a comment\n\n2 dense::conv::tile # the count of rows\n").unwrap();
        assert_eq!(found, [Exception { function: "dense::conv::tile".into(), most: 2, used: false }]);
        assert!(found[0].covers("paring_dense::conv::tile::<8>", 2) && !found[0].covers("dense::conv::tile", 3));
        for wrong in ["2 dense::conv", "dense::conv # why", "2 # why", "2 dense::conv # "] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
