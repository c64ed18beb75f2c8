//! A machine's line.

use super::day::{DayRun, DayState, SLOTS};
use super::view::MachineView;
use crate::web::severity::MachineHealth;
use crate::web::viewpoint::Viewpoint;
use askama::Template;
use heartbeat_daemon::clock::Moment;
use heartbeat_daemon::config::Period;
use heartbeat_daemon::duration::in_words;
use heartbeat_daemon::monitor::machine::MachineStatus;
use heartbeat_daemon::monitor::zone::Clock;
use std::time::Duration;

/// A machine's line; see [`MachineView`].
#[derive(Template)]
#[template(path = "fleet_row.html")]
pub struct MachineRow {
    pub id: i64,
    root: &'static str,
    name: String,
    note: String,
    health: MachineHealth,
    /// For a screen reader, and as a tooltip of the mark.
    state: String,
    /// "every 5 s", or the silence, which the page's script counts.
    pace: Pace,
    uplink: Option<String>,
    is_online: bool,
    /// The uplink is that of the last heartbeat.
    is_uplink_past: bool,
    is_on_standby: bool,
    /// Temperature, CPU, memory, disk: the number, its unit, over its limit.
    numbers: [NumberCell; 4],
    cameras: Option<(usize, usize)>,
    is_streaming: bool,
    is_tracking: bool,
    is_recording: bool,
    day: Vec<DayBar>,
    day_label: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Pace {
    OnTime(String),
    /// Milliseconds since 1970, and the silence in words.
    Silent(i64, String),
    Never,
}

/// A number with its unit; `None`: unknown.
struct NumberCell {
    number: Option<i32>,
    unit: &'static str,
    is_over: bool,
}

/// A part of the bar that is not up.
struct DayBar {
    x: usize,
    width: usize,
    class: &'static str,
    title: String,
}

impl MachineRow {
    pub fn new(view: &MachineView, viewpoint: &Viewpoint) -> MachineRow {
        let (machine, now) = (&view.machine, viewpoint.now);
        let day: Vec<DayBar> = view.day.iter().map(|run| DayBar::new(*run, &viewpoint.clock, now)).collect();
        let current = view.current();
        let is = |state: Option<bool>| state == Some(true);
        MachineRow {
            id: machine.id.0,
            root: viewpoint.root,
            name: machine.name.clone(),
            note: note(view),
            health: view.health(),
            state: state(view),
            pace: pace(view, now),
            uplink: view.reported.uplink.clone(),
            is_online: view.is_online(),
            is_uplink_past: !view.has_current_values(),
            is_on_standby: view.has_current_values() && view.has_incident("standby"),
            numbers: numbers(view),
            cameras: view.cameras(),
            is_streaming: current.is_some_and(|(_, reported)| is(reported.is_streaming)),
            is_tracking: current.is_some_and(|(_, reported)| is(reported.is_tracking)),
            is_recording: current.is_some_and(|(_, reported)| is(reported.is_recording)),
            day_label: day_label(&day),
            day,
        }
    }

    fn has_camera_down(&self) -> bool {
        self.cameras.is_some_and(|(up, all)| up < all)
    }
}

/// Temperature, CPU, memory, disk as they are shown.
fn numbers(view: &MachineView) -> [NumberCell; 4] {
    let sample = view.current().map(|(sample, _)| *sample).unwrap_or_default();
    let cell = |value: Option<f32>, unit, kind: &str| NumberCell {
        // Rounded as people read it; out of an i32 it is no percentage and no temperature.
        number: value.map(|value| value.round() as i32),
        unit,
        is_over: view.has_incident(kind),
    };
    [
        cell(sample.temp, "°C", "temp"),
        cell(sample.cpu, "%", ""),
        cell(sample.mem, "%", "mem"),
        cell(sample.disk, "%", "disk"),
    ]
}

/// Its cameras' names, or what is special about it.
fn note(view: &MachineView) -> String {
    let machine = &view.machine;
    if !machine.watched {
        return "disabled".into();
    }
    if machine.paused_until.is_some() {
        return "paused".into();
    }
    if let Some(description) = &machine.description {
        return description.clone();
    }
    let names = view.reported.cameras.iter().map(|(name, _)| name.as_str());
    names.filter(|name| !name.is_empty()).take(3).collect::<Vec<_>>().join(", ")
}

/// "online", "paused", "never seen"
pub(super) fn state(view: &MachineView) -> String {
    match view.health() {
        MachineHealth::Quiet if !view.machine.watched => "disabled".into(),
        MachineHealth::Quiet if view.machine.paused_until.is_some() => "paused".into(),
        MachineHealth::Quiet => "stopped on purpose".into(),
        MachineHealth::New => "never seen".into(),
        MachineHealth::Fine => "online".into(),
        MachineHealth::Degraded => "degraded".into(),
        MachineHealth::Bad if view.machine.status == MachineStatus::Offline => "offline".into(),
        MachineHealth::Bad => "critical".into(),
    }
}

fn pace(view: &MachineView, now: Moment) -> Pace {
    match (view.seen, view.interval) {
        (None, _) => Pace::Never,
        (Some(_), Some(interval)) if view.is_online() && !view.is_overdue(now) => {
            Pace::OnTime(format!("every {}", spaced(interval)))
        }
        (Some(_), None) if view.is_online() && !view.is_overdue(now) => Pace::OnTime("on time".into()),
        (Some(seen), _) => Pace::Silent(seen.0, format!("{} ago", in_words(now.since(seen)))),
    }
}

/// "5 s", "2 min"
fn spaced(interval: Duration) -> String {
    let text = Period(interval).to_string();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    format!("{number} {}", if unit == "m" { "min" } else { unit })
}

impl DayBar {
    fn new(run: DayRun, clock: &Clock, now: Moment) -> DayBar {
        let (from, to) = run.times(now);
        let until = if run.to == SLOTS { "now".into() } else { clock.time_of_day(to, now) };
        let (class, word) = match run.state {
            DayState::Down => ("d", "offline"),
            DayState::Degraded => ("w", "degraded"),
            DayState::Unknown | DayState::Up => ("n", "not known"),
        };
        let title = format!("{word} {} to {until}", clock.time_of_day(from, now));
        DayBar { x: run.from, width: run.to - run.from, class, title }
    }
}

fn day_label(day: &[DayBar]) -> String {
    match day {
        [] => "up for all of the last 24 hours".into(),
        runs => {
            let titles: Vec<&str> = runs.iter().take(12).map(|run| run.title.as_str()).collect();
            format!("last 24 hours: {}", titles.join(", "))
        }
    }
}
