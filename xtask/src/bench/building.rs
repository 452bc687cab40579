//! `cargo xtask bench lab`: how long a lab takes to come and go, beside a shell script that runs `ip`.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;

use super::figures::Figures;
use crate::command::CommandExt as _;
use crate::project::Project;

/// Arguments of `cargo xtask bench lab`.
#[derive(Args)]
pub struct Arguments {
    /// How often everything is measured; the largest labs only once
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Measure this netobs instead of building one
    #[arg(long, value_name = "FILE")]
    netobs: Option<PathBuf>,
}

/// The kernel takes namespaces apart after the command that removed them has ended (`cleanup_net`), and makes no others
/// meanwhile. That is no part of what is measured next.
const SETTLED: Duration = Duration::from_millis(500);

/// What is built.
#[derive(Clone, Copy)]
enum Subject {
    /// The default lab: two containers, NAT rules, an uplink and a world.
    Default,
    /// So many containers on one bridge.
    Containers(u32),
}

impl Subject {
    const ALL: [Self; 5] =
        [Self::Default, Self::Containers(2), Self::Containers(10), Self::Containers(100), Self::Containers(500)];

    fn title(self) -> String {
        match self {
            Self::Default => "the default lab".to_owned(),
            Self::Containers(count) => format!("{count} containers on a bridge"),
        }
    }

    /// How many times quicker than the script it is meant to be.
    const fn aim(self) -> &'static str {
        match self {
            Self::Containers(100..) => "≥ 4",
            Self::Containers(..=2) | Self::Default => "≥ 1",
            Self::Containers(_) => "",
        }
    }

    const fn rounds(self, asked: u32) -> u32 {
        match self {
            Self::Containers(101..) => 1,
            Self::Default | Self::Containers(_) => asked,
        }
    }

    /// The topology file; `None` for the built-in one.
    fn topology(self) -> Option<String> {
        let Self::Containers(count) = self else { return None };
        let mut text = "about = \"Containers on one bridge.\"\n[[nodes]]\nname = \"host\"\n".to_owned();
        text += "bridges = [{ name = \"br0\", addresses = [\"10.80.0.1/16\"] }]\n";
        for number in 0..count {
            let address = address(number);
            let _ = write!(
                text,
                "[[nodes]]\nname = \"c{number}\"\nroutes = [{{ via = \"10.80.0.1\" }}]\n[[links]]\nends = [\n  \
                 {{ node = \"host\", device = \"c{number}-h\", bridge = \"br0\" }},\n  \
                 {{ node = \"c{number}\", device = \"eth0\", addresses = [\"{address}/16\"] }},\n]\n"
            );
        }
        Some(text)
    }

    /// What a person would write to build the same networks, with as few processes as `ip` allows, and a ping from each
    /// container at the end, since netobs waits for that as well (and the script does not insist on the answer). It
    /// makes network namespaces only: no container's process, mounts, hostname or limits.
    fn up(self, lab: &str) -> String {
        let mut script = "set -e\n".to_owned();
        let mut host = |network: &str| {
            let _ = write!(
                script,
                "ip netns add {lab}-host\nip -n {lab}-host link set lo up\n\
                 ip -n {lab}-host link add br0 type bridge\nip -n {lab}-host addr add {network} dev br0\n\
                 ip -n {lab}-host link set br0 up\n"
            );
        };
        match self {
            Self::Containers(count) => {
                host("10.80.0.1/16");
                for number in 0..count {
                    script += &container(lab, number, &format!("{}/16", address(number)), "10.80.0.1");
                }
            }
            Self::Default => {
                host("10.40.0.1/24");
                script += &container(lab, 1, "10.40.0.2/24", "10.40.0.1");
                script += &container(lab, 2, "10.40.0.3/24", "10.40.0.1");
                let _ = write!(
                    script,
                    "ip netns add {lab}-inet\n\
                     ip -n {lab}-host link add up0 type veth peer name eth0 netns {lab}-inet\n\
                     ip -n {lab}-host addr add 203.0.113.2/24 dev up0\nip -n {lab}-host link set up0 up\n\
                     ip -n {lab}-inet addr add 203.0.113.1/24 dev eth0\n\
                     ip -n {lab}-inet addr add 198.51.100.10/32 dev lo\nip -n {lab}-inet link set lo up\n\
                     ip -n {lab}-inet link set eth0 up\nip -n {lab}-host route add default via 203.0.113.1\n\
                     ip netns exec {lab}-host sysctl -qw net.ipv4.ip_forward=1\n\
                     ip netns exec {lab}-host nft -f - <<'END'\ntable ip lab {{\n\
                     chain prerouting {{ type nat hook prerouting priority -100; tcp dport 8080 dnat to 10.40.0.2:80; }}\n\
                     chain postrouting {{ type nat hook postrouting priority 100; \
                     ip saddr 10.40.0.0/24 oifname != \"br0\" masquerade; }}\n}}\nEND\n"
                );
            }
        }
        let (containers, gateway) = match self {
            Self::Containers(count) => (0..count, "10.80.0.1"),
            Self::Default => (1..3, "10.40.0.1"),
        };
        for number in containers {
            let _ = writeln!(script, "ip netns exec {lab}-c{number} ping -qc1 -W1 {gateway} > /dev/null || :");
        }
        script
    }

    fn down(self, lab: &str) -> String {
        let containers = match self {
            Self::Containers(count) => 0..count,
            Self::Default => 1..3,
        };
        let mut names: Vec<String> = containers.map(|number| format!("c{number}")).collect();
        names.push("host".to_owned());
        names.extend(matches!(self, Self::Default).then(|| "inet".to_owned()));
        // Whatever is missing after a failure, the rest goes.
        names.iter().map(|name| format!("ip netns del {lab}-{name}\n")).collect()
    }
}

fn container(lab: &str, number: u32, address: &str, gateway: &str) -> String {
    let (netns, host) = (format!("{lab}-c{number}"), format!("{lab}-host"));
    format!(
        "ip netns add {netns}\nip -n {host} link add c{number}-h type veth peer name eth0 netns {netns}\n\
         ip -n {host} link set c{number}-h master br0 up\nip -n {netns} addr add {address} dev eth0\n\
         ip -n {netns} link set lo up\nip -n {netns} link set eth0 up\n\
         ip -n {netns} route add default via {gateway}\n"
    )
}

fn address(number: u32) -> String {
    // From 10.80.0.2 on, skipping what looks like a network or a broadcast address.
    let (high, low) = (number / 250, number % 250);
    format!("10.80.{high}.{}", low + 2)
}

/// Measures and prints a table.
pub fn run(project: &Project, arguments: &Arguments) -> Result<()> {
    let netobs = super::netobs(project, arguments.netobs.as_deref(), "lab")?;
    let folder = std::env::temp_dir().join(format!("netobs-bench-{}", process::id()));
    fs::create_dir(&folder)?;
    let measured =
        Subject::ALL.into_iter().try_for_each(|subject| measure(&netobs, &folder, subject, arguments.rounds));
    fs::remove_dir_all(&folder)?;
    measured
}

fn measure(netobs: &Path, folder: &Path, subject: Subject, rounds: u32) -> Result<()> {
    let (lab, other) = (format!("bench{}", process::id()), format!("script{}", process::id()));
    let file = folder.join("topology.toml");
    let topology = match subject.topology() {
        Some(text) => {
            fs::write(&file, text)?;
            file.clone()
        }
        None => PathBuf::from("default"),
    };
    let (up, down) = (folder.join("up.sh"), folder.join("down.sh"));
    fs::write(&up, subject.up(&other))?;
    fs::write(&down, subject.down(&other))?;
    let mut figures: [Figures; 4] = Default::default();
    for _ in 0..subject.rounds(rounds) {
        let [built, removed, scripted, cleaned] = &mut figures;
        thread::sleep(SETTLED);
        built.push(timed(Command::new(netobs).args(["lab", "up"]).arg(&topology).args(["--name", &lab]))?);
        removed.push(timed(Command::new(netobs).args(["lab", "down", &lab]))?);
        thread::sleep(SETTLED);
        let took = timed(Command::new("sh").arg(&up));
        // Half of it must go, too.
        let gone = timed(Command::new("sh").arg(&down));
        scripted.push(took?);
        cleaned.push(gone?);
    }
    print(subject, &figures);
    Ok(())
}

fn timed(command: &mut Command) -> Result<f64> {
    let start = Instant::now();
    command.quietly()?;
    Ok(start.elapsed().as_secs_f64())
}

fn print(subject: Subject, figures: &[Figures; 4]) {
    let [built, removed, scripted, cleaned] = figures;
    let seconds = |figures: &Figures| figures.show(|seconds| format!("{seconds:.3}"));
    let times = |ours: &Figures, theirs: &Figures| match (ours.median(), theirs.median()) {
        (Some(ours), Some(theirs)) if ours > 0.0 => format!("{:.1}", theirs / ours),
        _ => "–".to_owned(),
    };
    println!("\n{:30}{:>26}{:>26}{:>10}{:>8}", subject.title(), "netobs, s", "ip script, s", "quicker", "aim");
    let line = |what: &str, ours: &Figures, theirs: &Figures, aim: &str| {
        println!("  {what:28}{:>26}{:>26}{:>10}{aim:>8}", seconds(ours), seconds(theirs), times(ours, theirs));
    };
    line("up, until packets pass", built, scripted, subject.aim());
    line("down", removed, cleaned, "");
}
