//! `netobs trace`

use std::ffi::OsString;
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

use crate::filter::Filter;
use crate::netns::Netns;
use crate::output::{Format, Writer, printable, shortened};
use crate::probe::{Depth, Kernel, Selection, Session, tc};
use crate::refusal::Refusal;
use crate::state::Namespaces;
use crate::trace::{Limits, Stop, Trace};

/// Characters of a filter that are repeated to the user.
const SHOWN: usize = 60;
/// After a signal, the longest the last lines may take: whoever reads our output may have stopped reading.
const LAST_WORDS: Duration = Duration::from_millis(800);

/// Follow packets hop by hop, across every namespace of this machine.
#[derive(Args)]
pub struct TraceArguments {
    /// Which packets to follow, in pcap-filter syntax: icmp and host 10.40.0.3. All by default.
    #[arg(value_name = "FILTER")]
    filter: Vec<String>,
    /// Follow packets first seen in this namespace: a name under /run/netns, pid:N, or host.
    #[arg(long, value_name = "N")]
    netns: Option<String>,
    /// Follow packets first seen on a device of this name. Shows where it passes tc on that device, too.
    #[arg(long, value_name = "D")]
    device: Option<String>,
    /// Show where packets pass tc on every veth, bridge and uplink, of the namespace given with --netns or of all.
    #[arg(long)]
    tc: bool,
    /// How closely to follow packets: where they pass devices, netfilter too, or all functions in between.
    #[arg(long, value_enum, default_value_t)]
    hooks: Depth,
    /// Print only packets that were dropped.
    #[arg(long)]
    drops: bool,
    /// Stop after this many packets.
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// Stop after this long: 5s, 500ms, 2m.
    #[arg(long, value_name = "TIME", value_parser = super::duration::parse)]
    duration: Option<Duration>,
    /// Text for people, or JSON lines.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Run this command once everything is attached, and stop when it has ended. Its output goes to standard error.
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// Runs the trace.
pub fn run(arguments: TraceArguments) -> anyhow::Result<ExitCode> {
    let selection = Selection {
        netns: arguments.netns.as_deref().map(Netns::open).transpose()?.map(|netns| netns.inode()),
        device: arguments.device.clone(),
        depth: arguments.hooks,
    };
    let filter = Filter::compile(&arguments.filter.join(" ")).map_err(|error| Refusal::Usage(error.to_string()))?;
    let mut namespaces = Namespaces::new();
    let targets = tc_targets(&arguments, &selection, &mut namespaces)?;
    let kernel = Kernel::read().map_err(|error| Refusal::NotPermitted(error.to_string()))?;
    let mut attached = Session::attach(&kernel, &filter, &selection)?;
    // What a killed run has left on devices would run for every packet for ever.
    tc::sweep(&mut namespaces);
    if !targets.is_empty() {
        attached.0.attach_tc(&targets);
    }
    // Its handles would keep the namespaces alive.
    drop(targets);
    attached.0.attach_netfilter(&mut namespaces);
    let undo = attached.0.undo();
    let limits = Limits { count: arguments.count, drops_only: arguments.drops };
    let trace = Trace::new(&kernel, namespaces, attached, Writer::stdout(arguments.format), limits);

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("start the runtime")?;
    let stop = Stop::default();
    let (mut writer, mut summary, command_status) = std::thread::scope(|scope| {
        let (ended, mut reader_ended) = tokio::sync::oneshot::channel();
        let reader = scope.spawn({
            let stop = stop.clone();
            move || {
                let result = trace.run(&stop);
                let _ = ended.send(());
                result
            }
        });
        let status = runtime.block_on(conduct(&arguments, &stop, &undo, &mut reader_ended));
        if status.is_err() {
            stop.abandon();
        }
        let result = reader.join().map_err(|_| anyhow::anyhow!("the reader of events died"))?;
        let (status, (writer, summary)) = (status?, result?);
        anyhow::Ok((writer, summary, status))
    })?;
    summary.command_status = command_status;
    writer.summary(&summary)?;
    Ok(ExitCode::SUCCESS)
}

/// The devices whose tc hooks were asked for: none unless --device or --tc was given.
fn tc_targets(
    arguments: &TraceArguments,
    selection: &Selection,
    namespaces: &mut Namespaces,
) -> anyhow::Result<Vec<tc::Target>> {
    let wanted = tc::Wanted { device: arguments.device.as_deref(), links: arguments.tc };
    if wanted.device.is_none() && !wanted.links {
        return Ok(Vec::new());
    }
    let (targets, looked) = tc::find(namespaces, selection.netns, wanted);
    let is_there = |device| targets.iter().any(|target| target.links.iter().any(|link| link.name == device));
    match wanted.device {
        Some(device) if !is_there(device) => anyhow::bail!("no device is called `{device}` in {}", places(&looked)),
        None if targets.is_empty() => anyhow::bail!("no veth, bridge or uplink in {}", places(&looked)),
        _ => Ok(targets),
    }
}

/// The namespaces that were looked into, as many as fit on a line.
fn places(looked: &[String]) -> String {
    const SHOWN: usize = 6;
    match looked {
        [] => "any network namespace: none could be entered".to_owned(),
        [one] => one.clone(),
        _ => {
            let shown = looked.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
            let more = if looked.len() > SHOWN { ", …" } else { "" };
            format!("any of the {} network namespaces looked into ({shown}{more})", looked.len())
        }
    }
}

/// Starts COMMAND and waits for whatever ends the trace. Returns COMMAND's exit status.
async fn conduct(
    arguments: &TraceArguments,
    stop: &Stop,
    undo: &tc::Undo,
    reader_ended: &mut tokio::sync::oneshot::Receiver<()>,
) -> anyhow::Result<Option<i32>> {
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let mut command = spawn(&arguments.command)?;
    if command.is_none() {
        eprintln!("tracing: {}", describe(arguments));
    }
    let mut status = None;
    tokio::select! {
        ended = wait(&mut command) => {
            let ended = ended.context("wait for COMMAND")?;
            status = ended.code();
            if !ended.success() {
                eprintln!("netobs: COMMAND ended with {ended}");
            }
            stop.after_last_packets();
        }
        () = sleep(arguments.duration) => stop.now(),
        _ = interrupt.recv() => stop.now(),
        _ = terminate.recv() => stop.now(),
        _ = &mut *reader_ended => return Ok(status),
    }
    // The reader may be stuck on an output that nobody reads. Leaving detaches everything all the same.
    let mut beats = stop.beats();
    loop {
        tokio::select! {
            _ = &mut *reader_ended => break,
            () = tokio::time::sleep(LAST_WORDS) => {}
        }
        // On a slow machine it is the kernel or the telling that takes its time.
        let goes_on = std::mem::replace(&mut beats, stop.beats()) != beats;
        if stop.is_writing() && !goes_on {
            eprintln!("netobs: standard output is not being read; ending without a summary");
            undo.undo();
            std::process::exit(1);
        }
    }
    Ok(status)
}

fn spawn(command: &[OsString]) -> anyhow::Result<Option<Child>> {
    let Some((program, arguments)) = command.split_first() else { return Ok(None) };
    let child = Command::new(program)
        .args(arguments)
        // Standard output carries records only.
        .stdout(Stdio::from(std::os::fd::OwnedFd::from(stderr_copy()?)))
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot run COMMAND {}", printable(&program.to_string_lossy())))?;
    Ok(Some(child))
}

fn stderr_copy() -> anyhow::Result<std::fs::File> {
    use std::os::fd::AsFd;
    let copy = std::io::stderr().as_fd().try_clone_to_owned().context("copy standard error for COMMAND")?;
    Ok(copy.into())
}

async fn wait(command: &mut Option<Child>) -> std::io::Result<std::process::ExitStatus> {
    match command {
        Some(child) => child.wait().await,
        None => std::future::pending().await,
    }
}

async fn sleep(duration: Option<Duration>) {
    match duration {
        Some(duration) => tokio::time::sleep(duration).await,
        None => std::future::pending().await,
    }
}

fn describe(arguments: &TraceArguments) -> String {
    let mut text = if arguments.filter.is_empty() {
        "every packet".to_owned()
    } else {
        format!("packets that match `{}`", shortened(&printable(&arguments.filter.join(" ")), SHOWN))
    };
    if let Some(netns) = &arguments.netns {
        text.push_str(&format!(" in {}", printable(netns)));
    }
    if let Some(device) = &arguments.device {
        text.push_str(&format!(" on {}", printable(device)));
    }
    text.push_str("; Ctrl-C ends it");
    text
}
