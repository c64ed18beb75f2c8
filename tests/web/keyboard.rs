//! Keyboard only: the order of the tab stops, a visible focus, the bars' arrow keys, and groups that fold.

use crate::bed::{Bed, Desk, gate, patient};
use serde_json::{Value, json};

/// The focused element as a screen reader names it, and whether a person sees that it has the focus.
const FOCUS: &str = r#"(() => {
  const it = document.activeElement;
  const { outlineStyle, outlineWidth } = getComputedStyle(it);
  const name = it.getAttribute("aria-label") ?? (it.innerText?.trim() || it.placeholder || it.tagName);
  return [name, it.matches(":focus-visible") && outlineStyle !== "none" && parseFloat(outlineWidth) >= 2];
})()"#;

fn focus(desk: &mut Desk) -> (String, bool) {
    let Value::Array(found) = desk.value(FOCUS) else { panic!("no list") };
    (found[0].as_str().unwrap_or_default().to_owned(), found[1] == true)
}

/// Presses Tab until this has the focus; what had it on the way.
#[track_caller]
fn tab_to(desk: &mut Desk, name: &str) -> Vec<String> {
    let mut passed = Vec::new();
    for _ in 0..60 {
        desk.key("Tab");
        let (found, is_visible) = focus(desk);
        assert!(is_visible, "the focus of {found} is not seen");
        if found.starts_with(name) {
            return passed;
        }
        passed.push(found);
    }
    panic!("Tab never reaches {name}: {passed:?}");
}

fn fleet() -> Option<Bed> {
    let plan = patient();
    plan.says(&["recipient", "add", "me"]);
    let tokens = [("barn-cam", "barn"), ("mill-gate", "mill")]
        .map(|(name, group)| plan.token(&["machine", "add", name, "--group", group]));
    let mut bed = Bed::start(plan)?;
    bed.beat(&tokens[0], json!({"cameras": gate(false)}));
    bed.beat(&tokens[1], json!({"cameras": gate(true)}));
    bed.open("/");
    bed.desk.wait_for_heading("1 needs you, 1 is fine");
    Some(bed)
}

#[test]
fn tab_goes_through_the_fleet_page_as_it_is_read_and_the_focus_is_always_seen() {
    let Some(mut bed) = fleet() else { return };
    let passed = tab_to(&mut bed.desk, "mill");
    let expected = [
        "Skip to content",
        "Heartbeat",
        "Fleet",
        "Incidents",
        "People",
        "Settings",
        "Find a machine, tag or camera",
        "ada",
        "Sign out",
        "Add one.",
        "barn-cam",
        "I'm on it: barn-cam",
        "Mute 2 h: barn-cam",
        "All",
        "Problems",
        "By tag",
        "Add a machine",
        "barn 1 machine 1 camera down",
        "barn-cam",
        "last 24 hours:",
    ];
    let matches = passed.len() == expected.len()
        && passed.iter().zip(expected).all(|(found, part)| found.starts_with(part));
    assert!(matches, "{passed:#?}");

    // The group of machines that are fine is folded: its lines are no tab stops.
    assert_eq!(bed.desk.value("document.querySelector('#m2').checkVisibility()"), false);
    bed.desk.key("Enter");
    assert_eq!(bed.desk.value("document.querySelector('#m2').checkVisibility()"), true);
    tab_to(&mut bed.desk, "mill-gate");
    bed.desk.key("Enter");
    bed.desk.wait_for_heading("mill-gate is fine");
    bed.desk.has_not_complained();
}

#[test]
fn the_skip_link_leads_to_the_content() {
    let Some(mut bed) = fleet() else { return };
    bed.desk.key("Tab");
    assert_eq!(focus(&mut bed.desk), ("Skip to content".to_owned(), true));
    assert_eq!(bed.desk.value("document.activeElement.getBoundingClientRect().width > 50"), true);
    bed.desk.key("Enter");
    bed.desk.key("Tab");
    assert_eq!(focus(&mut bed.desk).0, "Add one.");
}

#[test]
fn the_bar_of_a_machine_is_one_tab_stop_and_arrow_keys_read_its_parts() {
    let Some(mut bed) = fleet() else { return };
    tab_to(&mut bed.desk, "last 24 hours:");
    bed.desk.key("ArrowRight");
    let first = bed.desk.wait_for("tip", "not known");
    bed.desk.key("ArrowRight");
    bed.desk.wait_for("tip", "degraded");
    bed.desk.key("ArrowLeft");
    assert_eq!(bed.desk.text("tip"), first);
    bed.desk.key("Escape");
    assert_eq!(bed.desk.text("tip"), "");
    bed.desk.key("ArrowRight");
    bed.desk.key("Tab");
    assert_eq!(bed.desk.text("tip"), "", "it goes with the focus");
    bed.desk.has_not_complained();
}

#[test]
fn a_live_update_takes_nobodys_focus_away() {
    let Some(mut bed) = fleet() else { return };
    let token = bed.monitor.plan().token(&["machine", "rotate", "barn-cam"]);
    crate::support::eventually("the token is known", || {
        bed.monitor.post("/api/v1/heartbeat", &[crate::support::monitor::bearer(&token)], b"[").status == 400
    });
    tab_to(&mut bed.desk, "barn 1 machine");
    tab_to(&mut bed.desk, "barn-cam");
    bed.beat(&token, json!({"cameras": gate(true)}));
    bed.desk.until("document.getElementById('m1').classList.contains('fine')");
    assert_eq!(focus(&mut bed.desk).0, "barn-cam");
    bed.desk.has_not_complained();
}

#[test]
fn what_a_person_is_typing_on_a_machines_page_stays() {
    let Some(mut bed) = fleet() else { return };
    bed.open("/machines/1");
    bed.desk.fill("description", "the old ba");
    bed.desk.value("document.getElementById('description').focus()");
    bed.monitor.plan().says(&["machine", "pause", "barn-cam", "--for", "1h"]);
    bed.desk.wait_for("foot", "Something has changed");
    assert_eq!(bed.desk.value("document.getElementById('description').value"), "the old ba");
    bed.desk.value("document.getElementById('description').value = ''; document.activeElement.blur()");
    bed.desk.wait_for_heading("barn-cam is paused");
    bed.desk.has_not_complained();
}
