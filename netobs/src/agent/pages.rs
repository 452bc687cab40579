//! What is answered, page by page.

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;

use super::collection::Collection;
use super::inventory::Inventory;
use super::settings::Current;
use super::worker::Worker;
use crate::metrics::CONTENT_TYPE;

/// What `/readyz` says until the programs are attached.
const NOT_YET: &str = "the eBPF programs are not attached yet\n";

/// Who knows the answers.
#[derive(Clone)]
pub struct Sources {
    /// Everything counted.
    pub collection: Worker<Collection>,
    /// What takes long to read, and must keep no scrape waiting.
    pub inventory: Worker<Inventory>,
}

/// What every page is made from.
#[derive(Clone)]
pub struct Shared {
    /// Empty until the programs are attached.
    pub sources: Arc<OnceLock<Sources>>,
    /// Who may ask.
    pub current: Current,
}

/// A page there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Page {
    Index,
    Metrics,
    Topology,
    Drops,
    Conntrack,
    Healthz,
    Readyz,
}

impl Page {
    const ALL: [Self; 7] =
        [Self::Index, Self::Metrics, Self::Topology, Self::Drops, Self::Conntrack, Self::Healthz, Self::Readyz];

    fn path(self) -> &'static str {
        match self {
            Self::Index => "/",
            Self::Metrics => "/metrics",
            Self::Topology => "/api/v1/topology",
            Self::Drops => "/api/v1/drops",
            Self::Conntrack => "/api/v1/conntrack",
            Self::Healthz => "/healthz",
            Self::Readyz => "/readyz",
        }
    }

    fn about(self) -> &'static str {
        match self {
            Self::Index => "this page",
            Self::Metrics => "everything counted, for Prometheus",
            Self::Topology => "network namespaces, their devices, and how they are connected (JSON)",
            Self::Drops => "dropped packets since the agent started, by namespace, reason and function (JSON)",
            Self::Conntrack => "how full connection tracking is in each namespace, and who fills it (JSON)",
            Self::Healthz => "200 while the agent is alive",
            Self::Readyz => "200 once its programs are attached, 503 before",
        }
    }

    /// What tells nothing of the machine is told to everybody: who asks is the one that restarts the agent.
    fn is_open(self) -> bool {
        matches!(self, Self::Healthz | Self::Readyz)
    }
}

/// All pages, and what is said of everything else.
pub fn router(shared: Shared) -> Router {
    let route = |router: Router<Shared>, page: Page| {
        router.route(page.path(), get(move |State(shared): State<Shared>| answer(page, shared)))
    };
    Page::ALL
        .into_iter()
        .fold(Router::new(), route)
        .fallback(|| async { (StatusCode::NOT_FOUND, "no such page: / lists those there are\n") })
        .method_not_allowed_fallback(|| async { (StatusCode::METHOD_NOT_ALLOWED, "pages are only read: GET\n") })
        .layer(from_fn_with_state(shared.clone(), admit))
        .with_state(shared)
}

/// Lets through who may ask.
async fn admit(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let header = request.headers().get(header::AUTHORIZATION).cloned();
    if !may_ask(&shared, &path, header).await {
        let challenge = [(header::WWW_AUTHENTICATE, "Basic realm=\"netobs\", charset=\"UTF-8\"")];
        return (StatusCode::UNAUTHORIZED, challenge, "a user and a password are needed\n").into_response();
    }
    let mut response = next.run(request).await;
    // Names in answers come from strangers: no browser shall take one for a page.
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

async fn may_ask(shared: &Shared, path: &str, header: Option<HeaderValue>) -> bool {
    let is_open = Page::ALL.iter().any(|page| page.is_open() && page.path() == path);
    match shared.current.get().auth.clone() {
        Some(auth) if !is_open => match header.as_ref().and_then(|header| header.to_str().ok()) {
            Some(header) => auth.admits(header).await,
            None => false,
        },
        _ => true,
    }
}

async fn answer(page: Page, shared: Shared) -> Response {
    match page {
        Page::Index => index(),
        Page::Healthz => "alive\n".into_response(),
        _ => match shared.sources.get() {
            Some(sources) => told(page, sources).await.unwrap_or_else(|| failed("the collection has failed")),
            None => (StatusCode::SERVICE_UNAVAILABLE, NOT_YET).into_response(),
        },
    }
}

/// `None` if who knows the answer is dead.
async fn told(page: Page, sources: &Sources) -> Option<Response> {
    let Sources { collection, inventory } = sources;
    Some(match page {
        Page::Metrics => match collection.ask(Collection::scrape).await? {
            Ok(text) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response(),
            Err(error) => failed(&error.to_string()),
        },
        Page::Drops => json(&collection.ask(Collection::drops).await?),
        Page::Topology => json(&inventory.ask(Inventory::topology).await?),
        Page::Conntrack => json(&inventory.ask(Inventory::conntrack).await?),
        Page::Readyz => "ready\n".into_response(),
        Page::Index | Page::Healthz => return None,
    })
}

/// What was found in JSON, or why nothing could be.
fn json(found: &Result<impl Serialize, String>) -> Response {
    match found.as_ref().map(serde_json::to_vec) {
        Ok(Ok(mut text)) => {
            text.push(b'\n');
            ([(header::CONTENT_TYPE, "application/json")], text).into_response()
        }
        Ok(Err(error)) => failed(&error.to_string()),
        Err(error) => failed(error),
    }
}

fn failed(why: &str) -> Response {
    (StatusCode::INTERNAL_SERVER_ERROR, format!("{why}\n")).into_response()
}

fn index() -> Response {
    let line = |page: &Page| format!("<li><a href=\"{0}\">{0}</a>: {1}</li>\n", page.path(), page.about());
    let lines: String = Page::ALL.iter().map(line).collect();
    let page = format!("<!DOCTYPE html>\n<title>netobs agent</title>\n<h1>netobs agent</h1>\n<ul>\n{lines}</ul>\n");
    ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], page).into_response()
}
