//! The address by which one endpoint is asked for by another.

use std::net::IpAddr;

use super::{Endpoint, EndpointError};
use crate::netlink::{self, Address, Socket};
use crate::state::Namespaces;

/// The address of `to` that `from` would be told: one on a network of its own, or else the first one, IPv4 before IPv6.
/// `None` if it has none but loopback's.
///
/// # Errors
/// A namespace cannot be looked into.
pub fn address_of(to: &Endpoint, from: &Endpoint) -> Result<Option<IpAddr>, EndpointError> {
    let (theirs, ours) = (addresses(to)?, addresses(from)?);
    let near = |address: &&Address| ours.iter().any(|own| shares_network(own, address.address));
    let first = theirs.iter().find(near).or_else(|| theirs.iter().find(|address| address.address.is_ipv4()));
    Ok(first.or_else(|| theirs.first()).map(|address| address.address))
}

fn addresses(endpoint: &Endpoint) -> Result<Vec<Address>, EndpointError> {
    let Some(netns) = Namespaces::new().open(endpoint.netns) else {
        return Err(EndpointError::Gone(endpoint.name.clone()));
    };
    let read = || -> netlink::Result<Vec<Address>> { Socket::open_in(&netns)?.addresses() };
    let all = read().map_err(|error| EndpointError::Addresses { name: endpoint.name.clone(), error })?;
    Ok(all.into_iter().filter(|address| !address.address.is_loopback() && !address.link_local).collect())
}

fn shares_network(own: &Address, other: IpAddr) -> bool {
    let length = u32::from(own.prefix_length);
    match (own.address, other) {
        (IpAddr::V4(own), IpAddr::V4(other)) => {
            (own.to_bits() ^ other.to_bits()).leading_zeros() >= length && length < u32::BITS
        }
        (IpAddr::V6(own), IpAddr::V6(other)) => {
            (own.to_bits() ^ other.to_bits()).leading_zeros() >= length && length < u128::BITS
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{Address, shares_network};
    use crate::netlink::Ifindex;

    #[test]
    fn a_network_is_shared_by_the_prefix() {
        let own = |address: &str, prefix_length| Address {
            ifindex: Ifindex(2),
            address: address.parse().unwrap(),
            prefix_length,
            link_local: false,
            tentative: false,
        };
        let shares = |own: &Address, other: &str| shares_network(own, other.parse().unwrap());
        assert!(shares(&own("10.40.0.2", 24), "10.40.0.3"));
        assert!(!shares(&own("10.40.0.2", 24), "10.41.0.3"));
        assert!(!shares(&own("10.40.0.2", 32), "10.40.0.2"));
        assert!(shares(&own("fd00::2", 64), "fd00::3"));
        assert!(!shares(&own("10.40.0.2", 0), "fd00::3"));
    }
}
