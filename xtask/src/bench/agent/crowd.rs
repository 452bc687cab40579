//! The agent among many namespaces.

use std::path::Path;
use std::process::{self, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::Scales;
use super::scrape::scrape;
use crate::bench::figures::Figures;
use crate::bench::interrupt;
use crate::bench::watcher::Agent;
use crate::command::CommandExt;

/// Scrapes that are measured.
const SCRAPES: usize = 20;
const PAUSE: Duration = Duration::from_millis(200);
/// How often Prometheus scrapes.
const INTERVAL: Duration = Duration::from_secs(15);

/// What the agent takes among some namespaces.
pub struct Scale {
    /// Seconds of a scrape, as its client sees it.
    pub scrape: Figures,
    /// Seconds on a CPU for each.
    pub cpu: f64,
    /// Series of one.
    pub series: usize,
    /// Bytes that the agent has resident after all these scrapes.
    pub resident: Option<u64>,
    /// Share of a CPU while nothing happens but a scrape every 15 s.
    pub idle: Option<f64>,
}

/// Measures among so many namespaces of the benchmark's own, and whatever others the machine has.
pub fn measure(netobs: &Path, scales: &[usize], idle: u64) -> Result<Scales> {
    let mut crowd = Crowd::new()?;
    let mut measured = Vec::new();
    for (number, scale) in scales.iter().enumerate() {
        interrupt::check()?;
        eprintln!("{scale} namespaces");
        crowd.grow(*scale)?;
        let idle = (number == 0 && idle > 0).then(|| Duration::from_secs(idle));
        measured.push((*scale, among(netobs, idle)?));
    }
    Ok(measured)
}

fn among(netobs: &Path, idle: Option<Duration>) -> Result<Scale> {
    let agent = Agent::start(netobs, false)?;
    let (mut taken, mut series) = (Figures::default(), 0);
    // The first makes the series.
    scrape(&agent.address)?;
    let before = agent.cpu_time();
    for _ in 0..SCRAPES {
        let (took, lines) = scrape(&agent.address)?;
        taken.push(took.as_secs_f64());
        series = lines;
        sleep(PAUSE);
    }
    let used = agent.cpu_time().zip(before).map(|(after, before)| (after - before).as_secs_f64());
    let idle = idle.map(|span| idle_share(&agent, span)).transpose()?.flatten();
    let resident = agent.resident_memory();
    agent.end()?;
    Ok(Scale { scrape: taken, cpu: used.unwrap_or_default() / SCRAPES as f64, series, resident, idle })
}

fn idle_share(agent: &Agent, span: Duration) -> Result<Option<f64>> {
    let (began, before) = (Instant::now(), agent.cpu_time());
    let mut next = INTERVAL / 2;
    while began.elapsed() < span {
        interrupt::check()?;
        if began.elapsed() >= next {
            scrape(&agent.address)?;
            next += INTERVAL;
        }
        sleep(PAUSE);
    }
    let took = began.elapsed().as_secs_f64();
    Ok(agent.cpu_time().zip(before).map(|(after, before)| (after - before).as_secs_f64() / took))
}

/// Namespaces, each with a cable to a first one. Removed when this is dropped.
struct Crowd {
    prefix: String,
    count: usize,
}

impl Crowd {
    fn new() -> Result<Self> {
        let crowd = Self { prefix: format!("bench{}n", process::id()), count: 0 };
        Command::new("ip").args(["netns", "add", &crowd.hub()]).quietly()?;
        Ok(crowd)
    }

    fn hub(&self) -> String {
        format!("{}hub", self.prefix)
    }

    fn grow(&mut self, count: usize) -> Result<()> {
        let fresh = self.count..count;
        let mut cables = String::new();
        for number in fresh.clone() {
            let name = format!("{}{number}", self.prefix);
            Command::new("ip").args(["netns", "add", &name]).quietly()?;
            self.count = number + 1;
            cables.push_str(&format!(
                "link add v{number} type veth peer name eth0 netns {name}\nlink set v{number} up\n"
            ));
        }
        batch(&self.hub(), &cables)?;
        for number in fresh {
            let (third, fourth) = (number / 250, number % 250 + 1);
            let lines = format!("link set lo up\nlink set eth0 up\naddr add 10.200.{third}.{fourth}/24 dev eth0\n");
            batch(&format!("{}{number}", self.prefix), &lines)?;
        }
        Ok(())
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        let names = (0..self.count).map(|number| format!("{}{number}", self.prefix));
        for name in names.chain([self.hub()]) {
            if let Err(error) = Command::new("ip").args(["netns", "del", &name]).quietly() {
                eprintln!("xtask: {error:#}");
            }
        }
    }
}

/// `ip -n NETNS -batch -`
fn batch(netns: &str, lines: &str) -> Result<()> {
    use std::io::Write;
    let mut command = Command::new("ip");
    command.args(["-n", netns, "-batch", "-"]).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut child = command.spawn().context("cannot start ip")?;
    child.stdin.take().context("no standard input")?.write_all(lines.as_bytes())?;
    anyhow::ensure!(child.wait()?.success(), "ip -n {netns} -batch failed");
    Ok(())
}
