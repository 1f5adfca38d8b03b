//! `/stats/workers`: filtered, sorted, by pages; and one worker alone.

use std::cmp::Ordering;

use super::routes::{Parameter, Values};
use super::snapshots::READ_TIME_MAX;
use super::stats::{fresh, last, span};
use super::{Api, Call};
use crate::answer::Answer;
use crate::clock::unix_ms;
use crate::limits::{WORKERS_PER_PAGE_DEFAULT, WORKERS_PER_PAGE_MAX};
use crate::problem::Problem;
use crate::query::Query;
use crate::view::{Subject, Worker, WorkerDetail, WorkerPage, WorkerRow, WorkerState};

/// Span and step of the little curves in the list.
const SPARK_MS: (u64, u64) = (3_600_000, 120_000);

const SORTS: &[&str] =
    &["name", "state", "pool", "hashrate", "difficulty", "accepted", "rejected", "last_share", "connections"];

pub(super) const PARAMETERS: &[Parameter] = &[
    Parameter { name: "offset", about: "Workers to leave out.", values: Values::Number(0, u32::MAX as u64) },
    Parameter {
        name: "limit",
        about: "Most workers to give.",
        values: Values::Number(1, WORKERS_PER_PAGE_MAX),
    },
    Parameter { name: "sort", about: "What to sort by; name if absent.", values: Values::Words(SORTS) },
    Parameter { name: "order", about: "Upwards if absent.", values: Values::Words(&["asc", "desc"]) },
    Parameter { name: "search", about: "Part of the name or address, in any case.", values: Values::Text },
    Parameter { name: "pool", about: "Only those at this pool.", values: Values::Text },
    Parameter {
        name: "state",
        about: "Only those in this state.",
        values: Values::Words(&["online", "offline"]),
    },
    Parameter {
        name: "spark",
        about: "With 1, each with its hashrate over the last hour.",
        values: Values::Words(&["0", "1"]),
    },
];

pub(super) fn page(api: &Api, call: &Call) -> Result<Answer, Problem> {
    let query = &call.query;
    let wish = Wish::parse(query)?;
    let workers = api.snapshots.workers(&*api.control);
    let online = workers.all.iter().filter(|worker| worker.state == WorkerState::Online).count();
    let mut fitting: Vec<&Worker> = workers.all.iter().filter(|worker| wish.fits(worker)).collect();
    let total = fitting.len();
    wish.sort(&mut fitting);
    let shown = fitting.into_iter().skip(wish.offset).take(wish.limit);
    let mut rows: Vec<_> = shown.map(|worker| WorkerRow { worker: worker.clone(), spark: None }).collect();
    let at_ms = unix_ms();
    if wish.spark {
        let subjects: Vec<_> =
            rows.iter().map(|row| Subject::Worker(row.worker.name.as_ref().to_owned())).collect();
        let series = api.control.series(&subjects, last(SPARK_MS.0, SPARK_MS.1, at_ms), READ_TIME_MAX);
        for (row, series) in rows.iter_mut().zip(series) {
            row.spark = series.map(|series| series.hashrate);
        }
    }
    Ok(fresh(&WorkerPage {
        at_ms,
        total: total as u64,
        online: online as u64,
        offline: (workers.all.len() - online) as u64,
        offset: wish.offset as u64,
        limit: wish.limit as u64,
        shards_missing: workers.shards_missing,
        workers: rows,
    }))
}

pub(super) fn detail(api: &Api, call: &Call) -> Result<Answer, Problem> {
    let span = span(&call.query, unix_ms())?;
    let workers = api.snapshots.workers(&*api.control);
    let Some(worker) = workers.all.iter().find(|worker| *worker.name == *call.name) else {
        return Err(Problem::new(404, format!("There is no worker {:?}.", call.name)));
    };
    let subject = Subject::Worker(call.name.clone());
    let series = api.control.series(&[subject], span, READ_TIME_MAX).pop().flatten();
    Ok(fresh(&WorkerDetail { worker: worker.clone(), series }))
}

/// Which workers are wanted, and in which order.
struct Wish {
    offset: usize,
    limit: usize,
    sort: &'static str,
    descending: bool,
    search: Option<String>,
    pool: Option<String>,
    state: Option<WorkerState>,
    spark: bool,
}

impl Wish {
    fn parse(query: &Query) -> Result<Self, Problem> {
        let sorts: Vec<_> = SORTS.iter().map(|&name| (name, name)).collect();
        let states = [("online", WorkerState::Online), ("offline", WorkerState::Offline)];
        Ok(Self {
            offset: query.number("offset", 0..=u64::from(u32::MAX))?.unwrap_or_default() as usize,
            limit: query.number("limit", 1..=WORKERS_PER_PAGE_MAX)?.unwrap_or(WORKERS_PER_PAGE_DEFAULT)
                as usize,
            sort: query.word("sort", &sorts)?.unwrap_or("name"),
            descending: query.word("order", &[("asc", false), ("desc", true)])?.unwrap_or_default(),
            search: query.text("search").filter(|text| !text.is_empty()).map(str::to_lowercase),
            pool: query.text("pool").map(str::to_owned),
            state: query.word("state", &states)?,
            spark: query.word("spark", &[("0", false), ("1", true)])?.unwrap_or_default(),
        })
    }

    fn fits(&self, worker: &Worker) -> bool {
        let has = |text: &str, part: &str| text.to_lowercase().contains(part);
        self.state.is_none_or(|state| worker.state == state)
            && self.pool.as_deref().is_none_or(|pool| worker.pool.as_deref() == Some(pool))
            && self.search.as_deref().is_none_or(|part| {
                has(&worker.name, part) || worker.address.as_deref().is_some_and(|text| has(text, part))
            })
    }

    fn sort(&self, workers: &mut [&Worker]) {
        workers.sort_by(|a, b| {
            let order = self.compare(a, b);
            let order = if self.descending { order.reverse() } else { order };
            // Equal ones always come in the same order, so that pages fit together.
            order.then_with(|| a.name.cmp(&b.name))
        });
    }

    fn compare(&self, a: &Worker, b: &Worker) -> Ordering {
        let rejected = |worker: &Worker| worker.shares.total().saturating_sub(worker.shares.accepted);
        match self.sort {
            "state" => (a.state == WorkerState::Offline).cmp(&(b.state == WorkerState::Offline)),
            "pool" => a.pool.cmp(&b.pool),
            "hashrate" => a.hashrate.m5.total_cmp(&b.hashrate.m5),
            "difficulty" => a.difficulty.total_cmp(&b.difficulty),
            "accepted" => a.shares.accepted.cmp(&b.shares.accepted),
            "rejected" => rejected(a).cmp(&rejected(b)),
            "last_share" => a.last_share_ms.cmp(&b.last_share_ms),
            "connections" => a.connections.cmp(&b.connections),
            _ => a.name.cmp(&b.name),
        }
    }
}
