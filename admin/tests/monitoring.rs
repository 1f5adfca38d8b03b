//! The monitoring kit against the metrics that there really are: a renamed metric must not leave a silent alert behind.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use adit_admin::metrics::{METRICS, Metric, MetricKind};
use serde_json::Value;

/// Labels that Prometheus adds.
const FOREIGN_LABELS: [&str; 2] = ["job", "instance"];
const SEVERITIES: [&str; 3] = ["page", "ticket", "info"];

fn kit() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/monitoring")
}

fn read(path: &str) -> String {
    fs::read_to_string(kit().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every Grafana dashboard by its file's name.
fn dashboards() -> BTreeMap<String, Value> {
    let files = fs::read_dir(kit().join("grafana/dashboards")).unwrap();
    let all: BTreeMap<_, _> = files
        .map(|file| {
            let path = file.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap())
        })
        .collect();
    assert_eq!(all.len(), 4);
    all
}

/// Every text under one of these names, however deep.
fn texts<'a>(value: &'a Value, names: &[&str], found: &mut Vec<&'a str>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| texts(item, names, found)),
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(text) if names.contains(&name.as_str()) => found.push(text),
                    other => texts(other, names, found),
                }
            }
        }
        _ => {}
    }
}

/// All texts that name metrics, by file.
fn queries() -> Vec<(String, String)> {
    let mut queries = Vec::new();
    for (name, dashboard) in &dashboards() {
        let mut found = Vec::new();
        texts(dashboard, &["expr", "query", "definition"], &mut found);
        queries.extend(found.into_iter().map(|text| (name.clone(), text.to_owned())));
    }
    for file in ["prometheus/adit.rules.yml", "prometheus/tests/adit.test.yml", "README.md"] {
        queries.push((file.to_owned(), read(file)));
    }
    queries
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == ':'
}

/// Where metrics of ours are named: the name, and what follows it.
fn named(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.match_indices("adit_").filter_map(|(at, _)| {
        let begins = !text[..at].ends_with(is_name);
        let rest = &text[at..];
        let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
        begins.then(|| rest.split_at(end))
    })
}

/// The declared metric of a name as it is queried, and whether it is its buckets.
fn metric(name: &str) -> Option<(&'static Metric, bool)> {
    METRICS.iter().find_map(|metric| match (metric.kind, name.strip_prefix(metric.name)?) {
        (MetricKind::Histogram, "_bucket") => Some((metric, true)),
        (MetricKind::Histogram, "_sum" | "_count") => Some((metric, false)),
        (MetricKind::Histogram, _) => None,
        (_, "") => Some((metric, false)),
        _ => None,
    })
}

/// Names of labels in `{a="b", c=~"d"}` at the beginning of a text.
fn matched_labels(after: &str) -> Vec<&str> {
    let Some(inner) = after.strip_prefix('{') else { return Vec::new() };
    let (mut labels, mut in_quotes, mut start) = (Vec::new(), false, 0);
    for (at, c) in inner.char_indices() {
        match c {
            '"' => in_quotes = !in_quotes,
            '}' if !in_quotes => break,
            ',' if !in_quotes => start = at + 1,
            '=' | '!' if !in_quotes && start <= at => {
                labels.push(inner[start..at].trim());
                start = inner.len();
            }
            _ => {}
        }
    }
    labels
}

#[test]
fn labels_of_a_selector_are_found() {
    assert_eq!(matched_labels(r#"{a="x,}=", b!="y", c=~"z"} > 1"#), ["a", "b", "c"]);
    assert_eq!(matched_labels(" > 1"), [""; 0]);
}

#[test]
fn every_metric_and_label_that_the_kit_names_is_there() {
    let mut faults = Vec::new();
    let mut found = 0;
    for (file, text) in queries() {
        for (name, after) in named(&text) {
            found += 1;
            let Some((metric, is_bucket)) = metric(name) else {
                faults.push(format!("{file}: there is no {name}"));
                continue;
            };
            for label in matched_labels(after) {
                let is_there = metric.labels.contains(&label)
                    || FOREIGN_LABELS.contains(&label)
                    || (is_bucket && label == "le");
                if !is_there {
                    faults.push(format!("{file}: {name} has no label {label}"));
                }
            }
        }
    }
    assert!(found > 200, "{found}");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn what_is_grouped_by_is_a_label() {
    let all: BTreeSet<_> = METRICS.iter().flat_map(|metric| metric.labels).copied().collect();
    let mut faults = Vec::new();
    for (file, text) in queries() {
        // Alerts' own labels are asked for in their tests.
        let is_known = |label: &str| {
            all.contains(label) || FOREIGN_LABELS.contains(&label) || ["le", "alertname"].contains(&label)
        };
        for keyword in ["by (", "on ("] {
            for list in text.split(keyword).skip(1).filter_map(|rest| rest.split(')').next()) {
                let unknown = list.split(',').map(str::trim).filter(|label| !is_known(label));
                faults.extend(unknown.map(|label| format!("{file}: {label} in ({list})")));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_metric_is_shown_somewhere() {
    let mut shown = BTreeSet::new();
    for (_, text) in queries().iter().filter(|(file, _)| file.starts_with("adit-")) {
        let metrics = named(text).filter_map(|(name, _)| metric(name));
        shown.extend(metrics.map(|(metric, _)| metric.name));
    }
    let missing: Vec<_> =
        METRICS.iter().map(|metric| metric.name).filter(|name| !shown.contains(name)).collect();
    assert!(missing.is_empty(), "in no dashboard: {missing:?}");
}

#[test]
fn dashboards_can_be_told_apart_and_say_what_their_panels_show() {
    let mut ids = BTreeSet::new();
    for (file, dashboard) in &dashboards() {
        assert!(ids.insert(dashboard["uid"].as_str().unwrap().to_owned()), "{file}");
        assert_eq!(format!("{}.json", dashboard["uid"].as_str().unwrap()), *file);
        let panels = dashboard["panels"].as_array().unwrap();
        let numbers: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
        assert_eq!(numbers.len(), panels.len(), "{file}");
        assert!(panels.iter().all(|panel| !panel["title"].as_str().unwrap().is_empty()), "{file}");
    }
}

#[test]
fn every_recorded_series_is_used_and_recorded() {
    let rules = read("prometheus/adit.rules.yml");
    let recorded: BTreeSet<_> =
        rules.lines().filter_map(|line| line.trim().strip_prefix("- record: ")).collect();
    let mut used = BTreeSet::new();
    let all: String =
        queries().iter().map(|(_, text)| text.replace("- record: adit:", "").clone() + "\n").collect();
    for (at, _) in all.match_indices("adit:") {
        let rest = &all[at..];
        used.insert(rest[..rest.find(|c| !is_name(c)).unwrap_or(rest.len())].to_owned());
    }
    assert_eq!(recorded, used.iter().map(String::as_str).collect());
}

#[test]
fn every_alert_has_a_severity_a_test_and_an_answer() {
    let (rules, tests, readme) =
        (read("prometheus/adit.rules.yml"), read("prometheus/tests/adit.test.yml"), read("README.md"));
    let headings: BTreeSet<_> =
        readme.lines().filter_map(|line| line.strip_prefix("### ")).map(str::to_lowercase).collect();
    let alerts: Vec<_> = rules.split("- alert: ").skip(1).collect();
    assert!(alerts.len() > 20);
    let mut names = BTreeSet::new();
    for alert in alerts {
        let name = alert.lines().next().unwrap().trim();
        assert!(names.insert(name), "{name} stands there twice");
        let value = |key: &str| {
            let rest = alert.split(key).nth(1).unwrap_or_else(|| panic!("{name} has no {key}"));
            rest.split(['"', '}', '\n']).next().unwrap().trim()
        };
        assert!(SEVERITIES.contains(&value("severity: ")), "{name}");
        assert!(!value("summary: \"").is_empty() && !value("description: \"").is_empty(), "{name}");
        let runbook = value("runbook: \"#");
        assert!(headings.contains(runbook), "{name}: the README has no {runbook}");
        assert!(tests.contains(&format!("alertname=\"{name}\"")), "{name} fires in no test");
    }
    // The alerts that the example speaks of are there.
    let manager = read("alertmanager/alertmanager.yml");
    for (at, _) in manager.match_indices("Adit") {
        let rest = &manager[at..];
        let name = &rest[..rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len())];
        let is_prose = name == "Adit";
        assert!(is_prose || names.contains(name), "{name}");
    }
}
