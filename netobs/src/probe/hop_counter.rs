//! Packets counted in the kernel per CPU where they enter and leave devices.

use aya::maps::{MapData, MapError, PerCpuArray, PerCpuHashMap};
use aya::programs::BtfTracePoint;
use aya::{Btf, Ebpf, Pod};
use netobs_ebpf::{DropSettings, Hook, HopCounts, HopKey};

use super::object::{self, HOP_TABLE};
use super::{HookRow, Kernel, ProbeError, ProgramRuns, misses, refusal};
use crate::event::DeviceName;
use crate::netlink::Ifindex;
use crate::netns::NetnsCookie;

/// Hooks that are counted, each by a program of its own.
const HOOKS: [Hook; 5] =
    [Hook::NetDevQueue, Hook::NetDevStartXmit, Hook::NetifRx, Hook::NetifReceiveSkb, Hook::IcmpSend];

/// [`HopKey`] as a key of a map.
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key(HopKey);

// SAFETY: repr(C), integers, no padding.
unsafe impl Pod for Key {}

/// [`HopCounts`] as a value of a map.
#[repr(transparent)]
#[derive(Clone, Copy)]
struct Counts(HopCounts);

// SAFETY: as above.
unsafe impl Pod for Counts {}

/// Packets that passed a hook on a device; or, at `icmp_send`, that a namespace answered with "fragmentation needed".
#[derive(Clone, Copy, Debug)]
pub struct HopCount {
    /// The device's namespace.
    pub cookie: NetnsCookie,
    /// The device's index there; 0 at `icmp_send`.
    pub ifindex: Ifindex,
    /// The device's name when it was first counted.
    pub device: DeviceName,
    /// The hook.
    pub hook: &'static HookRow,
    /// Packets since the counters were attached, as the stack hands them on: a large one that is cut up later is one.
    pub packets: u64,
    /// Their bytes, link-layer header included.
    pub bytes: u64,
}

/// One of the programs.
#[derive(Clone, Debug)]
pub struct HopProgram {
    /// Its name.
    pub name: String,
    /// What the kernel says of it; `None` if it is not loaded.
    pub runs: Option<ProgramRuns>,
    /// Why it is not attached; `None` if it is.
    pub why_not: Option<String>,
}

/// Attached counters. Dropping it detaches them.
pub struct HopCounter {
    ebpf: Ebpf,
    programs: Vec<(String, Option<String>)>,
    table: PerCpuHashMap<MapData, Key, Counts>,
    lost: PerCpuArray<MapData, u64>,
}

impl HopCounter {
    /// Rows there is room for, if nobody asks for another number.
    pub const ROWS: u32 = netobs_ebpf::HOP_ROWS;

    /// Begins to count. A program that the kernel refuses is in [`Self::programs`], and the rest goes on.
    ///
    /// # Errors
    /// Not permitted, or nothing can be loaded.
    pub fn attach(kernel: &Kernel, rows: u32) -> anyhow::Result<Self> {
        let btf = Btf::from_sys_fs().map_err(|error| ProbeError::Load(error.to_string()))?;
        let settings = DropSettings { net_cookie: kernel.drops.net_cookie, ..DropSettings::NONE };
        let mut ebpf =
            object::load_for_hops(&kernel.layout, &settings, rows, &btf).map_err(object::ObjectError::into_refusal)?;
        let table = ebpf
            .take_map(HOP_TABLE)
            .and_then(|map| PerCpuHashMap::try_from(map).ok())
            .ok_or(ProbeError::Map(HOP_TABLE))?;
        let lost = ebpf
            .take_map("HOPS_LOST")
            .and_then(|map| PerCpuArray::try_from(map).ok())
            .ok_or(ProbeError::Map("HOPS_LOST"))?;
        let rows = HOOKS.into_iter().filter_map(|hook| HookRow::of(hook, 0));
        let programs = rows.map(|row| {
            let name = format!("{}_count", row.name);
            let known =
                kernel.has_tracepoint(row.name).then_some(()).ok_or("this kernel has no such tracepoint".to_owned());
            let attached = known.and_then(|()| attach(&mut ebpf, &name, row.name, &btf));
            (name, attached.err())
        });
        let programs = programs.collect();
        Ok(Self { ebpf, programs, table, lost })
    }

    /// Every row there is, with its totals since the beginning.
    ///
    /// # Errors
    /// The kernel does not hand the table out.
    pub fn read(&self) -> Result<Vec<HopCount>, MapError> {
        let mut counts = Vec::new();
        for entry in self.table.iter() {
            let (Key(key), cpus) = entry?;
            let Some(row) = Hook::ALL.get(key.hook as usize).and_then(|hook| HookRow::of(*hook, 0)) else { continue };
            let names = cpus.iter().map(|Counts(counts)| counts.device);
            counts.push(HopCount {
                cookie: NetnsCookie(key.cookie),
                ifindex: Ifindex(key.ifindex),
                device: DeviceName::of_words(names.into_iter().find(|name| *name != [0; 2]).unwrap_or_default()),
                hook: row,
                packets: cpus.iter().map(|Counts(counts)| counts.packets).sum(),
                bytes: cpus.iter().map(|Counts(counts)| counts.bytes).sum(),
            });
        }
        Ok(counts)
    }

    /// Takes the rows of devices that are gone out of the table.
    ///
    /// # Errors
    /// The kernel does not let go of one.
    pub fn forget(&mut self, gone: impl Fn(NetnsCookie, Ifindex) -> bool) -> Result<(), MapError> {
        let keys: Vec<Key> = self.table.keys().collect::<Result<_, _>>()?;
        for key in keys.iter().filter(|Key(key)| gone(NetnsCookie(key.cookie), Ifindex(key.ifindex))) {
            match self.table.remove(key) {
                Ok(()) | Err(MapError::KeyNotFound) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Packets for which the table had no row left.
    pub fn overflow(&self) -> u64 {
        self.lost.get(&0, 0).map_or(0, |cpus| cpus.iter().sum())
    }

    /// Packets for which a program did not run, since it was running already on that CPU.
    pub fn missed(&self) -> u64 {
        misses::total(Some(&self.ebpf))
    }

    /// The programs, and what became of each.
    pub fn programs(&self) -> impl Iterator<Item = HopProgram> {
        self.programs.iter().map(|(name, why_not)| HopProgram {
            name: name.clone(),
            runs: self.ebpf.program(name).and_then(misses::runs),
            why_not: why_not.clone(),
        })
    }
}

fn attach(ebpf: &mut Ebpf, name: &str, tracepoint: &str, btf: &Btf) -> Result<(), String> {
    let program: &mut BtfTracePoint = ebpf
        .program_mut(name)
        .and_then(|program| program.try_into().ok())
        .ok_or("the eBPF object has no such program")?;
    program.load(tracepoint, btf).map_err(|error| refusal::of_aya(&error))?;
    program.attach().map_err(|error| refusal::of_aya(&error))?;
    Ok(())
}
