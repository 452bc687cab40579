//! Errors that carry one of the contract's exit statuses other than "failed".

/// Why a command was refused. Any other error ends the program with status 1.
///
/// Put one at the bottom of an `anyhow` chain (`return Err(Refusal::Usage(…).into())`): the whole chain is printed on
/// one line and the status is taken from it.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// What the user asked for makes no sense: exit status 2.
    #[error("{0}")]
    Usage(String),
    /// Not permitted, or not supported by this kernel: exit status 3.
    #[error("{0}")]
    NotPermitted(String),
}
