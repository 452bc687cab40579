//! TCP: what came too often, too late, too early or out of order.

use super::super::Kind::{Depends, Fault, Noise};
use super::{Row, on};

const AGAIN: &[&str] = &["ss -tino in NETNS (retrans)", "nstat -az TcpRetransSegs in the sender's namespace"];

pub(super) const ROWS: &[Row] = &[
    on(
        &["TCP_OLD_DATA"],
        Noise,
        "This data had been received before: a retransmission that was not needed.",
        &["an acknowledgement that was lost or late", "packets that are reordered"],
        AGAIN,
    ),
    on(
        &["TCP_OLD_SEQUENCE"],
        Noise,
        "The segment lies wholly before what is expected: a duplicate.",
        &["an acknowledgement that was lost or late", "a keepalive"],
        AGAIN,
    ),
    on(
        &["TCP_OVERWINDOW"],
        Fault,
        "The data begins beyond the receiver's window.",
        &["a sender or middlebox that ignores the window", "a forged segment"],
        AGAIN,
    ),
    on(
        &["TCP_INVALID_SEQUENCE"],
        Depends,
        "The sequence number is outside the window.",
        &["a stray from an earlier connection", "a middlebox that rewrote sequence numbers"],
        &["nstat -az 'TcpExtTCP*' in NETNS", "conntrack -S in NETNS (invalid)"],
    ),
    on(
        &["TCP_INVALID_END_SEQUENCE"],
        Fault,
        "The data ends beyond the receiver's window.",
        &["a sender that ignores the window", "a receiver whose window shrank"],
        &["nstat -az TcpExtBeyondWindow in NETNS", "ss -tino in NETNS"],
    ),
    on(
        &["TCP_INVALID_ACK_SEQUENCE"],
        Depends,
        "The acknowledgement is for something that is not outstanding.",
        &["a stray from an earlier connection", "a forged segment"],
        AGAIN,
    ),
    on(
        &["TCP_ZEROWINDOW"],
        Fault,
        "The receiver has no room left and said so; the data came all the same.",
        &["a program that does not read", "a container throttled by its CPU limit"],
        &["ss -tnmp in NETNS (Recv-Q)", "nstat -az TcpExtTCPZeroWindowDrop in NETNS"],
    ),
    on(
        &["TCP_OLD_ACK"],
        Noise,
        "An acknowledgement that was overtaken by a later one.",
        &["packets that are reordered"],
        AGAIN,
    ),
    on(
        &["TCP_TOO_OLD_ACK"],
        Depends,
        "The acknowledgement is so old that it can only be a stray or forged.",
        &["a stray from an earlier connection"],
        &["nstat -az TcpExtTCPChallengeACK in NETNS"],
    ),
    on(
        &["TCP_ACK_UNSENT_DATA"],
        Fault,
        "The segment acknowledges data that was never sent.",
        &["a stray from an earlier connection", "a middlebox that rewrote sequence numbers"],
        &["ss -tino in NETNS", "conntrack -L in NETNS"],
    ),
    on(
        &["TCP_OFOMERGE"],
        Noise,
        "This data already waits in the out-of-order queue.",
        &["a retransmission after a loss or reordering"],
        AGAIN,
    ),
    on(
        &["TCP_OFO_DROP"],
        Noise,
        "This out-of-order data had been received meanwhile.",
        &["a retransmission after a loss or reordering"],
        AGAIN,
    ),
    on(
        &["TCP_OFO_QUEUE_PRUNE"],
        Fault,
        "The receiver ran out of memory and threw its out-of-order data away; it must be sent again.",
        &["a small receive buffer and much loss", "a program that does not read"],
        &["nstat -az TcpExtOfoPruned TcpExtRcvPruned in NETNS", "sysctl net.ipv4.tcp_rmem in NETNS"],
    ),
];
