//! What is read from the running kernel's BTF once, before anything is loaded.

use netobs_ebpf::{Bits, Hook, Layout, NatSettings};

use super::drops::DropLayout;
use super::hooks;
use super::reasons::Reasons;
use crate::btf::{Btf, BtfError, Field};
use crate::event::{ConntrackLayout, DropReason};

/// What the private part of a device is aligned to (`linux/netdevice.h`).
const NETDEV_ALIGN: u32 = 32;

/// The running kernel's layout, enums and tracepoints, as far as netobs needs them.
#[derive(Debug)]
pub struct Kernel {
    /// `uname -r`
    pub release: String,
    /// Offsets for the programs.
    pub layout: Layout,
    /// How to read a conntrack tuple; `None` if the kernel has no conntrack, or its module is not loaded yet.
    pub conntrack: Option<ConntrackLayout>,
    /// What the drop counters need beside that.
    pub drops: DropLayout,
    /// What the counters of translations need beside that; `None` as for `conntrack`.
    pub(super) nat: Option<NatSettings>,
    reasons: Reasons,
    tracepoints: Vec<(&'static str, usize)>,
    functions: Vec<(u8, SkbArgument)>,
}

/// Which of a function's arguments is the packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct SkbArgument {
    pub index: u8,
    /// It is a pointer to the pointer.
    pub is_indirect: bool,
}

/// Why the kernel's description cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// No BTF, or BTF that cannot be read.
    #[error(transparent)]
    Btf(#[from] BtfError),
    /// A field without which no packet can be told from another.
    #[error("this kernel's BTF has no {0}")]
    FieldMissing(&'static str),
}

impl Kernel {
    /// Reads `/sys/kernel/btf`.
    ///
    /// # Errors
    /// See [`KernelError`].
    pub fn read() -> Result<Self, KernelError> {
        let btf = Btf::from_kernel()?;
        let mut layout = Layout::resolve(|path| offset(&btf, path), |path| bits(&btf, path));
        for (path, offset) in [
            ("sk_buff.head", layout.skb_head),
            ("sk_buff.data", layout.skb_data),
            ("sk_buff.len", layout.skb_len),
            ("sk_buff.dev", layout.skb_dev),
            ("sk_buff.network_header", layout.skb_network_header),
        ] {
            if offset == netobs_ebpf::MISSING {
                return Err(KernelError::FieldMissing(path));
            }
        }
        let arguments = |name| btf.tracepoint(name).map(|prototype| prototype.params.len());
        layout.consume_has_location = u32::from(arguments("consume_skb").is_some_and(|count| count > 1));
        layout.bridge_nf = btf
            .enum_values("skb_ext_id")
            .and_then(|extensions| extensions.value("SKB_EXT_BRIDGE_NF"))
            .and_then(|bit| 1_u32.checked_shl(u32::try_from(bit).ok()?))
            .unwrap_or(0);
        name_bridges(&mut layout, &btf);
        let functions = hooks()
            .filter(|row| row.hook == Hook::Function)
            .filter_map(|row| Some((row.site, skb_argument(&btf, row.function)?)))
            .collect();
        let tracepoints = hooks().filter_map(|row| Some((row.name, arguments(row.name)?))).collect();
        Ok(Self {
            release: nix::sys::utsname::uname()
                .map(|names| names.release().to_string_lossy().into_owned())
                .unwrap_or_default(),
            layout,
            conntrack: conntrack(&btf),
            drops: DropLayout::read(&btf),
            nat: nat(&btf),
            reasons: Reasons::read(&btf),
            tracepoints,
            functions,
        })
    }

    /// The kernel's own name of a drop reason, without its `SKB_DROP_REASON_` prefix; also of a subsystem that numbers
    /// its reasons apart. `None` if the number is in none of the kernel's enums.
    pub fn reason(&self, reason: DropReason) -> Option<&str> {
        self.reasons.name(reason)
    }

    /// Which argument of a function is the packet; `None` if the kernel does not have it, or its module is not loaded.
    pub(super) fn function(&self, site: u8) -> Option<SkbArgument> {
        self.functions.iter().find_map(|(known, argument)| (*known == site).then_some(*argument))
    }

    /// Whether the kernel has this tracepoint.
    pub fn has_tracepoint(&self, name: &str) -> bool {
        self.tracepoints.iter().any(|(known, _)| *known == name)
    }
}

/// The program looks at the first four arguments.
fn skb_argument(btf: &Btf, function: &str) -> Option<SkbArgument> {
    let prototype = btf.function(function)?;
    let (index, is_indirect) = match prototype.typed("struct sk_buff *") {
        Some(index) => (index, false),
        None => (prototype.typed("struct sk_buff **")?, true),
    };
    let index = u8::try_from(index).ok().filter(|index| *index < 4)?;
    Some(SkbArgument { index, is_indirect })
}

/// What it takes to know a bridge and its ports, beside the offsets.
fn name_bridges(layout: &mut Layout, btf: &Btf) {
    let flags = btf.enum_values("netdev_priv_flags");
    let flag = |name| flags.as_ref().and_then(|flags| u32::try_from(flags.value(name)?).ok()).unwrap_or(0);
    layout.dev_is_bridge = flag("IFF_EBRIDGE");
    layout.dev_is_port = flag("IFF_BRIDGE_PORT");
    let options = btf.enum_values("net_bridge_opts");
    let vlans = options.and_then(|options| options.value("BROPT_VLAN_ENABLED"));
    layout.bridge_has_vlans = vlans.and_then(|bit| 1_u32.checked_shl(u32::try_from(bit).ok()?)).unwrap_or(0);
    // On older kernels (6.1) it has no name and comes behind the struct. The program sees whether a bridge is there.
    if layout.dev_priv == netobs_ebpf::MISSING {
        let size = btf.size_of("net_device").and_then(|size| size.checked_next_multiple_of(NETDEV_ALIGN));
        layout.dev_priv = size.unwrap_or(netobs_ebpf::MISSING);
    }
}

/// Byte offset of a dotted path; for one that begins with `#` the size of a struct, with `=` the value of an enumerator.
fn offset(btf: &Btf, path: &str) -> Option<u32> {
    match (path.strip_prefix('#'), path.strip_prefix('=')) {
        (Some(name), _) => btf.size_of(name),
        (_, Some(name)) => btf.enumerator(name).and_then(|value| u32::try_from(value).ok()),
        // The byte that a bit field begins in.
        (None, None) => btf.field(path).map(|field| field.offset + field.bits.map_or(0, |bits| bits.offset / 8)),
    }
}

fn bits(btf: &Btf, path: &str) -> Option<Bits> {
    let Field { offset, bits, .. } = btf.field(path)?;
    let bits = bits?;
    // A field of up to 8 bits that lies within one byte, on a little-endian machine.
    let (byte, shift) = (bits.offset / 8, bits.offset % 8);
    if shift + bits.size > 8 {
        return None;
    }
    let mask = u8::try_from((1_u32 << bits.size) - 1).ok()?;
    Some(Bits { byte: offset + byte, shift: u8::try_from(shift).ok()?, mask, reserved: [0; 2] })
}

fn conntrack(btf: &Btf) -> Option<ConntrackLayout> {
    // The programs copy 40 bytes.
    if btf.size_of("nf_conntrack_tuple")? != 40 {
        return None;
    }
    let at = |path| btf.field(path).and_then(|field| usize::try_from(field.offset).ok());
    let info = btf.enum_values("ip_conntrack_info")?;
    let value = |name| info.value(name).and_then(|value| u8::try_from(value).ok());
    Some(ConntrackLayout {
        src_address: at("nf_conntrack_tuple.src.u3")?,
        src_port: at("nf_conntrack_tuple.src.u")?,
        l3_protocol: at("nf_conntrack_tuple.src.l3num")?,
        dst_address: at("nf_conntrack_tuple.dst.u3")?,
        dst_port: at("nf_conntrack_tuple.dst.u")?,
        l4_protocol: at("nf_conntrack_tuple.dst.protonum")?,
        established: value("IP_CT_ESTABLISHED")?,
        related: value("IP_CT_RELATED")?,
        new: value("IP_CT_NEW")?,
        established_reply: value("IP_CT_ESTABLISHED_REPLY")?,
        related_reply: value("IP_CT_RELATED_REPLY")?,
        untracked: value("IP_CT_UNTRACKED")?,
    })
}

fn nat(btf: &Btf) -> Option<NatSettings> {
    let status = btf.enum_values("ip_conntrack_status")?;
    let bit = |name| status.value(name).and_then(|value| u32::try_from(value).ok());
    Some(NatSettings {
        ct_net: btf.field("nf_conn.ct_net.net")?.offset,
        net_cookie: btf.field("net.net_cookie")?.offset,
        confirmed: bit("IPS_CONFIRMED")?,
        source: bit("IPS_SRC_NAT")?,
        destination: bit("IPS_DST_NAT")?,
    })
}
