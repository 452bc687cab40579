//! What each eBPF program costs a run, by the kernel's own statistics.

use std::collections::HashSet;
use std::fs;
use std::process::Command;

use anyhow::{Context, Result};

use crate::command::{CommandExt, which};

const SWITCH: &str = "/proc/sys/kernel/bpf_stats_enabled";

/// The kernel keeps statistics of eBPF programs until this is dropped; then what was set before is set again.
pub struct Statistics {
    before: String,
}

impl Statistics {
    /// Switches them on. They cost every program of the machine two reads of the clock a run.
    pub fn keep() -> Result<Self> {
        let before = fs::read_to_string(SWITCH).with_context(|| format!("cannot read {SWITCH}"))?;
        fs::write(SWITCH, "1").with_context(|| format!("cannot write {SWITCH}"))?;
        Ok(Self { before })
    }
}

impl Drop for Statistics {
    fn drop(&mut self) {
        if let Err(error) = fs::write(SWITCH, self.before.trim()) {
            eprintln!("xtask: {SWITCH} is not {} again: {error}", self.before.trim());
        }
    }
}

/// One program's statistics.
#[derive(Debug, PartialEq, Eq)]
pub struct Cost {
    /// The kernel's number of the program.
    pub id: u64,
    /// The program's name.
    pub name: String,
    /// How often it ran.
    pub runs: u64,
    /// Nanoseconds spent in it.
    pub nanoseconds: u64,
}

/// Statistics of the programs that a process holds.
pub fn of_process(pid: u32) -> Result<Vec<Cost>> {
    let bpftool = which("bpftool").context("there is no bpftool")?;
    let listed = Command::new(bpftool).args(["--json", "prog", "show"]).capture()?;
    let listed: Vec<serde_json::Value> = serde_json::from_str(&listed).context("bpftool prints no JSON")?;
    Ok(of_programs(&listed, &held_by(pid)?))
}

/// What was added since `before`, the dearest first.
pub fn since(before: &[Cost], mut now: Vec<Cost>) -> Vec<Cost> {
    for cost in &mut now {
        if let Some(before) = before.iter().find(|before| before.id == cost.id) {
            cost.runs = cost.runs.saturating_sub(before.runs);
            cost.nanoseconds = cost.nanoseconds.saturating_sub(before.nanoseconds);
        }
    }
    now.sort_by_key(|cost| std::cmp::Reverse(cost.nanoseconds));
    now
}

fn of_programs(listed: &[serde_json::Value], ids: &HashSet<u64>) -> Vec<Cost> {
    let number = |program: &serde_json::Value, field: &str| program.get(field).and_then(serde_json::Value::as_u64);
    let mut costs = Vec::new();
    for program in listed {
        let Some(id) = number(program, "id").filter(|id| ids.contains(id)) else { continue };
        let name = program.get("name").and_then(serde_json::Value::as_str).unwrap_or("?").to_owned();
        // Both fields are missing while a program has not run.
        let (runs, nanoseconds) = (number(program, "run_cnt"), number(program, "run_time_ns"));
        costs.push(Cost { id, name, runs: runs.unwrap_or(0), nanoseconds: nanoseconds.unwrap_or(0) });
    }
    costs
}

/// Ids of the programs a process has open (`bpf_prog_show_fdinfo`). A link's entry names its program too.
fn held_by(pid: u32) -> Result<HashSet<u64>> {
    let directory = format!("/proc/{pid}/fdinfo");
    let mut ids = HashSet::new();
    for entry in fs::read_dir(&directory).with_context(|| format!("cannot list {directory}"))?.flatten() {
        // A descriptor may be closed meanwhile.
        let text = fs::read_to_string(entry.path()).unwrap_or_default();
        ids.extend(text.lines().find_map(|line| line.strip_prefix("prog_id:")?.trim().parse::<u64>().ok()));
    }
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_own_programs_the_dearest_first() {
        let listed = serde_json::json!([
            {"id": 1, "name": "a", "run_time_ns": 10, "run_cnt": 2},
            {"id": 2, "name": "b", "run_time_ns": 99, "run_cnt": 5},
            {"id": 3, "name": "others", "run_time_ns": 5, "run_cnt": 1},
            {"id": 4, "name": "idle"},
        ]);
        let now = of_programs(listed.as_array().unwrap(), &HashSet::from([1, 2, 4]));
        let before = [Cost { id: 2, name: "b".into(), runs: 2, nanoseconds: 9 }];
        let costs = since(&before, now);
        let figures: Vec<_> = costs.iter().map(|cost| (cost.name.as_str(), cost.runs, cost.nanoseconds)).collect();
        assert_eq!(figures, [("b", 3, 90), ("a", 2, 10), ("idle", 0, 0)]);
    }
}
