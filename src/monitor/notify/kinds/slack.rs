//! Slack: an incoming webhook (docs.slack.dev/messaging/sending-messages-using-incoming-webhooks), whose URL is the secret.
//!
//! It answers 200 `ok`, or one word of plain text. `&`, `<` and `>` are escaped, and `mrkdwn` is off, so that names are
//! neither links, nor mentions, nor markup.

use super::descriptor::{Delivery, KindDescriptor, NAME, SecretField, SecretNeed, UrlPlace, needs_no_check};
use super::request::judged;
use crate::monitor::notify::fit::{TextLimit, TextUnit, fit};
use crate::monitor::notify::http::{HttpResponse, Refusal};
use crate::monitor::notify::message::{DeliveryError, ON_IT};
use serde_json::json;

pub static SLACK: KindDescriptor = KindDescriptor {
    about: "Post to a Slack channel over an incoming webhook",
    target: NAME,
    secret: Some(SecretField {
        option: "url-file",
        called: "webhook URL",
        help: "File with the webhook's URL (https://hooks.slack.com/services/...); read again for each message",
        need: SecretNeed::Required,
    }),
    options: &[],
    address: UrlPlace::Secret,
    check: needs_no_check,
    send,
};

/// Slack's advice for readability; it cuts off at 40,000 characters, which this reaches not even if all are escaped.
const LIMIT: TextLimit = TextLimit { most: 4000, unit: TextUnit::Characters };

fn send(delivery: &Delivery<'_>) -> Result<String, DeliveryError> {
    let message = delivery.message;
    let page = message.link().map(|link| format!("\n<{link}>")).unwrap_or_default();
    let offer = message.acknowledge_url().map(|url| format!("\n{ON_IT}: <{url}>")).unwrap_or_default();
    let text = fit(&message.body(delivery.now()), &(page + &offer), LIMIT, escape);
    let body = json!({ "text": text, "mrkdwn": false, "unfurl_links": false, "unfurl_media": false });
    delivery.post_to_secret(&body, judge)
}

fn escape(c: char, text: &mut String) {
    match c {
        '&' => text.push_str("&amp;"),
        '<' => text.push_str("&lt;"),
        '>' => text.push_str("&gt;"),
        c => text.push(c),
    }
}

fn judge(answer: &HttpResponse) -> Option<Refusal> {
    judged(answer, || match answer.body.trim() {
        "invalid_payload" | "no_text" | "missing_text_or_fallback_or_attachments" => {
            Refusal::never("Slack does not accept the text")
        }
        "no_service" => Refusal::never("the webhook was removed in Slack; make another"),
        "channel_not_found" => Refusal::never("the Slack channel was deleted; make another webhook"),
        "channel_is_archived" => Refusal::retried("the Slack channel is archived"),
        "invalid_token" | "no_team" => Refusal::retried("the webhook's URL is not complete or was revoked"),
        "action_prohibited" | "posting_to_general_channel_denied" => {
            Refusal::retried("the workspace does not let this webhook post in its channel")
        }
        _ => Refusal::default(),
    })
}
