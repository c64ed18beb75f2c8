//! One delivery, by the kind of its channel.

use super::channel::{Channel, Kind};
use super::http::Http;
use super::interrupt::Interrupt;
use super::notice::{Notice, text_of_many, title_of_many};
use super::{Settings, mail, ntfy, telegram, webhook};
use crate::clock::Moment;
use crate::monitor::zone::Clock;
use crate::resolver::Names;
use std::sync::Arc;
use std::time::Duration;

/// What is sent at once: a machine's news, or that of many machines which all did the same.
#[derive(Debug, Clone)]
pub struct Message {
    /// The rows of the outbox, in their order; never empty.
    pub rows: Vec<i64>,
    pub notices: Vec<Notice>,
    /// The recipient's.
    pub clock: Clock,
}

impl Message {
    /// The row that the others hang on: `X-Webhook-Id`.
    pub fn id(&self) -> i64 {
        self.rows.first().copied().unwrap_or_default()
    }

    pub fn title(&self) -> String {
        match self.notices.as_slice() {
            [one] => one.title(),
            many => title_of_many(many),
        }
    }

    /// As it is right at `now`.
    pub fn text(&self, now: Moment) -> String {
        match self.notices.as_slice() {
            [one] => one.text(now, &self.clock),
            many => text_of_many(many, &self.clock),
        }
    }
}

/// Why a delivery did not work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// It may work later: not before `after`, if the receiver has said so. `limits_us`: the receiver said so because it
    /// gets too many messages from us.
    Later { why: String, after: Option<Duration>, limits_us: bool },
    /// The receiver has the message and has not answered: it may have arrived.
    Unknown { why: String },
    /// This message never will.
    Never { why: String },
}

impl Failure {
    pub fn later(why: impl Into<String>) -> Failure {
        Failure::Later { why: why.into(), after: None, limits_us: false }
    }

    pub fn why(&self) -> &str {
        match self {
            Failure::Later { why, .. } | Failure::Unknown { why } | Failure::Never { why } => why,
        }
    }
}

/// What an attempt needs besides the message.
pub struct Attempt<'a> {
    pub now: Moment,
    /// Shuts down the socket of a receiver that takes minutes.
    pub interrupt: &'a Interrupt,
    /// Called before the point after which only an answer says whether the message arrived; if it fails, nothing is sent.
    pub before_data: &'a dyn Fn() -> Result<(), String>,
}

/// Sends over every kind of channel; shared by all couriers.
#[derive(Debug)]
pub struct Sender {
    settings: Settings,
    names: Arc<Names>,
    /// For URLs that somebody gave to a channel.
    guarded: Http,
    /// For the one that the configuration names.
    anywhere: Http,
}

impl Sender {
    pub fn new(settings: Settings, names: Arc<Names>) -> Sender {
        let guarded = Http::guarded(&settings, &names);
        let anywhere = Http::anywhere(&settings, &names);
        Sender { settings, names, guarded, anywhere }
    }

    /// Sends `message`, which has no row in the outbox, and says what the receiver answered.
    ///
    /// # Errors
    /// One sentence that names no secret.
    pub fn send(&self, channel: &Channel, message: &Message, now: Moment) -> Result<String, Failure> {
        let interrupt = Interrupt::default();
        self.attempt(channel, message, &Attempt { now, interrupt: &interrupt, before_data: &|| Ok(()) })
    }

    /// [`Sender::send`] for a row of the outbox.
    ///
    /// # Errors
    /// As there.
    pub fn attempt(
        &self,
        channel: &Channel,
        message: &Message,
        attempt: &Attempt,
    ) -> Result<String, Failure> {
        let Settings { smtp, telegram_api, mail_limits, .. } = &self.settings;
        match channel.kind {
            Kind::Webhook => webhook::send(&self.guarded, channel, message, attempt.now),
            Kind::Telegram => telegram::send(&self.anywhere, telegram_api, channel, message, attempt.now),
            Kind::Ntfy => ntfy::send(&self.guarded, channel, message, attempt.now),
            Kind::Email => match smtp {
                Some(smtp) => mail::send(smtp, &self.names, mail_limits, channel, message, attempt),
                None => Err(Failure::later("no mail server is configured: [smtp] is missing")),
            },
        }
    }
}
