//! What failed once: is it broken, or unsteady?
//!
//! The tests run against real kernels on whatever machine there is, and a machine may do anything at any time. One that
//! fails is run once more by itself. If it passes then, that is told aloud with what it printed when it failed, and what
//! failed twice has failed.

use super::report::Row;

/// A run in which more tests than these were unsteady has failed.
pub const MOST: usize = 3;

/// Runs the tests that failed once more, unless there are too many or the executable did not come to its end.
pub fn again(first: Row, run: impl FnOnce(&[String]) -> Row) -> Row {
    let names = &first.tally.failures;
    if names.is_empty() || names.len() > MOST || names.len() != first.tally.failed {
        return first;
    }
    let second = run(names);
    let both = format!("{}\n\nonce more, by itself:\n{}", first.output.trim_end(), second.output);
    let mut row = Row { time: first.time + second.time, output: both, ..first };
    if second.tally.failed == 0 && second.tally.passed == row.tally.failed {
        row.tally.passed += row.tally.failed;
        row.tally.failed = 0;
        row.tally.unsteady = std::mem::take(&mut row.tally.failures);
    }
    row
}

/// What selects these tests and no other.
pub fn exactly(names: &[String]) -> Vec<&str> {
    ["--exact"].into_iter().chain(names.iter().map(String::as_str)).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::test::libtest::Tally;

    fn row(passed: usize, failures: &[&str]) -> Row {
        let failures: Vec<String> = failures.iter().map(|name| (*name).to_owned()).collect();
        Row {
            kernel: String::new(),
            stage: String::new(),
            tally: Tally { passed, failed: failures.len(), failures, ..Tally::default() },
            time: Duration::ZERO,
            output: String::new(),
        }
    }

    #[test]
    fn what_passes_then_is_unsteady() {
        let told = again(row(2, &["a", "b"]), |names| row(names.len(), &[])).tally;
        assert_eq!((told.passed, told.failed, told.unsteady), (4, 0, vec!["a".to_owned(), "b".to_owned()]));
    }

    #[test]
    fn what_fails_again_has_failed() {
        let told = again(row(2, &["a", "b"]), |_| row(1, &["b"])).tally;
        assert_eq!((told.passed, told.failed, told.unsteady), (2, 2, Vec::new()));
        // Nor is it enough that it could not run.
        assert_eq!(again(row(2, &["a"]), |_| row(0, &[])).tally.failed, 1);
    }

    #[test]
    fn what_is_broken_is_not_run_again() {
        let unasked = |_: &[String]| -> Row { unreachable!("it was run again") };
        assert_eq!(again(row(0, &["a", "b", "c", "d"]), unasked).tally.failed, 4);
        let mut early = row(1, &["a"]);
        early.tally.failed = 2;
        assert_eq!(again(early, unasked).tally.failed, 2);
    }
}
