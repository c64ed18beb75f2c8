//! Telling people: what is said, to whom, when, and over which channel, until it has been heard or has expired.
//!
//! | file | what it owns |
//! |---|---|
//! | `recipients`, `channels`, `choices`, `quiet_hours` | who is notified, about which machines, and when not |
//! | `notice` | what is said |
//! | `outbox`, `delivery_state`, `deliveries` | what is still to be delivered, and by whom; the list of it |
//! | `couriers`, `dispatch` | the thread that decides which message is sent when, and marks what became of it |
//! | `pool` | the threads that send |
//! | `batch` | leased rows, gathered into messages |
//! | `interrupt` | ends waits on sockets at a stop |
//! | `complaints` | log lines about a channel that fails |
//! | `counters` | what was delivered, what failed, what was given up |
//! | `pace` | retries, requests at once, and how many messages a person gets in a row: pure |
//! | `self_alert` | a message about the monitor itself, without the outbox |
//! | `send` | one delivery, by the kind of its channel |
//! | `webhook`, `telegram`, `ntfy`, `mail` + `smtp` | the kinds |
//! | `http`, `guard` | one POST with limits; where a webhook may not lead |
//! | `channel` | a channel as it stands in the database |

mod batch;
pub mod channel;
pub mod channels;
pub mod choices;
mod complaints;
mod counters;
pub mod couriers;
pub mod deliveries;
pub mod delivery_state;
mod dispatch;
mod guard;
mod http;
mod interrupt;
pub mod mail;
pub mod notice;
mod ntfy;
pub mod outbox;
mod pace;
mod pool;
pub mod quiet_hours;
pub mod recipients;
pub mod self_alert;
pub mod send;
pub mod smtp;
mod telegram;
mod webhook;

use super::config::Config;
pub use super::config::{Login, Security, Smtp};
use crate::config::ConfigError;
use crate::resolver::{self, Names};
use crate::tls_client::trust::Trust;
use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
pub use guard::is_public;
pub use smtp::talk::MailLimits;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Wakes the couriers: there is something new in the outbox. Any number of pokes before they look are one.
#[derive(Debug, Clone)]
pub struct Poke(Option<Sender<()>>);

impl Poke {
    pub fn new() -> (Poke, Receiver<()>) {
        let (sender, receiver) = bounded(1);
        (Poke(Some(sender)), receiver)
    }

    /// Wakes nobody: for who writes an outbox that another program empties.
    pub fn nobody() -> Poke {
        Poke(None)
    }

    pub fn poke(&self) {
        if let Some(sender) = &self.0 {
            // Full: they have been woken already. Disconnected: they have stopped, and the rows wait for the next start.
            let (Ok(()) | Err(TrySendError::Full(()) | TrySendError::Disconnected(()))) = sender.try_send(());
        }
    }
}

/// The monitor's resolver: few threads, however many channels have a host that DNS does not answer for. The address of
/// a receiver may have moved since the last message, so a newer one is waited for.
const NAMES: resolver::ResolverLimits =
    resolver::ResolverLimits { threads: 4, names: 256, refresh_wait: Duration::from_secs(3) };

/// Starts the resolver of all deliveries.
///
/// # Errors
/// A thread cannot be started.
pub fn start_resolver() -> io::Result<Arc<Names>> {
    Names::start(NAMES, resolver::lookup).map(Arc::new)
}

/// What the configuration says of sending.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Webhooks and ntfy may lead to loopback, private and link-local addresses.
    pub allow_private_webhooks: bool,
    /// Without a slash at the end.
    pub telegram_api: String,
    /// For webhooks, ntfy and the Bot API.
    pub trust: Trust,
    /// `None`: no mail is sent.
    pub smtp: Option<Smtp>,
    /// For one delivery over HTTP, from the lookup of the name to the end of the answer.
    pub timeout: Duration,
    /// For the steps of a mail.
    pub mail_limits: MailLimits,
}

impl Settings {
    /// Reads `notify.ca_file`, and checks that `smtp.ca_file`, which each delivery reads, can be read now.
    ///
    /// # Errors
    /// One of the two files cannot be read, or holds no certificate.
    pub fn load(config: &Config) -> Result<Settings, ConfigError> {
        let load = |section: &str, file: &Path| {
            Trust::only_file(file)
                .map_err(|problem| ConfigError::new(format!("[{section}] ca_file: {problem}")))
        };
        if let Some(file) = config.smtp.as_ref().and_then(|smtp| smtp.ca_file.as_deref()) {
            load("smtp", file)?;
        }
        let trust = match config.notify.ca_file.as_deref() {
            Some(file) => load("notify", file)?.and_public(),
            None => Trust::public(),
        };
        Ok(Settings {
            allow_private_webhooks: config.notify.allow_private_webhooks,
            telegram_api: config.notify.telegram_api.clone(),
            trust,
            smtp: config.smtp.clone(),
            ..Settings::default()
        })
    }
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            allow_private_webhooks: false,
            telegram_api: "https://api.telegram.org".into(),
            trust: Trust::public(),
            smtp: None,
            timeout: Duration::from_secs(10),
            mail_limits: MailLimits::default(),
        }
    }
}
