//! Matrix: a message in a room by a user's access token (spec.matrix.org, client-server API,
//! `PUT /rooms/{roomId}/send/{eventType}/{txnId}`).
//!
//! The transaction id is the same for each attempt of a delivery, so that a repeated one is posted once. It is `m.text`,
//! because clients do not notify about `m.notice`. A 429 has `retry_after_ms`.

use super::descriptor::{
    Delivery, KindDescriptor, OptionField, OptionForm, SecretField, SecretNeed, TargetField, UrlPlace,
    needs_no_check,
};
use super::request::{RequestMethod, ServiceRequest, judged};
use crate::monitor::notify::fit::{TextLimit, TextUnit, plain};
use crate::monitor::notify::http::{HttpResponse, Refusal, pause_in};
use crate::monitor::notify::message::{DeliveryError, Message};
use crate::monitor::notify::target::check_url;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;

pub static MATRIX: KindDescriptor = KindDescriptor {
    about: "Post in a Matrix room, unencrypted",
    target: TargetField {
        value: "ROOM",
        label: "Internal id of the room",
        help: "Internal id of the room, such as !abcdefghijklmnop:example.org (Element: room settings, Advanced)",
        check: check_room,
    },
    secret: Some(SecretField {
        option: "token-file",
        called: "access token",
        help: "File with the access token of a user who is in the room; read again for each message",
        need: SecretNeed::Required,
    }),
    options: &[OptionField {
        name: "server",
        option: "server",
        value: "URL",
        label: "Homeserver",
        help: "URL of the user's homeserver, such as https://matrix.example.org",
        form: OptionForm::Required,
        check: check_url,
    }],
    address: UrlPlace::Option { name: "server", default: None },
    check: needs_no_check,
    send,
};

/// An event may have 65,536 bytes with everything that homeservers add.
const LIMIT: TextLimit = TextLimit { most: 32_000, unit: TextUnit::JsonBytes };

/// Bytes of a room's id, by the specification.
const LONGEST_ROOM: usize = 255;

fn check_room(room: &str) -> Result<(), String> {
    let wrong = |problem| Err(format!("\"{}\": {problem}", room.escape_debug()));
    match room.strip_prefix('!') {
        Some(id)
            if !id.is_empty() && room.len() <= LONGEST_ROOM && room.chars().all(|c| c.is_ascii_graphic()) =>
        {
            Ok(())
        }
        None if room.starts_with('#') => wrong(
            "this is an address of the room, which can change; enter its internal id, which begins with !",
        ),
        _ => wrong("not the internal id of a room, such as !abcdefghijklmnop:example.org"),
    }
}

fn send(delivery: &Delivery<'_>) -> Result<String, DeliveryError> {
    let message = delivery.message;
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let room = encoded(&delivery.channel.target);
    let url = format!(
        "{}/_matrix/client/v3/rooms/{room}/send/m.room.message/{}",
        delivery.server()?,
        encoded(&transaction(message))
    );
    let body =
        json!({ "msgtype": "m.text", "body": message.fitted_with_offer(delivery.now(), LIMIT, plain) });
    let token = delivery.secret()?;
    let headers = [("Authorization", format!("Bearer {token}"))];
    let request = ServiceRequest {
        method: RequestMethod::Put,
        url: &url,
        headers: &headers,
        body: &body,
        secret: &token,
    };
    delivery.request(&request, judge)
}

/// The same for the same rows; with the time, because row ids restart in a new database.
fn transaction(message: &Message) -> String {
    let at = message.notices.first().map_or(0, |notice| notice.at);
    format!("heartbeat-{at}-{}-{}", message.id(), message.rows.len())
}

fn judge(answer: &HttpResponse) -> Option<Refusal> {
    let json = answer.json();
    judged(answer, || match (answer.status, json["errcode"].as_str().unwrap_or_default()) {
        (_, "M_TOO_LARGE" | "M_BAD_JSON") => Refusal::never("Matrix does not accept the text"),
        (_, "M_LIMIT_EXCEEDED") => Refusal {
            pause: pause_in(&json["retry_after_ms"], 1.0),
            ..Refusal::retried("the homeserver limits our messages")
        },
        (_, "M_UNKNOWN_TOKEN" | "M_MISSING_TOKEN") => {
            Refusal::retried("the homeserver does not know the access token")
        }
        (_, "M_FORBIDDEN") => Refusal::retried("the user is not in the room, or may not post in it"),
        (_, "M_CONSENT_NOT_GIVEN") => {
            Refusal::retried("the user has to agree to the homeserver's terms first")
        }
        (404, "M_UNRECOGNIZED" | "") => Refusal::retried("no Matrix homeserver at this URL"),
        _ => Refusal::default(),
    })
}
