//! Open vSwitch: `enum ovs_drop_reason` (6.6).

use super::super::Kind::{Depends, Fault};
use super::{Row, on};

const FLOWS: &[&str] = &["ovs-appctl dpctl/dump-flows", "ovs-appctl ofproto/trace BRIDGE FLOW"];

pub(super) const ROWS: &[Row] = &[
    on(
        &["OVS_DROP_LAST_ACTION", "OVS_DROP_EXPLICIT"],
        Depends,
        "An Open vSwitch flow ends here without sending the packet anywhere: a policy, or no matching flow.",
        &["a network policy", "a flow that is missing"],
        FLOWS,
    ),
    on(
        &["OVS_DROP_EXPLICIT_WITH_ERROR"],
        Fault,
        "Open vSwitch could not work out what to do with the packet, and dropped it.",
        &["a pipeline that recurses too deep or resubmits too often"],
        FLOWS,
    ),
    on(
        &["OVS_DROP_ACTION_ERROR"],
        Fault,
        "An action of the Open vSwitch flow failed.",
        &["a packet that the action does not fit", "no memory"],
        FLOWS,
    ),
    on(
        &["OVS_DROP_METER"],
        Fault,
        "An Open vSwitch meter is over its rate.",
        &["a bandwidth limit"],
        &["ovs-ofctl meter-stats BRIDGE -O OpenFlow13"],
    ),
    on(
        &["OVS_DROP_RECURSION_LIMIT", "OVS_DROP_DEFERRED_LIMIT"],
        Fault,
        "The Open vSwitch flow recirculates too deep.",
        &["patch ports or groups in a circle"],
        FLOWS,
    ),
    on(
        &["OVS_DROP_FRAG_L2_TOO_LONG", "OVS_DROP_FRAG_INVALID_PROTO"],
        Fault,
        "Open vSwitch had to cut the packet into fragments and cannot for this kind of packet.",
        &["a port with a smaller MTU behind connection tracking"],
        &["ip link show in NETNS (mtu)", "ovs-appctl dpctl/dump-flows"],
    ),
    on(
        &["OVS_DROP_CONNTRACK"],
        Fault,
        "Connection tracking in Open vSwitch refused the packet.",
        &["the conntrack table is full", "a flow that clashes with another"],
        &["conntrack -S", "ovs-appctl dpctl/ct-stats-show"],
    ),
    on(
        &["OVS_DROP_IP_TTL"],
        Fault,
        "The packet's time to live ran out in Open vSwitch's routing.",
        &["a routing loop", "traceroute, which does it on purpose"],
        FLOWS,
    ),
];
