//! Two monitors watch each other, and a watchdog that is pinged only while the monitor does its work.

use crate::rig::{WebhookReceiver, becomes, text};
use crate::support::monitor::{Monitor, Plan};
use crate::support::request::Request;
use crate::support::server::{Reply, Server};
use crate::support::{eventually, lasting_address};
use rusqlite::Connection;
use rustix::process::Signal;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// A monitor that knows a machine for the other monitor; the machine's token.
fn watching(other: &str) -> (Plan, String) {
    let plan = Plan::new().key("http.listen", &lasting_address().to_string());
    let token = plan.token(&["machine", "add", other]);
    (plan, token)
}

/// A configuration with which `url` is pinged each second.
fn pinging(plan: Plan, url: &str, token: Option<&str>) -> Plan {
    let file = token.map(|token| plan.scratch().file("watchdog-token", &format!("{token}\n")));
    let plan = plan.key("watchdog.url", url).key("watchdog.interval", "1s");
    match file {
        Some(file) => plan.key("watchdog.token_file", &file),
        None => plan,
    }
}

#[test]
fn two_monitors_watch_each_other() {
    let ((first, at_first), (second, at_second)) = (watching("second"), watching("first"));
    let webhooks = [WebhookReceiver::of(&first), WebhookReceiver::of(&second)];
    let second = second.start();
    let first = pinging(first, &second.url("/api/v1/heartbeat"), Some(&at_second)).start();
    // The second one learns whom to ping by a reload.
    let mut second = second;
    let token = second.plan().scratch().file("watchdog-token", &at_first);
    second.reconfigure("watchdog.interval", "\"1s\"");
    second.reconfigure("watchdog.token_file", &format!("{token:?}"));
    second.reconfigure("watchdog.url", &format!("{:?}", first.url("/api/v1/heartbeat")));
    second.signal(Signal::HUP);

    let readers = [first.reader(), second.reader()];
    becomes(&first, &readers[0], 1, "online");
    becomes(&second, &readers[1], 1, "online");
    // A process that hangs is as good as dead.
    first.signal(Signal::STOP);
    webhooks[1].says("machine.offline", "first");
    first.signal(Signal::CONT);
    webhooks[1].says("machine.online", "first");
    let plan = second.kill();
    webhooks[0].says("machine.offline", "second");
    let _second = plan.start();
    webhooks[0].says("machine.online", "second");
}

fn is_ping(request: &Request) -> bool {
    request.method == "POST" && request.body == b"{}" && request.header("authorization").is_none()
}

#[test]
fn a_monitor_whose_database_is_locked_pings_nobody() {
    let watchdog = Server::always(Reply::ok());
    let monitor = pinging(Plan::new(), &watchdog.url("/ping/5f3c"), None).start();
    assert!(is_ping(&watchdog.request_that(|request| request.target == "/ping/5f3c")));

    let locked = Connection::open(monitor.plan().database()).expect("the database");
    locked.execute_batch("BEGIN IMMEDIATE").expect("locked");
    monitor.wait_for_line("of the silent watchdog", |line| line.contains("watchdog: not pinged: "));
    // Pings that were sent before that line are taken from the queue.
    while watchdog.request_within(Duration::ZERO).is_some() {}
    assert!(watchdog.requests_during(3 * SECOND).is_empty(), "the monitor writes nothing");
    locked.execute_batch("ROLLBACK").expect("unlocked");
    watchdog.request();
    monitor.wait_for_line("of the pings", |line| line.ends_with("watchdog: pinged again"));
}

#[test]
fn a_watchdog_that_hangs_or_refuses_delays_nothing_and_is_logged_once() {
    let watchdog = Server::always(Reply::Hang);
    let monitor = pinging(Plan::new(), &watchdog.url("/secret-5f3c"), None).start();
    watchdog.request();
    let (token, reader) = (monitor.machine("barn"), monitor.reader());
    becomes_known(&monitor, &token, &reader);
    watchdog.become_one_that(|_| Reply::status(500));
    let line = monitor.wait_for_line("of the failure", |line| line.contains("watchdog: the ping failed: "));
    assert!(!line.contains("5f3c"), "the URL may be a secret: {line}");
    watchdog.requests(3);
    assert_eq!(monitor.log_lines("watchdog: the ping failed").len(), 1);
    watchdog.become_one_that(|_| Reply::ok());
    monitor.wait_for_line("of the pings", |line| line.ends_with("watchdog: pinged again"));
}

fn becomes_known(monitor: &Monitor, token: &str, reader: &str) {
    let beat = || monitor.post("/api/v1/heartbeat", &[crate::support::monitor::bearer(token)], b"{}").status;
    assert_eq!(beat(), 200);
    eventually("the machine is online", || {
        text(&monitor.get_as(reader, "/api/v1/machines/1").json()["status"]) == "online"
    });
}

#[test]
fn a_token_file_that_cannot_be_read_is_found_by_check_config() {
    let plan =
        pinging(Plan::new(), "https://ping.example/", None).key("watchdog.token_file", "/no/such/token");
    let output = plan.run(&["check-config"]);
    let sentence = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(78), "{sentence}");
    assert!(sentence.contains("[watchdog] token_file: cannot read /no/such/token"), "{sentence}");
}
