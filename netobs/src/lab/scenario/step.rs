//! What a break or a fix does: typed changes, and commands for everything else.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::super::typed::{name_option, quoted, up_again};
use super::super::{Prefix, State};
use crate::netlink::MacAddress;

/// One change to one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Where.
    pub node: String,
    /// What.
    pub action: Action,
}

/// What a step does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Changes a link.
    Link(LinkStep),
    /// Adds or removes an address.
    Address {
        /// The link.
        device: String,
        /// Whether it is added.
        add: bool,
        /// The address.
        address: Prefix,
    },
    /// Adds or removes a route.
    Route {
        /// Whether it is added.
        add: bool,
        /// Where to; everywhere if `None`.
        to: Option<Prefix>,
        /// The next hop.
        via: Option<IpAddr>,
        /// The link it leaves by.
        device: Option<String>,
    },
    /// Writes kernel settings of the node's network namespace.
    Sysctl(BTreeMap<String, String>),
    /// Makes a neighbour entry that is never asked for again.
    Neighbour {
        /// The link.
        device: String,
        /// Whose.
        address: IpAddr,
        /// Where frames for it go.
        mac: MacAddress,
    },
    /// Forgets the neighbours learned on a link, or all of them: permanent ones too.
    ForgetNeighbours {
        /// The link.
        device: String,
    },
    /// Loads or removes the NAT rules that the topology gives the node.
    Nat(bool),
    /// Feeds text to `nft -f -`.
    Nft(String),
    /// Stops or starts the node's own servers.
    Services(bool),
    /// Writes the node's `/etc/resolv.conf`.
    Resolver(IpAddr),
    /// Changes the node's memory limit, in bytes.
    Memory(u64),
    /// Fills or empties the connection tracking table.
    Conntrack(ConntrackStep),
    /// Runs a command in the node.
    Run(Vec<String>),
}

/// What changes about a link; what is `None` stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkStep {
    /// Its name.
    pub device: String,
    /// On or off.
    pub up: Option<bool>,
    /// Its MTU.
    pub mtu: Option<u32>,
    /// The bridge it becomes a port of; `Some(None)`: of none.
    pub master: Option<Option<String>>,
    /// Its link-layer address.
    pub mac: Option<MacAddress>,
    /// Of a bridge's port: whether a frame may leave by the port it came in by.
    pub hairpin: Option<bool>,
}

/// What happens to the connection tracking table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConntrackStep {
    /// Filled to the machine's limit with established TCP flows, which the kernel never evicts.
    FillAssured,
    /// Filled to the limit with UDP flows that had no reply: the first to go when room is needed.
    FillUnassured,
    /// Emptied.
    Flush,
}

/// What a person would type, for the node's namespace `netns` of lab `lab`.
pub(super) struct Typed<'a> {
    pub(super) lab: &'a State,
    pub(super) netns: &'a str,
    pub(super) node: &'a str,
}

impl Typed<'_> {
    /// A command that is about the network namespace only.
    pub(super) fn in_netns(&self, command: &str) -> String {
        format!("ip netns exec {} {command}", self.netns)
    }

    /// A command that needs all of the node.
    pub(super) fn in_node(&self, command: &[String]) -> String {
        let words: Vec<_> = command.iter().map(|word| quoted(word)).collect();
        format!("netobs lab exec{} {} -- {}", name_option(self.lab.lab.as_str()), self.node, words.join(" "))
    }
}

impl Action {
    /// The commands that do the same, as a person would type them.
    pub(super) fn typed(&self, by: &Typed<'_>) -> Vec<String> {
        match self {
            Self::Link(link) => link.typed(by),
            Self::Address { device, add, address } => {
                let verb = if *add { "add" } else { "del" };
                vec![by.in_netns(&format!("ip address {verb} {address} dev {}", quoted(device)))]
            }
            Self::Route { add, to, via, device } => {
                let verb = if *add { "add" } else { "del" };
                let to = to.map_or_else(|| "default".to_owned(), |to| to.to_string());
                let via = via.map_or_else(String::new, |via| format!(" via {via}"));
                let device = device.as_ref().map_or_else(String::new, |device| format!(" dev {}", quoted(device)));
                vec![by.in_netns(&format!("ip route {verb} {to}{via}{device}"))]
            }
            Self::Sysctl(settings) => {
                let each = |(key, value): (&String, &String)| {
                    by.in_netns(&format!("sysctl -w {}={}", quoted(key), quoted(value)))
                };
                settings.iter().map(each).collect()
            }
            Self::Neighbour { device, address, mac } => {
                let entry = format!("{address} lladdr {mac} dev {}", quoted(device));
                vec![by.in_netns(&format!("ip neighbour replace {entry} nud permanent"))]
            }
            Self::ForgetNeighbours { device } => {
                vec![by.in_netns(&format!("ip neighbour flush dev {} nud all", quoted(device)))]
            }
            // The rules are the topology's, and `up` mends what differs from it.
            Self::Nat(true) => vec![up_again(by.lab)],
            Self::Nat(false) => vec![by.in_netns(&format!("nft delete table ip {}", super::super::nat::TABLE))],
            Self::Nft(text) => {
                text.trim().lines().map(|line| by.in_netns(&format!("nft {}", quoted(line.trim())))).collect()
            }
            Self::Services(on) => {
                let signal = if *on { "-USR2" } else { "-USR1" };
                vec![by.in_node(&["kill", signal, "1"].map(str::to_owned))]
            }
            Self::Resolver(server) => {
                let write = format!("echo nameserver {server} > /etc/resolv.conf");
                vec![by.in_node(&["sh".to_owned(), "-c".to_owned(), write])]
            }
            Self::Memory(limit) => vec![format!("echo {limit} > /sys/fs/cgroup/netobs/{}/memory.max", by.netns)],
            Self::Conntrack(ConntrackStep::Flush) => vec![by.in_netns("conntrack -F")],
            Self::Conntrack(ConntrackStep::FillAssured | ConntrackStep::FillUnassured) => {
                vec![by.in_netns("conntrack -I …   (once for each of net.netfilter.nf_conntrack_max entries)")]
            }
            Self::Run(command) => vec![by.in_node(command)],
        }
    }
}

impl LinkStep {
    fn typed(&self, by: &Typed<'_>) -> Vec<String> {
        let device = quoted(&self.device);
        let mut commands = Vec::new();
        let mut set = |what: String| commands.push(by.in_netns(&format!("ip link set {device} {what}")));
        match &self.master {
            Some(Some(bridge)) => set(format!("master {}", quoted(bridge))),
            Some(None) => set("nomaster".to_owned()),
            None => {}
        }
        if let Some(mtu) = self.mtu {
            set(format!("mtu {mtu}"));
        }
        if let Some(mac) = self.mac {
            set(format!("address {mac}"));
        }
        if let Some(up) = self.up {
            set(if up { "up" } else { "down" }.to_owned());
        }
        if let Some(hairpin) = self.hairpin {
            let state = if hairpin { "on" } else { "off" };
            commands.push(by.in_netns(&format!("bridge link set dev {device} hairpin {state}")));
        }
        commands
    }
}
