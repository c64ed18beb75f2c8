//! The devices: they send heartbeats, fall silent, flap, reboot, shut down, send replays and nonsense.

use crate::parts::{Parts, Report};
use crate::world::{HOUR, MINUTE, MachinePlan, SECOND, Style, about};
use fastrand::Rng;
use std::fmt::Write;

pub struct Device {
    pub machine: usize,
    hardware: String,
    boot: u32,
    interval: u64,
    style: Style,
    threshold: u64,
    pub is_up: bool,
    pub has_power: bool,
    pub parts: Parts,
    /// That the last heartbeat named.
    reported_boot: u32,
    /// Short turns that are left of a burst of flapping.
    turns: u32,
    /// Silent since then, for replays.
    silent_since: Option<u64>,
}

/// What a device sends.
pub enum Sent {
    Heartbeat(String, Report),
    Shutdown(String),
    Replays(String),
    /// A live heartbeat that cannot be decoded.
    Nonsense(String),
}

impl Device {
    pub fn new(machine: usize, plan: &MachinePlan, threshold: u64, parts: Parts) -> Device {
        Device {
            machine,
            hardware: format!("hw{machine}"),
            boot: 1,
            reported_boot: 1,
            has_power: true,
            parts,
            interval: plan.interval,
            style: plan.style,
            threshold,
            is_up: true,
            turns: 0,
            silent_since: None,
        }
    }

    /// A second device with the same token: the copy of an SD card.
    pub fn copied(&self) -> Device {
        Device {
            hardware: format!("{}-copy", self.hardware),
            is_up: true,
            has_power: true,
            parts: Parts::default(),
            style: Style::Steady,
            turns: 0,
            silent_since: None,
            ..*self
        }
    }

    pub fn is_alive(&self) -> bool {
        self.is_up && self.has_power
    }

    pub fn set_power(&mut self, has_power: bool, t: u64) {
        self.has_power = has_power;
        if has_power {
            self.boot += 1;
        } else {
            self.silent_since = Some(t);
        }
    }

    /// Time until its next heartbeat.
    pub fn pause(&self, rng: &mut Rng) -> u64 {
        self.interval + rng.u64(..300)
    }

    fn heartbeat(&self, rng: &mut Rng, reason: &str, fields: &str) -> String {
        format!(
            r#"{{"hostname":"host{}","hardwareid":"{}","boot_id":"{}","interval_s":{},"reason":"{reason}","cpu":{}{fields}}}"#,
            self.machine + 1,
            self.hardware,
            self.boot,
            self.interval / SECOND,
            rng.u8(..100)
        )
    }

    /// What it sends at its next turn: replays of its silence first.
    pub fn send(&mut self, rng: &mut Rng, of_parts: &mut Rng, t: u64) -> Vec<Sent> {
        let mut sent = Vec::new();
        match rng.u8(..200) {
            0 => sent.push(Sent::Nonsense("{\"cpu\": ".into())),
            _ => {
                let has_booted = self.reported_boot != self.boot;
                self.reported_boot = self.boot;
                let (fields, report) = self.parts.check(of_parts, has_booted);
                sent.push(Sent::Heartbeat(self.heartbeat(rng, "interval", &fields), report));
            }
        }
        if let Some(since) = self.silent_since.take() {
            sent.push(Sent::Replays(replays(t - since)));
        }
        sent
    }

    pub fn shutdown(&self, rng: &mut Rng) -> Sent {
        Sent::Shutdown(self.heartbeat(rng, "shutdown", ""))
    }

    /// Replays of a device that is not alive: they were on their way.
    pub fn stray(&self) -> Option<Sent> {
        (!self.is_alive()).then(|| Sent::Replays(replays(5 * MINUTE)))
    }

    /// Changes what it does; returns for how long, and whether it says that it shuts down.
    pub fn change(&mut self, rng: &mut Rng, t: u64) -> (u64, bool) {
        self.is_up = !self.is_up;
        if self.is_up {
            self.boot += u32::from(rng.bool());
            let mean = match self.style {
                _ if self.turns > 0 => MINUTE,
                Style::Flapping => 20 * MINUTE,
                Style::Steady | Style::Switched => 90 * MINUTE,
            };
            return (about(rng, mean).max(2 * SECOND), false);
        }
        self.silent_since = Some(t);
        self.turns = self.turns.saturating_sub(1);
        if self.style == Style::Flapping && self.turns == 0 && rng.u8(..3) == 0 {
            self.turns = rng.u32(2..10);
        }
        let is_shutdown = self.style == Style::Switched && rng.bool() && self.has_power;
        let length = match rng.u8(..6) {
            _ if self.turns > 0 => self.threshold + about(rng, MINUTE),
            // A reboot.
            0 | 1 => rng.u64(10 * SECOND..self.threshold + 10 * SECOND),
            2 => about(rng, 2 * HOUR),
            _ => self.threshold + about(rng, 10 * MINUTE),
        };
        (length, is_shutdown)
    }
}

fn replays(age: u64) -> String {
    let mut text = String::from("[");
    let samples = (age / MINUTE).clamp(1, 5);
    for sample in 0..samples {
        let separator = if sample == 0 { "" } else { "," };
        let age = (age - sample * age / samples) / SECOND;
        let _ = write!(text, r#"{separator}{{"replay_age_s":{age},"cpu":5}}"#);
    }
    text + "]"
}
