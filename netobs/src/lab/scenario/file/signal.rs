//! `[[signal]]`: what the observer shows of the fault.

use serde::Deserialize;

use super::super::counter::Counter;
use super::super::signal::{DropSignal, Sighting, Signal};
use super::choice::{OneOf, only};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSignal {
    drop: Option<RawDrop>,
    counter: Option<RawCounter>,
    seen: Option<RawSighting>,
    unseen: Option<RawSighting>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDrop {
    node: String,
    device: Option<String>,
    reason: OneOf<String>,
    function: Option<OneOf<String>>,
    proto: Option<String>,
    count: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCounter {
    node: String,
    name: String,
    rises: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSighting {
    node: String,
    device: Option<String>,
    hook: Option<String>,
    proto: Option<String>,
    src: Option<String>,
    dst: Option<String>,
    info: Option<String>,
}

impl RawSignal {
    pub(super) fn read(self) -> Result<Signal, String> {
        only(
            "a signal",
            vec![
                ("drop", self.drop.map(RawDrop::read)),
                ("counter", self.counter.map(RawCounter::read).transpose()?),
                ("seen", self.seen.map(|raw| Signal::Seen(raw.read()))),
                ("unseen", self.unseen.map(|raw| Signal::Unseen(raw.read()))),
            ],
        )
    }
}

impl RawDrop {
    fn read(self) -> Signal {
        Signal::Drop(DropSignal {
            node: self.node,
            device: self.device,
            reason: OneOf::list(Some(self.reason)),
            function: OneOf::list(self.function),
            proto: self.proto,
            count: self.count.unwrap_or(1),
        })
    }
}

impl RawCounter {
    fn read(self) -> Result<Signal, String> {
        let counter: Counter = self.name.parse()?;
        Ok(Signal::Counter { node: self.node, counter, rises: self.rises.unwrap_or(1) })
    }
}

impl RawSighting {
    fn read(self) -> Sighting {
        let Self { node, device, hook, proto, src, dst, info } = self;
        Sighting { node, device, hook, proto, src, dst, info }
    }
}
