//! Conditions: hold time and hysteresis by docs/conditions.md, from what heartbeats said of a machine's parts.

use super::incidents::Incident;
use super::repetitions::{Bounds, RepetitionEnd};
use super::{Checked, Key, Model, Status, check};
use crate::monitor::Entry;
use crate::parts::{Part, Reading};
use heartbeat_daemon::monitor::conditions::catalogue::Condition;
use std::time::Duration;

/// A condition that holds, or whose end is not recorded.
#[derive(Debug)]
pub(super) struct Watch {
    phase: Phase,
    /// Its incident is in the database, and open.
    is_recorded: bool,
    /// On the wall clock: when it began to hold.
    since: i64,
    value: Option<f32>,
    existed: bool,
    /// The last heartbeat says that it holds.
    is_bad: bool,
}

/// Times are on the true clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// It holds since then, for less than its hold time.
    Holding(u64),
    /// An incident. It may be good again, for less than the end time.
    Open(Option<u64>),
    Over,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Unknown,
    Good,
    /// Between the thresholds.
    Between,
    Suspect,
    Bad,
}

/// Conditions of each machine that were judged before.
#[derive(Debug, Default)]
pub(super) struct Judged {
    /// In the monitor's memory, and in its database.
    by_memory: Vec<(usize, Condition)>,
    by_disk: Vec<(usize, Condition)>,
}

impl Model {
    /// What a heartbeat that was decoded says of the machine's parts.
    pub fn report(&mut self, machine: usize, report: &[(Part, Reading)], t: u64, wall: i64) {
        let (mut judged, mut begun) = (Vec::new(), Vec::new());
        for &(part, reading) in report {
            let (Some(condition), level) = (part.condition(), level(part, reading)) else { continue };
            let is_first = !self.judged.by_memory.contains(&(machine, condition));
            if is_first && !matches!(level, Level::Unknown | Level::Suspect) {
                judged.push((machine, condition));
            }
            if self.read(Key { machine, part }, reading, level, is_first, t, wall) {
                begun.push(condition);
            }
        }
        self.judged.by_memory.extend(judged);
        self.begin_together(machine, &begun);
    }

    /// True if the hold time of a condition is over now.
    fn read(&mut self, key: Key, reading: Reading, level: Level, is_first: bool, t: u64, wall: i64) -> bool {
        let value = if let Reading::Celsius(celsius) = reading { Some(celsius) } else { None };
        let (hold, clear) = key.times();
        let is_holding = matches!(level, Level::Bad | Level::Suspect);
        if is_holding && !self.watched.contains_key(&key) {
            let phase = Phase::Holding(t);
            let new = Watch { phase, is_recorded: false, since: wall, value, existed: false, is_bad: false };
            self.watched.insert(key, new);
        }
        let Some(watch) = self.watched.get_mut(&key) else { return false };
        watch.is_bad = level == Level::Bad;
        let mut has_begun = false;
        match (watch.phase, level) {
            (Phase::Holding(since), Level::Bad | Level::Suspect) => {
                watch.value = value.or(watch.value);
                watch.existed = is_first && level == Level::Bad;
                if level == Level::Bad && (watch.existed || t - since >= hold) {
                    watch.phase = Phase::Open(None);
                    has_begun = !watch.existed;
                }
            }
            (Phase::Holding(_), Level::Good | Level::Between) => watch.phase = Phase::Over,
            // An end that could not be recorded is none.
            (Phase::Open(_) | Phase::Over, Level::Bad | Level::Suspect) => watch.phase = Phase::Open(None),
            (Phase::Open(good), Level::Good) => {
                let since = good.unwrap_or(t);
                watch.phase = if t - since >= clear { Phase::Over } else { Phase::Open(Some(since)) };
            }
            (_, Level::Unknown) | (Phase::Open(_), Level::Between) | (Phase::Over, _) => {}
        }
        if watch.phase == Phase::Over && !watch.is_recorded {
            self.watched.remove(&key);
        }
        has_begun
    }

    /// When one camera's hold time is over, the others that are down begin with it.
    fn begin_together(&mut self, machine: usize, begun: &[Condition]) {
        for (key, watch) in &mut self.watched {
            let is_holding = matches!(watch.phase, Phase::Holding(_)) && watch.is_bad;
            let has_begun = key.part.condition().is_some_and(|condition| begun.contains(&condition));
            if is_holding && key.machine == machine && has_begun {
                watch.phase = Phase::Open(None);
            }
        }
    }

    /// An offline machine hides its conditions: what did not hold for its hold time must do so after the return.
    pub(super) fn hide_conditions(&mut self, machine: usize) {
        self.watched.retain(|key, watch| key.machine != machine || !matches!(watch.phase, Phase::Holding(_)));
        for (_, watch) in self.watched.iter_mut().filter(|(key, _)| key.machine == machine) {
            if let Phase::Open(good) = &mut watch.phase {
                *good = None;
            }
        }
    }

    /// A new process knows what is recorded.
    pub(super) fn forget_unrecorded_conditions(&mut self) {
        self.watched.retain(|_, watch| watch.is_recorded);
        for watch in self.watched.values_mut() {
            watch.phase = Phase::Open(None);
        }
    }

    pub(super) fn condition_began(&mut self, entry: &Entry, t: u64) -> Checked {
        let key = entry.key();
        let machine = &self.machines[key.machine];
        check(machine.status == Status::Online, || {
            format!("false: {key} begins while its machine is {:?}", machine.status)
        })?;
        let Some(watch) = self.watched.get_mut(&key).filter(|watch| watch.is_unrecorded_begin()) else {
            return Err(format!("false alarm: {key} begins, and {:?}", self.watched.get(&key)));
        };
        watch.is_recorded = true;
        let first_row = self.rows.len();
        let announced = !machine.is_in_maintenance(entry.at) && !watch.existed;
        let incident = Incident {
            began: entry.at,
            ended: None,
            announced,
            notified: Bounds::at(entry.at),
            is_acknowledged: false,
            first_row,
            planned: false,
            since: watch.since.min(entry.at),
            existed: watch.existed,
            summarised: false,
            value: watch.value,
        };
        let history = self.history_mut(key);
        let edges = history.edges(entry.at);
        history.incidents.push(incident);
        if announced {
            self.announce_alarm(key, edges, "condition", entry.at, t);
        }
        Ok(())
    }

    pub(super) fn condition_ended(&mut self, entry: &Entry, t: u64) -> Checked {
        let key = entry.key();
        let watch = self.watched.remove(&key).filter(Watch::is_unrecorded_end);
        check(watch.is_some(), || format!("false: {key} ends without a cause"))?;
        let history = self.history_mut(key);
        let edges = history.edges(entry.at);
        let Some(incident) = history.open_mut() else {
            return Err(format!("false: {key} ends, and no incident is open"));
        };
        incident.ended = Some(entry.at);
        let is_alarm = incident.is_alarm();
        self.end_repetitions(key, RepetitionEnd::Ended);
        if is_alarm {
            self.announce_alarm(key, edges, "condition_ended", entry.at, t);
        }
        Ok(())
    }

    /// After a heartbeat that was recorded without a fault.
    pub fn check_conditions(&mut self, machine: usize) -> Checked {
        self.machines[machine].is_away = self.machines[machine].status != Status::Online;
        for (key, watch) in self.watched.iter().filter(|(key, _)| key.machine == machine) {
            check(!watch.is_unrecorded_begin(), || format!("missed: {key} has begun: {watch:?}"))?;
            check(!watch.is_unrecorded_end(), || format!("missed: {key} is over: {watch:?}"))?;
        }
        let Judged { by_memory, by_disk } = &mut self.judged;
        for judged in by_memory.iter().filter(|judged| judged.0 == machine) {
            if !by_disk.contains(judged) {
                by_disk.push(*judged);
            }
        }
        Ok(())
    }

    /// The conditions that a new process finds as judged before. What was not confirmed may be written, or may not.
    pub fn found_judged(&mut self, machine: usize, is_judged: impl Fn(Condition) -> bool) -> Checked {
        for condition in [Condition::Camera, Condition::Temperature, Condition::UnderVoltage] {
            let judged = (machine, condition);
            let (found, Judged { by_memory, by_disk }) = (is_judged(condition), &mut self.judged);
            check(found || !by_disk.contains(&judged), || format!("forgotten: {judged:?} was judged"))?;
            check(!found || by_memory.contains(&judged), || format!("false: {judged:?} was never judged"))?;
            by_memory.retain(|known| *known != judged || found);
            if found && !by_disk.contains(&judged) {
                by_disk.push(judged);
            }
        }
        Ok(())
    }
}

impl Watch {
    fn is_unrecorded_begin(&self) -> bool {
        matches!(self.phase, Phase::Open(_)) && !self.is_recorded
    }

    fn is_unrecorded_end(&self) -> bool {
        self.phase == Phase::Over
    }
}

impl Key {
    /// Hold time and end time.
    fn times(self) -> (u64, u64) {
        let milliseconds = |time: Duration| u64::try_from(time.as_millis()).expect("short");
        self.part.entry().map_or((0, 0), |entry| (milliseconds(entry.hold), milliseconds(entry.clear)))
    }
}

fn level(part: Part, reading: Reading) -> Level {
    let limit = part.entry().and_then(|entry| entry.limit);
    match (reading, limit) {
        (Reading::Good, _) => Level::Good,
        (Reading::Suspect, _) => Level::Suspect,
        (Reading::Bad, _) => Level::Bad,
        (Reading::Celsius(celsius), Some(limit)) if celsius >= limit.threshold => Level::Bad,
        (Reading::Celsius(celsius), Some(limit)) if celsius >= limit.threshold - limit.hysteresis => {
            Level::Between
        }
        (Reading::Celsius(_), Some(_)) => Level::Good,
        (Reading::Unknown | Reading::Celsius(_), _) => Level::Unknown,
    }
}
