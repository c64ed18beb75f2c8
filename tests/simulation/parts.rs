//! The parts of a device that its heartbeats report: cameras that come and go, the temperature, the supply voltage.

use crate::world::{MINUTE, MachinePlan, SECOND, about, pick};
use fastrand::Rng;
use heartbeat_daemon::monitor::conditions::catalogue::{CatalogueEntry, Condition};
use heartbeat_daemon::wire;
use std::fmt::Write;

/// What an incident can be about: the machine itself, or one of its parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    Machine,
    /// By its number.
    Camera(usize),
    Processor,
    Supply,
}

/// What a heartbeat says of a part.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Reading {
    /// `null`, or not checked yet.
    Unknown,
    Good,
    /// One failed check, which may have been bad luck.
    Suspect,
    Bad,
    Celsius(f32),
}

/// What a heartbeat says of each part that it mentions.
pub type Report = Vec<(Part, Reading)>;

/// The parts of one device; a copied SD card in another device has none.
#[derive(Default)]
pub struct Parts {
    pub cameras: Vec<Camera>,
    /// Its daemon is older than the count of failed checks.
    is_old: bool,
    heat: Option<Heat>,
    has_low_voltage: Option<bool>,
}

pub struct Camera {
    mac: String,
    is_up: bool,
    has_power: bool,
    is_shaky: bool,
    failed_checks: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heat {
    Cool,
    /// Between the two thresholds.
    Warm,
    Hot,
}

impl Part {
    pub fn find(condition: &str, subject: &str) -> Option<Part> {
        match Condition::from_name(condition)? {
            Condition::Camera => Some(Part::Camera(usize::from_str_radix(subject.get(15..)?, 16).ok()?)),
            Condition::Temperature => Some(Part::Processor),
            Condition::UnderVoltage => Some(Part::Supply),
            _ => None,
        }
    }

    /// `None`: the machine itself.
    pub fn condition(self) -> Option<Condition> {
        match self {
            Part::Machine => None,
            Part::Camera(_) => Some(Condition::Camera),
            Part::Processor => Some(Condition::Temperature),
            Part::Supply => Some(Condition::UnderVoltage),
        }
    }

    pub fn entry(self) -> Option<&'static CatalogueEntry> {
        self.condition().map(Condition::entry)
    }
}

impl Parts {
    pub fn new(rng: &mut Rng, machine: usize, plan: &MachinePlan) -> Parts {
        let camera = |number| Camera {
            mac: format!("02:00:00:00:{machine:02x}:{number:02x}"),
            is_up: rng.u8(..4) > 0,
            has_power: true,
            is_shaky: rng.u8(..4) == 0,
            failed_checks: 0,
        };
        Parts {
            cameras: (0..plan.cameras).map(camera).collect(),
            is_old: rng.u8(..4) == 0,
            heat: plan.has_sensors.then(|| pick(rng, &[Heat::Cool, Heat::Cool, Heat::Hot])),
            has_low_voltage: plan.has_sensors.then(|| rng.u8(..8) == 0),
        }
    }

    /// Of the cameras.
    pub fn set_power(&mut self, has_power: bool) {
        for camera in &mut self.cameras {
            camera.has_power = has_power;
        }
    }

    /// Checks everything: the fields of the next heartbeat, and what they say. `has_booted`: since the last heartbeat.
    pub fn check(&mut self, rng: &mut Rng, has_booted: bool) -> (String, Report) {
        let (mut fields, mut report) = (String::new(), Report::new());
        let is_old = self.is_old;
        if !self.cameras.is_empty() {
            let mut cameras = Vec::new();
            for (number, camera) in self.cameras.iter_mut().enumerate() {
                let (shown, reading) = camera.check(is_old, has_booted && rng.bool());
                cameras.push(shown);
                report.push((Part::Camera(number), reading));
            }
            let _ = write!(fields, r#","cameras":{}"#, json(&cameras));
        }
        if let Some(heat) = &mut self.heat {
            let celsius = heat.celsius(rng);
            report.push((Part::Processor, celsius.map_or(Reading::Unknown, Reading::Celsius)));
            let _ = write!(fields, r#","temp":{}"#, json(&celsius));
        }
        if let Some(is_low) = &mut self.has_low_voltage {
            *is_low = if *is_low { rng.u8(..4) > 0 } else { rng.u8(..120) == 0 };
            let now = if *is_low { vec![wire::Throttle::UnderVoltage] } else { Vec::new() };
            let flags = (rng.u8(..40) > 0).then_some(wire::Throttled { now, since_boot: None });
            let reading = match (&flags, *is_low) {
                (None, _) => Reading::Unknown,
                (_, true) => Reading::Bad,
                (_, false) => Reading::Good,
            };
            report.push((Part::Supply, reading));
            let _ = write!(fields, r#","throttled":{}"#, json(&flags));
        }
        (fields, report)
    }
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("JSON")
}

impl Camera {
    pub fn responds(&self) -> bool {
        self.is_up && self.has_power
    }

    /// It breaks or works again; returns for how long.
    pub fn change(&mut self, rng: &mut Rng) -> u64 {
        self.is_up = !self.is_up;
        match (self.is_up, self.is_shaky) {
            (true, true) => about(rng, 6 * MINUTE),
            (true, false) => about(rng, 60 * MINUTE),
            (false, true) => about(rng, 3 * MINUTE),
            (false, false) if rng.u8(..3) == 0 => rng.u64(SECOND..MINUTE),
            (false, false) => about(rng, 10 * MINUTE),
        }
    }

    fn check(&mut self, is_old: bool, is_skipped: bool) -> (wire::Camera, Reading) {
        self.failed_checks = if self.responds() || is_skipped { 0 } else { self.failed_checks + 1 };
        let (status, reading) = match self.failed_checks {
            _ if is_skipped => (wire::CameraStatus::Unknown, Reading::Unknown),
            0 => (wire::CameraStatus::Connected, Reading::Good),
            1 if !is_old => (wire::CameraStatus::Disconnected, Reading::Suspect),
            _ => (wire::CameraStatus::Disconnected, Reading::Bad),
        };
        let shown = wire::Camera {
            mac: self.mac.clone(),
            hostname: None,
            status,
            last_seen: None,
            failed_checks: (!is_old && !is_skipped).then_some(self.failed_checks),
        };
        (shown, reading)
    }
}

impl Heat {
    /// Mostly as before; `None`: the sensor cannot be read.
    fn celsius(&mut self, rng: &mut Rng) -> Option<f32> {
        if rng.u8(..25) == 0 {
            *self = pick(rng, &[Heat::Cool, Heat::Warm, Heat::Hot]);
        }
        let tenths = match self {
            Heat::Cool => rng.u16(450..750),
            Heat::Warm => rng.u16(750..800),
            Heat::Hot => rng.u16(800..950),
        };
        (rng.u8(..30) > 0).then(|| f32::from(tenths) / 10.0)
    }
}
