//! Where the end of an outage goes: machines that are disabled, renamed, moved or removed, recipients that change.

use super::*;
use crate::monitor::machine::Description;
use crate::monitor::notify::choices::Selection;
use crate::monitor::notify::topic::Topic;
use crate::monitor::registry::machines::MachineChange;

impl SweepRig {
    fn choose(&self, recipient: &str, selection: &Selection) {
        self.store.change_recipient(recipient, Some(selection), self.now, |_| {}).expect("chosen");
    }

    fn change(&self, machine: &str, change: MachineChange) {
        self.store.change_machine(machine, &change).expect("changed");
    }

    /// One machine goes offline, and everything due is delivered.
    fn outage(&mut self) {
        self.run(MINUTE * 3, &[]);
        self.deliver();
    }

    fn sent_over(&self, channel: i64) -> Vec<String> {
        let rows = self.rows().into_iter().filter(|row| row.0 == channel && row.3 != 4);
        rows.map(|row| row.2).collect()
    }

    fn open_outages(&self) -> i64 {
        self.count("SELECT count(*) FROM incident WHERE ended_at IS NULL")
    }
}

fn group(name: &str) -> Selection {
    Selection::Only { machines: Vec::new(), groups: vec![name.into()], tags: Vec::new() }
}

fn machine(name: &str) -> Selection {
    Selection::Only { machines: vec![name.into()], groups: Vec::new(), tags: Vec::new() }
}

fn moved_to(group: &str) -> MachineChange {
    MachineChange { group: Some(Some(group.into())), ..MachineChange::default() }
}

#[test]
fn an_outage_stays_open_while_its_machine_is_disabled_and_ends_with_the_first_heartbeat_after_enabling() {
    let mut rig = SweepRig::new(1);
    rig.outage();
    rig.store.disable_machine("m1", rig.now).expect("disabled");
    rig.run(MINUTE * 60, &[]);
    rig.store.enable_machine("m1", rig.now).expect("enabled");
    rig.run(MINUTE * 60, &[]);
    assert_eq!((rig.open_outages(), rig.announced()), (1, vec!["offline".into()]));
    rig.beat(id(1));
    assert_eq!((rig.open_outages(), rig.announced()), (0, vec!["offline".into(), "online".into()]));
    assert_eq!(rig.count("SELECT ended_at FROM incident"), rig.now.0);
}

#[test]
fn a_farewell_after_enabling_belongs_to_the_outage_that_is_still_open() {
    let mut rig = SweepRig::new(1);
    rig.outage();
    rig.store.disable_machine("m1", rig.now).expect("disabled");
    rig.store.enable_machine("m1", rig.now).expect("enabled");
    rig.farewell(id(1));
    assert_eq!(rig.count("SELECT count(*) FROM incident"), 1);
    rig.beat(id(1));
    assert_eq!(rig.announced(), ["offline", "stopped", "online"]);
}

#[test]
fn an_outage_that_began_in_a_maintenance_is_not_reported_for_a_machine_that_was_disabled_meanwhile() {
    let mut rig = SweepRig::new(1);
    pause(&rig, 30);
    rig.outage();
    rig.store.disable_machine("m1", rig.now).expect("disabled");
    rig.store.enable_machine("m1", rig.now).expect("enabled");
    rig.run(MINUTE * 60, &[]);
    assert!(rig.rows().is_empty(), "its next heartbeat comes first: {:?}", rig.rows());
    rig.beat(id(1));
    assert!(rig.rows().is_empty(), "nobody knows of the outage: {:?}", rig.rows());
}

#[test]
fn an_end_follows_its_beginning_whatever_the_machine_is_called_and_grouped_by_then() {
    let mut rig = SweepRig::new(1);
    rig.change("m1", moved_to("farm"));
    rig.choose("r0", &group("farm"));
    rig.recipient(r#"["offline","online"]"#, 0, None);
    rig.choose("r1", &machine("m1"));
    rig.outage();
    rig.change("m1", MachineChange { name: Some("silo".into()), ..moved_to("town") });
    rig.beat(id(1));
    assert_eq!(rig.sent_over(1), ["offline", "online"], "chosen by the old group");
    assert_eq!(rig.sent_over(2), ["offline", "online"], "chosen by the old name");
    rig.outage();
    assert_eq!(rig.sent_over(1), ["offline", "online"], "no machine is in that group any more");
    assert_eq!(rig.sent_over(2), ["offline", "online", "offline"], "the same machine by another name");
}

#[test]
fn a_recipient_who_chooses_by_tag_is_notified_about_machines_with_that_tag() {
    let mut rig = SweepRig::new(2);
    rig.sql("INSERT INTO machine_tag (machine_id, tag) VALUES (2, 'camera')", &[]);
    let tagged = Selection::Only { machines: vec![], groups: vec![], tags: vec!["camera".into()] };
    rig.choose("r0", &tagged);
    rig.outage();
    let notified: Vec<i64> = rig.rows().iter().map(|row| row.1).collect();
    assert_eq!(notified, [2]);
}

#[test]
fn an_end_follows_its_beginning_when_the_recipient_has_chosen_other_machines_meanwhile() {
    let mut rig = SweepRig::new(1);
    rig.store
        .add_machine(&Description { name: "other".into(), ..Description::default() }, rig.now)
        .expect("added");
    rig.outage();
    rig.choose("r0", &machine("other"));
    // A recipient who chooses it only now has never heard of the outage.
    rig.recipient(r#"["offline","online"]"#, 0, None);
    rig.beat(id(1));
    assert_eq!(rig.sent_over(1), ["offline", "online"]);
    assert_eq!(rig.sent_over(2), Vec::<String>::new());
}

#[test]
fn an_end_is_not_sent_to_a_recipient_who_does_not_want_it_or_over_a_disabled_channel() {
    let mut rig = SweepRig::new(1);
    rig.recipient(r#"["offline","online"]"#, 0, None);
    rig.outage();
    rig.store
        .change_recipient("r0", None, rig.now, |wants| wants.events = vec![Topic::Offline])
        .expect("set");
    rig.store.enable_channel(ChannelId(2), false).expect("disabled");
    rig.beat(id(1));
    assert_eq!((rig.sent_over(1), rig.sent_over(2)), (vec!["offline".into()], vec!["offline".into()]));
}

#[test]
fn a_choice_whose_last_machine_is_removed_means_nobody() {
    let mut rig = SweepRig::new(2);
    rig.choose("r0", &machine("m1"));
    rig.store.remove_machine("m1", rig.now).expect("removed");
    rig.outage();
    assert_eq!(rig.status(id(2)), MachineStatus::Offline);
    assert!(rig.rows().is_empty(), "{:?}", rig.rows());
}

#[test]
fn a_machine_that_flapped_before_it_was_disabled_is_reported_online_once() {
    let mut rig = SweepRig::new(1);
    for _ in 0..3 {
        rig.run(MINUTE, &[id(1)]);
        rig.outage();
    }
    assert_eq!(rig.announced().last().map(String::as_str), Some("flapping"));
    rig.store.disable_machine("m1", rig.now).expect("disabled");
    rig.store.enable_machine("m1", rig.now).expect("enabled");
    rig.beat(id(1));
    assert_eq!(rig.announced().last().map(String::as_str), Some("online"));
    assert_eq!(rig.announced().iter().filter(|event| *event == "flapping").count(), 1);
}
