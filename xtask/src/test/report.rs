//! What is printed while stages run, and the table at the end.

use std::time::Duration;

use super::again::MOST;
use super::libtest::Tally;

/// One stage on one kernel.
pub struct Row {
    /// The kernel's release, or what stands for the running one.
    pub kernel: String,
    /// What ran.
    pub stage: String,
    /// What it came to.
    pub tally: Tally,
    /// How long it took.
    pub time: Duration,
    /// All that it printed, for when something failed.
    pub output: String,
}

impl Row {
    /// A stage that could not even be tried, so that all after it are missing.
    pub fn broken(stage: &str, error: &anyhow::Error) -> Self {
        Self {
            kernel: "-".to_owned(),
            stage: stage.to_owned(),
            tally: Tally::failed(),
            time: Duration::ZERO,
            output: format!("{error:#}"),
        }
    }

    /// Every skipped test with its reason; in one line, if all were skipped for the same.
    fn skipped(&self) -> Vec<String> {
        let Tally { passed, failed, skipped, .. } = &self.tally;
        let mut reasons: Vec<&str> = skipped.iter().filter_map(|line| Some(line.split_once(": ")?.1)).collect();
        reasons.dedup();
        match &*reasons {
            [reason] if passed + failed == 0 => vec![format!("all {}: {reason}", skipped.len())],
            _ => skipped.clone(),
        }
    }
}

/// All stages that have run.
#[derive(Default)]
pub struct Report {
    rows: Vec<Row>,
}

impl Report {
    /// Prints a line for the stage, and its output when it failed, and keeps it for the table.
    pub fn add(&mut self, row: Row) {
        let Tally { passed, failed, unsteady, skipped, .. } = &row.tally;
        let seconds = row.time.as_secs_f64();
        println!(
            "test: {} {}: {passed} passed, {failed} failed, {} skipped, {seconds:.1} s",
            row.kernel,
            row.stage,
            skipped.len()
        );
        if *failed > 0 || !unsteady.is_empty() {
            println!("{}\ntest: that was {} {}\n", row.output.trim_end(), row.kernel, row.stage);
        }
        self.rows.push(row);
    }

    /// Whether anything failed, too much was unsteady, or nothing ran.
    pub fn failed(&self) -> bool {
        self.sum(|tally| tally.failed) > 0
            || self.sum(|tally| tally.unsteady.len()) > MOST
            || self.sum(|tally| tally.passed + tally.skipped.len()) == 0
    }

    fn sum(&self, count: impl Fn(&Tally) -> usize) -> usize {
        self.rows.iter().map(|row| count(&row.tally)).sum()
    }

    /// Prints the table, what was skipped with the reasons, what was unsteady, and the line that CI reads.
    pub fn print(&self, time: Duration) {
        let width = |text: fn(&Row) -> &str, title: &str| {
            self.rows.iter().map(|row| text(row).len()).chain([title.len()]).max().unwrap_or_default()
        };
        let (kernel, stage) = (width(|row| &row.kernel, "kernel"), width(|row| &row.stage, "stage"));
        println!("\n{:kernel$}  {:stage$}  passed  failed  skipped  seconds", "kernel", "stage");
        for row in &self.rows {
            let Tally { passed, failed, skipped, .. } = &row.tally;
            let (name, what, seconds) = (&row.kernel, &row.stage, row.time.as_secs_f64());
            println!("{name:kernel$}  {what:stage$}  {passed:>6}  {failed:>6}  {:>7}  {seconds:>7.1}", skipped.len());
        }
        println!(
            "{:kernel$}  {:stage$}  {:>6}  {:>6}  {:>7}  {:>7.1}",
            "",
            "wall clock",
            "",
            "",
            "",
            time.as_secs_f64()
        );
        if self.sum(|tally| tally.skipped.len()) > 0 {
            println!("\nskipped:");
        }
        for row in &self.rows {
            for skipped in row.skipped() {
                println!("  {} {}: {skipped}", row.kernel, row.stage);
            }
        }
        if self.sum(|tally| tally.unsteady.len()) > 0 {
            println!("\nunsteady: failed, and passed when run once more (more than {MOST} fail the run):");
        }
        for row in &self.rows {
            for name in &row.tally.unsteady {
                println!("  {} {}: {name}", row.kernel, row.stage);
            }
        }
        let (passed, failed) = (self.sum(|tally| tally.passed), self.sum(|tally| tally.failed));
        println!("\n{passed} passed, {failed} failed, {} skipped", self.sum(|tally| tally.skipped.len()));
    }
}
