//! Builds a heartbeat from a snapshot.

use crate::clock::Moment;
use crate::device::cameras::{CameraInfo, Status};
use crate::device::failover::decision::UplinkState;
use crate::device::failover::handle::Failover;
use crate::device::failover::status::{FailoverStatus, PublishedStatus};
use crate::device::metrics::{DiskUsage, Identity, Reading};
use crate::wire::{self, Heartbeat, LinkState, Reason};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Bytes in a GB, as the original counted.
const GB: f64 = 1024.0 * 1024.0 * 1024.0;

/// Bytes in a MB of a recording, as the original counted.
const MB: f64 = 1_000_000.0;

/// Fields that differ in each heartbeat, apart from the metrics.
#[derive(Debug, Clone)]
pub struct Stamp {
    pub id: String,
    pub seq: u64,
    pub reason: Reason,
    pub now: SystemTime,
}

/// Everything that a heartbeat reports, read at one moment.
#[derive(Debug)]
pub struct Snapshot<'a> {
    pub identity: &'a Identity,
    pub interval: Duration,
    pub metrics: &'a Reading,
    /// `None`: failover is off.
    pub failover: Option<&'a FailoverStatus>,
    /// As failover has them; empty if it is off.
    pub uplinks: &'a [wire::UplinkReport],
    pub cameras: &'a [CameraInfo],
}

pub fn heartbeat(snapshot: &Snapshot<'_>, stamp: Stamp) -> Heartbeat {
    let Snapshot { identity, interval, metrics, failover, uplinks, cameras: list } = *snapshot;
    let activity = &metrics.activity;
    let file = activity.recording_file.as_ref();
    Heartbeat {
        hardwareid: identity.hardware_id.as_ref().map(|hardware| hardware.id.clone()),
        id: stamp.id,
        boot_id: identity.boot_id.clone(),
        seq: stamp.seq,
        reason: stamp.reason,
        timestamp: rounded(unix_time(stamp.now), 3),
        clock_synced: metrics.clock_synced,
        uptime_s: metrics.uptime.map(|uptime| uptime.as_secs()),
        interval_s: rounded(interval.as_secs_f64(), 3),
        server: None,
        hostname: identity.hostname.clone(),
        app_version: metrics.app_version.clone(),
        daemon_version: env!("CARGO_PKG_VERSION").to_owned(),
        values: rounded_values(metrics.values),
        disk: metrics.disk.map(disk),
        file_systems: metrics.file_systems.clone(),
        throttled: metrics.throttled.clone(),
        connection: connection(&metrics.connection, failover, uplinks),
        streaming_active: activity.streaming,
        tracking_active: activity.tracking,
        recording_active: activity.recording,
        recording_file_size_mb: file.map(|file| rounded(file.bytes as f64 / MB, 1)),
        recording_file_path: file.map(|file| file.path.to_string_lossy().into_owned()),
        expected_activity: activity.expected.clone(),
        cameras: cameras(list),
        replay_age_s: None,
    }
}

/// Failover probes, so its link states take precedence over those that the metrics thread read from the kernel.
fn connection(
    read: &wire::Connection,
    failover: Option<&FailoverStatus>,
    uplinks: &[wire::UplinkReport],
) -> wire::Connection {
    let Some(failover) = failover else { return read.clone() };
    let state = |interface: &str, read: LinkState| {
        uplinks.iter().find(|uplink| uplink.interface == interface).map_or(read, |uplink| uplink.health)
    };
    let ethernet = read.ethernet.clone();
    let wifi = read.wifi.clone();
    wire::Connection {
        active: failover.active.clone(),
        state: Some(failover.state.clone()),
        ethernet: ethernet.map(|link| wire::Ethernet { state: state(&link.interface, link.state), ..link }),
        wifi: wifi.map(|link| wire::Wifi { state: state(&link.interface, link.state), ..link }),
        uplinks: uplinks.to_vec(),
        ..read.clone()
    }
}

/// The configured uplinks; empty if failover is off. Their ages are those of `now`: a proof alone publishes no new status.
pub fn uplinks(
    status: Option<&PublishedStatus>,
    failover: &Failover,
    now: Instant,
) -> Vec<wire::UplinkReport> {
    let report = |uplink: &UplinkState| wire::UplinkReport {
        interface: uplink.interface.clone(),
        health: uplink.state,
        proven_s: failover.proven(&uplink.interface, now).map(|age| age.as_secs()),
    };
    status.iter().flat_map(|status| &status.configured).map(report).collect()
}

/// At most [`wire::MAX_CAMERAS`]; connected cameras are left out first.
fn cameras(list: &[CameraInfo]) -> Vec<wire::Camera> {
    let report = |camera: &CameraInfo| wire::Camera {
        mac: camera.mac.to_string(),
        hostname: camera.hostname.clone(),
        status: camera.status,
        last_seen: camera.last_seen.and_then(Moment::rfc_3339),
        failed_checks: camera.failed_checks,
    };
    let mut room = wire::MAX_CAMERAS;
    let lost = list.iter().filter(|camera| camera.status != Status::Connected).count();
    let mut connected = room.saturating_sub(lost);
    let has_room = |camera: &&CameraInfo| {
        let room = if camera.status == Status::Connected { &mut connected } else { &mut room };
        room.checked_sub(1).map(|less| *room = less).is_some()
    };
    list.iter().filter(has_room).map(report).collect()
}

fn unix_time(now: SystemTime) -> f64 {
    match now.duration_since(UNIX_EPOCH) {
        Ok(since) => since.as_secs_f64(),
        Err(before) => -before.duration().as_secs_f64(),
    }
}

/// Percentages and temperatures to a tenth, power to a hundredth.
fn rounded_values(values: wire::Values) -> wire::Values {
    let tenths = |value: Option<f64>| value.map(|value| rounded(value, 1));
    wire::Values {
        cpu: tenths(values.cpu),
        mem: tenths(values.mem),
        swap: tenths(values.swap),
        temp: tenths(values.temp),
        power: values.power.map(|watts| rounded(watts, 2)),
        ..values
    }
}

pub fn rounded(value: f64, digits: i32) -> f64 {
    let factor = 10f64.powi(digits);
    (value * factor).round() / factor
}

/// Percent as `df` shows it: of what programs can have, not of the size.
fn disk(disk: DiskUsage) -> wire::Disk {
    wire::Disk {
        percent: rounded(disk.percent(), 1),
        used_gb: rounded(disk.used as f64 / GB, 1),
        total_gb: rounded(disk.total as f64 / GB, 1),
        free_gb: rounded(disk.free as f64 / GB, 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mac::Mac;

    fn sample() -> Heartbeat {
        serde_json::from_str(wire::SAMPLE).expect("the sample")
    }

    #[test]
    fn with_too_many_cameras_the_body_stays_bounded_and_lists_the_lost_ones() {
        let camera = |n: u16| CameraInfo {
            mac: Mac::parse(&format!("02:00:00:00:{:02x}:{:02x}", n >> 8, n & 0xff)).expect("a MAC"),
            hostname: Some("x".repeat(63)),
            ip: None,
            status: if n % 10 == 0 { Status::Disconnected } else { Status::Connected },
            reachable: None,
            last_seen: Some(Moment(0)),
            failed_checks: Some(u32::MAX),
            since: None,
            latency: None,
            uptime_24h: None,
            method: crate::device::cameras::Method::Tcp,
            port: 80,
            origin: crate::device::cameras::CameraOrigin::Dhcp,
            problem: None,
        };
        let all: Vec<CameraInfo> = (0..1000).map(camera).collect();
        let mut heartbeat = sample();
        heartbeat.cameras = cameras(&all);
        assert_eq!(heartbeat.cameras.len(), wire::MAX_CAMERAS);
        let lost = heartbeat.cameras.iter().filter(|camera| camera.status == Status::Disconnected);
        assert_eq!(lost.count(), 100);
        assert!(heartbeat.cameras.is_sorted_by_key(|camera| camera.mac.clone()));
        let body = serde_json::to_vec(&heartbeat).expect("JSON");
        assert!(body.len() < wire::MAX_BODY - 8 * 1024);
        assert_eq!(cameras(&all[..3]).len(), 3);
        assert_eq!(heartbeat.cameras[0].last_seen.as_deref(), Some("1970-01-01T00:00:00Z"));
    }

    #[test]
    fn what_was_not_read_is_null_and_what_was_is_rounded() {
        let metrics = Reading {
            values: wire::Values { cpu: Some(12.3456), power: Some(1.9005), ..wire::Values::default() },
            disk: Some(DiskUsage { total: 30 << 30, used: 10 << 30, free: 15 << 30 }),
            ..Reading::default()
        };
        let stamp = Stamp { id: "1".into(), seq: 1, reason: Reason::Startup, now: UNIX_EPOCH };
        let identity = Identity::default();
        let interval = Duration::from_secs(5);
        let snapshot = Snapshot {
            identity: &identity,
            interval,
            metrics: &metrics,
            failover: None,
            uplinks: &[],
            cameras: &[],
        };
        let heartbeat = heartbeat(&snapshot, stamp);
        assert_eq!(
            (heartbeat.values.cpu, heartbeat.values.power, heartbeat.values.temp),
            (Some(12.3), Some(1.9), None)
        );
        let expected = wire::Disk { percent: 40.0, used_gb: 10.0, total_gb: 30.0, free_gb: 15.0 };
        assert_eq!(heartbeat.disk, Some(expected));
        let value = serde_json::to_value(&heartbeat).expect("JSON");
        assert!(value["temp"].is_null() && value.get("replay_age_s").is_none());
    }
}
