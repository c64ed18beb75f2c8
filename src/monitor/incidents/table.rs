//! The table `incident`: one row from the transition that begins an incident to the one that ends it. A machine has at
//! most one open incident of a kind and subject.

use crate::clock::Moment;
use crate::monitor::incidents::behind::hidden_by_front;
use crate::monitor::machine::{DeviceServer, MachineId, MachineStatus};
use crate::monitor::notify::condition_notice::ConditionNotice;
use crate::monitor::store::sql::{Connection, Parameter, Row, Transaction, params, rows};
use crate::monitor::store::{Store, StoreError};
use std::collections::HashMap;

/// `incident.kind` of an outage; its subject is empty, the machine itself.
pub const OFFLINE: &str = "offline";

/// An incident's number, as in `incident.id`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IncidentId(pub i64);

/// What an incident is about: at most one of the same key is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct IncidentKey<'a> {
    pub machine: MachineId,
    /// `offline`, or a condition's name.
    pub kind: &'a str,
    /// The part of the machine; empty for the machine itself.
    pub subject: &'a str,
}

impl IncidentKey<'_> {
    pub fn outage(machine: MachineId) -> IncidentKey<'static> {
        IncidentKey { machine, kind: OFFLINE, subject: "" }
    }
}

/// An incident that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndedIncident {
    pub id: IncidentId,
    /// The last heartbeat before an outage; when a condition began to hold.
    pub since: Moment,
    /// Whether it was unplanned and its beginning was announced.
    pub was_alarm: bool,
}

/// An outage that was not announced when it began: because of a maintenance, because the machine in front was dead, or because
/// this monitor was isolated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnannouncedOutage {
    pub id: IncidentId,
    pub machine: MachineId,
    pub last_seen: Moment,
    /// What this monitor is to the machine.
    pub server: DeviceServer,
}

/// An incident that begins now.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NewIncident<'a> {
    pub key: IncidentKey<'a>,
    /// The last heartbeat before an outage; when a condition began to hold.
    pub since: Moment,
    /// The device announced that it is being stopped.
    pub is_planned: bool,
    /// False during a maintenance.
    pub is_announced: bool,
    /// It held when it was first judged.
    pub existed: bool,
    /// The subject as people call it.
    pub label: Option<&'a str>,
    pub value: Option<f32>,
    pub threshold: Option<f32>,
}

impl<'a> NewIncident<'a> {
    pub fn outage(machine: MachineId, last_seen: Moment) -> NewIncident<'a> {
        NewIncident {
            key: IncidentKey::outage(machine),
            since: last_seen,
            is_planned: false,
            is_announced: true,
            existed: false,
            label: None,
            value: None,
            threshold: None,
        }
    }
}

/// The keys of a statement, which it has as `?1`; `number` is a key's place.
pub const KEYS: &str = "wanted (number, machine_id, kind, subject) AS
    (SELECT CAST(value ->> 0 AS BIGINT), CAST(value ->> 1 AS BIGINT), value ->> 2, value ->> 3 FROM json_each(?1))";

/// The value of `?1` for [`KEYS`].
pub fn key_rows(keys: &[IncidentKey<'_>]) -> Result<String, StoreError> {
    rows(keys.iter().enumerate().map(|(number, key)| (number, key.machine.0, key.kind, key.subject)))
}

/// The place of each key, which occurs once.
fn places<'k>(keys: impl IntoIterator<Item = IncidentKey<'k>>) -> HashMap<IncidentKey<'k>, usize> {
    keys.into_iter().enumerate().map(|(place, key)| (key, place)).collect()
}

/// The key in the first three columns.
fn key_of<'r>(row: &'r Row<'_>) -> Result<IncidentKey<'r>, StoreError> {
    Ok(IncidentKey { machine: MachineId(row.get(0)?), kind: row.get(1)?, subject: row.get(2)? })
}

/// Begins incidents of different keys. `None`: one of the same key is open.
pub fn begin(
    tx: &Transaction<'_>,
    new: &[NewIncident<'_>],
    now: Moment,
) -> Result<Vec<Option<IncidentId>>, StoreError> {
    let encoded = rows(new.iter().map(|new| {
        let IncidentKey { machine, kind, subject } = new.key;
        let notified_at = (new.is_announced && !new.existed).then_some(now.0);
        let NewIncident { label, is_planned, since, existed, value, threshold, .. } = *new;
        (machine.0, kind, subject, label, is_planned, since.0, notified_at, existed, value, threshold)
    }))?;
    let sql = "INSERT INTO incident (machine_id, kind, subject, label, planned, last_seen, began_at, notified_at,
                                     existing, value, threshold)
         SELECT CAST(value ->> 0 AS BIGINT), value ->> 1, value ->> 2, value ->> 3, CAST(value ->> 4 AS BOOLEAN),
                CAST(value ->> 5 AS BIGINT), ?2, CAST(value ->> 6 AS BIGINT), CAST(value ->> 7 AS BOOLEAN),
                CAST(value ->> 8 AS DOUBLE PRECISION), CAST(value ->> 9 AS DOUBLE PRECISION)
         FROM json_each(?1) WHERE true
         ON CONFLICT DO NOTHING RETURNING machine_id, kind, subject, id";
    let places = places(new.iter().map(|new| new.key));
    let mut begun = vec![None; new.len()];
    tx.query_each(sql, params![encoded, now], |row| {
        if let Some(&place) = places.get(&key_of(row)?) {
            begun[place] = Some(IncidentId(row.get(3)?));
        }
        Ok(())
    })?;
    Ok(begun)
}

/// Ends the open incidents of different keys. `None`: there is none.
pub fn end(
    tx: &Transaction<'_>,
    keys: &[IncidentKey<'_>],
    now: Moment,
) -> Result<Vec<Option<EndedIncident>>, StoreError> {
    let sql = format!(
        "WITH {KEYS}
         UPDATE incident SET ended_at = ?2
         WHERE ended_at IS NULL
           AND id IN (SELECT i.id FROM wanted CROSS JOIN incident i
                      WHERE i.machine_id = wanted.machine_id AND i.kind = wanted.kind
                        AND i.subject = wanted.subject AND i.ended_at IS NULL)
         RETURNING machine_id, kind, subject, id, last_seen, notified_at IS NOT NULL, planned"
    );
    let places = places(keys.iter().copied());
    let mut ended = vec![None; keys.len()];
    tx.query_each(&sql, params![key_rows(keys)?, now], |row| {
        if let Some(&place) = places.get(&key_of(row)?) {
            let (was_announced, is_planned): (bool, bool) = (row.get(5)?, row.get(6)?);
            ended[place] = Some(EndedIncident {
                id: IncidentId(row.get(3)?),
                since: row.get(4)?,
                was_alarm: was_announced && !is_planned,
            });
        }
        Ok(())
    })?;
    Ok(ended)
}

/// Marks the open outages of machines as planned, where there is one.
pub fn mark_planned(
    tx: &Transaction<'_>,
    machines: &[MachineId],
) -> Result<HashMap<MachineId, IncidentId>, StoreError> {
    let sql = "UPDATE incident SET planned = ?3
         WHERE machine_id IN (SELECT CAST(value AS BIGINT) FROM json_each(?1)) AND kind = ?2 AND ended_at IS NULL
         RETURNING machine_id, id";
    let machines = rows(machines.iter().map(|machine| machine.0))?;
    let marked = tx.query_all(sql, params![machines, OFFLINE, true], |row| {
        Ok((MachineId(row.get(0)?), IncidentId(row.get(1)?)))
    })?;
    Ok(marked.into_iter().collect())
}

pub fn mark_notified(tx: &Transaction<'_>, ids: &[IncidentId], now: Moment) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE incident SET notified_at = ?2 WHERE id IN (SELECT CAST(value AS BIGINT) FROM json_each(?1))",
        params![rows(ids.iter().map(|id| id.0))?, now],
    )?;
    Ok(())
}

pub fn last(tx: &Transaction<'_>, key: IncidentKey<'_>) -> Result<Option<IncidentId>, StoreError> {
    let id: Option<i64> = tx.query_row(
        "SELECT max(id) FROM incident WHERE machine_id = ?1 AND kind = ?2 AND subject = ?3",
        params![key.machine.0, key.kind, key.subject],
        |row| row.get(0),
    )?;
    Ok(id.map(IncidentId))
}

/// The condition of an incident, as a notice shows it; `None`: it is an outage.
pub fn condition_of(tx: &Transaction<'_>, id: IncidentId) -> Result<Option<ConditionNotice>, StoreError> {
    let sql =
        "SELECT kind, subject, label, value, threshold, last_seen FROM incident WHERE id = ?1 AND kind <> ?2";
    tx.query_optional(sql, params![id.0, OFFLINE], |row| {
        Ok(ConditionNotice {
            condition: row.get(0)?,
            subject: row.get(1)?,
            label: row.get(2)?,
            value: row.get(3)?,
            threshold: row.get(4)?,
            since: row.get(5)?,
            uplink: None,
            days: 0,
            existed: false,
        })
    })
}

/// For each key, the days since `after` on which an incident of it began.
pub fn days_since(
    tx: &Transaction<'_>,
    keys: &[IncidentKey<'_>],
    after: Moment,
) -> Result<Vec<u32>, StoreError> {
    let sql = format!(
        "WITH {KEYS}
         SELECT number, (SELECT count(DISTINCT i.began_at / 86400000) FROM incident i
                         WHERE i.machine_id = wanted.machine_id AND i.kind = wanted.kind
                           AND i.subject = wanted.subject AND i.began_at > ?2)
         FROM wanted"
    );
    let mut days = vec![0; keys.len()];
    tx.query_each(&sql, params![key_rows(keys)?, after], |row| {
        days[row.get::<u32>(0)? as usize] = row.get(1)?;
        Ok(())
    })?;
    Ok(days)
}

/// A query of outages. The parameters are now, [`OFFLINE`] and [`MachineStatus::Offline`].
fn unannounced_query() -> String {
    let hidden = hidden_by_front("s", "i.began_at", "?1");
    format!(
        "SELECT i.id, i.machine_id, i.last_seen, s.server_role FROM incident i CROSS JOIN machine_state s
         WHERE s.machine_id = i.machine_id AND i.notified_at IS NULL AND i.ended_at IS NULL AND i.kind = ?2
           AND NOT i.planned AND s.watched AND s.status = ?3
           AND NOT EXISTS (SELECT 1 FROM maintenance m WHERE m.machine_id = i.machine_id
                           AND m.starts_at <= ?1 AND m.ends_at > ?1)
           AND NOT {hidden}"
    )
}

/// The outages that were not announced when they began, without those in a maintenance or behind a dead machine. A machine
/// that was disabled meanwhile is `New`, and its silence is not reported before its next heartbeat.
pub fn unannounced(connection: &Connection<'_>, now: Moment) -> Result<Vec<UnannouncedOutage>, StoreError> {
    let values = params![now.0, OFFLINE, MachineStatus::Offline as i64];
    connection.query_all(&unannounced_query(), values, |row| {
        Ok(UnannouncedOutage {
            id: IncidentId(row.get(0)?),
            machine: MachineId(row.get(1)?),
            last_seen: Moment(row.get(2)?),
            server: DeviceServer::of(row.get(3)?),
        })
    })
}

/// An outage as it is listed, from the last heartbeat before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outage {
    pub last_seen: Moment,
    pub started: Moment,
    /// `None`: it is open.
    pub ended: Option<Moment>,
    /// The device announced that it is being stopped.
    pub planned: bool,
}

impl Store {
    /// The outage of a machine that began or ended at this moment.
    pub fn outage_at(&self, machine: MachineId, at: Moment) -> Result<Option<Outage>, StoreError> {
        self.outage("(began_at = ?3 OR ended_at = ?3)", params![machine.0, OFFLINE, at.0])
    }

    /// The open outage of a machine.
    pub fn open_outage(&self, machine: MachineId) -> Result<Option<Outage>, StoreError> {
        self.outage("ended_at IS NULL", params![machine.0, OFFLINE])
    }

    fn outage(&self, condition: &str, values: &[&dyn Parameter]) -> Result<Option<Outage>, StoreError> {
        let sql = format!(
            "SELECT last_seen, began_at, ended_at, planned FROM incident
             WHERE machine_id = ?1 AND kind = ?2 AND {condition} ORDER BY id DESC LIMIT 1"
        );
        let outage = |row: &Row<'_>| {
            Ok(Outage {
                last_seen: Moment(row.get(0)?),
                started: Moment(row.get(1)?),
                ended: row.get(2)?,
                planned: row.get(3)?,
            })
        };
        self.read(|connection| connection.query_optional(&sql, values, outage))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outages_that_were_announced_are_not_read_again() {
        let store = Store::scratch_file();
        let plan = format!("EXPLAIN QUERY PLAN {}", unannounced_query());
        let step: String = store
            .read(|connection| {
                let values = params![0, OFFLINE, MachineStatus::Offline as i64];
                connection.query_row(&plan, values, |row| row.get(3))
            })
            .expect("a plan");
        assert!(step.contains("incident_unannounced"), "{step}");
    }
}
