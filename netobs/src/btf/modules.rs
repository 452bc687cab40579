//! Which loaded modules' BTF is read.

use std::path::Path;

use super::BtfError;
use super::image::Image;

/// Names, or their beginnings, of the modules a container's packet can meet. The rest (graphics, file systems) would
/// cost tens of megabytes for nothing.
const NETWORKING: &[&str] = &[
    "8021q",
    "act_",
    "af_packet",
    "arp",
    "bonding",
    "br_",
    "bridge",
    "cls_",
    "dummy",
    "ebt",
    "esp",
    "fou",
    "geneve",
    "gre",
    "ifb",
    "ip6",
    "ip_",
    "ipip",
    "ipt",
    "ipv",
    "llc",
    "macsec",
    "macvlan",
    "macvtap",
    "mpls",
    "net_failover",
    "netkit",
    "nf_",
    "nfnetlink",
    "nft_",
    "nlmon",
    "openvswitch",
    "psample",
    "sch_",
    "sctp",
    "sit",
    "stp",
    "tap",
    "team",
    "tls",
    "tun",
    "udp_",
    "veth",
    "virtio_net",
    "vmxnet3",
    "vrf",
    "vsock",
    "vxlan",
    "wireguard",
    "x_tables",
    "xfrm",
    "xt_",
];

/// The BTF of the loaded networking modules.
#[derive(Debug, Default)]
pub(super) struct Modules {
    pub(super) images: Vec<Image>,
    /// Those that are loaded but not usable, and why.
    pub(super) unusable: Vec<(String, BtfError)>,
}

impl Modules {
    /// Reads every networking module's blob in `directory`, in the order of their names.
    pub(super) fn read(directory: &Path, base: &Image) -> Self {
        let mut names: Vec<String> = std::fs::read_dir(directory)
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| is_networking(name))
            .collect();
        names.sort_unstable();
        let mut modules = Self::default();
        for name in names {
            match read(directory, &name, base) {
                Ok(image) => modules.images.push(image),
                Err(error) => modules.unusable.push((name, error)),
            }
        }
        modules
    }
}

fn read(directory: &Path, name: &str, base: &Image) -> Result<Image, BtfError> {
    let path = directory.join(name);
    let bytes = std::fs::read(&path).map_err(|source| BtfError::Unreadable { path, source })?;
    Image::parse(bytes, Some(base)).map_err(|source| BtfError::Malformed { name: name.to_owned(), source })
}

fn is_networking(module: &str) -> bool {
    module != "vmlinux" && NETWORKING.iter().any(|prefix| module.starts_with(prefix))
}
