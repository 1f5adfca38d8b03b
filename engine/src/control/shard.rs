//! One shard as operators see it.

use adit_admin::view::{Counts, Shard};
use adit_protocol::event::{CloseReason, Oddity};

use crate::counters::{self, CLOSE_REASONS, Counter, ODDITIES, Snapshot};
use crate::figures::ShardFigures;

/// The view of shard number `index`. Its last answer is `answer_age_us` old: 0 if it just came, `u64::MAX` if none ever did.
pub(super) fn view(
    index: usize,
    published: &ShardFigures,
    counted: &Snapshot,
    busy_share: f64,
    answer_age_us: u64,
) -> Shard {
    let vitals = &published.vitals;
    Shard {
        index: index as u32,
        core: published.core.and_then(|core| u32::try_from(core).ok()),
        fresh: answer_age_us == 0,
        heartbeat_age_ms: answer_age_us / 1_000,
        busy_share,
        connections: counted.open(),
        stages: vitals.stages().into_iter().map(|(stage, count)| (stage.label(), count)).collect(),
        connections_opened: counted.get(Counter::Accepted),
        connections_closed: CLOSE_REASONS
            .iter()
            .map(|&reason| (counters::close_reason_label(reason), counted.closed(reason)))
            .collect(),
        connections_refused: Counts::from_iter([
            ("connection_limit", counted.get(Counter::RefusedTotal)),
            ("address_limit", counted.get(Counter::RefusedAddress)),
            ("banned", counted.get(Counter::RefusedBanned)),
            ("no_pool", counted.get(Counter::RefusedNoPool)),
        ]),
        miner_bytes_in: counted.get(Counter::BytesFromMiners),
        miner_bytes_out: counted.get(Counter::BytesToMiners),
        pool_bytes_in: counted.get(Counter::BytesFromPools),
        pool_bytes_out: counted.get(Counter::BytesToPools),
        parse_errors: parse_errors(counted),
        oddities: ODDITIES
            .iter()
            .map(|&oddity| (counters::oddity_label(oddity), counted.odd(oddity)))
            .collect(),
        placements: Counts::from_iter([
            ("live", counted.get(Counter::PlacedLive)),
            ("sent_back", counted.closed(CloseReason::Misplaced)),
            ("refused", counted.odd(Oddity::RefusedMisplaced)),
        ]),
        limits_hit: Counts::from_iter([
            ("connections", counted.get(Counter::RefusedTotal)),
            ("connections_per_address", counted.get(Counter::RefusedAddress)),
            ("pending_requests", counted.odd(Oddity::PendingFull)),
            ("names_per_connection", counted.odd(Oddity::RefusedNames)),
            ("receive_buffers", counted.get(Counter::BuffersShort)),
            ("accepts", counted.get(Counter::AcceptExhausted)),
        ]),
        panics: counted.get(Counter::Panics),
        job_forwarding: vitals.job_forwarding(),
        mailbox: vitals.mailbox(),
        timers: vitals.timers(),
    }
}

/// Lines that could not be read as Stratum, by what was wrong and on which side.
fn parse_errors(counted: &Snapshot) -> Counts {
    let closed = [
        ("miner_line_too_long", CloseReason::MinerLineTooLong),
        ("miner_bad_line", CloseReason::MinerBadLine),
        ("miner_tls", CloseReason::TlsOnPlainPort),
        ("miner_http", CloseReason::HttpOnPlainPort),
        ("miner_not_stratum", CloseReason::NotStratum),
        ("pool_line_too_long", CloseReason::PoolLineTooLong),
        ("pool_garbage", CloseReason::PoolGarbage),
    ];
    let odd = [
        ("miner_malformed", Oddity::RefusedMalformed),
        ("pool_text", Oddity::PoolText),
        ("pool_unreadable_job", Oddity::UnreadableJob),
        ("pool_malformed", Oddity::PoolMalformed),
    ];
    let closed = closed.map(|(label, reason)| (label, counted.closed(reason)));
    closed.into_iter().chain(odd.map(|(label, oddity)| (label, counted.odd(oddity)))).collect()
}
