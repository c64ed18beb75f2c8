//! `/metrics`: the same facts for Prometheus, in its base units.

use super::call::{Call, Handled};
use crate::device::cameras::Status as CameraStatus;
use crate::device::metrics::DiskUsage;
use crate::exposition::{self, Exposition};
use crate::http::{Counters, Response};
use crate::wire::Heartbeat;

/// Without cameras it has 7 KiB.
const ROOM: usize = 8 * 1024;

pub fn metrics(call: &Call) -> Handled {
    let mut text = Exposition::with_capacity(ROOM);
    of_the_daemon(&mut text, call);
    of_the_heartbeats(&mut text, call);
    let record = call.context.heartbeat_status.record();
    if let Some(heartbeat) = &record.heartbeat {
        of_the_device(&mut text, heartbeat, call.context.metrics.get().disk.as_ref());
        of_the_network(&mut text, heartbeat);
    }
    of_the_uplinks(&mut text, call);
    of_the_cameras(&mut text, call);
    of_the_front(&mut text, call.counters);
    Response::new(200).body(exposition::CONTENT_TYPE, text.into_text().into_bytes()).into()
}

fn truth(value: bool) -> f64 {
    f64::from(u8::from(value))
}

fn ratio(percent: Option<f64>) -> Option<f64> {
    // Rounded, or 41.2 % would be 0.41200000000000003.
    percent.map(|percent| (percent * 100.0).round() / 10_000.0)
}

fn of_the_daemon(text: &mut Exposition, call: &Call) {
    let name = "heartbeat_build_info";
    text.family(name, "The version of heartbeat-daemon.", "gauge");
    text.sample(name, &[("version", env!("CARGO_PKG_VERSION"))], 1);
    let (heartbeat_status, now) = (&call.context.heartbeat_status, call.now);
    let uptime = now.since(heartbeat_status.begin()).as_secs_f64();
    text.gauge("heartbeat_daemon_uptime_seconds", "Since the daemon began.", uptime);
    let still = heartbeat_status.stalled_for(now.monotonic).as_secs_f64();
    text.gauge("heartbeat_loop_age_seconds", "Since the loop that sends came around last.", still);
    let interval = call.settings.heartbeat.interval.as_secs_f64();
    text.gauge("heartbeat_interval_seconds", "From beat to beat.", interval);
}

fn of_the_heartbeats(text: &mut Exposition, call: &Call) {
    let record = call.context.heartbeat_status.record();
    let name = "heartbeat_sent_total";
    text.family(name, "Heartbeats that were sent, by reason and outcome.", "counter");
    for (reason, outcome, count) in record.tally.iter() {
        text.sample(name, &[("reason", reason), ("outcome", outcome)], count);
    }
    text.counter("heartbeat_retries_total", "Heartbeats sent as a retry.", record.counts.retried);
    let works = record.works.map(truth);
    text.gauge("heartbeat_server_up", "Whether the server took the last heartbeat.", works);
    let age = record.accepted.map(|accepted| call.now.since(accepted.monotonic).as_secs_f64());
    text.gauge("heartbeat_last_success_age_seconds", "Since the server took a heartbeat last.", age);
}

fn of_the_device(text: &mut Exposition, heartbeat: &Heartbeat, disk: Option<&DiskUsage>) {
    let load = |place: usize| heartbeat.values.load.and_then(|load| load.get(place).copied());
    let fan_duty = heartbeat.values.fan_pwm.map(|duty| (f64::from(duty) / 255.0 * 1000.0).round() / 1000.0);
    for (name, help, value) in [
        ("heartbeat_cpu_usage_ratio", "CPU time in use, of all cores.", ratio(heartbeat.values.cpu)),
        ("heartbeat_memory_usage_ratio", "Memory in use.", ratio(heartbeat.values.mem)),
        ("heartbeat_swap_usage_ratio", "Swap in use.", ratio(heartbeat.values.swap)),
        ("heartbeat_load1", "Run queue over 1 minute.", load(0)),
        ("heartbeat_load5", "Run queue over 5 minutes.", load(1)),
        ("heartbeat_load15", "Run queue over 15 minutes.", load(2)),
        ("heartbeat_temperature_celsius", "Of the processor.", heartbeat.values.temp),
        ("heartbeat_power_watts", "What the PMIC's rails carry.", heartbeat.values.power),
        ("heartbeat_fan_rpm", "Turns of the fan in a minute.", heartbeat.values.fan_rpm.map(f64::from)),
        ("heartbeat_fan_duty_ratio", "Duty cycle of the fan.", fan_duty),
        ("heartbeat_uptime_seconds", "Since the machine booted.", heartbeat.uptime_s.map(|s| s as f64)),
        (
            "heartbeat_disk_usage_ratio",
            "Fill of the disk, as df counts.",
            ratio(heartbeat.disk.as_ref().map(|disk| disk.percent)),
        ),
        ("heartbeat_disk_size_bytes", "Size of the disk.", disk.map(|disk| disk.total as f64)),
        ("heartbeat_disk_free_bytes", "What programs can still have.", disk.map(|disk| disk.free as f64)),
        ("heartbeat_clock_synced", "Whether NTP keeps the clock right.", heartbeat.clock_synced.map(truth)),
        ("heartbeat_streaming_active", "Whether it streams.", heartbeat.streaming_active.map(truth)),
        ("heartbeat_tracking_active", "Whether it tracks.", heartbeat.tracking_active.map(truth)),
        ("heartbeat_recording_active", "Whether it records.", heartbeat.recording_active.map(truth)),
    ] {
        text.gauge(name, help, value);
    }
    let Some(throttled) = &heartbeat.throttled else { return };
    let name = "heartbeat_throttled";
    text.family(name, "What the firmware holds back now.", "gauge");
    for what in crate::wire::Throttle::ALL {
        text.sample(name, &[("what", what.as_str())], truth(throttled.now.contains(&what)));
    }
}

fn of_the_network(text: &mut Exposition, heartbeat: &Heartbeat) {
    let traffic = &heartbeat.connection.traffic;
    type TrafficField = fn(&crate::wire::Traffic) -> u64;
    let families: [(&str, &str, TrafficField); 2] = [
        ("heartbeat_network_receive_bytes_total", "Received over an interface.", |t| t.rx_bytes),
        ("heartbeat_network_transmit_bytes_total", "Sent over an interface.", |t| t.tx_bytes),
    ];
    for (name, help, read) in families.into_iter().filter(|_| !traffic.is_empty()) {
        text.family(name, help, "counter");
        for (interface, traffic) in traffic {
            text.sample(name, &[("interface", interface)], read(traffic));
        }
    }
    let wifi = heartbeat.connection.wifi.as_ref().and_then(|wifi| Some((wifi, wifi.signal_dbm?)));
    if let Some((wifi, signal)) = wifi {
        let name = "heartbeat_wifi_signal_dbm";
        text.family(name, "Strength of the Wi-Fi signal.", "gauge");
        text.sample(name, &[("interface", &wifi.interface)], signal);
    }
}

fn of_the_uplinks(text: &mut Exposition, call: &Call) {
    let Some(failover) = call.context.failover_status(call.now.monotonic) else { return };
    let active = "heartbeat_uplink_active";
    text.family(active, "Whether the uplink is in use.", "gauge");
    for uplink in &failover.uplinks {
        let in_use = Some(&uplink.interface) == failover.active.as_ref();
        text.sample(active, &[("interface", &uplink.interface)], truth(in_use));
    }
    let state = "heartbeat_uplink_state";
    text.family(state, "1 for the state that the uplink is in.", "gauge");
    for uplink in &failover.uplinks {
        text.sample(state, &[("interface", &uplink.interface), ("state", uplink.state.as_str())], 1);
    }
}

fn of_the_cameras(text: &mut Exposition, call: &Call) {
    let cameras = call.context.cameras.list();
    if cameras.is_empty() {
        return;
    }
    type CameraField = fn(&crate::device::cameras::CameraInfo) -> Option<f64>;
    let families: [(&str, &str, CameraField); 3] = [
        ("heartbeat_camera_connected", "Whether the camera is connected.", |camera| match camera.status {
            CameraStatus::Connected => Some(1.0),
            CameraStatus::Disconnected => Some(0.0),
            CameraStatus::Unknown => None,
        }),
        ("heartbeat_camera_latency_seconds", "How long its last answer took.", |camera| {
            camera.latency.map(|latency| latency.as_secs_f64())
        }),
        ("heartbeat_camera_uptime_ratio", "Share of the last 24 hours.", |camera| ratio(camera.uptime_24h)),
    ];
    for (name, help, read) in families {
        text.family(name, help, "gauge");
        for camera in cameras.iter() {
            let Some(value) = read(camera) else { continue };
            let hostname = camera.hostname.as_deref().unwrap_or_default();
            text.sample(name, &[("mac", &camera.mac.to_string()), ("hostname", hostname)], value);
        }
    }
}

fn of_the_front(text: &mut Exposition, counters: &Counters) {
    let open = counters.open.get() as f64;
    text.gauge("heartbeat_http_connections", "Open connections to the API.", open);
    text.counter("heartbeat_http_accepted_total", "Connections accepted.", counters.accepted.get());
    text.counter("heartbeat_http_refused_total", "Connections refused.", counters.refused.get());
    text.counter("heartbeat_http_requests_total", "Requests that were read.", counters.requests.get());
    let name = "heartbeat_http_answers_total";
    text.family(name, "Answers, by the first digit of their status.", "counter");
    for (place, class) in ["1xx", "2xx", "3xx", "4xx", "5xx"].into_iter().enumerate() {
        let count = counters.answers.get(place).map_or(0, |counter| counter.get());
        text.sample(name, &[("class", class)], count);
    }
    text.counter("heartbeat_http_late_total", "Requests that came too slowly.", counters.late_requests.get());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentage_becomes_a_ratio_without_a_tail() {
        assert_eq!(ratio(Some(41.2)), Some(0.412));
        assert_eq!(ratio(None), None);
    }
}
