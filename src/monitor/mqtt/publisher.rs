//! The thread `mqtt`: connects to the broker, looks at the fleet every few seconds and after each transition, and
//! publishes what has changed since the connection began. Nothing else waits for it.

use super::counters::MqttCounters;
use super::entities::{
    MachineMessage, MachineReport, TopicNames, configurations, numbers_message, state_message,
};
use super::ledger::{Ledger, StaleTopic};
use super::packet::RetainedMessage;
use super::reports::{MOST_MACHINES, reports};
use super::session::{MqttSession, WINDOW, status_topic};
use crate::backoff;
use crate::clock::{Moment, Now};
use crate::duration::go_seconds_up;
use crate::monitor::config::MqttConfig;
use crate::monitor::instances::duty::Duty;
use crate::monitor::machine::{MachineId, MachineStatus};
use crate::monitor::recorder::RecorderContext;
use crate::resolver::NameResolver;
use crossbeam_channel::{Receiver, RecvTimeoutError, TryRecvError, after, never, select};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Time between two looks at the fleet, and the least after a transition.
const LOOK_EVERY: Duration = Duration::from_secs(5);
const LOOK_DISTANCE: Duration = Duration::from_secs(1);

/// Time between two publications of a machine's numbers.
const NUMBERS_EVERY: Duration = Duration::from_secs(60);

/// Time between two searches for topics of removed machines.
const CLEAR_EVERY: Duration = Duration::from_secs(10);

/// For this long after the start, an online machine whose heartbeat has not come yet keeps its retained state.
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection that lasts this long is no flapping one.
const STABLE: Duration = Duration::from_secs(10);

const FIRST_RETRY: Duration = Duration::from_secs(2);
const LONGEST_RETRY: Duration = Duration::from_secs(120);

/// Time between two attempts to become the monitor that publishes, where there are several.
const TRY_EVERY: Duration = Duration::from_secs(10);

/// Why a session ended.
enum Ended {
    Stopped,
    /// Another monitor of the database publishes.
    Relieved,
    Broken(String),
}

impl From<String> for Ended {
    fn from(problem: String) -> Ended {
        Ended::Broken(problem)
    }
}

pub struct Publisher {
    shared: RecorderContext,
    config: MqttConfig,
    names: TopicNames,
    resolver: Arc<NameResolver>,
    counters: Arc<MqttCounters>,
    /// Receives after each transition.
    changed: Receiver<()>,
    /// Disconnected at the stop.
    stop: Receiver<()>,
    started: Instant,
    /// Since the last connection that lasted.
    failures: u32,
    has_worked: bool,
    has_logged_size: bool,
}

/// What was published over the present connection.
#[derive(Default)]
struct PublishedFleet {
    machines: HashMap<MachineId, PublishedMachine>,
    numbers_at: Option<Instant>,
    cleared_at: Option<Instant>,
}

/// Hashes of what was published about a machine.
#[derive(Default, Clone, Copy)]
struct PublishedMachine {
    state: u64,
    configurations: u64,
    has_temp: bool,
}

impl Publisher {
    pub fn new(
        (shared, resolver, counters): (RecorderContext, Arc<NameResolver>, Arc<MqttCounters>),
        config: MqttConfig,
        site: Option<String>,
        (changed, stop): (Receiver<()>, Receiver<()>),
    ) -> Publisher {
        let names = TopicNames::new(&config, site);
        let started = Instant::now();
        Publisher {
            shared,
            config,
            names,
            resolver,
            counters,
            changed,
            stop,
            started,
            failures: 0,
            has_worked: false,
            has_logged_size: false,
        }
    }

    /// Publishes until the stop; reconnects with a growing delay.
    pub fn run(mut self) {
        loop {
            let problem = match self.take_turn() {
                Ended::Stopped => return,
                Ended::Relieved => match self.stop.recv_timeout(TRY_EVERY) {
                    Err(RecvTimeoutError::Disconnected) => return,
                    _ => continue,
                },
                Ended::Broken(problem) => problem,
            };
            self.failures += 1;
            let delay = backoff::delay(FIRST_RETRY, LONGEST_RETRY, self.failures, fastrand::f64());
            let (host, wait) = (&self.config.host, go_seconds_up(delay));
            match self.failures {
                1 => log::warn!("mqtt: {host}: {problem}; next attempt in {wait}"),
                _ => log::debug!("mqtt: {host}: {problem}; next attempt in {wait}"),
            }
            if self.stop.recv_timeout(delay) == Err(RecvTimeoutError::Disconnected) {
                return;
            }
        }
    }

    /// [`Publisher::serve`], unless another monitor of the database publishes.
    fn take_turn(&mut self) -> Ended {
        match self.shared.store.takes_on(Duty::Mqtt, Moment::now()) {
            Ok(true) => self.serve(),
            Ok(false) => Ended::Relieved,
            Err(error) => Ended::Broken(error.to_string()),
        }
    }

    /// One connection, from its beginning to its end.
    fn serve(&mut self) -> Ended {
        let mut session = match MqttSession::open(&self.config, &self.resolver) {
            Ok(session) => session,
            Err(problem) => {
                self.counters.failed();
                return Ended::Broken(problem);
            }
        };
        self.counters.opened();
        match self.publish_until_stopped(&mut session) {
            Err(Ended::Broken(problem)) => {
                self.counters.lost();
                Ended::Broken(problem)
            }
            Ok(()) | Err(Ended::Stopped) => {
                session.close();
                // At once for the others; otherwise they wait until it lapses.
                let _ = self.shared.store.gives_up(Duty::Mqtt);
                Ended::Stopped
            }
            Err(Ended::Relieved) => {
                session.close();
                Ended::Relieved
            }
        }
    }

    /// `Ok` at the stop.
    fn publish_until_stopped(&mut self, session: &mut MqttSession) -> Result<(), Ended> {
        let mut ledger = Ledger::load(&self.shared.store).map_err(|error| error.to_string())?;
        let mut published = PublishedFleet::default();
        let begun = Instant::now();
        let mut next_look = Instant::now();
        loop {
            let now = Now::read();
            session.keep_alive(now.monotonic)?;
            if now.monotonic >= next_look {
                let duty = self.shared.store.takes_on(Duty::Mqtt, now.wall);
                if !duty.map_err(|error| error.to_string())? {
                    return Err(Ended::Relieved);
                }
                self.look(session, &mut ledger, &mut published, now)?;
                self.note_success(now.since(begun));
                next_look = now.monotonic + LOOK_EVERY;
            }
            let sleep = next_look.saturating_duration_since(Instant::now()).min(LOOK_DISTANCE);
            select! {
                recv(self.stop) -> _ => return Ok(()),
                recv(self.changed) -> change => match change {
                    Ok(()) => next_look = next_look.min(now.monotonic + LOOK_DISTANCE),
                    // The threads that report transitions have ended.
                    Err(_) => self.changed = never(),
                },
                recv(after(sleep)) -> _ => {}
            }
        }
    }

    /// Logs the first success, and the end of failures once the connection has lasted: a broker that accepts and drops
    /// connections must be retried less and less often, too.
    fn note_success(&mut self, age: Duration) {
        if !std::mem::replace(&mut self.has_worked, true) {
            log::info!("mqtt: publishing to {} below {}", self.config.host, self.config.topic);
        } else if self.failures > 0 && age >= STABLE {
            log::info!("mqtt: {} works again", self.config.host);
        } else {
            return;
        }
        self.failures = 0;
    }

    /// Publishes what has changed since the last look.
    fn look(
        &mut self,
        session: &mut MqttSession,
        ledger: &mut Ledger,
        published: &mut PublishedFleet,
        now: Now,
    ) -> Result<(), Ended> {
        let (machines, count) = reports(&self.shared, now.wall).map_err(|error| error.to_string())?;
        self.counters.left_out(count.saturating_sub(MOST_MACHINES));
        if count > MOST_MACHINES && !std::mem::replace(&mut self.has_logged_size, true) {
            log::warn!("mqtt: only the first {MOST_MACHINES} of {count} machines are published");
        }
        let is_due = |at: Option<Instant>, every| at.is_none_or(|at| now.since(at) >= every);
        let with_numbers = is_due(published.numbers_at, NUMBERS_EVERY);
        let mut batch = Vec::new();
        for machine in &machines {
            if self.is_unknown_yet(machine, now.monotonic) {
                continue;
            }
            let known = published.machines.entry(machine.id).or_default();
            batch.extend(self.changes(machine, known, with_numbers));
            if batch.len() >= WINDOW {
                self.flush(session, ledger, &mut batch)?;
            }
        }
        self.flush(session, ledger, &mut batch)?;
        if with_numbers {
            published.numbers_at = Some(now.monotonic);
        }
        if is_due(published.cleared_at, CLEAR_EVERY) {
            self.clear(session, ledger, &machines)?;
            published.machines.retain(|id, _| machines.iter().any(|machine| machine.id == *id));
            published.cleared_at = Some(now.monotonic);
        }
        Ok(())
    }

    /// The monitor has just started, and the machine has not sent a heartbeat since.
    fn is_unknown_yet(&self, machine: &MachineReport, now: Instant) -> bool {
        let is_early = now.saturating_duration_since(self.started) < PATIENCE;
        is_early
            && machine.status == MachineStatus::Online
            && self.shared.fleet.newest(machine.id).is_none_or(|newest| newest.payload_at.is_none())
    }

    fn changes(
        &self,
        machine: &MachineReport,
        known: &mut PublishedMachine,
        with_numbers: bool,
    ) -> Vec<MachineMessage> {
        let mut changes = Vec::new();
        let is_new = known.state == 0;
        let state = state_message(machine, &self.names);
        let hash = hash_of(&state.message.payload);
        if std::mem::replace(&mut known.state, hash) != hash {
            changes.push(state);
        }
        let had_temp = std::mem::replace(&mut known.has_temp, machine.temp.is_some());
        if with_numbers || is_new || had_temp != known.has_temp {
            changes.push(numbers_message(machine, &self.names));
        }
        let shape = shape(machine);
        if std::mem::replace(&mut known.configurations, shape) != shape {
            changes.extend(configurations(machine, &self.names, &status_topic(&self.config)));
        }
        changes
    }

    fn flush(
        &self,
        session: &mut MqttSession,
        ledger: &mut Ledger,
        batch: &mut Vec<MachineMessage>,
    ) -> Result<(), Ended> {
        if batch.is_empty() {
            return Ok(());
        }
        ledger.note(&self.shared.store, batch).map_err(|error| error.to_string())?;
        let messages: Vec<RetainedMessage> = batch.drain(..).map(|one| one.message).collect();
        self.send(session, &messages)
    }

    fn send(&self, session: &mut MqttSession, messages: &[RetainedMessage]) -> Result<(), Ended> {
        for window in messages.chunks(WINDOW) {
            if self.stop.try_recv() == Err(TryRecvError::Disconnected) {
                return Err(Ended::Stopped);
            }
            session.publish(window)?;
            self.counters.published(window.len());
        }
        Ok(())
    }

    /// Clears the topics of machines and cameras that are gone, and of earlier settings.
    fn clear(
        &self,
        session: &mut MqttSession,
        ledger: &mut Ledger,
        machines: &[MachineReport],
    ) -> Result<(), Ended> {
        let is_reported = |stale: &StaleTopic| {
            let machine = machines.iter().find(|machine| machine.id == stale.machine);
            machine.zip(stale.camera.as_ref()).is_some_and(|(machine, camera)| {
                machine.cameras.iter().any(|known| known.mac.to_string() == *camera)
            })
        };
        let stale = ledger.stale(&self.shared.store).map_err(|error| error.to_string())?;
        let stale = stale.into_iter().filter(|stale| !is_reported(stale)).map(|stale| stale.topic);
        let topics: Vec<String> = stale.chain(ledger.foreign(&self.names)).collect();
        if topics.is_empty() {
            return Ok(());
        }
        let empty = |topic: &String| RetainedMessage {
            topic: topic.clone(),
            payload: String::new(),
            is_acknowledged: true,
        };
        self.send(session, &topics.iter().map(empty).collect::<Vec<_>>())?;
        ledger.forget(&self.shared.store, &topics).map_err(|error| error.to_string())?;
        log::debug!("mqtt: {} topics cleared", topics.len());
        Ok(())
    }
}

/// Everything that the configurations of a machine depend on. Never 0, which stands for nothing.
fn shape(machine: &MachineReport) -> u64 {
    let cameras: Vec<_> = machine.cameras.iter().map(|camera| (camera.mac.octets(), &camera.name)).collect();
    let known = [machine.temp.is_some(), machine.uplink.is_some(), machine.under_voltage.is_some()];
    hash_of(&(&machine.name, known, cameras))
}

fn hash_of(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish() | 1
}
