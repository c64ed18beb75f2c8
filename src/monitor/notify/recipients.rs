//! The table `recipient`: who is notified, about which topics, and when not.

use crate::clock::{Moment, milliseconds};
use crate::monitor::machine;
use crate::monitor::notify::channel::ChannelId;
use crate::monitor::notify::choices;
use crate::monitor::notify::choices::{Chosen, MachineChoice, Selection};
use crate::monitor::notify::delivery_state::DeliveryState;
use crate::monitor::notify::quiet_hours::QuietHours;
use crate::monitor::notify::topic::Topic;
use crate::monitor::store::sql::{Connection, Row, Transaction, params};
use crate::monitor::store::{Refused, Store, StoreError};
use crate::monitor::zone::{Clock, ZONES, Zone};
use log::warn;
use std::path::Path;
use std::time::Duration;

/// A person or a team, the topics they want, and their channels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    pub id: i64,
    pub machines: MachineChoice,
    pub events: Vec<Topic>,
    pub quiet: Option<QuietHours>,
    /// Counted from the machine's last heartbeat.
    pub min_outage: Duration,
    /// Interval of reminders.
    pub remind_every: Option<Duration>,
    /// The enabled ones.
    pub channels: Vec<ChannelId>,
}

/// The recipients who can be notified now: enabled, with an enabled channel.
pub fn reachable(connection: &Connection<'_>) -> Result<Vec<Recipient>, StoreError> {
    let sql = "SELECT r.id, r.events, r.quiet_from, r.quiet_to, r.utc_offset, r.min_outage, r.time_zone,
                      r.remind_every, e.name, r.escalate_after, r.all_machines, c.id
               FROM recipient r JOIN channel c ON c.recipient_id = r.id AND c.enabled
               LEFT JOIN recipient e ON e.id = r.escalate_to
               WHERE r.enabled ORDER BY r.id, c.id";
    let mut recipients: Vec<(i64, Recipient)> = Vec::new();
    connection.query_each(sql, &[], |row| {
        let (id, channel): (i64, i64) = (row.get(0)?, row.get(11)?);
        match recipients.last_mut() {
            Some((last, recipient)) if *last == id => recipient.channels.push(ChannelId(channel)),
            _ => {
                let Preferences { events, quiet, min_outage, remind_every, .. } = preferences(row)?;
                let machines = choices::choice(connection, id, row.get(10)?)?;
                let channels = vec![ChannelId(channel)];
                let recipient = Recipient { id, machines, events, quiet, min_outage, remind_every, channels };
                recipients.push((id, recipient));
            }
        }
        Ok(())
    })?;
    Ok(recipients.into_iter().map(|(_, recipient)| recipient).collect())
}

/// Columns 1 to 9 of the statements here.
fn preferences(row: &Row<'_>) -> Result<Preferences, StoreError> {
    let events = parse_events(&row.get::<String>(1)?);
    let minute = |minute: i64| u16::try_from(minute.rem_euclid(1440)).unwrap_or(0);
    let hours = row.get::<Option<i64>>(2)?.zip(row.get::<Option<i64>>(3)?);
    let clock = clock(row.get(6)?, row.get(4)?, hours.is_some());
    let quiet = hours.map(|(from, to)| {
        let clock = clock.clone().unwrap_or(Clock::UTC);
        QuietHours { from: minute(from), to: minute(to), clock }
    });
    let min_outage = Duration::from_millis(u64::try_from(row.get::<i64>(5)?).unwrap_or(0));
    let remind_every = row.get::<Option<i64>>(7)?.and_then(|every| u64::try_from(every).ok());
    let remind_every = remind_every.map(Duration::from_millis);
    let duration = |milliseconds: i64| u64::try_from(milliseconds).ok().map(Duration::from_millis);
    let to = row.get::<Option<String>>(8)?;
    let after = row.get::<Option<i64>>(9)?.and_then(duration);
    let escalation = to.zip(after).map(|(to, after)| Escalation { to, after });
    Ok(Preferences { events, clock, quiet, min_outage, remind_every, escalation })
}

/// The column `events`. Words of a later version are skipped. A column without any known word must not suppress a
/// notification: it counts as the default, unless it is an empty array.
fn parse_events(json: &str) -> Vec<Topic> {
    let words: Option<Vec<String>> = serde_json::from_str(json).ok();
    let known = |words: Vec<String>| {
        let topics: Vec<Topic> = words.iter().filter_map(|word| Topic::from_name(word)).collect();
        (words.is_empty() || !topics.is_empty()).then_some(topics)
    };
    words.and_then(known).unwrap_or_else(|| {
        warn!("cannot parse a recipient's events in the database; using the default");
        Topic::default_choice()
    })
}

/// A recipient's clock from its columns; `None` if none was chosen. Quiet hours always have one.
pub fn clock(zone: Option<String>, offset: i64, has_quiet_hours: bool) -> Option<Clock> {
    let offset = i16::try_from(offset).unwrap_or(0);
    match zone {
        Some(name) => Some(Clock::Zone(Zone::reload(Path::new(ZONES), name, offset))),
        None => (has_quiet_hours || offset != 0).then_some(Clock::Fixed(offset)),
    }
}

/// Which topics a recipient wants, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preferences {
    pub events: Vec<Topic>,
    /// For the times in messages; that of the quiet hours if there are any. `None`: this server's.
    pub clock: Option<Clock>,
    pub quiet: Option<QuietHours>,
    /// Counted from the machine's last heartbeat.
    pub min_outage: Duration,
    /// Interval of reminders of incidents that are open and not acknowledged; `None`: no reminders.
    pub remind_every: Option<Duration>,
    pub escalation: Option<Escalation>,
}

/// Who else is notified of an incident that is open and not acknowledged this long after its begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Escalation {
    /// The name of the other recipient.
    pub to: String,
    pub after: Duration,
}

impl Default for Preferences {
    fn default() -> Preferences {
        Preferences {
            events: Topic::default_choice(),
            clock: None,
            quiet: None,
            min_outage: Duration::ZERO,
            remind_every: None,
            escalation: None,
        }
    }
}

/// # Errors
/// A minimum length of an outage may be a week: the sentence for the person who typed it.
pub fn check_min_outage(length: Duration) -> Result<(), String> {
    const LONGEST: Duration = Duration::from_secs(7 * 86_400);
    if length > LONGEST { Err("must be at most 168h".into()) } else { Ok(()) }
}

/// # Errors
/// Reminders come every 5 minutes to 7 days: the sentence for the person who typed another interval.
pub fn check_remind_every(every: Duration) -> Result<(), String> {
    const RANGE: std::ops::RangeInclusive<Duration> =
        Duration::from_secs(300)..=Duration::from_secs(7 * 86_400);
    if RANGE.contains(&every) { Ok(()) } else { Err("must be 5m to 168h".into()) }
}

/// # Errors
/// Incidents are escalated after 1 minute to 7 days: the sentence for the person who typed another time.
pub fn check_escalate_after(after: Duration) -> Result<(), String> {
    const RANGE: std::ops::RangeInclusive<Duration> =
        Duration::from_secs(60)..=Duration::from_secs(7 * 86_400);
    if RANGE.contains(&after) { Ok(()) } else { Err("must be 1m to 168h".into()) }
}

/// A recipient as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRecipient {
    pub name: String,
    pub enabled: bool,
    pub chosen: Chosen,
    pub preferences: Preferences,
    pub channels: u32,
}

impl Store {
    pub fn add_recipient(
        &self,
        name: &str,
        selection: &Selection,
        wants: &Preferences,
        now: Moment,
    ) -> Result<(), Refused> {
        machine::name(name)?;
        self.transact(|tx| match recipient_called(tx, name)? {
            Some(_) => Err(Refused::because(format!("there is a recipient \"{name}\" already"))),
            None => {
                let id = insert_recipient(tx, name, wants, now)?;
                choices::store(tx, id, selection, now)
            }
        })
    }

    /// Changes what a recipient wants; `None` keeps the choice of machines.
    pub fn change_recipient(
        &self,
        name: &str,
        selection: Option<&Selection>,
        now: Moment,
        change: impl FnOnce(&mut Preferences),
    ) -> Result<(), Refused> {
        self.transact(|tx| {
            let id = recipient_called(tx, name)?.ok_or_else(|| unknown(name))?;
            let mut wants = recipients(tx)?
                .into_iter()
                .find(|known| known.name == name)
                .map(|known| known.preferences)
                .unwrap_or_default();
            change(&mut wants);
            store_preferences(tx, id, &wants, now)?;
            selection.map_or(Ok(()), |selection| choices::store(tx, id, selection, now))
        })
    }

    pub fn enable_recipient(&self, name: &str, enabled: bool) -> Result<(), Refused> {
        self.transact(|tx| {
            let id = recipient_called(tx, name)?.ok_or_else(|| unknown(name))?;
            tx.execute("UPDATE recipient SET enabled = ?2 WHERE id = ?1", params![id, enabled])?;
            if !enabled {
                let sql = "UPDATE outbox SET state = ?2 WHERE state = ?3
                             AND channel_id IN (SELECT id FROM channel WHERE recipient_id = ?1)";
                tx.execute(sql, params![id, DeliveryState::Skipped as i64, DeliveryState::Waiting as i64])?;
            }
            Ok(())
        })
    }

    /// Removes a recipient with its channels and their deliveries.
    ///
    /// # Errors
    /// There is no such recipient, or another one escalates to it: that must not end unnoticed.
    pub fn remove_recipient(&self, name: &str) -> Result<(), Refused> {
        self.transact(|tx| {
            let sql = "SELECT r.name FROM recipient r JOIN recipient e ON e.id = r.escalate_to WHERE e.name = ?1";
            if let Some(other) = tx.query_optional(sql, params![name], |row| row.get::<String>(0))? {
                return Err(Refused::because(format!(
                    "\"{other}\" escalates to \"{name}\"; change that first: heartbeat-monitor recipient set \"{other}\" \
                     --never-escalate"
                )));
            }
            match tx.execute("DELETE FROM recipient WHERE name = ?1", params![name])? {
                0 => Err(unknown(name)),
                _ => Ok(()),
            }
        })
    }

    /// In the order of their names.
    pub fn recipients(&self) -> Result<Vec<StoredRecipient>, StoreError> {
        self.read(recipients)
    }
}

pub fn unknown(name: &str) -> Refused {
    Refused::because(format!("there is no recipient \"{name}\"; heartbeat-monitor recipient add makes one"))
}

pub fn recipient_called(tx: &Transaction<'_>, name: &str) -> Result<Option<i64>, StoreError> {
    let sql = "SELECT id FROM recipient WHERE name = ?1";
    tx.query_optional(sql, params![name], |row| row.get(0))
}

/// Stores a recipient that is notified about all machines until a choice is stored.
pub fn insert_recipient(
    tx: &Transaction<'_>,
    name: &str,
    wants: &Preferences,
    now: Moment,
) -> Result<i64, Refused> {
    let sql = "INSERT INTO recipient (name, all_machines, events) VALUES (?1, TRUE, '[]') RETURNING id";
    let id = tx.query_row(sql, params![name], |row| row.get(0))?;
    store_preferences(tx, id, wants, now)?;
    Ok(id)
}

fn store_preferences(tx: &Transaction<'_>, id: i64, wants: &Preferences, now: Moment) -> Result<(), Refused> {
    let json = |error: serde_json::Error| Refused::because(error.to_string());
    let escalate_to =
        wants.escalation.as_ref().map(|escalation| other_recipient(tx, id, &escalation.to)).transpose()?;
    let quiet = wants.quiet.as_ref();
    let clock = quiet.map(|quiet| &quiet.clock).or(wants.clock.as_ref());
    // Offset 0 without quiet hours and without a name means that no clock was chosen.
    let zone = match clock {
        Some(clock) if quiet.is_none() && *clock == Clock::UTC => Some("UTC"),
        clock => clock.and_then(Clock::zone),
    };
    tx.execute(
        "UPDATE recipient SET events = ?2, quiet_from = ?3, quiet_to = ?4, utc_offset = ?5, min_outage = ?6,
                              time_zone = ?7, remind_every = ?8, escalate_to = ?9, escalate_after = ?10
         WHERE id = ?1",
        params![
            id,
            serde_json::to_string(&wants.events).map_err(json)?,
            quiet.map(|quiet| quiet.from),
            quiet.map(|quiet| quiet.to),
            clock.map_or(0, |clock| clock.minutes_ahead(now)),
            milliseconds(wants.min_outage),
            zone,
            wants.remind_every.map(milliseconds),
            escalate_to,
            wants.escalation.as_ref().map(|escalation| milliseconds(escalation.after)),
        ],
    )?;
    Ok(())
}

/// The recipient to which incidents of `recipient` are escalated.
///
/// # Errors
/// There is no such recipient, or it is the same one.
fn other_recipient(tx: &Transaction<'_>, recipient: i64, name: &str) -> Result<i64, Refused> {
    match recipient_called(tx, name)?.ok_or_else(|| unknown(name))? {
        id if id == recipient => Err(Refused::because(format!("\"{name}\" cannot escalate to itself"))),
        id => Ok(id),
    }
}

fn recipients(connection: &Connection<'_>) -> Result<Vec<StoredRecipient>, StoreError> {
    let sql = "SELECT r.id, r.events, r.quiet_from, r.quiet_to, r.utc_offset, r.min_outage, r.time_zone,
                      r.remind_every, e.name, r.escalate_after, r.all_machines, r.name, r.enabled,
                      (SELECT count(*) FROM channel c WHERE c.recipient_id = r.id)
               FROM recipient r LEFT JOIN recipient e ON e.id = r.escalate_to ORDER BY r.name";
    connection.query_all(sql, &[], |row| {
        Ok(StoredRecipient {
            name: row.get(11)?,
            enabled: row.get(12)?,
            chosen: choices::chosen(connection, row.get(0)?, row.get(10)?)?,
            preferences: preferences(row)?,
            channels: row.get(13)?,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_later_version_are_skipped_and_a_list_without_a_known_word_is_the_default() {
        assert_eq!(parse_events(r#"["camera", "lasers", "offline"]"#), [Topic::Camera, Topic::Offline]);
        assert_eq!(parse_events("[]"), []);
        for broken in [r#"["lasers"]"#, "offline", r#"{"offline":1}"#, "[1]", ""] {
            assert_eq!(parse_events(broken), Topic::default_choice(), "{broken}");
        }
    }

    #[test]
    fn every_topic_but_stopped_is_on_by_default_and_is_stored_as_its_name() {
        let off: Vec<Topic> =
            Topic::ALL.into_iter().filter(|topic| !Topic::default_choice().contains(topic)).collect();
        assert_eq!(off, [Topic::Stopped]);
        let stored = serde_json::to_string(&Topic::ALL).expect("JSON");
        assert_eq!(stored, serde_json::to_string(&Topic::ALL.map(Topic::name)).expect("JSON"));
        assert_eq!(parse_events(&stored), Topic::ALL);
    }
}
