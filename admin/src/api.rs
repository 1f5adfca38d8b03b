//! Requests → answers, without any socket.

use serde::Serialize;

use crate::control::Control;
use crate::health::{self, Verdict};
use crate::view::HealthFacts;

/// What is sent back.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status code.
    pub code: u16,
    /// `Content-Type`.
    pub content_type: &'static str,
    /// The body.
    pub body: Vec<u8>,
}

/// An error as RFC 9457 has it.
#[derive(Debug, Serialize)]
struct Problem<'a> {
    title: &'a str,
    status: u16,
    detail: &'a str,
}

/// A verdict with the facts behind it.
#[derive(Debug, Serialize)]
struct Health<'a> {
    #[serde(flatten)]
    verdict: Verdict,
    #[serde(flatten)]
    facts: &'a HealthFacts,
}

/// Answers one request.
pub fn answer(control: &dyn Control, method: &str, path: &str) -> Answer {
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    let judge: fn(&HealthFacts) -> Verdict = match path {
        "/health" => health::overall,
        "/ready" => health::ready,
        "/live" => health::live,
        _ => return problem(404, "Not found", "There is no such page."),
    };
    if !matches!(method, "GET" | "HEAD") {
        return problem(405, "Method not allowed", "This page can only be read.");
    }
    let facts = control.health();
    let verdict = judge(&facts);
    let code = if verdict.works() { 200 } else { 503 };
    json(code, "application/json", &Health { verdict, facts: &facts })
}

fn problem(status: u16, title: &str, detail: &str) -> Answer {
    json(status, "application/problem+json", &Problem { title, status, detail })
}

fn json(code: u16, content_type: &'static str, value: &impl Serialize) -> Answer {
    match serde_json::to_vec(value) {
        Ok(body) => Answer { code, content_type, body },
        Err(error) => {
            log::error!("an answer cannot be written as JSON: {error}");
            Answer { code: 500, content_type, body: Vec::new() }
        }
    }
}
