//! The Meeting API's `POST /api/devices/{device_key}/online`, and its answer to `.../availability`.

use super::Malformed;
use super::figures::{CELSIUS, NO_UNIT, PERCENT, celsius, load, percent};
use super::read::{self, Fields, figure, skip};
use crate::http::Response;
use crate::monitor::beat::{Beat, Kind, Sample};
use crate::monitor::time::Moment;
use serde::de::MapAccess;
use serde_json::json;

/// # Errors
/// Not a JSON object.
pub fn parse(text: &str) -> Result<Beat<'_>, Malformed> {
    let online: Online = read::object(text)?;
    Ok(Beat {
        kind: Kind::Live,
        interval: None,
        device: None,
        hostname: None,
        sample: online.sample,
        payload: text,
    })
}

#[derive(Default)]
struct Online {
    sample: Sample,
}

impl<'de> Fields<'de> for Online {
    fn take<A: MapAccess<'de>>(&mut self, key: &str, value: &mut A) -> Result<(), A::Error> {
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

/// What a device is told that is online.
pub fn online() -> Response {
    Response::json(200, &json!({ "status": "available" }))
}

/// What its own API says of a device, with the time as that one writes it: "2026-01-21 14:30:00", UTC.
pub fn availability(online: bool, seen: Option<Moment>) -> Response {
    let seen = seen.and_then(Moment::rfc3339).map(|text| text.replace('T', " ").replace('Z', ""));
    let status = if online { "available" } else { "unavailable" };
    Response::json(200, &json!({ "status": status, "last_heartbeat": seen }))
}
