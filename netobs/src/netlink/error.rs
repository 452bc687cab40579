use std::io;

/// What went wrong between us and the kernel's netlink.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The socket could not be opened in the namespace.
    #[error("open a netlink socket: {0}")]
    Open(#[source] io::Error),
    /// The namespace could not be entered.
    #[error(transparent)]
    Netns(#[from] crate::netns::Error),
    /// Sending to, or receiving from, the kernel failed.
    #[error("{what}: netlink {call}: {source}")]
    Transport {
        /// The operation and its object.
        what: String,
        /// `send` or `receive`.
        call: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The kernel refused the request.
    #[error("{what}: {source}{}", .hint.as_deref().map(|hint| format!(" ({hint})")).unwrap_or_default())]
    Refused {
        /// The operation and its object.
        what: String,
        /// The errno the kernel answered.
        source: io::Error,
        /// The kernel's own sentence (extended ACK), where it gave one.
        hint: Option<String>,
    },
    /// The kernel's answer could not be decoded.
    #[error("{what}: cannot decode the kernel's answer: {reason}")]
    Decode {
        /// The operation and its object.
        what: String,
        /// What was wrong with it.
        reason: String,
    },
    /// The objects changed while they were listed, every time.
    #[error("{what}: the list kept changing while it was read")]
    Unsteady {
        /// The operation.
        what: String,
    },
}

impl Error {
    /// The errno of a request that the kernel refused.
    pub fn errno(&self) -> Option<i32> {
        match self {
            Self::Refused { source, .. } => source.raw_os_error(),
            Self::Open(_) | Self::Netns(_) | Self::Transport { .. } | Self::Decode { .. } | Self::Unsteady { .. } => {
                None
            }
        }
    }
}

/// A result whose error names the operation and the object.
pub type Result<T> = std::result::Result<T, Error>;
