//! The monitor's own figures, for Prometheus.

use super::lists::STATUSES;
use super::{Refusal, Web};
use crate::clock::Now;
use crate::exposition::Exposition;
use crate::http;
use crate::monitor::health::Health;
use crate::monitor::ingest::counters::{Counters, Format};
use crate::monitor::notify::couriers::Counts;
use crate::monitor::notify::delivery_state::DeliveryState;
use crate::monitor::web::figures::StoredFigures;
use std::time::Instant;

impl Web {
    pub(super) fn metrics(&self, now: Now) -> Result<String, Refusal> {
        let figures = self.shared.store.figures(now.wall);
        let mut text = Exposition::default();
        text.family("heartbeat_monitor_info", "The program that answers.", "gauge");
        text.sample("heartbeat_monitor_info", &[("version", env!("CARGO_PKG_VERSION"))], 1.0);
        let started = self.started.0 as f64 / 1000.0;
        text.gauge("heartbeat_monitor_start_time_seconds", "Unix time of its start.", started);
        text.gauge(
            "heartbeat_monitor_database_readable",
            "1: the figures that come from the database are here; 0: they cannot be read, and only the others are.",
            if figures.is_ok() { 1.0 } else { 0.0 },
        );
        health(&mut text, &self.health, now.monotonic);
        ingest(&mut text, &self.ingest);
        text.gauge(
            "heartbeat_monitor_flush_age_seconds",
            "How long ago all heartbeats until then were in the database; from 15 on they are refused.",
            self.shared.pulse.age(now.monotonic).as_secs_f64(),
        );
        text.gauge(
            "heartbeat_monitor_orders_waiting",
            "Returns, farewells and replays that wait for the recorder.",
            self.orders.len() as f64,
        );
        deliveries(&mut text, &self.couriers.read());
        front(&mut text, &self.counters);
        if let Ok(figures) = &figures {
            fleet(&mut text, figures);
            notifications(&mut text, figures);
            text.gauge(
                "heartbeat_monitor_database_bytes",
                "Size of the database with its write-ahead log.",
                figures.bytes as f64,
            );
        }
        Ok(text.into_text())
    }
}

fn health(text: &mut Exposition, health: &Health, now: Instant) {
    let stuck: Vec<(&str, f64)> =
        health.work(now).into_iter().map(|work| (work.name, work.stuck_for.as_secs_f64())).collect();
    text.gauges(
        "heartbeat_monitor_stuck_seconds",
        "Time for which a kind of work has made no progress; above 15 /healthz is 503.",
        "work",
        &stuck,
    );
    let damage = health.damage();
    let damaged: Vec<(&str, f64)> = damage.iter().map(|damage| (damage.table.as_str(), 1.0)).collect();
    text.gauges(
        "heartbeat_monitor_damaged_table",
        "Tables that the check at the start found damaged; /healthz is 503 then.",
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
        "Machines in maintenance: watched, and nobody is told.",
        figures.paused as f64,
    );
}

fn ingest(text: &mut Exposition, counters: &Counters) {
    let by_format = Format::ALL.map(|format| (format.as_str(), counters.heartbeats(format)));
    text.counters(
        "heartbeat_monitor_heartbeats_total",
        "Heartbeats that were taken, by format.",
        "format",
        &by_format,
    );
    text.counter("heartbeat_monitor_replays_total", "Replays that were stored.", counters.replays());
    text.counters(
        "heartbeat_monitor_heartbeats_refused_total",
        "Heartbeats that were refused, by reason: 401 and 403, 400, 503.",
        "reason",
        &[
            ("denied", counters.denials()),
            ("malformed", counters.malformations()),
            ("unavailable", counters.refusals()),
        ],
    );
}

fn deliveries(text: &mut Exposition, couriers: &[Counts]) {
    type Column = fn(&Counts) -> u64;
    let columns: [(&str, &str, Column); 3] = [
        ("heartbeat_monitor_deliveries_total", "Notifications that a receiver has accepted.", |c| {
            c.delivered
        }),
        ("heartbeat_monitor_delivery_failures_total", "Attempts that did not work.", |c| c.failed),
        ("heartbeat_monitor_deliveries_dead_total", "Notifications that were given up.", |c| c.dead),
    ];
    for (name, help, column) in columns {
        let by_kind: Vec<(&str, u64)> =
            couriers.iter().map(|counts| (counts.kind.name(), column(counts))).collect();
        text.counters(name, help, "channel", &by_kind);
    }
}

fn notifications(text: &mut Exposition, figures: &StoredFigures) {
    const RETRIES: &str = "heartbeat_monitor_channel_retrying";
    text.family(
        RETRIES,
        "Notifications of a channel that were tried without success and are tried again.",
        "gauge",
    );
    for (channel, kind, count) in &figures.retrying {
        text.sample(RETRIES, &[("channel", kind), ("id", &channel.to_string())], *count as f64);
    }
    const NAME: &str = "heartbeat_monitor_notifications";
    text.family(
        NAME,
        "Notifications in the database, by the channel's kind and what became of them.",
        "gauge",
    );
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
        "How long the notification that waits the longest has been due.",
        figures.overdue_s,
    );
}

fn front(text: &mut Exposition, counters: &http::Counters) {
    text.gauge("heartbeat_monitor_http_connections", "Open connections.", counters.open.get() as f64);
    text.counters(
        "heartbeat_monitor_http_connections_total",
        "Connections by what became of them at the door.",
        "outcome",
        &[
            ("accepted", counters.accepted.get()),
            ("refused", counters.refused.get()),
            ("evicted", counters.evicted.get()),
        ],
    );
    text.counter(
        "heartbeat_monitor_http_descriptors_exhausted_total",
        "Times that no file descriptor was left for a connection.",
        counters.exhausted.get(),
    );
    text.counter("heartbeat_monitor_http_requests_total", "Complete requests.", counters.requests.get());
    let classes = ["1xx", "2xx", "3xx", "4xx", "5xx"];
    let answers: Vec<(&str, u64)> =
        classes.into_iter().zip(counters.answers.iter().map(|counter| counter.get())).collect();
    text.counters("heartbeat_monitor_http_answers_total", "Answers by class of status.", "class", &answers);
    text.counters(
        "heartbeat_monitor_http_late_total",
        "Requests, answers and clients that took too long.",
        "what",
        &[
            ("request", counters.late_requests.get()),
            ("answer", counters.late_answers.get()),
            ("reader", counters.slow_readers.get()),
        ],
    );
}
