//! Enrolment keys: for one device or many, until they expire.

use crate::clock::Moment;
use crate::monitor::machine::{self, MachineId};
use crate::monitor::registry::issue::{TokenReceiver, make};
use crate::monitor::registry::token::{Token, TokenHash, TokenUse};
use crate::monitor::store::sql::{Transaction, params};
use crate::monitor::store::{Refused, Store, StoreError};
use std::time::Duration;

/// Most keys that are valid at once.
const MOST_KEYS: i64 = 1000;
/// Most devices of one key.
const MOST_USES: u32 = 10_000;

/// A key that is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewKey {
    pub valid: Duration,
    /// Devices that can enrol with it.
    pub uses: u32,
    /// Of the enrolled machines.
    pub group: Option<String>,
    /// A person approves each device.
    pub needs_approval: bool,
}

/// A key as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnrolmentKey {
    pub id: i64,
    pub group: Option<String>,
    pub created_at: Moment,
    pub expires_at: Moment,
    /// Devices that have used it, and that can.
    pub uses: (u32, u32),
    pub needs_approval: bool,
    /// The machine that used it last.
    pub machine: Option<MachineId>,
}

/// A key that a device has sent.
pub(super) struct FoundKey {
    id: i64,
    pub group: Option<String>,
    uses: u32,
    most_uses: u32,
    pub needs_approval: bool,
    pub machine: Option<MachineId>,
}

impl NewKey {
    /// For one device, without approval.
    pub fn one(valid: Duration, group: Option<&str>) -> NewKey {
        NewKey { valid, uses: 1, group: group.map(str::to_owned), needs_approval: false }
    }

    fn check(&self) -> Result<(), Refused> {
        machine::within("--for", self.valid, &machine::ENROLMENT)?;
        self.group.as_deref().map_or(Ok(()), machine::group)?;
        if !(1..=MOST_USES).contains(&self.uses) {
            return Err(Refused::because(format!("--uses: from 1 to {MOST_USES}")));
        }
        Ok(())
    }
}

impl Store {
    /// Makes a key.
    ///
    /// # Errors
    /// The time, the group or the number of uses is refused, there are too many keys, or `deliver_token` failed.
    pub fn add_key(
        &self,
        new: &NewKey,
        now: Moment,
        deliver_token: TokenReceiver<'_>,
    ) -> Result<Token, Refused> {
        new.check()?;
        self.transact(|tx| {
            tx.execute("DELETE FROM enroll_token WHERE expires_at <= ?1", params![now.0])?;
            let keys: i64 = tx.query_row("SELECT count(*) FROM enroll_token", &[], |row| row.get(0))?;
            if keys >= MOST_KEYS {
                return Err(Refused::because(format!("{keys} keys are valid; remove some first")));
            }
            let key = make(TokenUse::Enrol)?;
            tx.execute(
                "INSERT INTO enroll_token (hash, created_at, expires_at, group_name, most_uses, needs_approval)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                params![
                    key.hash().0,
                    now.0,
                    now.plus(new.valid).0,
                    new.group,
                    new.uses,
                    new.needs_approval
                ],
            )?;
            deliver_token(&key)?;
            Ok(key)
        })
    }

    /// Those that can be used, and those that were, until their time is over.
    pub fn keys(&self, now: Moment) -> Result<Vec<EnrolmentKey>, StoreError> {
        self.read(|connection| {
            let sql =
                "SELECT id, group_name, created_at, expires_at, uses, most_uses, needs_approval, machine_id
                 FROM enroll_token WHERE expires_at > ?1 ORDER BY id";
            connection.query_all(sql, params![now.0], |row| {
                Ok(EnrolmentKey {
                    id: row.get(0)?,
                    group: row.get(1)?,
                    created_at: Moment(row.get(2)?),
                    expires_at: Moment(row.get(3)?),
                    uses: (row.get(4)?, row.get(5)?),
                    needs_approval: row.get(6)?,
                    machine: row.get::<Option<i64>>(7)?.map(MachineId),
                })
            })
        })
    }

    pub fn remove_key(&self, id: i64) -> Result<(), Refused> {
        self.transact(|tx| match tx.execute("DELETE FROM enroll_token WHERE id = ?1", params![id])? {
            0 => Err(Refused::because(format!("there is no enrolment key {id}"))),
            _ => Ok(()),
        })
    }
}

impl FoundKey {
    /// Found by its hash: no time that a comparison takes says anything of a key.
    pub fn of(tx: &Transaction<'_>, key: &str, now: Moment) -> Result<Option<FoundKey>, StoreError> {
        tx.query_optional(
            "SELECT id, group_name, uses, most_uses, needs_approval, machine_id FROM enroll_token
             WHERE hash = ?1 AND expires_at > ?2",
            params![TokenHash::of(key).0, now.0],
            |row| {
                Ok(FoundKey {
                    id: row.get(0)?,
                    group: row.get(1)?,
                    uses: row.get(2)?,
                    most_uses: row.get(3)?,
                    needs_approval: row.get(4)?,
                    machine: row.get::<Option<i64>>(5)?.map(MachineId),
                })
            },
        )
    }

    /// Several devices can use it.
    pub fn is_for_many(&self) -> bool {
        self.most_uses > 1
    }

    /// Somebody made it for one device, which has not used it yet.
    pub fn is_for_a_new_device(&self) -> bool {
        !self.is_for_many() && self.uses == 0
    }

    /// # Errors
    /// Every use was made.
    pub fn check_unused(&self) -> Result<(), Refused> {
        if self.uses < self.most_uses { Ok(()) } else { Err(unusable()) }
    }

    /// Counts a use, by the machine if there is one already.
    pub fn note_use(
        &self,
        tx: &Transaction<'_>,
        machine: Option<MachineId>,
        now: Moment,
    ) -> Result<(), StoreError> {
        tx.execute(
            "UPDATE enroll_token SET used_at = ?2, machine_id = ?3, uses = uses + 1 WHERE id = ?1",
            params![self.id, now.0, machine.map(|machine| machine.0)],
        )?;
        Ok(())
    }
}

/// It is not said whether the key ever could be used.
pub fn unusable() -> Refused {
    Refused::because(
        "the enrolment key is unknown, used or expired; heartbeat-monitor enroll add makes another one",
    )
}
