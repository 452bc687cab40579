//! Classifiers at a device's ingress and egress, as `tc qdisc` and `tc filter` show and change them.
//!
//! Read by hand: what a filter of some other kind consists of is nobody's business here, and must not fail a list.

use std::os::fd::{AsRawFd, BorrowedFd};

use netlink_packet_core::{DefaultNla, NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::tc::{TcAttribute, TcHandle, TcMessage};

use super::message::{attribute, word};
use super::{Ifindex, Request, Result, Socket};

// <linux/rtnetlink.h>, <linux/pkt_cls.h>
const TCA_KIND: u16 = 1;
const TCA_OPTIONS: u16 = 2;
const TCA_CHAIN: u16 = 11;
const TCA_BPF_FD: u16 = 6;
const TCA_BPF_NAME: u16 = 7;
const TCA_BPF_FLAGS: u16 = 8;
const TCA_BPF_FLAG_ACT_DIRECT: u32 = 1;
const NLA_F_NESTED: u16 = 0x8000;
/// `struct tcmsg`
const HEADER: usize = 20;
const ETH_P_ALL: u16 = 0x0003;

/// The qdisc that runs classifiers and queues nothing.
const CLSACT: &str = "clsact";
/// Its older form, in the same place, without an egress.
const INGRESS: &str = "ingress";

/// Which way packets go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the device into the stack.
    Ingress,
    /// From the stack to the device.
    Egress,
}

impl Direction {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Ingress, Self::Egress];

    /// The name of the hook and of its program.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ingress => "tc_ingress",
            Self::Egress => "tc_egress",
        }
    }

    fn parent(self) -> TcHandle {
        let minor = match self {
            Self::Ingress => TcHandle::MIN_INGRESS,
            Self::Egress => TcHandle::MIN_EGRESS,
        };
        TcHandle { major: TcHandle::CLSACT.major, minor }
    }
}

/// A filter, as far as it takes to tell it from another and to delete it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// The device.
    pub ifindex: Ifindex,
    /// Where on the device.
    pub direction: Direction,
    /// `pref`: lower ones are asked first.
    pub priority: u16,
    /// Its number among those of the same priority. 0 stands for the priority itself.
    pub handle: u32,
    /// `bpf`, `flower`, …
    pub kind: String,
    /// The name of a bpf filter.
    pub bpf_name: Option<String>,
    info: u32,
    chain: Option<u32>,
}

impl Socket {
    /// The devices of the namespace that have a `clsact` or an `ingress` qdisc.
    pub fn classified_devices(&mut self) -> Result<Vec<Ifindex>> {
        let question = RouteNetlinkMessage::GetQueueDiscipline(TcMessage::default());
        let answers = self.dump_raw("list qdiscs", &question)?;
        let is_one =
            |body: &Vec<u8>| [CLSACT, INGRESS].iter().any(|kind| text(body, TCA_KIND).as_deref() == Some(kind));
        Ok(answers.iter().filter(|body| is_one(body)).filter_map(|body| Some(Ifindex(word(body, 4)?))).collect())
    }

    /// All filters of a device in one direction. None if the device is not there.
    pub fn filters(&mut self, ifindex: Ifindex, direction: Direction) -> Result<Vec<Filter>> {
        let mut message = TcMessage::with_index(ifindex.0.cast_signed());
        message.header.parent = direction.parent();
        let answers = self.dump_raw("list tc filters", &RouteNetlinkMessage::GetTrafficFilter(message))?;
        Ok(answers.iter().filter_map(|body| Filter::read(body, direction)).collect())
    }
}

impl Filter {
    fn read(body: &[u8], direction: Direction) -> Option<Self> {
        let info = word(body, 16)?;
        let options = attribute(body.get(HEADER..)?, TCA_OPTIONS).unwrap_or_default();
        let kind = text(body, TCA_KIND)?;
        Some(Self {
            ifindex: Ifindex(word(body, 4)?),
            direction,
            priority: u16::try_from(info >> 16).ok()?,
            handle: word(body, 8)?,
            bpf_name: attribute(options, TCA_BPF_NAME).filter(|_| kind == "bpf").map(string),
            kind,
            info,
            chain: attribute(body.get(HEADER..)?, TCA_CHAIN).and_then(|value| word(value, 0)),
        })
    }
}

/// Gives a device a `clsact` qdisc; refused (`EEXIST`) if it has one.
pub fn add_clsact(link: Ifindex, called: &str) -> Request {
    let what = format!("add clsact to {called}");
    Request::new(what, RouteNetlinkMessage::NewQueueDiscipline(clsact(link)), NLM_F_CREATE | NLM_F_EXCL)
}

/// Removes a device's `clsact` qdisc, and with it every filter in it.
pub fn delete_clsact(link: Ifindex, called: &str) -> Request {
    let what = format!("remove clsact from {called}");
    Request::new(what, RouteNetlinkMessage::DelQueueDiscipline(clsact(link)), 0)
}

/// A bpf filter with direct action to be made.
#[derive(Clone, Copy, Debug)]
pub struct NewBpfFilter<'a> {
    /// The device.
    pub link: Ifindex,
    /// The device's name, for the error.
    pub called: &'a str,
    /// Where on the device.
    pub direction: Direction,
    /// `pref`; the kernel chooses the handle.
    pub priority: u16,
    /// A loaded classifier.
    pub program: BorrowedFd<'a>,
    /// Shown by `tc filter show`; at most 255 bytes (`CLS_BPF_NAME_LEN`).
    pub name: &'a str,
}

/// Adds a filter that sees every packet.
pub fn add_bpf_filter(filter: NewBpfFilter<'_>) -> Request {
    let mut message = TcMessage::with_index(filter.link.0.cast_signed());
    message.header.parent = filter.direction.parent();
    message.header.info = u32::from(filter.priority) << 16 | u32::from(ETH_P_ALL.to_be());
    let mut options = Vec::new();
    push(&mut options, TCA_BPF_FD, &filter.program.as_raw_fd().to_ne_bytes());
    let name: Vec<u8> = filter.name.bytes().chain([0]).collect();
    push(&mut options, TCA_BPF_NAME, &name);
    push(&mut options, TCA_BPF_FLAGS, &TCA_BPF_FLAG_ACT_DIRECT.to_ne_bytes());
    message.attributes = vec![
        TcAttribute::Kind("bpf".to_owned()),
        TcAttribute::Other(DefaultNla::new(TCA_OPTIONS | NLA_F_NESTED, options)),
    ];
    let what = format!("add a tc filter to {}", filter.called);
    Request::new(what, RouteNetlinkMessage::NewTrafficFilter(message), NLM_F_CREATE | NLM_F_EXCL)
}

/// Removes exactly this filter.
pub fn delete_filter(filter: &Filter) -> Request {
    let mut message = TcMessage::with_index(filter.ifindex.0.cast_signed());
    message.header.parent = filter.direction.parent();
    message.header.handle = TcHandle::from(filter.handle);
    message.header.info = filter.info;
    message.attributes.push(TcAttribute::Kind(filter.kind.clone()));
    message.attributes.extend(filter.chain.map(TcAttribute::Chain));
    let what = format!("remove a tc filter from device {}", filter.ifindex);
    Request::new(what, RouteNetlinkMessage::DelTrafficFilter(message), 0)
}

fn clsact(link: Ifindex) -> TcMessage {
    let mut message = TcMessage::with_index(link.0.cast_signed());
    message.header.parent = TcHandle::CLSACT;
    message.header.handle = TcHandle { major: TcHandle::CLSACT.major, minor: 0 };
    message.attributes.push(TcAttribute::Kind(CLSACT.to_owned()));
    message
}

/// Appends an attribute, padded as the kernel wants it.
fn push(into: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
    into.extend(length.to_ne_bytes());
    into.extend(kind.to_ne_bytes());
    into.extend(value);
    into.resize(into.len().next_multiple_of(4), 0);
}

fn text(body: &[u8], wanted: u16) -> Option<String> {
    attribute(body.get(HEADER..)?, wanted).map(string)
}

fn string(value: &[u8]) -> String {
    String::from_utf8_lossy(value).trim_end_matches('\0').to_owned()
}
