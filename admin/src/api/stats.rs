//! `/stats`, `/stats/pools`, `/stats/shards`, `/stats/series`.

use super::snapshots::READ_TIME_MAX;
use super::{Api, Call};
use crate::answer::Answer;
use crate::clock::unix_ms;
use crate::problem::Problem;
use crate::query::Query;
use crate::view::{PoolList, SeriesPage, ShardList, Span, Stats, Subject};

/// Names of the spans that series can be had for.
pub(super) const SPANS: &[&str] = &["1h", "6h", "1d", "7d", "30d", "1y"];

const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;
const DAY_MS: u64 = 24 * HOUR_MS;

pub(super) fn glance(api: &Api, _: &Call) -> Answer {
    let snapshot = api.snapshots.snapshot(&*api.control);
    fresh(&Stats::from(&*snapshot))
}

pub(super) fn pools(api: &Api, _: &Call) -> Answer {
    let snapshot = api.snapshots.snapshot(&*api.control);
    fresh(&PoolList { at_ms: snapshot.at_ms, pools: snapshot.pools.clone() })
}

pub(super) fn shards(api: &Api, _: &Call) -> Answer {
    let snapshot = api.snapshots.snapshot(&*api.control);
    fresh(&ShardList { at_ms: snapshot.at_ms, shards: snapshot.shards.clone() })
}

pub(super) fn series(api: &Api, call: &Call) -> Result<Answer, Problem> {
    let subject = match (call.query.text("pool"), call.query.text("worker")) {
        (None, None) => Subject::Fleet,
        (Some(pool), None) => Subject::Pool(pool.to_owned()),
        (None, Some(worker)) => Subject::Worker(worker.to_owned()),
        (Some(_), Some(_)) => {
            return Err(Problem::new(409, "pool and worker exclude each other; ask twice."));
        }
    };
    let at_ms = unix_ms();
    let span = span(&call.query, at_ms)?;
    let series = api.control.series(&[subject], span, READ_TIME_MAX).pop().flatten();
    Ok(fresh(&SeriesPage { at_ms, series }))
}

/// The span that a query asks for, up to and with the present step.
pub(super) fn span(query: &Query, now_ms: u64) -> Result<Span, Problem> {
    let words: Vec<_> = SPANS.iter().map(|&name| (name, name)).collect();
    let (length_ms, step_ms) = match query.word("span", &words)? {
        Some("1h") => (HOUR_MS, MINUTE_MS),
        Some("6h") => (6 * HOUR_MS, 5 * MINUTE_MS),
        Some("7d") => (7 * DAY_MS, 2 * HOUR_MS),
        Some("30d") => (30 * DAY_MS, 6 * HOUR_MS),
        Some("1y") => (365 * DAY_MS, DAY_MS),
        _ => (DAY_MS, 15 * MINUTE_MS),
    };
    Ok(last(length_ms, step_ms, now_ms))
}

/// The last `length_ms`, up to and with the present step.
pub(super) fn last(length_ms: u64, step_ms: u64, now_ms: u64) -> Span {
    let to_ms = (now_ms / step_ms).saturating_add(1).saturating_mul(step_ms);
    Span { from_ms: to_ms.saturating_sub(length_ms), to_ms, step_ms }
}

/// A page that is out of date at once.
pub(super) fn fresh(body: &impl serde::Serialize) -> Answer {
    Answer::json(200, body).with("Cache-Control", "no-store")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_end_with_the_present_step_and_hold_whole_ones() {
        let now_ms = 1_700_000_123_456;
        for &name in SPANS {
            let query = Query::parse(&format!("span={name}"), &["span"]).unwrap();
            let span = span(&query, now_ms).unwrap();
            assert!(
                span.from_ms.is_multiple_of(span.step_ms) && span.to_ms.is_multiple_of(span.step_ms),
                "{name}"
            );
            assert!(span.to_ms > now_ms && span.to_ms - now_ms <= span.step_ms, "{name}");
            assert!((60..=400).contains(&((span.to_ms - span.from_ms) / span.step_ms)), "{name}");
        }
        assert!(span(&Query::parse("span=2d", &["span"]).unwrap(), now_ms).is_err());
    }
}
