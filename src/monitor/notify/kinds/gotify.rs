//! Gotify (gotify.net/api-docs): `POST /message` with the token of an application. It documents no limit of a text.

use super::descriptor::{
    Delivery, KindDescriptor, SecretField, SecretNeed, TargetField, UrlPlace, needs_no_check,
};
use super::request::{ServiceRequest, judged};
use crate::clock::Moment;
use crate::monitor::notify::fit::{TextLimit, TextUnit, plain};
use crate::monitor::notify::http::{HttpResponse, Refusal};
use crate::monitor::notify::message::{DeliveryError, Message};
use crate::monitor::notify::notice::Severity;
use crate::monitor::notify::target::check_url;
use serde_json::{Value, json};

pub static GOTIFY: KindDescriptor = KindDescriptor {
    about: "Send to a Gotify server",
    target: TargetField {
        value: "URL",
        label: "URL of the server",
        help: "URL of the server, such as https://gotify.example.org",
        check: check_url,
    },
    secret: Some(SecretField {
        option: "token-file",
        called: "application's token",
        help: "File with the token of an application; read again for each message",
        need: SecretNeed::Required,
    }),
    options: &[],
    address: UrlPlace::Target,
    check: needs_no_check,
    send,
};

/// Far more than a telephone shows, far less than a server refuses.
const LIMIT: TextLimit = TextLimit { most: 8000, unit: TextUnit::Characters };

fn send(delivery: &Delivery<'_>) -> Result<String, DeliveryError> {
    let body = body(delivery.message, delivery.now())?;
    let (token, server) = (delivery.secret()?, delivery.server()?);
    let url = format!("{}/message", server.strip_suffix("/message").unwrap_or(server));
    let headers = [("X-Gotify-Key", token.clone())];
    delivery
        .request(&ServiceRequest { headers: &headers, ..ServiceRequest::post(&url, &body, &token) }, judge)
}

fn body(message: &Message, now: Moment) -> Result<Value, DeliveryError> {
    // From 8 the app vibrates and shows it at once, from 4 it makes a sound.
    let priority = match message.first_notice()?.severity() {
        Severity::Bad => 8,
        Severity::Unsteady => 6,
        Severity::Good | Severity::Test => 4,
        Severity::Planned => 2,
    };
    let mut body = json!({
        "title": message.title(),
        "message": message.fitted_with_offer(now, LIMIT, plain),
        "priority": priority,
        "extras": { "client::display": { "contentType": "text/plain" } },
    });
    if let Some(link) = message.link() {
        body["extras"]["client::notification"] = json!({ "click": { "url": link } });
    }
    Ok(body)
}

fn judge(answer: &HttpResponse) -> Option<Refusal> {
    judged(answer, || match answer.status {
        401 | 403 => {
            Refusal::retried("Gotify does not know the token, or it is a client's and not an application's")
        }
        404 => Refusal::retried("no Gotify server at this URL"),
        _ => Refusal::default(),
    })
}
