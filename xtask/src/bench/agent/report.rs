//! The tables, with the aims beside them.

use std::time::Duration;

use anyhow::Result;

use super::crowd::Scale;
use super::{Inside, Mode, Scales};
use crate::bench::figures::Grouped;
use crate::bench::report::{costs, heading, rate};
use crate::bench::rounds::Rates;

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
    heading(rounds, window, took);
    for (mode, rates) in Mode::ALL.into_iter().zip(rates) {
        rate(mode.title(), rates, mode.aim());
    }
    match inside {
        Ok(inside) => {
            println!("\nthe kernel keeping statistics (its clock is part of what they show)");
            costs(&inside.costs, inside.packets);
        }
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
