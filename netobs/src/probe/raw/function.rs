//! Ties to the entries of kernel functions: one link for many of them, or a perf event and a link for each.

use std::ffi::{CStr, CString};
use std::io;
use std::mem::zeroed;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use aya_obj::generated::{
    PERF_EVENT_IOC_ENABLE, PERF_FLAG_FD_CLOEXEC, bpf_attach_type, bpf_cmd, bpf_link_info, perf_event_attr,
};
use netobs_ebpf::Cookie;

use super::link::Link;
use super::object::Program;
use super::syscall::{AttributeBuffer, bpf, bpf_fd};

/// The number of the perf events that are kprobes; without the file the kernel has none.
const KPROBE_TYPE: &str = "/sys/bus/event_source/devices/kprobe/type";

/// A function to attach to.
#[derive(Clone, Debug)]
pub(in crate::probe) struct Function {
    /// Its name as `/proc/kallsyms` has it.
    pub symbol: CString,
    /// What the program is told.
    pub cookie: Cookie,
}

/// What is said where there are none.
pub(in crate::probe) const NO_KPROBES: &str = "this kernel was built without kprobes";

/// Whether the kernel was built with kprobes.
pub(in crate::probe) fn has_kprobes() -> bool {
    kprobe_type().is_ok()
}

fn kprobe_type() -> io::Result<u32> {
    let text = std::fs::read_to_string(KPROBE_TYPE)?;
    text.trim().parse().map_err(|_| io::ErrorKind::InvalidData.into())
}

impl Link {
    /// To the entries of all these functions (5.18). One that is not there fails them all.
    pub(in crate::probe) fn functions(program: &Program, functions: &[Function]) -> io::Result<Self> {
        let symbols: Vec<u64> = functions.iter().map(|function| function.symbol.as_ptr() as u64).collect();
        let cookies: Vec<u64> = functions.iter().map(|function| function.cookie.0).collect();
        let mut attributes = AttributeBuffer::new();
        // SAFETY: this member is the one the command reads; pointers are to what outlives the call.
        let fd = unsafe {
            let create = &mut attributes.0.link_create;
            create.__bindgen_anon_1.prog_fd = program.fd();
            create.attach_type = bpf_attach_type::BPF_TRACE_KPROBE_MULTI as u32;
            let multi = &mut create.__bindgen_anon_3.kprobe_multi;
            multi.cnt = u32::try_from(functions.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
            multi.syms = symbols.as_ptr() as u64;
            multi.cookies = cookies.as_ptr() as u64;
            bpf_fd(bpf_cmd::BPF_LINK_CREATE, &mut attributes)
        }?;
        Ok(Self { fd })
    }

    /// To the entry of one function (5.15).
    pub(in crate::probe) fn function(program: &Program, function: &Function) -> io::Result<Self> {
        let event = kprobe_event(&function.symbol)?;
        let mut attributes = AttributeBuffer::new();
        // SAFETY: this member is the one the command reads; it holds no pointer.
        let fd = unsafe {
            let create = &mut attributes.0.link_create;
            create.__bindgen_anon_1.prog_fd = program.fd();
            create.__bindgen_anon_2.target_fd = event.as_raw_fd().unsigned_abs();
            create.attach_type = bpf_attach_type::BPF_PERF_EVENT as u32;
            create.__bindgen_anon_3.perf_event.bpf_cookie = function.cookie.0;
            bpf_fd(bpf_cmd::BPF_LINK_CREATE, &mut attributes)
        }?;
        // SAFETY: an ioctl without argument on a descriptor of ours.
        if unsafe { libc::ioctl(event.as_raw_fd(), u64::from(PERF_EVENT_IOC_ENABLE), 0) } < 0 {
            return Err(io::Error::last_os_error());
        }
        // The link holds the event.
        Ok(Self { fd })
    }

    /// How often the program was not run at these functions, since another was running (counted since 6.7).
    pub(in crate::probe) fn missed(&self, is_multi: bool) -> Option<u64> {
        // SAFETY: a struct of integers, for which zero is a value.
        let mut info: bpf_link_info = unsafe { zeroed() };
        let mut attributes = AttributeBuffer::new();
        attributes.0.info.bpf_fd = self.fd.as_raw_fd().unsigned_abs();
        attributes.0.info.info_len = u32::try_from(size_of::<bpf_link_info>()).ok()?;
        attributes.0.info.info = std::ptr::from_mut(&mut info) as u64;
        // SAFETY: the kernel writes at most `info_len` bytes to `info`, which outlives the call. A kernel that knows
        // fewer fields leaves the rest zero, and which member is meant is what the caller knows.
        unsafe {
            bpf(bpf_cmd::BPF_OBJ_GET_INFO_BY_FD, &mut attributes).ok()?;
            let info = &info.__bindgen_anon_1;
            Some(if is_multi { info.kprobe_multi.missed } else { info.perf_event.__bindgen_anon_1.kprobe.missed })
        }
    }
}

/// A perf event on every entry of a function, for the whole machine whatever CPU is named.
fn kprobe_event(symbol: &CStr) -> io::Result<OwnedFd> {
    const ANY_PROCESS: libc::pid_t = -1;
    const FIRST_CPU: libc::c_int = 0;
    const NO_GROUP: libc::c_int = -1;
    // SAFETY: a struct of integers, for which zero is a value.
    let mut attributes: perf_event_attr = unsafe { zeroed() };
    attributes.type_ = kprobe_type()?;
    attributes.size = u32::try_from(size_of::<perf_event_attr>()).map_err(|_| io::ErrorKind::InvalidInput)?;
    attributes.__bindgen_anon_3.kprobe_func = symbol.as_ptr() as u64;
    // SAFETY: the attributes and the name they point to outlive the call.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            &raw const attributes,
            ANY_PROCESS,
            FIRST_CPU,
            NO_GROUP,
            libc::c_ulong::from(PERF_FLAG_FD_CLOEXEC),
        )
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    let fd = RawFd::try_from(fd).map_err(|_| io::Error::from_raw_os_error(libc::EBADF))?;
    // SAFETY: the kernel just made it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
