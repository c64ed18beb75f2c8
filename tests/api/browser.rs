//! The status page in a real browser, as large as a phone's.

use super::UNPRIVILEGED;
use super::client::{get, post};
use super::devtools::Browser;
use crate::support::daemon::{Daemon, PROGRAM, Setup};
use crate::support::eventually;
use crate::support::namespace::Namespace;
use crate::support::server::{Reply, Server};
use rustix::process::Signal;
use serde_json::json;
use std::net::TcpListener;
use std::process::Command;

fn browser() -> Option<Browser> {
    let browser = Browser::start();
    if browser.is_none() {
        crate::support::skip_without("chromium, which shows the status page");
    }
    browser
}

fn url(daemon: &Daemon) -> String {
    format!("http://{}/", daemon.api_address())
}

fn add_camera(daemon: &Daemon, hostname: &str, mac: &str, ip: &str) {
    let camera = json!({"mac_address": mac, "ip_address": ip, "hostname": hostname});
    assert_eq!(post("/api/cameras").json(&camera).to(daemon).status, 201);
}

#[test]
fn the_page_shows_how_it_is_and_its_buttons_work() {
    let Some(mut browser) = browser() else { return };
    let server = Server::always(Reply::ok());
    let camera = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = camera.local_addr().expect("bound").port();
    let daemon = Setup::new()
        .to(&server.url("/"))
        .interval("1h")
        .toml("cameras.tcp_port", &port.to_string())
        .key("cameras.tcp_timeout", "200ms")
        .key("network.mode", "observe")
        .key("network.connectivity_check", "")
        .toml("network.gateway_probe", "false")
        .start();
    server.request();
    add_camera(&daemon, "gate-at-the-old-barn", "aa:bb:cc:dd:ee:01", "127.0.0.1");
    add_camera(&daemon, "yard", "aa:bb:cc:dd:ee:02", "127.0.0.2");
    eventually("the first heartbeat is shown", || {
        get("/api/status").to(&daemon).json()["server"]["connected"] == true
    });

    browser.open(&url(&daemon));
    browser.wait_for("state", "connected");
    browser.wait_for("beat", "answered 200");
    browser.wait_for("device", "Memory");
    browser.wait_for("uplinks", "eth0");

    browser.click("send");
    browser.wait_for("sent", "Sent.");
    assert_eq!(server.request().json()["reason"], "trigger");

    browser.click("check");
    browser.wait_for("checked", "1 of 2 answered.");
    let cameras = browser.wait_for("cameras", "disconnected");
    assert!(cameras.contains("gate-at-the-old-barn"), "{cameras}");
    let hash = browser.value("document.documentElement.scrollWidth <= innerWidth");
    assert_eq!(hash, true, "nothing is wider than a phone");
    browser.picture("phone");
    browser.prefers_dark();
    browser.picture("phone-dark");
    assert_eq!(browser.complaints, Vec::<String>::new());
}

#[test]
fn the_page_shows_a_stopped_daemon() {
    let Some(mut browser) = browser() else { return };
    let mut daemon = Setup::new().start();
    browser.open(&url(&daemon));
    browser.wait_for("state", "no server configured");
    assert_eq!(browser.text("alarm"), "");
    daemon.signal(Signal::TERM);
    daemon.wait_for_end(crate::support::SOON);
    browser.wait_for("alarm", "does not answer; what stands here is from");
    browser.wait_for("state", "unreachable");
    browser.picture("phone-unreachable");
}

#[test]
fn names_from_outside_stay_text() {
    let Some(mut browser) = browser() else { return };
    let daemon = Setup::new().start();
    browser.open(&url(&daemon));
    browser.wait_for("state", "no server configured");
    // As if the daemon had let it through: the page itself is the second wall.
    let hostile =
        json!("<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>");
    browser.value(&format!(
        "cameras([{{hostname: {hostile}, mac_address: {hostile}, status: {hostile}, \
        ip_address: null, last_seen: null, latency_ms: null, uptime_24h: null, problem: {hostile}}}], '')"
    ));
    assert!(browser.text("cameras").contains("<script>"));
    let title = browser.value("document.title");
    assert!(title.as_str().is_some_and(|title| title.ends_with("heartbeat")), "{title}");
    // And nothing of another origin is asked.
    let refused = browser.value("fetch('http://127.0.0.1:1/').then(() => 'asked', error => error.name)");
    assert_eq!(refused, "TypeError");
    assert!(
        browser.complaints.iter().any(|said| said.contains("Content Security Policy")),
        "{:?}",
        browser.complaints
    );
}

#[test]
fn from_another_machine_the_page_wants_the_token() {
    let Ok(namespace) = Namespace::new() else {
        return crate::support::skip("making a network namespace takes root");
    };
    // An address that is not loopback, in a namespace where the browser is too.
    namespace.ip("addr add 10.7.0.1/24 dev lo");
    let Some(mut browser) = namespace.enter(browser) else { return };
    let setup = Setup::new().to(UNPRIVILEGED).key("api.listen", "10.7.0.1:5000");
    let file = setup.scratch().file("api-token", "0123456789abcdef");
    let setup = setup.key("api.token_file", &file);
    let daemon = namespace.enter(|| setup.start_as(Command::new(PROGRAM)));
    browser.open(&url(&daemon));
    browser.wait_for("foot", "read only without the API token");
    browser.click("send");
    browser.wait_for("ask", "API token");
    browser.value("document.getElementById('token').value = 'wrong'");
    browser.value("document.querySelector('#ask button[value=ok]').click()");
    browser.wait_for("sent", "Authorization");
    browser.click("send");
    browser.wait_for("ask", "API token");
    browser.picture("phone-token");
    browser.value("document.getElementById('token').value = '0123456789abcdef'");
    browser.value("document.querySelector('#ask button[value=ok]').click()");
    browser.wait_for("sent", "Sent.");
}
