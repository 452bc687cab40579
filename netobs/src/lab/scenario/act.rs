//! Doing what a step says.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::super::process::Process;
use super::super::status::services_missing;
use super::super::{Error, Result, cgroup, interrupt, nat};
use super::stage::Stage;
use super::step::{Action, LinkStep, Step};
use super::{attempt, conntrack};
use crate::netlink::change::{LinkChange, add_address, add_route, set_link};
use crate::netlink::fault::{forget_neighbour, set_hairpin, set_neighbour};
use crate::netlink::remove::{delete_address, delete_route};
use crate::netlink::{Ifindex, Link, Request, Socket};
use crate::netns::in_netns;

/// The longest that servers may take to start or stop.
const OBEYING: Duration = Duration::from_secs(5);
/// Between two looks at them.
const PAUSE: Duration = Duration::from_millis(1);

/// Performs one step.
pub(super) fn perform(stage: &Stage, step: &Step) -> Result<()> {
    let node = step.node.as_str();
    let netns = stage.netns(node)?;
    match &step.action {
        Action::Link(link) => change_link(stage, node, link),
        Action::Address { device, add, address } => {
            let mut kernel = Kernel::of(stage, node)?;
            let change = if *add { add_address } else { delete_address };
            let index = kernel.link(device)?.ifindex;
            kernel.apply(change(index, device, address.address, address.length))
        }
        Action::Route { add, to, via, device } => {
            let mut kernel = Kernel::of(stage, node)?;
            let device =
                device.as_deref().map(|name| kernel.link(name).map(|link| (link.ifindex, name))).transpose()?;
            let to = to.map(|to| (to.address, to.length));
            kernel.apply(if *add {
                add_route(to, *via, device)
            } else {
                delete_route(to, *via, device.map(|(index, _)| index))
            })
        }
        Action::Sysctl(settings) => {
            in_netns(&netns, || write_settings(settings))?.map_err(Error::io(format!("{node}: change a setting")))
        }
        Action::Neighbour { device, address, mac } => {
            let mut kernel = Kernel::of(stage, node)?;
            let index = kernel.link(device)?.ifindex;
            kernel.apply(set_neighbour(index, device, *address, *mac))
        }
        Action::ForgetNeighbours { device } => {
            let mut kernel = Kernel::of(stage, node)?;
            let index = kernel.link(device)?.ifindex;
            let known = kernel.socket.neighbours_on(index).map_err(Error::netlink(node))?;
            let requests: Vec<_> = known.into_iter().map(|address| forget_neighbour(index, device, address)).collect();
            // One may have gone by itself meanwhile.
            kernel.socket.apply_each(&requests).map(drop).map_err(Error::netlink(node))
        }
        Action::Nat(true) => nat::mend(&stage.state.topology, stage.described(node)?, &netns).map(drop),
        Action::Nat(false) => {
            let delete = || ["ip", "ip6"].map(|family| nat::nft(&["delete", "table", family, nat::TABLE], ""));
            let failed = |error: io::Error| Error::Nft { node: node.to_owned(), message: error.to_string() };
            let [ip, ip6] = in_netns(&netns, delete)?;
            ip.or(ip6).map(drop).map_err(failed)
        }
        Action::Nft(text) => feed(stage, node, text),
        Action::Services(on) => switch_services(stage, node, *on),
        Action::Resolver(server) => stage.set_resolver(node, *server),
        Action::Memory(limit) => {
            let state = stage.node(node)?;
            let group = state.cgroup.as_ref().ok_or_else(|| Error::Io {
                what: format!("{node}: change its memory limit"),
                source: io::Error::other("it has none"),
            })?;
            cgroup::limit(group, cgroup::Limit::Memory(*limit))
                .map_err(Error::io(format!("{node}: change its memory limit")))
        }
        Action::Conntrack(what) => {
            in_netns(&netns, || conntrack::perform(*what))?.map_err(Error::io(format!("{node}: connection tracking")))
        }
        Action::Run(words) => attempt::run_command(stage, node, words),
    }
}

/// Tells a node's PID 1 to start or stop its servers, and waits until they listen, or no longer do.
fn switch_services(stage: &Stage, node: &str, on: bool) -> Result<()> {
    let (state, described) = (stage.node(node)?, stage.described(node)?);
    let dead = || Error::Dead { namespace: state.namespace.clone() };
    let identity = state.init.ok_or_else(dead)?;
    let signal = if on { Signal::SIGUSR2 } else { Signal::SIGUSR1 };
    let init = Process::find(identity).ok_or_else(dead)?;
    init.signal(signal).map_err(Error::io(format!("{node}: signal its PID 1")))?;
    let began = Instant::now();
    let expected = if on { 0 } else { described.services.len() };
    // One that does not obey shows in what is tried next.
    while services_missing(described, identity).len() != expected && began.elapsed() < OBEYING {
        interrupt::check()?;
        thread::sleep(PAUSE);
    }
    Ok(())
}

/// rtnetlink in a node.
struct Kernel<'a> {
    node: &'a str,
    socket: Socket,
}

impl<'a> Kernel<'a> {
    fn of(stage: &Stage, node: &'a str) -> Result<Self> {
        let socket = Socket::open_in(&stage.netns(node)?).map_err(Error::netlink(node))?;
        Ok(Self { node, socket })
    }

    fn link(&mut self, device: &str) -> Result<Link> {
        self.socket.link(device).map_err(Error::netlink(self.node))?.ok_or_else(|| Error::Io {
            what: format!("{}: {device}", self.node),
            source: io::Error::other("there is no such link"),
        })
    }

    fn apply(&mut self, request: Request) -> Result<()> {
        self.socket.apply(request).map_err(Error::netlink(self.node))
    }
}

fn change_link(stage: &Stage, node: &str, step: &LinkStep) -> Result<()> {
    let mut kernel = Kernel::of(stage, node)?;
    let link = kernel.link(&step.device)?.ifindex;
    let master: Option<Option<Ifindex>> = match &step.master {
        None => None,
        Some(None) => Some(None),
        Some(Some(bridge)) => Some(Some(kernel.link(bridge)?.ifindex)),
    };
    let LinkStep { up, mtu, mac, .. } = *step;
    let change = LinkChange { up, master, mtu, mac, ..LinkChange::default() };
    kernel.apply(set_link(link, &step.device, change))?;
    step.hairpin.map_or(Ok(()), |on| kernel.apply(set_hairpin(link, &step.device, on)))
}

/// Settings of the calling thread's namespace. All are written, whatever becomes of the others.
fn write_settings(settings: &BTreeMap<String, String>) -> io::Result<()> {
    let mut failed = Ok(());
    for (key, value) in settings {
        if let Err(error) = fs::write(format!("/proc/sys/{}", key.replace('.', "/")), value) {
            failed = Err(io::Error::new(error.kind(), format!("{key}={value}: {error}")));
        }
    }
    failed
}

fn feed(stage: &Stage, node: &str, text: &str) -> Result<()> {
    let netns = stage.netns(node)?;
    let failed = |error: io::Error| Error::Nft { node: node.to_owned(), message: error.to_string() };
    in_netns(&netns, || nat::nft(&["-f", "-"], text))?.map_err(failed).map(drop)
}
