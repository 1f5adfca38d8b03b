//! `/config`, `/bans`, `/drill`, `/session`: what is set, and who asks.

use schemars::JsonSchema;
use serde::Serialize;

use super::stats::fresh;
use super::{Api, Call};
use crate::access::Role;
use crate::answer::Answer;
use crate::view::{Ban, DrillReport};

/// `/bans`
#[derive(Serialize, JsonSchema)]
pub(super) struct BanList {
    /// Bans in force.
    bans: Vec<Ban>,
}

/// `/drill`
#[derive(Serialize, JsonSchema)]
pub(super) struct LastDrill {
    /// The last drill; `null` if there was none since the start.
    drill: Option<DrillReport>,
}

/// `/session`
#[derive(Serialize, JsonSchema)]
pub(super) struct Session {
    /// The name of the token that was sent.
    token: Option<String>,
    /// Its role; `null` for a reader without one.
    role: Option<Role>,
    /// Whether tokens are configured at all; without, nobody may command.
    tokens_configured: bool,
}

pub(super) fn config(api: &Api, call: &Call) -> Answer {
    Answer::json(200, &api.control.config()).conditional(call.request)
}

pub(super) fn bans(api: &Api, _: &Call) -> Answer {
    fresh(&BanList { bans: api.control.bans() })
}

pub(super) fn drill(api: &Api, _: &Call) -> Answer {
    fresh(&LastDrill { drill: api.control.drill() })
}

pub(super) fn session(api: &Api, call: &Call) -> Answer {
    let (token, role) = call.who.token.clone().unzip();
    fresh(&Session { token, role, tokens_configured: !api.access.tokens.is_empty() })
}
