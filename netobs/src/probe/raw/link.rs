//! Ties of programs to hooks. Dropping one detaches the program.

use std::io;
use std::os::fd::OwnedFd;

use aya_obj::generated::{bpf_attach_type, bpf_cmd};

use super::object::Program;
use super::syscall::{AttributeBuffer, bpf_fd};

/// A program attached somewhere.
pub(in crate::probe) struct Link {
    pub(super) fd: OwnedFd,
}

/// Where in netfilter.
#[derive(Clone, Copy, Debug)]
pub(in crate::probe) struct NetfilterHook {
    /// `NFPROTO_IPV4` or `NFPROTO_IPV6`.
    pub family: u32,
    /// `enum nf_inet_hooks`
    pub hook: u32,
    /// Lower runs earlier. The kernel takes neither the least nor the greatest number.
    pub priority: i32,
}

impl Link {
    /// To a netfilter hook of the calling thread's namespace.
    pub(in crate::probe) fn netfilter(program: &Program, hook: NetfilterHook) -> io::Result<Self> {
        let mut attributes = AttributeBuffer::new();
        // SAFETY: this member is the one the command reads; it holds no pointer.
        let fd = unsafe {
            let create = &mut attributes.0.link_create;
            create.__bindgen_anon_1.prog_fd = program.fd();
            create.attach_type = bpf_attach_type::BPF_NETFILTER as u32;
            create.__bindgen_anon_3.netfilter.pf = hook.family;
            create.__bindgen_anon_3.netfilter.hooknum = hook.hook;
            create.__bindgen_anon_3.netfilter.priority = hook.priority;
            bpf_fd(bpf_cmd::BPF_LINK_CREATE, &mut attributes)
        }?;
        Ok(Self { fd })
    }
}
