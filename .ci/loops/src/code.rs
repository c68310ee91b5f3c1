//! Loops in x86-64 machine code.

use iced_x86::{
    Decoder, DecoderOptions, FlowControl, Formatter, GasFormatter, Instruction, Mnemonic, OpKind, Register,
};

/// A loop within which there is no other.
#[derive(Debug)]
pub struct Loop {
    /// Address of its first instruction.
    pub start: u64,
    pub instructions: usize,
    /// Multiply-adds to sums, on whole vectors of eight.
    pub multiply_adds: usize,
    /// Instructions that touch the stack, with their addresses.
    pub stack: Vec<(u64, String)>,
}

/// The innermost loops of a function that lies at `address`: from the target of a jump backwards to that jump.
pub fn innermost_loops(function: &[u8], address: u64) -> Vec<Loop> {
    let code: Vec<Instruction> = Decoder::with_ip(64, function, address, DecoderOptions::NONE).iter().collect();
    let mut spans: Vec<(usize, usize)> = Vec::new();
    for (last, jump) in code.iter().enumerate() {
        let jumps = matches!(jump.flow_control(), FlowControl::ConditionalBranch | FlowControl::UnconditionalBranch);
        if jumps && jump.near_branch_target() <= jump.ip() {
            let first = code.binary_search_by_key(&jump.near_branch_target(), Instruction::ip);
            spans.extend(first.map(|first| (first, last)));
        }
    }
    // A loop may be left for its next round at several places: the widest span of one start is the loop.
    spans.sort_by_key(|&(first, last)| (first, std::cmp::Reverse(last)));
    spans.dedup_by_key(|span| span.0);
    let within = |a: (usize, usize), b: (usize, usize)| a != b && b.0 <= a.0 && a.1 <= b.1;
    // Code that is left for good in its middle is pieces of a larger loop, which happen to lie side by side.
    let in_one_piece = |&&(first, last): &&(usize, usize)| {
        let inside = code[first].ip()..=code[last].ip();
        let leaves = |i: &Instruction| i.flow_control() == FlowControl::UnconditionalBranch;
        !code[first..last].iter().any(|i| leaves(i) && !inside.contains(&i.near_branch_target()))
    };
    let innermost = spans.iter().filter(|&&outer| !spans.iter().any(|&inner| within(inner, outer)));
    let innermost = innermost.filter(in_one_piece);
    let framed = has_frame_pointer(&code);
    innermost.map(|&(first, last)| describe(&code[first..=last], framed)).collect()
}

fn describe(code: &[Instruction], framed: bool) -> Loop {
    let mut formatter = GasFormatter::new();
    let text = |i: &Instruction| {
        let mut out = String::new();
        formatter.format(i, &mut out);
        (i.ip(), out)
    };
    Loop {
        start: code[0].ip(),
        instructions: code.len(),
        multiply_adds: code.iter().filter(|i| is_multiply_add(i)).count(),
        stack: code.iter().filter(|i| touches_stack(i, framed)).map(text).collect(),
    }
}

/// Whether `rbp` points into the stack, rather than being a register like all others.
fn has_frame_pointer(code: &[Instruction]) -> bool {
    code.iter().any(|i| {
        let to_rbp = i.op_count() == 2 && i.op0_kind() == OpKind::Register && i.op0_register() == Register::RBP;
        let copy =
            i.mnemonic() == Mnemonic::Mov && i.op1_kind() == OpKind::Register && i.op1_register() == Register::RSP;
        let sum = i.mnemonic() == Mnemonic::Lea && i.memory_base() == Register::RSP;
        to_rbp && (copy || sum)
    })
}

/// Spilled values, and calls with all that they save. An index makes it an array, which lies on the stack by intent.
fn touches_stack(i: &Instruction, framed: bool) -> bool {
    let memory = (0..i.op_count()).any(|n| i.op_kind(n) == OpKind::Memory) && i.mnemonic() != Mnemonic::Lea;
    let base = i.memory_base();
    let slot = memory && i.memory_index() == Register::None;
    i.is_stack_instruction() || slot && (base == Register::RSP || framed && base == Register::RBP)
}

/// A product added to a sum that stays where it is, or products of words, whose sum is added next. Polynomials take the
/// other forms, in which a factor goes.
fn is_multiply_add(i: &Instruction) -> bool {
    let sums = matches!(i.mnemonic(), Mnemonic::Vfmadd231ps | Mnemonic::Vfnmadd231ps | Mnemonic::Vpmaddwd);
    sums && i.op0_kind() == OpKind::Register && (i.op0_register().is_ymm() || i.op0_register().is_zmm())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// vfmadd231ps %ymm2, %ymm1, %ymm0
    const MULTIPLY_ADD: &[u8] = &[0xc4, 0xe2, 0x75, 0xb8, 0xc2];
    /// vmovaps 0x20(%rsp), %ymm2
    const RELOAD: &[u8] = &[0xc5, 0xfc, 0x28, 0x54, 0x24, 0x20];
    /// vmovaps %ymm2, -0x20(%rbp)
    const SPILL: &[u8] = &[0xc5, 0xfc, 0x29, 0x55, 0xe0];
    /// mov %rsp, %rbp
    const FRAME: &[u8] = &[0x48, 0x89, 0xe5];
    /// dec %rax
    const COUNT: &[u8] = &[0x48, 0xff, 0xc8];

    /// `before`, then a loop around `body` that counts down.
    fn function(before: &[u8], body: &[u8]) -> Vec<u8> {
        let mut code = [before, body, COUNT].concat();
        let back = -i8::try_from(body.len() + COUNT.len() + 2).unwrap();
        code.extend([0x75, back as u8, 0xc3]);
        code
    }

    #[test]
    fn registers_alone_are_fine() {
        let loops = innermost_loops(&function(FRAME, &MULTIPLY_ADD.repeat(8)), 0x1000);
        assert_eq!(loops.len(), 1);
        assert_eq!((loops[0].start, loops[0].multiply_adds, loops[0].instructions), (0x1003, 8, 10));
        assert!(loops[0].stack.is_empty());
    }

    #[test]
    fn spills_are_seen_and_shown() {
        let loops = innermost_loops(&function(&[], &[&MULTIPLY_ADD.repeat(8), RELOAD].concat()), 0x1000);
        assert_eq!(loops[0].stack, [(0x1028, "vmovaps 0x20(%rsp),%ymm2".to_string())]);
        // What lies before the loop does not matter.
        assert!(innermost_loops(&function(RELOAD, MULTIPLY_ADD), 0)[0].stack.is_empty());
        // An array on the stack is no spill: vmovaps 0x20(%rsp,%rax), %ymm2
        let array = [0xc5, 0xfc, 0x28, 0x54, 0x04, 0x20];
        assert!(innermost_loops(&function(&[], &array), 0)[0].stack.is_empty());
        // A call saves registers.
        let call = [0xe8, 0, 0, 0, 0];
        assert_eq!(innermost_loops(&function(&[], &call), 0)[0].stack.len(), 1);
    }

    #[test]
    fn the_frame_pointer_counts_where_it_is_one() {
        let body = [MULTIPLY_ADD, SPILL].concat();
        assert_eq!(innermost_loops(&function(FRAME, &body), 0)[0].stack.len(), 1);
        assert!(innermost_loops(&function(&[], &body), 0)[0].stack.is_empty(), "a register like all others");
    }

    #[test]
    fn pieces_of_a_larger_loop_are_no_loop() {
        // jmp far away, in the middle of what a jump backwards spans
        let leave = [0xe9, 0, 0, 1, 0];
        assert!(innermost_loops(&function(&[], &[MULTIPLY_ADD, &leave[..], RELOAD].concat()), 0).is_empty());
        // jmp to the next instruction
        let stay = [0xeb, 0];
        assert_eq!(innermost_loops(&function(&[], &[MULTIPLY_ADD, &stay[..]].concat()), 0).len(), 1);
    }

    #[test]
    fn only_the_innermost_loop_counts() {
        let inner = function(RELOAD, MULTIPLY_ADD);
        // Without the return at its end.
        let loops = innermost_loops(&function(&[], &inner[..inner.len() - 1]), 0);
        assert_eq!(loops.len(), 1);
        assert!(loops[0].stack.is_empty() && loops[0].start == RELOAD.len() as u64);
    }
}
