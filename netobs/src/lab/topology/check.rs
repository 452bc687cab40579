//! Everything about a topology that the kernel would refuse or that cannot be meant, found before anything is made.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::mistake::{Mistake, Place};
use super::node::{Node, Route};
use super::prefix::Prefix;
use super::segment::segments;
use super::{Device, End, Topology};

/// `resolv.conf(5)`: MAXNS.
const RESOLVERS: usize = 3;
/// With less a node's own PID 1 would not start.
const LEAST_MEMORY: u64 = 8 << 20;
/// RFC 8200: no link that carries IPv6 may have less (`IPV6_MIN_MTU`).
const LEAST_IPV6_MTU: u32 = 1280;

/// Collects mistakes.
#[derive(Default)]
struct Findings(Vec<Mistake>);

impl Findings {
    /// Something is wrong, whatever else there is.
    fn wrong(&mut self, place: Place, reason: impl Into<String>) {
        self.0.push(Mistake { place, reason: reason.into(), rests_on: None });
    }

    /// Something that `node` should have is missing, or so it seems.
    fn missing(&mut self, place: Place, node: &str, reason: impl Into<String>) {
        self.0.push(Mistake { place, reason: reason.into(), rests_on: Some(node.to_owned()) });
    }
}

impl Topology {
    /// All that is wrong with it: nothing, if it can be built.
    pub fn check(&self) -> Vec<Mistake> {
        let mut findings = Findings::default();
        let top = Place::default();
        if self.nodes.is_empty() {
            findings.missing(top.clone(), "", "a topology has at least one node (`[[nodes]]`)");
        }
        let mut names = BTreeSet::new();
        for (index, node) in self.nodes.iter().enumerate() {
            let place = top.at("nodes").at(index);
            name(&mut findings, place.at("name"), &node.name);
            if !names.insert(&node.name) {
                findings.wrong(place.at("name"), format!("there are two nodes `{}`", node.name));
            }
            self.check_devices(&mut findings, &place, node);
            self.check_addresses(&mut findings, &place, node);
            self.check_routes(&mut findings, &place, node);
            self.check_nat(&mut findings, &place, node);
            self.check_vxlans(&mut findings, &place, node);
            self.check_settings(&mut findings, &place, node);
        }
        for (place, end) in self.ends(|end| !names.contains(&end.node)) {
            if self.node(&end.node).is_none() {
                findings.missing(place.at("node"), &end.node, format!("there is no node `{}`", end.node));
            }
        }
        for (index, experiment) in self.experiments.iter().enumerate() {
            if self.node(&experiment.node).is_none() {
                let place = top.at("experiments").at(index).at("node");
                findings.missing(place, &experiment.node, format!("there is no node `{}`", experiment.node));
            }
        }
        self.check_segments(&mut findings);
        findings.0
    }

    /// Those ends of cables that are wanted, each with its place.
    fn ends(&self, wanted: impl Fn(&End) -> bool) -> impl Iterator<Item = (Place, &End)> {
        let all = self
            .links
            .iter()
            .enumerate()
            .flat_map(|(index, link)| link.ends.iter().enumerate().map(move |(end, value)| (index, end, value)));
        let place = |link: usize, end: usize| Place::default().at("links").at(link).at("ends").at(end);
        all.filter(move |(.., end)| wanted(end)).map(move |(link, end, value)| (place(link, end), value))
    }

    /// A node's devices, each with its place.
    fn placed_devices<'a>(
        &'a self,
        place: &Place,
        node: &'a Node,
    ) -> impl Iterator<Item = (Place, Device<'a>)> + use<'a> {
        let list = place.at("bridges");
        let bridges = node.bridges.iter().enumerate();
        let bridges = bridges.map(move |(index, bridge)| (list.at(index), Device::Bridge(bridge)));
        let own = self.ends(|end| end.node == node.name);
        let list = place.at("vxlans");
        let vxlans = node.vxlans.iter().enumerate();
        let vxlans = vxlans.map(move |(index, vxlan)| (list.at(index), Device::Vxlan(vxlan)));
        let list = place.at("lent");
        let lent = node.lent.iter().enumerate();
        let lent = lent.map(move |(index, lent)| (list.at(index), Device::Lent(lent)));
        bridges.chain(own.map(|(place, end)| (place, Device::End(end)))).chain(vxlans).chain(lent)
    }

    fn check_devices(&self, findings: &mut Findings, place: &Place, node: &Node) {
        let mut names = BTreeSet::from(["lo"]);
        for (place, device) in self.placed_devices(place, node) {
            let field = if matches!(device, Device::End(_)) { "device" } else { "name" };
            name(findings, place.at(field), device.name());
            if matches!(device.name(), "all" | "default") {
                findings.wrong(place.at(field), format!("the kernel keeps the name `{}` for itself", device.name()));
            }
            if !names.insert(device.name()) {
                let reason = format!("{} has two devices `{}`", node.name, device.name());
                findings.wrong(place.at(field), reason);
            }
            if let Some(bridge) = device.bridge()
                && !node.bridges.iter().any(|known| known.name == bridge)
            {
                findings.missing(place.at("bridge"), &node.name, format!("{} has no bridge `{bridge}`", node.name));
            }
            if let Some(mtu) = device.mtu().filter(|mtu| !(68..=65535).contains(mtu)) {
                findings.wrong(place.at("mtu"), format!("an MTU is between 68 and 65535, not {mtu}"));
            } else if device.addresses().iter().any(|one| one.address.is_ipv6())
                && self.mtu_of(node, device) < LEAST_IPV6_MTU
            {
                let (least, mtu) = (LEAST_IPV6_MTU, self.mtu_of(node, device));
                let reason =
                    format!("with an IPv6 address {} has an MTU of at least {least}, not {mtu}", device.name());
                findings.wrong(place.at("mtu"), reason);
            }
        }
    }

    fn check_addresses(&self, findings: &mut Findings, place: &Place, node: &Node) {
        let lo = node.loopback.iter().enumerate().map(|(index, prefix)| (place.at("loopback").at(index), "lo", prefix));
        let devices = self.placed_devices(place, node).flat_map(|(place, device)| {
            let list = place.at("addresses");
            let addresses = device.addresses().iter().enumerate();
            addresses.map(move |(index, prefix)| (list.at(index), device.name(), prefix))
        });
        let mut seen: Vec<(&str, &Prefix)> = Vec::new();
        for (place, device, prefix) in lo.chain(devices) {
            if let Some(reason) = unusable(prefix) {
                findings.wrong(place.clone(), reason);
            }
            let whole = prefix.length == widest(prefix.address);
            let same =
                |(other, known): &&(&str, &Prefix)| known.address == prefix.address && (!whole || *other == device);
            let clash = |(other, known): &&(&str, &Prefix)| {
                *other != device && !whole && prefix.length > 0 && known.network() == prefix.network()
            };
            if let Some((other, _)) = seen.iter().find(same) {
                findings.wrong(place, format!("{} has the address {} on {other} already", node.name, prefix.address));
            } else if let Some((other, _)) = seen.iter().find(clash).filter(|_| !node.clashing_routes) {
                let reason = format!(
                    "{other} of {} is in {} as well, so their routes clash; `clashing_routes = true` if that is meant",
                    node.name,
                    prefix.network()
                );
                findings.wrong(place, reason);
            }
            seen.push((device, prefix));
        }
    }

    fn check_routes(&self, findings: &mut Findings, place: &Place, node: &Node) {
        let mut known = BTreeSet::new();
        for (index, route) in node.routes.iter().enumerate() {
            let place = place.at("routes").at(index);
            if let Some(to) = route.to.filter(|to| to.network() != *to) {
                let reason = format!("{to} is an address; the route to its network is {}", to.network());
                findings.wrong(place.at("to"), reason);
            }
            let family = |address: IpAddr| if address.is_ipv4() { "IPv4" } else { "IPv6" };
            if let (Some(to), Some(via)) = (route.to, route.via)
                && to.address.is_ipv4() != via.is_ipv4()
            {
                let reason = format!("{via} is {}, and {to} is {}", family(via), family(to.address));
                findings.wrong(place.at("via"), reason);
            }
            if let Some(device) = &route.device
                && !self.devices_of(node).any(|known| known.name() == device)
            {
                findings.missing(place.at("device"), &node.name, format!("{} has no device `{device}`", node.name));
            }
            match route.via {
                None if route.device.is_none() => {
                    findings.wrong(place.clone(), "a route has a next hop (`via`), a `device`, or both");
                }
                None => {}
                Some(via) => self.check_gateway(findings, &place, node, route, via),
            }
            let v6 = route.via.or(route.to.map(|to| to.address)).is_some_and(|address| address.is_ipv6());
            let to = route.to.map(|to| to.network().to_string());
            if !known.insert((v6, to)) {
                findings.wrong(place, format!("{} has two routes to the same place ({route})", node.name));
            }
        }
    }

    /// A gateway must be reachable without a gateway.
    fn check_gateway(&self, findings: &mut Findings, place: &Place, node: &Node, route: &Route, via: IpAddr) {
        let of = |device: &str| route.device.as_deref().is_none_or(|wanted| wanted == device);
        if self.addresses_of(node).any(|(_, prefix)| prefix.address == via) {
            return findings.wrong(place.at("via"), format!("{via} is {}'s own address", node.name));
        }
        let link_local = matches!(via, IpAddr::V6(via) if via.is_unicast_link_local());
        if link_local && route.device.is_none() {
            return findings.wrong(place.at("via"), format!("{via} is on every link; say which `device`"));
        }
        let connected = self.addresses_of(node).any(|(device, prefix)| of(device) && prefix.contains(via));
        let told = node.routes.iter().filter(|other| other.via.is_none() && other.device.as_deref().is_some_and(of));
        let mut told = told.filter_map(|other| other.to);
        if !link_local && !connected && !told.any(|to| to.contains(via)) {
            let reason = format!("{via} is not on any link of {}, so it cannot be a gateway", node.name);
            findings.missing(place.at("via"), &node.name, reason);
        }
    }

    fn check_nat(&self, findings: &mut Findings, place: &Place, node: &Node) {
        for (index, hidden) in node.masquerade.iter().enumerate() {
            let place = place.at("masquerade").at(index);
            source(findings, place.at("source"), hidden.source);
            self.device_there(findings, place.at("except"), node, &hidden.except);
        }
        for (index, snat) in node.snat.iter().enumerate() {
            let place = place.at("snat").at(index);
            source(findings, place.at("source"), snat.source);
            self.device_there(findings, place.at("device"), node, &snat.device);
            if snat.source.address.is_ipv4() != snat.to.is_ipv4() {
                findings.wrong(place.at("to"), format!("{} and {} are of different families", snat.source, snat.to));
            }
        }
        let mut ports = BTreeSet::new();
        for (index, published) in node.published.iter().enumerate() {
            let place = place.at("published").at(index);
            let port = (published.protocol, published.port);
            if published.port == 0 || published.to_port == 0 {
                findings.wrong(place.clone(), "0 is no port");
            }
            if !ports.insert(port) {
                let reason = format!("{} publishes port {}/{} twice", node.name, published.port, published.protocol);
                findings.wrong(place.at("port"), reason);
            }
            if self.first_ipv4(&node.name).is_none() {
                let reason = format!("{} has no IPv4 address for people to connect to", node.name);
                findings.missing(place.at("port"), &node.name, reason);
            }
            let to = &published.to;
            if self.node(to).is_none() {
                findings.missing(place.at("to"), to, format!("there is no node `{to}`"));
            } else if self.first_ipv4(to).is_none() {
                findings.missing(place.at("to"), to, format!("{to} has no IPv4 address to lead a port to"));
            }
        }
    }

    fn check_vxlans(&self, findings: &mut Findings, place: &Place, node: &Node) {
        let mut known = BTreeSet::new();
        for (index, vxlan) in node.vxlans.iter().enumerate() {
            let place = place.at("vxlans").at(index);
            if !(1..1 << 24).contains(&vxlan.id) {
                findings.wrong(place.at("id"), format!("a VXLAN's number is between 1 and {}", (1 << 24) - 1));
            }
            if !known.insert((vxlan.id, vxlan.port)) {
                let reason = format!("{} has VXLAN {} on port {} twice", node.name, vxlan.id, vxlan.port);
                findings.wrong(place.at("id"), reason);
            }
            if !self.addresses_of(node).any(|(_, prefix)| prefix.address == vxlan.local) {
                let reason = format!("{} is no address of {}", vxlan.local, node.name);
                findings.missing(place.at("local"), &node.name, reason);
            }
            if vxlan.local == vxlan.remote || vxlan.local.is_ipv4() != vxlan.remote.is_ipv4() {
                let reason = format!("{} cannot be the other end of {}", vxlan.remote, vxlan.local);
                findings.wrong(place.at("remote"), reason);
            }
        }
    }

    fn device_there(&self, findings: &mut Findings, place: Place, node: &Node, device: &str) {
        if device != "lo" && !self.devices_of(node).any(|known| known.name() == device) {
            findings.missing(place, &node.name, format!("{} has no device `{device}`", node.name));
        }
    }

    fn check_settings(&self, findings: &mut Findings, place: &Place, node: &Node) {
        for (key, value) in &node.sysctls {
            let place = place.at("sysctls").at(key.as_str());
            if !key.starts_with("net.") || key.contains('/') || key.contains("..") || key.contains(char::is_control) {
                let reason = format!("`{key}` is not a setting of a network namespace (net.…)");
                findings.wrong(place.clone(), reason);
            } else if let Some(device) = Node::device_of_sysctl(key) {
                self.device_there(findings, place.clone(), node, device);
            }
            if value.contains(char::is_control) {
                findings.wrong(place, format!("the value of {key} is more than one line"));
            }
        }
        let mut ports = BTreeSet::new();
        for (index, service) in node.services.iter().enumerate() {
            let (protocol, port) = match service {
                super::Service::Http { port } => ("TCP", port),
                super::Service::Dns { port } => ("UDP", port),
            };
            let place = place.at("services").at(index).at("port");
            if *port == 0 {
                findings.wrong(place, "0 is no port");
            } else if !ports.insert((protocol, port)) {
                findings.wrong(place, format!("{} has two servers on {protocol} port {port}", node.name));
            }
        }
        if node.resolvers.len() > RESOLVERS {
            let reason = format!("the C library asks {RESOLVERS} resolvers at most, not {}", node.resolvers.len());
            findings.wrong(place.at("resolvers"), reason);
        }
        if node.cpu_percent == Some(0) {
            findings.wrong(place.at("cpu_percent"), "without any CPU time a node cannot start");
        }
        if node.memory_limit.is_some_and(|limit| limit < LEAST_MEMORY) {
            findings.wrong(place.at("memory_limit"), "a node takes at least 8 MiB");
        }
    }

    /// Two stations that hear each other must not share an address.
    fn check_segments(&self, findings: &mut Findings) {
        let mut places: BTreeMap<(&str, &str), Place> = BTreeMap::new();
        for (index, node) in self.nodes.iter().enumerate() {
            let list = Place::default().at("nodes").at(index);
            for (place, device) in self.placed_devices(&list, node) {
                places.entry((&node.name, device.name())).or_insert(place);
            }
        }
        for segment in segments(self) {
            let mut owners: BTreeMap<IpAddr, &str> = BTreeMap::new();
            for station in segment {
                for (index, prefix) in station.addresses(self).iter().enumerate() {
                    let owner = *owners.entry(prefix.address).or_insert(station.node);
                    let place = places.get(&(station.node, station.device));
                    if let Some(place) = place.filter(|_| owner != station.node) {
                        let reason = format!("{} is {owner}'s already, on the same segment", prefix.address);
                        findings.wrong(place.at("addresses").at(index), reason);
                    }
                }
            }
        }
    }
}

/// Device names have at most 15 characters (`IFNAMSIZ`); node names become device and host names as a rule.
fn name(findings: &mut Findings, place: Place, name: &str) {
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    if name.len() > 15 {
        findings.wrong(place, format!("`{name}` has {} characters, and a name has at most 15", name.len()));
    } else if !plain || name.is_empty() || name.starts_with('-') {
        findings.wrong(place, format!("`{name}` cannot be a name here: letters, digits, `-` and `_`, not `-` first"));
    }
}

fn source(findings: &mut Findings, place: Place, source: Prefix) {
    if source.network() != source {
        findings.wrong(place, format!("{source} is an address; its network is {}", source.network()));
    }
}

fn widest(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// Why no device can have this address.
fn unusable(prefix: &Prefix) -> Option<String> {
    let address = prefix.address;
    if address.is_unspecified() || address.is_multicast() {
        return Some(format!("{address} is no address of a device"));
    }
    let IpAddr::V4(v4) = address else { return None };
    if v4.is_broadcast() {
        return Some(format!("{address} is no address of a device"));
    }
    // RFC 3021: a /31 has neither a network nor a broadcast address.
    if prefix.length >= 31 {
        return None;
    }
    let hosts = u32::MAX.checked_shr(u32::from(prefix.length)).unwrap_or(0);
    match v4.to_bits() & hosts {
        0 => Some(format!("{prefix} is the network, not an address in it")),
        all if all == hosts => Some(format!("{address} is the broadcast address of {}", prefix.network())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;

    /// Every kind of mistake, each in the line that its reason is told of.
    #[test]
    fn finds_every_mistake_in_one_go() {
        let text = include_str!("../../../tests/lab/mistakes.toml");
        let found = parse("mistakes.toml", text).unwrap_err().found;
        let mut wanted: Vec<(usize, &str)> = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let told = line.split_once("# WRONG: ").into_iter().flat_map(|(_, reasons)| reasons.split(" & "));
            wanted.extend(told.map(|reason| (number, reason)));
        }
        for (line, part) in &wanted {
            let there = found.iter().any(|(at, reason)| at == line && reason.contains(part));
            assert!(there, "line {line}: {part}\n{found:#?}");
        }
        assert_eq!(found.len(), wanted.len(), "{found:#?}");
        assert!(wanted.len() > 30);
    }

    #[test]
    fn tells_no_consequences() {
        let text = "[[nodes]]\nname = 'a'\nroutes = [{ via = '10.0.0.1' }]\n[[nodes]]\nname = 'b'\n[[links]]\n\
                    ends = [{ node = 'a', device = 'e0', adresses = ['10.0.0.2/24'] }, { node = 'b', device = 'e0' }]\n";
        let mistakes = parse("x.toml", text).unwrap_err();
        assert_eq!(mistakes.found.len(), 1, "{mistakes}");
        assert_eq!(mistakes.to_string(), "x.toml:7: `adresses` means nothing here; is `addresses` meant?");
    }

    #[test]
    fn reports_what_is_no_toml() {
        let mistakes = parse("x.toml", "name = \n[[nodes\nabout = 'x'\nabout = 'y'\n").unwrap_err();
        assert!(mistakes.found.len() >= 2, "{mistakes}");
    }
}
