//! The fleet page beside real heartbeats: a new machine, an outage, a camera, and what a person does about them.

use crate::bed::{Bed, Desk, gate, patient, with_channel};
use crate::support::daemon::{Daemon, Setup};
use crate::support::lateness::{self, in_time};
use crate::support::monitor::{Monitor, Plan};
use crate::support::server::{Reply, Server};
use heartbeat_daemon::monitor::conditions::catalogue::CATALOGUE;
use rustix::process::Signal;
use serde_json::json;
use std::time::{Duration, Instant};

/// From the monitor's decision to the line of an open page.
const PROMISE: Duration = Duration::from_secs(1);

/// Without conditions: the tests' own machine may have a full disk, or no synchronised clock.
fn plan() -> Plan {
    let plan = Plan::new();
    for condition in CATALOGUE {
        plan.says(&["condition", "off", condition.name]);
    }
    plan
}

/// The real one, which beats each second.
fn daemon(monitor: &Monitor, token: &str) -> Daemon {
    Setup::new().to(&monitor.url("/api/v1/heartbeat")).token(token).start()
}

/// Waits until the line of machine 1 is of this class.
#[track_caller]
fn row_becomes(desk: &mut Desk, class: &str) {
    desk.until(&format!("document.getElementById('m1')?.classList.contains({class:?}) ?? false"));
}

#[test]
fn a_machine_is_added_and_its_first_heartbeat_turns_the_page_green() {
    let Some(mut bed) = Bed::start(plan()) else { return };
    bed.open("/");
    bed.desk.follow("a.act");
    bed.desk.fill("name", "barn-cam");
    bed.desk.fill("group", "barn");
    bed.desk.follow("button.main");
    assert_eq!(bed.desk.heading(), "barn-cam is added");
    bed.desk.wait_for("waiting", "Waiting for its first heartbeat.");
    let _daemon = daemon(&bed.monitor, &bed.desk.text("token"));
    bed.desk.wait_for("arrived", "The first heartbeat has arrived.");
    assert_eq!(bed.desk.text("waiting"), "");
    bed.desk.follow("#arrived a");
    bed.desk.wait_for_heading("barn-cam is fine");
    bed.open("/");
    assert_eq!(bed.desk.heading(), "The machine is fine");
    row_becomes(&mut bed.desk, "fine");
    bed.desk.has_not_complained();
}

#[test]
fn a_device_that_stops_is_red_within_a_second_of_the_decision_and_fine_when_it_is_back() {
    lateness::watch();
    let Some(mut bed) = Bed::start(plan()) else { return };
    let daemon = daemon(&bed.monitor, &bed.monitor.machine("barn-cam"));
    bed.open("/");
    row_becomes(&mut bed.desk, "fine");

    daemon.signal(Signal::STOP);
    bed.monitor.wait_for_line("of the outage", |line| line.contains("(barn-cam) went offline"));
    let decided = Instant::now();
    row_becomes(&mut bed.desk, "bad");
    in_time(decided, Instant::now(), PROMISE, "the line of a machine that went offline");
    bed.desk.wait_for_heading("1 needs you");
    bed.desk.wait_for("problems", "barn-cam has been silent for");
    assert_eq!(bed.desk.value("document.title"), "(1) Fleet");
    assert_eq!(bed.desk.value("document.getElementById('icon').href.endsWith('icon-bad.svg')"), true);

    daemon.signal(Signal::CONT);
    bed.monitor.wait_for_line("of the recovery", |line| line.contains("(barn-cam) came back online"));
    let decided = Instant::now();
    row_becomes(&mut bed.desk, "fine");
    in_time(decided, Instant::now(), PROMISE, "the line of a machine that is back");
    bed.desk.wait_for_heading("The machine is fine");
    assert_eq!(bed.desk.text("problems"), "");
    assert_eq!(bed.desk.value("document.title"), "Fleet");
    bed.desk.has_not_complained();
}

#[test]
fn a_camera_that_is_down_is_a_sentence_and_a_person_takes_it_on_and_comments() {
    let Some(mut bed) = Bed::start(patient()) else { return };
    let token = bed.machine("barn-cam", json!({"cameras": gate(true)}));
    bed.open("/");
    row_becomes(&mut bed.desk, "fine");
    bed.beat(&token, json!({"cameras": gate(false)}));
    let sentence = bed.desk.wait_for("problems", "barn-cam: camera gate is down since");
    assert!(sentence.contains("The device is fine, on wlan0."), "{sentence}");
    assert_eq!(bed.desk.value("document.querySelector('#m1 .num.hot').innerText"), "0/1");

    bed.desk.follow("#problems [aria-label=\"I'm on it: barn-cam\"]");
    bed.desk.wait_for("problems", "Ada has been on it since");
    bed.desk.follow("#problems a.act");
    bed.desk.fill("text", "The cable is cut.\nA new one comes tomorrow.");
    bed.desk.follow("button.main");
    let comment = bed.desk.value("document.querySelector('.comment').innerText");
    assert_eq!(comment, "The cable is cut.\nA new one comes tomorrow.");

    bed.open("/");
    bed.beat(&token, json!({"cameras": gate(true)}));
    bed.desk.wait_for_heading("The machine is fine");
    bed.desk.has_not_complained();
}

#[test]
fn a_machine_is_muted_beside_its_problem_and_notified_again_on_its_page() {
    let Some(mut bed) = Bed::start(patient()) else { return };
    bed.machine("barn-cam", json!({"cameras": gate(false)}));
    bed.open("/");
    bed.desk.wait_for("problems", "camera gate is down");
    bed.desk.follow("#problems [aria-label='Mute 2 h: barn-cam']");
    bed.desk.wait_for_heading("Nothing needs you");
    let row = bed.desk.value("document.getElementById('m1').innerText");
    assert!(row.as_str().is_some_and(|row| row.contains("paused")), "{row}");

    bed.desk.follow("#m1 a");
    bed.desk.follow("form[action$=resume] button");
    bed.desk.value("document.getElementById('for').value = '24h'");
    bed.desk.fill("reason", "The roof is being repaired");
    bed.desk.follow("form[action$=pause] button");
    assert_eq!(bed.desk.heading(), "barn-cam is paused");
    bed.desk.has_not_complained();
}

#[test]
fn a_recipient_gets_a_telegram_channel_and_its_test_shows_what_telegram_says() {
    let telegram = Server::always(Reply::ok());
    let plan = Plan::new().key("notify.telegram_api", telegram.url("").trim_end_matches('/'));
    let Some(mut bed) = Bed::start(plan) else { return };
    bed.open("/people");
    bed.desk.fill("name", "Farm team");
    bed.desk.follow("button[value=add]");
    bed.open("/channels?kind=telegram&recipient=Farm+team");
    bed.desk.fill("target", "42");
    bed.desk.fill("secret", "123456:ABC-DEF_ghi");
    bed.desk.follow("form[action$=channels] button.main");
    bed.desk.follow("[aria-label='Test Telegram 1']");
    let request = telegram.request();
    assert_eq!(request.target, "/bot123456:ABC-DEF_ghi/sendMessage");
    let said = bed.desk.value("document.querySelector('.banner.done').innerText");
    assert_eq!(said, "Channel 1: 200: accepted by Telegram");

    telegram.become_one_that(|_| Reply::status(403));
    bed.desk.follow("[aria-label='Test Telegram 1']");
    let said = bed.desk.value("document.querySelector('.banner.bad').innerText");
    assert!(said.as_str().is_some_and(|said| said.starts_with("Channel 1: 403")), "{said}");
    // The browser notes the status of that page, and nothing else.
    assert!(bed.desk.complaints.iter().all(|it| it.contains("400")), "{:?}", bed.desk.complaints);
}

#[test]
fn the_page_says_who_was_notified() {
    let telegram = Server::always(Reply::ok());
    let Some(mut bed) = Bed::start(with_channel(patient(), &telegram.url(""))) else { return };
    let token = bed.machine("barn-cam", json!({"cameras": gate(true)}));
    // What a machine brings along is not announced.
    bed.is_online(1);
    bed.beat(&token, json!({"cameras": gate(false)}));
    bed.open("/");
    let said = bed.desk.wait_for("problems", "Farm team notified");
    assert!(said.contains("by Telegram; nobody is on it yet."), "{said}");
    assert!(telegram.request().json()["text"].to_string().contains("camera gate is down"));
    bed.desk.has_not_complained();
}

#[test]
fn the_wall_follows_the_fleet_and_has_nothing_to_click() {
    let plan = patient();
    let token = plan.token(&["machine", "add", "barn-cam", "--group", "barn"]);
    let Some(mut bed) = Bed::start(plan) else { return };
    bed.beat(&token, json!({"cameras": gate(true)}));
    bed.open("/wall");
    bed.desk.wait_for_heading("The machine is fine");
    bed.beat(&token, json!({"cameras": gate(false)}));
    bed.desk.wait_for("problems", "barn-cam: camera gate is down since");
    let group = "document.querySelector('.walls .bad')?.innerText.includes('1 camera down') ?? false";
    bed.desk.until(group);
    let clickable = "[...document.querySelectorAll('button')].filter(it => it.checkVisibility()).length";
    assert_eq!(bed.desk.value(clickable), 0);
    bed.desk.has_not_complained();
}
