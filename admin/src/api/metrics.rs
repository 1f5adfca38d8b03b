//! `/metrics`, `/metrics/prometheus`, `/metrics/json`.

use super::stats::fresh;
use super::{Api, Call};
use crate::answer::Answer;
use crate::metrics::{Scrape, TEXT_FORMAT};

pub(super) fn text(api: &Api, _: &Call) -> Answer {
    Answer::new(200, TEXT_FORMAT, scrape(api).to_text()).with("Cache-Control", "no-store")
}

pub(super) fn json(api: &Api, _: &Call) -> Answer {
    fresh(&scrape(api).to_page())
}

fn scrape(api: &Api) -> Scrape {
    let snapshot = (*api.snapshots.snapshot(&*api.control)).clone();
    let scrape = Scrape { snapshot, workers: Vec::new(), admin: api.stats() };
    if api.workers_in_metrics_max == 0 {
        return scrape;
    }
    let workers = api.snapshots.workers(&*api.control);
    if workers.shards_missing > 0 {
        // Sums without a shard's part would look like counters that began anew; a missing sample does no harm.
        return scrape;
    }
    scrape.with_workers(&workers, api.workers_in_metrics_max, &mut api.other_workers.lock())
}
