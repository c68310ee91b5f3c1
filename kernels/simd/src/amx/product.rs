//! The assembly of products of tiles.

/// Multiplies one or two sixteens of rows by one or two sixteens of columns, as a match that has the assembly of each. `$p` has
/// `x`, `w`, `ahead`, `init` and `sums`; `$n` steps take `$bytes` of `x` and `w` each, and one more `$back` bytes of `w` from where
/// those end, if that is not zero. Steps find inputs at `x`, weights at `w0` and `w1`, rows being `row` bytes apart, and sums in tiles 0
/// to 3: of the first sixteen rows, then of the second. `$lines` of what is wanted next are fetched meanwhile.
macro_rules! product {
    ($p:ident, ($rows:expr, $columns:expr), $n:expr, back: $back:expr, bytes: $bytes:expr, lines: $lines:literal,
     1 x 1: $($one:literal)*; 1 x 2: $($wide:literal)*; 2 x 1: $($tall:literal)*; 2 x 2: $($all:literal)*) => {
        match ($rows, $columns) {
            (1, 1) => product!($p, $n, $back, $bytes, $lines;
                "tileloadd tmm0, [{init0} + {none}]";
                $($one)*;
                "tilestored [{sums} + {sums_row}], tmm0"),
            (1, _) => product!($p, $n, $back, $bytes, $lines;
                "tileloadd tmm0, [{init0} + {none}]" "tileloadd tmm1, [{init1} + {none}]";
                $($wide)*;
                "tilestored [{sums} + {sums_row}], tmm0" "tilestored [{sums} + {sums_row} + 64], tmm1"),
            (_, 1) => product!($p, $n, $back, $bytes, $lines;
                "tileloadd tmm0, [{init0} + {none}]" "tileloadd tmm2, [{init0} + {none}]";
                $($tall)*;
                "tilestored [{sums} + {sums_row}], tmm0" "tilestored [{sums} + {sums_row} + 2048], tmm2"),
            _ => product!($p, $n, $back, $bytes, $lines;
                "tileloadd tmm0, [{init0} + {none}]" "tileloadd tmm1, [{init1} + {none}]"
                    "tileloadd tmm2, [{init0} + {none}]" "tileloadd tmm3, [{init1} + {none}]";
                $($all)*;
                "tilestored [{sums} + {sums_row}], tmm0" "tilestored [{sums} + {sums_row} + 64], tmm1"
                    "tilestored [{sums} + {sums_row} + 2048], tmm2" "tilestored [{sums} + {sums_row} + 2112], tmm3"),
        }
    };
    ($p:ident, $n:expr, $back:expr, $bytes:expr, $lines:literal; $($start:literal)*; $($step:literal)*; $($end:literal)*) => {
        core::arch::asm!(
            "/* {init1} */",
            $($start,)*
            "2:",
            $($step,)*
            concat!(".irp line, ", $lines),
            "prefetcht1 [{ahead} + 64 * \\line]",
            ".endr",
            "add {ahead}, {w_step}",
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
            $($end,)*
            x_step = const $bytes[0],
            w_step = const $bytes[1],
            x = inout(reg) $p.x => _,
            w0 = inout(reg) $p.w[0] => _,
            w1 = inout(reg) $p.w[1] => _,
            ahead = inout(reg) $p.ahead => _,
            n = inout(reg) $n => _,
            back = inout(reg) $back => _,
            init0 = in(reg) $p.init[0],
            init1 = in(reg) $p.init[1],
            sums = in(reg) $p.sums,
            row = in(reg) ROW_BYTES,
            sums_row = in(reg) GROUP * size_of::<u32>(),
            none = in(reg) 0usize,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        )
    };
}
pub(super) use product;
