//! Files made by hand, and the running kernel's.

use std::io::Write as _;
use std::time::Instant;

use super::parse::{display, read};
use super::{Symbols, SymbolsError};

const LISTING: &str = "\
ffffffff81000000 T _text
ffffffff81000000 T _stext
ffffffff81000000 T startup_64
ffffffff81000000 T startup_alias
ffffffff810000f0 t __pfx_ip_forward
ffffffff81000100 T ip_forward
ffffffff81000200 t neigh_invalidate.isra.0
ffffffff81000300 T _etext
ffffffff81000400 D some_data
ffffffffc0002000 t late\t[zlate]
ffffffffc0000000 t br_handle_frame\t[bridge]
ffffffffc0000100 T br_forward\t[bridge]
ffffffffc0001000 t nf_thing\t[nf_conntrack]
nonsense
ffffffff81000500 T

";

fn listing(text: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text).unwrap();
    file
}

#[test]
fn an_address_is_in_the_function_that_begins_before_it() {
    let file = listing(LISTING.as_bytes());
    let mut symbols = Symbols::from_file(file.path());
    for (address, name, module) in [
        (0xffff_ffff_8100_0000, Some("startup_64"), None),
        (0xffff_ffff_8100_0100, Some("ip_forward"), None),
        (0xffff_ffff_8100_01ff, Some("ip_forward"), None),
        (0xffff_ffff_8100_0280, Some("neigh_invalidate"), None),
        (0xffff_ffff_8100_0300, None, None),
        (0xffff_ffff_8100_0450, None, None),
        (0xffff_ffff_c000_00ff, Some("br_handle_frame"), Some("bridge")),
        (0xffff_ffff_c000_0150, Some("br_forward"), Some("bridge")),
        (0xffff_ffff_c000_1001, Some("nf_thing"), Some("nf_conntrack")),
        (0xffff_ffff_c000_5fff, Some("late"), Some("zlate")),
        (0xffff_ffff_c000_6000, None, None),
        (0, None, None),
        (u64::MAX, None, None),
    ] {
        let found = symbols.symbol(address);
        assert_eq!(found.map(|symbol| symbol.name), name, "{address:x}");
        assert_eq!(found.and_then(|symbol| symbol.module), module, "{address:x}");
    }
}

#[test]
fn what_the_compiler_appended_is_cut_off() {
    for (raw, shown) in [
        ("neigh_invalidate.isra.0", "neigh_invalidate"),
        ("ip_rcv_core.constprop.0.isra.1", "ip_rcv_core"),
        ("tcp_v4_rcv.part.0.cold", "tcp_v4_rcv"),
        ("tcp_v4_rcv.cold", "tcp_v4_rcv"),
        ("static_thing.42", "static_thing"),
        ("__UNIQUE.own_name", "__UNIQUE.own_name"),
        (".cold", ".cold"),
        ("a.", "a."),
    ] {
        assert_eq!(display(raw), shown);
    }
}

#[test]
fn hidden_addresses_and_useless_files_are_told_apart() {
    let hide = |line: &str| line.get(16..).map(|rest| format!("{:016}{rest}\n", 0));
    let file = listing(LISTING.lines().filter_map(hide).collect::<String>().as_bytes());
    let mut symbols = Symbols::from_file(file.path());
    assert!(symbols.name(0xffff_ffff_8100_0100).is_none());
    assert!(matches!(symbols.unavailable(), Some(SymbolsError::Restricted { .. })));
    let nothing = listing(b"\xff\xfe\n\n 1 \n");
    assert!(matches!(read(nothing.path()), Err(SymbolsError::Empty { .. })));
    assert!(matches!(read("/nonexistent/kallsyms".as_ref()), Err(SymbolsError::Unreadable { .. })));
}

#[test]
fn an_unknown_address_makes_it_read_again_but_not_at_once() {
    let file = listing(LISTING.as_bytes());
    let mut symbols = Symbols::from_file(file.path());
    assert_eq!(symbols.name(0xffff_ffff_c100_0000), None);
    std::fs::write(file.path(), format!("{LISTING}ffffffffc1000000 t vxlan_rcv\t[vxlan]\n")).unwrap();
    assert_eq!(symbols.name(0xffff_ffff_c100_0000), None);
    std::thread::sleep(super::RELOAD);
    assert_eq!(symbols.name(0xffff_ffff_c100_0000), Some("vxlan_rcv"));
}

#[test]
fn the_running_kernels_functions_are_found_in_bounded_memory() {
    let start = Instant::now();
    let table = match read("/proc/kallsyms".as_ref()) {
        Ok(table) => table,
        Err(error) => return eprintln!("skipped: {error}"),
    };
    eprintln!("read in {:?}, {} KiB", start.elapsed(), table.footprint() / 1024);
    assert!(table.footprint() < 12 << 20);
    let text = std::fs::read_to_string("/proc/kallsyms").unwrap();
    let address = |wanted: &str| {
        let line = text.lines().find(|line| line.split([' ', '\t']).nth(2) == Some(wanted)).unwrap();
        u64::from_str_radix(line.split(' ').next().unwrap(), 16).unwrap()
    };
    for name in ["ip_forward", "nf_hook_slow", "tcp_v4_rcv", "__dev_forward_skb2"] {
        assert_eq!(table.find(address(name) + 5).map(|symbol| (symbol.name, symbol.offset)), Some((name, 5)));
    }
}
