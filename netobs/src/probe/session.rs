//! One set of attached programs, from attaching to detaching.

use aya::maps::{MapData, PerCpuArray, RingBuf};
use aya::programs::BtfTracePoint;
use aya::{Btf, Ebpf};
use netobs_ebpf::{Conditions, Counters};

use super::counters::{self, Losses};
use super::functions::{self, Functions};
use super::hooks::{HookRow, Kind, hooks};
use super::kernel::Kernel;
use super::kprobe::attach_function;
use super::netfilter::Netfilter;
use super::object::{self, ObjectError};
use super::{misses, refusal, tc};
use crate::filter::Filter;
use crate::netns::{Netns, NetnsInode};
use crate::state::Namespaces;

/// Which hooks to attach, beside those that only certain devices have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Depth {
    /// Where packets enter and leave devices, where they are dropped and delivered.
    Devices,
    /// Netfilter's five hooks, too.
    Netfilter,
    /// The kernel functions in between, too.
    #[default]
    All,
}

/// Which packets to follow, where they are first seen, and how closely.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Only from this namespace on.
    pub netns: Option<NetnsInode>,
    /// Only from a device of this name on.
    pub device: Option<String>,
    /// Through which hooks.
    pub depth: Depth,
}

/// What became of one hook.
#[derive(Clone, Debug)]
pub struct ProbeStatus {
    /// The hook.
    pub row: &'static HookRow,
    /// How it is attached, or was tried last.
    pub kind: Kind,
    /// Why it is not attached; `None` if it is.
    pub why_not: Option<String>,
    /// Why it is not attached in a better way; `None` if there is no better one.
    pub fell_back: Option<String>,
}

impl ProbeStatus {
    /// What is therefore not seen. Nothing if another hook sees it in this one's place.
    pub fn blind_spot(&self) -> Option<&'static str> {
        let why_not = self.why_not.as_ref()?;
        (!why_not.starts_with(functions::IN_ITS_PLACE)).then_some(self.row.blind_spot)
    }
}

/// Why nothing can be observed.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The object cannot be loaded at all.
    #[error("cannot load the eBPF object: {0}")]
    Load(String),
    /// A map of the object is not what it should be, which would be a defect of ours.
    #[error("eBPF map {0} is missing or of another type")]
    Map(&'static str),
}

/// Attached programs. Dropping it detaches them.
pub struct Session {
    /// `None` once detached.
    ebpf: Option<Ebpf>,
    counters: PerCpuArray<MapData, Counters>,
    probes: Vec<ProbeStatus>,
    undo: tc::Undo,
    netfilter: Netfilter,
    functions: Functions,
    /// Set when detached.
    missed: Option<u64>,
}

impl Session {
    /// Loads and attaches every hook that needs no device. A hook that cannot be attached is reported in
    /// [`Self::probes`], and the rest goes on.
    ///
    /// # Errors
    /// Not permitted, or nothing can be loaded.
    pub fn attach(kernel: &Kernel, filter: &Filter, selection: &Selection) -> anyhow::Result<(Self, RingBuf<MapData>)> {
        let btf = Btf::from_sys_fs().map_err(|error| ProbeError::Load(error.to_string()))?;
        let conditions = Conditions {
            netns: selection.netns.map_or(0, |netns| netns.0),
            reserved: 0,
            device: selection.device.as_deref().map_or([0; 2], object::device_words),
        };
        let (mut ebpf, raw) =
            object::load(&kernel.layout, &conditions, filter, &btf).map_err(ObjectError::into_refusal)?;
        let ring =
            ebpf.take_map("EVENTS").and_then(|map| RingBuf::try_from(map).ok()).ok_or(ProbeError::Map("EVENTS"))?;
        let counters = ebpf
            .take_map("COUNTERS")
            .and_then(|map| PerCpuArray::try_from(map).ok())
            .ok_or(ProbeError::Map("COUNTERS"))?;
        let mut probes = Vec::new();
        for row in hooks().filter(|row| row.is_single()) {
            probes.push(attach_first(&mut ebpf, kernel, row, &btf));
        }
        let mut netfilter = Netfilter::default();
        if selection.depth >= Depth::Netfilter {
            probes.extend(netfilter.load(&raw, &mut ebpf));
        }
        let mut functions = Functions::default();
        if selection.depth >= Depth::All {
            let (attached, statuses) = Functions::attach(&raw, kernel);
            functions = attached;
            probes.extend(statuses);
        }
        let undo = tc::Undo::default();
        let session = Self { ebpf: Some(ebpf), counters, probes, undo, netfilter, functions, missed: None };
        Ok((session, ring))
    }

    /// Attaches the classifiers to these devices, once. Without this call they are not even loaded.
    pub fn attach_tc(&mut self, targets: &[tc::Target]) {
        if let Some(ebpf) = &mut self.ebpf {
            self.probes.extend(tc::attach(ebpf, targets, &self.undo));
        }
    }

    /// Attaches the netfilter programs in every namespace that has rules.
    pub fn attach_netfilter(&mut self, namespaces: &mut Namespaces) {
        self.netfilter.cover_all(namespaces);
    }

    /// Attaches them in one namespace, whether it has rules or not.
    pub fn attach_netfilter_in(&mut self, netns: &Netns) {
        self.netfilter.cover(netns, true);
    }

    /// A packet was seen in this namespace: netfilter programs are attached there by the next [`Self::tend`].
    pub fn saw(&mut self, netns: NetnsInode) {
        self.netfilter.saw(netns);
    }

    /// Follows namespaces that come, go, or get their first rules. To be called often.
    pub fn tend(&mut self, namespaces: &mut Namespaces) {
        self.netfilter.tend(namespaces);
    }

    /// What must be undone even if the session is never dropped.
    pub fn undo(&self) -> tc::Undo {
        self.undo.clone()
    }

    /// What became of each hook.
    pub fn probes(&self) -> Vec<ProbeStatus> {
        let mut probes = self.probes.clone();
        for probe in probes.iter_mut().filter(|probe| probe.kind == Kind::Netfilter) {
            probe.why_not = self.netfilter.refused();
        }
        probes
    }

    /// What was counted so far, over all hooks.
    pub fn losses(&self) -> Losses {
        let mut total = Losses::default();
        for row in hooks() {
            total += self.losses_of(row);
        }
        total.missed = self.missed.unwrap_or_else(|| self.count_missed());
        total
    }

    /// What one hook counted so far. Programs that did not run are counted in [`Self::losses`] only.
    pub fn losses_of(&self, row: &HookRow) -> Losses {
        counters::of_row(&self.counters, row)
    }

    /// Detaches everything. Counters can still be read.
    pub fn detach(&mut self) {
        self.undo.undo();
        // The kernel's own count goes with the programs.
        let missed = self.count_missed();
        self.missed.get_or_insert(missed);
        self.functions = Functions::default();
        self.netfilter.detach();
        self.ebpf = None;
    }

    fn count_missed(&self) -> u64 {
        misses::total(self.ebpf.as_ref()) + self.netfilter.missed() + self.functions.missed()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.detach();
    }
}

/// Attaches a hook in the first way that works.
fn attach_first(ebpf: &mut Ebpf, kernel: &Kernel, row: &'static HookRow, btf: &Btf) -> ProbeStatus {
    let mut kind = Kind::TpBtf;
    let mut refusals = Vec::new();
    for way in row.kinds {
        kind = *way;
        let attached = match kind {
            Kind::TpBtf => attach_tracepoint(ebpf, kernel, row, btf),
            // The name alone is the tracepoint's program.
            _ => attach_function(ebpf, &format!("{}_probed", row.name), row.function),
        };
        match attached {
            Ok(()) => {
                let fell_back = (!refusals.is_empty()).then(|| refusals.join("; "));
                return ProbeStatus { row, kind, why_not: None, fell_back };
            }
            Err(why) if row.kinds.len() > 1 => refusals.push(format!("{}: {why}", kind.name())),
            Err(why) => refusals.push(why),
        }
    }
    ProbeStatus { row, kind, why_not: Some(refusals.join("; ")), fell_back: None }
}

fn attach_tracepoint(ebpf: &mut Ebpf, kernel: &Kernel, row: &HookRow, btf: &Btf) -> Result<(), String> {
    if !kernel.has_tracepoint(row.name) {
        return Err("this kernel has no such tracepoint".into());
    }
    let program: &mut BtfTracePoint = ebpf
        .program_mut(row.name)
        .and_then(|program| program.try_into().ok())
        .ok_or("the eBPF object has no such program")?;
    program.load(row.name, btf).map_err(|error| refusal::of_aya(&error))?;
    program.attach().map_err(|error| refusal::of_aya(&error))?;
    Ok(())
}
