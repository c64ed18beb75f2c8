//! packaging/dnsmasq/heartbeat-camera-event: what dnsmasq calls, and what of it arrives.

use crate::support::daemon::{Setup, output_of};
use crate::support::server::{Reply, Server};
use crate::support::skip;
use serde_json::Value;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/dnsmasq/heartbeat-camera-event");
const MAC: &str = "b8:27:eb:12:34:56";

fn has_curl() -> bool {
    let found = Command::new("curl").arg("--version").stdout(Stdio::null()).status().is_ok();
    if !found {
        skip("curl is not installed");
    }
    found
}

/// As dnsmasq calls it; how long that took.
fn call(server: &Server, arguments: &[&str], environment: &[(&str, &str)]) -> Duration {
    let mut command = Command::new(SCRIPT);
    command.args(arguments).env("HEARTBEAT_API", format!("http://{}", server.address()));
    command.envs(environment.iter().copied());
    let begin = Instant::now();
    let output = output_of(command);
    assert!(output.status.success(), "{output:?}");
    assert!(output.stdout.is_empty() && output.stderr.is_empty(), "{output:?}");
    begin.elapsed()
}

fn event_of(server: &Server, arguments: &[&str], environment: &[(&str, &str)]) -> Value {
    call(server, arguments, environment);
    let request = server.request();
    assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", "/api/dhcp/event"));
    assert_eq!(request.header("content-type"), Some("application/json"));
    request.json()
}

#[test]
fn dnsmasq_events_arrive_as_json_for_any_client_name() {
    if !has_curl() {
        return;
    }
    let server = Server::always(Reply::ok());
    let event = event_of(&server, &["add", MAC, "192.168.1.64", "cam-gate"], &[]);
    assert_eq!((&event["action"], &event["mac_address"]), (&"add".into(), &MAC.into()));
    assert_eq!((&event["ip_address"], &event["hostname"]), (&"192.168.1.64".into(), &"cam-gate".into()));
    assert!(event["timestamp"].as_u64().is_some_and(|time| time > 1_700_000_000), "{event}");
    let event = event_of(
        &server,
        &["old", MAC, "192.168.1.64"],
        &[("DNSMASQ_SUPPLIED_HOSTNAME", "cam\"},{\n\\$(id)`;%s")],
    );
    assert_eq!(event["hostname"], "camids");
    let event = event_of(
        &server,
        &["del", "00:01:00:01", "fd00::64", "cam"],
        &[("DNSMASQ_IAID", "1"), ("DNSMASQ_MAC", MAC)],
    );
    assert_eq!((&event["mac_address"], &event["ip_address"]), (&MAC.into(), &"fd00::64".into()));
}

#[test]
fn only_leases_are_reported_and_a_hanging_or_missing_daemon_delays_nothing() {
    if !has_curl() {
        return;
    }
    let server = Server::always(Reply::ok());
    call(&server, &["init"], &[]);
    call(&server, &["tftp", "1000", "192.168.1.64", "/boot/kernel"], &[]);
    call(&server, &["add", "00:01:00:01", "fd00::64", "cam"], &[("DNSMASQ_IAID", "1")]);
    assert!(server.request_within(Duration::ZERO).is_none());
    let hangs = Server::always(Reply::Hang);
    let took = call(&hangs, &["add", MAC, "192.168.1.64", "cam"], &[]);
    assert!(took < Duration::from_secs(4), "{took:?}");
    call(&hangs, &["add", MAC, "192.168.1.64", "cam"], &[("HEARTBEAT_API", "http://127.0.0.1:1")]);
}

#[test]
fn a_token_reaches_the_daemon_and_no_argument_list() {
    if !has_curl() {
        return;
    }
    let server = Server::always(Reply::ok());
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("token");
    std::fs::write(&file, "hunter2\n").expect("written");
    let file = file.to_str().expect("UTF-8");
    call(&server, &["add", MAC, "192.168.1.64", "gate"], &[("HEARTBEAT_API_TOKEN_FILE", file)]);
    assert_eq!(server.request().header("authorization"), Some("Bearer hunter2"));
}

/// PumaGuard's settings as it writes them, and the configuration that the converter makes of them.
#[test]
fn pumaguards_settings_become_a_configuration_that_is_accepted() {
    const CONVERTER: &str =
        concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/pumaguard/heartbeat-from-pumaguard");
    const SETTINGS: &str = "YOLO-min-size: 0.01\n\
        camera-heartbeat-enabled: true\n\
        camera-heartbeat-icmp-timeout: 2\n\
        camera-heartbeat-interval: 90  # seconds\n\
        camera-heartbeat-method: both\n\
        camera-heartbeat-tcp-port: 8080\n\
        camera-heartbeat-tcp-timeout: 3\n\
        cameras:\n\
        - hostname: gate\n  ip_address: 192.168.52.96\n  mac_address: AA:BB:CC:DD:EE:FF\n  status: connected\n\
        - hostname: unknown\n  ip_address: 192.168.52.97\n  mac_address: aa:bb:cc:dd:ee:01\n\
        plugs:\n- hostname: shelly\n  mac_address: aa:bb:cc:dd:ee:02\n\
        volume: 80\n";
    let setup = Setup::new();
    let settings = setup.scratch().file("settings.yaml", SETTINGS);
    let mut command = Command::new(CONVERTER);
    command.arg(&settings);
    let output = output_of(command);
    let converted = String::from_utf8(output.stdout).expect("UTF-8");
    assert_eq!(
        converted,
        "[cameras]\nenabled = true\nicmp_timeout = 2\ninterval = 90\nmethod = \"both\"\ntcp_port = 8080\n\
         tcp_timeout = 3\n\n[[cameras.camera]]\nmac = \"aa:bb:cc:dd:ee:ff\"\naddress = \"192.168.52.96\"\n\
         hostname = \"gate\"\n\n[[cameras.camera]]\nmac = \"aa:bb:cc:dd:ee:01\"\naddress = \"192.168.52.97\"\n"
    );
    std::fs::write(setup.config_path(), converted).expect("written");
    let checked = output_of(setup.command(&["check-config"]));
    assert!(checked.status.success(), "{checked:?}");
}
