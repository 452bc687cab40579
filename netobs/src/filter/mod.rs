//! pcap-filter expressions, run in the kernel before anything is reserved or copied.
//!
//! ```text
//! expression ─libpcap─▶ classic BPF ─convert─▶ eBPF ─patch─▶ placeholder in the object ─▶ aya
//! ```
//!
//! A hook sees a packet either from its Ethernet header on or from its IP header on, so an expression is compiled twice
//! and fills two placeholders, `filter_l2` and `filter_l3`. What only makes sense on Ethernet (`ether host`, `vlan`,
//! `arp`) leaves the second one as "never matches".
//!
//! Limits that follow from where this runs:
//! - Only the first [`HEADER_BYTES`](netobs_ebpf::HEADER_BYTES) bytes of a packet are looked at. An expression that
//!   names a byte behind them is refused; one that computes its offset does not match there.
//! - A VLAN tag that the device or kernel has taken out of the packet (`skb->vlan_tci`) is not in those bytes, so `vlan`
//!   sees inner and software tags only.
//! - `inbound`, `outbound`, `ifindex` and the like ask the capturing socket, which does not exist here: refused.
//! - A host name in an expression is resolved once, at compile time, by the system's resolver, in the network namespace
//!   of the calling process.

mod classic;
mod convert;
mod ebpf;
pub mod libpcap;
mod libpcap_stubs;
mod patch;

use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use crate::output::shortened;

pub use classic::ClassicInsn;
pub use convert::{ConvertError, convert};
pub use ebpf::Insn;
pub use libpcap::{CompileError, LinkLayer};
pub use patch::{PatchError, patch};

/// Longer expressions are refused unread: libpcap's optimiser takes cubic time and recurses once per test.
pub const MAX_EXPRESSION: usize = 16 * 1024;

/// How long libpcap may work on one expression. 300 `or`s of ports take it three seconds, a name that does not resolve
/// as long as the resolver likes.
const PATIENCE: Duration = Duration::from_secs(10);

/// Characters of an expression that go into a message of one line.
const SHOWN: usize = 60;

/// libpcap's recursion fits into 8 MiB for 40 kB of expression; threads get 2 MiB unless asked. Untouched pages are free.
const COMPILER_STACK: usize = 64 << 20;

/// The placeholder called with a packet that starts with its Ethernet header.
const PLACEHOLDER_L2: &str = "filter_l2";
/// The placeholder called with a packet that starts with its IP header.
const PLACEHOLDER_L3: &str = "filter_l3";

/// Why an expression cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FilterError {
    /// Longer than [`MAX_EXPRESSION`].
    #[error("the filter is {0} bytes long, the most is {MAX_EXPRESSION}: use `net`, `portrange` or fewer terms")]
    TooLong(usize),
    /// libpcap is still at it after ten seconds.
    #[error(
        "filter `{}`: not compiled after {} s; it has too many terms, or a host name that does not resolve",
        shortened(.0, SHOWN), PATIENCE.as_secs()
    )]
    TooSlow(String),
    /// libpcap refuses the expression.
    #[error("filter `{}`: {source}", shortened(.expression, SHOWN))]
    Syntax {
        /// What the user wrote.
        expression: String,
        /// libpcap's reason.
        source: CompileError,
    },
    /// The expression is right, but asks for something that is not there in the kernel programs.
    #[error("filter `{}`: {source}", shortened(.expression, SHOWN))]
    Unsupported {
        /// What the user wrote.
        expression: String,
        /// What it asks for.
        source: ConvertError,
    },
    /// The compiling thread could not be started.
    #[error("start a thread to compile the filter: {0}")]
    Thread(#[source] std::io::Error),
    /// The program does not fit into the object.
    #[error("put the filter into the eBPF object: {0}")]
    Patch(#[from] PatchError),
}

/// An expression, compiled for both places a packet can start at.
#[derive(Clone, Debug)]
pub struct Filter {
    l2: Vec<Insn>,
    l3: Vec<Insn>,
}

impl Filter {
    /// Compiles an expression in pcap-filter syntax. The empty expression matches everything.
    ///
    /// # Errors
    ///
    /// libpcap refuses it or takes too long, or it asks for what kernel programs cannot see.
    pub fn compile(expression: &str) -> Result<Self, FilterError> {
        if expression.len() > MAX_EXPRESSION {
            return Err(FilterError::TooLong(expression.len()));
        }
        let (done, result) = sync_channel(1);
        let owned = expression.to_owned();
        // A thread, because libpcap can neither be interrupted nor told how deep it may recurse. One that is late is
        // left behind; its owner is about to end with an error anyway.
        std::thread::Builder::new()
            .name("filter-compiler".to_owned())
            .stack_size(COMPILER_STACK)
            .spawn(move || {
                // Nobody listens any more when it was too slow.
                let _ = done.send(compile_both(&owned));
            })
            .map_err(FilterError::Thread)?;
        match result.recv_timeout(PATIENCE) {
            Ok(filter) => filter,
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                Err(FilterError::TooSlow(expression.to_owned()))
            }
        }
    }

    /// The program for packets that start with their Ethernet header.
    pub fn l2(&self) -> &[Insn] {
        &self.l2
    }

    /// The program for packets that start with their IP header.
    pub fn l3(&self) -> &[Insn] {
        &self.l3
    }

    /// A copy of an eBPF object in which the placeholders run this filter.
    ///
    /// # Errors
    ///
    /// The object has no such placeholders, or they are too small for this filter.
    pub fn apply_to(&self, object: &[u8]) -> Result<Vec<u8>, FilterError> {
        let object = patch(object, PLACEHOLDER_L2, &self.l2)?;
        Ok(patch(&object, PLACEHOLDER_L3, &self.l3)?)
    }
}

fn compile_both(expression: &str) -> Result<Filter, FilterError> {
    let syntax = |source| FilterError::Syntax { expression: expression.to_owned(), source };
    let unsupported = |source| FilterError::Unsupported { expression: expression.to_owned(), source };
    let l2 = libpcap::compile(expression, LinkLayer::Ethernet).map_err(syntax)?;
    let l2 = convert(&l2).map_err(unsupported)?;
    let l3 = match libpcap::compile(expression, LinkLayer::Raw) {
        Ok(program) => program,
        // Ethernet understood it, so it is no typing error: it speaks of what a bare IP packet does not have.
        Err(CompileError::Refused(_)) => vec![ClassicInsn::REJECT],
        Err(error @ (CompileError::Nul | CompileError::OutOfMemory)) => return Err(syntax(error)),
    };
    Ok(Filter { l2, l3: convert(&l3).map_err(unsupported)? })
}
