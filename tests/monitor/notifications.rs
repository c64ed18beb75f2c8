//! A person is notified when a device stops and when it starts again, and of nothing else.

use crate::rig::{WebhookReceiver, becomes, daemon, text};
use crate::support::lateness::in_time;
use crate::support::monitor::{Plan, bearer};
use crate::support::server::Reply;
use crate::support::{eventually, lasting_address};
use rustix::process::Signal;
use std::time::{Duration, Instant};

const CHECK: Duration = Duration::from_secs(1);
const THRESHOLD: Duration = Duration::from_secs(3);
const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_silent_device_is_notified_once_and_once_at_its_return() {
    let plan = Plan::new();
    let webhook = WebhookReceiver::of(&plan);
    let monitor = plan.start();
    let (token, reader) = (monitor.machine("barn-cam"), monitor.reader());
    let daemon = daemon(&monitor, &token);
    becomes(&monitor, &reader, 1, "online");

    let silent = Instant::now();
    daemon.signal(Signal::STOP);
    let offline = webhook.says("machine.offline", "barn-cam");
    in_time(silent, offline.at, THRESHOLD + CHECK + SECOND, "notified of the silence");
    webhook.nothing_for(THRESHOLD + CHECK);
    monitor.wait_for_line("of the seed", |line| {
        line.contains("Machine 1 (barn-cam) went offline (last seen: ") && line.ends_with("s ago)")
    });

    let back = Instant::now();
    daemon.signal(Signal::CONT);
    let online = webhook.says("machine.online", "barn-cam");
    in_time(back, online.at, SECOND + SECOND, "notified of the return, a heartbeat later");
    monitor.wait_for_line("of the seed", |line| line.ends_with("Machine 1 (barn-cam) came back online"));
    webhook.nothing_for(THRESHOLD + CHECK);
    let started = "Heartbeat monitor started (interval: 1s, threshold: 3s)";
    assert_eq!(monitor.log_lines(started).len(), 1);
}

#[test]
fn a_device_that_is_stopped_on_purpose_raises_no_alarm() {
    let plan = Plan::new();
    let webhook = WebhookReceiver::of(&plan);
    let monitor = plan.start();
    let (token, reader) = (monitor.machine("barn-cam"), monitor.reader());
    let mut daemon = daemon(&monitor, &token);
    becomes(&monitor, &reader, 1, "online");
    daemon.signal(Signal::TERM);
    daemon.wait_for_end(Duration::from_secs(10));
    webhook.says("machine.stopped", "barn-cam");
    becomes(&monitor, &reader, 1, "stopped");
    webhook.nothing_for(THRESHOLD + CHECK + SECOND);
}

#[test]
fn a_restart_with_the_fleet_alive_notifies_nothing() {
    let plan = Plan::new();
    let webhook = WebhookReceiver::of(&plan);
    // The same port again, so that daemons find it.
    let monitor = plan.key("http.listen", &lasting_address().to_string()).start();
    let reader = monitor.reader();
    let daemons: Vec<_> =
        ["barn", "gate", "yard"].map(|name| daemon(&monitor, &monitor.machine(name))).into();
    for machine in 1..=3 {
        becomes(&monitor, &reader, machine, "online");
    }
    // Killed, not stopped, and away for longer than the threshold.
    let plan = monitor.kill();
    std::thread::sleep(THRESHOLD + SECOND);
    let monitor = plan.start();
    webhook.nothing_for(THRESHOLD + CHECK + SECOND);
    for machine in 1..=3 {
        becomes(&monitor, &reader, machine, "online");
    }
    drop(daemons);
}

#[test]
fn what_could_not_be_delivered_is_delivered_after_a_restart_and_once() {
    let plan = Plan::new();
    let webhook = WebhookReceiver::of(&plan);
    webhook.receiver.become_one_that(|_| Reply::status(500));
    let monitor = plan.start();
    let (token, reader) = (monitor.machine("barn-cam"), monitor.reader());
    let daemon = daemon(&monitor, &token);
    becomes(&monitor, &reader, 1, "online");
    daemon.signal(Signal::STOP);
    let first = webhook.says("machine.offline", "barn-cam");
    let plan = monitor.kill();
    webhook.receiver.become_one_that(|_| Reply::ok());
    let monitor = plan.start();
    let again = webhook.says("machine.offline", "barn-cam");
    let id = |request: &crate::support::request::Request| request.header("x-webhook-id").map(str::to_owned);
    assert_eq!((id(&first).is_some(), id(&again)), (true, id(&first)), "both attempts have the same id");
    webhook.nothing_for(2 * SECOND);
    eventually("it is delivered, and nothing else", || {
        let page = monitor.get_as(&reader, "/api/v1/deliveries").json();
        let items = page["items"].as_array().expect("a list");
        items.len() == 1 && items[0]["state"] == "delivered"
    });
}

#[test]
fn two_devices_that_use_one_token_in_turn_are_noticed_and_a_reboot_is_not() {
    let monitor = Plan::new().start();
    let (token, reader) = (monitor.machine("barn"), monitor.reader());
    let beat = |hardware: &str, boot: &str| {
        let body = format!(r#"{{"hardwareid":"{hardware}","boot_id":"{boot}","cpu":1}}"#);
        assert_eq!(monitor.post("/api/v1/heartbeat", &[bearer(&token)], body.as_bytes()).status, 200);
    };
    let shared = || monitor.get_as(&reader, "/api/v1/machines/1").json()["shared_token"].clone();
    beat("10000000aaaaaaaa", "1");
    beat("10000000aaaaaaaa", "2");
    beat("10000000bbbbbbbb", "3");
    assert_eq!(shared(), false);
    beat("10000000aaaaaaaa", "2");
    beat("10000000bbbbbbbb", "3");
    assert_eq!(shared(), true);
    let line = monitor.wait_for_line("of the two devices", |line| line.contains("use its token in turn"));
    assert!(line.contains("10000000aaaaaaaa") && line.contains("10000000bbbbbbbb"), "{line}");
    eventually("the event is stored", || {
        let events = monitor.get_as(&reader, "/api/v1/events").json();
        let kinds = events["items"].as_array().expect("a list").iter().map(|event| text(&event["kind"]));
        kinds.filter(|kind| *kind == "shared_token").count() == 1
    });
    assert_eq!(monitor.log_lines("use its token in turn").len(), 1);
}

/// On boards without a serial number the copy has the same hardware id. Replays are from before a reboot, and no sign of life.
#[test]
fn a_copied_card_with_a_remembered_id_is_noticed_and_replays_after_a_reboot_are_not() {
    let monitor = Plan::new().start();
    let (token, reader) = (monitor.machine("barn"), monitor.reader());
    let send = |body: String| {
        assert_eq!(monitor.post("/api/v1/heartbeat", &[bearer(&token)], body.as_bytes()).status, 200);
    };
    let of_boot = |boot: &str, more: &str| {
        format!(r#"{{"hardwareid":"b827eb000003","boot_id":"{boot}","cpu":1{more}}}"#)
    };
    let replay = of_boot("1", r#","replay_age_s":60"#);
    let shared = || monitor.get_as(&reader, "/api/v1/machines/1").json()["shared_token"].clone();
    for _ in 0..3 {
        send(of_boot("2", ""));
        send(format!("[{replay},{replay}]"));
    }
    assert_eq!(shared(), false);
    ["3", "2", "3", "2"].into_iter().for_each(|boot| send(of_boot(boot, "")));
    assert_eq!(shared(), true);
    monitor.wait_for_line("of the copies", |line| {
        line.contains("two devices (b827eb000003, twice) use its token")
    });
}
