//! The table of all pages: what they are called, who may have them, what they take and give. Both the dispatch and
//! `/openapi.json` are made from it, so that neither can know a page that the other does not.

use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::{Api, Call, commands, events, health, metrics, openapi, settings, stats, workers};
use crate::access::Need;
use crate::answer::Answer;
use crate::problem::Problem;
use crate::view;
use Handle::{Always, Checked};

/// A page.
pub(super) struct Route {
    /// `GET` (and with it `HEAD`) or `POST`.
    pub method: &'static str,
    /// Its path; at most one `{name}`.
    pub path: &'static str,
    /// Its name in the API description.
    pub id: &'static str,
    /// What it is for.
    pub summary: &'static str,
    /// Who may have it.
    pub need: Need,
    /// Parameters of its query.
    pub parameters: &'static [Parameter],
    /// The body that it takes.
    pub takes: Option<SchemaOf>,
    /// What it gives, by status; problems apart.
    pub gives: &'static [(u16, Gives)],
    /// Makes the answer.
    pub handle: Handle,
}

/// Makes an answer.
pub(super) enum Handle {
    /// There is always one.
    Always(fn(&Api, &Call) -> Answer),
    /// The request may be wrong.
    Checked(fn(&Api, &Call) -> Result<Answer, Problem>),
}

/// Makes the schema of a type.
pub(super) type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// The body of an answer.
pub(super) enum Gives {
    /// A JSON value.
    Json(SchemaOf),
    /// A JSON value, or events as a stream.
    JsonOrEvents(SchemaOf),
    /// Text of this media type.
    Text(&'static str),
    /// No body.
    Nothing(&'static str),
}

/// A parameter of a query.
pub(super) struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// What it does.
    pub about: &'static str,
    /// What it may be.
    pub values: Values,
}

/// What a parameter may be.
pub(super) enum Values {
    /// Any text.
    Text,
    /// A whole number within bounds.
    Number(u64, u64),
    /// One of these words.
    Words(&'static [&'static str]),
    /// Some of the kinds of events.
    Kinds,
}

fn of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

const fn read(path: &'static str, id: &'static str, summary: &'static str, handle: Handle) -> Route {
    Route {
        method: "GET",
        path,
        id,
        summary,
        need: Need::Read,
        parameters: &[],
        takes: None,
        gives: &[],
        handle,
    }
}

const fn command(path: &'static str, id: &'static str, summary: &'static str, handle: Handle) -> Route {
    Route { method: "POST", need: Need::Command, gives: DONE, ..read(path, id, summary, handle) }
}

const DONE: &[(u16, Gives)] = &[(200, Gives::Json(of::<crate::control::Done>))];
const BEGUN: &[(u16, Gives)] = &[(202, Gives::Json(of::<crate::control::Done>))];
const HEALTH: &[(u16, Gives)] =
    &[(200, Gives::Json(of::<health::Health>)), (503, Gives::Json(of::<health::Health>))];

const METRICS: &[(u16, Gives)] = &[(200, Gives::Text(crate::metrics::TEXT_FORMAT))];

/// Every page but those of the dashboard.
pub(super) const ROUTES: &[Route] = &[
    Route {
        need: Need::Probe,
        gives: HEALTH,
        ..read(
            "/health",
            "health",
            "Whether every part works, and why not; 503 if one does not.",
            Always(health::overall),
        )
    },
    Route {
        need: Need::Probe,
        gives: HEALTH,
        ..read("/ready", "ready", "Whether a new miner would be served; 503 if not.", Always(health::ready))
    },
    Route {
        need: Need::Probe,
        gives: HEALTH,
        ..read(
            "/live",
            "live",
            "Whether the process does its work; 503 if only a restart helps.",
            Always(health::live),
        )
    },
    Route {
        gives: &[
            (200, Gives::Json(of::<health::DatabasePart>)),
            (503, Gives::Json(of::<health::DatabasePart>)),
        ],
        ..read(
            "/health/database",
            "healthDatabase",
            "Whether the ledger takes rows.",
            Always(health::database),
        )
    },
    Route {
        gives: &[(200, Gives::Json(of::<health::PoolsPart>)), (503, Gives::Json(of::<health::PoolsPart>))],
        ..read("/health/pool", "healthPool", "Whether there is a pool to mine at.", Always(health::pool))
    },
    Route {
        gives: &[(200, Gives::Json(of::<health::SystemPart>)), (503, Gives::Json(of::<health::SystemPart>))],
        ..read(
            "/health/system",
            "healthSystem",
            "Whether the process is whole: shards, memory, descriptors.",
            Always(health::system),
        )
    },
    Route {
        gives: METRICS,
        ..read("/metrics", "metrics", "The metrics in the text format of Prometheus.", Always(metrics::text))
    },
    Route {
        gives: METRICS,
        ..read("/metrics/prometheus", "metricsPrometheus", "The same as /metrics.", Always(metrics::text))
    },
    Route {
        gives: &[(200, Gives::Json(of::<crate::metrics::MetricsPage>))],
        ..read("/metrics/json", "metricsJson", "The metrics as JSON.", Always(metrics::json))
    },
    Route {
        gives: &[(200, Gives::Json(of::<view::Stats>))],
        ..read("/stats", "stats", "The whole process at a glance.", Always(stats::glance))
    },
    Route {
        gives: &[(200, Gives::Json(of::<view::PoolList>))],
        ..read(
            "/stats/pools",
            "statsPools",
            "The pools: state, history, shares, latencies.",
            Always(stats::pools),
        )
    },
    Route {
        gives: &[(200, Gives::Json(of::<view::ShardList>))],
        ..read(
            "/stats/shards",
            "statsShards",
            "The shards: connections, bytes, errors, how busy.",
            Always(stats::shards),
        )
    },
    Route {
        parameters: &[SPAN, POOL_SERIES, WORKER_SERIES],
        gives: &[(200, Gives::Json(of::<view::SeriesPage>))],
        ..read(
            "/stats/series",
            "statsSeries",
            "Figures over time of the fleet, a pool or a worker.",
            Checked(stats::series),
        )
    },
    Route {
        parameters: workers::PARAMETERS,
        gives: &[(200, Gives::Json(of::<view::WorkerPage>))],
        ..read("/stats/workers", "statsWorkers", "Workers, online and offline.", Checked(workers::page))
    },
    Route {
        parameters: &[SPAN],
        gives: &[(200, Gives::Json(of::<view::WorkerDetail>))],
        ..read(
            "/stats/workers/{name}",
            "statsWorker",
            "One worker, and its figures over time.",
            Checked(workers::detail),
        )
    },
    Route {
        gives: &[(200, Gives::Json(of::<view::ConfigText>)), (304, Gives::Nothing("Unchanged."))],
        ..read("/config", "config", "The configuration in force, secrets masked.", Always(settings::config))
    },
    Route {
        gives: &[(200, Gives::Json(of::<settings::BanList>))],
        ..read("/bans", "bans", "Networks that are not let in.", Always(settings::bans))
    },
    Route {
        gives: &[(200, Gives::Json(of::<settings::LastDrill>))],
        ..read("/drill", "lastDrill", "The last failover drill, under way or over.", Always(settings::drill))
    },
    Route {
        gives: &[(200, Gives::Json(of::<settings::Session>))],
        ..read("/session", "session", "What the token that was sent may do.", Always(settings::session))
    },
    Route {
        parameters: events::PARAMETERS,
        gives: &[
            (200, Gives::JsonOrEvents(of::<events::Listed>)),
            (101, Gives::Nothing("WebSocket follows; each text frame is an event as JSON.")),
        ],
        ..read(
            "/events",
            "events",
            "The last events as a list; with Accept: text/event-stream or a WebSocket handshake, all that come.",
            Checked(events::answer),
        )
    },
    Route {
        need: Need::Page,
        gives: &[(200, Gives::Json(of::<openapi::Description>)), (304, Gives::Nothing("Unchanged."))],
        ..read("/openapi.json", "openapi", "This description.", Always(openapi::answer))
    },
    command(
        "/config/reload",
        "reload",
        "Reads the configuration again and applies what can change live.",
        Checked(commands::reload),
    ),
    Route {
        gives: BEGUN,
        ..command(
            "/drain",
            "drain",
            "Lets no miner in any more, lets submits settle, and stops.",
            Checked(commands::drain),
        )
    },
    command(
        "/pools/{name}/enable",
        "enablePool",
        "Lets miners be sent to a pool again.",
        Checked(commands::enable_pool),
    ),
    command(
        "/pools/{name}/disable",
        "disablePool",
        "Uses a pool no more and moves its miners away now.",
        Checked(commands::disable_pool),
    ),
    command(
        "/pools/{name}/drain",
        "drainPool",
        "Sends no new miner to a pool.",
        Checked(commands::drain_pool),
    ),
    Route {
        takes: Some(of::<commands::MoveBody>),
        ..command(
            "/pools/{name}/move",
            "movePool",
            "Moves all miners of a pool to another one now, and keeps them there for a while.",
            Checked(commands::move_pool),
        )
    },
    command(
        "/workers/{name}/disconnect",
        "disconnectWorker",
        "Closes every connection of a worker.",
        Checked(commands::disconnect_worker),
    ),
    Route {
        takes: Some(of::<commands::MoveBody>),
        ..command(
            "/workers/{name}/move",
            "moveWorker",
            "Moves a worker to a pool now, and keeps it there for a while.",
            Checked(commands::move_worker),
        )
    },
    Route {
        takes: Some(of::<commands::DrillBody>),
        gives: BEGUN,
        ..command(
            "/drill",
            "drill",
            "Moves a share of a pool's miners to the standby and back, or ends that early.",
            Checked(commands::drill),
        )
    },
    Route {
        takes: Some(of::<commands::BanBody>),
        ..command("/bans", "ban", "Lets a network in no more, or again.", Checked(commands::ban))
    },
];

const SPAN: Parameter = Parameter {
    name: "span",
    about: "How far back; the finer the shorter. One day if absent.",
    values: Values::Words(stats::SPANS),
};
const POOL_SERIES: Parameter =
    Parameter { name: "pool", about: "The pool whose figures are wanted.", values: Values::Text };
const WORKER_SERIES: Parameter =
    Parameter { name: "worker", about: "The worker whose figures are wanted.", values: Values::Text };
