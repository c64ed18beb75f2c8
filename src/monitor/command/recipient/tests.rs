use super::*;
use crate::monitor::command::parse::parse;
use crate::monitor::machine::Description;
use crate::monitor::registry::enrolment::NewKey;
use serde_json::json;
use std::time::Duration;

fn try_to(dir: &tempfile::TempDir, arguments: &[&str]) -> Result<String, String> {
    run(parse(arguments)?, &dir.path().join("monitor.db").into(), Moment(0))
        .map_err(|error| error.to_string())
}

fn output(dir: &tempfile::TempDir, arguments: &[&str]) -> String {
    try_to(dir, arguments).unwrap_or_else(|error| panic!("{arguments:?}: {error}"))
}

/// In the group "farm", with the tag "camera".
fn machine(dir: &tempfile::TempDir, name: &str) {
    let store = Store::open_beside(&dir.path().join("monitor.db").into(), Moment(0)).expect("a database");
    let (group, tags) = (Some("farm".into()), vec!["camera".into()]);
    let machine = Description { name: name.into(), group, tags, ..Description::default() };
    store.add_machine(&machine, Moment(0)).expect("added");
}

fn remove(dir: &tempfile::TempDir, name: &str) {
    let store = Store::open_beside(&dir.path().join("monitor.db").into(), Moment(0)).expect("a database");
    store.remove_machine(name, Moment(0)).expect("removed");
}

#[test]
fn a_missing_choice_is_refused_with_its_name() {
    let dir = tempfile::tempdir().expect("a directory");
    machine(&dir, "barn");
    output(&dir, &["add", "anna", "--machine", "1"]);
    for (option, name, said) in [
        ("--machine", "bran", "there is no machine \"bran\""),
        ("--machine", "2", "there is no machine \"2\""),
        ("--group", "fram", "no machine is in the group \"fram\""),
        ("--tag", "cam", "no machine has the tag \"cam\""),
    ] {
        for command in [&["add", "bert"][..], &["set", "anna"]] {
            let error = try_to(&dir, &[command, &[option, name]].concat()).expect_err(said);
            assert!(error.contains(said), "{error}");
        }
    }
    let list = output(&dir, &["list"]);
    assert!(!list.contains("bert") && list.contains("  barn  "), "nothing was changed: {list}");
}

#[test]
fn the_group_of_an_unused_enrolment_key_can_be_chosen() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = Store::open_beside(&dir.path().join("monitor.db").into(), Moment(0)).expect("a database");
    store
        .add_key(&NewKey::one(Duration::from_secs(3600), Some("farm")), Moment(0), &|_| Ok(()))
        .expect("a key");
    output(&dir, &["add", "anna", "--group", "farm"]);
}

#[test]
fn a_choice_that_has_become_empty_selects_no_machine_and_is_a_warning() {
    let dir = tempfile::tempdir().expect("a directory");
    machine(&dir, "barn");
    machine(&dir, "gate");
    output(&dir, &["add", "anna", "--machine", "barn", "--machine", "gate", "--machine", "1"]);
    output(&dir, &["add", "bert", "--group", "farm"]);
    assert!(!output(&dir, &["list"]).contains("warning"), "all is well");
    remove(&dir, "barn");
    let list = output(&dir, &["list"]);
    assert!(list.contains("  gate,missing:barn  "), "{list}");
    assert!(
        list.contains("warning: anna: chosen machines do not exist: barn (change it with heartbeat-monitor"),
        "{list}"
    );
    remove(&dir, "gate");
    let list = output(&dir, &["list"]);
    for name in ["anna", "bert"] {
        let warning = format!("warning: {name}: no machine matches the choice, so nothing is sent");
        assert!(list.contains(&warning), "{list}");
    }
    let json: Value = serde_json::from_str(&output(&dir, &["list", "--json"])).expect("JSON");
    assert_eq!(json[0]["machines"]["missing"], json!(["barn", "gate"]));
    assert_eq!(json[0]["machines"]["all"], false);
    assert!(json[0]["warning"].as_str().is_some_and(|warning| warning.contains("nothing is sent")));
    machine(&dir, "barn");
    assert!(output(&dir, &["list"]).contains("missing:barn"), "a new machine is another one");
    assert!(!output(&dir, &["list"]).contains("warning: bert"), "the group has a machine again");
    output(&dir, &["set", "anna", "--all-machines"]);
    assert!(!output(&dir, &["list"]).contains("warning"));
}

#[test]
fn a_recipients_wishes_are_kept_changed_and_listed() {
    let dir = tempfile::tempdir().expect("a directory");
    machine(&dir, "barn");
    output(&dir, &["add", "anna"]);
    assert!(output(&dir, &["list"]).contains("anna  enabled  0         all       all but stopped  -      -"));
    output(
        &dir,
        &[
            "set",
            "anna",
            "--group",
            "farm",
            "--tag",
            "camera",
            "--machine",
            "barn",
            "--events",
            "offline,stopped",
            "--quiet",
            "22:00-07:00",
            "--utc-offset",
            "-05:30",
            "--min-outage",
            "10m",
        ],
    );
    let list = output(&dir, &["list"]);
    for part in [
        "barn,group:farm,tag:camera",
        "offline,stopped (off: online,flapping,camera,power,",
        "22:00-07:00 -05:30",
        "10m",
    ] {
        assert!(list.contains(part), "{part}: {list}");
    }
    let json: Value = serde_json::from_str(&output(&dir, &["list", "--json"])).expect("JSON");
    assert_eq!(json[0]["events"], json!(["offline", "stopped"]));
    assert_eq!(json[0]["events_off"][1], "flapping");
    output(&dir, &["set", "anna", "--quiet", "23:00-06:00"]);
    assert!(output(&dir, &["list"]).contains("23:00-06:00 -05:30"), "the offset stays");
    output(&dir, &["set", "anna", "--time-zone", "Europe/Berlin"]);
    assert!(output(&dir, &["list"]).contains("23:00-06:00 Europe/Berlin"));
    output(&dir, &["set", "anna", "--quiet", "22:00-07:00", "--min-outage", "5m"]);
    assert!(
        output(&dir, &["list", "--json"]).contains(r#""quiet":"22:00-07:00 Europe/Berlin""#),
        "the zone stays"
    );
    output(&dir, &["set", "anna", "--utc-offset", "+01:00"]);
    assert!(output(&dir, &["list"]).contains("22:00-07:00 +01:00"));
    output(&dir, &["add", "bert", "--quiet", "23:00-06:00", "--time-zone", "America/New_York"]);
    assert!(output(&dir, &["list"]).contains("23:00-06:00 America/New_York"));
    output(&dir, &["remove", "bert"]);
    output(&dir, &["set", "anna", "--all-machines", "--never-quiet"]);
    assert!(output(&dir, &["list", "--json"]).contains(r#""quiet":null"#));
    output(&dir, &["disable", "anna"]);
    assert!(output(&dir, &["list"]).contains("disabled"));
    output(&dir, &["enable", "anna"]);
    output(&dir, &["remove", "anna"]);
    assert!(output(&dir, &["list"]).starts_with("no recipients"));
}

#[test]
fn quiet_hours_without_a_time_zone_follow_the_servers_clock_as_the_output_shows() {
    let dir = tempfile::tempdir().expect("a directory");
    let zone = Zone::of_machine(Path::new("/"), Path::new(ZONES));
    let (listed, said) = match &zone {
        Some(zone) => (zone.name(), format!("the time zone of this server, {} (change it", zone.name())),
        None => ("+00:00", "in UTC, because the time zone of this server is unknown (change it".into()),
    };
    let answer = output(&dir, &["add", "anna", "--quiet", "22:00-07:00"]);
    assert!(answer.contains(&said), "{answer}");
    assert!(output(&dir, &["list"]).contains(&format!("22:00-07:00 {listed}")));
    let answer = output(&dir, &["set", "anna", "--quiet", "23:00-07:00"]);
    assert_eq!(answer, "anna changed", "the zone was chosen before");
    let answer = output(&dir, &["add", "bert", "--quiet", "22:00-07:00", "--utc-offset", "+01:00"]);
    assert!(!answer.contains("time zone"), "{answer}");
}

#[test]
fn a_time_zone_is_kept_without_quiet_hours_for_the_times_in_messages() {
    let dir = tempfile::tempdir().expect("a directory");
    let zone = || -> Value {
        let all: Value = serde_json::from_str(&output(&dir, &["list", "--json"])).expect("JSON");
        all[0]["time_zone"].clone()
    };
    output(&dir, &["add", "anna"]);
    assert_eq!(zone(), Value::Null, "this server's, whatever that is by then");
    output(&dir, &["set", "anna", "--utc-offset", "-05:30"]);
    assert_eq!(zone(), "-05:30");
    output(&dir, &["set", "anna", "--quiet", "22:00-07:00"]);
    assert!(output(&dir, &["list"]).contains("22:00-07:00 -05:30"), "quiet hours follow it");
    output(&dir, &["set", "anna", "--never-quiet"]);
    assert_eq!(zone(), "-05:30");
    output(&dir, &["set", "anna", "--utc-offset", "+00:00"]);
    assert_eq!(zone(), "UTC");
}

#[test]
fn a_clock_that_is_used_unasked_is_named() {
    let used = |clock: &Clock| with_clock("anna added".into(), clock, true);
    let berlin = used(&crate::monitor::zone::berlin());
    assert!(
        berlin.ends_with("in the time zone of this server, Europe/Berlin (change it with --time-zone)"),
        "{berlin}"
    );
    assert!(used(&Clock::UTC).contains("in UTC, because the time zone of this server is unknown"));
}

#[test]
fn what_cannot_be_is_refused_with_a_reason() {
    let dir = tempfile::tempdir().expect("a directory");
    output(&dir, &["add", "anna"]);
    let cases: &[&[&str]] = &[
        &["add", "anna"],
        &["set", "nobody", "--all-machines"],
        &["set", "anna"],
        &["set", "anna", "--quiet", "22-7"],
        &["set", "anna", "--quiet", "24:00-07:00"],
        &["set", "anna", "--quiet", "22:0-07:00"],
        &["set", "anna", "--utc-offset", "+15:00"],
        &["set", "anna", "--utc-offset", "\u{fc}"],
        &["set", "anna", "--time-zone", "Europe/Bern"],
        &["set", "anna", "--time-zone", "../../../etc/passwd"],
        &["set", "anna", "--time-zone", "Europe/Berlin", "--utc-offset", "+01:00"],
        &["set", "anna", "--time-zone", "Europe/Berlin", "--never-quiet"],
        &["set", "anna", "--events", "steady"],
        &["set", "anna", "--events", ""],
        &["set", "anna", "--min-outage", "999h"],
        &["set", "anna", "--min-outage", "5"],
        &["add", ""],
        &["remove", "nobody"],
    ];
    for arguments in cases {
        try_to(&dir, arguments).expect_err(&format!("{arguments:?}"));
    }
}

#[test]
fn reminders_are_chosen_listed_and_switched_off() {
    let dir = tempfile::tempdir().expect("a directory");
    output(&dir, &["add", "farm", "--remind", "1h"]);
    let remind_s = || {
        let json = output(&dir, &["list", "--json"]);
        let list: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        list[0]["remind_s"].as_f64()
    };
    assert_eq!(remind_s(), Some(3600.0));
    assert!(output(&dir, &["list"]).contains("REMIND"), "a column");
    for (interval, said) in [
        ("4m", "--remind: must be 5m to 168h"),
        ("169h", "--remind: must be 5m to 168h"),
        ("soon", "--remind"),
    ] {
        let error = try_to(&dir, &["set", "farm", "--remind", interval]).expect_err(interval);
        assert!(error.contains(said), "{error}");
    }
    output(&dir, &["set", "farm", "--min-outage", "10m"]);
    assert_eq!(remind_s(), Some(3600.0), "what is not named stays");
    output(&dir, &["set", "farm", "--never-remind"]);
    assert_eq!(remind_s(), None);
}

#[test]
fn an_escalation_is_chosen_listed_and_switched_off_and_its_recipient_cannot_be_removed() {
    let dir = tempfile::tempdir().expect("a directory");
    output(&dir, &["add", "owner"]);
    output(&dir, &["add", "farm", "--escalate", "owner", "--after", "45m"]);
    let list = output(&dir, &["list"]);
    assert!(list.contains("owner after 45m"), "{list}");
    assert!(list.contains("warning: farm escalates to owner, who has no channel: nothing is sent"), "{list}");
    output(&dir, &["disable", "owner"]);
    assert!(output(&dir, &["list"]).contains("who is disabled"));
    let escalate = || {
        let json = output(&dir, &["list", "--json"]);
        let list: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        list[0]["escalate"].clone()
    };
    assert_eq!(escalate(), serde_json::json!({ "to": "owner", "after_s": 2700.0 }));
    for (options, said) in [
        (&["--escalate", "nobody"][..], "there is no recipient \"nobody\""),
        (&["--escalate", "farm"], "\"farm\" cannot escalate to itself"),
        (&["--escalate", "owner", "--after", "5s"], "--after: must be 1m to 168h"),
        (&["--after", "1h"], "--escalate"),
    ] {
        let error = try_to(&dir, &[&["set", "farm"], options].concat()).expect_err(said);
        assert!(error.contains(said), "{error}");
    }
    let error = try_to(&dir, &["remove", "owner"]).expect_err("farm needs it");
    assert!(error.contains("\"farm\" escalates to \"owner\"; change that first"), "{error}");
    output(&dir, &["set", "farm", "--remind", "1h"]);
    assert_eq!(escalate()["after_s"], 2700.0, "what is not named stays");
    output(&dir, &["set", "farm", "--never-escalate"]);
    assert_eq!(escalate(), serde_json::Value::Null);
    output(&dir, &["set", "farm", "--escalate", "owner"]);
    assert_eq!(escalate()["after_s"], 1800.0, "half an hour without --after");
    output(&dir, &["set", "farm", "--never-escalate"]);
    output(&dir, &["remove", "owner"]);
}
