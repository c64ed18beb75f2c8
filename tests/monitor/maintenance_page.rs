//! Maintenance of several machines, begun and ended on the page.

use crate::support::browser::Browser;
use crate::support::eventually;
use crate::support::monitor::Plan;
use serde_json::json;

#[test]
fn a_group_goes_into_maintenance_and_one_machine_leaves_it() {
    let monitor = Plan::new().start();
    for (name, group) in [("gate", "barn"), ("roof", "barn"), ("pump", "mill")] {
        monitor.machine(name);
        monitor.plan().says(&["machine", "set", name, "--group", group]);
    }
    let mut operator = Browser::signed_up(&monitor, "olga", "operator", &[]);
    let form = [("groups", "barn"), ("for", "12h"), ("reason", "new <b>roof</b>")];
    assert_eq!(operator.post("/settings/maintenance", &form).status, 303);
    let listed = operator.get("/settings/maintenance").body;
    for expected in [">gate</a>", ">roof</a>", "new &#60;b&#62;roof"] {
        assert!(listed.contains(expected), "{expected}: {listed}");
    }
    assert!(!listed.contains(">pump</a>"), "{listed}");
    let id = listed.split_once("machines/").and_then(|(_, rest)| rest.split_once('"')).expect("a link").0;
    assert_eq!(operator.post(&format!("/machines/{id}/resume"), &[]).status, 303);
    assert_eq!(operator.get("/settings/maintenance").body.matches("End the maintenance of").count(), 1);
}

#[test]
fn what_is_out_of_sight_cannot_be_silenced_and_what_was_entered_is_kept() {
    let monitor = Plan::new().start();
    for (name, group) in [("gate", "barn"), ("pump", "mill")] {
        monitor.machine(name);
        monitor.plan().says(&["machine", "set", name, "--group", group]);
    }
    let mut operator = Browser::signed_up(&monitor, "olga", "operator", &["--group", "barn"]);
    for (field, value) in [("machines", "pump"), ("groups", "mill"), ("tags", "none"), ("machines", "")] {
        let refused =
            operator.post("/settings/maintenance", &[(field, value), ("for", "2h"), ("reason", "storm")]);
        assert_eq!(refused.status, 400, "{field} = {value}");
        assert!(refused.body.contains("value=\"storm\""), "{field} = {value}: {}", refused.body);
    }
    let long = operator.post("/settings/maintenance", &[("machines", "gate"), ("for", "999999h")]);
    assert_eq!(long.status, 400);
    assert!(operator.get("/settings/maintenance").body.contains("No machine is in maintenance"));
}

/// The form of a plan for a group, on Sundays.
fn plan<'a>(group: &'a str, days: &[&'a str]) -> Vec<(&'a str, &'a str)> {
    let form = [("do", "plan"), ("kind", "group"), ("name", group), ("from", "02:00"), ("to", "04:30")];
    let zone = [("time_zone", "+01:00"), ("reason", "new <b>roof</b>")];
    form.into_iter().chain(zone).chain(days.iter().map(|day| ("day", *day))).collect()
}

#[test]
fn a_plan_is_added_listed_and_removed_on_the_page_and_in_the_api() {
    let monitor = Plan::new().start();
    let reader = monitor.reader();
    monitor.machine("gate");
    monitor.plan().says(&["machine", "set", "gate", "--group", "barn"]);
    let mut operator = Browser::signed_up(&monitor, "olga", "operator", &[]);
    assert_eq!(operator.post("/settings/maintenance", &plan("barn", &["sun", "wed"])).status, 303);
    assert_eq!(operator.post("/settings/maintenance", &plan("bran", &["sun"])).status, 303);
    let page = operator.get("/settings/maintenance").body;
    for shown in [
        "group barn",
        "wed,sun 02:00-04:30 (+01:00)",
        "new &#60;b&#62;roof",
        "no machine is in the group &#34;bran&#34; now",
    ] {
        assert!(page.contains(shown), "{shown}: {page}");
    }
    let listed = monitor.get_as(&reader, "/api/v1/maintenance").json();
    let [barn, bran] = listed["items"].as_array().expect("a list").as_slice() else { panic!("{listed}") };
    assert_eq!(
        (&barn["group"], &barn["machine"], &barn["machines"]),
        (&json!("barn"), &json!(null), &json!(1))
    );
    assert_eq!((&barn["weekly"], &barn["time_zone"]), (&json!("wed,sun 02:00-04:30"), &json!("+01:00")));
    assert!(barn["begins"].as_str() < barn["ends"].as_str(), "{barn}");
    assert_eq!((&bran["machines"], &listed["next"]), (&json!(0), &json!(null)));
    for _ in 0..2 {
        operator.post("/settings/maintenance", &[("do", "remove-plan"), ("plan", "1")]);
    }
    let page = operator.get("/settings/maintenance").body;
    assert!(!page.contains("group barn") && page.contains("group bran"), "{page}");
    let audit = Browser::signed_up(&monitor, "anna", "owner", &[]).get("/settings/audit").body;
    assert!(audit.contains("maintenance.add") && audit.contains("maintenance.remove"), "{audit}");
}

#[test]
fn a_plan_that_the_command_would_refuse_is_refused_on_the_page_and_what_was_entered_is_kept() {
    let monitor = Plan::new().start();
    monitor.machine("gate");
    let mut operator = Browser::signed_up(&monitor, "olga", "operator", &[]);
    for (field, value, problem) in [
        ("name", "", "name a machine"),
        ("kind", "machine", "there is no machine &#34;barn&#34;"),
        ("day", "", "choose a day"),
        ("day", "noday", "&#34;noday&#34; must be days"),
        ("from", "25:00", "&#34;25:00-04:30&#34; must be two times of day"),
        ("time_zone", "Mars/Base", "nknown time zone"),
    ] {
        let mut form = plan("barn", &["sun"]);
        form.retain(|(name, _)| *name != field);
        if !value.is_empty() {
            form.push((field, value));
        }
        let refused = operator.post("/settings/maintenance", &form);
        assert_eq!(refused.status, 400, "{field} = {value}");
        assert!(refused.body.contains(problem), "{field} = {value}: {}", refused.body);
        assert!(refused.body.contains("value=\"new &#60;b&#62;roof&#60;/b&#62;\""), "{}", refused.body);
    }
    assert!(!operator.get("/settings/maintenance").body.contains("Each week</h2>"));
}

#[test]
fn a_limited_operator_plans_for_the_own_scope_alone() {
    let monitor = Plan::new().start();
    for (name, group) in [("gate", "barn"), ("pump", "mill")] {
        monitor.machine(name);
        monitor.plan().says(&["machine", "set", name, "--group", group, "--tag", "pi5"]);
    }
    let weekly = ["--weekly", "sun", "02:00-04:00"];
    for target in [["--group", "mill"], ["--tag", "pi5"]] {
        monitor.plan().says(&[&["maintenance", "add"][..], &target, &weekly].concat());
    }
    let mut operator = Browser::signed_up(&monitor, "olga", "operator", &["--group", "barn"]);
    let post =
        |operator: &mut Browser, form: &[(&str, &str)]| operator.post("/settings/maintenance", form).status;
    assert_eq!(post(&mut operator, &plan("barn", &["mon"])), 303);
    assert_eq!(post(&mut operator, &plan("mill", &["mon"])), 400);
    for id in ["1", "2"] {
        assert_eq!(post(&mut operator, &[("do", "remove-plan"), ("plan", id)]), 400, "plan {id}");
    }
    let page = operator.get("/settings/maintenance").body;
    assert!(
        page.contains("group barn") && page.contains("tag pi5") && !page.contains("group mill"),
        "{page}"
    );
    assert_eq!(page.matches("Remove the weekly maintenance").count(), 1, "{page}");
    assert_eq!(post(&mut operator, &[("do", "remove-plan"), ("plan", "3")]), 303);
}

#[test]
fn a_window_that_begins_soon_is_listed_with_its_begin_and_can_be_skipped() {
    let monitor = Plan::new().start();
    monitor.machine("gate");
    // In three minutes by a clock that is as far ahead as needed: the minutes of UTC are those of every whole offset.
    let begin = heartbeat_daemon::clock::Moment::now().0 / 60_000 + 3;
    let time = |minute: i64| format!("{:02}:{:02}", minute / 60 % 24, minute % 60);
    let times = format!("{}-{}", time(begin), time(begin + 30));
    monitor.plan().says(&[
        "maintenance",
        "add",
        "--machine",
        "gate",
        "--weekly",
        "daily",
        &times,
        "--time-zone",
        "+00:00",
    ]);
    let mut operator = Browser::signed_up(&monitor, "olga", "operator", &[]);
    let mut page = String::new();
    eventually("the window is written", || {
        page = operator.get("/settings/maintenance").body;
        page.contains("starts at ")
    });
    assert!(page.contains(&format!("starts at {}", time(begin))) || page.contains(" 00:0"), "{page}");
    assert!(page.contains("Skip the maintenance of gate") && !page.contains("End the maintenance"), "{page}");
    assert_eq!(operator.post("/machines/1/resume", &[]).status, 303);
    assert!(operator.get("/settings/maintenance").body.contains("No machine is in maintenance"));
}
