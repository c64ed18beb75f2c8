//! What is refused, and how; nothing of it is stored.

use crate::rig::becomes;
use crate::support::eventually;
use crate::support::monitor::{Monitor, Plan, bearer, request};

fn statuses(monitor: &Monitor, cases: &[(&str, &str, u16)]) {
    for (method, path, status) in cases {
        let answer = monitor.request(method, path, &[], b"");
        assert_eq!(answer.status, *status, "{method} {path}: {answer:?}");
        if answer.status >= 400 {
            assert!(answer.json()["error"].is_string(), "{method} {path}: {answer:?}");
        }
    }
}

#[test]
fn each_path_answers_its_method_and_nothing_else_is_there() {
    let monitor = Plan::new().toml("web.enabled", "false").start();
    statuses(
        &monitor,
        &[
            ("GET", "/healthz", 200),
            ("GET", "/", 200),
            ("GET", "/api/v1/", 404),
            ("GET", "/api/v1/machines/../../etc/passwd", 404),
            ("GET", "/api/v1/machines", 401),
            ("GET", "/api/v1/machines/1", 401),
            ("GET", "/api/v1/machines/1/history", 401),
            ("GET", "/api/v1/machines/1/cameras", 401),
            ("GET", "/api/v1/events", 401),
            ("GET", "/api/v1/deliveries", 401),
            ("POST", "/api/v1/machines", 405),
            ("DELETE", "/api/v1/machines/1", 405),
            ("POST", "/healthz", 405),
            ("POST", "/metrics", 405),
            ("GET", "/api/v1/heartbeat", 405),
            ("GET", "/api/v1/enroll", 405),
            ("POST", "/api/v1/heartbeat", 401),
            ("POST", "/heartbeat.php", 401),
            ("GET", "/heartbeat.php?params=%7B%7D", 401),
            ("POST", "/agent/metrics", 401),
            ("TRACE", "/healthz", 405),
            ("BREW", "/api/v1/heartbeat", 405),
            ("QUERY", "/api/v1/enroll", 405),
            ("QUERY", "/api/v1/machine", 404),
            ("CONNECT", "/healthz", 501),
        ],
    );
    assert_eq!(monitor.request("POST", "/api/v1/machines", &[], b"").header("allow"), Some("GET, HEAD"));
    assert_eq!(monitor.get("/api/v1/machines").header("www-authenticate"), Some("Bearer"));
}

#[test]
fn a_malformed_or_oversized_heartbeat_is_refused_and_not_stored() {
    let monitor = Plan::new().start();
    let (token, reader) = (monitor.machine("barn"), monitor.reader());
    for (body, status) in [
        (b"".to_vec(), 400),
        (b"{".to_vec(), 400),
        (b"[]x".to_vec(), 400),
        (b"\"hello\"".to_vec(), 400),
        (vec![b'['; 60_000], 400),
        (vec![b'x'; 70_000], 413),
    ] {
        let answer = monitor.post("/api/v1/heartbeat", &[bearer(&token)], &body);
        assert_eq!(answer.status, status, "{} bytes: {answer:?}", body.len());
        assert!(answer.json()["error"].is_string());
    }
    // The token was right: the machine is alive, and that is all that is known of it.
    becomes(&monitor, &reader, 1, "online");
    let machine = monitor.get_as(&reader, "/api/v1/machines/1").json();
    assert!(machine["latest"].is_null() && machine["hostname"].is_null(), "{machine}");
}

#[test]
fn requests_that_cannot_be_decoded_are_logged_once_per_machine_and_cause() {
    let monitor = Plan::new().start();
    let (barn, gate) = (monitor.machine("barn"), monitor.machine("gate"));
    for _ in 0..3 {
        for (token, body) in
            [(&barn, &b"{\"temp\":\"48.8\xb0C\"}"[..]), (&barn, b"{"), (&barn, b"{\"a\":"), (&gate, b"{")]
        {
            assert_eq!(monitor.post("/api/v1/heartbeat", &[bearer(token)], body).status, 400);
        }
    }
    let logged = |name: &str, cause: &str| {
        let lines = monitor.log();
        lines.iter().filter(|line| line.contains(name) && line.contains(cause)).count()
    };
    eventually("all are logged", || {
        logged("(barn)", "not UTF-8")
            + logged("(barn)", "not valid JSON")
            + logged("(gate)", "not valid JSON")
            == 3
    });
    assert_eq!((logged("(barn)", "cannot be decoded"), logged("(gate)", "cannot be decoded")), (2, 1));
}

#[test]
fn a_device_token_cannot_read_and_a_read_token_cannot_beat() {
    let monitor = Plan::new().start();
    let (token, reader) = (monitor.machine("barn"), monitor.reader());
    assert_eq!(monitor.get_as(&token, "/api/v1/machines").status, 403);
    assert_eq!(monitor.get_as("nonsense", "/api/v1/machines").status, 401);
    assert_eq!(monitor.get_as(&reader, "/api/v1/machines").status, 200);
    let sample = heartbeat_daemon::wire::SAMPLE.as_bytes();
    assert_eq!(monitor.post("/api/v1/heartbeat", &[bearer(&reader)], sample).status, 401);
    assert_eq!(monitor.post("/api/v1/heartbeat", &[bearer(&token)], sample).status, 200);
}

#[test]
fn figures_are_open_to_this_machine_and_not_through_a_proxy() {
    let plan = Plan::new().toml("http.trusted_proxies", "[\"127.0.0.1\"]");
    let socket = plan.scratch().path().join("http.sock");
    let monitor = plan.key("http.socket", socket.to_str().expect("UTF-8")).start();
    let reader = monitor.reader();
    assert_eq!(monitor.get("/metrics").status, 200);
    let from = |address: &str| [("X-Forwarded-For", address.to_owned())];
    assert_eq!(request(monitor.address(), "GET", "/metrics", &from("203.0.113.9"), b"").status, 401);
    assert_eq!(
        request(monitor.address(), "GET", "/metrics", &from("203.0.113.9, nonsense"), b"").status,
        401
    );
    // What a client wrote before the proxy, on a line of its own, in whatever bytes.
    let forged = ["127.0.0.2", "\u{e4}"].map(|said| ("X-Forwarded-For", said.to_owned()));
    for client in forged {
        let lines = [client, ("X-Forwarded-For", "203.0.113.9".to_owned())];
        assert_eq!(request(monitor.address(), "GET", "/metrics", &lines, b"").status, 401, "{lines:?}");
    }
    assert_eq!(request(monitor.address(), "GET", "/metrics", &from("\u{e4}, 203.0.113.9"), b"").status, 401);
    let real = [("X-Real-IP", "203.0.113.9".to_owned())];
    assert_eq!(request(monitor.address(), "GET", "/metrics", &real, b"").status, 401);
    assert_eq!(monitor.get_as(&reader, "/metrics").status, 200);
    assert!(std::os::unix::net::UnixStream::connect(&socket).is_ok());
}

#[test]
fn secrets_are_neither_in_the_log_nor_in_the_metrics() {
    let monitor = Plan::new().key("log.level", "debug").start();
    let (token, reader) = (monitor.machine("barn"), monitor.reader());
    monitor.post(&format!("/heartbeat.php?token={token}"), &[], b"{\"cpu\": 5}");
    monitor.get_as(&format!("{reader}x"), "/api/v1/machines");
    let figures = monitor.get("/metrics").body;
    let log = monitor.log().join("\n");
    for secret in [&token, &reader] {
        assert!(!log.contains(secret.as_str()) && !figures.contains(secret.as_str()), "{log}");
    }
}
