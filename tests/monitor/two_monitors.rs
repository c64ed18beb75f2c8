//! Two monitors that know nothing of each other, and devices that change between them: silence at the one that they left is
//! no alarm, and no monitor reports a device that the other one hears.

use crate::rig::{WebhookReceiver, text};
use crate::support::daemon::Setup;
use crate::support::eventually;
use crate::support::monitor::{Monitor, Plan, bearer};
use rustix::process::Signal;
use std::thread;
use std::time::{Duration, Instant};

/// Rounds of the long run are set by hand: `HEARTBEAT_TESTS_ROUNDS=40 cargo test --test monitor two_monitors`, an hour.
fn rounds() -> usize {
    std::env::var("HEARTBEAT_TESTS_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(1)
}

fn start() -> Monitor {
    let plan = Plan::new().key("detection.check_interval", "1s").key("detection.offline_threshold", "6s");
    plan.start()
}

fn status(monitor: &Monitor, reader: &str) -> String {
    let list = monitor.get_as(reader, "/api/v1/machines").json();
    list["items"][0]["status"].as_str().unwrap_or_default().to_owned()
}

fn incidents(monitor: &Monitor) -> String {
    monitor.plan().says(&["incident", "list"])
}

/// Incidents of silence, open or not. Conditions, such as a clock that is not synchronised, depend on this machine.
fn silences(monitor: &Monitor, reader: &str) -> usize {
    let list = monitor.get_as(reader, "/api/v1/incidents").json();
    let kinds = list["items"].as_array().into_iter().flatten().map(|item| &item["kind"]);
    kinds.filter(|kind| *kind == "offline" || *kind == "never_seen").count()
}

/// The words of an empty list, by a monitor that has no machine.
fn no_incidents() -> String {
    incidents(&start())
}

fn server(monitor: &Monitor, setup: &Setup, name: &str, token: &str) -> String {
    let file = setup.scratch().file(name, &format!("{token}\n"));
    format!("{{ url = {:?}, token_file = {file:?} }}", monitor.url("/api/v1/heartbeat"))
}

#[test]
fn a_device_that_changes_between_two_monitors_is_no_alarm_at_either() {
    let (first, backup) = (start(), start());
    let readers = [first.reader(), backup.reader()];
    let tokens = [first.machine("barn-cam"), backup.machine("barn-cam")];
    let setup = Setup::new();
    let list = [("first", &first, &tokens[0]), ("backup", &backup, &tokens[1])]
        .map(|(name, monitor, token)| server(monitor, &setup, name, token))
        .join(", ");
    let daemon = setup.toml("heartbeat.server", &format!("[{list}]")).start();
    eventually("the first one hears it", || status(&first, &readers[0]) == "online");
    eventually("the backup knows that it is one", || status(&backup, &readers[1]) == "standby");
    for round in 0..rounds() {
        first.signal(Signal::STOP);
        eventually("the backup takes over", || status(&backup, &readers[1]) == "online");
        // Longer than the threshold: silence that counts against the first one, not against the device.
        thread::sleep(Duration::from_secs(10));
        first.signal(Signal::CONT);
        let line = format!("heartbeats go to {} again", first.address());
        // A check every 15 s, and half of that as jitter; then 15 s of checks.
        let deadline = Instant::now() + Duration::from_secs(90);
        while daemon.log_lines(&line).len() <= round {
            assert!(Instant::now() < deadline, "the device never returns");
            thread::sleep(Duration::from_millis(100));
        }
        eventually("the backup is one again", || status(&backup, &readers[1]) == "standby");
        // Sweeps of both.
        thread::sleep(Duration::from_secs(3));
        assert_eq!(status(&first, &readers[0]), "online");
        for (monitor, reader) in [&first, &backup].into_iter().zip(&readers) {
            assert_eq!(silences(monitor, reader), 0, "round {round}: {}", incidents(monitor));
        }
    }
}

#[test]
fn only_the_first_monitor_reports_a_device_that_dies() {
    let monitor = start();
    let (reader, token) = (monitor.reader(), monitor.machine("barn-cam"));
    let none = no_incidents();
    let beat = |server: &str| {
        let body = format!("{{\"cpu\": 1.0, \"server\": \"{server}\"}}");
        assert_eq!(monitor.post("/api/v1/heartbeat", &[bearer(&token)], body.as_bytes()).status, 200);
    };
    beat("standby");
    eventually("it is on standby", || status(&monitor, &reader) == "standby");
    beat("backup");
    eventually("it is in use", || status(&monitor, &reader) == "online");
    let silent = Instant::now();
    eventually("silence is no alarm", || status(&monitor, &reader) == "standby");
    assert!(silent.elapsed() >= Duration::from_secs(5), "{:?}", silent.elapsed());
    assert_eq!(incidents(&monitor), none);
    // The order was changed in the device's configuration: this is its first monitor now.
    beat("first");
    eventually("it is back", || status(&monitor, &reader) == "online");
    eventually("silence is an alarm", || status(&monitor, &reader) == "offline");
    assert!(incidents(&monitor).contains("barn-cam"), "{}", incidents(&monitor));
    // It is alive, and sends to another one.
    beat("standby");
    eventually("the outage is over", || status(&monitor, &reader) == "standby");
    let open = monitor.plan().says(&["incident", "list", "--open"]);
    assert!(!open.contains("barn-cam"), "{open}");
}

#[test]
fn a_backup_that_never_heard_its_machine_says_nothing_also_after_a_restart() {
    let monitor = start();
    let reader = monitor.reader();
    monitor.plan().token(&["machine", "add", "--backup", "tower"]);
    monitor.plan().says(&["condition", "set", "never_seen", "--for", "0s"]);
    let none = no_incidents();
    let monitor = monitor.restart();
    thread::sleep(Duration::from_secs(3));
    assert_eq!((status(&monitor, &reader).as_str(), incidents(&monitor)), ("new", none));
    // One of which it is the only server is reported.
    monitor.plan().token(&["machine", "add", "shed"]);
    eventually("never seen", || incidents(&monitor).contains("shed"));
}

#[test]
fn a_monitor_that_is_cut_off_from_the_devices_of_two_monitors_reports_itself_and_no_device() {
    let plan = Plan::new().key("detection.check_interval", "1s").key("detection.offline_threshold", "6s");
    let webhook = WebhookReceiver::of(&plan);
    let monitor = plan.start();
    let reader = monitor.reader();
    let tokens: Vec<String> = (1..=6).map(|number| monitor.machine(&format!("barn-{number}"))).collect();
    let beat = |token: &String| {
        let body = b"{\"server\": \"first\"}";
        assert_eq!(monitor.post("/api/v1/heartbeat", &[bearer(token)], body).status, 200);
    };
    tokens.iter().for_each(beat);
    eventually("the first one is online", || status(&monitor, &reader) == "online");
    let body = webhook.next().json();
    assert_eq!(text(&body["event"]), "monitor.trouble", "{body}");
    let reason = text(&body["machine"]["description"]);
    assert!(
        reason.starts_with("nothing is heard from 6 of 6 machines that have other monitors, too (barn-1, "),
        "{reason}"
    );
    let metrics = monitor.get_as(&reader, "/metrics").body;
    assert!(metrics.contains("heartbeat_monitor_unheard_machines 6\n"), "{metrics}");
    assert_eq!(monitor.get("/healthz").status, 200, "a proxy goes on");
    // The network is back.
    tokens.iter().for_each(beat);
    eventually("it hears them again", || {
        monitor.get_as(&reader, "/metrics").body.contains("heartbeat_monitor_unheard_machines 0\n")
    });
    assert_eq!(status(&monitor, &reader), "online");
    webhook.nothing_for(Duration::from_secs(2));
}
