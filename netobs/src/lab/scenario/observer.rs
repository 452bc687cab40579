//! The observer: one `netobs trace` for all scenarios of a run, read as any program would read it.
//!
//! A trace of its own for each would spend most of the time loading programs. Its packets come in the order in which
//! they were first seen, so a packet of our own that is sent last marks the end of what came before it.

use std::collections::BTreeSet;
use std::io::{self, BufRead, BufReader};
use std::net::{IpAddr, UdpSocket};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::Deserialize;

use super::super::{Error, Prefix, Topology, interrupt};
use super::Scenario;
use super::signal::{DropSignal, Sighting};
use crate::diagnose::Watcher;
use crate::netlink::change::{LinkChange, set_link};
use crate::netlink::{Ifindex, Socket};
use crate::netns::{Netns, fresh_netns, in_netns};

/// Attaching takes a fifth of a second; on an emulated machine the verifier takes far longer.
const ATTACHING: Duration = Duration::from_secs(120);
/// A trace that was told to end does so within a second.
const ENDING: Duration = Duration::from_secs(5);
/// A mark that has not come by then may be lost: another is sent.
const MARK_AGAIN: Duration = Duration::from_secs(1);
/// Between two looks whether somebody asked us to end.
const BEAT: Duration = Duration::from_millis(50);
/// The discard protocol's port, where our marks go.
const MARK_PORT: u16 = 9;

/// Why nothing can be observed.
#[derive(Debug, thiserror::Error)]
pub enum ObserverError {
    /// The trace did not start; its own sentence.
    #[error("{sentence}")]
    Refused {
        /// What it said.
        sentence: String,
        /// Its exit status.
        status: Option<i32>,
    },
    /// It is behind, so that nothing can be said of what happens now.
    #[error("the trace that observes the lab is more than {} s behind: too much happens on this machine", .0.as_secs())]
    Behind(Duration),
    /// It ended while it was needed.
    #[error("the trace that observes the lab ended unexpectedly")]
    Ended,
    /// Somebody asked us to end.
    #[error(transparent)]
    Lab(#[from] Error),
    /// A system call failed.
    #[error("observe the lab: {0}")]
    Io(#[from] io::Error),
}

/// A packet as the trace tells it, as far as signals ask about it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Packet {
    proto: String,
    info: Option<String>,
    hops: Vec<Hop>,
    outcome: String,
    drop: Option<Drop>,
}

#[derive(Clone, Debug, Deserialize)]
struct Hop {
    netns: Option<String>,
    netns_inode: Option<u32>,
    device: Option<String>,
    hook: String,
    tuple: Tuple,
}

#[derive(Clone, Debug, Deserialize)]
struct Tuple {
    src: Option<String>,
    dst: Option<String>,
    sport: Option<u16>,
}

#[derive(Clone, Debug, Deserialize)]
struct Drop {
    reason: Option<String>,
    function: Option<String>,
    netns: Option<String>,
    device: Option<String>,
}

#[derive(Deserialize)]
struct Summary {
    lost: Lost,
}

#[derive(Deserialize)]
struct Lost {
    ring: u64,
}

/// A line of the trace.
enum Line {
    Packet(Box<Packet>),
    Summary { lost: u64 },
}

/// A trace under way. It ends when this is dropped.
pub struct Observer {
    child: Child,
    lines: Receiver<Line>,
    /// What was seen since the last [`Self::forget`].
    packets: Vec<Packet>,
    lost: u64,
    marks: Marks,
    /// For diagnoses: in this process, and attached once for all, too.
    pub(super) watcher: Watcher,
}

impl Observer {
    /// Starts observing what these scenarios are about, and waits until everything is attached.
    ///
    /// # Errors
    /// The kernel does not allow it, or something failed.
    pub fn start(stages: &[(&Scenario, &Topology)]) -> Result<Self, ObserverError> {
        interrupt::watch()?;
        let marks = Marks::new()?;
        let mut command = Command::new("/proc/self/exe");
        command.args(["trace", "--format", "json", &filter(stages)]).env("NO_COLOR", "1").stdin(Stdio::null());
        // Of its own process group: Ctrl-C is for us, and we end it when we no longer need it.
        command.process_group(0).stdout(Stdio::piped()).stderr(Stdio::piped());
        // SAFETY: prctl with these arguments touches no memory.
        unsafe { command.pre_exec(end_with_parent) };
        let mut child = command.spawn()?;
        let (Some(out), Some(err)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(ObserverError::Ended);
        };
        let (send, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if let Some(line) = Line::read(&line)
                    && send.send(line).is_err()
                {
                    break;
                }
            }
        });
        let (send, said) = channel();
        thread::spawn(move || {
            for line in BufReader::new(err).lines().map_while(Result::ok) {
                // Once it traces nobody listens any more, but it must be able to speak.
                let _ = send.send(line);
            }
        });
        let asked: BTreeSet<IpAddr> = stages.iter().flat_map(|(scenario, _)| scenario.addresses()).collect();
        let watcher = Watcher::start(&asked.into_iter().collect::<Vec<_>>());
        let mut observer = Self { child, lines, packets: Vec::new(), lost: 0, marks, watcher };
        observer.wait_attached(&said)?;
        Ok(observer)
    }

    fn wait_attached(&mut self, said: &Receiver<String>) -> Result<(), ObserverError> {
        let start = Instant::now();
        let mut last = String::new();
        loop {
            interrupt::check()?;
            match said.recv_timeout(BEAT) {
                Ok(line) if line.starts_with("tracing:") => return Ok(()),
                Ok(line) => last = line,
                Err(RecvTimeoutError::Timeout) if start.elapsed() < ATTACHING => {}
                Err(RecvTimeoutError::Timeout) => return Err(ObserverError::Ended),
                Err(RecvTimeoutError::Disconnected) => {
                    let status = self.child.wait()?.code();
                    let sentence = last.strip_prefix("netobs: ").unwrap_or(&last).to_owned();
                    return Err(ObserverError::Refused { sentence, status });
                }
            }
        }
    }

    /// From here on earlier packets do not count. What was not told within so long would count: that is an error.
    pub(super) fn forget(&mut self, at_most: Duration) -> Result<(), ObserverError> {
        if !self.catch_up(at_most)? {
            return Err(ObserverError::Behind(at_most));
        }
        self.packets.clear();
        Ok(())
    }

    /// Waits until everything that has happened so far was told, or so long. Says whether it was.
    pub(super) fn catch_up(&mut self, at_most: Duration) -> Result<bool, ObserverError> {
        let start = Instant::now();
        let mut marks = vec![self.marks.send()?];
        let mut marked = start;
        loop {
            if marked.elapsed() > MARK_AGAIN {
                marks.push(self.marks.send()?);
                marked = Instant::now();
            }
            let left = at_most.saturating_sub(start.elapsed());
            match self.next(left.min(BEAT))? {
                Some(packet) if self.marks.is_one(&packet, &marks) => return Ok(true),
                Some(packet) => self.packets.push(packet),
                None if left.is_zero() => return Ok(false),
                None => {}
            }
        }
    }

    /// Takes in what comes within so long.
    pub(super) fn listen(&mut self, at_most: Duration) -> Result<(), ObserverError> {
        if let Some(packet) = self.next(at_most)? {
            self.packets.push(packet);
            while let Some(packet) = self.next(Duration::ZERO)? {
                self.packets.push(packet);
            }
        }
        Ok(())
    }

    fn next(&mut self, at_most: Duration) -> Result<Option<Packet>, ObserverError> {
        interrupt::check()?;
        match self.lines.recv_timeout(at_most) {
            Ok(Line::Packet(packet)) => Ok(Some(*packet)),
            Ok(Line::Summary { lost }) => {
                self.lost = lost;
                Ok(None)
            }
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(ObserverError::Ended),
        }
    }

    /// How many packets were dropped so, in that namespace.
    pub(super) fn drops(&self, signal: &DropSignal, netns: &str) -> usize {
        self.packets.iter().filter(|packet| packet.was_dropped(signal, netns)).count()
    }

    /// Whether a packet was seen there.
    pub(super) fn saw(&self, place: &Sighting, netns: &str) -> bool {
        self.packets.iter().any(|packet| packet.was_at(place, netns))
    }

    /// The drops that were seen in namespaces that begin so, for a person who looks for the one that was not.
    pub(super) fn all_drops(&self, prefix: &str) -> Vec<String> {
        let unknown = || "?".to_owned();
        let mut told: Vec<String> = Vec::new();
        for packet in &self.packets {
            let Some(drop) =
                packet.drop.as_ref().filter(|drop| drop.netns.as_ref().is_some_and(|netns| netns.starts_with(prefix)))
            else {
                continue;
            };
            let part = |text: &Option<String>| text.clone().unwrap_or_else(unknown);
            let line = format!(
                "{} dropped in {} on {} by {}: {}",
                packet.proto,
                part(&drop.netns),
                part(&drop.device),
                part(&drop.function),
                part(&drop.reason)
            );
            if !told.contains(&line) {
                told.push(line);
            }
        }
        told
    }

    /// Ends the trace. Returns how many events it lost: then absence proves nothing.
    pub fn finish(mut self) -> u64 {
        self.end();
        while let Ok(line) = self.lines.recv_timeout(ENDING) {
            if let Line::Summary { lost } = line {
                self.lost = lost;
            }
        }
        self.lost
    }

    fn end(&mut self) {
        let _ = kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGTERM);
        let start = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) {
            if start.elapsed() > ENDING {
                let _ = self.child.kill();
                let _ = self.child.wait();
                break;
            }
            thread::sleep(Duration::from_millis(2));
        }
    }
}

impl std::ops::Drop for Observer {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.end();
        }
    }
}

/// A trace must not outlive us, whatever ends us.
fn end_with_parent() -> io::Result<()> {
    nix::sys::prctl::set_pdeathsig(Signal::SIGTERM)?;
    Ok(())
}

impl Line {
    fn read(line: &str) -> Option<Self> {
        #[derive(Deserialize)]
        struct Kind {
            r#type: String,
        }
        match serde_json::from_str::<Kind>(line).ok()?.r#type.as_str() {
            "packet" => Some(Self::Packet(Box::new(serde_json::from_str(line).ok()?))),
            "summary" => {
                serde_json::from_str::<Summary>(line).ok().map(|summary| Self::Summary { lost: summary.lost.ring })
            }
            _ => None,
        }
    }
}

impl Packet {
    fn was_dropped(&self, signal: &DropSignal, netns: &str) -> bool {
        let Some(drop) = self.drop.as_ref().filter(|_| self.outcome == "dropped") else { return false };
        let one_of = |list: &[String], value: &Option<String>| {
            list.is_empty() || value.as_ref().is_some_and(|value| list.contains(value))
        };
        drop.netns.as_deref() == Some(netns)
            && one_of(&signal.reason, &drop.reason)
            && one_of(&signal.function, &drop.function)
            && signal.device.as_ref().is_none_or(|device| drop.device.as_ref() == Some(device))
            && signal.proto.as_ref().is_none_or(|proto| *proto == self.proto)
    }

    fn was_at(&self, place: &Sighting, netns: &str) -> bool {
        let same = |wanted: &Option<String>, found: &Option<String>| wanted.is_none() || wanted == found;
        let at = |hop: &Hop| {
            hop.netns.as_deref() == Some(netns)
                && same(&place.device, &hop.device)
                && place.hook.as_ref().is_none_or(|hook| *hook == hop.hook)
                && same(&place.src, &hop.tuple.src)
                && same(&place.dst, &hop.tuple.dst)
        };
        place.proto.as_ref().is_none_or(|proto| *proto == self.proto)
            && place.info.as_ref().is_none_or(|part| self.info.as_ref().is_some_and(|info| info.contains(part)))
            && self.hops.iter().any(at)
    }
}

/// Packets of our own, in a namespace of our own.
struct Marks {
    netns: Netns,
    /// Takes each in, so that its journey is over at once.
    receiver: UdpSocket,
}

impl Marks {
    fn new() -> Result<Self, ObserverError> {
        let netns = fresh_netns()?;
        let failed = |error: crate::netlink::Error| ObserverError::Io(io::Error::other(error));
        let up = LinkChange { up: Some(true), ..LinkChange::default() };
        let mut socket = Socket::open_in(&netns).map_err(failed)?;
        socket.apply(set_link(Ifindex::LOOPBACK, "lo", up)).map_err(failed)?;
        let open = || -> io::Result<UdpSocket> {
            let receiver = UdpSocket::bind(("127.0.0.1", MARK_PORT))?;
            receiver.set_read_timeout(Some(ENDING))?;
            Ok(receiver)
        };
        let receiver = in_netns(&netns, open).map_err(io::Error::other)??;
        Ok(Self { netns, receiver })
    }

    /// Sends a mark and returns the port it is from. That tells it from an earlier one nobody waits for any longer.
    fn send(&self) -> io::Result<u16> {
        let sender = in_netns(&self.netns, || UdpSocket::bind("127.0.0.1:0")).map_err(io::Error::other)??;
        sender.send_to(b"netobs", ("127.0.0.1", MARK_PORT))?;
        self.receiver.recv(&mut [0; 8])?;
        Ok(sender.local_addr()?.port())
    }

    fn is_one(&self, packet: &Packet, of: &[u16]) -> bool {
        let inode = Some(self.netns.inode().0);
        let is_one = |hop: &Hop| hop.netns_inode == inode && hop.tuple.sport.is_some_and(|port| of.contains(&port));
        packet.hops.iter().any(is_one)
    }
}

/// The lowest address of a prefix: libpcap takes no other.
fn network(prefix: Prefix) -> IpAddr {
    match prefix.address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix.length)).unwrap_or(0);
            IpAddr::V4((address.to_bits() & mask).into())
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix.length)).unwrap_or(0);
            IpAddr::V6((address.to_bits() & mask).into())
        }
    }
}

/// Only packets with the labs' addresses: the machine may have much else to do.
fn filter(stages: &[(&Scenario, &Topology)]) -> String {
    let mut parts = vec!["arp".to_owned(), format!("(udp dst port {MARK_PORT} and host 127.0.0.1)")];
    let mut add = |part: String| {
        if !parts.contains(&part) {
            parts.push(part);
        }
    };
    for (scenario, topology) in stages {
        for (_, prefix) in topology.nodes.iter().flat_map(|node| topology.addresses_of(node)) {
            add(format!("net {}/{}", network(prefix), prefix.length));
        }
        for address in scenario.addresses() {
            add(format!("host {address}"));
        }
    }
    parts.join(" or ")
}
