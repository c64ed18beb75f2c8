//! Which machines a recipient is notified about: as chosen, as stored, as matched.

use super::notice::Subject;
use crate::clock::Moment;
use crate::monitor::machine::MachineId;
use crate::monitor::registry::machines;
use crate::monitor::store::sql::{Connection, Transaction, params};
use crate::monitor::store::{Refused, StoreError};
use std::fmt;

/// The machines that a recipient is notified about: all of them, or those with a chosen id, group or tag.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MachineChoice {
    pub all: bool,
    /// By id: another name is still the same machine.
    pub machines: Vec<i64>,
    pub groups: Vec<String>,
    pub tags: Vec<String>,
}

impl MachineChoice {
    pub fn includes(&self, machine: &Subject) -> bool {
        let group = |chosen: &String| machine.group.as_ref() == Some(chosen);
        self.all
            || self.machines.contains(&machine.id)
            || self.groups.iter().any(group)
            || self.tags.iter().any(|tag| machine.tags.contains(tag))
    }
}

/// A choice as it is typed. Any of the lists is enough for a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    All,
    Only {
        /// By name or id.
        machines: Vec<String>,
        groups: Vec<String>,
        tags: Vec<String>,
    },
}

/// A choice as it is listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chosen {
    pub all: bool,
    /// With their present names.
    pub machines: Vec<(MachineId, String)>,
    pub groups: Vec<String>,
    pub tags: Vec<String>,
    /// Names without a machine; they match nothing, not even a later machine of that name.
    pub missing: Vec<String>,
    /// At least one machine matches now.
    pub matches: bool,
}

impl Chosen {
    /// Why the recipient is notified about fewer machines than it seems; `None` if that is not so.
    pub fn warning(&self) -> Option<String> {
        if self.all {
            return None;
        }
        let missing = match self.missing.as_slice() {
            [] => None,
            names => Some(format!("chosen machines do not exist: {}", names.join(", "))),
        };
        match (self.matches, missing) {
            (true, missing) => missing,
            (false, None) => Some("no machine matches the choice, so nothing is sent".into()),
            (false, Some(missing)) => {
                Some(format!("no machine matches the choice, so nothing is sent; {missing}"))
            }
        }
    }
}

/// `all`, or `gate,group:barn,tag:camera`; `-` if nothing is left of the choice.
impl fmt::Display for Chosen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.all {
            return f.write_str("all");
        }
        let machines = self.machines.iter().map(|(_, name)| name.clone());
        let groups = self.groups.iter().map(|name| format!("group:{name}"));
        let tags = self.tags.iter().map(|name| format!("tag:{name}"));
        let missing = self.missing.iter().map(|name| format!("missing:{name}"));
        let parts: Vec<String> = machines.chain(groups).chain(tags).chain(missing).collect();
        f.write_str(if parts.is_empty() { "-" } else { "" })?;
        f.write_str(&parts.join(","))
    }
}

/// Replaces a recipient's choice.
pub fn store(
    tx: &Transaction<'_>,
    recipient: i64,
    selection: &Selection,
    now: Moment,
) -> Result<(), Refused> {
    let all = matches!(selection, Selection::All);
    tx.execute("DELETE FROM recipient_choice WHERE recipient_id = ?1", params![recipient])?;
    tx.execute("UPDATE recipient SET all_machines = ?2 WHERE id = ?1", params![recipient, all])?;
    let Selection::Only { machines, groups, tags } = selection else { return Ok(()) };
    for which in machines {
        let id = machines::find(tx, which)?;
        tx.execute(
            "INSERT INTO recipient_choice (recipient_id, kind, machine_id, name)
             SELECT ?1, 'machine', id, name FROM machine WHERE id = ?2
               AND NOT EXISTS (SELECT 1 FROM recipient_choice WHERE recipient_id = ?1 AND machine_id = ?2)",
            params![recipient, id.0],
        )?;
    }
    for group in groups {
        known_group(tx, group, now)?;
        insert_name(tx, recipient, "group", group)?;
    }
    for tag in tags {
        known_tag(tx, tag)?;
        insert_name(tx, recipient, "tag", tag)?;
    }
    Ok(())
}

fn insert_name(tx: &Transaction<'_>, recipient: i64, kind: &str, name: &str) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO recipient_choice (recipient_id, kind, name)
         SELECT ?1, ?2, ?3 WHERE NOT EXISTS
            (SELECT 1 FROM recipient_choice WHERE recipient_id = ?1 AND kind = ?2 AND name = ?3)",
        params![recipient, kind, name],
    )?;
    Ok(())
}

/// A group exists as long as a machine is in it, or an unused enrolment key leads into it.
///
/// # Errors
/// It does not exist.
pub fn known_group(tx: &Transaction<'_>, group: &str, now: Moment) -> Result<(), Refused> {
    let sql = "SELECT EXISTS (SELECT 1 FROM machine WHERE group_name = ?1)
                   OR EXISTS (SELECT 1 FROM enroll_token WHERE group_name = ?1 AND used_at IS NULL AND expires_at > ?2)";
    match tx.query_row(sql, params![group, now.0], |row| row.get(0))? {
        true => Ok(()),
        false => Err(Refused::because(format!(
            "no machine is in the group \"{}\"; heartbeat-monitor machine list shows all groups",
            group.escape_debug()
        ))),
    }
}

/// # Errors
/// No machine has the tag.
pub fn known_tag(tx: &Transaction<'_>, tag: &str) -> Result<(), Refused> {
    let sql = "SELECT EXISTS (SELECT 1 FROM machine_tag WHERE tag = ?1)";
    match tx.query_row(sql, params![tag], |row| row.get(0))? {
        true => Ok(()),
        false => Err(Refused::because(format!(
            "no machine has the tag \"{}\"; heartbeat-monitor machine list shows all tags",
            tag.escape_debug()
        ))),
    }
}

/// The properties of a machine that [`MachineChoice`] depends on.
pub fn choice(connection: &Connection<'_>, recipient: i64, all: bool) -> Result<MachineChoice, StoreError> {
    let mut choice = MachineChoice { all, ..MachineChoice::default() };
    if all {
        return Ok(choice);
    }
    let sql = "SELECT kind, machine_id, name FROM recipient_choice WHERE recipient_id = ?1";
    connection.query_each(sql, params![recipient], |row| {
        match (row.get(0)?, row.get(1)?) {
            ("machine", Some(id)) => choice.machines.push(id),
            ("group", _) => choice.groups.push(row.get(2)?),
            ("tag", _) => choice.tags.push(row.get(2)?),
            // A machine that does not exist.
            _ => {}
        }
        Ok(())
    })?;
    Ok(choice)
}

/// The texts of `recipient list`.
pub fn chosen(connection: &Connection<'_>, recipient: i64, all: bool) -> Result<Chosen, StoreError> {
    let mut chosen = Chosen { all, ..Chosen::default() };
    let sql = "SELECT c.kind, m.id, coalesce(m.name, c.name) FROM recipient_choice c
               LEFT JOIN machine m ON m.id = c.machine_id WHERE c.recipient_id = ?1 ORDER BY c.id";
    connection.query_each(sql, params![recipient], |row| {
        let name: String = row.get(2)?;
        match (row.get(0)?, row.get(1)?) {
            ("group", _) => chosen.groups.push(name),
            ("tag", _) => chosen.tags.push(name),
            (_, Some(id)) => chosen.machines.push((MachineId(id), name)),
            (_, None) => chosen.missing.push(name),
        }
        Ok(())
    })?;
    let matches = "SELECT EXISTS (SELECT 1 FROM recipient_choice c WHERE c.recipient_id = ?1 AND (
        c.machine_id IS NOT NULL
        OR c.kind = 'group' AND EXISTS (SELECT 1 FROM machine WHERE group_name = c.name)
        OR c.kind = 'tag' AND EXISTS (SELECT 1 FROM machine_tag WHERE tag = c.name)))";
    let matches: bool = connection.query_row(matches, params![recipient], |row| row.get(0))?;
    chosen.matches = all || matches;
    Ok(chosen)
}
