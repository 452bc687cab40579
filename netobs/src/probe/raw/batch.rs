//! Reading a map's entries by the hundred: one system call for each costs most of what a scrape of many devices takes.

use std::mem::zeroed;
use std::os::fd::{AsRawFd, BorrowedFd};

use aya::Pod;
use aya::maps::MapError;
use aya::sys::SyscallError;
use aya_obj::generated::bpf_cmd;

use super::syscall::{AttributeBuffer, bpf};

/// Entries a call.
const AT_ONCE: usize = 512;
/// More than any key, or number of a bucket, by which the kernel says where to go on.
type Place = [u64; 8];

/// Every entry of a map (`BPF_MAP_LOOKUP_BATCH`, 5.6; of an array per CPU 5.13): keys, and with each so many values: as
/// many as there are possible CPUs for a map that is per CPU. Values are of a multiple of 8 bytes.
///
/// # Errors
/// The kernel does not hand the map out.
pub(in crate::probe) fn entries<K: Pod, V: Pod>(
    map: BorrowedFd<'_>,
    values: usize,
) -> Result<Vec<(K, Vec<V>)>, MapError> {
    let (mut found, mut place, mut is_first) = (Vec::new(), Place::default(), true);
    // SAFETY: zero is a value of any plain old data.
    let (mut keys, mut all) = unsafe { (vec![zeroed::<K>(); AT_ONCE], vec![zeroed::<V>(); AT_ONCE * values]) };
    loop {
        let mut next = Place::default();
        let mut attributes = AttributeBuffer::new();
        // SAFETY: this member is the one the command reads, and writes.
        let batch = unsafe { &mut attributes.0.batch };
        batch.in_batch = if is_first { 0 } else { place.as_ptr() as u64 };
        batch.out_batch = next.as_mut_ptr() as u64;
        batch.keys = keys.as_mut_ptr() as u64;
        batch.values = all.as_mut_ptr() as u64;
        batch.count = AT_ONCE as u32;
        batch.map_fd = map.as_raw_fd().unsigned_abs();
        // SAFETY: there is room for that many keys and values, and for a place; all outlive the call.
        let result = unsafe { bpf(bpf_cmd::BPF_MAP_LOOKUP_BATCH, &mut attributes) };
        let is_last = match result {
            Ok(_) => false,
            // That was all.
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => true,
            Err(io_error) => return Err(SyscallError { call: "bpf_map_lookup_batch", io_error }.into()),
        };
        // SAFETY: as above.
        let count = unsafe { attributes.0.batch.count } as usize;
        found.extend(keys.iter().copied().zip(all.chunks(values).map(<[V]>::to_vec)).take(count));
        if is_last {
            return Ok(found);
        }
        (place, is_first) = (next, false);
    }
}
