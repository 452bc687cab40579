//! Topologies that nobody thought of: each comes up, is what it says, and goes without a trace.

#![expect(clippy::indexing_slicing, reason = "indices are drawn below the lengths")]

use std::fmt::Write;
use std::fs;
use std::time::Instant;

use crate::LONG;
use crate::common::{Lab, can_make_labs, is_slow, run};
use crate::removal::machine;
use crate::topologies::status;

/// How many, where the machine is not an emulated one.
const ROUNDS: u64 = 200;

/// SplitMix64: a few lines, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// True once in `of` times.
    fn once(&mut self, of: u64) -> bool {
        self.below(of) == 0
    }
}

/// A node on its way into a file.
#[derive(Default)]
struct Node {
    bridges: Vec<String>,
    routes: Vec<String>,
    sysctls: Vec<String>,
    vxlans: Vec<String>,
    rest: String,
    /// Devices with an IPv4 address, and the address's network.
    devices: Vec<(String, String)>,
    has_ipv4: bool,
    has_default: bool,
}

/// A topology file. Every cable has a network of its own, every bridge another.
fn topology(random: &mut Random) -> String {
    let count = 1 + random.below(6);
    let mut nodes: Vec<Node> = (0..count).map(|_| Node::default()).collect();
    let mut links = String::new();
    let mut networks = 0;
    for (index, node) in nodes.iter_mut().enumerate() {
        for bridge in 0..random.below(3) {
            let (number, ipv6) = (networks, random.once(3));
            networks += 1;
            let mut addresses = format!("\"10.{number}.0.1/24\"");
            if ipv6 {
                let _ = write!(addresses, ", \"fd00:{number}::1/64\"");
            }
            let mtu = if random.once(4) { ", mtu = 1400" } else { "" };
            let name = format!("br{bridge}");
            node.bridges.push(format!("{{ name = \"{name}\", addresses = [{addresses}]{mtu} }}"));
            node.devices.push((name.clone(), format!("10.{number}.0.0/24")));
            node.has_ipv4 = true;
            let _ = writeln!(links, "# n{index}/{name} is network {number}");
        }
    }
    let bridged: Vec<(usize, String, String)> = nodes
        .iter()
        .enumerate()
        .flat_map(|(index, node)| {
            node.devices.iter().map(move |(name, network)| (index, name.clone(), network.clone()))
        })
        .collect();
    for cable in 0..random.below(8) {
        let far = random.below(count) as usize;
        let down = if random.once(8) { ", down = true" } else { "" };
        let mut mtu = [", mtu = 1400", ", mtu = 9000", ", mtu = 576", "", "", ""][random.below(6) as usize];
        let device = format!("e{cable}");
        let hub =
            (!bridged.is_empty() && random.once(2)).then(|| &bridged[random.below(bridged.len() as u64) as usize]);
        let (near, network) = match hub {
            Some((node, bridge, network)) if *node != far => {
                // With less than 1280 the bridge could have no IPv6 address.
                mtu = if mtu.contains("576") { "" } else { mtu };
                let _ = writeln!(
                    links,
                    "[[links]]\nends = [{{ node = \"n{node}\", device = \"p{cable}\", bridge = \"{bridge}\"{mtu} }},"
                );
                (*node, network.clone())
            }
            _ => {
                let (near, number) = (random.below(count) as usize, networks);
                networks += 1;
                let _ = writeln!(
                    links,
                    "[[links]]\nends = [{{ node = \"n{near}\", device = \"p{cable}\", addresses = [\"10.{number}.0.1/24\"]{mtu} }},"
                );
                nodes[near].devices.push((format!("p{cable}"), format!("10.{number}.0.0/24")));
                nodes[near].has_ipv4 = true;
                (near, format!("10.{number}.0.0/24"))
            }
        };
        // Its own end in the same network, unless that end is in the same node, where the two would clash.
        let prefix = network.trim_end_matches("0/24").to_owned();
        let addresses = if near == far { String::new() } else { format!("\"{prefix}{}/24\"", cable + 10) };
        let _ =
            writeln!(links, "  {{ node = \"n{far}\", device = \"{device}\", addresses = [{addresses}]{mtu}{down} }}]");
        if near != far {
            let node = &mut nodes[far];
            let twice = node.devices.iter().any(|(_, known)| *known == network);
            if twice {
                node.rest += "clashing_routes = true\n";
            }
            node.devices.push((device, network));
            node.has_ipv4 = true;
            if !node.has_default && !twice && down.is_empty() && random.once(2) {
                node.has_default = true;
                node.routes.push(format!("{{ via = \"{prefix}1\" }}"));
            } else if !twice && down.is_empty() && random.once(3) {
                node.routes.push(format!("{{ to = \"10.{}.0.0/16\", via = \"{prefix}1\" }}", 100 + cable));
            }
        }
    }
    let owners: Vec<bool> = nodes.iter().map(|node| node.has_ipv4).collect();
    let mut text = format!("about = \"Made at random.\"\n{links}");
    for (index, node) in nodes.iter_mut().enumerate() {
        let mut text_of = String::new();
        if random.once(2) {
            node.sysctls.push("\"net.ipv4.ip_forward\" = 1".to_owned());
        }
        if let Some((device, _)) = node.devices.first() {
            if random.once(4) {
                node.sysctls.push(format!("\"net.ipv4.conf.{device}.rp_filter\" = 2"));
            }
            if random.once(3) {
                let _ = writeln!(text_of, "masquerade = [{{ source = \"10.0.0.0/8\", except = \"{device}\" }}]");
            }
            if random.once(4) {
                let (source, to) = ("172.16.0.0/12", "192.0.2.77");
                let _ = writeln!(text_of, "snat = [{{ source = \"{source}\", device = \"{device}\", to = \"{to}\" }}]");
            }
        }
        if random.once(5) {
            let (local, remote) = (format!("192.0.2.{}", index + 1), "192.0.2.200");
            let _ = writeln!(text_of, "loopback = [\"{local}/32\"]");
            let vxlan = format!("{{ name = \"vx0\", id = {}, local = \"{local}\", remote = \"{remote}\" }}", index + 1);
            node.vxlans.push(vxlan);
        }
        let target = random.below(count) as usize;
        if node.has_ipv4 && owners[target] && random.once(3) {
            let _ = writeln!(text_of, "published = [{{ port = 8080, to = \"n{target}\", to_port = 80 }}]");
        }
        if random.once(3) {
            text_of += "services = [{ kind = \"http\", port = 80 }]\n";
        }
        if random.once(4) {
            text_of += "memory_limit = \"64 MiB\"\n";
        }
        if random.once(6) {
            text_of += "cpu_percent = 50\n";
        }
        if random.once(6) {
            text_of += "resolvers = [\"192.0.2.53\", \"2001:db8::53\"]\n";
        }
        node.rest = if node.rest.is_empty() { String::new() } else { "clashing_routes = true\n".to_owned() };
        let _ = writeln!(text, "[[nodes]]\nname = \"n{index}\"\nbridges = [{}]", node.bridges.join(", "));
        let _ = writeln!(text, "routes = [{}]\nvxlans = [{}]", node.routes.join(", "), node.vxlans.join(", "));
        let _ = writeln!(text, "sysctls = {{ {} }}\n{}{}", node.sysctls.join(", "), node.rest, text_of);
    }
    text
}

#[test]
fn builds_and_removes_any_topology() {
    const TEST: &str = "builds_and_removes_any_topology";
    if !can_make_labs(TEST, &["ip"]) {
        return;
    }
    let first: u64 = std::env::var("NETOBS_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("random.toml");
    // The first one may load kernel modules, which bring settings of their own.
    drop(Lab::up());
    let before = machine();
    let start = Instant::now();
    let mut built = 0;
    // Each takes seconds in emulation, and building is the same everywhere.
    let rounds = if is_slow() { 10 } else { ROUNDS };
    for seed in first..first + rounds {
        let text = topology(&mut Random(seed));
        fs::write(&file, &text).unwrap();
        let own = Lab::unbuilt();
        let answer = own.build_from(file.to_str().unwrap());
        assert_eq!(answer.status, 0, "NETOBS_SEED={seed}\n{text}\n{answer:#?}");
        let found = status(&own);
        assert_eq!(found["state"], "up", "NETOBS_SEED={seed}\n{text}\n{found:#}");
        own.remove().good();
        assert_eq!(own.remains(), [""; 0], "NETOBS_SEED={seed}");
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(&format!("/{}-", own.name)), "NETOBS_SEED={seed}: {mounts}");
        built += 1;
        if start.elapsed() > 3 * LONG && built >= 10 {
            break;
        }
    }
    let after = machine();
    for (what, value) in &before {
        assert_eq!(after.get(what), Some(value), "{what}");
    }
    assert_eq!(before.len(), after.len());
    // Seen in the test's own output; a machine that is too slow for all of them says so.
    if built < ROUNDS {
        crate::common::skip(TEST, &format!("slow machine: the last {} of {ROUNDS}", ROUNDS - built));
    }
    let links = run("ip", &["-o", "link"]).good().stdout;
    assert!(!links.contains("alias netobs:"), "{links}");
}
