//! Where a packet was routed to.

use serde::Serialize;

use super::printable;

/// Numbers of the tables that have a name in every kernel (`enum rt_class_t`).
const NAMED: [(u32, &str); 3] = [(253, "default"), (254, "main"), (255, "local")];

/// The answer of the routing tables to a packet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RouteRecord {
    /// What was looked for.
    pub destination: Option<String>,
    /// Whether it is the packet's sender: the kernel looks for the way back, to see whether the packet may come from
    /// there.
    pub source_check: bool,
    /// The table that has the route; `null` if none has one.
    pub table: Option<u32>,
    /// What the route does, by `ip route`'s name: `unicast`, `local`, `broadcast`, `blackhole`, `unreachable`,
    /// `prohibit`, …; `null` if it goes through a nexthop object.
    #[serde(rename = "type")]
    pub kind: Option<&'static str>,
    /// The device that it leads through.
    pub device: Option<String>,
    /// The next hop; `null` when the destination is on the link.
    pub gateway: Option<String>,
    /// The kernel's name for why the packet cannot go there.
    pub error: Option<String>,
}

impl RouteRecord {
    /// `route: main → up0 via 203.0.113.1`. `None` if it is not worth a line: the sender is where the packet came from.
    pub(super) fn line(&self, came_by: Option<&str>) -> Option<String> {
        let whom = self.destination.as_deref().unwrap_or("?");
        let device = self.device.as_deref().map(printable);
        let device = device.as_deref().unwrap_or("?");
        let way = || {
            let gateway = self.gateway.as_ref().map(|gateway| format!(" via {gateway}")).unwrap_or_default();
            format!("{} → {device}{gateway}", table(self.table))
        };
        if self.source_check {
            return match self.kind {
                _ if self.table.is_none() => Some(format!("source check: no route back to {whom}")),
                Some("local") => Some(format!("source check: {whom} is this namespace's own address")),
                Some(kind) if self.error.is_some() => Some(format!("source check: the route back to {whom} is {kind}")),
                _ if self.device.as_deref() == came_by => None,
                _ => Some(format!("source check: {whom} is behind {device}")),
            };
        }
        Some(match self.kind {
            _ if self.table.is_none() => format!("no route to {whom}"),
            Some("local") => "route: local".to_owned(),
            Some("unicast") | None => format!("route: {}", way()),
            Some(kind) if self.error.is_some() => format!("route: {kind}, by {}", table(self.table)),
            Some(kind) => format!("route: {kind} on {device}"),
        })
    }

    /// Whether it ends the packet's way.
    pub(super) fn is_refusal(&self) -> bool {
        self.error.is_some()
    }
}

/// `main`, `table 100`
fn table(number: Option<u32>) -> String {
    let Some(number) = number else { return "no table".to_owned() };
    let named = NAMED.iter().find(|(known, _)| *known == number);
    named.map_or_else(|| format!("table {number}"), |(_, name)| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(kind: &'static str) -> RouteRecord {
        RouteRecord {
            destination: Some("198.51.100.10".into()),
            source_check: false,
            table: Some(254),
            kind: Some(kind),
            device: Some("up0".into()),
            gateway: Some("203.0.113.1".into()),
            error: None,
        }
    }

    fn line(route: &RouteRecord) -> String {
        route.line(Some("br0")).unwrap_or_default()
    }

    #[test]
    fn a_route_in_a_line() {
        assert_eq!(line(&route("unicast")), "route: main → up0 via 203.0.113.1");
        let on_the_link = RouteRecord { gateway: None, table: Some(100), ..route("unicast") };
        assert_eq!(line(&on_the_link), "route: table 100 → up0");
        assert_eq!(line(&route("local")), "route: local");
        assert_eq!(line(&route("broadcast")), "route: broadcast on up0");
        let refusing = RouteRecord { error: Some("EHOSTUNREACH".into()), ..route("unreachable") };
        assert_eq!(line(&refusing), "route: unreachable, by main");
        let none = RouteRecord { table: None, kind: None, error: Some("ENETUNREACH".into()), ..route("unicast") };
        assert_eq!(line(&none), "no route to 198.51.100.10");
    }

    #[test]
    fn a_sender_is_worth_a_line_where_it_is_not_where_its_packet_came_from() {
        let check = RouteRecord { source_check: true, ..route("unicast") };
        assert_eq!(line(&check), "source check: 198.51.100.10 is behind up0");
        assert_eq!(check.line(Some("up0")), None);
        let none = RouteRecord { table: None, error: Some("ENETUNREACH".into()), ..check };
        assert_eq!(line(&none), "source check: no route back to 198.51.100.10");
    }
}
