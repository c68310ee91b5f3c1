//! Reports as pages: one file each, no network, no scripts.

const STYLE: &str = include_str!("page.css");

/// A whole page around `body`, which is HTML; `title` is too, and `what` says what kind of report it is.
pub fn document(title: &str, what: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{title} - {what}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n{body}</main>\n</body>\n\
         </html>\n"
    )
}

/// Text that says nothing to an HTML parser, neither between tags nor within a quoted attribute.
pub fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c if c.is_control() => safe.push('\u{fffd}'),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_nothing_to_the_parser() {
        assert_eq!(escape("a<b>&\"c'\0\u{1b}é"), "a&lt;b&gt;&amp;&quot;c&#39;\u{fffd}\u{fffd}é");
    }
}
