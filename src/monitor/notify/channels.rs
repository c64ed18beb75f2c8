//! The table `channel`: the ways to reach a recipient.

use super::channel::{Channel, ChannelId, ChannelKind, ChannelOptions, KINDS};
use super::delivery_state::{DeliveryState, UNDELIVERED};
use super::recipients::{Preferences, insert_recipient, recipient_called, unknown};
use crate::clock::Moment;
use crate::monitor::store::sql::{Row, params};
use crate::monitor::store::{Refused, Store, StoreError};

/// The recipient that is created for a channel added without one.
pub const DEFAULT_RECIPIENT: &str = "everybody";

/// A channel that is to be added.
#[derive(Debug, Clone)]
pub struct NewChannel {
    pub kind: ChannelKind,
    pub target: String,
    pub secret: Option<String>,
    pub secret_file: Option<String>,
    /// Entered on the page.
    pub token: Option<String>,
    pub options: ChannelOptions,
}

/// A channel as it is listed: without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedChannel {
    pub id: ChannelId,
    pub recipient: String,
    pub kind: String,
    pub target: String,
    pub options: ChannelOptions,
    pub enabled: bool,
    /// Rows of the outbox that are still to be sent.
    pub waiting: u32,
    pub last_delivered: Option<Moment>,
    /// Of the newest row that has one and is not delivered.
    pub last_error: Option<String>,
}

impl Store {
    /// Adds a channel to a recipient; without one, to [`DEFAULT_RECIPIENT`], which is made if it must be.
    pub fn add_channel(
        &self,
        recipient: Option<&str>,
        new: &NewChannel,
        now: Moment,
    ) -> Result<ChannelId, Refused> {
        let NewChannel { target, secret, secret_file, token, options, .. } = new;
        let kind = new.kind.name();
        self.transact(|tx| {
            let id = match (recipient, recipient_called(tx, recipient.unwrap_or(DEFAULT_RECIPIENT))?) {
                (_, Some(id)) => id,
                (None, None) => insert_recipient(tx, DEFAULT_RECIPIENT, &Preferences::default(), now)?,
                (Some(name), None) => return Err(unknown(name)),
            };
            let added = tx.query_optional(
                "INSERT INTO channel (recipient_id, kind, target, secret, secret_file, token, created_at, options)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO NOTHING RETURNING id",
                params![id, kind, target, secret, secret_file, token, now.0, options.stored()],
                |row| Ok(ChannelId(row.get(0)?)),
            )?;
            added.ok_or_else(|| Refused::because("the recipient has this channel already"))
        })
    }

    /// Sends to another address from now on, waiting messages included. The old secret goes with the old address: whoever
    /// may change an address must not be able to have the secret sent to it.
    pub fn move_channel(&self, id: ChannelId, new: &NewChannel) -> Result<(), Refused> {
        let NewChannel { target, secret, secret_file, token, options, .. } = new;
        let kind = new.kind.name();
        self.transact(|tx| {
            let taken = tx.query_row(
                "SELECT EXISTS (SELECT 1 FROM channel other JOIN channel c ON c.recipient_id = other.recipient_id
                                WHERE c.id = ?1 AND other.id <> ?1 AND other.kind = ?2 AND other.target = ?3)",
                params![id.0, kind, target],
                |row| row.get(0),
            )?;
            if taken {
                return Err(Refused::because("the recipient has this channel already"));
            }
            let moved = tx.execute(
                "UPDATE channel SET target = ?3, secret = ?4, secret_file = ?5, token = ?6, options = ?7
                 WHERE id = ?1 AND kind = ?2",
                params![id.0, kind, target, secret, secret_file, token, options.stored()],
            )?;
            if moved == 0 { Err(no_channel(id)) } else { Ok(()) }
        })
    }

    /// # Errors
    /// There is no such channel, or it is of a kind that this version does not know.
    pub fn channel(&self, id: ChannelId) -> Result<Channel, Refused> {
        let found = self.read(|connection| {
            let sql = "SELECT kind, target, secret, secret_file, token, options FROM channel WHERE id = ?1";
            connection.query_optional(sql, params![id.0], |row| channel_of_row(id, row))
        })?;
        let unknown = |kind| Refused::because(format!("channel {} is of the unknown kind {kind}", id.0));
        found.ok_or_else(|| no_channel(id))?.map_err(unknown)
    }

    /// The channels over which people can be notified: enabled, of enabled recipients, and of a kind that is known.
    pub fn enabled_channels(&self) -> Result<Vec<Channel>, StoreError> {
        let ids: Vec<ChannelId> = self.read(|connection| {
            let sql = "SELECT c.id FROM channel c JOIN recipient r ON r.id = c.recipient_id
                       WHERE c.enabled AND r.enabled ORDER BY c.id";
            connection.query_all(sql, &[], |row| Ok(ChannelId(row.get(0)?)))
        })?;
        Ok(ids.into_iter().filter_map(|id| self.channel(id).ok()).collect())
    }

    /// Whether anybody can be notified: see [`Store::enabled_channels`].
    pub fn has_enabled_channel(&self) -> Result<bool, StoreError> {
        self.read(|connection| {
            let kinds = KINDS.map(|kind| format!("'{}'", kind.name())).join(", ");
            let sql = format!(
                "SELECT EXISTS (SELECT 1 FROM channel c JOIN recipient r ON r.id = c.recipient_id
                 WHERE c.enabled AND r.enabled AND c.kind IN ({kinds}))"
            );
            connection.query_row(&sql, &[], |row| row.get(0))
        })
    }

    /// Enables or disables a channel. Pending messages of a disabled channel are not delivered.
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

    /// Removes a channel with its deliveries.
    pub fn remove_channel(&self, id: ChannelId) -> Result<(), Refused> {
        self.transact(|tx| match tx.execute("DELETE FROM channel WHERE id = ?1", params![id.0])? {
            0 => Err(no_channel(id)),
            _ => Ok(()),
        })
    }

    /// All channels, by their recipients' names.
    pub fn channels(&self) -> Result<Vec<ListedChannel>, StoreError> {
        self.read(|connection| {
            let sql = format!(
                "SELECT c.id, r.name, c.kind, c.target, c.enabled AND r.enabled,
                        (SELECT count(*) FROM outbox o WHERE o.channel_id = c.id AND o.{UNDELIVERED}),
                        (SELECT max(delivered_at) FROM outbox o WHERE o.channel_id = c.id),
                        (SELECT last_error FROM outbox o WHERE o.channel_id = c.id AND o.last_error IS NOT NULL
                         ORDER BY o.id DESC LIMIT 1), c.options
                 FROM channel c JOIN recipient r ON r.id = c.recipient_id ORDER BY r.name, c.id"
            );
            connection.query_all(&sql, &[], |row| {
                Ok(ListedChannel {
                    id: ChannelId(row.get(0)?),
                    recipient: row.get(1)?,
                    kind: row.get(2)?,
                    target: row.get(3)?,
                    enabled: row.get(4)?,
                    waiting: row.get(5)?,
                    last_delivered: row.get(6)?,
                    last_error: row.get(7)?,
                    options: ChannelOptions::of_stored(row.get::<Option<String>>(8)?.as_deref()),
                })
            })
        })
    }
}

/// The channel of a row that begins with `kind, target, secret, secret_file, token, options`; `Err`: the name of its kind,
/// which is unknown.
pub fn channel_of_row(id: ChannelId, row: &Row<'_>) -> Result<Result<Channel, String>, StoreError> {
    let name: String = row.get(0)?;
    let Some(kind) = ChannelKind::from_name(&name) else { return Ok(Err(name)) };
    let options: Option<String> = row.get(5)?;
    Ok(Ok(Channel {
        id,
        kind,
        target: row.get(1)?,
        secret: row.get(2)?,
        secret_file: row.get(3)?,
        token: row.get(4)?,
        options: ChannelOptions::of_stored(options.as_deref()),
    }))
}

fn no_channel(id: ChannelId) -> Refused {
    Refused::because(format!("there is no channel {}; heartbeat-monitor channel list shows them", id.0))
}
