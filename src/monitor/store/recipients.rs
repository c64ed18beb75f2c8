//! Recipients and their channels: who wants to hear what, and how they are reached.

use super::StoreError;
use crate::monitor::notify::plan::{ChannelId, Choice, DEFAULT_CHOICE, News, QuietHours, Recipient};
use log::warn;
use rusqlite::{Connection, Row};
use std::time::Duration;

/// Those who can be told anything now: enabled, with an enabled channel.
pub(super) fn reachable(connection: &Connection) -> Result<Vec<Recipient>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT r.id, r.machines, r.events, r.quiet_from, r.quiet_to, r.utc_offset, r.min_outage, c.id
         FROM recipient r JOIN channel c ON c.recipient_id = r.id AND c.enabled = 1
         WHERE r.enabled = 1 ORDER BY r.id, c.id",
    )?;
    let mut rows = statement.query([])?;
    let mut recipients: Vec<(i64, Recipient)> = Vec::new();
    while let Some(row) = rows.next()? {
        let (id, channel): (i64, i64) = (row.get(0)?, row.get(7)?);
        match recipients.last_mut() {
            Some((last, recipient)) if *last == id => recipient.channels.push(ChannelId(channel)),
            _ => recipients.push((id, Recipient { channels: vec![ChannelId(channel)], ..preferences(row)? })),
        }
    }
    Ok(recipients.into_iter().map(|(_, recipient)| recipient).collect())
}

/// Columns 1 to 6 of the statement above. What somebody has written into the database by hand and cannot be read
/// must not keep an outage from being told: then it is as if nothing had been chosen.
fn preferences(row: &Row) -> Result<Recipient, StoreError> {
    let unreadable =
        |what: &str| warn!("A recipient's choice of {what} in the database cannot be read: all of it");
    let machines = match row.get::<_, Option<String>>(1)? {
        Some(json) => serde_json::from_str(&json).unwrap_or_else(|_| {
            unreadable("machines");
            Choice::default()
        }),
        None => Choice::default(),
    };
    let events: Vec<News> = serde_json::from_str(&row.get::<_, String>(2)?).unwrap_or_else(|_| {
        unreadable("events");
        DEFAULT_CHOICE.to_vec()
    });
    let minute = |minute: i64| u16::try_from(minute.rem_euclid(1440)).unwrap_or(0);
    let quiet = match (row.get::<_, Option<i64>>(3)?, row.get::<_, Option<i64>>(4)?) {
        (Some(from), Some(to)) => {
            let utc_offset = i16::try_from(row.get::<_, i64>(5)?).unwrap_or(0);
            Some(QuietHours { from: minute(from), to: minute(to), utc_offset })
        }
        _ => None,
    };
    let min_outage = Duration::from_millis(u64::try_from(row.get::<_, i64>(6)?).unwrap_or(0));
    Ok(Recipient { machines, events, quiet, min_outage, channels: Vec::new() })
}
