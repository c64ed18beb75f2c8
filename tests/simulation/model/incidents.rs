//! The incidents of a machine and of each of its parts, and what is announced of them: the same rules for all.

use super::repetitions::Bounds;
use super::{Checked, Key, Model, Status, check};
use crate::monitor::Entry;
use crate::parts::Part;
use crate::world::{HOUR, signed};

const FLAPPING_EDGES: usize = 4;
pub(super) const STEADY_AFTER: i64 = 15 * 60_000;

pub struct Incident {
    pub(super) began: i64,
    pub(super) ended: Option<i64>,
    pub(super) announced: bool,
    /// When it was, if it was.
    pub(super) notified: Bounds,
    pub(super) is_acknowledged: bool,
    /// Of the messages, those about it are not before this one.
    pub(super) first_row: usize,
    pub(super) planned: bool,
    /// The last heartbeat before an outage; when a condition began to hold.
    pub(super) since: i64,
    /// It held when it was first judged.
    pub(super) existed: bool,
    pub(super) summarised: bool,
    /// The number with which it began.
    pub(super) value: Option<f32>,
}

#[derive(Default)]
pub struct History {
    pub(super) incidents: Vec<Incident>,
    pub(super) flapping: bool,
    steady_at: Option<i64>,
}

impl Model {
    pub fn history(&self, key: Key) -> Option<&History> {
        self.histories.get(&key)
    }

    pub(super) fn history_mut(&mut self, key: Key) -> &mut History {
        self.histories.entry(key).or_default()
    }

    /// Begins or ends an incident that people are to be notified of. `edges`: begins and ends of the last hour.
    pub(super) fn announce_alarm(&mut self, key: Key, edges: usize, news: &'static str, at: i64, t: u64) {
        let history = self.history_mut(key);
        if history.flapping {
            return;
        }
        if edges > FLAPPING_EDGES {
            history.flapping = true;
            history.steady_at = None;
            self.announced_flapping = Some((key, at));
            self.skip_held(key, at, None);
            self.enqueue(key, "flapping", news, at, t);
        } else if matches!(news, "online" | "condition_ended") {
            self.announce_end(key, news, at, t);
        } else {
            self.enqueue(key, news, news, at, t);
        }
    }

    pub(super) fn announce_end(&mut self, key: Key, news: &'static str, at: i64, t: u64) {
        self.skip_held(key, at, None);
        self.enqueue(key, news, news, at, t);
    }

    pub(super) fn became_steady(&mut self, entry: &Entry, t: u64) -> Checked {
        let key = entry.key();
        let has_held = self.last_change(key) <= entry.at - STEADY_AFTER + signed(self.tolerance);
        let is_flapping = self.history_mut(key).flapping;
        let machine = &self.machines[key.machine];
        let is_known = key.part == Part::Machine || machine.status == Status::Online;
        check(is_flapping && has_held && is_known && !machine.is_in_maintenance(entry.at), || {
            format!("{entry:?} without a cause: {is_flapping}, since {}", self.last_change(key))
        })?;
        let history = self.history_mut(key);
        history.flapping = false;
        history.steady_at = Some(entry.at);
        self.skip_held(key, entry.at, Some("flapping"));
        self.enqueue(key, "steady", self.state(key), entry.at, t);
        Ok(())
    }

    /// An incident that began during a maintenance has outlasted it.
    pub(super) fn outlasted_maintenance(&mut self, entry: &Entry, t: u64) -> Checked {
        let key = entry.key();
        let (news, status) = match key.part {
            Part::Machine => ("offline", Status::Offline),
            _ => ("condition", Status::Online),
        };
        let machine = &self.machines[key.machine];
        check(machine.status == status && !machine.is_in_maintenance(entry.at), || {
            format!("{entry:?} of a machine that is {:?}", machine.status)
        })?;
        let history = self.history_mut(key);
        let Some(incident) = history.incidents.last_mut().filter(|incident| incident.is_unannounced()) else {
            return Err(format!("{entry:?} without such an incident"));
        };
        incident.announced = true;
        incident.notified = Bounds::at(entry.at);
        if !history.flapping {
            self.enqueue(key, news, news, entry.at, t);
        }
        Ok(())
    }

    /// After a healthy sweep: what it must have announced.
    pub(super) fn check_announced(&self, wall: i64) -> Checked {
        for (key, history) in &self.histories {
            let machine = &self.machines[key.machine];
            if machine.is_in_maintenance(wall) {
                continue;
            }
            let is_known = key.part == Part::Machine || machine.status == Status::Online;
            let is_open = key.part != Part::Machine || machine.status == Status::Offline;
            let is_unannounced = history.incidents.last().is_some_and(Incident::is_unannounced);
            check(!is_unannounced || !is_open || !is_known, || {
                format!("missed: {key} has outlasted its maintenance")
            })?;
            let has_held = self.last_change(*key) <= wall - STEADY_AFTER - signed(self.tolerance);
            check(!history.flapping || !has_held || !is_known, || format!("missed: {key} is steady again"))?;
        }
        Ok(())
    }

    /// What a message says of a machine or part now.
    fn state(&self, key: Key) -> &'static str {
        let is_open = self.history(key).is_some_and(|history| history.open().is_some());
        match (key.part, self.machines[key.machine].status) {
            (Part::Machine, Status::Offline) => "offline",
            (Part::Machine, Status::Stopped) => "stopped",
            (Part::Machine, Status::Online | Status::New) => "online",
            _ if is_open => "condition",
            _ => "condition_ended",
        }
    }

    /// After the clock was set back, an earlier incident may have ended later.
    fn last_change(&self, key: Key) -> i64 {
        let incidents = self.history(key).map_or(&[][..], |history| &history.incidents);
        match key.part {
            Part::Machine => self.machines[key.machine].since,
            _ => incidents.iter().map(Incident::last_change).max().unwrap_or(0),
        }
    }

    pub(super) fn may_forget_future_incidents(&mut self, wall: i64) {
        for incident in self.histories.values_mut().flat_map(|history| &mut history.incidents) {
            incident.notified.may_be_set_back(wall);
        }
    }

    pub(super) fn forget_future_incidents(&mut self, wall: i64) {
        for history in self.histories.values_mut() {
            history.steady_at = history.steady_at.map(|at| at.min(wall));
            for incident in &mut history.incidents {
                incident.began = incident.began.min(wall);
                incident.notified.set_back(wall);
                incident.ended = incident.ended.map(|at| at.min(wall));
            }
        }
    }
}

impl History {
    pub fn open(&self) -> Option<&Incident> {
        self.incidents.last().filter(|incident| incident.ended.is_none())
    }

    pub(super) fn open_mut(&mut self) -> Option<&mut Incident> {
        self.incidents.last_mut().filter(|incident| incident.ended.is_none())
    }

    /// Nothing is announced of it now.
    pub fn is_quiet(&self) -> bool {
        self.flapping || self.open().is_some_and(|incident| !incident.is_alarm())
    }

    /// Begins and ends of announced, unplanned incidents within the last hour, and the one at `at`.
    pub(super) fn edges(&self, at: i64) -> usize {
        let hour = at - signed(HOUR);
        let after = self.steady_at.map_or(hour, |steady| steady.max(hour));
        let alarms = self.incidents.iter().filter(|incident| incident.is_alarm());
        let edges = alarms.flat_map(|incident| [Some(incident.began), incident.ended]);
        edges.flatten().filter(|edge| *edge > after).count() + 1
    }
}

impl Incident {
    fn last_change(&self) -> i64 {
        self.began.max(self.ended.unwrap_or(0))
    }

    pub(super) fn is_alarm(&self) -> bool {
        self.announced && !self.planned
    }

    /// It is open, and to be announced once nothing forbids that.
    fn is_unannounced(&self) -> bool {
        self.ended.is_none() && !self.announced && !self.planned && !self.existed
    }
}
