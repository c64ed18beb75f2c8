//! Each format with what its senders really send, and with what they should not.

mod requests;

use super::*;
use crate::monitor::beat::{Beat, BeatKind, Replay, Sample};
use crate::monitor::ingest::native::Received;
use crate::wire;
use std::time::Duration;

/// As RPI Streamer sends it (its repository's example of a heartbeat, with the numbers of a barn).
const STREAMER: &str = r#"{"hardwareid": "10000000a5bd2dd2", "cpu": 12.5, "mem": 41.2, "temp": "48.8°C",
    "power": "2.45 W", "fan_rpm": "3038 RPM",
    "disk": {"percent": 42.1, "used_gb": 12.4, "total_gb": 29.5, "free_gb": 17.1,
             "formatted": "42.1% (12.4GB / 29.5GB)"},
    "connection": {"ethernet": "Disconnected", "wifi": "Connected (barn) - 80%", "4g": "No device",
                   "gps": {"available": false, "fix_status": "no_fix"},
                   "ip_addresses": [{"interface": "wlan0", "ip": "192.168.1.202", "type": "wifi"}],
                   "active_connections": ["wlan0"]},
    "timestamp": 1763756400.1, "app_version": "3.10", "streaming_active": true, "tracking_active": false,
    "recording_active": false, "recording_file_size_mb": 0, "recording_file_path": null}"#;

const MEETING: &str = r#"{"timestamp": "2026-01-21T14:30:00Z", "ip_address": "192.168.1.202", "note": "barn",
    "uptime": "2h 3m", "cpu_load": 0.42, "memory_percent": 41.2, "disk_percent": 42.1, "temperature": 48.8,
    "ip_addresses": ["192.168.1.202"]}"#;

const LUNASENTRI: &str = r#"{"cpu_pct": 12.5, "mem_used_pct": 41.2, "disk_used_pct": 42.1, "net_rx_bytes": 734003,
    "net_tx_bytes": 94371, "uptime_s": 86400.5, "system_info": {"hostname": "web-1", "platform": "linux",
    "cpu_cores": 4}}"#;

fn beat(body: &str) -> Beat<'_> {
    match native::parse(body) {
        Ok(Received::Beat(beat)) => beat,
        other => panic!("{other:?}"),
    }
}

fn sample(figures: [Option<f32>; 7]) -> Sample {
    Sample::of(figures)
}

#[test]
fn our_own_sample_is_a_live_beat_with_all_its_figures() {
    let beat = beat(wire::SAMPLE);
    assert_eq!((beat.kind, beat.interval), (BeatKind::Live, Some(Duration::from_secs(5))));
    assert_eq!(beat.hostname.as_deref(), Some("barn-cam"));
    let all = [Some(12.5), Some(41.2), Some(48.8), Some(42.1), Some(1.9), Some(0.42), Some(80.0)];
    assert_eq!(beat.sample, sample(all));
    assert_eq!(beat.payload, wire::SAMPLE);
}

#[test]
fn a_mac_address_with_or_without_colons_is_the_same_device() {
    let device = |id: &str| beat(&format!(r#"{{"hardwareid": "{id}", "boot_id": "1"}}"#)).device;
    assert_eq!(device("b8:27:eb:00:00:03"), device("b827eb000003"));
    assert_ne!(device("b827eb000004"), device("b827eb000003"));
}

#[test]
fn a_shutdown_is_an_announced_stop() {
    let beat = beat(r#"{"reason": "shutdown"}"#);
    assert_eq!(beat.kind, BeatKind::Shutdown);
    assert_eq!(beat.sample, Sample::default(), "nothing was measured, so nothing is known");
}

#[test]
fn an_array_is_replays_and_so_is_one_with_an_age() {
    let replays = native::parse(r#" [{"replay_age_s": 60, "cpu": 1}, {"replay_age_s": 0, "temp": "20.5"}]"#);
    let expected = [
        Replay { age: Duration::from_secs(60), sample: Sample { cpu: Some(1.0), ..Sample::default() } },
        Replay { age: Duration::ZERO, sample: Sample { temp: Some(20.5), ..Sample::default() } },
    ];
    assert_eq!(replays, Ok(Received::Replays(expected.to_vec())));
    let one = native::parse(r#"{"replay_age_s": 60, "cpu": 1, "reason": "shutdown"}"#);
    assert_eq!(one, Ok(Received::Replays(expected[..1].to_vec())));
    assert_eq!(native::parse("[]"), Ok(Received::Replays(Vec::new())));
}

#[test]
fn an_array_with_anything_but_replays_is_refused() {
    for body in
        [r#"[{"cpu": 1}]"#, "[1]", "[[]]", r#"[{"replay_age_s": 1}, null]"#, r#"[{"replay_age_s": -1}]"#]
    {
        assert!(native::parse(body).is_err(), "{body}");
    }
}

#[test]
fn a_replay_with_an_invalid_age_is_refused_and_no_sign_of_life() {
    for age in ["-1", "-0.001", "\"-5\""] {
        let body = format!("{{\"replay_age_s\": {age}, \"cpu\": 1}}");
        assert!(native::parse(&body).is_err(), "{body}");
    }
    let live = native::parse(r#"{"replay_age_s": null}"#);
    assert!(matches!(live, Ok(Received::Beat(_))), "our own daemon says null of a live one");
}

#[test]
fn an_extreme_age_is_only_old() {
    let Ok(Received::Replays(replays)) = native::parse(r#"[{"replay_age_s": 1e300}]"#) else { panic!() };
    assert_eq!(replays[0].age, Duration::from_secs(u64::MAX));
}

#[test]
fn rpi_streamers_strings_are_figures() {
    let beat = beat(STREAMER);
    let all = [Some(12.5), Some(41.2), Some(48.8), Some(42.1), Some(2.45), None, Some(80.0)];
    assert_eq!(beat.sample, sample(all));
    assert_eq!((beat.kind, beat.interval), (BeatKind::Live, None));
}

#[test]
fn rpi_streamers_words_for_nothing_are_absent() {
    let beat = beat(
        r#"{"cpu": "7%", "temp": "--", "power": "--", "fan_rpm": "No fan?", "disk": null,
            "connection": {"wifi": "Disconnected"}}"#,
    );
    assert_eq!(beat.sample, Sample { cpu: Some(7.0), ..Sample::default() });
}

#[test]
fn the_older_form_is_in_the_query() {
    let query = "token=x&params=%7B%22temp%22%3A+%2248.8%C2%B0C%22%7D";
    let json = streamer::params(query).expect("params");
    assert_eq!(beat(std::str::from_utf8(&json).expect("UTF-8")).sample.temp, Some(48.8));
    assert!(streamer::params("param=x&xparams=y").is_err());
}

#[test]
fn the_meeting_apis_fields_are_figures() {
    let beat = meeting::parse(MEETING).expect("a beat");
    assert_eq!(beat.sample, sample([None, Some(41.2), Some(48.8), Some(42.1), None, Some(0.42), None]));
}

#[test]
fn lunasentris_fields_are_figures() {
    let beat = lunasentri::parse(LUNASENTRI).expect("a beat");
    assert_eq!(beat.sample, sample([Some(12.5), Some(41.2), None, Some(42.1), None, None, None]));
    assert_eq!(beat.hostname.as_deref(), Some("web-1"));
}

#[test]
fn a_figure_out_of_its_range_is_absent_and_not_clamped() {
    let beat = beat(
        r#"{"cpu": 101, "mem": -1, "temp": 9e9, "power": -0.1, "load": [1e30, 0, 0],
            "disk": {"percent": "1e5%"}, "connection": {"wifi": {"signal_percent": 300}}, "interval_s": -5}"#,
    );
    assert_eq!((beat.sample, beat.interval), (Sample::default(), None));
}

#[test]
fn a_field_of_the_wrong_kind_is_absent_and_the_rest_counts() {
    for odd in ["null", "true", "[]", "{}", "[[1], 2]", r#"{"a": {"b": []}}"#, "\"\"", "\"NaN\"", "[null]"] {
        let body = format!(
            r#"{{"temp": {odd}, "load": {odd}, "disk": {odd}, "connection": {odd}, "reason": {odd},
                 "hostname": {odd}, "interval_s": {odd}, "replay_age_s": {odd}, "unknown": {odd}, "cpu": 3}}"#
        );
        let Ok(Received::Beat(beat)) = native::parse(&body) else { panic!("{body}") };
        assert_eq!(beat.sample, Sample { cpu: Some(3.0), ..Sample::default() }, "{body}");
        assert_eq!((beat.kind, beat.interval), (BeatKind::Live, None), "{body}");
    }
}

#[test]
fn what_is_no_json_object_is_refused_with_a_reason() {
    let deep = "[".repeat(60_000);
    let unfinished = format!("{{\"a\": {}", "{\"a\":".repeat(10_000));
    for body in
        ["", "{", "null", "3", "\"{}\"", "{}{}", "{'a': 1}", "{\"a\" 1}", "{\"a\": 01}", &deep, &unfinished]
    {
        let parsers: [fn(&str) -> bool; 3] = [
            |body| native::parse(body).is_err(),
            |body| meeting::parse(body).is_err(),
            |body| lunasentri::parse(body).is_err(),
        ];
        assert!(parsers.iter().all(|refuses| refuses(body)), "{}", &body[..body.len().min(40)]);
    }
    let reason = native::parse("{\"a\" 1}").expect_err("not JSON").to_string();
    assert!(reason.contains("line 1 column"), "{reason}");
}

#[test]
fn the_last_of_two_equal_keys_counts() {
    assert_eq!(beat(r#"{"cpu": 1, "cpu": 2, "\u0063pu": 3}"#).sample.cpu, Some(3.0));
}

#[cfg(feature = "device")]
mod with_the_device {
    use super::*;
    use crate::device::config::Format;
    use crate::device::heartbeat::formats::{MeetingFields, body};

    fn text(body: &[u8]) -> &str {
        std::str::from_utf8(body).expect("UTF-8")
    }

    #[test]
    fn what_our_own_daemon_sends_is_read_in_each_format() {
        let sent: wire::Heartbeat = serde_json::from_str(wire::SAMPLE).expect("the sample");
        let native_body = body(&sent, Format::Native, &MeetingFields::default());
        let Ok(Received::Beat(native)) = native::parse(text(&native_body)) else { panic!() };
        let all = [Some(12.5), Some(41.2), Some(48.8), Some(42.1), Some(1.9), Some(0.42), Some(80.0)];
        assert_eq!(native.sample, Sample::of(all));
        let streamer_body = body(&sent, Format::Streamer, &MeetingFields::default());
        let Ok(Received::Beat(streamer)) = native::parse(text(&streamer_body)) else { panic!() };
        assert_eq!(streamer.sample, Sample { load: None, ..native.sample });
        let meeting_body = body(&sent, Format::Meeting, &MeetingFields::default());
        let meeting = meeting::parse(text(&meeting_body)).expect("a beat");
        let absent = Sample { cpu: None, power: None, signal: None, ..native.sample };
        assert_eq!(meeting.sample, absent);
    }
}
