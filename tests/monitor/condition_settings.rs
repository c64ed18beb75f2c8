//! Settings of conditions reach the running monitor.

use crate::support::eventually;
use crate::support::monitor::{Monitor, Plan, bearer};
use heartbeat_daemon::wire;
use serde_json::Value;

/// A heartbeat of a device whose disk is 85 % full.
fn beat(monitor: &Monitor, token: &str) {
    let mut heartbeat: Value = serde_json::from_str(wire::SAMPLE).expect("JSON");
    heartbeat["disk"]["percent"] = 85.into();
    let status = monitor.post("/api/v1/heartbeat", &[bearer(token)], heartbeat.to_string().as_bytes()).status;
    assert_eq!(status, 200);
}

/// Open incidents of this kind, as `machine show` has them.
fn is_open(monitor: &Monitor, machine: &str, kind: &str) -> bool {
    let shown = monitor.plan().says(&["machine", "show", machine, "--json"]);
    let shown: Value = serde_json::from_str(&shown).expect("JSON");
    shown["incidents"].as_array().into_iter().flatten().any(|incident| incident["kind"] == kind)
}

#[test]
fn a_threshold_of_a_group_counts_from_the_next_heartbeats_on_for_its_machines_alone() {
    let plan = Plan::new();
    let barn = plan.token(&["machine", "add", "barn", "--group", "farm"]);
    let gate = plan.token(&["machine", "add", "gate"]);
    let monitor = plan.start();
    let both = || {
        beat(&monitor, &barn);
        beat(&monitor, &gate);
    };
    both();
    monitor.plan().says(&["condition", "set", "disk", "80", "--group", "farm"]);
    eventually("the disk of barn is an incident", || {
        both();
        is_open(&monitor, "barn", "disk")
    });
    assert!(!is_open(&monitor, "gate", "disk"), "it is in another group");
    monitor.plan().says(&["condition", "off", "disk", "--machine", "barn"]);
    eventually("a condition that is off has no open incident", || {
        both();
        !is_open(&monitor, "barn", "disk")
    });
}
