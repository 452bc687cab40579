//! Connections whose packets are translated, counted in the kernel per CPU as they are entered into the table.
//!
//! Where there are kprobes, one on `__nf_conntrack_confirm` runs once for each connection of the machine. Elsewhere a
//! netfilter program runs right before it, in the namespaces that have rules, and lets every other packet pass at once.

mod hooks;

pub use hooks::{NatHooks, NatLinks};

use std::os::fd::AsFd;
use std::sync::Arc;

use aya::maps::{MapData, MapError, PerCpuArray, PerCpuHashMap};
use aya::{Btf, Ebpf};
use netobs_ebpf::NatCounts;

use super::hooks::Kind;
use super::kprobe::attach_function;
use super::object::{self, NAT_TABLE};
use super::raw::{Program, Type};
use super::{Kernel, ProbeError, ProgramRuns, misses, rows};
use crate::netns::NetnsCookie;

/// Where the kprobe is.
const FUNCTION: &str = "__nf_conntrack_confirm";
/// The program there.
const PROBED: &str = "nat_confirm";
/// The netfilter program in its stead.
const LEAVING: &str = "nat_leaving";

/// Connections of one namespace, since the counters were attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NatCount {
    /// The namespace.
    pub cookie: NetnsCookie,
    /// Those whose packets got another source: SNAT and masquerade.
    pub source: u64,
    /// Those whose packets got another destination: DNAT and redirection.
    pub destination: u64,
}

/// An attached counter. Dropping it detaches it, once its [`NatHooks`] are gone, too.
pub struct NatCounter {
    ebpf: Ebpf,
    /// `None` where the kprobe serves.
    program: Option<Arc<Program>>,
    table: PerCpuHashMap<MapData, u64, NatCounts>,
    lost: PerCpuArray<MapData, u64>,
}

impl NatCounter {
    /// Begins to count; by netfilter programs only where [`Self::hooks`] are attached.
    ///
    /// # Errors
    /// Connection tracking is not loaded or has no BTF, or the kernel takes neither program.
    pub fn attach(kernel: &Kernel) -> anyhow::Result<Self> {
        let btf = Btf::from_sys_fs().map_err(|error| ProbeError::Load(error.to_string()))?;
        let settings = kernel.nat.ok_or_else(|| ProbeError::Load("nf_conntrack has no BTF".to_owned()))?;
        let (mut ebpf, raw) =
            object::load_for_nat(&kernel.layout, &settings, &btf).map_err(object::ObjectError::into_refusal)?;
        let program = match attach_function(&mut ebpf, PROBED, FUNCTION) {
            Ok(()) => None,
            Err(no_kprobe) => {
                let program = raw.and_then(|raw| raw.load(LEAVING, Type::Netfilter));
                let refused = |why| ProbeError::Load(format!("kprobe: {no_kprobe}; netfilter: {why}"));
                Some(Arc::new(program.map_err(refused)?))
            }
        };
        let table = ebpf
            .take_map(NAT_TABLE)
            .and_then(|map| PerCpuHashMap::try_from(map).ok())
            .ok_or(ProbeError::Map(NAT_TABLE))?;
        let lost = ebpf
            .take_map("NAT_LOST")
            .and_then(|map| PerCpuArray::try_from(map).ok())
            .ok_or(ProbeError::Map("NAT_LOST"))?;
        object::close_maps(&mut ebpf);
        Ok(Self { ebpf, program, table, lost })
    }

    /// What must be attached in each namespace that has rules; `None` if nothing must.
    pub fn hooks(&self) -> Option<NatHooks> {
        self.program.clone().map(NatHooks::new)
    }

    /// Name and kind of the program that counts, and what the kernel says of it.
    pub fn program(&self) -> (&'static str, Kind, Option<ProgramRuns>) {
        match &self.program {
            Some(program) => (LEAVING, Kind::Netfilter, misses::runs_of_fd(program.as_fd())),
            None => (PROBED, Kind::Kprobe, self.ebpf.program(PROBED).and_then(misses::runs)),
        }
    }

    /// Every namespace in which something was translated.
    ///
    /// # Errors
    /// The kernel does not hand the table out.
    pub fn read(&self) -> Result<Vec<NatCount>, MapError> {
        let count = |entry: Result<(u64, aya::maps::PerCpuValues<NatCounts>), MapError>| {
            let (cookie, cpus) = entry?;
            let [source, destination] =
                cpus.iter().fold([0; 2], |sum: NatCounts, cpu| [sum[0] + cpu[0], sum[1] + cpu[1]]);
            Ok(NatCount { cookie: NetnsCookie(cookie), source, destination })
        };
        self.table.iter().map(count).collect()
    }

    /// Takes the rows of namespaces that are gone out of the table.
    ///
    /// # Errors
    /// The kernel does not let go of one.
    pub fn forget(&mut self, gone: impl Fn(NetnsCookie) -> bool) -> Result<(), MapError> {
        rows::forget(&mut self.table, |cookie| gone(NetnsCookie(*cookie)))
    }

    /// Translations for which the table had no row left.
    pub fn overflow(&self) -> u64 {
        self.lost.get(&0, 0).map_or(0, |cpus| cpus.iter().sum())
    }
}
