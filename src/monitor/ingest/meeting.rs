//! The Meeting API: `POST /api/devices/{device_key}/online`, and the responses of `.../availability` and of the device
//! itself.

use super::figures::{CELSIUS, NO_UNIT, PERCENT, celsius, load, percent};
use super::malformed::Malformed;
use super::read::{self, Fields, figure, skip};
use crate::clock::Moment;
use crate::http::Response;
use crate::monitor::beat::{Beat, BeatKind, Sample};
use crate::monitor::conditions::facts::Facts;
use crate::monitor::fleet::LatestBeat;
use crate::monitor::machine::DeviceServer;
use serde::de::MapAccess;
use serde_json::{Value, json};

pub fn parse(text: &str) -> Result<Beat<'_>, Malformed> {
    let online: Online = read::object(text)?;
    Ok(Beat {
        kind: BeatKind::Live,
        reason: None,
        server: DeviceServer::Only,
        interval: None,
        device: None,
        hostname: None,
        sample: online.sample,
        facts: Facts::default(),
        payload: text,
    })
}

#[derive(Default)]
struct Online {
    sample: Sample,
}

impl<'de> Fields<'de> for Online {
    fn read_field<A: MapAccess<'de>>(&mut self, key: &str, value: &mut A) -> Result<(), A::Error> {
        match key {
            "cpu_load" => self.sample.load = load(figure(value, NO_UNIT)?),
            "memory_percent" => self.sample.mem = percent(figure(value, PERCENT)?),
            "disk_percent" => self.sample.disk = percent(figure(value, PERCENT)?),
            "temperature" => self.sample.temp = celsius(figure(value, CELSIUS)?),
            _ => skip(value)?,
        }
        Ok(())
    }
}

/// The response to a heartbeat.
pub fn online() -> Response {
    Response::json(200, &json!({ "status": "available" }))
}

/// The availability of a device, as the original formats it.
pub fn availability(online: bool, seen: Option<Moment>) -> Response {
    Response::json(200, &json!({ "status": status(online), "last_heartbeat": seen.and_then(time) }))
}

/// A device as the original describes it, with the fields of its last heartbeat. Each token belongs to one device, so the
/// device is authorized and provisioned.
pub fn device(device_key: &str, online: bool, newest: Option<LatestBeat>) -> Response {
    let seen = newest.as_ref().and_then(|newest| time(newest.seen));
    let payload = newest.and_then(|newest| newest.payload);
    let payload: Value = payload.and_then(|payload| serde_json::from_str(&payload).ok()).unwrap_or_default();
    Response::json(
        200,
        &json!({
            "device_key": device_key,
            "authorized": true,
            "provisioned": true,
            "online": online,
            "status": status(online),
            "last_seen": seen,
            "last_heartbeat": seen,
            "ip_address": payload["ip_address"],
            "ip_lan": payload["ip_lan"],
            "mac": payload["mac"],
            "note": payload["note"],
        }),
    )
}

fn status(online: bool) -> &'static str {
    if online { "available" } else { "unavailable" }
}

/// The original's format: "2026-01-21 14:30:00", UTC.
fn time(moment: Moment) -> Option<String> {
    moment.rfc_3339().map(|text| text.replace('T', " ").replace('Z', ""))
}
