//! A few words on what a packet is, beyond its addresses.

use std::net::IpAddr;

use crate::event::{Answer, Detail, Headers, Nested, Proto, Tuple, Wrapper};

/// Flags of a TCP header in the order of their bits, as tcpdump writes them.
const TCP_FLAGS: [(u8, &str); 6] = [(2, "SYN"), (1, "FIN"), (4, "RST"), (8, "PSH"), (16, "ACK"), (32, "URG")];

/// `SYN seq 7 mss 1460`, `echo request id 1 seq 2`, `frag needed, mtu 1400, for 10.40.0.2:45 > 198.51.100.10:80`.
pub(super) fn info(headers: &Headers, nested: Option<&Nested>) -> Option<String> {
    let own = own(
        headers,
        nested.and_then(|nested| match nested.wrapper {
            Wrapper::IcmpError { mtu } => mtu,
            Wrapper::Vxlan { .. } => None,
        }),
    );
    let Some(nested) = nested else { return own };
    let tuple = path(&nested.headers.tuple);
    Some(match nested.wrapper {
        Wrapper::IcmpError { .. } => format!("{}, for {tuple}", own.unwrap_or_default()),
        Wrapper::Vxlan { vni } => format!("vxlan vni {vni}, {} {tuple}", nested.headers.proto.name()),
    })
}

/// What an ICMP error means: `frag needed, mtu 1400`.
pub(super) fn meaning(answer: &Answer) -> String {
    let Answer { kind, code, is_v6, mtu, .. } = *answer;
    if is_v6 { icmp6(kind, code, None, mtu) } else { icmp(kind, code, None, mtu) }
}

fn own(headers: &Headers, mtu: Option<u32>) -> Option<String> {
    match headers.detail {
        Detail::None => None,
        Detail::Arp { operation: 1 } => Some("who has the second, tell the first".into()),
        Detail::Arp { operation: 2 } => Some("the first is here".into()),
        Detail::Arp { operation } => Some(format!("operation {operation}")),
        Detail::Tcp(segment) => {
            let names: Vec<_> =
                TCP_FLAGS.iter().filter(|(bit, _)| segment.flags & bit != 0).map(|(_, name)| *name).collect();
            let flags = if names.is_empty() { "no flags".into() } else { names.join("+") };
            let mss = segment.mss.map(|mss| format!(" mss {mss}")).unwrap_or_default();
            Some(format!("{flags} seq {}{mss}", segment.seq))
        }
        Detail::Icmp { kind, code, echo } => Some(match headers.proto {
            Proto::Icmp6 => icmp6(kind, code, echo, mtu),
            _ => icmp(kind, code, echo, mtu),
        }),
    }
}

fn icmp(kind: u8, code: u8, echo: Option<(u16, u16)>, mtu: Option<u32>) -> String {
    match (kind, code, echo) {
        (8, _, Some((id, seq))) => format!("echo request id {id} seq {seq}"),
        (0, _, Some((id, seq))) => format!("echo reply id {id} seq {seq}"),
        (3, 0, _) => "net unreachable".into(),
        (3, 1, _) => "host unreachable".into(),
        (3, 2, _) => "protocol unreachable".into(),
        (3, 3, _) => "port unreachable".into(),
        (3, 4, _) => too_big("frag needed", mtu),
        (3, 9 | 10 | 13, _) => format!("prohibited, code {code}"),
        (3, _, _) => format!("destination unreachable, code {code}"),
        (4, _, _) => "source quench".into(),
        (5, _, _) => "redirect".into(),
        (11, 0, _) => "time to live exceeded".into(),
        (11, _, _) => "reassembly time exceeded".into(),
        (12, _, _) => "parameter problem".into(),
        _ => format!("type {kind} code {code}"),
    }
}

fn icmp6(kind: u8, code: u8, echo: Option<(u16, u16)>, mtu: Option<u32>) -> String {
    match (kind, code, echo) {
        (128, _, Some((id, seq))) => format!("echo request id {id} seq {seq}"),
        (129, _, Some((id, seq))) => format!("echo reply id {id} seq {seq}"),
        (1, 0, _) => "no route".into(),
        (1, 1, _) => "prohibited".into(),
        (1, 3, _) => "address unreachable".into(),
        (1, 4, _) => "port unreachable".into(),
        (1, _, _) => format!("destination unreachable, code {code}"),
        (2, _, _) => too_big("packet too big", mtu),
        (3, 0, _) => "hop limit exceeded".into(),
        (3, _, _) => "reassembly time exceeded".into(),
        (4, _, _) => "parameter problem".into(),
        (133, _, _) => "router solicitation".into(),
        (134, _, _) => "router advertisement".into(),
        (135, _, _) => "neighbour solicitation".into(),
        (136, _, _) => "neighbour advertisement".into(),
        (143, _, _) => "multicast listener report".into(),
        _ => format!("type {kind} code {code}"),
    }
}

/// Routers older than RFC 1191 leave the MTU 0.
fn too_big(what: &str, mtu: Option<u32>) -> String {
    mtu.filter(|mtu| *mtu > 0).map_or_else(|| what.to_owned(), |mtu| format!("{what}, mtu {mtu}"))
}

/// `10.40.0.2:45 > 198.51.100.10:80`
fn path(tuple: &Tuple) -> String {
    let end = |address: Option<IpAddr>, port: Option<u16>| match (address, port) {
        (Some(IpAddr::V6(address)), Some(port)) => format!("[{address}]:{port}"),
        (Some(address), Some(port)) => format!("{address}:{port}"),
        (Some(address), None) => address.to_string(),
        (None, _) => "?".into(),
    };
    format!("{} > {}", end(tuple.src, tuple.sport), end(tuple.dst, tuple.dport))
}

#[cfg(test)]
mod tests {
    use etherparse::{PacketBuilder, TcpOptionElement};

    use super::*;

    fn told(bytes: &[u8]) -> String {
        let (headers, nested) = Headers::parse(bytes, false, 0x0800);
        info(&headers, nested.as_ref()).unwrap_or_default()
    }

    fn syn() -> Vec<u8> {
        let mut bytes = Vec::new();
        PacketBuilder::ipv4([10, 40, 0, 2], [198, 51, 100, 10], 64)
            .tcp(45, 80, 7, 1000)
            .options(&[TcpOptionElement::MaximumSegmentSize(1460)])
            .unwrap()
            .syn()
            .write(&mut bytes, &[])
            .unwrap();
        bytes
    }

    #[test]
    fn a_syn_says_what_it_can_take() {
        assert_eq!(told(&syn()), "SYN seq 7 mss 1460");
    }

    #[test]
    fn an_error_says_what_it_is_about() {
        let error = |code, rest| {
            let mut bytes = Vec::new();
            let builder = PacketBuilder::ipv4([203, 0, 113, 2], [10, 40, 0, 2], 64).icmpv4_raw(3, code, rest);
            builder.write(&mut bytes, &syn()).unwrap();
            told(&bytes)
        };
        let about = "for 10.40.0.2:45 > 198.51.100.10:80";
        assert_eq!(error(4, [0, 0, 5, 120]), format!("frag needed, mtu 1400, {about}"));
        assert_eq!(error(4, [0; 4]), format!("frag needed, {about}"));
        assert_eq!(error(3, [0; 4]), format!("port unreachable, {about}"));
        assert_eq!(error(77, [0; 4]), format!("destination unreachable, code 77, {about}"));
    }
}
