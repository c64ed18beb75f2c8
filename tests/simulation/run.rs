//! The simulation: a queue of events on a virtual clock, in one thread.

mod life;
mod sending;

use crate::counts::Counts;
use crate::devices::Device;
use crate::disk::{self, Crash};
use crate::model::{Checked, Key, Model};
use crate::monitor::{Entry, Process, Seen, SharedNow};
use crate::parts::Parts;
use crate::receivers::{Fate, Receiver};
use crate::trace;
use crate::world::{HOUR, MINUTE, RecipientPlan, SECOND, World, signed};
use fastrand::Rng;
use heartbeat_daemon::clock::{Moment, Now};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// After the misfortunes: longer than the longest backoff, a mail that may have arrived, and the hold after flapping.
const CALM: u64 = 80 * MINUTE;

/// Between two ticks of the recorder. The monitor's own second would take most of the time of a simulation; it flushes at
/// each fifth tick, which must not be later than after 15 s.
const TICK: u64 = 2 * SECOND;
const CALM_TICK: u64 = 3 * SECOND;
/// Longest time between two flushes, outside the calm.
pub const FLUSH_EVERY: u64 = 5 * TICK;

/// Rounds of the couriers at the same moment.
const MOST_ROUNDS: u32 = 10_000;

#[derive(Debug, Clone, Copy)]
pub enum Event {
    /// Of the recorder, in this life of the process.
    Tick(u64),
    Sweep(u64),
    /// Of the couriers: the life and the number of the round.
    Round(u64, u64),
    /// A receiver has a message, and a courier has the answer.
    Receive(u64, u64),
    Answer(u64, u64),
    Beat(usize),
    Phase(usize),
    /// A camera of a device breaks or works again.
    Camera(usize, usize),
    /// The cameras lose power, then the device; it returns, and then the cameras.
    PowerCut(usize),
    PowerOff(usize),
    PowerOn(usize),
    CamerasOn(usize),
    EndOfCopy(usize),
    ReceiverPhase(usize),
    Misfortune,
    Heal,
    Start,
    EndOfStall,
    /// A person acknowledges an incident.
    Acknowledge,
}

/// A message that a courier is sending.
pub struct InFlight {
    pub channel: usize,
    /// Of the model.
    pub rows: Vec<usize>,
    pub ids: Vec<i64>,
    pub fate: Fate,
    pub is_received: bool,
}

pub struct Simulation {
    pub rng: Rng,
    /// For cameras and sensors: what is drawn for them changes nothing else. Even seeds have none; they are faster, and
    /// find what they found before there were any.
    pub of_parts: Rng,
    /// The same for reminders, escalation and acknowledgements, which some seeds have.
    pub of_people: Rng,
    pub world: World,
    pub model: Model,
    pub devices: Vec<Device>,
    pub receivers: Vec<Receiver>,
    pub process: Option<Process>,
    /// Counts starts: events of an earlier process are void.
    pub life: u64,
    pub in_flight: BTreeMap<u64, InFlight>,
    /// Milliseconds since the beginning.
    pub t: u64,
    /// What the wall clock shows at the beginning, with all steps since.
    pub offset: i64,
    /// The monitor was last disturbed: it started, was stalled, its disk failed, or its clock was set.
    pub disturbed_at: u64,
    pub is_calm: bool,
    pub stalled_until: Option<u64>,
    pub stalled_since: u64,
    pub partition_until: u64,
    /// A pause that may have been written before a crash: the machine, and from when to when.
    pub unsure_pause: Option<(usize, i64, i64)>,
    /// Incidents, by their ids, that were acknowledged while no process ran, or perhaps before a crash.
    pub unsure_acknowledged: Vec<(Key, i64)>,
    pub small_step_at: u64,
    pub counts: Counts,
    tokens: Vec<String>,
    clock: SharedNow,
    begin: Instant,
    events: BTreeMap<(u64, u64), Event>,
    scheduled: u64,
    round: u64,
    rounds_now: u32,
    seen: Seen,
    /// When the step ran that crashed.
    crashed_at: u64,
    directory: tempfile::TempDir,
}

impl Simulation {
    pub fn new(seed: u64) -> Simulation {
        disk::reset(seed);
        fastrand::seed(seed);
        let mut rng = Rng::with_seed(seed);
        let mut world = World::new(&mut rng);
        let mut of_parts = Rng::with_seed(!seed);
        if seed % 2 == 1 {
            world.add_parts(&mut of_parts);
        }
        let mut of_people = Rng::with_seed(seed.rotate_left(32));
        let has_people = crate::has_people(seed) && of_people.u8(..3) > 0;
        if has_people {
            world.add_repetitions(&mut of_people);
        }
        let directory = tempfile::tempdir().expect("a directory");
        let recipients = std::mem::take(&mut world.recipients);
        let model = Model::new(&world, Vec::new());
        let some_day = 1_769_000_000_000 + rng.i64(0..86_400_000);
        let before = of_people.i64(signed(HOUR / 2)..signed(3 * HOUR));
        let wall = world.clock_change.map_or(some_day, |change| change.at - before);
        let begin = Instant::now();
        let now = Now { monotonic: begin, wall: Moment(wall) };
        let mut simulation = Simulation {
            rng,
            of_parts,
            of_people,
            world,
            model,
            devices: Vec::new(),
            receivers: Vec::new(),
            process: None,
            life: 0,
            in_flight: BTreeMap::new(),
            t: 0,
            offset: wall,
            disturbed_at: 0,
            is_calm: false,
            stalled_until: None,
            stalled_since: 0,
            partition_until: 0,
            unsure_pause: None,
            unsure_acknowledged: Vec::new(),
            small_step_at: 0,
            counts: Counts::default(),
            tokens: Vec::new(),
            clock: Arc::new(Mutex::new(now)),
            begin,
            events: BTreeMap::new(),
            scheduled: 0,
            round: 0,
            rounds_now: 0,
            seen: Seen::default(),
            crashed_at: 0,
            directory,
        };
        simulation.populate(recipients);
        if has_people {
            simulation.schedule(10 * MINUTE, Event::Acknowledge);
        }
        simulation
    }

    pub fn path(&self) -> PathBuf {
        self.directory.path().join("monitor.db")
    }

    /// Adds machines, recipients and channels as the commands do, and schedules the first events.
    fn populate(&mut self, mut recipients: Vec<RecipientPlan>) {
        let store = crate::setup::open(&self.path(), self.now().wall);
        self.tokens = crate::setup::machines(&store, &self.world.machines, self.now().wall);
        crate::setup::conditions(&store, self.now().wall);
        crate::setup::recipients(&store, &self.world.machines, &mut recipients, self.now().wall);
        drop(store);
        self.model = Model::new(&self.world, recipients);
        self.receivers = self.model.channels.iter().map(|channel| Receiver::new(channel.kind)).collect();
        for machine in 0..self.world.machines.len() {
            let threshold = self.model.machines[machine].threshold;
            let plan = &self.world.machines[machine];
            let parts = Parts::new(&mut self.of_parts, machine, plan);
            self.devices.push(Device::new(machine, plan, threshold, parts));
            self.schedule_parts(machine);
            let first = self.rng.u64(..30 * SECOND);
            self.schedule(first, Event::Beat(machine));
            let change = self.rng.u64(MINUTE..60 * MINUTE);
            self.schedule(change, Event::Phase(machine));
        }
        for channel in 0..self.receivers.len() {
            let change = self.rng.u64(MINUTE..60 * MINUTE);
            self.schedule(change, Event::ReceiverPhase(channel));
        }
        self.schedule(0, Event::Start);
        self.schedule(5 * MINUTE, Event::Misfortune);
    }

    pub fn now(&self) -> Now {
        let now = Now { monotonic: self.begin + Duration::from_millis(self.t), wall: Moment(self.wall()) };
        *self.clock.lock().expect("the clock") = now;
        now
    }

    pub fn wall(&self) -> i64 {
        self.offset + signed(self.t)
    }

    pub fn schedule(&mut self, after: u64, event: Event) {
        self.scheduled += 1;
        self.events.insert((self.t + after, self.scheduled), event);
    }

    /// Runs to the end; the first violation ends it.
    pub fn run(&mut self) -> Result<Counts, String> {
        let end = self.world.length + CALM;
        while let Some(((at, _), event)) = self.events.pop_first() {
            if at > end {
                break;
            }
            if at > self.t {
                self.rounds_now = 0;
            }
            self.t = at;
            self.now();
            trace::at(at);
            if at >= self.world.length && !self.is_calm {
                self.calm_down();
            }
            self.happen(event)?;
        }
        self.counts.milliseconds = end;
        self.check_end()?;
        Ok(self.counts)
    }

    fn happen(&mut self, event: Event) -> Checked {
        match event {
            Event::Tick(life)
            | Event::Sweep(life)
            | Event::Round(life, _)
            | Event::Receive(life, _)
            | Event::Answer(life, _)
                if life != self.life => {}
            Event::Tick(_) | Event::Sweep(_) | Event::Round(..) | Event::Receive(..) | Event::Answer(..)
                if self.stalled_until.is_some_and(|until| self.t < until) =>
            {
                let left = self.stalled_until.unwrap_or(self.t) - self.t;
                self.schedule(left, event);
            }
            Event::Tick(_) => return self.tick(),
            Event::Sweep(_) => return self.sweep(),
            Event::Round(_, number) if number == self.round => return self.run_round(),
            Event::Round(..) => {}
            Event::Receive(_, job) => return self.receive(job),
            Event::Answer(_, job) => return self.answer(job),
            Event::Beat(device) => return self.beat(device),
            Event::Phase(device) => return self.change_device(device),
            Event::Camera(device, camera) => self.change_camera(device, camera),
            Event::PowerCut(device) => self.cut_power(device),
            Event::PowerOff(device) => self.power_off(device),
            Event::PowerOn(device) => self.power_on(device),
            Event::CamerasOn(device) => self.devices[device].parts.set_power(true),
            Event::EndOfCopy(device) => self.devices[device].is_up = false,
            Event::ReceiverPhase(channel) if !self.is_calm => {
                let (mode, length) = self.receivers[channel].change(&mut self.rng);
                trace::note(format!("channel {} is {mode}", channel + 1));
                self.schedule(length, event);
            }
            Event::Misfortune if !self.is_calm => return self.misfortune(),
            Event::ReceiverPhase(_) | Event::Misfortune => {}
            Event::Heal => {
                trace::note("the disk works again".into());
                self.disturbed_at = self.t;
                disk::set(disk::Condition::Healthy);
            }
            Event::Start => return self.start(),
            Event::EndOfStall => self.end_of_stall(),
            Event::Acknowledge => return self.acknowledge(),
        }
        Ok(())
    }

    /// Runs a step of the process; `None` without one. True if the disk had no fault in it.
    pub fn step<T>(&mut self, work: impl FnOnce(&mut Process, Now) -> T) -> Option<(T, bool)> {
        let (now, faults) = (self.now(), disk::faults());
        let process = self.process.as_mut()?;
        let result = work(process, now);
        let healthy = disk::faults() == faults && disk::crashed().is_none();
        if !healthy {
            self.disturbed_at = self.t;
            self.model.fault();
        }
        Some((result, healthy))
    }

    /// After a step: ends the process if it crashed in it. Returns what the step has committed.
    fn committed(&mut self) -> Option<Vec<Entry>> {
        if disk::crashed().is_some() {
            self.crash();
            return None;
        }
        let entries = self.process.as_mut()?.journal();
        for entry in &entries {
            self.counts.transitions += 1;
            self.counts.conditions += u64::from(entry.kind == "condition");
            trace::note(format!("{} {}", entry.key(), entry.kind));
        }
        Some(entries)
    }

    fn tick(&mut self) -> Checked {
        self.schedule(if self.is_calm { CALM_TICK } else { TICK }, Event::Tick(self.life));
        let Some(((), healthy)) = self.step(Process::tick) else { return Ok(()) };
        if healthy {
            self.model.flushed(self.t);
        }
        if disk::crashed().is_some() {
            self.crash();
        }
        self.wake_couriers()
    }

    fn sweep(&mut self) -> Checked {
        let interval = u64::try_from(self.world.check_interval.as_millis()).expect("short");
        self.schedule(interval, Event::Sweep(self.life));
        let Some(((), healthy)) = self.step(Process::sweep) else { return Ok(()) };
        let Some(entries) = self.committed() else {
            self.model.may_forget_the_future(self.wall());
            return Ok(());
        };
        self.model.sweep(self.t, self.wall(), healthy, &entries)?;
        self.wake_couriers()
    }

    pub fn wake_couriers(&mut self) -> Checked {
        match self.process.as_ref().is_some_and(Process::is_poked) {
            true => self.run_round(),
            false => Ok(()),
        }
    }

    /// A round of the couriers, and the next one after the time that it asks for.
    pub fn run_round(&mut self) -> Checked {
        self.round += 1;
        self.rounds_now += 1;
        if self.rounds_now > MOST_ROUNDS {
            return Err("the couriers do not come to rest".into());
        }
        let Some((sleep, healthy)) = self.step(|process, _| process.dispatcher.round()) else {
            return Ok(());
        };
        if disk::crashed().is_some() {
            self.crash();
            return Ok(());
        }
        if healthy {
            self.model.marked(self.wall());
        }
        let sleep = u64::try_from(sleep.as_nanos().div_ceil(1_000_000)).unwrap_or(MINUTE);
        self.schedule(sleep, Event::Round(self.life, self.round));
        let jobs = self.process.as_ref().map(Process::jobs).unwrap_or_default();
        jobs.into_iter().try_for_each(|job| self.take_off(job))
    }

    fn calm_down(&mut self) {
        trace::note("from now on all is calm".into());
        self.is_calm = true;
        disk::set(disk::Condition::Healthy);
        disk::crash_after(u64::MAX, Crash::Kill);
        self.disturbed_at = self.t;
        self.receivers.iter_mut().for_each(Receiver::heal);
        self.partition_until = 0;
    }
}
