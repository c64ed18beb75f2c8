use super::*;
use crate::monitor::conditions::catalogue::CONDITIONS;
use crate::monitor::conditions::settings::{Setting, SourcedSetting, sourced};
use crate::monitor::machine::Description;
use crate::monitor::registry::machines::MachineChange;
use std::time::Instant;

const NOW: Moment = Moment(1_763_774_609_000);

fn add(store: &Store, name: &str, group: Option<&str>, tags: &[&str]) -> MachineId {
    let machine = Description {
        name: name.into(),
        group: group.map(str::to_owned),
        tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
        ..Description::default()
    };
    store.add_machine(&machine, NOW).expect("added").0
}

fn set(store: &Store, condition: Condition, scope: Scope, change: SettingChange) {
    store.change_condition(&ScopedChange { condition, scope, change }, NOW).expect("changed");
}

fn hot(store: &Store, scope: Scope, threshold: f32) {
    set(store, Condition::Temperature, scope, threshold_of(threshold));
}

fn threshold_of(threshold: f32) -> SettingChange {
    SettingChange { threshold: Some(threshold), ..SettingChange::default() }
}

const OFF: SettingChange = SettingChange { is_on: Some(false), threshold: None, hold: None };
const ON: SettingChange = SettingChange { is_on: Some(true), threshold: None, hold: None };

fn group(name: &str) -> Scope {
    Scope::Group(name.into())
}

fn tag(name: &str) -> Scope {
    Scope::Tag(name.into())
}

fn of(store: &Store, machine: MachineId, condition: Condition) -> Setting {
    let setting = store.effective_settings().expect("read").of(machine).get(condition);
    assert_eq!(setting, source(store, machine, condition).setting, "both ways agree");
    setting
}

fn source(store: &Store, machine: MachineId, condition: Condition) -> SourcedSetting {
    let machine = store.machine(machine, NOW).expect("read").expect("a machine");
    sourced(&store.condition_changes().expect("read"), Some(&machine)).swap_remove(condition as usize)
}

#[test]
fn a_machine_counts_before_its_tags_its_group_and_the_fleet() {
    let store = Store::scratch();
    let barn = add(&store, "barn", Some("farm"), &["warm", "attic"]);
    let gate = add(&store, "gate", None, &[]);
    let temperature = |machine| of(&store, machine, Condition::Temperature).threshold;
    let from = |machine| source(&store, machine, Condition::Temperature).threshold_from;
    assert_eq!((temperature(barn), from(barn)), (Some(80.0), None));
    hot(&store, Scope::All, 79.0);
    assert_eq!((temperature(barn), from(barn)), (Some(79.0), Some(Scope::All)));
    hot(&store, group("farm"), 78.0);
    assert_eq!((temperature(barn), from(barn)), (Some(78.0), Some(group("farm"))));
    hot(&store, tag("warm"), 77.0);
    assert_eq!((temperature(barn), from(barn)), (Some(77.0), Some(tag("warm"))));
    hot(&store, tag("attic"), 76.0);
    assert_eq!((temperature(barn), from(barn)), (Some(76.0), Some(tag("attic"))), "the first of its tags");
    hot(&store, Scope::Machine(barn), 75.0);
    assert_eq!((temperature(barn), from(barn)), (Some(75.0), Some(Scope::Machine(barn))));
    assert_eq!((temperature(gate), from(gate)), (Some(79.0), Some(Scope::All)));
    let later = store.effective_settings().expect("read").of(MachineId(999)).get(Condition::Temperature);
    assert_eq!(later.threshold, Some(79.0), "a machine that was added since");
}

#[test]
fn state_threshold_and_hold_time_are_resolved_separately() {
    let store = Store::scratch();
    let barn = add(&store, "barn", Some("farm"), &["warm", "attic"]);
    set(&store, Condition::Temperature, Scope::All, OFF);
    hot(&store, group("farm"), 70.0);
    let hold = SettingChange { hold: Some(Duration::from_secs(7)), ..SettingChange::default() };
    set(&store, Condition::Temperature, tag("attic"), hold);
    set(&store, Condition::Temperature, tag("warm"), SettingChange { threshold: Some(60.0), ..hold });
    let expected = Setting { is_on: false, threshold: Some(60.0), hold: Duration::from_secs(7) };
    assert_eq!(of(&store, barn, Condition::Temperature), expected);
    let sources = source(&store, barn, Condition::Temperature);
    assert_eq!(sources.is_on_from, Some(Scope::All));
    assert_eq!(sources.threshold_from, Some(tag("warm")));
    assert_eq!(sources.hold_from, Some(tag("attic")));
    set(&store, Condition::Temperature, Scope::Machine(barn), ON);
    assert!(of(&store, barn, Condition::Temperature).is_on);
    assert_eq!(of(&store, barn, Condition::Disk), Setting::of(Condition::Disk.entry()), "another one stays");
}

#[test]
fn a_change_keeps_what_it_does_not_name_and_clearing_removes_all_of_a_scope() {
    let store = Store::scratch();
    let barn = add(&store, "barn", None, &[]);
    let machine = Scope::Machine(barn);
    hot(&store, machine.clone(), 75.1);
    set(&store, Condition::Temperature, machine.clone(), OFF);
    hot(&store, machine.clone(), 70.1);
    let setting = of(&store, barn, Condition::Temperature);
    assert_eq!((setting.is_on, setting.threshold), (false, Some(70.1)));
    let stored: f64 = store
        .read(|c| c.query_row("SELECT threshold FROM condition_setting", &[], |row| row.get(0)))
        .expect("one row");
    assert_eq!(stored.to_string(), "70.1");
    assert_eq!(store.clear_condition(Condition::Temperature, &machine, NOW), Ok(true));
    assert_eq!(store.clear_condition(Condition::Temperature, &machine, NOW), Ok(false));
    assert_eq!(store.condition_changes(), Ok(Vec::new()));
}

#[test]
fn unknown_groups_and_tags_are_refused_and_settings_of_one_that_is_gone_can_be_cleared() {
    let store = Store::scratch();
    add(&store, "barn", Some("farm"), &["warm"]);
    for (scope, said) in [
        (group("fram"), "no machine is in the group \"fram\""),
        (tag("wram"), "no machine has the tag \"wram\""),
    ] {
        let new = ScopedChange { condition: Condition::Disk, scope: scope.clone(), change: OFF };
        let error = store.change_condition(&new, NOW).expect_err(said).to_string();
        assert!(error.starts_with(said), "{error}");
        store.clear_condition(Condition::Disk, &scope, NOW).expect_err(said);
    }
    set(&store, Condition::Disk, group("farm"), OFF);
    let elsewhere = MachineChange { group: Some(Some("town".into())), ..MachineChange::default() };
    store.change_machine("barn", &elsewhere).expect("moved");
    assert_eq!(store.clear_condition(Condition::Disk, &group("farm"), NOW), Ok(true));
}

#[test]
fn each_change_is_an_event_that_names_its_scope() {
    let store = Store::scratch();
    let barn = add(&store, "barn", Some("farm"), &["warm"]);
    let hold = SettingChange { hold: Some(Duration::from_secs(90)), ..threshold_of(75.1) };
    set(&store, Condition::Temperature, group("farm"), hold);
    set(&store, Condition::Camera, Scope::Machine(barn), OFF);
    store.clear_condition(Condition::Camera, &Scope::Machine(barn), NOW).expect("cleared");
    store.clear_condition(Condition::Camera, &Scope::Machine(barn), NOW).expect("nothing to clear");
    let events = store.events(crate::monitor::store::page::Page::default(), None, 10).expect("events");
    let notified: Vec<_> = events
        .iter()
        .rev()
        .filter(|event| event.kind == CHANGED)
        .map(|event| (event.machine.is_some(), event.detail.as_deref().unwrap_or_default()))
        .collect();
    assert_eq!(
        notified,
        [
            (false, r#"{"condition":"temp","group":"farm","hold_s":90,"on":null,"threshold":75.1}"#),
            (true, r#"{"condition":"camera","hold_s":null,"on":false,"threshold":null}"#),
            (true, r#"{"cleared":true,"condition":"camera"}"#),
        ]
    );
}

#[test]
fn rows_of_a_later_version_and_impossible_values_do_not_count() {
    let store = Store::scratch();
    let barn = add(&store, "barn", Some("farm"), &[]);
    let rows =
        "INSERT INTO condition_setting (condition, scope, name, machine_id, is_on, threshold, hold) VALUES
        ('lasers', 'all', '', NULL, FALSE, 1, 1), ('temp', 'country', 'de', NULL, FALSE, 1, 1),
        ('temp', 'machine', '', NULL, FALSE, 1, 1), ('temp', 'all', '', NULL, NULL, 4000, -1),
        ('camera', 'all', '', NULL, NULL, 5, NULL);";
    store.write(|tx| tx.execute_batch(rows)).expect("rows");
    let settings = store.effective_settings().expect("read");
    assert_eq!(**settings.of(barn), Settings::default());
}

#[test]
fn machines_with_the_same_settings_share_them() {
    let store = Store::scratch();
    let machines: Vec<MachineId> = (0..60)
        .map(|number| {
            let tags = if number % 3 == 0 { &["warm", "attic"][..] } else { &[] };
            add(&store, &format!("m{number}"), (number % 2 == 0).then_some("farm"), tags)
        })
        .collect();
    let distinct = |store: &Store| store.effective_settings().expect("read").distinct.len();
    assert_eq!(distinct(&store), 1);
    hot(&store, group("farm"), 70.0);
    hot(&store, tag("warm"), 60.0);
    set(&store, Condition::Disk, tag("attic"), OFF);
    let settings = store.effective_settings().expect("read");
    assert!(Arc::ptr_eq(settings.of(machines[2]), settings.of(machines[4])));
    assert!(Arc::ptr_eq(settings.of(machines[1]), settings.of(MachineId(999))));
    assert!(Arc::ptr_eq(settings.of(machines[0]), settings.of(machines[3])), "the same values on two ways");
    for machine in &machines[..20] {
        hot(&store, Scope::Machine(*machine), 50.0);
    }
    for machine in &machines[20..40] {
        hot(&store, Scope::Machine(*machine), 80.0);
        set(&store, Condition::Disk, Scope::Machine(*machine), ON);
    }
    let settings = store.effective_settings().expect("read");
    assert!(Arc::ptr_eq(settings.of(machines[21]), settings.of(MachineId(999))), "as without any settings");
    assert!(settings.distinct.len() <= 8, "{}", settings.distinct.len());
}

/// A million machines, of which a tenth is in a group or has a tag with settings.
#[test]
#[ignore = "measures: run it alone and with --release"]
fn the_settings_of_a_million_machines_take_one_scan() {
    let store = Store::scratch();
    let rows = "
        WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < 1000000)
        INSERT INTO machine (id, name, group_name, created_at) SELECT n, 'machine ' || n, 'group ' || (n % 10), 0 FROM number;
        INSERT INTO machine_tag SELECT id, 'tag ' || (id % 20) FROM machine;";
    store.write(|tx| tx.execute_batch(rows)).expect("rows");
    let measured = |what: &str| {
        let begin = Instant::now();
        let settings = store.effective_settings().expect("read");
        println!(
            "{what}: {:?}, {} special, {} distinct",
            begin.elapsed(),
            settings.special.len(),
            settings.distinct.len()
        );
    };
    measured("without settings");
    hot(&store, Scope::All, 70.0);
    measured("for the fleet");
    hot(&store, group("group 3"), 60.0);
    hot(&store, tag("tag 3"), 61.0);
    measured("for a group and a tag");
    for machine in 1..=10_000 {
        hot(&store, Scope::Machine(MachineId(machine)), 62.0);
    }
    measured("and for 10,000 machines");
}

#[test]
fn a_setting_of_a_removed_machine_is_removed_with_it() {
    let store = Store::scratch();
    let barn = add(&store, "barn", None, &[]);
    for condition in crate::monitor::conditions::catalogue::CATALOGUE.map(|entry| entry.condition) {
        set(&store, condition, Scope::Machine(barn), OFF);
    }
    assert_eq!(store.condition_changes().expect("read").len(), CONDITIONS);
    store.remove_machine("barn", NOW).expect("removed");
    assert_eq!(store.condition_changes(), Ok(Vec::new()));
}
