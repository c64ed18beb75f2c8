//! `heartbeat-monitor channel ...`
//!
//! `channel_add` adds one.

use super::audited::AuditedChange;
use super::channel_add::{NewTarget, add};
use super::recipient::with_warnings;
use crate::clock::Moment;
use crate::duration::ago;
use crate::monitor::notify::NotifySettings;
use crate::monitor::notify::channel::ChannelId;
use crate::monitor::notify::channels::{DEFAULT_RECIPIENT, ListedChannel};
use crate::monitor::notify::kinds::shown_options;
use crate::monitor::notify::target::shown_url;
use crate::monitor::notify::test_message::test_channel;
use crate::monitor::store::{DatabaseLocation, Refused, Store};
use crate::table::{or_dash, table};
use clap::Subcommand;
use serde_json::{Value, json};

#[derive(Debug, Subcommand)]
pub enum ChannelCommand {
    /// Add a channel; channel add KIND --help explains each kind
    Add {
        /// Recipient of the channel; default: "everybody", who is notified about all machines
        #[arg(long, value_name = "NAME", global = true)]
        recipient: Option<String>,
        #[command(subcommand)]
        kind: NewTarget,
    },
    /// List all channels, without their secrets
    List {
        /// As a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Send a test message now and show the response
    Test {
        /// Id, as listed
        id: i64,
    },
    /// Stop sending over a channel; its pending notifications are dropped
    Disable {
        /// Id, as listed
        id: i64,
    },
    /// Use a disabled channel again
    Enable {
        /// Id, as listed
        id: i64,
    },
    /// Delete a channel with its list of deliveries
    Remove {
        /// Id, as listed
        id: i64,
    },
}

impl ChannelCommand {
    /// `None`: it changes nothing.
    pub fn audited(&self) -> Option<AuditedChange> {
        let of = |action, id: i64| AuditedChange::of(action, &format!("channel {id}"));
        Some(match self {
            ChannelCommand::Add { recipient, .. } => {
                AuditedChange::of("channel.add", recipient.as_deref().unwrap_or(DEFAULT_RECIPIENT))
            }
            ChannelCommand::List { .. } => return None,
            ChannelCommand::Test { id } => of("channel.test", *id),
            ChannelCommand::Disable { id } => of("channel.disable", *id),
            ChannelCommand::Enable { id } => of("channel.enable", *id),
            ChannelCommand::Remove { id } => of("channel.remove", *id),
        })
    }
}

/// Returns the output.
///
/// # Errors
/// The command was refused or failed: nothing was changed, a test message was not delivered.
pub fn run(
    command: ChannelCommand,
    database: &DatabaseLocation,
    settings: &NotifySettings,
    now: Moment,
) -> Result<String, Refused> {
    let store = Store::open_beside(database, now)?;
    match command {
        ChannelCommand::Add { recipient, kind } => add(&store, recipient.as_deref(), kind, settings, now),
        ChannelCommand::List { json: true } => list_as_json(&store),
        ChannelCommand::List { json: false } => list(&store, now),
        ChannelCommand::Test { id } => test(&store, ChannelId(id), settings, now),
        ChannelCommand::Disable { id } => {
            store.enable_channel(ChannelId(id), false)?;
            Ok(format!("channel {id} disabled"))
        }
        ChannelCommand::Enable { id } => {
            store.enable_channel(ChannelId(id), true)?;
            Ok(format!("channel {id} enabled"))
        }
        ChannelCommand::Remove { id } => {
            store.remove_channel(ChannelId(id))?;
            Ok(format!("channel {id} removed"))
        }
    }
}

fn test(store: &Store, id: ChannelId, settings: &NotifySettings, now: Moment) -> Result<String, Refused> {
    let channel = store.channel(id)?;
    match test_channel(&channel, settings, now) {
        Ok(answer) => Ok(format!("{}: {answer}", channel.name())),
        Err(why) => Err(Refused::because(format!("{}: {why}", channel.name()))),
    }
}

fn list(store: &Store, now: Moment) -> Result<String, Refused> {
    let channels = store.channels()?;
    if channels.is_empty() {
        return Ok("no channels; see heartbeat-monitor channel add --help".into());
    }
    let row = |channel: &ListedChannel| {
        let state = if channel.enabled { "enabled" } else { "disabled" };
        [
            channel.id.0.to_string(),
            channel.recipient.clone(),
            channel.kind.clone(),
            shown_url(&channel.target),
            or_dash(Some(options(channel).as_str()).filter(|options| !options.is_empty())),
            state.to_owned(),
            channel.waiting.to_string(),
            ago(channel.last_delivered, now),
            or_dash(channel.last_error.as_deref()),
        ]
    };
    let rows: Vec<_> = channels.iter().map(row).collect();
    let columns =
        ["ID", "RECIPIENT", "KIND", "TARGET", "OPTIONS", "STATE", "WAITING", "DELIVERED", "LAST ERROR"];
    let listed = table(columns, &rows);
    let recipients = store.recipients()?;
    Ok(with_warnings(listed, recipients.iter().filter(|known| known.channels > 0)))
}

/// "topic 42, silent endings"
fn options(channel: &ListedChannel) -> String {
    let shown = shown_options(&channel.kind, &channel.options);
    shown.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// A text of several lines is `true`.
fn options_as_json(channel: &ListedChannel) -> Value {
    let shown = shown_options(&channel.kind, &channel.options).into_iter();
    shown.map(|option| (option.name, option.value.map_or(Value::Bool(true), Value::String))).collect()
}

fn list_as_json(store: &Store) -> Result<String, Refused> {
    let recipients = store.recipients()?;
    let warning = |name: &str| recipients.iter().find(|known| known.name == name)?.chosen.warning();
    let channels = store.channels()?;
    let listed = channels.iter().map(|channel| as_json(channel, warning(&channel.recipient))).collect();
    Ok(Value::Array(listed).to_string())
}

fn as_json(channel: &ListedChannel, warning: Option<String>) -> Value {
    json!({
        "warning": warning,
        "id": channel.id.0,
        "recipient": channel.recipient,
        "kind": channel.kind,
        "target": shown_url(&channel.target),
        "options": options_as_json(channel),
        "enabled": channel.enabled,
        "waiting": channel.waiting,
        "last_delivered": channel.last_delivered.and_then(Moment::rfc_3339),
        "last_error": channel.last_error,
    })
}

#[cfg(test)]
mod tests;
