//! What should be announced: a simple model of the rules in docs/monitor.md, which calls none of the monitor's code.
//!
//! It learns what the devices did from the simulation, and when a change was committed from the journal. A change must
//! have a cause, and each cause must lead to a change at the next step that works.
//!
//! | file | what it owns |
//! |---|---|
//! | `late` | when silence counts |
//! | `outages` | the changes of a machine's status |
//! | `rows` | the messages that each channel must get |

mod late;
mod outages;
mod rows;

pub use outages::Outage;
pub use rows::Row;

use crate::monitor::Entry;
use crate::world::{RecipientPlan, World};
use late::{Listening, SMALL_STEP};

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
    outages: Vec<Outage>,
    pub flapping: bool,
    steady_at: Option<i64>,
    /// On the wall clock.
    pub maintenance: Vec<(i64, i64)>,
    /// A journal entry that must come in the same transaction.
    announced_flapping: Option<i64>,
}

pub struct Model {
    pub machines: Vec<Machine>,
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
    fault_pending: bool,
    doubted: bool,
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
            outages: Vec::new(),
            flapping: false,
            steady_at: None,
            maintenance: Vec::new(),
            announced_flapping: None,
        };
        let channels = recipients
            .iter()
            .enumerate()
            .flat_map(|(recipient, plan)| plan.channels.iter().map(move |&kind| Channel { recipient, kind }));
        Model {
            machines: world.machines.iter().map(machine).collect(),
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
            fault_pending: false,
            doubted: false,
        }
    }

    /// The monitor starts: every machine gets its whole threshold, and heartbeats that were being recorded are lost.
    pub fn started(&mut self, t: u64, offset: i64) {
        self.listening = Listening { certain: t, possible: t };
        (self.checked_certain, self.checked_possible, self.checked_offset) = (t, t, offset);
        (self.step_seen, self.fault_pending, self.doubted) = (None, false, false);
        for machine in &mut self.machines {
            machine.pending = None;
        }
    }

    /// What a step with a fault has not recorded is lost: the next heartbeat is recorded in its place.
    pub fn lost_beats(&mut self) {
        for machine in &mut self.machines {
            machine.pending = None;
        }
    }

    pub fn beat(&mut self, machine: usize, is_shutdown: bool, t: u64) {
        let machine = &mut self.machines[machine];
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
            let may_be_older = matches!(entry.kind.as_str(), "paused" | "shared_token");
            check(entry.at <= wall || may_be_older, || format!("{entry:?} is in the future"))?;
            match entry.kind.as_str() {
                "offline" => self.went_offline(entry, t)?,
                "online" => self.came_back(entry, t)?,
                "stopped" => self.was_stopped(entry, t)?,
                "flapping" => {
                    let announced = self.machines[entry.machine].announced_flapping.take();
                    check(announced == Some(entry.at), || format!("{entry:?} without a cause"))?;
                }
                "steady" => self.became_steady(entry, t)?,
                "announced" => self.outlasted_maintenance(entry, t)?,
                _ => {}
            }
        }
        let silent = self.machines.iter().position(|machine| machine.announced_flapping.is_some());
        check(silent.is_none(), || format!("missed: m{} flaps", silent.unwrap_or(0) + 1))
    }
}
