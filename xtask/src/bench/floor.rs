//! Programs that do nothing, where netobs has its own: what is left of the rate then is what no observer at these hooks
//! can exceed.

use std::ffi::{CString, c_int};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use anyhow::{Context, Result};
use nix::sched::{CloneFlags, setns};

use super::lab::Lab;

/// Tracepoints of a trace that packets of the flood pass, in the order of their way.
const OF_A_TRACE: [&str; 8] = [
    "fib_table_lookup",
    "net_dev_queue",
    "net_dev_start_xmit",
    "netif_rx",
    "netif_receive_skb",
    "skb_copy_datagram_iovec",
    "consume_skb",
    "kfree_skb",
];
/// As above, of the agent.
const OF_THE_AGENT: [&str; 5] = ["net_dev_queue", "net_dev_start_xmit", "netif_rx", "netif_receive_skb", "kfree_skb"];
/// Netfilter's hooks, `NF_INET_PRE_ROUTING` to `NF_INET_POST_ROUTING`.
const HOOKS: u32 = 5;
/// The priorities of a trace: first and last, but for the two that the kernel wants itself.
const PRIORITIES: [i32; 2] = [i32::MIN + 1, i32::MAX - 1];

// <linux/bpf.h>
const BPF_PROG_LOAD: c_int = 5;
const BPF_RAW_TRACEPOINT_OPEN: c_int = 17;
const BPF_LINK_CREATE: c_int = 28;
const RAW_TRACEPOINT: u32 = 17;
const NETFILTER: u32 = 32;
const ATTACH_NETFILTER: u32 = 45;

/// `union bpf_attr` of `BPF_PROG_LOAD`, up to `expected_attach_type`.
#[repr(C)]
#[derive(Default)]
struct Load {
    kind: u32,
    instructions: u32,
    code: u64,
    license: u64,
    log: [u32; 2],
    log_buffer: u64,
    kernel: u32,
    flags: u32,
    name: [u8; 16],
    ifindex: u32,
    attach: u32,
}

/// As above, of `BPF_RAW_TRACEPOINT_OPEN`.
#[repr(C)]
struct Open {
    name: u64,
    program: u32,
    reserved: u32,
}

/// As above, of `BPF_LINK_CREATE` for netfilter.
#[repr(C)]
struct Create {
    program: u32,
    target: u32,
    attach: u32,
    flags: u32,
    family: u32,
    hook: u32,
    priority: i32,
    netfilter_flags: u32,
}

/// Attached until this is dropped.
pub struct Floor {
    _links: Vec<OwnedFd>,
}

impl Floor {
    /// As the agent, but for the translations it counts.
    pub fn of_the_agent() -> Result<Self> {
        Ok(Self { _links: open_all(&OF_THE_AGENT)? })
    }

    /// As a trace: at its tracepoints, and in netfilter where the lab has rules.
    pub fn of_a_trace(lab: &Lab) -> Result<Self> {
        let mut links = open_all(&OF_A_TRACE)?;
        // NF_ACCEPT
        let program = load(NETFILTER, ATTACH_NETFILTER, 1).context("load a program that accepts")?;
        let netns = File::open(lab.netns("host")).context("open the host's namespace")?;
        let in_host = move || -> io::Result<Vec<OwnedFd>> {
            setns(netns, CloneFlags::CLONE_NEWNET)?;
            let families = [libc::AF_INET, libc::AF_INET6].map(c_int::unsigned_abs);
            let places = families.into_iter().flat_map(|family| (0..HOOKS).map(move |hook| (family, hook)));
            let places = places.flat_map(|(family, hook)| PRIORITIES.map(|priority| (family, hook, priority)));
            places.map(|(family, hook, priority)| create(&program, family, hook, priority)).collect()
        };
        let entered = std::thread::spawn(in_host).join().map_err(|_| anyhow::anyhow!("a thread died"))?;
        links.extend(entered.context("attach to netfilter")?);
        Ok(Self { _links: links })
    }
}

/// A kernel without one of those hooks is no reason to measure nothing: that is said, and this part left out.
pub fn or_left_out(attached: Result<Floor>) -> Option<Floor> {
    attached.inspect_err(|error| eprintln!("xtask: programs that do nothing are left out: {error:#}")).ok()
}

fn open_all(tracepoints: &[&str]) -> Result<Vec<OwnedFd>> {
    let program = load(RAW_TRACEPOINT, 0, 0).context("load a program that does nothing")?;
    let opened = tracepoints.iter().map(|name| open(&program, name).with_context(|| format!("attach to {name}")));
    opened.collect()
}

/// `r0 = result; exit`
fn load(kind: u32, attach: u32, result: u8) -> io::Result<OwnedFd> {
    let code = [[0xb7, 0, 0, 0, result, 0, 0, 0], [0x95, 0, 0, 0, 0, 0, 0, 0_u8]];
    let license = c"GPL";
    let attributes = Load {
        kind,
        attach,
        instructions: 2,
        code: code.as_ptr() as u64,
        license: license.as_ptr() as u64,
        ..Load::default()
    };
    bpf(BPF_PROG_LOAD, &attributes)
}

fn open(program: &OwnedFd, name: &str) -> io::Result<OwnedFd> {
    let name = CString::new(name)?;
    let program = program.as_raw_fd().unsigned_abs();
    bpf(BPF_RAW_TRACEPOINT_OPEN, &Open { name: name.as_ptr() as u64, program, reserved: 0 })
}

fn create(program: &OwnedFd, family: u32, hook: u32, priority: i32) -> io::Result<OwnedFd> {
    let program = program.as_raw_fd().unsigned_abs();
    let attach = ATTACH_NETFILTER;
    bpf(BPF_LINK_CREATE, &Create { program, target: 0, attach, flags: 0, family, hook, priority, netfilter_flags: 0 })
}

fn bpf<T>(command: c_int, attributes: &T) -> io::Result<OwnedFd> {
    // SAFETY: the kernel reads so many bytes, and what they point to outlives the call.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_ref(attributes), size_of::<T>()) };
    match c_int::try_from(fd) {
        // SAFETY: the kernel has just made it for us.
        Ok(fd @ 0..) => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}
