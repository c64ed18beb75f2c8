//! Who is late: when the monitor itself was not listening, when half the fleet falls silent at once, who flaps.
//!
//! Belongs to the recorder's thread, the one owner of every machine's status. What is decided here is written by
//! `store/transitions.rs`: status, outage, event and outbox rows in one transaction.

#[cfg(test)]
mod tests;

use crate::clock::{Moment, Now};
use crate::duration::{go, go_seconds};
use crate::monitor::incidents::policy::FLAPPING_HOLD;
use crate::monitor::incidents::transition::Transition;
use crate::monitor::incidents::transitions::{Cut, Taken};
use crate::monitor::machine::MachineId;
use crate::monitor::notify::Poke;
use crate::monitor::store::{Store, StoreError};
use log::{info, warn};
use std::time::{Duration, Instant};

/// What the configuration says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SweepSettings {
    pub check_interval: Duration,
    /// Of machines that have none of their own.
    pub threshold: Duration,
}

/// A wall clock that goes so much further or less than the monotonic one was set; slewing stays far below.
const CLOCK_JUMP: Duration = Duration::from_secs(5);

/// Machines that change in one transaction. A million at once must not be one: neither the journal nor the memory
/// has an end then, and beats wait for the writer.
const BATCH: usize = 10_000;

/// A fleet's worth of lines helps nobody; the events are all in the database.
const MOST_LINES: usize = 1000;

/// Since when we have been listening without a gap, and what the clocks said last.
#[derive(Debug)]
struct Listening {
    since: Moment,
    looked: Instant,
    looked_at: Moment,
}

/// What a look at the clocks shows.
#[derive(Debug, PartialEq, Eq)]
enum Clocks {
    Fine,
    /// Moments in the database lie in the future now.
    WentBack,
}

impl Listening {
    /// Moves `since` after a gap between two looks, and after a jump of the wall clock.
    fn look(&mut self, interval: Duration, now: Now) -> Clocks {
        let passed = now.since(self.looked);
        let expected = self.looked_at.plus(passed);
        let ahead = now.wall.since(expected) > CLOCK_JUMP;
        let behind = expected.since(now.wall) > CLOCK_JUMP;
        if ahead || behind {
            let (by, way) = match ahead {
                true => (now.wall.since(expected), "forwards"),
                false => (expected.since(now.wall), "back"),
            };
            warn!("The clock jumped {way} by {}: every machine gets its whole threshold again", go(by));
        } else if passed > interval * 2 {
            let passed = go_seconds(passed);
            warn!("No check for {passed}: every machine gets its whole threshold again");
        }
        if ahead || behind || passed > interval * 2 {
            self.since = now.wall;
        }
        // Also after a step too small to be called a jump.
        self.since = self.since.min(now.wall);
        (self.looked, self.looked_at) = (now.monotonic, now.wall);
        if behind { Clocks::WentBack } else { Clocks::Fine }
    }
}

/// What a sweep has done.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// They are offline now.
    pub offline: Vec<MachineId>,
    /// So many are silent at once that the next sweep looks again before anybody is told; they are still online.
    pub doubted: bool,
    /// There may be more: to be swept again after the next flush.
    pub goes_on: bool,
}

/// Turns machines offline, and back online.
#[derive(Debug)]
pub struct Sweeper {
    settings: SweepSettings,
    listening: Listening,
    /// The last sweep found half the fleet silent; if this one does too, they are.
    doubted: bool,
    /// The last sweep took as many as one transaction may; what it left belongs to the same loss.
    goes_on: bool,
    /// [`BATCH`], and less in tests.
    batch: usize,
    /// Moments that lie in the future have been looked for since the start, and since the clock went back.
    clamped: bool,
    poke: Poke,
}

impl Sweeper {
    /// Nobody is late before they had their whole threshold from `now` on.
    pub fn new(settings: SweepSettings, now: Now, poke: Poke) -> Sweeper {
        let listening = Listening { since: now.wall, looked: now.monotonic, looked_at: now.wall };
        Sweeper { settings, listening, doubted: false, goes_on: false, batch: BATCH, clamped: false, poke }
    }

    pub fn reload(&mut self, settings: SweepSettings) {
        self.settings = settings;
    }

    /// Beats could not be taken, or not be kept: silence before `until` says nothing of a machine.
    pub fn ingest_was_down(&mut self, until: Moment) {
        self.listening.since = self.listening.since.max(until);
    }

    /// Somebody else has changed the database: there may be something to send.
    pub fn wake_couriers(&self) {
        self.poke.poke();
    }

    /// Takes offline who is late, and tells what has been held back: outages that outlast a maintenance, machines
    /// that have stopped flapping. To be called each check interval, after the beats in memory have been written.
    ///
    /// # Errors
    /// The database; what was not committed is done by the next sweep.
    pub fn sweep(&mut self, store: &Store, now: Now) -> Result<Swept, StoreError> {
        if self.listening.look(self.settings.check_interval, now) == Clocks::WentBack {
            self.clamped = false;
        }
        if !self.clamped {
            store.forget_the_future(now.wall)?;
            self.clamped = true;
        }
        let mut swept = Swept::default();
        let taken = self.take(store, now.wall, &mut swept);
        let told = taken.and_then(|()| {
            log_each(&store.tell_after_maintenance(now.wall)?, now.wall);
            log_each(&store.tell_steady(now.wall, FLAPPING_HOLD)?, now.wall);
            Ok(())
        });
        // Some may have been committed before something failed.
        self.poke.poke();
        told.map(|()| swept)
    }

    /// One batch: a larger loss goes on after the next flush, or heartbeats would be refused meanwhile.
    fn take(&mut self, store: &Store, now: Moment, swept: &mut Swept) -> Result<(), StoreError> {
        let cut = Cut {
            now,
            listening_since: self.listening.since,
            threshold: self.settings.threshold,
            doubt: !self.doubted && !self.goes_on,
            batch: self.batch,
        };
        match store.take_offline(&cut)? {
            Taken::Doubtful { late } => {
                warn!(
                    "{late} machines, half of the fleet or more, fell silent at once: told at the next check if they \
                     still are"
                );
                (self.doubted, swept.doubted) = (true, true);
            }
            Taken::Offline(transitions) => {
                log_each(&transitions, now);
                swept.offline.extend(transitions.iter().map(|transition| transition.machine));
                swept.goes_on = transitions.len() >= self.batch;
                (self.doubted, self.goes_on) = (false, swept.goes_on);
            }
        }
        Ok(())
    }

    /// Beats of machines that are not online, at the heartbeat itself: as many in one transaction as are there.
    /// Returns who is online now; disabled machines are not.
    ///
    /// # Errors
    /// The database; nothing has changed then.
    pub fn back(
        &mut self,
        store: &Store,
        beats: &[(MachineId, Moment)],
        now: Moment,
    ) -> Result<Vec<MachineId>, StoreError> {
        let back = store.bring_back(beats, now)?;
        self.poke.poke();
        log_each(&back.transitions, now);
        Ok(back.online)
    }

    /// Devices that said that they are being stopped: no alarm. Returns who is stopped now.
    ///
    /// # Errors
    /// The database; nothing has changed then.
    pub fn farewell(
        &mut self,
        store: &Store,
        beats: &[(MachineId, Moment)],
        now: Moment,
    ) -> Result<Vec<MachineId>, StoreError> {
        let transitions = store.note_farewells(beats, now)?;
        self.poke.poke();
        log_each(&transitions, now);
        Ok(transitions.iter().map(|transition| transition.machine).collect())
    }
}

fn log_each(transitions: &[Transition], now: Moment) {
    for transition in transitions.iter().take(MOST_LINES) {
        info!("{}", transition.line(now));
    }
    if transitions.len() > MOST_LINES {
        info!("{} more machines did the same", transitions.len() - MOST_LINES);
    }
}
