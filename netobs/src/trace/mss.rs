//! The segment size that a SYN asks for, and whether the way it took can carry such segments.

use super::narrate::Narrator;
use super::order::Order;
use crate::event::Detail;
use crate::journey::{Hop, Journey};
use crate::output::{MssRecord, SmallestMtu};

/// Length of a TCP header without options.
const TCP_HEADER: u32 = 20;
const IPV4_HEADER: u32 = 20;
const IPV6_HEADER: u32 = 40;

/// `None` unless the packet is a SYN that asks for a segment size.
pub(super) fn mss(journey: &Journey, narrator: &mut Narrator<'_>, order: &Order) -> Option<MssRecord> {
    let offered = offer(&journey.headers.detail)?;
    let changed = journey.hops.iter().enumerate().find_map(|(index, hop)| {
        let now = offer(&hop.headers.detail)?;
        (now != offered).then_some((index, now))
    });
    let now = changed.map_or(offered, |(_, now)| now);
    let headers = TCP_HEADER + if is_ipv6(journey) { IPV6_HEADER } else { IPV4_HEADER };
    let mut smallest: Option<(u32, &Hop)> = None;
    let mut all_known = true;
    for hop in &journey.hops {
        match narrator.mtu(hop) {
            Some(mtu) if smallest.is_none_or(|(least, _)| mtu < least) => smallest = Some((mtu, hop)),
            Some(_) => {}
            None => all_known = false,
        }
    }
    let fits = match smallest {
        Some((mtu, _)) if u32::from(now) + headers > mtu => Some(false),
        Some(_) if all_known => Some(true),
        _ => None,
    };
    Some(MssRecord {
        offered,
        clamped_to: changed.map(|(_, now)| now),
        hop: changed.map(|(index, _)| order.of_hop(index)),
        fits,
        would_fit: smallest.and_then(|(mtu, _)| u16::try_from(mtu.saturating_sub(headers)).ok()),
        smallest_mtu: smallest.map(|(bytes, hop)| SmallestMtu {
            bytes,
            netns: narrator.netns(hop.netns),
            device: hop.device.map(|device| device.to_string_lossy()),
        }),
    })
}

fn offer(detail: &Detail) -> Option<u16> {
    match detail {
        Detail::Tcp(segment) => segment.mss,
        Detail::None | Detail::Icmp { .. } | Detail::Arp { .. } => None,
    }
}

fn is_ipv6(journey: &Journey) -> bool {
    journey.headers.tuple.dst.is_some_and(|address| address.is_ipv6())
}
