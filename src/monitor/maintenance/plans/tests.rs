use super::*;
use crate::monitor::machine::Description;
use crate::monitor::registry::watching::Resumed;
use crate::monitor::store::Scratch;

/// Sunday, 2026-01-18, 01:00 UTC.
const NOW: Moment = Moment(1_768_698_000_000);
const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);

fn store() -> Scratch {
    let store = Store::scratch();
    for (name, group, tag) in [("barn-cam", "barn", "pi5"), ("gate", "barn", "pi4"), ("shed", "farm", "pi5")]
    {
        let new = Description {
            name: name.into(),
            group: Some(group.into()),
            tags: vec![tag.into()],
            ..Description::default()
        };
        store.add_machine(&new, NOW).expect("added");
    }
    store
}

fn add(store: &Scratch, target: PlanTarget) -> i64 {
    let weekly = Weekly::parse("sun", "02:00-04:00").expect("a plan");
    store.add_maintenance_plan(&target, weekly, &Clock::UTC, Some("updates"), NOW).expect("added")
}

/// The machines in maintenance at a moment.
fn paused(store: &Scratch, at: Moment) -> Vec<String> {
    let machines = store.machines_page(None, 100, at).expect("read");
    machines
        .into_iter()
        .filter(|machine| machine.paused_until.is_some())
        .map(|machine| machine.name)
        .collect()
}

#[test]
fn a_plan_pauses_the_machine_the_group_or_those_with_the_tag() {
    for (target, names) in [
        (PlanTarget::Machine("gate".into()), vec!["gate"]),
        (PlanTarget::Group("barn".into()), vec!["barn-cam", "gate"]),
        (PlanTarget::Tag("pi5".into()), vec!["barn-cam", "shed"]),
    ] {
        let store = store();
        add(&store, target.clone());
        assert_eq!(store.maintenance_plans().expect("read")[0].target, target);
        store.apply_maintenance_plans(NOW.plus(MINUTE * 54)).expect("applied");
        assert!(store.maintenances(NOW).expect("read").is_empty(), "too early");
        // Each sweep applies the plans.
        for _ in 0..3 {
            store.apply_maintenance_plans(NOW.plus(MINUTE * 56)).expect("applied");
        }
        assert!(paused(&store, NOW.plus(HOUR - Duration::from_secs(1))).is_empty());
        assert_eq!(paused(&store, NOW.plus(HOUR)), names);
        assert_eq!(paused(&store, NOW.plus(HOUR * 3 - Duration::from_secs(1))), names);
        assert!(paused(&store, NOW.plus(HOUR * 3)).is_empty());
        assert_eq!(store.maintenances(NOW).expect("read").len(), names.len(), "one row each");
    }
}

#[test]
fn a_window_that_begins_soon_is_skipped_for_one_machine_and_a_pause_ends_alone() {
    let store = store();
    add(&store, PlanTarget::Group("barn".into()));
    let before = NOW.plus(MINUTE * 57);
    store.apply_maintenance_plans(before).expect("applied");
    store.pause_machine("barn-cam", MINUTE, None, before).expect("paused");
    assert_eq!(store.resume_machine("barn-cam", before).expect("resumed"), Resumed::Ended);
    assert_eq!(store.resume_machine("gate", before).expect("skipped"), Resumed::Skipped);
    assert_eq!(store.resume_machine("gate", before).expect("nothing is left"), Resumed::NotPaused);
    let listed = store.maintenances(before).expect("read");
    assert_eq!(listed.len(), 1, "that of barn-cam: {listed:?}");
    for minute in 58..70 {
        store.apply_maintenance_plans(NOW.plus(MINUTE * minute)).expect("applied");
    }
    assert_eq!(paused(&store, NOW.plus(MINUTE * 70)), ["barn-cam"]);
    let week = Duration::from_secs(7 * 86_400);
    store.apply_maintenance_plans(NOW.plus(week + HOUR)).expect("applied");
    assert_eq!(paused(&store, NOW.plus(week + HOUR)), ["barn-cam", "gate"], "the next one takes place");
}

#[test]
fn a_plan_for_a_group_or_tag_without_machines_has_a_warning() {
    let store = store();
    for (target, warning) in [
        (PlanTarget::Group("barn".into()), None),
        (PlanTarget::Group("bran".into()), Some("no machine is in the group \"bran\" now")),
        (PlanTarget::Tag("pi5".into()), None),
        (PlanTarget::Tag("pi6".into()), Some("no machine has the tag \"pi6\" now")),
        (PlanTarget::Machine("gate".into()), None),
    ] {
        let id = add(&store, target.clone());
        let listed = store.listed_plans(NOW).expect("read");
        let listed = listed.iter().find(|listed| listed.plan.id == id).expect("it");
        assert_eq!(listed.warning().as_deref(), warning, "{target:?}");
        assert_eq!(listed.when(NOW), "next 2026-01-18 02:00:00 UTC");
    }
    let machines: Vec<u32> =
        store.listed_plans(NOW).expect("read").iter().map(|listed| listed.machines).collect();
    assert_eq!(machines, [2, 0, 2, 0, 1]);
}

#[test]
fn a_machine_that_joins_the_group_is_paused_and_one_that_a_person_resumed_is_not_paused_again() {
    let store = store();
    add(&store, PlanTarget::Group("barn".into()));
    let during = NOW.plus(HOUR * 2);
    store.apply_maintenance_plans(during).expect("applied");
    store.resume_machine("gate", during).expect("resumed");
    let new = Description { name: "new".into(), group: Some("barn".into()), ..Description::default() };
    store.add_machine(&new, during).expect("added");
    store.apply_maintenance_plans(during.plus(MINUTE)).expect("applied");
    assert_eq!(paused(&store, during.plus(MINUTE)), ["barn-cam", "new"]);
    // A shorter pause by a person does not end the window.
    store.pause_machine("new", MINUTE * 2, None, during.plus(MINUTE)).expect("paused");
    assert_eq!(paused(&store, during.plus(MINUTE * 30)), ["barn-cam", "new"]);
}

#[test]
fn a_removed_plan_ends_its_window_and_a_removed_machine_its_plans() {
    let store = store();
    let group = add(&store, PlanTarget::Group("barn".into()));
    add(&store, PlanTarget::Machine("gate".into()));
    let during = NOW.plus(HOUR * 2);
    store.apply_maintenance_plans(during).expect("applied");
    assert_eq!(store.remove_maintenance_plan(group, during), Ok(true));
    assert_eq!(store.remove_maintenance_plan(group, during), Ok(false));
    assert_eq!(paused(&store, during.plus(MINUTE)), ["gate"]);
    store.remove_machine("gate", during).expect("removed");
    assert!(store.maintenance_plans().expect("read").is_empty());
}

#[test]
fn old_windows_are_forgotten_and_the_number_of_plans_is_bounded() {
    let store = store();
    add(&store, PlanTarget::Machine("gate".into()));
    let week = Duration::from_secs(7 * 86_400);
    for week_number in 0..52 {
        store.apply_maintenance_plans(NOW.plus(HOUR * 2 + week * week_number)).expect("applied");
    }
    let count: i64 = store
        .read(|connection| connection.query_row("SELECT count(*) FROM maintenance", &[], |row| row.get(0)))
        .expect("read");
    assert_eq!(count, 11, "70 days, and the current one");
    for _ in 1..MOST_PLANS {
        add(&store, PlanTarget::Tag("pi5".into()));
    }
    let weekly = Weekly::parse("daily", "02:00-04:00").expect("a plan");
    let refused = store.add_maintenance_plan(&PlanTarget::Tag("x".into()), weekly, &Clock::UTC, None, NOW);
    assert!(refused.expect_err("too many").to_string().contains("remove one first"));
}
