//! The table `status_page`: which groups have a page for everyone, and under which address.

use super::slug::slug;
use crate::clock::Moment;
use crate::monitor::accounts::audit::Actor;
use crate::monitor::config::PublicUrl;
use crate::monitor::registry::token::{Token, TokenHash, TokenUse};
use crate::monitor::store::sql::{Connection, Transaction, params};
use crate::monitor::store::{Refused, Store, StoreError};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::collections::BTreeMap;

/// Everything but letters, digits and the other characters of slugs and secrets.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_');

/// Who can open the page of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Visibility {
    Off,
    /// Everyone, at an address with this slug.
    Public(String),
    /// Who has the link. Only its hash is stored: it cannot be shown again.
    SecretLink(TokenHash),
}

impl Visibility {
    fn of(slug: Option<String>, secret_hash: Option<[u8; 32]>) -> Visibility {
        match (slug, secret_hash) {
            (_, Some(hash)) => Visibility::SecretLink(TokenHash(hash)),
            (Some(slug), None) => Visibility::Public(slug),
            (None, None) => Visibility::Off,
        }
    }

    pub fn name(&self) -> &'static str {
        match self {
            Visibility::Off => "off",
            Visibility::Public(_) => "public",
            Visibility::SecretLink(_) => "secret link",
        }
    }
}

/// A group with its page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusPage {
    pub group: String,
    pub machines: u32,
    pub visibility: Visibility,
}

/// Address of a page below the root; `key` is a slug or a secret.
pub fn path_of(key: &str) -> String {
    format!("status/{}", utf8_percent_encode(key, ENCODED))
}

/// The address of a public page, absolute with `[web] public_url`.
pub fn public_link(slug: &str, public_url: Option<&PublicUrl>) -> String {
    PublicUrl::link(public_url, &path_of(slug))
}

/// The secret link of a page.
pub fn secret_link(secret: &Token, public_url: Option<&PublicUrl>) -> String {
    PublicUrl::link(public_url, &path_of(secret.as_str()))
}

impl Store {
    /// All groups by name, also those that have a page and no machine any more.
    pub fn status_pages(&self) -> Result<Vec<StatusPage>, StoreError> {
        self.read(|connection| {
            let off = |group: &String, machines| StatusPage {
                group: group.clone(),
                machines,
                visibility: Visibility::Off,
            };
            let groups = groups(connection)?;
            let mut pages: BTreeMap<String, StatusPage> =
                groups.iter().map(|(group, machines)| (group.clone(), off(group, *machines))).collect();
            for (group, visibility) in visibilities(connection)? {
                pages.entry(group).or_insert_with_key(|group| off(group, 0)).visibility = visibility;
            }
            Ok(pages.into_values().collect())
        })
    }

    /// The pages that are not off.
    pub fn open_status_pages(&self) -> Result<Vec<(String, Visibility)>, StoreError> {
        let mut pages = self.read(visibilities)?;
        pages.retain(|(_, visibility)| *visibility != Visibility::Off);
        Ok(pages)
    }

    /// Makes the page of a group public and returns its slug; an earlier secret link becomes invalid.
    ///
    /// # Errors
    /// There is no such group, or another group has the same slug.
    pub fn make_status_page_public(
        &self,
        actor: &Actor,
        group: &str,
        now: Moment,
    ) -> Result<String, Refused> {
        self.transact(|tx| {
            must_exist(tx, group)?;
            let slug = slug(group);
            must_be_free(tx, group, &slug)?;
            put(tx, group, Some(&slug), None)?;
            actor.record(tx, "status_page.public", Some(group), None, now)?;
            Ok(slug)
        })
    }

    /// Makes a secret link to the page of a group; an earlier link or public address becomes invalid.
    ///
    /// # Errors
    /// There is no such group.
    pub fn make_status_page_secret(&self, actor: &Actor, group: &str, now: Moment) -> Result<Token, Refused> {
        self.transact(|tx| {
            must_exist(tx, group)?;
            let secret = Token::make(TokenUse::StatusPage)
                .map_err(|error| Refused::because(format!("the kernel gives no random numbers: {error}")))?;
            put(tx, group, None, Some(&secret.hash()))?;
            actor.record(tx, "status_page.secret_link", Some(group), None, now)?;
            Ok(secret)
        })
    }

    /// Switches the page of a group off; false if it was off.
    ///
    /// # Errors
    /// There is no such group.
    pub fn switch_status_page_off(&self, actor: &Actor, group: &str, now: Moment) -> Result<bool, Refused> {
        self.transact(|tx| {
            let is_removed = tx.execute("DELETE FROM status_page WHERE group_name = ?1", params![group])? > 0;
            if is_removed {
                actor.record(tx, "status_page.off", Some(group), None, now)?;
            } else {
                must_exist(tx, group)?;
            }
            Ok(is_removed)
        })
    }
}

/// The groups of all machines, and how many each has.
fn groups(connection: &Connection<'_>) -> Result<Vec<(String, u32)>, StoreError> {
    let sql = "SELECT group_name, count(*) FROM machine WHERE group_name IS NOT NULL GROUP BY group_name";
    connection.query_all(sql, &[], |row| Ok((row.get(0)?, row.get(1)?)))
}

fn visibilities(connection: &Connection<'_>) -> Result<Vec<(String, Visibility)>, StoreError> {
    connection.query_all("SELECT group_name, slug, secret_hash FROM status_page", &[], |row| {
        Ok((row.get(0)?, Visibility::of(row.get(1)?, row.get(2)?)))
    })
}

fn must_exist(tx: &Transaction<'_>, group: &str) -> Result<(), Refused> {
    match tx.exists("SELECT 1 FROM machine WHERE group_name = ?1 LIMIT 1", params![group])? {
        true => Ok(()),
        false => Err(Refused::because(format!(
            "no machine is in the group \"{}\"; heartbeat-monitor status-page list shows all groups",
            group.escape_debug()
        ))),
    }
}

fn must_be_free(tx: &Transaction<'_>, group: &str, slug: &str) -> Result<(), Refused> {
    let sql = "SELECT group_name FROM status_page WHERE slug = ?1 AND group_name <> ?2";
    let other: Option<String> = tx.query_optional(sql, params![slug, group], |row| row.get(0))?;
    match other {
        None => Ok(()),
        Some(other) => Err(Refused::because(format!(
            "the group \"{other}\" has a public page under status/{slug}; rename one of the groups, or use a secret link"
        ))),
    }
}

fn put(
    tx: &Transaction<'_>,
    group: &str,
    slug: Option<&str>,
    secret: Option<&TokenHash>,
) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO status_page (group_name, slug, secret_hash) VALUES (?1, ?2, ?3)
         ON CONFLICT (group_name) DO UPDATE SET slug = excluded.slug, secret_hash = excluded.secret_hash",
        params![group, slug, secret.map(|hash| hash.0)],
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::machine::Description;
    use crate::monitor::store::Scratch;
    use crate::monitor::store::page::Page;

    fn with_groups(groups: &[&str]) -> Scratch {
        with_groups_in(Store::scratch(), groups)
    }

    fn with_groups_in(store: Scratch, groups: &[&str]) -> Scratch {
        for (number, group) in groups.iter().enumerate() {
            let machine = Description {
                name: format!("machine {number}"),
                group: Some((*group).to_owned()),
                ..Description::default()
            };
            store.add_machine(&machine, Moment(0)).expect("added");
        }
        store
    }

    fn ada() -> Actor {
        Actor { name: "ada".into(), address: None }
    }

    fn visibility(store: &Store, group: &str) -> Visibility {
        let pages = store.status_pages().expect("read");
        pages.into_iter().find(|page| page.group == group).expect("listed").visibility
    }

    #[test]
    fn a_page_is_off_until_it_is_switched_on_and_groups_are_listed_by_name() {
        let store = with_groups(&["mill", "barn", "barn"]);
        let pages = store.status_pages().expect("read");
        let shown: Vec<_> = pages.iter().map(|page| (page.group.as_str(), page.machines)).collect();
        assert_eq!(shown, [("barn", 2), ("mill", 1)]);
        assert!(pages.iter().all(|page| page.visibility == Visibility::Off));
        assert_eq!(store.open_status_pages(), Ok(Vec::new()));
    }

    #[test]
    fn a_new_address_makes_the_earlier_one_invalid() {
        let store = with_groups(&["barn"]);
        let first = store.make_status_page_secret(&ada(), "barn", Moment(1)).expect("a link");
        assert!(first.as_str().starts_with("hbp_"));
        assert_eq!(visibility(&store, "barn"), Visibility::SecretLink(first.hash()));
        let second = store.make_status_page_secret(&ada(), "barn", Moment(2)).expect("a link");
        assert_ne!(first.hash(), second.hash());
        assert_eq!(visibility(&store, "barn"), Visibility::SecretLink(second.hash()));
        let slug = store.make_status_page_public(&ada(), "barn", Moment(3)).expect("public");
        assert_eq!(visibility(&store, "barn"), Visibility::Public(slug));
        assert_eq!(store.switch_status_page_off(&ada(), "barn", Moment(4)), Ok(true));
        assert_eq!(store.switch_status_page_off(&ada(), "barn", Moment(5)), Ok(false));
        assert_eq!(visibility(&store, "barn"), Visibility::Off);
        let audit = store.audit(Page::default(), 9).expect("listed");
        let actions: Vec<_> = audit.iter().rev().map(|record| record.action.as_str()).collect();
        let secret = "status_page.secret_link";
        assert_eq!(actions, [secret, secret, "status_page.public", "status_page.off"]);
    }

    #[test]
    fn a_secret_is_stored_nowhere_but_as_its_hash() {
        let store = with_groups_in(Store::scratch_file(), &["barn"]);
        let secret = store.make_status_page_secret(&ada(), "barn", Moment(1)).expect("a link");
        let names = ["monitor.db", "monitor.db-wal"];
        for file in names.map(|name| std::fs::read(store.dir.path().join(name)).expect("read")) {
            let text = secret.as_str().as_bytes();
            assert!(!file.windows(text.len()).any(|window| window == text));
        }
    }

    #[test]
    fn two_groups_never_share_an_address_and_a_group_must_exist() {
        let store = with_groups(&["North field", "north-field"]);
        store.make_status_page_public(&ada(), "North field", Moment(1)).expect("public");
        store.make_status_page_public(&ada(), "North field", Moment(2)).expect("public still");
        let refused = store.make_status_page_public(&ada(), "north-field", Moment(3)).expect_err("taken");
        assert!(refused.to_string().contains("\"North field\" has a public page"), "{refused}");
        store.make_status_page_secret(&ada(), "north-field", Moment(3)).expect("a link");
        store.make_status_page_public(&ada(), "nowhere", Moment(3)).expect_err("no such group");
        store.make_status_page_secret(&ada(), "nowhere", Moment(3)).expect_err("no such group");
        store.switch_status_page_off(&ada(), "nowhere", Moment(3)).expect_err("no such group");
    }

    #[test]
    fn a_page_without_machines_is_listed_and_can_be_switched_off() {
        let store = with_groups(&["barn"]);
        store.make_status_page_public(&ada(), "barn", Moment(1)).expect("public");
        store.remove_machine("machine 0", Moment(2)).expect("removed");
        assert_eq!(store.status_pages().expect("read")[0].machines, 0);
        assert_eq!(store.switch_status_page_off(&ada(), "barn", Moment(4)), Ok(true));
        assert_eq!(store.status_pages(), Ok(Vec::new()));
    }

    #[test]
    fn an_address_is_ascii() {
        assert_eq!(path_of("grange-à-foin"), "status/grange-%C3%A0-foin");
        assert_eq!(path_of("hbp_a-b"), "status/hbp_a-b");
        assert_eq!(public_link("barn", None), "http://ADDRESS/status/barn");
    }
}
