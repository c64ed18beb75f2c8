//! Telegram's Bot API: `sendMessage`.

use super::channel::{Channel, secret_in};
use super::http::{Answer, Http};
use super::send::{Failure, Message};
use serde::{Deserialize, Serialize};
use std::time::Duration;

#[derive(Debug, Serialize)]
struct SendMessage<'a> {
    chat_id: &'a str,
    /// Without `parse_mode`: plain, so nothing in a name is markup.
    text: &'a str,
    disable_web_page_preview: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Refusal {
    description: String,
    parameters: Parameters,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Parameters {
    retry_after: Option<u64>,
    migrate_to_chat_id: Option<i64>,
}

pub fn send(http: &Http, api: &str, channel: &Channel, message: &Message) -> Result<String, Failure> {
    let file = channel.secret_file.as_deref().ok_or_else(|| Failure::later("it has no --bot-token-file"))?;
    let token = secret_in(file).map_err(Failure::later)?;
    // It becomes part of a URL.
    if !token.chars().all(|c| c.is_ascii_alphanumeric() || ":_-".contains(c)) {
        return Err(Failure::later(format!("{file}: does not hold a bot token (123456:ABC-DEF...)")));
    }
    let text = message.text();
    let body = SendMessage { chat_id: &channel.target, text: &text, disable_web_page_preview: true };
    let body = serde_json::to_vec(&body).map_err(|error| Failure::Never { why: error.to_string() })?;
    let headers = [("Content-Type", "application/json".to_owned())];
    let answer = http.post(&format!("{api}/bot{token}/sendMessage"), &headers, &body)?;
    match answer.is_success() {
        true => Ok(format!("{}: accepted by Telegram", answer.status)),
        false => Err(failure(&answer)),
    }
}

/// What a person can mend (a chat that does not know the bot yet, a token that was replaced) is tried again; the
/// row expires in time.
fn failure(answer: &Answer) -> Failure {
    let refusal: Refusal = serde_json::from_str(&answer.body).unwrap_or_default();
    let said = refusal.description.chars().filter(|c| !c.is_control()).take(200).collect::<String>();
    let later = |why: String| Failure::Later { why, after: None };
    if let Some(chat) = refusal.parameters.migrate_to_chat_id {
        return later(format!("the group has a new chat id: {chat}; add the channel again with that"));
    }
    match answer.status {
        401 | 404 => later(format!("{}: Telegram does not know this bot token", answer.status)),
        400 if said.to_ascii_lowercase().contains("chat not found") => {
            later(format!("400: {said}: send the bot a message first, or check the chat id"))
        }
        403 => later(format!("403: {said}: the bot was blocked or removed from the chat")),
        429 => {
            let after = refusal.parameters.retry_after.map(Duration::from_secs).or(answer.retry_after);
            Failure::Later { why: "429: Telegram wants us to wait".into(), after }
        }
        400..500 => Failure::Never { why: format!("{}: {said}", answer.status) },
        status => Failure::Later { why: status.to_string(), after: answer.retry_after },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16, body: &str) -> Failure {
        failure(&Answer { status, retry_after: None, body: body.into() })
    }

    #[test]
    fn the_wait_that_telegram_asks_for_is_read() {
        let body = r#"{"ok":false,"error_code":429,"description":"Too Many Requests: retry after 35",
                       "parameters":{"retry_after":35}}"#;
        let Failure::Later { after, .. } = answered(429, body) else { panic!("given up") };
        assert_eq!(after, Some(Duration::from_secs(35)));
    }

    #[test]
    fn what_a_person_can_mend_is_said_and_tried_again() {
        let chat = answered(400, r#"{"ok":false,"description":"Bad Request: chat not found"}"#);
        assert!(matches!(&chat, Failure::Later { why, .. } if why.contains("check the chat id")), "{chat:?}");
        let moved = r#"{"ok":false,"description":"Bad Request: group chat was upgraded",
                        "parameters":{"migrate_to_chat_id":-1001}}"#;
        assert!(answered(400, moved).why().contains("-1001"));
        assert!(matches!(answered(403, ""), Failure::Later { .. }));
        assert!(answered(401, "<html>").why().contains("bot token"));
    }

    #[test]
    fn a_message_that_telegram_refuses_is_not_repeated() {
        let refused = answered(400, r#"{"ok":false,"description":"Bad Request: message is too long"}"#);
        assert_eq!(refused, Failure::Never { why: "400: Bad Request: message is too long".into() });
    }
}
