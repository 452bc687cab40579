//! Looks things up for the packets that are printed, and no oftener than the machine can bear.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::delivery::{self, Flow, Receiver, Receivers};
use super::inside::Inside;
use super::process::Processes;
use super::topic::{Topic, topic};
use super::{Evidence, Scene, conntrack, device, header, link_mtu, listener, neighbour, path_mtu, route, rp_filter};
use crate::event::{Headers, Tuple, Wrapper};
use crate::netlink::Ifindex;
use crate::netns::NetnsInode;
use crate::state::Namespaces;

/// How long an answer is good for the next drop of the same kind.
const FRESH: Duration = Duration::from_millis(500);
/// Answers remembered.
const REMEMBERED: usize = 512;
/// How much of each second may be spent on looking things up.
const SHARE: Duration = Duration::from_millis(100);
/// Look-ups made each second in any case, however slow the machine is.
const LEAST: u32 = 10;

/// What there is to say of a drop.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Clauses of a sentence each.
    pub facts: Vec<String>,
    /// The same as values.
    pub evidence: Option<Evidence>,
    /// Why there is nothing, where something could have been.
    pub missing: Option<&'static str>,
}

/// Drops that have the same answer: source ports do not matter.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Question {
    netns: NetnsInode,
    topic: Topic,
    device: Option<u32>,
    function: Option<String>,
    tuple: Tuple,
    length: u32,
}

/// Reads the state behind drops and deliveries, and remembers it for a moment.
#[derive(Debug, Default)]
pub struct Gatherer {
    answers: HashMap<Question, (Instant, Told)>,
    processes: Processes,
    receivers: Receivers,
    second: Option<Instant>,
    spent: Duration,
    asked: u32,
}

impl Gatherer {
    /// What the machine says about a drop in this namespace.
    pub fn tell(&mut self, scene: &Scene<'_>, netns: Option<NetnsInode>, namespaces: &mut Namespaces) -> Told {
        let mut told = match topic(scene) {
            None => Told::default(),
            Some(Topic::TimeToLive) => Told::of(header::time_to_live(scene).map(Evidence::TimeToLive), scene),
            Some(Topic::Checksum) => Told::of(header::checksum(scene).map(Evidence::Checksum), scene),
            Some(topic) => match netns {
                Some(netns) => self.remembered(topic, scene, netns, namespaces),
                None => Told { missing: Some("the packet had no namespace"), ..Told::default() },
            },
        };
        told.facts.extend(black_hole(scene));
        told
    }

    /// Who got a packet that was last seen so, in this namespace. `None` where that is not known.
    pub fn receiver(
        &mut self,
        headers: &Headers,
        netns: NetnsInode,
        device: Option<Ifindex>,
        namespaces: &mut Namespaces,
    ) -> Option<Receiver> {
        let Some(flow) = Flow::of(headers, netns, device) else {
            return delivery::by_kernel(headers, namespaces.name(netns));
        };
        if let Some(receiver) = self.receivers.remembered(&flow) {
            return receiver;
        }
        if self.is_spent() {
            return None;
        }
        let began = Instant::now();
        let name = namespaces.name(netns).map(str::to_owned);
        let opened = namespaces.open(netns);
        let receiver = opened.and_then(|netns| self.receivers.ask(flow, &netns, name.as_deref(), &mut self.processes));
        self.spent += began.elapsed();
        self.asked += 1;
        receiver
    }

    fn remembered(&mut self, topic: Topic, scene: &Scene<'_>, netns: NetnsInode, namespaces: &mut Namespaces) -> Told {
        let question = Question {
            netns,
            topic,
            device: scene.ifindex.map(|device| device.0),
            function: scene.function.map(str::to_owned),
            tuple: Tuple { sport: None, ..scene.headers.tuple },
            length: scene.length,
        };
        if let Some((_, told)) = self.answers.get(&question).filter(|(when, _)| when.elapsed() < FRESH) {
            return told.clone();
        }
        if self.is_spent() {
            return Told { missing: Some("too many drops at once to look behind each"), ..Told::default() };
        }
        let began = Instant::now();
        let told = self.look(topic, scene, netns, namespaces);
        self.spent += began.elapsed();
        self.asked += 1;
        if self.answers.len() >= REMEMBERED {
            self.answers.clear();
        }
        self.answers.insert(question, (Instant::now(), told.clone()));
        told
    }

    fn is_spent(&mut self) -> bool {
        if self.second.is_none_or(|second| second.elapsed() > Duration::from_secs(1)) {
            self.second = Some(Instant::now());
            (self.spent, self.asked) = (Duration::ZERO, 0);
        }
        self.spent > SHARE && self.asked >= LEAST
    }

    fn look(&mut self, topic: Topic, scene: &Scene<'_>, netns: NetnsInode, namespaces: &mut Namespaces) -> Told {
        let Some(netns) = namespaces.open(netns) else {
            return Told { missing: Some("the namespace is gone"), ..Told::default() };
        };
        let Some(mut inside) = Inside::open(&netns) else {
            return Told { missing: Some("the namespace cannot be looked into"), ..Told::default() };
        };
        let inside = &mut inside;
        let evidence = match topic {
            Topic::ReversePath => rp_filter::look(scene, inside).map(Evidence::ReversePath),
            Topic::PathMtu => path_mtu::look(scene, inside).map(Evidence::PathMtu),
            Topic::LinkMtu => link_mtu::look(scene, inside, namespaces).map(Evidence::LinkMtu),
            Topic::Route => route::look(scene, inside).map(Evidence::NoWay),
            Topic::Neighbour => neighbour::look(scene, inside).map(Evidence::NextHop),
            Topic::Conntrack => conntrack::look(inside).map(Evidence::ConntrackTable),
            Topic::Listener => listener::look(scene, &netns, &mut self.processes).map(Evidence::NoListener),
            Topic::Device => device::look(scene, inside).map(Evidence::Device),
            Topic::OtherHost => header::other_host(scene, inside).map(Evidence::OtherHost),
            Topic::TimeToLive | Topic::Checksum => None,
        };
        Told::of(evidence, scene)
    }
}

impl Told {
    fn of(evidence: Option<Evidence>, scene: &Scene<'_>) -> Self {
        let facts = evidence.as_ref().map(|evidence| evidence.facts(scene)).unwrap_or_default();
        Self { facts, evidence, missing: None }
    }
}

/// An ICMP error that would have told a sender to send smaller packets.
fn black_hole(scene: &Scene<'_>) -> Option<String> {
    let nested = scene.nested?;
    let Wrapper::IcmpError { mtu: Some(mtu) } = nested.wrapper else { return None };
    let Tuple { src, dst, .. } = nested.headers.tuple;
    let (src, dst) = (src?, dst?);
    Some(format!(
        "{src} never learns that {dst} takes no packets over {mtu} bytes: path MTU discovery breaks, a black hole"
    ))
}
