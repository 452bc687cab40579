//! The one table of hooks: attaching, `netobs check`, the output's names and the documentation all read it.

use netobs_ebpf::Hook;

/// How a program is tied to a hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A tracepoint program whose arguments the verifier knows by type (5.5 and later, needs BTF).
    TpBtf,
    /// A tc classifier on a TCX link (6.6 and later).
    Tcx,
    /// A tc classifier in a filter of the device's `clsact` qdisc (4.5 and later).
    Clsact,
}

impl Kind {
    /// The name used in JSON and text.
    pub fn name(self) -> &'static str {
        match self {
            Self::TpBtf => "tp_btf",
            Self::Tcx => "tcx",
            Self::Clsact => "clsact",
        }
    }
}

/// A hook: what serves it, and what is lost without it.
#[derive(Clone, Copy, Debug)]
pub struct HookRow {
    /// Number shared with the programs.
    pub hook: Hook,
    /// Name of the tracepoint and of the program, and the name that hops show.
    pub name: &'static str,
    /// How it is attached, the best way first.
    pub kinds: &'static [Kind],
    /// The kernel function whose progress it shows.
    pub function: &'static str,
    /// What is not seen when it cannot be attached.
    pub blind_spot: &'static str,
}

/// Every hook, in the order of [`Hook`]'s numbers.
pub const HOOKS: [HookRow; Hook::ALL.len()] = [
    HookRow {
        hook: Hook::NetDevQueue,
        name: "net_dev_queue",
        kinds: &[Kind::TpBtf],
        function: "__dev_queue_xmit",
        blind_spot: "packets that a queueing discipline holds or drops before the driver gets them",
    },
    HookRow {
        hook: Hook::NetDevStartXmit,
        name: "net_dev_start_xmit",
        kinds: &[Kind::TpBtf],
        function: "xmit_one",
        blind_spot: "the moment a device's driver gets a packet",
    },
    HookRow {
        hook: Hook::NetifRx,
        name: "netif_rx",
        kinds: &[Kind::TpBtf],
        function: "netif_rx_internal",
        blind_spot: "packets that cross a veth but never leave the backlog queue",
    },
    HookRow {
        hook: Hook::NetifReceiveSkb,
        name: "netif_receive_skb",
        kinds: &[Kind::TpBtf],
        function: "__netif_receive_skb_core",
        blind_spot: "packets entering a namespace's network stack",
    },
    HookRow {
        hook: Hook::TcIngress,
        name: "tc_ingress",
        kinds: &[Kind::Tcx, Kind::Clsact],
        function: "sch_handle_ingress",
        blind_spot: "what tc sees at a device's ingress",
    },
    HookRow {
        hook: Hook::TcEgress,
        name: "tc_egress",
        kinds: &[Kind::Tcx, Kind::Clsact],
        function: "sch_handle_egress",
        blind_spot: "what tc sees at a device's egress",
    },
    HookRow {
        hook: Hook::KfreeSkb,
        name: "kfree_skb",
        kinds: &[Kind::TpBtf],
        function: "sk_skb_reason_drop",
        blind_spot: "every drop and its reason",
    },
    HookRow {
        hook: Hook::ConsumeSkb,
        name: "consume_skb",
        kinds: &[Kind::TpBtf],
        function: "consume_skb",
        blind_spot: "where a packet's journey ended well",
    },
    HookRow {
        hook: Hook::SkbCopyDatagram,
        name: "skb_copy_datagram_iovec",
        kinds: &[Kind::TpBtf],
        function: "__skb_datagram_iter",
        blind_spot: "a process reading a packet's payload",
    },
    HookRow {
        hook: Hook::TcpProbe,
        name: "tcp_probe",
        kinds: &[Kind::TpBtf],
        function: "tcp_rcv_established",
        blind_spot: "an established TCP connection taking a segment",
    },
];

impl HookRow {
    /// Whether it is served by a program of its own on each device, attached only where that is asked for.
    pub fn is_per_device(&self) -> bool {
        self.kinds.iter().any(|kind| matches!(kind, Kind::Tcx | Kind::Clsact))
    }

    /// The row of a hook.
    #[expect(
        clippy::indexing_slicing,
        reason = "the table has a row for each number, in order, as the test below checks"
    )]
    pub fn of(hook: Hook) -> &'static Self {
        &HOOKS[hook as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_numbers() {
        for (index, row) in HOOKS.iter().enumerate() {
            assert_eq!(row.hook as usize, index, "{}", row.name);
        }
    }
}
