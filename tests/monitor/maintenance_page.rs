//! Maintenance of several machines, begun and ended on the page.

use crate::support::browser::Browser;
use crate::support::monitor::Plan;

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
