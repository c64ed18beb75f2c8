//! What should be announced: a simple model of the rules in docs/monitor.md and docs/conditions.md, which calls none of the monitor's code.
//!
//! It learns what the devices did from the simulation, and when a change was committed from the journal. A change must
//! have a cause, and each cause must lead to a change at the next step that works.
//!
//! | file | what it owns |
//! |---|---|
//! | `late` | when silence counts |
//! | `outages` | the changes of a machine's status |
//! | `conditions` | when a condition of a machine or of a part begins and ends |
//! | `incidents` | what is announced of both |
//! | `summary` | conditions that held when they were first judged |
//! | `rows` | the messages that each channel must get |
//! | `repetitions` | reminders, escalation and acknowledgement |

mod conditions;
mod incidents;
mod late;
mod outages;
mod repetitions;
mod rows;
mod summary;

pub use incidents::History;
pub use rows::{BACKOFF, Row};

use crate::monitor::Entry;
use crate::parts::Part;
use crate::world::{RecipientPlan, World};
use conditions::{Judged, Watch};
use late::{Listening, SMALL_STEP};
use std::collections::BTreeMap;
use std::fmt;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    New,
    Online,
    Offline,
    Stopped,
}

/// The kind of the last heartbeat that the status does not show yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pending {
    Live,
    Shutdown,
}

pub struct Machine {
    pub status: Status,
    pub threshold: u64,
    pub last_beat: Option<u64>,
    pub pending: Option<Pending>,
    since: i64,
    /// The monitor counts it as offline, or has not recorded its return.
    is_away: bool,
    /// On the wall clock.
    pub maintenance: Vec<(i64, i64)>,
}

/// What an incident is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub machine: usize,
    pub part: Part,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} of m{}", self.part, self.machine + 1)
    }
}

pub struct Model {
    pub machines: Vec<Machine>,
    pub histories: BTreeMap<Key, History>,
    watched: BTreeMap<Key, Watch>,
    judged: Judged,
    /// A journal entry that must come in the same transaction.
    announced_flapping: Option<(Key, i64)>,
    pub rows: Vec<Row>,
    pub channels: Vec<Channel>,
    recipients: Vec<RecipientPlan>,
    groups: Vec<&'static str>,
    check_interval: u64,
    tolerance: u64,
    listening: Listening,
    checked_certain: u64,
    checked_possible: u64,
    /// Wall clock minus true clock at the last check.
    checked_offset: i64,
    /// When an uncertain check may have noticed a step.
    step_seen: Option<u64>,
    /// The clock was set back before the start: heartbeats of the future are forgotten at the first check.
    is_behind: bool,
    fault_pending: bool,
    /// The last check has doubted that so many are late: certainly, and perhaps.
    doubted: bool,
    may_doubt: bool,
}

/// A channel and its recipient.
pub struct Channel {
    pub recipient: usize,
    pub kind: &'static str,
}

pub type Checked = Result<(), String>;

fn check(holds: bool, violation: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(violation()) }
}

impl Model {
    pub fn new(world: &World, recipients: Vec<RecipientPlan>) -> Model {
        let milliseconds =
            |duration: std::time::Duration| u64::try_from(duration.as_millis()).expect("short");
        let machine = |plan: &crate::world::MachinePlan| Machine {
            status: Status::New,
            threshold: milliseconds(plan.threshold.unwrap_or(world.threshold)),
            last_beat: None,
            pending: None,
            since: 0,
            is_away: true,
            maintenance: Vec::new(),
        };
        let channels = recipients
            .iter()
            .enumerate()
            .flat_map(|(recipient, plan)| plan.channels.iter().map(move |&kind| Channel { recipient, kind }));
        Model {
            machines: world.machines.iter().map(machine).collect(),
            histories: BTreeMap::new(),
            watched: BTreeMap::new(),
            judged: Judged::default(),
            announced_flapping: None,
            rows: Vec::new(),
            channels: channels.collect(),
            recipients,
            groups: world.machines.iter().map(|plan| plan.group).collect(),
            check_interval: milliseconds(world.check_interval),
            tolerance: if world.has_steps { SMALL_STEP } else { 0 },
            listening: Listening { certain: 0, possible: 0 },
            checked_certain: 0,
            checked_possible: 0,
            checked_offset: 0,
            step_seen: None,
            is_behind: false,
            fault_pending: false,
            doubted: false,
            may_doubt: false,
        }
    }

    /// The monitor starts: every machine gets its whole threshold, and heartbeats that were being recorded are lost.
    pub fn started(&mut self, t: u64, offset: i64) {
        self.listening = Listening { certain: t, possible: t };
        if offset < self.checked_offset {
            self.is_behind = true;
            self.retries_are_later(t, offset.abs_diff(self.checked_offset));
        }
        (self.checked_certain, self.checked_possible, self.checked_offset) = (t, t, offset);
        (self.step_seen, self.fault_pending) = (None, false);
        (self.doubted, self.may_doubt) = (false, false);
        for machine in &mut self.machines {
            machine.pending = None;
            machine.is_away = machine.status != Status::Online;
        }
        self.forget_unrecorded_conditions();
    }

    /// What a step with a fault has not recorded is lost: the next heartbeat is recorded in its place.
    pub fn lost_beats(&mut self) {
        for machine in &mut self.machines {
            machine.pending = None;
        }
    }

    pub fn beat(&mut self, machine: usize, is_shutdown: bool, t: u64) {
        if is_shutdown || self.machines[machine].is_away {
            self.hide_conditions(machine);
        }
        let machine = &mut self.machines[machine];
        // A shutdown that is not in the database needs no return either.
        machine.is_away = is_shutdown || machine.is_away && machine.status != Status::Online;
        machine.last_beat = Some(t);
        if is_shutdown {
            machine.pending = Some(Pending::Shutdown);
        } else if machine.status != Status::Online || machine.pending == Some(Pending::Shutdown) {
            machine.pending = Some(Pending::Live);
        }
    }

    /// After a step that recorded heartbeats; it met no fault.
    pub fn check_beats(&mut self) -> Checked {
        for (index, machine) in self.machines.iter_mut().enumerate() {
            let expected = match machine.pending.take() {
                Some(Pending::Live) => Status::Online,
                Some(Pending::Shutdown) => Status::Stopped,
                None => continue,
            };
            machine.is_away = machine.status != Status::Online;
            check(machine.status == expected, || {
                format!("m{} is {:?} after a heartbeat that makes it {expected:?}", index + 1, machine.status)
            })?;
        }
        Ok(())
    }
    /// What the monitor has committed at `t`.
    pub fn observe(&mut self, entries: &[Entry], t: u64, wall: i64) -> Checked {
        for entry in entries {
            // A command, or the check before the clock was set back, may have written one.
            let may_be_older = matches!(entry.kind.as_str(), "paused" | "shared_token" | "acknowledged");
            check(entry.at <= wall || may_be_older, || format!("{entry:?} is in the future"))?;
            match entry.kind.as_str() {
                "offline" => self.went_offline(entry, t)?,
                "online" => self.came_back(entry, t)?,
                "stopped" => self.was_stopped(entry, t)?,
                "condition" => self.condition_began(entry, t)?,
                "condition_ended" => self.condition_ended(entry, t)?,
                "flapping" => {
                    let announced = self.announced_flapping.take();
                    let is_known = announced == Some((entry.key(), entry.at));
                    check(is_known, || format!("{entry:?} instead of {announced:?}"))?;
                }
                "steady" => self.became_steady(entry, t)?,
                "announced" => self.outlasted_maintenance(entry, t)?,
                _ => {}
            }
        }
        let summarised: Vec<&Entry> = entries.iter().filter(|entry| entry.kind == "summarised").collect();
        self.summarised(&summarised, t)?;
        self.repeated(entries, t)?;
        let silent = self.announced_flapping;
        check(silent.is_none(), || format!("missed: {silent:?} flaps"))
    }
}
