//! Reading what Rust's test harness prints.

/// What a stage's tests came to.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Tally {
    /// How many passed.
    pub passed: usize,
    /// How many failed.
    pub failed: usize,
    /// The names of those that failed, as far as they were told.
    pub failures: Vec<String>,
    /// The names of those that failed, and passed when they were run once more. They are among those that passed.
    pub unsteady: Vec<String>,
    /// Those that could not run here, as `name: reason`.
    pub skipped: Vec<String>,
}

impl Tally {
    /// One check that passed.
    pub fn passed() -> Self {
        Self { passed: 1, ..Self::default() }
    }

    /// One check that failed.
    pub fn failed() -> Self {
        Self { failed: 1, ..Self::default() }
    }
}

/// What one test executable printed.
///
/// A test that cannot run where it is says so by a line `SKIPPED name: reason` on its standard error, and passes.
/// Without the harness's closing line the executable did not come to its end, which is a failure.
pub fn parse(stdout: &str, stderr: &str) -> Tally {
    let mut tally = Tally::default();
    let mut closed = false;
    let mut ok = Vec::new();
    for line in stdout.lines() {
        if let Some(counts) = line.strip_prefix("test result: ") {
            closed = true;
            tally.passed += count(counts, "passed");
            tally.failed += count(counts, "failed");
        } else if let Some((name, result)) = line.strip_prefix("test ").and_then(|rest| rest.split_once(" ... ")) {
            if result == "ok" {
                ok.push(name);
            } else if result == "FAILED" {
                tally.failures.push(name.to_owned());
            } else if let Some(reason) = result.strip_prefix("ignored") {
                let reason = reason.trim_start_matches([',', ' ']);
                tally
                    .skipped
                    .push(format!("{name}: {}", if reason.is_empty() { "marked to be ignored" } else { reason }));
            }
        }
    }
    if !closed {
        tally.passed = ok.len();
        tally.failed = 1;
    }
    let mut seen: Vec<&str> = Vec::new();
    for line in stderr.lines().chain(stdout.lines()) {
        let Some((name, reason)) = line.strip_prefix("SKIPPED ").and_then(|rest| rest.split_once(':')) else {
            continue;
        };
        if !seen.contains(&name) {
            seen.push(name);
            tally.skipped.push(format!("{name}: {}", reason.trim()));
            // A part of a test may be skipped under a name of its own; then the test itself has passed.
            let is_whole_test = ok.iter().any(|test| *test == name || test.ends_with(&format!("::{name}")));
            tally.passed -= usize::from(is_whole_test && tally.passed > 0);
        }
    }
    tally
}

/// The number before a word in `ok. 3 passed; 0 failed; …`.
fn count(counts: &str, word: &str) -> usize {
    let words: Vec<&str> = counts.split([' ', ';']).collect();
    let number = words.windows(2).find(|pair| pair.get(1) == Some(&word)).and_then(|pair| pair.first());
    number.and_then(|number| number.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "\nrunning 5 tests\n\
        test lab::down ... ok\n\
        test lab::up ... ok\n\
        test lab::twice ... FAILED\n\
        test tcx ... ok\n\
        test slow ... ignored, takes an hour\n\
        test result: FAILED. 3 passed; 1 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.52s\n";

    fn tally(passed: usize, failed: usize, skipped: &[&str]) -> Tally {
        let skipped = skipped.iter().map(|line| (*line).to_owned()).collect();
        Tally { passed, failed, skipped, ..Tally::default() }
    }

    fn of_output(passed: usize, skipped: &[&str]) -> Tally {
        Tally { failures: vec!["lab::twice".to_owned()], ..tally(passed, 1, skipped) }
    }

    #[test]
    fn counts_come_from_the_closing_line() {
        assert_eq!(parse(OUTPUT, ""), of_output(3, &["slow: takes an hour"]));
    }

    #[test]
    fn skipped_tests_are_not_passed_and_count_once() {
        let stderr = "SKIPPED tcx: no TCX before 6.6\nSKIPPED tcx: again\nother\nSKIPPED up: no: root\n";
        let expected = of_output(1, &["slow: takes an hour", "tcx: no TCX before 6.6", "up: no: root"]);
        assert_eq!(parse(OUTPUT, stderr), expected);
    }

    #[test]
    fn a_skipped_part_leaves_its_test_passed() {
        let expected = of_output(3, &["slow: takes an hour", "case 7: not here"]);
        assert_eq!(parse(OUTPUT, "SKIPPED case 7: not here\n"), expected);
    }

    #[test]
    fn an_executable_that_ends_early_has_failed() {
        assert_eq!(parse("running 2 tests\ntest a ... ok\ntest b ... ", "Killed"), tally(1, 1, &[]));
        assert_eq!(parse("", ""), tally(0, 1, &[]));
    }
}
