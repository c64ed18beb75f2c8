//! Which machines' lines have changed since which version.

use super::view::{FleetView, MachineView};
use heartbeat_daemon::monitor::machine::MachineId;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Numbers are sent again if one differs by this much from the shown one.
const STEP: i32 = 5;
/// And at most this often, because the load of a machine changes all the time.
const NUMBERS_EVERY: Duration = Duration::from_secs(60);
/// Ages in the sentences of problems are in minutes.
const SENTENCES_EVERY: Duration = Duration::from_secs(60);

/// The newest view and the version of each part.
pub struct FleetTracker {
    view: Arc<FleetView>,
    /// When the view was made, and how long that took.
    looked: Option<(Instant, Duration)>,
    version: u64,
    machines: HashMap<MachineId, TrackedRow>,
    /// Version of the set of machines and their groups.
    structure: (u64, u64),
    /// Version of the sentences, and when they were rendered last.
    sentences: (u64, Option<Instant>),
}

struct TrackedRow {
    state: u64,
    numbers: [Option<i32>; 4],
    numbers_at: Instant,
    version: u64,
}

impl FleetTracker {
    pub fn new() -> FleetTracker {
        let empty = FleetView {
            at: heartbeat_daemon::clock::Moment(0),
            machines: Vec::new(),
            notified: HashMap::new(),
            has_channel: true,
        };
        FleetTracker {
            view: Arc::new(empty),
            looked: None,
            // A page that was loaded before a restart of the monitor must not take its version for a present one.
            version: fastrand::u64(1..1 << 40) << 8,
            machines: HashMap::new(),
            structure: (0, 0),
            sentences: (0, None),
        }
    }

    pub fn version(&self) -> u64 {
        self.version
    }

    pub fn view(&self) -> (Arc<FleetView>, u64) {
        (self.view.clone(), self.version)
    }

    pub fn is_fresh(&self, limit: Duration, now: Instant) -> bool {
        self.looked.is_some_and(|(at, _)| now.saturating_duration_since(at) < limit)
    }

    /// Something has changed: the next look is due.
    pub fn expire(&mut self) {
        self.looked = None;
    }

    /// When the next look is due: after `every`, or `share` times as long as the last one took. `None`: now.
    pub fn next_look(&self, every: Duration, share: u32) -> Option<Instant> {
        self.looked.map(|(at, took)| at + every.max(took * share))
    }

    /// Replaces the view, which was begun at `begun` and complete at `now`.
    pub fn update(&mut self, view: FleetView, begun: Instant, now: Instant) {
        let next = self.version + 1;
        let mut has_changed = false;
        let mut machines = HashMap::with_capacity(view.machines.len());
        for machine in &view.machines {
            let id = machine.machine.id;
            let row = TrackedRow::next(self.machines.remove(&id), machine, &view, next, begun);
            has_changed |= row.version == next;
            machines.insert(id, row);
        }
        self.machines = machines;
        let structure = structure(&view);
        if structure != self.structure.0 {
            self.structure = (structure, next);
            has_changed = true;
        }
        let has_problem = view.machines.iter().any(|machine| machine.health().needs_a_person());
        let is_due = self.sentences.1.is_none_or(|at| begun.saturating_duration_since(at) >= SENTENCES_EVERY);
        if has_changed || (has_problem && is_due) {
            self.sentences = (next, Some(begun));
            self.version = next;
        }
        self.view = Arc::new(view);
        self.looked = Some((now, now.saturating_duration_since(begun)));
    }

    pub fn has_changed(&self, machine: MachineId, since: u64) -> bool {
        self.machines.get(&machine).is_some_and(|row| row.version > since)
    }

    pub fn has_new_problems(&self, since: u64) -> bool {
        self.sentences.0 > since
    }

    /// Also for a version of another run of the monitor.
    pub fn has_new_structure(&self, since: u64) -> bool {
        since > self.version || self.structure.1 > since
    }
}

impl TrackedRow {
    fn next(
        before: Option<TrackedRow>,
        machine: &MachineView,
        view: &FleetView,
        next: u64,
        now: Instant,
    ) -> TrackedRow {
        let (state, numbers) = (state(machine, view), numbers(machine));
        let new = TrackedRow { state, numbers, numbers_at: now, version: next };
        let Some(before) = before else { return new };
        let is_new = before.state != state
            || (differ(&before.numbers, &numbers)
                && now.saturating_duration_since(before.numbers_at) >= NUMBERS_EVERY);
        if is_new { new } else { before }
    }
}

fn differ(shown: &[Option<i32>; 4], now: &[Option<i32>; 4]) -> bool {
    shown.iter().zip(now).any(|pair| match pair {
        (Some(shown), Some(now)) => shown.abs_diff(*now) >= STEP.unsigned_abs(),
        (shown, now) => shown != now,
    })
}

fn numbers(machine: &MachineView) -> [Option<i32>; 4] {
    let sample = machine.current().map(|(sample, _)| *sample).unwrap_or_default();
    [sample.temp, sample.cpu, sample.mem, sample.disk].map(|value| value.map(|value| value.round() as i32))
}

/// Everything that a line shows, except numbers that change all the time.
fn state(machine: &MachineView, view: &FleetView) -> u64 {
    let mut hasher = DefaultHasher::new();
    machine.health().hash(&mut hasher);
    machine.machine.status.hash(&mut hasher);
    machine.machine.paused_until.map(|until| until.0).hash(&mut hasher);
    machine.is_overdue(view.at).hash(&mut hasher);
    machine.interval.hash(&mut hasher);
    if let Some((sample, reported)) = machine.current() {
        let figures = [sample.temp, sample.cpu, sample.mem, sample.disk];
        figures.map(|figure| figure.is_some()).hash(&mut hasher);
        let cameras = reported.cameras();
        (&reported.uplink, cameras, reported.is_streaming, reported.is_tracking, reported.is_recording)
            .hash(&mut hasher);
    }
    for incident in &machine.incidents {
        (incident.id, incident.acknowledged.is_some()).hash(&mut hasher);
        let delivered = view.notified.get(&incident.id).into_iter().flatten();
        delivered.filter(|notification| notification.delivered.is_some()).count().hash(&mut hasher);
    }
    machine.day.hash(&mut hasher);
    hasher.finish()
}

/// The machines and where they are listed.
fn structure(view: &FleetView) -> u64 {
    let mut hasher = DefaultHasher::new();
    for machine in &view.machines {
        let machine = &machine.machine;
        (machine.id, &machine.name, &machine.group, &machine.tags, &machine.description).hash(&mut hasher);
    }
    view.has_channel.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::fleet::reported::Reported;
    use heartbeat_daemon::clock::Moment;
    use heartbeat_daemon::monitor::beat::Sample;
    use heartbeat_daemon::monitor::machine::{Machine, MachineStatus};

    fn machine(id: i64, cpu: f32, is_paused: bool) -> MachineView {
        let machine = Machine {
            id: MachineId(id),
            name: format!("m{id}"),
            hostname: None,
            description: None,
            group: None,
            tags: Vec::new(),
            hardware_id: None,
            device_key: None,
            threshold: None,
            status: MachineStatus::Online,
            watched: true,
            last_seen: Some(Moment(0)),
            since: Moment(0),
            created_at: Moment(0),
            paused_until: is_paused.then_some(Moment(9)),
            behind: None,
        };
        let sample = Sample { cpu: Some(cpu), ..Sample::default() };
        MachineView {
            machine,
            lag: Duration::ZERO,
            seen: Some(Moment(0)),
            interval: None,
            sample,
            reported: Reported::default().into(),
            is_reported_past: false,
            incidents: Vec::new(),
            day: Vec::new(),
            outages: Vec::new(),
        }
    }

    fn view(machines: Vec<MachineView>) -> FleetView {
        FleetView { at: Moment(0), machines, notified: HashMap::new(), has_channel: true }
    }

    #[test]
    fn only_the_lines_that_changed_have_a_new_version() {
        let (mut tracker, now) = (FleetTracker::new(), Instant::now());
        tracker.update(view(vec![machine(1, 5.0, false), machine(2, 5.0, false)]), now, now);
        let shown = tracker.version();
        tracker.update(view(vec![machine(1, 5.0, false), machine(2, 5.0, true)]), now, now);
        assert!(tracker.version() > shown);
        assert!(!tracker.has_changed(MachineId(1), shown) && tracker.has_changed(MachineId(2), shown));
        assert!(!tracker.has_new_structure(shown));
        tracker.update(view(vec![machine(1, 5.0, false)]), now, now);
        assert!(tracker.has_new_structure(shown), "a machine was removed");
    }

    #[test]
    fn numbers_are_sent_again_once_a_minute_at_most_and_only_if_they_differ_enough() {
        let (mut tracker, start) = (FleetTracker::new(), Instant::now());
        let mut look = |cpu: f32, seconds: u64| {
            let now = start + Duration::from_secs(seconds);
            let before = tracker.version();
            tracker.update(view(vec![machine(1, cpu, false)]), now, now);
            tracker.version() > before
        };
        assert!(look(10.0, 0));
        for (cpu, seconds, is_sent) in
            [(90.0, 2, false), (14.0, 61, false), (15.0, 61, true), (90.0, 100, false), (90.0, 121, true)]
        {
            assert_eq!(look(cpu, seconds), is_sent, "{cpu} after {seconds} s");
        }
    }

    #[test]
    fn a_look_is_due_at_once_after_a_transition_and_less_often_for_a_large_fleet() {
        let (mut tracker, start) = (FleetTracker::new(), Instant::now());
        let every = Duration::from_secs(2);
        assert_eq!(tracker.next_look(every, 50), None);
        tracker.update(view(Vec::new()), start, start + Duration::from_millis(100));
        assert_eq!(tracker.next_look(every, 50), Some(start + Duration::from_millis(5_100)));
        tracker.expire();
        assert_eq!(tracker.next_look(every, 50), None);
    }

    #[test]
    fn a_page_of_an_earlier_run_of_the_monitor_loads_itself_again() {
        let tracker = FleetTracker::new();
        assert!(tracker.has_new_structure(tracker.version() + 1));
    }
}
