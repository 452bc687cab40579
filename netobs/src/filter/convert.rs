//! Classic BPF to eBPF, as the kernel's `bpf_convert_filter` does it, but for a plain buffer instead of an skb.
//!
//! The result is the body of a function `(packet: *const [u8; HEADER_BYTES], captured: u32, length: u32) -> u32`.
//! It needs no ground of its own to be safe: the verifier sees constant offsets below `HEADER_BYTES`, or an offset that
//! was compared with it in the instruction before. Reading behind `captured` is "no match", as in the classic machine.

use netobs_ebpf::HEADER_BYTES;

use super::classic::{ClassicInsn, MEMORY_WORDS, Machine, Operand, Operation, Test};
use super::ebpf::{Alu, Compare, Insn, Register, Source, Width};

const A: Register = Register(0);
const PACKET: Register = Register(1);
const CAPTURED: Register = Register(2);
const LENGTH: Register = Register(3);
const X: Register = Register(4);
const SCRATCH: Register = Register(5);
const FRAME: Register = Register(10);

/// Why a classic program cannot run in the kernel programs.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
pub enum ConvertError {
    /// A fixed offset behind the part of the packet that programs copy.
    #[error("looks at byte {0} of the packet, only the first {HEADER_BYTES} can be seen")]
    TooFar(u32),
    /// `inbound`, `ifindex` and the like: libpcap reads them at negative offsets that mean the socket buffer's fields.
    #[error(
        "asks for what only a capturing socket knows (`inbound`, `outbound`, `ifindex`, …); use --netns and --device"
    )]
    Ancillary,
    /// `protochain`: libpcap makes a loop of it.
    #[error("needs a loop (`protochain`), which does not run in the kernel")]
    Loop,
    /// An instruction that is in no classic machine.
    #[error("libpcap produced an instruction that is not known here: {0:?}")]
    Unknown(ClassicInsn),
    /// Not even a jump could cross it.
    #[error("comes to more than {0} instructions")]
    TooLong(usize),
}

/// Where a jump goes.
#[derive(Clone, Copy)]
enum Target {
    /// The code of a classic instruction.
    Classic(usize),
    /// `return 0`.
    NoMatch,
}

struct Converter<'a> {
    classic: &'a [ClassicInsn],
    code: Vec<Insn>,
    /// Where the code of each classic instruction begins.
    starts: Vec<usize>,
    /// Jumps whose distance is still missing.
    jumps: Vec<(usize, Target)>,
    /// For each classic instruction, how many bytes are known to be captured on every way to it; nothing if no way
    /// was found yet, so that code which cannot be reached is left out (the kernel would refuse it).
    known: Vec<Option<u32>>,
}

/// Converts a classic program.
///
/// # Errors
///
/// It asks for something that is not to be had, see [`ConvertError`].
pub fn convert(classic: &[ClassicInsn]) -> Result<Vec<Insn>, ConvertError> {
    let mut converter = Converter {
        classic,
        code: Vec::with_capacity(classic.len() * 3),
        starts: Vec::with_capacity(classic.len()),
        jumps: Vec::new(),
        known: vec![None; classic.len()],
    };
    converter.prologue();
    if let Some(first) = converter.known.first_mut() {
        *first = Some(0);
    }
    for (index, &insn) in classic.iter().enumerate() {
        converter.starts.push(converter.code.len());
        let Some(known) = converter.known.get(index).copied().flatten() else { continue };
        let operation = Operation::decode(insn).ok_or(ConvertError::Unknown(insn))?;
        converter.operation(index, operation, known)?;
    }
    converter.finish()
}

impl Converter<'_> {
    /// The classic machine starts with zeros, the verifier with registers and a stack that must not be read.
    fn prologue(&mut self) {
        self.constant(A, 0);
        let operations = || self.classic.iter().filter_map(|&insn| Operation::decode(insn));
        let mut read = [false; MEMORY_WORDS as usize];
        for operation in operations() {
            if let Operation::LoadMemory(_, word) = operation
                && let Some(slot) = read.get_mut(word as usize)
            {
                *slot = true;
            }
        }
        self.constant(X, 0);
        for (word, _) in (0..).zip(read).filter(|(_, read)| *read) {
            self.code.push(Insn::store_word(FRAME, memory(word), A));
        }
        // A null pointer is possible as far as the verifier knows, for a function that is verified by itself.
        self.branch64(Compare::Equal, PACKET, Source::Immediate(0), Target::NoMatch);
    }

    fn operation(&mut self, index: usize, operation: Operation, known: u32) -> Result<(), ConvertError> {
        let next = index + 1;
        let mut captured = known;
        match operation {
            Operation::LoadAbsolute(width, offset) => {
                captured = self.captured(known, offset, width)?;
                self.load(width, A, PACKET, offset)?;
                self.network_to_host(width);
            }
            Operation::LoadIndirect(width, offset) => {
                captured = self.load_indirect(known, offset, width)?;
            }
            Operation::LoadHeaderLength(offset) => {
                captured = self.captured(known, offset, Width::Byte)?;
                self.load(Width::Byte, X, PACKET, offset)?;
                self.alu(Alu::And, X, Source::Immediate(0xf));
                self.alu(Alu::Lsh, X, Source::Immediate(2));
            }
            Operation::LoadLength(to) => self.alu(Alu::Mov, register(to), Source::Register(LENGTH)),
            Operation::LoadConstant(to, value) => self.constant(register(to), value),
            Operation::LoadMemory(to, word) => {
                self.code.push(Insn::load(Width::Word, register(to), FRAME, memory(word)));
            }
            Operation::StoreMemory(from, word) => {
                self.code.push(Insn::store_word(FRAME, memory(word), register(from)));
            }
            Operation::Arithmetic(Alu::Div | Alu::Mod, Operand::K(0)) => {
                self.jump(Target::NoMatch);
                return Ok(());
            }
            Operation::Arithmetic(op, operand) => self.arithmetic(op, operand),
            Operation::Negate => self.alu(Alu::Neg, A, Source::Immediate(0)),
            Operation::AToX => self.alu(Alu::Mov, X, Source::Register(A)),
            Operation::XToA => self.alu(Alu::Mov, A, Source::Register(X)),
            Operation::Jump(distance) => {
                let target = self.forward(next, distance, known)?;
                self.jump_unless_next(target, next);
                return Ok(());
            }
            Operation::Branch { test, operand, jt, jf } => {
                let yes = self.forward(next, jt, known)?;
                let no = self.forward(next, jf, known)?;
                self.branch(test, operand, (yes, no), next);
                return Ok(());
            }
            Operation::ReturnConstant(value) => {
                self.constant(A, value);
                self.code.push(Insn::exit());
                return Ok(());
            }
            Operation::ReturnA => {
                self.code.push(Insn::exit());
                return Ok(());
            }
        }
        self.forward(next, 0, captured)?;
        Ok(())
    }

    /// Leaves unless `width` bytes at `offset` are captured. Returns how many bytes are known to be, from now on.
    fn captured(&mut self, known: u32, offset: u32, width: Width) -> Result<u32, ConvertError> {
        let end = end_of(offset, width)?;
        if known < end {
            self.branch32(Compare::Below, CAPTURED, Source::Immediate(end), Target::NoMatch);
        }
        Ok(known.max(end))
    }

    /// `A = packet[X + k]`. The sum is made in 64 bits, where it cannot wrap, and of X and the access's end, so that one
    /// comparison bounds both. Nothing happens to the sum between the comparison and its use: bounds do not survive
    /// being stored and loaded in every kernel.
    fn load_indirect(&mut self, known: u32, offset: u32, width: Width) -> Result<u32, ConvertError> {
        let end = end_of(offset, width)?;
        let limit = u32::try_from(HEADER_BYTES).unwrap_or(u32::MAX);
        self.code.push(Insn::alu64(Alu::Mov, SCRATCH, Source::Register(X)));
        self.code.push(Insn::alu64(Alu::Add, SCRATCH, Source::Immediate(end)));
        self.branch64(Compare::Above, SCRATCH, Source::Immediate(limit), Target::NoMatch);
        // The upper half of an argument of 32 bits is nobody's promise.
        self.branch32(Compare::Above, SCRATCH, Source::Register(CAPTURED), Target::NoMatch);
        self.code.push(Insn::alu64(Alu::Add, SCRATCH, Source::Register(PACKET)));
        let back = i16::try_from(width.bytes()).unwrap_or_default();
        self.code.push(Insn::load(width, A, SCRATCH, -back));
        self.network_to_host(width);
        Ok(known.max(end))
    }

    fn arithmetic(&mut self, op: Alu, operand: Operand) {
        match (op, operand) {
            (Alu::Div | Alu::Mod, Operand::X) => {
                self.branch32(Compare::Equal, X, Source::Immediate(0), Target::NoMatch);
                self.alu(op, A, Source::Register(X));
            }
            // The classic machine shifts everything out; eBPF takes the distance modulo 32, or refuses it.
            (Alu::Lsh | Alu::Rsh, Operand::K(distance)) if distance > 31 => self.constant(A, 0),
            (Alu::Lsh | Alu::Rsh, Operand::X) => {
                let too_far = Insn::branch32(Compare::Above, X, Source::Immediate(31));
                self.code.push(Insn { offset: 2, ..too_far });
                self.alu(op, A, Source::Register(X));
                self.code.push(Insn { offset: 1, ..Insn::jump() });
                self.constant(A, 0);
            }
            (_, Operand::K(value)) => self.alu(op, A, Source::Immediate(value)),
            (_, Operand::X) => self.alu(op, A, Source::Register(X)),
        }
    }

    fn branch(&mut self, test: Test, operand: Operand, (yes, no): (usize, usize), next: usize) {
        let source = match operand {
            Operand::K(value) => Source::Immediate(value),
            Operand::X => Source::Register(X),
        };
        let (when, otherwise) = match test {
            Test::Equal => (Compare::Equal, Some(Compare::NotEqual)),
            Test::Above => (Compare::Above, Some(Compare::BelowOrEqual)),
            Test::AboveOrEqual => (Compare::AboveOrEqual, Some(Compare::Below)),
            Test::AnyBit => (Compare::AnyBit, None),
        };
        match otherwise {
            _ if yes == no => {}
            Some(otherwise) if yes == next => {
                self.branch32(otherwise, A, source, Target::Classic(no));
                return;
            }
            Some(_) | None => self.branch32(when, A, source, Target::Classic(yes)),
        }
        self.jump_unless_next(no, next);
    }

    /// Notes that the instruction `distance` after `next` is reached with so many bytes known to be captured.
    fn forward(&mut self, next: usize, distance: u32, captured: u32) -> Result<usize, ConvertError> {
        let target = next.saturating_add(distance as usize);
        // A negative distance is a large one, and so is running off the end.
        let known = self.known.get_mut(target).ok_or(ConvertError::Loop)?;
        *known = Some(known.map_or(captured, |known| known.min(captured)));
        Ok(target)
    }

    fn constant(&mut self, to: Register, value: u32) {
        self.alu(Alu::Mov, to, Source::Immediate(value));
    }

    fn alu(&mut self, op: Alu, to: Register, source: Source) {
        self.code.push(Insn::alu32(op, to, source));
    }

    fn load(&mut self, width: Width, to: Register, base: Register, offset: u32) -> Result<(), ConvertError> {
        let short = i16::try_from(offset).map_err(|_| ConvertError::TooFar(offset))?;
        self.code.push(Insn::load(width, to, base, short));
        Ok(())
    }

    fn network_to_host(&mut self, width: Width) {
        if width != Width::Byte {
            self.code.push(Insn::swap(width, A));
        }
    }

    fn branch32(&mut self, op: Compare, left: Register, right: Source, target: Target) {
        self.jumps.push((self.code.len(), target));
        self.code.push(Insn::branch32(op, left, right));
    }

    fn branch64(&mut self, op: Compare, left: Register, right: Source, target: Target) {
        self.jumps.push((self.code.len(), target));
        self.code.push(Insn::branch64(op, left, right));
    }

    fn jump(&mut self, target: Target) {
        self.jumps.push((self.code.len(), target));
        self.code.push(Insn::jump());
    }

    fn jump_unless_next(&mut self, target: usize, next: usize) {
        if target != next {
            self.jump(Target::Classic(target));
        }
    }

    /// Appends `return 0` and fills the distances in.
    fn finish(mut self) -> Result<Vec<Insn>, ConvertError> {
        let no_match = self.code.len();
        self.constant(A, 0);
        self.code.push(Insn::exit());
        for (at, target) in self.jumps {
            let to = match target {
                Target::Classic(index) => self.starts.get(index).copied().unwrap_or(no_match),
                Target::NoMatch => no_match,
            };
            let distance = to.checked_sub(at + 1).and_then(|distance| i16::try_from(distance).ok());
            if let Some(insn) = self.code.get_mut(at) {
                insn.offset = distance.ok_or(ConvertError::TooLong(i16::MAX as usize))?;
            }
        }
        Ok(self.code)
    }
}

/// The number of bytes that must be there to read `width` bytes at `offset`.
fn end_of(offset: u32, width: Width) -> Result<u32, ConvertError> {
    // SKF_NET_OFF, SKF_LL_OFF and SKF_AD_OFF are the negative numbers from -2 MiB on.
    if offset >= 0u32.wrapping_sub(0x0020_0000) {
        return Err(ConvertError::Ancillary);
    }
    match offset.checked_add(width.bytes()) {
        Some(end) if end as usize <= HEADER_BYTES => Ok(end),
        Some(_) | None => Err(ConvertError::TooFar(offset)),
    }
}

fn register(machine: Machine) -> Register {
    match machine {
        Machine::A => A,
        Machine::X => X,
    }
}

/// The stack slot of a word of scratch memory.
fn memory(word: u32) -> i16 {
    i16::try_from(word).map_or(0, |word| -4 * (word + 1))
}
