//! The assembly of products of tiles.

/// Multiplies one or two sixteens of rows by one or two sixteens of columns, by the instruction `$dot`. `$p` has `x`, `w`,
/// `ahead`, `init` and `sums`; sums start from rows `$init_row` bytes apart. `$n` steps take `$bytes` of `x` and `w` each, and one
/// more `$back` bytes of `w` from where those end, if that is not zero. Turns of a step are as [`turn`] has them.
macro_rules! product {
    ($p:ident, ($rows:expr, $columns:expr), $init_row:expr, $n:expr, back: $back:expr, bytes: $bytes:expr, $dot:literal, $($turns:tt)*) => {
        match ($rows, $columns) {
            (1, 1) => product!([false, false] $p, $init_row, $n, $back, $bytes, $dot, $($turns)*),
            (1, _) => product!([false, true] $p, $init_row, $n, $back, $bytes, $dot, $($turns)*),
            (_, 1) => product!([true, false] $p, $init_row, $n, $back, $bytes, $dot, $($turns)*),
            _ => product!([true, true] $p, $init_row, $n, $back, $bytes, $dot, $($turns)*),
        }
    };
    ([$tall:literal, $wide:literal] $p:ident, $init_row:expr, $n:expr, $back:expr, $bytes:expr, $dot:literal, $({ $($turn:tt)* })*) => {
        core::arch::asm!(
            "tileloadd tmm0, [{init0} + {init_row}]",
            wide!("tileloadd tmm1, [{init1} + {init_row}]"),
            tall!("lea {init0}, [{init0} + 8 * {init_row}]", "lea {init0}, [{init0} + 8 * {init_row}]"),
            tall!("tileloadd tmm2, [{init0} + {init_row}]"),
            tall!(wide!("lea {init1}, [{init1} + 8 * {init_row}]", "lea {init1}, [{init1} + 8 * {init_row}]")),
            tall!(wide!("tileloadd tmm3, [{init1} + {init_row}]")),
            "2:",
            $(turn!($dot, $($turn)*),)*
            "add {x}, {x_step}",
            "add {w0}, {w_step}",
            "add {w1}, {w_step}",
            "dec {n}",
            "jnz 2b",
            "test {back}, {back}",
            "jz 3f",
            "add {w0}, {back}",
            "add {w1}, {back}",
            "xor {back:e}, {back:e}",
            "inc {n}",
            "jmp 2b",
            "3:",
            "tilestored [{sums} + {sums_row}], tmm0",
            wide!("tilestored [{sums} + {sums_row} + 64], tmm1"),
            tall!("tilestored [{sums} + {sums_row} + 2048], tmm2"),
            tall!(wide!("tilestored [{sums} + {sums_row} + 2112], tmm3")),
            tall = const $tall as usize,
            wide = const $wide as usize,
            x_step = const $bytes[0],
            w_step = const $bytes[1],
            x = inout(reg) $p.x => _,
            w0 = inout(reg) $p.w[0] => _,
            w1 = inout(reg) $p.w[1] => _,
            ahead = inout(reg) $p.ahead => _,
            n = inout(reg) $n => _,
            back = inout(reg) $back => _,
            init0 = inout(reg) $p.init[0] => _,
            init1 = inout(reg) $p.init[1] => _,
            init_row = in(reg) $init_row,
            sums = in(reg) $p.sums,
            row = in(reg) ROW_BYTES,
            sums_row = in(reg) GROUP * size_of::<u32>(),
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        )
    };
}

/// Lines of assembly where there are two sixteens of rows.
macro_rules! tall {
    ($($line:expr),*) => {
        concat!(".if {tall}\n", $($line, "\n",)* ".endif")
    };
}

/// Lines of assembly where there are two sixteens of columns.
macro_rules! wide {
    ($($line:expr),*) => {
        concat!(".if {wide}\n", $($line, "\n",)* ".endif")
    };
}

/// A turn of a step: new rows of `x` against the weights of the turn before, new weights `w` against its rows, or both, so many
/// bytes from where those of the step begin. Tiles 0 to 3 have sums: of the first sixteen rows, then of the second; 4 and 5 rows,
/// 6 and 7 weights. Meanwhile twice so many lines are fetched of what is wanted next: a few at a time, as a product that waits for
/// memory shares with them what keeps track of that.
macro_rules! turn {
    ($dot:literal, fetch $n:literal, w $w:literal) => {
        concat!(
            "tileloadd tmm6, [{w0} + {row} + ", $w, "]\n",
            $dot, " tmm0, tmm4, tmm6\n",
            tall!(concat!($dot, " tmm2, tmm5, tmm6")), "\n",
            fetch!($n), "\n",
            wide!(concat!("tileloadd tmm7, [{w1} + {row} + ", $w, "]"), concat!($dot, " tmm1, tmm4, tmm7")), "\n",
            tall!(wide!(concat!($dot, " tmm3, tmm5, tmm7"))), "\n",
            fetch!($n)
        )
    };
    ($dot:literal, fetch $n:literal, x $x:literal $(, w $w:literal)?) => {
        concat!(
            $("tileloadd tmm6, [{w0} + {row} + ", $w, "]\n",)?
            "tileloadd tmm4, [{x} + {row} + ", $x, "]\n",
            $dot, " tmm0, tmm4, tmm6\n",
            wide!($(concat!("tileloadd tmm7, [{w1} + {row} + ", $w, "]"),)? concat!($dot, " tmm1, tmm4, tmm7")), "\n",
            fetch!($n), "\n",
            tall!(concat!("tileloadd tmm5, [{x} + {row} + 1024 + ", $x, "]"), concat!($dot, " tmm2, tmm5, tmm6")), "\n",
            tall!(wide!(concat!($dot, " tmm3, tmm5, tmm7"))), "\n",
            fetch!($n)
        )
    };
}

/// Fetches lines of what is wanted next.
macro_rules! fetch {
    ($n:literal) => {
        concat!(".rept ", $n, "\nprefetcht1 [{ahead}]\nadd {ahead}, 64\n.endr")
    };
}
