//! The server's wall clock is set, by hand or by NTP: that is no reason for a notification, and machines are still watched.

use crate::rig::{WebhookReceiver, becomes};
use crate::support::monitor::{Plan, bearer};
use crate::support::wall_clock::WallClock;
use rustix::process::Signal;
use std::time::Duration;

fn a_step_is_not_notified(offset: &str, way: &str) {
    let Some(mut clock) = WallClock::new() else { return };
    // Long enough for what happens here between two heartbeats, however busy the machine is.
    let plan = clock.given_to_monitor(Plan::new().key("detection.offline_threshold", "10s"));
    let webhook = WebhookReceiver::of(&plan);
    let monitor = plan.start();
    clock.belongs_to(&monitor);
    let (token, reader) = (monitor.machine("barn"), monitor.reader());
    let beat = || assert_eq!(monitor.post("/api/v1/heartbeat", &[bearer(&token)], b"{}").status, 200);
    beat();
    becomes(&monitor, &reader, 1, "online");

    // The check that sees the step sees no heartbeat after it.
    beat();
    clock.step(offset);
    monitor.wait_for_line("of the step", |line| line.contains(&format!("The clock jumped {way} by ")));
    webhook.nothing_for(Duration::from_secs(2));
    becomes(&monitor, &reader, 1, "online");

    // Now it is silent, and late by the new clock as by the old one.
    webhook.says("machine.offline", "barn");
    beat();
    webhook.says("machine.online", "barn");
}

#[test]
fn a_clock_step_of_a_day_ahead_makes_no_machine_late() {
    a_step_is_not_notified("+1d", "forwards");
}

#[test]
fn a_clock_step_of_a_day_back_makes_no_machine_late_and_hides_no_outage() {
    a_step_is_not_notified("-1d", "back");
}

#[test]
fn a_monitor_that_was_stopped_for_a_while_logs_the_gap_and_no_step_of_the_clock() {
    let monitor = Plan::new().start();
    monitor.signal(Signal::STOP);
    // The monitor's own time is what is measured here.
    std::thread::sleep(Duration::from_secs(8));
    monitor.signal(Signal::CONT);
    let line =
        monitor.wait_for_line("of the gap", |line| line.contains("every machine gets its whole threshold"));
    assert!(line.contains("No check for "), "{line}");
    assert!(monitor.log_lines("The clock jumped").is_empty());
}
