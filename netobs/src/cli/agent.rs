//! `netobs agent`

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;

use crate::agent::{Again, Config, ConfigError, Options, PRIVILEGES, Plan, Privilege, listen};
use crate::metrics::Metric;
use crate::output::printable;
use crate::probe::HopCounter;
use crate::probe::drops::DropCounter;
use crate::refusal::Refusal;

/// Nobody else's port among Prometheus's exporters, and nobody but this machine can reach it.
const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9477);
/// Enough for a thousand namespaces.
const SERIES: u32 = 100_000;

/// Serve metrics of every network namespace to Prometheus, and the same as JSON.
///
/// Pages: /metrics, /healthz, /readyz, /api/v1/topology, /api/v1/drops, /api/v1/conntrack; / lists them.
#[derive(Args)]
pub struct AgentArguments {
    /// Where to listen: ADDRESS:PORT [default: 127.0.0.1:9477].
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Settings, in TOML: each flag by its name, as in listen = "127.0.0.1:9477". Flags win. SIGHUP reads it again.
    ///
    /// [tls] with certificate = "FILE" and key = "FILE" encrypts; [auth] with users = { NAME = "HASH" } asks for a password,
    /// of which HASH is what `htpasswd -nB NAME` prints (bcrypt). /healthz and /readyz are answered without one.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Serve so many series at most [default: 100000]. The metric netobs_series_left_out says how many had no room.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    series_limit: Option<u32>,
    /// How many rows the kernel's table of drops has room for [default: 16384].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    drop_rows: Option<u32>,
    /// How many rows there are for devices and hooks besides the places of some thousand devices, up to four for each
    /// device that finds none [default: 65536].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    hop_rows: Option<u32>,
    /// Whether the kernel shall measure how long eBPF programs run, for the metrics netobs_bpf_program_*: it reads the clock
    /// twice a run, which takes longer than most of the programs themselves [default: false].
    #[arg(long, value_name = "BOOL")]
    program_stats: Option<bool>,
    /// List every metric with its type, labels and meaning, and end.
    #[arg(long)]
    list_metrics: bool,
    /// List the capabilities that it keeps, each with what for, and end.
    #[arg(long)]
    list_privileges: bool,
}

/// Serves until told to stop.
pub fn run(arguments: AgentArguments) -> anyhow::Result<ExitCode> {
    if arguments.list_metrics {
        print!("{}", list());
        return Ok(ExitCode::SUCCESS);
    }
    if arguments.list_privileges {
        print!("{}", privileges());
        return Ok(ExitCode::SUCCESS);
    }
    let plan = plan(&arguments)?;
    let bound = listen(plan.listen)?;
    let again: Option<Again> = match arguments.config {
        Some(_) => Some(Arc::new(move || self::plan(&arguments))),
        None => None,
    };
    bound.serve(plan, again)?;
    Ok(ExitCode::SUCCESS)
}

/// What the flags and the file say together.
fn plan(arguments: &AgentArguments) -> anyhow::Result<Plan> {
    let (config, settings) = match &arguments.config {
        Some(path) => Config::read(path).map_err(refined)?,
        None => Default::default(),
    };
    let options = Options {
        series_limit: arguments.series_limit.or(config.series_limit).unwrap_or(SERIES) as usize,
        drop_rows: arguments.drop_rows.or(config.drop_rows).unwrap_or(DropCounter::ROWS),
        hop_rows: arguments.hop_rows.or(config.hop_rows).unwrap_or(HopCounter::ROWS),
        program_stats: arguments.program_stats.or(config.program_stats).unwrap_or(false),
    };
    let listen = match &arguments.listen {
        Some(text) => address(text)?,
        None => config.listen.unwrap_or(LISTEN),
    };
    Ok(Plan { listen, options, settings })
}

fn address(text: &str) -> Result<SocketAddr, Refusal> {
    text.parse().map_err(|_| {
        Refusal::Usage(format!(
            "--listen {}: an address to listen on looks like {LISTEN} or [::1]:9477",
            printable(text)
        ))
    })
}

/// What is wrong in a file is the user's mistake; that it cannot be read need not be.
fn refined(error: ConfigError) -> anyhow::Error {
    match error {
        ConfigError::Read { .. } | ConfigError::Unreadable { .. } => error.into(),
        ConfigError::Wrong { .. } => Refusal::Usage(error.to_string()).into(),
    }
}

fn list() -> String {
    let entry = |metric: &Metric| {
        let row = metric.row();
        format!("{} ({}) {{{}}}\n    {}\n", row.name, row.kind.name(), row.labels.join(", "), row.help)
    };
    Metric::ALL.iter().map(entry).collect()
}

fn privileges() -> String {
    let entry = |Privilege { capability, reason }: &Privilege| format!("{capability}\n    {reason}.\n");
    PRIVILEGES.iter().map(entry).collect()
}
