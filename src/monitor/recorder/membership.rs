//! What the recorder of one of several monitors keeps.

use crate::clock::Moment;
use crate::monitor::instances::member::Member;
use crate::monitor::store::Store;
use std::time::Instant;

/// A recorder among those of its database.
#[derive(Debug)]
pub struct Membership {
    pub member: Member,
    /// Changes of status are read since then.
    pub statuses_read: Moment,
    /// Payloads that other monitors have received are read since then; `None`: all of them.
    pub payloads_read: Option<Moment>,
    pub seen_written: Option<Instant>,
    /// When the states of the machines of other monitors are read again; `None`: now.
    pub states_due: Option<Instant>,
}

impl Membership {
    pub fn of(store: &Store, now: Moment) -> Option<Membership> {
        let member = Member::of(store, now)?;
        Some(Membership {
            member,
            statuses_read: now,
            payloads_read: None,
            seen_written: None,
            states_due: None,
        })
    }
}
