//! `netobs drops`

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Args;

use super::ending::{Signals, after, last_words};
use super::wanted::Wanted;
use crate::drops::{Names, Watch};
use crate::output::Format;
use crate::output::drops::DropsPrinter;
use crate::probe::drops::{DropCounter, DropTable};
use crate::probe::{Depth, Kernel};
use crate::refusal::Refusal;
use crate::state::Namespaces;
use crate::trace::Stop;

/// Reading the table more often than this would be a load of its own.
const SHORTEST: Duration = Duration::from_millis(100);

/// Count every packet the kernel drops, by reason, function, namespace, device and protocol.
#[derive(Args)]
pub struct DropsArguments {
    #[command(flatten)]
    wanted: Wanted,
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
    let selection = arguments.wanted.selection(Depth::default())?;
    let filter = arguments.wanted.filter()?;
    let mut namespaces = Namespaces::watched();
    // One that does not exist is a mistake.
    arguments.wanted.links(&selection, &mut namespaces, false)?;
    let kernel = Kernel::read().map_err(|error| Refusal::NotPermitted(error.to_string()))?;
    let names = Names::new(&kernel, namespaces);
    let counter = DropCounter::attach(&kernel, &filter, &selection, DropTable { rows: arguments.rows, coarse: false })?;
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

/// Waits for whatever ends the counting.
async fn conduct(
    arguments: &DropsArguments,
    stop: &Stop,
    mut ended: tokio::sync::oneshot::Receiver<()>,
) -> anyhow::Result<()> {
    let mut signals = Signals::listen()?;
    eprintln!("counting: {}", arguments.wanted.describe("drop", "drops"));
    tokio::select! {
        () = after(arguments.duration) => stop.now(),
        () = signals.any() => stop.now(),
        _ = &mut ended => return Ok(()),
    }
    // Leaving detaches everything.
    if !last_words(stop, &mut ended, &mut signals).await {
        std::process::exit(1);
    }
    Ok(())
}
