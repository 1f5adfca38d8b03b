//! Errors as RFC 9457 has them (`application/problem+json`): the one shape in which anything is refused.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Its media type.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// Why a request was not answered as asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// The HTTP status code.
    pub status: u16,
    /// What the status code means.
    pub title: String,
    /// What is wrong in this case, and what to do about it.
    pub detail: String,
}

impl Problem {
    /// A problem with the title of its status code.
    pub fn new(status: u16, detail: impl Into<String>) -> Self {
        Self { status, title: title(status).to_owned(), detail: detail.into() }
    }

    /// The body that is sent.
    pub fn to_json(&self) -> Vec<u8> {
        // A struct of a number and two strings can always be written.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// What a status code means.
pub fn title(status: u16) -> &'static str {
    match status {
        400 => "Bad request",
        401 => "Token needed",
        403 => "Forbidden",
        404 => "Not found",
        405 => "Method not allowed",
        408 => "Request timeout",
        409 => "Conflict",
        413 => "Content too large",
        415 => "Unsupported media type",
        417 => "Expectation failed",
        421 => "Misdirected request",
        422 => "Unprocessable content",
        426 => "Upgrade required",
        431 => "Request header fields too large",
        501 => "Not implemented",
        503 => "Service unavailable",
        505 => "HTTP version not supported",
        _ => "Internal error",
    }
}
