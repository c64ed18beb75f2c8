//! What beats leave in the database: `machine_state.last_seen`, `machine_latest`, and minutes of the history and of cameras.

use crate::clock::Moment;
use crate::mac::Mac;
use crate::monitor::cameras::age::ForgottenCamera;
use crate::monitor::cameras::minutes::StoredCamera;
use crate::monitor::cameras::table::{CamerasToSave, save};
use crate::monitor::conditions::catalogue::Condition;
use crate::monitor::fleet::activity::{Mark, save_counts};
use crate::monitor::fleet::elsewhere::PayloadElsewhere;
use crate::monitor::fleet::{Fleet, MachineSlot, SharedToken, Unsaved, held};
use crate::monitor::history::packed::Packed;
use crate::monitor::history::rows::{Precedence, merge};
use crate::monitor::machine::{DeviceServer, MachineId, MachineStatus};
use crate::monitor::store::sql::{Parameter, Row, Transaction, params, rows};
use crate::monitor::store::{Store, StoreError};
use std::collections::{HashMap, HashSet};

/// Marks that are kept for another try.
const MOST_UNSAVED_MARKS: usize = 10_000;

/// A machine's place in the table of states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredStatus {
    pub machine: MachineId,
    pub status: MachineStatus,
    pub last_seen: Option<Moment>,
    /// When it got this status.
    pub since: Moment,
    pub server: DeviceServer,
    /// The monitor that heard it last; `None`: there is one monitor.
    pub seen_by: Option<i64>,
}

impl StoredStatus {
    const SELECT: &str =
        "SELECT machine_id, status, last_seen, since, server_role, seen_by FROM machine_state";

    fn of_row(row: &Row<'_>) -> Result<StoredStatus, StoreError> {
        Ok(StoredStatus {
            machine: MachineId(row.get(0)?),
            status: MachineStatus::of(row.get(1)?),
            last_seen: row.get(2)?,
            since: row.get(3)?,
            server: DeviceServer::of(row.get(4)?),
            seen_by: row.get(5)?,
        })
    }
}

impl Fleet {
    /// The unsaved data of the machines that `wanted` selects.
    pub fn drain_unsaved(&self, now: Moment, mut wanted: impl FnMut(MachineId) -> bool) -> Vec<Unsaved> {
        let mut taken = Vec::new();
        for shard in &self.shards {
            let mut shard = held(shard);
            let due =
                shard.slots.iter_mut().filter(|(machine, slot)| slot.has_unsaved(now) && wanted(**machine));
            taken.extend(due.map(|(machine, slot)| slot.drain_unsaved(*machine, now)));
        }
        taken
    }

    /// Takes back data that could not be saved.
    pub fn not_saved(&self, unsaved: Vec<Unsaved>) {
        for Unsaved { machine, hostname, mut minutes, cameras, counts, .. } in unsaved {
            let mut shard = self.shard(machine);
            let Some(slot) = shard.slots.get_mut(&machine) else { continue };
            slot.unsaved = true;
            slot.hostname = slot.hostname.take().or(hostname);
            minutes.append(&mut slot.minutes);
            slot.minutes = minutes;
            slot.bound_minutes();
            slot.log.not_saved(counts);
            if let Some(known) = &mut slot.cameras {
                known.not_saved(cameras);
            }
        }
    }

    /// Loads what the database knows of a machine's cameras, before its first beat.
    pub fn load_cameras(&self, machine: MachineId, stored: Vec<StoredCamera>) {
        if let Some(slot) = self.shard(machine).slots.get_mut(&machine) {
            slot.cameras.get_or_insert_default().load(stored);
        }
    }

    /// Drops a camera that the database has forgotten.
    pub fn forget_camera(&self, forgotten: ForgottenCamera) {
        let ForgottenCamera { machine, mac } = forgotten;
        let mut shard = self.shard(machine);
        let Some(slot) = shard.slots.get_mut(&machine) else { return };
        if let Some(cameras) = &mut slot.cameras {
            cameras.forget(mac);
        }
        if let Some(conditions) = &mut slot.conditions {
            conditions.forget(Condition::Camera, |subject| Mac::parse(subject) == Some(mac));
        }
    }

    /// The machines whose token was found to be shared since the last call.
    pub fn drain_shared(&self) -> Vec<SharedToken> {
        self.shards.iter().flat_map(|shard| std::mem::take(&mut held(shard).shared)).collect()
    }

    /// The marks since the last call.
    pub fn drain_marks(&self) -> Vec<Mark> {
        self.shards.iter().flat_map(|shard| std::mem::take(&mut held(shard).marks)).collect()
    }

    /// Takes back marks that could not be written; a database that stays broken must not fill the memory.
    pub fn marks_not_saved(&self, marks: Vec<Mark>) {
        for mark in marks.into_iter().take(MOST_UNSAVED_MARKS) {
            self.shard(mark.machine).marks.push(mark);
        }
    }

    /// A request with a replaced token of `machine` was refused.
    pub fn token_refused(&self, machine: MachineId, now: Moment) {
        self.refusals.refused(machine, now);
    }

    /// The machines of which a device uses a replaced token, and since when.
    pub fn refused_repeatedly(&self, now: Moment) -> HashMap<MachineId, Moment> {
        self.refusals.repeated(|machine| self.seen(machine), now)
    }

    /// Of the machines of [`Fleet::refused_repeatedly`] before, those of which no device uses a replaced token any more.
    /// `None`: all that are not refused, because no other monitor hears them.
    pub fn refusals_over(&self) -> Option<HashSet<MachineId>> {
        self.is_shared.then(|| self.refusals.over())
    }

    /// Minutes of `machine` that the database does not have, including the current one.
    pub fn minutes(&self, machine: MachineId) -> Vec<(i64, Packed)> {
        let shard = self.shard(machine);
        let Some(slot) = shard.slots.get(&machine) else { return Vec::new() };
        slot.minutes.iter().copied().chain(slot.minute.mean()).collect()
    }

    /// Whether two devices used the token of `machine` in turn within the last hour.
    pub fn is_token_shared(&self, machine: MachineId, now: Moment) -> bool {
        self.shard(machine).slots.get(&machine).is_some_and(|slot| slot.devices.are_several(now))
    }
}

impl MachineSlot {
    fn has_unsaved(&self, now: Moment) -> bool {
        self.unsaved
            || !self.minutes.is_empty()
            || self.minute_is_over(now)
            || self.cameras.as_ref().is_some_and(|cameras| cameras.has_unsaved(now))
    }

    /// True also for a silent machine, whose minute no beat ends.
    fn minute_is_over(&self, now: Moment) -> bool {
        !self.minute.contains(now) && !self.minute.is_empty()
    }

    /// Leaves the current minute for the next call.
    fn drain_unsaved(&mut self, machine: MachineId, now: Moment) -> Unsaved {
        if self.minute_is_over(now) {
            self.end_minute();
        }
        Unsaved {
            machine,
            received_at: self.payload_at.unwrap_or(now),
            payload: std::mem::take(&mut self.unsaved).then(|| self.payload()).flatten(),
            hostname: self.hostname.take(),
            minutes: std::mem::take(&mut self.minutes),
            counts: self.log.drain(),
            cameras: self.cameras.as_mut().map(|cameras| cameras.drain(now)).unwrap_or_default(),
        }
    }
}

impl Store {
    /// Writes the event that two devices use one machine's token. Not if the machine has just been removed.
    pub fn note_shared_token(&self, shared: &SharedToken, now: Moment) -> Result<(), StoreError> {
        let detail = serde_json::json!({ "hardware_ids": shared.hardware_ids }).to_string();
        self.write(|transaction| {
            transaction.execute(
                "INSERT INTO event (at, machine_id, kind, detail)
                 SELECT ?1, id, 'shared_token', ?3 FROM machine WHERE id = ?2",
                params![now.0, shared.machine.0, detail],
            )?;
            Ok(())
        })
    }

    /// Writes when machines were last seen, and what there is to save of some of them, in one transaction; `beats` had
    /// better be sorted. Nothing else changes: a status is the sweeper's and the recovery's alone. Machines that were
    /// removed meanwhile are passed over. Returns the beats of machines that are not online, or that another monitor of the
    /// database has heard before; with one monitor there are none.
    ///
    /// # Errors
    /// The database; nothing is written then.
    pub fn save_beats(
        &self,
        beats: &[(MachineId, Moment)],
        machines: &[Unsaved],
    ) -> Result<Vec<(MachineId, Moment)>, StoreError> {
        if beats.is_empty() && machines.is_empty() {
            return Ok(Vec::new());
        }
        self.write(|tx| {
            let astray = match self.process() {
                None => save_seen(tx, beats).map(|()| Vec::new()),
                Some(process) => save_seen_by(tx, process, beats),
            }?;
            save_latest(tx, machines)?;
            Ok(astray)
        })
    }

    /// The last payload, and when it was received, as far as the database has it.
    pub fn latest(&self, machine: MachineId) -> Result<Option<(Moment, String)>, StoreError> {
        self.read(|connection| {
            let query = "SELECT received_at, payload FROM machine_latest WHERE machine_id = ?1";
            connection.query_optional(query, params![machine.0], |row| Ok((Moment(row.get(0)?), row.get(1)?)))
        })
    }

    /// Calls `visit` with the last payload of each machine, as far as the database has it.
    pub fn each_latest(&self, mut visit: impl FnMut(MachineId, &str)) -> Result<(), StoreError> {
        self.read(|connection| {
            connection.query_each("SELECT machine_id, payload FROM machine_latest", &[], |row| {
                visit(MachineId(row.get(0)?), row.get(1)?);
                Ok(())
            })
        })
    }

    /// The payloads that were received at `moment` or later, of machines that another monitor than `process` heard last.
    pub fn payloads_elsewhere(
        &self,
        process: i64,
        moment: Moment,
    ) -> Result<Vec<PayloadElsewhere>, StoreError> {
        self.read(|connection| {
            let sql = "SELECT l.machine_id, l.received_at, l.payload
                       FROM machine_latest l JOIN machine_state s ON s.machine_id = l.machine_id
                       WHERE l.received_at >= ?1 AND s.seen_by <> ?2";
            connection.query_all(sql, params![moment, process], |row| {
                Ok(PayloadElsewhere {
                    machine: MachineId(row.get(0)?),
                    received: row.get(1)?,
                    payload: row.get(2)?,
                })
            })
        })
    }

    /// The state of each machine.
    pub fn states(&self) -> Result<Vec<StoredStatus>, StoreError> {
        self.read(|connection| connection.query_all(StoredStatus::SELECT, &[], StoredStatus::of_row))
    }

    /// The state of each machine that has had it since `moment` or later.
    pub fn states_since(&self, moment: Moment) -> Result<Vec<StoredStatus>, StoreError> {
        self.read(|connection| {
            let sql = format!("{} WHERE since >= ?1", StoredStatus::SELECT);
            connection.query_all(&sql, params![moment], StoredStatus::of_row)
        })
    }

    /// The state of each machine that is online and that another monitor than `process` heard last.
    pub fn states_elsewhere(&self, process: i64) -> Result<Vec<StoredStatus>, StoreError> {
        self.read(|connection| {
            let sql = format!("{} WHERE seen_by <> ?1 AND status = ?2", StoredStatus::SELECT);
            connection.query_all(&sql, params![process, MachineStatus::Online as i64], StoredStatus::of_row)
        })
    }
}

fn save_seen(tx: &Transaction<'_>, beats: &[(MachineId, Moment)]) -> Result<(), StoreError> {
    let mut seen = tx.prepare("UPDATE machine_state SET last_seen = ?2 WHERE machine_id = ?1")?;
    for (machine, at) in beats {
        seen.execute(params![machine.0, at.0])?;
    }
    Ok(())
}

/// The beats of a statement, which it has as `?1`.
pub const BEATS: &str = "beat (machine, at) AS
    (SELECT CAST(value ->> 0 AS BIGINT), CAST(value ->> 1 AS BIGINT) FROM json_each(?1))";

/// The value of `?1` for [`BEATS`].
pub fn beat_rows(beats: &[(MachineId, Moment)]) -> Result<String, StoreError> {
    rows(beats.iter().map(|(machine, at)| (machine.0, at.0)))
}

/// One statement for all beats; a second one only if some are of machines that are not online, or not this monitor's.
fn save_seen_by(
    tx: &Transaction<'_>,
    process: i64,
    beats: &[(MachineId, Moment)],
) -> Result<Vec<(MachineId, Moment)>, StoreError> {
    if beats.is_empty() {
        return Ok(Vec::new());
    }
    let encoded = beat_rows(beats)?;
    let online = MachineStatus::Online as i64;
    let own = tx.execute(
        &format!(
            "WITH {BEATS} UPDATE machine_state SET last_seen = beat.at
             FROM beat WHERE machine_id = beat.machine AND seen_by = ?2 AND status = ?3"
        ),
        params![encoded, process, online],
    )?;
    if own == beats.len() {
        return Ok(Vec::new());
    }
    // The newest moment wins, whoever heard it. A heartbeat that waited while the database could not be reached moves no machine
    // that another monitor has heard later, and ends no outage that was found later.
    let mut astray = Vec::new();
    tx.query_each(
        &format!(
            "WITH {BEATS} UPDATE machine_state SET last_seen = greatest(last_seen, beat.at)
             FROM beat WHERE machine_id = beat.machine AND (seen_by IS DISTINCT FROM ?2 OR status <> ?3)
             RETURNING machine_id, beat.at, beat.at >= last_seen AND (status = ?3 OR beat.at >= since)"
        ),
        params![encoded, process, online],
        |row| {
            if row.get(2)? {
                astray.push((MachineId(row.get(0)?), row.get(1)?));
            }
            Ok(())
        },
    )?;
    Ok(astray)
}

fn save_latest(tx: &Transaction<'_>, machines: &[Unsaved]) -> Result<(), StoreError> {
    let payloads = machines.iter().filter_map(|unsaved| {
        let payload = unsaved.payload.as_ref()?;
        Some([unsaved.machine.0.value(), unsaved.received_at.0.value(), payload.value()])
    });
    tx.prepare(
        "INSERT INTO machine_latest (machine_id, received_at, payload)
         SELECT id, ?2, ?3 FROM machine WHERE id = ?1
         ON CONFLICT (machine_id) DO UPDATE SET received_at = excluded.received_at, payload = excluded.payload",
    )?
    .execute_all(payloads)?;
    let hostnames = machines
        .iter()
        .filter_map(|unsaved| Some([unsaved.machine.0.value(), unsaved.hostname.as_ref()?.value()]));
    tx.prepare(
        "UPDATE machine SET hostname = ?2
         WHERE id = ?1 AND NOT hostname_pinned AND (hostname IS NULL OR hostname <> ?2)",
    )?
    .execute_all(hostnames)?;
    let minutes: Vec<_> = machines.iter().map(|unsaved| (unsaved.machine, &unsaved.minutes)).collect();
    merge(tx, 0, &minutes, Precedence::New)?;
    let cameras: Vec<_> = machines
        .iter()
        .map(|unsaved| CamerasToSave {
            machine: unsaved.machine,
            unsaved: &unsaved.cameras,
            at: unsaved.received_at,
        })
        .collect();
    save(tx, &cameras)?;
    let counts: Vec<_> =
        machines.iter().map(|unsaved| (unsaved.machine, unsaved.counts, unsaved.received_at)).collect();
    save_counts(tx, &counts)
}
