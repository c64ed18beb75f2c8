//! ntfy: the text is the body, everything else is in headers.

use super::channel::Channel;
use super::fit::{TextLimit, TextUnit, plain};
use super::http::PostClient;
use super::mail::encoded_word;
use super::message::{DeliveryError, Message};
use super::notice::Severity;
use crate::clock::Moment;

/// ntfy turns a longer message into an attachment.
const LIMIT: TextLimit = TextLimit { most: 4096, unit: TextUnit::Bytes };

pub fn send(
    http: &PostClient,
    channel: &Channel,
    message: &Message,
    now: Moment,
) -> Result<String, DeliveryError> {
    let notice = message.first_notice()?;
    // The circle of the title becomes a tag, which ntfy shows before the title.
    let (priority, tag) = match notice.severity() {
        Severity::Bad => ("high", "red_circle"),
        Severity::Unsteady => ("high", "orange_circle"),
        Severity::Good => ("default", "green_circle"),
        Severity::Planned => ("low", "white_circle"),
        Severity::Test => ("default", "white_circle"),
    };
    let mut headers = vec![
        ("Title", encoded_word(&message.plain_title())),
        ("Priority", priority.to_owned()),
        ("Tags", tag.to_owned()),
    ];
    if let Some(link) = message.link() {
        headers.push(("Click", link));
    }
    if let Some(url) = message.acknowledge_url() {
        // Without a comma or semicolon in it, which would begin another part.
        headers.push(("Actions", format!("http, Acknowledge, {url}, method=POST, clear=true")));
    }
    let token = channel.read_token().map_err(DeliveryError::later)?;
    if let Some(token) = &token {
        headers.push(("Authorization", format!("Bearer {token}")));
    }
    let mut answer = http.post(&channel.target, &headers, message.fitted(now, LIMIT, plain).as_bytes())?;
    // The response may repeat the request: keep the token out of the log.
    if let Some(token) = token {
        answer.body = answer.body.replace(&token, "(token)");
    }
    match answer.is_success() {
        true => Ok(format!("{}: accepted by ntfy", answer.status)),
        false => Err(answer.error()),
    }
}
