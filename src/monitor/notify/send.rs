//! Delivers a message over a channel of any kind.

use super::channel::Channel;
use super::http::PostClient;
use super::interrupt::Interrupt;
use super::kinds::descriptor;
use super::kinds::descriptor::Delivery;
use super::message::{DeliveryContext, DeliveryError, Message};
use super::settings::NotifySettings;
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
    /// For the servers that the configuration or the program names.
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
        let known = descriptor(channel.kind);
        let delivery = Delivery {
            address: known.address,
            settings: &self.settings,
            names: &self.names,
            public_only: &self.public_only,
            unrestricted: &self.unrestricted,
            channel,
            message,
            context,
        };
        (known.send)(&delivery)
    }
}
