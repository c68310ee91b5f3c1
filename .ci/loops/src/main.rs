//! `loops BINARY [ALLOWED]`: fails where an innermost loop of a kernel touches the stack.
//!
//! The inner loops of convolutions and matrix products are written so that all they need fits into registers. Nothing in
//! the language holds the compiler to that: one operand too many, or an index it fails to simplify, and sums are spilled
//! to the stack and loaded again in every round, at a fraction of the speed and without any test failing. So this reads
//! the machine code. ALLOWED is a file of exceptions, each with its reason.
mod code;
mod exceptions;

use code::Loop;
use object::{Object, ObjectSection, ObjectSymbol, SymbolKind};
use std::{error::Error, process::ExitCode};

/// Inner loops of sums have at least so many multiply-adds, and at least one in so many instructions. Transforms and
/// elementary functions have fewer, and more values than registers.
const MULTIPLY_ADDS: usize = 8;
const ONE_IN: usize = 4;
/// A binary with fewer loops than these was not built for this check: stripped, or without AVX2.
const LOOPS: usize = 20;

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            eprintln!("loops: {e}");
            ExitCode::from(2)
        }
    }
}

/// Whether all loops are as they should be.
fn run() -> Result<bool, Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let binary = args.next().ok_or("usage: loops BINARY [ALLOWED]")?;
    let mut allowed = match args.next() {
        Some(file) => exceptions::parse(&std::fs::read_to_string(&file).map_err(|e| format!("{file}: {e}"))?)?,
        None => Vec::new(),
    };
    let loops = hot_loops(&std::fs::read(&binary).map_err(|e| format!("{binary}: {e}"))?)?;
    if loops.len() < LOOPS {
        return Err(format!("{binary} has {} loops of multiply-adds; was it built with symbols?", loops.len()).into());
    }
    let (mut bad, mut excused) = (0, 0);
    for (function, found) in loops.iter().filter(|(_, l)| !l.stack.is_empty()) {
        if let Some(exception) = allowed.iter_mut().find(|e| e.covers(function, found.stack.len())) {
            exception.used = true;
            excused += 1;
            continue;
        }
        bad += 1;
        print!("{}", describe(function, found));
    }
    for unused in allowed.iter().filter(|e| !e.used) {
        println!("nothing needs the exception of '{}' with this compiler", unused.function);
    }
    println!("{} innermost loops of multiply-adds: {bad} at fault, {excused} excused", loops.len());
    Ok(bad == 0)
}

fn describe(function: &str, l: &Loop) -> String {
    let percent = 100 * l.stack.len() / l.instructions;
    let mut text = format!(
        "{function}\n  loop at {:#x} of {} instructions, {} multiply-adds: {} touch the stack ({percent} %)\n",
        l.start,
        l.instructions,
        l.multiply_adds,
        l.stack.len()
    );
    for (address, instruction) in &l.stack {
        text += &format!("    {address:#x}: {instruction}\n");
    }
    text
}

/// The innermost loops with many multiply-adds, with the names of their functions.
fn hot_loops(binary: &[u8]) -> Result<Vec<(String, Loop)>, Box<dyn Error>> {
    let file = object::File::parse(binary)?;
    let mut all = Vec::new();
    for symbol in file.symbols().filter(|s| s.kind() == SymbolKind::Text && s.size() > 0) {
        let Some(index) = symbol.section_index() else { continue };
        let section = file.section_by_index(index)?;
        let Some(bytes) = section.data_range(symbol.address(), symbol.size())? else { continue };
        let loops = code::innermost_loops(bytes, symbol.address());
        let hot = loops.into_iter().filter(is_inner);
        all.extend(hot.map(|l| (readable(symbol.name().unwrap_or("?")), l)));
    }
    // Functions that were folded together share their code.
    all.sort_by(|a, b| (a.1.start, &a.0).cmp(&(b.1.start, &b.0)));
    all.dedup_by_key(|(_, l)| l.start);
    Ok(all)
}

fn is_inner(l: &Loop) -> bool {
    l.multiply_adds >= MULTIPLY_ADDS && ONE_IN * l.multiply_adds >= l.instructions
}

/// The symbol without its hash, which changes from build to build.
fn readable(symbol: &str) -> String {
    rustc_demangle::try_demangle(symbol).map_or_else(|_| symbol.to_string(), |name| format!("{name:#}"))
}
