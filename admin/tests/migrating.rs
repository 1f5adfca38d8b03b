//! `docs/MIGRATING.md` against what there is: every name of ours in it exists with these labels, and no metric is missing.

mod common;

use std::collections::BTreeSet;

use adit_admin::events::Kind;
use adit_admin::metrics::METRICS;
use common::control::FakeControl;
use common::http::get;
use common::serve;
use serde_json::Value;

const PAGE: &str = include_str!("../../docs/MIGRATING.md");

/// What the two systems offered, by heading: each has a row of its own, with something of ours in it.
const THERE: [(&str, &[&str]); 2] = [
    (
        "Pages",
        &[
            "`/health`",
            "`/ready`",
            "`/live`",
            "`/metrics`",
            "`/metrics/prometheus`",
            "`/metrics/json`",
            "`/stats`",
            "`/stats/workers`",
            "`/config`",
            "`/config/reload`",
            "WebSocket events",
            "SSE events",
        ],
    ),
    (
        "Metrics",
        &[
            "active connections",
            "total connections",
            "shares by status",
            "share processing seconds",
            "blocks found",
            "active workers",
            "hashrate per worker",
            "block height",
            "jobs generated",
            "performance: CPU, memory",
            "security: protocol errors",
            "security: bans, certificates",
        ],
    ),
];

/// The rows of the table under this heading, as first and last column.
fn rows(heading: &str) -> Vec<(&'static str, &'static str)> {
    let (_, section) = PAGE.split_once(&format!("\n## {heading}\n")).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| there"));
    let columns = |row: &'static str| {
        let row = row.trim_start_matches("| ").trim_end_matches(" |");
        (row.split(" | ").next().unwrap(), row.rsplit(" | ").next().unwrap())
    };
    rows.map(columns).collect()
}

/// What stands in backticks in the last column of the tables under this heading.
fn ours(heading: &str) -> Vec<&'static str> {
    rows(heading).into_iter().flat_map(|(_, column)| column.split('`').skip(1).step_by(2)).collect()
}

#[test]
fn nothing_that_was_offered_is_missing() {
    for (heading, offered) in THERE {
        for name in offered {
            let found: Vec<_> = rows(heading).into_iter().filter(|(there, _)| there == name).collect();
            assert!(matches!(found.as_slice(), [(_, ours)] if ours.contains('`')), "{name}: {found:?}");
        }
    }
}

#[test]
fn every_metric_is_named_with_its_labels() {
    let declared: BTreeSet<String> = METRICS
        .iter()
        .map(|metric| match metric.labels {
            [] => metric.name.to_owned(),
            labels => format!("{}{{{}}}", metric.name, labels.join(",")),
        })
        .collect();
    let named: BTreeSet<String> =
        ours("Metrics").into_iter().filter(|name| name.starts_with("adit_")).map(str::to_owned).collect();
    assert_eq!(declared, named, "the table of metrics on the left, the page on the right");
}

#[test]
fn every_page_is_named_with_its_method() {
    let server = serve(FakeControl::well());
    let document: Value = get(server.addresses()[0], "/openapi.json").json();
    let mut named = BTreeSet::new();
    for name in ours("Pages").into_iter().filter(|name| name.contains('/') && !name.contains("event-stream"))
    {
        let (method, path) = name.split_once(' ').map_or(("get", name), |(method, path)| (method, path));
        let (method, path) = (method.to_lowercase(), path.to_owned());
        if path != "/" {
            assert!(document["paths"][&path][&method].is_object(), "{name} is not there");
        }
        named.insert((method, path));
    }
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            assert!(named.contains(&(method.clone(), path.clone())), "{method} {path} is not named");
        }
    }
    assert_eq!(get(server.addresses()[0], "/").status, 200);
}

#[test]
fn every_kind_of_event_is_named() {
    let named: BTreeSet<&str> = ours("Events").into_iter().collect();
    assert_eq!(named, Kind::ALL.into_iter().map(Kind::label).collect());
}
