//! Enrolment: a one-time key with which a device adds itself.
//!
//! A device is identified by its hardware id; a MAC address is the same id however it is written. A device that enrols
//! again with a new key (its card was rewritten) is the same machine with a new token, and its old tokens are revoked. A
//! hardware id is not a secret, so a machine that is online keeps its tokens: an enrolment with its id is refused until
//! they are revoked. A used key issues another token for the same device until its first heartbeat, because the response
//! may have been lost.

use super::machines::insert;
use crate::monitor::events::note;

use super::issue::{TokenReceiver, issue, make, revoke_all};
use super::token::{Token, TokenHash, TokenUse};
use crate::clock::Moment;
use crate::monitor::machine::{self, Description, MachineId, MachineStatus};
use crate::monitor::store::{Refused, Store, StoreError};
use rusqlite::{OptionalExtension, Transaction, params};
use std::time::Duration;

/// Most keys that are valid at once.
const MOST_KEYS: i64 = 1000;

/// A device's request to be enrolled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Enrolment<'a> {
    pub key: &'a str,
    pub hardware_id: &'a str,
    pub hostname: Option<&'a str>,
}

/// The enrolled machine and its token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrolled {
    pub machine: MachineId,
    pub name: String,
    pub token: Token,
}

/// A key as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnrolmentKey {
    pub id: i64,
    pub group: Option<String>,
    pub created_at: Moment,
    pub expires_at: Moment,
    /// The machine that used it.
    pub machine: Option<MachineId>,
    pub used_at: Option<Moment>,
}

impl Store {
    /// Makes a key that one device can use within `valid`.
    ///
    /// # Errors
    /// The time or the group is refused, there are too many keys, or `deliver_token` failed.
    pub fn add_key(
        &self,
        valid: Duration,
        group: Option<&str>,
        now: Moment,
        deliver_token: TokenReceiver<'_>,
    ) -> Result<Token, Refused> {
        machine::within("--for", valid, &machine::ENROLMENT)?;
        group.map_or(Ok(()), machine::group)?;
        self.transact(|tx| {
            tx.execute("DELETE FROM enroll_token WHERE expires_at <= ?1", [now.0])?;
            let keys: i64 = tx.query_row("SELECT count(*) FROM enroll_token", [], |row| row.get(0))?;
            if keys >= MOST_KEYS {
                return Err(Refused::because(format!("{keys} keys are valid; remove some first")));
            }
            let key = make(TokenUse::Enrol)?;
            tx.execute(
                "INSERT INTO enroll_token (hash, created_at, expires_at, group_name) VALUES (?1, ?2, ?3, ?4)",
                params![key.hash().0, now.0, now.plus(valid).0, group],
            )?;
            deliver_token(&key)?;
            Ok(key)
        })
    }

    /// Those that can be used, and those that were, until their time is over.
    pub fn keys(&self, now: Moment) -> Result<Vec<EnrolmentKey>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare(
                "SELECT id, group_name, created_at, expires_at, machine_id, used_at FROM enroll_token
                 WHERE expires_at > ?1 ORDER BY id",
            )?;
            let rows = statement.query_map([now.0], |row| {
                Ok(EnrolmentKey {
                    id: row.get(0)?,
                    group: row.get(1)?,
                    created_at: Moment(row.get(2)?),
                    expires_at: Moment(row.get(3)?),
                    machine: row.get::<_, Option<i64>>(4)?.map(MachineId),
                    used_at: row.get::<_, Option<i64>>(5)?.map(Moment),
                })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    pub fn remove_key(&self, id: i64) -> Result<(), Refused> {
        self.transact(|tx| match tx.execute("DELETE FROM enroll_token WHERE id = ?1", [id])? {
            0 => Err(Refused::because(format!("there is no enrolment key {id}"))),
            _ => Ok(()),
        })
    }

    /// Adds a machine for an unknown device, or issues a new token for a known one; once per key.
    ///
    /// # Errors
    /// The key cannot be used (it is not said whether it ever could), the device says nothing usable of itself, or it
    /// is online.
    pub fn enroll(&self, device: &Enrolment<'_>, now: Moment) -> Result<Enrolled, Refused> {
        machine::hardware_id(device.hardware_id)?;
        let hardware_id = machine::canonical_hardware_id(device.hardware_id);
        let device = &Enrolment { hardware_id: &hardware_id, ..*device };
        self.transact(|tx| {
            let key = find_key(tx, device.key, now)?;
            let known = known_device(tx, device.hardware_id)?;
            if key.used && !repeats(known.as_ref(), &key) {
                return Err(unusable());
            }
            let (machine, name) = match known {
                Some(known) => enrol_again(tx, known)?,
                None => {
                    let new = described(tx, device, key.group)?;
                    (insert(tx, &new, Some(device.hardware_id), now)?, new.name)
                }
            };
            let token = issue(tx, machine, now)?;
            tx.execute(
                "UPDATE enroll_token SET used_at = ?2, machine_id = ?3 WHERE id = ?1",
                params![key.id, now.0, machine.0],
            )?;
            note(tx, Some(machine), "enrolled", None, now)?;
            Ok(Enrolled { machine, name, token })
        })
    }
}

struct FoundKey {
    id: i64,
    group: Option<String>,
    used: bool,
    machine: Option<MachineId>,
}

/// Found by its hash: no time that a comparison takes says anything of a key.
fn find_key(tx: &Transaction<'_>, key: &str, now: Moment) -> Result<FoundKey, Refused> {
    let found = tx
        .query_row(
            "SELECT id, group_name, used_at IS NOT NULL, machine_id FROM enroll_token
             WHERE hash = ?1 AND expires_at > ?2",
            params![TokenHash::of(key).0, now.0],
            |row| {
                Ok(FoundKey {
                    id: row.get(0)?,
                    group: row.get(1)?,
                    used: row.get(2)?,
                    machine: row.get::<_, Option<i64>>(3)?.map(MachineId),
                })
            },
        )
        .optional()?;
    found.ok_or_else(unusable)
}

fn unusable() -> Refused {
    Refused::because(
        "the enrolment key is unknown, used or expired; heartbeat-monitor enroll add makes another one",
    )
}

struct KnownDevice {
    machine: MachineId,
    name: String,
    status: MachineStatus,
    has_token: bool,
    watched: bool,
}

fn known_device(tx: &Transaction<'_>, hardware_id: &str) -> Result<Option<KnownDevice>, StoreError> {
    let found = tx
        .query_row(
            "SELECT id, name, status, EXISTS (SELECT 1 FROM device_token WHERE machine_id = id), watched
             FROM machine JOIN machine_state ON machine_id = id WHERE hardware_id = ?1",
            [hardware_id],
            |row| {
                Ok(KnownDevice {
                    machine: MachineId(row.get(0)?),
                    name: row.get(1)?,
                    status: MachineStatus::of(row.get(2)?),
                    has_token: row.get(3)?,
                    watched: row.get(4)?,
                })
            },
        )
        .optional()?;
    Ok(found)
}

/// Whether the device repeats its request with its own key because it got no answer.
fn repeats(known: Option<&KnownDevice>, key: &FoundKey) -> bool {
    known.is_some_and(|known| Some(known.machine) == key.machine && known.status == MachineStatus::New)
}

fn enrol_again(tx: &Transaction<'_>, known: KnownDevice) -> Result<(MachineId, String), Refused> {
    if !known.watched {
        return Err(Refused::because(format!("machine \"{}\" is disabled", known.name)));
    }
    if known.status == MachineStatus::Online && known.has_token {
        return Err(Refused::because(format!(
            "machine \"{}\" has this hardware id and is online; heartbeat-monitor machine revoke {} lets it enrol again",
            known.name, known.machine.0
        )));
    }
    revoke_all(tx, known.machine)?;
    Ok((known.machine, known.name))
}

/// A device is called by its hostname, and by its hardware id too where that is taken or cannot be a name.
fn described(
    tx: &Transaction<'_>,
    device: &Enrolment<'_>,
    group: Option<String>,
) -> Result<Description, StoreError> {
    let hostname = device.hostname.filter(|text| machine::hostname(text).is_ok());
    let with_id = match hostname {
        Some(hostname) => format!("{hostname}-{}", device.hardware_id),
        None => format!("device-{}", device.hardware_id),
    };
    let fallbacks = [with_id, format!("device-{}", device.hardware_id)];
    let candidates = hostname.map(str::to_owned).into_iter().chain(fallbacks);
    let mut name = String::new();
    for candidate in candidates {
        let taken = || tx.prepare("SELECT 1 FROM machine WHERE name = ?1")?.exists([&candidate]);
        if machine::name(&candidate).is_ok() && !taken()? {
            name = candidate;
            break;
        }
    }
    if name.is_empty() {
        // Both fallback names are in use; a number of ten digits makes this one unique.
        name = format!("device-{}-{:010}", device.hardware_id, fastrand::u32(..));
    }
    Ok(Description { name, hostname: hostname.map(str::to_owned), group, ..Description::default() })
}

#[cfg(test)]
mod tests;
