//! Webhook: the request of LunaSentri, with additions against repetition and replay.
//!
//! - `X-Webhook-Signature: sha256=<hex HMAC-SHA256 of the body>`: from the original. It proves that the body is
//!   ours, but not when it was sent: a recorded request can be sent again.
//! - `X-LunaSentri-Signature`: the same as LunaSentri's program sends it; its documentation names the header above. The
//!   key is the SHA-256 of the secret (32 bytes), because LunaSentri stores only that.
//! - `X-Webhook-Id`: the id of the outbox row, the same for a repeated delivery. Negative for `channel test`, whose event is
//!   `machine.test`, and for an alert about the monitor itself, whose event is `monitor.trouble`.
//! - `X-Webhook-Timestamp` (Unix seconds of this attempt) and `X-Webhook-Signature-V2: sha256=<hex HMAC-SHA256 of
//!   "id.timestamp.body">`: a receiver should refuse requests older than five minutes and known ids.

use super::acknowledge_link::AcknowledgeOffer;
use super::channel::Channel;
use super::condition_notice::ConditionNotice;
use super::http::PostClient;
use super::kinds::template::{CONTENT_TYPE, DEFAULT_CONTENT_TYPE, TEMPLATE, render};
use super::message::{DeliveryError, Message};
use super::notice::EventKind;
use super::notice::Notice;
use crate::clock::Moment;
use hmac::{Hmac, KeyInit, Mac};
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::fmt::Write;

/// The payload with the fields of the original.
#[derive(Debug, Serialize)]
struct WebhookPayload<'a> {
    event: String,
    machine: WebhookMachine<'a>,
    /// Ours: of `machine.condition` and `machine.condition.ended`.
    #[serde(skip_serializing_if = "Option::is_none")]
    condition: Option<WebhookCondition<'a>>,
    /// Ours: of `machine.conditions`, those that held when they were first judged.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    conditions: Vec<WebhookCondition<'a>>,
    /// Ours: the address of a page with a button that acknowledges the incident.
    #[serde(skip_serializing_if = "Option::is_none")]
    acknowledge_url: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct WebhookCondition<'a> {
    condition: &'a str,
    /// Empty for the machine itself.
    subject: &'a str,
    label: Option<&'a str>,
    value: Option<f32>,
    threshold: Option<f32>,
    since: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    machine: Option<&'a str>,
}

impl<'a> WebhookCondition<'a> {
    fn of(condition: &'a ConditionNotice, machine: Option<&'a str>) -> WebhookCondition<'a> {
        WebhookCondition {
            condition: &condition.condition,
            subject: &condition.subject,
            label: condition.label.as_deref(),
            value: condition.value,
            threshold: condition.threshold,
            since: Moment(condition.since).rfc_3339(),
            machine,
        }
    }
}

#[derive(Debug, Serialize)]
struct WebhookMachine<'a> {
    id: i64,
    name: &'a str,
    hostname: Option<&'a str>,
    description: Option<&'a str>,
    status: &'static str,
    last_seen: Option<String>,
    /// Ours: of `machine.online`.
    #[serde(skip_serializing_if = "Option::is_none")]
    recovered_at: Option<String>,
}

pub fn send(
    http: &PostClient,
    channel: &Channel,
    message: &Message,
    now: Moment,
) -> Result<String, DeliveryError> {
    let (content_type, body) = body(channel, message, now)?;
    let (id, timestamp) = (message.id().to_string(), now.0.div_euclid(1000).to_string());
    let mut headers = vec![
        ("Content-Type", content_type.to_owned()),
        ("X-Webhook-Id", id.clone()),
        ("X-Webhook-Timestamp", timestamp.clone()),
    ];
    if let Some(secret) = &channel.secret {
        let dated = [id.as_bytes(), b".", timestamp.as_bytes(), b".", &body];
        headers.push(("X-Webhook-Signature", signature(secret.as_bytes(), &[&body])));
        headers.push(("X-Webhook-Signature-V2", signature(secret.as_bytes(), &dated)));
        headers.push(("X-LunaSentri-Signature", signature(&Sha256::digest(secret), &[&body])));
    }
    let answer = http.post(&channel.target, &headers, &body)?;
    match answer.is_success() {
        true => Ok(answer.status.to_string()),
        false => Err(answer.error()),
    }
}

fn never(why: String) -> DeliveryError {
    DeliveryError::Never { why }
}

/// Content type and body: the JSON of the original, or by the channel's template.
fn body<'a>(
    channel: &'a Channel,
    message: &Message,
    now: Moment,
) -> Result<(&'a str, Vec<u8>), DeliveryError> {
    let Some(template) = channel.options.get(TEMPLATE) else {
        let body = payload(message.first_notice()?, message.acknowledge.as_ref());
        return Ok((DEFAULT_CONTENT_TYPE, body.map_err(never)?));
    };
    let content_type = channel.options.get(CONTENT_TYPE).unwrap_or(DEFAULT_CONTENT_TYPE);
    let body = render(template, content_type, &described(message, now)?);
    // It was valid when it was added: it can be corrected, like the address.
    Ok((content_type, body.map_err(DeliveryError::later)?.into_bytes()))
}

/// The payload with the message itself, for templates and for kinds that need both.
pub fn described(message: &Message, now: Moment) -> Result<Value, DeliveryError> {
    let notice = message.first_notice()?;
    let body = payload(notice, message.acknowledge.as_ref()).map_err(never)?;
    let mut body: Value = serde_json::from_slice(&body).map_err(|error| never(error.to_string()))?;
    body["title"] = message.plain_title().into();
    body["message"] = message.body(now).into();
    body["link"] = message.link().into();
    body["delivery"] = message.id().into();
    body["severity"] = notice.severity().name().into();
    Ok(body)
}

fn payload(notice: &Notice, acknowledge: Option<&AcknowledgeOffer>) -> Result<Vec<u8>, String> {
    // A receiver that knows only the original's two events gets the right state after flapping, too.
    let event = match notice.news {
        EventKind::Steady => notice.state,
        news => news,
    };
    let (status, last_seen) = match notice.state {
        // The machine of a condition is online; it was seen when the condition began or ended.
        EventKind::Condition | EventKind::ConditionEnded => (EventKind::Online, notice.at),
        // As in the original, the heartbeat that ended the outage.
        EventKind::Online if event == EventKind::Online => (EventKind::Online, notice.at),
        state => (state, notice.last_seen),
    };
    let recovered_at = (event == EventKind::Online).then(|| Moment(notice.at).rfc_3339()).flatten();
    let machine = WebhookMachine {
        id: notice.machine,
        name: &notice.name,
        hostname: notice.hostname.as_deref(),
        description: notice.description.as_deref(),
        status: status.name(),
        last_seen: Moment(last_seen).rfc_3339(),
        recovered_at,
    };
    let is_about_monitor = matches!(notice.news, EventKind::Trouble | EventKind::Report);
    let about = if is_about_monitor { "monitor" } else { "machine" };
    let condition = notice.condition.as_ref().map(|condition| WebhookCondition::of(condition, None));
    let conditions = notice.existing.iter().map(|(name, known)| WebhookCondition::of(known, Some(name)));
    let event = format!("{about}.{}", event_name(event));
    let acknowledge_url = acknowledge.and_then(|offer| offer.url.as_deref());
    serde_json::to_vec(&WebhookPayload {
        event,
        machine,
        condition,
        conditions: conditions.collect(),
        acknowledge_url,
    })
    .map_err(|error| error.to_string())
}

/// After `machine.`.
fn event_name(event: EventKind) -> &'static str {
    match event {
        EventKind::ConditionEnded => "condition.ended",
        EventKind::Summary => "conditions",
        other => other.name(),
    }
}

/// `sha256=` and the hex HMAC-SHA256 of the concatenated `parts`.
fn signature(key: &[u8], parts: &[&[u8]]) -> String {
    // Cannot fail: HMAC accepts keys of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return String::new() };
    parts.iter().for_each(|part| mac.update(part));
    let mut text = String::from("sha256=");
    for byte in mac.finalize().into_bytes() {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231, test case 2.
    #[test]
    fn the_signature_is_hmac_sha256() {
        assert_eq!(
            signature(b"Jefe", &[b"what do ya want ", b"for nothing?"]),
            "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }

    fn notice(news: EventKind, state: EventKind) -> Notice {
        Notice {
            news,
            state,
            machine: 7,
            name: "production-server".into(),
            hostname: None,
            description: Some("in the \"barn\"".into()),
            last_seen: 1_769_005_800_000,
            at: 1_769_005_935_000,
            condition: None,
            existing: Vec::new(),
            existing_in_all: 0,
            unacknowledged_by: None,
            report: None,
        }
    }

    #[test]
    fn the_payload_is_the_original_systems() {
        let body = payload(&notice(EventKind::Offline, EventKind::Offline), None).expect("JSON");
        assert_eq!(
            String::from_utf8(body).expect("text"),
            r#"{"event":"machine.offline","machine":{"id":7,"name":"production-server","hostname":null,"description":"in the \"barn\"","status":"offline","last_seen":"2026-01-21T14:30:00Z"}}"#
        );
    }

    #[test]
    fn a_recovery_has_the_heartbeat_that_ended_the_outage() {
        let body = payload(&notice(EventKind::Online, EventKind::Online), None).expect("JSON");
        let value: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        let machine = &value["machine"];
        let shown = [&machine["last_seen"], &machine["recovered_at"], &machine["status"]];
        assert_eq!(shown, ["2026-01-21T14:32:15Z", "2026-01-21T14:32:15Z", "online"]);
    }

    #[test]
    fn a_condition_is_an_object_beside_its_machine_which_is_online() {
        let condition = ConditionNotice {
            condition: "temp".into(),
            value: Some(91.0),
            threshold: Some(80.0),
            since: 1_769_005_800_000,
            ..ConditionNotice::default()
        };
        for (state, event) in [
            (EventKind::Condition, "machine.condition"),
            (EventKind::ConditionEnded, "machine.condition.ended"),
        ] {
            let notice = Notice { condition: Some(condition.clone()), ..notice(state, state) };
            let body = payload(&notice, None).expect("JSON");
            let value: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
            assert_eq!(value["event"], event);
            assert_eq!(value["machine"]["status"], "online");
            let expected = serde_json::json!({
                "condition": "temp", "subject": "", "label": null, "value": 91.0, "threshold": 80.0,
                "since": "2026-01-21T14:30:00Z"
            });
            assert_eq!(value["condition"], expected);
        }
    }

    #[test]
    fn a_receiver_of_two_events_gets_the_state_after_flapping() {
        let event = |news, state| {
            let body = payload(&notice(news, state), None).expect("JSON");
            let value: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
            value["event"].as_str().map(str::to_owned)
        };
        assert_eq!(event(EventKind::Flapping, EventKind::Offline).as_deref(), Some("machine.flapping"));
        assert_eq!(event(EventKind::Steady, EventKind::Offline).as_deref(), Some("machine.offline"));
        assert_eq!(event(EventKind::Steady, EventKind::Online).as_deref(), Some("machine.online"));
    }
}
