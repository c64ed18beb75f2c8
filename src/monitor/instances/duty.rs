//! What only one monitor does at a time: it holds a row for that, which another one takes over when it lapses.

use super::limits::DUTY_LAPSES;
use crate::clock::Moment;
use crate::monitor::store::sql::params;
use crate::monitor::store::{Store, StoreError};

/// Something that only one monitor of a database does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Duty<'d> {
    /// Announces what was held back, reminds and escalates.
    Announcements,
    /// Writes reports to the outbox.
    Reports,
    /// Removes expired rows.
    Pruning,
    /// Publishes over MQTT: two clients would send everything twice.
    Mqtt,
    /// Asks Telegram for messages to a bot, which answers one poller only. Named by the bot's public number.
    Bot(&'d str),
}

impl<'d> Duty<'d> {
    pub fn of_bot(token: &'d str) -> Duty<'d> {
        Duty::Bot(token.split(':').next().unwrap_or_default())
    }

    fn name(self) -> String {
        match self {
            Duty::Announcements => "announcements".into(),
            Duty::Reports => "reports".into(),
            Duty::Pruning => "pruning".into(),
            Duty::Mqtt => "mqtt".into(),
            Duty::Bot(number) => format!("bot {number}"),
        }
    }
}

impl Store {
    /// Takes a duty, or keeps it. False: another monitor has it. A database in a file has one monitor, which has all of them.
    pub fn takes_on(&self, duty: Duty<'_>, now: Moment) -> Result<bool, StoreError> {
        let Some(process) = self.process() else { return Ok(true) };
        self.write(|transaction| {
            let taken = transaction.execute(
                "INSERT INTO duty AS held (name, process, until) VALUES (?1, ?2, ?3)
                 ON CONFLICT (name) DO UPDATE SET process = excluded.process, until = excluded.until
                 WHERE held.process = excluded.process OR held.until <= ?4",
                params![duty.name(), process, now.plus(DUTY_LAPSES), now],
            )?;
            Ok(taken > 0)
        })
    }

    /// Leaves a duty to the others.
    pub fn gives_up(&self, duty: Duty<'_>) -> Result<(), StoreError> {
        let Some(process) = self.process() else { return Ok(()) };
        self.write(|transaction| {
            transaction.execute(
                "DELETE FROM duty WHERE name = ?1 AND process = ?2",
                params![duty.name(), process],
            )?;
            Ok(())
        })
    }
}
