//! Recipients and their channels: who wants to hear what, and how they are reached.

use crate::clock::{Moment, milliseconds};
use crate::monitor::machine;
use crate::monitor::notify::channel::{Channel, ChannelId, Kind};
use crate::monitor::notify::choices;
use crate::monitor::notify::choices::{Chosen, MachineChoice, Selection};
use crate::monitor::notify::notice::EventKind;
use crate::monitor::notify::outbox::DeliveryState;
use crate::monitor::notify::quiet_hours::QuietHours;
use crate::monitor::store::{Refused, Store, StoreError};
use crate::monitor::zone::{Clock, ZONES, Zone};
use log::warn;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use std::path::Path;
use std::time::Duration;

/// What a recipient can choose; `Steady` follows from what went before.
pub const CHOICES: [EventKind; 4] =
    [EventKind::Offline, EventKind::Online, EventKind::Stopped, EventKind::Flapping];

/// What a recipient hears of who has chosen nothing: every alarm and its end.
pub const DEFAULT_CHOICE: [EventKind; 3] = [EventKind::Offline, EventKind::Online, EventKind::Flapping];

/// A person or a team, what they want to hear, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    pub machines: MachineChoice,
    pub events: Vec<EventKind>,
    pub quiet: Option<QuietHours>,
    /// Counted from the machine's last heartbeat.
    pub min_outage: Duration,
    /// The enabled ones.
    pub channels: Vec<ChannelId>,
}

/// Those who can be told anything now: enabled, with an enabled channel.
pub fn reachable(connection: &Connection) -> Result<Vec<Recipient>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT r.id, r.events, r.quiet_from, r.quiet_to, r.utc_offset, r.min_outage, r.time_zone, r.all_machines, c.id
         FROM recipient r JOIN channel c ON c.recipient_id = r.id AND c.enabled = 1
         WHERE r.enabled = 1 ORDER BY r.id, c.id",
    )?;
    let mut rows = statement.query([])?;
    let mut recipients: Vec<(i64, Recipient)> = Vec::new();
    while let Some(row) = rows.next()? {
        let (id, channel): (i64, i64) = (row.get(0)?, row.get(8)?);
        match recipients.last_mut() {
            Some((last, recipient)) if *last == id => recipient.channels.push(ChannelId(channel)),
            _ => {
                let Preferences { events, quiet, min_outage, .. } = preferences(row)?;
                let machines = choices::choice(connection, id, row.get(7)?)?;
                let channels = vec![ChannelId(channel)];
                recipients.push((id, Recipient { machines, events, quiet, min_outage, channels }));
            }
        }
    }
    Ok(recipients.into_iter().map(|(_, recipient)| recipient).collect())
}

/// Columns 1 to 6 of the statements here. Events that were edited by hand and cannot be parsed must not suppress a
/// notification: they count as the default.
fn preferences(row: &Row) -> Result<Preferences, StoreError> {
    let events: Vec<EventKind> = serde_json::from_str(&row.get::<_, String>(1)?).unwrap_or_else(|_| {
        warn!("cannot parse a recipient's events in the database; using offline, online and flapping");
        DEFAULT_CHOICE.to_vec()
    });
    let minute = |minute: i64| u16::try_from(minute.rem_euclid(1440)).unwrap_or(0);
    let hours = row.get::<_, Option<i64>>(2)?.zip(row.get::<_, Option<i64>>(3)?);
    let clock = clock(row.get(6)?, row.get(4)?, hours.is_some());
    let quiet = hours.map(|(from, to)| {
        let clock = clock.clone().unwrap_or(Clock::UTC);
        QuietHours { from: minute(from), to: minute(to), clock }
    });
    let min_outage = Duration::from_millis(u64::try_from(row.get::<_, i64>(5)?).unwrap_or(0));
    Ok(Preferences { events, clock, quiet, min_outage })
}

/// A recipient's clock from its columns; `None` if none was chosen. Quiet hours always have one.
pub fn clock(zone: Option<String>, offset: i64, has_quiet_hours: bool) -> Option<Clock> {
    let offset = i16::try_from(offset).unwrap_or(0);
    match zone {
        Some(name) => Some(Clock::Zone(Zone::read_again(Path::new(ZONES), name, offset))),
        None => (has_quiet_hours || offset != 0).then_some(Clock::Fixed(offset)),
    }
}

/// Who gets a channel that is added without a recipient, and is made for it.
pub const DEFAULT_RECIPIENT: &str = "everybody";

/// Which events a recipient wants, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preferences {
    pub events: Vec<EventKind>,
    /// For the times in messages; that of the quiet hours if there are any. `None`: this server's.
    pub clock: Option<Clock>,
    pub quiet: Option<QuietHours>,
    /// Counted from the machine's last heartbeat.
    pub min_outage: Duration,
}

impl Default for Preferences {
    fn default() -> Preferences {
        Preferences { events: DEFAULT_CHOICE.to_vec(), clock: None, quiet: None, min_outage: Duration::ZERO }
    }
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

/// A channel that is to be added.
#[derive(Debug, Clone)]
pub struct NewChannel {
    pub kind: Kind,
    pub target: String,
    pub secret: Option<String>,
    pub secret_file: Option<String>,
}

/// A channel as it is listed: without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedChannel {
    pub id: ChannelId,
    pub recipient: String,
    pub kind: String,
    pub target: String,
    pub enabled: bool,
    /// Rows of the outbox that are still to be sent.
    pub waiting: u32,
    pub last_delivered: Option<Moment>,
    /// Of the newest row that has one and is not delivered.
    pub last_error: Option<String>,
}

impl Store {
    /// # Errors
    /// The name is refused or taken, or the selection names what does not exist.
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
    ///
    /// # Errors
    /// There is no such recipient, or the selection names what does not exist.
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
            let stored = stored(&wants, now)?;
            tx.execute(
                "UPDATE recipient SET events = ?2, quiet_from = ?3, quiet_to = ?4, utc_offset = ?5, min_outage = ?6,
                                      time_zone = ?7 WHERE id = ?1",
                params![
                    id,
                    stored.events,
                    stored.quiet_from,
                    stored.quiet_to,
                    stored.utc_offset,
                    milliseconds(wants.min_outage),
                    stored.time_zone
                ],
            )?;
            selection.map_or(Ok(()), |selection| choices::store(tx, id, selection, now))
        })
    }

    /// # Errors
    /// There is no such recipient.
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

    /// Removes a recipient with its channels and the list of what was delivered over them.
    ///
    /// # Errors
    /// There is no such recipient.
    pub fn remove_recipient(&self, name: &str) -> Result<(), Refused> {
        self.transact(|tx| match tx.execute("DELETE FROM recipient WHERE name = ?1", [name])? {
            0 => Err(unknown(name)),
            _ => Ok(()),
        })
    }

    /// In the order of their names.
    pub fn recipients(&self) -> Result<Vec<StoredRecipient>, StoreError> {
        self.read(recipients)
    }

    /// Adds a channel to a recipient; without one, to [`DEFAULT_RECIPIENT`], which is made if it must be.
    ///
    /// # Errors
    /// There is no such recipient, or it has this channel.
    pub fn add_channel(
        &self,
        recipient: Option<&str>,
        new: &NewChannel,
        now: Moment,
    ) -> Result<ChannelId, Refused> {
        self.transact(|tx| {
            let id = match (recipient, recipient_called(tx, recipient.unwrap_or(DEFAULT_RECIPIENT))?) {
                (_, Some(id)) => id,
                (None, None) => insert_recipient(tx, DEFAULT_RECIPIENT, &Preferences::default(), now)?,
                (Some(name), None) => return Err(unknown(name)),
            };
            let added = tx.execute(
                "INSERT INTO channel (recipient_id, kind, target, secret, secret_file, created_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING",
                params![id, new.kind.name(), new.target, new.secret, new.secret_file, now.0],
            )?;
            match added {
                0 => Err(Refused::because("the recipient has this channel already")),
                _ => Ok(ChannelId(tx.last_insert_rowid())),
            }
        })
    }

    /// # Errors
    /// There is no such channel, or it is of a kind that this version does not know.
    pub fn channel(&self, id: ChannelId) -> Result<Channel, Refused> {
        let found = self.read(|connection| {
            let sql = "SELECT kind, target, secret, secret_file FROM channel WHERE id = ?1";
            let row = connection.query_row(sql, [id.0], |row| {
                Ok((row.get::<_, String>(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
            });
            Ok(row.optional()?)
        })?;
        let (kind, target, secret, secret_file) = found.ok_or_else(|| no_channel(id))?;
        let kind = Kind::from_name(&kind)
            .ok_or_else(|| Refused::because(format!("channel {} is of the unknown kind {kind}", id.0)))?;
        Ok(Channel { id, kind, target, secret, secret_file })
    }

    /// The channels over which people can be notified: enabled, of enabled recipients, and of a kind that is known.
    ///
    /// # Errors
    /// The database could not be read.
    pub fn enabled_channels(&self) -> Result<Vec<Channel>, StoreError> {
        let ids: Vec<ChannelId> = self.read(|connection| {
            let sql = "SELECT c.id FROM channel c JOIN recipient r ON r.id = c.recipient_id
                       WHERE c.enabled = 1 AND r.enabled = 1 ORDER BY c.id";
            let mut statement = connection.prepare_cached(sql)?;
            let ids = statement.query_map([], |row| Ok(ChannelId(row.get(0)?)))?;
            Ok(ids.collect::<Result<_, _>>()?)
        })?;
        Ok(ids.into_iter().filter_map(|id| self.channel(id).ok()).collect())
    }

    /// What waits on a channel that is switched off is not told.
    ///
    /// # Errors
    /// There is no such channel.
    pub fn enable_channel(&self, id: ChannelId, enabled: bool) -> Result<(), Refused> {
        self.transact(|tx| {
            if tx.execute("UPDATE channel SET enabled = ?2 WHERE id = ?1", params![id.0, enabled])? == 0 {
                return Err(no_channel(id));
            }
            if !enabled {
                let sql = "UPDATE outbox SET state = ?2 WHERE channel_id = ?1 AND state = ?3";
                tx.execute(sql, params![id.0, DeliveryState::Skipped as i64, DeliveryState::Waiting as i64])?;
            }
            Ok(())
        })
    }

    /// Removes a channel with the list of what was delivered over it.
    ///
    /// # Errors
    /// There is no such channel.
    pub fn remove_channel(&self, id: ChannelId) -> Result<(), Refused> {
        self.transact(|tx| match tx.execute("DELETE FROM channel WHERE id = ?1", [id.0])? {
            0 => Err(no_channel(id)),
            _ => Ok(()),
        })
    }

    /// All channels, by their recipients' names.
    pub fn channels(&self) -> Result<Vec<ListedChannel>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT c.id, r.name, c.kind, c.target, c.enabled AND r.enabled,
                        (SELECT count(*) FROM outbox o WHERE o.channel_id = c.id AND o.state IN (0, 1)),
                        (SELECT max(delivered_at) FROM outbox o WHERE o.channel_id = c.id),
                        (SELECT last_error FROM outbox o WHERE o.channel_id = c.id AND o.last_error IS NOT NULL
                         ORDER BY o.id DESC LIMIT 1)
                 FROM channel c JOIN recipient r ON r.id = c.recipient_id ORDER BY r.name, c.id",
            )?;
            let rows = statement.query_map([], |row| {
                Ok(ListedChannel {
                    id: ChannelId(row.get(0)?),
                    recipient: row.get(1)?,
                    kind: row.get(2)?,
                    target: row.get(3)?,
                    enabled: row.get(4)?,
                    waiting: row.get(5)?,
                    last_delivered: row.get::<_, Option<i64>>(6)?.map(Moment),
                    last_error: row.get(7)?,
                })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }
}

fn unknown(name: &str) -> Refused {
    Refused::because(format!("there is no recipient \"{name}\"; heartbeat-monitor recipient add makes one"))
}

fn no_channel(id: ChannelId) -> Refused {
    Refused::because(format!("there is no channel {}; heartbeat-monitor channel list shows them", id.0))
}

fn recipient_called(tx: &Transaction, name: &str) -> Result<Option<i64>, StoreError> {
    let sql = "SELECT id FROM recipient WHERE name = ?1";
    Ok(tx.query_row(sql, [name], |row| row.get(0)).optional()?)
}

/// Preferences as the columns hold them.
struct Stored {
    events: String,
    quiet_from: Option<u16>,
    quiet_to: Option<u16>,
    utc_offset: i16,
    time_zone: Option<String>,
}

fn stored(wants: &Preferences, now: Moment) -> Result<Stored, Refused> {
    let json = |error: serde_json::Error| Refused::because(error.to_string());
    let quiet = wants.quiet.as_ref();
    let clock = quiet.map(|quiet| &quiet.clock).or(wants.clock.as_ref());
    // Offset 0 without quiet hours and without a name means that none was chosen.
    let zone = match clock {
        Some(clock) if quiet.is_none() && *clock == Clock::UTC => Some("UTC"),
        clock => clock.and_then(Clock::zone),
    };
    Ok(Stored {
        events: serde_json::to_string(&wants.events).map_err(json)?,
        quiet_from: quiet.map(|quiet| quiet.from),
        quiet_to: quiet.map(|quiet| quiet.to),
        utc_offset: clock.map_or(0, |clock| clock.minutes_ahead(now)),
        time_zone: zone.map(str::to_owned),
    })
}

/// Notified about all machines until a choice is stored.
fn insert_recipient(tx: &Transaction, name: &str, wants: &Preferences, now: Moment) -> Result<i64, Refused> {
    let stored = stored(wants, now)?;
    tx.execute(
        "INSERT INTO recipient (name, all_machines, events, quiet_from, quiet_to, utc_offset, min_outage, time_zone)
         VALUES (?1, 1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            name,
            stored.events,
            stored.quiet_from,
            stored.quiet_to,
            stored.utc_offset,
            milliseconds(wants.min_outage),
            stored.time_zone
        ],
    )?;
    Ok(tx.last_insert_rowid())
}

fn recipients(connection: &Connection) -> Result<Vec<StoredRecipient>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT r.id, r.events, r.quiet_from, r.quiet_to, r.utc_offset, r.min_outage, r.time_zone, r.all_machines,
                r.name, r.enabled,
                (SELECT count(*) FROM channel c WHERE c.recipient_id = r.id)
         FROM recipient r ORDER BY r.name",
    )?;
    let mut rows = statement.query([])?;
    let mut known = Vec::new();
    while let Some(row) = rows.next()? {
        known.push(StoredRecipient {
            name: row.get(8)?,
            enabled: row.get(9)?,
            chosen: choices::chosen(connection, row.get(0)?, row.get(7)?)?,
            preferences: preferences(row)?,
            channels: row.get(10)?,
        });
    }
    Ok(known)
}
