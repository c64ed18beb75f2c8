//! `heartbeat-monitor channel ...`
//!
//! No option takes a secret itself: what stands on a command line is seen by every user of the machine, and stays in
//! the shell's history. A webhook's secret comes out of a file or the standard input, or is made here.

use super::recipient::with_warnings;
use crate::clock::Moment;
use crate::duration::ago;
use crate::monitor::notify::channel::{ChannelId, Kind, check_secret, secret_in};
use crate::monitor::notify::channels::{DEFAULT_RECIPIENT, ListedChannel, NewChannel};
use crate::monitor::notify::mail::check_address;
use crate::monitor::notify::notice::Notice;
use crate::monitor::notify::send::{Message, Sender};
use crate::monitor::notify::{Settings, is_public, start_resolver};
use crate::monitor::registry::token::{Token, TokenUse};
use crate::monitor::store::{Refused, Store};
use crate::monitor::zone::Clock;
use crate::service_user;
use crate::table::{or_dash, table};
use clap::{Args, Subcommand};
use crossbeam_channel::bounded;
use serde_json::{Value, json};
use std::io::{self, Read};
use std::net::{IpAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;
use ureq::http::Uri;
use ureq::http::uri::Authority;

/// The unit's name, and its user's.
const SERVICE: &str = "heartbeat-monitor";

/// Time for a name to be resolved; without an answer the channel is added unchecked.
const LOOKUP: Duration = Duration::from_secs(5);

#[derive(Debug, Subcommand)]
pub enum ChannelCommand {
    /// Add a way to reach a recipient
    Add {
        /// Whose channel it is; without it, that of "everybody", who is told of all machines
        #[arg(long, value_name = "NAME", global = true)]
        recipient: Option<String>,
        #[command(subcommand)]
        kind: New,
    },
    /// List all channels, without their secrets
    List {
        /// As a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Send a test message now and show the answer
    Test {
        /// As listed
        id: i64,
    },
    /// Stop sending over a channel; what waits there is not told
    Disable {
        /// As listed
        id: i64,
    },
    /// Send over a disabled channel again
    Enable {
        /// As listed
        id: i64,
    },
    /// Remove a channel with the list of its deliveries
    Remove {
        /// As listed
        id: i64,
    },
}

/// Where it leads.
#[derive(Debug, Subcommand)]
pub enum New {
    /// POST JSON to a URL, signed with a secret; without an option the secret is made and printed alone on the last
    /// line, this once
    Webhook(Webhook),
    /// Send to a Telegram chat through a bot
    Telegram {
        /// The chat's id, such as 123456789, -1001234567890 or @channel
        #[arg(allow_hyphen_values = true)]
        chat: String,
        /// Holds the bot's token; the monitor reads it at each message
        #[arg(long, value_name = "FILE")]
        bot_token_file: PathBuf,
    },
    /// Send mail over the server in [smtp]
    Email {
        /// Such as ops@example.org
        address: String,
    },
    /// Publish to an ntfy topic
    Ntfy {
        /// Such as https://ntfy.sh/my-topic
        url: String,
        /// Holds an access token; the monitor reads it at each message
        #[arg(long, value_name = "FILE")]
        token_file: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
pub struct Webhook {
    /// Such as https://example.org/hook
    url: String,
    /// Holds the secret, which is copied into the database
    #[arg(long, value_name = "FILE", conflicts_with = "secret_stdin")]
    secret_file: Option<PathBuf>,
    /// Read the secret from the standard input
    #[arg(long)]
    secret_stdin: bool,
}

/// What is to be printed.
///
/// # Errors
/// One sentence. Nothing was changed, and of a test: it did not arrive.
pub fn run(
    command: ChannelCommand,
    database: &Path,
    settings: &Settings,
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
            Ok(format!("channel {id} is disabled"))
        }
        ChannelCommand::Enable { id } => {
            store.enable_channel(ChannelId(id), true)?;
            Ok(format!("channel {id} is enabled"))
        }
        ChannelCommand::Remove { id } => {
            store.remove_channel(ChannelId(id))?;
            Ok(format!("channel {id} is removed"))
        }
    }
}

fn add(
    store: &Store,
    recipient: Option<&str>,
    kind: New,
    settings: &Settings,
    now: Moment,
) -> Result<String, Refused> {
    let mut made = None;
    let new = match kind {
        New::Webhook(webhook) => {
            check_url(&webhook.url)?;
            check_public(&webhook.url, settings)?;
            let (secret, shown) = webhook.secret()?;
            made = shown;
            new_channel(Kind::Webhook, webhook.url, Some(secret), None)
        }
        New::Telegram { chat, bot_token_file } => {
            check_chat(&chat)?;
            new_channel(Kind::Telegram, chat, None, Some(secret_file(&bot_token_file)?))
        }
        New::Email { address } => {
            check_address(&address)?;
            check_mail_server(settings)?;
            new_channel(Kind::Email, address, None, None)
        }
        New::Ntfy { url, token_file } => {
            check_url(&url)?;
            check_topic(&url)?;
            check_public(&url, settings)?;
            let file = token_file.as_deref().map(secret_file).transpose()?;
            new_channel(Kind::Ntfy, url, None, file)
        }
    };
    let id = store.add_channel(recipient, &new, now)?;
    let whom = recipient.unwrap_or(DEFAULT_RECIPIENT);
    let said = format!("channel {} ({} of {whom}) is added", id.0, new.kind.name());
    Ok(match made {
        Some(secret) => format!("{said}; its secret follows and is shown this once:\n{}", secret.as_str()),
        None => format!("{said}; heartbeat-monitor channel test {} tries it", id.0),
    })
}

fn new_channel(
    kind: Kind,
    target: String,
    secret: Option<String>,
    secret_file: Option<String>,
) -> NewChannel {
    NewChannel { kind, target, secret, secret_file }
}

impl Webhook {
    /// The secret, and once more if it was made here and must be shown.
    fn secret(&self) -> Result<(String, Option<Token>), Refused> {
        if let Some(file) = &self.secret_file {
            return Ok((secret_in(&file.display().to_string())?, None));
        }
        if self.secret_stdin {
            let mut text = String::new();
            let read = io::stdin().lock().take(5000).read_to_string(&mut text);
            read.map_err(|error| format!("the standard input: {error}"))?;
            let secret = text.trim();
            check_secret(secret).map_err(|problem| format!("the secret {problem}"))?;
            return Ok((secret.to_owned(), None));
        }
        let made = Token::make(TokenUse::Device).map_err(|error| format!("no random numbers: {error}"))?;
        Ok((made.as_str().to_owned(), Some(made)))
    }
}

/// The file's absolute path: the service runs in another directory, and reads it as its own user.
fn secret_file(path: &Path) -> Result<String, Refused> {
    let path = std::path::absolute(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let path = path.to_str().ok_or_else(|| format!("{}: its name is not UTF-8", path.display()))?;
    secret_in(path)?;
    check_service_reads(path, None)?;
    Ok(path.to_owned())
}

/// Refuses a file that root can read and the service's user (or the user `wanted`) cannot.
fn check_service_reads(path: &str, wanted: Option<&'static str>) -> Result<(), String> {
    let file = path.to_owned();
    // A thread of its own: user and groups are a thread's, and this one does not get root's back.
    let check = thread::spawn(move || {
        let user = service_user::become_user(SERVICE, SERVICE, wanted).ok().flatten();
        let read = user.as_ref().map_or(Ok(String::new()), |_| secret_in(&file));
        read.map(drop).map_err(|problem| match user {
            Some(user) => {
                format!("{problem} (as the service's user {user}); give it to a group of that user")
            }
            None => problem,
        })
    });
    // Joining fails only if the check panicked, which says nothing about the file.
    check.join().unwrap_or(Ok(()))
}

fn check_url(url: &str) -> Result<(), String> {
    let wrong = |problem: &str| Err(format!("\"{}\": {problem}", shown_url(url).escape_debug()));
    let Ok(uri) = url.parse::<Uri>() else { return wrong("is not a URL") };
    match (uri.scheme_str(), uri.authority()) {
        (Some("http" | "https"), Some(host)) if host.as_str().contains('@') => {
            wrong("has a user or password in it, which everybody sees; use a secret or a token file")
        }
        (Some("http" | "https"), Some(place)) if !has_good_port(place) => {
            wrong("its port must be a number from 1 to 65535")
        }
        (Some("http" | "https"), Some(_)) => Ok(()),
        _ => wrong("must begin with https:// or http:// and name a host"),
    }
}

/// Refuses a host that a webhook may never reach. A name that cannot be resolved now may be resolved later.
fn check_public(url: &str, settings: &Settings) -> Result<(), String> {
    if settings.allow_private_webhooks {
        return Ok(());
    }
    let addresses = url.parse::<Uri>().ok().map(|uri| addresses_of(&uri)).unwrap_or_default();
    match addresses.first() {
        Some(address) if !addresses.iter().any(|address| is_public(*address)) => Err(format!(
            "\"{}\": {address} is not a public address, and webhooks and ntfy reach only those; to permit it, set \
             allow_private_webhooks = true in [notify] and reload the service",
            shown_url(url)
        )),
        _ => Ok(()),
    }
}

/// Addresses of the URL's host; none if it is a name that is not resolved in time.
fn addresses_of(uri: &Uri) -> Vec<IpAddr> {
    let host = uri.host().unwrap_or_default().to_owned();
    if let Ok(address) = host.trim_matches(['[', ']']).parse() {
        return vec![address];
    }
    let (found, answer) = bounded(1);
    // The C library has no timeout of its own; this thread ends with the command.
    let lookup = thread::Builder::new().name("lookup".into()).spawn(move || {
        let addresses = (host.as_str(), 0).to_socket_addrs();
        // The command may have gone on without the answer.
        let _ = found.send(addresses.map(|found| found.map(|address| address.ip()).collect()));
    });
    match lookup.map(|_| answer.recv_timeout(LOOKUP)) {
        Ok(Ok(Ok(addresses))) => addresses,
        _ => Vec::new(),
    }
}

fn check_mail_server(settings: &Settings) -> Result<(), String> {
    match &settings.smtp {
        Some(_) => Ok(()),
        None => Err("no mail can be sent: set host and from in [smtp] of the configuration first".into()),
    }
}

/// One that is none would be read as the scheme's own, and somebody else is told.
fn has_good_port(place: &Authority) -> bool {
    match place.as_str().strip_prefix(place.host()) {
        Some("") => true,
        Some(port) => {
            port.strip_prefix(':').and_then(|port| port.parse().ok()).is_some_and(|port: u16| port > 0)
        }
        None => false,
    }
}

/// ntfy's server itself is no place to publish to.
fn check_topic(url: &str) -> Result<(), String> {
    match url.parse::<Uri>().is_ok_and(|uri| uri.path().trim_matches('/').is_empty()) {
        true => {
            Err(format!("\"{}\": names no topic; it is such as https://ntfy.sh/my-topic", shown_url(url)))
        }
        false => Ok(()),
    }
}

fn check_chat(chat: &str) -> Result<(), String> {
    let number = chat.strip_prefix('-').unwrap_or(chat);
    let name = chat.strip_prefix('@').unwrap_or("");
    let is_number = !number.is_empty() && number.chars().all(|c| c.is_ascii_digit());
    let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    match is_number || is_name {
        true => Ok(()),
        false => {
            Err(format!("\"{}\" is not a chat id such as -1001234567890 or @channel", chat.escape_debug()))
        }
    }
}

/// Without its query, in which some services want a key.
fn shown_url(url: &str) -> String {
    match url.split_once('?') {
        Some((before, _)) => format!("{before}?..."),
        None => url.to_owned(),
    }
}

fn test(store: &Store, id: ChannelId, settings: &Settings, now: Moment) -> Result<String, Refused> {
    let channel = store.channel(id)?;
    // No row of the outbox has a negative id, and no two tests the same.
    let message = Message { rows: vec![-now.0], notices: vec![Notice::test(now)], clock: Clock::UTC };
    let names = start_resolver().map_err(|error| Refused::because(error.to_string()))?;
    match Sender::new(settings.clone(), names).send(&channel, &message, now) {
        Ok(answer) => Ok(format!("{}: {answer}", channel.name())),
        Err(failure) => Err(Refused::because(format!("{}: {}", channel.name(), failure.why()))),
    }
}

fn list(store: &Store, now: Moment) -> Result<String, Refused> {
    let channels = store.channels()?;
    if channels.is_empty() {
        return Ok("no channels; heartbeat-monitor channel add --help says how to add one".into());
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
