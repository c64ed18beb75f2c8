//! The one thread that writes what beats change, and the one owner of every machine's status.
//!
//! ```text
//! orders  (back, farewell, replays, reload) ─┐
//! pass    (each second)                      ├─► recorder ─► store
//! sweep   (each check interval) ─────────────┘
//! ```
//!
//! Every five seconds it writes, in one transaction, when machines were last seen, and a share of the payloads and
//! minutes.
//! What waits in the channel is taken together: a fleet that comes back, or its replays, are one commit. It ends when
//! all who may give orders have gone, and leaves nothing in memory then.

mod events;
mod trouble;

pub use events::{OnStored, RecorderEvent};

use super::fleet::{Belief, Fleet, Unsaved};
use super::pulse::Pulse;
use super::store::{Store, StoreError};
use crate::clock::suspended;
use crate::clock::{Moment, Now};
use crate::latest::Latest;
use crate::monitor::incidents::sweep::Sweeper;
use crate::monitor::machine::{MachineId, MachineStatus};
use crate::monitor::registry::lookup::Registry;
use crate::monitor::retention::horizon::Horizon;
use crate::systemd::Watchdog;
use crate::ticker::Ticker;
use crossbeam_channel::{Receiver, select};
use events::Gathered;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};
use trouble::{Task, TaskFailures};

/// How often the recorder looks: whether another process has changed the database, and whether a write is due.
pub const FLUSH: Duration = Duration::from_secs(1);

/// How often beats reach the database, apart from sweeps, which look at nothing older. A kill -9 forgets so much of
/// being alive, which the grace after a start covers many times. Each second would write the same pages five times as
/// often: 0.26 MB/s for 10,000 machines, and most of what an idle monitor costs.
const WRITE_EVERY: u64 = 5;

/// Payloads and minutes of so many machines are written with each write: two pages of 4 KiB each, and again when the
/// journal is folded in, 0.2 MB/s together.
const SAVED_AT_ONCE: u64 = 60;
/// Bounds of how long a machine's payload and minutes stay in memory alone, in writes: 1 to 15 minutes.
const SAVE_PERIOD: std::ops::RangeInclusive<u64> = 12..=180;

/// Machines in one transaction while stopping.
const BATCH: usize = 1000;

/// The history's rows are looked through in so many turns, one each minute.
const AGEING_TURNS: i64 = 360;

/// What wakes the recorder.
#[derive(Debug)]
pub struct RecorderInbox {
    pub orders: Receiver<RecorderEvent>,
    /// Each [`FLUSH`].
    pub flush: Ticker,
    /// Each check interval.
    pub sweep: Ticker,
}

/// What the recorder shares with the threads that answer.
#[derive(Debug, Clone)]
pub struct RecorderContext {
    pub store: Arc<Store>,
    pub registry: Arc<Latest<Registry>>,
    pub fleet: Arc<Fleet>,
    pub pulse: Arc<Pulse>,
}

#[derive(Debug)]
pub struct Recorder {
    shared: RecorderContext,
    sweeper: Sweeper,
    watchdog: Watchdog,
    /// A new one, until the ticker has it.
    check_interval: Option<Duration>,
    /// Passes since the last write.
    waited: u64,
    /// A loss was larger than one transaction: swept again in the next pass.
    sweep_is_partial: bool,
    /// Whose turn it is to be saved.
    turn: u64,
    /// The minute in which history was aged last.
    aged: i64,
    /// Read from the database when history is aged first.
    horizon: Option<Horizon>,
    /// [`suspended`] at the start.
    suspended: Duration,
    troubles: TaskFailures,
}

impl Recorder {
    pub fn new(shared: RecorderContext, sweeper: Sweeper, watchdog: Watchdog) -> Recorder {
        Recorder {
            shared,
            sweeper,
            watchdog,
            check_interval: None,
            waited: 0,
            sweep_is_partial: false,
            turn: 0,
            aged: 0,
            horizon: None,
            suspended: suspended(),
            troubles: TaskFailures::default(),
        }
    }

    /// Takes over from the database who may send, and who is online; before the first beat, so that a restart is no
    /// recovery of all.
    ///
    /// # Errors
    /// The database could not be read.
    pub fn learn(&self) -> Result<(), StoreError> {
        let RecorderContext { store, registry, fleet, .. } = &self.shared;
        registry.put(Registry::load(store)?);
        let mut known = HashSet::new();
        for state in store.states()? {
            let belief = if state.status == MachineStatus::Online { Belief::Online } else { Belief::Away };
            fleet.learn(state.machine, belief, state.last_seen);
            known.insert(state.machine);
        }
        fleet.retain(|machine| known.contains(&machine));
        Ok(())
    }

    /// Runs until all senders of orders are gone, then writes all that is left.
    pub fn run(mut self, mut inbox: RecorderInbox) {
        loop {
            self.watchdog.pass(Instant::now(), || status(&self.shared.fleet, self.troubles.error()));
            select! {
                recv(inbox.orders) -> order => match order {
                    Ok(order) => {
                        let waiting = inbox.orders.try_iter().take(inbox.orders.len());
                        self.obey(std::iter::once(order).chain(waiting), Moment::now());
                        if let Some(interval) = self.check_interval.take() {
                            inbox.sweep = Ticker::every(interval, Instant::now() + interval);
                        }
                    }
                    Err(_) => break,
                },
                // Not the instant at which it was due, which is long past where the process was stopped.
                recv(inbox.flush.due()) -> _ => {
                    let now = Now::read();
                    inbox.flush.advance(now.monotonic);
                    self.beat(now);
                }
                recv(inbox.sweep.due()) -> _ => {
                    let now = Now::read();
                    inbox.sweep.advance(now.monotonic);
                    self.sweep(now);
                }
            }
        }
        self.stop(Now::read());
    }

    /// Obeys in the order of arrival; what is alike is one transaction.
    pub fn obey(&mut self, orders: impl Iterator<Item = RecorderEvent>, now: Moment) {
        let mut gathered = Gathered::default();
        let mut changed = Vec::new();
        for order in orders {
            if !gathered.takes(&order) {
                self.carry_out(std::mem::take(&mut gathered), now);
            }
            match order {
                RecorderEvent::Back { machine, seen } => gathered.back.push((machine, seen)),
                RecorderEvent::Farewell { machine, seen } => gathered.farewells.push((machine, seen)),
                RecorderEvent::Replays { mut past, stored } => {
                    gathered.past.append(&mut past);
                    gathered.stored.push(stored);
                }
                RecorderEvent::Registry { loaded } => changed.push(loaded),
                RecorderEvent::Undecodable { machine, reason } => self.log_undecodable(machine, &reason, now),
                RecorderEvent::Settings(settings) => {
                    self.sweeper.reload(settings);
                    self.check_interval = Some(settings.check_interval);
                }
            }
        }
        self.carry_out(gathered, now);
        if !changed.is_empty() {
            let result = self.learn();
            for loaded in changed {
                loaded(result.clone());
            }
            self.look_at(Task::Registry, result, Instant::now());
        }
    }

    fn log_undecodable(&self, machine: MachineId, reason: &str, now: Moment) {
        // Without the name, the number has to do.
        let name = self.shared.store.machine(machine, now).ok().flatten().map(|machine| machine.name);
        log::warn!(
            "Machine {} ({}) sends requests that cannot be decoded: {reason}. It counts as alive, and its values stay \
             as they were. Logged once an hour.",
            machine.0,
            name.as_deref().unwrap_or("name unknown")
        );
    }

    fn carry_out(&mut self, gathered: Gathered, now: Moment) {
        let Gathered { back, farewells, mut past, stored } = gathered;
        if !back.is_empty() {
            self.bring_back(&back, now);
        }
        if !farewells.is_empty() {
            let farewells = self.newest(&farewells);
            let result = self.sweeper.stopped(&self.shared.store, &farewells, now);
            self.look_at(Task::Farewells, result, Instant::now());
        }
        if !stored.is_empty() {
            let result = self.shared.store.save_replays(&mut past, now);
            for stored in stored {
                stored(result.clone());
            }
            self.look_at(Task::Replays, result, Instant::now());
        }
    }

    /// Those that are not online afterwards are away still: their next beat asks again.
    fn bring_back(&mut self, beats: &[(MachineId, Moment)], now: Moment) {
        for (machine, _) in beats {
            self.shared.fleet.believe(*machine, Belief::Away);
        }
        let beats = self.newest(beats);
        let online = self.sweeper.returned(&self.shared.store, &beats, now);
        for machine in self.look_at(Task::Returns, online, Instant::now()).into_iter().flatten() {
            self.shared.fleet.believe(machine, Belief::Online);
        }
    }

    /// A flush may have written a later beat than the one that the order was about; time must not go back.
    fn newest(&self, beats: &[(MachineId, Moment)]) -> Vec<(MachineId, Moment)> {
        let newest = |(machine, seen): &(MachineId, Moment)| {
            (*machine, self.shared.fleet.seen(*machine).unwrap_or(*seen))
        };
        beats.iter().map(newest).collect()
    }

    /// What is done each second.
    pub fn beat(&mut self, now: Now) {
        self.look_after_wal(now.monotonic);
        let changed = self.shared.store.changed_outside();
        if self.look_at(Task::Registry, changed, now.monotonic) == Some(true) {
            let learned = self.learn();
            self.look_at(Task::Registry, learned, now.monotonic);
            // A channel may have been added or switched on.
            self.sweeper.wake_couriers();
        }
        self.report_shared_tokens(now);
        self.waited += 1;
        // What failed is tried each second.
        if self.waited >= WRITE_EVERY || self.troubles.concern(Task::Write) {
            self.write(now);
        }
        if self.sweep_is_partial {
            self.sweep(now);
        }
        self.troubles.end(now.monotonic);
    }

    /// Two devices that use one token are watched as one: the end of either is noticed by nobody.
    fn report_shared_tokens(&mut self, now: Now) {
        for shared in self.shared.fleet.take_shared() {
            let ids = shared.hardware_ids.join(" and ");
            log::warn!(
                "machine {}: two devices ({ids}) use its token in turn, so it looks online while either of them sends: \
                 give each a machine and a token of its own (heartbeat-monitor machine add)",
                shared.machine.0
            );
            let reported = self.shared.store.note_shared_token(&shared, now.wall);
            self.look_at(Task::Events, reported, now.monotonic);
        }
    }

    fn look_after_wal(&mut self, now: Instant) {
        let renewed = self.shared.store.renew_removed_wal();
        if self.look_at(Task::Wal, renewed, now) == Some(true) {
            log::error!(
                "The database's write-ahead log ({}-wal) was removed or replaced while the monitor runs. Its content \
                 was saved and a new log was started. Find out what removed it (a cleanup job, a copied backup): \
                 the next time this may lose data.",
                self.shared.store.path().display()
            );
        }
    }

    /// Writes who was seen when, and payloads and minutes of those whose turn it is.
    fn write(&mut self, now: Now) {
        let fleet = self.shared.fleet.clone();
        let period = (fleet.len() as u64 / SAVED_AT_ONCE).clamp(*SAVE_PERIOD.start(), *SAVE_PERIOD.end());
        let turn = (self.turn + 1) % period;
        let unsaved = fleet.take_unsaved(now.wall, |machine| machine.0.unsigned_abs() % period == turn);
        match self.flush(&unsaved, now) {
            true => (self.waited, self.turn) = (0, turn),
            false => fleet.not_saved(unsaved),
        }
        self.age(now);
    }

    /// Writes who was seen when, and `unsaved` with it. False if that failed; it is tried again.
    fn flush(&mut self, unsaved: &[Unsaved], now: Now) -> bool {
        let RecorderContext { store, fleet, pulse, .. } = &self.shared;
        let beats = fleet.take_changed();
        let written = store.save_beats(&beats, unsaved);
        if written.is_err() {
            fleet.not_written(&beats);
        } else {
            if !pulse.is_fresh(now.monotonic) {
                // Heartbeats were refused meanwhile: silence in that time says nothing.
                self.sweeper.ingest_was_down(now.wall);
            }
            pulse.flushed(now.monotonic);
        }
        self.look_at(Task::Write, written, now.monotonic).is_some()
    }

    /// Hands old history down, for one turn of machines each minute.
    fn age(&mut self, now: Now) {
        let minute = now.wall.0.div_euclid(60_000);
        if std::mem::replace(&mut self.aged, minute) != minute {
            let aged = self.age_turn(minute.rem_euclid(AGEING_TURNS), now);
            self.look_at(Task::Ageing, aged, now.monotonic);
        }
    }

    fn age_turn(&mut self, turn: i64, now: Now) -> Result<usize, StoreError> {
        let store = &self.shared.store;
        let horizon = match &mut self.horizon {
            Some(horizon) => horizon,
            None => self.horizon.insert(Horizon::new(store.horizon(now.wall)?, now.monotonic)),
        };
        store.age_history(turn, AGEING_TURNS, horizon.advance(now))
    }

    /// Looks who is late, after all beats are written. Not at all if they cannot be: nobody would be found alive.
    pub fn sweep(&mut self, now: Now) {
        self.shared.pulse.sweep.started(now.monotonic);
        if !self.flush(&[], now) {
            return;
        }
        let asleep = suspended().saturating_sub(self.suspended);
        let swept = self.sweeper.sweep(&self.shared.store, Now { monotonic: now.monotonic + asleep, ..now });
        self.sweep_is_partial = false;
        if let Some(swept) = self.look_at(Task::Sweep, swept, now.monotonic) {
            self.shared.pulse.sweep.succeeded();
            self.sweep_is_partial = swept.is_partial;
            self.call_offline(&swept.offline, now.wall);
        }
    }

    /// Who has beaten while the sweep looked is back at once.
    fn call_offline(&mut self, machines: &[MachineId], now: Moment) {
        let mut back = Vec::new();
        for machine in machines {
            back.extend(self.shared.fleet.believe(*machine, Belief::Away).map(|seen| (*machine, seen)));
        }
        if !back.is_empty() {
            self.bring_back(&back, now);
        }
    }

    /// Writes all there is.
    fn stop(&mut self, now: Now) {
        // The minute that is not over, too.
        let mut unsaved = self.shared.fleet.take_unsaved(now.wall.plus(Duration::from_secs(60)), |_| true);
        loop {
            let rest = unsaved.split_off(unsaved.len().min(BATCH));
            if !self.flush(&unsaved, now) || rest.is_empty() {
                break;
            }
            unsaved = rest;
        }
        if let Some(error) = self.troubles.error() {
            log::error!("stopped, and not everything is written: {error}");
        }
    }

    /// The value of `result`; a failure is logged.
    fn look_at<T>(&mut self, task: Task, result: Result<T, StoreError>, now: Instant) -> Option<T> {
        match result {
            Ok(value) => {
                self.troubles.succeeded(task);
                Some(value)
            }
            Err(error) => {
                if matches!(task, Task::Returns | Task::Farewells) {
                    self.shared.pulse.returns.failed(now);
                }
                self.troubles.failed(task, error, now);
                None
            }
        }
    }
}

/// For systemd's status line.
fn status(fleet: &Fleet, error: Option<&StoreError>) -> String {
    let (online, all) = fleet.online();
    let machines = format!("{online} of {all} machines online");
    error.map_or(machines.clone(), |error| format!("{machines}; {error}"))
}

#[cfg(test)]
mod tests;
