//! `netobs trace`

use std::ffi::OsString;
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use tokio::process::{Child, Command};

use super::ending::{Signals, after, last_words};
use super::wanted::Wanted;
use crate::output::{Format, Writer, printable};
use crate::probe::{Depth, Kernel, Session, tc};
use crate::refusal::Refusal;
use crate::state::Namespaces;
use crate::trace::{Limits, Stop, Trace};

/// Follow packets hop by hop, across every namespace of this machine.
#[derive(Args)]
pub struct TraceArguments {
    #[command(flatten)]
    wanted: Wanted,
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
    let selection = arguments.wanted.selection(arguments.hooks)?;
    let filter = arguments.wanted.filter()?;
    let mut namespaces = Namespaces::watched();
    // None unless --device or --tc was given.
    let targets = arguments.wanted.links(&selection, &mut namespaces, arguments.tc)?;
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

/// Starts COMMAND and waits for whatever ends the trace. Returns COMMAND's exit status.
async fn conduct(
    arguments: &TraceArguments,
    stop: &Stop,
    undo: &tc::Undo,
    reader_ended: &mut tokio::sync::oneshot::Receiver<()>,
) -> anyhow::Result<Option<i32>> {
    let mut signals = Signals::listen()?;
    let mut command = spawn(&arguments.command)?;
    if command.is_none() {
        eprintln!("tracing: {}", arguments.wanted.describe("packet", "packets"));
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
        () = after(arguments.duration) => stop.now(),
        () = signals.any() => stop.now(),
        _ = &mut *reader_ended => return Ok(status),
    }
    // Leaving detaches everything but what is on devices.
    if !last_words(stop, reader_ended, &mut signals).await {
        undo.undo();
        std::process::exit(1);
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
