//! The table `web_invitation`: links with which a user sets a password, once and within an hour.

use super::audit::Actor;
use super::proofs::store_password;
use super::users::{find_user, unknown};
use super::visitor::UserId;
use crate::clock::Moment;
use crate::monitor::config::PublicUrl;
use crate::monitor::registry::token::{Token, TokenHash, TokenUse};
use crate::monitor::store::sql::{Connection, params};
use crate::monitor::store::{Refused, Store, StoreError};
use std::net::IpAddr;
use std::time::Duration;

/// Time in which a link can be used.
pub const VALID: Duration = Duration::from_secs(3600);

/// A user who opened a valid link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invited {
    pub id: UserId,
    pub name: String,
    pub has_totp: bool,
}

impl Store {
    /// Makes a link's token for a user; an earlier link becomes invalid, an existing password stays until the link is used.
    pub fn invite(&self, actor: &Actor, name: &str, now: Moment) -> Result<Token, Refused> {
        self.transact(|tx| {
            let user = find_user(tx, name)?.ok_or_else(|| unknown(name))?;
            let token = Token::make(TokenUse::Invitation)
                .map_err(|error| Refused::because(format!("the kernel gives no random numbers: {error}")))?;
            tx.execute(
                "DELETE FROM web_invitation WHERE user_id = ?1 OR expires_at <= ?2",
                params![user.id.0, now.0],
            )?;
            tx.execute(
                "INSERT INTO web_invitation (hash, user_id, expires_at) VALUES (?1, ?2, ?3)",
                params![token.hash().0, user.id.0, now.plus(VALID).0],
            )?;
            actor.record(tx, "user.invite", Some(name), None, now)?;
            Ok(token)
        })
    }

    /// The user of a valid link, which stays valid.
    pub fn invited(&self, token: &str, now: Moment) -> Result<Option<Invited>, StoreError> {
        self.read(|connection| find(connection, token, now))
    }

    /// Uses a link up: sets the password, as a PHC string, and ends all sessions of the user. `None` if the link is invalid.
    pub fn accept_invitation(
        &self,
        token: &str,
        hash: &str,
        address: Option<IpAddr>,
        now: Moment,
    ) -> Result<Option<Invited>, Refused> {
        self.transact(|tx| {
            let Some(invited) = find(tx, token, now)? else { return Ok(None) };
            let actor = Actor { name: invited.name.clone(), address };
            // Deletes the link, too.
            store_password(tx, &actor, invited.id, hash, now)?;
            Ok(Some(invited))
        })
    }
}

/// The link, absolute with `[web] public_url`; otherwise the address is to be filled in.
pub fn link_of(token: &Token, public_url: Option<&PublicUrl>) -> String {
    PublicUrl::link(public_url, &format!("welcome?link={}", token.as_str()))
}

fn find(connection: &Connection<'_>, token: &str, now: Moment) -> Result<Option<Invited>, StoreError> {
    // Found by its hash: the time that the search takes says nothing about the token.
    connection.query_optional(
        "SELECT web_user.id, name, totp_secret IS NOT NULL FROM web_invitation
         JOIN web_user ON web_user.id = user_id WHERE hash = ?1 AND expires_at > ?2",
        params![TokenHash::of(token).0, now.0],
        |row| Ok(Invited { id: UserId(row.get(0)?), name: row.get(1)?, has_totp: row.get(2)? }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::accounts::visitor::{AccessScope, Role};
    use crate::monitor::store::Scratch;

    fn with_user() -> Scratch {
        let store = Store::scratch();
        store
            .add_user(&Actor::command_line(), "ada", Role::Owner, &AccessScope::All, Moment(0))
            .expect("added");
        store
    }

    fn invite(store: &Store, now: Moment) -> String {
        store.invite(&Actor::command_line(), "ada", now).expect("invited").as_str().to_owned()
    }

    #[test]
    fn opening_a_link_changes_nothing_and_using_it_sets_the_password_once() {
        let store = with_user();
        let link = invite(&store, Moment(1));
        for _ in 0..3 {
            let invited = store.invited(&link, Moment(2)).expect("read").expect("valid");
            assert_eq!(invited.name, "ada");
        }
        assert!(!store.user_called("ada").expect("found").has_password);
        let accept = || store.accept_invitation(&link, "$argon2id$x", None, Moment(3)).expect("tried");
        assert!(accept().is_some());
        assert!(store.user_called("ada").expect("found").has_password);
        assert_eq!(accept(), None);
        assert_eq!(store.invited(&link, Moment(4)).expect("read"), None);
    }

    #[test]
    fn a_link_is_valid_for_an_hour_or_until_the_next_one() {
        let store = with_user();
        let first = invite(&store, Moment(0));
        let is_valid = |link: &str, now| store.invited(link, now).expect("read").is_some();
        assert!(is_valid(&first, Moment(0).plus(VALID).minus(Duration::from_millis(1))));
        assert!(!is_valid(&first, Moment(0).plus(VALID)));
        let second = invite(&store, Moment(1));
        assert!(!is_valid(&first, Moment(2)) && is_valid(&second, Moment(2)));
        store.invite(&Actor::command_line(), "bob", Moment(1)).expect_err("unknown");
        assert!(!is_valid("", Moment(2)));
    }
}
