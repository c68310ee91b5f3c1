//! Patterns for names of layers.

/// Whether `name` is as `pattern` says, in which `*` stands for any characters and `?` for one.
pub fn fits(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    // After the last star that was met, and where what it stands for ends.
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                p += 1;
                star = Some((p, n));
            }
            Some(&c) if c == '?' || c == name[n] => (p, n) = (p + 1, n + 1),
            _ => {
                let Some((after, end)) = star else { return false };
                // The star takes one more; those before it need not be looked at again.
                star = Some((after, end + 1));
                (p, n) = (after, end + 1);
            }
        }
    }
    pattern[p..].iter().all(|&c| c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_and_question_marks() {
        for (pattern, name) in [("a", "a"), ("*", ""), ("*", "ab"), ("a*c", "abcbc"), ("?b*", "ab"), ("**a", "ba")] {
            assert!(fits(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("a", "ab"), ("", "a"), ("?", ""), ("a*c", "abcb"), ("*b?", "ab"), ("ö?", "ö")] {
            assert!(!fits(pattern, name), "{pattern} {name}");
        }
        // Nothing that takes long.
        assert!(!fits(&"*a".repeat(500), &"a".repeat(499)));
    }
}
