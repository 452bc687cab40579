//! What every command line has in common: help, version, and the exit statuses of the contract.

#![expect(clippy::expect_used, reason = "a test that cannot go on fails, in its helpers too")]

use std::process::{Command, Output};

/// The netobs under test: in an emulated machine it is not where cargo built it.
fn netobs(arguments: &[&str]) -> Output {
    let program = std::env::var_os("NETOBS_BIN").unwrap_or_else(|| env!("CARGO_BIN_EXE_netobs").into());
    Command::new(program).args(arguments).output().expect("netobs starts")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("netobs prints UTF-8")
}

#[test]
fn help_and_version_are_printed_and_succeed() {
    for (argument, expected) in
        [("--help", "Usage: netobs"), ("--version", concat!("netobs ", env!("CARGO_PKG_VERSION")))]
    {
        let output = netobs(&[argument]);
        assert_eq!(output.status.code(), Some(0), "{argument}");
        assert!(text(&output.stdout).contains(expected), "{argument} printed {}", text(&output.stdout));
        assert_eq!(text(&output.stderr), "", "{argument}");
    }
}

#[test]
fn wrong_usage_is_exit_status_2_and_leaves_standard_output_alone() {
    for arguments in [&["no-such-command"][..], &["--no-such-option"], &[]] {
        let output = netobs(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert_eq!(text(&output.stdout), "", "{arguments:?}");
        assert!(text(&output.stderr).contains("Usage"), "{arguments:?} printed {}", text(&output.stderr));
    }
}
