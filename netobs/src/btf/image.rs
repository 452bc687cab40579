//! One BTF blob: the header, where each record begins, the strings, and an index of names.

use std::ops::Range;
use std::sync::OnceLock;

use super::kind::Kind;

const MAGIC: u16 = 0xeb9f;
const VERSION: u8 = 1;
/// Up to the end of `str_len`, which every version has.
const SMALLEST_HEADER: usize = 24;
/// Up to the end of `layout_len` (7.1).
const HEADER_WITH_LAYOUT: usize = 32;
/// `struct btf_type`: name, info, and size or type.
pub(super) const HEAD: usize = 12;

/// What is wrong with a blob that claims to be BTF.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// It does not begin with the magic number.
    #[error("this is not BTF")]
    Magic,
    /// The magic number is the other way round.
    #[error("BTF of the other byte order")]
    ByteOrder,
    /// A version after 1.
    #[error("BTF version {0}, only version 1 is known")]
    Version(u8),
    /// A section or record reaches past the end.
    #[error("BTF ends in the middle of its {0}")]
    Truncated(&'static str),
    /// A record of a kind whose length neither we nor the blob know.
    #[error("BTF record {id} is of the unknown kind {kind}")]
    Kind {
        /// The record's id.
        id: u32,
        /// Its kind's number.
        kind: u8,
    },
}

/// A blob, checked so far that every record lies inside it. Ids and offsets inside records are not checked: whoever
/// follows one must expect it to lead nowhere or in a circle.
#[derive(Debug)]
pub(super) struct Image {
    bytes: Vec<u8>,
    /// Where each record begins in `bytes`, the record of `first_id` first.
    records: Vec<u32>,
    strings: Range<usize>,
    first_id: u32,
    first_string: u32,
    /// Hash of the name in the upper half, id in the lower, sorted. Built at the first look-up: a module's is often
    /// never asked.
    names: OnceLock<Vec<u64>>,
}

/// One record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record<'a> {
    pub(super) name: u32,
    info: u32,
    word: u32,
    /// What follows the head, to the record's end.
    pub(super) tail: &'a [u8],
}

impl Image {
    /// Reads a blob; a module's continues the ids and string offsets of `base`.
    pub(super) fn parse(bytes: Vec<u8>, base: Option<&Self>) -> Result<Self, Malformed> {
        let magic = bytes.get(..2).and_then(|b| b.try_into().ok()).map(u16::from_ne_bytes);
        match magic {
            Some(MAGIC) => {}
            Some(magic) if magic == MAGIC.swap_bytes() => return Err(Malformed::ByteOrder),
            _ => return Err(Malformed::Magic),
        }
        match bytes.get(2) {
            Some(&VERSION) => {}
            Some(&version) => return Err(Malformed::Version(version)),
            None => return Err(Malformed::Truncated("header")),
        }
        let header = word(&bytes, 4).ok_or(Malformed::Truncated("header"))? as usize;
        if header < SMALLEST_HEADER || header > bytes.len() {
            return Err(Malformed::Truncated("header"));
        }
        let section = |at: usize, name: &'static str| -> Result<Range<usize>, Malformed> {
            let start = word(&bytes, at).and_then(|offset| header.checked_add(offset as usize));
            let end = start.zip(word(&bytes, at + 4)).and_then(|(start, len)| start.checked_add(len as usize));
            start.zip(end).filter(|&(_, end)| end <= bytes.len()).map(|(s, e)| s..e).ok_or(Malformed::Truncated(name))
        };
        let types = section(8, "types")?;
        let strings = section(16, "strings")?;
        let layout = if header >= HEADER_WITH_LAYOUT { section(24, "layout")? } else { 0..0 };

        let first_id = base.map_or(1, |base| base.next_id());
        let first_string = base.map_or(0, |base| base.first_string.saturating_add(length(&base.strings)));
        let records = records(&bytes, types, bytes.get(layout).unwrap_or(&[]), first_id)?;
        Ok(Self { bytes, records, strings, first_id, first_string, names: OnceLock::new() })
    }

    /// The id after the last one.
    fn next_id(&self) -> u32 {
        self.first_id.saturating_add(u32::try_from(self.records.len()).unwrap_or(u32::MAX))
    }

    /// Its own ids.
    pub(super) fn ids(&self) -> Range<u32> {
        self.first_id..self.next_id()
    }

    /// Whether `id` is one of an earlier blob's (0 is `void` everywhere).
    pub(super) fn precedes(&self, id: u32) -> bool {
        id < self.first_id
    }

    pub(super) fn record(&self, id: u32) -> Option<Record<'_>> {
        let index = id.checked_sub(self.first_id)? as usize;
        let start = *self.records.get(index)? as usize;
        // Records lie one after the other; the last one's tail may take in what follows the section, which is
        // harmless because readers count elements by vlen.
        let end = self.records.get(index + 1).map_or(self.bytes.len(), |next| *next as usize);
        let bytes = self.bytes.get(start..end)?;
        Some(Record { name: word(bytes, 0)?, info: word(bytes, 4)?, word: word(bytes, 8)?, tail: bytes.get(HEAD..)? })
    }

    /// The string at a blob-wide offset, without its NUL. `None` where the offset belongs to an earlier blob.
    pub(super) fn string(&self, offset: u32) -> Option<&[u8]> {
        let start = self.strings.start.checked_add(offset.checked_sub(self.first_string)? as usize)?;
        let rest = self.bytes.get(start..self.strings.end)?;
        let end = rest.iter().position(|&byte| byte == 0)?;
        rest.get(..end)
    }

    /// Ids of the records that may be called `name`; the caller compares. `string` finds names of earlier blobs too.
    pub(super) fn candidates<'a>(
        &'a self,
        name: &str,
        string: impl Fn(u32) -> Option<&'a [u8]>,
    ) -> impl Iterator<Item = u32> + 'a {
        let names = self.names.get_or_init(|| {
            let last = self.next_id();
            let mut names: Vec<u64> = (self.first_id..last)
                .filter_map(|id| {
                    let record = self.record(id).filter(|r| r.name != 0 && r.kind().is_looked_up())?;
                    Some(u64::from(hash(string(record.name)?)) << 32 | u64::from(id))
                })
                .collect();
            names.shrink_to_fit();
            names.sort_unstable();
            names
        });
        let wanted = u64::from(hash(name.as_bytes()));
        let from = names.partition_point(|entry| entry >> 32 < wanted);
        names
            .iter()
            .skip(from)
            .take_while(move |&entry| entry >> 32 == wanted)
            .map(|&entry| u32::try_from(entry & u64::from(u32::MAX)).unwrap_or(0))
    }
}

impl<'a> Record<'a> {
    pub(super) fn kind(&self) -> Kind {
        Kind::of(self.info)
    }

    /// Bit 31 of `info`: members carry bit sizes, enumerators are signed, a forward is of a union.
    pub(super) fn flag(&self) -> bool {
        self.info >> 31 == 1
    }

    /// The type this one refers to, where its kind refers to one.
    pub(super) fn target(&self) -> u32 {
        self.word
    }

    /// Size in bytes, where its kind has one.
    pub(super) fn size(&self) -> u32 {
        self.word
    }

    /// The elements after the head, `N` words each.
    pub(super) fn elements<const N: usize>(&self) -> impl Iterator<Item = [u32; N]> + use<'a, N> {
        let vlen = (self.info & 0x00ff_ffff) as usize;
        self.tail.chunks_exact(4 * N).take(vlen).map(|bytes| {
            let mut words = [0; N];
            for (to, from) in words.iter_mut().zip(bytes.chunks_exact(4)) {
                *to = word(from, 0).unwrap_or(0);
            }
            words
        })
    }
}

/// Finds where every record of the type section begins.
fn records(bytes: &[u8], types: Range<usize>, layout: &[u8], first_id: u32) -> Result<Vec<u32>, Malformed> {
    // 21 bytes a record on average on 6.1 to 6.18.
    let mut records = Vec::with_capacity(types.len() / 20);
    let mut at = types.start;
    while at < types.end {
        let info = word(bytes, at + 4).ok_or(Malformed::Truncated("types"))?;
        let kind = Kind::of(info);
        let (fixed, each) = kind.layout().or_else(|| own_layout(layout, info)).ok_or_else(|| Malformed::Kind {
            id: first_id.saturating_add(u32::try_from(records.len()).unwrap_or(u32::MAX)),
            kind: u8::try_from((info >> 24) & 0x7f).unwrap_or(u8::MAX),
        })?;
        let vlen = if each == 0 { 0 } else { (info & 0x00ff_ffff) as usize };
        let next = at + HEAD + fixed + each * vlen;
        if next > types.end {
            return Err(Malformed::Truncated("types"));
        }
        records.push(u32::try_from(at).map_err(|_| Malformed::Truncated("types"))?);
        at = next;
    }
    Ok(records)
}

/// The blob's own word on a kind we do not know: `struct btf_layout { u8 info_sz, elem_sz; u16 flags }` by kind (7.1).
fn own_layout(layout: &[u8], info: u32) -> Option<(usize, usize)> {
    let entry = layout.chunks_exact(4).nth(((info >> 24) & 0x7f) as usize)?;
    Some((usize::from(*entry.first()?), usize::from(*entry.get(1)?)))
}

/// The 32-bit word at `at`, in the machine's byte order, which is the kernel's.
pub(super) fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at.checked_add(4)?)?.try_into().ok().map(u32::from_ne_bytes)
}

fn length(range: &Range<usize>) -> u32 {
    u32::try_from(range.len()).unwrap_or(u32::MAX)
}

/// FNV-1a: short names, no adversary.
fn hash(name: &[u8]) -> u32 {
    name.iter().fold(0x811c_9dc5, |hash, &byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}
