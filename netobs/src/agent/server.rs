//! The agent's life: it listens, attaches, serves, reads its settings again when told to, and ends.

use std::fs::File;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::collection::{Collection, Options};
use super::connections;
use super::inventory::Inventory;
use super::notify::Notify;
use super::pages::{Shared, Sources, router};
use super::privileges;
use super::settings::{Current, Settings};
use super::worker::{Started, Worker};
use crate::output::printable;
use crate::refusal::Refusal;

/// After a signal, the longest an answer under way may take, and then the collection for it.
const LAST_WORDS: Duration = Duration::from_millis(300);

/// All that can be set.
pub struct Plan {
    /// Where to listen.
    pub listen: SocketAddr,
    /// What is collected.
    pub options: Options,
    /// Who may ask, and how.
    pub settings: Settings,
}

/// Reads what can be set once more.
pub type Again = Arc<dyn Fn() -> anyhow::Result<Plan> + Send + Sync>;

/// An address that is ours, and where nothing answers yet.
#[derive(Debug)]
pub struct Bound {
    listener: std::net::TcpListener,
    address: SocketAddr,
}

/// Takes an address.
///
/// # Errors
/// Another program has it, it is none of this machine's, or it takes a privilege.
pub fn listen(address: SocketAddr) -> anyhow::Result<Bound> {
    let listener = std::net::TcpListener::bind(address).map_err(|error| refused(address, &error))?;
    listener.set_nonblocking(true).context("make the listener non-blocking")?;
    let address = listener.local_addr().context("ask for the address")?;
    Ok(Bound { listener, address })
}

fn refused(address: SocketAddr, error: &io::Error) -> anyhow::Error {
    let port = address.port();
    match error.kind() {
        io::ErrorKind::AddrInUse => anyhow::anyhow!(
            "cannot listen on {address}: another program does already (`ss -ltnp sport = {port}` shows it; --listen takes another)"
        ),
        io::ErrorKind::AddrNotAvailable => {
            anyhow::anyhow!(
                "cannot listen on {address}: this machine has no such address (`ip addr` shows those it has)"
            )
        }
        io::ErrorKind::PermissionDenied => {
            Refusal::NotPermitted(format!("not permitted to listen on port {port}: run as root or take a higher port"))
                .into()
        }
        _ => anyhow::anyhow!("cannot listen on {address}: {error}"),
    }
}

impl Bound {
    /// Attaches and serves until SIGINT or SIGTERM. At SIGHUP it reads its settings `again`, if it has them from
    /// somewhere.
    ///
    /// # Errors
    /// Nothing can be attached, or the collection died.
    pub fn serve(self, plan: Plan, again: Option<Again>) -> anyhow::Result<()> {
        // Before there is any other thread.
        privileges::keep_what_is_needed()?;
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().context("start the runtime")?;
        let result = runtime.block_on(self.run(plan, again));
        // What is under way is not waited for: it goes with the process.
        runtime.shutdown_timeout(LAST_WORDS);
        result
    }

    async fn run(self, plan: Plan, again: Option<Again>) -> anyhow::Result<()> {
        let Self { listener, address } = self;
        let Plan { listen, options, settings } = plan;
        let mut signals = Signals::new()?;
        let notify = Notify::of_environment();
        let listener = TcpListener::from_std(listener).context("listen")?;
        warn_of_openness(address, &settings);
        let shared = Shared { sources: Arc::default(), current: Current::new(settings) };
        let Started { worker, ready, ended } =
            Worker::start("collection", move || Collection::attach(options)).context("start a thread")?;
        // Only those that were started before keep what they need.
        privileges::keep_none()?;
        let (stop, stopped) = watch::channel(false);
        let server = connections::serve(listener, router(shared.clone()), shared.current.clone(), stopped);
        let mut server = tokio::spawn(server);
        notify.status("Attaching eBPF programs");
        let mut service = Service { address, listen, options, again, shared, notify };
        let result = tokio::select! {
            attached = ready => match attached.context("attach the programs").and_then(|attached| attached) {
                Ok(()) => service.work(worker, ended, &mut signals).await,
                Err(error) => Err(error),
            },
            () = signals.end() => Ok(()),
        };
        service.notify.stopping();
        let _ = stop.send(true);
        if timeout(LAST_WORDS, &mut server).await.is_err() {
            server.abort();
        }
        result
    }
}

/// The agent at work.
struct Service {
    /// Where it listens.
    address: SocketAddr,
    /// Where it was told to.
    listen: SocketAddr,
    options: Options,
    again: Option<Again>,
    shared: Shared,
    notify: Notify,
}

impl Service {
    /// Serves until a signal ends it, or the collection has died.
    async fn work(
        &mut self,
        collection: Worker<Collection>,
        mut dead: tokio::sync::oneshot::Receiver<()>,
        signals: &mut Signals,
    ) -> anyhow::Result<()> {
        let died = || anyhow::anyhow!("the collection died; what it said is above");
        // Started from there, since it needs what that thread may do.
        let start = |collection: &mut Collection| {
            let census = collection.census();
            Worker::start("inventory", move || Ok(Inventory::new(census)))
        };
        let inventory = collection.ask(start).await.ok_or_else(died)?.context("start a thread")?.worker;
        let _ = self.shared.sources.set(Sources { collection: collection.clone(), inventory });
        say(&format!("serving: {}; Ctrl-C ends it", self.page()));
        self.notify.ready(&self.status());
        loop {
            tokio::select! {
                told = signals.next() => match told {
                    Told::End => return Ok(()),
                    Told::Reload if self.reload_until(&collection, signals).await => {}
                    Told::Reload => return Ok(()),
                },
                _ = &mut dead => return Err(died()),
                () = feed(&self.notify, &collection) => {}
            }
        }
    }

    /// Reads the settings again, and once more if it is told to meanwhile. False if it was told to end: the file may be
    /// one that cannot be read to its end.
    async fn reload_until(&mut self, collection: &Worker<Collection>, signals: &mut Signals) -> bool {
        loop {
            tokio::select! {
                () = self.reload(collection) => return true,
                told = signals.next() => if told == Told::End { return false },
            }
        }
    }

    /// Reads the settings again, and takes over what can change.
    async fn reload(&mut self, collection: &Worker<Collection>) {
        let Some(again) = self.again.clone() else {
            return say("netobs: SIGHUP: no file of settings was given (--config), so there is nothing to read again");
        };
        self.notify.reloading();
        let read = tokio::task::spawn_blocking(move || again()).await;
        match read.unwrap_or_else(|_| Err(anyhow::anyhow!("reading it failed"))) {
            Ok(plan) => self.take_over(plan, collection),
            Err(error) => say(&format!("netobs: the settings stay as they were: {error:#}")),
        }
        self.notify.ready(&self.status());
    }

    fn take_over(&mut self, plan: Plan, collection: &Worker<Collection>) {
        let limit = plan.options.series_limit;
        self.options.series_limit = limit;
        let fixed = [
            ("listen", plan.listen == self.listen),
            ("drop-rows", plan.options.drop_rows == self.options.drop_rows),
            ("hop-rows", plan.options.hop_rows == self.options.hop_rows),
            ("program-stats", plan.options.program_stats == self.options.program_stats),
        ];
        warn_of_openness(self.address, &plan.settings);
        self.shared.current.set(plan.settings);
        collection.tell(move |collection| collection.limit_series(limit));
        let left: Vec<_> = fixed.iter().filter(|(_, is_same)| !is_same).map(|(key, _)| *key).collect();
        if left.is_empty() {
            say("reloaded: all settings");
        } else {
            say(&format!("reloaded: all settings but {}, which a restart takes", left.join(", ")));
        }
    }

    fn page(&self) -> String {
        let scheme = if self.shared.current.get().tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}/metrics", self.address)
    }

    fn status(&self) -> String {
        format!("Serving {}", self.page())
    }
}

/// Tells the service manager's watchdog once that all is well, when it is due: only a collection that answers is.
async fn feed(notify: &Notify, collection: &Worker<Collection>) {
    let Some(interval) = notify.interval() else { return std::future::pending().await };
    if collection.ask(|_| ()).await.is_some() {
        notify.alive();
    }
    sleep(interval).await;
}

/// Whoever can reach the address can read what is on it.
fn warn_of_openness(address: SocketAddr, settings: &Settings) {
    if !address.ip().is_loopback() && settings.auth.is_none() {
        say(&format!(
            "netobs: {address} can be reached from other machines, and whoever asks is answered: [auth] in the file of settings \
             asks for a password"
        ));
    }
}

/// One line on standard error, if anybody still reads that.
fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{}", printable(line));
}

/// The signals that mean something.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
    /// One that came before anybody could act on it.
    is_reload_due: bool,
    /// Whether it was started from a terminal.
    has_terminal: bool,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        let listen = |kind, name| signal(kind).with_context(|| format!("listen for {name}"));
        Ok(Self {
            interrupt: listen(SignalKind::interrupt(), "SIGINT")?,
            terminate: listen(SignalKind::terminate(), "SIGTERM")?,
            hangup: listen(SignalKind::hangup(), "SIGHUP")?,
            is_reload_due: false,
            has_terminal: is_on_terminal(),
        })
    }

    /// What the next one wants.
    async fn next(&mut self) -> Told {
        if std::mem::take(&mut self.is_reload_due) { Told::Reload } else { self.heard().await }
    }

    /// Waits for one that ends it.
    async fn end(&mut self) {
        while self.heard().await != Told::End {
            self.is_reload_due = true;
        }
    }

    async fn heard(&mut self) -> Told {
        tokio::select! {
            _ = self.interrupt.recv() => Told::End,
            _ = self.terminate.recv() => Told::End,
            // The kernel says so, too, when a terminal is closed, and takes it away before.
            _ = self.hangup.recv() => if self.has_terminal && !is_on_terminal() { Told::End } else { Told::Reload },
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    End,
    Reload,
}

fn is_on_terminal() -> bool {
    File::open("/dev/tty").is_ok()
}
