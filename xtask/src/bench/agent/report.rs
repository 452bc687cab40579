//! The tables, with the aims beside them.

use std::time::Duration;

use anyhow::Result;

use super::crowd::Scale;
use super::{Inside, Mode, Rates, Scales};
use crate::bench::figures::Grouped;

const MEBIBYTE: f64 = 1_048_576.0;

impl Mode {
    const fn title(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::Tcpdump => "tcpdump on both veths",
            Self::Bpftrace => "bpftrace counting",
            Self::Floor => "programs that do nothing",
            Self::Agent => "netobs agent",
            Self::Measured => "  with --program-stats",
        }
    }

    /// The share of bare that is aimed at.
    const fn aim(self) -> &'static str {
        match self {
            Self::Bare | Self::Tcpdump | Self::Bpftrace | Self::Floor | Self::Measured => "",
            Self::Agent => "≥ 0.95",
        }
    }
}

/// Prints everything that was measured.
pub fn print(
    rates: &[Rates; Mode::ALL.len()],
    inside: &Result<Inside>,
    scales: &Scales,
    rounds: u32,
    window: Duration,
    took: Duration,
) {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    println!("UDP flood of 64 bytes, c1 → bridge → c2, {rounds} rounds of {} s each", window.as_secs());
    println!("kernel {}, {cpus} CPUs; the whole run took {:.0} s\n", kernel.trim(), took.as_secs_f64());
    println!("{:26}{:>32}{:>22}{:>9}", "", "packets/s: median (spread)", "share of bare", "aim");
    for (mode, rates) in Mode::ALL.into_iter().zip(rates) {
        let rate = rates.rate.show(|rate| Grouped(rate as u64).to_string());
        let share = rates.share.show(|share| format!("{share:.2}"));
        println!("{:26}{rate:>32}{share:>22}{:>9}", mode.title(), mode.aim());
    }
    match inside {
        Ok(inside) => programs(inside),
        Err(error) => println!("\nskipped what each program costs: {error:#}"),
    }
    if !scales.is_empty() {
        println!("\n{:14}{:>32}{:>12}{:>12}{:>16}", "namespaces", "scrape, ms", "CPU, ms", "series", "resident, MiB");
    }
    for (namespaces, Scale { scrape, cpu, series, resident, .. }) in scales {
        let scrape = scrape.show(|seconds| format!("{:.1}", seconds * 1e3));
        let (cpu, series) = (format!("{:.1}", cpu * 1e3), Grouped(*series as u64).to_string());
        let resident = resident.map_or_else(|| "–".to_owned(), |bytes| format!("{:.1}", bytes as f64 / MEBIBYTE));
        println!("{namespaces:<14}{scrape:>32}{cpu:>12}{series:>12}{resident:>16}");
    }
    if let Some((namespaces, idle)) = scales.iter().find_map(|(namespaces, scale)| Some((namespaces, scale.idle?))) {
        println!("\naims: a scrape of 1000 ≤ 50 ms, resident among 10 ≤ 40 MiB");
        println!("idle among {namespaces}, a scrape every 15 s: {:.2} % of a CPU (aim ≤ 0.5 %)", idle * 100.0);
    }
}

/// What the programs cost.
fn programs(inside: &Inside) {
    println!("\nthe kernel keeping statistics (its clock is part of what they show)");
    println!("{:26}{:>16}{:>16}{:>22}", "program", "ns a run", "runs a packet", "ns a packet");
    let packets = inside.packets.max(1.0);
    for cost in inside.costs.iter().filter(|cost| cost.runs > 0) {
        let (runs, nanoseconds) = (cost.runs as f64, cost.nanoseconds as f64);
        let (a_run, runs, a_packet) = (nanoseconds / runs, runs / packets, nanoseconds / packets);
        println!("{:26}{a_run:>16.0}{runs:>16.2}{a_packet:>22.0}", cost.name);
    }
    let total: u64 = inside.costs.iter().map(|cost| cost.nanoseconds).sum();
    println!("{:26}{:>54.0}", "all", total as f64 / packets);
}
