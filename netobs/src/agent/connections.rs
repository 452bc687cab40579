//! Connections: how many there may be at once, and how long one may do nothing.
//!
//! Whoever connects, and however slowly it reads or writes, must not keep a scrape from being answered nor the agent from
//! ending. Where all places are taken, the one that has done nothing for longest makes room for the next.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::settings::Current;

/// Connections at once.
pub const PLACES: usize = 128;
/// A TLS handshake, and a request's head, must be there so long after the connection or the last answer.
const HEAD: Duration = Duration::from_secs(10);
/// An answer must have been read after this time.
const READ: Duration = Duration::from_secs(30);
/// A request's head may be so long. Nothing that is asked here has a body.
const HEAD_BYTES: usize = 16 << 10;
/// Lines of a head.
const HEAD_LINES: usize = 64;
/// Before accepting is tried again, where that failed: the process has no descriptor left.
const PAUSE: Duration = Duration::from_millis(100);

/// Everybody who is connected.
#[derive(Default)]
struct Guests {
    all: Mutex<HashMap<u64, Arc<Guest>>>,
    /// Somebody left, or is no longer waiting for an answer.
    changed: Notify,
}

/// A connection.
struct Guest {
    state: Mutex<State>,
    /// Its place is wanted.
    leave: Notify,
}

#[derive(Clone, Copy)]
enum State {
    /// Its request is being answered.
    Asking,
    /// Nothing has been asked since.
    Quiet(Instant),
}

impl Guest {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Since when nothing has been asked.
    fn quiet_since(&self) -> Option<Instant> {
        match *self.state() {
            State::Asking => None,
            State::Quiet(since) => Some(since),
        }
    }
}

impl Guests {
    fn all(&self) -> MutexGuard<'_, HashMap<u64, Arc<Guest>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there is a place, or makes one.
    async fn make_room(&self) {
        loop {
            let changed = self.changed.notified();
            {
                let mut all = self.all();
                if all.len() < PLACES {
                    return;
                }
                let quiet = all.iter().filter_map(|(number, guest)| Some((guest.quiet_since()?, *number)));
                if let Some(guest) = quiet.min().and_then(|(_, number)| all.remove(&number)) {
                    guest.leave.notify_one();
                    return;
                }
            }
            changed.await;
        }
    }

    fn enter(&self, number: u64) -> Arc<Guest> {
        let state = Mutex::new(State::Quiet(Instant::now()));
        let guest = Arc::new(Guest { state, leave: Notify::new() });
        self.all().insert(number, Arc::clone(&guest));
        guest
    }

    fn left(&self, number: u64) {
        self.all().remove(&number);
        self.changed.notify_one();
    }
}

/// Answers whoever connects until `stop` says so, and then lets answers under way come to their end.
pub async fn serve(listener: TcpListener, router: Router, current: Current, mut stop: watch::Receiver<bool>) {
    let guests = Arc::new(Guests::default());
    let mut tasks = JoinSet::new();
    for number in 0.. {
        let stream = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => break,
            stream = next(&listener, &guests) => stream,
        };
        let guest = guests.enter(number);
        let (guests, router, current, stop) = (Arc::clone(&guests), router.clone(), current.clone(), stop.clone());
        tasks.spawn(async move {
            welcome(stream, &guest, &guests, router, &current, stop).await;
            guests.left(number);
        });
        while tasks.try_join_next().is_some() {}
    }
    drop(listener);
    while tasks.join_next().await.is_some() {}
}

async fn next(listener: &TcpListener, guests: &Guests) -> TcpStream {
    loop {
        guests.make_room().await;
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(_) => sleep(PAUSE).await,
        }
    }
}

async fn welcome(
    stream: TcpStream,
    guest: &Guest,
    guests: &Guests,
    router: Router,
    current: &Current,
    stop: watch::Receiver<bool>,
) {
    let _ = stream.set_nodelay(true);
    let Some(tls) = current.get().tls.clone() else { return converse(stream, guest, guests, router, stop).await };
    let mut stopped = stop.clone();
    let shaken = tokio::select! {
        shaken = timeout(HEAD, tls.accept(stream)) => shaken,
        () = guest.leave.notified() => return,
        _ = stopped.wait_for(|stop| *stop) => return,
    };
    if let Ok(Ok(stream)) = shaken {
        converse(stream, guest, guests, router, stop).await;
    }
}

async fn converse<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    guest: &Guest,
    guests: &Guests,
    router: Router,
    mut stop: watch::Receiver<bool>,
) {
    let router = TowerToHyperService::new(router);
    let answer = service_fn(|request: Request<Incoming>| {
        *guest.state() = State::Asking;
        let answer = router.call(request.map(Body::new));
        async {
            let answer = answer.await;
            *guest.state() = State::Quiet(Instant::now());
            guests.changed.notify_one();
            Ok::<_, Infallible>(answer.unwrap_or_else(|never| match never {}))
        }
    });
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEAD).max_headers(HEAD_LINES).max_buf_size(HEAD_BYTES);
    let connection = server.serve_connection(TokioIo::new(stream), answer);
    tokio::pin!(connection);
    let mut is_ending = false;
    loop {
        let now = Instant::now();
        let limit = guest.quiet_since().unwrap_or(now) + READ;
        if limit <= now {
            return;
        }
        tokio::select! {
            _ = connection.as_mut() => return,
            () = guest.leave.notified() => return,
            _ = stop.wait_for(|stop| *stop), if !is_ending => {
                is_ending = true;
                connection.as_mut().graceful_shutdown();
            }
            () = sleep_until(limit) => {}
        }
    }
}
