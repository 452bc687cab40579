//! The agent's HTTP.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Mutex;

use super::collection::{Collection, Options};
use crate::metrics::CONTENT_TYPE;
use crate::refusal::Refusal;

/// What `/readyz` says until the programs are attached.
const NOT_YET: &str = "the eBPF programs are not attached yet\n";
/// After a signal, the longest an answer under way may take, and then the collection for it.
const LAST_WORDS: Duration = Duration::from_millis(300);

type Shared = Arc<OnceLock<Arc<Mutex<Collection>>>>;

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
    /// Attaches and serves until SIGINT or SIGTERM.
    ///
    /// # Errors
    /// Nothing can be attached.
    pub fn serve(self, options: Options) -> anyhow::Result<()> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().context("start the runtime")?;
        let result = runtime.block_on(self.run(options));
        // A collection that is under way is not waited for: it goes with the process.
        runtime.shutdown_timeout(LAST_WORDS);
        result
    }

    async fn run(self, options: Options) -> anyhow::Result<()> {
        let Self { listener, address } = self;
        let mut ended = Ended::new()?;
        let listener = TcpListener::from_std(listener).context("listen")?;
        let shared = Shared::default();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let server = axum::serve(listener, router(Arc::clone(&shared))).with_graceful_shutdown(async move {
            let _ = stopped.await;
        });
        let mut server = tokio::spawn(server.into_future());
        let attached = tokio::task::spawn_blocking(move || Collection::attach(options));
        tokio::select! {
            attached = attached => {
                let _ = shared.set(Arc::new(Mutex::new(attached.context("attach the programs")??)));
                eprintln!("serving: http://{address}/metrics; Ctrl-C ends it");
                ended.wait().await;
            }
            () = ended.wait() => {}
        }
        let _ = stop.send(());
        let _ = tokio::time::timeout(LAST_WORDS, &mut server).await;
        server.abort();
        Ok(())
    }
}

/// The two signals that end it.
struct Ended {
    interrupt: Signal,
    terminate: Signal,
}

impl Ended {
    fn new() -> anyhow::Result<Self> {
        let interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
        let terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
        Ok(Self { interrupt, terminate })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

fn router(shared: Shared) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
        .fallback(|| async { (StatusCode::NOT_FOUND, "there is /metrics, /healthz and /readyz\n") })
        .with_state(shared)
}

async fn ready(State(shared): State<Shared>) -> Response {
    match shared.get() {
        Some(_) => "ready\n".into_response(),
        None => (StatusCode::SERVICE_UNAVAILABLE, NOT_YET).into_response(),
    }
}

async fn metrics(State(shared): State<Shared>) -> Response {
    let Some(collection) = shared.get() else { return (StatusCode::SERVICE_UNAVAILABLE, NOT_YET).into_response() };
    // One at a time: two that read at once would take no less time each.
    let mut collection = Arc::clone(collection).lock_owned().await;
    match tokio::task::spawn_blocking(move || collection.scrape()).await {
        Ok(Ok(text)) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response(),
        Ok(Err(error)) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
        Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, "the collection failed\n").into_response(),
    }
}
