//! Makes the partitions of events and history before their time comes; see
//! [`partitions`](crate::monitor::store::partitions). On SQLite there are none.
//!
//! Each monitor does so when it starts, and the one that removes expired rows each hour. All go by the server's clock.

use crate::clock::Moment;
use crate::monitor::store::{Store, StoreError};
use std::time::Duration;

/// The longest time for which events can be kept.
const LONGEST: Duration = Duration::from_secs(87_600 * 3600);

/// Makes those that will be needed in the next two days, and more.
pub fn make(store: &Store, now: Moment) {
    let made = store
        .make_event_partitions(now, now)
        .and_then(|events| Ok(events + store.make_history_partitions(now)?));
    match made {
        Ok(0) => {}
        Ok(made) => log::debug!("made {made} partitions for events and history"),
        Err(error) => log::warn!(
            "cannot make partitions for events and history: {error}; their rows are kept without, and removed one by one"
        ),
    }
}

/// Makes those for the rows of another database that are about to be copied, as far as they are kept.
pub fn make_for_copy(source: &Store, target: &Store, now: Moment) -> Result<(), StoreError> {
    let oldest: Option<i64> =
        source.read(|connection| connection.query_row("SELECT min(at) FROM event", &[], |row| row.get(0)))?;
    let oldest = oldest.map_or(now, Moment).clamp(now.minus(LONGEST), now);
    target.make_event_partitions(oldest, now)?;
    target.make_history_partitions(now)?;
    Ok(())
}

#[cfg(all(test, feature = "postgres"))]
mod tests {
    use super::*;
    use crate::monitor::store::page::Page;
    use crate::monitor::store::sql::params;

    const DAY: Duration = Duration::from_secs(86_400);
    const NOW: Moment = Moment(1_769_000_000_000);

    fn number(store: &Store, sql: &str) -> i64 {
        store.read(|connection| connection.query_row(sql, &[], |row| row.get(0))).expect("read")
    }

    fn note(store: &Store, days_ago: u32) {
        let add = "INSERT INTO event (at, kind) VALUES (?1, 'added')";
        store.write(|tx| tx.execute(add, params![NOW.minus(DAY * days_ago)])).expect("written");
    }

    /// An installation in a file moves to a server, and back.
    #[test]
    fn what_is_copied_is_in_partitions_and_the_same_on_the_way_back() {
        let Some(server) = Store::scratch_on_postgres() else { return };
        let (file, back) = (Store::scratch_file(), Store::scratch_file());
        let rows = "INSERT INTO machine (id, name, created_at) VALUES (1, 'barn', 0)";
        file.write(|tx| tx.execute(rows, &[])).expect("a machine");
        (0..400).step_by(20).for_each(|days_ago| note(&file, days_ago));
        let history = "INSERT INTO history VALUES (1, ?1, ?2, ?3)";
        for (seconds, days_ago) in [(60, 0), (60, 1), (900, 3), (900, 29), (3600, 40), (3600, 364)] {
            let at = NOW.minus(DAY * days_ago);
            file.write(|tx| tx.execute(history, params![seconds, at, [1_u8]])).expect("written");
        }
        make_for_copy(&file, &server, NOW).expect("made");
        let copied = file.copy_into(&server, &mut |_| ()).expect("copied");
        let outside = "SELECT (SELECT count(*) FROM event_default) + (SELECT count(*) FROM history_default)";
        assert_eq!((number(&server, outside), copied.rows), (0, 27));
        make_for_copy(&server, &back, NOW).expect("nothing to make");
        assert_eq!(server.copy_into(&back, &mut |_| ()), Ok(copied));
        assert_eq!(number(&back, "SELECT count(*) FROM event"), 20);
        let next = "INSERT INTO event (at, kind) VALUES (0, 'added') RETURNING id";
        let next = server.write(|tx| tx.query_row(next, &[], |row| row.get::<i64>(0)));
        assert_eq!(next, Ok(21), "numbers go on");
    }

    #[test]
    fn a_list_of_events_goes_through_all_partitions_in_order() {
        let Some(store) = Store::scratch_on_postgres() else { return };
        store.make_event_partitions(NOW.minus(DAY * 100), NOW).expect("made");
        (0..100).rev().for_each(|days_ago| note(&store, days_ago));
        // In no partition.
        note(&store, 900);
        let ids = |page: Page, limit: u32| -> Vec<i64> {
            store.events(page, None, limit).expect("read").iter().map(|event| event.id).collect()
        };
        assert_eq!(ids(Page::default(), 3), [101, 100, 99]);
        assert_eq!(ids(Page { after: Some(48), before: None }, 3), [49, 50, 51]);
        assert_eq!(ids(Page::default(), 500).len(), 101);
    }

    /// Events are kept for 50 days, then for 20, then for 400.
    #[test]
    fn a_shorter_retention_drops_more_partitions_and_a_longer_one_nothing() {
        let Some(store) = Store::scratch_on_postgres() else { return };
        store.make_event_partitions(NOW.minus(DAY * 100), NOW).expect("made");
        (0..100).for_each(|days_ago| note(&store, days_ago));
        store.refuse_changes("DELETE", "event");
        for (kept, left) in [(50, 50..57), (20, 20..27), (400, 20..27)] {
            let before = NOW.minus(DAY * kept);
            store.remove_event_partitions(before).expect("removed");
            assert_eq!(store.prune(before, before), Ok(0), "no event is deleted");
            let events = number(&store, "SELECT count(*) FROM event");
            assert!(left.contains(&events), "{kept} days are kept, and at most a week more: {events}");
            let newer =
                number(&store, &format!("SELECT count(*) FROM event WHERE at > {}", NOW.minus(DAY * 20).0));
            assert_eq!(newer, 20);
        }
    }
}
