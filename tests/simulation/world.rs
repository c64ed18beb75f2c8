//! What is drawn from the seed before the simulation begins: machines, recipients, and which misfortunes there are.

use fastrand::Rng;
use std::time::Duration;

pub const SECOND: u64 = 1000;
pub const MINUTE: u64 = 60 * SECOND;
pub const HOUR: u64 = 60 * MINUTE;
pub const DAY: u64 = 24 * HOUR;

/// How long the simulation's own connection waits for the monitor's.
pub const CHECK_PATIENCE: Duration = Duration::from_secs(2);

pub struct World {
    pub machines: Vec<MachinePlan>,
    pub recipients: Vec<RecipientPlan>,
    pub check_interval: Duration,
    pub threshold: Duration,
    /// In which things go wrong; a calm time follows.
    pub length: u64,
    pub misfortunes: Vec<Misfortune>,
    /// Mean time between two of them.
    pub every: u64,
    /// The wall clock is set while the monitor runs.
    pub has_steps: bool,
    /// Receivers refuse some messages for good.
    pub has_refusals: bool,
    pub clock_change: Option<ClockChange>,
}

pub struct MachinePlan {
    pub name: String,
    pub group: &'static str,
    pub threshold: Option<Duration>,
    pub interval: u64,
    pub style: Style,
    /// Cameras behind it.
    pub cameras: usize,
    /// It reports its temperature and its supply voltage.
    pub has_sensors: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Silent once in a few hours.
    Steady,
    Flapping,
    /// Shuts down and starts again.
    Switched,
}

pub struct RecipientPlan {
    pub name: String,
    /// `None`: all machines.
    pub group: Option<&'static str>,
    pub events: Vec<&'static str>,
    pub quiet: Option<QuietPlan>,
    pub min_outage: u64,
    /// Kinds of channel.
    pub channels: Vec<&'static str>,
    /// Interval of reminders.
    pub remind_every: Option<u64>,
    pub escalation: Option<EscalationPlan>,
}

/// Quiet hours, in minutes of the day.
#[derive(Debug, Clone, Copy)]
pub struct QuietPlan {
    pub from: u16,
    pub to: u16,
    /// By the clock in Berlin, which is changed during the simulation; `None`: by UTC.
    pub change: Option<ClockChange>,
}

/// The begin or the end of summer time.
#[derive(Debug, Clone, Copy)]
pub struct ClockChange {
    pub at: i64,
    /// Time ahead of UTC.
    before: u64,
    after: u64,
}

/// In Berlin, on 2026-03-29 and 2026-10-25.
const CLOCK_CHANGES: [ClockChange; 2] = [
    ClockChange { at: 1_774_746_000_000, before: HOUR, after: 2 * HOUR },
    ClockChange { at: 1_792_890_000_000, before: 2 * HOUR, after: HOUR },
];

impl QuietPlan {
    fn is_quiet(self, at: i64) -> bool {
        let ahead = |change: ClockChange| if at < change.at { change.before } else { change.after };
        let local = at + signed(self.change.map_or(0, ahead));
        let minute = local.div_euclid(signed(MINUTE)).rem_euclid(1440);
        let (from, to) = (i64::from(self.from), i64::from(self.to));
        if from < to { (from..to).contains(&minute) } else { minute >= from || minute < to }
    }

    /// `at` itself if it is not quiet then.
    pub fn end(self, at: i64) -> i64 {
        if !self.is_quiet(at) {
            return at;
        }
        let mut end = at - at.rem_euclid(signed(MINUTE));
        while self.is_quiet(end) {
            end += signed(MINUTE);
        }
        end
    }
}

/// What is not acknowledged goes to another recipient.
#[derive(Debug, Clone, Copy)]
pub struct EscalationPlan {
    /// By its place in the list of recipients.
    pub to: usize,
    pub after: u64,
}

/// What happens to the monitor, or to all devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misfortune {
    Restart,
    Kill,
    PowerLoss,
    DiskFull,
    DiskBroken,
    SmallStep,
    StepForward,
    StepBack,
    /// The process is stopped for a while.
    Stall,
    /// No heartbeat arrives.
    Partition,
    Maintenance,
    Clone,
}

const MISFORTUNES: [Misfortune; 12] = [
    Misfortune::Restart,
    Misfortune::Kill,
    Misfortune::PowerLoss,
    Misfortune::DiskFull,
    Misfortune::DiskBroken,
    Misfortune::SmallStep,
    Misfortune::StepForward,
    Misfortune::StepBack,
    Misfortune::Stall,
    Misfortune::Partition,
    Misfortune::Maintenance,
    Misfortune::Clone,
];

const GROUPS: [&str; 2] = ["farm", "town"];
const TOPICS: [&str; 3] = ["camera", "heat", "power"];
const KINDS: [&str; 4] = ["webhook", "telegram", "email", "ntfy"];

impl World {
    pub fn new(rng: &mut Rng) -> World {
        let misfortunes: Vec<Misfortune> = MISFORTUNES.into_iter().filter(|_| rng.u8(..3) == 0).collect();
        let has = |wanted: &[Misfortune]| misfortunes.iter().any(|one| wanted.contains(one));
        let has_steps = has(&[Misfortune::SmallStep, Misfortune::StepForward, Misfortune::StepBack]);
        let has_refusals = !has(&[Misfortune::DiskFull, Misfortune::DiskBroken]) && rng.bool();
        // A clock that goes back moves what is held back: the model does not follow that.
        let may_hold = !has(&[Misfortune::StepBack]);
        let machines = match rng.u8(..4) {
            0 => rng.usize(1..=2),
            1 => rng.usize(7..=14),
            _ => rng.usize(3..=6),
        };
        World {
            machines: (1..=machines).map(|number| machine(rng, number)).collect(),
            recipients: (1..=rng.usize(1..=4)).map(|number| recipient(rng, number, may_hold)).collect(),
            check_interval: Duration::from_secs(pick(rng, &[10, 30])),
            threshold: Duration::from_secs(pick(rng, &[60, 90, 120])),
            length: rng.u64(1..=3) * HOUR,
            misfortunes,
            every: pick(rng, &[2, 10, 40]) * MINUTE,
            has_steps,
            has_refusals,
            clock_change: None,
        }
    }

    /// Adds cameras and sensors, and the recipients' choices of their topics. The fleet is smaller and the time shorter:
    /// the seeds of CI take a minute and a half.
    pub fn add_parts(&mut self, rng: &mut Rng) {
        self.machines.truncate(8);
        self.length = self.length.min(2 * HOUR);
        for machine in &mut self.machines {
            machine.cameras = if rng.u8(..4) == 0 { 0 } else { rng.usize(2..=8) };
            machine.has_sensors = rng.bool();
        }
        for recipient in &mut self.recipients {
            recipient.events.extend(TOPICS.into_iter().filter(|_| rng.u8(..3) > 0));
        }
    }

    /// Adds reminders and escalation; in some simulations summer time begins or ends.
    pub fn add_repetitions(&mut self, rng: &mut Rng) {
        let all = self.recipients.len();
        let may_hold = !self.misfortunes.contains(&Misfortune::StepBack);
        self.clock_change = (may_hold && rng.u8(..3) == 0).then(|| pick(rng, &CLOCK_CHANGES));
        for (index, recipient) in self.recipients.iter_mut().enumerate() {
            recipient.remind_every = (rng.u8(..3) > 0).then(|| pick(rng, &[5, 10, 30]) * MINUTE);
            if all > 1 && rng.u8(..3) > 0 {
                let to = (index + rng.usize(1..all)) % all;
                recipient.escalation = Some(EscalationPlan { to, after: pick(rng, &[1, 5, 20]) * MINUTE });
            }
            if self.clock_change.is_some() && rng.bool() {
                recipient.quiet = Some(quiet_night(rng, self.clock_change));
            }
        }
    }
}

fn machine(rng: &mut Rng, number: usize) -> MachinePlan {
    let own = rng.u8(..5) == 0;
    MachinePlan {
        name: format!("m{number}"),
        group: pick(rng, &GROUPS),
        threshold: own.then(|| Duration::from_secs(rng.u64(40..=300))),
        interval: pick(rng, &[10, 20, 30]) * SECOND,
        style: pick(rng, &[Style::Steady, Style::Steady, Style::Flapping, Style::Switched]),
        cameras: 0,
        has_sensors: false,
    }
}

fn recipient(rng: &mut Rng, number: usize, may_hold: bool) -> RecipientPlan {
    let events = match rng.u8(..6) {
        0 => vec!["offline", "online", "stopped", "flapping"],
        1 => vec!["offline"],
        2 => vec!["online"],
        _ => vec!["offline", "online", "flapping"],
    };
    let from = rng.u16(..1440);
    RecipientPlan {
        name: format!("r{number}"),
        group: (rng.u8(..3) == 0).then(|| pick(rng, &GROUPS)),
        events,
        quiet: (may_hold && rng.u8(..4) == 0).then(|| {
            let to = (from + rng.u16(10..200)) % 1440;
            QuietPlan { from, to, change: None }
        }),
        min_outage: if may_hold && rng.u8(..3) == 0 { rng.u64(3..=20) * MINUTE } else { 0 },
        channels: KINDS.into_iter().filter(|_| rng.u8(..2) == 0).collect(),
        remind_every: None,
        escalation: None,
    }
}

/// Before, at or after the change of the clock.
fn quiet_night(rng: &mut Rng, change: Option<ClockChange>) -> QuietPlan {
    // No clock shows the times from 02:00 to 03:00 in March, and each one shows them twice in October.
    let shown = |minute: u16| if (120..=180).contains(&minute) { minute + 60 } else { minute };
    let from = rng.u16(22 * 60..28 * 60) % 1440;
    let to = shown((from + rng.u16(20..180)) % 1440);
    let from = if shown(from) == from { from } else { from - 60 };
    QuietPlan { from, to, change }
}

pub fn pick<T: Copy>(rng: &mut Rng, of: &[T]) -> T {
    of[rng.usize(..of.len())]
}

/// A time as a difference of the wall clock.
pub fn signed(time: u64) -> i64 {
    i64::try_from(time).expect("a time")
}

/// A time of this mean: mostly shorter, sometimes much longer.
pub fn about(rng: &mut Rng, mean: u64) -> u64 {
    let unit = rng.f64().max(1e-4);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
    let time = (-unit.ln() * mean as f64) as u64;
    time.max(1)
}
