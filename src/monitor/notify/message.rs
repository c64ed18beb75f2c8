//! The vocabulary of channels and couriers: the message to deliver, and how a delivery fails.

use super::acknowledge_link::AcknowledgeOffer;
use super::fit::{Escape, TextLimit, fit};
use super::interrupt::Interrupt;
use super::notice::Notice;
use super::text::{text_of_many, title_of_many};
use crate::clock::Moment;
use crate::monitor::zone::Clock;
use std::sync::Arc;
use std::time::Duration;

/// What people press or follow to acknowledge.
pub const ON_IT: &str = "I'm on it";

/// A message to deliver: one notice, or those of many machines with the same news.
#[derive(Debug, Clone)]
pub struct Message {
    /// Ids of the outbox rows, in order; never empty.
    pub rows: Vec<i64>,
    pub notices: Vec<Notice>,
    /// The recipient's clock.
    pub clock: Clock,
    /// Address of the pages, with a slash at its end; `None`: messages have no link.
    pub site: Option<Arc<str>>,
    /// How its incidents are acknowledged; `None`: they cannot be from this message.
    pub acknowledge: Option<AcknowledgeOffer>,
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

    /// The title without its circle, for receivers that show the severity in another way.
    pub fn plain_title(&self) -> String {
        let title = self.title();
        title.split_once(' ').map_or(title.as_str(), |(_, rest)| rest).to_owned()
    }

    /// The text for a delivery at `now`, with its link.
    pub fn text(&self, now: Moment) -> String {
        match self.link() {
            Some(link) => format!("{}\n{link}", self.body(now)),
            None => self.body(now),
        }
    }

    /// [`Message::text`] within a receiver's limit.
    pub fn fitted(&self, now: Moment, limit: TextLimit, escape: Escape) -> String {
        let end = self.link().map(|link| format!("\n{link}"));
        fit(&self.body(now), &end.unwrap_or_default(), limit, escape)
    }

    /// [`Message::fitted`] with the address at which its incidents are acknowledged, for receivers that have no other place
    /// for it.
    pub fn fitted_with_offer(&self, now: Moment, limit: TextLimit, escape: Escape) -> String {
        let page = self.link().map(|link| format!("\n{link}")).unwrap_or_default();
        let offer = self.acknowledge_url().map(|url| format!("\n{ON_IT}: {url}")).unwrap_or_default();
        fit(&self.body(now), &(page + &offer), limit, escape)
    }

    /// The text without its link.
    pub fn body(&self, now: Moment) -> String {
        match self.notices.as_slice() {
            [one] => one.text(now, &self.clock),
            many => text_of_many(many, now, &self.clock),
        }
    }

    /// The address at which its incidents are acknowledged.
    pub fn acknowledge_url(&self) -> Option<&str> {
        self.acknowledge.as_ref()?.url.as_deref()
    }

    /// The page about the machine of the message, or about the fleet.
    pub fn link(&self) -> Option<String> {
        let site = self.site.as_ref()?;
        let machine = self.notices.first().map_or(0, |first| first.machine);
        let is_one = machine > 0 && self.notices.iter().all(|notice| notice.machine == machine);
        let is_summary = self.notices.iter().any(|notice| !notice.existing.is_empty());
        Some(if is_one && !is_summary { format!("{site}machines/{machine}") } else { site.to_string() })
    }
}

/// Why a delivery failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeliveryError {
    /// Retry later: not before `after`, if the receiver requested that. `limits_us`: because it gets too many messages.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn message(machines: &[i64], site: Option<&str>) -> Message {
        let notice = |machine: &i64| Notice { machine: *machine, ..Notice::test(Moment(0)) };
        let notices = machines.iter().map(notice).collect();
        Message { rows: vec![1], notices, clock: Clock::UTC, site: site.map(Arc::from), acknowledge: None }
    }

    #[test]
    fn a_message_links_to_the_page_of_its_machine_or_of_the_fleet() {
        let site = Some("https://heart.example/x/");
        for (machines, link) in [
            (&[7][..], "https://heart.example/x/machines/7"),
            (&[7, 7], "https://heart.example/x/machines/7"),
            (&[7, 8], "https://heart.example/x/"),
            (&[0], "https://heart.example/x/"),
        ] {
            assert_eq!(message(machines, site).link().as_deref(), Some(link), "{machines:?}");
            assert!(message(machines, site).text(Moment(0)).ends_with(&format!("\n{link}")));
        }
        assert_eq!(message(&[7], None).link(), None, "without an address of its own a message has no link");
    }
}
