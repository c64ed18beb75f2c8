//! The configuration as it is shipped, written by people, and refused.

use super::*;
use crate::config::shipped::{known_keys, project_file, written_keys};

fn shipped() -> String {
    project_file("packaging/config.toml")
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
    assert_eq!(shipped.heartbeat.interval, Duration::from_secs(5));
    assert_eq!(shipped.heartbeat.timeout, Duration::from_secs(2));
    assert_eq!(shipped.daemon.pidfile, Path::new("/run/heartbeat-daemon/heartbeat-daemon.pid"));
    assert_eq!(shipped.log, LevelFilter::Info);
}

#[test]
fn every_key_stands_in_the_shipped_file_exactly_once() {
    let mut written: Vec<_> =
        written_keys(&shipped()).into_iter().map(|(section, key, _)| (section, key)).collect();
    let mut known = known_keys(fault);
    assert!(known.len() >= 34, "{known:?}");
    written.sort();
    known.sort();
    assert_eq!(written, known);
}

#[test]
fn readme_lists_every_key() {
    let readme = project_file("README.md");
    for (section, key) in known_keys(fault) {
        let cell = format!("| `{section}.{key}` |");
        let rows = readme.lines().filter(|line| line.starts_with(&cell)).count();
        assert_eq!(rows, 1, "rows of README.md that begin with {cell}");
    }
}

#[test]
fn each_example_in_the_shipped_file_is_right_when_it_is_made_active() {
    for (section, key, active) in written_keys(&shipped()) {
        if active {
            continue;
        }
        // The two halves of a client certificate are one setting.
        let together = if key.starts_with("client_") { "client_" } else { key.as_str() };
        let commented = format!("#{together}");
        let text: Vec<String> = shipped()
            .lines()
            .map(|line| {
                line.strip_prefix('#').filter(|_| line.starts_with(&commented)).unwrap_or(line).to_owned()
            })
            .collect();
        let config = load(&text.join("\n")).unwrap_or_else(|error| panic!("[{section}] {key}: {error}"));
        assert_ne!(config, load("").expect("the defaults"), "[{section}] {key} changes nothing");
    }
}

#[test]
fn the_environment_names_of_the_originals_win_over_the_file() {
    let text = "[heartbeat]\nurl = \"http://file/\"\ninterval = \"7s\"\n[daemon]\npidfile = \"/file.pid\"\n";
    let config = load_with(
        text,
        &[
            ("HEARTBEAT_URL", "https://env.example/heartbeat.php?token=x"),
            ("HEARTBEAT_INTERVAL", "30"),
            ("REQUEST_TIMEOUT", "2.5"),
            ("PIDFILE", "/tmp/heartbeat_daemon.pid"),
        ],
    )
    .expect("the originals' forms");
    let url = config.heartbeat.url.expect("a URL").to_string();
    assert_eq!(url, "https://env.example/heartbeat.php?token=x");
    assert_eq!(config.heartbeat.interval, Duration::from_secs(30));
    assert_eq!(config.heartbeat.timeout, Duration::from_millis(2500));
    assert_eq!(config.daemon.pidfile, Path::new("/tmp/heartbeat_daemon.pid"));
    let with_unit = load_with(text, &[("HEARTBEAT_INTERVAL", "2m")]).expect("a unit is fine too");
    assert_eq!(with_unit.heartbeat.interval, Duration::from_secs(120));
}

#[test]
fn a_wrong_environment_is_named_and_refused_like_a_wrong_file() {
    for (name, value, problem) in [
        ("HEARTBEAT_URL", "ftp://x/", "must start with http:// or https:// and name a host"),
        ("HEARTBEAT_INTERVAL", "0", "must be from \"1s\" to \"1h\""),
        ("HEARTBEAT_INTERVAL", "-5", "is no length of time"),
        ("HEARTBEAT_INTERVAL", "NaN", "is no length of time"),
        ("REQUEST_TIMEOUT", "soon", "expected a duration such as"),
        ("PIDFILE", "heartbeat.pid", "the path must start with /"),
    ] {
        let sentence = load_with("", &[(name, value)]).expect_err(value).to_string();
        assert!(
            sentence.starts_with(&format!("environment variable {name}={value}: {problem}")),
            "{sentence}"
        );
    }
}

#[test]
fn each_fault_is_one_sentence_with_its_place_and_what_is_allowed() {
    for (text, sentence) in [
        (
            "[heartbeat]\nurl = \"barn\"",
            "c.toml:2: [heartbeat] url = \"barn\": must start with http:// or https:// and name a host",
        ),
        (
            "[heartbeat]\nurl = \"http://a b/\"",
            "c.toml:2: [heartbeat] url = \"http://a b/\": is not a URL such as \"https://example.org/heartbeat\"",
        ),
        (
            "[heartbeat]\nurl = \"http://barn:80000/\"",
            "c.toml:2: [heartbeat] url = \"http://barn:80000/\": the port must be a number up to 65535",
        ),
        (
            "[heartbeat]\n\ninterval = \"500ms\"",
            "c.toml:3: [heartbeat] interval = \"500ms\": must be from \"1s\" to \"1h\"",
        ),
        (
            "[heartbeat]\ninterval = \"2h\"",
            "c.toml:2: [heartbeat] interval = \"2h\": must be from \"1s\" to \"1h\"",
        ),
        (
            "[heartbeat]\ntimeout = \"99ms\"",
            "c.toml:2: [heartbeat] timeout = \"99ms\": must be from \"100ms\" to \"10s\"",
        ),
        (
            "[heartbeat]\ninterval = \"1s\"\ntimeout = \"2s\"",
            "c.toml:3: [heartbeat] timeout = \"2s\": must not be longer than the interval (1s), or heartbeats pile up",
        ),
        (
            "[heartbeat]\ntoken_file = \"barn\"",
            "c.toml:2: [heartbeat] token_file = \"barn\": the path must start with /",
        ),
        (
            "[heartbeat]\nclient_certificate_file = \"/c.pem\"",
            "c.toml:2: [heartbeat] client_certificate_file = \"/c.pem\": needs client_key_file beside it",
        ),
        (
            "[heartbeat]\nclient_key_file = \"/c.key\"",
            "c.toml:2: [heartbeat] client_key_file = \"/c.key\": needs client_certificate_file beside it",
        ),
        ("[heartbeat]\nformat = \"meeting\"", "c.toml: [heartbeat] format = \"meeting\" needs device_key"),
        (
            "[heartbeat]\nformat = \"meeting\"\ndevice_key = \"k\"\nmethod = \"GET\"",
            "c.toml:4: [heartbeat] method = \"GET\": the Meeting API takes POST only",
        ),
        (
            "[network]\ninterfaces = []",
            "c.toml:2: [network] interfaces = []: needs at least one interface; mode = \"off\" turns failover off",
        ),
        (
            "[network]\ninterfaces = [\"eth0\", \"a/b\"]",
            "c.toml:2: [network] interfaces = [\"eth0\", \"a/b\"]: an interface has a name of 1 to 15 characters, \
             such as \"eth0\", or a beginning such as \"enx*\"",
        ),
        (
            "[network]\nconnectivity_check = \"dns.google:53\"",
            "c.toml:2: [network] connectivity_check = \"dns.google:53\": expected an address with a port, such as \
             \"8.8.8.8:53\", or \"\" for none",
        ),
        (
            "[network]\nfailback_hold = \"6m\"",
            "c.toml:2: [network] failback_hold = \"6m\": must be from \"0s\" to \"5m\"",
        ),
        (
            "[network]\nconnectivity_timeout = \"1m\"",
            "c.toml:2: [network] connectivity_timeout = \"1m\": must be from \"100ms\" to \"10s\"",
        ),
        (
            "[network]\ncaptive_portal_check = \"https://x/\"",
            "c.toml:2: [network] captive_portal_check = \"https://x/\": must be an http:// URL (a portal cannot \
             answer for https), or \"\" for none",
        ),
        ("[network]\nlock_file = \"l\"", "c.toml:2: [network] lock_file = \"l\": the path must start with /"),
        ("[metrics]\ndisk = \".\"", "c.toml:2: [metrics] disk = \".\": the path must start with /"),
        (
            "[activity]\nstreaming = { pidfile = \"x.pid\" }",
            "c.toml:2: [activity] streaming = { pidfile = \"x.pid\" }: the pid file's path must start with /",
        ),
        (
            "[activity]\ntracking = { process = \"a-name-of-16-byt\" }",
            "c.toml:2: [activity] tracking = { process = \"a-name-of-16-byt\" }: \
             a process name has 1 to 15 bytes and no /, as `ps -o comm` shows it",
        ),
        (
            "[activity]\nrecording = { unit = \"recorder\" }",
            "c.toml:2: [activity] recording = { unit = \"recorder\" }: \
             a unit's name has its type at the end, such as \"mediamtx.service\"",
        ),
        (
            "[daemon]\nstate_dir = \"state\"",
            "c.toml:2: [daemon] state_dir = \"state\": the path must start with /",
        ),
    ] {
        assert_eq!(fault(text), sentence);
    }
}

#[test]
fn a_word_outside_its_list_is_answered_with_the_list() {
    for (text, allowed) in [
        ("[heartbeat]\nmethod = \"PUT\"", "`POST` or `GET`"),
        ("[network]\nmode = \"bridge\"", "`auto`, `observe`, `routes`, `networkmanager`, `off`"),
        ("[heartbeat]\nformat = \"xml\"", "`native`, `streamer`, `meeting`"),
        ("[log]\nlevel = \"loud\"", "`error`, `warn`, `info`, `debug`"),
        ("[activity]\nstreaming = { port = 554 }", "`pidfile`, `process`, `unit`"),
    ] {
        let sentence = fault(text);
        assert!(sentence.starts_with("c.toml:2: ") && sentence.contains(allowed), "{sentence}");
    }
}

#[test]
fn a_value_of_another_type_is_refused() {
    for text in [
        "[heartbeat]\ninterval = 5",
        "[heartbeat]\nurl = 1",
        "[metrics]\nmodem = \"yes\"",
        "[activity]\nstreaming = true",
        "heartbeat = 1",
        "[heartbeat]\n[heartbeat]",
        "[heartbeat]\nnote = \"a\"\nnote = \"b\"",
    ] {
        assert!(fault(text).starts_with("c.toml:"), "{text}");
    }
}

#[test]
fn no_sentence_shows_a_secret() {
    let secret = "hunter2/hunter2";
    for text in [
        format!("[heartbeat]\ndevice_key = \"{secret}\""),
        "[heartbeat]\ndevice_key = 0x0dedbeefcafe".to_owned(),
        "heartbeat = { device_key = 0x0dedbeefcafe }".to_owned(),
        format!("[heartbeat]\ndevice_key = \"\"\"\n{secret}\\x=\"\"\""),
        format!("[heartbeat]\ndevice_key = [\"{secret}\"]"),
        format!("[heartbeat]\ntoken = \"{secret}\""),
        format!("[heartbeat]\npassword = \"{secret}\""),
        format!("[heartbeat]\ntokn = \"{secret}\""),
        format!("token = \"{secret}\""),
        format!("[heartbeat]\ndevice_key = \"{secret}"),
        format!("[heartbeat]\ndevice_key = {secret}"),
        format!("[heartbeat]\n\"device_key\" = \"{secret}\""),
        format!("heartbeat = {{ device_key = \"{secret}\" }}"),
        format!("heartbeat.device_key = \"{secret}\""),
        format!("[heartbeat]\nurl = \"https://user:{secret}@example.org/\""),
        format!("[heartbeat]\nurl = \"ftp://example.org/?token={secret}\""),
    ] {
        let sentence = fault(&text);
        let shown = sentence.contains("hunter2") || sentence.contains("0x0ded");
        assert!(!shown && !sentence.contains(&0x0ded_beef_cafe_u64.to_string()), "{text}\n{sentence}");
    }
    let sentence = load_with("", &[("HEARTBEAT_URL", "ftp://example.org/?token=hunter2")]);
    assert!(!sentence.expect_err("not http").to_string().contains("hunter2"));
    let sentence = load_with("", &[("HEARTBEAT_URL", "https://user:hunter2/hunter2@example.org/")]);
    assert!(!sentence.expect_err("a password").to_string().contains("hunter2"));
}
