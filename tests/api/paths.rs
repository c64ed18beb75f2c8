//! Our own paths, and what is not there.

use super::client::{get, post, request};
use crate::support::daemon::Setup;
use crate::support::eventually;
use crate::support::server::{Reply, Server};
use heartbeat_daemon::wire;

#[test]
fn a_path_that_is_not_there_is_404_and_another_method_405_with_allow() {
    let daemon = Setup::new().start();
    for path in
        ["/nix", "/api", "/api/", "/api/dhcp", "/api/dhcp/cameras/", "/api/cameras/a/b", "//", "/healthz/"]
    {
        let answer = get(path).to(&daemon);
        assert_eq!((answer.status, answer.error().as_str()), (404, "there is nothing here"), "{path}");
    }
    for (method, path, allow) in [
        ("POST", "/", "GET, HEAD"),
        ("DELETE", "/metrics", "GET, HEAD"),
        ("PUT", "/api/status", "GET, HEAD"),
        ("GET", "/api/meeting/heartbeat", "POST"),
        ("OPTIONS", "/api/dhcp/event", "POST"),
        ("GET", "/api/failover/manual", "POST"),
        ("PUT", "/api/dhcp/cameras", "GET, HEAD, POST, DELETE"),
        ("POST", "/api/settings", "GET, HEAD, PUT, DELETE"),
        ("PATCH", "/api/heartbeat", "GET, HEAD, POST"),
    ] {
        let answer = request(method, path).to(&daemon);
        assert_eq!((answer.status, answer.header("allow")), (405, Some(allow)), "{method} {path}");
        answer.error();
    }
}

#[test]
fn a_body_is_bounded_and_must_be_declared_as_json() {
    let daemon = Setup::new().start();
    let large = format!("{{\"hostname\": \"{}\"}}", "x".repeat(16 * 1024));
    let answer = post("/api/dhcp/event").header("Content-Type", "application/json").body(&large).to(&daemon);
    assert_eq!(answer.status, 413, "{answer:?}");
    for kind in
        ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/jsonp"]
    {
        let answer = post("/api/dhcp/event").header("Content-Type", kind).body("{}").to(&daemon);
        assert_eq!(answer.status, 415, "{kind}: {answer:?}");
        answer.error();
    }
    assert_eq!(post("/api/dhcp/event").body("{}").to(&daemon).status, 415);
}

#[test]
fn a_head_request_is_answered_like_a_get_without_its_body() {
    let daemon = Setup::new().start();
    let (head, get) = (request("HEAD", "/").to(&daemon), get("/").to(&daemon));
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert_eq!(head.header("content-length"), get.header("content-length"));
}

#[test]
fn the_status_holds_everything_and_no_secret() {
    let server = Server::always(Reply::ok());
    let daemon = Setup::new()
        .to(&server.url("/path-s3cret?token=query-s3cret"))
        .token("t0ken-s3cret")
        .key("heartbeat.device_key", "key-s3cret")
        .start();
    server.requests(2);
    eventually("the server is connected", || {
        get("/api/status").to(&daemon).json()["server"]["connected"] == true
    });
    let status = get("/api/status").to(&daemon).json();
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(status["trusted"], true);
    assert!(status["failover"].is_null(), "it is off: {status}");
    assert_eq!(status["server"]["interval_s"], 1.0);
    assert!(status["server"]["result"].as_str().is_some_and(|result| result.contains("answered 200")));
    let heartbeat: wire::Heartbeat =
        serde_json::from_value(status["heartbeat"].clone()).expect("a heartbeat");
    assert!(heartbeat.values.mem.is_some());
    for path in [
        "/api/status",
        "/api/meeting/status",
        "/api/heartbeat",
        "/metrics",
        "/healthz",
        "/",
        "/api/cameras",
        "/api/last-hour",
    ] {
        let answer = get(path).to(&daemon);
        assert_eq!(answer.status, 200, "{path}");
        assert!(!answer.body.contains("s3cret"), "{path}: {}", answer.body);
    }
}

#[test]
fn the_last_hour_has_a_sample_of_this_minute() {
    let server = Server::always(Reply::ok());
    let daemon = Setup::new().to(&server.url("/")).start();
    server.requests(2);
    let minutes = || get("/api/last-hour").to(&daemon).json()["minutes"].as_array().expect("a list").clone();
    let acknowledged = || minutes().iter().filter_map(|minute| minute["acknowledged"].as_u64()).sum::<u64>();
    eventually("two heartbeats are in it", || acknowledged() >= 2);
    let minutes = minutes();
    let last = minutes.last().expect("a sample");
    assert!(last["mem"].as_f64().is_some_and(|mem| mem > 0.0 && mem <= 100.0), "{last}");
    assert!(last["ago_min"].as_u64() <= Some(1) && last["sent"].as_u64() >= Some(1), "{last}");
}

#[test]
fn it_is_healthy_while_the_loop_runs_even_if_the_server_fails() {
    let daemon = Setup::new().to("http://127.0.0.1:1/").start();
    eventually("a heartbeat has failed", || {
        get("/api/status").to(&daemon).json()["server"]["failed"].as_u64() > Some(1)
    });
    let answer = get("/healthz").to(&daemon);
    assert_eq!((answer.status, &answer.json()["status"]), (200, &"ok".into()));
}

#[test]
fn the_page_may_only_connect_to_this_machine() {
    let daemon = Setup::new().start();
    let page = get("/").to(&daemon);
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    let policy = page.header("content-security-policy").expect("a policy");
    for part in ["default-src 'none'", "connect-src 'self'", "frame-ancestors 'none'", "form-action 'none'"] {
        assert!(policy.contains(part), "{part}: {policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(page.header("referrer-policy"), Some("no-referrer"));
    for path in ["/", "/api/status", "/metrics", "/nix"] {
        let answer = get(path).to(&daemon);
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), None, "{path}");
    }
}
