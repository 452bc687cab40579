//! Why the kernel refused a program, in one line.

use aya::programs::ProgramError;

/// What the verifier ends its log with, whatever happened (`print_verification_stats`).
const STATISTICS: [&str; 4] = ["processed ", "verification time ", "stack depth ", "max_states_per_insn "];

/// A verifier log has thousands of lines; the last that says something is the reason.
pub(super) fn of_verifier(error: &std::io::Error, log: &str) -> String {
    let is_reason = |line: &&str| !line.is_empty() && !STATISTICS.iter().any(|start| line.starts_with(start));
    let reason = log.lines().rev().find(is_reason).map(|line| format!(": {line}")).unwrap_or_default();
    format!("the kernel refused the program: {error}{reason}")
}

/// Whatever else aya has to say, with what is behind it.
pub(super) fn of_aya(error: &ProgramError) -> String {
    match error {
        ProgramError::LoadError { io_error, verifier_log } => of_verifier(io_error, &verifier_log.to_string()),
        other => {
            let mut text = other.to_string();
            let mut source = std::error::Error::source(other);
            while let Some(cause) = source {
                text = format!("{text}: {cause}");
                source = cause.source();
            }
            text
        }
    }
}
