//! Outages: each change of a machine's status must have a cause.

use super::incidents::Incident;
use super::repetitions::{Bounds, RepetitionEnd};
use super::{Checked, Machine, Model, Pending, Status, check};
use crate::monitor::Entry;

impl Model {
    pub(super) fn went_offline(&mut self, entry: &Entry, t: u64) -> Checked {
        let machine = &mut self.machines[entry.machine];
        check(machine.status == Status::Online, || {
            format!("{entry:?} of a machine that is {:?}", machine.status)
        })?;
        machine.change(Status::Offline, entry.at);
        let announced = !machine.is_in_maintenance(entry.at);
        let since = entry.last_seen.ok_or("an outage without an incident")?;
        let edges = self.begin_outage(entry, since, announced, false);
        if announced {
            self.announce_alarm(entry.key(), edges, "offline", entry.at, t);
        }
        Ok(())
    }

    fn begin_outage(&mut self, entry: &Entry, since: i64, announced: bool, planned: bool) -> usize {
        let first_row = self.rows.len();
        let history = self.history_mut(entry.key());
        let edges = history.edges(entry.at);
        history.incidents.push(Incident {
            began: entry.at,
            ended: None,
            announced,
            notified: Bounds::at(entry.at),
            is_acknowledged: false,
            first_row,
            planned,
            since,
            existed: false,
            summarised: false,
            value: None,
        });
        edges
    }

    pub(super) fn came_back(&mut self, entry: &Entry, t: u64) -> Checked {
        let machine = &mut self.machines[entry.machine];
        check(machine.status != Status::Online && machine.pending == Some(Pending::Live), || {
            format!("{entry:?} of a machine that is {:?} and has sent {:?}", machine.status, machine.pending)
        })?;
        machine.change(Status::Online, entry.at);
        let history = self.history_mut(entry.key());
        let (edges, flapping) = (history.edges(entry.at), history.flapping);
        let Some(outage) = history.open_mut() else { return Ok(()) };
        outage.ended = Some(entry.at);
        let is_alarm = outage.is_alarm();
        self.end_repetitions(entry.key(), RepetitionEnd::Ended);
        if is_alarm {
            self.announce_alarm(entry.key(), edges, "online", entry.at, t);
        } else if !flapping {
            self.announce_end(entry.key(), "online", entry.at, t);
        }
        Ok(())
    }

    pub(super) fn was_stopped(&mut self, entry: &Entry, t: u64) -> Checked {
        let machine = &mut self.machines[entry.machine];
        check(machine.status != Status::Stopped && machine.pending == Some(Pending::Shutdown), || {
            format!("{entry:?} of a machine that is {:?} and has sent {:?}", machine.status, machine.pending)
        })?;
        machine.change(Status::Stopped, entry.at);
        let is_quiet = machine.is_in_maintenance(entry.at);
        match self.history_mut(entry.key()).open_mut() {
            Some(outage) => {
                outage.planned = true;
                self.skip_held(entry.key(), entry.at, None);
                self.hide_repetitions(entry.key());
            }
            None => _ = self.begin_outage(entry, entry.at, !is_quiet, true),
        }
        if !is_quiet && !self.history_mut(entry.key()).flapping {
            self.enqueue(entry.key(), "stopped", "stopped", entry.at, t);
        }
        Ok(())
    }
}

impl Machine {
    pub fn pause(&mut self, from: i64, until: i64) {
        // A new one replaces a current one.
        for maintenance in &mut self.maintenance {
            maintenance.1 = maintenance.1.min(from);
        }
        self.maintenance.push((from, until));
    }

    fn change(&mut self, status: Status, at: i64) {
        self.status = status;
        self.since = at;
        self.is_away = status != Status::Online;
    }

    pub(super) fn is_in_maintenance(&self, at: i64) -> bool {
        self.maintenance.iter().any(|&(from, to)| from <= at && at < to)
    }
}
