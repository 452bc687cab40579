//! Which rule it was: asks the rule set of a namespace for packets that are told, and remembers for a moment.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use netobs_ebpf::Hook;

use crate::event::{Conntrack, Tuple};
use crate::journey::{Drop, Hop, Journey, Rewrite, RewriteKind};
use crate::netlink::nftables;
use crate::netns::{NetnsInode, in_netns};
use crate::rules::{Dropper, Finding, InetHook, Packet, Rules, Side, Tracking};
use crate::state::Namespaces;

/// How long a rule set is taken for the one of now. Then it is asked whether it has changed.
const FRESH: Duration = Duration::from_millis(500);
/// How long one is kept that does not say whether it has changed: that of iptables-legacy.
const KEPT: Duration = Duration::from_secs(5);
/// Findings remembered for each rule set.
const REMEMBERED: usize = 4096;
/// How much of each second may be spent on asking.
const SHARE: Duration = Duration::from_millis(200);
const ETHERNET_HEADER: u32 = 14;

/// What was asked, in one rule set.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Question {
    Dropped { hook: &'static str, tuple: Tuple, packet: String },
    Translated { hook: &'static str, source: bool, orig: Tuple },
}

struct Reading {
    rules: Result<Rules, String>,
    generation: Option<u32>,
    looked: Instant,
    read: Instant,
    findings: HashMap<Question, Finding>,
}

/// The rule sets of namespaces that packets were dropped or rewritten in.
#[derive(Default)]
pub(super) struct Firewall {
    readings: HashMap<NetnsInode, Reading>,
    second: Option<Instant>,
    spent: Duration,
}

impl Firewall {
    /// Which rule dropped the packet at that hop, its last at a netfilter hook.
    pub(super) fn dropped(
        &mut self,
        (hop, out): (&Hop, Option<String>),
        drop: &Drop,
        function: Option<&str>,
        namespaces: &mut Namespaces,
    ) -> Option<Finding> {
        let (netns, hook) = (hop.netns?, inet_hook(hop.hook)?);
        let mut packet = Packet::new(&drop.headers);
        packet.entered = (hop.headers.tuple != drop.headers.tuple).then_some(hop.headers.tuple);
        let device = hop.device.map(|device| device.to_string_lossy());
        if matches!(hook, InetHook::Output | InetHook::Postrouting) {
            packet.oif = device.or(out);
        } else {
            packet.iif = device;
            packet.oif = out;
        }
        let has_ethernet = drop.captured.as_ref().is_some_and(|captured| captured.ethernet);
        packet.length = Some(drop.length.saturating_sub(if has_ethernet { ETHERNET_HEADER } else { 0 }));
        packet.mark = hop.passage.as_ref().map(|passage| passage.mark);
        packet.tracking = drop.conntrack.as_deref().copied().map_or(Tracking::Invalid, Tracking::Entry);
        let dropper = if function == Some("nft_do_chain") { Dropper::NftRule } else { Dropper::Unknown };
        let question = Question::Dropped {
            hook: hook.name(),
            tuple: drop.headers.tuple,
            packet: format!("{:?}{:?}{:?}{:?}", packet.icmp, packet.tcp_flags, packet.length, packet.tracking),
        };
        self.ask(netns, namespaces, question, |rules| rules.dropped(&packet, hook, dropper))
    }

    /// Which rule made NAT rewrite the packet. `None` for what is turned back automatically, and where it was not seen
    /// in which hook it happened.
    pub(super) fn translated(
        &mut self,
        journey: &Journey,
        rewrite: &Rewrite,
        namespaces: &mut Namespaces,
    ) -> Option<Finding> {
        let side = match rewrite.kind {
            RewriteKind::Snat => Side::Source,
            RewriteKind::Dnat => Side::Destination,
            RewriteKind::UnSnat | RewriteKind::UnDnat => return None,
        };
        let netns = rewrite.netns?;
        let hook = inet_hook(rewrite.hook?)?;
        // The hop at which it happened, or the first behind it: either has the entry.
        let inside = || journey.hops.iter().filter(|hop| hop.netns == Some(netns));
        let at = inside().find(|hop| inet_hook(hop.hook) == Some(hook));
        let entry: Conntrack = **inside().rev().find_map(|hop| hop.conntrack.as_ref())?;
        let mut packet = Packet::new(&journey.headers);
        packet.tuple = rewrite.before;
        packet.tracking = Tracking::Entry(entry);
        packet.mark = at.and_then(|hop| hop.passage.as_ref()).map(|passage| passage.mark);
        let output = |hop: &Hop| hop.device.map(|device| device.to_string_lossy());
        let received = inside().find(|hop| hop.hook == Hook::NetifReceiveSkb);
        if matches!(hook, InetHook::Prerouting | InetHook::Input) {
            packet.iif = at.and_then(output).or_else(|| received.and_then(output));
        } else {
            packet.oif = inside().find(|hop| hop.hook == Hook::NetDevQueue).and_then(output);
        }
        let question = Question::Translated {
            hook: hook.name(),
            source: side == Side::Source,
            orig: entry.orig.unwrap_or(rewrite.before),
        };
        self.ask(netns, namespaces, question, |rules| rules.translated(&packet, hook, side))
    }

    fn ask(
        &mut self,
        netns: NetnsInode,
        namespaces: &mut Namespaces,
        question: Question,
        answer: impl FnOnce(&Rules) -> Finding,
    ) -> Option<Finding> {
        let began = Instant::now();
        if self.second.is_none_or(|second| second.elapsed() > Duration::from_secs(1)) {
            self.second = Some(began);
            self.spent = Duration::ZERO;
        }
        if self.spent > SHARE {
            let known = self.readings.get(&netns).and_then(|reading| reading.findings.get(&question)).cloned();
            return Some(known.unwrap_or_else(|| undecided("too many packets at once to ask the rule set for each")));
        }
        let reading = match self.readings.remove(&netns).filter(|reading| reading.is_of_now(netns, namespaces)) {
            Some(reading) => reading,
            None => Reading::take(netns, namespaces)?,
        };
        let reading = self.readings.entry(netns).or_insert(reading);
        let finding = match (reading.findings.get(&question), &reading.rules) {
            (Some(finding), _) => finding.clone(),
            (None, Ok(rules)) => {
                let finding = answer(rules);
                if reading.findings.len() >= REMEMBERED {
                    reading.findings.clear();
                }
                reading.findings.insert(question, finding.clone());
                finding
            }
            (None, Err(why)) => undecided(why),
        };
        self.spent += began.elapsed();
        Some(finding)
    }
}

impl Reading {
    /// `None` if the namespace is gone.
    fn take(netns: NetnsInode, namespaces: &mut Namespaces) -> Option<Self> {
        let handle = namespaces.open(netns)?;
        // Asked before reading: a change in between is seen as one the next time.
        let generation = in_netns(&handle, nftables::generation).ok().and_then(Result::ok);
        let rules = Rules::read(&handle).map_err(|error| error.to_string());
        let now = Instant::now();
        Some(Self { rules, generation, looked: now, read: now, findings: HashMap::new() })
    }

    fn is_of_now(&self, netns: NetnsInode, namespaces: &mut Namespaces) -> bool {
        if self.looked.elapsed() < FRESH {
            return true;
        }
        if self.read.elapsed() > KEPT {
            return false;
        }
        let now = namespaces.open(netns).and_then(|handle| in_netns(&handle, nftables::generation).ok()?.ok());
        now.is_some() && now == self.generation
    }
}

fn undecided(why: &str) -> Finding {
    Finding { undecided: vec![why.to_owned()], ..Finding::default() }
}

fn inet_hook(hook: Hook) -> Option<InetHook> {
    Some(match hook {
        Hook::NfPrerouting => InetHook::Prerouting,
        Hook::NfInput => InetHook::Input,
        Hook::NfForward => InetHook::Forward,
        Hook::NfOutput => InetHook::Output,
        Hook::NfPostrouting => InetHook::Postrouting,
        _ => return None,
    })
}
