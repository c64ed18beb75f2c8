//! A device that registers itself: `POST /api/v1/enroll` with a key that is good for once.
//!
//! ```text
//! Authorization: Bearer KEY        or "key" in the body, or ?token=
//! {"hardwareid": "10000000a5bd2dd2", "hostname": "barn-cam"}
//! 201 {"machine": 7, "name": "barn-cam", "token": "..."}
//! ```
//!
//! It writes, so it belongs to a worker. Answered once the front knows the new token: the device may use it at once.

use super::read::{self, Fields, Unknown, Value, skip};
use super::{Malformed, UNWRITTEN, body, credentials, unavailable, uncached};
use crate::clock::Moment;
use crate::http::{Exchange, Method, Request, Response};
use crate::monitor::recorder::RecorderEvent;
use crate::monitor::registry::enrolment::{Enrolled, Enrolment};
use crate::monitor::store::{Refused, Store};
use crossbeam_channel::Sender;
use serde::de::{Error, MapAccess};
use serde_json::json;
use std::borrow::Cow;

pub const PATH: &str = "/api/v1/enroll";

/// Answers an exchange for [`PATH`], possibly later. Waits for the database.
pub fn take(store: &Store, orders: &Sender<RecorderEvent>, exchange: Exchange, now: Moment) {
    let Exchange { request, reply } = exchange;
    let enrolled = match enroll(store, &request, now) {
        Ok(enrolled) => enrolled,
        Err(response) => return reply.send(uncached(response)),
    };
    let loaded = move |result: Result<(), _>| {
        // Not known to the front yet, but it will be when the database can be read again.
        let status = if result.is_ok() { 201 } else { 202 };
        let Enrolled { machine, name, token } = enrolled;
        let granted = json!({ "machine": machine.0, "name": name, "token": token.as_str() });
        reply.send(uncached(Response::json(status, &granted)));
    };
    // Fails when the monitor stops: then the reply is dropped, and the device may use its key again.
    let _ = orders.send(RecorderEvent::Registry { loaded: Box::new(loaded) });
}

fn enroll(store: &Store, request: &Request, now: Moment) -> Result<Enrolled, Response> {
    if request.method() != Method::Post {
        return Err(wrong_method());
    }
    let malformed = |reason: Malformed| Response::error(reason.status(), &reason.to_string());
    let (body, inflated) = body::inflate(request, request.content()?);
    let text = inflated.and_then(|()| body::text(&body)).map_err(malformed)?;
    let device: Device<'_> = read::object(text).map_err(malformed)?;
    let Some(key) = credentials::token(request).or(device.key) else {
        return Err(Response::error(401, "an enrolment key is needed: Authorization: Bearer KEY")
            .header("WWW-Authenticate", "Bearer realm=\"enrolment\""));
    };
    let Some(hardware_id) = device.hardware_id else {
        return Err(Response::error(400, "hardwareid is missing"));
    };
    let enrolment = Enrolment { key: &key, hardware_id: &hardware_id, hostname: device.hostname.as_deref() };
    store.enroll(&enrolment, now).map_err(|refused| match refused {
        Refused::Store(_) | Refused::Open(_) => unavailable(UNWRITTEN),
        Refused::Request(reason) => Response::error(403, &reason),
    })
}

pub fn wrong_method() -> Response {
    Response::error(405, "method not allowed here (see Allow)").header("Allow", "POST")
}

#[derive(Default)]
struct Device<'de> {
    key: Option<Cow<'de, str>>,
    hardware_id: Option<Cow<'de, str>>,
    hostname: Option<Cow<'de, str>>,
}

impl<'de> Fields<'de> for Device<'de> {
    fn take<A: MapAccess<'de>>(&mut self, key: &str, value: &mut A) -> Result<(), A::Error> {
        match key {
            "key" => self.key = string(value)?,
            "hardwareid" => self.hardware_id = string(value)?,
            "hostname" => self.hostname = string(value)?,
            _ => skip(value)?,
        }
        Ok(())
    }
}

/// Strict, unlike a heartbeat's fields: no client of another age is to be understood here, and whoever builds one is
/// told what is wrong. `null` is absent.
fn string<'de, A: MapAccess<'de>>(value: &mut A) -> Result<Option<Cow<'de, str>>, A::Error> {
    match value.next_value::<Option<Value<Unknown>>>()? {
        None => Ok(None),
        Some(Value::Text(text)) => Ok(Some(text).filter(|text| !text.is_empty())),
        Some(_) => Err(A::Error::custom("expected a string")),
    }
}
