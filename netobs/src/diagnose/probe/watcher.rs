//! netobs' own hooks, attached once, for as many diagnoses as there are.

use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::OnceLock;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use aya::maps::{MapData, RingBuf};

use super::packet::{Flow, Packet, Role};
use crate::event::{self, Detail, Record};
use crate::filter::Filter;
use crate::journey::{Journey, Outcome, Tracker};
use crate::netns::{Netns, NetnsInode};
use crate::probe::{Depth, Kernel, KernelError, Selection, Session};
use crate::state::Namespaces;
use crate::trace::{Narrator, monotonic};

/// Source ports of probes: above all that Linux gives out by itself (`ip_local_port_range`), so that a filter for them
/// lets little else through.
const PORTS: std::ops::Range<u16> = 61_000..65_000;
/// So many of them are a watcher's own.
const OWN: u16 = 200;
// RFC 4861: types of neighbour discovery.
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
/// After the last event of interest, so long do stragglers get.
const SETTLE: Duration = Duration::from_millis(25);

/// Hooks that are being attached, or are.
pub struct Watcher {
    state: State,
    identities: Identities,
}

enum State {
    Attaching(JoinHandle<anyhow::Result<Attached>>),
    Attached(Box<Attached>),
    Refused(String),
}

/// What became of the packets so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fates {
    /// One of the last flow was dropped, on its way there or back.
    pub(super) died: bool,
    /// Somebody asks for a link-layer address and got no answer.
    pub(super) asks_neighbour: bool,
}

struct Attached {
    session: Session,
    ring: RingBuf<MapData>,
    kernel: &'static Kernel,
    narrator: Narrator<'static>,
    tracker: Tracker,
    /// Since the last [`Watcher::begin`].
    journeys: Vec<Journey>,
    fates: Fates,
    /// Addresses that were asked for and did not answer.
    asked_for: Vec<IpAddr>,
    /// By whom: others are not of interest.
    on_the_way: Vec<NetnsInode>,
    since: u64,
    lost: u64,
}

/// Numbers for probes: source ports, and identifiers of echoes. None is given twice, since the connection table
/// remembers what it made of the last.
#[derive(Clone, Copy, Debug)]
pub(super) struct Identities {
    first: u16,
    next: u16,
}

impl Identities {
    pub(super) fn new() -> Self {
        let random = RandomState::new().hash_one(monotonic());
        let first = PORTS.start + u16::try_from(random % u64::from(PORTS.end - PORTS.start - OWN)).unwrap_or_default();
        Self { first, next: 0 }
    }

    pub(super) fn next(&mut self) -> u16 {
        let identity = self.first + self.next % OWN;
        self.next = self.next.wrapping_add(1);
        identity
    }
}

impl Watcher {
    /// Begins to attach, which takes a while, and returns at once. Watched are probes of this watcher, and whatever has
    /// one of these addresses.
    pub fn start(addresses: &[IpAddr]) -> Self {
        let identities = Identities::new();
        let expression = expression(identities, addresses);
        let attaching = thread::Builder::new().name("attach".to_owned()).spawn(move || Attached::new(&expression));
        let state = match attaching {
            Ok(thread) => State::Attaching(thread),
            Err(error) => State::Refused(error.to_string()),
        };
        Self { state, identities }
    }

    /// Waits until all is attached.
    ///
    /// # Errors
    /// Why nothing can be observed here, in a sentence.
    pub fn ready(&mut self) -> Result<(), String> {
        if let State::Attaching(_) = self.state {
            let attaching = std::mem::replace(&mut self.state, State::Refused(String::new()));
            if let State::Attaching(thread) = attaching {
                self.state = match thread.join() {
                    Ok(Ok(attached)) => State::Attached(Box::new(attached)),
                    Ok(Err(error)) => State::Refused(format!("{error:#}")),
                    Err(_) => State::Refused("the thread that attaches the hooks died".to_owned()),
                };
            }
        }
        match &self.state {
            State::Refused(why) => Err(why.clone()),
            State::Attaching(_) | State::Attached(_) => Ok(()),
        }
    }

    pub(super) fn identities(&mut self) -> &mut Identities {
        &mut self.identities
    }

    /// Lets the netfilter hooks of a namespace be seen from the first packet on, once all is attached.
    pub(in crate::diagnose) fn cover(&mut self, netns: Option<&Netns>) {
        if let (State::Attached(attached), Some(netns)) = (&mut self.state, netns) {
            attached.session.attach_netfilter_in(netns);
        }
    }

    /// From here on packets count.
    pub(super) fn begin(&mut self, on_the_way: &[NetnsInode]) {
        let State::Attached(attached) = &mut self.state else { return };
        attached.read();
        drop(attached.tracker.drain());
        attached.journeys.clear();
        attached.asked_for.clear();
        attached.on_the_way = on_the_way.to_vec();
        attached.fates = Fates::default();
        attached.since = monotonic();
        attached.lost = attached.session.losses().ring;
    }

    /// Reads what has happened so far, and says what became of the packets of these flows.
    pub(super) fn look(&mut self, flows: &mut [Flow]) -> Fates {
        let State::Attached(attached) = &mut self.state else { return Fates::default() };
        attached.look(flows)
    }

    /// The packets of these flows, whether over or not, and how many events were lost meanwhile. Ends what
    /// [`Self::begin`] began.
    pub(super) fn end(&mut self, flows: &mut [Flow]) -> (Vec<Packet>, u64) {
        let State::Attached(attached) = &mut self.state else { return (Vec::new(), 0) };
        thread::sleep(SETTLE);
        attached.look(flows);
        let lost = attached.session.losses().ring.saturating_sub(attached.lost);
        if lost > 0 {
            attached.narrator.events_were_lost();
        }
        attached.journeys.extend(attached.tracker.drain());
        let packets = attached.tell(flows);
        attached.journeys.clear();
        (packets, lost)
    }
}

impl Attached {
    fn new(expression: &str) -> anyhow::Result<Self> {
        let kernel = kernel()?;
        let filter = Filter::compile(expression)?;
        let selection = Selection { depth: Depth::Netfilter, ..Selection::default() };
        let (mut session, ring) = Session::attach(kernel, &filter, &selection)?;
        let mut namespaces = Namespaces::watched();
        session.attach_netfilter(&mut namespaces);
        let narrator = Narrator::new(kernel, namespaces);
        let since = monotonic();
        let (tracker, journeys) = (Tracker::default(), Vec::new());
        let (fates, asked_for, on_the_way) = (Fates::default(), Vec::new(), Vec::new());
        Ok(Self { session, ring, kernel, narrator, tracker, journeys, fates, asked_for, on_the_way, since, lost: 0 })
    }

    fn look(&mut self, flows: &mut [Flow]) -> Fates {
        self.read();
        self.session.tend(self.narrator.namespaces());
        for journey in self.tracker.finished(monotonic()) {
            self.judge(&journey, flows);
            self.journeys.push(journey);
        }
        self.fates
    }

    fn judge(&mut self, journey: &Journey, flows: &mut [Flow]) {
        let Some((index, role)) = role(journey, flows) else { return };
        let (src, dst) = (journey.headers.tuple.src, journey.headers.tuple.dst);
        match (role, journey.headers.detail) {
            (Role::Neighbour, Detail::Arp { operation: 1 } | Detail::Icmp { kind: SOLICITATION, .. }) => {
                let who = journey.hops.first().and_then(|hop| hop.netns);
                if self.on_the_way.is_empty() || who.is_some_and(|who| self.on_the_way.contains(&who)) {
                    self.asked_for.extend(dst);
                }
            }
            (Role::Neighbour, Detail::Arp { .. } | Detail::Icmp { kind: ADVERTISEMENT, .. }) => {
                self.asked_for.retain(|asked| !src.is_some_and(|src| is_for(*asked, src)));
            }
            (Role::Neighbour, _) => {}
            (Role::Asked | Role::Answer, _) if index + 1 == flows.len() => {
                self.fates.died |= self.narrator.judge(journey) == Outcome::Dropped;
            }
            (Role::Asked | Role::Answer | Role::Error, _) => {}
        }
        self.fates.asks_neighbour = !self.asked_for.is_empty();
    }

    fn read(&mut self) {
        while let Some(item) = self.ring.next() {
            match event::decode(&item, self.kernel.conntrack.as_ref()) {
                Some(Record::Event(event)) => {
                    if let Some(netns) = event.netns {
                        self.session.saw(netns);
                    }
                    if event.time >= self.since {
                        self.tracker.push(&event);
                    }
                }
                Some(Record::Call(call)) if call.time >= self.since => self.tracker.call(&call),
                Some(Record::Wait(wait)) if wait.time >= self.since => self.tracker.wait(&wait),
                Some(Record::Call(_) | Record::Wait(_)) | None => {}
            }
        }
    }

    fn tell(&mut self, flows: &mut [Flow]) -> Vec<Packet> {
        self.journeys.sort_by_key(|journey| journey.started);
        let ours: Vec<_> = self.journeys.iter().filter_map(|journey| Some((journey, role(journey, flows)?))).collect();
        let mut places: HashSet<NetnsInode> = self.on_the_way.iter().copied().collect();
        for (journey, (_, role)) in &ours {
            if *role != Role::Neighbour {
                places.extend(namespaces(journey));
            }
        }
        let mut packets = Vec::new();
        for (journey, (flow, role)) in ours {
            // Networks apart from each other have the same addresses: who asks for them elsewhere does not ask for us.
            let is_elsewhere = namespaces(journey).next().is_none_or(|first| !places.contains(&first));
            if role == Role::Neighbour && is_elsewhere {
                continue;
            }
            let outcome = self.narrator.judge(journey);
            let record = self.narrator.tell(journey, outcome);
            packets.push(Packet { role, flow, record, started: journey.started, length: journey.length });
        }
        packets
    }
}

/// Where a packet was, from the beginning on.
fn namespaces(journey: &Journey) -> impl Iterator<Item = NetnsInode> {
    let hops = journey.hops.iter().filter_map(|hop| hop.netns);
    hops.chain(journey.dropped.as_ref().and_then(|drop| drop.netns))
}

/// Which flow a packet belongs to, and how.
fn role(journey: &Journey, flows: &mut [Flow]) -> Option<(usize, Role)> {
    flows.iter_mut().enumerate().find_map(|(index, flow)| Some((index, flow.role(journey)?)))
}

/// Whether a question for a link-layer address that was sent there is one for this address: in IPv6 it is sent to a group
/// that shares the last three bytes (RFC 4291, 2.7.1).
fn is_for(asked: IpAddr, address: IpAddr) -> bool {
    match (asked, address) {
        (IpAddr::V6(asked), IpAddr::V6(address)) => asked.octets().get(13..) == address.octets().get(13..),
        (asked, address) => asked == address,
    }
}

/// The running kernel does not change.
fn kernel() -> Result<&'static Kernel, KernelError> {
    static KERNEL: OnceLock<Kernel> = OnceLock::new();
    if let Some(kernel) = KERNEL.get() {
        return Ok(kernel);
    }
    let read = Kernel::read()?;
    Ok(KERNEL.get_or_init(|| read))
}

/// Our own ports in either direction; echoes cannot be told apart here, and errors and neighbours are few.
fn expression(identities: Identities, addresses: &[IpAddr]) -> String {
    let (first, last) = (identities.first, identities.first + OWN - 1);
    let mut expression = format!("arp or icmp or icmp6 or portrange {first}-{last}");
    for address in addresses {
        expression.push_str(&format!(" or host {address}"));
    }
    expression
}
