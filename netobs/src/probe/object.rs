//! The eBPF object inside the binary, made ready for this kernel and this request.

use aya::{Btf, Ebpf, EbpfLoader};
use netobs_ebpf::{Conditions, Layout};

use super::raw::RawObject;
use crate::filter::{Filter, FilterError};

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

/// Loads the maps and relocates the programs; none is in the kernel yet. The second is the same object for programs that
/// aya has no loader for.
pub(super) fn load(
    layout: &Layout,
    conditions: &Conditions,
    filter: &Filter,
    btf: &Btf,
) -> Result<(Ebpf, Result<RawObject, String>), ObjectError> {
    let object = filter.apply_to(OBJECT)?;
    let ebpf = EbpfLoader::new()
        .btf(Some(btf))
        .override_global("LAYOUT", bytes_of(layout), true)
        .override_global("CONDITIONS", bytes_of(conditions), true)
        .load(&object)?;
    let raw = RawObject::new(&object, &ebpf).map_err(|error| format!("{error:#}"));
    Ok((ebpf, raw))
}

trait Global {}
impl Global for Layout {}
impl Global for Conditions {}

fn bytes_of<T: Global>(value: &T) -> &[u8] {
    // SAFETY: both are repr(C) structs of integers without padding.
    unsafe { std::slice::from_raw_parts(std::ptr::from_ref(value).cast(), size_of::<T>()) }
}
