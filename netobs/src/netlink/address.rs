use std::net::IpAddr;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage, AddressScope};

use super::{Ifindex, Result, Socket};

/// An address of a link as `ip address` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The link it is on.
    pub ifindex: Ifindex,
    /// The address itself.
    pub address: IpAddr,
    /// The length of the prefix that is reachable on the link.
    pub prefix_length: u8,
    /// Scope `link`: fe80::/10 and 169.254.0.0/16 as a rule.
    pub link_local: bool,
    /// IPv6 duplicate address detection has not finished: the address cannot be used yet.
    pub tentative: bool,
}

impl Socket {
    /// All addresses of the namespace, IPv4 and IPv6.
    pub fn addresses(&mut self) -> Result<Vec<Address>> {
        let question = RouteNetlinkMessage::GetAddress(AddressMessage::default());
        let answers = self.dump("list addresses", &question)?;
        Ok(answers.into_iter().filter_map(Address::from_message).collect())
    }
}

impl Address {
    /// Whether `other` lies in the net that comes with this address.
    pub fn covers(&self, other: IpAddr) -> bool {
        within(other, self.address, self.prefix_length)
    }

    fn from_message(message: RouteNetlinkMessage) -> Option<Self> {
        let RouteNetlinkMessage::NewAddress(message) = message else { return None };
        let mut tentative = false;
        let (mut local, mut peer) = (None, None);
        for attribute in &message.attributes {
            match attribute {
                AddressAttribute::Local(address) => local = Some(*address),
                AddressAttribute::Address(address) => peer = Some(*address),
                AddressAttribute::Flags(flags) => tentative = flags.contains(AddressFlags::Tentative),
                _ => {}
            }
        }
        Some(Self {
            ifindex: Ifindex(message.header.index),
            // On a point-to-point link IFA_ADDRESS is the other end; IPv6 sends no IFA_LOCAL otherwise.
            address: local.or(peer)?,
            prefix_length: message.header.prefix_len,
            link_local: message.header.scope == AddressScope::Link,
            tentative,
        })
    }
}

/// Whether `address` lies in the net.
pub fn within(address: IpAddr, net: IpAddr, length: u8) -> bool {
    let (address, net, width): (u128, u128, u8) = match (address, net) {
        (IpAddr::V4(address), IpAddr::V4(net)) => (u128::from(address.to_bits()), u128::from(net.to_bits()), 32),
        (IpAddr::V6(address), IpAddr::V6(net)) => (address.to_bits(), net.to_bits(), 128),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return false,
    };
    let host_bits = u32::from(width.saturating_sub(length));
    (address ^ net).checked_shr(host_bits).unwrap_or(0) == 0
}
