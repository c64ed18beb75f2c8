//! Partitions on a server, by several stores. Without PostgreSQL the tests of it say so and end.

use super::*;
use crate::monitor::store::Scratch;

const DAY: Duration = Duration::from_secs(86_400);
const PERIODS: Periods = Periods { tables: &["event"], part: None, column: "at", length: DAY };
/// Begins a day.
const NOW: Moment = Moment(20_475 * 86_400_000);
const TEN_YEARS: Duration = Duration::from_secs(3652 * 86_400);

fn day(number: u32) -> Moment {
    NOW.plus(DAY * number)
}

fn note(store: &Store, at: Moment) {
    let add = "INSERT INTO event (at, kind) VALUES (?1, 'added')";
    store.write(|tx| tx.execute(add, params![at])).expect("no write fails");
}

fn count(store: &Store, table: &str) -> i64 {
    let sql = format!("SELECT count(*) FROM {table}");
    store.read(|connection| connection.query_row(&sql, &[], |row| row.get(0))).expect("counted")
}

fn begins(store: &Store) -> Vec<Moment> {
    let partitions = store.read(|connection| PERIODS.partitions(connection)).expect("listed");
    partitions.into_iter().map(|partition| partition.begin).collect()
}

fn made(store: &Store, from: Moment, to: Moment) -> usize {
    store.make_partitions(&PERIODS, from, to).expect("made")
}

#[test]
fn a_database_in_a_file_has_none() {
    let store = Store::scratch_file();
    assert_eq!(store.make_partitions(&PERIODS, NOW, day(9)), Ok(0));
    assert_eq!(store.remove_partitions(&PERIODS, day(9)), Ok(0));
    assert_eq!(store.read(|connection| Ok(rest(connection, "event"))).as_deref(), Ok("event"));
}

#[test]
fn a_partition_is_named_after_its_first_day() {
    let part =
        Periods { tables: &["history"], part: Some(("resolution", 60)), column: "starts_at", length: DAY };
    let day = Partition { begin: NOW, end: day(1) };
    assert_eq!(part.name("history", day).as_deref(), Some("history_60_20260122"));
    assert_eq!(PERIODS.name("event", day).as_deref(), Some("event_20260122"));
    let bounds = "FOR VALUES FROM ('60', '-86400000') TO ('60', '0')";
    assert_eq!(part.parse(bounds), Some(Partition { begin: Moment(-86_400_000), end: Moment(0) }));
    for other in ["DEFAULT", "FOR VALUES FROM ('1') TO ('2')", "FOR VALUES FROM ('900', '0') TO ('900', '5')"]
    {
        assert_eq!(part.parse(other), None, "{other}");
    }
}

#[test]
fn monitors_that_make_the_same_partitions_at_the_same_moment_make_each_once() {
    let Some(scratch) = Store::scratch_on_postgres() else { return };
    let stores = [0; 3].map(|_| Store::open_beside(scratch.location(), NOW).expect("opened"));
    for round in 0..5 {
        let (from, to) = (day(round * 6), day(round * 6 + 5));
        let all = std::sync::Barrier::new(stores.len());
        let made: usize = thread::scope(|scope| {
            let threads = stores.each_ref().map(|store| {
                scope.spawn(|| {
                    all.wait();
                    made(store, from, to)
                })
            });
            threads.into_iter().map(|thread| thread.join().expect("no error")).sum()
        });
        assert_eq!(made, 6);
    }
    assert_eq!(begins(&scratch), (0..30).map(day).collect::<Vec<_>>());
    assert_eq!(made(&scratch, NOW, day(29)), 0);
}

#[test]
fn rows_that_were_there_before_their_partition_move_into_it() {
    let Some(store) = Store::scratch_on_postgres() else { return };
    for at in [day(0), day(1), Moment(day(2).0 - 1), day(2), day(9)] {
        note(&store, at);
    }
    assert_eq!(made(&store, day(1), day(1)), 1);
    assert_eq!(
        (count(&store, "event_20260123"), count(&store, "event_default"), count(&store, "event")),
        (2, 3, 5)
    );
    note(&store, day(1));
    assert_eq!(made(&store, day(0), day(2)), 2);
    assert_eq!(
        (count(&store, "event_20260123"), count(&store, "event_default"), count(&store, "event")),
        (3, 1, 6)
    );
}

#[test]
fn rows_that_are_too_many_to_move_stay_and_the_next_period_gets_its_partition() {
    let Some(store) = Store::scratch_on_postgres() else { return };
    let add = "INSERT INTO event (at, kind) SELECT ?1 + n, 'added' FROM generate_series(1, ?2) AS n";
    store.write(|tx| tx.execute(add, params![day(1), MOST_MOVED])).expect("added");
    assert_eq!(made(&store, day(0), day(2)), 2);
    assert_eq!(begins(&store), [day(0), day(2)]);
    note(&store, day(1));
    assert_eq!(count(&store, "event_default"), MOST_MOVED + 1);
}

#[test]
fn a_clock_that_is_ten_years_off_loses_nothing_when_it_is_right_again() {
    let Some(store) = Store::scratch_on_postgres() else { return };
    made(&store, NOW, day(1));
    for wrong in [NOW.plus(TEN_YEARS), NOW.minus(TEN_YEARS)] {
        // Before its partitions are made, with them, and beyond them.
        note(&store, wrong);
        assert_eq!(made(&store, wrong, wrong.plus(DAY)), 2);
        note(&store, wrong.plus(DAY));
        note(&store, wrong.plus(DAY * 400));
    }
    note(&store, NOW);
    assert_eq!((count(&store, "event"), count(&store, "event_default")), (7, 2));
    assert_eq!(made(&store, NOW, day(2)), 1);
    // A year is kept: only those of ten years ago are old.
    assert_eq!(store.remove_partitions(&PERIODS, NOW.minus(DAY * 365)), Ok(2));
    assert_eq!(count(&store, "event"), 5);
    for odd in [i64::MIN, -1, 0, i64::MAX] {
        note(&store, Moment(odd));
        store.make_partitions(&PERIODS, Moment(odd), Moment(odd)).expect("no error");
    }
    assert_eq!(count(&store, "event"), 9);
}

#[test]
fn a_partition_goes_when_its_whole_period_is_old_and_not_before() {
    let Some(store) = Store::scratch_on_postgres() else { return };
    made(&store, NOW, day(3));
    (0..4).for_each(|number| note(&store, day(number)));
    store.refuse_changes("DELETE", "event");
    assert_eq!(store.remove_partitions(&PERIODS, Moment(day(1).0 - 1)), Ok(0));
    assert_eq!(store.remove_partitions(&PERIODS, day(1)), Ok(1));
    assert_eq!((count(&store, "event"), begins(&store)), (3, vec![day(1), day(2), day(3)]));
    // What comes later for that time is kept, in no partition.
    note(&store, NOW);
    assert_eq!((count(&store, "event"), count(&store, "event_default")), (4, 1));
}

/// A backup program that reads for hours.
fn reader(scratch: &Scratch) -> (Store, std::sync::mpsc::Sender<()>, std::sync::mpsc::Receiver<()>) {
    let store = Store::open_beside(scratch.location(), NOW).expect("opened");
    let (end, ended) = std::sync::mpsc::channel::<()>();
    let (begun, has_begun) = std::sync::mpsc::channel();
    let reading = Store::open_beside(scratch.location(), NOW).expect("opened");
    thread::spawn(move || {
        let read = reading.read(|connection| {
            connection.query_row("SELECT count(*) FROM event", &[], |_| Ok(()))?;
            let _ = begun.send(());
            let _ = ended.recv();
            Ok(())
        });
        drop(reading);
        read
    });
    (store, end, has_begun)
}

#[test]
fn a_partition_that_is_read_is_left_for_later_and_holds_up_no_write_for_long() {
    let Some(scratch) = Store::scratch_on_postgres() else { return };
    made(&scratch, NOW, day(3));
    let (other, end, has_begun) = reader(&scratch);
    has_begun.recv().expect("it reads");
    let (removed, longest) = thread::scope(|scope| {
        let removing = scope.spawn(|| scratch.remove_partitions(&PERIODS, day(1)));
        let mut longest = Duration::ZERO;
        while !removing.is_finished() {
            let begin = std::time::Instant::now();
            note(&other, day(1));
            longest = longest.max(begin.elapsed());
        }
        (removing.join().expect("no panic"), longest)
    });
    assert_eq!(removed, Err(StoreError::Busy));
    // Longer than one wait for the lock, shorter than all of them.
    assert!(longest < LOCK_LIMIT * ATTEMPTS, "{longest:?}");
    drop(end);
    assert_eq!(scratch.remove_partitions(&PERIODS, day(1)), Ok(1));
}
