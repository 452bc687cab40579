//! Filters: a converted program says the same as libpcap's own machine about every packet, in an interpreter written
//! for this test and in the running kernel.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of a test may end it at the first surprise, too"
)]

#[path = "../common/mod.rs"]
mod common;
mod expressions;
mod kernel;
mod machine;
mod packets;

use netobs::filter::libpcap::compile;
use netobs::filter::{ClassicInsn, ConvertError, Filter, FilterError, Insn, LinkLayer, convert};
use netobs_ebpf::HEADER_BYTES;

use expressions::{EXPRESSIONS, NASTY, Random};
use packets::Packet;

const LINKS: [LinkLayer; 2] = [LinkLayer::Ethernet, LinkLayer::Raw];

/// What a filter function gets.
struct Sight {
    bytes: [u8; HEADER_BYTES],
    captured: u32,
    length: u32,
}

impl Sight {
    fn of(packet: &[u8], length: usize) -> Self {
        let captured = packet.len().min(HEADER_BYTES);
        // What lies behind the captured bytes must not matter.
        let mut bytes = [0x55; HEADER_BYTES];
        bytes[..captured].copy_from_slice(&packet[..captured]);
        Self { bytes, captured: captured as u32, length: length as u32 }
    }

    /// The verdict of libpcap's own interpreter.
    fn reference(&self, program: &[ClassicInsn]) -> bool {
        unsafe extern "C" {
            fn bpf_filter(program: *const ClassicInsn, packet: *const u8, length: u32, captured: u32) -> u32;
        }
        let captured = self.bytes[..self.captured as usize].to_vec();
        // SAFETY: the program came from libpcap and ends with `ret`; the buffer has as many bytes as it is told.
        unsafe { bpf_filter(program.as_ptr(), captured.as_ptr(), self.length, self.captured) != 0 }
    }
}

/// A program in both machines, or nothing if libpcap or the converter refuses it for this link layer.
fn both(expression: &str, link: LinkLayer) -> Option<(Vec<ClassicInsn>, Vec<Insn>)> {
    let classic = compile(expression, link).ok()?;
    let converted = convert(&classic).ok()?;
    Some((classic, converted))
}

fn sights(packets: &[Packet], link: LinkLayer) -> Vec<(&str, Sight)> {
    packets
        .iter()
        .map(|packet| {
            let bytes = match link {
                LinkLayer::Ethernet => packet.bytes.as_slice(),
                LinkLayer::Raw => packet.bytes.get(packet.network..).unwrap_or_default(),
            };
            let missing = packet.bytes.len() - bytes.len();
            (packet.name.as_str(), Sight::of(bytes, packet.length - missing))
        })
        .collect()
}

#[test]
fn agrees_with_libpcap_on_every_packet_of_the_table() {
    let packets = packets::table();
    for link in LINKS {
        let sights = sights(&packets, link);
        for expression in EXPRESSIONS.iter().chain(NASTY) {
            let Some((classic, converted)) = both(expression, link) else {
                assert_eq!(link, LinkLayer::Raw, "`{expression}` must work on Ethernet");
                continue;
            };
            let matching = sights
                .iter()
                .filter(|(name, sight)| {
                    let expected = sight.reference(&classic);
                    let found = machine::run(&converted, sight) != 0;
                    assert_eq!(found, expected, "`{expression}` on {name}, {link:?}\n{converted:#x?}");
                    found
                })
                .count();
            let trivial = expression.is_empty() || NASTY.contains(expression);
            assert!(
                link == LinkLayer::Raw || trivial || (1..sights.len()).contains(&matching),
                "`{expression}` matches {matching} of the packets: the table does not test it"
            );
        }
    }
}

#[test]
fn agrees_with_libpcap_on_random_expressions_and_packets() {
    // Both run in this program; another test asks the kernel.
    if common::takes_too_long("agrees_with_libpcap_on_random_expressions_and_packets") {
        return;
    }
    let mut random = Random::new(0x6e65_746f_6273);
    let mut compared = 0;
    for _ in 0..3000 {
        let expression = random.expression();
        let packets: Vec<Packet> = (0..8).map(|_| random.packet()).collect();
        for link in LINKS {
            let Some((classic, converted)) = both(&expression, link) else { continue };
            for (name, sight) in sights(&packets, link) {
                let found = machine::run(&converted, &sight) != 0;
                assert_eq!(found, sight.reference(&classic), "`{expression}` on {name}, {link:?}: {:x?}", sight.bytes);
                compared += 1;
            }
        }
    }
    assert!(compared > 20_000, "only {compared} comparisons");
}

#[test]
fn agrees_with_libpcap_in_the_running_kernel() {
    let Some(kernel) = kernel::Kernel::open() else { return };
    let packets = packets::table();
    let mut random = Random::new(0x6b65_726e_656c);
    let drawn: Vec<String> = (0..200).map(|_| random.expression()).collect();
    let expressions = EXPRESSIONS.iter().chain(NASTY).copied().chain(drawn.iter().map(String::as_str));
    for expression in expressions {
        for link in LINKS {
            let Some((classic, converted)) = both(expression, link) else { continue };
            let program = kernel.load(&converted).unwrap_or_else(|log| panic!("`{expression}`, {link:?}: {log}"));
            for (name, sight) in sights(&packets, link) {
                let found = kernel.run(&program, &sight, 1).0 != 0;
                assert_eq!(found, sight.reference(&classic), "`{expression}` on {name}, {link:?}");
            }
        }
    }
}

/// As many branches as fit into a placeholder.
#[test]
fn the_running_kernel_accepts_long_filters() {
    let Some(kernel) = kernel::Kernel::open() else { return };
    type Term = fn(u32) -> String;
    let filters: [(u32, Term); 5] = [
        (180, |n| format!("port {}", n * 3)),
        (400, |n| format!("tcp dst port {}", n * 3)),
        (250, |n| format!("host 10.1.{}.{}", n % 7, n)),
        (240, |n| format!("net 10.{}.{}.0/24", n % 7, n)),
        (200, |n| format!("ip[ip[{}]] = {}", n % 64, n % 256)),
    ];
    for (count, term) in filters {
        let terms: Vec<String> = (0..count).map(term).collect();
        let (_, converted) = both(&terms.join(" or "), LinkLayer::Ethernet).expect("compiles");
        let program = kernel.load(&converted).unwrap_or_else(|log| panic!("{count} × `{}`: {log}", terms[1]));
        let sight = Sight::of(&packets::table()[0].bytes, 60);
        let (_, nanoseconds) = kernel.run(&program, &sight, 100_000);
        println!("{count} × `{}`: {} instructions, {nanoseconds} ns", terms[1], converted.len());
    }
}

/// Prints what one run costs; `cargo test … -- --nocapture what_a_run_costs`.
#[test]
fn what_a_run_costs() {
    let Some(kernel) = kernel::Kernel::open() else { return };
    let packets = packets::table();
    let sights = sights(&packets, LinkLayer::Ethernet);
    let (_, sight) = sights.iter().find(|(name, _)| *name == "icmp echo").expect("is in the table");
    for expression in ["", "icmp and host 10.40.0.3", "tcp port 80", NASTY[0], "ip6 and tcp"] {
        let (_, converted) = both(expression, LinkLayer::Ethernet).expect("compiles");
        let program = kernel.load(&converted).expect("loads");
        let (verdict, nanoseconds) = kernel.run(&program, sight, 1_000_000);
        println!("{nanoseconds:3} ns, {:3} instructions, verdict {verdict}: `{expression}`", converted.len());
    }
}

#[test]
fn says_what_is_wrong_with_an_expression() {
    let message = |expression: &str| Filter::compile(expression).expect_err(expression).to_string();
    assert_eq!(message("host and"), "filter `host and`: syntax error");
    assert!(message("ip\0 or arp").contains("NUL"));
    assert!(message("ether[127:2] = 1").contains("only the first 128"), "{}", message("ether[127:2] = 1"));
    assert!(message("ip6 protochain 6").contains("loop"), "{}", message("ip6 protochain 6"));
    assert!(message("ip and arp").contains("rejects all packets"));
    assert!(message("ip broadcast").contains("netmask"));
    let long = format!("port 99999 and {}", "ip and ".repeat(100));
    assert!(message(&long).len() < 200, "{}", message(&long));
    assert!(message("inbound").contains("capturing socket"), "{}", message("inbound"));
    let loads_behind = ClassicInsn { code: 0x28, jt: 0, jf: 0, k: 128 };
    assert_eq!(convert(&[loads_behind, ClassicInsn::REJECT]), Err(ConvertError::TooFar(128)));
    assert_eq!(convert(&[loads_behind]), Err(ConvertError::TooFar(128)));
    let unknown = ClassicInsn { code: 0xffff, jt: 0, jf: 0, k: 0 };
    assert_eq!(convert(&[unknown]), Err(ConvertError::Unknown(unknown)));
}

#[test]
fn survives_monstrous_expressions() {
    let nested = format!("{}ip{}", "(".repeat(100_000), ")".repeat(100_000));
    assert!(matches!(Filter::compile(&nested), Err(FilterError::TooLong(200_002))));
    assert!(matches!(Filter::compile(&"ip or ".repeat(170_000)), Err(FilterError::TooLong(_))));
    // Within the limit: understood, or refused by libpcap's parser, but never a crash.
    Filter::compile(&format!("{}ip{}", "(".repeat(5000), ")".repeat(5000))).expect("10 kB of parentheses");
    Filter::compile(&format!("{}ip", "not ".repeat(2500))).expect("10 kB of not");
    Filter::compile(&format!("ip or ({})", "ip and ".repeat(1400) + "ip")).expect("10 kB of and");
    let _ = Filter::compile(&format!("{}0{}=0", "ip[".repeat(4000), "]".repeat(4000)));
}

#[test]
fn what_ethernet_alone_has_never_matches_a_bare_ip_packet() {
    let packets = packets::table();
    for expression in ["ether host 02:00:00:00:00:02", "arp", "vlan"] {
        let filter = Filter::compile(expression).expect(expression);
        for (name, sight) in sights(&packets, LinkLayer::Raw) {
            assert_eq!(machine::run(filter.l3(), &sight), 0, "`{expression}` on {name}");
        }
    }
}
