//! A small synchronous rtnetlink client: links, addresses, routes and namespace ids of any namespace.
//!
//! A [`Socket`] belongs to the namespace it was opened in and stays there. Changes are [`Request`]s, made by the
//! functions of [`change`]; several go to the kernel in one system call and each is answered for itself.

pub mod change;
pub mod fault;
pub mod remove;
pub mod tc;

mod address;
mod diag;
mod error;
mod ifindex;
mod link;
mod lookup;
pub(crate) mod message;
mod neighbour;
pub mod nftables;
mod nsid;
mod request;
mod route;
mod socket;
mod statistics;
#[cfg(test)]
mod tests;

pub use address::{Address, within};
pub use diag::{DiagSocket, InetSocket, Transport};
pub use error::{Error, Result};
pub use ifindex::Ifindex;
pub use link::{Link, MacAddress, Operstate, Vxlan};
pub use lookup::{Found, Refusal, RouteAnswer, RouteQuery};
pub use neighbour::{Neighbour, NeighbourState};
pub use nsid::NetnsId;
pub use request::Request;
pub use route::Route;
pub use socket::Socket;
pub use statistics::{LinkStatistics, Traffic};
