//! Pushover (pushover.net/api): a message to a user or group with the token of an application.
//!
//! A refusal is JSON with `status: 0`, `errors`, and the name of each wrong field. A 429 means that the month's messages are
//! used up; `X-Limit-App-Reset` says when the next month begins.

use super::descriptor::{
    Delivery, KindDescriptor, OptionField, OptionForm, SecretField, SecretNeed, TargetField, UrlPlace,
    needs_no_check,
};
use super::request::{ServiceRequest, judged};
use crate::clock::Moment;
use crate::monitor::notify::fit::{TextLimit, TextUnit, fit, plain};
use crate::monitor::notify::http::{HttpResponse, Refusal};
use crate::monitor::notify::message::{DeliveryError, Message, ON_IT};
use crate::monitor::notify::notice::Severity;
use crate::monitor::notify::target::check_url;
use serde_json::{Value, json};

pub static PUSHOVER: KindDescriptor = KindDescriptor {
    about: "Send to a Pushover user or group",
    target: TargetField {
        value: "USER-KEY",
        label: "User or group key",
        help: "Key of the user or group, 30 letters and digits",
        check: check_key,
    },
    secret: Some(SecretField {
        option: "token-file",
        called: "application's token",
        help: "File with the token of your Pushover application; read again for each message",
        need: SecretNeed::Required,
    }),
    options: &[OptionField {
        name: "api",
        option: "api",
        value: "URL",
        label: "API",
        help: "Another server that speaks Pushover's API; default: https://api.pushover.net",
        form: OptionForm::Optional,
        check: check_url,
    }],
    address: UrlPlace::Option { name: "api", default: Some("https://api.pushover.net") },
    check: needs_no_check,
    send,
};

/// "1024 4-byte UTF-8 characters"
const LIMIT: TextLimit = TextLimit { most: 1024, unit: TextUnit::Characters };
const TITLE_LIMIT: TextLimit = TextLimit { most: 250, unit: TextUnit::Characters };
/// Longer links are refused.
const LONGEST_LINK: usize = 512;

fn check_key(key: &str) -> Result<(), String> {
    match key.len() == 30 && key.chars().all(|c| c.is_ascii_alphanumeric()) {
        true => Ok(()),
        false => Err(format!("\"{}\" is not a user key: 30 letters and digits", key.escape_debug())),
    }
}

fn send(delivery: &Delivery<'_>) -> Result<String, DeliveryError> {
    let mut body = body(delivery.message, delivery.now())?;
    let token = delivery.secret()?;
    body["token"] = token.as_str().into();
    body["user"] = delivery.channel.target.as_str().into();
    let url = format!("{}/1/messages.json", delivery.server()?);
    delivery.request(&ServiceRequest::post(&url, &body, &token), judge)
}

fn body(message: &Message, now: Moment) -> Result<Value, DeliveryError> {
    let notice = message.first_notice()?;
    // 1 passes the user's quiet hours, -1 makes no sound.
    let priority = match notice.severity() {
        Severity::Bad => 1,
        Severity::Unsteady | Severity::Good | Severity::Test => 0,
        Severity::Planned => -1,
    };
    let mut body = json!({
        "title": fit(&message.title(), "", TITLE_LIMIT, plain),
        "priority": priority,
        "timestamp": notice.at.div_euclid(1000),
    });
    let fits = |link: &&str| link.chars().count() <= LONGEST_LINK;
    let page = message.link();
    // There is one field for a link: something to act on comes before something to look at.
    body["message"] = match (message.acknowledge_url().filter(fits), page.as_deref().filter(fits)) {
        (Some(url), _) => {
            body["url"] = url.into();
            body["url_title"] = ON_IT.into();
            message.fitted(now, LIMIT, plain)
        }
        (None, Some(link)) => {
            body["url"] = link.into();
            body["url_title"] = "Open".into();
            fit(&message.body(now), "", LIMIT, plain)
        }
        (None, None) => fit(&message.body(now), "", LIMIT, plain),
    }
    .into();
    Ok(body)
}

fn judge(answer: &HttpResponse) -> Option<Refusal> {
    let json = answer.json();
    let is_wrong = |field: &str| answer.status == 400 && json[field].is_string();
    judged(answer, || match answer.status {
        _ if is_wrong("token") => Refusal::retried("Pushover does not know the application's token"),
        _ if json["user"] == "invalid" && answer.status == 400 => {
            Refusal::never("Pushover does not know the user or group")
        }
        _ if is_wrong("message") => Refusal::never("Pushover does not accept the text"),
        429 => Refusal::retried("the application's messages of this month are used up"),
        _ => Refusal::default(),
    })
}
