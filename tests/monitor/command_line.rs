//! Commands, their exit codes, and what they say.

use crate::support::monitor::{PROGRAM, Plan};
use crate::support::process::output_of;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output};

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_bad_configuration_is_named_and_ends_with_78() {
    let plan = Plan::new().key("detection.check_interval", "soon");
    for command in [&["serve"][..], &["check-config"], &["machine", "list"], &[]] {
        let output = plan.run(command);
        assert_eq!(output.status.code(), Some(78), "{command:?} {output:?}");
        assert!(said(&output).contains("[detection] check_interval = \"soon\": "), "{}", said(&output));
    }
    let output = plan.run(&["--config", "/no/such/file"]);
    assert_eq!(output.status.code(), Some(2), "twice the same option: {output:?}");
}

#[test]
fn a_typo_gets_the_nearest_command_option_or_key_proposed() {
    for (arguments, near) in [
        (&["mashine", "list"][..], "machine"),
        (&["machine", "lst"], "list"),
        (&["machine", "list", "--grup", "farm"], "--group"),
        (&["channel", "add", "telegramm", "1"], "telegram"),
    ] {
        let output = Plan::new().run(arguments);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(said(&output).contains("similar") && said(&output).contains(near), "{}", said(&output));
    }
    let plan = Plan::new().key("detection.ofline_threshold", "2m");
    let said = said(&plan.run(&["check-config"]));
    assert!(said.contains("did you mean `offline_threshold`?"), "{said}");
}

#[test]
fn check_config_accepts_it() {
    let output = Plan::new().run(&["check-config"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains(": good; would listen on 127.0.0.1:0"));
}

#[test]
fn check_config_reads_the_files_that_are_needed_later() {
    let mail = |plan: Plan| plan.key("smtp.host", "mail.example.org").key("smtp.from", "ops@example.org");
    for (plan, fault) in [
        (
            mail(Plan::new()).key("smtp.user", "x").key("smtp.password_file", "/no/such/password"),
            "/no/such/password",
        ),
        (mail(Plan::new()).key("smtp.ca_file", "/no/such/ca.pem"), "/no/such/ca.pem"),
        (mail(Plan::new()).key("smtp.from", "Ops <ops@example.org"), "smtp] from"),
        (mail(Plan::new()).key("smtp.from", "ops@@example.org"), "smtp] from"),
        (mail(Plan::new()).key("smtp.host", "mail.example.org:587"), "smtp] host"),
        (mail(Plan::new()).key("smtp.host", "https://mail.example.org"), "smtp] host"),
    ] {
        let output = plan.run(&["check-config"]);
        assert_eq!(output.status.code(), Some(78), "{fault}: {output:?}");
        assert!(said(&output).contains(fault), "{}", said(&output));
    }
    let good = mail(Plan::new()).key("smtp.from", "Heartbeat <ops@example.org>").run(&["check-config"]);
    assert_eq!(good.status.code(), Some(0), "{good:?}");
}

#[test]
fn check_config_reads_the_token_files_of_the_channels() {
    let plan = Plan::new();
    let path = plan.config_path().with_file_name("bot-token");
    let token = path.to_str().expect("UTF-8");
    std::fs::write(&path, "1:secret\n").expect("written");
    let added = plan.run(&["channel", "add", "telegram", "1", "--bot-token-file", token]);
    assert_eq!(added.status.code(), Some(0), "{added:?}");
    assert_eq!(plan.run(&["check-config"]).status.code(), Some(0));
    std::fs::remove_file(&path).expect("it is there");
    let output = plan.run(&["check-config"]);
    assert_eq!(output.status.code(), Some(78), "{output:?}");
    assert!(said(&output).contains(token), "{}", said(&output));
}

#[test]
fn check_config_as_root_reads_as_the_services_user() {
    if !rustix::process::geteuid().is_root() {
        return crate::support::skip("becoming another user takes root");
    }
    let plan = Plan::new().key("smtp.host", "mail.example.org").key("smtp.from", "ops@example.org");
    let path = plan.config_path().with_file_name("password");
    std::fs::write(&path, "hunter2\n").expect("written");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).expect("its mode");
    let plan = plan.key("smtp.user", "x").key("smtp.password_file", path.to_str().expect("UTF-8"));
    assert_eq!(plan.run(&["check-config", "--user", "root"]).status.code(), Some(0));
    let output = plan.run(&["check-config", "--user", "nobody"]);
    assert_eq!(output.status.code(), Some(78), "{output:?}");
    assert!(said(&output).contains("the service's user nobody"), "{}", said(&output));
}

#[test]
fn the_configuration_is_named_before_or_behind_the_command() {
    let plan = Plan::new();
    let path = plan.config_path();
    let mut behind = Command::new(PROGRAM);
    behind.args(["machine", "list", "--config"]).arg(path).env_clear();
    assert_eq!(output_of(behind).status.code(), Some(0));
}

#[test]
fn an_address_in_use_is_one_sentence_and_69() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("bound").to_string();
    let output = Plan::new().key("http.listen", &address).run(&["serve"]);
    assert_eq!(output.status.code(), Some(69), "{output:?}");
    let sentence = format!("heartbeat-monitor: {address}: another process listens there; ");
    assert!(said(&output).lines().any(|line| line.starts_with(&sentence)), "{}", said(&output));
}

#[test]
fn a_second_monitor_on_the_same_database_is_refused_with_69() {
    let monitor = Plan::new().start();
    let output = monitor.plan().run(&["serve"]);
    assert_eq!(output.status.code(), Some(69), "{output:?}");
    let pid = format!("with pid {} serves this database", monitor.pid());
    assert!(said(&output).contains(&pid), "{}", said(&output));
}

/// Runs a command as a user who may not read `file`; root, who may read everything, becomes nobody.
fn said_to_a_user_who_may_not_read(plan: &Plan, file: &std::path::Path, arguments: &[&str]) -> String {
    let before = std::fs::metadata(file).expect("there").permissions();
    let root = rustix::process::geteuid().is_root();
    let closed = Permissions::from_mode(if root { 0o600 } else { 0o000 });
    std::fs::set_permissions(file, closed).expect("a mode");
    let mut command = plan.command(arguments);
    if root {
        std::fs::set_permissions(plan.scratch().path(), Permissions::from_mode(0o755)).expect("a mode");
        command.uid(65534).gid(65534);
    }
    let output = output_of(command);
    std::fs::set_permissions(file, before).expect("a mode");
    assert!(!output.status.success(), "{output:?}");
    said(&output)
}

#[test]
fn a_user_without_read_permission_is_advised_to_use_sudo() {
    let plan = Plan::new();
    plan.says(&["machine", "add", "barn"]);
    for arguments in [&["machine", "list"][..], &["events"], &["channel", "list"], &["db", "check"]] {
        for file in [plan.config_path(), plan.database()] {
            let said = said_to_a_user_who_may_not_read(&plan, &file, arguments);
            let path = file.display().to_string();
            assert!(said.contains(&path) && said.contains("run it with sudo"), "{arguments:?}: {said}");
            assert_eq!(said.matches(&path).count(), 1, "its path is said once: {said}");
        }
    }
}

#[test]
fn the_environment_of_lunasentri_is_obeyed() {
    let plan =
        Plan::new().env("MACHINE_HEARTBEAT_CHECK_INTERVAL", "1m30s").env("MACHINE_OFFLINE_THRESHOLD", "5m0s");
    let monitor = plan.start();
    monitor.wait_for_line("of the seed", |line| {
        line.ends_with("Heartbeat monitor started (interval: 1m30s, threshold: 5m0s)")
    });
}

#[test]
fn the_root_path_leads_to_the_sign_in_and_shows_nothing_of_the_fleet() {
    let monitor = Plan::new().start();
    monitor.machine("secret-barn");
    let answer = monitor.get("/");
    assert_eq!((answer.status, answer.header("location")), (303, Some("./login")));
    assert!(!answer.body.contains("secret-barn"));
    let posted = monitor.post("/", &[], b"{}");
    assert_eq!(posted.status, 405, "a device without a path in its URL gets an error, not a page");
}

#[test]
fn without_pages_the_root_path_names_the_program_and_the_heartbeat_path() {
    let monitor = Plan::new().toml("web.enabled", "false").start();
    monitor.machine("secret-barn");
    let answer = monitor.get("/");
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/plain; charset=utf-8")));
    for part in ["heartbeat-monitor", "POST /api/v1/heartbeat", "GET /healthz", "docs/monitor.md"] {
        assert!(answer.body.contains(part), "{answer:?}");
    }
    assert!(!answer.body.contains("secret-barn"));
}

#[test]
fn no_command_accepts_or_shows_a_secret() {
    let plan = Plan::new();
    let token = plan.token(&["machine", "add", "barn"]);
    assert!(token.len() >= 43, "256 bits: {token}");
    for command in [&["machine", "list"][..], &["token", "list"]] {
        assert!(!plan.says(command).contains(&token));
    }
    let database = std::fs::read(plan.database()).expect("there");
    assert!(!database.windows(token.len()).any(|bytes| bytes == token.as_bytes()), "stored as a hash only");
}

#[test]
fn conditions_are_changed_for_a_group_or_a_machine_and_listed_with_their_source() {
    let plan = Plan::new();
    plan.says(&["machine", "add", "barn-cam", "--group", "barn"]);
    plan.says(&["condition", "set", "--group", "barn", "temp", "75", "--for", "10m"]);
    plan.says(&["condition", "off", "camera", "--machine", "barn-cam"]);
    plan.says(&["condition", "set", "wifi", "-75"]);
    let list = plan.says(&["condition", "list", "--machine", "barn-cam"]);
    for part in ["75 °C (group:barn)", "10m (group:barn)", "off (machine)", "-75 dBm (all)"] {
        assert!(list.contains(part), "{part}: {list}");
    }
    let shown = plan.says(&["machine", "show", "barn-cam"]);
    assert!(shown.contains("settings       camera: off (machine)\n"), "{shown}");
    assert!(shown.contains("temp: threshold 75 °C (group:barn), hold time 10m (group:barn)"), "{shown}");
    plan.says(&["condition", "set", "temp", "default", "--group", "barn"]);
    let json = plan.says(&["condition", "list", "--machine", "barn-cam", "--json"]);
    let conditions: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    let temp = conditions.as_array().into_iter().flatten().find(|one| one["condition"] == "temp");
    assert_eq!(temp.map(|temp| &temp["threshold_from"]), Some(&"default".into()), "{json}");
    assert!(plan.says(&["events"]).contains("condition: camera, on: false"));
    for (words, status, sentence) in [
        (&["condition", "set", "temp", "500"][..], 1, "the threshold of temp must be from 0 to 120 °C"),
        (&["condition", "off", "temp", "--group", "bran"], 1, "no machine is in the group \"bran\""),
        (&["condition", "off", "tmp"], 2, "possible values: camera, standby"),
    ] {
        let output = plan.run(words);
        assert_eq!(output.status.code(), Some(status), "{output:?}");
        assert!(said(&output).contains(sentence), "{}", said(&output));
    }
}
