//! The ICMP error that the kernel answered a packet with.

use netobs_ebpf::{Hook, icmp};

/// An ICMP or ICMPv6 error that a packet brought about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Message type.
    pub kind: u8,
    /// Message code.
    pub code: u8,
    /// Whether it is ICMPv6.
    pub is_v6: bool,
    /// It was sent. Otherwise it was about to be: the kernel sends no more than so many a second.
    pub is_sent: bool,
    /// Of `fragmentation needed` and `packet too big`: the largest packet that would have passed, if that was seen.
    pub mtu: Option<u32>,
}

impl Answer {
    pub(super) fn decode(record: &netobs_ebpf::Event, hook: Hook) -> Option<Self> {
        let is_v6 = match hook {
            Hook::IcmpSend => false,
            Hook::Icmp6Send => true,
            _ => return None,
        };
        let (kind, code, is_sent) = icmp::unpack(record.location);
        let is_too_big = if is_v6 { kind == 2 } else { (kind, code) == (3, 4) };
        let mtu = (is_too_big && record.reason != 0).then_some(record.reason);
        Some(Self { kind, code, is_v6, is_sent, mtu })
    }
}
