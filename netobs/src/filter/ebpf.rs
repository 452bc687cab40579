//! One eBPF instruction, and only those forms that a converted filter needs.
//!
//! There is no `ld_imm64` on purpose: it takes two slots, and the kernel refuses line information that points at the
//! second one (`check_btf_line`, "Invalid insn code"). The object's line information belongs to the placeholder, and is
//! left as it is.

/// An eBPF instruction as the kernel's `struct bpf_insn`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Insn {
    /// Class, operation and source kind.
    pub code: u8,
    /// Destination register in the low four bits, source register in the high ones.
    pub registers: u8,
    /// Jump distance from the next instruction, or offset of a memory access.
    pub offset: i16,
    /// Constant operand.
    pub immediate: i32,
}

/// A register.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Register(pub(super) u8);

/// The second operand of an arithmetic instruction or a comparison.
#[derive(Clone, Copy, Debug)]
pub(super) enum Source {
    Immediate(u32),
    Register(Register),
}

/// Arithmetic: the operation bits of the instruction code.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Alu {
    Add = 0x00,
    Sub = 0x10,
    Mul = 0x20,
    Div = 0x30,
    Or = 0x40,
    And = 0x50,
    Lsh = 0x60,
    Rsh = 0x70,
    Neg = 0x80,
    Mod = 0x90,
    Xor = 0xa0,
    Mov = 0xb0,
}

/// Unsigned comparisons: the operation bits of the instruction code.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Compare {
    Equal = 0x10,
    Above = 0x20,
    AboveOrEqual = 0x30,
    AnyBit = 0x40,
    NotEqual = 0x50,
    BelowOrEqual = 0xb0,
    Below = 0xa0,
}

/// How many bytes a memory access moves.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Width {
    Byte = 0x10,
    Half = 0x08,
    Word = 0x00,
}

impl Width {
    pub(super) fn bytes(self) -> u32 {
        match self {
            Self::Byte => 1,
            Self::Half => 2,
            Self::Word => 4,
        }
    }
}

const CLASS_LDX: u8 = 0x01;
const CLASS_STX: u8 = 0x03;
const CLASS_ALU32: u8 = 0x04;
const CLASS_JMP: u8 = 0x05;
const CLASS_JMP32: u8 = 0x06;
const CLASS_ALU64: u8 = 0x07;
const MODE_MEM: u8 = 0x60;
const SOURCE_REGISTER: u8 = 0x08;
const EXIT: u8 = 0x90;
/// `BPF_END`, to big endian.
const TO_BIG_ENDIAN: u8 = 0xd8;

impl Insn {
    /// The eight bytes of a little-endian object.
    pub fn to_bytes(self) -> [u8; 8] {
        let [o0, o1] = self.offset.to_le_bytes();
        let [i0, i1, i2, i3] = self.immediate.to_le_bytes();
        [self.code, self.registers, o0, o1, i0, i1, i2, i3]
    }

    /// 32-bit arithmetic; the upper half of the destination becomes zero.
    pub(super) fn alu32(op: Alu, to: Register, source: Source) -> Self {
        Self::new(CLASS_ALU32 | op as u8, to, source)
    }

    /// 64-bit arithmetic, as pointers need it.
    pub(super) fn alu64(op: Alu, to: Register, source: Source) -> Self {
        Self::new(CLASS_ALU64 | op as u8, to, source)
    }

    /// Jumps if the lower halves compare so. The distance is filled in later.
    pub(super) fn branch32(op: Compare, left: Register, right: Source) -> Self {
        Self::new(CLASS_JMP32 | op as u8, left, right)
    }

    /// Jumps if the whole registers compare so.
    pub(super) fn branch64(op: Compare, left: Register, right: Source) -> Self {
        Self::new(CLASS_JMP | op as u8, left, right)
    }

    /// Jumps always.
    pub(super) fn jump() -> Self {
        Self { code: CLASS_JMP, registers: 0, offset: 0, immediate: 0 }
    }

    /// Loads from memory, in the machine's byte order, the rest of the register becomes zero.
    pub(super) fn load(width: Width, to: Register, base: Register, offset: i16) -> Self {
        let insn = Self::new(CLASS_LDX | MODE_MEM | width as u8, to, Source::Immediate(0));
        Self { registers: insn.registers | base.0 << 4, offset, ..insn }
    }

    /// Stores a word to memory.
    pub(super) fn store_word(base: Register, offset: i16, from: Register) -> Self {
        let insn = Self::new(CLASS_STX | MODE_MEM | Width::Word as u8, base, Source::Immediate(0));
        Self { registers: insn.registers | from.0 << 4, offset, ..insn }
    }

    /// Turns the lower bytes of a register from network byte order to the machine's.
    pub(super) fn swap(width: Width, register: Register) -> Self {
        let bits = width.bytes() * 8;
        Self::new(CLASS_ALU32 | TO_BIG_ENDIAN, register, Source::Immediate(bits))
    }

    /// Returns from the function.
    pub(super) fn exit() -> Self {
        Self { code: CLASS_JMP | EXIT, registers: 0, offset: 0, immediate: 0 }
    }

    fn new(code: u8, to: Register, source: Source) -> Self {
        match source {
            Source::Immediate(value) => Self { code, registers: to.0, offset: 0, immediate: value.cast_signed() },
            Source::Register(from) => {
                Self { code: code | SOURCE_REGISTER, registers: to.0 | from.0 << 4, offset: 0, immediate: 0 }
            }
        }
    }
}
