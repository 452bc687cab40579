//! Packets counted in the kernel per CPU where they enter and leave devices.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd};

use aya::maps::{Array, IterableMap, Map, MapData, MapError, PerCpuArray, PerCpuHashMap, PerCpuValues};
use aya::programs::BtfTracePoint;
use aya::util::nr_cpus;
use aya::{Btf, Ebpf, Pod};
use netobs_ebpf::{
    DropSettings, HOP_DEVICES, Hook, HopCounts, HopDevice, HopKey, HopRow, Latency, hop_row, latency_row,
};

use super::kprobe::attach_function;
use super::object::{self, HOP_TABLE};
use super::raw::entries;
use super::{HookRow, Kernel, Kind, ProbeError, ProgramRuns, misses, refusal, rows};
use crate::event::DeviceName;
use crate::netlink::Ifindex;
use crate::netns::NetnsCookie;

/// Hooks that are counted, each by a program of its own.
const HOOKS: [Hook; 5] =
    [Hook::NetDevQueue, Hook::NetDevStartXmit, Hook::NetifRx, Hook::NetifReceiveSkb, Hook::IcmpSend];
/// Those of them that are hooks of devices, and between which packets are timed.
const DEVICE_HOOKS: [Hook; netobs_ebpf::DEVICE_HOOKS] =
    [Hook::NetDevQueue, Hook::NetDevStartXmit, Hook::NetifRx, Hook::NetifReceiveSkb];

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

/// [`HopDevice`] as a value of a map.
#[repr(transparent)]
#[derive(Clone, Copy)]
struct Device(HopDevice);

// SAFETY: as above.
unsafe impl Pod for Device {}

/// [`HopRow`] as a value of a map.
#[repr(transparent)]
#[derive(Clone, Copy)]
struct Row(HopRow);

// SAFETY: as above.
unsafe impl Pod for Row {}

/// [`Latency`] as a value of a map.
#[repr(transparent)]
#[derive(Clone, Copy)]
struct Timed(Latency);

// SAFETY: as above.
unsafe impl Pod for Timed {}

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

/// How long packets took from one hook to the next, of those that were timed: one in [`netobs_ebpf::LATENCY_SAMPLE`].
#[derive(Clone, Copy, Debug)]
pub struct HopLatency {
    /// Where they were seen.
    pub from: &'static HookRow,
    /// Where they were seen next.
    pub to: &'static HookRow,
    /// How many took how long.
    pub latency: Latency,
}

/// One of the programs.
#[derive(Clone, Debug)]
pub struct HopProgram {
    /// Its name.
    pub name: String,
    /// How it is attached.
    pub kind: Kind,
    /// What the kernel says of it; `None` if it is not loaded.
    pub runs: Option<ProgramRuns>,
    /// Why it is not attached; `None` if it is.
    pub why_not: Option<String>,
}

/// Attached counters. Dropping it detaches them.
pub struct HopCounter {
    ebpf: Ebpf,
    programs: Vec<(String, Kind, Option<String>)>,
    devices: Array<MapData, Device>,
    rows: PerCpuArray<MapData, Row>,
    latency: PerCpuArray<MapData, Timed>,
    /// Whatever has no place among the devices.
    table: PerCpuHashMap<MapData, Key, Counts>,
    lost: PerCpuArray<MapData, u64>,
    /// That there may be: a map that is per CPU has a value for each.
    cpus: usize,
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
        let devices = map(&mut ebpf, "HOP_DEVICE")?;
        let per_device = map(&mut ebpf, "HOP_ROW")?;
        let latency = map(&mut ebpf, "LATENCY")?;
        let table = map(&mut ebpf, HOP_TABLE)?;
        let lost = map(&mut ebpf, "HOPS_LOST")?;
        let hooks = HOOKS.into_iter().filter_map(|hook| HookRow::of(hook, 0));
        let programs = hooks.map(|row| attach(&mut ebpf, kernel, row, &btf));
        let programs = programs.collect();
        object::close_maps(&mut ebpf);
        let cpus = nr_cpus().map_err(|(file, error)| ProbeError::Load(format!("read {file}: {error}")))?;
        Ok(Self { ebpf, programs, devices, rows: per_device, latency, table, lost, cpus })
    }

    /// Every row there is, with its totals since the beginning.
    ///
    /// # Errors
    /// The kernel does not hand the table out.
    pub fn read(&self) -> Result<Vec<HopCount>, MapError> {
        let mut counts = Vec::new();
        let cpus = self.cpus;
        let owners = entries::<u32, Device>(fd::<u32, Device>(&self.devices), 1)?;
        let owners: HashMap<u32, HopDevice> = owners
            .into_iter()
            .filter_map(|(place, device)| Some((place, device.first()?.0)))
            .filter(|(_, device)| device.owner != 0)
            .collect();
        for (place, values) in entries::<u32, Row>(fd::<u32, PerCpuValues<Row>>(&self.rows), cpus)? {
            let (place, hook) = (place / DEVICE_HOOKS.len() as u32, place as usize % DEVICE_HOOKS.len());
            let (Some(device), Some(hook)) = (owners.get(&place), DEVICE_HOOKS.get(hook)) else { continue };
            let sum = |value: fn(&HopRow) -> u64| values.iter().map(|Row(row)| value(row)).sum();
            let (packets, bytes) = (sum(|row| row.packets), sum(|row| row.bytes));
            let count = count(&HopKey::of_owner(device.owner, *hook), device.name, packets, bytes);
            counts.extend(count.filter(|count| count.packets > 0));
        }
        for (Key(key), values) in entries::<Key, Counts>(fd::<Key, PerCpuValues<Counts>>(&self.table), cpus)? {
            let name = values.iter().map(|Counts(counts)| counts.device).find(|name| *name != [0; 2]);
            let packets = values.iter().map(|Counts(counts)| counts.packets).sum();
            let bytes = values.iter().map(|Counts(counts)| counts.bytes).sum();
            counts.extend(count(&key, name.unwrap_or_default(), packets, bytes));
        }
        Ok(counts)
    }

    /// How long packets took, by pair of hooks; pairs between which none was timed are left out.
    ///
    /// # Errors
    /// The kernel does not hand the table out.
    pub fn latencies(&self) -> Result<Vec<HopLatency>, MapError> {
        let mut found = Vec::new();
        for (from, to) in DEVICE_HOOKS.into_iter().flat_map(|from| DEVICE_HOOKS.map(|to| (from, to))) {
            let cpus = self.latency.get(&latency_row(from as u32, to as u32), 0)?;
            let latency = cpus.iter().fold(Latency::NONE, |sum, Timed(cpu)| sum.and(cpu));
            if let (Some(from), Some(to), true) = (HookRow::of(from, 0), HookRow::of(to, 0), latency.count() > 0) {
                found.push(HopLatency { from, to, latency });
            }
        }
        Ok(found)
    }

    /// Takes the rows of devices that are gone out of the tables: nothing can be counted there any more.
    ///
    /// # Errors
    /// The kernel does not let go of one.
    pub fn forget(&mut self, gone: impl Fn(NetnsCookie, Ifindex) -> bool) -> Result<(), MapError> {
        let is_gone = |key: &HopKey| gone(NetnsCookie(key.cookie), Ifindex(key.ifindex));
        for place in 0..HOP_DEVICES {
            let Device(HopDevice { owner, .. }) = self.devices.get(&place, 0)?;
            if owner == 0 || !is_gone(&HopKey::of_owner(owner, Hook::NetDevQueue)) {
                continue;
            }
            // The place last: who takes it finds zeroes.
            for hook in DEVICE_HOOKS {
                let row = hop_row(place, hook as u32);
                let zeroes = vec![Row(HopRow::default()); self.rows.get(&row, 0)?.len()];
                self.rows.set(row, PerCpuValues::try_from(zeroes)?, 0)?;
            }
            self.devices.set(place, Device(HopDevice::default()), 0)?;
        }
        rows::forget(&mut self.table, |Key(key)| is_gone(key))
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
        self.programs.iter().map(|(name, kind, why_not)| HopProgram {
            name: name.clone(),
            kind: *kind,
            runs: self.ebpf.program(name).and_then(misses::runs),
            why_not: why_not.clone(),
        })
    }
}

fn map<T: TryFrom<Map>>(ebpf: &mut Ebpf, name: &'static str) -> Result<T, ProbeError> {
    ebpf.take_map(name).and_then(|map| T::try_from(map).ok()).ok_or(ProbeError::Map(name))
}

fn fd<K: Pod, V>(map: &impl IterableMap<K, V>) -> BorrowedFd<'_> {
    map.map().fd().as_fd()
}

fn count(key: &HopKey, device: [u64; 2], packets: u64, bytes: u64) -> Option<HopCount> {
    Some(HopCount {
        cookie: NetnsCookie(key.cookie),
        ifindex: Ifindex(key.ifindex),
        device: DeviceName::of_words(device),
        hook: Hook::ALL.get(key.hook as usize).and_then(|hook| HookRow::of(*hook, 0))?,
        packets,
        bytes,
    })
}

/// Name and kind of the program at a hook, and why it is not attached.
fn attach(ebpf: &mut Ebpf, kernel: &Kernel, row: &HookRow, btf: &Btf) -> (String, Kind, Option<String>) {
    let name = format!("{}_count", row.name);
    if kernel.has_tracepoint(row.name) {
        let attached = attach_tracepoint(ebpf, &name, row.name, btf);
        return (name, Kind::TpBtf, attached.err());
    }
    // Of functions that have had a tracepoint for some years only.
    let name = format!("{name}_probed");
    let attached = attach_function(ebpf, &name, row.function);
    (name, Kind::Kprobe, attached.err().map(|why| format!("this kernel has no such tracepoint; kprobe: {why}")))
}

fn attach_tracepoint(ebpf: &mut Ebpf, name: &str, tracepoint: &str, btf: &Btf) -> Result<(), String> {
    let program: &mut BtfTracePoint = ebpf
        .program_mut(name)
        .and_then(|program| program.try_into().ok())
        .ok_or("the eBPF object has no such program")?;
    program.load(tracepoint, btf).map_err(|error| refusal::of_aya(&error))?;
    program.attach().map_err(|error| refusal::of_aya(&error))?;
    Ok(())
}
