//! All drops of the machine, counted in the kernel per CPU.
//!
//! Nothing per packet reaches user space, and nothing is ever taken out of the table while the programs run: what is
//! read are totals since the beginning, and no increment is lost between two readings.
//!
//! One loss nobody can count was measured (6.18): while any other program is attached to the same tracepoint or detached
//! from it, drops in a softirq that interrupts that CPU (receive packet steering) may reach no BPF program at all, some
//! hundred packets at half a million a second, though perf's own handler of the tracepoint sees them.

mod layout;
mod row;

pub use layout::DropLayout;
pub use row::{DropCount, DropRow};

use aya::maps::{MapData, MapError, PerCpuArray, PerCpuHashMap};
use aya::programs::tp_btf::BtfTracePointLinkId;
use aya::programs::{BtfTracePoint, Program};
use aya::{Btf, Ebpf, Pod};
use netobs_ebpf::{Conditions, DROP_PROGRAMS, DropCounts, DropKey, DropSettings, DropState};

use super::object::{self, DROP_TABLE};
use super::{Kernel, ProbeError, ProgramRuns, Selection, misses, rows};
use crate::filter::Filter;
use crate::netns::NetnsCookie;
use crate::refusal::Refusal;

/// The tracepoint every drop passes.
const TRACEPOINT: &str = "kfree_skb";
/// The program that counts, and those that count what the ones before were not run for.
const PROGRAMS: [&str; DROP_PROGRAMS] = ["kfree_skb_count", "kfree_skb_recount", "kfree_skb_last_count"];

/// [`DropKey`] as a key of a map.
#[repr(transparent)]
#[derive(Clone, Copy)]
struct Key(DropKey);

// SAFETY: repr(C), integers, no padding.
unsafe impl Pod for Key {}

/// [`DropState`] as a value of a map.
#[repr(transparent)]
#[derive(Clone, Copy)]
struct State(DropState);

// SAFETY: as above.
unsafe impl Pod for State {}

/// What was dropped and not counted in any row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DropLosses {
    /// Drops for which the table had no row left.
    pub overflow: u64,
    /// Drops that no program was run for, since all were at work on that CPU.
    pub missed: u64,
}

/// The kernel's table: how large, and what it tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DropTable {
    /// Rows there is room for.
    pub rows: u32,
    /// Only by reason, function and namespace; device and protocol of a row are `None` then.
    pub coarse: bool,
}

/// Attached counters. Dropping it detaches them.
pub struct DropCounter {
    ebpf: Ebpf,
    links: Vec<(&'static str, BtfTracePointLinkId)>,
    table: PerCpuHashMap<MapData, Key, DropCounts>,
    state: PerCpuArray<MapData, State>,
    /// What the first program had missed when the last was attached.
    missed_before: u64,
}

impl DropCounter {
    /// Rows there is room for, if nobody asks for another number.
    pub const ROWS: u32 = netobs_ebpf::DROP_ROWS;

    /// Begins to count the drops that match, in such a table.
    ///
    /// # Minimum kernel version
    /// 5.17: before it a drop has no reason.
    ///
    /// # Errors
    /// Not permitted, or the kernel refused a program.
    pub fn attach(kernel: &Kernel, filter: &Filter, selection: &Selection, wanted: DropTable) -> anyhow::Result<Self> {
        let btf = Btf::from_sys_fs().map_err(|error| ProbeError::Load(error.to_string()))?;
        let layout = kernel.drops;
        let settings = DropSettings {
            conditions: Conditions {
                netns: selection.netns.map_or(0, |netns| netns.0),
                reserved: 0,
                device: selection.device.as_deref().map_or([0; 2], object::device_words),
            },
            net_cookie: layout.net_cookie,
            has_receiver: u32::from(layout.has_receiver),
            coarse: u32::from(wanted.coarse),
            reserved: 0,
        };
        let mut ebpf = object::load_for_drops(&kernel.layout, &settings, wanted.rows, filter, &btf)
            .map_err(object::ObjectError::into_refusal)?;
        let table = ebpf
            .take_map(DROP_TABLE)
            .and_then(|map| PerCpuHashMap::try_from(map).ok())
            .ok_or(ProbeError::Map(DROP_TABLE))?;
        let state = ebpf
            .take_map("DROP_STATE")
            .and_then(|map| PerCpuArray::try_from(map).ok())
            .ok_or(ProbeError::Map("DROP_STATE"))?;
        let mut links = Vec::new();
        // Programs run in the order they were attached in.
        for name in PROGRAMS {
            links.push((name, attach(&mut ebpf, name, &btf)?));
        }
        object::close_maps(&mut ebpf);
        let mut counter = Self { ebpf, links, table, state, missed_before: 0 };
        counter.missed_before = counter.missed_by_first();
        Ok(counter)
    }

    /// Every row there is, with its total since the beginning.
    ///
    /// # Errors
    /// The kernel does not hand the table out.
    pub fn read(&self) -> Result<Vec<DropCount>, MapError> {
        let row = |entry: Result<(Key, aya::maps::PerCpuValues<DropCounts>), MapError>| {
            let (Key(key), cpus) = entry?;
            Ok(DropCount { row: DropRow::of(&key), packets: cpus.iter().flatten().sum() })
        };
        self.table.iter().map(row).collect()
    }

    /// Takes the rows of namespaces that are gone out of the table: nothing can be dropped there any more.
    ///
    /// # Errors
    /// The kernel does not let go of one.
    pub fn forget(&mut self, gone: impl Fn(NetnsCookie) -> bool) -> Result<(), MapError> {
        rows::forget(&mut self.table, |Key(key)| key.cookie != 0 && gone(NetnsCookie(key.cookie)))
    }

    /// The programs, and what the kernel says of each.
    pub fn programs(&self) -> impl Iterator<Item = (&'static str, Option<ProgramRuns>)> {
        PROGRAMS.into_iter().map(|name| (name, self.ebpf.program(name).and_then(misses::runs)))
    }

    /// What was not counted so far.
    pub fn losses(&self) -> DropLosses {
        // In this order: a drop a later program is about to recover shows as missed for a moment, never the reverse.
        let missed = self.missed_by_first().saturating_sub(self.missed_before);
        let Ok(cpus) = self.state.get(&0, 0) else { return DropLosses::default() };
        let recovered: u64 = cpus.iter().flat_map(|State(state)| state.recovered).sum();
        let overflow = cpus.iter().flat_map(|State(state)| state.overflow).sum();
        DropLosses { overflow, missed: missed.saturating_sub(recovered) }
    }

    /// Detaches the programs and waits until none is running. What they counted can still be read, and changes no more.
    pub fn detach(&mut self) {
        // The last first: without the first it would take everything for missed.
        while let Some((name, link)) = self.links.pop() {
            if let Some(Ok(program)) = self.ebpf.program_mut(name).map(<&mut BtfTracePoint>::try_from) {
                // It can only fail for a link that is not there.
                let _ = program.detach(link);
            }
        }
        // A program runs inside an RCU read-side section, and this waits for all of those to end.
        // SAFETY: takes no pointers.
        unsafe { libc::syscall(libc::SYS_membarrier, libc::MEMBARRIER_CMD_GLOBAL, 0, 0) };
    }

    fn missed_by_first(&self) -> u64 {
        let first = PROGRAMS.first().and_then(|name| self.ebpf.program(name));
        first.and_then(misses::of).unwrap_or(0)
    }
}

fn attach(ebpf: &mut Ebpf, name: &'static str, btf: &Btf) -> anyhow::Result<BtfTracePointLinkId> {
    let program: &mut BtfTracePoint = ebpf
        .program_mut(name)
        .and_then(|program: &mut Program| program.try_into().ok())
        .ok_or_else(|| ProbeError::Load(format!("it has no program {name}")))?;
    let refused = |error| Refusal::NotPermitted(format!("drops cannot be counted: {}", super::refusal::of_aya(&error)));
    program.load(TRACEPOINT, btf).map_err(refused)?;
    Ok(program.attach().map_err(refused)?)
}
