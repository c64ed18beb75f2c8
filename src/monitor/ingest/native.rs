//! Our own daemon's heartbeats (`wire::Heartbeat`): one, or an array of replays.
//!
//! Unknown fields of later versions stay in the payload; missing fields of earlier versions are absent.

use super::facts::{self, ThrottledFields};
use super::figures::{
    CELSIUS, NO_UNIT, PERCENT, WATT, age, celsius, dbm, interval, load, percent, rpm, watts,
};
use super::malformed::{Cause, Malformed};
use super::read::{self, Fields, JsonValue, boolean, figure, first, nested, skip, text};
use crate::monitor::beat::{Beat, BeatKind, DeviceId, Replay, Sample};
use crate::monitor::conditions::facts::{Facts, InterfaceName, UplinkFacts};
use crate::monitor::machine;
use crate::wire::{Reason, ServerRole};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;

/// The content of one request.
#[expect(clippy::large_enum_variant, reason = "almost every request is a beat, and it is not stored")]
#[derive(Debug, PartialEq)]
pub enum Received<'a> {
    Beat(Beat<'a>),
    /// Oldest first, as the daemon sends them; nothing depends on the order.
    Replays(Vec<Replay>),
}

pub const NO_AGE: &str = "replay_age_s must be 0 or more seconds";

/// # Errors
/// `text` is not JSON, neither an object nor an array, an array with anything but replays, or has an invalid age (a replay
/// must never count as a sign of life).
pub fn parse(text: &str) -> Result<Received<'_>, Malformed> {
    if text.trim_ascii_start().starts_with('[') {
        let replays: Replays = serde_json::from_str(text).map_err(Malformed::json)?;
        return Ok(Received::Replays(replays.0));
    }
    let native: Native<'_> = read::object(text)?;
    if native.replay_age_s.is_some() {
        let age = age(native.replay_age_s).ok_or_else(|| Malformed::new(Cause::NotAHeartbeat, NO_AGE))?;
        return Ok(Received::Replays(vec![Replay { age, sample: native.sample }]));
    }
    Ok(Received::Beat(native.beat(text)))
}

/// The fields that the monitor uses; RPI Streamer's have the same names.
#[derive(Default)]
pub(super) struct Native<'de> {
    reason: Option<Cow<'de, str>>,
    server: Option<Cow<'de, str>>,
    interval_s: Option<f64>,
    replay_age_s: Option<f64>,
    hostname: Option<Cow<'de, str>>,
    hardwareid: Option<Cow<'de, str>>,
    /// For `facts.recording`.
    recording_size_mb: Option<f64>,
    recording_path: Option<Cow<'de, str>>,
    facts: Facts<'de>,
    sample: Sample,
}

impl<'de> Native<'de> {
    pub(super) fn beat(mut self, payload: &'de str) -> Beat<'de> {
        self.facts.recording = facts::recording(self.recording_size_mb, self.recording_path.as_deref());
        // A daemon update that writes the MAC address differently must not make it another device.
        let hardware_id = self.hardwareid.as_deref().map(machine::canonical_hardware_id);
        let reason = self.reason.as_deref().and_then(Reason::from_name);
        Beat {
            kind: if reason == Some(Reason::Shutdown) { BeatKind::Shutdown } else { BeatKind::Live },
            reason,
            server: self.server.as_deref().and_then(ServerRole::from_name).into(),
            interval: interval(self.interval_s),
            device: DeviceId::of(hardware_id.as_deref(), self.facts.boot_id.as_deref()),
            hostname: self.hostname,
            sample: self.sample,
            facts: self.facts,
            payload,
        }
    }
}

impl<'de> Fields<'de> for Native<'de> {
    fn read_field<A: MapAccess<'de>>(&mut self, key: &str, value: &mut A) -> Result<(), A::Error> {
        match key {
            "cpu" => self.sample.cpu = percent(figure(value, PERCENT)?),
            "mem" => self.sample.mem = percent(figure(value, PERCENT)?),
            "temp" => self.sample.temp = celsius(figure(value, CELSIUS)?),
            "power" => self.sample.power = watts(figure(value, WATT)?),
            "load" => self.sample.load = load(first(value)?),
            "disk" => self.sample.disk = nested::<NativeDisk, A>(value)?.percent,
            "connection" => {
                let connection = nested::<NativeConnection, A>(value)?;
                self.sample.signal = connection.wifi.signal;
                self.facts.wifi_dbm = connection.wifi.dbm;
                (self.facts.active, self.facts.uplinks) = (connection.active, connection.uplinks);
            }
            "reason" => self.reason = text(value)?,
            "server" => self.server = text(value)?,
            "hostname" => self.hostname = text(value)?,
            "hardwareid" => self.hardwareid = text(value)?,
            "boot_id" => self.facts.boot_id = text(value)?,
            "clock_synced" => self.facts.clock_synced = boolean(value)?,
            "fan_rpm" => self.facts.fan_rpm = rpm(figure(value, NO_UNIT)?),
            "throttled" => self.facts.throttled = nested::<ThrottledFields, A>(value)?.facts(),
            "expected_activity" => self.facts.activity.expected = facts::expected(value)?,
            "streaming_active" => self.facts.activity.active[0] = boolean(value)?,
            "tracking_active" => self.facts.activity.active[1] = boolean(value)?,
            "recording_active" => self.facts.activity.active[2] = boolean(value)?,
            "recording_file_size_mb" => self.recording_size_mb = figure(value, NO_UNIT)?,
            "recording_file_path" => self.recording_path = text(value)?,
            "file_systems" => self.facts.file_systems = facts::file_systems(value)?,
            "cameras" => self.facts.cameras = facts::cameras(value)?,
            "interval_s" => self.interval_s = figure(value, NO_UNIT)?,
            "replay_age_s" => self.replay_age_s = figure(value, NO_UNIT)?,
            _ => skip(value)?,
        }
        Ok(())
    }
}

#[derive(Default)]
struct NativeDisk {
    percent: Option<f32>,
}

impl<'de> Fields<'de> for NativeDisk {
    fn read_field<A: MapAccess<'de>>(&mut self, key: &str, value: &mut A) -> Result<(), A::Error> {
        match key {
            "percent" => self.percent = percent(figure(value, PERCENT)?),
            _ => skip(value)?,
        }
        Ok(())
    }
}

#[derive(Default)]
struct NativeConnection {
    wifi: Wifi,
    active: Option<InterfaceName>,
    uplinks: Vec<UplinkFacts>,
}

impl<'de> Fields<'de> for NativeConnection {
    fn read_field<A: MapAccess<'de>>(&mut self, key: &str, value: &mut A) -> Result<(), A::Error> {
        match key {
            "wifi" => {
                self.wifi = match value.next_value::<JsonValue<Wifi>>()? {
                    JsonValue::Object(wifi) => wifi,
                    JsonValue::Text(words) => Wifi { signal: signal_in(&words), dbm: None },
                    _ => Wifi::default(),
                }
            }
            "active" => self.active = text(value)?.and_then(|name| InterfaceName::new(&name)),
            "uplinks" => self.uplinks = facts::uplinks(value)?,
            _ => skip(value)?,
        }
        Ok(())
    }
}

/// Parses RPI Streamer's text for a WLAN: "Connected (barn) - 80%".
fn signal_in(words: &str) -> Option<f32> {
    let (_, signal) = words.strip_suffix('%')?.rsplit_once(" - ")?;
    percent(signal.parse().ok())
}

#[derive(Default)]
struct Wifi {
    signal: Option<f32>,
    dbm: Option<f32>,
}

impl<'de> Fields<'de> for Wifi {
    fn read_field<A: MapAccess<'de>>(&mut self, key: &str, value: &mut A) -> Result<(), A::Error> {
        match key {
            "signal_percent" => self.signal = percent(figure(value, PERCENT)?),
            "signal_dbm" => self.dbm = dbm(figure(value, NO_UNIT)?),
            _ => skip(value)?,
        }
        Ok(())
    }
}

/// An array of replays. Reading ends at the first element that is not a replay, so an array never uses more memory than
/// the replays in it.
struct Replays(Vec<Replay>);

impl<'de> Deserialize<'de> for Replays {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_seq(ReplaysVisitor)
    }
}

struct ReplaysVisitor;

impl<'de> Visitor<'de> for ReplaysVisitor {
    type Value = Replays;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of replays")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Replays, A::Error> {
        let mut replays = Vec::new();
        while let Some(element) = seq.next_element::<JsonValue<Native>>()? {
            let JsonValue::Object(native) = element else {
                return Err(A::Error::custom("an element is not an object"));
            };
            // An element without an age would be a live heartbeat, which is not sent in an array.
            let age =
                age(native.replay_age_s).ok_or_else(|| A::Error::custom("an element has no replay_age_s"))?;
            replays.push(Replay { age, sample: native.sample });
        }
        Ok(Replays(replays))
    }
}
