//! What the kernel recorded, as typed values.

mod answer;
mod call;
mod conntrack;
mod header;
mod ids;
mod lookup;
mod nested;
mod part;
mod record;
mod wait;

pub use answer::Answer;
pub use call::Call;
pub use conntrack::{Conntrack, ConntrackLayout, Direction, State};
pub use header::{Detail, Headers, Proto, TcpSegment, Tuple};
pub use ids::{DeviceName, DropReason, PacketId};
pub use lookup::{Lookup, RouteKind};
pub use nested::{Nested, Wrapper};
pub use part::Part;
pub use record::{Captured, Event, Origin, Record, decode};
pub use wait::{Wait, WaitStage, WaitState};
