//! Adds up the counters of the IP stack of the namespace that the caller is in, as `/proc/net/snmp` shows them, without
//! writing hundreds of others down as text.

use core::ffi::c_void;
use core::ptr::addr_of;

use aya_ebpf::helpers::generated::{bpf_get_current_task_btf, bpf_map_lookup_percpu_elem};
use aya_ebpf::macros::map;
use aya_ebpf::maps::PerCpuArray;
use netobs_ebpf::{MIB_CPUS, Mib, MibSettings};

use crate::access::{Access, Probed, constant};

/// Filled by user space before the object is loaded.
#[unsafe(no_mangle)]
pub static MIB_SETTINGS: MibSettings = MibSettings::NONE;

/// Whatever is per CPU lies at its own address and one distance for each CPU, which a map tells: it has its own address
/// (`bpf_array.pptrs`), and that of its value on each CPU.
#[map]
static MIB_PLACE: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// Run by `BPF_PROG_TEST_RUN` as a program of type syscall (5.14); the context is memory of the caller. The section names
/// a type of program so that the object can be read.
#[unsafe(no_mangle)]
#[unsafe(link_section = "raw_tracepoint/mib_read")]
extern "C" fn mib_read(mib: *mut Mib) -> u32 {
    macro_rules! setting {
        ($name:ident) => {
            constant(&MIB_SETTINGS.$name)
        };
    }
    let mut sum = Mib::default();
    // SAFETY: the helper behind Probed checks every address. Read from this function's own stack, a pointer is a plain
    // number to the verifier.
    unsafe {
        let task: *const c_void = bpf_get_current_task_btf().cast();
        let task: *const u8 = Probed::read(addr_of!(task).cast(), 0);
        let namespaces: *const u8 = Probed::read(task, setting!(task_namespaces));
        let net: *const u8 = Probed::read(namespaces, setting!(net));
        let [tcp, linux, ip, ip6]: [u64; 4] = [
            Probed::read(net, setting!(tcp)),
            Probed::read(net, setting!(linux)),
            Probed::read(net, setting!(ip)),
            Probed::read(net, setting!(ip6)),
        ];
        let map: *const c_void = addr_of!(MIB_PLACE).cast();
        let map_address: *const u8 = Probed::read(addr_of!(map).cast(), 0);
        let place: u64 = Probed::read(map_address, setting!(map_values));
        if net.is_null() || place == 0 {
            return 1;
        }
        let cpus = setting!(cpus);
        for cpu in 0..MIB_CPUS {
            if cpu >= cpus {
                break;
            }
            let first = 0_u32;
            let value: *const c_void = bpf_map_lookup_percpu_elem(map.cast_mut(), addr_of!(first).cast(), cpu);
            let value: u64 = Probed::read(addr_of!(value).cast(), 0);
            if value == 0 {
                return 1;
            }
            let distance = value.wrapping_sub(place);
            let read = |counters: u64, offset: u32| {
                let value: u64 = Probed::read(counters.wrapping_add(distance) as *const u8, offset);
                if counters == 0 { 0 } else { value }
            };
            sum.retransmits += read(tcp, setting!(retransmits));
            sum.rp_filter += read(linux, setting!(rp_filter));
            sum.fragmentation_failures += read(ip, setting!(fragmentation_failures));
            sum.fragmentation_failures6 += read(ip6, setting!(fragmentation_failures));
        }
        // Not per CPU.
        let icmp6: *const u8 = Probed::read(net, setting!(icmp6));
        sum.too_big_sent = Probed::read(icmp6, setting!(too_big_sent));
        sum.is_whole = 1;
        *mib = sum;
    }
    0
}
