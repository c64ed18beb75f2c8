//! Notifications: their texts, and their delivery over channels until the receiver acknowledges or they expire.
//!
//! | file | what it owns |
//! |---|---|
//! | `recipients`, `channels`, `choices`, `quiet_hours` | who is notified, about which machines, and when not |
//! | `topic` | what a recipient can choose |
//! | `acknowledge_link` | links in messages with which their incidents are acknowledged |
//! | `notice`, `condition_notice` | the content of a notification |
//! | `text`, `reminder_text` | its text |
//! | `fit` | cuts a text to a receiver's limit |
//! | `outbox`, `delivery_state`, `deliveries` | pending deliveries and their leases; the list of deliveries |
//! | `couriers`, `dispatch` | the thread that decides when each message is sent, and marks the result |
//! | `pool` | the courier threads, which send |
//! | `channel_state` | pace and log state of a channel |
//! | `batch` | groups leased rows into messages |
//! | `interrupt` | aborts connections at a stop |
//! | `counters` | counts of delivered, failed and abandoned notifications |
//! | `pace` | retries, concurrency and rate of each channel (pure) |
//! | `sent_message` | which notifications were sent as one message |
//! | `self_alert` | alerts about the monitor itself, without the outbox |
//! | `dead_channels` | the alert that a channel delivers nothing, over the others |
//! | `send` | one delivery: dispatches to the kind of channel |
//! | `kinds` | the kinds of channel: fields, checks and delivery of each |
//! | `webhook`, `telegram`, `ntfy`, `mail` + `smtp` | the deliveries of the first four kinds |
//! | `http`, `guard` | one POST with limits; the addresses that a webhook may not reach |
//! | `channel`, `target` | a channel, its kind and its secrets; the check of where it leads |
//! | `telegram_buttons`, `button_state` | buttons below Telegram messages: who pressed one; which bots have them |
//! | `test_message`, `chat_search` | a test of a channel; the search for the id of a Telegram chat, and the one poller of each bot |
//! | `message`, `settings` | the message to deliver and delivery errors; settings of deliveries |

pub mod acknowledge_link;
mod batch;
pub mod button_state;
pub mod channel;
mod channel_state;
pub mod channels;
pub mod chat_search;
pub mod choices;
pub mod condition_notice;
mod counters;
pub mod couriers;
pub mod dead_channels;
pub mod deliveries;
pub mod delivery_state;
pub mod dispatch;
pub mod fit;
mod guard;
pub mod http;
mod interrupt;
pub mod kinds;
pub mod mail;
pub mod message;
pub mod notice;
mod ntfy;
pub mod outbox;
mod pace;
pub mod pool;
pub mod quiet_hours;
pub mod recipients;
mod reminder_text;
pub mod self_alert;
pub mod send;
pub mod sent_message;
mod settings;
pub mod smtp;
pub mod target;
pub mod telegram;
pub mod telegram_buttons;
pub mod test_message;
pub mod text;
pub mod topic;
mod webhook;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
pub use guard::is_public;
pub use http::without_response;
pub use settings::{MailLimits, NotifySettings, start_resolver};

/// Wakes the couriers when the outbox has new rows, and the thread that updates open pages. Several pokes before they
/// look count as one.
#[derive(Debug, Clone)]
pub struct Poke(Vec<Sender<()>>);

impl Poke {
    pub fn new() -> (Poke, Receiver<()>) {
        let mut poke = Poke(Vec::new());
        let receiver = poke.also();
        (poke, receiver)
    }

    /// Wakes another thread, too.
    pub fn also(&mut self) -> Receiver<()> {
        let (sender, receiver) = bounded(1);
        self.0.push(sender);
        receiver
    }

    /// Wakes no courier: for a process whose outbox another process delivers.
    pub fn unconnected() -> Poke {
        Poke(Vec::new())
    }

    pub fn poke(&self) {
        for sender in &self.0 {
            // Full: already woken. Disconnected: stopped; the rows wait for the next start.
            let (Ok(()) | Err(TrySendError::Full(()) | TrySendError::Disconnected(()))) = sender.try_send(());
        }
    }
}
