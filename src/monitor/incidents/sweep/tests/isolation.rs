//! Machines that have other monitors: if half of them are silent at once, this monitor is suspected, not the machines.

use super::*;

/// `several` machines that have other monitors, and `single` that have only this one; all are alive.
fn fleet(several: i64, single: i64) -> SweepRig {
    let mut rig = SweepRig::new(several + single);
    rig.sql("UPDATE machine_state SET server_role = 1 WHERE machine_id <= ?1", params![several]);
    rig.run(MINUTE * 5, &ids(1..=several + single));
    assert!(rig.announced().is_empty());
    rig
}

fn ids(numbers: std::ops::RangeInclusive<i64>) -> Vec<MachineId> {
    numbers.map(id).collect()
}

/// Silent and heard.
fn isolated(rig: &SweepRig) -> Option<(usize, usize)> {
    rig.sweeper.isolated().map(|isolated| (isolated.silent, isolated.heard))
}

#[test]
fn a_monitor_that_hears_nobody_reports_itself_and_no_machine() {
    let mut rig = fleet(8, 0);
    rig.run(MINUTE * 10, &[]);
    assert_eq!(isolated(&rig), Some((8, 0)));
    assert!(rig.announced().is_empty());
    assert_eq!(rig.status(id(1)), MachineStatus::Offline, "shown");
    let names = &rig.sweeper.isolated().expect("isolated").names;
    assert_eq!(names, &["m1", "m2", "m3", "m4", "m5"]);
    // Its network works again. No outage was announced, so no return is.
    rig.run(MINUTE * 10, &ids(1..=8));
    assert_eq!((isolated(&rig), rig.announced().len()), (None, 0));
}

#[test]
fn half_is_enough_and_less_is_announced() {
    for (alive, expected) in [(4, Some((8, 4))), (8, Some((8, 8)))] {
        let mut rig = fleet(8 + alive, 0);
        rig.run(MINUTE * 10, &ids(9..=8 + alive));
        assert_eq!((isolated(&rig), rig.announced().len()), (expected, 0), "{alive} are alive");
    }
    let mut rig = fleet(17, 0);
    rig.run(MINUTE * 10, &ids(9..=17));
    assert_eq!((isolated(&rig), rig.announced().len()), (None, 8));
}

#[test]
fn who_does_not_return_with_the_others_is_announced_two_minutes_later() {
    let mut rig = fleet(8, 0);
    rig.run(MINUTE * 10, &[]);
    let back = ids(1..=6);
    rig.run(MINUTE, &back);
    assert_eq!((isolated(&rig), rig.announced().len()), (None, 0), "the others have time to return");
    rig.run(MINUTE * 2, &back);
    let rows = rig.rows();
    let announced: Vec<_> = rows.iter().map(|(_, machine, event, _)| (*machine, event.as_str())).collect();
    assert_eq!(announced, [(7, "offline"), (8, "offline")]);
    rig.run(MINUTE * 5, &ids(1..=8));
    assert_eq!(rig.announced(), ["offline", "offline", "online", "online"]);
}

#[test]
fn machines_that_fall_silent_while_the_monitor_is_isolated_are_not_announced_either() {
    let mut rig = fleet(10, 0);
    rig.sql("UPDATE machine_state SET threshold = 600000 WHERE machine_id > 7", &[]);
    rig.run(MINUTE * 5, &[]);
    assert_eq!(isolated(&rig), Some((7, 3)));
    rig.run(MINUTE * 10, &[]);
    assert_eq!((isolated(&rig), rig.announced().len()), (Some((10, 0)), 0));
}

#[test]
fn machines_that_have_only_this_monitor_are_announced_as_ever() {
    let mut rig = fleet(6, 2);
    rig.run(MINUTE * 10, &[]);
    assert_eq!(isolated(&rig), Some((6, 0)));
    let machines: Vec<i64> = rig.rows().iter().map(|(_, machine, ..)| *machine).collect();
    assert_eq!(machines, [7, 8]);
    // Of the doubted ones only one has another monitor: that one is not the reason.
    let mut rig = fleet(1, 6);
    rig.run(MINUTE * 10, &[]);
    assert_eq!(isolated(&rig), None);
    assert_eq!(rig.announced().len(), 7);
}

#[test]
fn machines_behind_a_dead_switch_are_no_sign_of_isolation() {
    let mut rig = fleet(8, 0);
    rig.sql("UPDATE machine SET behind = 1 WHERE id BETWEEN 2 AND 7", &[]);
    rig.run(MINUTE * 10, &ids(8..=8));
    assert_eq!(isolated(&rig), None);
    assert_eq!(rig.rows().iter().map(|(_, machine, ..)| *machine).collect::<Vec<_>>(), [1]);
}

#[test]
fn a_restart_while_isolated_announces_nothing() {
    let mut rig = fleet(8, 0);
    rig.run(MINUTE * 10, &[]);
    rig.sweeper = Sweeper::new(SETTINGS, rig.clocks(), Poke::unconnected());
    rig.run(MINUTE * 10, &[]);
    assert_eq!((isolated(&rig), rig.announced().len()), (Some((8, 0)), 0));
    // The network is back together with the monitor, and one device after the other returns.
    rig.sweeper = Sweeper::new(SETTINGS, rig.clocks(), Poke::unconnected());
    rig.run(MINUTE, &ids(1..=5));
    rig.run(MINUTE * 5, &ids(1..=8));
    assert_eq!((isolated(&rig), rig.announced().len()), (None, 0));
}

#[test]
fn a_loss_that_is_taken_in_parts_is_not_announced_in_parts() {
    let mut rig = fleet(60, 0);
    rig.sweeper.batch = 25;
    rig.run(MINUTE * 10, &[]);
    assert_eq!((isolated(&rig), rig.announced().len()), (Some((60, 0)), 0));
}
