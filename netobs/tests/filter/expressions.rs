//! Expressions to try: a table, and a source of random ones.

use super::packets::{self, Packet};

/// Each matches some packets of the table and not all.
pub const EXPRESSIONS: &[&str] = &[
    "",
    "ip",
    "ip6",
    "arp",
    "icmp",
    "icmp6",
    "tcp",
    "udp",
    "not ip",
    "not tcp",
    "ip or ip6",
    "not (arp or ip6)",
    "icmp and host 10.40.0.3",
    "host 10.40.0.2",
    "src host 10.40.0.2",
    "dst host 10.40.0.2",
    "host 10.40.0.2 and port 80",
    "host 10.40.0.2 and not port 80",
    "host fd00::2",
    "src host fd00::2 and icmp6",
    "net 10.40.0.0/24",
    "net 198.51.100.0/24",
    "not net 10.0.0.0/8",
    "dst net 10.40.0.2 mask 255.255.255.254",
    "net fd00::/64",
    "ip6 net fe80::/10",
    "port 80",
    "src port 80",
    "dst port 53",
    "tcp port 80",
    "udp port 53",
    "port http or port domain",
    "portrange 50-100",
    "udp portrange 4000-6000",
    "tcp dst portrange 8000-9000",
    "tcp[tcpflags] & tcp-syn != 0",
    "tcp[tcpflags] & (tcp-syn|tcp-ack) == tcp-syn",
    "tcp[13] = 0x12",
    "icmp[icmptype] = icmp-echo",
    "icmp[icmptype] = icmp-unreach",
    "icmp6[icmp6type] = icmp6-echo",
    "ip[8] < 10",
    "ip[6:2] & 0x1fff != 0",
    "ip[6] & 0x40 != 0",
    "ip[0] & 0xf != 5",
    "ip[2:2] > 100",
    "ip6[6] = 0",
    "ip6 proto 58",
    "ip proto 17",
    "len > 100",
    "len <= 60",
    "greater 200",
    "less 60",
    "ether host 02:00:00:00:00:01",
    "ether src 02:00:00:00:00:01",
    "ether broadcast",
    "ether multicast",
    "ether proto 0x0806",
    "ether[0] & 1 = 1",
    "vlan",
    "vlan 100",
    "vlan and tcp port 80",
    "vlan 100 and ip",
    "ip multicast",
    "ip6 multicast",
    "arp host 10.40.0.3",
    "arp[6:2] = 1",
    "udp[4:2] > 20",
    "tcp[((tcp[12:1] & 0xf0) >> 2):4] = 0x47455420",
    "ip[16:4] = 0xc633640a",
    "ip[ip[0] & 0xf] != 0 and ip",
];

/// Hard for a converter or the verifier; whether they match anything does not matter.
pub const NASTY: &[&str] = &[
    "tcp[((tcp[12:1] & 0xf0) >> 2):4] = 0x47455420 or tcp[((tcp[12:1] & 0xf0) >> 2):4] = 0x504f5354",
    "ip[ip[2:2]] = 0",
    "ip[ip[2:2] + ip[4:2] * 65537] = 0",
    "ip[ip[12:4]:4] = 0",
    "ip[0 - ip[9]] = 6",
    "ip[ip[9] - 7:2] > 0",
    "ether[ether[ether[ether[20]]]] = ether[ether[21] & 0x3f]",
    "ip[8] / ip[1] = 3",
    "ip[8] % ip[1] = 3",
    "64 / (ip[9] - 6) > 0",
    "1 << ip[8] = 0",
    "ip[2:2] >> ip[8] = 0",
    "ip[12:4] << (ip[9] & 31) > 0x80000000",
    "ip[12:4] >= 0xc0000000 and ip[16:4] < 0xffffff00",
    "ip[12:4] & 0x80000000 != 0",
    "-ip[12:4] > 4000000000",
    "ip[8] ^ ip[9] = 70",
    "ip[8] | ip[9] > 64 and ip[8] * ip[9] < 5000",
    "len - ip[2:2] = 14",
    "len % 7 = 3",
    "ether[127] = 0x55",
    "ether[124:4] != 0",
    "ip[(ip[0] & 0xf) * 4 + ip[9] % 5:2] = ip[20 + (len & 7):2]",
    "(ip[0]+ip[1]*(ip[2]-ip[3]*(ip[4]+ip[5]*(ip[6]^ip[7]*(ip[8]|ip[9]*(ip[10]+len)))))) & 3 = 1",
    "geneve and tcp port 80",
    "mpls 100 and ip",
    "pppoes and ip6",
    "vlan 1 and vlan 2 and udp port 53",
];

const PRIMITIVES: &[&str] = &[
    "host 10.40.0.#",
    "src net 10.40.0.0/2#",
    "port 8#",
    "portrange 5#-1##",
    "len > #0",
    "less 1##",
    "tcp[#] > #2",
    "tcp[#:2] & 0xff != #",
    "udp[#] = #",
    "icmp[#] < #",
    "ip[1#:4] > 0x0a2800##",
    "ip[ip[#] & 0x1f] != #",
    "ip[ip[#]:2] > #",
    "ip[ip[#:2] - ip[#]] >= #",
    "ether[ether[1#] + #:4] < 0x#0000000",
    "ip[#] + ip[#] * # = ip[#] - ip[1#]",
    "ip[#:2] / ip[#] > #",
    "ip[#:2] % (ip[#] & #) > #",
    "ip[#:4] << ip[#] > #",
    "ip[#:4] >> (ip[#] & 15) & 1 = 1",
    "ip6[4#] > 1##",
    "ip6[ip6[#] & 0x3f:2] & 0x8000 != 0",
    "vlan 10#",
    "icmp6",
];

/// A deterministic source of expressions and packets.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `bound`, by splitmix64.
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % bound as u64) as usize
    }

    /// Up to six primitives joined by `and`, `or`, `not` and parentheses.
    pub fn expression(&mut self) -> String {
        let mut expression = self.primitive();
        for _ in 0..self.below(6) {
            let operator = ["and", "or"][self.below(2)];
            let other = self.primitive();
            expression = match self.below(4) {
                0 => format!("not ({expression}) {operator} {other}"),
                1 => format!("{other} {operator} ({expression})"),
                2 => format!("({expression}) {operator} not ({other})"),
                _ => format!("{expression} {operator} {other}"),
            };
        }
        expression
    }

    fn primitive(&mut self) -> String {
        let fixed = EXPRESSIONS.len() - 1;
        if self.below(3) == 0 {
            return EXPRESSIONS[1 + self.below(fixed)].to_owned();
        }
        let pattern = PRIMITIVES[self.below(PRIMITIVES.len())];
        pattern.chars().map(|c| if c == '#' { char::from(b'0' + self.below(10) as u8) } else { c }).collect()
    }

    /// A packet of the table with some bytes changed, some cut off.
    pub fn packet(&mut self) -> Packet {
        let mut table = packets::table();
        let mut packet = table.swap_remove(self.below(table.len()));
        for _ in 0..self.below(4) {
            let at = self.below(packet.bytes.len().clamp(1, 70));
            let value = self.below(256) as u8;
            if let Some(byte) = packet.bytes.get_mut(at) {
                *byte = value;
            }
        }
        if self.below(3) == 0 {
            packet.bytes.truncate(self.below(80));
            packet.network = packet.network.min(packet.bytes.len());
        }
        packet
    }
}
