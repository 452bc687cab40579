//! Replaces the body of a placeholder function inside an eBPF object.
//!
//! The function keeps its place, its size and its debug information: everything else in the object refers to them. What
//! is left of it behind the program must be reachable, or the kernel refuses it (`check_cfg`, "unreachable insn"). So
//! the function begins with a branch into the rest that never is taken. The verifier finds that out and removes the
//! branch and the rest (`opt_remove_dead_code`, since 5.1, for whoever has CAP_BPF): neither is in the running program.
//!
//! ```text
//!         r0 = 0
//!         if r0 != 0 goto rest
//!         program …
//! rest:   r0 = 0
//!         …
//!         exit
//! ```

use object::{Object, ObjectSection, ObjectSymbol};

use super::ebpf::{Alu, Compare, Insn, Register, Source};

/// Size of an instruction in the object.
const INSN_BYTES: usize = 8;

/// The two instructions before the program.
const HEAD: usize = 2;

/// What the padding needs at least: its `exit`.
const TAIL: usize = 1;

/// Why a function could not be replaced.
#[derive(Debug, thiserror::Error)]
pub enum PatchError {
    /// Not an object file.
    #[error("read the eBPF object: {0}")]
    Object(#[from] object::Error),
    /// The object was built without the placeholder.
    #[error("the eBPF object has no function {0}")]
    NoFunction(String),
    /// The symbol does not lie in its section, or the section has no bytes in the file.
    #[error("the eBPF object's function {0} is not where its symbol says")]
    Misplaced(String),
    /// The program is too long for the placeholder.
    #[error("it is {needed} instructions long, the most is {limit}: use `net`, `portrange` or fewer terms")]
    TooLong {
        /// Length of the program.
        needed: usize,
        /// Longest one that fits.
        limit: usize,
    },
}

/// A copy of `object` in which `function` runs `program`.
///
/// # Errors
///
/// The object has no such function, or too small a one.
pub fn patch(object: &[u8], function: &str, program: &[Insn]) -> Result<Vec<u8>, PatchError> {
    let (start, size) = locate(object, function)?;
    let slots = size / INSN_BYTES;
    let limit = slots.saturating_sub(HEAD + TAIL);
    if program.len() > limit {
        return Err(PatchError::TooLong { needed: program.len(), limit });
    }
    let mut patched = object.to_vec();
    let body =
        patched.get_mut(start..start + slots * INSN_BYTES).ok_or_else(|| PatchError::Misplaced(function.to_owned()))?;
    for (slot, insn) in body.chunks_exact_mut(INSN_BYTES).zip(padded(program, slots)) {
        slot.copy_from_slice(&insn.to_bytes());
    }
    Ok(patched)
}

/// Where in the file the function is, and how many bytes it takes.
fn locate(object: &[u8], function: &str) -> Result<(usize, usize), PatchError> {
    let misplaced = || PatchError::Misplaced(function.to_owned());
    let file = object::File::parse(object)?;
    let symbol = file
        .symbols()
        .find(|symbol| symbol.is_definition() && symbol.name() == Ok(function))
        .ok_or_else(|| PatchError::NoFunction(function.to_owned()))?;
    let section = file.section_by_index(symbol.section_index().ok_or_else(misplaced)?)?;
    let (section_start, section_size) = section.file_range().ok_or_else(misplaced)?;
    // In a relocatable object a symbol's address counts from its section's.
    let offset = symbol.address().checked_sub(section.address()).ok_or_else(misplaced)?;
    if offset.checked_add(symbol.size()).is_none_or(|end| end > section_size) {
        return Err(misplaced());
    }
    let start = section_start.checked_add(offset).and_then(|start| usize::try_from(start).ok());
    Ok((start.ok_or_else(misplaced)?, usize::try_from(symbol.size()).map_err(|_| misplaced())?))
}

/// The program with the branch before it and the padding behind it, `slots` instructions in all.
fn padded(program: &[Insn], slots: usize) -> impl Iterator<Item = Insn> {
    const RESULT: Register = Register(0);
    let zero = Insn::alu32(Alu::Mov, RESULT, Source::Immediate(0));
    let distance = i16::try_from(program.len()).unwrap_or_default();
    let skip = Insn { offset: distance, ..Insn::branch64(Compare::NotEqual, RESULT, Source::Immediate(0)) };
    let padding = slots.saturating_sub(HEAD + program.len() + TAIL);
    [zero, skip]
        .into_iter()
        .chain(program.iter().copied())
        .chain(std::iter::repeat_n(zero, padding))
        .chain([Insn::exit()])
}

#[cfg(test)]
mod tests {
    use super::{INSN_BYTES, Insn, PatchError, padded, patch};

    #[test]
    fn the_branch_leads_to_the_padding_and_the_padding_to_an_exit() {
        let program = [Insn::jump(), Insn::exit()];
        for slots in 5..9 {
            let body: Vec<Insn> = padded(&program, slots).collect();
            assert_eq!(body.len(), slots);
            assert_eq!(body[2..4], program);
            assert_eq!(body[1].offset, 2, "over the program, from the instruction after the branch");
            assert_eq!(body[slots - 1], Insn::exit());
        }
    }

    #[test]
    fn changes_nothing_but_the_function() {
        let (object, body) = object_with("placeholder", 6);
        let program = [Insn::jump(), Insn::exit(), Insn::exit()];
        let patched = patch(&object, "placeholder", &program).expect("fits exactly");
        assert_eq!(patched.len(), object.len());
        assert_eq!(patched[..body], object[..body]);
        assert_eq!(patched[body + 6 * INSN_BYTES..], object[body + 6 * INSN_BYTES..]);
        assert_eq!(patched[body + 2 * INSN_BYTES..][..8], Insn::jump().to_bytes());

        let long = [Insn::exit(); 4];
        let error = patch(&object, "placeholder", &long).expect_err("too long");
        assert!(matches!(error, PatchError::TooLong { needed: 4, limit: 3 }), "{error}");
        assert!(matches!(patch(&object, "other", &program), Err(PatchError::NoFunction(_))));
        assert!(matches!(patch(b"not ELF", "placeholder", &program), Err(PatchError::Object(_))));
        for cut in 0..object.len() {
            let _ = patch(&object[..cut], "placeholder", &program);
        }
    }

    /// A relocatable eBPF object with one function in `.text` behind eight bytes of something else, and where its
    /// body is.
    fn object_with(name: &str, slots: usize) -> (Vec<u8>, usize) {
        const HEADER: usize = 64;
        let text = vec![0xaa; 8 + slots * INSN_BYTES + 8];
        let names = [b"\0.text\0.symtab\0.strtab\0", name.as_bytes(), b"\0"].concat();
        let symbols_at = HEADER + text.len();
        let names_at = symbols_at + 48;
        let sections_at = names_at + names.len();

        let mut object = b"\x7fELF\x02\x01\x01".to_vec();
        object.resize(16, 0);
        // Relocatable, EM_BPF, version 1.
        object.extend([1u8, 0, 247, 0, 1, 0, 0, 0]);
        object.extend([0, 0, sections_at as u64].map(u64::to_le_bytes).concat());
        object.extend(0u32.to_le_bytes());
        // Sizes of the headers, four sections, the last one has the names.
        object.extend([64u16, 0, 0, 64, 4, 3].map(u16::to_le_bytes).concat());
        object.extend(&text);
        object.extend([0; 24]);
        // The name, a global function, section 1.
        object.extend(23u32.to_le_bytes());
        object.extend([0x12, 0, 1, 0]);
        object.extend([8, (slots * INSN_BYTES) as u64].map(u64::to_le_bytes).concat());
        object.extend(&names);
        object.extend([0; 64]);
        for (name, kind, at, size, link, info, entry) in [
            (1u32, 1u32, HEADER, text.len(), 0u32, 0u32, 0u64),
            (7, 2, symbols_at, 48, 3, 1, 24),
            (15, 3, names_at, names.len(), 0, 0, 0),
        ] {
            object.extend([name, kind].map(u32::to_le_bytes).concat());
            object.extend([0, 0, at as u64, size as u64].map(u64::to_le_bytes).concat());
            object.extend([link, info].map(u32::to_le_bytes).concat());
            object.extend([1, entry].map(u64::to_le_bytes).concat());
        }
        (object, HEADER + 8)
    }
}
