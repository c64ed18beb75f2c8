//! Reads what a page is computed from: the machines of a group, and their records of 90 days.

use super::shown::{GroupMachine, ShownMachine};
use super::uptime::{DAYS, TimeSpan, UptimeRecords};
use crate::clock::Moment;
use crate::monitor::fleet::activity::day;
use crate::monitor::incidents::table::OFFLINE;
use crate::monitor::machine::{MachineId, MachineStatus};
use crate::monitor::store::sql::{Connection, params};
use crate::monitor::store::{Store, StoreError};
use std::time::Duration;

/// Outages and stops of one machine that are read, 22 a day; of one that has more, the time before them is unknown.
const MOST_INCIDENTS: u32 = 2_000;
/// Pauses of one machine that are read; earlier ones excuse nothing.
const MOST_MAINTENANCES: u32 = 200;

impl Store {
    /// The machines of a group by number.
    pub fn group_machines(&self, group: &str, now: Moment) -> Result<Vec<GroupMachine>, StoreError> {
        self.read(|connection| {
            connection.query_all(
                "SELECT machine.id, label, status, watched, last_seen, since, created_at,
                        EXISTS (SELECT 1 FROM maintenance WHERE maintenance.machine_id = machine.id
                                AND starts_at <= ?2 AND ends_at > ?2)
                 FROM machine JOIN machine_state ON machine_state.machine_id = machine.id
                 LEFT JOIN status_label ON status_label.machine_id = machine.id
                 WHERE group_name = ?1 ORDER BY machine.id",
                params![group, now.0],
                |row| {
                    Ok(GroupMachine {
                        id: MachineId(row.get(0)?),
                        label: row.get(1)?,
                        status: MachineStatus::of(row.get(2)?),
                        watched: row.get(3)?,
                        last_seen: row.get(4)?,
                        since: Moment(row.get(5)?),
                        created_at: Moment(row.get(6)?),
                        is_paused: row.get(7)?,
                    })
                },
            )
        })
    }

    /// The records of the last [`DAYS`] days of each machine, in the same order; those that are older than `kept` are being
    /// removed.
    pub fn uptime_records(
        &self,
        machines: &[ShownMachine],
        kept: Duration,
        now: Moment,
    ) -> Result<Vec<UptimeRecords>, StoreError> {
        self.read(|connection| {
            machines.iter().map(|machine| records(connection, machine, now.minus(kept), now)).collect()
        })
    }
}

fn records(
    connection: &Connection<'_>,
    machine: &ShownMachine,
    oldest: Moment,
    now: Moment,
) -> Result<UptimeRecords, StoreError> {
    let days = Duration::from_secs(86_400) * DAYS as u32;
    let begin = machine.from.max(oldest).max(now.minus(days));
    let incidents = incidents(connection, machine.id, begin, now)?;
    let is_cut = incidents.len() == MOST_INCIDENTS as usize;
    let first = if is_cut { incidents.iter().map(|(span, _)| span.0).min() } else { None };
    let of = |is_planned: bool| -> Vec<TimeSpan> {
        incidents.iter().filter(|(_, planned)| *planned == is_planned).map(|(span, _)| *span).collect()
    };
    Ok(UptimeRecords {
        from: begin.max(first.unwrap_or(begin)),
        until: machine.until.unwrap_or(now),
        beat_days: beat_days(connection, machine, begin)?,
        outages: of(false),
        stops: of(true),
        maintenances: maintenances(connection, machine.id, begin)?,
    })
}

/// Outages and stops that ended after `from`, and whether each was planned; the newest [`MOST_INCIDENTS`].
fn incidents(
    connection: &Connection<'_>,
    machine: MachineId,
    from: Moment,
    now: Moment,
) -> Result<Vec<(TimeSpan, bool)>, StoreError> {
    let values = params![machine.0, OFFLINE, from.0, now.0, MOST_INCIDENTS];
    connection.query_all(
        "SELECT last_seen, coalesce(ended_at, ?4), planned FROM incident
         WHERE machine_id = ?1 AND kind = ?2 AND (ended_at IS NULL OR ended_at >= ?3)
         ORDER BY began_at DESC LIMIT ?5",
        values,
        |row| Ok(((Moment(row.get(0)?), Moment(row.get(1)?)), row.get(2)?)),
    )
}

fn maintenances(
    connection: &Connection<'_>,
    machine: MachineId,
    from: Moment,
) -> Result<Vec<TimeSpan>, StoreError> {
    connection.query_all(
        "SELECT starts_at, ends_at FROM maintenance WHERE machine_id = ?1 AND ends_at >= ?2
         ORDER BY ends_at DESC LIMIT ?3",
        params![machine.0, from.0, MOST_MAINTENANCES],
        |row| Ok((Moment(row.get(0)?), Moment(row.get(1)?))),
    )
}

/// The counts of the last minutes are in memory only, so that the last heartbeat is added.
fn beat_days(
    connection: &Connection<'_>,
    machine: &ShownMachine,
    from: Moment,
) -> Result<Vec<i64>, StoreError> {
    let mut days: Vec<i64> = connection.query_all(
        "SELECT day FROM beat_day WHERE machine_id = ?1 AND day >= ?2 ORDER BY day",
        params![machine.id.0, day(from)],
        |row| row.get(0),
    )?;
    let seen = machine.last_seen.map(day);
    if let Some(seen) = seen.filter(|seen| days.last().is_none_or(|last| last < seen)) {
        days.push(seen);
    }
    Ok(days)
}

#[cfg(test)]
mod tests {
    use super::super::shown::shown;
    use super::super::uptime::Uptime;
    use super::*;
    use crate::monitor::machine::Description;
    use crate::monitor::store::Scratch;

    const DAY: i64 = 86_400_000;
    const NOW: Moment = Moment(1_000 * DAY + DAY / 2);
    const YEAR: Duration = Duration::from_secs(365 * 86_400);

    /// Machine 1 in "barn" was added 200 days ago and is online since then; machine 2 is in "mill".
    fn store() -> Scratch {
        on(Store::scratch())
    }

    fn on(store: Scratch) -> Scratch {
        for (name, group) in [("barn-cam", "barn"), ("mill-cam", "mill")] {
            let machine =
                Description { name: name.into(), group: Some(group.into()), ..Description::default() };
            store.add_machine(&machine, Moment(800 * DAY)).expect("added");
        }
        write(&store, "UPDATE machine_state SET status = 1, last_seen = 86443199000");
        store
    }

    fn write(store: &Store, sql: &str) {
        store.write(|tx| tx.execute_batch(sql)).expect(sql);
    }

    fn uptime(store: &Store, kept: Duration) -> Uptime {
        let machines = shown("barn", &store.group_machines("barn", NOW).expect("read"));
        let records = store.uptime_records(&machines, kept, NOW).expect("read");
        assert_eq!(records.len(), 1);
        Uptime::of(&records[0], NOW)
    }

    fn known(uptime: &Uptime) -> usize {
        uptime.days.iter().flatten().count()
    }

    #[test]
    fn a_machine_of_the_group_is_read_with_its_label_and_pause() {
        let store = store();
        write(&store, "INSERT INTO status_label VALUES (1, 'North')");
        let machine = || store.group_machines("barn", NOW).expect("read").remove(0);
        assert_eq!((machine().id, machine().label.as_deref()), (MachineId(1), Some("North")));
        assert!(!machine().is_paused);
        let hour = Duration::from_secs(3600);
        store.pause_machine("barn-cam", hour, None, NOW.minus(Duration::from_secs(60))).expect("paused");
        assert!(machine().is_paused);
        assert_eq!(store.group_machines("nowhere", NOW), Ok(Vec::new()));
    }

    #[test]
    fn only_days_with_a_heartbeat_or_an_outage_are_known_and_the_last_minutes_count() {
        let store = store();
        assert_eq!(known(&uptime(&store, YEAR)), 1, "the heartbeat that is not counted yet");
        write(
            &store,
            "INSERT INTO beat_day (machine_id, day, scheduled) VALUES (1, 910, 5), (1, 911, 5), (1, 950, 9), (2, 960, 9);
             INSERT INTO incident (machine_id, kind, planned, last_seen, began_at, ended_at) VALUES
                (1, 'offline', FALSE, 82166400000, 82166400000, 82261440000),
                (1, 'offline', TRUE, 83808000000, 83808000000, 83894400000),
                (1, 'temp', FALSE, 1, 2, NULL), (2, 'offline', FALSE, 1, 2, NULL);",
        );
        let uptime = uptime(&store, YEAR);
        let days: Vec<i64> = (uptime.first_day..)
            .zip(&uptime.days)
            .filter(|(_, day)| day.is_some())
            .map(|(day, _)| day)
            .collect();
        assert_eq!(days, [911, 950, 951, 952, 1_000]);
        assert_eq!(uptime.days[952 - 911].map(|day| day.down), Some(8_640_000));
    }

    #[test]
    fn the_time_before_the_addition_and_before_the_kept_records_is_unknown() {
        let store = store();
        let days: Vec<String> = (900..=1_000).map(|day| format!("(1, {day}, 5)")).collect();
        write(
            &store,
            &format!("INSERT INTO beat_day (machine_id, day, scheduled) VALUES {}", days.join(", ")),
        );
        assert_eq!(known(&uptime(&store, YEAR)), DAYS);
        assert_eq!(known(&uptime(&store, Duration::from_secs(10 * 86_400))), 11);
        write(&store, "UPDATE machine SET created_at = 86011200000");
        let uptime = uptime(&store, YEAR);
        assert_eq!(known(&uptime), 6);
        assert_eq!(uptime.days[995 - 911].map(|day| day.up), Some(DAY / 2));
    }

    #[test]
    fn of_a_machine_with_too_many_outages_the_time_before_those_that_are_read_is_unknown() {
        let store = store();
        let rows: Vec<String> = (0..MOST_INCIDENTS + 10)
            .map(|number| {
                let at = NOW.0 - (i64::from(number) + 2) * 600_000;
                format!("(1, 'offline', FALSE, {at}, {at}, {})", at + 60_000)
            })
            .collect();
        let columns = "machine_id, kind, planned, last_seen, began_at, ended_at";
        write(&store, &format!("INSERT INTO incident ({columns}) VALUES {}", rows.join(", ")));
        let days = MOST_INCIDENTS as usize * 600 / 86_400 + 1;
        assert_eq!(known(&uptime(&store, YEAR)), days + 1);
    }

    #[test]
    fn records_are_found_by_indexes() {
        let store = on(Store::scratch_file());
        for (sql, index) in [
            ("SELECT 1 FROM maintenance WHERE machine_id = 1 AND ends_at >= 2 ORDER BY ends_at DESC", "maintenance_machine"),
            (
                "SELECT 1 FROM incident WHERE machine_id = 1 AND kind = 'offline' AND (ended_at IS NULL OR ended_at >= 2)
                 ORDER BY began_at DESC",
                "incident_machine",
            ),
        ] {
            let steps: Vec<String> = store
                .read(|connection| {
                    connection.query_all(&format!("EXPLAIN QUERY PLAN {sql}"), &[], |row| row.get(3))
                })
                .expect("a plan");
            assert!(steps.iter().any(|step| step.contains(index)), "{steps:?}");
        }
    }
}
