//! The compact table: 16 bytes a function, and all names in one string.

use super::Symbol;

/// Functions end where the next symbol begins. The last one before another module's (or before nothing) may be followed
/// by memory that a new module gets, so it is believed to be no longer than this.
const LAST_FUNCTION: u64 = 16 << 10;

/// No function is longer; the largest of 6.18 is below 100 KiB.
const ANY_FUNCTION: u64 = 1 << 20;

/// `module` of the kernel proper.
const NO_MODULE: u16 = u16::MAX;

#[derive(Clone, Copy, Debug)]
struct Entry {
    address: u64,
    name: u32,
    /// 0: no function, something else begins here.
    length: u16,
    module: u16,
}

/// Functions sorted by address.
#[derive(Debug, Default)]
pub(super) struct Table {
    entries: Vec<Entry>,
    names: String,
    modules: Vec<Box<str>>,
}

/// Takes symbols in any order.
#[derive(Default)]
pub(super) struct Builder(Table);

impl Builder {
    /// A function begins at `address`.
    pub(super) fn function(&mut self, address: u64, name: &str, module: Option<&str>) {
        let module = module.map_or(NO_MODULE, |module| self.module(module));
        let (Ok(at), Ok(length)) = (u32::try_from(self.0.names.len()), u16::try_from(name.len())) else {
            return;
        };
        self.0.names.push_str(name);
        self.0.entries.push(Entry { address, name: at, length, module });
    }

    /// Something other than a function begins at `address`.
    pub(super) fn end(&mut self, address: u64) {
        self.0.entries.push(Entry { address, name: 0, length: 0, module: NO_MODULE });
    }

    /// The modules' symbols come one module after the other, so the last one is nearly always it.
    fn module(&mut self, name: &str) -> u16 {
        let modules = &mut self.0.modules;
        let index = modules.iter().rposition(|known| **known == *name).unwrap_or_else(|| {
            modules.push(name.into());
            modules.len() - 1
        });
        u16::try_from(index).unwrap_or(NO_MODULE)
    }

    /// Of several names for one address the first in the file stays, as in the kernel's own messages
    /// (`get_symbol_pos`); of several ends in a row only the first is needed.
    pub(super) fn finish(self) -> Table {
        let mut table = self.0;
        table.entries.sort_by_key(|entry| (entry.address, entry.length == 0));
        table.entries.dedup_by(|next, kept| next.address == kept.address || (next.length == 0 && kept.length == 0));
        table.entries.shrink_to_fit();
        table.names.shrink_to_fit();
        table
    }
}

impl Table {
    /// The function that contains `address`.
    pub(super) fn find(&self, address: u64) -> Option<Symbol<'_>> {
        let after = self.entries.partition_point(|entry| entry.address <= address);
        let entry = self.entries.get(after.checked_sub(1)?)?;
        let name = self.names.get(entry.name as usize..entry.name as usize + usize::from(entry.length))?;
        let neighbour = self.entries.get(after).is_some_and(|next| next.length == 0 || next.module == entry.module);
        let offset = address - entry.address;
        let longest = if neighbour { ANY_FUNCTION } else { LAST_FUNCTION };
        let module = self.modules.get(usize::from(entry.module)).map(|module| &**module);
        (entry.length != 0 && offset < longest).then_some(Symbol { name, module, offset })
    }

    /// Bytes held.
    #[cfg(test)]
    pub(super) fn footprint(&self) -> usize {
        self.entries.capacity() * size_of::<Entry>() + self.names.capacity()
    }
}
