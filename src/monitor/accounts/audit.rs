//! The table `audit`: who changed what, when, from where.

use super::visitor::Visitor;
use crate::clock::Moment;
use crate::monitor::store::page::{Page, paged};
use crate::monitor::store::sql::{Transaction, params};
use crate::monitor::store::{Store, StoreError};
use std::net::IpAddr;

/// The actor of changes by commands of the command line.
pub const COMMAND_LINE: &str = "command line";

/// Who changes something, and from where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    pub name: String,
    /// `None`: this machine.
    pub address: Option<IpAddr>,
}

impl Actor {
    pub fn command_line() -> Actor {
        Actor { name: COMMAND_LINE.into(), address: None }
    }

    pub fn of(visitor: &Visitor, address: Option<IpAddr>) -> Actor {
        Actor { name: visitor.name.clone(), address }
    }

    /// Records a change in the transaction that makes it.
    pub fn record(
        &self,
        tx: &Transaction<'_>,
        action: &'static str,
        subject: Option<&str>,
        detail: Option<&str>,
        now: Moment,
    ) -> Result<(), StoreError> {
        let address = self.address.map(|address| address.to_string());
        let sql =
            "INSERT INTO audit (at, actor, address, action, subject, detail) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        tx.execute(sql, params![now.0, self.name, address, action, subject, detail])?;
        Ok(())
    }
}

/// A change as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRecord {
    pub id: i64,
    pub at: Moment,
    pub actor: String,
    pub address: Option<String>,
    /// `machine.pause`, `user.add` ...
    pub action: String,
    /// The name of what was changed.
    pub subject: Option<String>,
    pub detail: Option<String>,
}

impl Store {
    /// Records a change that another call has committed.
    pub fn record_audit(
        &self,
        actor: &Actor,
        action: &'static str,
        subject: Option<&str>,
        detail: Option<&str>,
        now: Moment,
    ) -> Result<(), StoreError> {
        self.write(|tx| actor.record(tx, action, subject, detail, now))
    }

    pub fn audit(&self, page: Page, limit: u32) -> Result<Vec<AuditRecord>, StoreError> {
        let (condition, order) = paged("id", page);
        let sql = format!(
            "SELECT id, at, actor, address, action, subject, detail FROM audit WHERE {condition} {order} LIMIT {limit}"
        );
        self.read(|connection| {
            connection.query_all(&sql, &[], |row| {
                Ok(AuditRecord {
                    id: row.get(0)?,
                    at: Moment(row.get(1)?),
                    actor: row.get(2)?,
                    address: row.get(3)?,
                    action: row.get(4)?,
                    subject: row.get(5)?,
                    detail: row.get(6)?,
                })
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_listed_newest_first_with_actor_and_address() {
        let store = Store::scratch();
        let ada = Actor { name: "ada".into(), address: "192.0.2.1".parse().ok() };
        store
            .record_audit(&ada, "machine.pause", Some("barn-cam"), Some("for 2 h"), Moment(5))
            .expect("recorded");
        store
            .record_audit(&Actor::command_line(), "user.add", Some("bob"), None, Moment(6))
            .expect("recorded");
        let listed = store.audit(Page::default(), 10).expect("listed");
        let shown: Vec<_> =
            listed.iter().map(|r| (r.actor.as_str(), r.action.as_str(), r.address.as_deref())).collect();
        assert_eq!(shown, [("command line", "user.add", None), ("ada", "machine.pause", Some("192.0.2.1"))]);
    }
}
