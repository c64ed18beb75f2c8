//! What should be announced: a simple model of the rules in docs/monitor.md, which calls none of the monitor's code.
//!
//! It learns what the devices did from the simulation, and when a change was committed from the journal. A change must
//! have a cause, and each cause must lead to a change at the next step that works.

use crate::monitor::Entry;
use crate::world::{HOUR, MINUTE, RecipientPlan, World, signed};
use std::collections::BTreeSet;

const MASS: usize = 5;
const FLAPPING_EDGES: usize = 4;
const STEADY_AFTER: i64 = 15 * 60_000;
/// A step of the clock that the monitor does not notice.
pub const SMALL_STEP: u64 = 5000;

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

pub struct Outage {
    began: i64,
    ended: Option<i64>,
    announced: bool,
    planned: bool,
    last_seen: i64,
}

/// A message that a channel must get.
#[derive(Debug)]
pub struct Row {
    pub channel: usize,
    pub machine: usize,
    pub news: &'static str,
    pub state: &'static str,
    pub at: i64,
    /// When it was written, by a clock that may have been set since.
    created: i64,
    /// `None`: the last heartbeat, whenever that was.
    pub last_seen: Option<i64>,
    pub due: i64,
    /// When it was due, on the true clock.
    pub ready: u64,
    outage: usize,
    /// It was held, and is not sent any more.
    pub skipped: bool,
    /// The receiver refused it for good.
    pub dead: bool,
    pub attempted: bool,
    /// `X-Webhook-Id`.
    pub id: Option<i64>,
    pub received: u32,
    /// The monitor knows that it was received, or refused for good.
    pub answered: bool,
    /// And the database knows it.
    pub marked: bool,
    /// The answer was lost: it may come again.
    pub may_repeat: bool,
}

/// Since when silence counts: at least and at most.
#[derive(Debug, Clone, Copy)]
struct Listening {
    certain: u64,
    possible: u64,
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

    /// The process was stopped, for longer than a flush may be late if `is_long`.
    pub fn was_stalled(&mut self, t: u64, is_long: bool) {
        self.listening.possible = t;
        if is_long {
            self.listening.certain = t;
        }
    }

    /// A step of the monitor met a fault of the disk.
    pub fn fault(&mut self) {
        self.fault_pending = true;
    }

    /// What a step with a fault has not recorded is lost: the next heartbeat is recorded in its place.
    pub fn lost_beats(&mut self) {
        for machine in &mut self.machines {
            machine.pending = None;
        }
    }

    /// A step that flushed worked.
    pub fn flushed(&mut self, t: u64) {
        if std::mem::take(&mut self.fault_pending) {
            self.listening.possible = t;
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

    /// Before a sweep, which has not met a fault so far.
    fn check_clock(&mut self, t: u64, offset: i64, healthy: bool) {
        if t - self.checked_possible > 2 * self.check_interval {
            self.listening.certain = t;
        }
        if t - self.checked_certain > 2 * self.check_interval {
            self.listening.possible = t;
        }
        let step = (offset - self.checked_offset).unsigned_abs();
        if step > SMALL_STEP {
            self.listening.possible = t;
            let seen = *self.step_seen.get_or_insert(t);
            if healthy {
                self.listening.certain = self.listening.certain.max(seen);
            }
        }
        self.checked_possible = t;
        if healthy {
            (self.checked_certain, self.checked_offset, self.step_seen) = (t, offset, None);
        }
    }

    fn silence(&self, machine: &Machine, since: u64, t: u64) -> Option<u64> {
        (machine.status == Status::Online).then(|| t - machine.last_beat.unwrap_or(0).max(since))
    }

    fn late(&self, t: u64, since: u64, slack: i64) -> Vec<usize> {
        let is_late = |machine: &Machine| {
            let silence = self.silence(machine, since, t);
            silence.is_some_and(|silence| signed(silence) > signed(machine.threshold) + slack)
        };
        (0..self.machines.len()).filter(|index| is_late(&self.machines[*index])).collect()
    }

    /// A sweep at `t`, `wall` by the monitor's clock, and what it has written.
    pub fn sweep(&mut self, t: u64, wall: i64, healthy: bool, entries: &[Entry]) -> Checked {
        self.check_clock(t, wall - signed(t), healthy);
        if healthy {
            self.flushed(t);
            self.forget_the_future(wall);
        }
        let slack = signed(self.tolerance);
        let may_be_late = self.late(t, self.listening.certain, -slack);
        let must_be_late = self.late(t, self.listening.possible, slack);
        let went: Vec<usize> =
            entries.iter().filter(|entry| entry.kind == "offline").map(|entry| entry.machine).collect();
        for machine in &went {
            check(may_be_late.contains(machine), || {
                let state = &self.machines[*machine];
                format!(
                    "false alarm: m{} went offline after {:?} ms, listening since {:?}",
                    machine + 1,
                    state.last_beat.map(|beat| t - beat),
                    self.listening
                )
            })?;
        }
        let online = self.machines.iter().filter(|machine| machine.status == Status::Online).count();
        let is_mass = |late: usize| late >= MASS && online - late <= late;
        if went.is_empty() && is_mass(may_be_late.len()) && !self.doubted {
            self.doubted = healthy && !must_be_late.is_empty();
        } else {
            check(!is_mass(went.len()) || self.doubted || slack > 0, || {
                format!("half of the fleet was announced without a second check: {went:?}")
            })?;
            let missing = must_be_late.iter().find(|machine| healthy && !went.contains(machine));
            check(missing.is_none(), || {
                format!("missed: m{} is late and still online", missing.unwrap_or(&0) + 1)
            })?;
            self.doubted = self.doubted && !healthy;
        }
        self.observe(entries, t, wall)?;
        if healthy { self.check_sweep(wall) } else { Ok(()) }
    }

    /// What a sweep does besides taking machines offline.
    fn check_sweep(&self, wall: i64) -> Checked {
        let slack = signed(self.tolerance);
        for (index, machine) in self.machines.iter().enumerate() {
            let is_quiet = machine.is_in_maintenance(wall);
            let unannounced = machine.open().is_some_and(|outage| !outage.announced && !outage.planned);
            check(is_quiet || !unannounced || machine.status != Status::Offline, || {
                format!("missed: the outage of m{} has outlasted its maintenance", index + 1)
            })?;
            check(is_quiet || !machine.flapping || machine.since > wall - STEADY_AFTER - slack, || {
                format!("missed: m{} is steady again", index + 1)
            })?;
        }
        Ok(())
    }

    /// The clock went back, and a sweep noticed.
    fn forget_the_future(&mut self, wall: i64) {
        for row in self.rows.iter_mut().filter(|row| row.created > wall) {
            row.due -= row.created - wall;
            row.created = wall;
        }
        for machine in &mut self.machines {
            machine.since = machine.since.min(wall);
            machine.steady_at = machine.steady_at.map(|at| at.min(wall));
            for outage in &mut machine.outages {
                outage.began = outage.began.min(wall);
                outage.ended = outage.ended.map(|at| at.min(wall));
            }
        }
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

    fn went_offline(&mut self, entry: &Entry, t: u64) -> Checked {
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

    fn came_back(&mut self, entry: &Entry, t: u64) -> Checked {
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

    fn was_stopped(&mut self, entry: &Entry, t: u64) -> Checked {
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

    fn became_steady(&mut self, entry: &Entry, t: u64) -> Checked {
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

    fn outlasted_maintenance(&mut self, entry: &Entry, t: u64) -> Checked {
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

    fn announce_alarm(&mut self, entry: &Entry, edges: usize, news: &'static str, t: u64) {
        let machine = &mut self.machines[entry.machine];
        if machine.flapping {
            return;
        }
        if edges > FLAPPING_EDGES {
            machine.flapping = true;
            machine.steady_at = None;
            machine.announced_flapping = Some(entry.at);
            self.skip_held(entry.machine, entry.at, None);
            self.enqueue(entry, "flapping", news, t);
        } else if news == "online" {
            self.announce_recovery(entry, t);
        } else {
            self.enqueue(entry, news, news, t);
        }
    }

    fn announce_recovery(&mut self, entry: &Entry, t: u64) {
        self.skip_held(entry.machine, entry.at, None);
        self.enqueue(entry, "online", "online", t);
    }

    /// Messages that are held back and were not tried are not sent: those of the last outage, or those with this news.
    fn skip_held(&mut self, machine: usize, at: i64, news: Option<&str>) {
        let outage = self.machines[machine].outages.len() - 1;
        for row in self.rows.iter_mut().filter(|row| row.machine == machine && row.due > at && !row.attempted)
        {
            row.skipped |= news.map_or(row.outage == outage, |news| row.news == news);
        }
    }

    /// What the last message on this channel says of the machine; `None` = it flaps.
    pub fn believed(&self, channel: usize, machine: usize) -> Option<&'static str> {
        let counts =
            |row: &&Row| row.channel == channel && row.machine == machine && !row.skipped && !row.dead;
        let last = self.rows.iter().rev().find(counts);
        last.map_or(Some("online"), |row| (row.news != "flapping").then_some(row.state))
    }

    fn enqueue(&mut self, entry: &Entry, news: &'static str, state: &'static str, t: u64) {
        let last_seen =
            self.machines[entry.machine].outages.last().map_or(entry.at, |outage| outage.last_seen);
        for channel in 0..self.channels.len() {
            let recipient = &self.recipients[self.channels[channel].recipient];
            let wants = |event: &str| recipient.events.contains(&event);
            let is_chosen = recipient.group.is_none_or(|group| group == self.groups[entry.machine]);
            let is_outdated = || self.believed(channel, entry.machine) != Some(state);
            let wants_outages = wants("offline") || wants("stopped") || wants("flapping");
            let is_notified = match news {
                "online" => wants("online") && (is_outdated() || is_chosen && !wants_outages),
                "steady" => (wants("flapping") || wants(state)) && is_outdated(),
                news => wants(news) && is_chosen,
            };
            if !is_notified {
                continue;
            }
            let held = if news == "offline" { last_seen + signed(recipient.min_outage) } else { entry.at };
            let due = end_of_quiet(recipient.quiet, held.max(entry.at));
            self.rows.push(Row {
                channel,
                machine: entry.machine,
                news,
                state,
                at: entry.at,
                created: entry.at,
                last_seen: (news != "steady").then_some(last_seen),
                due,
                ready: t + (due - entry.at).unsigned_abs(),
                outage: self.machines[entry.machine].outages.len() - 1,
                skipped: false,
                dead: false,
                attempted: false,
                id: None,
                received: 0,
                answered: false,
                marked: false,
                may_repeat: false,
            });
        }
    }

    /// Whether every message of this recipient comes at once, and it wants all that can be said of machines.
    pub fn hears_all(&self, channel: usize, machine: usize) -> bool {
        let recipient = &self.recipients[self.channels[channel].recipient];
        ["offline", "online", "flapping"].iter().all(|event| recipient.events.contains(event))
            && recipient.group.is_none_or(|group| group == self.groups[machine])
            && recipient.quiet.is_none()
            && recipient.min_outage == 0
    }

    /// The couriers have written all answers.
    pub fn marked(&mut self) {
        for row in self.rows.iter_mut().filter(|row| row.answered) {
            row.marked = true;
            row.may_repeat = false;
        }
    }

    /// The process has ended: what it had not written is repeated.
    pub fn ended(&mut self) {
        for row in self.rows.iter_mut().filter(|row| row.attempted && !row.marked) {
            row.may_repeat = true;
        }
    }

    /// The process that ended had written the results of these messages, whether it lived to know or not.
    pub fn found_settled(&mut self, settled: &BTreeSet<i64>) {
        for row in self.rows.iter_mut().filter(|row| row.attempted && !row.marked) {
            let is_settled = row.id.is_some_and(|id| settled.contains(&id));
            row.marked = is_settled;
            row.answered = is_settled;
            row.dead &= is_settled;
        }
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

    fn is_in_maintenance(&self, at: i64) -> bool {
        self.maintenance.iter().any(|&(from, to)| from <= at && at < to)
    }

    pub fn open(&self) -> Option<&Outage> {
        self.outages.last().filter(|outage| outage.ended.is_none())
    }

    /// Begins and ends of announced, unplanned outages within the last hour, and the one at `at`.
    fn edges(&self, at: i64) -> usize {
        let hour = at - signed(HOUR);
        let after = self.steady_at.map_or(hour, |steady| steady.max(hour));
        let alarms = self.outages.iter().filter(|outage| outage.announced && !outage.planned);
        let edges = alarms.flat_map(|outage| [Some(outage.began), outage.ended]);
        edges.flatten().filter(|edge| *edge > after).count() + 1
    }
}

fn end_of_quiet(quiet: Option<(u16, u16)>, at: i64) -> i64 {
    let Some((from, to)) = quiet else { return at };
    let minute = signed(MINUTE);
    let day = 1440 * minute;
    let (from, to, now) = (i64::from(from) * minute, i64::from(to) * minute, at.rem_euclid(day));
    let is_quiet = if from < to { (from..to).contains(&now) } else { now >= from || now < to };
    if is_quiet { at + (to - now).rem_euclid(day) } else { at }
}
