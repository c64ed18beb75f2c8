//! The shipped configuration, valid files and refused ones.

use super::*;
use crate::config::shipped::{known_keys, project_file, row, written_keys, written_value};
use std::time::Duration;

fn shipped() -> String {
    project_file("packaging/heartbeat-monitor.toml")
}

fn load(text: &str) -> Result<Config, ConfigError> {
    load_with(text, &[])
}

fn load_with(text: &str, environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let env = |name: &str| {
        let value = environment.iter().find(|(key, _)| *key == name);
        value.map(|(_, value)| (*value).to_owned())
    };
    Config::from_source(&Source::new("c.toml", text), &env)
}

fn fault(text: &str) -> String {
    load(text).expect_err(text).to_string()
}

#[test]
fn the_shipped_file_is_the_defaults() {
    let shipped = load(&shipped()).expect("the shipped file is right");
    assert_eq!(shipped, load("").expect("an empty file is right"));
    assert_eq!(shipped.detection.check_interval, Duration::from_secs(30));
    assert_eq!(shipped.detection.offline_threshold, Duration::from_secs(120));
    assert_eq!(shipped.http.listen, "127.0.0.1:8080".parse().ok());
    assert_eq!(shipped.store.database.file(), Some(Path::new("/var/lib/heartbeat-monitor/monitor.db")));
}

#[test]
fn the_shipped_file_has_every_key_exactly_once() {
    let mut written: Vec<_> =
        written_keys(&shipped()).into_iter().map(|(section, key, _)| (section, key)).collect();
    let mut known = known_keys(fault, &[]);
    assert!(known.len() >= 20, "{known:?}");
    written.sort();
    known.sort();
    assert_eq!(written, known);
}

/// The sentence of a value that is certainly out of range says the range.
fn range_of(section: &str, key: &str) -> Option<String> {
    ["\"0s\"", "0"].iter().find_map(|value| {
        let sentence = load(&format!("[{section}]\n{key} = {value}")).err()?.to_string();
        sentence.split_once("must be from ").map(|(_, range)| range.replace('"', ""))
    })
}

#[test]
fn the_documentation_lists_every_key_with_its_default_and_its_range() {
    let (document, shipped) = (project_file("docs/monitor.md"), shipped());
    let mut ranges = 0;
    for (section, key) in known_keys(fault, &[]) {
        let cells = row(&document, &section, &key);
        let [default, meaning] = cells[..] else { panic!("{section}.{key}: {cells:?}") };
        match written_value(&shipped, &section, &key) {
            Some(value) => assert_eq!(default, format!("`{value}`"), "{section}.{key}"),
            None => assert!(!default.starts_with('`'), "{section}.{key} has no default, and not {default}"),
        }
        if let Some(range) = range_of(&section, &key) {
            assert!(meaning.contains(&range), "{section}.{key}: {range} is not in {meaning:?}");
            ranges += 1;
        }
    }
    assert!(ranges >= 8, "{ranges}");
}

#[test]
fn each_example_in_the_shipped_file_is_right_when_it_is_made_active() {
    for (section, key, active) in written_keys(&shipped()) {
        if active {
            continue;
        }
        // What makes sense only together is one setting: the halves of a certificate, and all of a connection.
        let together = |line: &str| match section.as_str() {
            "smtp" | "watchdog" | "mqtt" => true,
            _ if key.ends_with("certificate_file") || key.ends_with("key_file") => {
                line.starts_with("certificate_file") || line.starts_with("key_file")
            }
            _ if key.starts_with("login_") => line.starts_with("login_") || line.starts_with("public_url"),
            _ => line.starts_with(&format!("{key} = ")),
        };
        let mut inside = false;
        let text: Vec<String> = shipped()
            .lines()
            .map(|line| {
                if line.starts_with('[') {
                    inside = line == format!("[{section}]");
                }
                let bare =
                    line.strip_prefix('#').filter(|bare| inside && bare.contains(" = ") && together(bare));
                bare.unwrap_or(line).to_owned()
            })
            .collect();
        let config = load(&text.join("\n")).unwrap_or_else(|error| panic!("[{section}] {key}: {error}"));
        assert_ne!(config, load("").expect("the defaults"), "[{section}] {key} changes nothing");
    }
}

#[test]
fn the_environment_names_of_lunasentri_win_over_the_file() {
    let text = "[detection]\ncheck_interval = \"7s\"\noffline_threshold = \"9m\"\n";
    let environment = [("MACHINE_HEARTBEAT_CHECK_INTERVAL", "1m30s"), ("MACHINE_OFFLINE_THRESHOLD", "5m0s")];
    let detection = load_with(text, &environment).expect("Go's form").detection;
    assert_eq!(detection.check_interval, Duration::from_secs(90));
    assert_eq!(detection.offline_threshold, Duration::from_secs(300));
    let detection = load(text).expect("right").detection;
    assert_eq!(detection.check_interval, Duration::from_secs(7));
    assert_eq!(detection.offline_threshold, Duration::from_secs(540));
}

#[test]
fn a_wrong_environment_is_named_and_refused_like_a_wrong_file() {
    for (name, value, problem) in [
        ("MACHINE_OFFLINE_THRESHOLD", "120", "expected a duration such as \"30s\" or \"2m0s\""),
        ("MACHINE_OFFLINE_THRESHOLD", "1ms", "must be from \"2s\" to \"168h\""),
        ("MACHINE_HEARTBEAT_CHECK_INTERVAL", "0s", "must be from \"1s\" to \"1h\""),
    ] {
        let sentence = load_with("", &[(name, value)]).expect_err(value).to_string();
        assert_eq!(sentence, format!("environment variable {name}={value}: {problem}"));
    }
}

#[test]
fn each_fault_is_one_sentence_with_its_place_and_what_is_allowed() {
    for (text, sentence) in [
        (
            "[http]\nlisten = \"8080\"",
            "c.toml:2: [http] listen = \"8080\": expected an address with a port, such as \"127.0.0.1:8080\" or \
             \"[::]:8443\", or \"\" for none",
        ),
        (
            "[http]\nlisten = \"\"",
            "c.toml:2: [http] listen = \"\": without an address there must be a socket",
        ),
        ("[http]\nsocket = \"s\"", "c.toml:2: [http] socket = \"s\": the path must start with /"),
        ("[http]\nkey_file = \"/k\"", "c.toml:2: [http] key_file = \"/k\": needs certificate_file beside it"),
        (
            "[http]\ncertificate_file = \"/c\"",
            "c.toml:2: [http] certificate_file = \"/c\": needs key_file beside it",
        ),
        (
            "[http]\ntrusted_proxies = [\"proxy\"]",
            "c.toml:2: [http] trusted_proxies = [\"proxy\"]: expected addresses or networks, such as \
             [\"127.0.0.1\", \"10.0.0.0/8\"]",
        ),
        ("[store]\ndatabase = \"x.db\"", "c.toml:2: [store] database = \"x.db\": the path must start with /"),
        (
            "[detection]\noffline_threshold = \"1s\"",
            "c.toml:2: [detection] offline_threshold = \"1s\": must be from \"2s\" to \"168h\"",
        ),
        (
            "[notify]\ntelegram_api = \"telegram\"",
            "c.toml:2: [notify] telegram_api = \"telegram\": must start with http:// or https:// and name a host",
        ),
        ("[smtp]\nhost = \"mail\"", "c.toml:2: [smtp] host = \"mail\": needs from beside it"),
        ("[smtp]\nfrom = \"a@b\"", "c.toml:2: [smtp] from = \"a@b\": needs host beside it"),
        ("[smtp]\nuser = \"u\"", "c.toml:2: [smtp] user = \"u\": needs password_file beside it"),
        (
            "[smtp]\nhost = \"mail\"\nfrom = \"me\"",
            "c.toml:3: [smtp] from = \"me\": must be an address, such as \"Heartbeat <heartbeat@example.org>\"",
        ),
        (
            "[smtp]\nhost = \"mail\"\nfrom = \"a@b\"\nhelo = \"a b\"",
            "c.toml:4: [smtp] helo = \"a b\": must be the full name of this server, such as \"monitor.example.org\"",
        ),
        (
            "[retention]\nevents = \"1h\"",
            "c.toml:2: [retention] events = \"1h\": must be from \"24h\" to \"87600h\"",
        ),
        ("[limits]\nworkers = 0", "c.toml:2: [limits] workers = 0: must be from 1 to 64"),
    ] {
        assert_eq!(fault(text), sentence);
    }
}

#[test]
fn no_sentence_shows_a_secret() {
    for text in ["[smtp]\npassword = \"hunter2\"", "[notify]\ntelegram_api = \"https://x/?token=hunter2\""] {
        assert!(!fault(text).contains("hunter2"), "{}", fault(text));
    }
}

fn load_in(text: &str, environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let owned = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Config::with_variables(&Source::new("c.toml", text), owned)
}

#[test]
fn a_variable_overrides_a_key_and_needs_no_quotes() {
    let environment = [
        ("HEARTBEAT_MONITOR_HTTP_LISTEN", "[::]:9"),
        ("HEARTBEAT_MONITOR_HTTP_TRUSTED_PROXIES", "[\"10.0.0.0/8\"]"),
        ("HEARTBEAT_MONITOR_DETECTION_OFFLINE_THRESHOLD", "5m"),
        ("HEARTBEAT_MONITOR_LIMITS_WORKERS", "7"),
        ("HEARTBEAT_MONITOR_WEB_ENABLED", "false"),
        ("HEARTBEAT_MONITOR_WEB_PUBLIC_URL", "\"https://barn.example/\""),
        ("HEARTBEAT_MONITOR_LOG_LEVEL", "debug"),
        ("PATH", "/bin"),
    ];
    let from_environment = load_in("[http]\nlisten = \"[::]:7\"\n[limits]\nworkers = 0\n", &environment);
    let in_file = "[http]\nlisten = \"[::]:9\"\ntrusted_proxies = [\"10.0.0.0/8\"]\n[detection]\noffline_threshold = \"5m\"\n\
        [limits]\nworkers = 7\n[web]\nenabled = false\npublic_url = \"https://barn.example/\"\n[log]\nlevel = \"debug\"\n";
    assert_eq!(from_environment.expect("good"), load(in_file).expect("good"));
}

#[test]
fn a_wrong_variable_is_named_with_its_value_unless_that_may_be_a_secret() {
    for (name, value, sentence) in [
        ("HTTP_LISTN", "[::]:9", "HEARTBEAT_MONITOR_HTTP_LISTN: unknown key `listn`, did you mean `listen`?"),
        (
            "SERVER_LISTEN",
            "[::]:9",
            "HEARTBEAT_MONITOR_SERVER_LISTEN: unknown key `server`, expected one of `http`",
        ),
        ("LIMITS_WORKERS", "0", "HEARTBEAT_MONITOR_LIMITS_WORKERS=0: must be from 1 to 64"),
        ("LIMITS_WORKERS", "two", "HEARTBEAT_MONITOR_LIMITS_WORKERS=two: expected a whole number"),
        (
            "HTTP_TRUSTED_PROXIES",
            "[1]",
            "HEARTBEAT_MONITOR_HTTP_TRUSTED_PROXIES=[1]: expected a text in quotes",
        ),
        ("WEB_PUBLIC_URL", "https://a:hunter2@b/", "HEARTBEAT_MONITOR_WEB_PUBLIC_URL: "),
    ] {
        let fault = load_in("# a file\n", &[(&format!("HEARTBEAT_MONITOR_{name}"), value)]);
        let fault = fault.expect_err(name).to_string();
        assert!(fault.starts_with(&format!("environment variable {sentence}")), "{fault}");
    }
}

#[test]
fn each_key_that_names_a_file_is_listed_as_one() {
    let known = known_keys(fault, &[]).into_iter().map(|(_, key)| key).filter(|key| key.ends_with("_file"));
    let known: std::collections::BTreeSet<String> = known.collect();
    assert_eq!(known, FILE_KEYS.map(str::to_owned).into());
}
