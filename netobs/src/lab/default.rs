use std::net::{IpAddr, Ipv4Addr};

use super::prefix::Prefix;
use super::topology::{Bridge, End, Link, Masquerade, Node, Protocol, Published, Route, Service, Topology};

/// Memory a container may use: ample for the usual tools, little enough to watch it run out.
const CONTAINER_MEMORY: u64 = 128 << 20;

/// The gateway of both containers: the bridge's own address.
const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 40, 0, 1);
/// The host's next hop: the world's end of the uplink.
const WORLD: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
/// An address in the world that is not on the uplink, so that reaching it takes a route.
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 10);

/// Two containers on a host's bridge, and a world behind the host's uplink: what `docker0` does, made complete.
pub fn default_topology() -> Topology {
    Topology {
        name: "default".to_owned(),
        nodes: vec![host(), container("c1", vec![Service::Http { port: 80 }]), container("c2", Vec::new()), inet()],
        links: vec![plug("c1", Ipv4Addr::new(10, 40, 0, 2)), plug("c2", Ipv4Addr::new(10, 40, 0, 3)), uplink()],
    }
}

fn host() -> Node {
    let mut node = Node {
        role: "the container host".to_owned(),
        bridges: vec![Bridge { name: "br0".to_owned(), addresses: vec![v4(GATEWAY, 24)] }],
        routes: vec![default_by(WORLD)],
        masquerade: vec![Masquerade { source: v4(Ipv4Addr::new(10, 40, 0, 0), 24), except: "br0".to_owned() }],
        published: vec![Published { protocol: Protocol::Tcp, port: 8080, to: "c1".to_owned(), to_port: 80 }],
        ..any("host")
    };
    node.sysctls.insert("net.ipv4.ip_forward".to_owned(), "1".to_owned());
    node
}

fn container(name: &str, services: Vec<Service>) -> Node {
    Node {
        role: "a container".to_owned(),
        routes: vec![default_by(GATEWAY)],
        services,
        memory_limit: Some(CONTAINER_MEMORY),
        ..any(name)
    }
}

/// No route back to the containers: only a masqueraded packet gets an answer, as in the real internet.
fn inet() -> Node {
    Node { role: "the rest of the world".to_owned(), loopback: vec![v4(ELSEWHERE, 32)], ..any("inet") }
}

fn any(name: &str) -> Node {
    // A new namespace takes its IPv4 defaults from the machine's. These make every lab alike: no reverse path filter, so
    // that a missing route shows as such, and link-local addresses that can be used at once.
    let sysctls = [
        ("net.ipv4.conf.all.rp_filter", "0"),
        ("net.ipv4.conf.default.rp_filter", "0"),
        ("net.ipv6.conf.default.accept_dad", "0"),
        ("net.ipv6.conf.default.disable_ipv6", "0"),
        // There is no router to ask, and the question would be a packet nobody expects in a trace.
        ("net.ipv6.conf.default.router_solicitations", "0"),
    ];
    Node {
        name: name.to_owned(),
        sysctls: sysctls.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        resolvers: vec![IpAddr::V4(ELSEWHERE)],
        ..Node::default()
    }
}

/// A container's cable into the bridge.
fn plug(container: &str, address: Ipv4Addr) -> Link {
    Link {
        ends: [
            End {
                node: "host".to_owned(),
                device: format!("{container}-h"),
                bridge: Some("br0".to_owned()),
                ..End::default()
            },
            End {
                node: container.to_owned(),
                device: "eth0".to_owned(),
                addresses: vec![v4(address, 24)],
                ..End::default()
            },
        ],
    }
}

fn uplink() -> Link {
    Link {
        ends: [
            End {
                node: "host".to_owned(),
                device: "up0".to_owned(),
                addresses: vec![v4(Ipv4Addr::new(203, 0, 113, 2), 24)],
                ..End::default()
            },
            End {
                node: "inet".to_owned(),
                device: "eth0".to_owned(),
                addresses: vec![v4(WORLD, 24)],
                ..End::default()
            },
        ],
    }
}

fn default_by(gateway: Ipv4Addr) -> Route {
    Route { to: None, via: IpAddr::V4(gateway) }
}

fn v4(address: Ipv4Addr, length: u8) -> Prefix {
    Prefix { address: IpAddr::V4(address), length }
}

#[cfg(test)]
mod tests {
    use super::default_topology;
    use crate::lab::Topology;

    #[test]
    fn is_sound_and_survives_being_written_down() {
        let topology = default_topology();
        topology.check().unwrap();
        let written = serde_json::to_string(&topology).unwrap();
        assert_eq!(serde_json::from_str::<Topology>(&written).unwrap(), topology);
    }
}
