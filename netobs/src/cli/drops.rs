//! `netobs drops`

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use crate::drops::{Names, Watch};
use crate::filter::Filter;
use crate::netns::Netns;
use crate::output::drops::DropsPrinter;
use crate::output::{Format, printable, shortened};
use crate::probe::drops::DropCounter;
use crate::probe::{Kernel, Selection, tc};
use crate::refusal::Refusal;
use crate::state::Namespaces;
use crate::trace::Stop;

/// Characters of a filter that are repeated to the user.
const SHOWN: usize = 60;
/// Reading the table more often than this would be a load of its own.
const SHORTEST: Duration = Duration::from_millis(100);
/// After a signal, the longest the last lines may take: whoever reads our output may have stopped reading.
const LAST_WORDS: Duration = Duration::from_millis(800);

/// Count every packet the kernel drops, by reason, function, namespace, device and protocol.
#[derive(Args)]
pub struct DropsArguments {
    /// Which packets to count, in pcap-filter syntax: icmp and host 10.40.0.3. All by default.
    #[arg(value_name = "FILTER")]
    filter: Vec<String>,
    /// Count drops in this namespace: a name under /run/netns, pid:N, or host.
    #[arg(long, value_name = "N")]
    netns: Option<String>,
    /// Count drops of packets on a device of this name.
    #[arg(long, value_name = "D")]
    device: Option<String>,
    /// How often to show the counts.
    #[arg(long, value_name = "TIME", value_parser = super::duration::parse, default_value = "1s")]
    interval: Duration,
    /// Stop after this long: 5s, 500ms, 2m.
    #[arg(long, value_name = "TIME", value_parser = super::duration::parse)]
    duration: Option<Duration>,
    /// Say what each row means, what usually causes it and what to try. JSON always does.
    #[arg(long)]
    explain: bool,
    /// How many rows the kernel's table has room for. Drops beyond are counted together.
    #[arg(long, value_name = "N", default_value_t = DropCounter::ROWS, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rows: u32,
    /// Text for people, or JSON lines.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Counts until told to stop.
pub fn run(arguments: DropsArguments) -> anyhow::Result<ExitCode> {
    if arguments.interval < SHORTEST {
        return Err(Refusal::Usage(format!("--interval is {} ms at least", SHORTEST.as_millis())).into());
    }
    let selection = Selection {
        netns: arguments.netns.as_deref().map(Netns::open).transpose()?.map(|netns| netns.inode()),
        device: arguments.device.clone(),
        ..Selection::default()
    };
    let filter = Filter::compile(&arguments.filter.join(" ")).map_err(|error| Refusal::Usage(error.to_string()))?;
    let mut namespaces = Namespaces::new();
    if let Some(device) = &arguments.device {
        must_exist(device, &selection, &mut namespaces)?;
    }
    let kernel = Kernel::read().map_err(|error| Refusal::NotPermitted(error.to_string()))?;
    let names = Names::new(&kernel, namespaces);
    let counter = DropCounter::attach(&kernel, &filter, &selection, arguments.rows)?;
    let printer = DropsPrinter::stdout(arguments.format, arguments.explain);
    let watch = Watch::new(counter, names, printer, arguments.interval);

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("start the runtime")?;
    let stop = Stop::default();
    std::thread::scope(|scope| {
        let (ended, watch_ended) = tokio::sync::oneshot::channel();
        let watcher = scope.spawn({
            let stop = stop.clone();
            move || {
                let result = watch.run(&stop);
                let _ = ended.send(());
                result
            }
        });
        let conducted = runtime.block_on(conduct(&arguments, &stop, watch_ended));
        if conducted.is_err() {
            stop.now();
        }
        let result = watcher.join().map_err(|_| anyhow::anyhow!("the reader of counters died"))?;
        conducted.and(result)
    })?;
    Ok(ExitCode::SUCCESS)
}

fn must_exist(device: &str, selection: &Selection, namespaces: &mut Namespaces) -> anyhow::Result<()> {
    let wanted = tc::Wanted { device: Some(device), links: false };
    let (found, looked) = tc::find(namespaces, selection.netns, wanted);
    if found.iter().any(|target| target.links.iter().any(|link| link.name == device)) {
        return Ok(());
    }
    match &looked[..] {
        [one] => anyhow::bail!("no device is called `{device}` in {one}"),
        _ => anyhow::bail!("no device is called `{device}` in any of {} network namespaces", looked.len()),
    }
}

/// Waits for whatever ends the counting.
async fn conduct(
    arguments: &DropsArguments,
    stop: &Stop,
    mut ended: tokio::sync::oneshot::Receiver<()>,
) -> anyhow::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    eprintln!("counting: {}", describe(arguments));
    tokio::select! {
        () = sleep(arguments.duration) => stop.now(),
        _ = interrupt.recv() => stop.now(),
        _ = terminate.recv() => stop.now(),
        _ = &mut ended => return Ok(()),
    }
    // The reader may be stuck on an output that nobody reads. Leaving detaches everything all the same.
    let mut beats = stop.beats();
    loop {
        tokio::select! {
            _ = &mut ended => return Ok(()),
            () = tokio::time::sleep(LAST_WORDS) => {}
        }
        let goes_on = std::mem::replace(&mut beats, stop.beats()) != beats;
        if stop.is_writing() && !goes_on {
            eprintln!("netobs: standard output is not being read; ending without a summary");
            std::process::exit(1);
        }
    }
}

async fn sleep(duration: Option<Duration>) {
    match duration {
        Some(duration) => tokio::time::sleep(duration).await,
        None => std::future::pending().await,
    }
}

fn describe(arguments: &DropsArguments) -> String {
    let mut text = if arguments.filter.is_empty() {
        "every drop".to_owned()
    } else {
        format!("drops that match `{}`", shortened(&printable(&arguments.filter.join(" ")), SHOWN))
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
