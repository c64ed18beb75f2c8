//! A name server that is silent, and many channels that need it. Needs root: see `support/dns.rs`.

use crate::rig::{WebhookReceiver, becomes};
use crate::support::dns;
use crate::support::eventually;
use crate::support::monitor::{Monitor, PROGRAM, Plan, bearer};
use rusqlite::Connection;
use std::fs;

/// Names of the monitor's threads, sorted.
fn threads(monitor: &Monitor) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{}/task", monitor.pid())).expect("a process");
    let name = |task: fs::DirEntry| fs::read_to_string(task.path().join("comm")).ok();
    let mut names: Vec<String> =
        tasks.flatten().filter_map(name).map(|name| name.trim().to_owned()).collect();
    names.sort();
    names
}

#[test]
fn a_hundred_channels_with_dead_dns_share_four_lookups() {
    let Some(names) = dns::name_server() else { return };
    names.fall_silent();
    let plan = Plan::new();
    let webhook = WebhookReceiver::of(&plan);
    let database = Connection::open(plan.database()).expect("the database");
    for number in 0..100 {
        let (kind, target) = match number % 4 {
            0 => ("ntfy", format!("https://receiver-{number}.test/topic")),
            _ => ("webhook", format!("http://receiver-{number}.test/hook")),
        };
        database
            .execute(
                "INSERT INTO channel (recipient_id, kind, target, created_at) VALUES (1, ?1, ?2, 0)",
                [kind, &target],
            )
            .expect("a channel");
    }
    drop(database);
    let command = names.used_by(PROGRAM, plan.scratch());
    let monitor = plan.start_as(command);
    let (token, reader) = (monitor.machine("barn"), monitor.reader());
    assert_eq!(monitor.post("/api/v1/heartbeat", &[bearer(&token)], b"{}").status, 200);
    becomes(&monitor, &reader, 1, "online");

    webhook.says("machine.offline", "barn");
    let failed = |least: i64| {
        let database = Connection::open(monitor.plan().database()).expect("the database");
        let sql = "SELECT count(*) FROM outbox WHERE attempts > 0 AND last_error LIKE '%DNS%'";
        database.query_row(sql, [], |row| row.get::<_, i64>(0)).expect("a number") >= least
    };
    // Each attempt takes its 10 s; a lookup takes longer, and its thread with it.
    eventually("the first attempts have failed", || failed(20));
    let running = threads(&monitor);
    let named = |wanted: &str| running.iter().filter(|name| name.as_str() == wanted).count();
    assert_eq!(named("resolver"), 4, "{running:?}");
    // A thread of a library would have the program's name, as the first one has.
    assert_eq!(named("heartbeat-monit"), 1, "{running:?}");
    assert_eq!(monitor.get("/healthz").status, 200, "receivers do not change the monitor's health");

    assert_eq!(monitor.post("/api/v1/heartbeat", &[bearer(&token)], b"{}").status, 200);
    becomes(&monitor, &reader, 1, "online");
}
