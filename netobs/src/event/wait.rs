//! A packet that waits for a neighbour, as typed values.

use std::net::IpAddr;

use netobs_ebpf::{Hook, nud};

use super::ids::{DeviceName, PacketId};
use super::lookup::address;
use super::record::{bytes_of, index};
use crate::netlink::{Ifindex, MacAddress};
use crate::netns::NetnsInode;

/// What happened to the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitStage {
    /// It was put into the neighbour's queue.
    Queued,
    /// It was sent, the neighbour being known now.
    Sent,
    /// It was dropped. That it came out of the queue is not certain: only the drop's reason says so.
    Dropped,
}

/// What the kernel knew of the neighbour then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitState {
    /// Where it is.
    Known,
    /// It was being asked for.
    Asked,
    /// It did not answer.
    Failed,
    /// Nothing: its entry was removed.
    Removed,
}

/// One packet and the neighbour whose link-layer address it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// `CLOCK_MONOTONIC`, nanoseconds.
    pub time: u64,
    /// Which packet.
    pub packet: PacketId,
    /// When it began to wait, if that was seen.
    pub since: Option<u64>,
    /// What happened to the packet.
    pub stage: WaitStage,
    /// What was known of the neighbour.
    pub state: WaitState,
    /// The neighbour's namespace.
    pub netns: Option<NetnsInode>,
    /// Index of the device that it is behind.
    pub ifindex: Option<Ifindex>,
    /// The device's name.
    pub device: Option<DeviceName>,
    /// Its address.
    pub address: Option<IpAddr>,
    /// Its link-layer address, if it is known and one of Ethernet's.
    pub link_address: Option<MacAddress>,
    /// How often it had been asked, if that is known.
    pub probes: Option<u32>,
}

impl Wait {
    /// Length of its record.
    pub(super) const BYTES: usize = size_of::<netobs_ebpf::Wait>();

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.len() < Self::BYTES {
            return None;
        }
        // SAFETY: long enough, and every bit pattern is a value of this struct of integers.
        let record = unsafe { bytes.as_ptr().cast::<netobs_ebpf::Wait>().read_unaligned() };
        let stage = match Hook::from_number(record.hook)? {
            Hook::NeighUpdate => WaitStage::Sent,
            Hook::KfreeSkb => WaitStage::Dropped,
            _ => WaitStage::Queued,
        };
        let state = match record.state {
            _ if record.is_dead != 0 => WaitState::Removed,
            nud::FAILED => WaitState::Failed,
            nud::INCOMPLETE => WaitState::Asked,
            state if state & nud::VALID != 0 => WaitState::Known,
            _ => WaitState::Removed,
        };
        let is_mac = record.link_address_length == 6 && state == WaitState::Known;
        let mac = record.link_address.first_chunk().filter(|_| is_mac).copied().map(MacAddress);
        Some(Self {
            time: record.time,
            packet: PacketId(record.packet),
            since: (record.since != 0).then_some(record.since),
            stage,
            state,
            netns: (record.netns != 0).then_some(NetnsInode(record.netns)),
            ifindex: index(record.ifindex),
            device: (record.device != [0; 2]).then(|| DeviceName(bytes_of(&record.device))),
            address: address(record.family, record.address),
            link_address: mac,
            probes: (record.probes != 0).then_some(record.probes),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::call::Call;
    use super::*;

    /// The record of a packet that was sent to 10.40.0.3.
    fn record() -> netobs_ebpf::Wait {
        netobs_ebpf::Wait {
            address: [u32::from_ne_bytes([10, 40, 0, 3]), 0, 0, 0],
            link_address: [2, 0, 0, 0, 0, 3, 0, 0],
            link_address_length: 6,
            hook: Hook::NeighUpdate as u8,
            family: libc::AF_INET as u8,
            state: 0x02,
            probes: 1,
            ..netobs_ebpf::Wait::default()
        }
    }

    fn decode(record: &netobs_ebpf::Wait) -> Wait {
        // SAFETY: a struct of integers without padding.
        let bytes = unsafe { std::slice::from_raw_parts(std::ptr::from_ref(record).cast(), Wait::BYTES) };
        Wait::decode(bytes).unwrap()
    }

    #[test]
    fn records_are_told_apart_by_their_length() {
        assert_ne!(Wait::BYTES, Call::BYTES);
        assert_ne!(Wait::BYTES, size_of::<netobs_ebpf::Event>());
    }

    #[test]
    fn a_neighbour_that_answered() {
        let wait = decode(&record());
        assert_eq!((wait.stage, wait.state), (WaitStage::Sent, WaitState::Known));
        assert_eq!(wait.address, Some("10.40.0.3".parse().unwrap()));
        assert_eq!(wait.link_address, Some(MacAddress([2, 0, 0, 0, 0, 3])));
        assert_eq!((wait.since, wait.probes, wait.netns, wait.device), (None, Some(1), None, None));
    }

    #[test]
    fn what_is_not_known_is_not_shown() {
        let failed = netobs_ebpf::Wait { state: nud::FAILED, hook: Hook::KfreeSkb as u8, probes: 0, ..record() };
        let wait = decode(&failed);
        assert_eq!((wait.stage, wait.state), (WaitStage::Dropped, WaitState::Failed));
        // An older answer's.
        assert_eq!((wait.link_address, wait.probes), (None, None));
        assert_eq!(decode(&netobs_ebpf::Wait { is_dead: 1, ..failed }).state, WaitState::Removed);
        assert_eq!(decode(&netobs_ebpf::Wait { state: 0, ..failed }).state, WaitState::Removed);
        let infiniband = netobs_ebpf::Wait { link_address_length: 20, ..record() };
        assert_eq!(decode(&infiniband).link_address, None);
    }
}
