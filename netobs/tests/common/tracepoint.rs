//! The kernel's own count of how often a tracepoint was passed, by perf: no eBPF takes part in it.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsRawFd, FromRawFd, RawFd};

use aya_obj::generated::perf_event_attr;
use nix::mount::{MsFlags, mount, umount};

/// `PERF_TYPE_TRACEPOINT`
const TRACEPOINT: u32 = 2;
/// `PERF_EVENT_IOC_SET_FILTER`
const SET_FILTER: libc::c_ulong = 0x4008_2406;

/// A count that goes on until this is dropped.
pub struct Passages {
    /// One for each CPU.
    events: Vec<File>,
}

impl Passages {
    /// Of a tracepoint (`skb/kfree_skb`), on the whole machine, where the filter holds (`protocol == 2048`).
    pub fn count(tracepoint: &str, filter: &str) -> io::Result<Self> {
        let id = id(tracepoint)?;
        let filter = std::ffi::CString::new(filter)?;
        let online = fs::read_to_string("/sys/devices/system/cpu/online")?;
        let mut events = Vec::new();
        for range in online.trim().split(',') {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            for cpu in first.parse::<i32>().unwrap()..=last.parse().unwrap() {
                let event = open(id, cpu)?;
                // SAFETY: the text ends with a zero and outlives the call, which only reads it.
                if unsafe { libc::ioctl(event.as_raw_fd(), SET_FILTER, filter.as_ptr()) } != 0 {
                    return Err(io::Error::last_os_error());
                }
                events.push(event);
            }
        }
        Ok(Self { events })
    }

    /// How many there were up to now.
    pub fn so_far(&self) -> u64 {
        let read = |mut event: &File| {
            let mut count = [0; 8];
            event.read_exact(&mut count).unwrap();
            u64::from_ne_bytes(count)
        };
        self.events.iter().map(read).sum()
    }
}

/// The tracepoint's number, from a tracefs of our own: the machine may have none mounted.
fn id(tracepoint: &str) -> io::Result<u64> {
    let folder = tempfile::tempdir()?;
    mount(None::<&str>, folder.path(), Some("tracefs"), MsFlags::MS_RDONLY, None::<&str>)?;
    let id = fs::read_to_string(folder.path().join("events").join(tracepoint).join("id"));
    umount(folder.path())?;
    id?.trim().parse().map_err(io::Error::other)
}

fn open(id: u64, cpu: i32) -> io::Result<File> {
    const ANY_PROCESS: libc::pid_t = -1;
    const NO_GROUP: libc::c_int = -1;
    const CLOEXEC: libc::c_ulong = 8;
    // SAFETY: a struct of integers, for which zero is a value.
    let mut attributes: perf_event_attr = unsafe { std::mem::zeroed() };
    attributes.type_ = TRACEPOINT;
    attributes.config = id;
    attributes.size = u32::try_from(size_of::<perf_event_attr>()).unwrap();
    let attributes = &raw const attributes;
    // SAFETY: the attributes outlive the call.
    let fd = unsafe { libc::syscall(libc::SYS_perf_event_open, attributes, ANY_PROCESS, cpu, NO_GROUP, CLOEXEC) };
    match RawFd::try_from(fd) {
        // SAFETY: the kernel just made it for us.
        Ok(fd) if fd >= 0 => Ok(unsafe { File::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}
