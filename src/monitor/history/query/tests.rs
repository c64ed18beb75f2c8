//! A machine's past, with a clock that the test turns.

use super::*;
use crate::monitor::beat::{Beat, BeatKind, Sample};
use crate::monitor::conditions::facts::Facts;
use crate::monitor::fleet::Unsaved;
use crate::monitor::history::rows::PastSample;
use crate::monitor::machine::Description;
use crate::monitor::store::Scratch;
use crate::monitor::store::sql::params;

const MACHINE: MachineId = MachineId(1);
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);
/// Begins a week, so that rows of all resolutions do.
const BEGIN: Moment = Moment(2925 * 7 * 86_400_000);

fn store() -> Scratch {
    let store = Store::scratch();
    let description = Description { name: "barn".into(), ..Description::default() };
    store.add_machine(&description, BEGIN).expect("a machine");
    store
}

fn packed(cpu: f32) -> Packed {
    Packed::from(Sample { cpu: Some(cpu), ..Sample::default() })
}

fn after(minutes: u32) -> Moment {
    BEGIN.plus(MINUTE * minutes)
}

/// Each of these minutes after the begin.
fn save(store: &Store, minutes: impl Iterator<Item = (u32, f32)>) {
    let minutes = minutes.map(|(minute, cpu)| (RESOLUTIONS[0].bucket(after(minute)), packed(cpu))).collect();
    let unsaved = Unsaved {
        machine: MACHINE,
        received_at: BEGIN,
        payload: None,
        hostname: None,
        minutes,
        counts: Default::default(),
        cameras: Default::default(),
    };
    store.save_beats(&[], &[unsaved]).expect("saved");
}

fn read(store: &Store, fleet: &Fleet, from: Moment, to: Moment, step: Duration) -> Vec<(i64, f32)> {
    let points = query(store, fleet, MACHINE, from, to, step).expect("read");
    let minute = |point: Point| ((point.at.0 - BEGIN.0) / 60_000, point.sample.cpu.expect("measured"));
    points.into_iter().map(minute).collect()
}

#[test]
fn points_are_means_of_their_step_and_gaps_are_gaps() {
    let (store, fleet) = (store(), Fleet::default());
    save(&store, [(0, 10.0), (1, 20.0), (58, 1.0), (63, 4.0)].into_iter());
    let all = |step| read(&store, &fleet, BEGIN, after(120), step);
    assert_eq!(all(MINUTE), [(0, 10.0), (1, 20.0), (58, 1.0), (63, 4.0)]);
    assert_eq!(all(MINUTE * 5), [(0, 15.0), (55, 1.0), (60, 4.0)]);
    assert_eq!(all(Duration::ZERO), all(MINUTE), "never finer than a minute");
    assert_eq!(read(&store, &fleet, after(1), after(58), MINUTE), [(1, 20.0)], "from is in it, to is not");
}

#[test]
fn what_is_in_memory_alone_belongs_to_it_and_counts_once() {
    let (store, fleet) = (store(), Fleet::default());
    save(&store, [(0, 10.0), (1, 99.0)].into_iter());
    let sample = Sample { cpu: Some(30.0), ..Sample::default() };
    let beat = Beat {
        kind: BeatKind::Live,
        reason: None,
        server: crate::monitor::machine::DeviceServer::Only,
        interval: None,
        device: None,
        hostname: None,
        sample,
        facts: Facts::default(),
        payload: "{}",
    };
    fleet.beat(MACHINE, &beat, after(1));
    assert_eq!(read(&store, &fleet, BEGIN, after(5), MINUTE), [(0, 10.0), (1, 30.0)]);
    assert_eq!(read(&store, &fleet, BEGIN, after(5), MINUTE * 5), [(0, 20.0)]);
}

#[test]
fn a_step_grows_until_the_answer_is_bounded() {
    let (store, fleet) = (store(), Fleet::default());
    save(&store, (0..2880).map(|minute| (minute, 1.0)));
    let year = read(&store, &fleet, BEGIN.minus(DAY * 365), BEGIN.plus(DAY * 2), MINUTE);
    assert!(year.len() as u64 <= MAX_POINTS && year.len() > 10, "{}", year.len());
    let ever = query(&store, &fleet, MACHINE, Moment(i64::MIN), Moment(i64::MAX), MINUTE).expect("read");
    assert!(ever.len() <= 2, "all that there is lies in one step or two");
}

#[test]
fn old_minutes_become_quarters_then_hours_and_then_nothing() {
    let (store, fleet) = (store(), Fleet::default());
    // Two hours: the mean of each quarter is its number.
    save(&store, (0..120).map(|minute| (minute, (minute / 15) as f32)));
    let all = |from: Moment| read(&store, &fleet, from, from.plus(DAY), MINUTE);
    let fresh = all(BEGIN);
    assert_eq!(store.age_history(0, 1, BEGIN.plus(DAY)), Ok(0));
    assert_eq!(all(BEGIN), fresh, "nothing is old yet");

    store.age_history(0, 1, BEGIN.plus(DAY * 3)).expect("aged");
    let quarters: Vec<_> = (0..8).map(|quarter| (quarter * 15, quarter as f32)).collect();
    assert_eq!(all(BEGIN), quarters);

    store.age_history(0, 1, BEGIN.plus(DAY * 32)).expect("aged");
    assert_eq!(all(BEGIN), [(0, 1.5), (60, 5.5)]);

    store.age_history(0, 1, BEGIN.plus(DAY * 380)).expect("aged");
    assert_eq!(all(BEGIN), []);
}

#[test]
fn the_least_and_greatest_minute_outlive_the_minutes() {
    let (store, fleet) = (store(), Fleet::default());
    save(&store, (0..120).map(|minute| (minute, minute as f32)));
    let spreads = |step: Duration| -> Vec<(f32, f32)> {
        let points = query(&store, &fleet, MACHINE, BEGIN, BEGIN.plus(DAY), step).expect("read");
        let cpu = |sample: Sample| sample.cpu.expect("measured");
        points.into_iter().map(|point| (cpu(point.least), cpu(point.greatest))).collect()
    };
    store.age_history(0, 1, BEGIN.plus(DAY * 3)).expect("aged");
    let quarters: Vec<_> =
        (0..8).map(|quarter| (quarter * 15) as f32).map(|least| (least, least + 14.0)).collect();
    assert_eq!(spreads(MINUTE * 15), quarters);
    assert_eq!(spreads(MINUTE * 60), [(0.0, 59.0), (60.0, 119.0)]);
    store.age_history(0, 1, BEGIN.plus(DAY * 32)).expect("aged");
    assert_eq!(spreads(MINUTE * 60), [(0.0, 59.0), (60.0, 119.0)]);
    store.age_history(0, 1, BEGIN.plus(DAY * 380)).expect("aged");
    assert_eq!(spreads(MINUTE * 60), []);
    let left = "SELECT count(*) FROM history_range";
    let left: i64 =
        store.read(|connection| connection.query_row(left, &[], |row| row.get(0))).expect("counted");
    assert_eq!(left, 0);
}

#[test]
fn a_step_of_which_a_part_has_no_least_and_greatest_minute_has_none() {
    let (store, fleet) = (store(), Fleet::default());
    save(&store, (0..120).map(|minute| (minute, minute as f32)));
    store.age_history(0, 1, BEGIN.plus(DAY * 3)).expect("aged");
    // As a version left it that did not keep them.
    store.write(|tx| tx.execute_batch("DELETE FROM history_range")).expect("deleted");
    save(&store, (60 * 24 * 4..60 * 24 * 4 + 60).map(|minute| (minute, 7.0)));
    store.age_history(0, 1, BEGIN.plus(DAY * 8)).expect("aged");
    let points = |step| query(&store, &fleet, MACHINE, BEGIN, BEGIN.plus(DAY * 7), step).expect("read");
    let least = |step| points(step).iter().map(|point| point.least.cpu).collect::<Vec<_>>();
    assert_eq!(least(MINUTE * 60), [None, None, Some(7.0)]);
    assert_eq!(least(DAY * 7), [None], "a part of the step");
    assert!(points(DAY * 7)[0].sample.cpu.is_some());
}

#[test]
fn only_the_machines_whose_turn_it_is_are_aged() {
    let store = store();
    save(&store, [(0, 1.0)].into_iter());
    assert_eq!(store.age_history(0, 360, BEGIN.plus(DAY * 3)), Ok(0));
    assert_eq!(store.age_history(1, 360, BEGIN.plus(DAY * 3)), Ok(1));
}

#[test]
fn a_damaged_row_is_left_out_and_written_anew() {
    let (store, fleet) = (store(), Fleet::default());
    save(&store, [(0, 1.0), (60, 2.0)].into_iter());
    store.damage_history(BEGIN);
    assert_eq!(read(&store, &fleet, BEGIN, after(120), MINUTE), [(60, 2.0)]);
    save(&store, [(1, 3.0)].into_iter());
    assert_eq!(read(&store, &fleet, BEGIN, after(120), MINUTE), [(1, 3.0), (60, 2.0)]);
}

#[test]
fn replayed_samples_are_kept_as_coarsely_as_their_age_demands_and_never_replace_a_mean() {
    let (store, fleet) = (store(), Fleet::default());
    save(&store, [(0, 10.0)].into_iter());
    let now = after(120);
    let past = |at: Moment, figures: Packed| PastSample { machine: MACHINE, at, figures };
    let old = BEGIN.minus(DAY * 400).plus(MINUTE * 7);
    let mut replays = [
        past(after(0), packed(99.0)),
        past(after(7), packed(20.0)),
        past(after(8), Packed::EMPTY),
        past(BEGIN.minus(DAY * 10).plus(MINUTE * 14), packed(30.0)),
        past(BEGIN.minus(DAY * 100).plus(MINUTE * 59), packed(40.0)),
        past(old, packed(50.0)),
    ];
    for _ in 0..2 {
        store.save_replays(&mut replays, now).expect("saved");
        assert_eq!(read(&store, &fleet, BEGIN, now, MINUTE), [(0, 10.0), (7, 20.0)]);
        for (days, expected) in [(10, vec![(0, 30.0)]), (100, vec![(0, 40.0)]), (400, vec![])] {
            let from = BEGIN.minus(DAY * days);
            let read = read(&store, &fleet, from, from.plus(MINUTE * 60), MINUTE);
            let minutes: Vec<_> = read.iter().map(|(at, cpu)| (at + i64::from(days) * 1440, *cpu)).collect();
            assert_eq!(minutes, expected, "{days} days ago");
        }
    }
    assert_eq!(rows_of(&store, old), 0);
}

fn rows_of(store: &Store, at: Moment) -> i64 {
    let sql = "SELECT count(*) FROM history WHERE starts_at <= ?1";
    store.read(|connection| connection.query_row(sql, params![at.0], |row| row.get(0))).expect("counted")
}
