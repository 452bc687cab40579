//! Which addresses are the namespace's own, for `-m addrtype` and `fib … type`.

use std::net::IpAddr;

use crate::netlink::{Result, Route, Socket, within};

/// Where an address leads (`rtm_type`), as far as the local routing table tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Local,
    Broadcast,
    Multicast,
    /// None of these. For IPv4 that is `UNICAST` (`__inet_dev_addr_type` looks only at the local table); for IPv6 it may
    /// be unreachable as well.
    Elsewhere,
}

/// The routes of the table `local`.
#[derive(Clone, Debug, Default)]
pub(super) struct Places(Vec<Route>);

impl Places {
    /// Reads those of the calling thread's namespace.
    pub(super) fn read() -> Result<Self> {
        let mut routes = Socket::open()?.routes()?;
        routes.retain(|route| route.table == Route::LOCAL);
        Ok(Self(routes))
    }

    /// The type of an address.
    pub(super) fn of(&self, address: IpAddr) -> Place {
        // ipv4_is_zeronet and ipv4_is_lbcast
        if let IpAddr::V4(v4) = address
            && (v4.octets()[0] == 0 || v4.is_broadcast())
        {
            return Place::Broadcast;
        }
        if address.is_multicast() {
            return Place::Multicast;
        }
        let longest = self.0.iter().filter(|route| covers(route, address)).max_by_key(|route| route.prefix_length);
        match longest {
            Some(route) if route.local => Place::Local,
            Some(_) if address.is_ipv4() => Place::Broadcast,
            Some(_) | None => Place::Elsewhere,
        }
    }
}

fn covers(route: &Route, address: IpAddr) -> bool {
    let Some(destination) = route.destination else { return false };
    within(address, destination, route.prefix_length)
}
