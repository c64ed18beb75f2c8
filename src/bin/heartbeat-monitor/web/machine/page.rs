//! The page of a machine: a sentence, its problems, charts, parts, incidents, settings.

use super::chart::Chart;
use super::payload::UplinkLine;
use super::span::ChartTime;
use crate::web::act::visible_machine;
use crate::web::context::PageContext;
use crate::web::fleet::board::Board;
use crate::web::fleet::view::MachineView;
use crate::web::form::Form;
use crate::web::frame::{Frame, Section};
use crate::web::incidents::{DeliveryLine, IncidentLine};
use crate::web::page::html;
use crate::web::refusal::PageRefusal;
use crate::web::visit::Visit;
use crate::web::words::when;
use askama::Template;
use heartbeat_daemon::config::Period;
use heartbeat_daemon::http::Response;
use heartbeat_daemon::monitor::conditions::settings::{SourcedSetting, sourced};
use heartbeat_daemon::monitor::conditions::words::cells;
use heartbeat_daemon::monitor::fleet::activity::day;
use heartbeat_daemon::monitor::incidents::list::IncidentFilter;
use heartbeat_daemon::monitor::machine::{Machine, MachineId};
use heartbeat_daemon::monitor::store::page::Page;
use heartbeat_daemon::wire::Reason;

/// Ended incidents and deliveries that are listed; the incidents' page has all.
const MOST_LISTED: usize = 10;
/// Incidents that the charts show; more would be a solid colour.
const MOST_DRAWN: u32 = 500;

#[derive(Template)]
#[template(path = "machine.html")]
pub struct MachinePage {
    frame: Frame,
    id: i64,
    name: String,
    /// "is online", "has been silent for 9 min"
    state: String,
    /// Facts in words, each with its name.
    facts: Vec<(&'static str, String)>,
    board: Board,
    time: ChartTime,
    charts: Vec<Chart>,
    uplinks: Vec<UplinkLine>,
    cameras: Vec<CameraLine>,
    incidents: Vec<IncidentLine>,
    /// Heartbeats by reason.
    beats: Vec<BeatLine>,
    deliveries: Vec<DeliveryLine>,
    /// All conditions with the settings that count for this machine.
    conditions: Vec<ConditionCells>,
    /// Boots and changes of the uplink in the time of the charts.
    marks: Vec<String>,
    payload: Option<String>,
    payload_at: String,
    machine: Machine,
    threshold: String,
    refused: Option<RefusedForm>,
    version: u64,
}

/// A form that was refused, and why.
pub struct RefusedForm {
    /// Which one: pause, settings, remove.
    pub form: &'static str,
    pub sentence: String,
}

/// A camera as it is listed.
pub struct CameraLine {
    name: String,
    state: &'static str,
    is_down: bool,
    /// Of the last 30 days.
    percent: Option<String>,
}

/// Heartbeats of one reason.
pub struct BeatLine {
    reason: &'static str,
    today: u32,
    month: u32,
    year: u32,
}

/// Name, meaning, and on or off, threshold and hold time, each with where it comes from.
pub struct ConditionCells {
    name: &'static str,
    meaning: &'static str,
    is_changed: bool,
    state: String,
    threshold: String,
    hold: String,
}

/// Days whose heartbeats are added up: all that are kept, and a part of them.
const YEAR: i64 = 366;
const MONTH: i64 = 30;

/// `GET /machines/{id}`
pub fn page(context: &PageContext, visit: &Visit<'_>, id: MachineId) -> Result<Response, PageRefusal> {
    show(context, visit, id, None)
}

/// The page, perhaps with a form that was refused.
pub fn show(
    context: &PageContext,
    visit: &Visit<'_>,
    id: MachineId,
    refused: Option<RefusedForm>,
) -> Result<Response, PageRefusal> {
    let machine = visible_machine(context, visit, id)?;
    let time = ChartTime::read(&Form::of_query(visit.request)?, visit.now.wall);
    let viewpoint = &visit.viewpoint;
    let (clock, now) = (&viewpoint.clock, visit.now.wall);
    let store = &context.shared.store;
    let (view, version) = context.live.view()?;
    let shown = view.machines.iter().find(|shown| shown.machine.id == id).ok_or(PageRefusal::NotFound)?;
    let newest = context.shared.fleet.newest(id);
    let latest = match newest.as_ref().and_then(|newest| newest.payload_at.zip(newest.payload.clone())) {
        Some(latest) => Some(latest),
        None => store.latest(id)?,
    };
    let page = Page::default();
    let incidents = IncidentFilter { page, limit: MOST_DRAWN, machine: Some(id), kind: None, is_open: None };
    let incidents = store.incidents(&incidents)?;
    let deliveries = store.deliveries(page, Some(id), None, MOST_LISTED as u32)?;
    let conditions = sourced(&store.condition_changes()?, Some(&machine));
    let board = Board::of_machine(shown, &view, viewpoint);
    let mark = if shown.health().needs_a_person() { "(!) " } else { "" };
    let page = MachinePage {
        frame: Frame::new(viewpoint, Section::Fleet, format!("{mark}{}", machine.name)),
        id: id.0,
        name: machine.name.clone(),
        state: shown.state(clock, now),
        facts: facts(&machine, visit),
        board,
        charts: super::charts::draw(context, id, &time, &incidents, clock)?,
        uplinks: latest.as_ref().map(|(_, payload)| super::payload::uplinks(payload)).unwrap_or_default(),
        cameras: cameras(context, visit, id, shown)?,
        beats: beats(context, visit, id)?,
        incidents: incidents
            .iter()
            .take(MOST_LISTED)
            .map(|incident| IncidentLine::new(incident, viewpoint))
            .collect(),
        deliveries: deliveries.iter().map(|delivery| DeliveryLine::new(delivery, clock, now)).collect(),
        conditions: conditions.iter().map(ConditionCells::of).collect(),
        marks: super::charts::marks(context, id, &time, clock)?,
        time,
        payload_at: latest.as_ref().map_or_else(String::new, |(at, _)| when(*at, clock, now)),
        payload: latest.map(|(_, payload)| super::payload::pretty(&payload)),
        threshold: machine.threshold.map(|length| Period(length).to_string()).unwrap_or_default(),
        machine,
        refused,
        version,
    };
    Ok(html(if page.refused.is_some() { 400 } else { 200 }, &page))
}

impl ConditionCells {
    fn of(listed: &SourcedSetting) -> ConditionCells {
        let [state, threshold, hold] = cells(listed);
        let (name, meaning) = (listed.entry.name, listed.entry.meaning);
        ConditionCells { name, meaning, is_changed: listed.is_changed(), state, threshold, hold }
    }
}

fn facts(machine: &Machine, visit: &Visit<'_>) -> Vec<(&'static str, String)> {
    let (clock, now) = (&visit.viewpoint.clock, visit.now.wall);
    let tags = Some(machine.tags.join(", ")).filter(|tags| !tags.is_empty());
    let paused = machine.paused_until.map(|until| format!("until {}", clock.time_of_day(until, now)));
    let threshold = machine.threshold.map(|length| Period(length).to_string());
    let facts = [
        ("Group", machine.group.clone()),
        ("Tags", tags),
        ("Description", machine.description.clone()),
        ("Host name", machine.hostname.clone()),
        ("Hardware id", machine.hardware_id.clone()),
        ("Last heartbeat", machine.last_seen.map(|seen| clock.written(seen))),
        ("Threshold", threshold),
        ("Notifications off", paused),
        ("Added", Some(clock.time_of_day(machine.created_at, now))),
    ];
    facts.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

/// The reasons that occurred; the last minutes are counted later.
fn beats(context: &PageContext, visit: &Visit<'_>, id: MachineId) -> Result<Vec<BeatLine>, PageRefusal> {
    let days = context.shared.store.beat_days(id, YEAR, visit.now.wall)?;
    let today = day(visit.now.wall);
    let names = Reason::ALL.map(Reason::as_str).into_iter().chain(["without a reason"]);
    let line = |(number, reason): (usize, &'static str)| BeatLine {
        reason,
        today: days.iter().filter(|day| day.day == today).map(|day| day.counts[number]).sum(),
        month: days.iter().filter(|day| day.day > today - MONTH).map(|day| day.counts[number]).sum(),
        year: days.iter().map(|day| day.counts[number]).sum(),
    };
    Ok(names.enumerate().map(line).filter(|line| line.year > 0).collect())
}

fn cameras(
    context: &PageContext,
    visit: &Visit<'_>,
    id: MachineId,
    shown: &MachineView,
) -> Result<Vec<CameraLine>, PageRefusal> {
    let history = context.shared.store.recent_camera_history(id, visit.now.wall)?;
    let state = |name: &str| {
        let reported = shown.current().map(|(_, reported)| &reported.cameras)?;
        reported.iter().find(|(found, _)| found == name)?.1
    };
    let line = |label: &str, percent: Option<f64>| {
        let (state, is_down) = match state(label) {
            Some(true) => ("responds", false),
            Some(false) => ("does not respond", true),
            None => ("unknown", false),
        };
        CameraLine {
            name: label.to_owned(),
            state,
            is_down,
            percent: percent.map(|percent| format!("{percent:.1} %")),
        }
    };
    let mut lines: Vec<CameraLine> =
        history.iter().map(|camera| line(camera.label(), camera.percent())).collect();
    for (name, _) in &shown.reported.cameras {
        if !lines.iter().any(|line| line.name == *name) {
            lines.push(line(name, None));
        }
    }
    Ok(lines)
}
