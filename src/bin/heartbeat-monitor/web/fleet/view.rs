//! The facts about all machines at one moment: from the database, and from memory where that is newer.

use super::day::{DayRun, day_runs};
use super::past::FleetPast;
use super::reported::Reported;
use crate::web::severity::{MachineHealth, severity};
use crate::web::viewpoint::Viewpoint;
use heartbeat_daemon::clock::Moment;
use heartbeat_daemon::duration::in_words;
use heartbeat_daemon::monitor::beat::Sample;
use heartbeat_daemon::monitor::incidents::list::{IncidentFilter, IncidentRecord};
use heartbeat_daemon::monitor::incidents::recent::RecentIncident;
use heartbeat_daemon::monitor::machine::{Machine, MachineId, MachineStatus};
use heartbeat_daemon::monitor::notify::deliveries::OpenNotification;
use heartbeat_daemon::monitor::recorder::RecorderContext;
use heartbeat_daemon::monitor::registry::machines::MachineFilter;
use heartbeat_daemon::monitor::store::StoreError;
use heartbeat_daemon::monitor::store::page::Page;
use heartbeat_daemon::monitor::zone::Clock;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// A beat may be this many intervals late before the page counts the silence.
const LATE_INTERVALS: u32 = 3;
/// The shortest silence that the page counts.
const SHORTEST_SILENCE: Duration = Duration::from_secs(10);

/// All machines.
pub struct FleetView {
    pub at: Moment,
    pub machines: Vec<MachineView>,
    /// Who was notified of the open incidents.
    pub notified: HashMap<i64, Vec<OpenNotification>>,
    /// Somebody can be notified.
    pub has_channel: bool,
}

/// A machine with everything that its line shows.
#[derive(Debug, Clone)]
pub struct MachineView {
    pub machine: Machine,
    pub seen: Option<Moment>,
    /// By how much `seen` may be behind.
    pub lag: Duration,
    pub interval: Option<Duration>,
    pub sample: Sample,
    pub reported: Arc<Reported>,
    /// `reported` is from before the monitor's start.
    pub is_reported_past: bool,
    /// Open ones, oldest first.
    pub incidents: Vec<IncidentRecord>,
    pub day: Vec<DayRun>,
    /// Begin and end of the outages of the last week.
    pub outages: Vec<(Moment, Option<Moment>)>,
}

impl FleetView {
    /// The facts at `now`; `past` has those that no longer change.
    pub fn load(
        shared: &RecorderContext,
        past: &mut FleetPast,
        now: Moment,
    ) -> Result<FleetView, StoreError> {
        let store = &shared.store;
        let since = past.refresh(store, now)?;
        let filter = MachineFilter { limit: u32::MAX, ..MachineFilter::default() };
        let machines = store.machines(&filter, now)?;
        let page = Page { before: None, after: Some(0) };
        let open = IncidentFilter { page, limit: u32::MAX, machine: None, kind: None, is_open: Some(true) };
        let mut open = by_machine(store.incidents(&open)?, |incident| incident.machine.0);
        let mut recent =
            by_machine(store.recent_incidents(since)?, |incident: &RecentIncident| incident.machine);
        let mut notified: HashMap<i64, Vec<OpenNotification>> = HashMap::new();
        for notification in store.open_notifications()? {
            notified.entry(notification.incident).or_default().push(notification);
        }
        let machines = machines.into_iter().map(|machine| {
            let incidents = open.remove(&machine.id).unwrap_or_default();
            let recent = recent.remove(&machine.id).unwrap_or_default();
            MachineView::new(shared, past, machine, incidents, &recent, now)
        });
        let machines: Vec<MachineView> = machines.collect();
        past.forget_removed(machines.len());
        Ok(FleetView { at: now, machines, notified, has_channel: store.has_enabled_channel()? })
    }

    /// The machines within a visitor's scope.
    pub fn visible(&self, viewpoint: &Viewpoint) -> impl Iterator<Item = &MachineView> + Clone {
        self.machines.iter().filter(move |machine| viewpoint.sees(&machine.machine))
    }
}

fn by_machine<T>(records: Vec<T>, machine: impl Fn(&T) -> MachineId) -> HashMap<MachineId, Vec<T>> {
    let mut sorted: HashMap<MachineId, Vec<T>> = HashMap::new();
    for record in records {
        sorted.entry(machine(&record)).or_default().push(record);
    }
    sorted
}

impl MachineView {
    fn new(
        shared: &RecorderContext,
        past: &mut FleetPast,
        machine: Machine,
        incidents: Vec<IncidentRecord>,
        recent: &[RecentIncident],
        now: Moment,
    ) -> MachineView {
        let outages = recent.iter().filter(|incident| incident.is_outage);
        let outages = outages.map(|outage| (outage.since, outage.ended));
        let outages = outages.chain(past.outages(machine.id)).collect();
        let day = day_runs(machine.created_at, recent, now);
        let newest = shared.fleet.newest_beside(machine.id, past.parsed_at(machine.id));
        let seen = newest.as_ref().map(|newest| newest.seen).or(machine.last_seen);
        let payload_at = newest.as_ref().and_then(|newest| newest.payload_at);
        let payload = newest.as_ref().and_then(|newest| newest.payload.as_deref());
        let reported = match payload_at {
            Some(at) => past.parse(machine.id, at, payload),
            None => past.reported(machine.id),
        };
        MachineView {
            seen,
            lag: newest.as_ref().map_or(Duration::ZERO, |newest| newest.lag),
            interval: newest.as_ref().and_then(|newest| newest.interval),
            sample: newest.as_ref().map(|newest| newest.sample).unwrap_or_default(),
            reported,
            is_reported_past: payload_at.is_none(),
            machine,
            incidents,
            day,
            outages,
        }
    }

    pub fn health(&self) -> MachineHealth {
        let machine = &self.machine;
        let is_quiet = matches!(machine.status, MachineStatus::Stopped | MachineStatus::Standby);
        if !machine.watched || machine.paused_until.is_some() || is_quiet {
            return MachineHealth::Quiet;
        }
        if machine.status == MachineStatus::Offline {
            return MachineHealth::Bad;
        }
        let worst = self.incidents.iter().map(|incident| severity(&incident.kind)).max();
        match worst {
            Some(worst) => worst,
            None if machine.status == MachineStatus::New => MachineHealth::New,
            None => MachineHealth::Fine,
        }
    }

    /// What it is, after its name: "is fine", "has been silent for 9 min".
    pub fn state(&self, clock: &Clock, now: Moment) -> String {
        let machine = &self.machine;
        let silence = self.seen.map(|seen| in_words(now.since(seen)));
        match (machine.status, silence) {
            _ if !machine.watched => "is disabled".into(),
            _ if machine.paused_until.is_some() => "is paused".into(),
            (MachineStatus::Offline, Some(silence)) => match &machine.behind {
                Some(front) => format!("has been silent for {silence}; it is behind {front}"),
                None => format!("has been silent for {silence}"),
            },
            (MachineStatus::Standby, _) => "sends to another monitor; this is its backup".into(),
            (MachineStatus::Stopped, _) => {
                format!("was stopped on purpose {}", clock.time_of_day(machine.since, now))
            }
            (MachineStatus::New, _) | (_, None) => "has not sent a heartbeat yet".into(),
            _ if self.health().needs_a_person() => "needs you".into(),
            _ => "is fine".into(),
        }
    }

    pub fn is_online(&self) -> bool {
        self.machine.status == MachineStatus::Online
    }

    /// It is online, and has sent a heartbeat since the monitor's start.
    pub fn has_current_values(&self) -> bool {
        self.is_online() && !self.is_reported_past
    }

    /// Values are shown only while they are current.
    pub fn current(&self) -> Option<(&Sample, &Reported)> {
        self.has_current_values().then_some((&self.sample, &self.reported))
    }

    /// How many of its cameras respond, and how many there are; `None`: unknown, or it has none.
    pub fn cameras(&self) -> Option<(usize, usize)> {
        self.current().and_then(|(_, reported)| reported.cameras())
    }

    pub fn has_incident(&self, kind: &str) -> bool {
        self.incidents.iter().any(|incident| incident.kind == kind)
    }

    /// Whether its silence is counted: the next beat is overdue.
    pub fn is_overdue(&self, now: Moment) -> bool {
        let interval = self.interval.unwrap_or_default();
        let limit = (interval * LATE_INTERVALS).max(SHORTEST_SILENCE) + self.lag;
        self.seen.is_some_and(|seen| now.since(seen) > limit)
    }
}
