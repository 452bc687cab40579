//! Hand-made blobs, well and badly formed.

use super::image::{Image, Malformed};
use super::{Bits, Btf, BtfError, Field};

const INT: u32 = 1;
const PTR: u32 = 2;
const ARRAY: u32 = 3;
const STRUCT: u32 = 4;
const UNION: u32 = 5;
const ENUM: u32 = 6;
const TYPEDEF: u32 = 8;
const CONST: u32 = 10;
const FUNC: u32 = 12;
const PROTO: u32 = 13;
const ENUM64: u32 = 19;

/// Bit 31 of `info`, in the notation of [`Blob::add`].
const FLAG: u32 = 1 << 7;

/// A blob being written; ids count from 1, or on from a base's.
struct Blob {
    types: Vec<u8>,
    strings: Vec<u8>,
    first_string: u32,
}

impl Blob {
    fn new() -> Self {
        Self { types: vec![], strings: vec![0], first_string: 0 }
    }

    fn string(&mut self, text: &str) -> u32 {
        if text.is_empty() {
            return 0;
        }
        let offset = self.first_string + self.strings.len() as u32;
        self.strings.extend_from_slice(text.as_bytes());
        self.strings.push(0);
        offset
    }

    /// A record of `kind` (with or without [`FLAG`]) and the words after its head.
    fn add(&mut self, kind: u32, name: &str, vlen: u32, word: u32, tail: &[u32]) {
        let name = self.string(name);
        for word in [name, kind << 24 | vlen, word].iter().chain(tail) {
            self.types.extend_from_slice(&word.to_ne_bytes());
        }
    }

    /// A struct or union; members are name, type and position.
    fn composite(&mut self, kind: u32, name: &str, size: u32, members: &[(&str, u32, u32)]) {
        let tail: Vec<u32> = members.iter().flat_map(|&(name, ty, at)| [self.string(name), ty, at]).collect();
        self.add(kind, name, members.len() as u32, size, &tail);
    }

    fn bytes(&self) -> Vec<u8> {
        self.with_layout(&[])
    }

    fn with_layout(&self, layout: &[u8]) -> Vec<u8> {
        let header = if layout.is_empty() { 24u32 } else { 32 };
        let (types, strings) = (self.types.len() as u32, self.strings.len() as u32);
        let mut words = vec![header, 0, types, types, strings];
        if !layout.is_empty() {
            words.extend([types + strings, layout.len() as u32]);
        }
        let mut bytes = 0xeb9f_u16.to_ne_bytes().to_vec();
        bytes.extend([1, 0]);
        bytes.extend(words.iter().flat_map(|word| word.to_ne_bytes()));
        [&bytes, &self.types[..], &self.strings, layout].concat()
    }
}

/// A little kernel: an skb with an anonymous union and bit fields, enums, functions, a tracepoint.
fn kernel() -> Blob {
    let mut blob = Blob::new();
    blob.add(INT, "unsigned int", 0, 4, &[32]); // 1
    blob.add(INT, "u8", 0, 1, &[8]); // 2
    blob.composite(UNION, "", 8, &[("dev", 4, 0), ("dev_scratch", 1, 0)]); // 3
    blob.add(PTR, "", 0, 5, &[]); // 4: struct net_device *
    blob.composite(STRUCT, "net_device", 16, &[("ifindex", 1, 0), ("nd_net", 6, 64)]); // 5
    blob.add(TYPEDEF, "possible_net_t", 0, 7, &[]); // 6
    blob.composite(STRUCT, "", 8, &[("net", 4, 0)]); // 7
    let bit = |size: u32, at: u32| size << 24 | at;
    blob.composite(
        STRUCT | FLAG,
        "sk_buff",
        32,
        &[("", 3, bit(0, 64)), ("cloned", 2, bit(1, 130)), ("mark", 1, bit(0, 160)), ("cb", 9, bit(0, 192))],
    ); // 8
    blob.add(ARRAY, "", 0, 0, &[2, 1, 8]); // 9: u8[8]
    blob.add(ENUM, "skb_drop_reason", 2, 4, &[]); // 10, members below
    let (a, b) = (blob.string("SKB_DROP_REASON_NO_SOCKET"), blob.string("SKB_DROP_REASON_SUBSYS_MASK"));
    for word in [a, 3, b, 0xffff_0000] {
        blob.types.extend_from_slice(&word.to_ne_bytes());
    }
    let name = blob.string("WIDE");
    blob.add(ENUM64, "wide", 1, 8, &[name, 1, 2]); // 11
    blob.add(CONST, "", 0, 2, &[]); // 12
    blob.add(PTR, "", 0, 12, &[]); // 13: const u8 *
    blob.add(PTR, "", 0, 8, &[]); // 14: struct sk_buff *
    blob.add(PTR, "", 0, 14, &[]); // 15: struct sk_buff **
    blob.add(PTR, "", 0, 0, &[]); // 16: void *
    let (skb, data) = (blob.string("skb"), blob.string("__data"));
    blob.add(PROTO, "", 2, 1, &[skb, 15, 0, 13]); // 17
    blob.add(FUNC, "ip_forward", 1, 17, &[]); // 18
    blob.add(PROTO, "", 2, 0, &[0, 16, 0, 14]); // 19
    blob.add(PTR, "", 0, 19, &[]); // 20
    blob.add(TYPEDEF, "btf_trace_kfree_skb", 0, 20, &[]); // 21
    blob.add(PROTO, "", 2, 1, &[data, 16, skb, 14]); // 22
    blob.add(FUNC, "__traceiter_kfree_skb", 1, 22, &[]); // 23
    blob.add(ENUM, "shared_name", 0, 4, &[]); // 24
    blob.composite(STRUCT, "shared_name", 4, &[("x", 1, 0)]); // 25
    blob
}

fn whole(offset: u32, size: u32) -> Option<Field> {
    Some(Field { offset, size, bits: None })
}

#[test]
fn fields_are_found_through_anonymous_unions_typedefs_and_nested_structs() {
    let btf = Btf::from_bytes(kernel().bytes()).unwrap();
    assert_eq!(btf.field("sk_buff.dev"), whole(8, 8));
    assert_eq!(btf.field("sk_buff.dev_scratch"), whole(8, 4));
    assert_eq!(btf.field("sk_buff.mark"), whole(20, 4));
    assert_eq!(btf.field("sk_buff.cb"), whole(24, 8));
    assert_eq!(btf.field("net_device.nd_net.net"), whole(8, 8));
    assert_eq!(
        btf.field("sk_buff.cloned"),
        Some(Field { offset: 16, size: 1, bits: Some(Bits { offset: 2, size: 1 }) })
    );
    assert_eq!(btf.field("shared_name.x"), whole(0, 4));
    assert_eq!(btf.field_any(&["sk_buff.gone", "sk_buff.mark"]), whole(20, 4));
    for absent in ["", ".", "sk_buff", "sk_buff.", "sk_buff.nope", "nope.dev", "sk_buff.dev.ifindex", "sk_buff..dev"] {
        assert_eq!(btf.field(absent), None, "{absent}");
    }
    assert_eq!((btf.size_of("sk_buff"), btf.size_of("possible_net_t"), btf.size_of("no")), (Some(32), Some(8), None));
}

#[test]
fn enums_functions_and_tracepoints_are_read() {
    let btf = Btf::from_bytes(kernel().bytes()).unwrap();
    let reasons = btf.enum_values("skb_drop_reason").unwrap();
    assert_eq!(
        (reasons.value("SKB_DROP_REASON_NO_SOCKET"), reasons.name(3)),
        (Some(3), Some("SKB_DROP_REASON_NO_SOCKET"))
    );
    assert_eq!(reasons.value("SKB_DROP_REASON_SUBSYS_MASK"), Some(0xffff_0000));
    assert_eq!(btf.enum_values("wide").unwrap().value("WIDE"), Some((2 << 32) | 1));
    assert!(btf.enum_values("sk_buff").is_none());
    assert!(btf.has_function("ip_forward") && !btf.has_function("sk_buff") && !btf.has_function("ip_forwar"));
    assert_eq!(btf.function("ip_forward").unwrap().to_string(), "(struct sk_buff **skb, const u8 *) -> unsigned int");
    let tracepoint = btf.tracepoint("kfree_skb").unwrap();
    assert_eq!(tracepoint.to_string(), "(struct sk_buff *skb) -> void");
    assert_eq!((tracepoint.named("skb"), tracepoint.named("rx_sk")), (Some(0), None));
    assert!(btf.tracepoint("nothing").is_none());
}

#[test]
fn a_modules_ids_and_strings_continue_the_bases() {
    let base = kernel();
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("vmlinux"), base.bytes()).unwrap();
    let mut module = Blob { types: vec![], strings: vec![], first_string: base.strings.len() as u32 };
    module.composite(STRUCT, "nf_conn", 48, &[("skb", 8, 0), ("tuple", 27, 256)]); // 26
    module.composite(STRUCT, "nf_conntrack_tuple", 16, &[("src", 1, 32)]); // 27
    module.add(FUNC, "nf_conntrack_in", 1, 17, &[]); // 28: a prototype of the base
    std::fs::write(directory.path().join("nf_conntrack"), module.bytes()).unwrap();
    std::fs::write(directory.path().join("bridge"), b"nonsense").unwrap();
    std::fs::write(directory.path().join("amdgpu"), b"not even looked at").unwrap();

    let btf = Btf::from_directory(directory.path()).unwrap();
    assert!(btf.field("sk_buff.dev").is_some() && btf.unusable_modules().is_empty());
    assert_eq!(btf.field("nf_conn.tuple.src"), whole(36, 4));
    assert_eq!(btf.field("nf_conn.skb.dev"), whole(8, 8));
    assert_eq!(btf.function("nf_conntrack_in").unwrap().typed("struct sk_buff **"), Some(0));
    let unusable: Vec<&str> = btf.unusable_modules().iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(unusable, ["bridge"]);
}

#[test]
fn an_unknown_kind_is_skipped_only_where_the_blob_gives_its_length() {
    let mut blob = Blob::new();
    blob.add(30, "", 2, 0, &[1, 2, 3]); // 1: one word, and one for each element
    blob.add(INT, "u8", 0, 1, &[8]); // 2
    assert!(matches!(Image::parse(blob.bytes(), None), Err(Malformed::Kind { id: 1, kind: 30 })));
    let mut layout = vec![0; 31 * 4];
    layout[30 * 4..30 * 4 + 2].copy_from_slice(&[4, 4]);
    assert_eq!(Btf::from_bytes(blob.with_layout(&layout)).unwrap().size_of("u8"), Some(1));
}

/// Asks everything there is to ask; only that it returns matters.
fn ask_everything(btf: &Btf) {
    for path in ["sk_buff.dev", "sk_buff.cloned", "net_device.nd_net.net", "sk_buff.a.b.c", "loop.x", "t.x"] {
        btf.field(path);
    }
    for name in ["sk_buff", "skb_drop_reason", "wide", "ip_forward", "kfree_skb", "loop", "t"] {
        let _ = (btf.size_of(name), btf.enum_values(name), btf.function(name), btf.tracepoint(name));
    }
}

#[test]
fn a_blob_cut_anywhere_or_with_any_byte_changed_neither_panics_nor_hangs() {
    let good = kernel().bytes();
    for end in 0..good.len() {
        assert!(Btf::from_bytes(good[..end].to_vec()).is_err(), "cut at {end}");
    }
    for at in 0..good.len() {
        for byte in [0, 1, 0x7f, 0x80, 0xff, good[at] ^ 0x10] {
            let mut bad = good.clone();
            bad[at] = byte;
            if let Ok(btf) = Btf::from_bytes(bad) {
                ask_everything(&btf);
            }
        }
    }
}

#[test]
fn circles_end() {
    let mut blob = Blob::new();
    blob.add(TYPEDEF, "t", 0, 1, &[]); // 1: itself
    let again: Vec<(&str, u32, u32)> = vec![("", 2, 0); 200];
    blob.composite(STRUCT, "loop", 8, &again); // 2: contains itself, 200 times over
    let arguments = [0, 3].repeat(100);
    blob.add(PROTO, "", 100, 3, &arguments); // 3: takes itself, returns itself
    blob.add(FUNC, "ip_forward", 1, 3, &[]); // 4
    blob.add(ARRAY, "", 0, 0, &[5, 1, 2]); // 5: array of itself
    blob.add(TYPEDEF, "array", 0, 5, &[]); // 6
    let btf = Btf::from_bytes(blob.bytes()).unwrap();
    ask_everything(&btf);
    assert_eq!((btf.size_of("array"), btf.size_of("t"), btf.field("loop.x")), (None, None, None));
    assert!(btf.function("ip_forward").unwrap().params.len() == 100);
}

#[test]
fn what_is_no_btf_is_refused_with_a_reason() {
    for (bytes, why) in [
        (&b""[..], "this is not BTF"),
        (b"\x7fELF\x02\x01\x01", "this is not BTF"),
        (&0xeb9f_u16.swap_bytes().to_ne_bytes(), "other byte order"),
        (&[0xeb9f_u16.to_ne_bytes()[0], 0xeb9f_u16.to_ne_bytes()[1], 2, 0], "version 2"),
    ] {
        let error = Btf::from_bytes(bytes.to_vec()).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
    let absent = tempfile::tempdir().unwrap();
    assert!(matches!(Btf::from_directory(absent.path()), Err(BtfError::Absent { .. })));
}
