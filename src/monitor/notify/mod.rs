//! Telling people: what is said, to whom, when, and over which channel, until it has been heard or has expired.
//!
//! | file | what it owns |
//! |---|---|
//! | `plan` | who is told what and when: pure |
//! | `notice` | what is said |
//! | `couriers`, `courier` | when which channel is tried: one thread that decides, and one for each channel that sends |
//! | `counters` | what was delivered, what failed, what was given up |
//! | `pace` | when a channel is tried again, and how many messages a person gets in a row |
//! | `send` | one delivery, by the kind of its channel |
//! | `webhook`, `telegram`, `ntfy`, `mail` + `smtp` | the kinds |
//! | `http`, `guard` | one POST with limits; where a webhook may not lead |
//! | `channel` | a channel as it stands in the database |

pub mod channel;
mod counters;
mod courier;
pub mod couriers;
mod guard;
mod http;
pub mod mail;
pub mod notice;
mod ntfy;
mod pace;
pub mod plan;
pub mod send;
mod smtp;
mod telegram;
mod webhook;

use super::config::Config;
pub use super::config::{Login, Security, Smtp};
use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
pub use guard::is_public;
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

/// What the configuration says of sending.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Webhooks and ntfy may lead to loopback, private and link-local addresses.
    pub allow_private_webhooks: bool,
    /// Without a slash at the end.
    pub telegram_api: String,
    /// `None`: no mail is sent.
    pub smtp: Option<Smtp>,
    /// For one delivery, from the lookup of the name to the end of the answer.
    pub timeout: Duration,
}

impl Settings {
    pub fn of(config: &Config) -> Settings {
        Settings {
            allow_private_webhooks: config.notify.allow_private_webhooks,
            telegram_api: config.notify.telegram_api.clone(),
            smtp: config.smtp.clone(),
            ..Settings::default()
        }
    }
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            allow_private_webhooks: false,
            telegram_api: "https://api.telegram.org".into(),
            smtp: None,
            timeout: Duration::from_secs(10),
        }
    }
}
