//! The monitor's own metrics.

use super::context::ApiContext;
use super::database_metrics::shared_database;
use super::lists::STATUSES;
use crate::clock::Now;
use crate::exposition::Exposition;
use crate::http;
use crate::monitor::api::figures::StoredFigures;
use crate::monitor::conditions::catalogue::CATALOGUE;
use crate::monitor::health::Health;
use crate::monitor::ingest::counters::{IngestCounters, IngestFormat};
use crate::monitor::mqtt::counters::MqttCounts;
use crate::monitor::notify::couriers::DeliveryCounts;
use crate::monitor::notify::delivery_state::DeliveryState;
use crate::monitor::notify::topic::Topic;
use std::collections::BTreeMap;
use std::time::Instant;

/// All metrics in the Prometheus text format.
pub fn text(context: &ApiContext, now: Now) -> String {
    let figures = context.shared.store.figures(now.wall);
    let mut text = Exposition::default();
    text.family("heartbeat_monitor_info", "Version of the running program.", "gauge");
    text.sample("heartbeat_monitor_info", &[("version", env!("CARGO_PKG_VERSION"))], 1.0);
    let started = context.started.0 as f64 / 1000.0;
    text.gauge("heartbeat_monitor_start_time_seconds", "Unix time of the start.", started);
    text.gauge(
        "heartbeat_monitor_database_readable",
        "1 if the database can be read; 0 if not, then metrics from the database are missing.",
        if figures.is_ok() { 1.0 } else { 0.0 },
    );
    health(&mut text, &context.health, now.monotonic);
    text.gauge(
        "heartbeat_monitor_unheard_machines",
        "Machines with other monitors, of which this one hears less than half; 0 while it hears enough.",
        context.shared.pulse.isolated().map_or(0.0, |isolated| isolated.silent as f64),
    );
    ingest(&mut text, &context.ingest);
    text.gauge(
        "heartbeat_monitor_flush_age_seconds",
        "Seconds since all heartbeats were last written to the database; above 15, heartbeats are refused.",
        context.shared.pulse.age(now.monotonic).as_secs_f64(),
    );
    text.gauge(
        "heartbeat_monitor_orders_waiting",
        "Recoveries, shutdowns and replays that wait for the recorder.",
        context.orders.len() as f64,
    );
    deliveries(&mut text, &context.couriers.read());
    if let Some(counts) = context.mqtt.read() {
        mqtt(&mut text, &counts);
    }
    front(&mut text, &context.counters);
    shared_database(&mut text, &context.shared.store, now.wall);
    if let Ok(figures) = &figures {
        fleet(&mut text, figures);
        incidents(&mut text, &figures.incidents);
        notifications(&mut text, figures);
        text.gauge(
            "heartbeat_monitor_database_bytes",
            "Size of the database and its write-ahead log.",
            figures.bytes as f64,
        );
    }
    text.into_text()
}

fn health(text: &mut Exposition, health: &Health, now: Instant) {
    let stuck: Vec<(&str, f64)> =
        health.work(now).into_iter().map(|work| (work.name, work.stuck_for.as_secs_f64())).collect();
    text.gauges(
        "heartbeat_monitor_stuck_seconds",
        "Seconds without progress, by kind of work; above 15, /healthz is 503.",
        "work",
        &stuck,
    );
    let damage = health.damage();
    let damaged: Vec<(&str, f64)> = damage.iter().map(|damage| (damage.table.as_str(), 1.0)).collect();
    text.gauges(
        "heartbeat_monitor_damaged_table",
        "Tables found damaged at the start; if any, /healthz is 503.",
        "table",
        &damaged,
    );
}

fn fleet(text: &mut Exposition, figures: &StoredFigures) {
    let by_status: Vec<(&str, f64)> = STATUSES
        .iter()
        .map(|(word, status)| (*word, figures.machines[*status as usize] as f64))
        .chain([("disabled", figures.disabled as f64)])
        .collect();
    text.gauges("heartbeat_monitor_machines", "Machines by status.", "status", &by_status);
    text.gauge(
        "heartbeat_monitor_machines_paused",
        "Machines in maintenance: monitored, without notifications.",
        figures.paused as f64,
    );
}

/// Every kind has a sample, so that an alert rule finds 0 and not nothing.
fn incidents(text: &mut Exposition, open: &BTreeMap<String, u64>) {
    let mut by_kind: BTreeMap<&str, f64> = CATALOGUE.iter().map(|entry| (entry.name, 0.0)).collect();
    by_kind.insert(Topic::Offline.name(), 0.0);
    by_kind.extend(open.iter().map(|(kind, count)| (kind.as_str(), *count as f64)));
    let by_kind: Vec<(&str, f64)> = by_kind.into_iter().collect();
    text.gauges("heartbeat_incident_open", "Open incidents by kind.", "kind", &by_kind);
}

fn ingest(text: &mut Exposition, counters: &IngestCounters) {
    let by_format = IngestFormat::ALL.map(|format| (format.as_str(), counters.heartbeats(format)));
    text.counters(
        "heartbeat_monitor_heartbeats_total",
        "Accepted heartbeats by format.",
        "format",
        &by_format,
    );
    text.counter("heartbeat_monitor_replays_total", "Stored replays.", counters.replays());
    text.counters(
        "heartbeat_monitor_heartbeats_refused_total",
        "Refused heartbeats by reason: denied (401, 403), malformed (400, 411, 413), unavailable (503).",
        "reason",
        &[
            ("denied", counters.denials()),
            ("malformed", counters.malformations()),
            ("unavailable", counters.refusals()),
        ],
    );
}

fn deliveries(text: &mut Exposition, couriers: &[DeliveryCounts]) {
    type Column = fn(&DeliveryCounts) -> u64;
    let columns: [(&str, &str, Column); 3] = [
        ("heartbeat_monitor_deliveries_total", "Notifications accepted by receivers.", |c| c.delivered),
        ("heartbeat_monitor_delivery_failures_total", "Failed delivery attempts.", |c| c.failed),
        ("heartbeat_monitor_deliveries_dead_total", "Abandoned notifications.", |c| c.dead),
    ];
    for (name, help, column) in columns {
        let by_kind: Vec<(&str, u64)> =
            couriers.iter().map(|counts| (counts.kind.name(), column(counts))).collect();
        text.counters(name, help, "channel", &by_kind);
    }
}

/// Absent without a broker.
fn mqtt(text: &mut Exposition, counts: &MqttCounts) {
    text.gauge(
        "heartbeat_monitor_mqtt_connected",
        "1 while the monitor is connected to its MQTT broker.",
        if counts.is_connected { 1.0 } else { 0.0 },
    );
    text.counter("heartbeat_monitor_mqtt_published_total", "Messages published over MQTT.", counts.published);
    text.counters(
        "heartbeat_monitor_mqtt_connections_total",
        "Connections to the MQTT broker by outcome: opened, failed (none was opened), or lost.",
        "outcome",
        &[("opened", counts.opened), ("failed", counts.failed), ("lost", counts.lost)],
    );
    text.gauge(
        "heartbeat_monitor_mqtt_machines_left_out",
        "Machines that are not published over MQTT, because there are too many.",
        counts.left_out as f64,
    );
}

fn notifications(text: &mut Exposition, figures: &StoredFigures) {
    const RETRIES: &str = "heartbeat_monitor_channel_retrying";
    text.family(RETRIES, "Notifications of a channel that failed and will be retried.", "gauge");
    for (channel, kind, count) in &figures.retrying {
        text.sample(RETRIES, &[("channel", kind), ("id", &channel.to_string())], *count as f64);
    }
    const NAME: &str = "heartbeat_monitor_notifications";
    text.family(NAME, "Notifications in the database by kind of channel and state.", "gauge");
    for (kind, counts) in &figures.notifications {
        for (word, state) in DeliveryState::NAMES {
            let mut count = counts[state as usize];
            if state == DeliveryState::Waiting {
                count += counts[DeliveryState::Leased as usize];
            }
            text.sample(NAME, &[("channel", kind), ("state", word)], count as f64);
        }
    }
    text.gauge(
        "heartbeat_monitor_notifications_oldest_seconds",
        "Seconds since the longest waiting notification became due.",
        figures.overdue_s,
    );
}

fn front(text: &mut Exposition, counters: &http::Counters) {
    text.gauge("heartbeat_monitor_http_connections", "Open connections.", counters.open.get() as f64);
    text.counters(
        "heartbeat_monitor_http_connections_total",
        "Connections by outcome: accepted, refused, or evicted for others.",
        "outcome",
        &[
            ("accepted", counters.accepted.get()),
            ("refused", counters.refused.get()),
            ("evicted", counters.evicted.get()),
        ],
    );
    text.counter(
        "heartbeat_monitor_http_descriptors_exhausted_total",
        "Times that no file descriptor was available for a connection.",
        counters.exhausted.get(),
    );
    text.counter("heartbeat_monitor_http_requests_total", "Complete requests.", counters.requests.get());
    let classes = ["1xx", "2xx", "3xx", "4xx", "5xx"];
    let answers: Vec<(&str, u64)> =
        classes.into_iter().zip(counters.answers.iter().map(|counter| counter.get())).collect();
    text.counters("heartbeat_monitor_http_answers_total", "Responses by class of status.", "class", &answers);
    text.counters(
        "heartbeat_monitor_http_late_total",
        "Timeouts of requests, responses and slow readers.",
        "what",
        &[
            ("request", counters.late_requests.get()),
            ("answer", counters.late_answers.get()),
            ("reader", counters.slow_readers.get()),
        ],
    );
}
