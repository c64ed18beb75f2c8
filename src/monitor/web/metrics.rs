//! The monitor's own figures, for Prometheus.

use super::exposition::Exposition;
use super::lists::STATUSES;
use super::{Refusal, Web};
use crate::http::Counters;
use crate::monitor::store::Delivery;
use crate::monitor::store::reading::Figures;
use crate::monitor::time::Moment;
use std::time::Instant;

impl Web {
    pub(super) fn metrics(&self, now: Moment, tick: Instant) -> Result<String, Refusal> {
        let figures = self.shared.store.figures(now)?;
        let mut text = Exposition::default();
        text.family("heartbeat_monitor_info", "The program that answers.", "gauge");
        text.sample("heartbeat_monitor_info", &[("version", env!("CARGO_PKG_VERSION"))], 1.0);
        let started = self.started.0 as f64 / 1000.0;
        text.gauge("heartbeat_monitor_start_time_seconds", "Unix time of its start.", started);
        fleet(&mut text, &figures);
        self.ingest(&mut text, tick);
        notifications(&mut text, &figures);
        front(&mut text, &self.counters);
        text.gauge(
            "heartbeat_monitor_database_bytes",
            "Size of the database with its write-ahead log.",
            figures.bytes as f64,
        );
        Ok(text.into_text())
    }
}

fn fleet(text: &mut Exposition, figures: &Figures) {
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

fn notifications(text: &mut Exposition, figures: &Figures) {
    const NAME: &str = "heartbeat_monitor_notifications";
    const STATES: [(&str, Delivery); 4] = [
        ("waiting", Delivery::Waiting),
        ("delivered", Delivery::Delivered),
        ("dead", Delivery::Dead),
        ("skipped", Delivery::Skipped),
    ];
    text.family(
        NAME,
        "Notifications in the database, by the channel's kind and what became of them.",
        "gauge",
    );
    for (kind, counts) in &figures.notifications {
        for (word, state) in STATES {
            let mut count = counts[state as usize];
            if state == Delivery::Waiting {
                count += counts[Delivery::Leased as usize];
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

fn front(text: &mut Exposition, counters: &Counters) {
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
