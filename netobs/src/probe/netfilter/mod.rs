//! The netfilter hooks: two programs on each of the five, for IPv4 and IPv6, in every namespace that has rules. Where the
//! kernel has no netfilter programs, one on `nf_hook_slow`, which every packet passes that has anything registered in
//! its way.

pub(super) mod registered;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use aya::Ebpf;
use netobs_ebpf::Hook;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::hooks::{HookRow, Kind};
use super::kprobe::attach_function;
use super::misses;
use super::raw::{Link, NetfilterHook, Program, RawObject, Type};
use super::session::ProbeStatus;
use crate::netns::{Netns, NetnsInode, in_netns};
use crate::state::Namespaces;

/// Rules that come later are looked for this often, in every namespace that had none.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// A link keeps its namespace alive, so links are let go soon after everybody else has.
const LET_GO: Duration = Duration::from_millis(300);
/// Where a kprobe sees what the programs would.
const FUNCTION: &str = "nf_hook_slow";

const IPV4: u32 = libc::NFPROTO_IPV4 as u32;
const IPV6: u32 = libc::NFPROTO_IPV6 as u32;
/// Both are served.
pub(super) const FAMILIES: [u32; 2] = [IPV4, IPV6];
/// Behind everything else but conntrack, which confirms at the greatest priority; before it.
pub(super) const BEHIND_ALL: std::ops::Range<i32> = 0..i32::MAX;
const HOOKS: u32 = 5;
/// Programs that may be before or behind one of ours.
const MOST_TRACES: usize = 64;

/// The programs, and where they are attached.
#[derive(Default)]
pub(super) struct Netfilter {
    /// Run before and behind everything else.
    programs: Option<(Program, Program)>,
    /// Every namespace known, with its links: none where there were no rules.
    covered: HashMap<NetnsInode, Vec<Link>>,
    /// Those of them not looked at yet.
    fresh: Vec<NetnsInode>,
    /// The last link that the kernel refused, where and why.
    refused: Option<String>,
    looked: Option<Instant>,
    let_go: Option<Instant>,
    generation: u64,
}

impl Netfilter {
    /// Loads the programs the kernel has room for, and says of each hook how it is served.
    pub(super) fn load(&mut self, raw: &Result<RawObject, String>, ebpf: &mut Ebpf) -> Vec<ProbeStatus> {
        let loaded = raw
            .as_ref()
            .map_err(Clone::clone)
            .and_then(|raw| Ok((raw.load("nf_entering", Type::Netfilter)?, raw.load("nf_leaving", Type::Netfilter)?)));
        let (kind, why_not, fell_back) = match loaded {
            Ok(programs) => {
                self.programs = Some(programs);
                raise_file_limit();
                (Kind::Netfilter, None, None)
            }
            Err(no_link) => match attach_function(ebpf, FUNCTION, FUNCTION) {
                Ok(()) => (Kind::Kprobe, None, Some(format!("netfilter: {no_link}"))),
                Err(no_kprobe) => (Kind::Kprobe, Some(format!("netfilter: {no_link}; kprobe: {no_kprobe}")), None),
            },
        };
        let rows = Hook::ALL.into_iter().filter(|hook| hook.is_netfilter()).filter_map(|hook| HookRow::of(hook, 0));
        rows.map(|row| ProbeStatus { row, kind, why_not: why_not.clone(), fell_back: fell_back.clone() }).collect()
    }

    /// A packet was seen in this namespace.
    pub(super) fn saw(&mut self, netns: NetnsInode) {
        if self.programs.is_some() && !self.covered.contains_key(&netns) {
            self.covered.insert(netns, Vec::new());
            self.fresh.push(netns);
        }
    }

    /// Attaches in every namespace that can be found and has rules.
    pub(super) fn cover_all(&mut self, namespaces: &mut Namespaces) {
        for (netns, _) in namespaces.all() {
            self.saw(netns);
        }
        self.tend(namespaces);
    }

    /// Attaches where there are rules by now, and detaches where the namespace is gone for everybody else. Cheap when
    /// there is nothing to do.
    pub(super) fn tend(&mut self, namespaces: &mut Namespaces) {
        if self.programs.is_none() {
            return;
        }
        let generation = namespaces.generation();
        if std::mem::replace(&mut self.generation, generation) != generation {
            for (netns, _) in namespaces.all() {
                self.saw(netns);
            }
            self.let_go = None;
        }
        if self.let_go.is_none_or(|since| since.elapsed() > LET_GO) {
            self.let_go = Some(Instant::now());
            self.covered.retain(|netns, links| links.is_empty() || namespaces.exists(*netns));
        }
        if self.looked.is_none_or(|since| since.elapsed() > LOOK_AGAIN) {
            self.looked = Some(Instant::now());
            self.covered.retain(|netns, links| !links.is_empty() || namespaces.exists(*netns));
            let without = self.covered.iter().filter(|(_, links)| links.is_empty()).map(|(netns, _)| *netns);
            self.fresh = without.collect();
        }
        for netns in std::mem::take(&mut self.fresh) {
            if let Some(handle) = namespaces.open(netns) {
                self.cover(&handle, false);
            }
        }
    }

    /// Attaches in a namespace, if it has rules or that does not matter.
    pub(super) fn cover(&mut self, netns: &Netns, whatever: bool) {
        let Some((entering, leaving)) = &self.programs else { return };
        let links = in_netns(netns, || {
            if whatever || registered::is_anything() { link_all(entering, leaving) } else { Ok(Vec::new()) }
        });
        match links {
            Ok(Ok(links)) => {
                self.covered.insert(netns.inode(), links);
            }
            Ok(Err(error)) => self.refused = Some(error.to_string()),
            Err(error) => self.refused = Some(error.to_string()),
        }
    }

    /// Why some namespace is not covered that should be.
    pub(super) fn refused(&self) -> Option<String> {
        self.refused.as_ref().map(|why| format!("not in every namespace: {why}"))
    }

    /// Ends all links. What was refused is still known.
    pub(super) fn detach(&mut self) {
        *self = Self { refused: self.refused.take(), ..Self::default() };
    }

    /// How often a program did not run since it was running already.
    pub(super) fn missed(&self) -> u64 {
        use std::os::fd::AsFd;
        self.programs
            .iter()
            .flat_map(|(entering, leaving)| [entering, leaving])
            .filter_map(|program| misses::of_fd(program.as_fd()))
            .sum()
    }
}

/// In the calling thread's namespace, in both families.
fn link_all(entering: &Program, leaving: &Program) -> std::io::Result<Vec<Link>> {
    let mut links = Vec::new();
    for family in FAMILIES {
        for hook in 0..HOOKS {
            links.push(link(entering, family, hook, &mut (i32::MIN + 1..0))?);
            links.push(link(leaving, family, hook, &mut BEHIND_ALL.rev())?);
        }
    }
    Ok(links)
}

/// At the first priority that is free: no two programs may have the same, and another trace may be running. The least
/// and the greatest are not given out: conntrack confirms at the greatest.
pub(super) fn link(
    program: &Program,
    family: u32,
    hook: u32,
    priorities: &mut dyn Iterator<Item = i32>,
) -> std::io::Result<Link> {
    let mut result = Err(std::io::ErrorKind::ResourceBusy.into());
    for priority in priorities.take(MOST_TRACES) {
        result = Link::netfilter(program, NetfilterHook { family, hook, priority });
        if !matches!(&result, Err(error) if error.kind() == std::io::ErrorKind::ResourceBusy) {
            break;
        }
    }
    result
}

/// Twenty links a namespace soon are more files than a shell's limit of 1024.
pub(super) fn raise_file_limit() {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        // Refused, it stays as it is, and links that find no room are reported.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}
