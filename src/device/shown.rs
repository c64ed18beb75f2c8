//! Formats a heartbeat as one line for a person.
//!
//! The sender is not trusted: control characters and those that change the writing direction are escaped, and long texts
//! are cut.

use crate::wire::{CameraStatus, MAX_CAMERAS};
use serde_json::Value;
use std::time::{SystemTime, UNIX_EPOCH};

/// Characters of one text of a heartbeat, such as a name.
const TEXT: usize = 64;
/// Disconnected cameras that are named.
const LOST: usize = 4;
/// Characters of JSON that is not a native heartbeat.
const FOREIGN: usize = 240;

/// `22:05:03Z barn-cam #42 scheduled | cpu 12.5 % mem 41.2 % 48.8 °C 1.9 W | wlan0 192.168.1.202 "barn" -52 dBm |
/// streaming recording`: the time of arrival (UTC) and the values; absent values are left out.
pub fn shown(json: &Value, arrived: SystemTime) -> String {
    let what = match identity(json) {
        Some(who) => parts(who, json).join(" | "),
        None => printable(&serde_json::to_string(json).unwrap_or_default(), FOREIGN),
    };
    format!("{} {what}", time_of_day(arrived))
}

fn time_of_day(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() % 86_400;
    format!("{:02}:{:02}:{:02}Z", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

fn parts(who: Vec<String>, heartbeat: &Value) -> Vec<String> {
    let parts =
        [who, how(heartbeat), link(&heartbeat["connection"]), activity(heartbeat), cameras(heartbeat)];
    parts.into_iter().filter(|words| !words.is_empty()).map(|words| words.join(" ")).collect()
}

/// A text of the heartbeat, escaped and cut.
fn text(value: &Value) -> Option<String> {
    value.as_str().map(|text| printable(text, TEXT))
}

/// Name, number and reason; `None` if the JSON is not a native heartbeat.
fn identity(heartbeat: &Value) -> Option<Vec<String>> {
    let (seq, reason) = (heartbeat["seq"].as_u64()?, text(&heartbeat["reason"])?);
    let name = text(&heartbeat["hostname"]).or_else(|| text(&heartbeat["hardwareid"]));
    let mut words = vec![name.unwrap_or_else(|| "unknown".into()), format!("#{seq}"), reason];
    words.extend(heartbeat["replay_age_s"].as_u64().map(|age| format!("replay of {age} s ago")));
    Some(words)
}

/// The measured values with their units: "cpu 12.5 %", "48.8 °C".
pub fn measures(heartbeat: &Value) -> Vec<String> {
    let facts = [
        ("cpu ", &heartbeat["cpu"], "%"),
        ("mem ", &heartbeat["mem"], "%"),
        ("disk ", &heartbeat["disk"]["percent"], "%"),
        ("", &heartbeat["temp"], "°C"),
        ("", &heartbeat["power"], "W"),
        ("", &heartbeat["fan_rpm"], "RPM"),
    ];
    let written = |(name, value, unit): (&str, &Value, &str)| {
        value.as_f64().map(|value| format!("{name}{value} {unit}"))
    };
    facts.into_iter().filter_map(written).collect()
}

fn how(heartbeat: &Value) -> Vec<String> {
    // The flags keep their names in the JSON, so that people can search for them.
    let throttled = each(&heartbeat["throttled"]["now"]).filter_map(text);
    measures(heartbeat).into_iter().chain(throttled).collect()
}

/// Items of an array, as many as a heartbeat may have cameras; nothing for other JSON.
fn each(values: &Value) -> impl Iterator<Item = &Value> {
    values.as_array().into_iter().flatten().take(MAX_CAMERAS)
}

fn link(connection: &Value) -> Vec<String> {
    let Some(active) = text(&connection["active"]) else { return Vec::new() };
    let of_it = |value: &&Value| value["interface"] == connection["active"];
    let addresses =
        each(&connection["ip_addresses"]).filter(of_it).filter_map(|address| text(&address["ip"]));
    // IPv4 if there is one: people know their devices by it.
    let address = addresses.min_by_key(|address| address.contains(':'));
    let wifi = Some(&connection["wifi"]).filter(of_it).unwrap_or(&Value::Null);
    let ssid = text(&wifi["ssid"]).map(|ssid| format!("\"{ssid}\""));
    let signal = wifi["signal_dbm"].as_i64().map(|dbm| format!("{dbm} dBm"));
    [Some(active), address, ssid, signal, text(&connection["state"])].into_iter().flatten().collect()
}

fn activity(heartbeat: &Value) -> Vec<String> {
    let activities = ["streaming", "tracking", "recording"];
    let goes_on = |word: &&str| heartbeat[format!("{word}_active")] == true;
    activities.into_iter().filter(goes_on).map(str::to_owned).collect()
}

/// Number of connected cameras, and the names of the others.
fn cameras(heartbeat: &Value) -> Vec<String> {
    let cameras = || each(&heartbeat["cameras"]);
    let with = |status: CameraStatus| cameras().filter(move |camera| camera["status"] == status.as_str());
    if cameras().next().is_none() {
        return Vec::new();
    }
    let name = |camera: &Value| text(&camera["hostname"]).or_else(|| text(&camera["mac"]));
    let lost = with(CameraStatus::Disconnected).filter_map(name).take(LOST);
    let count = format!("cameras {}/{}", with(CameraStatus::Connected).count(), cameras().count());
    std::iter::once(count).chain(lost.map(|name| format!("no {name}"))).collect()
}

/// At most `limit` characters of `text`, escaped for a terminal.
fn printable(text: &str, limit: usize) -> String {
    let mut shown = String::new();
    for (count, c) in text.chars().enumerate() {
        match c {
            _ if count == limit => {
                shown.push_str("...");
                break;
            }
            '"' | '\'' | '\\' => shown.push(c),
            c => shown.extend(c.escape_debug()),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::SAMPLE;
    use std::time::Duration;

    fn sample() -> Value {
        serde_json::from_str(SAMPLE).expect("JSON")
    }

    fn line(json: &Value) -> String {
        shown(json, UNIX_EPOCH + Duration::from_secs(86_400 * 3 + 22 * 3600 + 5 * 60 + 3))
    }

    #[test]
    fn a_heartbeat_is_one_line_with_the_important_values() {
        assert_eq!(
            line(&sample()),
            "22:05:03Z barn-cam #42 scheduled | cpu 12.5 % mem 41.2 % disk 42.1 % 48.8 °C 1.9 W 3038 RPM | \
             wlan0 192.168.1.202 \"barn\" -52 dBm failover_to_wlan0 | streaming recording | cameras 1/2"
        );
    }

    #[test]
    fn what_is_absent_is_left_out_and_never_shown_as_zero() {
        let mut json = sample();
        let fields = ["cpu", "mem", "disk", "temp", "power", "fan_rpm", "throttled", "streaming_active"];
        for field in fields.iter().chain(&["recording_active", "hostname"]) {
            json[field] = Value::Null;
        }
        json["connection"]["active"] = Value::Null;
        json["cameras"] = serde_json::json!([]);
        assert_eq!(line(&json), "22:05:03Z 10000000a5bd2dd2 #42 scheduled");
    }

    #[test]
    fn a_replay_shows_its_age_and_a_throttled_device_its_cause() {
        let mut json = sample();
        json["replay_age_s"] = 60.into();
        json["throttled"]["now"] = serde_json::json!(["under_voltage", "throttled"]);
        let line = line(&json);
        assert!(line.contains("#42 scheduled replay of 60 s ago |"), "{line}");
        assert!(line.contains("RPM under_voltage throttled |"), "{line}");
    }

    #[test]
    fn cameras_that_are_lost_are_named() {
        let mut json = sample();
        json["cameras"][0]["status"] = "disconnected".into();
        assert!(line(&json).ends_with(" | cameras 0/2 no gate"), "{}", line(&json));
    }

    #[test]
    fn foreign_texts_cannot_drive_the_terminal_and_are_cut() {
        let mut json = sample();
        json["hostname"] = "\u{1b}[2J\n\u{202e}x".into();
        json["connection"]["wifi"]["ssid"] = "Bob's \"café\" \u{7}".into();
        let shown = line(&json);
        assert!(shown.contains("\\u{1b}[2J\\n\\u{202e}x #42"), "{shown}");
        assert!(shown.contains("\"Bob's \"café\" \\u{7}\""), "{shown}");
        json["hostname"] = "x".repeat(60_000).into();
        assert!(line(&json).len() < 400);
    }

    #[test]
    fn a_json_that_is_no_heartbeat_of_ours_is_shown_shortened() {
        let json = serde_json::json!({"temp": "48.8°C", "x\u{9b}y": 1});
        assert_eq!(line(&json), "22:05:03Z {\"temp\":\"48.8°C\",\"x\\u{9b}y\":1}");
        let long = line(&serde_json::json!({"x": "y".repeat(60_000)}));
        assert!(long.ends_with("...") && long.len() < 300, "{long}");
    }
}
