//! Classic BPF as libpcap produces it: one accumulator A, one index register X, sixteen words of memory.

use super::ebpf::{Alu, Width};

/// One instruction, laid out as libpcap's `struct bpf_insn`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ClassicInsn {
    /// Class, size, mode or operation.
    pub code: u16,
    /// How many instructions to skip if a condition holds.
    pub jt: u8,
    /// How many instructions to skip if it does not.
    pub jf: u8,
    /// Constant operand.
    pub k: u32,
}

impl ClassicInsn {
    /// `ret #0`: a whole program that matches nothing.
    pub const REJECT: Self = Self { code: 0x06, jt: 0, jf: 0, k: 0 };
}

/// Number of words of scratch memory (`BPF_MEMWORDS`).
pub(super) const MEMORY_WORDS: u32 = 16;

/// The register that a load or store is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Machine {
    A,
    X,
}

/// The second operand of arithmetic and comparisons.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Operand {
    K(u32),
    X,
}

/// A comparison of A with an operand.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Test {
    Equal,
    Above,
    AboveOrEqual,
    AnyBit,
}

/// What an instruction does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Operation {
    /// `A = packet[k]`, in network byte order.
    LoadAbsolute(Width, u32),
    /// `A = packet[X + k]`.
    LoadIndirect(Width, u32),
    /// Length of the whole packet.
    LoadLength(Machine),
    LoadConstant(Machine, u32),
    LoadMemory(Machine, u32),
    StoreMemory(Machine, u32),
    /// `X = 4 * (packet[k] & 0xf)`, the length of an IPv4 header.
    LoadHeaderLength(u32),
    Arithmetic(Alu, Operand),
    Negate,
    Jump(u32),
    Branch {
        test: Test,
        operand: Operand,
        jt: u32,
        jf: u32,
    },
    ReturnConstant(u32),
    ReturnA,
    /// `X = A`.
    AToX,
    /// `A = X`.
    XToA,
}

impl Operation {
    /// What `insn` means, or nothing if this machine does not know it.
    pub(super) fn decode(insn: ClassicInsn) -> Option<Self> {
        const LD: u16 = 0;
        const LDX: u16 = 1;
        const ST: u16 = 2;
        const STX: u16 = 3;
        const ALU: u16 = 4;
        const JMP: u16 = 5;
        const RET: u16 = 6;
        const MISC: u16 = 7;

        let k = insn.k;
        let memory = || (k < MEMORY_WORDS).then_some(k);
        match insn.code & 0x07 {
            LD => match (insn.code & 0xe0, insn.code & 0x18) {
                (0x00, 0x00) => Some(Self::LoadConstant(Machine::A, k)),
                (0x20, size) => Some(Self::LoadAbsolute(width(size)?, k)),
                (0x40, size) => Some(Self::LoadIndirect(width(size)?, k)),
                (0x60, 0x00) => Some(Self::LoadMemory(Machine::A, memory()?)),
                (0x80, 0x00) => Some(Self::LoadLength(Machine::A)),
                _ => None,
            },
            LDX => match (insn.code & 0xe0, insn.code & 0x18) {
                (0x00, 0x00) => Some(Self::LoadConstant(Machine::X, k)),
                (0x60, 0x00) => Some(Self::LoadMemory(Machine::X, memory()?)),
                (0x80, 0x00) => Some(Self::LoadLength(Machine::X)),
                (0xa0, 0x10) => Some(Self::LoadHeaderLength(k)),
                _ => None,
            },
            ST => Some(Self::StoreMemory(Machine::A, memory()?)),
            STX => Some(Self::StoreMemory(Machine::X, memory()?)),
            ALU if insn.code & 0xf0 == 0x80 => Some(Self::Negate),
            ALU => Some(Self::Arithmetic(arithmetic(insn.code & 0xf0)?, operand(insn))),
            JMP => {
                let test = match insn.code & 0xf0 {
                    0x00 => return Some(Self::Jump(k)),
                    0x10 => Test::Equal,
                    0x20 => Test::Above,
                    0x30 => Test::AboveOrEqual,
                    0x40 => Test::AnyBit,
                    _ => return None,
                };
                Some(Self::Branch { test, operand: operand(insn), jt: insn.jt.into(), jf: insn.jf.into() })
            }
            RET => match insn.code & 0x18 {
                0x00 => Some(Self::ReturnConstant(k)),
                0x10 => Some(Self::ReturnA),
                _ => None,
            },
            MISC => match insn.code & 0xf8 {
                0x00 => Some(Self::AToX),
                0x80 => Some(Self::XToA),
                _ => None,
            },
            _ => None,
        }
    }
}

fn width(size: u16) -> Option<Width> {
    match size {
        0x00 => Some(Width::Word),
        0x08 => Some(Width::Half),
        0x10 => Some(Width::Byte),
        _ => None,
    }
}

fn operand(insn: ClassicInsn) -> Operand {
    if insn.code & 0x08 == 0 { Operand::K(insn.k) } else { Operand::X }
}

fn arithmetic(op: u16) -> Option<Alu> {
    match op {
        0x00 => Some(Alu::Add),
        0x10 => Some(Alu::Sub),
        0x20 => Some(Alu::Mul),
        0x30 => Some(Alu::Div),
        0x40 => Some(Alu::Or),
        0x50 => Some(Alu::And),
        0x60 => Some(Alu::Lsh),
        0x70 => Some(Alu::Rsh),
        0x90 => Some(Alu::Mod),
        0xa0 => Some(Alu::Xor),
        _ => None,
    }
}
