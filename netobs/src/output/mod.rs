//! What people and programs read: text, JSON, and how strangers' strings are made safe to print.

pub mod conntrack;
pub mod diagnosis;
pub mod drops;
pub mod topology;

mod bridge;
mod escape;
mod format;
mod functions;
mod neighbour;
mod record;
mod route;
mod screen;
mod style;
mod text;
mod writer;

pub use bridge::BridgeRecord;
pub use escape::{printable, shortened};
pub use format::Format;
pub use neighbour::NeighbourRecord;
pub use record::{
    AnswerRecord, ConntrackRecord, DropRecord, EndRecord, HopRecord, MssRecord, NatRecord, NetfilterRecord,
    PacketRecord, RuleRecord, SmallestMtu, TupleRecord,
};
pub use record::{CapabilitiesRecord, LostRecord, OutcomeCounts, ProbeRecord, SummaryRecord};
pub use route::RouteRecord;
pub use screen::Screen;
pub use style::Style;
pub use writer::{Closed, Writer};
