//! What the running kernel must answer, whatever its version.

use super::Btf;

/// The running kernel's, or nothing with a word about it where it has none.
fn running() -> Option<Btf> {
    match Btf::from_kernel() {
        Ok(btf) => Some(btf),
        Err(error) => {
            eprintln!("skipped: {error}");
            None
        }
    }
}

/// Whether connection tracking is built in or its module loaded; says so if not.
fn has_conntrack(btf: &Btf) -> bool {
    let there = btf.size_of("nf_conntrack_tuple_hash").is_some();
    if !there {
        eprintln!("skipped for connection tracking: nf_conntrack is not loaded");
    }
    there
}

#[test]
fn the_running_kernel_has_the_fields_the_programs_read() {
    let Some(btf) = running() else { return };
    for path in [
        "sk_buff.dev",
        "sk_buff.head",
        "sk_buff.data",
        "sk_buff.len",
        "sk_buff.data_len",
        "sk_buff.mark",
        "sk_buff.sk",
        "sk_buff.skb_iif",
        "sk_buff.protocol",
        "sk_buff.network_header",
        "sk_buff.transport_header",
        "sk_buff.mac_header",
        "sk_buff._nfct",
        "sk_buff._skb_refdst",
        "sk_buff.users",
        "net_device.ifindex",
        "net_device.name",
        "net_device.nd_net.net",
        "net.ns.inum",
        "nf_conn.tuplehash",
        "nf_conn.status",
        "nf_conn.mark",
        "nf_conntrack_tuple_hash.tuple",
        "nf_conntrack_tuple.src.u3",
        "nf_conntrack_tuple.src.u",
        "nf_conntrack_tuple.dst.u3",
        "nf_conntrack_tuple.dst.protonum",
        "sock.__sk_common.skc_family",
        "sock.__sk_common.skc_net.net",
        "nf_hook_state.hook",
        "nf_hook_state.pf",
        "neighbour.ha",
        "neighbour.arp_queue",
        "neighbour.probes",
        "neighbour.updated",
        "neigh_parms.data",
        "sk_buff_head.qlen",
    ] {
        if path.starts_with("nf_conn") && !has_conntrack(&btf) {
            continue;
        }
        let field = btf.field(path).unwrap_or_else(|| panic!("{path} is missing"));
        assert!(field.bits.is_none() && field.size > 0, "{path}: {field:?}");
        let size = btf.size_of(path.split('.').next().unwrap()).unwrap();
        assert!(field.offset + field.size <= size, "{path}: {field:?} in {size} bytes");
    }
    for path in ["sk_buff.cloned", "sk_buff.pkt_type", "sk_buff.ip_summed"] {
        let bits = btf.field(path).and_then(|field| field.bits).unwrap_or_else(|| panic!("{path} is no bit field"));
        assert!(bits.size <= 3 && bits.offset + bits.size <= 8, "{path}: {bits:?}");
    }
}

#[test]
fn the_running_kernels_answers_agree_with_each_other() {
    let Some(btf) = running() else { return };
    let field = |path| btf.field(path).unwrap();
    if has_conntrack(&btf) {
        assert_eq!(field("nf_conn.tuplehash").size, 2 * btf.size_of("nf_conntrack_tuple_hash").unwrap());
        assert_eq!(field("nf_conntrack_tuple.src.u3").size, 16);
    }
    assert_eq!((field("sk_buff.dev").size, field("sk_buff.network_header").size, field("net.ns.inum").size), (8, 2, 4));
    assert_eq!(field("sk_buff.cb").size, 48);
    assert_eq!(field("sock.__sk_common").offset, 0);
    assert_eq!(field("sock.__sk_common.skc_family"), btf.field("sock_common.skc_family").unwrap());
    assert_eq!(field("sk_buff.transport_header").offset + 2, field("sk_buff.network_header").offset);
    assert_eq!(field("sk_buff.end").offset + 4, field("sk_buff.head").offset);
    let reasons = btf.enum_values("skb_drop_reason").unwrap();
    assert!(reasons.value("SKB_DROP_REASON_NETFILTER_DROP").is_some_and(|value| reasons.name(value).is_some()));

    let probes = ["MCAST", "UCAST", "APP"].map(|kind| btf.enumerator(&format!("NEIGH_VAR_{kind}_PROBES")).unwrap());
    assert!(probes.is_sorted_by(|one, other| one < other), "{probes:?}");
    assert_eq!(btf.enumerator("NEIGH_VAR_NOBODY_KNOWS"), None);

    assert_eq!(btf.function("ip_forward").unwrap().to_string(), "(struct sk_buff *skb) -> int");
    assert!(!btf.has_function("no_such_function_anywhere"));
    let free = btf.tracepoint("kfree_skb").unwrap();
    assert_eq!(free.params[0].ty, "struct sk_buff *");
    assert_eq!(free.named("reason"), free.typed("enum skb_drop_reason"));
    assert!(btf.unusable_modules().is_empty(), "{:?}", btf.unusable_modules());
}
