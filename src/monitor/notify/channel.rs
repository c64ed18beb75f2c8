//! A channel: its kind, its target and its secrets.

use std::fmt;
use std::fs::File;
use std::io::Read;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ChannelKind {
    Webhook,
    Telegram,
    Email,
    Ntfy,
}

/// A channel's id, as in `channel.id`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelId(pub i64);

/// All kinds, in the order of [`ChannelKind`].
pub const KINDS: [ChannelKind; 4] =
    [ChannelKind::Webhook, ChannelKind::Telegram, ChannelKind::Email, ChannelKind::Ntfy];

impl ChannelKind {
    /// As in `channel.kind`.
    pub fn name(self) -> &'static str {
        match self {
            ChannelKind::Webhook => "webhook",
            ChannelKind::Telegram => "telegram",
            ChannelKind::Email => "email",
            ChannelKind::Ntfy => "ntfy",
        }
    }

    pub fn from_name(name: &str) -> Option<ChannelKind> {
        KINDS.into_iter().find(|kind| kind.name() == name)
    }

    /// Whether a person reads it: people get one message about many machines, programs one for each.
    pub fn is_for_people(self) -> bool {
        self != ChannelKind::Webhook
    }

    pub fn class(self) -> CourierClass {
        match self {
            ChannelKind::Webhook => CourierClass::Webhook,
            ChannelKind::Telegram | ChannelKind::Ntfy => CourierClass::Chat,
            ChannelKind::Email => CourierClass::Mail,
        }
    }

    /// The number of messages of one channel in flight at the same time.
    pub fn in_flight(self) -> usize {
        match self {
            ChannelKind::Webhook => 8,
            ChannelKind::Telegram | ChannelKind::Ntfy | ChannelKind::Email => 4,
        }
    }
}

/// Kinds that share a pool of couriers, so that slow receivers of one class delay no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CourierClass {
    /// Programs: many requests of at most 10 s.
    Webhook,
    /// Telegram and ntfy: few requests of at most 10 s.
    Chat,
    /// Mail: one server, which may take 10 minutes per mail.
    Mail,
}

pub const CLASSES: [CourierClass; 3] = [CourierClass::Webhook, CourierClass::Chat, CourierClass::Mail];

impl CourierClass {
    /// Size of the pool: the number of messages in flight.
    pub fn threads(self) -> usize {
        match self {
            CourierClass::Webhook => 64,
            CourierClass::Chat => 32,
            CourierClass::Mail => 16,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            CourierClass::Webhook => "webhook",
            CourierClass::Chat => "chat",
            CourierClass::Mail => "mail",
        }
    }
}

/// A channel as stored. `Debug` does not show its secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Channel {
    pub id: ChannelId,
    pub kind: ChannelKind,
    /// URL, chat id or address.
    pub target: String,
    /// Of a webhook.
    pub secret: Option<String>,
    /// File with the token of Telegram or ntfy.
    pub secret_file: Option<String>,
    /// The token itself, if it was entered on the page.
    pub token: Option<String>,
}

impl Channel {
    /// The token of Telegram or ntfy, as it was entered or as its file has it now.
    pub fn read_token(&self) -> Result<Option<String>, String> {
        match (&self.token, &self.secret_file) {
            (Some(token), _) => Ok(Some(token.clone())),
            (None, Some(file)) => secret_in(file).map(Some),
            (None, None) => Ok(None),
        }
    }

    /// Name for the log.
    pub fn name(&self) -> String {
        format!("{} channel {}", self.kind.name(), self.id.0)
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Channel({} {})", self.kind.name(), self.id.0)
    }
}

/// In bytes; longer than any token or password, shorter than any header limit.
const LONGEST_SECRET: u64 = 4096;

/// Reads a secret from a file; done at each use, so that the file can be replaced while the monitor runs.
///
/// # Errors
/// The file cannot be read or has no valid secret; its content is not shown.
pub fn secret_in(path: &str) -> Result<String, String> {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(LONGEST_SECRET + 1).read_to_string(&mut text));
    read.map_err(|error| format!("cannot read {path}: {error}"))?;
    check_secret(text.trim()).map_err(|problem| format!("{path}: {problem}"))?;
    Ok(text.trim().to_owned())
}

/// # Errors
/// The secret is invalid; it is not shown.
pub fn check_secret(secret: &str) -> Result<(), String> {
    let allowed = secret.chars().all(|c| c.is_ascii_graphic() || c == ' ');
    if secret.is_empty() || secret.len() as u64 > LONGEST_SECRET || !allowed {
        return Err("must hold one line of up to 4096 printable ASCII characters".into());
    }
    Ok(())
}
