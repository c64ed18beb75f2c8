//! The process: it starts, crashes, and ends.

use super::{Event, Simulation, TICK};
use crate::disk::{self, Crash};
use crate::model::Checked;
use crate::monitor::Process;
use crate::trace;
use crate::world::{MINUTE, SECOND};

impl Simulation {
    pub(super) fn start(&mut self) -> Checked {
        let faults = disk::faults();
        let (path, seen) = (self.path(), self.seen.clone());
        self.now();
        match Process::start(&path, &self.world, &self.clock, seen) {
            Ok(process) => self.process = Some(process),
            Err(_) if disk::crashed().is_some() => {
                disk::restart();
                self.schedule(5 * SECOND, Event::Start);
                return Ok(());
            }
            Err(error) if disk::faults() == faults => {
                return Err(format!("the monitor does not start: {error}"));
            }
            Err(error) => {
                trace::note(format!("the monitor does not start: {error}"));
                self.schedule(5 * SECOND, Event::Start);
                return Ok(());
            }
        }
        if disk::crashed().is_some() {
            self.crash();
            return Ok(());
        }
        trace::note("the monitor starts".into());
        let entries = self.committed().unwrap_or_default();
        self.model.found_settled(&self.process.as_ref().map(Process::settled).unwrap_or_default());
        self.model.observe(&entries, self.crashed_at, self.wall())?;
        self.find_judged()?;
        self.model.started(self.t, self.offset);
        if let (Some((machine, from, until)), Some(process)) = (self.unsure_pause.take(), &self.process) {
            if process.query(&format!("SELECT count(*) FROM maintenance WHERE starts_at = {from}")) > 0 {
                self.model.machines[machine].pause(from, until);
            }
        }
        self.find_acknowledged();
        self.disturbed_at = self.t;
        let interval = u64::try_from(self.world.check_interval.as_millis()).expect("short");
        self.schedule(TICK, Event::Tick(self.life));
        self.schedule(interval, Event::Sweep(self.life));
        self.check_file()?;
        self.run_round()
    }

    /// Which conditions the process finds as judged before.
    fn find_judged(&mut self) -> Checked {
        let Some(process) = &self.process else { return Ok(()) };
        for machine in 0..self.world.machines.len() {
            let id = machine + 1;
            let sql =
                format!("SELECT coalesce(max(conditions), 0) FROM machine_judged WHERE machine_id = {id}");
            let judged = process.query(&sql);
            self.model.found_judged(machine, |condition| judged & i64::from(condition.bit()) != 0)?;
        }
        Ok(())
    }

    /// Which incidents the database has as acknowledged, if that is not known.
    fn find_acknowledged(&mut self) {
        let Some(process) = &self.process else { return };
        for (key, id) in std::mem::take(&mut self.unsure_acknowledged) {
            let sql =
                format!("SELECT count(*) FROM incident WHERE id = {id} AND acknowledged_at IS NOT NULL");
            if process.query(&sql) > 0 {
                trace::note(format!("{key} is acknowledged"));
                self.model.acknowledged(key);
            }
        }
    }

    fn check_file(&mut self) -> Checked {
        let Some(process) = &self.process else { return Ok(()) };
        match process.store.check() {
            Ok(checked) if checked.problems.is_empty() => Ok(()),
            Ok(checked) => Err(format!("the database is damaged: {:?}", checked.problems)),
            Err(error) => Err(format!("the database cannot be checked: {error}")),
        }
    }

    /// The process is gone, and everything in its memory.
    pub fn crash(&mut self) {
        trace::note(format!("crash: {:?}", disk::crashed()));
        self.counts.crashes += 1;
        self.crashed_at = self.t;
        let down = self.rng.u64(SECOND / 2..3 * MINUTE);
        self.end_process(down);
    }

    pub fn crash_now(&mut self, crash: Crash) {
        disk::crash_now(crash);
        self.crash();
    }

    /// Drops the process, which starts again later.
    pub fn end_process(&mut self, down: u64) {
        if let Some(process) = self.process.take() {
            self.seen = process.seen();
        }
        disk::restart();
        self.life += 1;
        self.in_flight.clear();
        self.stalled_until = None;
        self.model.ended(self.wall());
        self.disturbed_at = self.t;
        self.schedule(down, Event::Start);
    }
}
