//! A browser that runs no scripts: signing in, the fleet, a machine, and every form of theirs.

use crate::bed::{Desk, gate, patient};
use crate::support::browser::{PASSWORD, link_token};
use crate::support::monitor::{Monitor, bearer};
use heartbeat_daemon::wire::SAMPLE;

fn content(desk: &mut Desk) -> String {
    desk.value("document.body.innerText").as_str().expect("text").to_owned()
}

/// The sample of the wire format, with its camera down.
fn beat(monitor: &Monitor, token: &str) {
    let mut beat: serde_json::Value = serde_json::from_str(SAMPLE).expect("the sample");
    beat["cameras"] = gate(false);
    let answer = monitor.post("/api/v1/heartbeat", &[bearer(token)], beat.to_string().as_bytes());
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[test]
fn everything_but_live_updates_works_without_scripts() {
    let Some(mut desk) = Desk::new() else { return };
    let monitor = patient().start();
    desk.turn_scripts_off();
    let link = link_token(&monitor.plan().token(&["user", "add", "ada", "--role", "owner"]));
    desk.open(&monitor.url(&format!("/welcome?link={link}")));
    for field in ["password", "again"] {
        desk.fill(field, PASSWORD);
    }
    desk.follow("button.main");
    assert_eq!(desk.heading(), "No machine yet");
    desk.follow(".who button");
    desk.fill("name", "ada");
    desk.fill("password", PASSWORD);
    desk.follow("button.main");

    desk.follow("a.act");
    desk.fill("name", "barn-cam");
    desk.follow("button.main");
    assert_eq!(desk.heading(), "barn-cam is added");
    assert_eq!(desk.value("document.querySelector('[data-copy]').checkVisibility()"), false);
    beat(&monitor, &desk.text("token"));
    monitor.wait_for_line("of the camera", |line| line.contains("camera gate is down"));

    desk.open(&monitor.url("/"));
    let shown = content(&mut desk);
    assert!(shown.contains("barn-cam: camera gate is down since"), "{shown}");
    assert!(shown.contains("This page does not update itself without JavaScript; reload it."), "{shown}");
    desk.follow("#problems button");
    assert!(content(&mut desk).contains("Ada has been on it since"));

    desk.follow("#m1 a");
    desk.fill("description", "the old barn");
    desk.follow("form[action$=settings] button");
    assert_eq!(desk.value("document.getElementById('description').value"), "the old barn");
    desk.follow("form[action$=pause] button");
    assert_eq!(desk.heading(), "barn-cam is paused");
    desk.follow("form[action$=resume] button");
    assert_eq!(desk.heading(), "barn-cam needs you");
    desk.press_on(".chart summary");
    assert_eq!(desk.value("document.querySelector('.chart table').checkVisibility()"), true);
    desk.has_not_complained();
}
