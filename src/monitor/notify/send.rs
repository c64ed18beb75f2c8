//! Delivers a message over a channel of any kind.

use super::channel::{Channel, ChannelKind};
use super::http::PostClient;
use super::interrupt::Interrupt;
use super::message::{DeliveryContext, DeliveryError, Message};
use super::settings::NotifySettings;
use super::{mail, ntfy, telegram, webhook};
use crate::clock::Moment;
use crate::resolver::NameResolver;
use std::sync::Arc;

/// Delivers over every kind of channel; shared by all couriers.
#[derive(Debug)]
pub struct DeliveryClient {
    settings: NotifySettings,
    names: Arc<NameResolver>,
    /// For the URLs of channels.
    public_only: PostClient,
    /// For the Telegram API, which the configuration names.
    unrestricted: PostClient,
}

impl DeliveryClient {
    pub fn new(settings: NotifySettings, names: Arc<NameResolver>) -> DeliveryClient {
        let public_only = PostClient::public_only(&settings, &names);
        let unrestricted = PostClient::unrestricted(&settings, &names);
        DeliveryClient { settings, names, public_only, unrestricted }
    }

    /// Where the links of messages lead.
    pub fn site(&self) -> Option<&Arc<str>> {
        self.settings.site.as_ref()
    }

    /// Delivers a message that is not in the outbox, and returns the response of the receiver.
    pub fn send(&self, channel: &Channel, message: &Message, now: Moment) -> Result<String, DeliveryError> {
        let interrupt = Interrupt::default();
        self.attempt(
            channel,
            message,
            &DeliveryContext { now, interrupt: &interrupt, before_data: &|| Ok(()) },
        )
    }

    /// [`DeliveryClient::send`] for rows of the outbox.
    pub fn attempt(
        &self,
        channel: &Channel,
        message: &Message,
        context: &DeliveryContext,
    ) -> Result<String, DeliveryError> {
        let NotifySettings { smtp, telegram_api, mail_limits, .. } = &self.settings;
        match channel.kind {
            ChannelKind::Webhook => webhook::send(&self.public_only, channel, message, context.now),
            ChannelKind::Telegram => {
                telegram::send(&self.unrestricted, telegram_api, channel, message, context.now)
            }
            ChannelKind::Ntfy => ntfy::send(&self.public_only, channel, message, context.now),
            ChannelKind::Email => match smtp {
                Some(smtp) => mail::send(smtp, &self.names, mail_limits, channel, message, context),
                None => Err(DeliveryError::later("no mail server is configured in [smtp]")),
            },
        }
    }
}
