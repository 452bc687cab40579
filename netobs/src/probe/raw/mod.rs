//! Programs and links that aya has no loader for, made with `bpf(2)` directly: netfilter programs, programs on many
//! functions at once, and the same program loaded several times.
//!
//! They come from the same object as all others and share its maps.

mod batch;
mod function;
mod link;
mod object;
mod syscall;

pub(super) use batch::entries;
pub(super) use function::{Function, NO_KPROBES, has_kprobes};
pub(super) use link::{Link, NetfilterHook};
pub(super) use object::{Program, RawObject, Type};
pub(super) use syscall::{AttributeBuffer, bpf};
