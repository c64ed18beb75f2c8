//! What beats leave in the database: `machine_state.last_seen`, `machine_latest`, and the history's minutes.

use super::history::{Precedence, Rows};
use super::{MachineId, Status, Store, StoreError};
use crate::monitor::fleet::Unsaved;
use crate::monitor::history::packed::Packed;
use crate::monitor::time::Moment;
use rusqlite::OptionalExtension;

/// A machine's place in the table of states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    pub machine: MachineId,
    pub status: Status,
    pub last_seen: Option<Moment>,
}

/// What a machine said of moments at which nobody listened: (bucket, figures) by resolution.
#[derive(Debug, Clone, PartialEq)]
pub struct Past {
    pub machine: MachineId,
    pub at: Moment,
    pub figures: Packed,
}

impl Store {
    /// Writes when machines were last seen, in one transaction; `beats` had better be sorted. Nothing else changes: a
    /// status is the sweeper's and the recovery's alone.
    ///
    /// # Errors
    /// The database; nothing is written then.
    pub fn save_seen(&self, beats: &[(MachineId, Moment)]) -> Result<(), StoreError> {
        if beats.is_empty() {
            return Ok(());
        }
        self.write(|tx| {
            let mut update = tx.prepare("UPDATE machine_state SET last_seen = ?2 WHERE machine_id = ?1")?;
            for (machine, seen) in beats {
                update.execute((machine.0, seen.0))?;
            }
            Ok(())
        })
    }

    /// Writes payloads and minutes of `machines`, in one transaction. Machines that were removed meanwhile are left
    /// out.
    ///
    /// # Errors
    /// The database; nothing is written then.
    pub fn save_latest(&self, machines: &[Unsaved]) -> Result<(), StoreError> {
        if machines.is_empty() {
            return Ok(());
        }
        self.write(|tx| {
            let mut latest = tx.prepare(
                "INSERT INTO machine_latest (machine_id, received_at, payload) SELECT id, ?2, ?3 FROM machine WHERE id = ?1
                 ON CONFLICT DO UPDATE SET received_at = excluded.received_at, payload = excluded.payload",
            )?;
            let mut name =
                tx.prepare("UPDATE machine SET hostname = ?2 WHERE id = ?1 AND hostname IS NULL")?;
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
        })
    }

    /// Writes what machines say of the past, in one transaction; durable when it returns. What is known of a minute
    /// already stays, so that a replay that is sent twice changes nothing.
    ///
    /// # Errors
    /// The database; nothing is written then.
    pub fn save_replays(&self, replays: &mut [Past], now: Moment) -> Result<(), StoreError> {
        super::history::sort(replays);
        self.write(|tx| Rows::new(tx)?.replay(replays, now))
    }

    /// What was sent last, and when it was received, as far as the database has it.
    ///
    /// # Errors
    /// The database could not be read.
    pub fn latest(&self, machine: MachineId) -> Result<Option<(Moment, String)>, StoreError> {
        self.read(|connection| {
            let query = "SELECT received_at, payload FROM machine_latest WHERE machine_id = ?1";
            let row = connection.query_row(query, [machine.0], |row| Ok((Moment(row.get(0)?), row.get(1)?)));
            Ok(row.optional()?)
        })
    }

    /// The state of each machine.
    ///
    /// # Errors
    /// The database could not be read.
    pub fn states(&self) -> Result<Vec<State>, StoreError> {
        self.read(|connection| {
            let mut query = connection.prepare("SELECT machine_id, status, last_seen FROM machine_state")?;
            let rows = query.query_map([], |row| {
                Ok(State {
                    machine: MachineId(row.get(0)?),
                    status: Status::of(row.get(1)?),
                    last_seen: row.get::<_, Option<i64>>(2)?.map(Moment),
                })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }
}
