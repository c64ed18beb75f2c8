//! Machines behind another one: not announced while that one is dead.

use super::*;

/// A switch, two cameras behind it, and a machine elsewhere.
struct Site {
    rig: SweepRig,
    switch: MachineId,
    cameras: [MachineId; 2],
    elsewhere: MachineId,
}

impl Site {
    fn new() -> Site {
        let rig = SweepRig::new(4);
        let [switch, one, two, elsewhere] = [1, 2, 3, 4].map(MachineId);
        rig.sql("UPDATE machine SET behind = 1 WHERE id IN (2, 3)", &[]);
        let mut site = Site { rig, switch, cameras: [one, two], elsewhere };
        site.run(MINUTE * 5, &[switch, one, two]);
        assert!(site.announced().is_empty());
        site
    }

    /// The machine elsewhere is always alive.
    fn run(&mut self, time: Duration, alive: &[MachineId]) {
        let all: Vec<MachineId> = alive.iter().copied().chain([self.elsewhere]).collect();
        self.rig.run(time, &all);
    }

    /// Machines and events.
    fn announced(&self) -> Vec<(i64, String)> {
        self.rig.rows().into_iter().map(|(_, machine, event, _)| (machine, event)).collect()
    }
}

fn event(machine: MachineId, name: &str) -> (i64, String) {
    (machine.0, name.to_owned())
}

#[test]
fn a_dead_switch_is_announced_and_the_cameras_behind_it_are_only_shown() {
    let mut site = Site::new();
    site.run(MINUTE * 10, &[]);
    assert_eq!(site.announced(), [event(site.switch, "offline")]);
    for camera in site.cameras {
        assert_eq!(site.rig.status(camera), MachineStatus::Offline, "shown");
    }
    // All return: one recovery.
    let [one, two] = site.cameras;
    site.run(MINUTE * 10, &[site.switch, one, two]);
    assert_eq!(site.announced(), [event(site.switch, "offline"), event(site.switch, "online")]);
}

#[test]
fn a_camera_that_stays_dead_when_the_switch_returns_is_announced_after_a_while() {
    let mut site = Site::new();
    let [one, two] = site.cameras;
    site.run(MINUTE * 10, &[]);
    site.run(MINUTE + INTERVAL, &[site.switch, two]);
    let switch = [event(site.switch, "offline"), event(site.switch, "online")];
    assert_eq!(site.announced(), switch, "it has two minutes to return, too");
    site.run(MINUTE * 2, &[site.switch, two]);
    assert_eq!(site.announced()[2..], [event(one, "offline")]);
    site.run(MINUTE * 2, &[site.switch, one, two]);
    assert_eq!(site.announced()[3..], [event(one, "online")]);
}

#[test]
fn a_camera_that_is_found_late_just_after_the_switch_returned_has_its_two_minutes_too() {
    let mut site = Site::new();
    let [one, two] = site.cameras;
    site.rig.sql("UPDATE machine_state SET threshold = 300000 WHERE machine_id IN (2, 3)", &[]);
    site.run(MINUTE * 4, &[]);
    site.run(MINUTE + INTERVAL, &[site.switch]);
    let switch = [event(site.switch, "offline"), event(site.switch, "online")];
    assert_eq!(site.rig.status(one), MachineStatus::Offline);
    assert_eq!(site.announced(), switch);
    site.run(MINUTE * 3, &[site.switch, two]);
    assert_eq!(site.announced()[2..], [event(one, "offline")]);
}

#[test]
fn a_camera_that_dies_alone_is_announced_at_once() {
    let mut site = Site::new();
    let [one, two] = site.cameras;
    site.run(THRESHOLD + INTERVAL, &[site.switch, two]);
    assert_eq!(site.announced(), [event(one, "offline")]);
}

#[test]
fn a_switch_that_is_found_dead_after_its_cameras_hides_them_too_but_not_for_long_if_it_lives() {
    let mut site = Site::new();
    let [one, two] = site.cameras;
    // Silent at the same moment; a longer threshold.
    site.rig.sql("UPDATE machine_state SET threshold = 150000 WHERE machine_id = 1", &[]);
    site.run(MINUTE * 10, &[]);
    assert_eq!(site.announced(), [event(site.switch, "offline")]);
    let mut site = Site::new();
    // It sends once an hour: nothing can be said of it.
    site.rig.sql("UPDATE machine_state SET threshold = 7200000 WHERE machine_id = 1", &[]);
    site.run(THRESHOLD + INTERVAL, &[]);
    assert!(site.announced().is_empty());
    site.run(MINUTE * 3, &[]);
    assert_eq!(site.announced(), [event(one, "offline"), event(two, "offline")]);
}

#[test]
fn a_switch_that_is_not_watched_or_stands_by_hides_nothing() {
    let mut site = Site::new();
    let [one, two] = site.cameras;
    site.rig.sql("UPDATE machine_state SET watched = FALSE, status = 0 WHERE machine_id = 1", &[]);
    site.run(THRESHOLD + INTERVAL, &[]);
    assert_eq!(site.announced(), [event(one, "offline"), event(two, "offline")]);
}
