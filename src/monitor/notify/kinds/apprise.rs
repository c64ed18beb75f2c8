//! Apprise API (github.com/caronc/apprise-api): `POST /notify/KEY`, for all the services that Apprise reaches.
//!
//! Whoever has the URL can notify, so it is the secret. 204 means that the key has no configuration: nobody was notified.
//! 424 means that at least one service failed; the others get the message again with the next attempt.

use super::descriptor::{
    Delivery, KindDescriptor, NAME, OptionField, OptionForm, SecretField, SecretNeed, UrlPlace, check_name,
    needs_no_check,
};
use super::request::judged;
use crate::monitor::notify::fit::{TextLimit, TextUnit, plain};
use crate::monitor::notify::http::{HttpResponse, Refusal};
use crate::monitor::notify::message::DeliveryError;
use crate::monitor::notify::notice::Severity;
use serde_json::json;

pub static APPRISE: KindDescriptor = KindDescriptor {
    about: "Send over an Apprise API server",
    target: NAME,
    secret: Some(SecretField {
        option: "url-file",
        called: "URL",
        help: "File with the URL (https://apprise.example.org/notify/KEY); read again for each message",
        need: SecretNeed::Required,
    }),
    options: &[OptionField {
        name: "tag",
        option: "tag",
        value: "TAG",
        label: "Tag",
        help: "Notify only the services with this tag; default: all of the key",
        form: OptionForm::Optional,
        check: check_name,
    }],
    address: UrlPlace::Secret,
    check: needs_no_check,
    send,
};

/// Apprise documents none of its own; most of its services accept this much.
const LIMIT: TextLimit = TextLimit { most: 4000, unit: TextUnit::Characters };

fn send(delivery: &Delivery<'_>) -> Result<String, DeliveryError> {
    let message = delivery.message;
    let kind = match message.first_notice()?.severity() {
        Severity::Bad => "failure",
        Severity::Unsteady => "warning",
        Severity::Good => "success",
        Severity::Planned | Severity::Test => "info",
    };
    let mut body = json!({
        "title": message.title(),
        "body": message.fitted_with_offer(delivery.now(), LIMIT, plain),
        "type": kind,
        "format": "text",
    });
    if let Some(tag) = delivery.option("tag") {
        body["tag"] = tag.into();
    }
    delivery.post_to_secret(&body, judge)
}

fn judge(answer: &HttpResponse) -> Option<Refusal> {
    match answer.status {
        204 => Some(Refusal::retried("the key has no configuration in Apprise; nobody was notified")),
        424 => Some(Refusal::retried("at least one of Apprise's services failed")),
        _ => judged(answer, Refusal::default),
    }
}
