//! The history in partitions. Without PostgreSQL the tests say so and end.

use super::*;
use crate::monitor::beat::Sample;
use crate::monitor::fleet::{Fleet, Unsaved};
use crate::monitor::history::packed::Packed;
use crate::monitor::history::query::query;
use crate::monitor::history::rows::PastSample;
use crate::monitor::machine::Description;
use crate::monitor::store::Scratch;
use std::collections::BTreeMap;

const HOUR: Duration = Duration::from_secs(3600);
/// Begins four weeks, so that partitions of all resolutions do.
const BEGIN: Moment = Moment(732 * 28 * 86_400_000);
const MACHINES: i64 = 3;

fn store() -> Option<Scratch> {
    let store = Store::scratch_on_postgres()?;
    for number in 1..=MACHINES {
        let description = Description { name: format!("barn {number}"), ..Description::default() };
        store.add_machine(&description, BEGIN).expect("a machine");
    }
    Some(store)
}

/// Different in each hour and on each machine, and without a remainder in each resolution.
fn figure(machine: i64, hour: i64) -> f32 {
    ((hour * 7 + machine) % 100) as f32
}

fn hour(number: i64) -> Moment {
    BEGIN.plus(HOUR * u32::try_from(number).expect("later"))
}

/// A minute of each quarter of these hours.
fn save(store: &Store, hours: std::ops::Range<i64>) {
    let minutes = RESOLUTIONS[0];
    let unsaved = (1..=MACHINES).map(|machine| {
        let of_hour = |number: i64| {
            let sample = Sample { cpu: Some(figure(machine, number)), ..Sample::default() };
            let first = minutes.bucket(hour(number));
            [0, 15, 30, 45].map(|minute| (first + minute, Packed::from(sample)))
        };
        Unsaved {
            machine: MachineId(machine),
            received_at: BEGIN,
            payload: None,
            hostname: None,
            minutes: hours.clone().flat_map(of_hour).collect(),
            counts: Default::default(),
            cameras: Default::default(),
        }
    });
    store.save_beats(&[], &unsaved.collect::<Vec<_>>()).expect("saved");
}

/// The mean of each hour of these.
fn read(store: &Store, machine: i64, hours: std::ops::Range<i64>) -> BTreeMap<i64, f32> {
    let (from, to) = (hour(hours.start), hour(hours.end));
    let points = query(store, &Fleet::default(), MachineId(machine), from, to, HOUR).expect("read");
    let number = |at: Moment| (at.0 - BEGIN.0) / 3_600_000;
    points.into_iter().map(|point| (number(point.at), point.sample.cpu.expect("measured"))).collect()
}

fn assert_kept(store: &Store, hours: std::ops::Range<i64>) {
    (1..=MACHINES).for_each(|machine| assert_kept_of(store, machine, hours.clone()));
}

fn assert_kept_of(store: &Store, machine: i64, hours: std::ops::Range<i64>) {
    let expected: BTreeMap<_, _> = hours.clone().map(|hour| (hour, figure(machine, hour))).collect();
    assert_eq!(read(store, machine, 0..hours.end), expected, "machine {machine}");
}

fn count(store: &Store, table: &str) -> i64 {
    let sql = format!("SELECT count(*) FROM {table}");
    store.read(|connection| connection.query_row(&sql, &[], |row| row.get(0))).expect("counted")
}

fn partitions(store: &Store, index: usize) -> Vec<Partition> {
    store.read(|connection| PERIODS[index].partitions(connection)).expect("listed")
}

#[test]
fn a_period_of_each_resolution_is_as_long_as_a_row_of_the_next() {
    let row = |resolution: crate::monitor::history::resolution::Resolution| {
        Duration::from_secs(resolution.seconds.unsigned_abs() * resolution.buckets as u64)
    };
    assert_eq!(PERIODS[0].length, row(RESOLUTIONS[1]));
    assert_eq!(PERIODS[1].length, row(RESOLUTIONS[2]));
    assert_eq!(PERIODS[2].length, row(RESOLUTIONS[2]) * 4);
    assert_eq!(PERIODS.map(|periods| periods.part.expect("a part").1), RESOLUTIONS.map(|one| one.seconds));
}

/// Five weeks of history become older by more than a year, with no DELETE, and at no moment a mean is missing or wrong.
#[test]
fn old_history_goes_by_partition_and_nothing_that_is_kept_goes() {
    let Some(store) = store() else { return };
    let days = 35;
    for day in 0..days {
        store.make_history_partitions(hour(day * 24)).expect("made");
        save(&store, day * 24..day * 24 + 24);
    }
    assert_eq!((count(&store, "history_default"), count(&store, "history_range_default")), (0, 0));
    store.refuse_changes("DELETE", "history");
    store.refuse_changes("DELETE", "history_range");
    // Rounds of the recorder, each of which ages a part.
    let mut round = 0;
    for (day, first_kept) in [(days, 0), (days + 3, 0), (days + 40, 0), (days + 330, 0), (days + 370, 28)] {
        let now = hour(day * 24);
        store.make_history_partitions(now).expect("made");
        while store.age_history_partitions(2, now).expect("aged") > 0 {
            let kept =
                if first_kept > 0 { partitions(&store, 2)[0].begin.since(BEGIN).as_secs() / 3600 } else { 0 };
            // Each machine at each third round: three would triple the time of the test.
            round += 1;
            assert_kept_of(&store, round % MACHINES + 1, kept as i64..days * 24);
        }
        assert_eq!(store.age_history(0, 1, now), Ok(0), "no row is outside of the partitions");
        assert_kept(&store, first_kept * 24..days * 24);
        for (periods, resolution) in PERIODS.iter().zip(RESOLUTIONS) {
            let kept = store.read(|connection| periods.partitions(connection)).expect("listed");
            assert!(kept.iter().all(|one| one.end > resolution.kept_from(now)), "{kept:?}");
        }
    }
    let now = hour((days + 400) * 24);
    while store.age_history_partitions(2, now).expect("aged") > 0 {}
    assert_eq!((count(&store, "history"), count(&store, "history_range")), (0, 0));
}

#[test]
fn two_monitors_hand_the_rows_of_a_partition_down_in_turn_and_of_each_machine_once() {
    let Some(store) = store() else { return };
    let other = Store::open_beside(store.location(), BEGIN).expect("opened");
    store.make_history_partitions(BEGIN).expect("made");
    save(&store, 0..24);
    let now = hour(24 * 3);
    // The empty ones before it.
    while partitions(&store, 0)[0].begin < BEGIN {
        store.age_history_partitions(1, now).expect("aged");
    }
    let quarters = || count(&store, "history_900_20260212");
    assert_eq!(quarters(), 0);
    for (turn, monitor) in [&**store, &other, &**store].into_iter().enumerate() {
        monitor.age_history_partitions(1, now).expect("aged");
        assert_eq!(quarters(), turn as i64 + 1);
        assert_kept(&store, 0..24);
    }
    assert_eq!(partitions(&store, 0)[0].begin, BEGIN, "it is there until all had their turn");
    other.age_history_partitions(1, now).expect("aged");
    assert!(partitions(&store, 0)[0].begin > BEGIN);
    assert_kept(&store, 0..24);
}

#[test]
fn rows_without_a_partition_are_handed_down_and_deleted_and_move_when_there_is_one() {
    let Some(store) = store() else { return };
    save(&store, 0..48);
    assert_eq!(count(&store, "history_default"), 48 * MACHINES);
    let now = hour(24 * 3);
    assert_eq!(store.age_history_partitions(2, now), Ok(0));
    assert_eq!(store.age_history(0, 1, now), Ok(24 * MACHINES as usize));
    assert_kept(&store, 0..48);
    store.make_history_partitions(now).expect("made");
    assert_eq!((count(&store, "history_default"), count(&store, "history_range_default")), (0, 0));
    assert_kept(&store, 0..48);
}

/// The ranges of quarters move with them.
#[test]
fn ranges_without_a_partition_move_together_with_their_rows() {
    let Some(store) = store() else { return };
    save(&store, 0..24);
    store.age_history(0, 1, hour(24 * 4)).expect("aged");
    assert_eq!(
        (count(&store, "history_default"), count(&store, "history_range_default")),
        (MACHINES, MACHINES)
    );
    store.make_history_partitions(hour(24 * 4)).expect("made");
    assert_eq!(
        (count(&store, "history_900_20260212"), count(&store, "history_range_900_20260212")),
        (MACHINES, MACHINES)
    );
}

#[test]
fn a_replay_of_any_time_is_stored() {
    let Some(store) = store() else { return };
    store.make_history_partitions(BEGIN).expect("made");
    let figures = Packed::from(Sample { cpu: Some(7.0), ..Sample::default() });
    let ten_years = HOUR * 24 * 3652;
    let times = [
        BEGIN,
        BEGIN.plus(ten_years),
        BEGIN.minus(ten_years),
        BEGIN.plus(HOUR * 24 * 365),
        BEGIN.minus(HOUR),
    ];
    let mut past: Vec<_> =
        times.iter().map(|at| PastSample { machine: MachineId(1), at: *at, figures }).collect();
    store.save_replays(&mut past, BEGIN).expect("stored");
    let is_there = |at: Moment| {
        !query(&store, &Fleet::default(), MachineId(1), at, at.plus(HOUR), HOUR).expect("read").is_empty()
    };
    assert_eq!(times.map(is_there), [true, true, false, true, true], "ten years ago nothing is kept");
    // Its time comes.
    store.make_history_partitions(BEGIN.plus(ten_years)).expect("made");
    assert_eq!(times.map(is_there), [true, true, false, true, true]);
    assert_eq!(count(&store, "history_default"), 1, "the one of next year");
}

#[test]
fn a_removed_machine_has_no_history_in_any_partition() {
    let Some(store) = store() else { return };
    store.make_history_partitions(BEGIN).expect("made");
    save(&store, 0..24 * 9);
    while store.age_history_partitions(9, hour(24 * 4)).expect("aged") > 0 {}
    assert!(count(&store, "history_default") > 0 && count(&store, "history_range") > 0);
    store.write(|tx| tx.execute("DELETE FROM machine WHERE id <> 2", &[])).expect("removed");
    let others = "SELECT (SELECT count(*) FROM history WHERE machine_id <> 2)
                       + (SELECT count(*) FROM history_range WHERE machine_id <> 2)";
    let others: i64 =
        store.read(|connection| connection.query_row(others, &[], |row| row.get(0))).expect("counted");
    assert_eq!(others, 0);
    assert_eq!(read(&store, 2, 0..24 * 9).len(), 24 * 9);
}
