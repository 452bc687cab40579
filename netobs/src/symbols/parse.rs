//! Reads `/proc/kallsyms`: a line is `address type name`, and `[module]` after a tab.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use super::SymbolsError;
use super::table::{Builder, Table};

/// Labels of the linker script (`arch/*/kernel/vmlinux.lds.S`) that share their address with the first function of a
/// section and are none themselves.
const LABELS: &[&str] = &["_text", "_stext", "_sinittext", "__init_begin"];

/// What the compiler appends to the name of a function it split, cloned or specialised.
const SUFFIXES: &[&str] = &["isra", "constprop", "part", "cold", "llvm", "lto_priv"];

/// Reads the file into a table.
pub(super) fn read(path: &Path) -> Result<Table, SymbolsError> {
    let unreadable = |source| SymbolsError::Unreadable { path: path.to_owned(), source };
    let file = File::open(path).map_err(unreadable)?;
    let mut reader = Parser::default();
    reader.read(BufReader::with_capacity(1 << 16, file)).map_err(unreadable)?;
    if reader.functions == 0 {
        return Err(SymbolsError::Empty { path: path.to_owned() });
    }
    if reader.hidden == reader.functions {
        return Err(SymbolsError::Restricted { path: path.to_owned() });
    }
    Ok(reader.builder.finish())
}

#[derive(Default)]
struct Parser {
    builder: Builder,
    functions: u32,
    /// Functions whose address is shown as 0 (`kallsyms_show_value`).
    hidden: u32,
}

impl Parser {
    fn read(&mut self, mut input: impl BufRead) -> io::Result<()> {
        let mut line = Vec::with_capacity(256);
        loop {
            line.clear();
            if input.read_until(b'\n', &mut line)? == 0 {
                return Ok(());
            }
            if let Some((address, kind, name, module)) = std::str::from_utf8(&line).ok().and_then(split) {
                self.add(address, kind, name, module);
            }
        }
    }

    fn add(&mut self, address: u64, kind: &str, name: &str, module: Option<&str>) {
        // `nm`'s letters: text, global text, weak. Anything else is data, and ends the function before it.
        if !matches!(kind, "t" | "T" | "w" | "W") {
            self.builder.end(address);
            return;
        }
        self.functions += 1;
        if address == 0 {
            self.hidden += 1;
        } else if name == "_etext" || name == "_einittext" || name.ends_with("_text_end") {
            self.builder.end(address);
        } else if !LABELS.contains(&name) && !name.ends_with("_text_start") && !name.starts_with("__pfx_") {
            // `__pfx_`: the padding in front of a function (CONFIG_CALL_PADDING, 6.2), half of all symbols.
            self.builder.function(address, display(name), module);
        }
    }
}

/// A line's fields.
fn split(line: &str) -> Option<(u64, &str, &str, Option<&str>)> {
    let (line, module) = match line.trim_end().split_once('\t') {
        Some((line, module)) => (line, module.strip_prefix('[').and_then(|m| m.strip_suffix(']'))),
        None => (line.trim_end(), None),
    };
    let mut fields = line.splitn(3, ' ');
    let address = u64::from_str_radix(fields.next()?, 16).ok()?;
    let (kind, name) = (fields.next()?, fields.next()?.trim_end());
    (!name.is_empty()).then_some((address, kind, name, module))
}

/// The name as it stands in the source.
pub(super) fn display(name: &str) -> &str {
    let ours = |(at, _): &(usize, &str)| {
        let rest = name.get(at + 1..).unwrap_or("");
        let word = rest.split('.').next().unwrap_or("");
        SUFFIXES.contains(&word) || (!word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit()))
    };
    match name.match_indices('.').filter(|(at, _)| *at > 0).find(ours) {
        Some((at, _)) => name.get(..at).unwrap_or(name),
        None => name,
    }
}
