use super::*;
use crate::monitor::command::parse::parse;
use crate::monitor::machine::Description;
use serde_json::{Value, json};

/// A database with the machine "barn" (1) in the group "farm" with the tag "attic", and "gate" (2).
struct Database(tempfile::TempDir);

impl Database {
    fn new() -> Database {
        let database = Database(tempfile::tempdir().expect("a directory"));
        let store = Store::open_beside(&database.path().into(), Moment(0)).expect("a database");
        let farm =
            Description { group: Some("farm".into()), tags: vec!["attic".into()], ..Description::default() };
        for machine in [
            Description { name: "barn".into(), ..farm },
            Description { name: "gate".into(), ..Description::default() },
        ] {
            store.add_machine(&machine, Moment(0)).expect("added");
        }
        database
    }

    fn path(&self) -> std::path::PathBuf {
        self.0.path().join("monitor.db")
    }

    fn try_to(&self, words: &str) -> Result<String, String> {
        let words: Vec<&str> = words.split(' ').collect();
        run(parse(&words)?, &self.path().into(), Moment(0)).map_err(|error| error.to_string())
    }

    #[track_caller]
    fn say(&self, words: &str) -> String {
        self.try_to(words).unwrap_or_else(|error| panic!("{words}: {error}"))
    }

    #[track_caller]
    fn refused(&self, words: &str) -> String {
        self.try_to(words).expect_err(words)
    }

    fn listed(&self, words: &str, condition: &str) -> Value {
        let all: Value = serde_json::from_str(&self.say(words)).expect("JSON");
        let found = all.as_array().expect("an array").iter().find(|entry| entry["condition"] == condition);
        found.cloned().expect(condition)
    }
}

#[test]
fn each_command_says_what_it_changed_and_for_which_machines() {
    let database = Database::new();
    for (words, said) in [
        ("set --group farm temp 75 --for 10m", "temp for the group \"farm\": threshold 75 °C, hold time 10m"),
        ("off camera --machine barn", "camera for machine 1 (barn): off"),
        ("on camera --machine 1", "camera for machine 1 (barn): on"),
        ("set camera --for 5m", "camera for all machines: hold time 5m"),
        ("set wifi -75.5 --tag attic", "wifi for the tag \"attic\": threshold -75.5 dBm"),
        ("set disk 95", "disk for all machines: threshold 95 %"),
        ("set temp default --group farm", "temp for the group \"farm\": settings removed"),
        ("set temp default --group farm", "temp for the group \"farm\": there were no settings to remove"),
    ] {
        assert_eq!(database.say(words), said, "{words}");
    }
}

#[test]
fn a_command_that_cannot_be_is_refused_in_one_sentence() {
    let database = Database::new();
    for (words, said) in [
        (
            "set camera 5",
            "camera has no threshold, it holds or it does not; its hold time is changed with --for",
        ),
        ("set temp 121", "the threshold of temp must be from 0 to 120 °C"),
        ("set wifi 80", "the threshold of wifi must be from -100 to -30 dBm"),
        ("set temp", "nothing to change; see heartbeat-monitor condition set --help"),
        ("set temp --for 169h", "the hold time is at most 168h"),
        ("set temp default --for 5m", "default removes the hold time, too; leave out --for"),
        (
            "off temp --group fram",
            "no machine is in the group \"fram\"; heartbeat-monitor machine list shows all groups",
        ),
        (
            "off temp --tag attik",
            "no machine has the tag \"attik\"; heartbeat-monitor machine list shows all tags",
        ),
        ("off temp --machine bran", "there is no machine \"bran\"; heartbeat-monitor machine list shows all"),
        ("list --machine bran", "there is no machine \"bran\"; heartbeat-monitor machine list shows all"),
    ] {
        assert_eq!(database.refused(words), said, "{words}");
    }
    let unknown = database.refused("off tmp");
    for entry in CATALOGUE {
        assert!(unknown.contains(entry.name), "{unknown}");
    }
    for words in
        ["set temp warm", "set temp nan", "set temp inf", "set temp 75 --for 5", "off temp --group a --tag b"]
    {
        database.refused(words);
    }
    assert!(!database.say("list").contains("CHANGED FOR"), "nothing was changed");
}

#[test]
fn the_list_shows_every_condition_and_where_each_value_comes_from() {
    let database = Database::new();
    let list = database.say("list");
    assert_eq!(list.lines().count(), 1 + CATALOGUE.len(), "{list}");
    assert!(
        list.contains("temp           heat      on     80 °C      5m    the processor is too hot"),
        "{list}"
    );
    database.say("set --group farm temp 75 --for 10m");
    database.say("set temp --for 3m --machine barn");
    database.say("off camera");
    let list = database.say("list");
    assert!(list.contains("\ncamera         camera    off (all)  -"), "{list}");
    assert!(list.contains("\ngroup:farm    temp       -      75 °C      10m"), "{list}");
    assert!(list.contains("\nmachine:barn  temp       -      -          3m"), "{list}");
    let barn = database.say("list --machine barn");
    assert!(
        barn.contains("temp           heat      on         75 °C (group:farm)  3m (machine)  the"),
        "{barn}"
    );
    assert!(!barn.contains("CHANGED FOR"), "{barn}");
    assert!(!database.say("list --machine gate").contains("group:farm"));
}

#[test]
fn the_list_as_json_has_numbers_units_and_sources() {
    let database = Database::new();
    database.say("set --group farm temp 75.1 --for 10m");
    database.say("off temp");
    let temp = database.listed("list --machine 1 --json", "temp");
    let expected = json!({
        "condition": "temp", "topic": "heat", "meaning": "the processor is too hot",
        "reason": Condition::Temperature.entry().reason,
        "on": false, "on_from": "all", "threshold": 75.1, "threshold_from": "group:farm", "unit": "°C",
        "hold_s": 600, "hold_from": "group:farm", "default_threshold": 80, "default_hold_s": 300
    });
    assert_eq!(temp, expected);
    let temp = database.listed("list --json", "temp");
    assert_eq!((&temp["threshold"], &temp["threshold_from"]), (&json!(80), &json!("default")));
    assert_eq!(
        temp["changes"],
        json!([
            { "scope": "all", "on": false, "threshold": null, "hold_s": null },
            { "scope": "group:farm", "on": null, "threshold": 75.1, "hold_s": 600 }
        ])
    );
    let camera = database.listed("list --json", "camera");
    assert_eq!(
        (&camera["threshold"], &camera["unit"], &camera["changes"]),
        (&Value::Null, &Value::Null, &json!([]))
    );
}

#[test]
fn the_help_names_every_condition_with_its_default() {
    let help = parse::<ConditionCommand>(&["set", "--help"]).expect_err("help");
    for entry in CATALOGUE {
        let name = format!("- {}:", entry.name);
        assert!(help.contains(&name) && help.contains(&words::summary(&entry)), "{}: {help}", entry.name);
    }
    assert!(help.contains("the processor is too hot (80 °C, for 5m)"), "{help}");
}
