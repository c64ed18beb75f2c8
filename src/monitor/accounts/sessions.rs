//! The table `web_session`: who is signed in, and with which browser. Only the hash of a session's id is stored.

use super::users;
use super::visitor::{UserId, Visitor};
use crate::clock::Moment;
use crate::monitor::registry::token::{Token, TokenHash, TokenUse};
use crate::monitor::store::sql::{Connection, Transaction, params};
use crate::monitor::store::{Refused, Store, StoreError};
use std::net::IpAddr;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(86_400);
/// A session ends at this age, also if it is used.
pub const LIFETIME: Duration = DAY.saturating_mul(30);
/// A session ends when it was not used for this long.
const IDLE: Duration = DAY.saturating_mul(7);
/// The last use is written at most this often: an open page makes a request every few seconds.
const USE_WRITTEN: Duration = Duration::from_secs(60);
/// Sessions of one user; another sign-in ends the one that was not used for longest.
const MOST_SESSIONS: i64 = 50;
/// Longest name of a browser that is stored, in characters.
const LONGEST_AGENT: usize = 200;

/// A session's id in the database; the browser has another one, the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId(pub i64);

/// A user who has just signed in.
#[derive(Debug, Clone, Copy)]
pub struct NewSession<'a> {
    pub user: UserId,
    /// `None`: unknown.
    pub address: Option<IpAddr>,
    /// The browser's `User-Agent`.
    pub agent: Option<&'a str>,
}

/// A session as listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    pub id: SessionId,
    pub created_at: Moment,
    /// To the minute.
    pub used_at: Moment,
    pub address: Option<String>,
    pub agent: Option<String>,
}

impl Store {
    /// Signs a user in; the token is for the browser's cookie.
    pub fn add_session(&self, new: &NewSession<'_>, now: Moment) -> Result<Token, Refused> {
        self.transact(|tx| insert(tx, new, now))
    }

    /// The user of a session that has not ended; records its use.
    pub fn session_visitor(
        &self,
        token: &str,
        now: Moment,
    ) -> Result<Option<(SessionId, Visitor)>, StoreError> {
        let hash = TokenHash::of(token);
        let Some((id, used_at, visitor)) = self.read(|connection| find(connection, &hash, now))? else {
            return Ok(None);
        };
        if now.since(used_at) >= USE_WRITTEN {
            let written = self.write(|tx| {
                tx.execute("UPDATE web_session SET used_at = ?2 WHERE id = ?1", params![id.0, now.0])
            });
            // A full disk must not sign everyone out.
            if let Err(error) = written {
                log::debug!("cannot record the use of a session: {error}");
            }
        }
        Ok(Some((id, visitor)))
    }

    /// The user's sessions that have not ended, the last used first.
    pub fn sessions(&self, user: UserId, now: Moment) -> Result<Vec<Session>, StoreError> {
        self.read(|connection| {
            connection.query_all(
                "SELECT id, created_at, used_at, address, agent FROM web_session
                 WHERE user_id = ?1 AND created_at > ?2 AND used_at > ?3 ORDER BY used_at DESC, id DESC",
                params![user.0, now.minus(LIFETIME).0, now.minus(IDLE).0],
                |row| {
                    Ok(Session {
                        id: SessionId(row.get(0)?),
                        created_at: Moment(row.get(1)?),
                        used_at: Moment(row.get(2)?),
                        address: row.get(3)?,
                        agent: row.get(4)?,
                    })
                },
            )
        })
    }

    /// Ends one session of a user; false if there is no such session.
    pub fn end_session(&self, user: UserId, id: SessionId) -> Result<bool, StoreError> {
        self.write(|tx| {
            let sql = "DELETE FROM web_session WHERE id = ?1 AND user_id = ?2";
            Ok(tx.execute(sql, params![id.0, user.0])? > 0)
        })
    }

    /// Ends the session of this token, if there is one.
    pub fn end_session_of(&self, token: &str) -> Result<(), StoreError> {
        let hash = TokenHash::of(token);
        self.write(|tx| {
            tx.execute("DELETE FROM web_session WHERE hash = ?1", params![hash.0])?;
            Ok(())
        })
    }

    /// Ends all sessions of a user, or all but one; returns how many.
    pub fn end_sessions(&self, user: UserId, except: Option<SessionId>) -> Result<usize, StoreError> {
        self.write(|tx| end_all(tx, user, except))
    }

    /// Deletes what has ended.
    pub fn prune_sessions(&self, now: Moment) -> Result<usize, StoreError> {
        self.write(|tx| {
            let sql = "DELETE FROM web_session WHERE created_at <= ?1 OR used_at <= ?2";
            tx.execute(sql, params![now.minus(LIFETIME).0, now.minus(IDLE).0])
        })
    }
}

/// Stores a new session and ends the user's oldest ones above [`MOST_SESSIONS`].
pub(super) fn insert(tx: &Transaction<'_>, new: &NewSession<'_>, now: Moment) -> Result<Token, Refused> {
    let token = Token::make(TokenUse::Session)
        .map_err(|error| Refused::because(format!("the kernel gives no random numbers: {error}")))?;
    let agent = new.agent.map(|agent| agent.chars().take(LONGEST_AGENT).collect::<String>());
    tx.execute(
        "INSERT INTO web_session (hash, user_id, created_at, used_at, address, agent)
         VALUES (?1, ?2, ?3, ?3, ?4, ?5)",
        params![token.hash().0, new.user.0, now.0, new.address.map(|address| address.to_string()), agent],
    )?;
    tx.execute(
        "DELETE FROM web_session WHERE user_id = ?1 AND id NOT IN
            (SELECT id FROM web_session WHERE user_id = ?1 ORDER BY used_at DESC, id DESC LIMIT ?2)",
        params![new.user.0, MOST_SESSIONS],
    )?;
    Ok(token)
}

/// Ends all sessions of a user, or all but one; returns how many.
pub(super) fn end_all(
    tx: &Transaction<'_>,
    user: UserId,
    except: Option<SessionId>,
) -> Result<usize, StoreError> {
    // Ids begin at 1.
    let except = except.map_or(0, |id| id.0);
    tx.execute("DELETE FROM web_session WHERE user_id = ?1 AND id <> ?2", params![user.0, except])
}

fn find(
    connection: &Connection<'_>,
    hash: &TokenHash,
    now: Moment,
) -> Result<Option<(SessionId, Moment, Visitor)>, StoreError> {
    // Found by its hash: the time that the search takes says nothing about the token.
    let sql =
        "SELECT id, user_id, used_at FROM web_session WHERE hash = ?1 AND created_at > ?2 AND used_at > ?3";
    let found =
        connection.query_optional(sql, params![hash.0, now.minus(LIFETIME).0, now.minus(IDLE).0], |row| {
            Ok((SessionId(row.get(0)?), UserId(row.get(1)?), Moment(row.get(2)?)))
        })?;
    let Some((id, user, used_at)) = found else { return Ok(None) };
    Ok(users::one(connection, user)?.map(|user| (id, used_at, user.into())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::accounts::audit::Actor;
    use crate::monitor::accounts::visitor::{AccessScope, Role};
    use crate::monitor::store::Scratch;

    const HOUR: Duration = Duration::from_secs(3600);

    fn with_user() -> (Scratch, UserId) {
        let store = Store::scratch();
        let added = store.add_user(&Actor::command_line(), "ada", Role::Owner, &AccessScope::All, Moment(0));
        let user = added.expect("added");
        (store, user)
    }

    fn sign_in(store: &Store, user: UserId, now: Moment) -> String {
        let new = NewSession { user, address: "192.0.2.1".parse().ok(), agent: Some("Firefox") };
        store.add_session(&new, now).expect("a session").as_str().to_owned()
    }

    fn is_valid(store: &Store, token: &str, now: Moment) -> bool {
        store.session_visitor(token, now).expect("read").is_some()
    }

    #[test]
    fn a_session_belongs_to_its_user_and_only_its_hash_is_stored() {
        let (store, user) = with_user();
        let token = sign_in(&store, user, Moment(1_000));
        let (_, visitor) = store.session_visitor(&token, Moment(2_000)).expect("read").expect("signed in");
        assert_eq!((visitor.name.as_str(), visitor.role), ("ada", Role::Owner));
        assert!(!is_valid(&store, "hbs_other", Moment(2_000)));
        let stored: Vec<u8> = store
            .read(|connection| connection.query_row("SELECT hash FROM web_session", &[], |row| row.get(0)))
            .expect("read");
        assert_eq!(stored, TokenHash::of(&token).0);
    }

    #[test]
    fn a_session_ends_after_seven_idle_days() {
        let (store, user) = with_user();
        let start = Moment(1_000_000);
        let token = sign_in(&store, user, start);
        assert!(is_valid(&store, &token, start.plus(DAY * 7 - HOUR)));
        assert!(is_valid(&store, &token, start.plus(DAY * 13)), "its use was recorded");
        assert!(!is_valid(&store, &token, start.plus(DAY * 20)));
    }

    #[test]
    fn a_session_ends_after_thirty_days_although_it_is_used() {
        let (store, user) = with_user();
        let start = Moment(1_000_000);
        let token = sign_in(&store, user, start);
        for day in 1..30 {
            assert!(is_valid(&store, &token, start.plus(DAY * day)), "day {day}");
        }
        assert!(!is_valid(&store, &token, start.plus(DAY * 30)));
        assert_eq!(store.prune_sessions(start.plus(DAY * 30)).expect("pruned"), 1);
    }

    #[test]
    fn the_use_of_a_session_is_written_once_a_minute() {
        let (store, user) = with_user();
        let token = sign_in(&store, user, Moment(0));
        let used_at = |now| {
            assert!(is_valid(&store, &token, Moment(now)));
            store.sessions(user, Moment(now)).expect("listed")[0].used_at
        };
        assert_eq!(
            [used_at(59_000), used_at(61_000), used_at(90_000)],
            [Moment(0), Moment(61_000), Moment(61_000)]
        );
    }

    #[test]
    fn sessions_end_one_by_one_or_all_but_one() {
        let (store, user) = with_user();
        let tokens: Vec<_> = (1..=3).map(|at| sign_in(&store, user, Moment(at))).collect();
        let id = |token: &str| store.session_visitor(token, Moment(5)).expect("read").expect("valid").0;
        let (first, second) = (id(&tokens[0]), id(&tokens[1]));
        assert!(!store.end_session(UserId(99), first).expect("tried"), "another user's");
        assert!(store.end_session(user, first).expect("ended"));
        assert_eq!(store.end_sessions(user, Some(second)).expect("ended"), 1);
        let valid: Vec<_> = tokens.iter().map(|token| is_valid(&store, token, Moment(6))).collect();
        assert_eq!(valid, [false, true, false]);
    }

    #[test]
    fn a_user_has_a_bounded_number_of_sessions() {
        let (store, user) = with_user();
        let first = sign_in(&store, user, Moment(1));
        for at in 0..MOST_SESSIONS {
            sign_in(&store, user, Moment(10 + at));
        }
        assert!(!is_valid(&store, &first, Moment(100)));
        assert_eq!(store.sessions(user, Moment(100)).expect("listed").len(), 50);
    }
}
