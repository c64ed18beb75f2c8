//! Outages: each change of a machine's status must have a cause, and each cause must lead to a change.

use super::late::STEADY_AFTER;
use super::{Checked, Machine, Model, Pending, Status, check};
use crate::monitor::Entry;
use crate::world::{HOUR, signed};

pub(super) const FLAPPING_EDGES: usize = 4;

pub struct Outage {
    pub(super) began: i64,
    pub(super) ended: Option<i64>,
    pub(super) announced: bool,
    pub(super) planned: bool,
    pub(super) last_seen: i64,
}

impl Model {
    pub(super) fn went_offline(&mut self, entry: &Entry, t: u64) -> Checked {
        let machine = &mut self.machines[entry.machine];
        check(machine.status == Status::Online, || {
            format!("{entry:?} of a machine that is {:?}", machine.status)
        })?;
        machine.change(Status::Offline, entry.at);
        let edges = machine.edges(entry.at);
        let announced = !machine.is_in_maintenance(entry.at);
        let last_seen = entry.last_seen.ok_or("an outage without an incident")?;
        machine.outages.push(Outage { began: entry.at, ended: None, announced, planned: false, last_seen });
        if announced {
            self.announce_alarm(entry, edges, "offline", t);
        }
        Ok(())
    }

    pub(super) fn came_back(&mut self, entry: &Entry, t: u64) -> Checked {
        let machine = &mut self.machines[entry.machine];
        check(machine.status != Status::Online && machine.pending == Some(Pending::Live), || {
            format!("{entry:?} of a machine that is {:?} and has sent {:?}", machine.status, machine.pending)
        })?;
        machine.change(Status::Online, entry.at);
        let edges = machine.edges(entry.at);
        let Some(outage) = machine.outages.last_mut().filter(|outage| outage.ended.is_none()) else {
            return Ok(());
        };
        outage.ended = Some(entry.at);
        if outage.announced && !outage.planned {
            self.announce_alarm(entry, edges, "online", t);
        } else if !machine.flapping {
            self.announce_recovery(entry, t);
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
        match machine.outages.last_mut().filter(|outage| outage.ended.is_none()) {
            Some(outage) => {
                outage.planned = true;
                self.skip_held(entry.machine, entry.at, None);
            }
            None => machine.outages.push(Outage {
                began: entry.at,
                ended: None,
                announced: !is_quiet,
                planned: true,
                last_seen: entry.at,
            }),
        }
        if !is_quiet && !self.machines[entry.machine].flapping {
            self.enqueue(entry, "stopped", "stopped", t);
        }
        Ok(())
    }

    pub(super) fn became_steady(&mut self, entry: &Entry, t: u64) -> Checked {
        let machine = &mut self.machines[entry.machine];
        let has_held = machine.since <= entry.at - STEADY_AFTER + signed(self.tolerance);
        check(machine.flapping && has_held && !machine.is_in_maintenance(entry.at), || {
            format!("{entry:?} without a cause: {}, since {}", machine.flapping, machine.since)
        })?;
        machine.flapping = false;
        machine.steady_at = Some(entry.at);
        self.skip_held(entry.machine, entry.at, Some("flapping"));
        let state = match self.machines[entry.machine].status {
            Status::Offline => "offline",
            Status::Stopped => "stopped",
            Status::Online | Status::New => "online",
        };
        self.enqueue(entry, "steady", state, t);
        Ok(())
    }

    pub(super) fn outlasted_maintenance(&mut self, entry: &Entry, t: u64) -> Checked {
        let machine = &mut self.machines[entry.machine];
        let is_quiet = machine.is_in_maintenance(entry.at);
        let status = machine.status;
        let Some(outage) = machine.outages.last_mut() else {
            return Err(format!("{entry:?} without an outage"));
        };
        if outage.announced {
            return Ok(());
        }
        check(outage.ended.is_none() && !outage.planned, || format!("{entry:?} of an outage that is over"))?;
        check(!is_quiet && status == Status::Offline, || {
            format!("{entry:?} during {is_quiet} of {status:?}")
        })?;
        outage.announced = true;
        if !machine.flapping {
            self.enqueue(entry, "offline", "offline", t);
        }
        Ok(())
    }
}

impl Outage {
    pub fn is_alarm(&self) -> bool {
        self.announced && !self.planned
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
    }

    pub(super) fn is_in_maintenance(&self, at: i64) -> bool {
        self.maintenance.iter().any(|&(from, to)| from <= at && at < to)
    }

    pub fn open(&self) -> Option<&Outage> {
        self.outages.last().filter(|outage| outage.ended.is_none())
    }

    /// Begins and ends of announced, unplanned outages within the last hour, and the one at `at`.
    pub(super) fn edges(&self, at: i64) -> usize {
        let hour = at - signed(HOUR);
        let after = self.steady_at.map_or(hour, |steady| steady.max(hour));
        let alarms = self.outages.iter().filter(|outage| outage.announced && !outage.planned);
        let edges = alarms.flat_map(|outage| [Some(outage.began), outage.ended]);
        edges.flatten().filter(|edge| *edge > after).count() + 1
    }
}
