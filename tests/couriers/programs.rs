//! The services that are programs: PagerDuty and Home Assistant get one request for each machine.

use crate::rig::{DEAD, MINUTE, Rig, WAITING};
use crate::support::server::{Reply, Server};
use heartbeat_daemon::monitor::notify::NotifySettings;
use heartbeat_daemon::monitor::notify::test_message::test_channel;
use serde_json::{Value, json};
use std::time::Duration;

const KEY: &str = "0123456789abcdef0123456789ABCDEF";
const WEBHOOK: &str = "/api/webhook/-s3cr3t-webhook-id";

fn settings() -> NotifySettings {
    let site = Some("https://heart.example/".into());
    NotifySettings { allow_private_webhooks: true, site, ..NotifySettings::default() }
}

fn pagerduty(machines: i64, server: &Server) -> Rig {
    let rig = Rig::with(machines, settings());
    let channel = rig.channel("pagerduty", "Farm");
    rig.secret_file(channel, KEY);
    let options = json!({ "api": server.url("").trim_end_matches('/') });
    rig.sql("UPDATE channel SET options = ?1", [options.to_string()]);
    rig
}

fn home_assistant(machines: i64, server: &Server) -> Rig {
    let rig = Rig::with(machines, settings());
    let channel = rig.channel("home-assistant", "Farm");
    rig.secret_file(channel, &server.url(WEBHOOK));
    rig
}

fn accepted() -> Reply {
    let body = br#"{"status":"success","message":"Event processed","dedup_key":"x"}"#;
    Reply::Answer(202, Vec::new(), body.to_vec())
}

fn answer(status: u16, body: &str) -> Reply {
    Reply::Answer(status, Vec::new(), body.as_bytes().to_vec())
}

#[test]
fn pagerduty_opens_and_resolves_one_incident_for_each_machine() {
    let server = Server::always(accepted());
    let mut rig = pagerduty(99, &server);
    rig.lose(1..=6);
    let triggered: Vec<Value> = server
        .requests(6)
        .iter()
        .map(|request| {
            assert_eq!(request.target, "/v2/enqueue");
            request.json()
        })
        .collect();
    let mut keys: Vec<&str> = triggered.iter().filter_map(|event| event["dedup_key"].as_str()).collect();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), 6, "each machine has an incident of its own");
    let event = &triggered[0];
    assert_eq!((&event["routing_key"], &event["event_action"]), (&json!(KEY), &json!("trigger")));
    assert_eq!(
        (&event["payload"]["severity"], &event["payload"]["source"]),
        (&json!("critical"), &json!("host"))
    );
    assert!(
        event["payload"]["summary"].as_str().is_some_and(|summary| summary.ends_with("offline")),
        "{event}"
    );
    assert!(
        event["client_url"].as_str().is_some_and(|url| url.starts_with("https://heart.example/machines/"))
    );
    rig.eventually_all_delivered();
    rig.back(1..=6);
    for request in server.requests(6) {
        let resolved = request.json();
        assert_eq!(resolved["event_action"], "resolve");
        assert!(keys.contains(&resolved["dedup_key"].as_str().expect("a key")), "{resolved}");
    }
    rig.eventually_all_delivered();
}

#[test]
fn a_delivery_to_pagerduty_whose_answer_was_lost_is_repeated_with_the_same_key() {
    let server = Server::always(Reply::Reset);
    let mut rig = pagerduty(1, &server);
    rig.lose([1]);
    let first = server.request().json();
    rig.eventually_row(1, "it failed", |row| row.attempts == 1);
    server.become_one_that(|_| accepted());
    rig.wait(MINUTE);
    assert_eq!(server.request().json()["dedup_key"], first["dedup_key"]);
    rig.eventually_all_delivered();
}

#[test]
fn a_test_leaves_no_incident_open_at_pagerduty() {
    let server = Server::always(accepted());
    let rig = pagerduty(1, &server);
    let channel = rig.store.enabled_channels().expect("channels").remove(0);
    let said = test_channel(&channel, &settings(), rig.now()).expect("accepted");
    assert_eq!(said, "202: accepted by PagerDuty");
    let [first, second] = [server.request().json(), server.request().json()];
    assert_eq!((&first["event_action"], &second["event_action"]), (&json!("trigger"), &json!("resolve")));
    assert_eq!(first["dedup_key"], second["dedup_key"]);
    assert_eq!(first["payload"]["severity"], "info");
}

#[test]
fn only_an_unacceptable_event_is_permanent_at_pagerduty() {
    let invalid = |error: &str| {
        format!(r#"{{"status":"invalid event","message":"Event object is invalid","errors":["{error}"]}}"#)
    };
    for (status, body, state) in [
        (400, invalid("'payload.summary' is missing or blank"), DEAD),
        (413, String::new(), DEAD),
        (400, invalid("Length of 'routing_key' is incorrect (should be 32 characters)"), WAITING),
        (400, invalid("Invalid routing key"), WAITING),
        (400, "<html>a proxy</html>".into(), WAITING),
        (403, String::new(), WAITING),
        (500, String::new(), WAITING),
    ] {
        let server = Server::start(move |_| answer(status, &body));
        let mut rig = pagerduty(1, &server);
        rig.lose([1]);
        rig.eventually_row(1, "judged", |row| row.attempts == 1 && row.state == state);
        let why = rig.row(1).error.expect("a reason");
        assert!(!why.contains(KEY), "{why}");
    }
}

#[test]
fn programs_that_limit_us_get_nothing_for_the_pause_that_they_request() {
    for add in [pagerduty, home_assistant] {
        let server = Server::always(Reply::Answer(429, vec![("Retry-After", "300".into())], Vec::new()));
        let mut rig = add(1, &server);
        rig.lose([1]);
        server.request();
        rig.waits_for(1, Duration::from_secs(300));
    }
}

#[test]
fn the_longest_and_the_most_hostile_names_fit_into_an_event_of_pagerduty() {
    let server = Server::always(accepted());
    let mut rig = pagerduty(1, &server);
    rig.sql("UPDATE machine SET name = ?1", ["\"\\\r\n<\u{1F534}>{{x}}".repeat(300)]);
    rig.lose([1]);
    let event = server.request().json();
    let summary = event["payload"]["summary"].as_str().expect("a summary").to_owned();
    assert!(summary.chars().count() <= 1024 && summary.contains("\"\\  <\u{1F534}>{{x}}"), "{summary}");
    assert!(event["dedup_key"].as_str().is_some_and(|key| key.len() <= 255));
    rig.eventually_all_delivered();
}

#[test]
fn home_assistant_gets_the_fields_of_a_webhook_and_the_message() {
    let server = Server::always(Reply::ok());
    let mut rig = home_assistant(9, &server);
    rig.sql("UPDATE machine SET name = '<b>\"m' || id", []);
    rig.lose([1]);
    let request = server.request();
    assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", WEBHOOK));
    let json = request.json();
    assert_eq!((&json["event"], &json["machine"]["id"]), (&json!("machine.offline"), &json!(1)));
    assert_eq!((&json["title"], &json["machine"]["name"]), (&json!("<b>\"m1 offline"), &json!("<b>\"m1")));
    assert!(json["message"].as_str().is_some_and(|text| text.contains("Machine: <b>\"m1\n")), "{json}");
    assert_eq!((&json["link"], &json["delivery"]), (&json!("https://heart.example/machines/1"), &json!(1)));
    let offer = json["acknowledge_url"].as_str().unwrap_or_default();
    assert!(offer.starts_with("https://heart.example/acknowledge/p"), "{json}");
    rig.eventually_all_delivered();
}

#[test]
fn every_answer_of_home_assistant_but_success_is_retried_and_its_webhook_is_not_revealed() {
    for status in [400, 401, 404, 405, 502] {
        let server = Server::start(move |request| answer(status, &format!("404 {}", request.target)));
        let mut rig = home_assistant(1, &server);
        rig.lose([1]);
        rig.eventually_row(1, "it failed", |row| row.attempts == 1 && row.state == WAITING);
        let why = rig.row(1).error.expect("a reason");
        assert!(!why.contains("s3cr3t"), "{why}");
        server.become_one_that(|_| Reply::ok());
        rig.wait(MINUTE);
        rig.eventually_all_delivered();
    }
}
