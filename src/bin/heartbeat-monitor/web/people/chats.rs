//! The search for a Telegram chat: the page shows a code, and the chat in which the bot receives it becomes the channel.

use super::channel_form::{FormOf, entered_options, refused};
use crate::web::context::PageContext;
use crate::web::form::Form;
use crate::web::frame::{Frame, Section};
use crate::web::page::{html, see_other};
use crate::web::refusal::PageRefusal;
use crate::web::visit::Visit;
use askama::Template;
use heartbeat_daemon::clock::Moment;
use heartbeat_daemon::http::Response;
use heartbeat_daemon::monitor::accounts::visitor::Role;
use heartbeat_daemon::monitor::instances::duty::Duty;
use heartbeat_daemon::monitor::notify::channel::ChannelKind;
use heartbeat_daemon::monitor::notify::channels::NewChannel;
use heartbeat_daemon::monitor::notify::chat_search::{ChatSearch, SearchId, SearchState, WantedChannel};
use heartbeat_daemon::monitor::notify::kinds::descriptor;
use heartbeat_daemon::monitor::notify::telegram::{FoundChat, TOPIC, is_bot_token};
use heartbeat_daemon::monitor::store::{Refused, Store};

/// Seconds until the page looks again, with and without JavaScript.
const REFRESH: &str = "2";

#[derive(Template)]
#[template(path = "chat.html")]
struct ChatPage {
    frame: Frame,
    recipient: String,
    code: String,
    found: Option<FoundChat>,
    problem: Option<String>,
}

/// `POST /chats`: starts the search.
pub fn start(context: &PageContext, visit: &Visit<'_>) -> Result<Response, PageRefusal> {
    visit.require(Role::Owner)?;
    let form = Form::of_body(visit.request)?;
    let recipient = form.text("recipient");
    let started = wanted(&form).and_then(|wanted| {
        poll_here(&context.shared.store, wanted.token, visit.now.wall)?;
        context.chats.start(wanted, &context.notify.get(), visit.now.monotonic)
    });
    match started {
        Ok(id) => Ok(see_other(format!("chats/{id}"))),
        Err(problem) => {
            refused(visit, FormOf::New { recipient, kind: ChannelKind::Telegram }, &form, problem)
        }
    }
}

/// Telegram gives a bot's messages to one program only.
fn poll_here(store: &Store, token: &str, now: Moment) -> Result<(), Refused> {
    match store.takes_on(Duty::of_bot(token), now)? {
        true => Ok(()),
        false => Err(Refused::because(
            "another monitor of this database waits for messages to this bot; open its page instead, or try again in a minute",
        )),
    }
}

/// The form without the chat.
fn wanted(form: &Form) -> Result<WantedChannel<'_>, Refused> {
    let (recipient, token) = (form.text("recipient"), form.text("secret"));
    if !is_bot_token(token) {
        return Err(Refused::because("enter the bot's token (123456:ABC-DEF...) to find the chat"));
    }
    let known = descriptor(ChannelKind::Telegram);
    let options = entered_options(known, form);
    for option in known.options {
        options.get(option.name).map_or(Ok(()), option.check)?;
    }
    Ok(WantedChannel { recipient, token, options })
}

/// `GET /chats/{id}`
pub fn page(context: &PageContext, visit: &Visit<'_>, id: SearchId) -> Result<Response, PageRefusal> {
    visit.require(Role::Owner)?;
    let search = context.chats.get(id, visit.now.monotonic).ok_or_else(is_over)?;
    Ok(render(visit, search, None))
}

fn is_over() -> PageRefusal {
    PageRefusal::Invalid("This search is over. Begin it again under People.".into())
}

fn render(visit: &Visit<'_>, search: ChatSearch, refused: Option<String>) -> Response {
    let (found, failed) = match search.state {
        SearchState::Waiting => (None, None),
        SearchState::Found(chat) => (Some(chat), None),
        SearchState::Failed(why) => (None, Some(why)),
    };
    let page = ChatPage {
        frame: Frame::new(&visit.viewpoint, Section::People, "Find the chat"),
        recipient: search.recipient,
        code: search.code,
        problem: refused.or(failed),
        found,
    };
    let is_waiting = page.found.is_none() && page.problem.is_none();
    let response = html(200, &page);
    if is_waiting { response.header("Refresh", REFRESH) } else { response }
}

/// `POST /chats/{id}`: the chat that was found becomes a channel.
pub fn add(context: &PageContext, visit: &Visit<'_>, id: SearchId) -> Result<Response, PageRefusal> {
    visit.require(Role::Owner)?;
    let search = context.chats.get(id, visit.now.monotonic).ok_or_else(is_over)?;
    let SearchState::Found(chat) = &search.state else {
        return Err(PageRefusal::Invalid("No chat has sent the code yet.".into()));
    };
    let mut options = search.options.clone();
    if let Some(topic) = chat.topic {
        options.0.insert(TOPIC.to_owned(), topic.to_string());
    }
    let new = NewChannel {
        kind: ChannelKind::Telegram,
        target: chat.id.clone(),
        secret: None,
        secret_file: None,
        token: Some(search.token.clone()),
        options,
    };
    let (store, now) = (&context.shared.store, visit.now.wall);
    match store.add_channel(Some(search.recipient.as_str()).filter(|name| !name.is_empty()), &new, now) {
        Ok(channel) => {
            context.chats.remove(id);
            let detail = format!("telegram channel {}", channel.0);
            store.record_audit(&visit.actor(), "channel.add", Some(&search.recipient), Some(&detail), now)?;
            context.changed();
            Ok(see_other("../people".into()))
        }
        Err(Refused::Store(error)) => Err(error.into()),
        Err(refused) => Ok(render(visit, search, Some(refused.to_string()))),
    }
}
