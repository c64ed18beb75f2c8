//! `heartbeat-monitor health`, and settings by environment variables.

use crate::https::renew;
use crate::support::https::Authority;
use crate::support::lasting_address;
use crate::support::monitor::{Monitor, Plan};
use crate::support::process::output_of;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::Output;
use std::thread;

const LISTEN: &str = "HEARTBEAT_MONITOR_HTTP_LISTEN";

fn health(plan: &Plan, address: SocketAddr) -> (Option<i32>, String) {
    let mut command = plan.command(&["health"]);
    command.env(LISTEN, address.to_string());
    let Output { status, stdout, stderr } = output_of(command);
    (status.code(), String::from_utf8_lossy(&[stdout, stderr].concat()).trim().to_owned())
}

#[test]
fn a_running_monitor_is_healthy_with_and_without_tls() {
    let monitor = Plan::new().start();
    assert_eq!(health(monitor.plan(), monitor.address()), (Some(0), "{\"status\":\"ok\"}".to_owned()));

    let plan = Plan::new();
    let (certificate, key) = renew(&Authority::new(), plan.scratch().path());
    let monitor = plan.key("http.certificate_file", &certificate).key("http.key_file", &key).start();
    assert_eq!(health(monitor.plan(), monitor.address()), (Some(0), "{\"status\":\"ok\"}".to_owned()));
}

/// Answers one request.
fn server(response: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        let mut request = [0; 1024];
        let length = stream.read(&mut request).expect("a request");
        assert!(request[..length].starts_with(b"GET /healthz HTTP/1.1\r\n"));
        stream.write_all(response.as_bytes()).expect("written");
    });
    address
}

#[test]
fn trouble_and_silence_have_their_own_exit_statuses() {
    let plan = Plan::new();
    let ill = server("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nlate");
    assert_eq!(health(&plan, ill), (Some(1), "heartbeat-monitor: late".to_owned()));
    let (code, sentence) = health(&plan, server("HTTP/1.1 404 Not Found\r\n\r\n"));
    assert!(code == Some(1) && sentence.contains("is it a heartbeat-monitor?"), "{sentence}");
    let nobody = lasting_address();
    let (code, sentence) = health(&plan, nobody);
    assert!(code == Some(69) && sentence.contains(&format!("no monitor responds at {nobody}")), "{sentence}");
}

#[test]
fn variables_configure_a_monitor_and_an_unknown_one_ends_it() {
    let address = lasting_address();
    let plan = Plan::new().env(LISTEN, &address.to_string());
    let monitor: Monitor = plan.start();
    assert_eq!(monitor.address(), address);
    let plan = Plan::new();
    let mut command = plan.command(&["serve"]);
    command.env("HEARTBEAT_MONITOR_HTTP_PORT", "80");
    let output = output_of(command);
    assert_eq!(output.status.code(), Some(78));
    let sentence = String::from_utf8_lossy(&output.stderr);
    assert!(
        sentence.contains("environment variable HEARTBEAT_MONITOR_HTTP_PORT: unknown key `port`"),
        "{sentence}"
    );
}
