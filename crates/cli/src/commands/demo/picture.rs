//! Grey pictures as text: one character shows two pixels, one above the other.

/// Shades from dark to light.
const SHADES: &[u8] = b" .:-=+*#%@";

/// Rows of text for a picture of `width` columns: half blocks in colour, letters of rising weight without.
pub fn draw(pixels: &[u8], width: usize, colour: bool) -> Vec<String> {
    let rows: Vec<&[u8]> = pixels.chunks_exact(width).collect();
    let row = |pair: &[&[u8]]| {
        let (top, bottom) = (pair[0], pair[pair.len() - 1]);
        let pairs = top.iter().zip(bottom);
        if colour {
            pairs.map(|(&t, &b)| block(t, b)).collect::<String>() + "\x1b[0m"
        } else {
            pairs.map(|(&t, &b)| shade(t, b)).collect()
        }
    };
    rows.chunks(2).map(row).collect()
}

fn block(top: u8, bottom: u8) -> String {
    format!("\x1b[38;2;{top};{top};{top};48;2;{bottom};{bottom};{bottom}m▀")
}

fn shade(top: u8, bottom: u8) -> char {
    let mean = (usize::from(top) + usize::from(bottom)) / 2;
    char::from(SHADES[mean * (SHADES.len() - 1) / 255])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_pixels_per_character() {
        let pixels = [0, 255, 128, 0, 255, 128, 255, 255, 255];
        assert_eq!(draw(&pixels, 3, false), [" @=", "@@@"]);
        let coloured = draw(&pixels, 3, true);
        assert_eq!(coloured.iter().map(|l| l.matches('▀').count()).collect::<Vec<_>>(), [3, 3]);
        assert!(coloured[0].ends_with("\x1b[0m"));
    }
}
