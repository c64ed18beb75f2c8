//! A channel: which kind it is, where it leads, what proves that it is us.

use std::fmt;
use std::fs::File;
use std::io::Read;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    Webhook,
    Telegram,
    Email,
    Ntfy,
}

/// A channel's number, as in `channel.id`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelId(pub i64);

/// All kinds, in the order of [`Kind`].
pub const KINDS: [Kind; 4] = [Kind::Webhook, Kind::Telegram, Kind::Email, Kind::Ntfy];

impl Kind {
    /// As in `channel.kind`.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Webhook => "webhook",
            Kind::Telegram => "telegram",
            Kind::Email => "email",
            Kind::Ntfy => "ntfy",
        }
    }

    pub fn from_name(name: &str) -> Option<Kind> {
        KINDS.into_iter().find(|kind| kind.name() == name)
    }

    /// Whether a person reads it, who wants one message of many machines. Programs want one for each.
    pub fn is_for_people(self) -> bool {
        self != Kind::Webhook
    }

    /// Messages of one channel in flight at the same time.
    pub fn in_flight(self) -> usize {
        match self {
            Kind::Webhook => 8,
            Kind::Telegram | Kind::Ntfy | Kind::Email => 4,
        }
    }
}

/// As it stands in the database. Its secret never shows up in a log.
#[derive(Clone, PartialEq, Eq)]
pub struct Channel {
    pub id: ChannelId,
    pub kind: Kind,
    /// URL, chat id or address.
    pub target: String,
    /// The webhook's.
    pub secret: Option<String>,
    /// Of Telegram's bot token, of ntfy's.
    pub secret_file: Option<String>,
}

impl Channel {
    /// For the log.
    pub fn name(&self) -> String {
        format!("{} channel {}", self.kind.name(), self.id.0)
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Channel({} {})", self.kind.name(), self.id.0)
    }
}

/// Longer than any token or password, shorter than any header limit.
const LONGEST_SECRET: u64 = 4096;

/// One line out of a file; read at each use, so that it may be replaced while the monitor runs.
///
/// # Errors
/// One sentence that names the file and never shows what is in it.
pub fn secret_in(path: &str) -> Result<String, String> {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(LONGEST_SECRET + 1).read_to_string(&mut text));
    read.map_err(|error| format!("{path}: cannot be read: {error}"))?;
    check_secret(text.trim()).map_err(|problem| format!("{path}: {problem}"))?;
    Ok(text.trim().to_owned())
}

/// # Errors
/// What is wrong with it, without it.
pub fn check_secret(secret: &str) -> Result<(), String> {
    let allowed = secret.chars().all(|c| c.is_ascii_graphic() || c == ' ');
    if secret.is_empty() || secret.len() as u64 > LONGEST_SECRET || !allowed {
        return Err("must hold one line of up to 4096 printable ASCII characters".into());
    }
    Ok(())
}
