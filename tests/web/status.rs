//! A status page as a person without an account sees it.

use crate::bed::{Desk, patient};
use crate::support::monitor::{Monitor, bearer};
use heartbeat_daemon::wire::SAMPLE;

/// A machine that was just seen, in the group "barn", whose page is public.
fn monitor() -> Monitor {
    let plan = patient();
    let token = plan.token(&["machine", "add", "secret-cam", "--group", "barn"]);
    plan.says(&["status-page", "set", "barn", "--public"]);
    let monitor = plan.start();
    assert_eq!(monitor.post("/api/v1/heartbeat", &[bearer(&token)], SAMPLE.as_bytes()).status, 200);
    monitor
}

#[test]
fn a_status_page_loads_itself_again_when_it_is_looked_at_and_says_when_it_cannot() {
    let Some(mut desk) = Desk::new() else { return };
    let monitor = monitor();
    desk.open(&monitor.url("/status/barn"));
    let look = "document.dispatchEvent(new Event('visibilitychange'))";
    let state = "document.querySelector('.state').innerText";
    desk.until(&format!("({look}, {state} === 'Up' && document.title === 'barn: Up')"));
    monitor.plan().says(&["machine", "pause", "secret-cam", "--for", "1h"]);
    desk.until(&format!("({look}, {state} === 'Maintenance')"));
    // The bar's days can be read with the keyboard.
    desk.value("document.querySelector('svg.day').focus()");
    desk.key("ArrowRight");
    desk.until("document.getElementById('tip').innerText.endsWith(': unknown')");
    desk.value("document.activeElement.blur()");
    assert_eq!(desk.complaints, Vec::<String>::new());
    drop(monitor);
    desk.until(&format!("({look}, document.body.classList.contains('stale'))"));
}

#[test]
fn a_status_page_shows_all_of_it_without_scripts() {
    let Some(mut desk) = Desk::new() else { return };
    let monitor = monitor();
    desk.turn_scripts_off();
    desk.open(&monitor.url("/status/barn"));
    assert_eq!(desk.value("document.querySelectorAll('svg.day rect').length > 0"), true);
    assert_eq!(desk.value("document.querySelector('tbody th').innerText"), "barn 1");
    assert_eq!(desk.value("document.querySelector('noscript').innerHTML.includes('refresh')"), true);
    desk.has_not_complained();
}
