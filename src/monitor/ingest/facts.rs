//! Reads the facts that conditions are judged by from a heartbeat's JSON.

use super::figures::age;
use super::read::{Fields, JsonValue, Skipped, boolean, figure, list, skip, text};
use crate::monitor::conditions::facts::{
    CameraFacts, FileSystemFacts, InterfaceName, MAX_SUBJECTS, RecordingFacts, ThrottleFacts, UplinkFacts,
};
use crate::wire::{ActivityName, CameraStatus, LinkState, Throttle};
use serde::de::{Deserialize, IntoDeserializer, MapAccess, value};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

const NUMBER: &[&str] = &[];

/// More interfaces than a device can be configured with.
const MOST_UPLINKS: usize = 16;

#[derive(Default)]
pub(super) struct ThrottledFields {
    now: Option<ThrottleFacts>,
}

impl ThrottledFields {
    pub(super) fn facts(self) -> Option<ThrottleFacts> {
        self.now
    }
}

impl<'de> Fields<'de> for ThrottledFields {
    fn read_field<A: MapAccess<'de>>(&mut self, key: &str, value: &mut A) -> Result<(), A::Error> {
        match key {
            "now" => self.now = words(value)?.map(|words| throttle(&words)),
            _ => skip(value)?,
        }
        Ok(())
    }
}

fn throttle(words: &[JsonValue<'_, Skipped>]) -> ThrottleFacts {
    let has = |throttle: Throttle| {
        words.iter().any(|word| matches!(word, JsonValue::Text(word) if word == throttle.as_str()))
    };
    ThrottleFacts {
        under_voltage: has(Throttle::UnderVoltage),
        limited: has(Throttle::Throttled) || has(Throttle::FrequencyCapped),
    }
}

fn words<'de, A: MapAccess<'de>>(value: &mut A) -> Result<Option<Vec<JsonValue<'de, Skipped>>>, A::Error> {
    list::<Skipped, A>(value, MOST_UPLINKS)
}

/// The expected activities.
pub(super) fn expected<'de, A: MapAccess<'de>>(value: &mut A) -> Result<[bool; 3], A::Error> {
    let words = words(value)?.unwrap_or_default();
    let has = |activity: ActivityName| {
        words.iter().any(|word| matches!(word, JsonValue::Text(word) if word == activity.as_str()))
    };
    Ok(ActivityName::ALL.map(has))
}

/// The configured uplinks, best first. Daemons before 0.2 sent a map without order, which is skipped.
pub(super) fn uplinks<'de, A: MapAccess<'de>>(value: &mut A) -> Result<Vec<UplinkFacts>, A::Error> {
    let fields: Vec<UplinkFields> = objects(list(value, MOST_UPLINKS)?);
    let uplink = |fields: UplinkFields| {
        Some(UplinkFacts { name: fields.name?, works: fields.works, proven: fields.proven })
    };
    Ok(fields.into_iter().filter_map(uplink).collect())
}

#[derive(Default)]
struct UplinkFields {
    name: Option<InterfaceName>,
    works: bool,
    proven: Option<Duration>,
}

impl<'de> Fields<'de> for UplinkFields {
    fn read_field<A: MapAccess<'de>>(&mut self, key: &str, value: &mut A) -> Result<(), A::Error> {
        match key {
            "interface" => self.name = text(value)?.and_then(|name| InterfaceName::new(&name)),
            "health" => self.works = text(value)?.is_some_and(|health| works(&health)),
            "proven_s" => self.proven = age(figure(value, NUMBER)?),
            _ => skip(value)?,
        }
        Ok(())
    }
}

/// Whether packets may get through an uplink in this state; not in one of a later version.
fn works(health: &str) -> bool {
    let state: Result<LinkState, value::Error> = LinkState::deserialize(health.into_deserializer());
    state.is_ok_and(LinkState::is_connected)
}

/// The file systems of a device.
pub(super) fn file_systems<'de, A: MapAccess<'de>>(
    value: &mut A,
) -> Result<Vec<FileSystemFacts<'de>>, A::Error> {
    Ok(objects(list(value, MOST_UPLINKS)?))
}

/// The cameras behind a device; one more than are kept, so that too many are noticed.
pub(super) fn cameras<'de, A: MapAccess<'de>>(value: &mut A) -> Result<Vec<CameraFacts<'de>>, A::Error> {
    Ok(objects(list(value, MAX_SUBJECTS + 1)?))
}

/// The objects of an array; other elements are skipped.
fn objects<F>(values: Option<Vec<JsonValue<'_, F>>>) -> Vec<F> {
    let object = |value| match value {
        JsonValue::Object(fields) => Some(fields),
        _ => None,
    };
    values.unwrap_or_default().into_iter().filter_map(object).collect()
}

impl<'de> Fields<'de> for FileSystemFacts<'de> {
    fn read_field<A: MapAccess<'de>>(&mut self, key: &str, value: &mut A) -> Result<(), A::Error> {
        match key {
            "path" => self.path = text(value)?,
            "read_only" => self.read_only = boolean(value)?,
            "errors" => self.errors = count(figure(value, NUMBER)?),
            "io_errors" => self.io_errors = count(figure(value, NUMBER)?),
            _ => skip(value)?,
        }
        Ok(())
    }
}

impl<'de> Fields<'de> for CameraFacts<'de> {
    fn read_field<A: MapAccess<'de>>(&mut self, key: &str, value: &mut A) -> Result<(), A::Error> {
        match key {
            "mac" => self.mac = text(value)?,
            "hostname" => self.hostname = text(value)?,
            "status" => self.is_connected = text(value)?.and_then(|status| is_connected(&status)),
            "failed_checks" => self.failed_checks = count(figure(value, NUMBER)?),
            _ => skip(value)?,
        }
        Ok(())
    }
}

fn is_connected(status: &str) -> Option<bool> {
    let is = |of: CameraStatus| of.as_str() == status;
    if is(CameraStatus::Connected) { Some(true) } else { is(CameraStatus::Disconnected).then_some(false) }
}

/// A whole number from 0.
fn count(number: Option<f64>) -> Option<u32> {
    number.filter(|number| (0.0..=f64::from(u32::MAX)).contains(number)).map(|number| number as u32)
}

/// The recorded file's hash, which is all that is needed to see another one.
pub(super) fn recording(size_mb: Option<f64>, path: Option<&str>) -> Option<RecordingFacts> {
    let size_mb = size_mb.filter(|size| *size >= 0.0).map(|size| size as f32);
    let file = path.map(|path| {
        let mut hasher = DefaultHasher::new();
        path.hash(&mut hasher);
        hasher.finish()
    });
    (size_mb.is_some() || file.is_some()).then_some(RecordingFacts { size_mb, file })
}
