//! Open pages and a monitor that ends: they say so, they recover, and no request is left without an answer.

use crate::bed::{Bed, Desk, gate, patient};
use crate::support::lasting_address;
use crate::support::monitor::Plan;
use rustix::process::Signal;
use serde_json::json;
use std::thread;
use std::time::Duration;

#[test]
fn a_page_that_lost_the_monitor_is_grey_and_says_so_and_recovers_after_a_restart() {
    // The same address again, so that the page finds it.
    let plan = patient().key("http.listen", &lasting_address().to_string());
    let Some(mut bed) = Bed::start(plan) else { return };
    bed.machine("barn-cam", json!({}));
    bed.open("/");
    bed.desk.wait_for("foot", "Live. This page last heard from the monitor at");
    let Bed { mut desk, monitor, .. } = bed;
    let plan = monitor.kill();
    desk.wait_for("foot", "The monitor has not answered since");
    assert_eq!(desk.value("getComputedStyle(document.getElementById('headline')).filter"), "grayscale(1)");
    assert_eq!(desk.value("document.getElementById('icon').href.endsWith('icon-stale.svg')"), true);

    plan.says(&["machine", "add", "mill-gate"]);
    let _monitor = plan.start();
    desk.wait_for("foot", "Live.");
    assert_eq!(desk.value("document.body.classList.contains('stale')"), false);
    desk.until("document.getElementById('m2')?.innerText.includes('mill-gate') ?? false");
}

#[test]
fn a_parked_request_is_answered_when_the_monitor_stops() {
    let Some(mut bed) = Bed::start(Plan::new()) else { return };
    bed.open("/");
    bed.desk.value(
        "window.parked = fetch(`live?since=${document.getElementById('live').dataset.version}`, {cache: 'no-store'})
            .then(answer => answer.json().then(() => answer.status), error => String(error)); true",
    );
    // Answered later than the other request is parked.
    assert_eq!(bed.desk.value("fetch('settings').then(answer => answer.status)"), 200);
    bed.monitor.signal(Signal::TERM);
    assert_eq!(bed.desk.value("window.parked"), 200);
    let (status, took) = bed.monitor.wait_for_end(Duration::from_secs(10));
    assert!(status.success(), "{status}");
    println!("the monitor with an open page ended after {took:?}");
    bed.desk.wait_for("foot", "The monitor has not answered since");
}

#[test]
fn a_hidden_tab_does_not_poll_and_is_new_when_it_is_shown() {
    let Some(mut bed) = Bed::start(patient()) else { return };
    let token = bed.machine("barn-cam", json!({"cameras": gate(true)}));
    bed.open("/");
    bed.desk.wait_for_heading("The machine is fine");
    let show = |desk: &mut Desk, is_hidden: bool| {
        desk.value(&format!(
            "Object.defineProperty(document, 'hidden', {{configurable: true, get: () => {is_hidden}}});
            document.dispatchEvent(new Event('visibilitychange')); true"
        ));
    };
    show(&mut bed.desk, true);
    let polls = "performance.getEntriesByType('resource').filter(it => it.name.includes('/live')).length";
    // The request that is in flight is given up, which counts as one more.
    let before = bed.desk.value(polls).as_u64().expect("a number");
    bed.beat(&token, json!({"cameras": gate(false)}));
    bed.monitor.wait_for_line("of the camera", |line| line.contains("camera gate is down"));
    thread::sleep(Duration::from_secs(3));
    assert!(bed.desk.value(polls).as_u64().is_some_and(|polls| polls <= before + 1));
    assert_eq!(bed.desk.heading(), "The machine is fine");
    show(&mut bed.desk, false);
    bed.desk.wait_for_heading("1 needs you");
    bed.desk.has_not_complained();
}
