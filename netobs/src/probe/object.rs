//! The eBPF object inside the binary, made ready for this kernel and this request.

use aya::{Btf, Ebpf, EbpfLoader};
use netobs_ebpf::{Conditions, DropSettings, Layout, MibSettings, NatSettings};

use super::ProbeError;
use super::raw::RawObject;
use crate::filter::{Filter, FilterError};
use crate::refusal::Refusal;

/// Built by `cargo xtask build`; see build.rs.
static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("NETOBS_EBPF_OBJECT"));

/// Why the object cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    /// The filter does not fit.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// The kernel or the loader refused it.
    #[error(transparent)]
    Load(#[from] aya::EbpfError),
}

impl ObjectError {
    /// The same with the exit status that belongs to it.
    pub(super) fn into_refusal(self) -> anyhow::Error {
        let error = match self {
            Self::Filter(error) => return Refusal::Usage(error.to_string()).into(),
            Self::Load(error) => error,
        };
        let text = format!("{:#}", anyhow::Error::new(error));
        // Without CAP_BPF the first map cannot be made.
        if text.contains("EPERM") || text.contains("Operation not permitted") {
            return Refusal::NotPermitted("not permitted to load eBPF programs: run as root".into()).into();
        }
        ProbeError::Load(text).into()
    }
}

/// Loads the maps and relocates the programs; none is in the kernel yet. The second is the same object for programs that
/// aya has no loader for.
pub(super) fn load(
    layout: &Layout,
    conditions: &Conditions,
    filter: &Filter,
    btf: &Btf,
) -> Result<(Ebpf, Result<RawObject, String>), ObjectError> {
    let object = filter.apply_to(OBJECT)?;
    let mut loader = EbpfLoader::new();
    loader.btf(Some(btf)).override_global("LAYOUT", bytes_of(layout), true).override_global(
        "CONDITIONS",
        bytes_of(conditions),
        true,
    );
    for map in COUNTING_MAPS {
        loader.map_max_entries(map, 1);
    }
    let ebpf = loader.load(&object)?;
    let raw = RawObject::new(&object, &ebpf).map_err(|error| format!("{error:#}"));
    Ok((ebpf, raw))
}

/// The drop counters' table.
pub(super) const DROP_TABLE: &str = "DROPS";
/// The hop counters' table.
pub(super) const HOP_TABLE: &str = "HOPS";
/// The hop counters' other maps, with their sizes.
const HOP_MAPS: [(&str, u32); 4] = [
    ("HOP_DEVICE", netobs_ebpf::HOP_DEVICES),
    ("HOP_ROW", netobs_ebpf::HOP_DEVICES * netobs_ebpf::DEVICE_HOOKS as u32),
    ("LATENCY_SLOT", netobs_ebpf::LATENCY_SLOTS),
    ("LATENCY", netobs_ebpf::LATENCY_ROWS),
];
/// The table of the counters of translations.
pub(super) const NAT_TABLE: &str = "NAT";
/// Maps that only counters use, and only one kind each: nobody else shall pay for their memory.
const COUNTING_MAPS: [&str; 7] = [DROP_TABLE, HOP_TABLE, NAT_TABLE, "HOP_DEVICE", "HOP_ROW", "LATENCY_SLOT", "LATENCY"];
/// The ring buffer, and the other maps that only a trace uses.
const EVENTS: &str = "EVENTS";
/// See above.
const TRACE_MAPS: [&str; 3] = ["PACKETS", "WAITING", "NEIGHBOURS"];
/// A ring buffer is a power of two of pages, of 64 KiB at the most.
const SMALLEST_RING: u32 = 64 << 10;

/// As [`load`], for the drop counters and with a table of this many rows.
pub(super) fn load_for_drops(
    layout: &Layout,
    settings: &DropSettings,
    rows: u32,
    filter: &Filter,
    btf: &Btf,
) -> Result<Ebpf, ObjectError> {
    let object = filter.apply_to(OBJECT)?;
    Ok(for_counting(layout, btf, &[(DROP_TABLE, rows)])
        .override_global("DROP_SETTINGS", bytes_of(settings), true)
        .load(&object)?)
}

/// As [`load`], for the hop counters and with a table of this many rows.
pub(super) fn load_for_hops(
    layout: &Layout,
    settings: &DropSettings,
    rows: u32,
    btf: &Btf,
) -> Result<Ebpf, ObjectError> {
    let mut sizes = HOP_MAPS.to_vec();
    sizes.push((HOP_TABLE, rows));
    Ok(for_counting(layout, btf, &sizes).override_global("DROP_SETTINGS", bytes_of(settings), true).load(OBJECT)?)
}

/// As [`load`], for the counters of translations.
pub(super) fn load_for_nat(
    layout: &Layout,
    settings: &NatSettings,
    btf: &Btf,
) -> Result<(Ebpf, Result<RawObject, String>), ObjectError> {
    let ebpf = for_counting(layout, btf, &[(NAT_TABLE, netobs_ebpf::NAT_ROWS)])
        .override_global("NAT_SETTINGS", bytes_of(settings), true)
        .load(OBJECT)?;
    let raw = RawObject::new(OBJECT, &ebpf).map_err(|error| format!("{error:#}"));
    Ok((ebpf, raw))
}

/// As [`load`], for the reader of the IP stack's counters.
pub(super) fn load_for_mib(
    settings: &MibSettings,
    btf: &Btf,
) -> Result<(Ebpf, Result<RawObject, String>), ObjectError> {
    let ebpf =
        for_counting(&Layout::NONE, btf, &[]).override_global("MIB_SETTINGS", bytes_of(settings), true).load(OBJECT)?;
    let raw = RawObject::new(OBJECT, &ebpf).map_err(|error| format!("{error:#}"));
    Ok((ebpf, raw))
}

/// With maps of these sizes; all others are as small as can be.
fn for_counting<'a>(layout: &'a Layout, btf: &'a Btf, sizes: &[(&'static str, u32)]) -> EbpfLoader<'a> {
    let mut loader = EbpfLoader::new();
    loader.btf(Some(btf)).override_global("LAYOUT", bytes_of(layout), true).map_max_entries(EVENTS, SMALLEST_RING);
    for map in COUNTING_MAPS.into_iter().chain(TRACE_MAPS) {
        loader.map_max_entries(map, 1);
    }
    for (map, size) in sizes {
        loader.map_max_entries(map, *size);
    }
    loader
}

/// Closes every map that was not taken out: those that a program uses stay with it, and the rest go. Programs must have
/// been loaded before.
pub(super) fn close_maps(ebpf: &mut Ebpf) {
    let names: Vec<String> = ebpf.maps().map(|(name, _)| name.to_owned()).collect();
    for name in names {
        ebpf.take_map(&name);
    }
}

/// A device name as the kernel keeps it: padded with zero bytes.
pub(super) fn device_words(name: &str) -> [u64; 2] {
    let mut words = [0; 2];
    for (word, chunk) in words.iter_mut().zip(name.as_bytes().chunks(8)) {
        let mut bytes = [0; 8];
        for (byte, value) in bytes.iter_mut().zip(chunk) {
            *byte = *value;
        }
        *word = u64::from_ne_bytes(bytes);
    }
    words
}

trait Global {}
impl Global for Layout {}
impl Global for Conditions {}
impl Global for DropSettings {}
impl Global for NatSettings {}
impl Global for MibSettings {}

fn bytes_of<T: Global>(value: &T) -> &[u8] {
    // SAFETY: all are repr(C) structs of integers without padding.
    unsafe { std::slice::from_raw_parts(std::ptr::from_ref(value).cast(), size_of::<T>()) }
}
