//! `netobs conntrack`

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::oneshot::Receiver;

use super::ending::{LAST_WORDS, Signals};
use crate::conntrack::{Depth, Report, Survey, Wanted, is_loaded};
use crate::netlink;
use crate::output::conntrack::{PressureRecord, Shown, table};
use crate::output::{Closed, Format, Screen, Style, Writer, printable};
use crate::refusal::Refusal;

/// The shortest interval: reading itself must not become the load.
const SHORTEST: Duration = Duration::from_millis(100);
/// The longest wait for the first figures of `--watch`.
const FIRST: Duration = Duration::from_secs(1);
/// Sources of each namespace, if nobody says how many.
const TOP: usize = 10;

/// Show how full each namespace's conntrack table is, what was lost, and who fills it.
#[derive(Args)]
pub struct ConntrackArguments {
    /// Only this namespace: a name under /run/netns, pid:N, or host.
    #[arg(long, value_name = "N")]
    netns: Option<String>,
    /// Show it again at each interval, until Ctrl-C.
    #[arg(long)]
    watch: bool,
    /// Time between two readings, whose difference is the growth: 5s, 500ms, 2m.
    #[arg(long, value_name = "TIME", value_parser = super::duration::parse, default_value = "1s")]
    interval: Duration,
    /// List this many sources of each namespace, the largest first [default: 10, where something is wrong].
    #[arg(long, value_name = "N")]
    top: Option<usize>,
    /// Text for people, or JSON lines.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Looks, waits, looks again and says what there is.
pub fn run(arguments: ConntrackArguments) -> anyhow::Result<ExitCode> {
    if arguments.interval < SHORTEST {
        return Err(Refusal::Usage(format!("--interval is {} ms at least", SHORTEST.as_millis())).into());
    }
    if !is_loaded() {
        let refusal = "connection tracking is not loaded: this machine tracks no connections, so no table can fill up \
                       (`modprobe nf_conntrack` loads it)";
        return Err(Refusal::NotPermitted(refusal.into()).into());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("start the runtime")?;
    let writing = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (stop, stopped) = channel();
        let (ended, mut watcher_ended) = tokio::sync::oneshot::channel();
        let (arguments, writing) = (&arguments, &writing);
        let watcher = scope.spawn(move || {
            let result = Watcher::new(arguments, writing).run(&stopped);
            let _ = ended.send(());
            result
        });
        if runtime.block_on(interrupted(&mut watcher_ended))? {
            drop(stop);
            runtime.block_on(last_words(arguments, writing, watcher_ended));
        }
        watcher.join().map_err(|_| anyhow::anyhow!("the reader of conntrack tables died"))?
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Waits for a signal; false if the end came first.
async fn interrupted(ended: &mut Receiver<()>) -> anyhow::Result<bool> {
    let mut signals = Signals::listen()?;
    tokio::select! {
        () = signals.any() => Ok(true),
        _ = ended => Ok(false),
    }
}

/// Lets what is being read or written come to its end, but not for ever. Nothing has to be undone.
async fn last_words(arguments: &ConntrackArguments, writing: &AtomicBool, ended: Receiver<()>) {
    if tokio::time::timeout(LAST_WORDS, ended).await.is_ok() {
        return;
    }
    if writing.load(Ordering::Relaxed) {
        eprintln!("netobs: standard output is not being read; ending without the rest");
    } else if arguments.watch {
        // The tables shown last were whole.
        std::process::exit(0);
    } else {
        eprintln!("netobs: told to stop before the tables were read");
    }
    std::process::exit(1);
}

/// Reads and prints, on a thread of its own.
struct Watcher<'a> {
    arguments: &'a ConntrackArguments,
    writing: &'a AtomicBool,
    survey: Survey,
    writer: Writer,
    screen: Option<Screen>,
    warned: bool,
}

impl<'a> Watcher<'a> {
    fn new(arguments: &'a ConntrackArguments, writing: &'a AtomicBool) -> Self {
        let wanted = arguments.netns.clone().map_or(Wanted::All, Wanted::Named);
        let screen = Screen::of_stdout().filter(|_| arguments.watch && arguments.format == Format::Text);
        let writer = Writer::stdout(arguments.format);
        Self { arguments, writing, survey: Survey::new(wanted), writer, screen, warned: false }
    }

    fn run(mut self, stopped: &std::sync::mpsc::Receiver<()>) -> anyhow::Result<()> {
        let Self { arguments, .. } = self;
        let depth = Depth::Sources(arguments.top.unwrap_or(TOP));
        self.look(Depth::Counters)?;
        if !arguments.watch {
            // Told to stop, it says what it can after a shorter time.
            let _ = stopped.recv_timeout(arguments.interval);
            let report = self.look(depth)?;
            return Ok(self.print(&report)?);
        }
        let mut wait = arguments.interval.min(FIRST);
        while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(wait) {
            let began = Instant::now();
            let report = self.look(depth)?;
            self.print(&report)?;
            wait = arguments.interval.saturating_sub(began.elapsed());
        }
        Ok(())
    }

    fn look(&mut self, depth: Depth) -> anyhow::Result<Report> {
        let mut report = self.survey.look(depth).map_err(refined)?;
        if report.namespaces.is_empty() && !report.refused.is_empty() {
            return Err(refined(report.refused.swap_remove(0).1));
        }
        if let Some((name, error)) = report.refused.first().filter(|_| !self.warned) {
            let (count, name) = (report.refused.len(), printable(name));
            let (error, plural) = (error.to_string(), if count == 1 { "" } else { "s" });
            eprintln!("netobs: {count} namespace{plural} could not be looked into ({name}: {})", printable(&error));
            self.warned = true;
        }
        Ok(report)
    }

    fn print(&mut self, report: &Report) -> Result<(), Closed> {
        let now = OffsetDateTime::now_utc();
        let now = now.replace_millisecond(now.millisecond()).unwrap_or(now).format(&Rfc3339).ok();
        let mut records: Vec<_> =
            report.namespaces.iter().map(|pressure| PressureRecord::of(pressure, now.clone())).collect();
        self.writing.store(true, Ordering::Relaxed);
        match self.arguments.format {
            Format::Json => records.iter().try_for_each(|record| self.writer.json(record))?,
            Format::Text => {
                let all = records.len();
                // One that was asked for by name is shown whatever there is to see.
                records.retain(|record| record.in_use || self.arguments.netns.is_some());
                let every_source = self.arguments.netns.is_some() || self.arguments.top.is_some();
                let shown = Shown { every_source, left_out: all - records.len(), style: Style::of_stdout() };
                let text = self.heading(now.as_deref()) + &table(&records, shown);
                let text = self.screen.as_mut().map_or_else(|| text.clone(), |screen| screen.frame(&text));
                self.writer.text(&text)?;
            }
        }
        self.writer.flush()?;
        self.writing.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// When it was, for one who watches: in lines that follow each other with an empty line before.
    fn heading(&self, now: Option<&str>) -> String {
        let time = now.and_then(|now| now.split_once('T')?.1.get(..8)).unwrap_or_default();
        match (self.arguments.watch, &self.screen) {
            (false, _) => String::new(),
            (true, None) => format!("\n{time} UTC\n"),
            (true, Some(_)) => format!("{time} UTC, every {:?}; Ctrl-C ends\n\n", self.arguments.interval),
        }
    }
}

/// Says what to do about the errors that have a remedy, and with which status they end.
fn refined(error: netlink::Error) -> anyhow::Error {
    let mut cause: &dyn std::error::Error = &error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    let errno = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::raw_os_error);
    match errno {
        Some(libc::EPERM | libc::EACCES) => Refusal::NotPermitted(format!("{error} (run netobs as root)")).into(),
        // No such protocol, or nobody in it that answers.
        Some(libc::EPROTONOSUPPORT | libc::EOPNOTSUPP | libc::EINVAL) => {
            Refusal::NotPermitted(format!("{error} (has this kernel no nf_conntrack_netlink?)")).into()
        }
        _ => error.into(),
    }
}
