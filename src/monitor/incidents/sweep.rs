//! The check of each interval: takes late machines offline and announces what has been held back. It also records
//! returns and stops at the heartbeat itself. Belongs to the recorder's thread, the one owner of every machine's status.

#[cfg(test)]
mod tests;

use crate::clock::{Moment, Now};
use crate::duration::{go, go_seconds};
use crate::monitor::conditions::tracked::ConditionChanges;
use crate::monitor::incidents::grace::{ClockCheck, Listening, longest_pause};
use crate::monitor::incidents::isolation::{Isolated, Isolation};
use crate::monitor::incidents::late::LateCriteria;
use crate::monitor::incidents::policy::FLAPPING_HOLD;
use crate::monitor::incidents::setup::SetupFacts;
use crate::monitor::incidents::transition::Transition;
use crate::monitor::incidents::transitions::LateMachines;
use crate::monitor::instances::duty::Duty;
use crate::monitor::machine::{DeviceServer, MachineId};
use crate::monitor::notify::Poke;
use crate::monitor::store::{Store, StoreError};
use log::{info, warn};
use std::time::Duration;

/// The configuration of the checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SweepSettings {
    pub check_interval: Duration,
    /// For machines that have none of their own.
    pub threshold: Duration,
}

/// Machines that change in one transaction. A transaction for a million would fill the journal and the memory, and
/// beats would wait for it.
const BATCH: usize = 10_000;

/// Log lines of one transaction. All events are in the database.
const MOST_LINES: usize = 1000;

/// The result of a sweep.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// The machines that are offline now.
    pub offline: Vec<MachineId>,
    /// Too many are late at once: they are still online, and the next sweep decides.
    pub doubted: bool,
    /// There may be more: sweep again after the next flush.
    pub is_partial: bool,
}

/// The result of [`Sweeper::returned`].
#[derive(Debug, Default, PartialEq, Eq)]
pub struct HeardMachines {
    pub online: Vec<MachineId>,
    /// Those that another monitor of the database had heard before.
    pub moved: Vec<MachineId>,
}

/// Takes machines offline and back online.
#[derive(Debug)]
pub struct Sweeper {
    settings: SweepSettings,
    listening: Listening,
    /// The last sweep doubted; if this one finds the same, the machines are offline.
    doubted: bool,
    /// The last sweep took a full batch; the rest belongs to the same loss.
    is_partial: bool,
    /// The loss that is being taken was doubted and confirmed.
    was_doubted: bool,
    isolation: Isolation,
    /// [`BATCH`], and less in tests.
    batch: usize,
    /// Moments in the future were removed since the start, and since the clock went back.
    is_clamped: bool,
    poke: Poke,
}

impl Sweeper {
    /// Every machine gets its whole threshold from `now` on.
    pub fn new(settings: SweepSettings, now: Now, poke: Poke) -> Sweeper {
        Sweeper {
            settings,
            listening: Listening::new(now),
            doubted: false,
            is_partial: false,
            was_doubted: false,
            isolation: Isolation::new(now.wall),
            batch: BATCH,
            is_clamped: false,
            poke,
        }
    }

    pub fn reload(&mut self, settings: SweepSettings) {
        self.settings = settings;
    }

    /// For machines that have none of their own.
    pub fn threshold(&self) -> Duration {
        self.settings.threshold
    }

    /// Beats were refused or could not be written: silence before `until` does not count.
    pub fn ingest_was_down(&mut self, until: Moment) {
        self.listening.restart(until);
    }

    /// Another process has changed the database: there may be something to send.
    pub fn wake_couriers(&self) {
        self.poke.poke();
    }

    /// Takes late machines offline. Call it each check interval, after the beats in memory are written.
    ///
    /// # Errors
    /// The database failed; nothing was changed.
    pub fn sweep(&mut self, store: &Store, now: Now) -> Result<Swept, StoreError> {
        let SweepSettings { check_interval, threshold } = self.settings;
        let check = self.listening.check(longest_pause(check_interval, threshold), now);
        log_clock_check(check);
        if matches!(check, ClockCheck::Back(_)) {
            self.is_clamped = false;
        }
        if !self.is_clamped {
            store.forget_the_future(now.wall)?;
            self.is_clamped = true;
        }
        // Before machines go offline: a window that has just begun counts.
        store.apply_maintenance_plans(now.wall)?;
        let swept = self.mark_late(store, now.wall);
        self.poke.poke();
        swept
    }

    /// Announces what outlasts a maintenance and what has stopped flapping, and plans summaries, escalations and reminders.
    /// Call it after a sweep: a failure here must not hide which machines went offline.
    ///
    /// # Errors
    /// The database failed; the next call does what was not committed.
    pub fn announce_held(&mut self, store: &Store, now: Moment) -> Result<(), StoreError> {
        let announced = self.announce_all(store, now);
        // Also after an error: a part may have been committed.
        self.poke.poke();
        announced
    }

    fn announce_all(&mut self, store: &Store, now: Moment) -> Result<(), StoreError> {
        if !store.takes_on(Duty::Announcements, now)? {
            return Ok(());
        }
        let outages = store.unannounced_outages(now)?;
        // What is not taken yet would count as heard.
        let is_isolated = self.is_partial || self.isolation.look(store, &outages, now)?;
        log_each(&store.announce_kept_back(&outages, is_isolated, now)?, now);
        log_each(&store.announce_conditions_after_maintenance(now)?, now);
        log_each(&store.announce_steady(now, FLAPPING_HOLD)?, now);
        store.summarise_existing(now)?;
        store.escalate(now)?;
        store.remind(now)?;
        Ok(())
    }

    /// Set if this monitor hears nothing from half of the machines that have other monitors, too.
    pub fn isolated(&self) -> Option<&Isolated> {
        self.isolation.found()
    }

    /// Takes one batch offline. A larger loss continues after the next flush; otherwise heartbeats would be refused
    /// meanwhile.
    fn mark_late(&mut self, store: &Store, now: Moment) -> Result<Swept, StoreError> {
        self.was_doubted = self.doubted || self.was_doubted && self.is_partial;
        let criteria = LateCriteria {
            now,
            listening_since: self.listening.since(),
            threshold: self.settings.threshold,
            is_doubting: !self.doubted && !self.is_partial,
            batch: self.batch,
            is_isolated: self.was_doubted || self.isolation.found().is_some(),
            process: store.process(),
        };
        match store.mark_late_offline(&criteria)? {
            LateMachines::Doubtful(late) => {
                warn!(
                    "{late} machines (half of the fleet or more) went silent at once; will alert at the next check if \
                     they are still silent"
                );
                self.doubted = true;
                Ok(Swept { doubted: true, ..Swept::default() })
            }
            LateMachines::Offline(transitions) => {
                log_each(&transitions, now);
                self.doubted = false;
                self.is_partial = transitions.len() >= self.batch;
                let offline = transitions.iter().map(|transition| transition.machine).collect();
                Ok(Swept { offline, doubted: false, is_partial: self.is_partial })
            }
        }
    }

    /// For heartbeats of machines that are not online, or that another monitor may have heard meanwhile, all in one
    /// transaction. Returns the machines that are online now; disabled ones are not.
    ///
    /// # Errors
    /// The database failed; nothing was changed.
    pub fn returned(
        &mut self,
        store: &Store,
        beats: &[(MachineId, Moment)],
        now: Moment,
    ) -> Result<HeardMachines, StoreError> {
        let returned = store.mark_online(beats, now);
        // Also after an error: a commit that was not confirmed may have taken effect.
        self.poke.poke();
        let returned = returned?;
        log_each(&returned.transitions, now);
        Ok(HeardMachines { online: returned.online, moved: returned.moved })
    }

    /// For machines that say what this monitor is to them.
    ///
    /// # Errors
    /// The database failed; nothing was changed.
    pub fn servers(
        &mut self,
        store: &Store,
        beats: &[(MachineId, Moment, DeviceServer)],
        now: Moment,
    ) -> Result<(), StoreError> {
        let transitions = store.set_servers(beats, now)?;
        if !transitions.is_empty() {
            self.poke.poke();
            log_each(&transitions, now);
        }
        Ok(())
    }

    /// For shutdown heartbeats, which are no alarm. Returns the machines that are stopped now.
    ///
    /// # Errors
    /// The database failed; nothing was changed.
    pub fn stopped(
        &mut self,
        store: &Store,
        beats: &[(MachineId, Moment)],
        now: Moment,
    ) -> Result<Vec<MachineId>, StoreError> {
        let transitions = store.mark_stopped(beats, now)?;
        self.poke.poke();
        log_each(&transitions, now);
        Ok(transitions.iter().map(|transition| transition.machine).collect())
    }
}

impl Sweeper {
    /// For conditions that have begun or ended. Returns the machines whose changes are recorded.
    ///
    /// # Errors
    /// The database failed; nothing was changed.
    pub fn conditions(
        &mut self,
        store: &Store,
        changes: &[(MachineId, ConditionChanges)],
        now: Moment,
    ) -> Result<Vec<MachineId>, StoreError> {
        let recorded = store.record_conditions(changes, now)?;
        self.poke.poke();
        log_each(&recorded.transitions, now);
        Ok(recorded.machines)
    }

    /// For problems of setups, which no heartbeat decides. Call it after a sweep.
    ///
    /// # Errors
    /// The database failed; nothing was changed.
    pub fn setup(&mut self, store: &Store, facts: &SetupFacts<'_>, now: Moment) -> Result<(), StoreError> {
        let transitions = store.judge_setup(facts, self.listening.since(), now)?;
        if !transitions.is_empty() {
            self.poke.poke();
            log_each(&transitions, now);
        }
        Ok(())
    }
}

fn log_clock_check(check: ClockCheck) {
    const EFFECT: &str = "every machine gets its whole threshold again";
    match check {
        ClockCheck::Regular => {}
        ClockCheck::Gap(passed) => {
            warn!("No check for {}: {EFFECT}", go_seconds(passed));
        }
        ClockCheck::Forward(step) => warn!("The clock jumped forwards by {}: {EFFECT}", go(step)),
        ClockCheck::Back(step) => warn!("The clock jumped back by {}: {EFFECT}", go(step)),
    }
}

fn log_each(transitions: &[Transition], now: Moment) {
    for transition in transitions.iter().take(MOST_LINES) {
        info!("{}", transition.line(now));
    }
    if transitions.len() > MOST_LINES {
        info!("{} more machines changed in the same way", transitions.len() - MOST_LINES);
    }
}
