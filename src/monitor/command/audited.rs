//! What a command changes, for the audit log: the same actions as on the pages.

use crate::clock::Moment;
use crate::monitor::accounts::audit::Actor;
use crate::monitor::store::{DatabaseLocation, Refused, Store};

/// A change, and what it is made to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditedChange {
    /// `machine.add`
    action: &'static str,
    subject: Option<String>,
}

impl AuditedChange {
    pub fn of(action: &'static str, subject: &str) -> AuditedChange {
        AuditedChange { action, subject: Some(subject.to_owned()) }
    }

    pub fn without_subject(action: &'static str) -> AuditedChange {
        AuditedChange { action, subject: None }
    }

    /// After the command has succeeded.
    pub fn record(&self, database: &DatabaseLocation, now: Moment) -> Result<(), Refused> {
        let store = Store::open_beside(database, now)?;
        Ok(store.record_audit(&Actor::command_line(), self.action, self.subject.as_deref(), None, now)?)
    }
}
