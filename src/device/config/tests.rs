//! The configuration as it is shipped, written by people, and refused.

use super::*;
use crate::config::shipped::{known_keys, project_file, row, written_keys, written_value};
use log::LevelFilter;
use std::path::PathBuf;
use std::time::Duration;

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
fn every_key_is_in_the_shipped_file_exactly_once() {
    let mut written: Vec<_> =
        written_keys(&shipped()).into_iter().map(|(section, key, _)| (section, key)).collect();
    let mut known = known_keys(fault, &[("cameras", "camera"), ("heartbeat", "server")]);
    assert!(known.len() >= 52, "{known:?}");
    written.sort();
    known.sort();
    assert_eq!(written, known);
}

#[test]
fn the_documentation_lists_every_key_with_its_default() {
    let (document, shipped) = (project_file("docs/configuration.md"), shipped());
    for (section, key) in known_keys(fault, &[("cameras", "camera"), ("heartbeat", "server")]) {
        let cells = row(&document, &section, &key);
        let [default, _] = cells[..] else { panic!("{section}.{key}: {cells:?}") };
        match written_value(&shipped, &section, &key) {
            Some(value) => assert_eq!(default, format!("`{value}`"), "{section}.{key}"),
            None => assert!(!default.starts_with('`'), "{section}.{key} has no default, and not {default}"),
        }
    }
}

/// The shipped file with the commented line of this key made active, and what belongs to it.
fn with_example(section: &str, key: &str) -> String {
    // The two halves of a client certificate are one setting, and a camera is one with its MAC.
    let together: &[&str] = match (section, key) {
        (_, key) if key.starts_with("client_") => &["#client_"],
        ("heartbeat.server", _) => &["#[[heartbeat.server]]", "#url", &format!("#{key} ")],
        ("cameras.camera", _) => &["#[[cameras.camera]]", "#mac", &format!("#{key} ")],
        _ => &[&format!("#{key} ")],
    };
    let mut inside = String::new();
    let active = |line: &str| {
        let bare = line.strip_prefix('#').unwrap_or(line);
        if bare.starts_with('[') {
            inside = bare.trim_matches(['[', ']']).to_owned();
        }
        let is_meant = inside == section && together.iter().any(|start| line.starts_with(start));
        if is_meant { bare.to_owned() } else { line.to_owned() }
    };
    shipped().lines().map(active).collect::<Vec<_>>().join("\n")
}

#[test]
fn each_example_in_the_shipped_file_is_right_when_it_is_made_active() {
    for (section, key, active) in written_keys(&shipped()) {
        if active {
            continue;
        }
        let config =
            load(&with_example(&section, &key)).unwrap_or_else(|error| panic!("[{section}] {key}: {error}"));
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
fn servers_are_in_order_of_preference_and_have_the_files_of_the_section_unless_they_have_their_own() {
    let text = "[heartbeat]\ntoken_file = \"/t\"\nca_file = \"/c\"\n[[heartbeat.server]]\nurl = \"http://a/\"\n\
                [[heartbeat.server]]\nurl = \"http://b/\"\ntoken_file = \"/tb\"\n";
    let seen = |text: &str, environment: &[(&str, &str)]| -> Vec<(String, Option<String>, bool)> {
        let config = load_with(text, environment).expect("good").heartbeat;
        let file = |path: Option<PathBuf>| path.map(|path| path.display().to_string());
        let seen = |one: HeartbeatConfig| {
            (one.url.expect("one").to_string(), file(one.token_file), one.is_one_monitor)
        };
        config.servers().into_iter().map(seen).collect()
    };
    let own = |url: &str, token: &str, one| (url.to_owned(), Some(token.to_owned()), one);
    let two = [own("http://a/", "/t", false), own("http://b/", "/tb", false)];
    assert_eq!(seen(text, &[]), two);
    let config = load(text).expect("good").heartbeat;
    assert_eq!(config.servers()[1].ca_file.as_deref(), Some(Path::new("/c")));
    assert_eq!(seen(text, &[("HEARTBEAT_URL", "http://env/")]), [own("http://env/", "/t", false)]);
    let list = "[heartbeat]\nurl = [\"http://a/\", \"http://b/\"]\ntoken_file = \"/t\"";
    assert_eq!(seen(list, &[]), [own("http://a/", "/t", true), own("http://b/", "/t", true)]);
    let single = "[heartbeat]\nurl = [\"http://a/\"]\ntoken_file = \"/t\"";
    assert_eq!(seen(single, &[]), [own("http://a/", "/t", false)]);
    assert!(seen("", &[]).is_empty());
}

#[test]
fn an_empty_listen_is_none_and_the_socket_follows_the_runtime_directory() {
    let api = |text: &str| load(text).expect(text).api;
    assert_eq!(api("[api]\nlisten = \"\"").listen, Listen::Nowhere);
    let other = "0.0.0.0:5000".parse().expect("an address");
    for (text, listen) in [
        ("", Listen::Auto),
        ("listen = \"auto\"", Listen::Auto),
        ("listen = \"127.0.0.1:5000\"", Listen::Auto),
        ("listen = \"0.0.0.0:5000\"", Listen::At(other)),
    ] {
        assert_eq!(api(&format!("[api]\n{text}")).listen, listen, "{text}");
    }
    for moved in ["", "[api]\nsocket = \"\""] {
        let moved = api(&format!("[daemon]\nruntime_dir = \"/run/x\"\n{moved}"));
        assert_eq!(moved.socket, Path::new("/run/x/api.sock"));
    }
    fault(&format!("[api]\nsocket = \"/{}\"", "x".repeat(107)));
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
            "[api]\nlisten = \"localhost:5000\"",
            "c.toml:2: [api] listen = \"localhost:5000\": expected \"auto\", an IP address with a \
             port, such as \"127.0.0.1:5001\" or \"[::]:5000\", or \"\" for none",
        ),
        (
            "[api]\nsocket_mode = \"1777\"",
            "c.toml:2: [api] socket_mode = \"1777\": expected a mode in octal, such as \"0660\", up to \"0777\"",
        ),
        ("[api]\nsocket = \"api.sock\"", "c.toml:2: [api] socket = \"api.sock\": the path must start with /"),
        (
            "[api]\nsocket_group = \"\"",
            "c.toml:2: [api] socket_group = \"\": expected the name of a group, as in /etc/group",
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
            "[heartbeat]\ninterval = \"1s\"",
            "c.toml: [heartbeat] timeout (2s unless it is set) must not be longer than the interval (1s), or heartbeats pile up",
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
            "[activity]\nrecording = { process = \"rec\" }\nexpected = [\"recording\", \"tracking\"]",
            "c.toml:3: [activity] expected = [\"recording\", \"tracking\"]: tracking is never known without a \
             sign for it in [activity]",
        ),
        (
            "[activity]\nrecording = { process = \"rec\" }\nexpected = [\"recording\", \"recording\"]",
            "c.toml:3: [activity] expected = [\"recording\", \"recording\"]: recording is listed twice",
        ),
        (
            "[cameras]\ninterval = \"0s\"",
            "c.toml:2: [cameras] interval = \"0s\": must be from \"1s\" to \"1h\"",
        ),
        (
            "[cameras]\nicmp_timeout = \"31s\"",
            "c.toml:2: [cameras] icmp_timeout = \"31s\": must be from \"100ms\" to \"30s\"",
        ),
        ("[cameras]\ntcp_port = 0", "c.toml:2: [cameras] tcp_port = 0: must be from 1 to 65535"),
        ("[cameras]\nfailures = 0", "c.toml:2: [cameras] failures = 0: must be from 1 to 100"),
        (
            "[cameras]\nhostname_patterns = [\"cam?\"]",
            "c.toml:2: [cameras] hostname_patterns = [\"cam?\"]: a pattern has 1 to 63 letters, digits, '-', '_', \
             '.', and '*' for any text, such as \"cam-*\"",
        ),
        (
            "[cameras]\nlease_file = \"l\"",
            "c.toml:2: [cameras] lease_file = \"l\": the path must start with /",
        ),
        (
            "[[cameras.camera]]\nmac = \"b8:27\"",
            "c.toml:2: [cameras.camera] mac = \"b8:27\": expected a MAC address of one device, such as \
             \"b8:27:eb:12:34:56\"",
        ),
        (
            "[[cameras.camera]]\naddress = \"fe80::1\"",
            "c.toml:2: [cameras.camera] address = \"fe80::1\": expected an address that is not link-local, which \
             does not say on which link",
        ),
        (
            "[[cameras.camera]]\naddress = \"192.0.2.1\"\nhostname = \"the gate\"",
            "c.toml:3: [cameras.camera] hostname = \"the gate\": expected a hostname of 1 to 63 letters, digits, \
             '-', '_' and '.'",
        ),
        ("[[cameras.camera]]\nhostname = \"gate\"", "c.toml:1: a camera needs a mac or an address"),
        (
            "[[cameras.camera]]\nmac = \"b8:27:eb:12:34:56\"\n[[cameras.camera]]\nmac = \"B8-27-EB-12-34-56\"",
            "c.toml:3: [cameras.camera] this camera stands above already",
        ),
        (
            "[heartbeat]\nurl = []",
            "c.toml:2: [heartbeat] url = []: needs at least one URL; without any, leave out the line",
        ),
        (
            "[heartbeat]\nurl = [\"http://a/\", \"http://a/\"]",
            "c.toml:2: [heartbeat] url = [\"http://a/\", \"http://a/\"]: two servers have the same url",
        ),
        (
            "[heartbeat]\nurl = [\"http://a/\", \"b\"]",
            "c.toml:2: [heartbeat] url = [\"http://a/\", \"b\"]: must start with http:// or https:// and name a host",
        ),
        (
            "[heartbeat]\nurl = \"http://a/\"\n[[heartbeat.server]]\nurl = \"http://b/\"",
            "c.toml:2: [heartbeat] url = \"http://a/\": is one server and [[heartbeat.server]] are others: move it into a \
             [[heartbeat.server]] of its own",
        ),
        ("[[heartbeat.server]]\nca_file = \"/a\"", "c.toml:1: a server needs a url"),
        (
            "[[heartbeat.server]]\nurl = \"ftp://a/\"",
            "c.toml:2: [heartbeat.server] url = \"ftp://a/\": must start with http:// or https:// and name a host",
        ),
        (
            "[heartbeat]\nurl = [\"http://a/\", \"http://b/\", \"http://c/\", \"http://d/\", \"http://e/\"]",
            "c.toml:2: [heartbeat] url = [\"http://a/\", \"http://b/\", \"http://c/\", \"http://d/\", \"http://e/\"]: \
             must not be more than 4 servers",
        ),
        (
            "[heartbeat]\nurl = [\"http://a/\", \"http://b/\"]\nformat = \"meeting\"\ndevice_key = \"k\"",
            "c.toml: [heartbeat] format = \"meeting\" cannot say which server is a backup: name one server",
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
        ("[cameras]\nmethod = \"arp\"", "`icmp`, `tcp`, `both`, `http`, `https`, `rtsp`"),
        ("[heartbeat]\nformat = \"xml\"", "`native`, `streamer`, `meeting`"),
        ("[log]\nlevel = \"loud\"", "`error`, `warn`, `info`, `debug`"),
        ("[activity]\nexpected = [\"sleeping\"]", "`streaming`, `tracking`, `recording`"),
        ("[activity]\nstreaming = { port = 554 }", "`pidfile`, `process`, `unit`"),
    ] {
        let sentence = fault(text);
        assert!(sentence.starts_with("c.toml:2: ") && sentence.contains(allowed), "{sentence}");
    }
}

#[test]
fn a_value_of_another_type_is_refused_with_the_type_that_is_wanted() {
    for (text, wanted) in [
        ("[heartbeat]\ninterval = true", "interval = true: expected a duration such as"),
        ("[heartbeat]\nurl = 1", "url = 1: expected a text in quotes"),
        ("[heartbeat]\nmethod = 1", "method = 1: expected a word in quotes"),
        ("[metrics]\nmodem = \"yes\"", "modem = \"yes\": expected true or false"),
        ("[network]\ninterfaces = \"eth0\"", "interfaces = \"eth0\": expected a list in brackets"),
        ("[network]\ninterfaces = [1]", "interfaces = [1]: expected a text in quotes"),
        ("[activity]\nexpected = \"recording\"", "expected = \"recording\": expected a list in brackets"),
        ("[activity]\nstreaming = true", "streaming = true: expected a section of keys"),
        ("[activity]\nstreaming = {}", "streaming = {}: expected one sign, such as { unit ="),
        ("[activity]\nstreaming = { unit = \"a.service\", process = \"a\" }", "expected one sign, such as"),
        ("heartbeat = 1", "heartbeat = 1: expected a section of keys"),
        ("[cameras]\ntcp_port = 65536", "tcp_port = 65536: expected a whole number up to 65535"),
        ("[cameras]\ntcp_port = -1", "tcp_port = -1: expected a whole number up to 65535"),
        ("[cameras]\nfailures = 1.5", "failures = 1.5: expected a whole number"),
        ("[cameras]\ncamera = \"gate\"", "camera = \"gate\": expected a list in brackets"),
        ("[cameras]\ncamera = [1]", "camera = [1]: expected a section of keys"),
        ("[heartbeat]\n[heartbeat]", "duplicate key"),
        ("[heartbeat]\nnote = \"a\"\nnote = \"b\"", "duplicate key"),
    ] {
        let sentence = fault(text);
        assert!(sentence.starts_with("c.toml:") && sentence.contains(wanted), "{sentence}");
    }
    let hexadecimal = load("[cameras]\ntcp_port = 0x1F_90").expect("TOML has it");
    assert_eq!(hexadecimal.cameras.plan.port, 8080);
}

#[test]
fn of_several_unknown_keys_the_first_one_is_named() {
    assert!(fault("[log]\nz = 1\na = 1").starts_with("c.toml:2: [log] z: unknown key `z`, expected `level`"));
}

#[test]
fn of_several_wrong_values_the_first_one_is_named() {
    let text = "[log]\nlevel = 1\n[heartbeat]\nurl = 1\ninterval = \"1\"";
    assert_eq!(fault(text), "c.toml:2: [log] level = 1: expected a word in quotes");
    assert!(fault("[heartbeat]\nurl = 1\ninterval = \"1\"").starts_with("c.toml:2: [heartbeat] url = 1: "));
}

#[test]
fn the_keys_of_a_camera_plan_are_as_strict_as_the_keys_beside_them() {
    const CAMERA: &str = "[[cameras.camera]]\naddress = \"192.0.2.1\"\n";
    let all = "`enabled`, `interval`, `method`, `tcp_port`, `tcp_timeout`, `icmp_timeout`, `failures`, \
               `hostname_patterns`, `lease_file`, `camera`";
    for (text, sentence) in [
        (
            "[cameras]\nenabled = 1\nintervall = \"1m\"",
            "c.toml:3: [cameras] intervall: unknown key `intervall`, did you mean `interval`?",
        ),
        (
            "[cameras]\nfailures = 2\nenable = true",
            "c.toml:3: [cameras] enable: unknown key `enable`, did you mean `enabled`?",
        ),
        (
            "[cameras]\ntcp_port = 70000",
            "c.toml:2: [cameras] tcp_port = 70000: expected a whole number up to 65535",
        ),
        ("[cameras]\nmethod = 1", "c.toml:2: [cameras] method = 1: expected a word in quotes"),
    ] {
        assert_eq!(fault(text), sentence);
    }
    assert!(fault("[cameras]\nzzz = 1").ends_with(&format!("unknown key `zzz`, expected one of {all}")));
    for key in ["plan", "\"$flattened\""] {
        assert!(fault(&format!("[cameras]\n{key} = 1")).contains("unknown key"), "{key}");
        assert!(fault(&format!("{CAMERA}{key} = 1")).contains("unknown key"), "{key}");
    }
    assert!(fault(&format!("{CAMERA}hostnam = \"a\"")).ends_with("did you mean `hostname`?"));
    assert!(fault(&format!("{CAMERA}tcp_timeot = 1")).ends_with("did you mean `tcp_timeout`?"));
    assert!(
        fault(&format!("{CAMERA}enabled = true")).contains("unknown key `enabled`, expected one of `mac`")
    );
    let hexadecimal = load(&format!("{CAMERA}tcp_port = 0x1F_90")).expect("TOML has it");
    assert_eq!(hexadecimal.cameras.cameras[0].plan.port, 8080);
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

#[test]
fn the_defaults_of_cameras_are_the_originals() {
    let cameras = load("").expect("an empty file is right").cameras;
    let plan = cameras.plan;
    assert!(cameras.enabled && cameras.cameras.is_empty() && cameras.lease_file.is_none());
    assert_eq!((plan.method, plan.port, plan.failures), (CameraMethod::Tcp, 80, 1));
    assert_eq!([plan.interval, plan.tcp_timeout, plan.icmp_timeout].map(|time| time.as_secs()), [60, 3, 2]);
}

#[test]
fn a_method_comes_with_its_port_unless_one_is_given() {
    for (general, own, port) in [
        ("", "", 80),
        ("method = \"rtsp\"", "", 554),
        ("method = \"https\"", "", 443),
        ("method = \"rtsp\"\ntcp_port = 8554", "", 8554),
        ("tcp_port = 8080", "", 8080),
        ("tcp_port = 8080", "method = \"http\"", 8080),
        ("tcp_port = 8080", "method = \"rtsp\"", 554),
        ("method = \"rtsp\"\ntcp_port = 8554", "method = \"rtsp\"", 8554),
        ("method = \"rtsp\"", "method = \"both\"", 80),
        ("method = \"rtsp\"", "tcp_port = 1", 1),
    ] {
        let text = format!("[cameras]\n{general}\n[[cameras.camera]]\naddress = \"192.0.2.1\"\n{own}");
        assert_eq!(load(&text).expect(&text).cameras.cameras[0].plan.port, port, "{text}");
    }
}
