//! A channel: its kind, its target and its secrets.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::Read;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ChannelKind {
    Webhook,
    Telegram,
    Email,
    Ntfy,
    Slack,
    Discord,
    Teams,
    Gotify,
    Pushover,
    Matrix,
    PagerDuty,
    HomeAssistant,
    Apprise,
}

/// What the couriers need of a kind; `kinds` has the rest.
struct KindEntry {
    kind: ChannelKind,
    name: &'static str,
    /// On pages.
    shown: &'static str,
    class: CourierClass,
}

const fn entry(kind: ChannelKind, name: &'static str, shown: &'static str, class: CourierClass) -> KindEntry {
    KindEntry { kind, name, shown, class }
}

/// All kinds, in the order of [`ChannelKind`].
const ENTRIES: [KindEntry; 13] = [
    entry(ChannelKind::Webhook, "webhook", "webhook", CourierClass::Webhook),
    entry(ChannelKind::Telegram, "telegram", "Telegram", CourierClass::Chat),
    entry(ChannelKind::Email, "email", "mail", CourierClass::Mail),
    entry(ChannelKind::Ntfy, "ntfy", "ntfy", CourierClass::Chat),
    entry(ChannelKind::Slack, "slack", "Slack", CourierClass::Chat),
    entry(ChannelKind::Discord, "discord", "Discord", CourierClass::Chat),
    entry(ChannelKind::Teams, "teams", "Microsoft Teams", CourierClass::Chat),
    entry(ChannelKind::Gotify, "gotify", "Gotify", CourierClass::Chat),
    entry(ChannelKind::Pushover, "pushover", "Pushover", CourierClass::Chat),
    entry(ChannelKind::Matrix, "matrix", "Matrix", CourierClass::Chat),
    entry(ChannelKind::PagerDuty, "pagerduty", "PagerDuty", CourierClass::Webhook),
    entry(ChannelKind::HomeAssistant, "home-assistant", "Home Assistant", CourierClass::Webhook),
    entry(ChannelKind::Apprise, "apprise", "Apprise", CourierClass::Chat),
];

/// A channel's id, as in `channel.id`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelId(pub i64);

/// All kinds, in the order of [`ChannelKind`].
pub const KINDS: [ChannelKind; ENTRIES.len()] = {
    let mut kinds = [ChannelKind::Webhook; ENTRIES.len()];
    let mut at = 0;
    while at < ENTRIES.len() {
        kinds[at] = ENTRIES[at].kind;
        at += 1;
    }
    kinds
};

impl ChannelKind {
    fn entry(self) -> &'static KindEntry {
        &ENTRIES[self as usize]
    }

    /// As in `channel.kind`.
    pub fn name(self) -> &'static str {
        self.entry().name
    }

    /// As people call it.
    pub fn shown(self) -> &'static str {
        self.entry().shown
    }

    pub fn from_name(name: &str) -> Option<ChannelKind> {
        KINDS.into_iter().find(|kind| kind.name() == name)
    }

    /// Whether a person reads it: people get one message about many machines, programs one for each.
    pub fn is_for_people(self) -> bool {
        self.class() != CourierClass::Webhook
    }

    pub fn class(self) -> CourierClass {
        self.entry().class
    }

    /// Whether each incident is one there, too, and must end there: nothing that has no end is summarised for it.
    pub fn mirrors_incidents(self) -> bool {
        self == ChannelKind::PagerDuty
    }

    /// The number of messages of one channel in flight at the same time.
    pub fn in_flight(self) -> usize {
        match self.class() {
            CourierClass::Webhook => 8,
            CourierClass::Chat | CourierClass::Mail => 4,
        }
    }
}

/// Kinds that share a pool of couriers, so that slow receivers of one class delay no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CourierClass {
    /// Programs: many requests of at most 10 s.
    Webhook,
    /// Services that people read: few requests of at most 10 s.
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
    /// URL, chat id, address or name; lists show it.
    pub target: String,
    /// Of a webhook.
    pub secret: Option<String>,
    /// File with the token, or with the URL if that is the secret.
    pub secret_file: Option<String>,
    /// The token itself, if it was entered on the page.
    pub token: Option<String>,
    pub options: ChannelOptions,
}

/// What else was chosen for a channel, by the names of its kind's options. Lists may show it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelOptions(pub BTreeMap<String, String>);

impl ChannelOptions {
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// As in `channel.options`; `None`: nothing was chosen.
    pub fn stored(&self) -> Option<String> {
        if self.0.is_empty() { None } else { serde_json::to_string(&self.0).ok() }
    }

    /// The opposite of [`ChannelOptions::stored`]. Options that cannot be read are those of a damaged row: the channel is
    /// used without them, rather than not at all.
    pub fn of_stored(stored: Option<&str>) -> ChannelOptions {
        stored.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    }
}

impl Channel {
    /// One without secrets and options.
    pub fn bare(id: ChannelId, kind: ChannelKind, target: String) -> Channel {
        let options = ChannelOptions::default();
        Channel { id, kind, target, secret: None, secret_file: None, token: None, options }
    }

    /// The token, as it was entered or as its file has it now.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_found_by_its_name_and_counted_on_its_own() {
        for (index, kind) in KINDS.into_iter().enumerate() {
            assert_eq!(kind as usize, index, "{}", kind.name());
            assert_eq!(ChannelKind::from_name(kind.name()), Some(kind));
        }
    }

    #[test]
    fn options_are_stored_as_json_and_damaged_ones_are_none() {
        let options = ChannelOptions([("topic".to_owned(), "4\u{e4}".to_owned())].into());
        assert_eq!(ChannelOptions::of_stored(options.stored().as_deref()), options);
        assert_eq!(ChannelOptions::default().stored(), None);
        assert_eq!(ChannelOptions::of_stored(Some("{\"topic\":4")), ChannelOptions::default());
    }
}
