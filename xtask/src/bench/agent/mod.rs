//! `cargo xtask bench agent`: what the agent costs the packets, and itself.

mod crowd;
mod report;
mod scrape;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;

use self::crowd::Scale;
use super::flood::Flood;
use super::floor::{self, Floor};
use super::interrupt;
use super::lab::Lab;
use super::programs::{self, Cost, Statistics};
use super::rounds::{self, SETTLE};
use super::watcher::{Agent, Bpftrace, Tcpdump, tcpdump_works};
use crate::project::Project;

/// Namespaces that are scraped.
const SCALES: [usize; 3] = [10, 100, 1000];

/// Arguments of `cargo xtask bench agent`.
#[derive(Args)]
pub struct Arguments {
    /// How often everything is measured
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// How long the packets of one measurement are counted
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// How long the agent is watched doing nothing, two scrapes included; 0 leaves it out
    #[arg(long, default_value_t = 30)]
    idle: u64,
    /// Measure only what it costs the packets
    #[arg(long)]
    packets_only: bool,
    /// Measure this netobs instead of building one
    #[arg(long, value_name = "FILE")]
    netobs: Option<PathBuf>,
}

/// Who counts the packets of the flood.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Nobody.
    Bare,
    /// tcpdump on both veths.
    Tcpdump,
    /// bpftrace at the agent's tracepoints.
    Bpftrace,
    /// Programs that do nothing, there.
    Floor,
    /// The agent.
    Agent,
    /// The agent, its programs measured by the kernel.
    Measured,
}

impl Mode {
    /// Every mode, in the order of the table.
    const ALL: [Self; 6] = [Self::Bare, Self::Tcpdump, Self::Bpftrace, Self::Floor, Self::Agent, Self::Measured];
}

/// What the agent's programs cost while the kernel measures them.
struct Inside {
    costs: Vec<Cost>,
    /// Packets that the receiver's device got meanwhile.
    packets: f64,
}

/// Measures and prints a table.
pub fn run(project: &Project, arguments: &Arguments) -> Result<()> {
    let netobs = super::netobs(project, arguments.netobs.as_deref(), "agent")?;
    interrupt::defer()?;
    let began = Instant::now();
    let window = Duration::from_secs(arguments.seconds);
    let (rates, inside) = {
        let lab = Lab::up(&netobs)?;
        let bench = Bench { netobs: &netobs, lab: &lab, window };
        (rounds::run(&lab, arguments.rounds, Mode::ALL, |flood, mode| bench.turn(flood, mode))?, bench.inside())
    };
    let scales = if arguments.packets_only { Vec::new() } else { crowd::measure(&netobs, &SCALES, arguments.idle)? };
    report::print(&rates, &inside, &scales, arguments.rounds, window, began.elapsed());
    Ok(())
}

struct Bench<'b> {
    netobs: &'b Path,
    lab: &'b Lab,
    window: Duration,
}

impl Bench<'_> {
    fn turn(&self, flood: &mut Flood, mode: Mode) -> Result<Option<f64>> {
        let rate = |flood: &mut Flood| {
            std::thread::sleep(SETTLE);
            flood.rate(self.window)
        };
        match mode {
            Mode::Bare => flood.rate(self.window).map(Some),
            Mode::Tcpdump if !tcpdump_works() => Ok(None),
            Mode::Tcpdump => {
                let running = Tcpdump::start(self.lab)?;
                let rate = rate(flood)?;
                running.end()?;
                Ok(Some(rate))
            }
            Mode::Bpftrace => {
                let Some(running) = Bpftrace::start() else { return Ok(None) };
                let rate = rate(flood)?;
                running.end()?;
                Ok(Some(rate))
            }
            Mode::Floor => {
                let Some(_attached) = floor::or_left_out(Floor::of_the_agent()) else { return Ok(None) };
                rate(flood).map(Some)
            }
            Mode::Agent | Mode::Measured => {
                let running = Agent::start(self.netobs, mode == Mode::Measured)?;
                let rate = rate(flood)?;
                running.end()?;
                Ok(Some(rate))
            }
        }
    }

    fn inside(&self) -> Result<Inside> {
        interrupt::check()?;
        let _statistics = Statistics::keep()?;
        let mut flood = Flood::start(self.lab)?;
        let running = Agent::start(self.netobs, false)?;
        std::thread::sleep(SETTLE);
        let before = programs::of_process(running.pid())?;
        let packets = flood.rate(self.window)? * self.window.as_secs_f64();
        let costs = programs::since(&before, programs::of_process(running.pid())?);
        running.end()?;
        Ok(Inside { costs, packets })
    }
}

/// What the agent takes among so many namespaces.
type Scales = Vec<(usize, Scale)>;
