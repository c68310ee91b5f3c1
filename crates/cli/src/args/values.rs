//! How values are spelled on the command line.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

#[derive(Clone, Debug, PartialEq)]
pub struct ShapeArg {
    pub name: Option<String>,
    pub dims: Vec<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LimitArg {
    Memory(usize),
    Time(Duration),
}

/// Size of an image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Extent {
    /// Both sides for a crop, the shorter side for a resize.
    Side(u32),
    /// Height and width.
    Exact(u32, u32),
}

/// Splits `NAME=FILE`; a file whose path contains `=` is recognised by being there.
pub fn split_input(text: &str) -> (Option<&str>, &Path) {
    match text.split_once('=') {
        Some((name, file)) if !name.is_empty() && !Path::new(text).exists() => (Some(name), Path::new(file)),
        _ => (None, Path::new(text)),
    }
}

pub fn parse_shape(text: &str) -> Result<ShapeArg, String> {
    let (name, dims) = match text.rsplit_once('=') {
        Some((name, dims)) => (Some(name.to_owned()), dims),
        None => (None, text),
    };
    let dims = if dims == "scalar" || dims.is_empty() && name.is_some() {
        Vec::new()
    } else {
        dims.split(['x', ','])
            .map(|d| d.trim().parse().map_err(|_| format!("`{d}` is not a size")))
            .collect::<Result<_, _>>()?
    };
    Ok(ShapeArg { name, dims })
}

pub fn parse_set(text: &str) -> Result<(String, usize), String> {
    let (name, size) = text.rsplit_once('=').ok_or("expected DIM=SIZE, such as N=8")?;
    Ok((name.to_owned(), size.parse().map_err(|_| format!("`{size}` is not a size"))?))
}

pub fn parse_limit(text: &str) -> Result<LimitArg, String> {
    match text.split_once('=') {
        Some(("mem", size)) => parse_bytes(size).map(LimitArg::Memory),
        Some(("time", s)) => {
            let seconds = s.strip_suffix('s').unwrap_or(s).parse::<f64>().ok().filter(|&s| s > 0.0);
            let time = seconds.and_then(|s| Duration::try_from_secs_f64(s).ok());
            time.map(LimitArg::Time).ok_or_else(|| format!("`{s}` is not a time in seconds"))
        }
        _ => Err("expected mem=BYTES or time=SECONDS".to_owned()),
    }
}

fn parse_bytes(text: &str) -> Result<usize, String> {
    let bare = text.trim_end_matches(['B', 'b', 'i']);
    let (digits, shift) = match bare.chars().last() {
        Some('k' | 'K') => (&bare[..bare.len() - 1], 10),
        Some('m' | 'M') => (&bare[..bare.len() - 1], 20),
        Some('g' | 'G') => (&bare[..bare.len() - 1], 30),
        _ => (bare, 0),
    };
    let n = digits.parse::<usize>().ok().and_then(|n| n.checked_mul(1 << shift));
    n.ok_or_else(|| format!("`{text}` is not a number of bytes, such as 512M"))
}

pub fn parse_count(text: &str) -> Result<usize, String> {
    match text {
        "all" => Ok(usize::MAX),
        _ => text.parse().ok().filter(|&n| n > 0).ok_or_else(|| format!("`{text}` is neither a number nor `all`")),
    }
}

pub fn parse_tolerance(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|&x: &f64| x >= 0.0).ok_or_else(|| format!("`{text}` is not a tolerance"))
}

pub fn parse_extent(text: &str) -> Result<Extent, String> {
    let side =
        |s: &str| s.parse().ok().filter(|n| (1..=16384).contains(n)).ok_or(format!("`{s}` is not a size in pixels"));
    match text.split_once('x') {
        Some((h, w)) => Ok(Extent::Exact(side(h)?, side(w)?)),
        None => Ok(Extent::Side(side(text)?)),
    }
}

pub fn parse_isa(text: &str) -> Result<paring::Isa, String> {
    paring::Isa::from_name(text).ok_or_else(|| {
        let known: Vec<_> = paring::Isa::ALL.iter().map(|i| i.name()).collect();
        format!("known instruction sets: {}", known.join(", "))
    })
}

/// Reads a file of tuning. What cannot be used is told and passed over.
pub fn parse_tuning(file: &str) -> Result<Arc<paring::Tuning>, String> {
    let text = std::fs::read_to_string(file).map_err(|e| e.to_string())?;
    let (tuning, warnings) = paring::Tuning::parse(&text, &paring::machine_name());
    for w in warnings {
        eprintln!("warning: {file}: {w}");
    }
    Ok(Arc::new(tuning))
}

/// Reads what was measured of this machine; what is of another or out of reason is refused.
pub fn parse_calibration(file: &str) -> Result<paring::Calibration, String> {
    let text = std::fs::read_to_string(file).map_err(|e| e.to_string())?;
    serde_json::from_str(&text).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes() {
        let named = ShapeArg { name: Some("x".into()), dims: vec![1, 3, 224, 224] };
        assert_eq!(parse_shape("x=1x3x224x224"), Ok(named.clone()));
        assert_eq!(parse_shape("x=1,3,224,224"), Ok(named));
        assert_eq!(parse_shape("2x8"), Ok(ShapeArg { name: None, dims: vec![2, 8] }));
        assert_eq!(parse_shape("s=").map(|s| s.dims), Ok(vec![]));
        assert!(parse_shape("x=1x-3").is_err() && parse_shape("x=axb").is_err() && parse_shape("").is_err());
    }

    #[test]
    fn limits() {
        assert_eq!(parse_limit("mem=512M"), Ok(LimitArg::Memory(512 << 20)));
        assert_eq!(parse_limit("mem=2GiB"), Ok(LimitArg::Memory(2 << 30)));
        assert_eq!(parse_limit("time=0.5"), Ok(LimitArg::Time(Duration::from_millis(500))));
        for bad in ["mem=", "mem=x", "mem=99999999999999999999G", "time=-1", "time=nan", "time=1e300", "disk=1", "mem"]
        {
            assert!(parse_limit(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn inputs() {
        assert_eq!(split_input("x=a.npy"), (Some("x"), Path::new("a.npy")));
        assert_eq!(split_input("a.npy"), (None, Path::new("a.npy")));
        assert_eq!(split_input("x=dir=1/a.npy"), (Some("x"), Path::new("dir=1/a.npy")));
    }

    #[test]
    fn sizes_and_tolerances() {
        assert_eq!(parse_extent("256"), Ok(Extent::Side(256)));
        assert_eq!(parse_extent("224x320"), Ok(Extent::Exact(224, 320)));
        assert!(parse_extent("0").is_err() && parse_extent("99999").is_err());
        assert_eq!(parse_tolerance("1e-3"), Ok(1e-3));
        assert!(parse_tolerance("-1").is_err() && parse_tolerance("nan").is_err());
        assert_eq!((parse_count("all"), parse_count("7")), (Ok(usize::MAX), Ok(7)));
        assert!(parse_count("0").is_err());
    }
}
