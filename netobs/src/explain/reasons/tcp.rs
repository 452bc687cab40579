//! TCP: connections, handshakes, authentication, options.

use super::super::Kind::{Depends, Fault, Noise};
use super::{Row, on};

const SOCKETS: &[&str] = &["ss -tino in NETNS", "nstat -az 'TcpExt*' in NETNS"];

/// What a signed connection's drops have in common.
const SIGNED: &[&str] = &["ss -tino in NETNS", "nstat -az 'TcpExtTCPMD5*' 'TcpExtTCPAO*' in NETNS", "dmesg"];

pub(super) const ROWS: &[Row] = &[
    on(
        &["TCP_CSUM"],
        Fault,
        "The TCP checksum is wrong.",
        &["damage on the way", "checksum offload between a veth, a tunnel and a driver that does not finish it"],
        &["nstat -az TcpInCsumErrors in NETNS", "ethtool -k DEV | grep checksum in NETNS"],
    ),
    on(
        &["TCP_LISTEN_OVERFLOW"],
        Fault,
        "The listening program's accept queue is full: it does not take new connections as fast as they come.",
        &["a stuck or overloaded server", "a small listen backlog or net.core.somaxconn"],
        &["ss -ltn in NETNS (Recv-Q against Send-Q)", "nstat -az TcpExtListenOverflows in NETNS"],
    ),
    on(
        &["TCP_FLAGS"],
        Depends,
        "The segment's flags make no sense in the connection's state.",
        &["a port scan", "a segment with neither SYN, ACK nor RST", "a FIN to a listening socket"],
        SOCKETS,
    ),
    on(
        &["TCP_ABORT_ON_DATA"],
        Depends,
        "Data came for a connection that its program had already closed; it is reset.",
        &["a client that is cut off", "a program that closes without reading to the end"],
        &["nstat -az TcpExtTCPAbortOnData in NETNS", "ss -tanp in NETNS"],
    ),
    on(
        &["TCP_RESET"],
        Depends,
        "A reset that does not fit the connection's sequence numbers was ignored.",
        &["a stray from an earlier connection", "a forged reset", "a middlebox that resets connections"],
        &["netobs trace 'tcp[tcpflags] & tcp-rst != 0'", "nstat -az TcpExtTCPChallengeACK in NETNS"],
    ),
    on(
        &["TCP_INVALID_SYN"],
        Depends,
        "A SYN came in the middle of an established connection.",
        &["the other end restarted and reuses its port", "two hosts behind the same SNAT address and port"],
        SOCKETS,
    ),
    on(
        &["TCP_CLOSE"],
        Depends,
        "A segment came for a connection that is closed already.",
        &["what was under way when the connection ended"],
        &["ss -tan in NETNS"],
    ),
    on(
        &["TCP_FASTOPEN"],
        Depends,
        "A segment did not fit a connection that is just being opened by TCP fast open.",
        &["a repeated or reordered handshake"],
        &["nstat -az 'TcpExtTCPFastOpen*' in NETNS"],
    ),
    on(
        &["TCP_MINTTL"],
        Fault,
        "The segment came from further away than this socket allows (IP_MINTTL).",
        &["BGP with TTL security", "one hop more than was configured"],
        &["traceroute SRC in NETNS", "ss -tino in NETNS"],
    ),
    on(
        &["TCP_RFC7323_PAWS"],
        Fault,
        "The segment's timestamp is older than the last one seen, so it is taken for a stray from before.",
        &["several clients behind one SNAT address", "a very late duplicate"],
        &["nstat -az TcpExtPAWSEstab TcpExtPAWSActive in NETNS", "conntrack -L in NETNS"],
    ),
    on(
        &["TCP_RFC7323_PAWS_ACK"],
        Noise,
        "A bare acknowledgement that was overtaken by a later one.",
        &["packets that are reordered between CPUs or paths"],
        &["nstat -az TcpExtPAWSOldAck in NETNS"],
    ),
    on(
        &["TCP_RFC7323_TW_PAWS"],
        Fault,
        "A segment for a connection in TIME_WAIT has an older timestamp than that connection's last one.",
        &["several clients behind one SNAT address that reuse a port"],
        &["nstat -az 'TcpExtPAWS*' in NETNS", "ss -tan state time-wait in NETNS"],
    ),
    on(
        &["TCP_RFC7323_TSECR"],
        Fault,
        "The segment echoes a timestamp that was never sent.",
        &["a broken middlebox", "a forged segment"],
        &["nstat -az TcpExtTSEcrRejected in NETNS"],
    ),
    on(
        &["TCP_AUTH_HDR"],
        Fault,
        "The segment's TCP-MD5 or TCP-AO signature option is malformed or there twice.",
        &["a broken peer or middlebox"],
        SIGNED,
    ),
    on(
        &["TCP_MD5NOTFOUND"],
        Fault,
        "This connection demands TCP-MD5 signatures, and the segment has none.",
        &["a BGP peer without the password"],
        SIGNED,
    ),
    on(
        &["TCP_MD5UNEXPECTED"],
        Fault,
        "The segment is signed by TCP-MD5, and this side has no key for that peer.",
        &["a BGP peer with a password that is not set here"],
        SIGNED,
    ),
    on(
        &["TCP_MD5FAILURE"],
        Fault,
        "The segment's TCP-MD5 signature is wrong.",
        &["two different passwords", "NAT in between, which breaks the signature"],
        SIGNED,
    ),
    on(
        &["TCP_AONOTFOUND"],
        Fault,
        "This connection demands TCP-AO signatures, and the segment has none.",
        &["a peer without the key"],
        SIGNED,
    ),
    on(
        &["TCP_AOUNEXPECTED"],
        Fault,
        "The segment is signed by TCP-AO, and this side did not expect that.",
        &["a peer with a key that is not set here"],
        SIGNED,
    ),
    on(
        &["TCP_AOKEYNOTFOUND"],
        Fault,
        "The segment is signed with a TCP-AO key that this side does not have.",
        &["keys that were changed on one side only"],
        SIGNED,
    ),
    on(
        &["TCP_AOFAILURE"],
        Fault,
        "The segment's TCP-AO signature is wrong.",
        &["two different keys", "NAT in between, which breaks the signature"],
        SIGNED,
    ),
];
