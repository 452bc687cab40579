//! What netfilter makes of the asked packet in a namespace on its way.
//!
//! [`Traveller`] is the packet in thought. The walk takes it from namespace to namespace ([`Traveller::enter`]), and
//! through each hook there ([`pass`]), where the namespace's own rules may rewrite or drop it. What is dropped is told
//! and goes on all the same: so a second rule further on is found, too. Each namespace keeps the flow as its conntrack
//! would ([`Traveller::flow`]), by which the answer is rewritten back ([`Traveller::comes_back`]).

mod drops;
mod flow;
mod keeper;
mod nat;
mod pass;
mod port;
mod table;
mod traveller;

pub use flow::{Flow, Flows};
pub use nat::CLASH;
pub use pass::{Hop, Passed, Place, pass};
pub use table::table;
pub use traveller::Traveller;
