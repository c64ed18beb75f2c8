//! Telegram's Bot API: `sendMessage`.

use super::channel::{Channel, secret_in};
use super::http::{Answer, Http, words};
use super::send::{Failure, Message};
use crate::clock::Moment;
use serde::Serialize;
use serde_json::Value;
use std::time::Duration;

#[derive(Debug, Serialize)]
struct SendMessage<'a> {
    chat_id: &'a str,
    /// Without `parse_mode`: plain, so nothing in a name is markup.
    text: &'a str,
    disable_web_page_preview: bool,
}

/// Descriptions of the refusals that concern the text itself: it would be refused again. All others are about the chat,
/// the bot or its rights, which a person or Telegram can correct.
const UNACCEPTABLE: [&str; 6] = [
    "message is too long",
    "message_too_long",
    "text is empty",
    "text must be non-empty",
    "text must be encoded in utf-8",
    "can't parse entities",
];

pub fn send(
    http: &Http,
    api: &str,
    channel: &Channel,
    message: &Message,
    now: Moment,
) -> Result<String, Failure> {
    let file = channel.secret_file.as_deref().ok_or_else(|| Failure::later("it has no --bot-token-file"))?;
    let token = secret_in(file).map_err(Failure::later)?;
    // It becomes part of a URL.
    if !token.chars().all(|c| c.is_ascii_alphanumeric() || ":_-".contains(c)) {
        return Err(Failure::later(format!("{file}: does not hold a bot token (123456:ABC-DEF...)")));
    }
    let text = message.text(now);
    let body = SendMessage { chat_id: &channel.target, text: &text, disable_web_page_preview: true };
    let body = serde_json::to_vec(&body).map_err(|error| Failure::Never { why: error.to_string() })?;
    let headers = [("Content-Type", "application/json".to_owned())];
    let answer = http.post(&format!("{api}/bot{token}/sendMessage"), &headers, &body)?;
    match answer.is_success() {
        true => Ok(format!("{}: accepted by Telegram", answer.status)),
        false => Err(failure(&answer, &token)),
    }
}

/// The failure behind an answer, without the bot's token, which some proxy may repeat.
fn failure(answer: &Answer, token: &str) -> Failure {
    let json: Value = serde_json::from_str(&answer.body).unwrap_or_default();
    let description = json["description"].as_str().unwrap_or(&answer.body);
    let said = words(&description.replace(token, "(token)"));
    let lower = said.to_ascii_lowercase();
    if answer.status == 400 && UNACCEPTABLE.iter().any(|text| lower.contains(text)) {
        return Failure::Never { why: format!("400: {said}") };
    }
    let parameters = &json["parameters"];
    let advice = match answer.status {
        400 if lower.contains("chat not found") => {
            "send the bot a message first, or check the chat id".into()
        }
        400..=403 if parameters["migrate_to_chat_id"].is_i64() => {
            let chat = &parameters["migrate_to_chat_id"];
            format!("the group has a new chat id: {chat}; add the channel again with that")
        }
        400 if lower.contains("rights") => "give the bot the right to post in this chat".into(),
        401 | 404 => "Telegram does not know this bot token".into(),
        403 => "the bot was blocked or removed from the chat".into(),
        429 => "Telegram limits our messages".into(),
        _ => String::new(),
    };
    let parts = [answer.status.to_string(), said, advice];
    let why = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(": ");
    // Longer than any wait that is obeyed, and an integer: a duration from any number that JSON has.
    let asked = parameters["retry_after"].as_f64().map(|seconds| Duration::from_secs(seconds as u64));
    Failure::Later { why, after: asked.max(answer.retry_after), limits_us: answer.status == 429 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16, body: &str) -> Failure {
        failure(&Answer { status, retry_after: None, body: body.into() }, "1:SECRET")
    }

    #[test]
    fn the_wait_that_telegram_asks_for_is_read_whatever_else_it_says() {
        let wait = |retry_after: &str| {
            let body = format!(
                r#"{{"description":"Too Many Requests","parameters":{{"retry_after":{retry_after}}}}}"#
            );
            let Failure::Later { why, after, .. } = answered(429, &body) else { panic!("given up") };
            assert_eq!(why, "429: Too Many Requests: Telegram limits our messages");
            after.map(|after| after.as_secs())
        };
        assert_eq!(wait("35"), Some(35));
        assert_eq!(wait("0"), Some(0));
        assert_eq!(wait("-5"), Some(0));
        assert_eq!(wait("1e300"), Some(u64::MAX));
        assert_eq!((wait("\"35\""), wait("null"), wait("[]")), (None, None, None));
    }

    #[test]
    fn a_refusal_that_can_be_corrected_is_retried_with_telegrams_own_words() {
        for (status, description, advice) in [
            (400, "Bad Request: chat not found", "check the chat id"),
            (400, "Bad Request: not enough rights to send text messages to the chat", "right to post"),
            (400, "Bad Request: need administrator rights in the channel chat", "right to post"),
            (400, "Bad Request: group is deactivated", ""),
            (400, "Bad Request: something that nobody has seen before", ""),
            (401, "Unauthorized", "bot token"),
            (403, "Forbidden: bot was kicked from the supergroup chat", "removed"),
            (409, "Conflict", ""),
            (500, "Internal Server Error", ""),
        ] {
            let body = format!(r#"{{"ok":false,"description":"{description}"}}"#);
            let failure = answered(status, &body);
            assert!(matches!(failure, Failure::Later { .. }), "{failure:?}");
            assert!(failure.why().contains(description) && failure.why().contains(advice), "{failure:?}");
        }
        let moved = r#"{"ok":false,"description":"Bad Request: group chat was upgraded",
                        "parameters":{"migrate_to_chat_id":-1001}}"#;
        assert!(answered(400, moved).why().contains("-1001"));
        assert!(answered(401, "<html>").why().contains("bot token"));
        assert!(!answered(404, "GET /bot1:SECRET/sendMessage").why().contains("SECRET"));
    }

    #[test]
    fn a_text_that_telegram_refuses_is_not_repeated() {
        let refused = answered(400, r#"{"ok":false,"description":"Bad Request: message is too long"}"#);
        assert_eq!(refused, Failure::Never { why: "400: Bad Request: message is too long".into() });
    }
}
