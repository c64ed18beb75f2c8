//! How a user proves who they are: the columns of password and second factor, and the table `web_recovery_code`.

use super::audit::Actor;
use super::sessions::end_all;
use super::totp::{TotpSecret, recovery_hash};
use super::visitor::UserId;
use crate::clock::Moment;
use crate::monitor::store::sql::{Connection, Transaction, params};
use crate::monitor::store::{Refused, Store, StoreError};

/// What a sign-in is checked against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginRecord {
    pub id: UserId,
    pub name: String,
    /// As a PHC string; `None`: not set yet.
    pub password: Option<String>,
    pub has_totp: bool,
    pub has_time_zone: bool,
}

/// How the second factor was proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecondFactor {
    /// By the code of an authenticator program.
    Code,
    /// By a recovery code, of which this many are left.
    Recovery { left: usize },
}

impl Store {
    pub fn login_record(&self, name: &str) -> Result<Option<LoginRecord>, StoreError> {
        self.read(|connection| {
            connection.query_optional(
                "SELECT id, name, password, totp_secret IS NOT NULL, time_zone IS NOT NULL
                 FROM web_user WHERE name = ?1",
                params![name],
                |row| {
                    Ok(LoginRecord {
                        id: UserId(row.get(0)?),
                        name: row.get(1)?,
                        password: row.get(2)?,
                        has_totp: row.get(3)?,
                        has_time_zone: row.get(4)?,
                    })
                },
            )
        })
    }

    /// Uses up a code of the second factor or a recovery code; `None` if it is wrong or was used before.
    pub fn use_code(
        &self,
        user: UserId,
        code: &str,
        now: Moment,
    ) -> Result<Option<SecondFactor>, StoreError> {
        self.write(|tx| match uses_totp(tx, user, code, now)? {
            true => Ok(Some(SecondFactor::Code)),
            false => use_recovery(tx, user, code),
        })
    }

    /// Sets a password, as a PHC string, and ends all sessions of the user.
    pub fn set_password(&self, actor: &Actor, user: UserId, hash: &str, now: Moment) -> Result<(), Refused> {
        self.transact(|tx| store_password(tx, actor, user, hash, now))
    }

    /// Turns the second factor on, with the recovery codes' plain text, and ends all sessions of the user. `step` is that
    /// of the code which proved that the user has the secret.
    pub fn set_totp(
        &self,
        actor: &Actor,
        user: UserId,
        secret: &TotpSecret,
        step: i64,
        codes: &[String],
        now: Moment,
    ) -> Result<(), Refused> {
        self.transact(|tx| {
            tx.execute(
                "UPDATE web_user SET totp_secret = ?2, totp_step = ?3 WHERE id = ?1",
                params![user.0, secret.0, step],
            )?;
            replace_codes(tx, user, codes)?;
            end_all(tx, user, None)?;
            Ok(record(tx, actor, user, "user.totp.on", now)?)
        })
    }

    /// Turns the second factor off, and ends all sessions of the user.
    pub fn clear_totp(&self, actor: &Actor, user: UserId, now: Moment) -> Result<(), Refused> {
        self.transact(|tx| {
            let sql = "UPDATE web_user SET totp_secret = NULL, totp_step = NULL WHERE id = ?1";
            tx.execute(sql, params![user.0])?;
            replace_codes(tx, user, &[])?;
            end_all(tx, user, None)?;
            Ok(record(tx, actor, user, "user.totp.off", now)?)
        })
    }

    /// Recovery codes that were not used.
    pub fn recovery_codes_left(&self, user: UserId) -> Result<usize, StoreError> {
        self.read(|connection| count_codes(connection, user))
    }
}

/// Whether the code is one of the authenticator program that was not used.
fn uses_totp(tx: &Transaction<'_>, user: UserId, code: &str, now: Moment) -> Result<bool, StoreError> {
    let found = tx.query_optional(
        "SELECT totp_secret, totp_step FROM web_user WHERE id = ?1 AND totp_secret IS NOT NULL",
        params![user.0],
        |row| Ok((TotpSecret(row.get(0)?), row.get::<Option<i64>>(1)?)),
    )?;
    let step = found.and_then(|(secret, used)| secret.step_of(code, used, now));
    let Some(step) = step else { return Ok(false) };
    tx.execute("UPDATE web_user SET totp_step = ?2 WHERE id = ?1", params![user.0, step])?;
    Ok(true)
}

fn use_recovery(tx: &Transaction<'_>, user: UserId, code: &str) -> Result<Option<SecondFactor>, StoreError> {
    let sql = "DELETE FROM web_recovery_code WHERE user_id = ?1 AND hash = ?2";
    match tx.execute(sql, params![user.0, recovery_hash(code).0])? {
        0 => Ok(None),
        _ => Ok(Some(SecondFactor::Recovery { left: count_codes(tx, user)? })),
    }
}

fn count_codes(connection: &Connection<'_>, user: UserId) -> Result<usize, StoreError> {
    let sql = "SELECT count(*) FROM web_recovery_code WHERE user_id = ?1";
    let left: i64 = connection.query_row(sql, params![user.0], |row| row.get(0))?;
    Ok(usize::try_from(left).unwrap_or(0))
}

fn replace_codes(tx: &Transaction<'_>, user: UserId, codes: &[String]) -> Result<(), StoreError> {
    tx.execute("DELETE FROM web_recovery_code WHERE user_id = ?1", params![user.0])?;
    let mut insert = tx.prepare("INSERT INTO web_recovery_code (user_id, hash) VALUES (?1, ?2)")?;
    for code in codes {
        insert.execute(params![user.0, recovery_hash(code).0])?;
    }
    Ok(())
}

pub(super) fn store_password(
    tx: &Transaction<'_>,
    actor: &Actor,
    user: UserId,
    hash: &str,
    now: Moment,
) -> Result<(), Refused> {
    tx.execute("UPDATE web_user SET password = ?2 WHERE id = ?1", params![user.0, hash])?;
    end_all(tx, user, None)?;
    // Somebody else may have a link of before.
    tx.execute("DELETE FROM web_invitation WHERE user_id = ?1", params![user.0])?;
    Ok(record(tx, actor, user, "user.password", now)?)
}

/// Records a change of a user, by name.
fn record(
    tx: &Transaction<'_>,
    actor: &Actor,
    user: UserId,
    action: &'static str,
    now: Moment,
) -> Result<(), StoreError> {
    let name: Option<String> =
        tx.query_optional("SELECT name FROM web_user WHERE id = ?1", params![user.0], |row| row.get(0))?;
    actor.record(tx, action, name.as_deref(), None, now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::accounts::sessions::NewSession;
    use crate::monitor::accounts::visitor::{AccessScope, Role};
    use crate::monitor::store::Scratch;

    const SECRET: TotpSecret = TotpSecret(*b"12345678901234567890");

    fn with_totp(codes: &[String]) -> (Scratch, UserId) {
        let (store, line) = (Store::scratch(), Actor::command_line());
        let user = store.add_user(&line, "ada", Role::Owner, &AccessScope::All, Moment(0)).expect("added");
        store.set_totp(&line, user, &SECRET, 1, codes, Moment(0)).expect("on");
        (store, user)
    }

    #[test]
    fn each_code_works_once() {
        let (store, user) = with_totp(&[]);
        // The code of RFC 6238 at 1,111,111,109 s.
        let use_it = || store.use_code(user, "081804", Moment::from_seconds(1_111_111_109)).expect("tried");
        assert_eq!(use_it(), Some(SecondFactor::Code));
        assert_eq!(use_it(), None);
        assert_eq!(
            store.use_code(user, "287082", Moment::from_seconds(59)).expect("tried"),
            None,
            "an older one"
        );
    }

    #[test]
    fn each_recovery_code_works_once() {
        let codes = ["AAAA-BBBB-CCCC-DDDD".to_owned(), "AAAA-BBBB-CCCC-EEEE".to_owned()];
        let (store, user) = with_totp(&codes);
        let use_it = |code| store.use_code(user, code, Moment(5)).expect("tried");
        assert_eq!(use_it("aaaabbbbccccdddd"), Some(SecondFactor::Recovery { left: 1 }));
        assert_eq!(use_it("AAAA-BBBB-CCCC-DDDD"), None);
        assert_eq!(use_it(""), None);
        assert_eq!(store.use_code(UserId(99), &codes[1], Moment(5)).expect("tried"), None, "another user's");
        assert_eq!(store.recovery_codes_left(user).expect("counted"), 1);
    }

    #[test]
    fn a_change_of_password_or_second_factor_ends_all_sessions() {
        let (store, user) = with_totp(&[]);
        let line = Actor::command_line();
        let sessions = || store.sessions(user, Moment(2)).expect("listed").len();
        let sign_in = || {
            let session = NewSession { user, address: None, agent: None };
            store.add_session(&session, Moment(1)).expect("a session");
            assert_eq!(sessions(), 1);
        };
        sign_in();
        store.set_password(&line, user, "$argon2id$x", Moment(2)).expect("set");
        assert_eq!(sessions(), 0);
        sign_in();
        store.clear_totp(&line, user, Moment(2)).expect("off");
        assert_eq!(sessions(), 0);
        sign_in();
        store.set_totp(&line, user, &SECRET, 1, &[], Moment(2)).expect("on");
        assert_eq!(sessions(), 0);
        let record = store.login_record("ada").expect("read").expect("found");
        assert_eq!((record.password.as_deref(), record.has_totp), (Some("$argon2id$x"), true));
        assert_eq!(store.login_record("bob").expect("read"), None);
    }
}
