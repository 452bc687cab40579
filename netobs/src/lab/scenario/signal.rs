//! What the kernel shows of a fault: a drop, a counter, a packet that is seen somewhere or nowhere.

use std::fmt;

use super::counter::Counter;
use super::step::Typed;

/// One thing that must be seen while the fault is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signal {
    /// The kernel dropped packets, and said why.
    Drop(DropSignal),
    /// A counter rose by at least so much.
    Counter {
        /// Whose namespace.
        node: String,
        /// Which.
        counter: Counter,
        /// By how much at least.
        rises: u64,
    },
    /// A packet was seen there.
    Seen(Sighting),
    /// No packet was seen there.
    Unseen(Sighting),
}

/// A drop as the observer reports it. What is empty or `None` may be anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DropSignal {
    /// In whose namespace.
    pub node: String,
    /// On which device.
    pub device: Option<String>,
    /// The kernel's reason; one of these, since kernels differ.
    pub reason: Vec<String>,
    /// The function that dropped it; one of these.
    pub function: Vec<String>,
    /// The packet's protocol.
    pub proto: Option<String>,
    /// How many packets at least.
    pub count: usize,
}

/// A packet at a place. What is `None` may be anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sighting {
    /// In whose namespace.
    pub node: String,
    /// On which device.
    pub device: Option<String>,
    /// At which hook.
    pub hook: Option<String>,
    /// Its protocol.
    pub proto: Option<String>,
    /// Its source there.
    pub src: Option<String>,
    /// Its destination there.
    pub dst: Option<String>,
    /// Part of what the observer says about it (`echo reply`, `fragmentation needed`).
    pub info: Option<String>,
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Drop(drop) => write!(f, "{drop}"),
            Self::Counter { node, counter, rises } => write!(f, "{counter} of {node} rises by {rises} or more"),
            Self::Seen(place) => write!(f, "seen: {place}"),
            Self::Unseen(place) => write!(f, "not seen: {place}"),
        }
    }
}

impl fmt::Display for DropSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let proto = self.proto.as_deref().unwrap_or("packet");
        write!(f, "{proto} dropped in {}", self.node)?;
        if let Some(device) = &self.device {
            write!(f, " on {device}")?;
        }
        if !self.function.is_empty() {
            write!(f, " by {}", self.function.join(" or "))?;
        }
        write!(f, ": {}", self.reason.join(" or "))?;
        if self.count > 1 { write!(f, ", {} times", self.count) } else { Ok(()) }
    }
}

impl fmt::Display for Sighting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.proto.as_deref().unwrap_or("any packet"))?;
        for (word, part) in [("from", &self.src), ("to", &self.dst)] {
            if let Some(part) = part {
                write!(f, " {word} {part}")?;
            }
        }
        if let Some(info) = &self.info {
            write!(f, " ({info})")?;
        }
        write!(f, " in {}", self.node)?;
        for (word, part) in [("on", &self.device), ("at", &self.hook)] {
            if let Some(part) = part {
                write!(f, " {word} {part}")?;
            }
        }
        Ok(())
    }
}

impl Signal {
    /// The node it is about.
    pub fn node(&self) -> &str {
        match self {
            Self::Drop(drop) => &drop.node,
            Self::Counter { node, .. } => node,
            Self::Seen(place) | Self::Unseen(place) => &place.node,
        }
    }

    /// What a person would type to see it.
    pub(super) fn typed(&self, by: &Typed<'_>) -> String {
        match self {
            Self::Drop(DropSignal { proto: Some(proto), .. }) => format!("netobs trace --drops {proto}"),
            Self::Drop(_) => "netobs trace --drops".to_owned(),
            Self::Counter { counter, .. } => counter.typed(by),
            Self::Seen(Sighting { proto, .. }) | Self::Unseen(Sighting { proto, .. }) => {
                proto.as_ref().map_or_else(|| "netobs trace".to_owned(), |proto| format!("netobs trace {proto}"))
            }
        }
    }
}
