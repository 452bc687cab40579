//! The object's programs as instructions, and loading one of them.

use std::collections::{HashMap, HashSet};
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

use aya::Ebpf;
use aya::maps::{Map, MapData};
use aya_obj::Object;
use aya_obj::btf::BtfFeatures;
use aya_obj::generated::{BPF_F_SLEEPABLE, bpf_attach_type, bpf_cmd, bpf_func_info, bpf_prog_type};

use super::syscall::{AttributeBuffer, bpf, bpf_fd};

/// The license the programs are under, as the kernel wants to hear it.
const LICENSE: &CStr = c"Dual MIT/GPL";
/// Room for the verifier's log.
const LOG_BYTES: usize = 1 << 20;

/// The object with its references to maps and functions filled in.
pub(in crate::probe) struct RawObject {
    object: Object,
    /// The object's types: without them the kernel takes an exported function for an inner one and verifies it anew at
    /// every call.
    types: OwnedFd,
}

/// What a program is loaded as.
#[derive(Clone, Copy, Debug)]
pub(in crate::probe) enum Type {
    /// `BPF_PROG_TYPE_NETFILTER`
    Netfilter,
    /// `BPF_PROG_TYPE_KPROBE`, for one function with each link.
    Kprobe,
    /// `BPF_PROG_TYPE_KPROBE`, for many functions with one link.
    KprobeMulti,
    /// `BPF_PROG_TYPE_SYSCALL`, for nothing but [`Program::run`].
    Syscall,
}

/// A program in the kernel.
pub(in crate::probe) struct Program(OwnedFd);

impl Program {
    pub(super) fn fd(&self) -> u32 {
        self.0.as_raw_fd().unsigned_abs()
    }

    /// Runs a program of [`Type::Syscall`] here and now, in the calling thread's namespaces, and returns what it returns.
    /// It reads and writes `context`.
    ///
    /// # Safety
    /// Whatever it writes is a value of `T`.
    pub(in crate::probe) unsafe fn run<T>(&self, context: &mut T) -> io::Result<u32> {
        let mut attributes = AttributeBuffer::new();
        // SAFETY: this member is the one the command reads, and writes; the pointer is to what outlives the call.
        unsafe {
            let test = &mut attributes.0.test;
            test.prog_fd = self.fd();
            test.ctx_in = std::ptr::from_mut(context) as u64;
            test.ctx_size_in = u32::try_from(size_of::<T>()).map_err(|_| io::ErrorKind::InvalidInput)?;
            bpf(bpf_cmd::BPF_PROG_TEST_RUN, &mut attributes)?;
            Ok(attributes.0.test.retval)
        }
    }
}

impl AsFd for Program {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl RawObject {
    /// Takes `object` apart, whose maps were made by aya as `ebpf`: none may have been taken out of it yet.
    pub(in crate::probe) fn new(object: &[u8], ebpf: &Ebpf) -> anyhow::Result<Self> {
        let mut object = Object::parse(object)?;
        // All of 6.1 and later.
        let features = BtfFeatures::new(true, true, true, true, true, true, true, true);
        let types = object.fixup_and_sanitize_btf(&features)?.map(aya_obj::btf::Btf::to_bytes).unwrap_or_default();
        let types = load_types(&types)?;
        let definitions = std::mem::take(&mut object.maps);
        let fds: HashMap<&str, RawFd> = ebpf.maps().filter_map(|(name, map)| Some((name, fd(map)?))).collect();
        let maps = definitions
            .iter()
            .filter_map(|(name, definition)| Some((name.as_str(), *fds.get(name.as_str())?, definition)));
        let sections: HashSet<usize> = object.functions.keys().map(|(section, _)| *section).collect();
        object.relocate_maps(maps, &sections)?;
        object.relocate_calls(&sections)?;
        Ok(Self { object, types })
    }

    /// Loads a program of the object, under that name. The error is one line.
    pub(in crate::probe) fn load(&self, program: &str, as_type: Type) -> Result<Program, String> {
        let function = self
            .object
            .programs
            .get(program)
            .and_then(|found| self.object.functions.get(&found.function_key()))
            .ok_or("the eBPF object has no such program")?;
        let mut attributes = AttributeBuffer::new();
        let mut log = Vec::new();
        let mut load = |log: &mut Vec<u8>| -> io::Result<OwnedFd> {
            // Of a program for one function the kernel expects nothing (`BPF_PERF_EVENT` came later than those).
            let (kind, attach) = match as_type {
                Type::Netfilter => (bpf_prog_type::BPF_PROG_TYPE_NETFILTER, bpf_attach_type::BPF_NETFILTER as u32),
                Type::Kprobe => (bpf_prog_type::BPF_PROG_TYPE_KPROBE, 0),
                Type::KprobeMulti => {
                    (bpf_prog_type::BPF_PROG_TYPE_KPROBE, bpf_attach_type::BPF_TRACE_KPROBE_MULTI as u32)
                }
                Type::Syscall => (bpf_prog_type::BPF_PROG_TYPE_SYSCALL, 0),
            };
            let info = &function.func_info.func_info;
            // SAFETY: this member is the one the command reads; pointers are to what outlives the call.
            unsafe {
                let load = &mut attributes.0.__bindgen_anon_3;
                load.prog_type = kind as u32;
                load.expected_attach_type = attach;
                // The only way such a program is taken.
                load.prog_flags = if matches!(as_type, Type::Syscall) { BPF_F_SLEEPABLE } else { 0 };
                load.insns = function.instructions.as_ptr() as u64;
                load.insn_cnt = function.instructions.len() as u32;
                load.license = LICENSE.as_ptr() as u64;
                for (byte, value) in load.prog_name.iter_mut().zip(program.bytes().take(15)) {
                    *byte = value.cast_signed();
                }
                load.prog_btf_fd = self.types.as_raw_fd().unsigned_abs();
                load.func_info = info.as_ptr() as u64;
                load.func_info_cnt = info.len() as u32;
                load.func_info_rec_size = size_of::<bpf_func_info>() as u32;
                load.log_buf = if log.is_empty() { 0 } else { log.as_mut_ptr() as u64 };
                load.log_size = log.len() as u32;
                load.log_level = u32::from(!log.is_empty());
                bpf_fd(bpf_cmd::BPF_PROG_LOAD, &mut attributes)
            }
        };
        load(&mut log)
            .or_else(|_| {
                // Once more, for the reason.
                log.resize(LOG_BYTES, 0);
                load(&mut log)
            })
            .map(Program)
            .map_err(|error| {
                let end = log.iter().position(|byte| *byte == 0).unwrap_or(log.len());
                crate::probe::refusal::of_verifier(&error, &String::from_utf8_lossy(log.get(..end).unwrap_or_default()))
            })
    }
}

fn load_types(types: &[u8]) -> io::Result<OwnedFd> {
    let mut attributes = AttributeBuffer::new();
    // SAFETY: this member is the one the command reads; the pointer is to what outlives the call.
    unsafe {
        let load = &mut attributes.0.__bindgen_anon_7;
        load.btf = types.as_ptr() as u64;
        load.btf_size = types.len() as u32;
        bpf_fd(bpf_cmd::BPF_BTF_LOAD, &mut attributes)
    }
}

/// Of the kinds of map the object has.
fn fd(map: &Map) -> Option<RawFd> {
    let data: &MapData = match map {
        Map::Array(data)
        | Map::HashMap(data)
        | Map::LruHashMap(data)
        | Map::PerCpuArray(data)
        | Map::PerCpuHashMap(data)
        | Map::PerCpuLruHashMap(data)
        | Map::RingBuf(data) => data,
        _ => return None,
    };
    Some(data.fd().as_fd().as_raw_fd())
}
