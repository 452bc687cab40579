//! `bpf(2)`

use std::io;
use std::mem::zeroed;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use aya_obj::generated::{bpf_attr, bpf_cmd};

/// A zeroed `union bpf_attr`: a kernel that knows fewer attributes accepts it as long as those are zero.
pub(in crate::probe) struct AttributeBuffer(pub bpf_attr);

impl AttributeBuffer {
    pub(in crate::probe) fn new() -> Self {
        // SAFETY: a union of integers, for which zero is a value.
        Self(unsafe { zeroed() })
    }
}

/// The call itself; its result is what the command returns.
///
/// # Safety
/// Every pointer in the attributes is valid for what the command does with it.
pub(in crate::probe) unsafe fn bpf(command: bpf_cmd, attributes: &mut AttributeBuffer) -> io::Result<i64> {
    // SAFETY: as the caller vouches.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut attributes.0, size_of::<bpf_attr>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// For a command that returns a new file descriptor.
///
/// # Safety
/// As for [`bpf`], and the command is such a one.
pub(super) unsafe fn bpf_fd(command: bpf_cmd, attributes: &mut AttributeBuffer) -> io::Result<OwnedFd> {
    // SAFETY: as the caller vouches.
    let result = unsafe { bpf(command, attributes) }?;
    let fd = RawFd::try_from(result).map_err(|_| io::Error::from_raw_os_error(libc::EBADF))?;
    // SAFETY: the kernel just made it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
