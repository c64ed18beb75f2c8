//! Heartbeats by reason and day, and marks on a machine's time line: boots and changes of its uplink.
//!
//! Counted in memory and written with the other unsaved data, every 1 to 15 minutes; marks, which are rare, with each write.

use crate::clock::Moment;
use crate::monitor::beat::Beat;
use crate::monitor::machine::MachineId;
use crate::monitor::store::sql::{Parameter, Transaction, Value, params};
use crate::monitor::store::{Store, StoreError};
use crate::wire::Reason;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Reasons that are counted: those of the wire format, and one for formats without a reason.
pub const REASONS: usize = Reason::ALL.len() + 1;
/// Days for which counts and marks are kept.
const KEPT_DAYS: i64 = 366;
const DAY_MS: i64 = 86_400_000;
/// Marks of one machine that are kept: 20 a day for a month, or 2 a day for a year.
const MOST_MARKS: u32 = 700;

/// What is counted of a machine since the last write; 24 bytes.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct BeatLog {
    /// By [`index`]. A drain comes every 15 minutes at the latest: more than a beat a second would be needed to fill it.
    counts: [u16; REASONS],
    /// Hashes of the boot and of the uplink that the last beat named; 0: none yet.
    boot: u32,
    uplink: u32,
}

/// A moment that the charts of a machine mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    pub machine: MachineId,
    pub at: Moment,
    pub kind: MarkKind,
    /// The uplink's name.
    pub detail: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MarkKind {
    Boot,
    Uplink,
}

impl MarkKind {
    /// As in `machine_mark.kind`.
    fn name(self) -> &'static str {
        match self {
            MarkKind::Boot => "boot",
            MarkKind::Uplink => "uplink",
        }
    }
}

/// Heartbeats of one day (UTC) by reason, in the order of [`Reason::ALL`]; the last are those without a reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BeatDay {
    /// Since 1970.
    pub day: i64,
    pub counts: [u32; REASONS],
}

impl BeatLog {
    /// Counts a live beat; the marks that it sets are appended to `marks`.
    pub(super) fn add(&mut self, machine: MachineId, beat: &Beat<'_>, now: Moment, marks: &mut Vec<Mark>) {
        let count = &mut self.counts[beat.reason.map_or(REASONS - 1, index)];
        *count = count.saturating_add(1);
        if let Some(boot) = &beat.facts.boot_id {
            if is_changed(&mut self.boot, boot) {
                marks.push(Mark { machine, at: now, kind: MarkKind::Boot, detail: None });
            }
        }
        if let Some(uplink) = &beat.facts.active {
            if is_changed(&mut self.uplink, uplink.as_str()) {
                let detail = Some(uplink.as_str().to_owned());
                marks.push(Mark { machine, at: now, kind: MarkKind::Uplink, detail });
            }
        }
    }

    pub(super) fn drain(&mut self) -> [u16; REASONS] {
        std::mem::take(&mut self.counts)
    }

    pub(super) fn not_saved(&mut self, counts: [u16; REASONS]) {
        for (count, unsaved) in self.counts.iter_mut().zip(counts) {
            *count = count.saturating_add(unsaved);
        }
    }
}

/// The column of `beat_day`, in the order of [`Reason::ALL`].
const COLUMNS: [&str; REASONS] =
    ["startup", "scheduled", "failover", "connectivity_restored", "triggered", "camera", "shutdown", "other"];

/// The day of a moment (UTC), since 1970.
pub fn day(at: Moment) -> i64 {
    at.0.div_euclid(DAY_MS)
}

fn index(reason: Reason) -> usize {
    Reason::ALL.iter().position(|known| *known == reason).unwrap_or(REASONS - 1)
}

/// Replaces the remembered hash; false for the first value, which is no change.
fn is_changed(remembered: &mut u32, value: &str) -> bool {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    // The low half is as evenly spread as the whole; 0 is kept for "none yet".
    let hash = (hasher.finish() as u32).max(1);
    let before = std::mem::replace(remembered, hash);
    before != 0 && before != hash
}

/// Heartbeats of a machine by reason, and the moment whose day they belong to.
pub(super) type MachineCounts = (MachineId, [u16; REASONS], Moment);

/// Adds to the counts of the days.
pub(super) fn save_counts(tx: &Transaction<'_>, machines: &[MachineCounts]) -> Result<(), StoreError> {
    let added: Vec<String> =
        COLUMNS.iter().map(|name| format!("{name} = beat_day.{name} + excluded.{name}")).collect();
    let sql = format!(
        "INSERT INTO beat_day (machine_id, day, {}) SELECT id, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10
         FROM machine WHERE id = ?1
         ON CONFLICT (machine_id, day) DO UPDATE SET {}",
        COLUMNS.join(", "),
        added.join(", ")
    );
    let counted = machines.iter().filter(|(_, counts, _)| *counts != [0; REASONS]);
    tx.prepare(&sql)?.execute_all(counted.map(|(machine, counts, at)| {
        let [a, b, c, d, e, f, g, h] = counts.map(i64::from);
        [machine.0, day(*at), a, b, c, d, e, f, g, h].map(Value::Integer)
    }))?;
    Ok(())
}

impl Store {
    /// Writes marks; those of machines that were removed meanwhile are passed over.
    pub fn save_marks(&self, marks: &[Mark]) -> Result<(), StoreError> {
        self.write(|tx| {
            tx.prepare(
                "INSERT INTO machine_mark (machine_id, at, kind, detail) SELECT id, ?2, ?3, ?4
                 FROM machine WHERE id = ?1 ON CONFLICT DO NOTHING",
            )?
            .execute_all(marks.iter().map(|mark| {
                let (machine, at, kind) = (mark.machine.0.value(), mark.at.0.value(), mark.kind.name());
                [machine, at, Value::Text(kind), mark.detail.value()]
            }))?;
            tx.prepare(
                "DELETE FROM machine_mark WHERE machine_id = ?1 AND at <=
                 (SELECT at FROM machine_mark WHERE machine_id = ?1 ORDER BY at DESC LIMIT 1 OFFSET ?2)",
            )?
            .execute_all(marks.iter().map(|mark| [mark.machine.0.value(), MOST_MARKS.value()]))?;
            Ok(())
        })
    }

    /// The marks of a machine from `from` on, oldest first.
    pub fn marks(&self, machine: MachineId, from: Moment) -> Result<Vec<Mark>, StoreError> {
        self.read(|connection| {
            connection.query_all(
                "SELECT at, kind, detail FROM machine_mark WHERE machine_id = ?1 AND at >= ?2 ORDER BY at",
                params![machine.0, from.0],
                |row| {
                    let kind: String = row.get(1)?;
                    let kind = if kind == MarkKind::Boot.name() { MarkKind::Boot } else { MarkKind::Uplink };
                    Ok(Mark { machine, at: Moment(row.get(0)?), kind, detail: row.get(2)? })
                },
            )
        })
    }

    /// Heartbeats of the last `days` days by reason, oldest first; those of the last minutes are in memory only.
    pub fn beat_days(&self, machine: MachineId, days: i64, now: Moment) -> Result<Vec<BeatDay>, StoreError> {
        let sql = format!(
            "SELECT day, {} FROM beat_day WHERE machine_id = ?1 AND day > ?2 ORDER BY day",
            COLUMNS.join(", ")
        );
        self.read(|connection| {
            connection.query_all(&sql, params![machine.0, day(now) - days], |row| {
                let mut counts = [0; REASONS];
                for (number, count) in counts.iter_mut().enumerate() {
                    *count = row.get(number + 1)?;
                }
                Ok(BeatDay { day: row.get(0)?, counts })
            })
        })
    }

    /// Removes counts and marks that are older than a year.
    pub fn prune_activity(&self, now: Moment) -> Result<(), StoreError> {
        let first = day(now) - KEPT_DAYS;
        self.write(|tx| {
            tx.execute("DELETE FROM beat_day WHERE day < ?1", params![first])?;
            tx.execute("DELETE FROM machine_mark WHERE at < ?1", params![first * DAY_MS])?;
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::beat::{BeatKind, Sample};
    use crate::monitor::conditions::facts::{Facts, InterfaceName};
    use crate::monitor::fleet::Fleet;
    use crate::monitor::machine::Description;
    use std::time::Duration;

    const MACHINE: MachineId = MachineId(1);
    const NOW: Moment = Moment(20_000 * DAY_MS);

    fn beat<'a>(reason: Option<Reason>, boot: &'a str, uplink: &str) -> Beat<'a> {
        let facts =
            Facts { boot_id: Some(boot.into()), active: InterfaceName::new(uplink), ..Facts::default() };
        Beat {
            kind: BeatKind::Live,
            reason,
            server: crate::monitor::machine::DeviceServer::Only,
            interval: None,
            hostname: None,
            device: None,
            sample: Sample::default(),
            facts,
            payload: "{}",
        }
    }

    fn store() -> crate::monitor::store::Scratch {
        let store = Store::scratch();
        let machine = Description { name: "barn".into(), ..Description::default() };
        store.add_machine(&machine, Moment(0)).expect("added");
        store
    }

    #[test]
    fn beats_are_counted_by_reason_and_day_and_a_failed_write_loses_none() {
        let (store, fleet) = (store(), Fleet::default());
        for reason in [Some(Reason::Scheduled), Some(Reason::Scheduled), Some(Reason::Failover), None] {
            fleet.beat(MACHINE, &beat(reason, "a", "eth0"), NOW);
        }
        let unsaved = fleet.drain_unsaved(NOW, |_| true);
        fleet.not_saved(unsaved);
        let unsaved = fleet.drain_unsaved(NOW, |_| true);
        store.save_beats(&[], &unsaved).expect("saved");
        fleet.beat(MACHINE, &beat(Some(Reason::Scheduled), "a", "eth0"), NOW);
        store.save_beats(&[], &fleet.drain_unsaved(NOW, |_| true)).expect("saved");
        let days = store.beat_days(MACHINE, 30, NOW).expect("read");
        assert_eq!(days, [BeatDay { day: 20_000, counts: [0, 3, 1, 0, 0, 0, 0, 1] }]);
    }

    #[test]
    fn a_boot_and_another_uplink_are_marked_and_the_first_beat_is_not() {
        let (store, fleet) = (store(), Fleet::default());
        let later = NOW.plus(Duration::from_secs(60));
        fleet.beat(MACHINE, &beat(None, "a", "eth0"), NOW);
        fleet.beat(MACHINE, &beat(None, "a", "wlan0"), NOW);
        fleet.beat(MACHINE, &beat(None, "b", "wlan0"), later);
        let marks = fleet.drain_marks();
        store.save_marks(&marks).expect("saved");
        let uplink = Mark { machine: MACHINE, at: NOW, kind: MarkKind::Uplink, detail: Some("wlan0".into()) };
        let boot = Mark { machine: MACHINE, at: later, kind: MarkKind::Boot, detail: None };
        assert_eq!(store.marks(MACHINE, Moment(0)), Ok(vec![uplink, boot]));
        assert!(fleet.drain_marks().is_empty());
    }

    #[test]
    fn old_counts_and_marks_are_removed_and_marks_are_bounded() {
        let store = store();
        let mark = |minute: i64| Mark {
            machine: MACHINE,
            at: Moment(NOW.0 + minute * 60_000),
            kind: MarkKind::Boot,
            detail: None,
        };
        store.save_marks(&(0..800).map(mark).collect::<Vec<_>>()).expect("saved");
        assert_eq!(store.marks(MACHINE, Moment(0)).expect("read").len(), MOST_MARKS as usize);
        store.prune_activity(NOW.plus(Duration::from_secs(400 * 86_400))).expect("pruned");
        assert_eq!(store.marks(MACHINE, Moment(0)), Ok(Vec::new()));
    }
}
