//! A base blob and at most one module's, seen as one space of ids and strings.

use super::image::{Image, Record, word};
use super::kind::Kind;

/// Longest chain of typedefs, qualifiers and array levels that is followed: several times what C code has, and what
/// ends a circle.
pub(super) const DEPTH: u32 = 32;

/// Pointers, which BTF gives no size: netobs runs on 64-bit kernels only.
const POINTER: u32 = 8;

/// The types of vmlinux, or of vmlinux and one module.
#[derive(Clone, Copy, Debug)]
pub(super) struct Types<'a> {
    base: &'a Image,
    module: Option<&'a Image>,
}

impl<'a> Types<'a> {
    pub(super) fn of(base: &'a Image) -> Self {
        Self { base, module: None }
    }

    pub(super) fn split(base: &'a Image, module: &'a Image) -> Self {
        Self { base, module: Some(module) }
    }

    /// The record of an id; `None` for `void` and for ids that lead nowhere.
    pub(super) fn record(&self, id: u32) -> Option<Record<'a>> {
        match self.module {
            Some(module) if !module.precedes(id) => module.record(id),
            _ => self.base.record(id),
        }
    }

    /// The string at an offset, as bytes.
    fn bytes(&self, offset: u32) -> Option<&'a [u8]> {
        self.module.and_then(|module| module.string(offset)).or_else(|| self.base.string(offset))
    }

    /// The string at an offset; empty where there is none or it is not UTF-8, which no C identifier is.
    pub(super) fn string(&self, offset: u32) -> &'a str {
        self.bytes(offset).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or("")
    }

    /// The first record of this name and a wanted kind, in the module if there is one, else in the base.
    pub(super) fn find(&self, name: &str, wanted: impl Fn(Kind) -> bool) -> Option<u32> {
        let this = *self;
        self.module
            .unwrap_or(self.base)
            .candidates(name, move |offset| this.bytes(offset))
            .find(|&id| self.record(id).is_some_and(|record| wanted(record.kind()) && self.string(record.name) == name))
    }

    /// The type behind typedefs, qualifiers and tags; `None` for `void` and for circles.
    pub(super) fn strip(&self, mut id: u32) -> Option<u32> {
        for _ in 0..DEPTH {
            let record = self.record(id)?;
            if !record.kind().is_alias() {
                return Some(id);
            }
            id = record.target();
        }
        None
    }

    /// Size in bytes of a value of this type; `None` where it has none (`void`, functions, forwards).
    pub(super) fn size(&self, mut id: u32) -> Option<u32> {
        let mut count = 1u32;
        for _ in 0..DEPTH {
            let record = self.record(self.strip(id)?)?;
            let one = match record.kind() {
                Kind::Int | Kind::Struct | Kind::Union | Kind::Enum | Kind::Enum64 | Kind::Float | Kind::Datasec => {
                    record.size()
                }
                Kind::Ptr => POINTER,
                Kind::Array => {
                    let (element, length) = array(&record)?;
                    count = count.checked_mul(length)?;
                    id = element;
                    continue;
                }
                Kind::Fwd
                | Kind::Typedef
                | Kind::Volatile
                | Kind::Const
                | Kind::Restrict
                | Kind::Func
                | Kind::FuncProto
                | Kind::Var
                | Kind::DeclTag
                | Kind::TypeTag
                | Kind::Other(_) => return None,
            };
            return count.checked_mul(one);
        }
        None
    }
}

/// Element type and length of an array's record.
pub(super) fn array(record: &Record<'_>) -> Option<(u32, u32)> {
    Some((word(record.tail, 0)?, word(record.tail, 8)?))
}
