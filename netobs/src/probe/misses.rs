//! How often the kernel did not run a program because it was running already.

use std::mem::zeroed;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use aya::Ebpf;
use aya::programs::Program;
use aya_obj::generated::{bpf_attr, bpf_cmd, bpf_prog_info};

/// The sum over all programs that are loaded.
pub(super) fn total(ebpf: Option<&Ebpf>) -> u64 {
    ebpf.into_iter().flat_map(Ebpf::programs).filter_map(|(_, program)| of(program)).sum()
}

fn of(program: &Program) -> Option<u64> {
    info(program.fd().ok()?.as_fd()).ok().map(|info| info.recursion_misses)
}

/// `BPF_OBJ_GET_INFO_BY_FD`; a kernel that knows fewer fields leaves the rest zero.
fn info(program: BorrowedFd<'_>) -> std::io::Result<bpf_prog_info> {
    // SAFETY: both are structs of integers, for which zero is a value.
    let (mut info, mut attributes): (bpf_prog_info, bpf_attr) = unsafe { (zeroed(), zeroed()) };
    attributes.info.bpf_fd = program.as_raw_fd().unsigned_abs();
    attributes.info.info_len = u32::try_from(size_of::<bpf_prog_info>()).unwrap_or(0);
    attributes.info.info = std::ptr::from_mut(&mut info) as u64;
    // SAFETY: the kernel writes at most `info_len` bytes to `info`, which outlives the call.
    let result = unsafe {
        libc::syscall(libc::SYS_bpf, bpf_cmd::BPF_OBJ_GET_INFO_BY_FD, &raw mut attributes, size_of::<bpf_attr>())
    };
    if result < 0 { Err(std::io::Error::last_os_error()) } else { Ok(info) }
}
