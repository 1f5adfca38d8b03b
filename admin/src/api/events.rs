//! `/events`: the last events as a list, or all that come, by Server-Sent Events or WebSocket.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;
use tungstenite::handshake::derive_accept_key;

use super::routes::{Parameter, Values};
use super::{Api, Call};
use crate::answer::Answer;
use crate::events::{Event, Filter};
use crate::limits::EVENTS_KEPT_COUNT_MAX;
use crate::problem::Problem;
use crate::streams::Plan;

/// Events of a list unless asked for otherwise.
const LISTED_COUNT_DEFAULT: u64 = 100;

pub(super) const PARAMETERS: &[Parameter] = &[
    Parameter { name: "kinds", about: "Only these kinds, separated by commas.", values: Values::Kinds },
    Parameter { name: "worker", about: "Only what is about this worker.", values: Values::Text },
    Parameter { name: "pool", about: "Only what is about this pool.", values: Values::Text },
    Parameter {
        name: "after",
        about: "From the event after this number on; a stream begins with those that are still kept.",
        values: Values::Number(0, u64::MAX),
    },
    Parameter {
        name: "limit",
        about: "Most events of a list.",
        values: Values::Number(1, EVENTS_KEPT_COUNT_MAX as u64),
    },
];

/// The last events.
#[derive(Serialize, JsonSchema)]
pub(super) struct Listed<'a> {
    /// Oldest first.
    #[schemars(with = "Vec<Numbered>")]
    events: Vec<&'a RawValue>,
    /// The number to ask from next time.
    last_id: u64,
    /// Events after the number asked from that are no longer kept.
    missed: u64,
}

/// An event as it is told.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used: events are written once, when they happen")]
struct Numbered {
    /// Its number.
    id: u64,
    /// When it happened.
    at_ms: u64,
    #[schemars(flatten)]
    event: Event,
}

pub(super) fn answer(api: &Api, call: &Call) -> Result<Answer, Problem> {
    let header = |name| call.request.header(name).unwrap_or_default();
    if header("upgrade").eq_ignore_ascii_case("websocket") {
        web_socket(api, call)
    } else if header("accept").contains("text/event-stream") {
        let mut answer = Answer::new(200, "text/event-stream", Vec::new()).with("Cache-Control", "no-store");
        answer.stream = Some(plan(api, call, false)?);
        Ok(answer)
    } else {
        list(api, call)
    }
}

fn web_socket(api: &Api, call: &Call) -> Result<Answer, Problem> {
    if call.request.header("sec-websocket-version") != Some("13") {
        let problem = Problem::new(426, "Only version 13 of WebSocket is spoken here.");
        return Ok(Answer::problem(&problem).with("Sec-WebSocket-Version", "13"));
    }
    let key = call.request.header("sec-websocket-key").unwrap_or_default();
    if key.len() != 24 || !key.ends_with("==") {
        return Err(Problem::new(400, "Sec-WebSocket-Key is not 16 bytes in base64."));
    }
    let stream = Some(plan(api, call, true)?);
    let answer = Answer { status: 101, upgrade: Some("websocket"), stream, ..Answer::default() };
    Ok(answer.with("Sec-WebSocket-Accept", derive_accept_key(key.as_bytes())))
}

/// The listener's wishes, checked.
fn plan(api: &Api, call: &Call, is_web_socket: bool) -> Result<String, Problem> {
    let (_, query) = call.request.path_and_query();
    let last_id = call.request.header("last-event-id");
    Plan::parse(is_web_socket, query, last_id)?;
    if !api.streams.have_room() {
        return Err(Problem::new(503, "There are too many event listeners already."));
    }
    Ok(Plan::header(is_web_socket, query, last_id))
}

fn list(api: &Api, call: &Call) -> Result<Answer, Problem> {
    let filter = Filter::parse(&call.query)?;
    let after = call.query.number("after", 0..=u64::MAX)?;
    let limit = call.query.number("limit", 1..=EVENTS_KEPT_COUNT_MAX as u64)?;
    let limit = limit.unwrap_or(LISTED_COUNT_DEFAULT) as usize;
    let (mut entries, missed, mut last_id) = api.streams.with_ring(|ring| {
        let (entries, missed) = ring.since(after, &filter);
        (entries, missed, ring.last_id())
    });
    let excess = entries.len().saturating_sub(limit);
    if excess > 0 && after.is_some() {
        // From a number on, the next ones are wanted.
        entries.truncate(limit);
        last_id = entries.last().map_or(last_id, |entry| entry.id);
    } else {
        entries.drain(..excess);
    }
    let events = entries.iter().filter_map(|entry| serde_json::from_str(&entry.json).ok()).collect();
    Ok(Answer::json(200, &Listed { events, last_id, missed }).with("Cache-Control", "no-store"))
}
