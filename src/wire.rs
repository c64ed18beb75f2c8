//! The JSON between a device and a monitor: one heartbeat, defined once for both sides.
//!
//! A value that could not be read is `null`, never 0. [`SAMPLE`] is a real heartbeat, which the tests read.

mod connection;

pub use connection::{
    Address, Cellular, Connection, Ethernet, Gps, GpsFix, LinkKind, LinkState, Traffic, UplinkReport, Wifi,
};
use serde::{Deserialize, Serialize};

/// A heartbeat of a Raspberry Pi 5 in a barn, as sent, but with white space added.
pub const SAMPLE: &str = r#"{
  "hardwareid": "10000000a5bd2dd2",
  "id": "5f1d2c9ab7e04c31",
  "boot_id": "3bd8c9a2-6a1b-4bb8-9f5e-0c7b4c1f2a90",
  "seq": 42,
  "reason": "scheduled",
  "timestamp": 1763756400.1,
  "clock_synced": true,
  "uptime_s": 86400,
  "interval_s": 5.0,
  "hostname": "barn-cam",
  "app_version": "3.10",
  "daemon_version": "0.1.0",
  "cpu": 12.5,
  "load": [0.42, 0.31, 0.25],
  "mem": 41.2,
  "swap": 0.0,
  "temp": 48.8,
  "power": 1.9,
  "fan_rpm": 3038,
  "fan_pwm": 75,
  "disk": {"percent": 42.1, "used_gb": 12.4, "total_gb": 29.5, "free_gb": 17.1},
  "file_systems": [
    {"path": "/", "read_only": false, "errors": 0, "io_errors": null},
    {"path": "/data/rec", "read_only": false, "errors": null, "io_errors": 2}
  ],
  "throttled": {"now": [], "since_boot": ["under_voltage"]},
  "connection": {
    "active": "wlan0",
    "state": "failover_to_wlan0",
    "ethernet": {"interface": "eth0", "state": "down"},
    "wifi": {"interface": "wlan0", "state": "valid", "ssid": "barn", "signal_dbm": -52, "signal_percent": 80},
    "4g": null,
    "gps": null,
    "ip_addresses": [{"interface": "wlan0", "ip": "192.168.1.202", "type": "wifi"}],
    "traffic": {"wlan0": {"rx_bytes": 73400320, "tx_bytes": 9437184}},
    "uplinks": [
      {"interface": "eth0", "health": "down", "proven_s": 5400},
      {"interface": "wlan1", "health": "absent", "proven_s": null},
      {"interface": "wlan0", "health": "valid", "proven_s": 5}
    ]
  },
  "streaming_active": true,
  "tracking_active": null,
  "recording_active": true,
  "recording_file_size_mb": 120.4,
  "recording_file_path": "/data/rec/1763750000.mp4",
  "expected_activity": ["recording"],
  "cameras": [
    {
      "mac": "b8:27:eb:12:34:56", "hostname": "gate", "status": "connected", "last_seen": "2025-11-21T20:19:22Z",
      "failed_checks": 0
    },
    {"mac": "dc:a6:32:ab:cd:ef", "hostname": null, "status": "unknown", "last_seen": null}
  ]
}"#;

/// Largest body that either side accepts, in bytes. A heartbeat has 1,000 to 1,500.
pub const MAX_BODY: usize = 64 * 1024;

/// Cameras in one heartbeat: with the longest names they have 51 KB, and the rest of a heartbeat 6 KB at most.
pub const MAX_CAMERAS: usize = 256;

/// One heartbeat. Percentages are 0 to 100, temperatures °C, power W, times seconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// CPU serial number or, on machines without one, a MAC address; `null` if there is neither.
    pub hardwareid: Option<String>,
    /// The same in every transmission of one heartbeat, so that duplicates can be detected.
    pub id: String,
    /// The kernel's, new at every boot.
    pub boot_id: Option<String>,
    /// Counts this process's heartbeats from 1.
    pub seq: u64,
    pub reason: Reason,
    /// Unix time by the device's wall clock, which may be wrong: see `clock_synced`.
    pub timestamp: f64,
    pub clock_synced: Option<bool>,
    pub uptime_s: Option<u64>,
    /// Time until the next scheduled heartbeat.
    pub interval_s: f64,
    /// What the server that gets this heartbeat is to the device; absent if it is the only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<ServerRole>,
    pub hostname: Option<String>,
    /// Version of the device's application, not of this daemon.
    pub app_version: Option<String>,
    pub daemon_version: String,
    #[serde(flatten)]
    pub values: Values,
    pub disk: Option<Disk>,
    /// The root file system, and that of the recording directory if it is another one; absent if neither is known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub file_systems: Vec<FileSystem>,
    pub throttled: Option<Throttled>,
    pub connection: Connection,
    pub streaming_active: Option<bool>,
    pub tracking_active: Option<bool>,
    pub recording_active: Option<bool>,
    /// MB of 1,000,000 bytes, as in the original; `null` when not recording.
    pub recording_file_size_mb: Option<f64>,
    pub recording_file_path: Option<String>,
    /// Activities that should always go on, by the configuration; absent if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expected_activity: Vec<ActivityName>,
    /// By MAC address; at most [`MAX_CAMERAS`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cameras: Vec<Camera>,
    /// Set on a replay only: how old this heartbeat was when it was sent, in seconds. A replay
    /// fills the history; it never counts as being alive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay_age_s: Option<u64>,
}

/// Measured numbers, each `null` if it cannot be read: percentages of 0 to 100, °C, W. A new metric is a field here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Values {
    /// Percent of all cores since the previous sample.
    pub cpu: Option<f64>,
    /// Run queue over 1, 5 and 15 minutes.
    pub load: Option<[f64; 3]>,
    /// Percent of memory that is not available to programs.
    pub mem: Option<f64>,
    /// Percent; `null` without swap.
    pub swap: Option<f64>,
    /// Temperature of the processor, °C.
    pub temp: Option<f64>,
    /// W, the sum of the PMIC's rails, without USB and PCIe devices.
    pub power: Option<f64>,
    /// 0 only if the fan stands still; `null` if the device cannot tell.
    pub fan_rpm: Option<u32>,
    /// Duty cycle, 0 to 255.
    pub fan_pwm: Option<u8>,
}

/// Why a heartbeat was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    Startup,
    Scheduled,
    Failover,
    ConnectivityRestored,
    Trigger,
    Camera,
    Shutdown,
}

impl Reason {
    pub const ALL: [Reason; 7] = [
        Reason::Startup,
        Reason::Scheduled,
        Reason::Failover,
        Reason::ConnectivityRestored,
        Reason::Trigger,
        Reason::Camera,
        Reason::Shutdown,
    ];

    /// `None`: a reason of a later version.
    pub fn from_name(name: &str) -> Option<Reason> {
        Reason::ALL.into_iter().find(|reason| reason.as_str() == name)
    }

    /// The word in JSON and in the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::Startup => "startup",
            Reason::Scheduled => "scheduled",
            Reason::Failover => "failover",
            Reason::ConnectivityRestored => "connectivity_restored",
            Reason::Trigger => "trigger",
            Reason::Camera => "camera",
            Reason::Shutdown => "shutdown",
        }
    }
}

/// What a server is to a device that has several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServerRole {
    /// The preferred one. Its silence means something.
    First,
    /// Used because the servers before it do not answer. The device returns to them without a word.
    Backup,
    /// Not used: this heartbeat only shows that the server could be. The device's heartbeats go to another one.
    Standby,
}

impl ServerRole {
    /// `None`: a role of a later version.
    pub fn from_name(name: &str) -> Option<ServerRole> {
        match name {
            "first" => Some(ServerRole::First),
            "backup" => Some(ServerRole::Backup),
            "standby" => Some(ServerRole::Standby),
            _ => None,
        }
    }
}

/// A camera on the device's LAN.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Camera {
    /// Lower case, with colons.
    pub mac: String,
    pub hostname: Option<String>,
    pub status: CameraStatus,
    /// RFC 3339, UTC, in seconds: the last check that succeeded, or DHCP event that said it was there.
    pub last_seen: Option<String>,
    /// Consecutive failed checks, 0 if the last one succeeded; absent before the first check of this run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_checks: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CameraStatus {
    Connected,
    Disconnected,
    /// It has not been checked yet, or cannot be.
    Unknown,
}

impl CameraStatus {
    /// The word in JSON and in the log.
    pub fn as_str(self) -> &'static str {
        match self {
            CameraStatus::Connected => "connected",
            CameraStatus::Disconnected => "disconnected",
            CameraStatus::Unknown => "unknown",
        }
    }
}

/// Fill of one file system; GB of 1024³ bytes, as in the original.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Disk {
    pub percent: f64,
    pub used_gb: f64,
    pub total_gb: f64,
    pub free_gb: f64,
}

/// State of one file system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileSystem {
    /// Its mount point.
    pub path: String,
    /// Nothing can be written, by its mount options or since the kernel found an error.
    pub read_only: bool,
    /// Errors that ext4 has recorded since `e2fsck` last repaired it; `null` for other file systems.
    pub errors: Option<u64>,
    /// Commands that failed on its SCSI or USB disk since that was attached; `null` for other disks.
    pub io_errors: Option<u64>,
}

/// What a device may be doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActivityName {
    Streaming,
    Tracking,
    Recording,
}

impl ActivityName {
    pub const ALL: [ActivityName; 3] =
        [ActivityName::Streaming, ActivityName::Tracking, ActivityName::Recording];

    /// The word in JSON and in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            ActivityName::Streaming => "streaming",
            ActivityName::Tracking => "tracking",
            ActivityName::Recording => "recording",
        }
    }
}

/// Throttling by the firmware of a Raspberry Pi, in the terms of `vcgencmd get_throttled`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Throttled {
    pub now: Vec<Throttle>,
    /// `null` where only the present state can be read.
    pub since_boot: Option<Vec<Throttle>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Throttle {
    UnderVoltage,
    FrequencyCapped,
    Throttled,
    SoftTemperatureLimit,
}

impl Throttle {
    pub const ALL: [Throttle; 4] = [
        Throttle::UnderVoltage,
        Throttle::FrequencyCapped,
        Throttle::Throttled,
        Throttle::SoftTemperatureLimit,
    ];

    /// The word in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Throttle::UnderVoltage => "under_voltage",
            Throttle::FrequencyCapped => "frequency_capped",
            Throttle::Throttled => "throttled",
            Throttle::SoftTemperatureLimit => "soft_temperature_limit",
        }
    }
}

/// The body of heartbeat-monitor's response. Other servers may send any body, or none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HeartbeatResponse {
    /// The interval that the monitor expects, in seconds: the one in the heartbeat, or the one behind its own
    /// threshold. For information only: the daemon keeps the configured interval, because neither a mistake on the
    /// server nor an attacker who controls it may delay the detection of an outage. An overloaded server sends 429 or
    /// 503 with `Retry-After`, which the daemon obeys.
    pub interval_s: f64,
    /// Unix time by the monitor's clock.
    pub server_time: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_is_read_and_written_back_without_loss() {
        let heartbeat: Heartbeat = serde_json::from_str(SAMPLE).expect("the sample is a heartbeat");
        let written: serde_json::Value = serde_json::to_value(&heartbeat).expect("serializable");
        let sample: serde_json::Value = serde_json::from_str(SAMPLE).expect("JSON");
        assert_eq!(written, sample);
    }

    #[test]
    fn a_reason_has_one_word_on_the_wire_and_in_the_log() {
        for reason in Reason::ALL {
            let wire = serde_json::to_value(reason).expect("serializable");
            assert_eq!(wire, reason.as_str());
        }
    }

    #[test]
    fn a_throttle_has_one_word_everywhere() {
        for what in Throttle::ALL {
            assert_eq!(serde_json::to_value(what).expect("serializable"), what.as_str());
        }
    }

    #[test]
    fn a_state_of_a_link_has_one_word_everywhere() {
        use LinkState::{Absent, Dead, Down, NoAddress, Portal, Suspect, Unverified, Up, Valid};
        for state in [Absent, Down, NoAddress, Up, Unverified, Valid, Suspect, Dead, Portal] {
            assert_eq!(serde_json::to_value(state).expect("serializable"), state.as_str());
        }
    }

    #[test]
    fn an_activity_has_one_word_everywhere() {
        for name in ActivityName::ALL {
            assert_eq!(serde_json::to_value(name).expect("serializable"), name.as_str());
        }
    }

    #[test]
    fn a_status_of_a_camera_has_one_word_everywhere() {
        for status in [CameraStatus::Connected, CameraStatus::Disconnected, CameraStatus::Unknown] {
            assert_eq!(serde_json::to_value(status).expect("serializable"), status.as_str());
        }
    }

    #[test]
    fn a_heartbeat_without_cameras_omits_them_and_can_be_read() {
        let mut heartbeat: Heartbeat = serde_json::from_str(SAMPLE).expect("the sample");
        heartbeat.cameras.clear();
        let value = serde_json::to_value(&heartbeat).expect("serializable");
        assert!(value.get("cameras").is_none());
        assert_eq!(serde_json::from_value::<Heartbeat>(value).expect("a heartbeat"), heartbeat);
    }

    #[test]
    fn a_heartbeat_of_an_older_daemon_lacks_the_fields_that_came_later() {
        let mut value: serde_json::Value = serde_json::from_str(SAMPLE).expect("JSON");
        let fields = value.as_object_mut().expect("an object");
        for key in ["file_systems", "expected_activity"] {
            fields.remove(key).expect(key);
        }
        fields["connection"].as_object_mut().expect("an object").remove("uplinks").expect("uplinks");
        fields["cameras"][0]
            .as_object_mut()
            .expect("an object")
            .remove("failed_checks")
            .expect("failed_checks");
        let heartbeat: Heartbeat = serde_json::from_value(value.clone()).expect("a heartbeat");
        assert_eq!(serde_json::to_value(heartbeat).expect("serializable"), value, "absent, not null");
    }

    #[test]
    fn an_unknown_field_does_not_make_a_heartbeat_unreadable() {
        let mut value: serde_json::Value = serde_json::from_str(SAMPLE).expect("JSON");
        value["a_field_of_next_year"] = 1.into();
        serde_json::from_value::<Heartbeat>(value).expect("still a heartbeat");
    }
}
