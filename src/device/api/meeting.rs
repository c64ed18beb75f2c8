//! The Meeting API's local half: `GET /api/meeting/status`, `POST /api/meeting/heartbeat`.

use super::call::{Call, Handled};
use crate::device::config::{Format, HeartbeatConfig};
use crate::device::heartbeat::payload::rounded;
use crate::http::Response;
use crate::wire::Reason;
use serde_json::{Value, json};
use std::time::Duration;

/// A key of this length or less is masked altogether.
const SHORT_KEY: usize = 8;

/// The fields that its users know, and `last_heartbeat_ago_seconds` for programs.
pub fn status(call: &Call) -> Handled {
    let (config, record) = (&call.settings.heartbeat, call.context.heartbeat_status.record());
    let connected = record.works == Some(true);
    let ago = record.accepted.map(|accepted| call.now.since(accepted.monotonic));
    let configured =
        config.url.is_some() && (config.format != Format::Meeting || config.device_key.is_some());
    let still = call.context.heartbeat_status.stalled_for(call.now.monotonic);
    let mut status = json!({
        "enabled": config.url.is_some(),
        "connected": connected,
        "last_heartbeat": record.accepted.and_then(|accepted| accepted.wall.rfc_3339()),
        "last_heartbeat_ago": ago.map(in_words),
        "last_heartbeat_ago_seconds": ago.map(|ago| rounded(ago.as_secs_f64(), 3)),
        "last_error": (record.works == Some(false)).then_some(&record.result),
        "device_info": record.heartbeat.as_ref().map(|heartbeat| json!({
            "hardwareid": heartbeat.hardwareid,
            "hostname": heartbeat.hostname,
            "app_version": heartbeat.app_version,
            "daemon_version": heartbeat.daemon_version,
            "uptime_s": heartbeat.uptime_s,
            "ip_addresses": heartbeat.connection.ip_addresses,
        })),
        "provisioned": configured && call.settings.has_server_token,
        "configured": configured,
        "device_key": config.device_key.as_deref().map(masked),
        "api_url": api_url(config),
        "heartbeat_interval": number(config.interval),
        "heartbeat_thread_running": call.settings.is_loop_alive(still),
    });
    // As the original: the fields are present twice, and programs read either.
    let fields = status.clone();
    status["status"] = fields;
    status["success"] = true.into();
    Response::json(200, &status).into()
}

/// At most one call waits: a second one gets the response that the first suffices.
pub fn trigger(call: &Call) -> Handled {
    if call.settings.heartbeat.url.is_none() {
        return Response::error(409, "no server is configured: set url in [heartbeat]").into();
    }
    let triggered = call.context.trigger.fire(Reason::Trigger);
    Response::json(202, &json!({ "triggered": triggered })).into()
}

/// In seconds always: `ago.split()[0]` is a number, as it was.
fn in_words(ago: Duration) -> String {
    match ago.as_secs() {
        1 => "1 second".into(),
        seconds => format!("{seconds} seconds"),
    }
}

/// A whole number where it is one.
fn number(period: Duration) -> Value {
    if period.subsec_nanos() == 0 { period.as_secs().into() } else { period.as_secs_f64().into() }
}

/// Enough to tell one device from another, too little to be it.
fn masked(key: &str) -> String {
    // Keys are ASCII.
    let shown = key.get(..4).filter(|_| key.len() > SHORT_KEY).unwrap_or_default();
    format!("{shown}****")
}

/// Without a query; and without a path, in which others put tokens, unless it is the Meeting API's own base.
fn api_url(config: &HeartbeatConfig) -> Option<String> {
    let url = config.url.as_ref()?;
    let path = if config.format == Format::Meeting { url.path().trim_end_matches('/') } else { "" };
    Some(format!("{}://{}{path}", url.scheme_str()?, url.authority()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_of_time_is_text_as_it_was_documented() {
        for (seconds, text) in [(0, "0 seconds"), (1, "1 second"), (2, "2 seconds"), (7200, "7200 seconds")] {
            assert_eq!(in_words(Duration::from_millis(seconds * 1000 + 900)), text);
        }
    }

    #[test]
    fn a_device_key_is_never_whole() {
        for (key, shown) in [("", "****"), ("12345678", "****"), ("barn-cam-01", "barn****")] {
            assert_eq!(masked(key), shown);
        }
    }
}
