//! Home Assistant: the webhook trigger of an automation (home-assistant.io/docs/automation/trigger), whose URL is the secret.
//!
//! It gets the JSON of a webhook, with the title and the text of the message and its link, for `trigger.json` in the
//! automation. Home Assistant answers 200 also if no automation has this webhook.

use super::descriptor::{Delivery, KindDescriptor, NAME, SecretField, SecretNeed, UrlPlace, needs_no_check};
use super::request::judged;
use crate::monitor::notify::http::{HttpResponse, Refusal};
use crate::monitor::notify::message::DeliveryError;
use crate::monitor::notify::webhook::described;

pub static HOME_ASSISTANT: KindDescriptor = KindDescriptor {
    about: "Trigger a Home Assistant automation over its webhook",
    target: NAME,
    secret: Some(SecretField {
        option: "url-file",
        called: "webhook URL",
        help: "File with the webhook's URL (https://homeassistant.example.org/api/webhook/...); read again for each \
               message",
        need: SecretNeed::Required,
    }),
    options: &[],
    address: UrlPlace::Secret,
    check: needs_no_check,
    send,
};

fn send(delivery: &Delivery<'_>) -> Result<String, DeliveryError> {
    let body = described(delivery.message, delivery.now())?;
    delivery.post_to_secret(&body, judge)
}

fn judge(answer: &HttpResponse) -> Option<Refusal> {
    judged(answer, || match answer.status {
        404 => Refusal::retried("no Home Assistant at this URL"),
        405 => Refusal::retried("the automation's webhook does not allow POST"),
        _ => Refusal::default(),
    })
}
