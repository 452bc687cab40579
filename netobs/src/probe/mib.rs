//! The IP stack's counters of a namespace, read by a program instead of as text: `/proc/net/snmp`, `netstat` and `snmp6`
//! take twenty times as long, since they hold hundreds of counters, each added up over all CPUs.

use std::fs;

use aya::{Btf as AyaBtf, Ebpf};
use netobs_ebpf::{MIB_CPUS, MISSING, Mib, MibSettings};

use super::ProbeError;
use super::object;
use super::raw::{Program, Type};
use crate::btf::Btf;

/// CPUs there may be: `0-7`.
const POSSIBLE: &str = "/sys/devices/system/cpu/possible";
/// `ICMPV6_PKT_TOOBIG`, and what is added to a type that is sent (`icmp6type2name`, `ICMP6MSG_MIB_MAX` / 2).
const TOO_BIG_SENT: u32 = 2 + 256;

/// The program.
pub struct MibReader {
    program: Program,
    /// Holds the maps.
    _ebpf: Ebpf,
}

impl MibReader {
    /// Loads it.
    ///
    /// # Minimum kernel version
    /// 5.19, for `bpf_map_lookup_percpu_elem`.
    ///
    /// # Errors
    /// The kernel refuses it, or keeps the counters elsewhere: then the text is to be read.
    pub fn load() -> anyhow::Result<Self> {
        let settings = settings().ok_or_else(|| ProbeError::Load("the counters lie elsewhere".to_owned()))?;
        let btf = AyaBtf::from_sys_fs().map_err(|error| ProbeError::Load(error.to_string()))?;
        let (mut ebpf, raw) = object::load_for_mib(&settings, &btf).map_err(object::ObjectError::into_refusal)?;
        let program = raw.and_then(|raw| raw.load("mib_read", Type::Syscall)).map_err(ProbeError::Load)?;
        object::close_maps(&mut ebpf);
        Ok(Self { program, _ebpf: ebpf })
    }

    /// Reads those of the calling thread's namespace. `None` if the program found something missing.
    ///
    /// # Errors
    /// The kernel does not run it.
    pub fn read(&self) -> std::io::Result<Option<Mib>> {
        let mut mib = Mib::default();
        // SAFETY: numbers, of which any is a value.
        let status = unsafe { self.program.run(&mut mib) }?;
        Ok((status == 0 && mib.is_whole == 1).then_some(mib))
    }
}

/// `None` if something is not where it is known to be.
fn settings() -> Option<MibSettings> {
    let btf = Btf::from_kernel().ok()?;
    let offset = |path| btf.field(path).map(|field| field.offset);
    // Arrays of words.
    let place = |path, number: u32| Some(offset(path)? + number * 8);
    let number = |name| u32::try_from(btf.enumerator(name)?).ok();
    let possible = fs::read_to_string(POSSIBLE).ok()?;
    let last = match possible.trim().split_once('-') {
        Some(("0", last)) => last.parse::<u32>().ok()?,
        _ => (possible.trim() == "0").then_some(0)?,
    };
    let settings = MibSettings {
        task_namespaces: offset("task_struct.nsproxy")?,
        net: offset("nsproxy.net_ns")?,
        map_values: offset("bpf_array.pptrs")?,
        cpus: last + 1,
        tcp: offset("net.mib.tcp_statistics")?,
        retransmits: place("tcp_mib.mibs", number("TCP_MIB_RETRANSSEGS")?)?,
        linux: offset("net.mib.net_statistics")?,
        rp_filter: place("linux_mib.mibs", number("LINUX_MIB_IPRPFILTER")?)?,
        ip: offset("net.mib.ip_statistics")?,
        // A kernel without IPv6 has neither.
        ip6: offset("net.mib.ipv6_statistics").unwrap_or(MISSING),
        fragmentation_failures: place("ipstats_mib.mibs", number("IPSTATS_MIB_FRAGFAILS")?)?,
        icmp6: offset("net.mib.icmpv6msg_statistics").unwrap_or(MISSING),
        too_big_sent: place("icmpv6msg_mib.mibs", TOO_BIG_SENT).unwrap_or(MISSING),
        reserved: 0,
    };
    (settings.cpus <= MIB_CPUS).then_some(settings)
}
