//! One delivery, by the kind of its channel.

use super::channel::{Channel, Kind};
use super::http::Http;
use super::notice::{Notice, text_of_many, title_of_many};
use super::{Settings, mail, ntfy, telegram, webhook};
use crate::monitor::time::Moment;
use std::time::Duration;

/// What is sent at once: a machine's news, or that of many machines which all did the same.
#[derive(Debug, Clone)]
pub struct Message {
    /// The rows of the outbox, in their order; never empty.
    pub rows: Vec<i64>,
    pub notices: Vec<Notice>,
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

    pub fn text(&self) -> String {
        match self.notices.as_slice() {
            [one] => one.text(),
            many => text_of_many(many),
        }
    }
}

/// Why a delivery did not work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// It may work later: not before `after`, if the receiver has said so.
    Later { why: String, after: Option<Duration> },
    /// This message never will.
    Never { why: String },
}

impl Failure {
    pub fn later(why: impl Into<String>) -> Failure {
        Failure::Later { why: why.into(), after: None }
    }

    pub fn why(&self) -> &str {
        match self {
            Failure::Later { why, .. } | Failure::Never { why } => why,
        }
    }
}

/// Sends over every kind of channel; shared by all couriers.
#[derive(Debug)]
pub struct Sender {
    settings: Settings,
    /// For URLs that somebody gave to a channel.
    guarded: Http,
    /// For the one that the configuration names.
    anywhere: Http,
}

impl Sender {
    pub fn new(settings: Settings) -> Sender {
        let guarded = Http::guarded(settings.timeout, settings.allow_private_webhooks);
        let anywhere = Http::anywhere(settings.timeout);
        Sender { settings, guarded, anywhere }
    }

    /// Sends `message` and says what the receiver answered.
    ///
    /// # Errors
    /// One sentence that names no secret.
    pub fn send(&self, channel: &Channel, message: &Message, now: Moment) -> Result<String, Failure> {
        match channel.kind {
            Kind::Webhook => webhook::send(&self.guarded, channel, message, now),
            Kind::Telegram => telegram::send(&self.anywhere, &self.settings.telegram_api, channel, message),
            Kind::Ntfy => ntfy::send(&self.guarded, channel, message),
            Kind::Email => match &self.settings.smtp {
                Some(smtp) => mail::send(smtp, self.settings.timeout, channel, message, now),
                None => Err(Failure::later("no mail server is configured: [smtp] is missing")),
            },
        }
    }
}
