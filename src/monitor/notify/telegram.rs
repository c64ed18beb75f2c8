//! Telegram's Bot API (core.telegram.org/bots/api): `sendMessage`, and `getUpdates` to find a chat.

use super::fit::{TextLimit, TextUnit, plain};
use super::http::{HttpResponse, PostClient, excerpt};
use super::kinds::descriptor::Delivery;
use super::message::{DeliveryError, ON_IT};
use super::notice::Severity;
use crate::monitor::machine::is_invisible;
use log::debug;
use serde::Serialize;
use serde_json::{Value, json};
use std::time::Duration;

#[derive(Debug, Serialize)]
struct SendMessage<'a> {
    chat_id: &'a str,
    /// Plain text (no `parse_mode`), so that names cannot contain markup.
    text: &'a str,
    disable_web_page_preview: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_thread_id: Option<u32>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    disable_notification: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_markup: Option<Value>,
}

/// "4096 characters after entities parsing"; Telegram counts its entities, and so texts, in UTF-16 units.
const LIMIT: TextLimit = TextLimit { most: 4096, unit: TextUnit::Utf16 };

/// Names of the options.
pub const TOPIC: &str = "topic";
pub const SILENT: &str = "silent";

/// A topic's number is the id of the message that opened it.
pub fn check_thread(topic: &str) -> Result<(), String> {
    match topic.parse::<i32>() {
        Ok(1..) => Ok(()),
        _ => Err(format!("\"{}\" is not the number of a topic, such as 42", topic.escape_debug())),
    }
}

/// Which messages make no sound.
pub fn check_silent(which: &str) -> Result<(), String> {
    match which {
        "endings" | "all" => Ok(()),
        _ => Err(format!("\"{}\" is neither \"endings\" nor \"all\"", which.escape_debug())),
    }
}

fn is_silent(which: Option<&str>, severity: Severity) -> bool {
    match which {
        Some("endings") => matches!(severity, Severity::Good | Severity::Planned),
        other => other == Some("all"),
    }
}

/// Descriptions of permanent refusals, which concern the text itself. All others concern the chat, the bot or its rights,
/// which can be corrected.
const UNACCEPTABLE: [&str; 6] = [
    "message is too long",
    "message_too_long",
    "text is empty",
    "text must be non-empty",
    "text must be encoded in utf-8",
    "can't parse entities",
];

pub fn send(delivery: &Delivery<'_>) -> Result<String, DeliveryError> {
    let Delivery { channel, message, .. } = delivery;
    let token = channel.read_token().map_err(DeliveryError::later)?;
    let token = token.ok_or_else(|| DeliveryError::later("the channel has no bot token"))?;
    let place = channel.secret_file.as_deref().unwrap_or("the token that was entered");
    if !is_bot_token(&token) {
        return Err(DeliveryError::later(format!("{place}: not a bot token (123456:ABC-DEF...)")));
    }
    let row = message.acknowledge.as_ref().map(|offer| offer.row);
    let row = row.filter(|_| delivery.settings.buttons.are_on(&token));
    let text = match row {
        Some(_) => message.fitted(delivery.now(), LIMIT, plain),
        None => message.fitted_with_offer(delivery.now(), LIMIT, plain),
    };
    let body = SendMessage {
        chat_id: &channel.target,
        text: &text,
        disable_web_page_preview: true,
        message_thread_id: delivery.option(TOPIC).and_then(|topic| topic.parse().ok()),
        disable_notification: is_silent(delivery.option(SILENT), message.first_notice()?.severity()),
        reply_markup: row.map(|row| keyboard(ON_IT, row)),
    };
    let body = serde_json::to_vec(&body).map_err(|error| DeliveryError::Never { why: error.to_string() })?;
    let headers = [("Content-Type", "application/json".to_owned())];
    let url = format!("{}/bot{token}/sendMessage", delivery.settings.telegram_api);
    let answer = delivery.unrestricted.post(&url, &headers, &body)?;
    match answer.is_success() {
        true => Ok(format!("{}: accepted by Telegram", answer.status)),
        false => Err(error(&answer, &token)),
    }
}

/// Before the number of a message, in what Telegram sends back when its button is pressed.
const PRESSED: &str = "acknowledge ";

/// One button below a message whose first row this is.
fn keyboard(text: &str, row: i64) -> Value {
    json!({ "inline_keyboard": [[{ "text": text, "callback_data": format!("{PRESSED}{row}") }]] })
}

/// The token becomes part of a URL.
pub fn is_bot_token(token: &str) -> bool {
    token.contains(':') && token.chars().all(|c| c.is_ascii_alphanumeric() || ":_-".contains(c))
}

/// Seconds for which Telegram waits for a message; less than the timeout of a request.
const POLL_S: u32 = 5;
/// Messages of one response. With the longest texts they have 64 KB.
const POLL_MESSAGES: u32 = 8;
const LARGEST_UPDATES: u64 = 512 * 1024;

/// A chat that the bot is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundChat {
    pub id: String,
    /// The group's title, or the person's name.
    pub name: String,
    /// The topic of a group in which the message was sent; `None` in its general topic, too.
    pub topic: Option<i64>,
}

/// A press of a button below a message of the bot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ButtonPress {
    query: String,
    /// The chat of the message: its id, and its name if it has one.
    chat: String,
    chat_name: Option<String>,
    message: i64,
    /// Id of the first row of the message.
    pub row: i64,
    /// The person's name, as Telegram shows it.
    pub person: String,
}

/// Characters of a person's name that are kept.
const LONGEST_PERSON: usize = 60;

impl ButtonPress {
    fn of(update: &Value) -> Option<ButtonPress> {
        let query = update.get("callback_query")?;
        let chat = &query["message"]["chat"];
        let names = [&query["from"]["first_name"], &query["from"]["last_name"]];
        let name = names.iter().filter_map(|name| name.as_str()).collect::<Vec<_>>().join(" ");
        let is_shown = |c: &char| !is_invisible(*c);
        Some(ButtonPress {
            query: query["id"].as_str()?.to_owned(),
            chat: chat["id"].as_i64()?.to_string(),
            chat_name: chat["username"].as_str().map(str::to_owned),
            message: query["message"]["message_id"].as_i64()?,
            row: query["data"].as_str()?.strip_prefix(PRESSED)?.parse().ok()?,
            person: name.chars().filter(is_shown).take(LONGEST_PERSON).collect::<String>().trim().to_owned(),
        })
    }

    /// Whether the message is in this chat, an id or `@name`.
    pub fn is_in(&self, target: &str) -> bool {
        let is_named =
            |name: &String| target.strip_prefix('@').is_some_and(|target| target.eq_ignore_ascii_case(name));
        self.chat == target || self.chat_name.as_ref().is_some_and(is_named)
    }
}

/// Shows `text` to who pressed the button, and `label` as the button's new text to all in the chat. Errors concern nobody:
/// the press is recorded.
pub fn answer_press(
    http: &PostClient,
    (api, token): (&str, &str),
    press: &ButtonPress,
    text: &str,
    label: Option<&str>,
) {
    let headers = [("Content-Type", "application/json".to_owned())];
    let post = |method: &str, body: Value| {
        let url = format!("{api}/bot{token}/{method}");
        if let Err(error) = http.post(&url, &headers, body.to_string().as_bytes()) {
            debug!("Telegram: {method} failed: {}", error.why());
        }
    };
    post("answerCallbackQuery", json!({ "callback_query_id": press.query, "text": text }));
    if let Some(label) = label {
        let markup = keyboard(label, press.row);
        let body = json!({ "chat_id": press.chat, "message_id": press.message, "reply_markup": markup });
        post("editMessageReplyMarkup", body);
    }
}

/// A message to the bot, or a press of one of its buttons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatMessage {
    /// `update_id`, which grows.
    pub update: i64,
    pub text: String,
    pub chat: FoundChat,
    pub press: Option<ButtonPress>,
}

#[derive(Serialize)]
struct GetUpdates<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<i64>,
    limit: u32,
    timeout: u32,
    allowed_updates: &'a [&'a str],
}

/// Why the messages to a bot are not received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PollError {
    /// Another program receives them: over a webhook, or by polling.
    Conflict {
        has_webhook: bool,
    },
    Failed(String),
}

impl PollError {
    /// For the person who waits for a message.
    pub fn why(&self) -> String {
        match self {
            PollError::Conflict { .. } => {
                "another program receives the messages of this bot (or it has a webhook): enter the chat's id \
                 yourself"
                    .into()
            }
            PollError::Failed(why) => why.clone(),
        }
    }
}

/// The messages to the bot since update `after`, which Telegram forgets with this request. Waits a few seconds for one.
///
/// # Errors
/// Why there is none, for the person who waits; without the token.
pub fn chat_messages(
    http: &PostClient,
    api: &str,
    token: &str,
    after: Option<i64>,
) -> Result<Vec<ChatMessage>, PollError> {
    let body = GetUpdates {
        offset: after.map(|update| update.saturating_add(1)),
        limit: POLL_MESSAGES,
        timeout: POLL_S,
        allowed_updates: &["message", "channel_post", "callback_query"],
    };
    let body = serde_json::to_vec(&body).map_err(|error| PollError::Failed(error.to_string()))?;
    let headers = [("Content-Type", "application/json".to_owned())];
    let url = format!("{api}/bot{token}/getUpdates");
    let answer = http.post_for(&url, &headers, &body, LARGEST_UPDATES);
    let answer = answer.map_err(|error| PollError::Failed(error.why().to_owned()))?;
    match answer.status {
        200 => messages(&answer.body).map_err(PollError::Failed),
        409 => Err(PollError::Conflict { has_webhook: answer.body.contains("webhook is active") }),
        _ => Err(PollError::Failed(error(&answer, token).why().to_owned())),
    }
}

/// The messages in a response, also those without a text: their number must be acknowledged.
fn messages(body: &str) -> Result<Vec<ChatMessage>, String> {
    let json: Value =
        serde_json::from_str(body).map_err(|_| "Telegram's answer is not complete".to_owned())?;
    let updates = json["result"].as_array().ok_or("Telegram's answer has no messages")?;
    Ok(updates.iter().filter_map(message).collect())
}

fn message(update: &Value) -> Option<ChatMessage> {
    let message = update.get("message").or_else(|| update.get("channel_post")).unwrap_or(&Value::Null);
    let chat = &message["chat"];
    let name = |key: &str| chat[key].as_str().map(str::to_owned);
    Some(ChatMessage {
        update: update["update_id"].as_i64()?,
        text: message["text"].as_str().unwrap_or_default().to_owned(),
        chat: FoundChat {
            id: chat["id"].as_i64().map(|id| id.to_string()).unwrap_or_default(),
            name: name("title")
                .or_else(|| name("first_name"))
                .or_else(|| name("username"))
                .unwrap_or_default(),
            // Without a topic, the number is that of a message which was replied to.
            topic: message["message_thread_id"].as_i64().filter(|_| message["is_topic_message"] == true),
        },
        press: ButtonPress::of(update),
    })
}

/// The error in a response, without the bot token, which a proxy may repeat.
fn error(answer: &HttpResponse, token: &str) -> DeliveryError {
    let json: Value = serde_json::from_str(&answer.body).unwrap_or_default();
    let description = json["description"].as_str().unwrap_or(&answer.body);
    let said = excerpt(&description.replace(token, "(token)"));
    let lower = said.to_ascii_lowercase();
    if answer.status == 400 && UNACCEPTABLE.iter().any(|text| lower.contains(text)) {
        return DeliveryError::Never { why: format!("400: {said}") };
    }
    let parameters = &json["parameters"];
    let advice = match answer.status {
        400 if lower.contains("chat not found") => {
            "send a message to the bot first, or check the chat id".into()
        }
        400..=403 if parameters["migrate_to_chat_id"].is_i64() => {
            let chat = &parameters["migrate_to_chat_id"];
            format!("the group has the new chat id {chat}; add a channel with that id")
        }
        400 if lower.contains("message thread not found") => "the group has no such topic any more".into(),
        400 if lower.contains("rights") => "allow the bot to post in this chat".into(),
        401 | 404 => "the bot token is unknown to Telegram".into(),
        403 => "the bot was blocked or removed from the chat".into(),
        429 => "Telegram limits our messages".into(),
        _ => String::new(),
    };
    let parts = [answer.status.to_string(), said, advice];
    let why = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(": ");
    // Any JSON number; the cast saturates, far above the longest wait that is respected.
    let retry_after = parameters["retry_after"].as_f64().map(|seconds| Duration::from_secs(seconds as u64));
    DeliveryError::Later { why, after: retry_after.max(answer.retry_after), limits_us: answer.status == 429 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16, body: &str) -> DeliveryError {
        error(&HttpResponse { status, retry_after: None, body: body.into() }, "1:SECRET")
    }

    #[test]
    fn chats_are_read_from_groups_channels_and_persons() {
        let body = r#"{"ok":true,"result":[
            {"update_id":7,"message":{"text":"/heartbeat_1","message_thread_id":42,"is_topic_message":true,"chat":{"id":-1001,"title":"Barn","type":"supergroup"}}},
            {"update_id":8,"channel_post":{"text":"x","chat":{"id":-1002,"title":"News","type":"channel"}}},
            {"update_id":9,"message":{"photo":[],"message_thread_id":7,"chat":{"id":5,"first_name":"Ada","type":"private"}}},
            {"update_id":10,"something_new":{}}]}"#;
        let found = messages(body).expect("complete");
        let chats: Vec<_> = found.iter().map(|message| (message.update, message.chat.id.as_str())).collect();
        assert_eq!(chats, [(7, "-1001"), (8, "-1002"), (9, "5"), (10, "")]);
        assert_eq!((found[0].chat.name.as_str(), found[2].chat.name.as_str()), ("Barn", "Ada"));
        let topics: Vec<_> = found.iter().map(|message| message.chat.topic).collect();
        assert_eq!(topics, [Some(42), None, None, None], "a reply is in no topic");
        messages("{\"ok\":true,\"result\":[{\"upd").expect_err("cut off");
    }

    #[test]
    fn a_press_counts_for_the_chat_of_its_message_and_needs_all_that_names_it() {
        let press = |data: &str, chat: &str| {
            let update = format!(
                r#"{{"update_id":1,"callback_query":{{"id":"q","data":"{data}","from":{{"first_name":"Ada\n","last_name":"L"}},
                    "message":{{"message_id":5,"chat":{{{chat}}}}}}}}}"#
            );
            ButtonPress::of(&serde_json::from_str(&update).expect("JSON"))
        };
        let found = press("acknowledge 17", r#""id":-1001,"username":"Barn_News""#).expect("a press");
        assert_eq!((found.row, found.person.as_str()), (17, "Ada L"));
        for (target, expected) in
            [("-1001", true), ("@barn_news", true), ("-100", false), ("@barn", false), ("Barn_News", false)]
        {
            assert_eq!(found.is_in(target), expected, "{target}");
        }
        for data in ["", "17", "acknowledge ", "acknowledge x", "acknowledge 17 "] {
            assert_eq!(press(data, r#""id":-1001"#), None, "{data:?}");
        }
        assert_eq!(press("acknowledge 17", r#""title":"x""#), None);
    }

    #[test]
    fn retry_after_is_read_from_the_response() {
        let wait = |retry_after: &str| {
            let body = format!(
                r#"{{"description":"Too Many Requests","parameters":{{"retry_after":{retry_after}}}}}"#
            );
            let DeliveryError::Later { why, after, .. } = answered(429, &body) else { panic!("given up") };
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
    fn a_refusal_that_can_be_corrected_is_retried_and_shows_the_description() {
        for (status, description, advice) in [
            (400, "Bad Request: chat not found", "check the chat id"),
            (400, "Bad Request: not enough rights to send text messages to the chat", "to post"),
            (400, "Bad Request: need administrator rights in the channel chat", "to post"),
            (400, "Bad Request: group is deactivated", ""),
            (400, "Bad Request: something that nobody has seen before", ""),
            (401, "Unauthorized", "bot token"),
            (403, "Forbidden: bot was kicked from the supergroup chat", "removed"),
            (409, "Conflict", ""),
            (500, "Internal Server Error", ""),
        ] {
            let body = format!(r#"{{"ok":false,"description":"{description}"}}"#);
            let failure = answered(status, &body);
            assert!(matches!(failure, DeliveryError::Later { .. }), "{failure:?}");
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
        assert_eq!(refused, DeliveryError::Never { why: "400: Bad Request: message is too long".into() });
    }
}
