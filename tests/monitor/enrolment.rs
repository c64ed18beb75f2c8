//! A device that adds itself with a key that is good for once.

use crate::rig::becomes;
use crate::support::browser::Browser;
use crate::support::eventually;
use crate::support::monitor::{Answer, Monitor, Plan, bearer};
use crate::support::wall_clock::WallClock;
use heartbeat_daemon::wire;
use serde_json::json;

const DEVICE: &str = r#"{"hardwareid": "10000000a5bd2dd2", "hostname": "barn-cam"}"#;
const OTHER: &str = r#"{"hardwareid": "100000001e240b17", "hostname": "barn-cam"}"#;

fn key(monitor: &Monitor) -> String {
    monitor.plan().token(&["enroll", "add", "--group", "farm"])
}

fn enrol(monitor: &Monitor, key: &str, device: &str) -> Answer {
    monitor.post("/api/v1/enroll", &[bearer(key)], device.as_bytes())
}

#[track_caller]
fn token(answer: &Answer) -> String {
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.json()["token"].as_str().expect("a token").to_owned()
}

fn beat(monitor: &Monitor, token: &str) -> u16 {
    monitor.post("/api/v1/heartbeat", &[bearer(token)], wire::SAMPLE.as_bytes()).status
}

#[track_caller]
fn refused(answer: &Answer, reason: &str) {
    assert_eq!(answer.status, 403, "{answer:?}");
    assert!(answer.body.contains(reason), "{answer:?}");
}

#[test]
fn a_key_adds_one_device_whose_token_is_valid_at_once() {
    let monitor = Plan::new().start();
    let (reader, key) = (monitor.reader(), key(&monitor));
    let answer = enrol(&monitor, &key, DEVICE);
    let token = token(&answer);
    assert_eq!((&answer.json()["machine"], &answer.json()["name"]), (&json!(1), &json!("barn-cam")));
    assert_eq!(beat(&monitor, &token), 200);
    becomes(&monitor, &reader, 1, "online");
    let machine = monitor.get_as(&reader, "/api/v1/machines/1").json();
    assert_eq!((&machine["group"], &machine["hardware_id"]), (&json!("farm"), &json!("10000000a5bd2dd2")));

    refused(&enrol(&monitor, &key, OTHER), "unknown, used or expired");
    refused(&enrol(&monitor, &key, DEVICE), "unknown, used or expired");
    assert_eq!(beat(&monitor, &key), 401, "a key is no token");
    let machines = monitor.get_as(&reader, "/api/v1/machines").json();
    assert_eq!(machines["items"].as_array().map(Vec::len), Some(1), "{machines}");
}

/// As when its answer was lost.
#[test]
fn a_device_never_seen_may_reuse_its_key_and_only_the_last_token_is_valid() {
    let monitor = Plan::new().start();
    let key = key(&monitor);
    let first = token(&enrol(&monitor, &key, DEVICE));
    let second = token(&enrol(&monitor, &key, DEVICE));
    assert_eq!((beat(&monitor, &first), beat(&monitor, &second)), (401, 200));
    refused(&enrol(&monitor, &key, OTHER), "unknown, used or expired");
}

#[test]
fn a_key_that_is_wrong_removed_or_too_old_adds_nothing() {
    let monitor = Plan::new().start();
    let reader = monitor.reader();
    refused(&enrol(&monitor, "nonsense", DEVICE), "unknown, used or expired");
    let removed = key(&monitor);
    monitor.plan().says(&["enroll", "remove", "1"]);
    refused(&enrol(&monitor, &removed, DEVICE), "unknown, used or expired");
    if let Some(clock) = WallClock::new() {
        // Made an hour ago: for one command the clock is behind.
        let old = clock.token(monitor.plan(), "-1h", &["enroll", "add", "--for", "30m"]);
        refused(&enrol(&monitor, &old, DEVICE), "unknown, used or expired");
        let fresh = clock.token(monitor.plan(), "-1h", &["enroll", "add", "--for", "90m"]);
        token(&enrol(&monitor, &fresh, DEVICE));
    }
    let machines = monitor.get_as(&reader, "/api/v1/machines").json();
    assert!(machines["items"].as_array().is_some_and(|items| items.len() <= 1), "{machines}");
}

#[test]
fn missing_and_invalid_fields_are_named_and_use_up_no_key() {
    let monitor = Plan::new().start();
    let key = key(&monitor);
    for (headers, body, status) in [
        (vec![], DEVICE, 401),
        (vec![bearer(&key)], "{}", 400),
        (vec![bearer(&key)], r#"{"hardwareid": ""}"#, 400),
        (vec![bearer(&key)], r#"{"hardwareid": 5}"#, 400),
        (vec![bearer(&key)], r#"{"hardwareid": "1", "hostname": ["barn"]}"#, 400),
        (vec![bearer(&key)], "[]", 400),
    ] {
        let answer = monitor.post("/api/v1/enroll", &headers, body.as_bytes());
        assert_eq!(answer.status, status, "{body}: {answer:?}");
        assert!(answer.json()["error"].is_string(), "{body}: {answer:?}");
    }
    // In the body, for a client that cannot set a header; null is absent.
    let with_key =
        format!("{{\"hardwareid\": \"10000000a5bd2dd2\", \"hostname\": null, \"key\": \"{key}\"}}");
    token(&monitor.post("/api/v1/enroll", &[], with_key.as_bytes()));
}

#[test]
fn an_online_machines_hardware_id_cannot_enrol_until_it_is_revoked() {
    let monitor = Plan::new().start();
    let reader = monitor.reader();
    let old = token(&enrol(&monitor, &key(&monitor), DEVICE));
    assert_eq!(beat(&monitor, &old), 200);
    becomes(&monitor, &reader, 1, "online");

    let second = key(&monitor);
    refused(&enrol(&monitor, &second, DEVICE), "is online");
    assert_eq!(beat(&monitor, &old), 200, "nothing has changed for it");
    monitor.plan().says(&["machine", "revoke", "barn-cam"]);
    eventually("the revoked token is refused", || beat(&monitor, &old) == 401);
    let answer = enrol(&monitor, &second, DEVICE);
    let new = token(&answer);
    assert_eq!(answer.json()["machine"], json!(1), "the same machine");
    assert_eq!((beat(&monitor, &new), beat(&monitor, &old)), (200, 401));
}

/// 43 characters, as a device makes them.
fn own_token(n: u32) -> String {
    format!("{n:043}")
}

fn enrol_with(monitor: &Monitor, key: &str, hardware_id: &str, token: &str) -> Answer {
    let body = json!({ "hardwareid": hardware_id, "hostname": "barn-cam", "token": token });
    monitor.post("/api/v1/enroll", &[bearer(key)], body.to_string().as_bytes())
}

#[test]
fn one_key_adds_many_devices_that_bring_their_own_tokens() {
    let monitor = Plan::new().start();
    let key = monitor.plan().token(&["enroll", "add", "--uses", "3", "--for", "7d", "--group", "farm"]);
    for n in 0..3 {
        for attempt in ["first", "after a lost answer"] {
            let answer = enrol_with(&monitor, &key, &format!("a{n}"), &own_token(n));
            assert_eq!(
                (answer.status, &answer.json()["machine"]),
                (201, &json!(n + 1)),
                "{attempt}: {answer:?}"
            );
            assert!(answer.json().get("token").is_none(), "{answer:?}");
        }
        assert_eq!(beat(&monitor, &own_token(n)), 200);
    }
    refused(&enrol_with(&monitor, &key, "a3", &own_token(3)), "unknown, used or expired");
    assert!(monitor.plan().says(&["enroll", "list"]).contains("3 of 3"));
}

#[test]
fn a_person_lets_a_device_in_by_command_or_page() {
    let monitor = Plan::new().start();
    let key = monitor.plan().token(&["enroll", "add", "--uses", "2", "--approve"]);
    for n in 0..2 {
        let waits = enrol_with(&monitor, &key, &format!("a{n}"), &own_token(n));
        assert_eq!(waits.status, 202, "{waits:?}");
        assert!(waits.json()["waiting"].is_string(), "{waits:?}");
        assert_eq!(beat(&monitor, &own_token(n)), 401, "not yet");
    }
    let listed = monitor.plan().says(&["enroll", "list"]);
    assert!(listed.contains("its key asks for approval"), "{listed}");
    monitor.plan().says(&["enroll", "approve", "1", "--name", "gate"]);
    let mut owner = Browser::signed_up(&monitor, "ada", "owner", &[]);
    assert!(owner.get("/settings/keys").body.contains("barn-cam (a1)"));
    assert_eq!(owner.post("/settings/keys", &[("do", "approve"), ("id", "2")]).status, 303);
    for (n, name) in [(0, "gate"), (1, "barn-cam")] {
        let answer = enrol_with(&monitor, &key, &format!("a{n}"), &own_token(n));
        assert_eq!((answer.status, &answer.json()["name"]), (201, &json!(name)), "{answer:?}");
        eventually("its token is valid", || beat(&monitor, &own_token(n)) == 200);
    }
}

#[test]
fn a_card_in_another_board_waits_and_replaces_its_machine() {
    let monitor = Plan::new().start();
    let card = token(&enrol(&monitor, &key(&monitor), DEVICE));
    let waits = enrol_with(&monitor, &card, "100000001e240b17", &own_token(1));
    assert_eq!(waits.status, 202, "{waits:?}");
    assert!(monitor.plan().says(&["enroll", "list"]).contains("it has the card of barn-cam"));
    monitor.plan().says(&["enroll", "approve", "1", "--replaces", "barn-cam"]);
    let answer = enrol_with(&monitor, &card, "100000001e240b17", &own_token(1));
    assert_eq!((answer.status, &answer.json()["machine"]), (201, &json!(1)), "{answer:?}");
    eventually("the card's token has ended", || beat(&monitor, &card) == 401);
    eventually("the new one is valid", || beat(&monitor, &own_token(1)) == 200);
}

#[test]
fn a_network_that_guesses_keys_has_to_wait() {
    let monitor = Plan::new().start();
    let statuses: Vec<u16> = (0..70).map(|n| enrol(&monitor, &format!("hbe_{n}"), DEVICE).status).collect();
    assert!(statuses[..60].iter().all(|status| *status == 403), "{statuses:?}");
    assert_eq!(statuses.last(), Some(&429));
}
