//! `heartbeat-monitor channel ...`
//!
//! No option takes a secret itself: every user of the machine sees command lines, and the shell's history keeps them. A
//! webhook's secret is read from a file or standard input, or generated here.

use super::audited::AuditedChange;
use super::recipient::with_warnings;
use crate::clock::Moment;
use crate::duration::ago;
use crate::monitor::notify::NotifySettings;
use crate::monitor::notify::channel::{ChannelId, ChannelKind, check_secret, secret_in};
use crate::monitor::notify::channels::{DEFAULT_RECIPIENT, ListedChannel, NewChannel};
use crate::monitor::notify::mail::check_address;
use crate::monitor::notify::target::{
    check_chat, check_mail_server, check_public, check_topic, check_url, secret_file, shown_url,
};
use crate::monitor::notify::test_message::test_channel;
use crate::monitor::registry::token::{Token, TokenUse};
use crate::monitor::store::{Refused, Store};
use crate::table::{or_dash, table};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

#[derive(Debug, Subcommand)]
pub enum ChannelCommand {
    /// Add a channel: webhook, telegram, email or ntfy
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

/// ChannelKind and target of a new channel.
#[derive(Debug, Subcommand)]
pub enum NewTarget {
    /// POST JSON to a URL, signed with a secret; by default a secret is generated and printed alone on the last line, only
    /// once
    Webhook(WebhookArguments),
    /// Send to a Telegram chat as a bot
    Telegram {
        /// Id of the chat, such as 123456789, -1001234567890 or @channel
        #[arg(allow_hyphen_values = true)]
        chat: String,
        /// File with the bot token; read again for each message
        #[arg(long, value_name = "FILE")]
        bot_token_file: PathBuf,
    },
    /// Send mail over the server in [smtp]
    Email {
        /// Address, such as ops@example.org
        address: String,
    },
    /// Publish to an ntfy topic
    Ntfy {
        /// URL of the topic, such as https://ntfy.sh/my-topic
        url: String,
        /// File with an access token; read again for each message
        #[arg(long, value_name = "FILE")]
        token_file: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
pub struct WebhookArguments {
    /// URL, such as https://example.org/hook
    url: String,
    /// File with the secret, which is copied into the database
    #[arg(long, value_name = "FILE", conflicts_with = "secret_stdin")]
    secret_file: Option<PathBuf>,
    /// Read the secret from standard input
    #[arg(long)]
    secret_stdin: bool,
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
    database: &Path,
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

fn add(
    store: &Store,
    recipient: Option<&str>,
    kind: NewTarget,
    settings: &NotifySettings,
    now: Moment,
) -> Result<String, Refused> {
    let mut generated = None;
    let new = match kind {
        NewTarget::Webhook(webhook) => {
            check_url(&webhook.url)?;
            check_public(&webhook.url, settings)?;
            let (secret, shown) = webhook.secret()?;
            generated = shown;
            new_channel(ChannelKind::Webhook, webhook.url, Some(secret), None)
        }
        NewTarget::Telegram { chat, bot_token_file } => {
            check_chat(&chat)?;
            new_channel(ChannelKind::Telegram, chat, None, Some(secret_file(&bot_token_file)?))
        }
        NewTarget::Email { address } => {
            check_address(&address)?;
            check_mail_server(settings)?;
            new_channel(ChannelKind::Email, address, None, None)
        }
        NewTarget::Ntfy { url, token_file } => {
            check_url(&url)?;
            check_topic(&url)?;
            check_public(&url, settings)?;
            let file = token_file.as_deref().map(secret_file).transpose()?;
            new_channel(ChannelKind::Ntfy, url, None, file)
        }
    };
    let id = store.add_channel(recipient, &new, now)?;
    let owner = recipient.unwrap_or(DEFAULT_RECIPIENT);
    let said = format!("channel {} ({} of {owner}) added", id.0, new.kind.name());
    Ok(match generated {
        Some(secret) => format!("{said}; its secret, shown only once:\n{}", secret.as_str()),
        None => format!("{said}; test it with heartbeat-monitor channel test {}", id.0),
    })
}

fn new_channel(
    kind: ChannelKind,
    target: String,
    secret: Option<String>,
    secret_file: Option<String>,
) -> NewChannel {
    NewChannel { kind, target, secret, secret_file, token: None }
}

impl WebhookArguments {
    /// The secret, and the token to show if it was generated here.
    fn secret(&self) -> Result<(String, Option<Token>), Refused> {
        if let Some(file) = &self.secret_file {
            return Ok((secret_in(&file.display().to_string())?, None));
        }
        if self.secret_stdin {
            let mut text = String::new();
            let read = io::stdin().lock().take(5000).read_to_string(&mut text);
            read.map_err(|error| format!("cannot read standard input: {error}"))?;
            let secret = text.trim();
            check_secret(secret).map_err(|problem| format!("the secret {problem}"))?;
            return Ok((secret.to_owned(), None));
        }
        let made =
            Token::make(TokenUse::Device).map_err(|error| format!("cannot generate a secret: {error}"))?;
        Ok((made.as_str().to_owned(), Some(made)))
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
            state.to_owned(),
            channel.waiting.to_string(),
            ago(channel.last_delivered, now),
            or_dash(channel.last_error.as_deref()),
        ]
    };
    let rows: Vec<_> = channels.iter().map(row).collect();
    let listed =
        table(["ID", "RECIPIENT", "KIND", "TARGET", "STATE", "WAITING", "DELIVERED", "LAST ERROR"], &rows);
    let recipients = store.recipients()?;
    Ok(with_warnings(listed, recipients.iter().filter(|known| known.channels > 0)))
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
        "enabled": channel.enabled,
        "waiting": channel.waiting,
        "last_delivered": channel.last_delivered.and_then(Moment::rfc_3339),
        "last_error": channel.last_error,
    })
}

#[cfg(test)]
mod tests;
