//! How often the kernel ran a program, and how often it did not because it was running already.

use std::mem::zeroed;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use aya::Ebpf;
use aya::programs::Program;
use aya_obj::generated::{bpf_cmd, bpf_prog_info};

use super::raw::{AttributeBuffer, bpf};

/// The sum over all programs that are loaded.
pub(super) fn total(ebpf: Option<&Ebpf>) -> u64 {
    ebpf.into_iter().flat_map(Ebpf::programs).filter_map(|(_, program)| of(program)).sum()
}

/// Of one program; `None` if it is not loaded.
pub(super) fn of(program: &Program) -> Option<u64> {
    of_fd(program.fd().ok()?.as_fd())
}

/// Of one program, by its descriptor.
pub(super) fn of_fd(program: BorrowedFd<'_>) -> Option<u64> {
    info(program).ok().map(|info| info.recursion_misses)
}

/// How often a program ran and how long, over all CPUs, while the kernel measured it (`BPF_ENABLE_STATS`, 5.8, or
/// `kernel.bpf_stats_enabled`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProgramRuns {
    /// Times it ran.
    pub runs: u64,
    /// Nanoseconds it ran.
    pub nanoseconds: u64,
}

/// Of one program; `None` if it is not loaded.
pub(super) fn runs(program: &Program) -> Option<ProgramRuns> {
    runs_of_fd(program.fd().ok()?.as_fd())
}

/// As [`runs`], by its descriptor.
pub(super) fn runs_of_fd(program: BorrowedFd<'_>) -> Option<ProgramRuns> {
    let info = info(program).ok()?;
    Some(ProgramRuns { runs: info.run_cnt, nanoseconds: info.run_time_ns })
}

/// `BPF_OBJ_GET_INFO_BY_FD`; a kernel that knows fewer fields leaves the rest zero.
fn info(program: BorrowedFd<'_>) -> std::io::Result<bpf_prog_info> {
    // SAFETY: a struct of integers, for which zero is a value.
    let mut info: bpf_prog_info = unsafe { zeroed() };
    let mut attributes = AttributeBuffer::new();
    attributes.0.info.bpf_fd = program.as_raw_fd().unsigned_abs();
    attributes.0.info.info_len = u32::try_from(size_of::<bpf_prog_info>()).unwrap_or(0);
    attributes.0.info.info = std::ptr::from_mut(&mut info) as u64;
    // SAFETY: the kernel writes at most `info_len` bytes to `info`, which outlives the call.
    unsafe { bpf(bpf_cmd::BPF_OBJ_GET_INFO_BY_FD, &mut attributes) }?;
    Ok(info)
}
