//! `cargo xtask bench trace`: rounds of the same flood, watched in different ways.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;

use super::figures::Figures;
use super::flood::Flood;
use super::floor::{self, Floor};
use super::interrupt;
use super::lab::Lab;
use super::programs::{self, Cost, Statistics};
use super::report;
use super::rounds::{self, SETTLE};
use super::watcher::{Netobs, Tcpdump, tcpdump_works};
use crate::project::Project;

/// A filter of the usual kind that no packet of the flood matches.
const MATCHES_NOTHING: &str = "icmp and host 192.0.2.1";
/// How often attaching and detaching are measured while nothing else happens.
const IDLE_RUNS: u32 = 5;

/// Arguments of `cargo xtask bench trace`.
#[derive(Args)]
pub struct Arguments {
    /// How often everything is measured
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// How long the packets of one measurement are counted
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Measure this netobs instead of building one
    #[arg(long, value_name = "FILE")]
    netobs: Option<PathBuf>,
}

/// How the flood is watched.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Not at all.
    Bare,
    /// By tcpdump on both veths.
    Tcpdump,
    /// By programs that do nothing, at the hooks of netobs.
    Floor,
    /// By netobs, none of its packets wanted.
    Nothing,
    /// By netobs, every packet wanted.
    Everything,
}

impl Mode {
    /// Every mode, in the order of the table.
    pub const ALL: [Self; 5] = [Self::Bare, Self::Tcpdump, Self::Floor, Self::Nothing, Self::Everything];
}

/// What netobs itself took in one mode.
#[derive(Default)]
pub struct Measured {
    /// CPUs that the watching process itself used.
    pub cpus: Figures,
    /// Bytes it had resident at most.
    pub peak: Figures,
    /// Seconds to attach and to detach while the flood runs.
    pub attach: Figures,
    /// See `attach`.
    pub detach: Figures,
    /// What netobs said when it did not end well.
    pub failures: Vec<String>,
}

/// Attaching and detaching while nothing else happens, in seconds.
#[derive(Default)]
pub struct Idle {
    /// Start of the process to the line that says it is attached.
    pub attach: Figures,
    /// How much of it on a CPU.
    pub attach_cpu: Figures,
    /// Signal to end.
    pub detach: Figures,
}

/// One run with the kernel's statistics on, apart from the others since keeping them costs something.
pub struct Inside {
    /// Per program.
    pub costs: Vec<Cost>,
    /// Packets that the receiver's device got meanwhile.
    pub packets: f64,
    /// The summary netobs ended with.
    pub summary: Option<serde_json::Value>,
    /// What it said when it did not end well.
    pub failure: Option<String>,
}

/// Measures and prints a table.
pub fn run(project: &Project, arguments: &Arguments) -> Result<()> {
    let netobs = super::netobs(project, arguments.netobs.as_deref(), "trace")?;
    interrupt::defer()?;
    let began = Instant::now();
    let lab = Lab::up(&netobs)?;
    let idle = idle(&netobs)?;
    let bench = Bench { netobs: &netobs, lab: &lab, window: Duration::from_secs(arguments.seconds) };
    let mut measured: [Measured; 2] = Default::default();
    let rates = rounds::run(&lab, arguments.rounds, Mode::ALL, |flood, mode| bench.turn(flood, mode, &mut measured))?;
    let inside = [Some(MATCHES_NOTHING), None].map(|filter| bench.inside(filter));
    report::print(&rates, &measured, &idle, &inside, arguments.rounds, bench.window, began.elapsed());
    Ok(())
}

fn idle(netobs: &Path) -> Result<Idle> {
    let mut idle = Idle::default();
    for _ in 0..IDLE_RUNS {
        interrupt::check()?;
        let running = Netobs::start(netobs, Some(MATCHES_NOTHING), false)?;
        idle.attach.push(running.attach.as_secs_f64());
        idle.attach_cpu.extend(running.attach_cpu.map(|time| time.as_secs_f64()));
        std::thread::sleep(SETTLE);
        idle.detach.push(running.end().took.as_secs_f64());
    }
    Ok(idle)
}

struct Bench<'b> {
    netobs: &'b Path,
    lab: &'b Lab,
    window: Duration,
}

impl Bench<'_> {
    fn turn(&self, flood: &mut Flood, mode: Mode, measured: &mut [Measured; 2]) -> Result<Option<f64>> {
        let [nothing, everything] = measured;
        let (filter, measured) = match mode {
            Mode::Bare => return flood.rate(self.window).map(Some),
            Mode::Tcpdump if !tcpdump_works() => return Ok(None),
            Mode::Tcpdump => {
                let running = Tcpdump::start(self.lab)?;
                std::thread::sleep(SETTLE);
                let rate = flood.rate(self.window)?;
                running.end()?;
                return Ok(Some(rate));
            }
            Mode::Floor => {
                let Some(_attached) = floor::or_left_out(Floor::of_a_trace(self.lab)) else { return Ok(None) };
                std::thread::sleep(SETTLE);
                return flood.rate(self.window).map(Some);
            }
            Mode::Nothing => (Some(MATCHES_NOTHING), nothing),
            Mode::Everything => (None, everything),
        };
        let running = Netobs::start(self.netobs, filter, false)?;
        std::thread::sleep(SETTLE);
        let before = running.cpu_time();
        let rate = flood.rate(self.window)?;
        let used = running.cpu_time().zip(before).map(|(after, before)| (after - before).as_secs_f64());
        measured.cpus.extend(used.map(|used| used / self.window.as_secs_f64()));
        measured.peak.extend(running.peak_memory().map(|bytes| bytes as f64));
        measured.attach.push(running.attach.as_secs_f64());
        let ended = running.end();
        measured.detach.push(ended.took.as_secs_f64());
        measured.failures.extend(ended.failure);
        Ok(Some(rate))
    }

    fn inside(&self, filter: Option<&str>) -> Result<Inside> {
        interrupt::check()?;
        let _statistics = Statistics::keep()?;
        let mut flood = Flood::start(self.lab)?;
        let running = Netobs::start(self.netobs, filter, true)?;
        std::thread::sleep(SETTLE);
        let before = programs::of_process(running.pid())?;
        let packets = flood.rate(self.window)? * self.window.as_secs_f64();
        let costs = programs::since(&before, programs::of_process(running.pid())?);
        let ended = running.end();
        Ok(Inside { costs, packets, summary: ended.summary, failure: ended.failure })
    }
}
