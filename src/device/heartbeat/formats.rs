//! The three formats of a heartbeat: our own JSON, RPI Streamer's and the Meeting API's.

use crate::clock::Moment;
use crate::device::config::{self, Format};
use crate::wire::{self, GpsFix, Heartbeat, LinkKind};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::path::Path;

/// Fields of the Meeting API's format that are not in the heartbeat.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MeetingFields<'a> {
    pub note: Option<&'a str>,
    /// Hardware address of the interface with the main address: `AA:BB:CC:DD:EE:FF`.
    pub mac: Option<String>,
}

/// The body that is sent to the configured server; `root` is where the system's files are.
pub fn to_send(heartbeat: &Heartbeat, config: &config::HeartbeatConfig, root: &Path) -> Vec<u8> {
    let mac = (config.format == Format::Meeting).then(|| mac(&heartbeat.connection, root)).flatten();
    body(heartbeat, config.format, &MeetingFields { note: config.note.as_deref(), mac })
}

/// The body in `format`.
pub fn body(heartbeat: &Heartbeat, format: Format, fields: &MeetingFields<'_>) -> Vec<u8> {
    match format {
        Format::Native => to_json(heartbeat),
        Format::Streamer => to_json(&streamer(heartbeat)),
        Format::Meeting => to_json(&meeting(heartbeat, fields)),
    }
}

fn to_json(value: &impl serde::Serialize) -> Vec<u8> {
    // Strings, numbers and maps with string keys can always be written as JSON.
    serde_json::to_vec(value).expect("a heartbeat is JSON")
}

/// The body for programs on the device. The Meeting API's format leaves out most of what they need, so they get the
/// native one instead.
pub fn local_body(heartbeat: &Heartbeat, format: Format) -> Vec<u8> {
    let format = if format == Format::Meeting { Format::Native } else { format };
    body(heartbeat, format, &MeetingFields::default())
}

/// RPI Streamer's payload, with the strings that its servers parse; also its words for what is missing.
fn streamer(heartbeat: &Heartbeat) -> Value {
    let recording = heartbeat.recording_active.unwrap_or(false);
    let mut value = json!({
        "hardwareid": heartbeat.hardwareid,
        "cpu": heartbeat.values.cpu,
        "mem": heartbeat.values.mem,
        "temp": heartbeat.values.temp.map_or("--".to_owned(), |celsius| format!("{celsius:.1}°C")),
        "power": heartbeat.values.power.map_or("--".to_owned(), |watts| format!("{watts:.2} W")),
        "fan_rpm": heartbeat.values.fan_rpm.map_or("No fan?".to_owned(), |rpm| format!("{rpm} RPM")),
        "disk": heartbeat.disk.as_ref().map(|disk| json!({
            "percent": disk.percent,
            "used_gb": disk.used_gb,
            "total_gb": disk.total_gb,
            "free_gb": disk.free_gb,
            "formatted": format!("{:.1}% ({:.1}GB / {:.1}GB)", disk.percent, disk.used_gb, disk.total_gb),
        })),
        "connection": streamer_connection(&heartbeat.connection),
        "timestamp": heartbeat.timestamp,
        "app_version": heartbeat.app_version,
        "streaming_active": heartbeat.streaming_active.unwrap_or(false),
        "tracking_active": heartbeat.tracking_active.unwrap_or(false),
        "recording_active": recording,
        "recording_file_size_mb": heartbeat.recording_file_size_mb.filter(|_| recording).unwrap_or(0.0),
        "recording_file_path": heartbeat.recording_file_path.as_ref().filter(|_| recording),
    });
    if let Some(role) = heartbeat.server {
        value["server"] = json!(role);
    }
    // The original had no cameras; its servers keep fields that they do not know.
    if !heartbeat.cameras.is_empty() {
        value["cameras"] = json!(heartbeat.cameras);
    }
    value
}

fn streamer_connection(connection: &wire::Connection) -> Value {
    let ethernet = match &connection.ethernet {
        Some(ethernet) if ethernet.state.is_connected() => "Connected",
        _ => "Disconnected",
    };
    let wifi = match &connection.wifi {
        Some(wifi) if wifi.state.is_connected() => {
            let ssid = wifi.ssid.as_deref().map(|ssid| format!(" ({ssid})")).unwrap_or_default();
            let signal = wifi.signal_percent.map(|percent| format!(" - {percent}%")).unwrap_or_default();
            format!("Connected{ssid}{signal}")
        }
        _ => "Disconnected".to_owned(),
    };
    let cellular = match &connection.cellular {
        Some(modem) if matches!(modem.state.as_str(), "connected" | "registered") => {
            let operator = modem.operator.as_deref().map(|name| format!(" ({name})")).unwrap_or_default();
            let signal = modem.signal_percent.map(|percent| format!(" - {percent}%")).unwrap_or_default();
            format!("Connected{operator}{signal}")
        }
        Some(_) => "Device present, not connected".to_owned(),
        None => "No device".to_owned(),
    };
    let fixed = connection.gps.as_ref().is_some_and(|gps| gps.fix != GpsFix::None);
    // The original knew IPv4 only.
    let addresses: Vec<_> = connection.ip_addresses.iter().filter(|address| address.ip.is_ipv4()).collect();
    json!({
        "ethernet": ethernet,
        "wifi": wifi,
        "4g": cellular,
        "gps": {"available": fixed, "fix_status": if fixed { "valid" } else { "no_fix" }},
        "ip_addresses": addresses,
        "active_connections": connection.active.iter().collect::<Vec<_>>(),
    })
}

/// The Meeting API's "online" call, version 1.8 of it and the one before.
fn meeting(heartbeat: &Heartbeat, fields: &MeetingFields<'_>) -> Value {
    let connection = &heartbeat.connection;
    let address = main_address(connection).map(|address| address.ip.to_string());
    json!({
        "timestamp": Moment::from_seconds(heartbeat.timestamp as i64).rfc_3339(),
        "ip_address": address,
        "ip_lan": address,
        "mac": fields.mac,
        "note": fields.note,
        "uptime": heartbeat.uptime_s.map(hours_and_minutes),
        "cpu_load": heartbeat.values.load.map(|load| load[0]),
        "memory_percent": heartbeat.values.mem,
        "disk_percent": heartbeat.disk.as_ref().map(|disk| disk.percent),
        "temperature": heartbeat.values.temp,
        "ip_addresses": ipv4_by_interface(connection),
    })
}

/// The original's form: `{"wlan0": "192.168.1.202"}`, one IPv4 address for each interface.
fn ipv4_by_interface(connection: &wire::Connection) -> BTreeMap<&str, IpAddr> {
    let mut addresses = BTreeMap::new();
    for address in connection.ip_addresses.iter().filter(|address| address.ip.is_ipv4()) {
        addresses.entry(address.interface.as_str()).or_insert(address.ip);
    }
    addresses
}

/// The address by which the device is reached: of the active interface, IPv4 first.
fn main_address(connection: &wire::Connection) -> Option<&wire::Address> {
    let active = |address: &&wire::Address| Some(&address.interface) == connection.active.as_ref();
    let addresses = &connection.ip_addresses;
    addresses
        .iter()
        .filter(active)
        .find(|address| address.ip.is_ipv4())
        .or_else(|| addresses.iter().find(active))
        .or_else(|| addresses.iter().find(|address| address.kind != LinkKind::Other))
}

/// `None` where the interface has none: a tunnel, or one that has just gone.
fn mac(connection: &wire::Connection, root: &Path) -> Option<String> {
    let interface = &main_address(connection)?.interface;
    let file = root.join("sys/class/net").join(interface).join("address");
    let mac = fs::read_to_string(file).ok()?.trim().to_ascii_uppercase();
    let is_mac = mac.len() == 17 && mac.split(':').count() == 6 && mac != "00:00:00:00:00:00";
    is_mac.then_some(mac)
}

/// "2h 3m", as the original wrote it.
fn hours_and_minutes(seconds: u64) -> String {
    format!("{}h {}m", seconds / 3600, seconds / 60 % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Heartbeat {
        serde_json::from_str(wire::SAMPLE).expect("the sample")
    }

    fn sent(heartbeat: &Heartbeat, format: Format) -> Value {
        let mac = Some("B8:27:EB:00:00:01".to_owned());
        let fields = MeetingFields { note: Some("barn"), mac };
        serde_json::from_slice(&body(heartbeat, format, &fields)).expect("JSON")
    }

    #[test]
    fn the_native_form_is_the_wire_format() {
        assert_eq!(sent(&sample(), Format::Native), serde_json::to_value(sample()).expect("JSON"));
    }

    #[test]
    fn a_server_of_rpi_streamer_gets_the_strings_it_parses() {
        let value = sent(&sample(), Format::Streamer);
        assert_eq!(value["temp"], "48.8°C");
        assert_eq!(value["power"], "1.90 W");
        assert_eq!(value["fan_rpm"], "3038 RPM");
        assert_eq!(value["disk"]["formatted"], "42.1% (12.4GB / 29.5GB)");
        assert_eq!(value["connection"]["ethernet"], "Disconnected");
        assert_eq!(value["connection"]["wifi"], "Connected (barn) - 80%");
        assert_eq!(value["connection"]["4g"], "No device");
        assert_eq!(value["connection"]["active_connections"], json!(["wlan0"]));
        assert_eq!(
            value["connection"]["ip_addresses"],
            json!([{"interface": "wlan0", "ip": "192.168.1.202", "type": "wifi"}])
        );
        assert_eq!(value["recording_file_path"], "/data/rec/1763750000.mp4");
    }

    #[test]
    fn a_server_of_rpi_streamer_gets_the_cameras_where_there_are_any() {
        let mut heartbeat = sample();
        assert_eq!(sent(&heartbeat, Format::Streamer)["cameras"][0]["hostname"], "gate");
        heartbeat.cameras.clear();
        assert_eq!(sent(&heartbeat, Format::Streamer).get("cameras"), None);
    }

    #[test]
    fn a_server_of_rpi_streamer_gets_zero_and_null_for_a_recording_that_is_not_there() {
        let mut idle = sample();
        idle.recording_active = Some(false);
        let value = sent(&idle, Format::Streamer);
        assert_eq!(
            (&value["recording_file_size_mb"], &value["recording_file_path"]),
            (&json!(0.0), &Value::Null)
        );
    }

    #[test]
    fn the_meeting_api_gets_the_fields_that_the_original_sent() {
        let value = sent(&sample(), Format::Meeting);
        assert_eq!(
            value,
            json!({
                "timestamp": "2025-11-21T20:20:00Z",
                "ip_address": "192.168.1.202",
                "ip_lan": "192.168.1.202",
                "mac": "B8:27:EB:00:00:01",
                "note": "barn",
                "uptime": "24h 0m",
                "cpu_load": 0.42,
                "memory_percent": 41.2,
                "disk_percent": 42.1,
                "temperature": 48.8,
                "ip_addresses": {"wlan0": "192.168.1.202"},
            })
        );
    }

    #[test]
    fn the_mac_is_that_of_the_interface_with_the_main_address() {
        let root = tempfile::tempdir().expect("a directory");
        let write = |interface: &str, text: &str| {
            let directory = root.path().join("sys/class/net").join(interface);
            fs::create_dir_all(&directory).expect("made");
            fs::write(directory.join("address"), text).expect("written");
        };
        let connection = sample().connection;
        assert_eq!(mac(&connection, root.path()), None, "nothing is known of it");
        write("eth0", "b8:27:eb:00:00:02\n");
        write("wlan0", "b8:27:eb:00:00:01\n");
        assert_eq!(mac(&connection, root.path()).as_deref(), Some("B8:27:EB:00:00:01"));
        for none in
            ["00:00:00:00:00:00\n", "\n", "80:00:02:08:fe:80:00:00:00:00:00:00:00:02:c9:03:00:00:00:01\n"]
        {
            write("wlan0", none);
            assert_eq!(mac(&connection, root.path()), None, "{none}");
        }
    }
}
