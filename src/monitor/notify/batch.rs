//! Groups leased rows into messages: a program gets one per machine, a person one for many machines.

use super::channel::{Channel, ChannelKind};
use super::message::Message;
use crate::monitor::incidents::policy::MASS_OUTAGE;
use crate::monitor::notify::outbox::LeasedRow;
use crate::monitor::zone::Clock;
use std::collections::HashSet;
use std::sync::Arc;

/// A message and its rows.
#[derive(Debug)]
pub struct Outgoing {
    pub what: Message,
    pub rows: Vec<LeasedRow>,
}

/// A message that a courier is sending.
pub struct Flight {
    pub channel: Arc<Channel>,
    pub rows: Vec<LeasedRow>,
    pub title: String,
}

impl Flight {
    pub fn is_retry(&self) -> bool {
        self.rows.iter().all(|row| row.attempts > 0)
    }

    pub fn ids(&self) -> Vec<i64> {
        self.rows.iter().map(|row| row.id).collect()
    }
}

/// The messages for these rows, in the order of their first rows. A person gets one message for [`MASS_OUTAGE`] or more machines
/// with the same news; rows in `alone` have one each.
pub fn messages(
    kind: ChannelKind,
    clock: &Clock,
    rows: Vec<LeasedRow>,
    alone: &HashSet<i64>,
) -> Vec<Outgoing> {
    let mut groups: Vec<Vec<LeasedRow>> = Vec::new();
    for row in rows {
        let same = |group: &&mut Vec<LeasedRow>| {
            let other = &group[0].notice;
            (other.news, other.state) == (row.notice.news, row.notice.state)
                && !alone.contains(&row.id)
                && !alone.contains(&group[0].id)
        };
        match groups.iter_mut().find(same) {
            Some(group) if kind.is_for_people() => group.push(row),
            _ => groups.push(vec![row]),
        }
    }
    let split = |group: Vec<LeasedRow>| match group.len() >= MASS_OUTAGE {
        true => vec![group],
        false => group.into_iter().map(|row| vec![row]).collect(),
    };
    let mut groups: Vec<Vec<LeasedRow>> = groups.into_iter().flat_map(split).collect();
    groups.sort_by_key(|group| group[0].id);
    let outgoing = |rows: Vec<LeasedRow>| {
        let what = Message {
            rows: rows.iter().map(|row| row.id).collect(),
            notices: rows.iter().map(|row| row.notice.clone()).collect(),
            clock: clock.clone(),
        };
        Outgoing { what, rows }
    };
    groups.into_iter().map(outgoing).collect()
}
