//! Which machines are watched and reported: disabled and enabled, paused and resumed.
//!
//! `machine_state.status` belongs to the recorder. A machine that is disabled or enabled becomes `New`: its silence before
//! the next heartbeat is not reported. An open outage stays open, and that heartbeat ends it.

use super::machines::find;
use crate::clock::Moment;
use crate::monitor::events::note;
use crate::monitor::machine;
use crate::monitor::machine::{DeviceServer, MachineId, MachineStatus};
use crate::monitor::notify::delivery_state::DeliveryState;
use crate::monitor::store::sql::{Transaction, params};
use crate::monitor::store::{Refused, Store, StoreError};
use std::time::Duration;

impl Store {
    /// Until the device says something else, this monitor is its backup.
    pub fn expect_as_backup(&self, machine: MachineId) -> Result<(), StoreError> {
        self.write(|tx| {
            let sql = "UPDATE machine_state SET server_role = ?2 WHERE machine_id = ?1";
            tx.execute(sql, params![machine.0, DeviceServer::Standby as i64])?;
            Ok(())
        })
    }

    /// Ends the watching of a machine and refuses its heartbeats; its tokens stay, and so does an open outage. Pending
    /// notifications are skipped, except the end of an outage whose beginning was sent over the same channel.
    pub fn disable_machine(&self, which: &str, now: Moment) -> Result<MachineId, Refused> {
        self.transact(|tx| {
            let id = find(tx, which)?;
            if set_watched(tx, id, false, now)? {
                skip_pending(tx, id)?;
                // Transitions from before count no longer.
                tx.execute(
                    "UPDATE flapping SET steady_at = ?2 WHERE machine_id = ?1 AND steady_at IS NULL",
                    params![id.0, now.0],
                )?;
                note(tx, Some(id), "disabled", None, now)?;
            }
            Ok(id)
        })
    }

    /// Enables a disabled machine; it is watched from its next heartbeat on.
    pub fn enable_machine(&self, which: &str, now: Moment) -> Result<MachineId, Refused> {
        self.transact(|tx| {
            let id = find(tx, which)?;
            if set_watched(tx, id, true, now)? {
                note(tx, Some(id), "enabled", None, now)?;
            }
            Ok(id)
        })
    }

    /// Keeps watching a machine and suppresses notifications until the returned moment; replaces a current pause.
    pub fn pause_machine(
        &self,
        which: &str,
        length: Duration,
        reason: Option<&str>,
        now: Moment,
    ) -> Result<Moment, Refused> {
        self.pause_machines(&[which.to_owned()], length, reason, now)
    }

    /// [`Store::pause_machine`] for all of these, or for none of them.
    pub fn pause_machines(
        &self,
        machines: &[String],
        length: Duration,
        reason: Option<&str>,
        now: Moment,
    ) -> Result<Moment, Refused> {
        machine::within("--for", length, &machine::PAUSE)?;
        reason.map_or(Ok(()), machine::description)?;
        let until = now.plus(length);
        self.transact(|tx| {
            for which in machines {
                let id = find(tx, which)?;
                replace_pause(tx, id, now)?;
                tx.execute(
                    "INSERT INTO maintenance (machine_id, starts_at, ends_at, reason) VALUES (?1, ?2, ?3, ?4)",
                    params![id.0, now.0, until.0, reason],
                )?;
                let detail = serde_json::json!({"until": until.0, "reason": reason});
                note(tx, Some(id), "paused", Some(detail), now)?;
            }
            Ok(until)
        })
    }

    /// The maintenances that have not ended, by their end.
    pub fn maintenances(&self, now: Moment) -> Result<Vec<Maintenance>, StoreError> {
        let sql = "SELECT machine_id, starts_at, ends_at, reason FROM maintenance WHERE ends_at > ?1 AND ends_at > starts_at
                   ORDER BY ends_at, machine_id";
        self.read(|connection| {
            connection.query_all(sql, params![now.0], |row| {
                Ok(Maintenance {
                    machine: MachineId(row.get(0)?),
                    starts_at: Moment(row.get(1)?),
                    ends_at: Moment(row.get(2)?),
                    reason: row.get(3)?,
                })
            })
        })
    }

    /// Ends a machine's pause, or else skips the planned one that begins soon.
    pub fn resume_machine(&self, which: &str, now: Moment) -> Result<Resumed, Refused> {
        self.transact(|tx| {
            let id = find(tx, which)?;
            let resumed = end_pause(tx, id, now)?;
            if resumed != Resumed::NotPaused {
                note(tx, Some(id), "resumed", None, now)?;
            }
            Ok(resumed)
        })
    }
}

/// What became of a machine's maintenance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resumed {
    Ended,
    /// It would have begun soon.
    Skipped,
    NotPaused,
}

/// A time without notifications about a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Maintenance {
    pub machine: MachineId,
    pub starts_at: Moment,
    pub ends_at: Moment,
    pub reason: Option<String>,
}

/// Makes a machine `New`; false if it was watched, or was not, already.
fn set_watched(tx: &Transaction<'_>, id: MachineId, watched: bool, now: Moment) -> Result<bool, StoreError> {
    let changed = tx.execute(
        "UPDATE machine_state SET watched = ?2, status = ?3, since = ?4 WHERE machine_id = ?1 AND watched <> ?2",
        params![id.0, watched, MachineStatus::New as i64, now.0],
    )?;
    Ok(changed > 0)
}

/// Skips what waits in the outbox, except the end of an outage whose beginning has reached, or may have reached, its
/// recipient.
fn skip_pending(tx: &Transaction<'_>, id: MachineId) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE outbox SET state = ?2 WHERE machine_id = ?1 AND state = ?3
           AND NOT (event = 'online' AND EXISTS (
                SELECT 1 FROM outbox AS beginning
                WHERE beginning.incident_id = outbox.incident_id AND beginning.channel_id = outbox.channel_id
                  AND beginning.id < outbox.id
                  AND (beginning.state IN (?4, ?5) OR beginning.uncertain_since IS NOT NULL)))",
        params![
            id.0,
            DeliveryState::Skipped as i64,
            DeliveryState::Waiting as i64,
            DeliveryState::Leased as i64,
            DeliveryState::Delivered as i64
        ],
    )?;
    Ok(())
}

/// Ends the pauses by a person, which a new one replaces; the window of a plan goes on, as it may be the longer one.
fn replace_pause(tx: &Transaction<'_>, id: MachineId, now: Moment) -> Result<(), StoreError> {
    for sql in [
        "DELETE FROM maintenance WHERE machine_id = ?1 AND starts_at > ?2 AND plan_id IS NULL",
        "UPDATE maintenance SET ends_at = ?2 WHERE machine_id = ?1 AND ends_at > ?2 AND plan_id IS NULL",
    ] {
        tx.execute(sql, params![id.0, now.0])?;
    }
    Ok(())
}

/// Ends the current pauses, and drops later ones of a person; without a current one, also skips the window of a plan that
/// begins soon.
fn end_pause(tx: &Transaction<'_>, id: MachineId, now: Moment) -> Result<Resumed, StoreError> {
    // A pause that begins later has suppressed nothing yet.
    let dropped = "DELETE FROM maintenance WHERE machine_id = ?1 AND starts_at > ?2 AND plan_id IS NULL";
    tx.execute(dropped, params![id.0, now.0])?;
    let ended = tx.execute(
        "UPDATE maintenance SET ends_at = ?2 WHERE machine_id = ?1 AND starts_at <= ?2 AND ends_at > ?2",
        params![id.0, now.0],
    )?;
    if ended > 0 {
        return Ok(Resumed::Ended);
    }
    // The row stays: the plan would write it again.
    let skipped = tx.execute(
        "UPDATE maintenance SET ends_at = starts_at WHERE machine_id = ?1 AND starts_at > ?2 AND ends_at > starts_at",
        params![id.0, now.0],
    )?;
    Ok(if skipped > 0 { Resumed::Skipped } else { Resumed::NotPaused })
}
