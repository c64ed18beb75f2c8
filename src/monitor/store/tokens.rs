//! Tokens of devices and of readers, as they are stored: their hashes.

use super::machines::{find, note};
use super::refused::Refused;
use super::{MachineId, Store, StoreError};
use crate::clock::Moment;
use crate::monitor::machine;
use crate::monitor::tokens::{Token, Use};
use rusqlite::{Transaction, params};
use std::time::Duration;

/// Of one machine, in number: one that is used and a few that were replaced and still valid.
const MOST_TOKENS: i64 = 8;
/// In number. Every one of them is a key to all machines' figures.
const MOST_READERS: i64 = 1000;

/// Receives a new token before the transaction commits that stores its hash; its error undoes the transaction.
pub type HandOver<'a> = &'a dyn Fn(&Token) -> Result<(), Refused>;

/// A reader of the API, as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reader {
    pub name: String,
    pub created_at: Moment,
}

impl Store {
    /// Gives a machine a new token. The others are valid for `overlap` more, and no longer than they were.
    ///
    /// # Errors
    /// There is no such machine; it has too many tokens; the overlap is too long; `hand_over` failed.
    pub fn rotate(
        &self,
        which: &str,
        overlap: Duration,
        now: Moment,
        hand_over: HandOver<'_>,
    ) -> Result<(MachineId, Token), Refused> {
        machine::within("--keep-old", overlap, &machine::OVERLAP)?;
        self.transact(|tx| {
            let id = find(tx, which)?;
            let until = now.plus(overlap);
            tx.execute(
                "UPDATE device_token SET expires_at = min(ifnull(expires_at, ?2), ?2) WHERE machine_id = ?1",
                params![id.0, until.0],
            )?;
            tx.execute("DELETE FROM device_token WHERE expires_at <= ?1", [now.0])?;
            let token = give(tx, id, now)?;
            note(tx, Some(id), "rotated", None, now)?;
            hand_over(&token)?;
            Ok((id, token))
        })
    }

    /// Ends all of a machine's tokens at once; how many there were.
    ///
    /// # Errors
    /// There is no such machine.
    pub fn revoke(&self, which: &str, now: Moment) -> Result<(MachineId, usize), Refused> {
        self.transact(|tx| {
            let id = find(tx, which)?;
            let revoked = take_all(tx, id)?;
            if revoked > 0 {
                note(tx, Some(id), "revoked", None, now)?;
            }
            Ok((id, revoked))
        })
    }

    /// Removes what can no longer be used: replaced tokens and enrolment keys whose time is over. Nothing depends on
    /// it but the size of the file.
    ///
    /// # Errors
    /// The database cannot be written.
    pub fn forget_expired(&self, now: Moment) -> Result<usize, StoreError> {
        self.write(|tx| {
            let tokens = tx.execute("DELETE FROM device_token WHERE expires_at <= ?1", [now.0])?;
            let keys = tx.execute("DELETE FROM enroll_token WHERE expires_at <= ?1", [now.0])?;
            Ok(tokens + keys)
        })
    }

    /// # Errors
    /// The name is refused or taken, there are too many read tokens, or `hand_over` failed.
    pub fn add_reader(&self, name: &str, now: Moment, hand_over: HandOver<'_>) -> Result<Token, Refused> {
        machine::name(name)?;
        self.transact(|tx| {
            let number = |sql: &str| tx.query_row(sql, [], |row| row.get::<_, i64>(0));
            if number("SELECT count(*) FROM read_token")? >= MOST_READERS {
                return Err(Refused::because(format!("there are {MOST_READERS} read tokens; remove some first")));
            }
            let token = make(Use::Read)?;
            let added = tx.execute(
                "INSERT INTO read_token (name, hash, created_at) VALUES (?1, ?2, ?3) ON CONFLICT (name) DO NOTHING",
                params![name, token.hash().0, now.0],
            )?;
            match added {
                0 => Err(Refused::because(format!("a read token is called \"{name}\" already"))),
                _ => hand_over(&token).map(|()| token),
            }
        })
    }

    /// # Errors
    /// There is none of that name.
    pub fn remove_reader(&self, name: &str) -> Result<(), Refused> {
        self.transact(|tx| match tx.execute("DELETE FROM read_token WHERE name = ?1", [name])? {
            0 => Err(Refused::because(format!("there is no read token \"{}\"", name.escape_debug()))),
            _ => Ok(()),
        })
    }

    /// In the order of their names.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn readers(&self) -> Result<Vec<Reader>, StoreError> {
        self.read(|connection| {
            let mut statement =
                connection.prepare("SELECT name, created_at FROM read_token ORDER BY name")?;
            let rows = statement
                .query_map([], |row| Ok(Reader { name: row.get(0)?, created_at: Moment(row.get(1)?) }))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }
}

/// Makes a token and stores its hash.
pub(super) fn give(tx: &Transaction<'_>, machine: MachineId, now: Moment) -> Result<Token, Refused> {
    let tokens: i64 =
        tx.query_row("SELECT count(*) FROM device_token WHERE machine_id = ?1", [machine.0], |row| {
            row.get(0)
        })?;
    if tokens >= MOST_TOKENS {
        return Err(Refused::because(format!(
            "the machine has {tokens} tokens that are valid; revoke them, or wait until one has expired"
        )));
    }
    let token = make(Use::Device)?;
    tx.execute(
        "INSERT INTO device_token (machine_id, hash, created_at) VALUES (?1, ?2, ?3)",
        params![machine.0, token.hash().0, now.0],
    )?;
    Ok(token)
}

/// How many there were.
pub(super) fn take_all(tx: &Transaction<'_>, machine: MachineId) -> Result<usize, StoreError> {
    Ok(tx.execute("DELETE FROM device_token WHERE machine_id = ?1", [machine.0])?)
}

pub(super) fn make(purpose: Use) -> Result<Token, Refused> {
    Token::make(purpose)
        .map_err(|error| Refused::because(format!("the kernel gives no random numbers: {error}")))
}
