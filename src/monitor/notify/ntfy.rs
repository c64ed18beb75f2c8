//! ntfy: the text is the body, everything else is in headers.

use super::channel::Channel;
use super::http::PostClient;
use super::mail::encoded_word;
use super::message::{DeliveryError, Message};
use super::notice::EventKind;
use crate::clock::Moment;

pub fn send(
    http: &PostClient,
    channel: &Channel,
    message: &Message,
    now: Moment,
) -> Result<String, DeliveryError> {
    let notice = message.first_notice()?;
    // The circle of the title becomes a tag, which ntfy shows before the title.
    let title = message.title();
    let (priority, tag) = match (notice.news, notice.state) {
        (EventKind::Flapping, _) => ("high", "orange_circle"),
        (EventKind::Test, _) => ("default", "white_circle"),
        (_, EventKind::Online) => ("default", "green_circle"),
        (_, EventKind::Stopped) => ("low", "white_circle"),
        _ => ("high", "red_circle"),
    };
    let mut headers = vec![
        ("Title", encoded_word(title.get(title.find(' ').map_or(0, |space| space + 1)..).unwrap_or(&title))),
        ("Priority", priority.to_owned()),
        ("Tags", tag.to_owned()),
    ];
    if let Some(link) = message.link() {
        headers.push(("Click", link));
    }
    if let Some(offer) = &message.acknowledge {
        // Without a comma or semicolon in it, which would begin another part.
        headers.push(("Actions", format!("http, Acknowledge, {}, method=POST, clear=true", offer.url)));
    }
    let token = channel.read_token().map_err(DeliveryError::later)?;
    if let Some(token) = &token {
        headers.push(("Authorization", format!("Bearer {token}")));
    }
    let mut answer = http.post(&channel.target, &headers, message.text(now).as_bytes())?;
    // The response may repeat the request: keep the token out of the log.
    if let Some(token) = token {
        answer.body = answer.body.replace(&token, "(token)");
    }
    match answer.is_success() {
        true => Ok(format!("{}: accepted by ntfy", answer.status)),
        false => Err(answer.error()),
    }
}
