//! The charts of a machine, on one time line with its incidents.

use super::chart::{Chart, ChartKind, ChartPoint, ChartSpan, TimeLine};
use super::span::ChartTime;
use crate::web::context::PageContext;
use crate::web::refusal::PageRefusal;
use crate::web::words::{phrase, time};
use heartbeat_daemon::monitor::beat::Sample;
use heartbeat_daemon::monitor::fleet::activity::{Mark, MarkKind};
use heartbeat_daemon::monitor::history::query;
use heartbeat_daemon::monitor::history::resolution::Point;
use heartbeat_daemon::monitor::incidents::list::IncidentRecord;
use heartbeat_daemon::monitor::incidents::table::OFFLINE;
use heartbeat_daemon::monitor::machine::MachineId;
use heartbeat_daemon::monitor::zone::Clock;

/// Boots and changes of the uplink that are listed.
const MOST_MARKS: usize = 100;

/// How one figure of a sample is drawn.
struct FigureChart {
    kind: ChartKind,
    figure: fn(&Sample) -> Option<f32>,
}

const fn chart(
    title: &'static str,
    unit: &'static str,
    axis: (f32, f32),
    digits: usize,
    figure: fn(&Sample) -> Option<f32>,
) -> FigureChart {
    FigureChart { kind: ChartKind { title, unit, axis, digits }, figure }
}

/// In this order on the page. An axis of a few units would make noise look like a change.
const CHARTS: [FigureChart; 6] = [
    chart("Temperature", "°C", (30.0, 85.0), 0, |sample| sample.temp),
    chart("CPU", "%", (0.0, 100.0), 0, |sample| sample.cpu),
    chart("Memory", "%", (0.0, 100.0), 0, |sample| sample.mem),
    chart("Disk", "%", (0.0, 100.0), 0, |sample| sample.disk),
    chart("Power", "W", (0.0, 3.0), 1, |sample| sample.power),
    chart("Wi-Fi signal", "%", (0.0, 100.0), 0, |sample| sample.signal),
];

/// A chart for each figure that the machine has; `incidents` newest first.
pub fn draw(
    context: &PageContext,
    id: MachineId,
    time: &ChartTime,
    incidents: &[IncidentRecord],
    clock: &Clock,
) -> Result<Vec<Chart>, PageRefusal> {
    let shared = &context.shared;
    let line = time.line();
    let points = query::query(&shared.store, &shared.fleet, id, line.from, line.to, time.step())?;
    let mut spans: Vec<ChartSpan> =
        incidents.iter().rev().filter_map(|incident| span(incident, line, clock)).collect();
    spans.extend(shared.store.marks(id, line.from)?.iter().filter_map(|found| mark(found, line, clock)));
    let charts = CHARTS.iter().filter_map(|FigureChart { kind, figure }| {
        let points: Vec<ChartPoint> = points.iter().filter_map(|point| of_figure(point, *figure)).collect();

        Chart::draw(*kind, &points, line, &spans, clock)
    });
    Ok(charts.collect())
}

fn of_figure(point: &Point, figure: fn(&Sample) -> Option<f32>) -> Option<ChartPoint> {
    let mean = figure(&point.sample)?;
    let bound = |side: &Sample| figure(side).unwrap_or(mean);
    Some(ChartPoint { at: point.at, mean, least: bound(&point.least), greatest: bound(&point.greatest) })
}

fn span(incident: &IncidentRecord, line: TimeLine, clock: &Clock) -> Option<ChartSpan> {
    let (x, width) = line.span(incident.since, incident.ended.unwrap_or(line.to))?;
    let class = if incident.kind == OFFLINE { "d" } else { "w" };
    Some(ChartSpan {
        x,
        width,
        class,
        title: format!("{} {}", phrase(incident), time(incident, clock, line.to)),
    })
}

/// Boots and changes of the uplink in the time of the charts, the newest first, as text.
pub fn marks(
    context: &PageContext,
    id: MachineId,
    time: &ChartTime,
    clock: &Clock,
) -> Result<Vec<String>, PageRefusal> {
    let line = time.line();
    let marks = context.shared.store.marks(id, line.from)?;
    let shown = marks.iter().rev().filter(|mark| line.span(mark.at, mark.at).is_some());
    Ok(shown.take(MOST_MARKS).map(|mark| title(mark, line, clock)).collect())
}

/// A boot or a change of the uplink, as a thin line.
fn mark(mark: &Mark, line: TimeLine, clock: &Clock) -> Option<ChartSpan> {
    let (x, _) = line.span(mark.at, mark.at)?;
    Some(ChartSpan { x, width: 1.0, class: "m", title: title(mark, line, clock) })
}

/// "uplink wlan0 at 14:02"
fn title(mark: &Mark, line: TimeLine, clock: &Clock) -> String {
    let what = match (mark.kind, &mark.detail) {
        (MarkKind::Uplink, Some(uplink)) => format!("uplink {uplink}"),
        _ => "boot".into(),
    };
    format!("{what} at {}", clock.time_of_day(mark.at, line.to))
}
