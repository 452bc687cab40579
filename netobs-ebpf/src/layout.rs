//! Where the running kernel keeps the few fields the programs read.
//!
//! Rust has no CO-RE relocation. User space resolves the offsets from the kernel's own BTF and passes them as a frozen
//! read-only global, so the verifier treats each as a constant and prunes the branch of a field that is missing.

/// The offset of a field that this kernel does not have.
pub const MISSING: u32 = u32::MAX;

/// A bit field: the byte that holds it, and where in that byte.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Bits {
    /// Offset of the byte, or [`MISSING`].
    pub byte: u32,
    /// Bits to shift the byte right by.
    pub shift: u8,
    /// Mask to apply after the shift.
    pub mask: u8,
    /// Keeps the struct free of padding.
    pub reserved: [u8; 2],
}

impl Bits {
    /// A bit field that this kernel does not have.
    pub const MISSING: Self = Self { byte: MISSING, shift: 0, mask: 0, reserved: [0; 2] };
}

macro_rules! layout {
    ($($(#[$doc:meta])* $field:ident: $path:literal,)*; $($(#[$bits_doc:meta])* $bits:ident: $bits_path:literal,)*) => {
        /// Offsets in bytes from the start of the struct named first in each path; with `#`, the size of a struct; with
        /// `=`, the value of an enumerator.
        #[repr(C)]
        #[derive(Clone, Copy, Debug)]
        pub struct Layout {
            $(#[doc = concat!("`", $path, "`")] $(#[$doc])* pub $field: u32,)*
            $(#[doc = concat!("`", $bits_path, "`")] $(#[$bits_doc])* pub $bits: Bits,)*
            /// 1 if the `consume_skb` tracepoint has the caller's address as second argument (6.5 and later).
            pub consume_has_location: u32,
            /// The bit in `sk_buff.active_extensions` of a frame that `br_netfilter` passes through the IP hooks, or 0.
            pub bridge_nf: u32,
            /// Bits of `net_device.priv_flags`: the device is a bridge, or the port of one; or 0.
            pub dev_is_bridge: u32,
            /// See `dev_is_bridge`.
            pub dev_is_port: u32,
            /// The bit in `net_bridge.options` of a bridge that keeps VLANs apart, or 0.
            pub bridge_has_vlans: u32,
        }

        impl Layout {
            /// The layout of a kernel that has none of the fields.
            pub const NONE: Self = Self {
                $($field: MISSING,)*
                $($bits: Bits::MISSING,)*
                consume_has_location: 0,
                bridge_nf: 0,
                dev_is_bridge: 0,
                dev_is_port: 0,
                bridge_has_vlans: 0,
            };

            /// Fills the layout by asking `field` for the byte offset of each dotted path, and `bits` for each bit field.
            pub fn resolve(
                field: impl Fn(&str) -> Option<u32>,
                bits: impl Fn(&str) -> Option<Bits>,
            ) -> Self {
                Self {
                    $($field: field($path).unwrap_or(MISSING),)*
                    $($bits: bits($bits_path).unwrap_or(Bits::MISSING),)*
                    consume_has_location: 0,
                    bridge_nf: 0,
                    dev_is_bridge: 0,
                    dev_is_port: 0,
                    bridge_has_vlans: 0,
                }
            }
        }
    };
}

layout! {
    skb_head: "sk_buff.head",
    skb_data: "sk_buff.data",
    skb_tail: "sk_buff.tail",
    skb_end: "sk_buff.end",
    skb_len: "sk_buff.len",
    skb_mac_header: "sk_buff.mac_header",
    skb_network_header: "sk_buff.network_header",
    skb_protocol: "sk_buff.protocol",
    skb_mark: "sk_buff.mark",
    skb_dev: "sk_buff.dev",
    skb_sk: "sk_buff.sk",
    /// Pointer to the conntrack entry, its low three bits the packet's relation to it.
    skb_nfct: "sk_buff._nfct",
    shinfo_dataref: "skb_shared_info.dataref",
    dev_name: "net_device.name",
    dev_ifindex: "net_device.ifindex",
    dev_net: "net_device.nd_net.net",
    net_inum: "net.ns.inum",
    sock_net: "sock.__sk_common.skc_net.net",
    sock_family: "sock.__sk_common.skc_family",
    ct_orig: "nf_conn.tuplehash",
    /// Size of one `nf_conntrack_tuple_hash`: the reply's tuple is that far behind the original's.
    ct_tuple_stride: "#nf_conntrack_tuple_hash",
    ct_tuple: "nf_conntrack_tuple_hash.tuple",
    ct_status: "nf_conn.status",
    ct_mark: "nf_conn.mark",
    ct_zone: "nf_conn.zone.id",
    skb_extensions: "sk_buff.active_extensions",
    /// Index of the device it came in by last; 0 of one that came in nowhere.
    skb_iif: "sk_buff.skb_iif",
    nf_hook: "nf_hook_state.hook",
    nf_family: "nf_hook_state.pf",
    nf_in: "nf_hook_state.in",
    nf_out: "nf_hook_state.out",
    fl4_source: "flowi4.saddr",
    fl4_destination: "flowi4.daddr",
    fl4_input: "flowi4.__fl_common.flowic_iif",
    fl4_protocol: "flowi4.__fl_common.flowic_proto",
    fl6_source: "flowi6.saddr",
    fl6_destination: "flowi6.daddr",
    fl6_input: "flowi6.__fl_common.flowic_iif",
    fl6_protocol: "flowi6.__fl_common.flowic_proto",
    nhc_device: "fib_nh_common.nhc_dev",
    nhc_family: "fib_nh_common.nhc_family",
    nhc_gateway_family: "fib_nh_common.nhc_gw_family",
    nhc_gateway: "fib_nh_common.nhc_gw",
    nh_common: "fib_nh.nh_common",
    nh_parent: "fib_nh.nh_parent",
    fib_type: "fib_info.fib_type",
    fib_table: "fib_info.fib_tb_id",
    fib6_next_hop: "fib6_result.nh",
    fib6_route: "fib6_result.f6i",
    fib6_type: "fib6_result.fib6_type",
    fib6_table: "fib6_table.tb6_id",
    net_no_route6: "net.ipv6.fib6_null_entry",
    dev_priv_flags: "net_device.priv_flags",
    /// Of a bridge's port: its `struct net_bridge_port`.
    dev_rx_handler_data: "net_device.rx_handler_data",
    /// What `netdev_priv()` returns.
    dev_priv: "net_device.priv",
    bridge_dev: "net_bridge.dev",
    bridge_options: "net_bridge.options",
    bridge_fdb: "net_bridge.fdb_list.first",
    port_bridge: "net_bridge_port.br",
    port_dev: "net_bridge_port.dev",
    fdb_address: "net_bridge_fdb_entry.key.addr",
    fdb_vlan: "net_bridge_fdb_entry.key.vlan_id",
    fdb_port: "net_bridge_fdb_entry.dst",
    fdb_node: "net_bridge_fdb_entry.fdb_node",
    list_next: "hlist_node.next",
    dev_address_length: "net_device.addr_len",
    skb_previous: "sk_buff.prev",
    list_last: "sk_buff_head.prev",
    list_length: "sk_buff_head.qlen",
    neigh_table: "neighbour.tbl",
    neigh_family: "neigh_table.family",
    neigh_device: "neighbour.dev",
    neigh_key: "neighbour.primary_key",
    neigh_address: "neighbour.ha",
    neigh_state: "neighbour.nud_state",
    neigh_dead: "neighbour.dead",
    neigh_probes: "neighbour.probes",
    /// In jiffies: when the state last changed.
    neigh_updated: "neighbour.updated",
    /// A `struct sk_buff_head`.
    neigh_queue: "neighbour.arp_queue",
    neigh_parms: "neighbour.parms",
    /// An array of `int`.
    neigh_values: "neigh_parms.data",
    /// Index in `neigh_values`.
    neigh_unicast_probes: "=NEIGH_VAR_UCAST_PROBES",
    ;
    skb_cloned: "sk_buff.cloned",
    skb_pkt_type: "sk_buff.pkt_type",
}
