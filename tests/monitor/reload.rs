//! SIGHUP, and changes that commands make while the monitor serves.

use crate::rig::{WebhookReceiver, becomes, daemon};
use crate::support::eventually;
use crate::support::lateness::{self, in_time};
use crate::support::monitor::{Plan, bearer};
use rustix::process::Signal;
use std::time::{Duration, Instant};

/// The server looks once a second.
const SEEN: Duration = Duration::from_secs(2);

#[test]
fn a_new_threshold_is_applied_and_a_bad_file_is_not() {
    let plan = Plan::new().key("detection.offline_threshold", "1h");
    let webhook = WebhookReceiver::of(&plan);
    let mut monitor = plan.start();
    let (token, reader) = (monitor.machine("barn"), monitor.reader());
    let daemon = daemon(&monitor, &token);
    becomes(&monitor, &reader, 1, "online");
    daemon.signal(Signal::STOP);

    monitor.reconfigure("detection.offline_threshold", "\"1 parsec\"");
    monitor.signal(Signal::HUP);
    monitor.wait_for_line("of the refusal", |line| line.ends_with("keeping the old configuration"));
    assert!(monitor.is_running());

    monitor.reconfigure("detection.offline_threshold", "\"2s\"");
    monitor.signal(Signal::HUP);
    monitor.wait_for_line("of the reload", |line| {
        line.ends_with("configuration reloaded (interval: 1s, threshold: 2s)")
    });
    webhook.says("machine.offline", "barn");
    daemon.signal(Signal::CONT);
    webhook.says("machine.online", "barn");
}

#[test]
fn keys_that_need_a_restart_are_logged() {
    let mut monitor = Plan::new().start();
    monitor.reconfigure("limits.workers", "3");
    monitor.signal(Signal::HUP);
    monitor.wait_for_line("of [limits]", |line| {
        line.contains("the change of [limits] takes effect at the next start")
    });
}

#[test]
fn a_rotated_a_revoked_and_a_disabled_token_count_within_two_seconds() {
    lateness::watch();
    let monitor = Plan::new().start();
    let old = monitor.machine("barn");
    let status = |token: &str| monitor.post("/api/v1/heartbeat", &[bearer(token)], b"{").status;
    let within = |what: &str, holds: &dyn Fn() -> bool| {
        let since = Instant::now();
        eventually(what, holds);
        in_time(since, Instant::now(), SEEN, what);
    };
    let new = monitor.plan().token(&["machine", "rotate", "barn"]);
    within("the new token is taken", &|| status(&new) == 400);
    within("the old one is not", &|| status(&old) == 401);
    monitor.plan().says(&["machine", "disable", "barn"]);
    within("a disabled machine is refused", &|| status(&new) == 403);
    monitor.plan().says(&["machine", "enable", "barn"]);
    within("an enabled one is taken again", &|| status(&new) == 400);
    monitor.plan().says(&["machine", "revoke", "barn"]);
    within("a revoked one is not", &|| status(&new) == 401);
}
