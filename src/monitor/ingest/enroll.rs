//! Enrolment of a device: `POST /api/v1/enroll` with a key.
//!
//! ```text
//! Authorization: Bearer KEY        or "key" in the body, or ?token=
//! {"hardwareid": "10000000a5bd2dd2", "hostname": "barn-cam", "token": "43 characters"}
//! 201 {"machine": 7, "name": "barn-cam"}
//! 202 {"waiting": "its key asks for approval"}
//! ```
//!
//! A device that has not sent a token gets one: 201 {"machine": 7, "name": "barn-cam", "token": "..."}. Instead of a key, a
//! device can send the token on its card: on another board it waits for approval.
//!
//! It writes to the database, so a worker does it. It is answered once the HTTP server knows the new token, so that the
//! device can use it at once.

use super::answer::{UNWRITTEN, unavailable, uncached};
use super::malformed::Malformed;
use super::read::{self, Fields, JsonValue, Skipped, skip};
use super::{body, credentials};
use crate::clock::Moment;
use crate::http::{Exchange, Method, Request, Response};
use crate::monitor::recorder::RecorderEvent;
use crate::monitor::registry::enrolment::{Enrolled, Enrolment, EnrolmentResult};
use crate::monitor::store::{Refused, Store};
use crossbeam_channel::Sender;
use serde::de::{Error, MapAccess};
use serde_json::json;
use std::borrow::Cow;
use std::time::Duration;

pub const PATH: &str = "/api/v1/enroll";

/// Answers an exchange for [`PATH`], possibly later. Waits for the database. False: the device was refused.
pub fn handle(store: &Store, orders: &Sender<RecorderEvent>, exchange: Exchange, now: Moment) -> bool {
    let Exchange { request, reply } = exchange;
    let enrolled = match enroll(store, &request, now) {
        Ok(EnrolmentResult::Enrolled(enrolled)) => enrolled,
        Ok(EnrolmentResult::Waiting(reason)) => {
            let waiting = json!({ "waiting": reason.sentence(None) });
            reply.send(uncached(Response::json(202, &waiting)));
            return true;
        }
        Err(response) => {
            let is_our_fault = response.status() >= 500;
            reply.send(uncached(response));
            return is_our_fault;
        }
    };
    let loaded = move |result: Result<(), _>| {
        // 202: the token is valid, but not in memory until the database can be read again.
        let status = if result.is_ok() { 201 } else { 202 };
        let Enrolled { machine, name, token } = enrolled;
        let mut granted = json!({ "machine": machine.0, "name": name });
        if let Some(token) = token {
            granted["token"] = token.as_str().into();
        }
        reply.send(uncached(Response::json(status, &granted)));
    };
    // Disconnected: the monitor is stopping; the reply is dropped, and the device can use its key again.
    let _ = orders.send(RecorderEvent::Registry { loaded: Box::new(loaded) });
    true
}

/// For a network whose requests failed too often.
pub fn too_many(wait: Duration) -> Response {
    let seconds = wait.as_secs() + 1;
    let refusal = Response::error(429, &format!("too many enrolments failed; try again in {seconds} s"));
    uncached(refusal.header("Retry-After", seconds.to_string()))
}

fn enroll(store: &Store, request: &Request, now: Moment) -> Result<EnrolmentResult, Response> {
    if request.method() != Method::Post {
        return Err(wrong_method());
    }
    let malformed = |reason: Malformed| Response::error(reason.status(), &reason.to_string());
    let (body, inflated) = body::inflate(request, request.content()?);
    let text = inflated.and_then(|()| body::text(&body)).map_err(malformed)?;
    let device: EnrollRequest<'_> = read::object(text).map_err(malformed)?;
    let Some(key) = credentials::token(request).or(device.key) else {
        return Err(Response::error(401, "missing enrolment key: use Authorization: Bearer KEY")
            .header("WWW-Authenticate", "Bearer realm=\"enrolment\""));
    };
    let Some(hardware_id) = device.hardware_id else {
        return Err(Response::error(400, "hardwareid is missing"));
    };
    let enrolment = Enrolment {
        credential: &key,
        hardware_id: &hardware_id,
        hostname: device.hostname.as_deref(),
        token: device.token.as_deref(),
    };
    store.enroll(&enrolment, now).map_err(|refused| match refused {
        Refused::Store(_) | Refused::Open(_) => unavailable(UNWRITTEN),
        Refused::Request(reason) => Response::error(403, &reason),
    })
}

pub fn wrong_method() -> Response {
    Response::error(405, "method not allowed here (see Allow)").header("Allow", "POST")
}

#[derive(Default)]
struct EnrollRequest<'de> {
    key: Option<Cow<'de, str>>,
    hardware_id: Option<Cow<'de, str>>,
    hostname: Option<Cow<'de, str>>,
    token: Option<Cow<'de, str>>,
}

impl<'de> Fields<'de> for EnrollRequest<'de> {
    fn read_field<A: MapAccess<'de>>(&mut self, key: &str, value: &mut A) -> Result<(), A::Error> {
        match key {
            "key" => self.key = string(value)?,
            "hardwareid" => self.hardware_id = string(value)?,
            "hostname" => self.hostname = string(value)?,
            "token" => self.token = string(value)?,
            _ => skip(value)?,
        }
        Ok(())
    }
}

/// Strict, unlike the fields of a heartbeat: there are no old clients to tolerate, and the author of a new one sees what is
/// wrong. `null` is absent.
fn string<'de, A: MapAccess<'de>>(value: &mut A) -> Result<Option<Cow<'de, str>>, A::Error> {
    match value.next_value::<Option<JsonValue<Skipped>>>()? {
        None => Ok(None),
        Some(JsonValue::Text(text)) => Ok(Some(text).filter(|text| !text.is_empty())),
        Some(_) => Err(A::Error::custom("expected a string")),
    }
}
