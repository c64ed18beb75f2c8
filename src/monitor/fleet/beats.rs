//! What beats leave in the database: `machine_state.last_seen`, `machine_latest`, and the history's minutes.

use crate::clock::Moment;
use crate::monitor::fleet::{Fleet, SharedToken, Unsaved, held};
use crate::monitor::history::rows::{Precedence, Rows};
use crate::monitor::machine::{MachineId, MachineStatus};
use crate::monitor::store::{Store, StoreError};
use rusqlite::{OptionalExtension, Transaction, params};

/// A machine's place in the table of states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredStatus {
    pub machine: MachineId,
    pub status: MachineStatus,
    pub last_seen: Option<Moment>,
}

impl Fleet {
    /// The machines whose token was found to be shared since the last call.
    pub fn drain_shared(&self) -> Vec<SharedToken> {
        self.shards.iter().flat_map(|shard| std::mem::take(&mut held(shard).shared)).collect()
    }

    /// Whether two devices used the token of `machine` in turn within the last hour.
    pub fn is_token_shared(&self, machine: MachineId, now: Moment) -> bool {
        self.shard(machine).slots.get(&machine).is_some_and(|slot| slot.devices.are_several(now))
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
    /// removed meanwhile are passed over.
    ///
    /// # Errors
    /// The database; nothing is written then.
    pub fn save_beats(&self, beats: &[(MachineId, Moment)], machines: &[Unsaved]) -> Result<(), StoreError> {
        if beats.is_empty() && machines.is_empty() {
            return Ok(());
        }
        self.write(|tx| {
            let mut seen =
                tx.prepare_cached("UPDATE machine_state SET last_seen = ?2 WHERE machine_id = ?1")?;
            for (machine, at) in beats {
                seen.execute((machine.0, at.0))?;
            }
            save_latest(tx, machines)
        })
    }

    /// The last payload, and when it was received, as far as the database has it.
    pub fn latest(&self, machine: MachineId) -> Result<Option<(Moment, String)>, StoreError> {
        self.read(|connection| {
            let query = "SELECT received_at, payload FROM machine_latest WHERE machine_id = ?1";
            let row = connection.query_row(query, [machine.0], |row| Ok((Moment(row.get(0)?), row.get(1)?)));
            Ok(row.optional()?)
        })
    }

    /// The state of each machine.
    pub fn states(&self) -> Result<Vec<StoredStatus>, StoreError> {
        self.read(|connection| {
            let mut query = connection.prepare("SELECT machine_id, status, last_seen FROM machine_state")?;
            let rows = query.query_map([], |row| {
                Ok(StoredStatus {
                    machine: MachineId(row.get(0)?),
                    status: MachineStatus::of(row.get(1)?),
                    last_seen: row.get::<_, Option<i64>>(2)?.map(Moment),
                })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }
}

fn save_latest(tx: &Transaction<'_>, machines: &[Unsaved]) -> Result<(), StoreError> {
    let mut latest = tx.prepare_cached(
        "INSERT INTO machine_latest (machine_id, received_at, payload)
         SELECT id, ?2, ?3 FROM machine WHERE id = ?1
         ON CONFLICT DO UPDATE SET received_at = excluded.received_at, payload = excluded.payload",
    )?;
    let mut name = tx.prepare_cached(
        "UPDATE machine SET hostname = ?2
         WHERE id = ?1 AND NOT hostname_pinned AND (hostname IS NULL OR hostname <> ?2)",
    )?;
    let mut rows = Rows::new(tx)?;
    for unsaved in machines {
        let id = unsaved.machine.0;
        if let Some(payload) = &unsaved.payload {
            latest.execute((id, unsaved.received_at.0, payload))?;
        }
        if let Some(hostname) = &unsaved.hostname {
            name.execute((id, hostname))?;
        }
        rows.merge(unsaved.machine, 0, &unsaved.minutes, Precedence::New)?;
    }
    Ok(())
}
