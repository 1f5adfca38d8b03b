//! Workers as operators see them: the shards' figures, joined with what the ledger remembers of before this start.

use std::net::IpAddr;
use std::sync::Arc;

use adit_admin::view::{Counts, Rates, ShareCounts, Worker, WorkerState};
use adit_protocol::workers::NO_WORKER;
use adit_store::hashrate::Hashrate;
use adit_store::tally::{CLASSES_COUNT, class_index};

use crate::counters::{self, REJECT_CLASSES};
use crate::history::Past;
use crate::shard::workers::{Shares, WorkerFigures};

/// A worker by its figures and its past, of which there is at least one.
pub(crate) fn worker(
    name: &Arc<str>,
    pool: Option<Arc<str>>,
    figures: Option<&WorkerFigures>,
    past: Option<&Past>,
    now_us: u64,
) -> Worker {
    let mut view = Worker {
        name: name.clone(),
        upstream_name: name.clone(),
        pool,
        hashrate: rates(
            figures.map(|figures| &figures.hashrate),
            past.and_then(|past| past.hashrate.as_ref()),
            now_us,
        ),
        ..Worker::default()
    };
    if let Some(past) = past {
        view.first_seen_ms = past.first_seen_us / 1_000;
        view.last_seen_ms = past.last_seen_us / 1_000;
        view.address = text(&past.address);
        view.user_agent = text(&past.user_agent);
    }
    if let Some(figures) = figures {
        add_figures(&mut view, figures, past.is_some(), now_us);
    }
    view
}

/// Whether there is anything to say about a worker: the one that stands for those without figures of their own may have
/// done nothing.
pub(crate) fn is_worth_telling(figures: &WorkerFigures) -> bool {
    figures.worker != NO_WORKER || figures.connections > 0 || figures.last_share_us > 0
}

/// Hashrates of this run and of before it, added.
pub(crate) fn rates(present: Option<&Hashrate>, past: Option<&Hashrate>, now_us: u64) -> Rates {
    let mut sum = match (present, past) {
        (Some(hashrate), None) | (None, Some(hashrate)) => *hashrate,
        (Some(present), Some(past)) => {
            let mut sum = *present;
            sum.merge(past, now_us);
            sum
        }
        (None, None) => return Rates::default(),
    }
    .hashes_per_second(now_us)
    .into_iter();
    let mut next = || sum.next().unwrap_or_default();
    Rates { m1: next(), m5: next(), m15: next(), h1: next(), h6: next(), d1: next(), d7: next() }
}

fn add_figures(view: &mut Worker, figures: &WorkerFigures, has_past: bool, now_us: u64) {
    let online = figures.connections > 0;
    view.state = if online { WorkerState::Online } else { WorkerState::Offline };
    view.connections = figures.connections;
    view.address = figures.address.as_ref().map(IpAddr::to_string).as_deref().and_then(text);
    view.user_agent = text(&figures.user_agent);
    if !has_past {
        view.first_seen_ms = figures.first_seen_us / 1_000;
    }
    view.last_seen_ms = if online { now_us } else { figures.last_seen_us } / 1_000;
    view.last_share_ms = (figures.last_share_us > 0).then_some(figures.last_share_us / 1_000);
    view.difficulty = figures.difficulty;
    view.best_difficulty = (figures.best_difficulty > 0.0).then_some(figures.best_difficulty);
    view.shares = share_counts(&figures.shares);
}

fn share_counts(shares: &Shares) -> ShareCounts {
    ShareCounts {
        accepted: shares.accepted,
        rejected: by_class(&shares.rejected),
        refused_here: by_class(&shares.refused_here),
        unanswered: shares.unanswered,
        accepted_difficulty: shares.difficulty_accepted,
        block_candidates: shares.block_candidates,
    }
}

/// Only classes that occurred: with ten thousand workers the others would be most of the answer.
fn by_class(counts: &[u64; CLASSES_COUNT]) -> Counts {
    let count = |&class| (counters::reject_class_label(class), counts[class_index(Some(class))]);
    REJECT_CLASSES.iter().map(count).filter(|&(_, count)| count > 0).collect()
}

fn text(text: &str) -> Option<Arc<str>> {
    (!text.is_empty()).then(|| text.into())
}
