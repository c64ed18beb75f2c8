//! The report of `fleet`: a line for each fault, then one line "name value unit" for each figure.

use crate::monitor::simulation::Report;
use crate::monitor::simulation::alerts::Received;
use crate::monitor::simulation::failure::FailureKind;
use crate::monitor::simulation::ledger::{FaultKind, ReceivedAlert, Verdict};
use std::fmt::{Display, Write as _};
use std::ops::Range;
use std::time::Duration;

/// Faults that are listed.
const MOST_FAULTS: usize = 10_000;

/// What the receiver has got.
#[derive(Debug, Default)]
pub struct AlertRecord {
    pub alerts: Vec<ReceivedAlert>,
    pub others: usize,
    pub refused: usize,
}

impl AlertRecord {
    /// `machines`: the numbers of this simulation's machines. There may be others.
    pub fn add(&mut self, received: Received, machines: &Range<u32>) {
        match received {
            Received::Alert(alert) if machines.contains(&alert.machine) => self.alerts.push(alert),
            Received::Alert(_) | Received::Other => self.others += 1,
            Received::Refused(_) => self.refused += 1,
        }
    }
}

struct Figures(String);

impl Figures {
    // Writing to a String cannot fail.
    fn add(&mut self, name: impl Display, value: impl Display, unit: &str) {
        let _ = writeln!(self.0, "{name} {value} {unit}");
    }

    fn milliseconds(&mut self, name: &str, time: Duration) {
        self.add(name, format_args!("{:.2}", time.as_secs_f64() * 1e3), "ms");
    }

    fn seconds(&mut self, name: &str, time: Duration) {
        self.add(name, format_args!("{:.2}", time.as_secs_f64()), "s");
    }
}

pub fn figures(machines: u32, report: &Report, messages: Option<(&Verdict, &AlertRecord)>) -> String {
    let mut figures = Figures(String::new());
    if let Some((verdict, _)) = messages {
        for fault in verdict.faults.iter().take(MOST_FAULTS) {
            let _ = writeln!(figures.0, "fault {fault}");
        }
    }
    for limit in report.failures.keys().filter_map(|kind| kind.limit()) {
        let _ = writeln!(figures.0, "limit {limit}");
    }
    figures.add("machines", machines, "count");
    figures.seconds("measured", report.length);
    heartbeats(&mut figures, report);
    failures(&mut figures, report);
    figures.add("outages", report.outages.len(), "count");
    if let Some((verdict, record)) = messages {
        alerts(&mut figures, verdict, record);
    }
    figures.0.trim_end().to_owned()
}

fn heartbeats(figures: &mut Figures, report: &Report) {
    let accepted = &report.accepted;
    figures.add("connections", report.connections, "most");
    figures.add("sent", report.sent, "requests");
    figures.add("acknowledged", accepted.count(), "requests");
    figures.add("rate", format_args!("{:.1}", report.rate()), "heartbeats/s");
    for (name, share) in [("p50", 0.5), ("p99", 0.99), ("p999", 0.999)] {
        figures.milliseconds(name, accepted.quantile(share));
    }
    figures.milliseconds("longest", accepted.most());
    let requests = report.requests.max(1) as f64;
    figures.add("cpu", format_args!("{:.1}", report.cpu.as_secs_f64() * 1e6 / requests), "us/request");
}

fn failures(figures: &mut Figures, report: &Report) {
    for (status, count) in &report.refused {
        figures.add(format_args!("status_{status}"), count, "requests");
    }
    let of = |kind: FailureKind| report.failures.get(&kind).copied().unwrap_or(0);
    let usual = [FailureKind::Timeout, FailureKind::ClosedIdle];
    for kind in usual.into_iter().chain(report.failures.keys().copied().filter(|kind| !usual.contains(kind)))
    {
        figures.add(kind.name(), of(kind), "count");
    }
    figures.add("broken", report.broken, "connections");
    figures.add("churned", report.churned, "connections");
    figures.add("skipped", report.late, "heartbeats");
    figures.add("unready_at_begin", report.unready, "machines");
    figures.add("unacknowledged_at_end", report.unacknowledged, "machines");
    figures.seconds("longest_silence", report.longest_silence);
    figures.seconds("longest_disturbance", report.longest_disturbance);
}

fn alerts(figures: &mut Figures, verdict: &Verdict, record: &AlertRecord) {
    figures.add("alerts_offline", verdict.offline, "messages");
    figures.add("alerts_online", verdict.online, "messages");
    figures.seconds("offline_delay", verdict.offline_delay);
    figures.seconds("online_delay", verdict.online_delay);
    for (name, kind) in [
        ("missing", FaultKind::Missing),
        ("doubled", FaultKind::Doubled),
        ("false", FaultKind::False),
        ("late", FaultKind::Late),
    ] {
        figures.add(name, verdict.count(kind), "messages");
    }
    figures.add("pending", verdict.pending, "messages");
    figures.add("repeated_deliveries", verdict.repeated, "messages");
    figures.add("other_messages", record.others, "messages");
    figures.add("refused_messages", record.refused, "messages");
}
