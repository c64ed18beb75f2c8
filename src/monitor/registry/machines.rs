//! Machines: added, described, removed, listed. `watching` owns whether one is watched and reported.

use super::dependencies;
pub use super::find::find;
use super::find::unknown;
use super::issue::{TokenReceiver, issue};
use crate::clock::{Moment, milliseconds};
use crate::monitor::events::note;
use crate::monitor::machine::{Description, Machine, MachineId, MachineStatus};
use crate::monitor::registry::token::Token;
use crate::monitor::store::sql::{Connection, Parameter, Row, Transaction, params};
use crate::monitor::store::{Refused, Store, StoreError};
use std::time::Duration;

/// One page at most, in machines.
pub const LARGEST_PAGE: u32 = 1000;

/// Separates the tags of one machine in one column: a character that no tag has.
const SEPARATOR: char = '\u{1f}';

/// Which machines, and which page of them.
#[derive(Debug, Clone, Default)]
pub struct MachineFilter {
    pub after: i64,
    pub limit: u32,
    pub status: Option<MachineStatus>,
    pub group: Option<String>,
    pub tag: Option<String>,
}

/// Changes of a machine: `None` keeps a value, `Some(None)` clears it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MachineChange {
    pub name: Option<String>,
    pub hostname: Option<Option<String>>,
    pub description: Option<Option<String>>,
    pub group: Option<Option<String>>,
    pub threshold: Option<Option<Duration>>,
    pub device_key: Option<Option<String>>,
    /// By name or number.
    pub behind: Option<Option<String>>,
    pub tag: Vec<String>,
    pub untag: Vec<String>,
}

impl Store {
    /// [`Store::add_machine_and`] without a receiver of the token.
    pub fn add_machine(&self, new: &Description, now: Moment) -> Result<(MachineId, Token), Refused> {
        self.add_machine_and(new, now, &|_| Ok(()))
    }

    /// Adds a machine; passes its token to `deliver_token` before it commits.
    ///
    /// # Errors
    /// The description is refused, its name or device key is taken, or `deliver_token` failed; nothing was changed.
    pub fn add_machine_and(
        &self,
        new: &Description,
        now: Moment,
        deliver_token: TokenReceiver<'_>,
    ) -> Result<(MachineId, Token), Refused> {
        new.check()?;
        self.transact(|tx| {
            let machine = insert(tx, new, None, now)?;
            let token = issue(tx, machine, now)?;
            note(tx, Some(machine), "added", None, now)?;
            deliver_token(&token)?;
            Ok((machine, token))
        })
    }

    pub fn change_machine(&self, which: &str, change: &MachineChange) -> Result<Machine, Refused> {
        self.transact(|tx| {
            let id = find(tx, which)?;
            let before = one(tx, id, Moment(0))?.ok_or_else(|| unknown(which))?;
            let after = changed(before, change);
            after.check()?;
            update(tx, id, &after)?;
            if let Some(front) = &change.behind {
                dependencies::set_behind(tx, id, front.as_deref())?;
            }
            if let Some(hostname) = &change.hostname {
                pin_hostname(tx, id, hostname.is_some())?;
            }
            one(tx, id, Moment(0))?.ok_or_else(|| unknown(which))
        })
    }

    /// Removes a machine with all its data. Its number is never reused.
    pub fn remove_machine(&self, which: &str, now: Moment) -> Result<MachineId, Refused> {
        self.transact(|tx| {
            let id = find(tx, which)?;
            let name: String =
                tx.query_row("SELECT name FROM machine WHERE id = ?1", params![id.0], |row| row.get(0))?;
            // Recipients who chose it keep its name, so that `recipient list` can show what is missing.
            tx.execute(
                "UPDATE recipient_choice SET machine_id = NULL, name = ?2 WHERE machine_id = ?1",
                params![id.0, name],
            )?;
            tx.execute("DELETE FROM machine WHERE id = ?1", params![id.0])?;
            note(tx, None, "removed", Some(serde_json::json!({"id": id.0, "name": name})), now)?;
            Ok(id)
        })
    }

    pub fn machine(&self, id: MachineId, now: Moment) -> Result<Option<Machine>, StoreError> {
        self.read(|connection| one(connection, id, now))
    }

    /// By its name or its number.
    pub fn machine_called(&self, which: &str, now: Moment) -> Result<Machine, Refused> {
        let found = self.read(|connection| match find(connection, which) {
            Ok(id) => one(connection, id, now),
            Err(Refused::Store(error)) => Err(error),
            Err(_) => Ok(None),
        })?;
        found.ok_or_else(|| unknown(which))
    }

    /// At most `limit` machines (and at most [`LARGEST_PAGE`]) in the order of their numbers, after the given one.
    pub fn machines_page(
        &self,
        after: Option<MachineId>,
        limit: u32,
        now: Moment,
    ) -> Result<Vec<Machine>, StoreError> {
        self.read(|connection| {
            let sql = format!("{SELECT} WHERE machine.id > ?2 ORDER BY machine.id LIMIT ?3");
            let after = after.map_or(i64::MIN, |id| id.0);
            connection.query_all(&sql, params![now.0, after, limit.min(LARGEST_PAGE)], read)
        })
    }

    /// By number, ascending.
    pub fn machines(&self, filter: &MachineFilter, now: Moment) -> Result<Vec<Machine>, StoreError> {
        let mut sql = format!("{SELECT} WHERE machine.id > ?2");
        let status = filter.status.map(|status| status as i64);
        let mut values: Vec<&dyn Parameter> = vec![&now.0, &filter.after];
        let mut only = |condition: &str, value| {
            values.push(value);
            sql += &format!(" AND {}", condition.replace("?#", &format!("?{}", values.len())));
        };
        if let Some(status) = &status {
            only("status = ?#", status);
        }
        if let Some(group) = &filter.group {
            only("group_name = ?#", group);
        }
        if let Some(tag) = &filter.tag {
            only("machine.id IN (SELECT machine_id FROM machine_tag WHERE tag = ?#)", tag);
        }
        sql += &format!(" ORDER BY machine.id LIMIT {}", filter.limit);
        self.read(|connection| connection.query_all(&sql, &values, read))
    }
}

/// A machine with a column for each of its fields; ?1 is the present moment.
pub const SELECT: &str = "
    SELECT machine.id, name, hostname, description, group_name, hardware_id, device_key, created_at,
           threshold, status, watched, last_seen, since,
           (SELECT string_agg(tag, '\u{1f}' ORDER BY tag) FROM machine_tag WHERE machine_tag.machine_id = machine.id),
           (SELECT max(ends_at) FROM maintenance
            WHERE maintenance.machine_id = machine.id AND ends_at > ?1 AND starts_at <= ?1),
           (SELECT front.name FROM machine front WHERE front.id = machine.behind)
    FROM machine JOIN machine_state ON machine_state.machine_id = machine.id";

pub fn read(row: &Row<'_>) -> Result<Machine, StoreError> {
    let tags: Option<String> = row.get(13)?;
    let threshold: Option<i64> = row.get(8)?;
    Ok(Machine {
        id: MachineId(row.get(0)?),
        name: row.get(1)?,
        hostname: row.get(2)?,
        description: row.get(3)?,
        group: row.get(4)?,
        tags: tags.map(|tags| tags.split(SEPARATOR).map(str::to_owned).collect()).unwrap_or_default(),
        hardware_id: row.get(5)?,
        device_key: row.get(6)?,
        threshold: threshold.and_then(|ms| u64::try_from(ms).ok()).map(Duration::from_millis),
        status: MachineStatus::of(row.get(9)?),
        watched: row.get(10)?,
        last_seen: row.get(11)?,
        since: Moment(row.get(12)?),
        created_at: Moment(row.get(7)?),
        paused_until: row.get(14)?,
        behind: row.get(15)?,
    })
}

fn one(connection: &Connection<'_>, id: MachineId, now: Moment) -> Result<Option<Machine>, StoreError> {
    let sql = format!("{SELECT} WHERE machine.id = ?2");
    connection.query_optional(&sql, params![now.0, id.0], read)
}

/// Stores the machine and its state; a hardware id marks a device that enrolled itself.
pub fn insert(
    tx: &Transaction<'_>,
    new: &Description,
    hardware_id: Option<&str>,
    now: Moment,
) -> Result<MachineId, Refused> {
    refuse_a_second(tx, new, None)?;
    let machine = tx.query_row(
        "INSERT INTO machine (name, hostname, description, group_name, hardware_id, device_key, created_at,
                              hostname_pinned)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) RETURNING id",
        params![
            new.name,
            new.hostname,
            new.description,
            new.group,
            hardware_id,
            new.device_key,
            now.0,
            // A device that enrolled itself reported its own.
            new.hostname.is_some() && hardware_id.is_none(),
        ],
        |row| Ok(MachineId(row.get(0)?)),
    )?;
    tx.execute(
        "INSERT INTO machine_state (machine_id, status, watched, since, threshold) VALUES (?1, ?2, TRUE, ?3, ?4)",
        params![machine.0, MachineStatus::New as i64, now.0, new.threshold.map(milliseconds)],
    )?;
    set_tags(tx, machine, &new.tags)?;
    Ok(machine)
}

fn update(tx: &Transaction<'_>, id: MachineId, after: &Description) -> Result<(), Refused> {
    refuse_a_second(tx, after, Some(id))?;
    tx.execute(
        "UPDATE machine SET name = ?2, hostname = ?3, description = ?4, group_name = ?5, device_key = ?6
         WHERE id = ?1",
        params![id.0, after.name, after.hostname, after.description, after.group, after.device_key],
    )?;
    tx.execute(
        "UPDATE machine_state SET threshold = ?2 WHERE machine_id = ?1",
        params![id.0, after.threshold.map(milliseconds)],
    )?;
    tx.execute("DELETE FROM machine_tag WHERE machine_id = ?1", params![id.0])?;
    Ok(set_tags(tx, id, &after.tags)?)
}

/// Whether reports of the device leave the hostname as it is.
fn pin_hostname(tx: &Transaction<'_>, id: MachineId, pinned: bool) -> Result<(), StoreError> {
    tx.execute("UPDATE machine SET hostname_pinned = ?2 WHERE id = ?1", params![id.0, pinned])?;
    Ok(())
}

fn set_tags(tx: &Transaction<'_>, id: MachineId, tags: &[String]) -> Result<(), StoreError> {
    for tag in tags {
        tx.execute(
            "INSERT INTO machine_tag (machine_id, tag) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
            params![id.0, tag],
        )?;
    }
    Ok(())
}

/// Names and device keys are unique; checked here, because SQLite's errors name columns.
fn refuse_a_second(
    tx: &Transaction<'_>,
    new: &Description,
    itself: Option<MachineId>,
) -> Result<(), Refused> {
    let itself = itself.map(|id| id.0);
    let other = |column: &str, value: &str| {
        let sql = format!("SELECT id FROM machine WHERE {column} = ?1 AND id IS DISTINCT FROM ?2");
        tx.query_optional(&sql, params![value, itself], |row| row.get::<i64>(0))
    };
    if let Some(id) = other("name", &new.name)? {
        return Err(Refused::because(format!("machine {id} has the name \"{}\" already", new.name)));
    }
    if let Some(key) = &new.device_key {
        if let Some(id) = other("device_key", key)? {
            return Err(Refused::because(format!("machine {id} has the device key \"{key}\" already")));
        }
    }
    Ok(())
}

fn changed(before: Machine, change: &MachineChange) -> Description {
    let mut tags = before.tags;
    tags.retain(|tag| !change.untag.contains(tag));
    for tag in &change.tag {
        if !tags.contains(tag) {
            tags.push(tag.clone());
        }
    }
    Description {
        name: change.name.clone().unwrap_or(before.name),
        hostname: change.hostname.clone().unwrap_or(before.hostname),
        description: change.description.clone().unwrap_or(before.description),
        group: change.group.clone().unwrap_or(before.group),
        tags,
        threshold: change.threshold.unwrap_or(before.threshold),
        device_key: change.device_key.clone().unwrap_or(before.device_key),
    }
}

#[cfg(test)]
mod tests;
