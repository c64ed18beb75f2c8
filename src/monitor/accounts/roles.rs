//! Changes of what a user may do: role and limits.

use super::audit::Actor;
use super::sessions::end_all;
use super::users::{User, check_scope, described, find_user, keep_an_owner, one, set_scope, unknown};
use super::visitor::{AccessScope, Role};
use crate::clock::Moment;
use crate::monitor::store::sql::params;
use crate::monitor::store::{Refused, Store};

/// Changes of a user; `None` keeps a value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserChange {
    pub role: Option<Role>,
    pub scope: Option<AccessScope>,
}

impl Store {
    /// Changes role or limits. New limits apply from the next request on; a new role ends all sessions.
    ///
    /// # Errors
    /// There is no such user, an owner would be limited, or nobody but the command line could manage users any more.
    pub fn change_user(
        &self,
        actor: &Actor,
        name: &str,
        change: &UserChange,
        now: Moment,
    ) -> Result<User, Refused> {
        self.transact(|tx| {
            let before = find_user(tx, name)?.ok_or_else(|| unknown(name))?;
            let role = change.role.unwrap_or(before.role);
            let scope = change.scope.clone().unwrap_or_else(|| before.scope.clone());
            check_scope(role, &scope)?;
            if role != before.role {
                keep_an_owner(tx, actor, &before)?;
                tx.execute("UPDATE web_user SET role = ?2 WHERE id = ?1", params![before.id.0, role.name()])?;
                end_all(tx, before.id, None)?;
            }
            set_scope(tx, before.id, &scope)?;
            actor.record(tx, "user.change", Some(name), Some(&described(role, &scope)), now)?;
            one(tx, before.id)?.ok_or_else(|| unknown(name))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::accounts::sessions::NewSession;
    use crate::monitor::accounts::users::tests::{ada, limited, two_users};

    #[test]
    fn a_page_cannot_take_the_role_from_the_last_owner() {
        let store = two_users();
        let demoted = UserChange { role: Some(Role::Viewer), scope: None };
        store.change_user(&ada(), "ada", &demoted, Moment(3)).expect_err("the last owner");
        store.change_user(&Actor::command_line(), "ada", &demoted, Moment(3)).expect("changed");
        store.change_user(&ada(), "eve", &demoted, Moment(3)).expect_err("unknown");
    }

    #[test]
    fn a_limited_user_becomes_an_owner_only_without_limits() {
        let store = two_users();
        let promoted = UserChange { role: Some(Role::Owner), scope: None };
        store.change_user(&ada(), "bob", &promoted, Moment(3)).expect_err("still limited");
        let promoted = UserChange { scope: Some(AccessScope::All), ..promoted };
        let bob = store.change_user(&ada(), "bob", &promoted, Moment(3)).expect("changed");
        assert_eq!((bob.role, bob.scope), (Role::Owner, AccessScope::All));
    }

    #[test]
    fn a_new_role_ends_sessions_and_new_limits_apply_to_them() {
        let store = two_users();
        let bob = store.user_called("bob").expect("found").id;
        let session = NewSession { user: bob, address: None, agent: None };
        let token = store.add_session(&session, Moment(5)).expect("a session");
        let visitor =
            |token| store.session_visitor(token, Moment(6)).expect("read").map(|(_, visitor)| visitor);
        let change = UserChange { role: None, scope: Some(limited(&[], &["gate"])) };
        store.change_user(&ada(), "bob", &change, Moment(5)).expect("changed");
        assert_eq!(visitor(token.as_str()).expect("signed in").scope, limited(&[], &["gate"]));
        let change = UserChange { role: Some(Role::Operator), scope: None };
        store.change_user(&ada(), "bob", &change, Moment(5)).expect("changed");
        assert_eq!(visitor(token.as_str()), None);
    }
}
