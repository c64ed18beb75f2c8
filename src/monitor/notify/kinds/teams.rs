//! Microsoft Teams: a workflow that starts with "When a Teams webhook request is received", whose URL is the secret.
//!
//! The connectors of Office 365 and their message cards are retired. This relies on what the workflow templates do: a POST
//! of `{"type": "message", "attachments": [an Adaptive Card]}` is answered with 202 and posted; errors are those of Logic
//! Apps, JSON with `error.code`. Texts are RichTextBlocks, which know no markdown, so that names are no markup.

use super::descriptor::{ChannelDraft, Delivery, KindDescriptor, NAME, SecretField, SecretNeed, UrlPlace};
use super::request::judged;
use crate::monitor::notify::fit::{TextLimit, TextUnit, fit, plain};
use crate::monitor::notify::http::{HttpResponse, Refusal};
use crate::monitor::notify::message::{DeliveryError, Message, ON_IT};
use serde_json::{Value, json};
use ureq::http::Uri;

pub static TEAMS: KindDescriptor = KindDescriptor {
    about: "Post to a Microsoft Teams channel or chat over a workflow",
    target: NAME,
    secret: Some(SecretField {
        option: "url-file",
        called: "workflow's URL",
        help: "File with the URL of a workflow that starts when a Teams webhook request is received; read again for \
               each message",
        need: SecretNeed::Required,
    }),
    options: &[],
    address: UrlPlace::Secret,
    check,
    send,
};

/// Teams accepts 28 KB per message; the rest is for the card around the lines, 90 bytes for each of at most 50.
const LIMIT: TextLimit = TextLimit { most: 20_000, unit: TextUnit::JsonBytes };

fn check(draft: &ChannelDraft<'_>) -> Result<(), String> {
    let url = draft.secret.and_then(|secret| secret.parse::<Uri>().ok());
    let host = url.as_ref().and_then(Uri::host).unwrap_or_default();
    match host.ends_with("webhook.office.com") {
        true => Err("this is the URL of a connector, which Microsoft has retired: make a workflow in Teams \
                     (\"Send webhook alerts to a channel\") and use its URL"
            .into()),
        false => Ok(()),
    }
}

fn send(delivery: &Delivery<'_>) -> Result<String, DeliveryError> {
    let text = fit(&delivery.message.body(delivery.now()), "", LIMIT, plain);
    delivery.post_to_secret(&card(&text, &actions(delivery.message)), judge)
}

/// The buttons below the text.
fn actions(message: &Message) -> Vec<Value> {
    let open = |title, url: &str| json!({ "type": "Action.OpenUrl", "title": title, "url": url });
    let acknowledge = message.acknowledge_url().map(|url| open(ON_IT, url));
    let page = message.link().map(|link| open("Open", &link));
    acknowledge.into_iter().chain(page).collect()
}

fn card(text: &str, actions: &[Value]) -> Value {
    let line = |(index, line): (usize, &str)| {
        let weight = if index == 0 { "Bolder" } else { "Default" };
        json!({ "type": "RichTextBlock", "spacing": "Small",
                "inlines": [{ "type": "TextRun", "text": line, "weight": weight }] })
    };
    let lines: Vec<Value> = text.lines().enumerate().map(line).collect();
    let mut card = json!({
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "msteams": { "width": "Full" },
        "body": lines,
    });
    if !actions.is_empty() {
        card["actions"] = actions.into();
    }
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": card,
        }],
    })
}

fn judge(answer: &HttpResponse) -> Option<Refusal> {
    let json = answer.json();
    judged(answer, || match json["error"]["code"].as_str().unwrap_or_default() {
        "WorkflowNotFound" => Refusal::never("the workflow was deleted; make another"),
        "WorkflowTriggerIsNotEnabled" => Refusal::retried("the workflow is switched off"),
        "DirectApiAuthorizationRequired" | "DirectApiInvalidAuthorizationScheme" => {
            Refusal::retried("the workflow's URL is not complete: it ends with its signature (sig=...)")
        }
        "TriggerInputSchemaMismatch" => Refusal::retried(
            "the workflow expects another body: make it from the template for webhook alerts",
        ),
        _ => Refusal::default(),
    })
}
