use super::*;
use clap::Parser;

const NOW: Moment = Moment(1_763_774_609_000);

#[derive(Debug, Parser)]
struct EventsLine {
    #[command(flatten)]
    command: EventsCommand,
}

fn said(store: &Store, words: &[&str]) -> Result<String, String> {
    let line =
        EventsLine::try_parse_from(std::iter::once(&"events").chain(words)).map_err(|e| e.to_string())?;
    run(&line.command, store.location(), NOW).map_err(|error| error.to_string())
}

/// An outage of the barn that is over, one of the gate that is not, a pause, and a machine that was removed.
fn store() -> crate::monitor::store::Scratch {
    let store = Store::scratch();
    let hour = 3_600_000;
    let at = |hours: i64| NOW.0 - hours * hour;
    store
        .write(|tx| {
            tx.execute_batch(&format!(
                r#"INSERT INTO machine (id, name, created_at) VALUES (1, 'barn', 0), (2, 'gate', 0);
                INSERT INTO machine_state (machine_id, status, watched, last_seen, since, threshold) SELECT id, 1, TRUE, NULL, 0, NULL FROM machine;
                INSERT INTO incident (machine_id, planned, last_seen, began_at, ended_at) VALUES
                    (1, FALSE, {seen}, {begin}, {end}), (2, FALSE, {seen}, {begin}, NULL);
                INSERT INTO event (at, machine_id, kind, detail) VALUES
                    ({old}, NULL, 'removed', '{{"id":9,"name":"silo"}}'), ({begin}, 1, 'offline', NULL),
                    ({begin}, 2, 'offline', NULL), ({end}, 1, 'online', NULL),
                    ({end}, 2, 'paused', '{{"until":{until},"reason":"new roof"}}');"#,
                old = at(48),
                seen = at(5) - 120_000,
                begin = at(5),
                end = at(2),
                until = at(-1),
            ))?;
            Ok(())
        })
        .expect("events");
    store
}

#[test]
fn events_are_listed_like_a_log_with_their_details() {
    let store = store();
    let expected = "\
TIME                  MACHINE  EVENT    DETAIL
2025-11-20T01:23:29Z  silo     removed  id: 9
2025-11-21T20:23:29Z  barn     offline  last seen 2025-11-21T20:21:29Z
2025-11-21T20:23:29Z  gate     offline  last seen 2025-11-21T20:21:29Z
2025-11-21T23:23:29Z  barn     online   after 3h
2025-11-21T23:23:29Z  gate     paused   reason: new roof, until 2025-11-22T02:23:29Z";
    assert_eq!(said(&store, &[]).as_deref(), Ok(expected));
}

#[test]
fn events_are_chosen_by_machine_time_and_number() {
    let store = store();
    let lines = |words: &[&str]| said(&store, words).expect("listed").lines().count() - 1;
    assert_eq!(lines(&["--machine", "barn"]), 2);
    assert_eq!(lines(&["--machine", "2"]), 2);
    assert_eq!(lines(&["--since", "24h"]), 4);
    assert_eq!(lines(&["--since", "3h", "--machine", "gate"]), 1);
    let newest = said(&store, &["--limit", "1"]).expect("listed");
    assert!(newest.ends_with("reason: new roof, until 2025-11-22T02:23:29Z"), "{newest}");
    assert_eq!(said(&store, &["--since", "1h"]).as_deref(), Ok("no events"));
    assert!(said(&store, &["--machine", "bran"]).expect_err("none").contains("there is no machine \"bran\""));
    said(&store, &["--limit", "0"]).expect_err("no number of events");
}

#[test]
fn programs_get_the_fields_of_the_read_api() {
    let store = store();
    let json = said(&store, &["--json", "--machine", "gate"]).expect("listed");
    let listed: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(listed[0]["kind"], "offline");
    assert_eq!(listed[0]["machine"], "gate");
    assert_eq!(listed[0]["machine_id"], 2);
    assert_eq!(listed[1]["at"], "2025-11-21T23:23:29Z");
    assert_eq!(listed[1]["detail"]["reason"], "new roof");
}
