//! Replaces the body of a placeholder function inside an eBPF object.
//!
//! The function keeps its place: everything else in the object refers to that. What is left of it behind the program is
//! given to another symbol, which nothing refers to, so that it is not loaded: the verifier is as slow as a program is
//! long, in whatever it never comes to as well.

use object::{Object, ObjectSection, ObjectSymbol};

use super::ebpf::Insn;

/// Size of an instruction in the object.
const INSN_BYTES: usize = 8;

/// What the object calls the rest of a function.
const REST: &str = "_rest";

/// Size of an entry in an ELF symbol table, and where in it the symbol's address and size are.
const SYMBOL_BYTES: usize = 24;
const SYMBOL_ADDRESS: usize = 8;
const SYMBOL_SIZE: usize = 16;

/// Why a function could not be replaced.
#[derive(Debug, thiserror::Error)]
pub enum PatchError {
    /// Not an object file.
    #[error("read the eBPF object: {0}")]
    Object(#[from] object::Error),
    /// The object was built without the placeholder.
    #[error("the eBPF object has no function {0}")]
    NoFunction(String),
    /// A symbol does not lie in its section, or the section has no bytes in the file.
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

/// A copy of `object` in which `function` is `program`.
///
/// # Errors
///
/// The object has no such function, or too small a one.
pub fn patch(object: &[u8], function: &str, program: &[Insn]) -> Result<Vec<u8>, PatchError> {
    let misplaced = || PatchError::Misplaced(function.to_owned());
    let (body, rest) = (locate(object, function)?, locate(object, &format!("{function}{REST}"))?);
    let limit = body.size / INSN_BYTES;
    if program.len() > limit {
        return Err(PatchError::TooLong { needed: program.len(), limit });
    }
    let taken = program.len() * INSN_BYTES;
    let mut patched = object.to_vec();
    let mut write = |at: usize, bytes: &[u8]| {
        let place = patched.get_mut(at..at + bytes.len()).ok_or_else(misplaced)?;
        place.copy_from_slice(bytes);
        Ok::<(), PatchError>(())
    };
    for (index, insn) in program.iter().enumerate() {
        write(body.start + index * INSN_BYTES, &insn.to_bytes())?;
    }
    write(body.symbol + SYMBOL_SIZE, &(taken as u64).to_le_bytes())?;
    write(rest.symbol + SYMBOL_ADDRESS, &(body.address + taken as u64).to_le_bytes())?;
    write(rest.symbol + SYMBOL_SIZE, &((body.size - taken) as u64).to_le_bytes())?;
    Ok(patched)
}

/// A function in the object.
struct Function {
    /// Where its first instruction is in the file.
    start: usize,
    /// Its bytes.
    size: usize,
    /// Where it is in its section.
    address: u64,
    /// Where its entry in the symbol table is in the file.
    symbol: usize,
}

fn locate(object: &[u8], function: &str) -> Result<Function, PatchError> {
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
    let table = file.section_by_name(".symtab").and_then(|table| table.file_range());
    let (table, _) = table.ok_or_else(misplaced)?;
    let entry = usize::try_from(table).ok().and_then(|table| table.checked_add(symbol.index().0 * SYMBOL_BYTES));
    Ok(Function {
        start: start.ok_or_else(misplaced)?,
        size: usize::try_from(symbol.size()).map_err(|_| misplaced())?,
        address: symbol.address(),
        symbol: entry.ok_or_else(misplaced)?,
    })
}

#[cfg(test)]
mod tests {
    use object::{Object, ObjectSymbol};

    use super::{INSN_BYTES, Insn, PatchError, patch};

    #[test]
    fn the_program_takes_what_it_needs_and_the_rest_is_another_symbol() {
        let (object, body) = object_with("placeholder", 6);
        for length in 1..=6 {
            let program = vec![Insn::exit(); length];
            let patched = patch(&object, "placeholder", &program).expect("fits");
            let end = length * INSN_BYTES;
            assert!(patched[body..body + end].chunks(INSN_BYTES).all(|insn| insn == Insn::exit().to_bytes()));
            // The first bytes, the rest of the function and what follows it.
            assert_eq!(patched[..body], object[..body]);
            assert_eq!(patched[body + end..body + 7 * INSN_BYTES], object[body + end..body + 7 * INSN_BYTES]);
            assert_eq!(symbols(&patched), [(8, end as u64), (8 + end as u64, 48 - end as u64)]);
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let (object, _) = object_with("placeholder", 6);
        let program = [Insn::exit(); 7];
        let error = patch(&object, "placeholder", &program).expect_err("too long");
        assert!(matches!(error, PatchError::TooLong { needed: 7, limit: 6 }), "{error}");
        assert!(matches!(patch(&object, "other", &program), Err(PatchError::NoFunction(_))));
        assert!(matches!(patch(b"not ELF", "placeholder", &program), Err(PatchError::Object(_))));
        for cut in 0..object.len() {
            let _ = patch(&object[..cut], "placeholder", &program[1..]);
        }
    }

    /// Address and size of every function.
    fn symbols(object: &[u8]) -> Vec<(u64, u64)> {
        let file = object::File::parse(object).expect("an object");
        file.symbols().map(|symbol| (symbol.address(), symbol.size())).collect()
    }

    /// A relocatable eBPF object with one function in `.text` behind eight bytes of something else, and where its
    /// body is. The symbol of its rest is in the middle of it.
    fn object_with(name: &str, slots: usize) -> (Vec<u8>, usize) {
        const HEADER: usize = 64;
        let text = vec![0xaa; 8 + slots * INSN_BYTES + 8];
        let names = [b"\0.text\0.symtab\0.strtab\0", name.as_bytes(), b"\0", name.as_bytes(), b"_rest\0"].concat();
        let symbols_at = HEADER + text.len();
        let names_at = symbols_at + 72;
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
        for (at, address, size) in [(23, 8, slots * INSN_BYTES), (24 + name.len(), 16, 0)] {
            // The name, a global function, section 1.
            object.extend((at as u32).to_le_bytes());
            object.extend([0x12, 0, 1, 0]);
            object.extend([address as u64, size as u64].map(u64::to_le_bytes).concat());
        }
        object.extend(&names);
        object.extend([0; 64]);
        for (name, kind, at, size, link, info, entry) in [
            (1u32, 1u32, HEADER, text.len(), 0u32, 0u32, 0u64),
            (7, 2, symbols_at, 72, 3, 1, 24),
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
