//! The table, with the aims beside it.

use std::time::Duration;

use anyhow::Result;

use super::figures::{Figures, Grouped};
use super::programs::Cost;
use super::rounds::Rates;
use super::trace::{Idle, Inside, Measured, Mode};

const MEBIBYTE: f64 = 1_048_576.0;

impl Mode {
    const fn title(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::Tcpdump => "tcpdump on both veths",
            Self::Floor => "programs that do nothing",
            Self::Nothing => "netobs, matching nothing",
            Self::Everything => "netobs, matching all",
        }
    }

    /// The share of bare that is aimed at.
    const fn aim(self) -> &'static str {
        match self {
            Self::Bare | Self::Tcpdump | Self::Floor => "",
            Self::Nothing => "≥ 0.92",
            Self::Everything => "≥ 0.45",
        }
    }
}

/// What was measured, and the head of the table of rates.
pub fn heading(rounds: u32, window: Duration, took: Duration) {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    println!("UDP flood of 64 bytes, c1 → bridge → c2, {rounds} rounds of {} s each", window.as_secs());
    println!("kernel {}, {cpus} CPUs; the whole run took {:.0} s\n", kernel.trim(), took.as_secs_f64());
    println!("{:26}{:>32}{:>22}{:>9}", "", "packets/s: median (spread)", "share of bare", "aim");
}

/// A line of the table of rates.
pub fn rate(title: &str, rates: &Rates, aim: &str) {
    let rate = rates.rate.show(|rate| Grouped(rate as u64).to_string());
    let share = rates.share.show(|share| format!("{share:.2}"));
    println!("{title:26}{rate:>32}{share:>22}{aim:>9}");
}

/// What each program costs a run and a packet.
pub fn costs(costs: &[Cost], packets: f64) {
    println!("{:26}{:>16}{:>16}{:>22}", "program", "ns a run", "runs a packet", "ns a packet");
    let packets = packets.max(1.0);
    for cost in costs.iter().filter(|cost| cost.runs > 0) {
        let (runs, nanoseconds) = (cost.runs as f64, cost.nanoseconds as f64);
        let (a_run, runs, a_packet) = (nanoseconds / runs, runs / packets, nanoseconds / packets);
        println!("{:26}{a_run:>16.0}{runs:>16.2}{a_packet:>22.0}", cost.name);
    }
    let total: u64 = costs.iter().map(|cost| cost.nanoseconds).sum();
    println!("{:26}{:>54.0}", "all", total as f64 / packets);
}

/// Prints everything that was measured.
pub fn print(
    rates: &[Rates; Mode::ALL.len()],
    [nothing, everything]: &[Measured; 2],
    idle: &Idle,
    inside: &[Result<Inside>; 2],
    rounds: u32,
    window: Duration,
    took: Duration,
) {
    heading(rounds, window, took);
    for (mode, rates) in Mode::ALL.into_iter().zip(rates) {
        rate(mode.title(), rates, mode.aim());
    }
    println!("\n{:26}{:>32}{:>22}{:>9}", "seconds", "while idle", "under the flood", "aim");
    let seconds = |figures: &Figures| figures.show(|seconds| format!("{seconds:.3}"));
    let line =
        |title: &str, idle: String, flood: String, aim: &str| println!("{title:26}{idle:>32}{flood:>22}{aim:>9}");
    line("attach", seconds(&idle.attach), String::new(), "≤ 0.5");
    line("  of it netobs on a CPU", seconds(&idle.attach_cpu), String::new(), "");
    line("  matching nothing", String::new(), seconds(&nothing.attach), "");
    line("  matching all", String::new(), seconds(&everything.attach), "");
    line("detach", seconds(&idle.detach), String::new(), "≤ 0.2");
    line("  matching nothing", String::new(), seconds(&nothing.detach), "");
    line("  matching all", String::new(), seconds(&everything.detach), "");
    println!("\n{:26}{:>32}{:>22}", "netobs itself", "CPUs used", "peak memory, MiB");
    for (title, measured) in [(Mode::Nothing.title(), nothing), (Mode::Everything.title(), everything)] {
        let cpus = measured.cpus.show(|cpus| format!("{cpus:.2}"));
        println!("{title:26}{cpus:>32}{:>22}", measured.peak.show(|bytes| format!("{:.0}", bytes / MEBIBYTE)));
    }
    for failure in nothing.failures.iter().chain(&everything.failures) {
        println!("netobs did not end well: {failure}");
    }
    for (mode, inside) in [Mode::Nothing, Mode::Everything].into_iter().zip(inside) {
        match inside {
            Ok(inside) => programs(mode, inside),
            Err(error) => println!("\n{}: skipped what each program costs: {error:#}", mode.title()),
        }
    }
}

/// What the programs cost, and what came out of them.
fn programs(mode: Mode, inside: &Inside) {
    println!("\n{}, the kernel keeping statistics (its clock is part of what they show)", mode.title());
    costs(&inside.costs, inside.packets);
    if let Some(failure) = &inside.failure {
        println!("netobs did not end well: {failure}");
    }
    let number = |path: &str| inside.summary.as_ref().and_then(|summary| summary.pointer(path)?.as_u64());
    if let (Some(packets), Some(events), Some(decoded)) = (number("/packets"), number("/events"), number("/decoded")) {
        println!(
            "{} packets printed; {} events, {} decoded; lost:",
            Grouped(packets),
            Grouped(events),
            Grouped(decoded)
        );
        let lost = inside.summary.as_ref().and_then(|summary| summary.get("lost")?.as_object());
        for (what, count) in lost.into_iter().flatten() {
            println!(
                "  {what}: {}",
                count.as_u64().map_or_else(|| count.to_string(), |count| Grouped(count).to_string())
            );
        }
    }
}
