//! The vocabulary of channels and couriers: the message to deliver, and how a delivery fails.

use super::interrupt::Interrupt;
use super::notice::Notice;
use super::text::{text_of_many, title_of_many};
use crate::clock::Moment;
use crate::monitor::zone::Clock;
use std::time::Duration;

/// A message to deliver: one notice, or those of many machines with the same news.
#[derive(Debug, Clone)]
pub struct Message {
    /// Ids of the outbox rows, in order; never empty.
    pub rows: Vec<i64>,
    pub notices: Vec<Notice>,
    /// The recipient's clock.
    pub clock: Clock,
}

impl Message {
    /// Id of the first row: `X-Webhook-Id`.
    pub fn id(&self) -> i64 {
        self.rows.first().copied().unwrap_or_default()
    }

    /// The notice that decides priority, headers or body where a channel needs one.
    pub fn first_notice(&self) -> Result<&Notice, DeliveryError> {
        self.notices.first().ok_or_else(|| DeliveryError::Never { why: "the message is empty".into() })
    }

    pub fn title(&self) -> String {
        match self.notices.as_slice() {
            [one] => one.title(),
            many => title_of_many(many),
        }
    }

    /// The text for a delivery at `now`.
    pub fn text(&self, now: Moment) -> String {
        match self.notices.as_slice() {
            [one] => one.text(now, &self.clock),
            many => text_of_many(many, now, &self.clock),
        }
    }
}

/// Why a delivery failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeliveryError {
    /// Retry later: not before `after`, if the receiver asked for that. `limits_us`: because it gets too many messages.
    Later { why: String, after: Option<Duration>, limits_us: bool },
    /// The message was handed over, but not acknowledged: it may have arrived.
    Unknown { why: String },
    /// Permanent: the message or the address is not acceptable.
    Never { why: String },
}

impl DeliveryError {
    pub fn later(why: impl Into<String>) -> DeliveryError {
        DeliveryError::Later { why: why.into(), after: None, limits_us: false }
    }

    pub fn why(&self) -> &str {
        match self {
            DeliveryError::Later { why, .. }
            | DeliveryError::Unknown { why }
            | DeliveryError::Never { why } => why,
        }
    }
}

/// Dependencies of a delivery besides channel and message.
pub struct DeliveryContext<'a> {
    pub now: Moment,
    /// Aborts connections that can take minutes, at a stop.
    pub interrupt: &'a Interrupt,
    /// Called before the message is handed over, after which only an acknowledgement shows whether it arrived; if it fails,
    /// nothing is sent.
    pub before_data: &'a dyn Fn() -> Result<(), String>,
}
