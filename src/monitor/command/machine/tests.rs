//! What is printed: for people, for scripts that take the last line, for programs that read JSON.

use super::*;
use crate::monitor::accounts::audit::Actor;
use crate::monitor::command::parse::parse;
use crate::monitor::conditions::catalogue::Condition;
use crate::monitor::conditions::settings::{Scope, ScopedChange, SettingChange};
use crate::monitor::incidents::table::IncidentId;
use crate::monitor::machine::MachineId;
use crate::monitor::registry::lookup::Registry;
use crate::monitor::store::sql::params;

const NOW: Moment = Moment(1_763_774_609_000);

fn at(store: &Store, words: &[&str], now: Moment) -> Result<String, Refused> {
    run(parse(words).expect("a command line"), store.location(), now)
}

fn said(store: &Store, words: &[&str]) -> String {
    at(store, words, NOW).expect("done")
}

#[test]
fn the_token_is_alone_on_the_last_line_and_valid() {
    let store = Store::scratch();
    let words =
        ["add", "barn", "--hostname", "barn-cam", "--threshold", "5m", "--group", "farm", "--tag", "a"];
    let first = said(&store, &words);
    let (sentence, token) = first.rsplit_once('\n').expect("two lines");
    assert_eq!(sentence, "machine 1 (barn) added; its token, shown only once:");
    assert_eq!(store.changed_by_others().map(|changes| changes.settings), Ok(true), "the server notices");
    assert!(Registry::load(&store).expect("loaded").authenticate(token, NOW).is_ok());
    let second = said(&store, &["rotate", "barn", "--keep-old", "24h"]);
    assert!(
        second.starts_with("machine 1 (barn) has a new token; the old one is accepted for another 24h;"),
        "{second}"
    );
    let registry = Registry::load(&store).expect("loaded");
    assert!(registry.authenticate(token, NOW).is_ok());
    assert!(registry.authenticate(second.lines().last().expect("a line"), NOW).is_ok());
    assert_eq!(said(&store, &["revoke", "1"]), "machine 1 (barn): 2 tokens revoked");
}

#[test]
fn the_list_begins_with_the_important_columns() {
    let store = Store::scratch();
    assert_eq!(said(&store, &["list"]), "no machines; add one with heartbeat-monitor machine add NAME");
    said(&store, &["add", "barn", "--group", "farm", "--tag", "b", "--tag", "a", "--threshold", "5m"]);
    said(&store, &["add", "gate"]);
    said(&store, &["add", "silo"]);
    said(&store, &["pause", "gate", "--for", "2h", "--reason", "new roof"]);
    said(&store, &["disable", "silo"]);
    store
        .write(|tx| {
            tx.execute(
                "UPDATE machine_state SET status = 1, last_seen = ?1 WHERE machine_id = 1",
                params![NOW.0 - 12_000],
            )
        })
        .expect("a heartbeat");
    let expected = "\
ID  NAME  STATE     LAST SEEN  THRESHOLD  GROUP  TAGS
1   barn  online    12s ago    5m         farm   a,b
2   gate  paused    -          -          -      -
3   silo  disabled  -          -          -      -";
    let warning = "No channel: nobody will be notified. See heartbeat-monitor channel add --help";
    assert_eq!(said(&store, &["list"]), format!("{expected}\n{warning}"));
    let rows = "INSERT INTO recipient (id, name, events) VALUES (1, 'anna', '[]');
        INSERT INTO channel (recipient_id, kind, target, created_at) VALUES (1, 'ntfy', 'https://ntfy.sh/x', 0);";
    store.write(|tx| tx.execute_batch(rows)).expect("a channel");
    assert_eq!(said(&store, &["list"]), expected);
    store.write(|tx| tx.execute_batch("UPDATE channel SET enabled = FALSE")).expect("disabled");
    assert!(said(&store, &["list"]).ends_with(warning), "a disabled channel notifies nobody");
    assert_eq!(
        said(&store, &["list", "--group", "farm"]).lines().count(),
        2,
        "some machines: a short answer"
    );
}

#[test]
fn the_list_can_be_narrowed_by_group_tag_and_state() {
    let store = Store::scratch();
    said(&store, &["add", "barn", "--group", "farm", "--tag", "camera"]);
    said(&store, &["add", "gate", "--group", "farm"]);
    said(&store, &["add", "silo"]);
    said(&store, &["disable", "silo"]);
    said(&store, &["pause", "gate", "--for", "2h"]);
    let names = |words: &[&str]| -> Vec<String> {
        let list = said(&store, &[&["list"], words].concat());
        list.lines().skip(1).filter_map(|line| line.split_whitespace().nth(1)).map(str::to_owned).collect()
    };
    assert_eq!(names(&["--group", "farm"]), ["barn", "gate"]);
    assert_eq!(names(&["--group", "farm", "--tag", "camera"]), ["barn"]);
    assert_eq!(names(&["--status", "disabled"]), ["silo"]);
    assert_eq!(names(&["--status", "paused", "--group", "farm"]), ["gate"]);
    assert_eq!(names(&["--status", "new"]), ["barn"]);
    assert_eq!(said(&store, &["list", "--status", "offline"]), "no machine matches");
    let json: Value =
        serde_json::from_str(&said(&store, &["list", "--json", "--status", "new"])).expect("JSON");
    assert_eq!(json.as_array().map(Vec::len), Some(1));
    parse::<MachineCommand>(&["list", "--status", "ofline"]).expect_err("no state");
}

#[test]
fn a_machine_is_shown_with_its_open_outage_and_its_latest_heartbeat() {
    let store = Store::scratch();
    said(&store, &["add", "barn", "--hostname", "barn-cam", "--group", "farm", "--threshold", "5m"]);
    let seen = NOW.0 - 600_000;
    store
        .write(|tx| {
            tx.execute(
                "UPDATE machine_state SET status = 2, since = ?1, last_seen = ?2",
                params![NOW.0 - 300_000, seen],
            )?;
            tx.execute(
                "INSERT INTO incident (machine_id, planned, last_seen, began_at) VALUES (1, FALSE, ?1, ?2)",
                params![seen, NOW.0 - 300_000],
            )?;
            tx.execute("INSERT INTO machine_latest VALUES (1, ?1, '{\"cpu\":12.5}')", params![seen])
        })
        .expect("an outage");
    let expected = "\
id             1
name           barn
hostname       barn-cam
group          farm
threshold      5m
created        2025-11-22T01:23:29Z
state          offline, for 5m
last seen      2025-11-22T01:13:29Z (10m ago)
open incidents offline since 2025-11-22T01:18:29Z (5m ago), not announced
latest         10m ago
  {
    \"cpu\": 12.5
  }";
    assert_eq!(said(&store, &["show", "barn"]), expected);
    let json: Value = serde_json::from_str(&said(&store, &["show", "1", "--json"])).expect("JSON");
    assert_eq!((&json["name"], &json["latest"]["cpu"]), (&"barn".into(), &12.5.into()));
    assert_eq!(json["outage"]["started_at"], "2025-11-22T01:18:29Z");
    assert!(at(&store, &["show", "bran"], NOW).is_err());
}

#[test]
fn a_machine_is_shown_with_its_incidents_settings_and_deliveries() {
    let store = Store::scratch();
    said(&store, &["add", "barn", "--group", "farm"]);
    said(&store, &["add", "gate"]);
    let rows = "
        INSERT INTO incident (id, machine_id, kind, subject, label, planned, last_seen, began_at, notified_at, ended_at,
                              value, threshold) VALUES
            (3, 1, 'camera', 'b8:27:eb:00:00:01', 'north', FALSE, 0, 1763774309000, 1763774309000, NULL, NULL, NULL),
            (4, 1, 'temp', '', NULL, FALSE, 0, 1763774309000, NULL, NULL, 83.5, 75),
            (5, 1, 'read_only', '/', NULL, FALSE, 0, 1763774309000, NULL, 1763774309001, NULL, NULL),
            (6, 2, 'temp', '', NULL, FALSE, 0, 1763774309000, NULL, NULL, 90, 80);
        INSERT INTO camera VALUES (1, 1, 'b8:27:eb:00:00:01', 'gate', 29396240), (2, 1, 'b8:27:eb:00:00:02', NULL, 29396240),
            (3, 1, 'b8:27:eb:00:00:03', 'yard', 29396240), (4, 2, 'b8:27:eb:00:00:01', 'north', 29396240);
        INSERT INTO camera_day VALUES (1, 20413, 1398, 42), (1, 20383, 0, 1000), (1, 20414, 60, 0), (2, 20414, 60, 0);
        INSERT INTO recipient (id, name, events) VALUES (1, 'anna', '[]');
        INSERT INTO channel (id, recipient_id, kind, target, created_at) VALUES (2, 1, 'ntfy', 'https://ntfy.sh/x', 0);
        INSERT INTO outbox (id, channel_id, machine_id, incident_id, event, content, created_at, due_at, expires_at, state,
                            attempts, delivered_at, last_error) VALUES
            (7, 2, 1, 3, 'camera', '{}', 1763774309000, 0, 0, 2, 1, 1763774310000, NULL),
            (8, 2, 1, 4, 'temp', '{}', 1763774309000, 0, 0, 3, 9, NULL, 'status 500'),
            (9, 2, 2, 6, 'temp', '{}', 1763774309000, 0, 0, 0, 0, NULL, NULL);";
    store.write(|tx| tx.execute_batch(rows)).expect("rows");
    let farm = Scope::Group("farm".into());
    let hot = SettingChange { threshold: Some(75.0), hold: Some(Duration::from_secs(600)), is_on: None };
    let off = SettingChange { is_on: Some(false), ..SettingChange::default() };
    for (condition, scope, change) in
        [(Condition::Temperature, farm, hot), (Condition::Clock, Scope::Machine(MachineId(1)), off)]
    {
        store.change_condition(&ScopedChange { condition, scope, change }, NOW).expect("changed");
    }
    let text = said(&store, &["show", "barn"]);
    let expected = "\
open incidents camera north since 2025-11-22T01:18:29Z (5m ago)
               temp since 2025-11-22T01:18:29Z (5m ago), 83.5 °C (threshold 75 °C), not announced
camera gate    97.2 % of 2 days
camera b8:27:eb:00:00:02 100.0 % of 1 day
settings       temp: threshold 75 °C (group:farm), hold time 10m (group:farm)
               clock: off (machine)
deliveries     2025-11-22T01:18:29Z (5m ago): temp to anna over channel 2 (ntfy), dead: status 500
               2025-11-22T01:18:29Z (5m ago): camera to anna over channel 2 (ntfy), delivered";
    assert!(text.ends_with(expected), "{text}");
    let json: Value = serde_json::from_str(&said(&store, &["show", "1", "--json"])).expect("JSON");
    assert_eq!(json["outage"], Value::Null);
    assert_eq!(json["incidents"][0]["label"], "north");
    assert_eq!(
        (&json["cameras"][0]["up_percent"], &json["cameras"][0]["down_minutes"]),
        (&97.2.into(), &42.into())
    );
    assert_eq!(
        (&json["cameras"][2]["name"], &json["cameras"][2]["up_percent"]),
        (&"yard".into(), &Value::Null)
    );
    assert_eq!(
        (&json["incidents"][1]["value"], &json["incidents"][1]["notified_at"]),
        (&83.5.into(), &Value::Null)
    );
    let settings = json["settings"].as_array().expect("an array");
    let conditions: Vec<_> = settings.iter().map(|listed| listed["condition"].clone()).collect();
    assert_eq!(conditions, ["temp", "clock"], "only those that differ from the default");
    assert_eq!(settings[0]["threshold_from"], "group:farm");
    let states: Vec<_> =
        json["deliveries"].as_array().into_iter().flatten().map(|one| one["state"].clone()).collect();
    assert_eq!(states, ["dead", "delivered"]);
    store
        .acknowledge(IncidentId(4), &Actor { name: "ada".into(), address: None }, NOW)
        .expect("acknowledged");
    let text = said(&store, &["show", "barn"]);
    let on_it = "not announced; ada has been on it since 2025-11-22T01:23:29Z (0s ago)\n";
    assert!(text.contains(on_it), "{text}");
    let json: Value = serde_json::from_str(&said(&store, &["show", "1", "--json"])).expect("JSON");
    let by: Vec<_> =
        json["incidents"].as_array().into_iter().flatten().map(|one| &one["acknowledged_by"]).collect();
    assert_eq!(by, [&Value::Null, &"ada".into()]);
    assert_eq!(json["incidents"][1]["acknowledged_at"], "2025-11-22T01:23:29Z");
    let gate = said(&store, &["show", "gate"]);
    assert!(gate.contains("temp since") && !gate.contains("settings") && !gate.contains("camera"), "{gate}");
}

#[test]
fn programs_get_every_field_and_never_a_token() {
    let store = Store::scratch();
    assert_eq!(said(&store, &["list", "--json"]), "[]");
    let token = said(&store, &["add", "barn", "--threshold", "90s", "--device-key", "BARN"]);
    let json = said(&store, &["list", "--json"]);
    assert!(!json.contains(token.lines().last().expect("a token")));
    let listed: Value = serde_json::from_str(&json).expect("JSON");
    let machine = &listed[0];
    assert_eq!(machine["id"], 1);
    assert_eq!(machine["threshold_s"], 90.0);
    assert_eq!(machine["device_key"], "BARN");
    assert_eq!(machine["status"], "new");
    assert_eq!(machine["last_seen"], Value::Null);
    assert_eq!(machine["created_at"], "2025-11-22T01:23:29Z");
}

#[test]
fn an_empty_value_clears_a_setting() {
    let store = Store::scratch();
    said(&store, &["add", "barn", "--threshold", "5m", "--description", "x"]);
    said(&store, &["set", "barn", "--threshold", "", "--description", "", "--name", "stable"]);
    let machine = store.machine_called("stable", NOW).expect("there");
    assert_eq!((machine.threshold, machine.description), (None, None));
    let error = at(&store, &["set", "stable", "--threshold", "soon"], NOW).expect_err("no time").to_string();
    assert!(error.starts_with("--threshold \"soon\": expected a duration"), "{error}");
    let error = at(&store, &["set", "stable"], NOW).expect_err("nothing to change").to_string();
    assert!(error.starts_with("nothing to change"), "{error}");
}

#[test]
fn a_pause_is_shown_with_its_end() {
    let store = Store::scratch();
    said(&store, &["add", "barn"]);
    let until = said(&store, &["pause", "barn", "--for", "2h"]);
    assert_eq!(until, "machine 1 (barn): notifications are off until 2025-11-22T03:23:29Z");
    let later = NOW.plus(Duration::from_secs(60));
    assert_eq!(at(&store, &["resume", "barn"], later), Ok("machine 1 (barn): maintenance ended".into()));
    assert_eq!(at(&store, &["resume", "barn"], later), Ok("machine 1 (barn): was not paused".into()));
    assert_eq!(said(&store, &["remove", "barn"]), "machine 1 (barn) removed");
}

#[test]
fn more_machines_than_a_page_are_all_listed() {
    let store = Store::scratch();
    let rows = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 2500)
        INSERT INTO machine (name, created_at) SELECT 'm' || n, 0 FROM n;
        INSERT INTO machine_state (machine_id, status, watched, last_seen, since, threshold) SELECT id, 0, TRUE, NULL, 0, NULL FROM machine;";
    store.write(|tx| tx.execute_batch(rows)).expect("a fleet");
    assert_eq!(
        said(&store, &["list"]).lines().count(),
        2502,
        "a title, the machines, and that there is no channel"
    );
}

#[test]
fn neither_machine_nor_file_is_left_when_one_of_them_cannot_be_made() {
    let store = Store::scratch();
    let file = store.dir.path().join("barn.token");
    let path = file.to_str().expect("UTF-8");
    let sentence = said(&store, &["add", "barn", "--token-file", path]);
    assert_eq!(sentence, format!("machine 1 (barn) added; its token is in {path}"));
    let token = std::fs::read_to_string(&file).expect("readable");
    assert!(Registry::load(&store).expect("loaded").authenticate(token.trim(), NOW).is_ok());

    at(&store, &["add", "gate", "--token-file", path], NOW).expect_err("the file exists");
    at(&store, &["add", "gate", "--token-file", "/nonexistent/token"], NOW).expect_err("no directory");
    at(&store, &["add", "gate", "--token-file", "/dev/full"], NOW).expect_err("it exists");
    let second = store.dir.path().join("second.token");
    let words = ["add", "barn", "--token-file", second.to_str().expect("UTF-8")];
    at(&store, &words, NOW).expect_err("the name is taken");
    assert!(!second.exists());
    assert_eq!(said(&store, &["list", "--status", "new"]).lines().count(), 2, "a title and one machine");
    assert_eq!(std::fs::read_to_string(&file).expect("readable"), token);
}
