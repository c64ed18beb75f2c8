//! Discord: a webhook (discord.com/developers/docs/resources/webhook), whose URL is the secret.
//!
//! It answers 204, or JSON with `code` and `message`; a 429 has `retry_after` in seconds with a fraction. The markdown of
//! names is escaped, and nobody is mentioned.

use super::descriptor::{Delivery, KindDescriptor, NAME, SecretField, SecretNeed, UrlPlace, needs_no_check};
use super::request::judged;
use crate::monitor::notify::fit::{TextLimit, TextUnit};
use crate::monitor::notify::http::{HttpResponse, Refusal, pause_in};
use crate::monitor::notify::message::DeliveryError;
use serde_json::json;

pub static DISCORD: KindDescriptor = KindDescriptor {
    about: "Post to a Discord channel over a webhook",
    target: NAME,
    secret: Some(SecretField {
        option: "url-file",
        called: "webhook URL",
        help: "File with the webhook's URL (https://discord.com/api/webhooks/..., for a thread with ?thread_id=NUMBER); \
               read again for each message",
        need: SecretNeed::Required,
    }),
    options: &[],
    address: UrlPlace::Secret,
    check: needs_no_check,
    send,
};

/// The documentation says 2000 characters and not what one is: UTF-16 units are never fewer than characters.
const LIMIT: TextLimit = TextLimit { most: 2000, unit: TextUnit::Utf16 };

/// SUPPRESS_EMBEDS: a link has no preview.
const FLAGS: u32 = 1 << 2;

fn send(delivery: &Delivery<'_>) -> Result<String, DeliveryError> {
    let text = delivery.message.fitted_with_offer(delivery.now(), LIMIT, escape);
    let body = json!({ "content": text, "allowed_mentions": { "parse": [] }, "flags": FLAGS });
    delivery.post_to_secret(&body, judge)
}

fn escape(c: char, text: &mut String) {
    if "\\*_~`|<>#-[]()@".contains(c) {
        text.push('\\');
    }
    text.push(c);
}

/// Codes of docs.discord.com/developers/topics/opcodes-and-status-codes.
fn judge(answer: &HttpResponse) -> Option<Refusal> {
    let json = answer.json();
    judged(answer, || match (answer.status, json["code"].as_u64()) {
        (404, Some(10015)) => Refusal::never("the webhook was deleted in Discord; make another"),
        (400, Some(50006 | 50035)) => Refusal::never("Discord does not accept the text"),
        (400, Some(220_001)) => {
            Refusal::retried("a forum needs a thread: append ?thread_id=NUMBER to the webhook's URL")
        }
        (401, _) => Refusal::retried("the webhook's URL is not complete"),
        (429, _) => Refusal {
            pause: pause_in(&json["retry_after"], 1000.0),
            ..Refusal::retried("Discord limits our messages")
        },
        _ => Refusal::default(),
    })
}
