//! Lines over time as SVG, made by hand: nothing to load, nothing to run. Colours come from the page around it.

use std::fmt::Write;

/// Size of a plot, in its own units.
const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 240.0;
/// Room for the numbers on the left and below, and for the last one's half on the right.
const LEFT: f64 = 56.0;
const BELOW: f64 = 24.0;
const RIGHT: f64 = 16.0;
const ABOVE: f64 = 12.0;
/// Numbers on an axis, about.
const TICKS: f64 = 5.0;
/// Points drawn of a line; of a longer one, what lies between is told by its highest and lowest.
const POINTS_MAX: usize = 600;

/// One line.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) name: &'static str,
    /// Seconds and values, in order of time.
    pub(super) points: Vec<(f64, f64)>,
}

/// Some lines over the same time.
#[derive(Clone, Debug)]
pub(super) struct Plot<'a> {
    pub(super) title: &'a str,
    pub(super) unit: &'a str,
    pub(super) lines: Vec<Line>,
    /// What happened meanwhile, and when.
    pub(super) marks: &'a [(f64, String)],
}

/// How values become places.
struct Scale {
    time_max: f64,
    value_max: f64,
}

impl Scale {
    fn x(&self, seconds: f64) -> f64 {
        LEFT + seconds / self.time_max * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        HEIGHT - BELOW - value / self.value_max * (HEIGHT - BELOW - ABOVE)
    }
}

impl Plot<'_> {
    /// The plot with its title and the names of its lines, as HTML.
    pub(super) fn html(&self) -> String {
        let mut out = String::new();
        // Writing to a string does not fail, here and below.
        let _ =
            write!(out, "<figure><figcaption>{} <small>{}</small>", escaped(self.title), escaped(self.unit));
        for (nth, line) in self.lines.iter().enumerate() {
            let _ = write!(out, " <span class=\"key line{nth}\">{}</span>", escaped(line.name));
        }
        let _ = write!(
            out,
            "</figcaption><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">",
            escaped(self.title)
        );
        self.draw(&mut out);
        out.push_str("</svg></figure>\n");
        out
    }

    fn draw(&self, out: &mut String) {
        let points =
            || self.lines.iter().flat_map(|line| &line.points).filter(|(_, value)| value.is_finite());
        let time_max = points().map(|&(seconds, _)| seconds).fold(1.0, f64::max);
        let step = nice_step(points().map(|&(_, value)| value).fold(0.0, f64::max) / TICKS);
        let highest = points().map(|&(_, value)| value).fold(step, f64::max);
        let scale = Scale { time_max, value_max: (highest / step).ceil() * step };
        let mut value = 0.0;
        while value <= scale.value_max + step / 2.0 {
            let (y, end) = (scale.y(value), WIDTH - RIGHT);
            let _ = write!(out, "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{end}\"/>");
            let _ = write!(
                out,
                "<text x=\"{:.1}\" y=\"{:.1}\" class=\"left\">{}</text>",
                LEFT - 6.0,
                y + 4.0,
                number(value)
            );
            value += step;
        }
        let step = nice_step(time_max / TICKS);
        let mut seconds = 0.0;
        while seconds <= time_max {
            let _ = write!(
                out,
                "<text x=\"{:.1}\" y=\"{:.1}\" class=\"below\">{} s</text>",
                scale.x(seconds),
                HEIGHT - 6.0,
                number(seconds)
            );
            seconds += step;
        }
        for (seconds, what) in self.marks {
            let (x, end) = (scale.x(*seconds), HEIGHT - BELOW);
            let what = escaped(what);
            let _ =
                write!(out, "<path class=\"mark\" d=\"M{x:.1} {ABOVE}V{end}\"><title>{what}</title></path>");
        }
        for (nth, line) in self.lines.iter().enumerate() {
            let _ = write!(out, "<polyline class=\"line{nth}\" points=\"");
            for (seconds, value) in thinned(&line.points) {
                let _ = write!(out, "{:.1},{:.1} ", scale.x(seconds), scale.y(value));
            }
            let _ = write!(out, "\"><title>{}</title></polyline>", escaped(line.name));
        }
    }
}

/// Not more points than can be seen: of each stretch the lowest and the highest, in their order.
fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let finite: Vec<(f64, f64)> = points.iter().copied().filter(|(_, value)| value.is_finite()).collect();
    if finite.len() <= POINTS_MAX {
        return finite;
    }
    let stretch = finite.len().div_ceil(POINTS_MAX / 2);
    finite
        .chunks(stretch)
        .flat_map(|part| {
            let by_value = |a: &&(f64, f64), b: &&(f64, f64)| a.1.total_cmp(&b.1);
            let mut ends: Vec<(f64, f64)> = part
                .iter()
                .min_by(by_value)
                .into_iter()
                .chain(part.iter().max_by(by_value))
                .copied()
                .collect();
            ends.sort_by(|a, b| a.0.total_cmp(&b.0));
            ends
        })
        .collect()
}

/// The least of 1, 2 and 5 times a power of ten that is no less.
fn nice_step(least: f64) -> f64 {
    let power = 10_f64.powf(least.max(1e-3).log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .map(|factor| factor * power)
        .into_iter()
        .find(|&step| step >= least)
        .unwrap_or(power * 10.0)
}

/// A number on an axis.
fn number(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Text that stays text in HTML.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_have_round_numbers() {
        let steps = [0.0, 0.13, 1.0, 3.0, 7.0, 61.0].map(|least| number(nice_step(least)));
        assert_eq!(steps, ["0.001", "0.2", "1", "5", "10", "100"]);
        assert_eq!([0.0, 0.25, 10.0, 1_500.0].map(number), ["0", "0.25", "10", "1500"]);
    }

    #[test]
    fn a_long_line_keeps_its_highest_and_lowest_points() {
        let points: Vec<(f64, f64)> =
            (0..10_000).map(|nth| (f64::from(nth), if nth == 777 { 99.0 } else { 1.0 })).collect();
        let drawn = thinned(&points);
        assert!(drawn.len() <= POINTS_MAX && drawn.contains(&(777.0, 99.0)), "{}", drawn.len());
        assert!(drawn.is_sorted_by(|a, b| a.0 <= b.0));
    }

    #[test]
    fn a_plot_draws_all_its_lines_within_its_frame_and_lets_no_text_be_markup() {
        let line = |name, points| Line { name, points };
        let plot = Plot {
            title: "a < b",
            unit: "ms",
            lines: vec![
                line("p50", vec![(0.0, 1.0), (10.0, 4.0)]),
                line("p99", vec![(0.0, 9.0), (5.0, f64::INFINITY)]),
            ],
            marks: &[(5.0, "\"kill\"".into())],
        };
        let html = plot.html();
        assert_eq!(html.matches("<polyline").count(), 2);
        assert!(html.contains("a &lt; b") && html.contains("&quot;kill&quot;") && !html.contains("inf"));
        let empty = Plot { lines: vec![line("nothing", vec![])], marks: &[], ..plot };
        assert!(empty.html().contains("</svg>"));
    }
}
