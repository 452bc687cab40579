//! What the kernel recorded, as typed values.

mod conntrack;
mod header;
mod ids;
mod record;

pub use conntrack::{Conntrack, ConntrackLayout, Direction, State};
pub use header::{Detail, Headers, Proto, TcpSegment, Tuple};
pub use ids::{DeviceName, DropReason, PacketId};
pub use record::{Event, Origin, decode};
