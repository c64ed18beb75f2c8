//! The recorder: the thread that writes beats to the database and owns every machine's status.
//!
//! ```text
//! events  (return, stop, replays, reload)   ─┐
//! pass    (each second)                      ├─► recorder ─► store
//! sweep   (each check interval) ─────────────┘
//! ```
//!
//! Every five seconds it writes, in one transaction, when machines were last seen, and a share of the payloads and
//! minutes. It handles all queued events together, so a returning fleet or its replays are one commit. It ends when all
//! senders of events are dropped, and writes everything that is in memory.

mod ageing;
mod events;
mod loading;
mod membership;
mod servers;
mod setup;
mod several;
mod trouble;
mod writing;

pub use events::{OnStored, RecorderEvent, RecorderInbox};

use super::fleet::{Belief, Fleet};
use super::pulse::Pulse;
use super::store::{Store, StoreError};
use crate::clock::{Moment, Now, suspended};
use crate::latest::Latest;
use crate::monitor::incidents::sweep::Sweeper;
use crate::monitor::machine::MachineId;
use crate::monitor::registry::lookup::Registry;
use crate::monitor::retention::horizon::Horizon;
use crate::systemd::Watchdog;
use crate::ticker::Ticker;
use crossbeam_channel::select;
use events::Gathered;
use membership::Membership;
use std::sync::Arc;
use std::time::{Duration, Instant};
use trouble::{Task, TaskFailures};

/// Interval of the checks whether another process has changed the database, and whether a write is due.
pub const FLUSH: Duration = Duration::from_secs(1);

/// Checks between two writes of beats; a sweep writes them, too. A kill -9 loses this many seconds of last-seen times,
/// which the grace after a start covers many times. A write each second would write the same pages five times as often:
/// 0.26 MB/s for 10,000 machines, most of the cost of an idle monitor.
const WRITE_EVERY: u64 = 5;

/// Events that are handled together: some commits of 80 ms on SQLite. Then the checks of each second have their turn again.
const MOST_AT_ONCE: usize = 4096;

/// State that the recorder shares with the threads that answer requests.
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
    /// A changed interval, until the ticker has it.
    check_interval: Option<Duration>,
    /// Checks since the last write.
    waited: u64,
    /// A loss was larger than one transaction: sweeps again at the next check.
    sweep_is_partial: bool,
    /// Selects the machines that are saved next.
    turn: u64,
    /// Minute of the last ageing of the history.
    aged: i64,
    /// Read from the database at the first ageing of the history.
    horizon: Option<Horizon>,
    /// [`suspended`] at the start.
    suspended: Duration,
    /// Time for which the machine has been suspended since then.
    asleep: Duration,
    troubles: TaskFailures,
    /// `None`: the database has one monitor.
    several: Option<Membership>,
    /// The tables are of a later program: nothing is written any more.
    has_given_way: bool,
}

impl Recorder {
    pub fn new(shared: RecorderContext, sweeper: Sweeper, watchdog: Watchdog) -> Recorder {
        let several = Membership::of(&shared.store, Moment::now());
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
            asleep: Duration::ZERO,
            troubles: TaskFailures::default(),
            several,
            has_given_way: false,
        }
    }

    /// Runs until all senders of events are dropped, then writes everything that is left.
    pub fn run(mut self, mut inbox: RecorderInbox) {
        loop {
            self.watchdog.pass(Instant::now(), || self.troubles.status(&self.shared.fleet));
            select! {
                recv(inbox.orders) -> order => match order {
                    Ok(order) => {
                        let waiting = inbox.orders.try_iter().take(inbox.orders.len().min(MOST_AT_ONCE));
                        self.handle(std::iter::once(order).chain(waiting), Now::read());
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
                    self.asleep = suspended().saturating_sub(self.suspended);
                    self.tick(now);
                }
                recv(inbox.sweep.due()) -> _ => {
                    let now = Now::read();
                    inbox.sweep.advance(now.monotonic);
                    self.asleep = suspended().saturating_sub(self.suspended);
                    self.sweep(now);
                }
            }
        }
        self.stop(Now::read());
    }

    /// Handles events in the order of arrival; similar ones share a transaction.
    pub fn handle(&mut self, events: impl Iterator<Item = RecorderEvent>, now: Now) {
        let mut gathered = Gathered::default();
        let mut changed = Vec::new();
        for event in events {
            if !gathered.accepts(&event) {
                self.carry_out(std::mem::take(&mut gathered), now);
            }
            match event {
                RecorderEvent::Back { machine, seen } => gathered.back.push((machine, seen)),
                RecorderEvent::Conditions { machine } => gathered.conditions.push(machine),
                RecorderEvent::Shutdown { machine, seen } => gathered.shutdowns.push((machine, seen)),
                RecorderEvent::Replays { mut past, stored } => {
                    gathered.past.append(&mut past);
                    gathered.stored.push(stored);
                }
                RecorderEvent::Registry { loaded } => changed.push(loaded),
                RecorderEvent::Undecodable { machine, reason } => {
                    self.log_undecodable(machine, &reason, now.wall)
                }
                RecorderEvent::Settings(settings) => {
                    self.sweeper.reload(settings);
                    self.check_interval = Some(settings.check_interval);
                }
            }
        }
        self.carry_out(gathered, now);
        if !changed.is_empty() {
            let result = self.reload(now.wall);
            for loaded in changed {
                loaded(result.clone());
            }
            self.logged(Task::Registry, result, now.monotonic);
        }
    }

    fn log_undecodable(&self, machine: MachineId, reason: &str, now: Moment) {
        // The name is for readers only; without it the number identifies the machine.
        let name = self.shared.store.machine(machine, now).ok().flatten().map(|machine| machine.name);
        log::warn!(
            "Machine {} ({}) sends requests that cannot be decoded: {reason}. It counts as alive, and its values stay \
             as they were. Logged once an hour.",
            machine.0,
            name.as_deref().unwrap_or("name unknown")
        );
    }

    fn carry_out(&mut self, gathered: Gathered, now: Now) {
        let Gathered { back, conditions, shutdowns, mut past, stored } = gathered;
        self.bring_back(&back, now);
        if !conditions.is_empty() {
            self.record_conditions(conditions, now);
        }
        if !shutdowns.is_empty() {
            let shutdowns = self.newest(&shutdowns);
            let result = self.sweeper.stopped(&self.shared.store, &shutdowns, now.wall);
            self.logged(Task::Shutdowns, result, now.monotonic);
        }
        if !stored.is_empty() {
            let result = self.shared.store.save_replays(&mut past, now.wall);
            for stored in stored {
                stored(result.clone());
            }
            self.logged(Task::Replays, result, now.monotonic);
        }
    }

    /// Machines that are not online afterwards stay away, and their next beat is reported again.
    fn bring_back(&mut self, beats: &[(MachineId, Moment)], now: Now) {
        if beats.is_empty() {
            return;
        }
        for (machine, _) in beats {
            self.shared.fleet.believe(*machine, Belief::Away);
        }
        let beats = self.newest(beats);
        let beats = self.set_servers(beats, now);
        let heard = self.sweeper.returned(&self.shared.store, &beats, now.wall);
        let Some(heard) = self.logged(Task::Returns, heard, now.monotonic) else { return };
        self.load_moved(&heard.moved, now);
        for machine in heard.online {
            self.shared.fleet.believe(machine, Belief::Online);
        }
    }

    /// Changes that are not recorded are reported with the next beat.
    fn record_conditions(&mut self, mut machines: Vec<MachineId>, now: Now) {
        machines.sort_unstable();
        machines.dedup();
        let fleet = self.shared.fleet.clone();
        let changes: Vec<_> = machines
            .into_iter()
            .filter_map(|machine| Some((machine, fleet.condition_changes(machine)?)))
            .collect();
        let recorded = self.sweeper.conditions(&self.shared.store, &changes, now.wall);
        let recorded = self.logged(Task::Conditions, recorded, now.monotonic).unwrap_or_default();
        for (machine, changes) in &changes {
            match recorded.contains(machine) {
                true => fleet.conditions_recorded(*machine, changes),
                false => fleet.conditions_not_recorded(*machine),
            }
        }
    }

    /// A flush may have written a later beat than the event's: last seen must not go back.
    fn newest(&self, beats: &[(MachineId, Moment)]) -> Vec<(MachineId, Moment)> {
        let newest = |(machine, seen): &(MachineId, Moment)| {
            (*machine, self.shared.fleet.seen(*machine).map_or(*seen, |known| known.max(*seen)))
        };
        beats.iter().map(newest).collect()
    }

    /// The checks of each second.
    pub fn tick(&mut self, now: Now) {
        self.renew_removed_wal(now.monotonic);
        self.read_changes(now);
        if self.has_given_way {
            return;
        }
        self.show_alive(now);
        self.report_shared_tokens(now);
        self.save_marks(now);
        self.waited += 1;
        // A failed write is retried each second.
        if self.waited >= WRITE_EVERY || self.troubles.concern(Task::Write) {
            self.write(now);
        }
        if self.sweep_is_partial {
            self.sweep(now);
        }
        self.troubles.end(now.monotonic);
    }

    fn renew_removed_wal(&mut self, now: Instant) {
        let renewed = self.shared.store.renew_removed_wal();
        if self.logged(Task::Wal, renewed, now) == Some(true) {
            log::error!(
                "The database's write-ahead log ({}-wal) was removed or replaced while the monitor runs. Its content \
                 was saved and a new log was started. Find out what removed it (a cleanup job, a copied backup): \
                 the next time this may lose data.",
                self.shared.store.location()
            );
        }
    }

    /// Takes late machines offline, after all beats are written. If that fails there is no sweep: every machine would be
    /// late.
    pub fn sweep(&mut self, now: Now) {
        if self.has_given_way {
            return;
        }
        self.shared.pulse.sweep.started(now.monotonic);
        if !self.flush(&[], now) {
            return;
        }
        let with_sleep = Now { monotonic: now.monotonic + self.asleep, ..now };
        let swept = self.sweeper.sweep(&self.shared.store, with_sleep);
        self.sweep_is_partial = false;
        let Some(swept) = self.logged(Task::Sweep, swept, now.monotonic) else { return };
        self.sweep_is_partial = swept.is_partial;
        self.call_offline(&swept.offline, now);
        let announced = self.sweeper.announce_held(&self.shared.store, now.wall);
        self.shared.pulse.set_isolated(self.sweeper.isolated().cloned());
        if self.logged(Task::Announcements, announced, now.monotonic).is_some() {
            self.shared.pulse.sweep.succeeded();
            self.judge_setup(now);
        }
    }

    /// Machines that sent a beat during the sweep return at once.
    fn call_offline(&mut self, machines: &[MachineId], now: Now) {
        let mut back = Vec::new();
        for machine in machines {
            if self.shared.fleet.server(*machine).is_backup() {
                self.shared.fleet.forget_conditions(*machine);
            }
            back.extend(self.shared.fleet.believe(*machine, Belief::Away).map(|seen| (*machine, seen)));
        }
        self.bring_back(&back, now);
    }

    /// Writes everything that is in memory. The recorder is not used afterwards.
    pub fn stop(&mut self, now: Now) {
        if !self.has_given_way {
            self.write_everything(now);
        }
        self.leave(now);
    }

    /// The value of `result`; a failure is logged.
    fn logged<T>(&mut self, task: Task, result: Result<T, StoreError>, now: Instant) -> Option<T> {
        match result {
            Ok(value) => {
                self.troubles.succeeded(task);
                Some(value)
            }
            Err(error) => {
                if matches!(task, Task::Returns | Task::Shutdowns) {
                    self.shared.pulse.returns.failed(now);
                }
                self.troubles.failed(task, error, now);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests;
