//! Tokens of devices and of readers, as they are stored: their hashes.

use super::machines::find;
use crate::monitor::events::note;

use super::issue::{TokenReceiver, issue, make, revoke_all};
use super::token::{Token, TokenUse};
use crate::clock::Moment;
use crate::monitor::machine;
use crate::monitor::machine::MachineId;
use crate::monitor::store::sql::params;
use crate::monitor::store::{Refused, Store, StoreError};
use std::time::Duration;

/// In number. Every one of them is a key to all machines' figures.
const MOST_READERS: i64 = 1000;

/// A replaced token is known for this long after its end: a device that still uses it is noticed.
const RECOGNISED_FOR: Duration = Duration::from_secs(30 * 86_400);

/// A reader of the API, as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadToken {
    pub name: String,
    pub created_at: Moment,
}

impl Store {
    /// Gives a machine a new token. The others are valid for `overlap` more, and no longer than they were.
    ///
    /// # Errors
    /// There is no such machine; it has too many tokens; the overlap is too long; `deliver_token` failed.
    pub fn rotate(
        &self,
        which: &str,
        overlap: Duration,
        now: Moment,
        deliver_token: TokenReceiver<'_>,
    ) -> Result<(MachineId, Token), Refused> {
        machine::within("--keep-old", overlap, &machine::OVERLAP)?;
        self.transact(|tx| {
            let id = find(tx, which)?;
            let until = now.plus(overlap);
            tx.execute(
                "UPDATE device_token SET expires_at = ?2
                 WHERE machine_id = ?1 AND (expires_at IS NULL OR expires_at > ?2)",
                params![id.0, until.0],
            )?;
            // Those that this call replaced at once are recognised and refused.
            tx.execute("DELETE FROM device_token WHERE expires_at < ?1", params![now.0])?;
            let token = issue(tx, id, now)?;
            note(tx, Some(id), "rotated", None, now)?;
            deliver_token(&token)?;
            Ok((id, token))
        })
    }

    /// Ends all of a machine's tokens at once; how many there were.
    pub fn revoke(&self, which: &str, now: Moment) -> Result<(MachineId, usize), Refused> {
        self.transact(|tx| {
            let id = find(tx, which)?;
            tx.execute("DELETE FROM device_token WHERE expires_at <= ?1", params![now.0])?;
            let revoked = revoke_all(tx, id)?;
            if revoked > 0 {
                note(tx, Some(id), "revoked", None, now)?;
            }
            Ok((id, revoked))
        })
    }

    /// Removes replaced tokens that are no longer recognised, and enrolment keys whose time is over.
    pub fn forget_expired(&self, now: Moment) -> Result<usize, StoreError> {
        self.write(|tx| {
            let limit = now.minus(RECOGNISED_FOR);
            let tokens = tx.execute("DELETE FROM device_token WHERE expires_at <= ?1", params![limit.0])?;
            let keys = tx.execute("DELETE FROM enroll_token WHERE expires_at <= ?1", params![now.0])?;
            Ok(tokens + keys)
        })
    }

    /// # Errors
    /// The name is refused or taken, there are too many read tokens, or `deliver_token` failed.
    pub fn add_reader(
        &self,
        name: &str,
        now: Moment,
        deliver_token: TokenReceiver<'_>,
    ) -> Result<Token, Refused> {
        machine::name(name)?;
        self.transact(|tx| {
            let number = |sql: &str| tx.query_row(sql, &[], |row| row.get::<i64>(0));
            if number("SELECT count(*) FROM read_token")? >= MOST_READERS {
                return Err(Refused::because(format!("there are {MOST_READERS} read tokens; remove some first")));
            }
            let token = make(TokenUse::Read)?;
            let added = tx.execute(
                "INSERT INTO read_token (name, hash, created_at) VALUES (?1, ?2, ?3) ON CONFLICT (name) DO NOTHING",
                params![name, token.hash().0, now.0],
            )?;
            match added {
                0 => Err(Refused::because(format!("a read token has the name \"{name}\" already"))),
                _ => deliver_token(&token).map(|()| token),
            }
        })
    }

    pub fn remove_reader(&self, name: &str) -> Result<(), Refused> {
        self.transact(|tx| match tx.execute("DELETE FROM read_token WHERE name = ?1", params![name])? {
            0 => Err(Refused::because(format!("there is no read token \"{}\"", name.escape_debug()))),
            _ => Ok(()),
        })
    }

    /// In the order of their names.
    pub fn readers(&self) -> Result<Vec<ReadToken>, StoreError> {
        self.read(|connection| {
            connection.query_all("SELECT name, created_at FROM read_token ORDER BY name", &[], |row| {
                Ok(ReadToken { name: row.get(0)?, created_at: Moment(row.get(1)?) })
            })
        })
    }
}
