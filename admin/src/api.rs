//! Requests → answers, without any socket: which page is meant, whether the client may have it, and the page itself.

mod commands;
mod dashboard;
mod events;
mod health;
mod metrics;
mod openapi;
mod routes;
mod settings;
mod snapshots;
mod stats;
mod workers;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use serde::de::DeserializeOwned;

use crate::access::{Access, Who};
use crate::answer::Answer;
use crate::control::Control;
use crate::events::Events;
use crate::health::FirstTold;
use crate::metrics::{AdminStats, Others};
use crate::problem::Problem;
use crate::query::{Query, QueryError, decoded};
use crate::streams::Streams;
use routes::{Handle, ROUTES, Route};
use snapshots::Snapshots;

/// A request as the front lets it through.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request<'a> {
    /// The method, upper case.
    pub method: &'a str,
    /// Path and query.
    pub target: &'a str,
    /// Headers, each name at most once.
    pub headers: &'a [(&'a str, &'a str)],
    /// Where it comes from.
    pub source: SocketAddr,
    /// Its body.
    pub body: &'a [u8],
}

impl<'a> Request<'a> {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&'a str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
    }

    /// The path, still encoded, and the query.
    pub fn path_and_query(&self) -> (&'a str, &'a str) {
        self.target.split_once('?').unwrap_or((self.target, ""))
    }
}

/// A request that found its page.
struct Call<'a> {
    request: &'a Request<'a>,
    /// What stands in the path where the route has a name, decoded.
    name: String,
    query: Query,
    who: Who,
}

impl Call<'_> {
    /// The body as JSON; an empty one counts as an empty object.
    fn json<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        let body = if self.request.body.is_empty() { b"{}" } else { self.request.body };
        let content_type = self.request.header("content-type").unwrap_or_default();
        let media_type = content_type.split(';').next().unwrap_or_default().trim();
        if !self.request.body.is_empty() && !media_type.eq_ignore_ascii_case("application/json") {
            return Err(Problem::new(415, "The body must be JSON: Content-Type: application/json."));
        }
        // Structs could be read from arrays as well, and nobody means that.
        if body.trim_ascii_start().first() != Some(&b'{') {
            return Err(Problem::new(422, "The body must be a JSON object."));
        }
        serde_json::from_slice(body).map_err(|error| Problem::new(422, format!("The body: {error}.")))
    }
}

impl From<QueryError> for Problem {
    fn from(error: QueryError) -> Self {
        Self::new(400, error.to_string())
    }
}

/// Everything that answers are made from.
pub(crate) struct Api {
    control: Arc<dyn Control>,
    access: Access,
    streams: Streams,
    events: Events,
    workers_in_metrics_max: usize,
    other_workers: Mutex<Others>,
    snapshots: Snapshots,
    first_told: Mutex<FirstTold>,
    /// Requests answered, by the first digit of the status.
    requests: [AtomicU64; 6],
    replacements: Arc<AtomicU64>,
}

impl Api {
    /// An API over `control`. `replacements` counts those of the HTTP server.
    pub fn new(
        control: Arc<dyn Control>,
        access: Access,
        streams: Streams,
        events: Events,
        workers_in_metrics_max: usize,
        replacements: Arc<AtomicU64>,
    ) -> Self {
        Self {
            control,
            access,
            streams,
            events,
            workers_in_metrics_max,
            other_workers: Mutex::default(),
            snapshots: Snapshots::default(),
            first_told: Mutex::default(),
            requests: Default::default(),
            replacements,
        }
    }

    /// Answers one request.
    pub fn answer(&self, request: &Request) -> Answer {
        let answer = self.answered(request);
        if let Some(counter) = self.requests.get(usize::from(answer.status / 100)) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        answer
    }

    /// Figures of this side itself.
    fn stats(&self) -> AdminStats {
        let streams = self.streams.counts();
        AdminStats {
            requests: self.requests.each_ref().map(|counter| counter.load(Ordering::Relaxed)),
            listeners: streams.open,
            events_told: streams.told,
            events_missed: streams.missed,
            events_lost: streams.lost,
            replacements: self.replacements.load(Ordering::Relaxed),
        }
    }

    fn answered(&self, request: &Request) -> Answer {
        let origin = self.access.foreign_origin(request);
        let answer = match origin {
            Some(_) if request.method == "OPTIONS" => preflight(),
            _ => self.routed(request).unwrap_or_else(|problem| Answer::problem(&problem)),
        };
        let answer = match answer.status {
            401 => answer.with("WWW-Authenticate", "Bearer realm=\"adit\""),
            _ => answer,
        };
        let answer = answer.with("X-Content-Type-Options", "nosniff").compressed(request);
        match origin {
            Some(origin) => answer.with("Access-Control-Allow-Origin", origin).with("Vary", "Origin"),
            None => answer,
        }
    }

    fn routed(&self, request: &Request) -> Result<Answer, Problem> {
        let (path, query) = request.path_and_query();
        let method = if request.method == "HEAD" { "GET" } else { request.method };
        let fitting = || ROUTES.iter().filter_map(|route| Some((route, name_in(route, path)?)));
        let Some((route, name)) = fitting().find(|(route, _)| route.method == method) else {
            let allowed: Vec<_> = fitting().map(|(route, _)| route.method).collect();
            // Who may not read shall not learn which pages there are.
            self.access.check(request, crate::access::Need::Page)?;
            if let Some(file) = (method == "GET").then(|| dashboard::answer(request)).flatten() {
                return Ok(file);
            }
            return if allowed.is_empty() { Err(no_such_page()) } else { Ok(wrong_method(&allowed)) };
        };
        let who = self.access.check(request, route.need)?;
        let name = decoded(name, false).ok_or_else(no_such_page)?;
        let known: Vec<_> = route.parameters.iter().map(|parameter| parameter.name).collect();
        let query = Query::parse(query, &known)?;
        let call = Call { request, name, query, who };
        match route.handle {
            Handle::Always(handle) => Ok(handle(self, &call)),
            Handle::Checked(handle) => handle(self, &call),
        }
    }
}

/// What stands at the place of `{name}` in the route's path, if the path fits; empty where the route has none.
fn name_in<'a>(route: &Route, path: &'a str) -> Option<&'a str> {
    let Some((before, after)) = route.path.split_once("{name}") else {
        return (route.path == path).then_some("");
    };
    let name = path.strip_prefix(before)?.strip_suffix(after)?;
    (!name.is_empty() && !name.contains('/')).then_some(name)
}

fn no_such_page() -> Problem {
    Problem::new(404, "There is no such page; /openapi.json lists all.")
}

fn wrong_method(allowed: &[&str]) -> Answer {
    let mut methods = allowed.join(", ");
    if allowed.contains(&"GET") {
        methods.push_str(", HEAD");
    }
    Answer::problem(&Problem::new(405, format!("This page knows {methods}."))).with("Allow", methods)
}

/// What a browser asks before a page of a configured origin may send a token.
fn preflight() -> Answer {
    Answer { status: 204, ..Answer::default() }
        .with("Access-Control-Allow-Methods", "GET, POST")
        .with("Access-Control-Allow-Headers", "Authorization, Content-Type, If-None-Match, Last-Event-ID")
        .with("Access-Control-Max-Age", "600")
}
