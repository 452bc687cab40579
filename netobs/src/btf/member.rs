//! Where a field lies in a struct.

use super::image::Record;
use super::types::{DEPTH, Types};

/// Members looked at for one step of a path. The largest struct of 6.18 (with what is anonymous in it) has below 500;
/// the limit ends blobs whose anonymous structs contain themselves many times over.
const MEMBERS: u32 = 100_000;

/// Where a field lies, from the beginning of the struct the path began with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Bytes to the field, or to the integer that holds a bit field.
    pub offset: u32,
    /// Size in bytes of the field, or of the integer that holds a bit field. 0 for a flexible array.
    pub size: u32,
    /// For a bit field, which bits of that integer.
    pub bits: Option<Bits>,
}

/// The bits of a bit field: `(load(offset, size) >> bits.offset) & ((1 << bits.size) - 1)` on little-endian machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bits {
    /// Lowest bit, from the least significant of the integer.
    pub offset: u32,
    /// Number of bits.
    pub size: u32,
}

/// A member found: where it lies in bits, its type, and its bits if it is a bit field.
#[derive(Clone, Copy)]
struct Member {
    position: u32,
    id: u32,
    bits: Option<u32>,
}

impl Types<'_> {
    /// The field that `path` (`a.b.c`) leads to from the struct or union `id`.
    pub(super) fn field(&self, id: u32, path: &str) -> Option<Field> {
        let mut here = Member { position: 0, id, bits: None };
        for name in path.split('.').map(str::trim) {
            if name.is_empty() || here.bits.is_some() {
                return None;
            }
            let mut budget = MEMBERS;
            let found = self.member(here.id, name, DEPTH, &mut budget)?;
            here = Member { position: here.position.checked_add(found.position)?, ..found };
        }
        self.place(here)
    }

    /// A member by name, looking through anonymous structs and unions, with its position from the beginning of `id`.
    fn member(&self, id: u32, name: &str, depth: u32, budget: &mut u32) -> Option<Member> {
        let record = self.record(self.strip(id)?)?;
        if !record.kind().is_composite() {
            return None;
        }
        for [its_name, its_type, offset] in record.elements::<3>() {
            *budget = budget.checked_sub(1)?;
            let (position, bits) = position(&record, offset);
            if its_name != 0 {
                if self.string(its_name) == name {
                    return Some(Member { position, id: its_type, bits });
                }
            } else if let Some(depth) = depth.checked_sub(1)
                && let Some(inner) = self.member(its_type, name, depth, budget)
            {
                return Some(Member { position: position.checked_add(inner.position)?, ..inner });
            }
        }
        None
    }

    fn place(&self, member: Member) -> Option<Field> {
        let size = self.size(member.id)?;
        // BTF from before kind_flag (5.1) has the bit size in the integer's own encoding; no kernel here is that old.
        let Some(bits) = member.bits else {
            return member.position.is_multiple_of(8).then_some(Field {
                offset: member.position / 8,
                size,
                bits: None,
            });
        };
        let unit = size.checked_mul(8).filter(|&unit| unit != 0)?;
        let inside = member.position % unit;
        // A packed bit field may straddle its integer: then count from the byte it begins in.
        let (offset, first) = if inside.checked_add(bits)? <= unit {
            (member.position / unit * size, inside)
        } else {
            (member.position / 8, member.position % 8)
        };
        Some(Field { offset, size, bits: Some(Bits { offset: first, size: bits }) })
    }
}

/// A member's position in bits and its bit size: with the kind flag both are in one word, the size 0 if it is no bit
/// field (`BTF_MEMBER_BITFIELD_SIZE`, `BTF_MEMBER_BIT_OFFSET`).
fn position(record: &Record<'_>, offset: u32) -> (u32, Option<u32>) {
    if record.flag() { (offset & 0x00ff_ffff, Some(offset >> 24).filter(|&bits| bits != 0)) } else { (offset, None) }
}
