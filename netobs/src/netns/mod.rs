//! Network namespaces: opening one by any name a person gives it, and running code inside it.

mod cookie;
mod enter;
mod error;
mod handle;
mod pinned;

pub use cookie::NetnsCookie;
pub use enter::{fresh_netns, in_each_netns, in_netns};
pub use error::{Error, Result};
pub use handle::{Netns, NetnsInode, host_path};
pub use pinned::{PINS, Pinned, pin_path, pinned};
