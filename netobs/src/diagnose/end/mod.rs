//! What waits at the end of the way: a socket, the name server that the endpoint asks, memory to live in.

mod echo;
mod kill;
mod listener;
mod memory;
mod resolver;

pub use echo::ignores_echo;
pub use listener::{Arrival, Behind, listener};
pub use memory::memory;
