//! Good and bad configurations, on the command line and at the start.

use crate::support::daemon::Setup;
use std::fs;

#[test]
fn a_good_configuration_is_checked_and_nothing_else_happens() {
    let setup = Setup::new().to("http://127.0.0.1:1/");
    let checked = setup.run(&["check-config"]);
    assert_eq!(checked.status.code(), Some(0), "{checked:?}");
    assert!(!setup.pidfile().exists());
}

#[test]
fn an_empty_configuration_is_good() {
    let setup = Setup::new();
    fs::write(setup.config_path(), "").expect("written");
    let checked = crate::support::daemon::output_of(setup.command(&["check-config"]));
    assert_eq!(checked.status.code(), Some(0), "{checked:?}");
}

/// What is wrong, the file, the line of the fault, and what the sentence must name.
const BAD: &[(&str, &str, usize, &[&str])] = &[
    ("no TOML", "[heartbeat\n", 1, &[]),
    ("an unknown section", "[heartbeats]\nurl = \"http://h/\"\n", 1, &["heartbeats"]),
    ("an unknown key", "[heartbeat]\n\nurls = \"http://h/\"\n", 3, &["urls"]),
    ("no text", "[heartbeat]\nurl = 5\n", 2, &["url", "5"]),
    ("no URL", "[heartbeat]\nurl = \"somewhere\"\n", 2, &["url", "http"]),
    ("another scheme", "[heartbeat]\nurl = \"ftp://h/\"\n", 2, &["url", "http"]),
    ("a password in the URL", "[heartbeat]\nurl = \"http://u:p@h/\"\n", 2, &["url", "token_file"]),
    ("a negative interval", "[heartbeat]\ninterval = -5\n", 2, &["interval", "5s"]),
    ("no duration", "[heartbeat]\ninterval = \"soon\"\n", 2, &["interval", "soon"]),
    ("too short", "[heartbeat]\ninterval = \"10ms\"\n", 2, &["interval", "1s"]),
    ("too long", "[heartbeat]\ninterval = \"2h\"\n", 2, &["interval", "1h"]),
    ("a timeout beyond the interval", "[heartbeat]\ninterval = \"1s\"\ntimeout = \"2s\"\n", 3, &["timeout"]),
    ("an unknown method", "[heartbeat]\nmethod = \"PUT\"\n", 2, &["method", "POST", "GET"]),
    ("an unknown format", "[heartbeat]\nformat = \"xml\"\n", 2, &["format", "native"]),
    ("a relative path", "[heartbeat]\ntoken_file = \"token\"\n", 2, &["token_file", "/"]),
    ("half a client certificate", "[heartbeat]\nclient_key_file = \"/k\"\n", 2, &["client_certificate_file"]),
    ("an unknown level", "[log]\nlevel = \"loud\"\n", 2, &["level", "info"]),
    ("a long process name", "[activity]\nstreaming = { process = \"a-name-of-16-byt\" }\n", 2, &["15"]),
    ("a key twice", "[daemon]\npidfile = \"/a\"\npidfile = \"/b\"\n", 3, &["pidfile"]),
];

#[test]
fn each_bad_configuration_is_one_sentence_that_names_file_and_line() {
    for (what, text, line, named) in BAD {
        let setup = Setup::new();
        fs::write(setup.config_path(), text).expect("written");
        let checked = crate::support::daemon::output_of(setup.command(&["check-config"]));
        let said = String::from_utf8_lossy(&checked.stderr);
        assert_eq!(checked.status.code(), Some(78), "{what}: {said}");
        assert_eq!(said.trim().lines().count(), 1, "{what}, one sentence: {said}");
        let place = format!("{}:{line}:", setup.config_path().display());
        assert!(said.contains(&place), "{what}, {place}: {said}");
        for name in *named {
            assert!(said.contains(name), "{what}, {name}: {said}");
        }
    }
}

#[test]
fn a_daemon_with_a_bad_configuration_does_not_start_and_touches_nothing() {
    let setup = Setup::new().interval("soon");
    let ended = setup.run(&["run"]);
    assert_eq!(ended.status.code(), Some(78));
    for directory in ["run", "state"] {
        let left = fs::read_dir(setup.scratch().path().join(directory)).expect("a directory").count();
        assert_eq!(left, 0, "nothing in {directory}");
    }
}

#[test]
fn a_bad_value_in_the_environment_names_the_variable() {
    let ended = Setup::new().env("HEARTBEAT_INTERVAL", "often").run(&["check-config"]);
    assert_eq!(ended.status.code(), Some(78));
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(said.contains("HEARTBEAT_INTERVAL") && said.contains("often"), "{said}");
}

#[test]
fn a_missing_configuration_is_named() {
    let setup = Setup::new();
    let ended = crate::support::daemon::output_of(setup.command(&["run"]));
    assert_eq!(ended.status.code(), Some(78));
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(said.contains(setup.config_path().to_str().expect("UTF-8")), "{said}");
}

#[test]
fn a_token_file_that_cannot_be_used_is_named() {
    for (content, why) in
        [(None, "absent"), (Some(""), "empty"), (Some("two\nlines\n"), "more than one line")]
    {
        let setup = Setup::new().to("http://127.0.0.1:1/");
        let path = setup.scratch().path().join("token");
        if let Some(content) = content {
            fs::write(&path, content).expect("written");
        }
        let path = path.to_str().expect("UTF-8").to_owned();
        let ended = setup.key("heartbeat.token_file", &path).run(&["check-config"]);
        let said = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(78), "{why}: {said}");
        assert!(said.contains(&path), "{why}: {said}");
        assert!(!said.contains("lines\n\"") && !said.contains("two"), "the content is not shown: {said}");
    }
}
