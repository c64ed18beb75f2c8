//! A heartbeat as one line for a person.
//!
//! It may come from anybody, so nothing of it reaches a terminal raw: control characters and those that turn
//! the direction of writing are escaped, long texts are cut.

use crate::wire::{CameraStatus, Disk, Heartbeat, Throttled, Wifi};
use serde::Deserialize;
use serde_json::Value;
use std::time::{SystemTime, UNIX_EPOCH};

/// Characters of one text of a heartbeat, such as a name.
const TEXT: usize = 64;
/// Cameras that are lost and named.
const LOST: usize = 4;
/// Characters of a JSON that is no heartbeat of ours.
const FOREIGN: usize = 240;

/// `22:05:03Z barn-cam #42 scheduled | cpu 12.5 % mem 41.2 % 48.8 °C 1.9 W | wlan0 192.168.1.202 "barn" -52 dBm |
/// streaming recording`: the time at which it arrived (UTC), and what is known; what is absent is left out.
pub fn shown(json: &Value, arrived: SystemTime) -> String {
    let what = match Heartbeat::deserialize(json) {
        Ok(heartbeat) => parts(&heartbeat).join(" | "),
        Err(_) => printable(&json.to_string(), FOREIGN),
    };
    format!("{} {what}", time_of_day(arrived))
}

fn time_of_day(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() % 86_400;
    format!("{:02}:{:02}:{:02}Z", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

fn parts(heartbeat: &Heartbeat) -> Vec<String> {
    let parts = [who(heartbeat), how(heartbeat), link(heartbeat), activity(heartbeat), cameras(heartbeat)];
    parts.into_iter().filter(|words| !words.is_empty()).map(|words| words.join(" ")).collect()
}

fn who(heartbeat: &Heartbeat) -> Vec<String> {
    let name = heartbeat.hostname.as_deref().or(heartbeat.hardwareid.as_deref()).unwrap_or("unknown");
    let mut words =
        vec![printable(name, TEXT), format!("#{}", heartbeat.seq), heartbeat.reason.as_str().to_owned()];
    words.extend(heartbeat.replay_age_s.map(|age| format!("replay of {age} s ago")));
    words
}

fn how(heartbeat: &Heartbeat) -> Vec<String> {
    let disk = |disk: &Disk| format!("disk {} %", disk.percent);
    let words = [
        heartbeat.cpu.map(|percent| format!("cpu {percent} %")),
        heartbeat.mem.map(|percent| format!("mem {percent} %")),
        heartbeat.disk.as_ref().map(disk),
        heartbeat.temp.map(|celsius| format!("{celsius} °C")),
        heartbeat.power.map(|watts| format!("{watts} W")),
        heartbeat.fan_rpm.map(|rpm| format!("{rpm} RPM")),
        heartbeat.throttled.as_ref().and_then(held_back),
    ];
    words.into_iter().flatten().collect()
}

fn held_back(throttled: &Throttled) -> Option<String> {
    // The words of the wire, so that they can be searched for.
    let now = throttled.now.iter().filter_map(|flag| serde_json::to_value(flag).ok());
    let now: Vec<String> = now.filter_map(|word| word.as_str().map(str::to_owned)).collect();
    (!now.is_empty()).then(|| now.join(" "))
}

fn link(heartbeat: &Heartbeat) -> Vec<String> {
    let connection = &heartbeat.connection;
    let Some(active) = connection.active.as_deref() else { return Vec::new() };
    let mut words = vec![printable(active, TEXT)];
    let addresses = connection.ip_addresses.iter().filter(|address| address.interface == active);
    // IPv4 where there is one: it is what people know their devices by.
    words.extend(addresses.min_by_key(|address| address.ip.is_ipv6()).map(|address| address.ip.to_string()));
    if let Some(wifi) = connection.wifi.as_ref().filter(|wifi| wifi.interface == active) {
        words.extend(radio(wifi));
    }
    words.extend(connection.state.as_deref().map(|state| printable(state, TEXT)));
    words
}

fn radio(wifi: &Wifi) -> Vec<String> {
    let ssid = wifi.ssid.as_deref().map(|ssid| format!("\"{}\"", printable(ssid, TEXT)));
    let signal = wifi.signal_dbm.map(|dbm| format!("{dbm} dBm"));
    [ssid, signal].into_iter().flatten().collect()
}

fn activity(heartbeat: &Heartbeat) -> Vec<String> {
    let activities = [
        (heartbeat.streaming_active, "streaming"),
        (heartbeat.tracking_active, "tracking"),
        (heartbeat.recording_active, "recording"),
    ];
    activities.into_iter().filter(|(on, _)| *on == Some(true)).map(|(_, word)| word.to_owned()).collect()
}

/// How many are there, and which ones are not.
fn cameras(heartbeat: &Heartbeat) -> Vec<String> {
    let cameras = &heartbeat.cameras;
    if cameras.is_empty() {
        return Vec::new();
    }
    let with = |status| cameras.iter().filter(move |camera| camera.status == status);
    let lost = with(CameraStatus::Disconnected).take(LOST);
    let lost =
        lost.map(|camera| format!("no {}", printable(camera.hostname.as_ref().unwrap_or(&camera.mac), TEXT)));
    let there = with(CameraStatus::Connected).count();
    [format!("cameras {there}/{}", cameras.len())].into_iter().chain(lost).collect()
}

/// At most `limit` characters of `text`, harmless in a terminal.
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
    fn a_heartbeat_is_one_line_with_what_a_person_looks_for() {
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
    fn a_replay_says_how_old_it_is_and_a_throttled_device_says_why() {
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
