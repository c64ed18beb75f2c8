use super::*;
use crate::monitor::store::Scratch;
use crate::monitor::store::page::Page;

pub(in crate::monitor::accounts) fn ada() -> Actor {
    Actor { name: "ada".into(), address: None }
}

pub(in crate::monitor::accounts) fn limited(groups: &[&str], tags: &[&str]) -> AccessScope {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    AccessScope::Limited { groups: owned(groups), tags: owned(tags) }
}

/// With the owner ada, who has a password, and bob.
pub(in crate::monitor::accounts) fn two_users() -> Scratch {
    let store = Store::scratch();
    let line = Actor::command_line();
    store.add_user(&line, "ada", Role::Owner, &AccessScope::All, Moment(1)).expect("added");
    store.add_user(&line, "bob", Role::Viewer, &limited(&["barn"], &["camera"]), Moment(2)).expect("added");
    store
        .write(|tx| tx.execute("UPDATE web_user SET password = 'x' WHERE name = 'ada'", &[]))
        .expect("a password");
    store
}

#[test]
fn a_user_is_stored_with_role_and_limits() {
    let store = two_users();
    let users = store.users().expect("listed");
    assert_eq!(users.iter().map(|user| user.name.as_str()).collect::<Vec<_>>(), ["ada", "bob"]);
    assert_eq!((users[0].role, &users[0].scope), (Role::Owner, &AccessScope::All));
    assert_eq!((users[1].role, &users[1].scope), (Role::Viewer, &limited(&["barn"], &["camera"])));
    assert!(users[0].has_password && !users[1].has_password && !users[1].has_totp);
    assert!(store.has_users().expect("read"));
}

#[test]
fn a_name_is_used_once_and_is_not_the_command_lines() {
    let store = two_users();
    for name in ["bob", "command line", "7", "", "a\nb"] {
        let refused = store.add_user(&ada(), name, Role::Viewer, &AccessScope::All, Moment(3));
        refused.expect_err(name);
    }
    assert_eq!(store.users().expect("listed").len(), 2);
}

#[test]
fn a_page_cannot_leave_the_monitor_without_an_owner_but_the_command_line_can() {
    let store = two_users();
    store.remove_user(&ada(), "ada", Moment(3)).expect_err("the last owner");
    store.remove_user(&Actor::command_line(), "ada", Moment(3)).expect("removed");
    store.remove_user(&Actor::command_line(), "ada", Moment(3)).expect_err("not there");
}

#[test]
fn an_owner_cannot_be_limited() {
    let store = two_users();
    store.add_user(&ada(), "eve", Role::Owner, &limited(&["barn"], &[]), Moment(3)).expect_err("limited");
    store.add_user(&ada(), "eve", Role::Viewer, &limited(&["a,b"], &[]), Moment(3)).expect_err("a comma");
}

#[test]
fn every_change_of_a_user_is_in_the_audit_log() {
    let store = two_users();
    store.remove_user(&ada(), "bob", Moment(9)).expect("removed");
    let audit = store.audit(Page::default(), 10).expect("listed");
    let shown: Vec<_> = audit
        .iter()
        .map(|record| (record.actor.as_str(), record.action.as_str(), record.detail.as_deref()))
        .collect();
    let expected = [
        ("ada", "user.remove", None),
        ("command line", "user.add", Some("viewer, limited to group barn, tag camera")),
        ("command line", "user.add", Some("owner")),
    ];
    assert_eq!(shown, expected);
}

#[test]
fn a_time_zone_is_one_that_this_server_knows() {
    let store = two_users();
    let bob = store.user_called("bob").expect("found").id;
    for zone in ["Nowhere/Else", "../../etc/passwd", ""] {
        store.set_time_zone(bob, Some(zone)).expect_err(zone);
    }
    assert_eq!(store.user_called("bob").expect("found").time_zone, None);
}
