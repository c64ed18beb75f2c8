//! A proxy from the environment.

use crate::support::daemon::Setup;
use crate::support::server::{Reply, Server};
use std::time::Duration;

/// Opens a tunnel, or takes a request for somebody else; behind it is always the same answer.
fn proxy() -> Server {
    Server::start(|request| match request.method.as_str() {
        "CONNECT" => Reply::Bytes(b"HTTP/1.1 200 Connection established\r\n\r\n"),
        _ => Reply::ok(),
    })
}

#[test]
fn a_proxy_of_the_environment_is_used() {
    let proxy = proxy();
    // A name that only the proxy could know.
    let url = "http://heartbeat.invalid:8080/heartbeat";
    let _daemon = Setup::new().to(url).env("http_proxy", &proxy.url("")).start();
    let request = proxy.request_that(|request| request.method == "POST");
    assert_eq!(request.header("host"), Some("heartbeat.invalid:8080"));
    assert_eq!(request.reason(), "startup");
    proxy.request_that(|request| request.method == "POST" && request.reason() == "scheduled");
}

#[test]
fn hosts_without_proxy_are_reached_directly() {
    let (proxy, server) = (proxy(), Server::always(Reply::ok()));
    let _daemon = Setup::new()
        .to(&server.url("/"))
        .env("http_proxy", &proxy.url(""))
        .env("no_proxy", "localhost,127.0.0.1")
        .start();
    server.requests(3);
    assert_eq!(proxy.connections(), 0);
}

#[test]
fn a_proxy_that_hangs_does_not_stop_the_beat() {
    let proxy = Server::always(Reply::Hang);
    let daemon = Setup::new()
        .to("http://heartbeat.invalid/")
        .timeout("500ms")
        .env("http_proxy", &proxy.url(""))
        .start();
    proxy.requests(2);
    let before = daemon.vitals();
    let attempts = proxy.requests_during(Duration::from_secs(5));
    assert!(attempts.len() >= 2, "{} attempts in 5 s", attempts.len());
    assert!(daemon.vitals().threads <= before.threads);
    assert!(daemon.vitals().descriptors <= before.descriptors + 1);
}
