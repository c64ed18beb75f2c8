//! The status page in a real browser, as large as a phone's.

use super::UNPRIVILEGED;
use super::client::{get, post};
use crate::support::axe::Axe;
use crate::support::daemon::{Daemon, PROGRAM, Setup};
use crate::support::devtools::Browser;
use crate::support::eventually;
use crate::support::namespace::Namespace;
use crate::support::server::{Reply, Server};
use heartbeat_daemon::wire;
use rustix::process::Signal;
use serde_json::{Value, json};
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
    browser.wait_for("main", "heartbeat acknowledged");
    browser.wait_for("beat", "answered 200");
    browser.wait_for("device", "Memory");
    browser.wait_for("hour", "acknowledged");
    let uplinks = browser.wait_for("uplinks", "eth0");
    assert!(browser.text("choice").contains("Only heartbeats follow the choice."), "{uplinks}");

    browser.click("send");
    browser.wait_for("sent", "Sent");
    // A camera that does not respond sends one as well, in no certain order.
    while server.request().json()["reason"] != "trigger" {}

    browser.click("check");
    browser.wait_for("checked", "1 of 2 answered.");
    let cameras = browser.wait_for("cameras", "down since");
    assert!(cameras.contains("gate-at-the-old-barn"), "{cameras}");
    browser.wait_for("need", "Camera yard is down");
    browser.wait_for("now", "Camera yard is down since");
    assert!(browser.value("document.title").as_str().is_some_and(|title| title.starts_with('▲')));
    browser.value("document.querySelectorAll('details').forEach(one => one.open = true)");
    let table = browser.text("minutes");
    assert!(table.contains("2 of 2") || table.contains("1 of 1"), "{table}");
    let fits = browser.value("document.documentElement.scrollWidth <= innerWidth");
    assert_eq!(fits, true, "nothing is wider than a phone");
    assert_eq!(browser.complaints, Vec::<String>::new());
}

/// A status and an hour of samples of the barn's Raspberry Pi, as the daemon would report them.
fn barn() -> (Value, Value) {
    let mut heartbeat: Value = serde_json::from_str(wire::SAMPLE).expect("the sample");
    heartbeat["throttled"]["now"] = json!(["under_voltage"]);
    heartbeat["disk"] = json!({"percent": 91.3, "used_gb": 27.0, "total_gb": 29.5, "free_gb": 2.5});
    let camera = |name: &str, status: &str, problem: Value| {
        json!({"mac_address": "b8:27:eb:12:34:56", "hostname": name, "ip_address": "192.168.52.10", "status": status,
            "since": "2025-11-21T19:02:00Z", "last_seen": "2025-11-21T20:19:22Z", "latency_ms": 1.234,
            "uptime_24h": 99.2, "problem": problem})
    };
    let status = json!({
        "version": "0.1.0", "hostname": "barn-cam", "time": "2025-11-21T20:19:25Z", "daemon_uptime_s": 86000,
        "trusted": true, "accepts_token": false, "heartbeat": heartbeat,
        "server": {"name": "monitor.example.org", "interval_s": 5.0, "connected": true,
            "result": "monitor.example.org answered 204 in 31 ms", "last_accepted": null, "last_accepted_ago_s": 3.2,
            "scheduled": 17200, "immediate": 6, "retried": 2, "failed": 25, "moves": true},
        "failover": {"active": "wlan0", "state": "wlan0_active", "backend": "routes", "manual_s": null, "not_covered": [],
            "uplinks": [{"interface": "eth0", "state": "dead"}, {"interface": "wlan0", "state": "valid"}]},
        "cameras": [camera("gate", "connected", Value::Null), camera("yard", "disconnected", json!("no answer in time"))],
    });
    let minute = |ago: u64| {
        let (failed, past) = (ago == 21, ago > 20);
        let wave = f64::from(u32::try_from(ago * 37 % 23).expect("small"));
        json!({"ago_min": ago, "sent": 12, "acknowledged": if failed { 3 } else { 12 },
            "uplink": if past { "eth0" } else { "wlan0" }, "cpu": 8.0 + wave, "mem": 41.0 + wave / 10.0,
            "temp": 46.0 + wave / 5.0, "signal_dbm": -52 - i64::try_from(ago % 4).expect("small")})
    };
    let hour = json!({"covered_s": 3600, "minutes": (0..60).rev().map(minute).collect::<Vec<_>>()});
    (status, hour)
}

/// As if the daemon reported this.
fn report(browser: &mut Browser, (status, hour): &(Value, Value)) {
    browser.value(&format!(
        "read = path => Promise.resolve(path === '/api/status' ? {status} : {hour}); hourAt = -HOUR; refresh()"
    ));
}

/// Waits until the page has loaded. It may say more: the disk of the machine that runs the tests can be full, too.
#[track_caller]
fn wait_for_page(browser: &mut Browser) {
    eventually("the page says that no server is configured", || {
        ["need", "now"].iter().any(|id| browser.text(id).contains("No server is configured"))
    });
}

#[test]
fn what_is_wrong_comes_first_as_sentences_and_the_states_are_explained() {
    let Some(mut browser) = browser() else { return };
    let daemon = Setup::new().start();
    browser.open(&url(&daemon));
    wait_for_page(&mut browser);
    let mut barn = barn();
    report(&mut browser, &barn);
    browser.wait_for("need", "The supply voltage is too low");
    assert_eq!(browser.text("rest"), ", and 3 more problems");
    let problems = browser.text("now");
    for (sentence, why) in [
        ("The supply voltage is too low (under 4.63 V).", "Use a stronger power supply or a shorter cable."),
        ("The disk is almost full: 91.3 %.", "2.5 GB are free."),
        ("Camera yard is down since ", "No answer in time; 192.168.52.10"),
        (
            "Heartbeats leave over the standby wlan0 since ",
            "Uplink eth0: connected, but nothing gets through",
        ),
    ] {
        assert!(problems.contains(sentence) && problems.contains(why), "{sentence}: {problems}");
    }
    let choice = browser.text("choice");
    let expected =
        "wlan0 is used instead of eth0. All traffic of the machine follows the choice. wlan0_active";
    assert_eq!(choice, expected);
    browser.value("document.querySelectorAll('details').forEach(one => one.open = true)");
    // Each state that the API can name is explained.
    let page = browser.value("document.querySelector('.terms').innerText");
    for state in
        ["absent", "down", "no_address", "unverified", "valid", "suspect", "dead", "portal", "eth0_priority"]
    {
        assert!(page.as_str().is_some_and(|text| text.contains(state)), "{state}: {page}");
    }
    assert!(browser.text("minutes").contains("3 of 12"));
    browser.value("document.querySelectorAll('details').forEach(one => one.open = false)");
    let hour =
        browser.value("[...document.querySelectorAll('#hour svg')].map(one => one.ariaLabel).join('\\n')");
    let hour = hour.as_str().expect("labels");
    assert!(hour.starts_with("711 of 720 heartbeats acknowledged; partly acknowledged at "), "{hour}");
    assert!(
        hour.contains("\nUplinks: eth0 ") && hour.contains("\nCPU in the last hour: 8 to 30 %, now 8 %"),
        "{hour}"
    );
    for (name, width) in [("desktop", 1200), ("phone", 390)] {
        browser.resize(width);
        let fits = browser.value("document.documentElement.scrollWidth <= innerWidth");
        assert_eq!(fits, true, "nothing is wider than {width} pixels");
        browser.picture(&format!("device-{name}"));
    }
    browser.prefers_dark();
    browser.picture("device-phone-dark");
    browser.resize(1200);
    browser.picture("device-desktop-dark");
    assert_eq!(browser.complaints, Vec::<String>::new());

    let status = &mut barn.0;
    status["server"]["connected"] = json!(false);
    status["server"]["last_accepted_ago_s"] = json!(540.0);
    report(&mut browser, &barn);
    browser.wait_for("need", "Heartbeats are not acknowledged");
    browser.wait_for("now", "(9 min).");
}

#[test]
fn axe_finds_nothing_on_the_page_in_both_schemes() {
    let Some(axe) = Axe::load() else { return };
    let Some(mut browser) = browser() else { return };
    let daemon = Setup::new().start();
    browser.open(&url(&daemon));
    wait_for_page(&mut browser);
    report(&mut browser, &barn());
    browser.wait_for("need", "The supply voltage is too low");
    browser.value("document.querySelectorAll('details').forEach(one => one.open = true)");
    for scheme in ["light", "dark"] {
        browser.prefers(scheme);
        assert_eq!(axe.violations(&mut browser), Vec::<String>::new(), "{scheme}");
    }
}

#[test]
fn a_machine_without_problems_has_one_sentence_and_nothing_red() {
    let Some(mut browser) = browser() else { return };
    let daemon = Setup::new().start();
    browser.open(&url(&daemon));
    wait_for_page(&mut browser);
    let (mut status, hour) = barn();
    status["heartbeat"]["throttled"]["now"] = json!([]);
    status["heartbeat"]["disk"]["percent"] = json!(42.1);
    status["cameras"] = json!([status["cameras"][0]]);
    status["failover"]["active"] = json!("eth0");
    status["failover"]["state"] = json!("eth0_priority");
    status["failover"]["uplinks"][0]["state"] = json!("valid");
    report(&mut browser, &(status, hour));
    browser.wait_for("rest", "All is fine: on eth0, heartbeat acknowledged 3 s ago");
    assert_eq!((browser.text("need"), browser.text("now")), (String::new(), String::new()));
    assert_eq!(browser.text("news"), "All is fine");
    assert_eq!(browser.value("document.querySelectorAll('#all .bad, #all .over').length"), 0);
    browser.resize(1200);
    browser.picture("device-desktop-fine");
}

#[test]
fn the_page_shows_a_stopped_daemon() {
    let Some(mut browser) = browser() else { return };
    let mut daemon = Setup::new().start();
    browser.open(&url(&daemon));
    wait_for_page(&mut browser);
    assert_eq!(browser.text("send"), "", "no button that could only fail");
    assert_eq!(browser.text("check"), "", "no button without cameras");
    daemon.signal(Signal::TERM);
    daemon.wait_for_end(crate::support::SOON);
    browser.wait_for("need", "The daemon does not answer");
    browser.wait_for("rest", "; this is from");
    browser.picture("device-phone-unreachable");
}

#[test]
fn names_from_outside_stay_text() {
    let Some(mut browser) = browser() else { return };
    let daemon = Setup::new().start();
    browser.open(&url(&daemon));
    wait_for_page(&mut browser);
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
    browser.picture("device-phone-token");
    browser.value("document.getElementById('token').value = '0123456789abcdef'");
    browser.value("document.querySelector('#ask button[value=ok]').click()");
    browser.wait_for("sent", "Sent ");
}
