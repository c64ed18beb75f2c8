use super::*;
use clap::Parser;

#[derive(Debug, Parser)]
struct Line {
    #[command(subcommand)]
    command: RecipientCommand,
}

fn try_to(dir: &tempfile::TempDir, arguments: &[&str]) -> Result<String, String> {
    let words = std::iter::once("recipient").chain(arguments.iter().copied());
    let line = Line::try_parse_from(words).map_err(|error| error.to_string())?;
    run(line.command, &dir.path().join("monitor.db"), Moment(0)).map_err(|error| error.to_string())
}

fn say(dir: &tempfile::TempDir, arguments: &[&str]) -> String {
    try_to(dir, arguments).unwrap_or_else(|error| panic!("{arguments:?}: {error}"))
}

#[test]
fn a_recipients_wishes_are_kept_changed_and_listed() {
    let dir = tempfile::tempdir().expect("a directory");
    say(&dir, &["add", "anna"]);
    assert!(
        say(&dir, &["list"]).contains("anna  enabled  0         all       offline,online,flapping  -      -")
    );
    say(
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
    let list = say(&dir, &["list"]);
    for part in ["barn,group:farm,tag:camera", "offline,stopped", "22:00-07:00 -05:30", "10m"] {
        assert!(list.contains(part), "{part}: {list}");
    }
    say(&dir, &["set", "anna", "--quiet", "23:00-06:00"]);
    assert!(say(&dir, &["list"]).contains("23:00-06:00 -05:30"), "the offset stays");
    say(&dir, &["set", "anna", "--time-zone", "Europe/Berlin"]);
    assert!(say(&dir, &["list"]).contains("23:00-06:00 Europe/Berlin"));
    say(&dir, &["set", "anna", "--quiet", "22:00-07:00", "--min-outage", "5m"]);
    assert!(
        say(&dir, &["list", "--json"]).contains(r#""quiet":"22:00-07:00 Europe/Berlin""#),
        "the zone stays"
    );
    say(&dir, &["set", "anna", "--utc-offset", "+01:00"]);
    assert!(say(&dir, &["list"]).contains("22:00-07:00 +01:00"));
    say(&dir, &["add", "bert", "--quiet", "23:00-06:00", "--time-zone", "America/New_York"]);
    assert!(say(&dir, &["list"]).contains("23:00-06:00 America/New_York"));
    say(&dir, &["remove", "bert"]);
    say(&dir, &["set", "anna", "--all-machines", "--never-quiet"]);
    assert!(say(&dir, &["list", "--json"]).contains(r#""quiet":null"#));
    say(&dir, &["disable", "anna"]);
    assert!(say(&dir, &["list"]).contains("disabled"));
    say(&dir, &["enable", "anna"]);
    say(&dir, &["remove", "anna"]);
    assert!(say(&dir, &["list"]).starts_with("no recipients"));
}

#[test]
fn quiet_hours_without_a_time_zone_follow_the_servers_clock_and_the_answer_says_so() {
    let dir = tempfile::tempdir().expect("a directory");
    let zone = Zone::of_machine(Path::new("/"), Path::new(ZONES));
    let (listed, said) = match &zone {
        Some(zone) => (zone.name(), format!("this server's time zone, {} (--time-zone", zone.name())),
        None => ("+00:00", "in UTC, because this server's time zone is not known (--time-zone".into()),
    };
    let answer = say(&dir, &["add", "anna", "--quiet", "22:00-07:00"]);
    assert!(answer.contains(&said), "{answer}");
    assert!(say(&dir, &["list"]).contains(&format!("22:00-07:00 {listed}")));
    let answer = say(&dir, &["set", "anna", "--quiet", "23:00-07:00"]);
    assert_eq!(answer, "anna is changed", "the zone was chosen before");
    let answer = say(&dir, &["add", "bert", "--quiet", "22:00-07:00", "--utc-offset", "+01:00"]);
    assert!(!answer.contains("time zone"), "{answer}");
}

#[test]
fn a_clock_that_is_used_unasked_is_named() {
    let used = |clock: &Clock| with_clock("anna is added".into(), clock, true);
    let berlin = used(&crate::monitor::zone::berlin());
    assert!(
        berlin.ends_with("in this server's time zone, Europe/Berlin (--time-zone sets another)"),
        "{berlin}"
    );
    assert!(used(&Clock::UTC).contains("in UTC, because this server's time zone is not known"));
}

#[test]
fn what_cannot_be_is_refused_with_a_reason() {
    let dir = tempfile::tempdir().expect("a directory");
    say(&dir, &["add", "anna"]);
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
        &["set", "anna", "--min-outage", "999h"],
        &["set", "anna", "--min-outage", "5"],
        &["add", ""],
        &["remove", "nobody"],
    ];
    for arguments in cases {
        try_to(&dir, arguments).expect_err(&format!("{arguments:?}"));
    }
}
