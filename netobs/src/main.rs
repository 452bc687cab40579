//! The `netobs` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    netobs::cli::run()
}
