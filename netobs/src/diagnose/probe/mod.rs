//! The asked packet, sent for real and watched on its way.
//!
//! Nothing else is sent: a packet of the asked kind, up to three times, and once it was answered a full-sized echo that
//! must not be fragmented, up to twice. Nothing on the machine is changed.

mod message;
mod packet;
mod send;
mod watcher;

use std::io;
use std::net::IpAddr;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use self::packet::Flow;
use self::send::{Reply, Sender};
use self::watcher::Identities;
use super::{Protocol, Question};
use crate::netlink::{RouteAnswer, Socket};
use crate::netns::{Netns, NetnsInode};

pub use packet::{Packet, Role};
pub use watcher::Watcher;

/// What a person's `ping` sends.
const ECHO: usize = 56;
/// Enough for our name.
const DATAGRAM: usize = 15;
/// Without a word from the hooks or the network, so long is waited for an answer on this machine,
const NEAR: Duration = Duration::from_millis(500);
/// and so long for one from outside.
const FAR: Duration = Duration::from_millis(1500);
/// Once a packet was seen to die, an answer could only be to another copy of it.
const AFTER_A_DROP: Duration = Duration::from_millis(120);
/// A neighbour is asked three times, a second apart (`mcast_solicit`, `retrans_time_ms`); then the kernel gives up.
const NEIGHBOUR: Duration = Duration::from_millis(3400);
/// One packet may be lost to nobody's fault.
const AGAIN: Duration = Duration::from_millis(250);
/// Answers that take so many times as long as the first one did are none.
const PATIENCE_PER_ANSWER: u32 = 20;
/// A packet that is not answered is sent so many times in all, and a full-sized one so many.
const TIMES: u16 = 3;
const TIMES_SIZED: u16 = 2;
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(1);
/// A wait that a person notices.
const NOTICED: Duration = Duration::from_millis(400);
/// Source ports that are taken are left out.
const TRIES: usize = 8;

/// What is known before anything is sent.
#[derive(Clone, Debug, Default)]
pub struct Outlook {
    /// The way ends on this machine.
    pub is_near: bool,
    /// Something was found that explains why there is no answer: there is no need to wait for the last proof.
    pub is_explained: bool,
    /// The answer comes from whom it was sent to: no destination is rewritten.
    pub is_direct: bool,
    /// The namespaces on the way there and back: what others ask their neighbours is not waited for.
    pub on_the_way: Vec<NetnsInode>,
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The other end answered.
    Answered,
    /// Nothing came back.
    Silence,
    /// An error came back.
    Error {
        /// As the sender sees it.
        errno: Errno,
        /// Who sent it; `None` if our own kernel found out by itself, or has not said.
        by: Option<IpAddr>,
        /// Of a packet that was too large: what would have passed.
        mtu: Option<u32>,
    },
    /// It could not even be sent.
    NotSent {
        /// Why.
        errno: Errno,
    },
}

/// One packet that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Its protocol.
    pub protocol: Protocol,
    /// Bytes from the IP header on; `None` of a TCP connection.
    pub length: Option<usize>,
    /// As large as the way out of the sender's device allows, and not to be fragmented.
    pub is_sized: bool,
    /// Its packets, by [`Packet::flow`]; `None` if none was sent.
    pub flow: Option<usize>,
    /// How it ended.
    pub ending: Ending,
    /// How long that took.
    pub took: Duration,
}

impl Attempt {
    /// `an echo request of 84 bytes`
    pub fn what(&self) -> String {
        let what = match self.protocol {
            Protocol::Icmp => "an echo request",
            Protocol::Tcp => "an attempt to connect",
            Protocol::Udp => "a datagram",
        };
        let sized = if self.is_sized { ", not to be fragmented" } else { "" };
        self.length.map_or_else(|| what.to_owned(), |length| format!("{what} of {length} bytes{sized}"))
    }
}

/// What was seen of the asked packet.
#[derive(Clone, Debug, Default)]
pub struct Observation {
    /// What was sent, in order.
    pub attempts: Vec<Attempt>,
    /// The packets that were seen, in the order they began.
    pub packets: Vec<Packet>,
    /// The address it was sent from.
    pub source: Option<IpAddr>,
    /// Events that were lost: then absence proves nothing.
    pub lost: u64,
    /// Why nothing was watched, if nothing was.
    pub unobserved: Option<String>,
}

impl Observation {
    /// Whether the asked packet, of ordinary size, was answered.
    pub fn is_answered(&self) -> bool {
        self.first_answered().is_some()
    }

    /// How long the first answer took.
    pub fn round_trip(&self) -> Option<Duration> {
        self.first_answered().map(|attempt| attempt.took)
    }

    /// Whether the asked packet was seen to get to whom it was sent to.
    pub fn is_delivered(&self) -> bool {
        let mut asked = self.packets.iter().filter(|packet| packet.role == Role::Asked && packet.flow == 0);
        asked.any(|packet| packet.record.outcome == "delivered")
    }

    /// Whether one of the asked packets was seen to die, copies for bystanders left out.
    pub fn is_dropped(&self) -> bool {
        let mut asked = self.packets.iter().filter(|packet| packet.role == Role::Asked && packet.flow == 0);
        asked.any(|packet| packet.record.drop.is_some() && packet.record.parent.is_none())
    }

    /// Whether it was a datagram and somebody took it: not everybody answers.
    pub fn is_taken(&self, question: &Question) -> bool {
        question.protocol == Protocol::Udp && self.is_delivered()
    }

    fn first_answered(&self) -> Option<&Attempt> {
        self.attempts.first().filter(|attempt| !attempt.is_sized && attempt.ending == Ending::Answered)
    }
}

/// Sends the asked packet from inside and watches it. `tell` is told what is waited for.
pub fn observe(
    netns: &Netns,
    watcher: Option<&mut Watcher>,
    question: &Question,
    outlook: Outlook,
    tell: &mut dyn FnMut(&str),
) -> Observation {
    let mut observation = Observation::default();
    let mut watcher = match watcher.map(|watcher| watcher.ready().map(|()| watcher)) {
        Some(Ok(watcher)) => Some(watcher),
        Some(Err(why)) => {
            observation.unobserved = Some(why);
            None
        }
        None => {
            observation.unobserved = Some("nothing was watched".to_owned());
            None
        }
    };
    if let Some(watcher) = watcher.as_deref_mut() {
        watcher.begin(&outlook.on_the_way);
    }
    let mut run = Run { netns, watcher, identities: Identities::new(), question, outlook, tell, flows: Vec::new() };
    run.run(&mut observation);
    observation
}

struct Run<'a> {
    netns: &'a Netns,
    watcher: Option<&'a mut Watcher>,
    /// Where there is no watcher to ask.
    identities: Identities,
    question: &'a Question,
    outlook: Outlook,
    tell: &'a mut dyn FnMut(&str),
    flows: Vec<Flow>,
}

impl Run<'_> {
    fn run(&mut self, observation: &mut Observation) {
        let payload = match self.question.protocol {
            Protocol::Icmp => ECHO,
            Protocol::Udp | Protocol::Tcp => DATAGRAM,
        };
        let (first, source) = self.attempt(self.question, payload, false, None);
        observation.source = source;
        let answered = first.ending == Ending::Answered;
        let took = first.took;
        observation.attempts.push(first);
        if answered {
            observation.attempts.extend(self.sized(took));
        }
        if let Some(watcher) = self.watcher.as_deref_mut() {
            (observation.packets, observation.lost) = watcher.end(&mut self.flows);
        }
    }

    /// An echo as large as the sender's device takes it, where echoes are answered by whom the question is about.
    fn sized(&mut self, took: Duration) -> Vec<Attempt> {
        if !self.outlook.is_direct && self.question.protocol != Protocol::Icmp {
            return Vec::new();
        }
        let Some(mtu) = self.mtu() else { return Vec::new() };
        let echo = Question { protocol: Protocol::Icmp, port: None, ..self.question.clone() };
        let mut attempts = Vec::new();
        if self.question.protocol != Protocol::Icmp {
            let (small, _) = self.attempt(&echo, ECHO, false, Some(took));
            let answered = small.ending == Ending::Answered;
            attempts.push(small);
            if !answered {
                // Where echoes are not answered at all, a large one says nothing.
                return attempts;
            }
        }
        let (large, _) = self.attempt(&echo, mtu.saturating_sub(headers(&echo)), true, Some(took));
        attempts.push(large);
        attempts
    }

    /// The MTU of the device that the packet leaves by.
    fn mtu(&self) -> Option<usize> {
        let mut socket = Socket::open_in(self.netns).ok()?;
        let RouteAnswer::Found(found) = socket.route_to(self.question.to, None).ok()? else { return None };
        let device = found.devices.first()?;
        let mtu = socket.links().ok()?.into_iter().find(|link| link.ifindex == *device)?.mtu;
        // An IPv4 packet has no more than these bytes.
        Some(usize::try_from(mtu).ok()?.min(65_535))
    }

    /// Sends one packet, until something comes of it. `took` is how long the answer to another one took.
    fn attempt(
        &mut self,
        question: &Question,
        payload: usize,
        is_sized: bool,
        took: Option<Duration>,
    ) -> (Attempt, Option<IpAddr>) {
        let began = Instant::now();
        let length = (question.protocol != Protocol::Tcp).then(|| payload + headers(question));
        let protocol = question.protocol;
        let attempt = |flow, ending| Attempt { protocol, length, is_sized, flow, ending, took: began.elapsed() };
        let (sender, identity) = match self.open(question, is_sized) {
            Ok(opened) => opened,
            Err(error) => return (attempt(None, not_sent(&error)), None),
        };
        let flow = self.flows.len();
        self.flows.push(Flow::new(question, identity));
        let ending = match sender.send(1, payload) {
            Ok(()) => self.wait(&sender, payload, is_sized, took),
            Err(error) => not_sent(&error),
        };
        (attempt(Some(flow), ending), sender.source())
    }

    fn open(&mut self, question: &Question, whole: bool) -> io::Result<(Sender, u16)> {
        let mut tries = 0;
        loop {
            let identity = match self.watcher.as_deref_mut() {
                Some(watcher) => watcher.identities().next(),
                None => self.identities.next(),
            };
            match Sender::open(self.netns, question, identity, whole) {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse && tries < TRIES => tries += 1,
                other => return other.map(|sender| (sender, identity)),
            }
        }
    }

    fn wait(&mut self, sender: &Sender, payload: usize, is_sized: bool, took: Option<Duration>) -> Ending {
        let began = Instant::now();
        let patience = match took {
            Some(took) => (took * PATIENCE_PER_ANSWER).clamp(NEAR, FAR),
            None if self.outlook.is_near || self.outlook.is_explained => NEAR,
            None => FAR,
        };
        let mut sent = 1;
        let mut told = false;
        let mut died: Option<Instant> = None;
        loop {
            match sender.poll() {
                Some(Reply::Answer) => return Ending::Answered,
                Some(Reply::Error { errno, by, mtu }) => return Ending::Error { errno, by, mtu },
                None => {}
            }
            let waited = began.elapsed();
            let mut asking = false;
            if let Some(watcher) = self.watcher.as_deref_mut() {
                let fates = watcher.look(&mut self.flows);
                if fates.died {
                    died.get_or_insert_with(Instant::now);
                }
                asking = fates.asks_neighbour;
            }
            // Who explains it already need not wait for the kernel to give up.
            let until = if asking && !self.outlook.is_explained { NEIGHBOUR } else { patience };
            if died.is_some_and(|died| died.elapsed() > AFTER_A_DROP) || waited > until {
                return Ending::Silence;
            }
            if waited > NOTICED && !told && until > NEAR {
                told = true;
                let what = if asking { "until the kernel gives up asking for the next hop" } else { "for an answer" };
                (self.tell)(&format!("waiting {what}, up to {:.1} s", until.as_secs_f64()));
            }
            let times = if is_sized { TIMES_SIZED } else { TIMES };
            if sent < times && waited > AGAIN * u32::from(sent) && died.is_none() && !asking {
                sent += 1;
                // What the first could be sent for, the second may not be: the error comes with the next look.
                if let Err(error) = sender.send(sent, payload) {
                    return not_sent(&error);
                }
            }
            thread::sleep(PAUSE);
        }
    }
}

fn not_sent(error: &io::Error) -> Ending {
    Ending::NotSent { errno: Errno::from_raw(error.raw_os_error().unwrap_or_default()) }
}

/// Bytes of the IP header and the one after it.
fn headers(question: &Question) -> usize {
    let ip = if question.to.is_ipv4() { 20 } else { 40 };
    ip + 8
}
