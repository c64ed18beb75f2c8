//! New tokens: made, handed over, and stored as a hash.

use super::token::{Token, TokenUse};
use crate::clock::Moment;
use crate::monitor::machine::MachineId;
use crate::monitor::store::sql::{Transaction, params};
use crate::monitor::store::{Refused, StoreError};

/// Of one machine, in number: one that is used and a few that were replaced and still valid.
const MOST_TOKENS: i64 = 8;

/// Counts the valid tokens of a machine; it may have as many that were replaced and are only recognised.
const VALID: &str = "SELECT count(*) FROM device_token
     WHERE machine_id = ?1 AND (expires_at IS NULL OR expires_at > ?2)";

/// Receives a new token before the transaction commits that stores its hash; its error undoes the transaction.
pub type TokenReceiver<'a> = &'a dyn Fn(&Token) -> Result<(), Refused>;

/// Makes a token and stores its hash.
pub fn issue(tx: &Transaction<'_>, machine: MachineId, now: Moment) -> Result<Token, Refused> {
    let tokens: i64 = tx.query_row(VALID, params![machine.0, now.0], |row| row.get(0))?;
    if tokens >= MOST_TOKENS {
        return Err(Refused::because(format!(
            "the machine has {tokens} tokens that are valid; revoke them, or wait until one has expired"
        )));
    }
    let token = make(TokenUse::Device)?;
    tx.execute(
        "INSERT INTO device_token (machine_id, hash, created_at) VALUES (?1, ?2, ?3)",
        params![machine.0, token.hash().0, now.0],
    )?;
    Ok(token)
}

/// Deletes the tokens of a machine; returns their number.
pub fn revoke_all(tx: &Transaction<'_>, machine: MachineId) -> Result<usize, StoreError> {
    tx.execute("DELETE FROM device_token WHERE machine_id = ?1", params![machine.0])
}

pub fn make(purpose: TokenUse) -> Result<Token, Refused> {
    Token::make(purpose)
        .map_err(|error| Refused::because(format!("the kernel gives no random numbers: {error}")))
}
