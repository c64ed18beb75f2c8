//! `/metrics`: the same facts for Prometheus, in its base units.

use super::call::{Call, Handled};
use crate::device::cameras::Status as CameraStatus;
use crate::device::heartbeat::status::ServerReport;
use crate::device::metrics::DiskUsage;
use crate::exposition::{self, Exposition};
use crate::http::{Counters, Response};
use crate::wire::{Heartbeat, Values};

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
    text.family(name, "Version of the running program.", "gauge");
    text.sample(name, &[("version", env!("CARGO_PKG_VERSION"))], 1);
    let (heartbeat_status, now) = (&call.context.heartbeat_status, call.now);
    let uptime = now.since(heartbeat_status.begin()).as_secs_f64();
    text.gauge("heartbeat_daemon_uptime_seconds", "Seconds since the start of the daemon.", uptime);
    let still = heartbeat_status.stalled_for(now.monotonic).as_secs_f64();
    text.gauge("heartbeat_loop_age_seconds", "Seconds since the last round of the send loop.", still);
    let interval = call.settings.heartbeat.interval.as_secs_f64();
    text.gauge("heartbeat_interval_seconds", "Configured seconds between two heartbeats.", interval);
}

fn of_the_heartbeats(text: &mut Exposition, call: &Call) {
    let record = call.context.heartbeat_status.record();
    let name = "heartbeat_sent_total";
    text.family(name, "Sent heartbeats by reason and outcome.", "counter");
    for (reason, outcome, count) in record.tally.iter() {
        text.sample(name, &[("reason", reason), ("outcome", outcome)], count);
    }
    text.counter(
        "heartbeat_retries_total",
        "Heartbeats sent as a retry of a failed one.",
        record.counts.retried,
    );
    let works = record.works.map(truth);
    text.gauge("heartbeat_server_up", "1 if the server acknowledged the last heartbeat, 0 if not.", works);
    type ServerField = fn(&ServerReport) -> Option<bool>;
    let families: [(&str, &str, ServerField); 2] = [
        ("heartbeat_server_active", "1 for the server in use, 0 for the others.", |server| {
            Some(server.in_use)
        }),
        ("heartbeat_server_works", "1 if the server took its last heartbeat, 0 if not.", |server| {
            server.works
        }),
    ];
    for (name, help, read) in families.into_iter().filter(|_| !record.servers.is_empty()) {
        text.family(name, help, "gauge");
        for server in &record.servers {
            if let Some(value) = read(server) {
                text.sample(name, &[("server", &server.name)], truth(value));
            }
        }
    }
    let age = record.accepted.map(|accepted| call.now.since(accepted.monotonic).as_secs_f64());
    text.gauge("heartbeat_last_success_age_seconds", "Seconds since the last acknowledged heartbeat.", age);
}

fn of_the_device(text: &mut Exposition, heartbeat: &Heartbeat, disk: Option<&DiskUsage>) {
    of_the_values(text, &heartbeat.values);
    let uptime = heartbeat.uptime_s.map(|s| s as f64);
    text.gauge("heartbeat_uptime_seconds", "Seconds since the boot of the device.", uptime);
    let used = ratio(heartbeat.disk.as_ref().map(|disk| disk.percent));
    text.gauge("heartbeat_disk_usage_ratio", "Used share of the disk, as df calculates it.", used);
    text.gauge("heartbeat_disk_size_bytes", "Size of the disk.", disk.map(|disk| disk.total as f64));
    let free = disk.map(|disk| disk.free as f64);
    text.gauge("heartbeat_disk_free_bytes", "Free bytes of the disk, without the reserve of root.", free);
    for (name, help, value) in [
        ("heartbeat_clock_synced", "1 if the clock is synchronised, 0 if not.", heartbeat.clock_synced),
        ("heartbeat_streaming_active", "1 if the device is streaming, 0 if not.", heartbeat.streaming_active),
        ("heartbeat_tracking_active", "1 if the device is tracking, 0 if not.", heartbeat.tracking_active),
        ("heartbeat_recording_active", "1 if the device is recording, 0 if not.", heartbeat.recording_active),
    ] {
        text.gauge(name, help, value.map(truth));
    }
    let Some(throttled) = &heartbeat.throttled else { return };
    let name = "heartbeat_throttled";
    text.family(name, "1 for each cause of throttling that the firmware reports now, otherwise 0.", "gauge");
    for what in crate::wire::Throttle::ALL {
        text.sample(name, &[("what", what.as_str())], truth(throttled.now.contains(&what)));
    }
}

fn of_the_values(text: &mut Exposition, values: &Values) {
    let load = |place: usize| values.load.and_then(|load| load.get(place).copied());
    let fan_duty = values.fan_pwm.map(|duty| (f64::from(duty) / 255.0 * 1000.0).round() / 1000.0);
    for (name, help, value) in [
        ("heartbeat_cpu_usage_ratio", "Used share of the CPU time of all cores.", ratio(values.cpu)),
        ("heartbeat_memory_usage_ratio", "Used share of the memory.", ratio(values.mem)),
        ("heartbeat_swap_usage_ratio", "Used share of the swap space.", ratio(values.swap)),
        ("heartbeat_load1", "Load average over 1 minute.", load(0)),
        ("heartbeat_load5", "Load average over 5 minutes.", load(1)),
        ("heartbeat_load15", "Load average over 15 minutes.", load(2)),
        ("heartbeat_temperature_celsius", "Temperature of the processor.", values.temp),
        ("heartbeat_power_watts", "Power of all rails that the power chip measures.", values.power),
        ("heartbeat_fan_rpm", "Revolutions of the fan per minute.", values.fan_rpm.map(f64::from)),
        ("heartbeat_fan_duty_ratio", "Duty cycle of the fan, from 0 to 1.", fan_duty),
    ] {
        text.gauge(name, help, value);
    }
}

fn of_the_network(text: &mut Exposition, heartbeat: &Heartbeat) {
    let traffic = &heartbeat.connection.traffic;
    type TrafficField = fn(&crate::wire::Traffic) -> u64;
    let families: [(&str, &str, TrafficField); 2] = [
        ("heartbeat_network_receive_bytes_total", "Bytes received over the interface since the boot.", |t| {
            t.rx_bytes
        }),
        ("heartbeat_network_transmit_bytes_total", "Bytes sent over the interface since the boot.", |t| {
            t.tx_bytes
        }),
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
        text.family(name, "Strength of the Wi-Fi signal in dBm.", "gauge");
        text.sample(name, &[("interface", &wifi.interface)], signal);
    }
}

fn of_the_uplinks(text: &mut Exposition, call: &Call) {
    let Some(failover) = call.context.failover_status(call.now.monotonic) else { return };
    let active = "heartbeat_uplink_active";
    text.family(active, "1 for the uplink in use, 0 for the others.", "gauge");
    for uplink in &failover.uplinks {
        let in_use = Some(&uplink.interface) == failover.active.as_ref();
        text.sample(active, &[("interface", &uplink.interface)], truth(in_use));
    }
    let state = "heartbeat_uplink_state";
    text.family(state, "1 for the current state of the uplink.", "gauge");
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
        ("heartbeat_camera_connected", "1 if the camera is connected, 0 if not.", |camera| {
            match camera.status {
                CameraStatus::Connected => Some(1.0),
                CameraStatus::Disconnected => Some(0.0),
                CameraStatus::Unknown => None,
            }
        }),
        (
            "heartbeat_camera_latency_seconds",
            "Seconds that the last response of the camera took.",
            |camera| camera.latency.map(|latency| latency.as_secs_f64()),
        ),
        (
            "heartbeat_camera_uptime_ratio",
            "Share of the last 24 hours in which the camera was connected.",
            |camera| ratio(camera.uptime_24h),
        ),
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
    text.gauge("heartbeat_http_connections", "Open connections to the local API.", open);
    text.counter("heartbeat_http_accepted_total", "Accepted connections.", counters.accepted.get());
    text.counter("heartbeat_http_refused_total", "Refused connections.", counters.refused.get());
    text.counter("heartbeat_http_requests_total", "Complete requests.", counters.requests.get());
    let name = "heartbeat_http_answers_total";
    text.family(name, "Responses by class of status.", "counter");
    for (place, class) in ["1xx", "2xx", "3xx", "4xx", "5xx"].into_iter().enumerate() {
        let count = counters.answers.get(place).map_or(0, |counter| counter.get());
        text.sample(name, &[("class", class)], count);
    }
    text.counter(
        "heartbeat_http_late_total",
        "Requests that were not complete before their deadline.",
        counters.late_requests.get(),
    );
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
