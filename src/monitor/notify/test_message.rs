//! A test message over one channel, for the person who set it up.

use super::channel::Channel;
use super::message::Message;
use super::notice::Notice;
use super::send::DeliveryClient;
use super::settings::{NotifySettings, start_resolver};
use crate::clock::Moment;
use crate::monitor::zone::Clock;

/// Sends a test message now: the receiver's answer, or why it failed. Blocks for as long as a delivery may take.
///
/// # Errors
/// The message was not delivered.
pub fn test_channel(channel: &Channel, settings: &NotifySettings, now: Moment) -> Result<String, String> {
    // Negative, unlike the ids of the outbox, and different for each test.
    let message = Message {
        rows: vec![-now.0],
        notices: vec![Notice::test(now)],
        clock: Clock::UTC,
        site: settings.site.clone(),
        acknowledge: None,
    };
    let names = start_resolver().map_err(|error| error.to_string())?;
    let client = DeliveryClient::new(settings.clone(), names);
    client.send(channel, &message, now).map_err(|error| error.why().to_owned())
}
