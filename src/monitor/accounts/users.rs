//! The tables `web_user` and `web_user_scope`: users of the pages, their roles and limits.

use super::audit::{Actor, COMMAND_LINE};
use super::visitor::{AccessScope, Role, UserId, Visitor};
use crate::clock::Moment;
use crate::monitor::machine;
use crate::monitor::store::sql::{Connection, Row, Transaction, params};
use crate::monitor::store::{Refused, Store, StoreError};
use crate::monitor::zone::{ZONES, Zone};
use std::path::Path;

/// Most users of a monitor.
const MOST_USERS: i64 = 1000;
/// Most groups and tags to which one user is limited.
const MOST_LIMITS: usize = 100;

/// A user as listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    pub id: UserId,
    pub name: String,
    pub role: Role,
    pub scope: AccessScope,
    /// False until the link of an invitation was used.
    pub has_password: bool,
    /// Signs in with a second factor.
    pub has_totp: bool,
    pub time_zone: Option<String>,
    pub created_at: Moment,
}

impl Store {
    /// Adds a user without a password, who cannot sign in yet.
    ///
    /// # Errors
    /// The name or the limits are refused, the name is taken, or there are too many users.
    pub fn add_user(
        &self,
        actor: &Actor,
        name: &str,
        role: Role,
        scope: &AccessScope,
        now: Moment,
    ) -> Result<UserId, Refused> {
        check_name(name)?;
        check_scope(role, scope)?;
        self.transact(|tx| {
            if find_user(tx, name)?.is_some() {
                return Err(Refused::because(format!("there is a user \"{name}\" already")));
            }
            let users: i64 = tx.query_row("SELECT count(*) FROM web_user", &[], |row| row.get(0))?;
            if users >= MOST_USERS {
                return Err(Refused::because(format!("there are {users} users; remove some first")));
            }
            let id = tx.query_row(
                "INSERT INTO web_user (name, role, created_at) VALUES (?1, ?2, ?3) RETURNING id",
                params![name, role.name(), now.0],
                |row| Ok(UserId(row.get(0)?)),
            )?;
            set_scope(tx, id, scope)?;
            actor.record(tx, "user.add", Some(name), Some(&described(role, scope)), now)?;
            Ok(id)
        })
    }

    /// All users, by name.
    pub fn users(&self) -> Result<Vec<User>, StoreError> {
        self.read(|connection| {
            let rows = connection.query_all(&format!("{SELECT} ORDER BY name"), &[], read)?;
            rows.into_iter().map(|row| with_scope(connection, row)).collect()
        })
    }

    pub fn user_called(&self, name: &str) -> Result<User, Refused> {
        let found = self.read(|connection| find_user(connection, name))?;
        found.ok_or_else(|| unknown(name))
    }

    /// `None` if the user was removed.
    pub fn user(&self, id: UserId) -> Result<Option<User>, StoreError> {
        self.read(|connection| one(connection, id))
    }

    /// A user who signs in by other means than a password.
    pub fn visitor_named(&self, name: &str) -> Result<Option<Visitor>, StoreError> {
        Ok(self.read(|connection| find_user(connection, name))?.map(Visitor::from))
    }

    pub fn has_users(&self) -> Result<bool, StoreError> {
        self.read(|connection| {
            connection.query_row("SELECT EXISTS (SELECT 1 FROM web_user)", &[], |row| row.get(0))
        })
    }

    /// Removes a user with all sessions. The audit log keeps the name.
    ///
    /// # Errors
    /// There is no such user, or nobody but the command line could manage users any more.
    pub fn remove_user(&self, actor: &Actor, name: &str, now: Moment) -> Result<UserId, Refused> {
        self.transact(|tx| {
            let user = find_user(tx, name)?.ok_or_else(|| unknown(name))?;
            keep_an_owner(tx, actor, &user)?;
            tx.execute("DELETE FROM web_user WHERE id = ?1", params![user.id.0])?;
            actor.record(tx, "user.remove", Some(name), None, now)?;
            Ok(user.id)
        })
    }

    /// Sets the time zone in which a user reads times, a name of the IANA database.
    pub fn set_time_zone(&self, id: UserId, zone: Option<&str>) -> Result<(), Refused> {
        if let Some(zone) = zone {
            Zone::read(Path::new(ZONES), zone)?;
        }
        self.transact(|tx| {
            tx.execute("UPDATE web_user SET time_zone = ?2 WHERE id = ?1", params![id.0, zone])?;
            Ok(())
        })
    }
}

const SELECT: &str = "
    SELECT web_user.id, name, role, is_limited, password IS NOT NULL, totp_secret IS NOT NULL, time_zone,
           web_user.created_at
    FROM web_user";

/// A row of [`SELECT`] and whether the user is limited.
fn read(row: &Row<'_>) -> Result<(User, bool), StoreError> {
    let role: String = row.get(2)?;
    let user = User {
        id: UserId(row.get(0)?),
        name: row.get(1)?,
        // A role of a later version permits the least.
        role: Role::from_name(&role).unwrap_or(Role::Viewer),
        scope: AccessScope::All,
        has_password: row.get(4)?,
        has_totp: row.get(5)?,
        time_zone: row.get(6)?,
        created_at: Moment(row.get(7)?),
    };
    Ok((user, row.get(3)?))
}

fn with_scope(connection: &Connection<'_>, (user, is_limited): (User, bool)) -> Result<User, StoreError> {
    let scope = if is_limited { limits(connection, user.id)? } else { AccessScope::All };
    Ok(User { scope, ..user })
}

fn limits(connection: &Connection<'_>, id: UserId) -> Result<AccessScope, StoreError> {
    let (mut groups, mut tags) = (Vec::new(), Vec::new());
    let sql = "SELECT kind, name FROM web_user_scope WHERE user_id = ?1 ORDER BY name";
    connection.query_each(sql, params![id.0], |row| {
        match row.get(0)? {
            GROUP => groups.push(row.get(1)?),
            TAG => tags.push(row.get(1)?),
            // A kind of a later version includes nothing.
            _ => {}
        }
        Ok(())
    })?;
    Ok(AccessScope::Limited { groups, tags })
}

const GROUP: &str = "group";
const TAG: &str = "tag";

pub(super) fn one(connection: &Connection<'_>, id: UserId) -> Result<Option<User>, StoreError> {
    let found =
        connection.query_optional(&format!("{SELECT} WHERE web_user.id = ?1"), params![id.0], read)?;
    found.map(|row| with_scope(connection, row)).transpose()
}

pub(super) fn find_user(connection: &Connection<'_>, name: &str) -> Result<Option<User>, StoreError> {
    let found = connection.query_optional(&format!("{SELECT} WHERE name = ?1"), params![name], read)?;
    found.map(|row| with_scope(connection, row)).transpose()
}

pub(super) fn unknown(name: &str) -> Refused {
    let shown = name.escape_debug();
    Refused::because(format!("there is no user \"{shown}\"; heartbeat-monitor user list shows all"))
}

pub(super) fn set_scope(tx: &Transaction<'_>, id: UserId, scope: &AccessScope) -> Result<(), StoreError> {
    let is_limited = *scope != AccessScope::All;
    tx.execute("UPDATE web_user SET is_limited = ?2 WHERE id = ?1", params![id.0, is_limited])?;
    tx.execute("DELETE FROM web_user_scope WHERE user_id = ?1", params![id.0])?;
    let AccessScope::Limited { groups, tags } = scope else { return Ok(()) };
    let groups = groups.iter().map(|name| (GROUP, name));
    for (kind, name) in groups.chain(tags.iter().map(|name| (TAG, name))) {
        tx.execute(
            "INSERT INTO web_user_scope (user_id, kind, name) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
            params![id.0, kind, name],
        )?;
    }
    Ok(())
}

fn check_name(name: &str) -> Result<(), Refused> {
    machine::name(name)?;
    match name == COMMAND_LINE {
        true => Err(Refused::because(format!("name \"{name}\": the audit log uses it for the command line"))),
        false => Ok(()),
    }
}

pub(super) fn check_scope(role: Role, scope: &AccessScope) -> Result<(), Refused> {
    let AccessScope::Limited { groups, tags } = scope else { return Ok(()) };
    if role == Role::Owner {
        return Err(Refused::because("an owner sees all machines and cannot be limited to groups or tags"));
    }
    if groups.len() + tags.len() > MOST_LIMITS {
        return Err(Refused::because(format!("a user is limited to at most {MOST_LIMITS} groups and tags")));
    }
    groups.iter().try_for_each(|name| machine::group(name))?;
    Ok(tags.iter().try_for_each(|name| machine::tag(name))?)
}

/// Refuses a change on a page by which an owner loses that role, if no other owner can sign in.
pub(super) fn keep_an_owner(tx: &Transaction<'_>, actor: &Actor, changed: &User) -> Result<(), Refused> {
    if changed.role != Role::Owner || actor.name == COMMAND_LINE {
        return Ok(());
    }
    let has_another: bool = tx.query_row(
        "SELECT EXISTS (SELECT 1 FROM web_user WHERE role = ?1 AND password IS NOT NULL AND id <> ?2)",
        params![Role::Owner.name(), changed.id.0],
        |row| row.get(0),
    )?;
    match has_another {
        true => Ok(()),
        false => Err(Refused::because("no other owner could sign in; make another user an owner first")),
    }
}

/// `operator, limited to group barn, tag camera`
pub fn described(role: Role, scope: &AccessScope) -> String {
    match limits_of(scope) {
        None => role.name().into(),
        Some(limits) => format!("{}, limited to {limits}", role.name()),
    }
}

/// `group barn, tag camera`; `None`: all machines.
pub fn limits_of(scope: &AccessScope) -> Option<String> {
    let AccessScope::Limited { groups, tags } = scope else { return None };
    let groups = groups.iter().map(|name| format!("group {name}"));
    let limits: Vec<String> = groups.chain(tags.iter().map(|name| format!("tag {name}"))).collect();
    Some(if limits.is_empty() { "no machine".into() } else { limits.join(", ") })
}

impl From<User> for Visitor {
    fn from(user: User) -> Visitor {
        let User { id, name, role, scope, time_zone, .. } = user;
        Visitor { id, name, role, scope, time_zone }
    }
}

#[cfg(test)]
pub(super) mod tests;
