//! A scenario's outcome as one HTML page that stands alone: no script, no request, light and dark.

use std::fmt::Write;

use super::file::Scenario;
use super::outcome::{Figures, Moment, Outcome};
use super::plot::{Line, Plot, escaped};

const STYLE: &str = "
:root { color-scheme: light dark; --paper: #fff; --ink: #1b1f24; --faint: #67707b; --grid: #e3e6ea;
  --line0: #0b62c4; --line1: #c2500a; --good: #17703a; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --paper: #14171b; --ink: #e4e7eb; --faint: #99a2ad; --grid: #2b3138;
  --line0: #6cb0ff; --line1: #ffa057; --good: #5fd08a; --bad: #ff8a80; } }
body { background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; max-width: 1000px;
  margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; margin-bottom: 0; } p { color: var(--faint); margin-top: .25rem; }
.good { color: var(--good); } .bad { color: var(--bad); }
figure { margin: 1.5rem 0; } figcaption { font-weight: 600; } small { color: var(--faint); font-weight: 400; }
svg { width: 100%; height: auto; } svg text { fill: var(--faint); font-size: 11px; }
.left { text-anchor: end; } .below { text-anchor: middle; }
polyline, path { fill: none; vector-effect: non-scaling-stroke; } polyline { stroke-width: 1.75; stroke-linejoin: round; }
.grid { stroke: var(--grid); } .mark { stroke: var(--bad); stroke-dasharray: 4 4; stroke-width: 1.5; }
polyline.line0 { stroke: var(--line0); } polyline.line1 { stroke: var(--line1); }
.key { font-weight: 400; margin-left: .75rem; } .key.line0 { color: var(--line0); } .key.line1 { color: var(--line1); }
.wide { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
td, th { text-align: right; white-space: nowrap; padding: .25rem .6rem; border-bottom: 1px solid var(--grid); } td:first-child, th:first-child { text-align: left; }
pre { overflow-x: auto; font-size: 13px; }
";

/// The page.
pub(super) fn page(name: &str, scenario: &Scenario, outcome: &Outcome) -> String {
    let mut out = String::new();
    // Writing to a string does not fail, here and below.
    let _ = write!(
        out,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>Adit: {name}</title><style>{STYLE}</style></head><body>\n<h1>{name}</h1>\n<p>{about}</p>\n",
        name = escaped(name),
        about = escaped(&scenario.about)
    );
    verdict(&mut out, outcome);
    breaks(&mut out, &outcome.figures);
    for plot in plots(&outcome.figures, &marks(&outcome.figures)) {
        out.push_str(&plot);
    }
    let _ = write!(out, "<pre>{}</pre>\n</body></html>\n", escaped(&outcome.to_string()));
    out
}

fn verdict(out: &mut String, outcome: &Outcome) {
    if outcome.is_good() {
        out.push_str("<h2 class=\"good\">All objectives met</h2>\n");
        return;
    }
    out.push_str("<h2 class=\"bad\">Objectives missed</h2>\n<ul>");
    for missed in &outcome.missed {
        let _ = write!(out, "<li>{}</li>", escaped(missed));
    }
    out.push_str("</ul>\n");
}

fn breaks(out: &mut String, figures: &Figures) {
    if figures.failover.breaks.is_empty() {
        return;
    }
    out.push_str(
        "<div class=\"wide\"><table><tr><th>fault</th><th>at</th><th>miners</th><th>switched live</th>\
         <th>p50</th><th>p99</th><th>came back</th><th>p50</th><th>p99</th><th>did not</th></tr>\n",
    );
    for broken in &figures.failover.breaks {
        let times = |miners: u64, [p50, p99, _]: [f64; 3]| match miners {
            0 => "<td>0</td><td>-</td><td>-</td>".to_owned(),
            _ => format!("<td>{miners}</td><td>{p50:.1} ms</td><td>{p99:.1} ms</td>"),
        };
        let _ = writeln!(
            out,
            "<tr><td>{:?} {}</td><td>{:.1} s</td><td>{}</td>{}{}<td>{}</td></tr>",
            broken.action,
            escaped(&broken.pool),
            broken.at_s,
            broken.miners,
            times(broken.switched, broken.switch_ms),
            times(broken.returned, broken.back_hashing_ms),
            broken.left_behind
        );
    }
    out.push_str("</table></div>\n");
}

/// What happened, and when.
fn marks(figures: &Figures) -> Vec<(f64, String)> {
    let mark = |broken: &super::BreakFigures| (broken.at_s, format!("{:?} {}", broken.action, broken.pool));
    figures.failover.breaks.iter().map(mark).collect()
}

fn plots(figures: &Figures, marks: &[(f64, String)]) -> Vec<String> {
    let line = |name, value: &dyn Fn(&Moment) -> f64| Line {
        name,
        points: figures.timeline.iter().map(|moment| (moment.at_s, value(moment))).collect(),
    };
    // What is counted from the start becomes what came in each interval.
    let rate = |name, value: &dyn Fn(&Moment, &Moment) -> f64| Line {
        name,
        points: figures.timeline.windows(2).map(|pair| (pair[1].at_s, value(&pair[0], &pair[1]))).collect(),
    };
    let per_second = |count: &dyn Fn(&Moment) -> f64, before: &Moment, now: &Moment| {
        (count(now) - count(before)) / (now.at_s - before.at_s).max(f64::MIN_POSITIVE)
    };
    let accepted_percent = |before: &Moment, now: &Moment| {
        let answered = now.answered.saturating_sub(before.answered);
        // Nothing was answered: there is no rate.
        if answered == 0 {
            f64::NAN
        } else {
            (now.accepted - before.accepted) as f64 / answered as f64 * 100.0
        }
    };
    let plot = |title, unit, lines| Plot { title, unit, lines, marks }.html();
    vec![
        plot(
            "Latency",
            "ms from when a submit was due until its answer",
            vec![line("p50", &|moment| moment.p50_ms), line("p99", &|moment| moment.p99_ms)],
        ),
        plot("Accepted", "% of answered submits", vec![rate("accepted", &accepted_percent)]),
        plot(
            "Submits",
            "per second",
            vec![rate("submits", &|before, now| per_second(&|moment| moment.submitted as f64, before, now))],
        ),
        plot("Miners", "with a job", vec![line("mining", &|moment| moment.mining as f64)]),
        plot(
            "CPU",
            "% of one core",
            vec![rate("Adit", &|before, now| per_second(&|moment| moment.cpu_s * 100.0, before, now))],
        ),
        plot("Memory", "MiB resident", vec![line("Adit", &|moment| moment.resident_kib as f64 / 1024.0)]),
        plot("Descriptors", "open", vec![line("Adit", &|moment| moment.descriptors as f64)]),
        plot(
            "Ledger",
            "MiB on disk",
            vec![line("ledger", &|moment| moment.ledger_bytes as f64 / 1_048_576.0)],
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Findings;
    use crate::scenario::Objectives;

    #[test]
    fn the_page_shows_every_figure_over_time_and_asks_nobody_for_anything() {
        let moment = |at_s, submitted| Moment { at_s, submitted, answered: submitted, ..Moment::default() };
        let timeline = vec![moment(0.0, 0), moment(1.0, 10), moment(2.0, 10)];
        let figures = Figures { timeline, miners: 1, ..Figures::default() };
        let outcome = Outcome::new(figures, Findings::default(), &Objectives::default());
        let scenario = Scenario::parse("x", "about = 'a <b> & c'\nrun_ms = 1\nfleet = {}").unwrap();
        let page = page("mine", &scenario, &outcome);
        assert_eq!(page.matches("<svg").count(), 8);
        assert!(page.contains("a &lt;b&gt; &amp; c") && page.contains("0 of 1 miners had a job in time"));
        for request in ["http:", "https:", "src=", "href=", "<script", "url(", "@import", "NaN"] {
            assert!(!page.contains(request), "{request}");
        }
    }
}
