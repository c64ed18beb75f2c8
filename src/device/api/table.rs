//! What the command line shows of the daemon's answers: tables for a person, coloured on a terminal.

use super::document::ServerStatus;
use crate::device::failover::status::FailoverStatus;
use crate::device::shown::measures;
use crate::duration::span;
use crate::logging::takes_colours;
use crate::table::table;
use serde::Deserialize;
use serde_json::Value;
use std::fmt::Write;
use std::io;
use std::time::Duration;

/// What is shown of [`Document`](super::document::Document).
#[derive(Debug, Deserialize)]
pub struct ShownStatus {
    version: String,
    hostname: String,
    daemon_uptime_s: u64,
    server: ServerStatus,
    failover: Option<FailoverStatus>,
    /// [`CameraView`](super::cameras::CameraView)s.
    cameras: Vec<Value>,
    /// In the wire format; `null` before the first. Only a few numbers of it are shown: to read it as a whole would
    /// put as much code again into the program as it takes to write one.
    heartbeat: Value,
}

/// ANSI's colours, which everybody's terminal has.
#[derive(Debug, Clone, Copy)]
enum Colour {
    Red = 31,
    Green = 32,
    Yellow = 33,
}

/// Whether colours are wanted.
#[derive(Debug, Clone, Copy)]
pub struct Paint(pub bool);

impl Paint {
    pub fn for_stdout() -> Paint {
        Paint(takes_colours(&io::stdout()))
    }

    fn paint(self, colour: Colour, text: &str) -> String {
        if self.0 { format!("\x1b[{}m{text}\x1b[0m", colour as u8) } else { text.to_owned() }
    }

    /// Padded before it is painted: a colour has no width.
    fn state(self, word: &str, width: usize) -> String {
        let padded = format!("{word:<width$}");
        let colour = match word {
            "connected" | "valid" | "up" => Colour::Green,
            "disconnected" | "dead" | "down" | "portal" => Colour::Red,
            _ => Colour::Yellow,
        };
        self.paint(colour, &padded)
    }
}

/// What a person wants to know first stands first.
pub fn status(document: &ShownStatus, paint: Paint) -> String {
    let mut text = format!("{} heartbeat-daemon {}", document.hostname, document.version);
    text += &format!(", running for {}\n", span(Duration::from_secs(document.daemon_uptime_s)));
    server(&mut text, document, paint);
    if let Some(failover) = &document.failover {
        row(&mut text, "uplink", &format!("{} ({})", failover.state, failover.backend));
        for uplink in &failover.uplinks {
            let used = if Some(&uplink.interface) == failover.active.as_ref() { "in use" } else { "" };
            let state = paint.state(uplink.state.as_str(), 11);
            row(&mut text, &format!("  {}", uplink.interface), &format!("{state} {used}"));
        }
    }
    if document.heartbeat.is_object() {
        device(&mut text, &document.heartbeat);
    }
    if !document.cameras.is_empty() {
        let connected = document.cameras.iter().filter(|camera| camera["status"] == "connected").count();
        row(&mut text, "cameras", &format!("{connected} of {} connected", document.cameras.len()));
    }
    text
}

fn row(text: &mut String, name: &str, value: &str) {
    // Writing to a string does not fail.
    let _ = writeln!(text, "{name:<10} {}", value.trim_end());
}

/// Words of a server's, which may try to drive the terminal.
fn tame(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

fn server(text: &mut String, document: &ShownStatus, paint: Paint) {
    let server = &document.server;
    let state = match (&server.name, server.connected) {
        (None, _) => "none configured".to_owned(),
        (Some(name), None) => format!("{name}: {}", paint.paint(Colour::Yellow, "no heartbeat yet")),
        (Some(name), Some(true)) => format!("{name}: {}", paint.paint(Colour::Green, "connected")),
        (Some(name), Some(false)) => format!("{name}: {}", paint.paint(Colour::Red, "not connected")),
    };
    row(text, "server", &state);
    row(text, "result", &tame(&server.result));
    for server in &server.servers {
        let use_ = if server.in_use { "in use" } else { "not in use" };
        let works = match server.works {
            None => paint.paint(Colour::Yellow, "not checked yet"),
            Some(true) => paint.paint(Colour::Green, "takes heartbeats"),
            Some(false) => paint.paint(Colour::Red, "takes no heartbeats"),
        };
        row(text, "", &format!("{}: {use_}, {works}", tame(&server.name)));
    }
    if let Some(ago) = server.last_accepted_ago_s {
        row(text, "accepted", &format!("{} ago", span(Duration::from_secs_f64(ago.max(0.0)))));
    }
    let counts = format!(
        "{} scheduled, {} immediate, {} retried, {} failed",
        server.scheduled, server.immediate, server.retried, server.failed
    );
    row(text, "sent", &counts);
    if !server.moves {
        row(text, "loop", &paint.paint(Colour::Red, "stands still"));
    }
}

fn device(text: &mut String, heartbeat: &Value) {
    row(text, "device", &measures(heartbeat).join(", "));
    for address in heartbeat["connection"]["ip_addresses"].as_array().into_iter().flatten() {
        let word = |key: &str| address[key].as_str().unwrap_or_default();
        row(text, "address", &format!("{} {}", word("interface"), word("ip")));
    }
}

/// A line for each [`CameraView`](super::cameras::CameraView); what is absent is "-".
pub fn cameras(cameras: &[Value], paint: Paint) -> String {
    if cameras.is_empty() {
        return "no cameras\n".into();
    }
    let titles = ["STATUS", "HOSTNAME", "ADDRESS", "MAC", "LATENCY", "UPTIME 24H", "LAST SEEN"];
    let rows: Vec<[String; 7]> = cameras.iter().map(|camera| camera_row(camera, paint)).collect();
    table(titles, &rows)
        + "
"
}

fn camera_row(camera: &Value, paint: Paint) -> [String; 7] {
    let number = |key: &str, unit: &str| {
        camera[key].as_f64().map_or_else(|| "-".into(), |number| format!("{number:.1} {unit}"))
    };
    let problem = camera["problem"].as_str().map(|problem| format!("  {}", tame(problem)));
    [
        paint.state(&word(&camera["status"]), 0),
        word(&camera["hostname"]),
        word(&camera["ip_address"]),
        word(&camera["mac_address"]),
        number("latency_ms", "ms"),
        number("uptime_24h", "%"),
        word(&camera["last_seen"]) + &problem.unwrap_or_default(),
    ]
}

fn word(value: &Value) -> String {
    tame(value.as_str().unwrap_or("-"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire;
    use serde_json::json;

    fn document() -> ShownStatus {
        let heartbeat: Value = serde_json::from_str(wire::SAMPLE).expect("the sample");
        serde_json::from_value(json!({
            "version": "0.1.0", "hostname": "barn-cam", "time": "2026-01-21T14:30:00Z", "daemon_uptime_s": 7380,
            "server": {
                "name": "monitor.example", "interval_s": 5.0, "connected": true,
                "result": "monitor.example answered 200 in 12 ms", "last_accepted": null,
                "last_accepted_ago_s": 2.5, "scheduled": 9, "immediate": 2, "retried": 1, "failed": 3, "moves": true,
            },
            "failover": {
                "active": "wlan0", "state": "wlan0_active", "backend": "routes", "manual_s": null,
                "uplinks": [{"interface": "eth0", "state": "down"}, {"interface": "wlan0", "state": "valid"}],
            },
            "cameras": [camera("gate", "connected"), camera("yard-of-the-old-barn", "disconnected")],
            "heartbeat": heartbeat, "trusted": true,
        }))
        .expect("a document")
    }

    fn camera(hostname: &str, status: &str) -> Value {
        json!({
            "mac_address": "aa:bb:cc:dd:ee:ff", "hostname": hostname, "ip_address": "192.168.1.7",
            "status": status, "last_seen": "2026-01-21T14:30:00Z", "reachable": true, "since": null,
            "latency_ms": 1.25, "uptime_24h": 99.9, "method": "tcp", "port": 80, "origin": "config",
            "problem": (status == "disconnected").then_some("connection refused"),
        })
    }

    #[test]
    fn a_status_is_readable_from_top_to_bottom() {
        assert_eq!(
            status(&document(), Paint(false)),
            "barn-cam heartbeat-daemon 0.1.0, running for 2h 3m\n\
             server     monitor.example: connected\n\
             result     monitor.example answered 200 in 12 ms\n\
             accepted   2 s ago\n\
             sent       9 scheduled, 2 immediate, 1 retried, 3 failed\n\
             uplink     wlan0_active (routes)\n  \
               eth0     down\n  \
               wlan0    valid       in use\n\
             device     cpu 12.5 %, mem 41.2 %, disk 42.1 %, 48.8 °C, 1.9 W, 3038 RPM\n\
             address    wlan0 192.168.1.202\n\
             cameras    1 of 2 connected\n"
        );
    }

    #[test]
    fn a_servers_words_do_not_drive_the_terminal() {
        let mut document = document();
        document.server.result = "\x1b[2Jgone\x07".into();
        assert!(status(&document, Paint(false)).contains("result     ?[2Jgone?\n"));
    }

    #[test]
    fn cameras_are_in_columns_and_colours_do_not_shift_them() {
        let document = document();
        let plain = cameras(&document.cameras, Paint(false));
        assert_eq!(
            plain,
            "STATUS        HOSTNAME              ADDRESS      MAC                LATENCY  UPTIME 24H  LAST SEEN\n\
             connected     gate                  192.168.1.7  aa:bb:cc:dd:ee:ff  1.2 ms   99.9 %      2026-01-21T14:30:00Z\n\
             disconnected  yard-of-the-old-barn  192.168.1.7  aa:bb:cc:dd:ee:ff  1.2 ms   99.9 %      2026-01-21T14:30:00Z  connection refused\n"
        );
        let painted = cameras(&document.cameras, Paint(true));
        let bare = painted.replace("\x1b[32m", "").replace("\x1b[31m", "").replace("\x1b[0m", "");
        assert!(painted != plain && bare == plain, "{painted}");
        assert_eq!(cameras(&[], Paint(true)), "no cameras\n");
    }
}
