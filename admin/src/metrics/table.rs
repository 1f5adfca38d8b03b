//! The table of all metrics.

use super::{Metric, MetricKind, Samples, Scrape};
use crate::view::{Counts, LedgerStats, Pool, PoolState, Rates, Shard, ShareCounts, SplitPart};

const fn counter(
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
    read: fn(&Scrape, &mut Samples),
) -> Metric {
    Metric { name, kind: MetricKind::Counter, help, labels, read }
}

const fn gauge(
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
    read: fn(&Scrape, &mut Samples),
) -> Metric {
    Metric { name, kind: MetricKind::Gauge, help, labels, read }
}

const fn histogram(
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
    read: fn(&Scrape, &mut Samples),
) -> Metric {
    Metric { name, kind: MetricKind::Histogram, help, labels, read }
}

/// Every metric, in the order in which they are written.
pub const METRICS: &[Metric] = &[
    // The process.
    gauge("adit_build_info", &["version", "commit", "rustc"], "What runs; always 1.", |s, out| {
        let build = &s.snapshot.build;
        out.count(&[&build.version, &build.commit, &build.rustc], 1);
    }),
    gauge("adit_process_start_time_seconds", &[], "When the process started, Unix time.", |s, out| {
        out.seconds(&[], s.snapshot.process.started_ms);
    }),
    gauge("adit_process_resident_memory_bytes", &[], "Resident memory.", |s, out| {
        out.count(&[], s.snapshot.process.memory_bytes);
    }),
    counter("adit_process_cpu_seconds_total", &[], "CPU time used, user and system.", |s, out| {
        out.value(&[], s.snapshot.process.cpu_seconds);
    }),
    gauge("adit_process_open_fds", &[], "Descriptors open.", |s, out| {
        out.count(&[], s.snapshot.process.descriptors);
    }),
    gauge("adit_process_max_fds", &[], "The limit on descriptors.", |s, out| {
        out.count(&[], s.snapshot.process.descriptors_max);
    }),
    gauge("adit_process_threads", &[], "Threads.", |s, out| out.count(&[], s.snapshot.process.threads)),
    gauge(
        "adit_config_loaded_timestamp_seconds",
        &[],
        "When the configuration in force was read, Unix time.",
        |s, out| out.seconds(&[], s.snapshot.process.config_loaded_ms),
    ),
    counter("adit_config_reloads_total", &["result"], "Times the configuration was read again.", |s, out| {
        counts(out, &[], &s.snapshot.process.reloads);
    }),
    gauge("adit_limit_used", &["limit"], "What is used of a configured bound.", |s, out| {
        s.snapshot.limits.iter().for_each(|limit| out.count(&[&limit.name], limit.used));
    }),
    gauge("adit_limit_max", &["limit"], "A configured bound.", |s, out| {
        s.snapshot.limits.iter().for_each(|limit| out.count(&[&limit.name], limit.max));
    }),
    gauge(
        "adit_certificate_expiry_timestamp_seconds",
        &["used_by", "subject"],
        "When a certificate ends, Unix time.",
        |s, out| {
            for certificate in &s.snapshot.certificates {
                out.seconds(&[&certificate.used_by, &certificate.subject], certificate.expires_ms);
            }
        },
    ),
    gauge("adit_bans", &[], "Bans in force.", |s, out| out.count(&[], s.snapshot.bans)),
    // All workers together.
    gauge("adit_workers_online", &[], "Workers online.", |s, out| out.count(&[], s.snapshot.workers_online)),
    gauge("adit_workers_known", &[], "Workers known, online and offline.", |s, out| {
        out.count(&[], s.snapshot.workers_known);
    }),
    gauge(
        "adit_hashrate_hashes_per_second",
        &["window"],
        "Hashrate of all workers by accepted shares, decaying averages.",
        |s, out| rates(out, &[], &s.snapshot.hashrate),
    ),
    counter("adit_shares_total", &["outcome", "class"], "Shares that ended, by how.", |s, out| {
        shares(out, &[], &s.snapshot.shares);
    }),
    counter(
        "adit_accepted_difficulty_total",
        &[],
        "Sum of the difficulties of accepted shares.",
        |s, out| {
            out.value(&[], s.snapshot.shares.accepted_difficulty);
        },
    ),
    counter("adit_block_candidates_total", &[], "Shares good enough for a block.", |s, out| {
        out.count(&[], s.snapshot.shares.block_candidates);
    }),
    histogram("adit_verdict_seconds", &[], "From a miner's submit to the verdict.", |s, out| {
        out.latency(&[], &s.snapshot.verdict_time);
    }),
    // Shards.
    gauge("adit_shard_up", &["shard"], "Whether a shard answered in time.", |s, out| {
        each_shard(s, |label, shard| out.count(&[label], u64::from(shard.fresh)));
    }),
    gauge(
        "adit_shard_heartbeat_age_seconds",
        &["shard"],
        "Since a shard last showed a sign of life.",
        |s, out| {
            each_shard(s, |label, shard| out.seconds(&[label], shard.heartbeat_age_ms));
        },
    ),
    gauge("adit_shard_busy_ratio", &["shard"], "Share of the time that a shard worked.", |s, out| {
        each_shard(s, |label, shard| out.value(&[label], shard.busy_share));
    }),
    gauge("adit_connections", &["shard"], "Miners connected.", |s, out| {
        each_shard(s, |label, shard| out.count(&[label], shard.connections));
    }),
    gauge("adit_handshake_connections", &["shard", "stage"], "Miners connected, by stage.", |s, out| {
        each_shard(s, |label, shard| counts(out, &[label], &shard.stages));
    }),
    counter("adit_connections_opened_total", &["shard"], "Miners that connected.", |s, out| {
        each_shard(s, |label, shard| out.count(&[label], shard.connections_opened));
    }),
    counter("adit_connections_closed_total", &["shard", "reason"], "Sessions that ended.", |s, out| {
        each_shard(s, |label, shard| counts(out, &[label], &shard.connections_closed));
    }),
    counter("adit_connections_refused_total", &["shard", "reason"], "Miners not let in.", |s, out| {
        each_shard(s, |label, shard| counts(out, &[label], &shard.connections_refused));
    }),
    counter("adit_shard_bytes_total", &["shard", "peer", "direction"], "Bytes moved.", |s, out| {
        each_shard(s, |label, shard| {
            out.count(&[label, "miner", "in"], shard.miner_bytes_in);
            out.count(&[label, "miner", "out"], shard.miner_bytes_out);
            out.count(&[label, "pool", "in"], shard.pool_bytes_in);
            out.count(&[label, "pool", "out"], shard.pool_bytes_out);
        });
    }),
    counter("adit_parse_errors_total", &["shard", "reason"], "Lines that could not be read.", |s, out| {
        each_shard(s, |label, shard| counts(out, &[label], &shard.parse_errors));
    }),
    counter("adit_oddities_total", &["shard", "oddity"], "What was odd but harmless.", |s, out| {
        each_shard(s, |label, shard| counts(out, &[label], &shard.oddities));
    }),
    counter(
        "adit_placements_total",
        &["shard", "how"],
        "Miners whose name belongs to another pool.",
        |s, out| {
            each_shard(s, |label, shard| counts(out, &[label], &shard.placements));
        },
    ),
    counter("adit_limits_hit_total", &["shard", "limit"], "Bounds reached.", |s, out| {
        each_shard(s, |label, shard| counts(out, &[label], &shard.limits_hit));
    }),
    counter("adit_panics_total", &["shard"], "Panics contained to one session.", |s, out| {
        each_shard(s, |label, shard| out.count(&[label], shard.panics));
    }),
    histogram(
        "adit_job_forwarding_seconds",
        &["shard"],
        "From a pool's job to the miner's socket.",
        |s, out| {
            each_shard(s, |label, shard| out.latency(&[label], &shard.job_forwarding));
        },
    ),
    histogram(
        "adit_mailbox_wait_seconds",
        &["shard"],
        "From posting a message to its handling.",
        |s, out| {
            each_shard(s, |label, shard| out.latency(&[label], &shard.mailbox));
        },
    ),
    histogram(
        "adit_timer_lateness_seconds",
        &["shard"],
        "From a deadline of the shard to when it was looked at.",
        |s, out| {
            each_shard(s, |label, shard| out.latency(&[label], &shard.timers));
        },
    ),
    // Pools.
    gauge(
        "adit_pool_info",
        &["pool", "url", "group", "priority", "weight"],
        "A pool; always 1.",
        |s, out| {
            each_pool(s, |name, pool| {
                let (priority, weight) = (pool.priority.to_string(), pool.weight.to_string());
                out.count(&[name, &pool.url, &pool.group, &priority, &weight], 1);
            });
        },
    ),
    gauge("adit_pool_up", &["pool"], "Whether miners may be sent to a pool.", |s, out| {
        each_pool(s, |name, pool| out.count(&[name], u64::from(pool.state.is_usable())));
    }),
    gauge("adit_pool_state", &["pool", "state"], "1 for the state that a pool is in.", |s, out| {
        each_pool(s, |name, pool| {
            for state in PoolState::ALL {
                out.count(&[name, state.label()], u64::from(pool.state == state));
            }
        });
    }),
    gauge("adit_pool_state_since_timestamp_seconds", &["pool"], "Since when, Unix time.", |s, out| {
        each_pool(s, |name, pool| out.seconds(&[name], pool.since_ms));
    }),
    gauge("adit_pool_connections", &["pool"], "Connections to a pool.", |s, out| {
        each_pool(s, |name, pool| out.count(&[name], pool.connections));
    }),
    gauge("adit_pool_standby_connections", &["pool"], "Connections prepared for a switch.", |s, out| {
        each_pool(s, |name, pool| out.count(&[name], pool.standby));
    }),
    counter(
        "adit_pool_probes_total",
        &["pool", "result"],
        "Logins made to see whether a pool works.",
        |s, out| {
            each_pool(s, |name, pool| counts(out, &[name], &pool.probes_ended));
        },
    ),
    counter(
        "adit_pool_kept_total",
        &["pool", "event"],
        "Connections without a miner: kept, used, ended.",
        |s, out| {
            each_pool(s, |name, pool| counts(out, &[name], &pool.kept));
        },
    ),
    counter("adit_pool_connects_total", &["pool"], "Connections made to a pool.", |s, out| {
        each_pool(s, |name, pool| out.count(&[name], pool.connects));
    }),
    counter("adit_pool_connect_failures_total", &["pool", "reason"], "Connections that failed.", |s, out| {
        each_pool(s, |name, pool| counts(out, &[name], &pool.connect_failures));
    }),
    histogram("adit_pool_connect_seconds", &["pool"], "What connecting to a pool took.", |s, out| {
        each_pool(s, |name, pool| out.latency(&[name], &pool.connect_time));
    }),
    counter("adit_pool_switches_total", &["pool", "reason"], "Miners moved to a pool.", |s, out| {
        each_pool(s, |name, pool| counts(out, &[name], &pool.switches_to));
    }),
    histogram(
        "adit_pool_switch_seconds",
        &["pool"],
        "From the decision to the first job, for moves to a pool.",
        |s, out| each_pool(s, |name, pool| out.latency(&[name], &pool.switch_time)),
    ),
    counter("adit_pool_shares_total", &["pool", "outcome", "class"], "Shares that ended.", |s, out| {
        each_pool(s, |name, pool| shares(out, &[name], &pool.shares));
    }),
    counter(
        "adit_pool_accepted_difficulty_total",
        &["pool"],
        "Sum of the difficulties of shares that a pool accepted.",
        |s, out| each_pool(s, |name, pool| out.value(&[name], pool.shares.accepted_difficulty)),
    ),
    counter("adit_pool_block_candidates_total", &["pool"], "Shares good enough for a block.", |s, out| {
        each_pool(s, |name, pool| out.count(&[name], pool.shares.block_candidates));
    }),
    histogram("adit_pool_verdict_seconds", &["pool"], "From a submit to the pool's verdict.", |s, out| {
        each_pool(s, |name, pool| out.latency(&[name], &pool.verdict_time));
    }),
    gauge(
        "adit_pool_hashrate_hashes_per_second",
        &["pool", "window"],
        "Hashrate that a pool credited, decaying averages.",
        |s, out| each_pool(s, |name, pool| rates(out, &[name], &pool.hashrate)),
    ),
    gauge("adit_pool_workers", &["pool"], "Workers online that mine at a pool.", |s, out| {
        each_pool(s, |name, pool| out.count(&[name], pool.split.workers));
    }),
    gauge(
        "adit_pool_split_wanted_ratio",
        &["pool"],
        "The part of its group's and priority's miners that a pool should have by the weights.",
        |s, out| each_pool(s, |name, pool| out.value(&[name], pool.split.wanted)),
    ),
    gauge(
        "adit_pool_split_achieved_ratio",
        &["pool", "by"],
        "The part of the workers and of the hashrate that a pool has.",
        |s, out| split(s, out, |part| part.achieved),
    ),
    gauge(
        "adit_pool_split_standard_error_ratio",
        &["pool", "by"],
        "By how much the achieved part differs from the wanted one by chance, one standard error.",
        |s, out| split(s, out, |part| part.standard_error),
    ),
    counter("adit_pool_jobs_total", &["pool"], "Jobs that a pool sent.", |s, out| {
        each_pool(s, |name, pool| out.count(&[name], pool.jobs));
    }),
    counter("adit_pool_clean_jobs_total", &["pool"], "Jobs that replaced all before them.", |s, out| {
        each_pool(s, |name, pool| out.count(&[name], pool.clean_jobs));
    }),
    gauge("adit_pool_job_age_seconds", &["pool"], "Since a pool's last job.", |s, out| {
        each_pool(s, |name, pool| {
            if let Some(at_ms) = pool.last_job_ms {
                out.seconds(&[name], s.snapshot.at_ms.saturating_sub(at_ms));
            }
        });
    }),
    gauge("adit_pool_difficulty", &["pool"], "The difficulty that a pool set last.", |s, out| {
        each_pool(s, |name, pool| pool.difficulty.into_iter().for_each(|value| out.value(&[name], value)));
    }),
    gauge("adit_pool_block_height", &["pool"], "The height that a pool's jobs are for.", |s, out| {
        each_pool(s, |name, pool| pool.block_height.into_iter().for_each(|value| out.count(&[name], value)));
    }),
    gauge("adit_pool_network_difficulty", &["pool"], "The network's difficulty by its jobs.", |s, out| {
        each_pool(s, |name, pool| {
            pool.network_difficulty.into_iter().for_each(|value| out.value(&[name], value));
        });
    }),
    counter("adit_pool_bytes_total", &["pool", "direction"], "Bytes moved from and to a pool.", |s, out| {
        each_pool(s, |name, pool| {
            out.count(&[name, "in"], pool.bytes_in);
            out.count(&[name, "out"], pool.bytes_out);
        });
    }),
    // The ledger.
    counter("adit_ledger_rows_total", &[], "Rows written.", |s, out| {
        ledger(s, |ledger| out.count(&[], ledger.rows));
    }),
    counter("adit_ledger_batches_total", &[], "Batches written.", |s, out| {
        ledger(s, |ledger| out.count(&[], ledger.batches));
    }),
    histogram("adit_ledger_batch_seconds", &[], "Time spent writing a batch, in all.", |s, out| {
        ledger(s, |ledger| out.latency(&[], &ledger.batch_time));
    }),
    gauge("adit_ledger_queued_rows", &[], "Rows that wait to be written.", |s, out| {
        ledger(s, |ledger| out.count(&[], ledger.queued_rows));
    }),
    gauge("adit_ledger_queue_max_rows", &[], "Rows that may wait at most.", |s, out| {
        ledger(s, |ledger| out.count(&[], ledger.queue_rows_max));
    }),
    gauge("adit_ledger_durable_lag_seconds", &[], "Age of the oldest row not on disk.", |s, out| {
        ledger(s, |ledger| out.seconds(&[], ledger.durable_lag_ms));
    }),
    counter("adit_ledger_gaps_total", &[], "Gap rows written.", |s, out| {
        ledger(s, |ledger| out.count(&[], ledger.gaps));
    }),
    counter("adit_ledger_gap_shares_total", &[], "Shares only counted in gap rows.", |s, out| {
        ledger(s, |ledger| out.count(&[], ledger.gap_shares));
    }),
    counter("adit_ledger_write_failures_total", &[], "Writes that failed.", |s, out| {
        ledger(s, |ledger| out.count(&[], ledger.write_failures));
    }),
    gauge("adit_ledger_file_bytes", &[], "Size of the ledger's files.", |s, out| {
        ledger(s, |ledger| out.count(&[], ledger.file_bytes));
    }),
    // The admin side itself.
    counter("adit_admin_requests_total", &["status"], "HTTP requests answered.", |s, out| {
        for (n, label) in [(1, "1xx"), (2, "2xx"), (3, "3xx"), (4, "4xx"), (5, "5xx")] {
            out.count(&[label], s.admin.requests.get(n).copied().unwrap_or_default());
        }
    }),
    gauge("adit_event_listeners", &[], "Clients that listen to events.", |s, out| {
        out.count(&[], s.admin.listeners);
    }),
    counter("adit_events_told_total", &[], "Events told, to all listeners together.", |s, out| {
        out.count(&[], s.admin.events_told);
    }),
    counter("adit_events_missed_total", &[], "Events that slow listeners missed.", |s, out| {
        out.count(&[], s.admin.events_missed);
    }),
    counter("adit_events_lost_total", &[], "Events lost before they could be told.", |s, out| {
        out.count(&[], s.admin.events_lost);
    }),
    counter("adit_admin_replacements_total", &[], "Times the HTTP server was replaced.", |s, out| {
        out.count(&[], s.admin.replacements);
    }),
    // Workers, where switched on.
    gauge("adit_worker_up", &["worker"], "Whether a worker is online.", |s, out| {
        for worker in &s.workers {
            let is_online = worker.state == crate::view::WorkerState::Online;
            out.count(&[&worker.name], u64::from(is_online));
        }
    }),
    gauge("adit_worker_connections", &["worker"], "A worker's connections.", |s, out| {
        s.workers.iter().for_each(|worker| out.count(&[&worker.name], worker.connections.into()));
    }),
    gauge(
        "adit_worker_hashrate_hashes_per_second",
        &["worker"],
        "A worker's hashrate over five minutes.",
        |s, out| s.workers.iter().for_each(|worker| out.value(&[&worker.name], worker.hashrate.m5)),
    ),
    gauge("adit_worker_difficulty", &["worker"], "The difficulty that a worker works at.", |s, out| {
        s.workers.iter().for_each(|worker| out.value(&[&worker.name], worker.difficulty));
    }),
    gauge("adit_worker_last_share_timestamp_seconds", &["worker"], "Its last share, Unix time.", |s, out| {
        for worker in &s.workers {
            worker.last_share_ms.into_iter().for_each(|at_ms| out.seconds(&[&worker.name], at_ms));
        }
    }),
    counter("adit_worker_shares_total", &["worker", "outcome"], "A worker's shares that ended.", |s, out| {
        for worker in &s.workers {
            let (name, shares) = (&worker.name, &worker.shares);
            out.count(&[name, "accepted"], shares.accepted);
            out.count(&[name, "rejected"], shares.rejected.total());
            out.count(&[name, "refused_here"], shares.refused_here.total());
            out.count(&[name, "unanswered"], shares.unanswered);
        }
    }),
    counter(
        "adit_worker_accepted_difficulty_total",
        &["worker"],
        "Sum of the difficulties of a worker's accepted shares.",
        |s, out| {
            s.workers.iter().for_each(|worker| out.value(&[&worker.name], worker.shares.accepted_difficulty));
        },
    ),
];

fn each_shard(scrape: &Scrape, mut each: impl FnMut(&str, &Shard)) {
    for shard in &scrape.snapshot.shards {
        each(&shard.index.to_string(), shard);
    }
}

fn each_pool(scrape: &Scrape, mut each: impl FnMut(&str, &Pool)) {
    for pool in &scrape.snapshot.pools {
        each(&pool.name, pool);
    }
}

fn split(scrape: &Scrape, out: &mut Samples, figure: fn(&SplitPart) -> f64) {
    each_pool(scrape, |name, pool| {
        out.value(&[name, "workers"], figure(&pool.split.by_workers));
        out.value(&[name, "hashrate"], figure(&pool.split.by_hashrate));
    });
}

fn ledger(scrape: &Scrape, each: impl FnMut(&LedgerStats)) {
    scrape.snapshot.ledger.iter().for_each(each);
}

/// A sample per label, behind the labels that are fixed.
fn counts(out: &mut Samples, fixed: &[&str], counts: &Counts) {
    for (label, count) in counts.iter() {
        out.count(&[fixed, &[label]].concat(), count);
    }
}

/// A sample per span of the averages.
fn rates(out: &mut Samples, fixed: &[&str], rates: &Rates) {
    for (span, rate) in rates.spans() {
        out.value(&[fixed, &[span]].concat(), rate);
    }
}

/// A sample per outcome and class.
fn shares(out: &mut Samples, fixed: &[&str], shares: &ShareCounts) {
    out.count(&[fixed, &["accepted", ""]].concat(), shares.accepted);
    for (outcome, classes) in [("rejected", &shares.rejected), ("refused_here", &shares.refused_here)] {
        for (class, count) in classes.iter() {
            out.count(&[fixed, &[outcome, class]].concat(), count);
        }
    }
    out.count(&[fixed, &["unanswered", ""]].concat(), shares.unanswered);
}
