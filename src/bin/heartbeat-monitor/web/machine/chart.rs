//! A chart as SVG: a thin line of means, a band from least to greatest, gaps where nothing was measured.
//!
//! The drawing is stretched to the width of the page; words stand beside it as text, so that they stay readable.

use askama::Template;
use heartbeat_daemon::clock::Moment;
use heartbeat_daemon::monitor::zone::Clock;
use std::fmt::Write;

/// The drawing's own width and height.
pub const WIDTH: f64 = 720.0;
pub const HEIGHT: f64 = 100.0;
/// Lines of the table beside a chart.
const MOST_LINES: usize = 48;
/// Labels of the time line.
const LABELS: usize = 5;

/// What a chart shows of one step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ChartPoint {
    pub at: Moment,
    pub mean: f32,
    pub least: f32,
    pub greatest: f32,
}

/// The time that a chart shows, and the length of a step in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeLine {
    pub from: Moment,
    pub to: Moment,
    pub step: i64,
}

/// An incident on the time line of all charts.
#[derive(Debug, Clone, PartialEq)]
pub struct ChartSpan {
    pub x: f64,
    pub width: f64,
    pub class: &'static str,
    pub title: String,
}

/// How a figure is drawn.
#[derive(Debug, Clone, Copy)]
pub struct ChartKind {
    pub title: &'static str,
    pub unit: &'static str,
    /// Least and greatest of the axis; it grows with the values.
    pub axis: (f32, f32),
    pub digits: usize,
}

/// A chart, drawn.
#[derive(Template)]
#[template(path = "chart.html")]
pub struct Chart {
    title: &'static str,
    unit: &'static str,
    /// The newest value.
    latest: String,
    top: String,
    bottom: String,
    band: String,
    line: String,
    spans: Vec<ChartSpan>,
    labels: Vec<String>,
    description: String,
    /// Time, mean, least, greatest.
    lines: Vec<[String; 4]>,
}

impl TimeLine {
    fn x(&self, at: Moment) -> f64 {
        let length = (self.to.0 - self.from.0).max(1) as f64;
        ((at.0 - self.from.0) as f64 / length * WIDTH).clamp(0.0, WIDTH)
    }

    /// A stretch of time, at least one unit wide; `None` if it is outside.
    pub fn span(&self, since: Moment, until: Moment) -> Option<(f64, f64)> {
        let is_outside = until < self.from || since > self.to;
        let (from, to) = (self.x(since), self.x(until));
        (!is_outside).then(|| (rounded(from), rounded((to - from).max(1.0))))
    }

    fn labels(&self, clock: &Clock) -> Vec<String> {
        let part = (self.to.0 - self.from.0) / (LABELS as i64 - 1);
        let label = |number: usize| clock.time_of_day(Moment(self.from.0 + part * number as i64), self.to);
        (0..LABELS).map(label).collect()
    }
}

impl Chart {
    /// `None` if nothing was measured.
    pub fn draw(
        kind: ChartKind,
        points: &[ChartPoint],
        time: TimeLine,
        spans: &[ChartSpan],
        clock: &Clock,
    ) -> Option<Chart> {
        let latest = points.last()?;
        let fold = |of: fn(f32, f32) -> f32, start: f32, value: fn(&ChartPoint) -> f32| {
            points.iter().map(value).fold(start, of)
        };
        let bottom = fold(f32::min, kind.axis.0, |point| point.least);
        let top = fold(f32::max, kind.axis.1, |point| point.greatest);
        let number = |value: f32| format!("{value:.*}", kind.digits);
        let axis = Axis { bottom, top };
        let (least, greatest) = (
            fold(f32::min, f32::INFINITY, |point| point.least),
            fold(f32::max, f32::NEG_INFINITY, |point| point.greatest),
        );
        Some(Chart {
            title: kind.title,
            unit: kind.unit,
            latest: number(latest.mean),
            top: number(top),
            bottom: number(bottom),
            band: band(points, time, axis),
            line: line(points, time, axis),
            spans: spans.to_vec(),
            labels: time.labels(clock),
            description: format!(
                "{}: {} to {} {}, now {}",
                kind.title,
                number(least),
                number(greatest),
                kind.unit,
                number(latest.mean)
            ),
            lines: table(points, time, clock, number),
        })
    }
}

#[derive(Clone, Copy)]
struct Axis {
    bottom: f32,
    top: f32,
}

impl Axis {
    fn y(self, value: f32) -> f64 {
        let height = f64::from(self.top - self.bottom).max(f64::from(f32::EPSILON));
        HEIGHT - f64::from(value - self.bottom) / height * HEIGHT
    }
}

/// Runs of points without a gap of more than one missing step.
fn runs(points: &[ChartPoint], step: i64) -> impl Iterator<Item = &[ChartPoint]> {
    points.chunk_by(move |one, next| next.at.0 - one.at.0 <= step.saturating_mul(2))
}

fn line(points: &[ChartPoint], time: TimeLine, axis: Axis) -> String {
    let mut path = String::new();
    for run in runs(points, time.step) {
        for (number, point) in run.iter().enumerate() {
            command(&mut path, number == 0, time.x(point.at), axis.y(point.mean));
        }
        if let [alone] = run {
            // A single point would be invisible.
            command(&mut path, false, time.x(alone.at) + 1.0, axis.y(alone.mean));
        }
    }
    path
}

fn band(points: &[ChartPoint], time: TimeLine, axis: Axis) -> String {
    let mut path = String::new();
    for run in runs(points, time.step).filter(|run| run.iter().any(|point| point.greatest > point.least)) {
        for (number, point) in run.iter().enumerate() {
            command(&mut path, number == 0, time.x(point.at), axis.y(point.greatest));
        }
        for point in run.iter().rev() {
            command(&mut path, false, time.x(point.at), axis.y(point.least));
        }
        path.push('Z');
    }
    path
}

fn command(path: &mut String, is_first: bool, x: f64, y: f64) {
    // Writing to a String cannot fail.
    let _ = write!(path, "{}{} {}", if is_first { 'M' } else { 'L' }, rounded(x), rounded(y));
}

/// A tenth of a unit is less than a pixel.
fn rounded(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

fn table(
    points: &[ChartPoint],
    time: TimeLine,
    clock: &Clock,
    number: impl Fn(f32) -> String,
) -> Vec<[String; 4]> {
    let part = points.len().div_ceil(MOST_LINES).max(1);
    let merged = points.chunks(part).map(|part| {
        let mean = part.iter().map(|point| point.mean).sum::<f32>() / part.len() as f32;
        let least = part.iter().map(|point| point.least).fold(f32::INFINITY, f32::min);
        let greatest = part.iter().map(|point| point.greatest).fold(f32::NEG_INFINITY, f32::max);
        [clock.time_of_day(part[0].at, time.to), number(mean), number(least), number(greatest)]
    });
    merged.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: TimeLine = TimeLine { from: Moment(0), to: Moment(720_000), step: 60_000 };
    const KIND: ChartKind = ChartKind { title: "CPU", unit: "%", axis: (0.0, 100.0), digits: 0 };

    fn point(minute: i64, mean: f32) -> ChartPoint {
        ChartPoint { at: Moment(minute * 60_000), mean, least: mean, greatest: mean }
    }

    fn draw(points: &[ChartPoint]) -> Option<Chart> {
        Chart::draw(KIND, points, TIME, &[], &Clock::UTC)
    }

    #[test]
    fn missing_minutes_are_a_gap_and_never_zero() {
        let points = [point(0, 50.0), point(1, 50.0), point(4, 50.0), point(5, 50.0)];
        let chart = draw(&points).expect("a chart");
        assert_eq!(chart.line, "M0 50L60 50M240 50L300 50");
        assert_eq!(chart.band, "", "least and greatest are the same");
        assert!(draw(&[]).is_none());
    }

    #[test]
    fn a_single_point_is_visible() {
        assert_eq!(draw(&[point(1, 25.0)]).expect("a chart").line, "M60 75L61 75");
    }

    #[test]
    fn the_axis_grows_with_the_values_and_equal_values_do_not_divide_by_zero() {
        let kind = ChartKind { axis: (f32::INFINITY, f32::NEG_INFINITY), ..KIND };
        let chart =
            Chart::draw(kind, &[point(0, 7.0), point(1, 7.0)], TIME, &[], &Clock::UTC).expect("a chart");
        assert_eq!((chart.top.as_str(), chart.bottom.as_str()), ("7", "7"));
        assert_eq!(chart.line, "M0 100L60 100");
        let chart = draw(&[point(0, -20.0), point(1, 180.0)]).expect("a chart");
        assert_eq!((chart.top.as_str(), chart.bottom.as_str()), ("180", "-20"));
        assert_eq!(chart.line, "M0 100L60 0");
    }

    #[test]
    fn the_band_goes_from_the_greatest_to_the_least() {
        let wide = |minute| ChartPoint { least: 25.0, greatest: 75.0, ..point(minute, 50.0) };
        assert_eq!(draw(&[wide(0), wide(1)]).expect("a chart").band, "M0 25L60 25L60 75L0 75Z");
    }

    #[test]
    fn the_table_has_at_most_48_lines_and_all_extremes() {
        let points: Vec<ChartPoint> = (0..720).map(|minute| point(minute, minute as f32)).collect();
        let time = TimeLine { to: Moment(720 * 60_000), ..TIME };
        let chart = Chart::draw(KIND, &points, time, &[], &Clock::UTC).expect("a chart");
        assert!(chart.lines.len() <= 48, "{}", chart.lines.len());
        assert_eq!(chart.lines[0], ["00:00", "7", "0", "14"].map(str::to_owned));
        assert_eq!(chart.lines.last().expect("lines")[3], "719");
    }

    #[test]
    fn an_incident_outside_the_time_is_not_drawn_and_a_short_one_is_visible() {
        assert_eq!(TIME.span(Moment(-10), Moment(-5)), None);
        assert_eq!(TIME.span(Moment(-10), Moment(60_000)), Some((0.0, 60.0)));
        assert_eq!(TIME.span(Moment(60_000), Moment(60_001)), Some((60.0, 1.0)));
        assert_eq!(TIME.span(Moment(660_000), Moment(9_999_999)), Some((660.0, 60.0)));
    }
}
