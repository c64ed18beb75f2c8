//! A damaged page in a table that notifications need: heartbeats are taken, `/healthz` says so, and so do people's channels.

use crate::rig::{WebhookReceiver, becomes, text};
use crate::support::eventually;
use crate::support::monitor::{Monitor, Plan, bearer};
use rusqlite::Connection;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::time::Duration;

/// Overwrites a part of the root page of `table`, as a bad block does, while nothing serves the database.
fn damage(plan: &Plan, table: &str) {
    let connection = Connection::open(plan.database()).expect("the database");
    let page: i64 = connection
        .query_row("SELECT rootpage FROM sqlite_master WHERE name = ?1", [table], |row| row.get(0))
        .expect("a table");
    let size: i64 = connection.query_row("PRAGMA page_size", [], |row| row.get(0)).expect("a size");
    drop(connection);
    let file = OpenOptions::new().write(true).open(plan.database()).expect("the file");
    let offset = u64::try_from((page - 1) * size).expect("an offset");
    file.write_all_at(&[0xff; 2000], offset).expect("damaged");
}

/// A fleet of two, whose database has a damaged table from the second start on.
fn damaged(table: &str) -> (Monitor, WebhookReceiver, String, String) {
    let plan = Plan::new();
    let webhook = WebhookReceiver::of(&plan);
    let monitor = plan.start();
    let (token, reader) = (monitor.machine("barn"), monitor.reader());
    let steady = monitor.machine("gate");
    for token in [&token, &steady] {
        assert_eq!(monitor.post("/api/v1/heartbeat", &[bearer(token)], b"{}").status, 200);
    }
    becomes(&monitor, &reader, 1, "online");
    let plan = monitor.kill();
    damage(&plan, table);
    (plan.start(), webhook, steady, reader)
}

fn assert_people_are_notified_of_damage_in(table: &str) {
    let (monitor, webhook, steady, reader) = damaged(table);
    let beat = || monitor.post("/api/v1/heartbeat", &[bearer(&steady)], b"{}").status;
    eventually("/healthz is 503", || beat() == 200 && monitor.get("/healthz").status == 503);
    // The machine falls silent meanwhile, and nothing can be written about it.
    let request = webhook.receiver.request();
    let body = request.json();
    assert_eq!(text(&body["event"]), "monitor.trouble", "{body}");
    assert!(text(&body["machine"]["description"]).contains(&format!("table {table} is damaged")), "{body}");
    let metrics = monitor.get_as(&reader, "/metrics").body;
    assert!(
        metrics.contains(&format!("heartbeat_monitor_damaged_table{{table=\"{table}\"}} 1")),
        "{metrics}"
    );
    let later = std::time::Instant::now() + Duration::from_secs(6);
    while std::time::Instant::now() < later {
        assert_eq!(beat(), 200, "heartbeats are taken");
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(monitor.log_lines("the monitor is in trouble").len(), 1);
    assert!(monitor.log_lines(" again").iter().all(|line| !line.contains("can ") && !line.contains("works")));
    assert!(webhook.receiver.requests_during(Duration::ZERO).is_empty(), "once an hour at most");
}

#[test]
fn a_damaged_outbox_is_noticed_and_people_are_notified_without_it() {
    assert_people_are_notified_of_damage_in("outbox");
}

#[test]
fn a_damaged_event_table_is_noticed_and_people_are_notified_without_it() {
    assert_people_are_notified_of_damage_in("event");
}

#[test]
fn receivers_that_refuse_leave_the_monitor_healthy_and_are_in_a_metric() {
    let plan = Plan::new();
    let webhook = WebhookReceiver::of(&plan);
    webhook.receiver.become_one_that(|_| crate::support::server::Reply::status(503));
    let monitor = plan.start();
    let (token, reader) = (monitor.machine("barn"), monitor.reader());
    assert_eq!(monitor.post("/api/v1/heartbeat", &[bearer(&token)], b"{}").status, 200);
    becomes(&monitor, &reader, 1, "offline");
    eventually("the failing channel is in a metric", || {
        let metrics = monitor.get_as(&reader, "/metrics").body;
        metrics.contains("heartbeat_monitor_channel_retrying{channel=\"webhook\",id=\"1\"} 1")
    });
    assert_eq!(monitor.get("/healthz").status, 200);
}
