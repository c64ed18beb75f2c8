//! `/acknowledge/TOKEN`: links in messages with which their incidents are acknowledged, without a session.
//!
//! Opening one changes nothing, because mail servers and chats open links to look at them. A page with a button posts to its
//! own address; the address in an ntfy message takes a POST and nothing else.

use super::context::PageContext;
use super::frame::Frame;
use super::origin;
use super::page::{html, see_other};
use super::refusal::PageRefusal;
use super::route::to_root;
use super::words::{phrase, time};
use askama::Template;
use heartbeat_daemon::clock::Now;
use heartbeat_daemon::http::client::address;
use heartbeat_daemon::http::{Method, Request, Response};
use heartbeat_daemon::monitor::accounts::audit::Actor;
use heartbeat_daemon::monitor::incidents::list::IncidentRecord;
use heartbeat_daemon::monitor::notify::acknowledge_link::LinkUse;
use heartbeat_daemon::monitor::notify::sent_message::SentMessage;
use heartbeat_daemon::monitor::zone::Clock;

/// Incidents of a message that its page lists; the button acknowledges the others, too.
const MOST_LISTED: usize = 50;

#[derive(Template)]
#[template(path = "acknowledge.html")]
struct AcknowledgePage {
    frame: Frame,
    lines: Vec<LinkLine>,
    /// Incidents of the message that are not listed.
    others: usize,
    token: String,
    /// At least one is open, and nobody is on it.
    can_acknowledge: bool,
}

struct LinkLine {
    name: String,
    phrase: String,
    time: String,
    is_open: bool,
    by: Option<String>,
}

/// `GET` and `POST /acknowledge/TOKEN`
pub fn respond(context: &PageContext, request: &Request, now: Now) -> Result<Response, PageRefusal> {
    let token = request.path().strip_prefix("/acknowledge/").unwrap_or_default();
    let store = &context.shared.store;
    let link = store.link_key()?.read(token, now.wall).ok_or_else(invalid)?;
    let message = store.sent_message(link.row)?.ok_or_else(invalid)?;
    match (link.purpose, request.method()) {
        (LinkUse::Page, Method::Get) => show(context, request, &message, token, now).map(unlisted),
        (LinkUse::Page, _) => {
            origin::check(request, context.settings.get().web.public_url.as_ref())?;
            acknowledge(context, request, &message, now)?;
            // Relative: the page of the same link, which now says who is on it.
            Ok(unlisted(see_other(token.to_owned())))
        }
        (LinkUse::Button, Method::Post) => button(context, request, &message, now),
        (LinkUse::Button, _) => Ok(unlisted(Response::error(405, "use POST").header("Allow", "POST"))),
    }
}

/// For the button of a program, which shows only whether it succeeded. ntfy's own page posts from another site.
fn button(
    context: &PageContext,
    request: &Request,
    message: &SentMessage,
    now: Now,
) -> Result<Response, PageRefusal> {
    let response = match acknowledge(context, request, message, now)? {
        0 => Response::error(410, "the incident has ended"),
        _ => Response::new(200).body("text/plain; charset=utf-8", b"acknowledged\n"),
    };
    Ok(unlisted(response).header("Access-Control-Allow-Origin", "*"))
}

/// Returns the number of open incidents.
fn acknowledge(
    context: &PageContext,
    request: &Request,
    message: &SentMessage,
    now: Now,
) -> Result<usize, PageRefusal> {
    let address = address(request, &context.settings.get().trusted_proxies);
    let actor = Actor { name: message.reader(), address };
    let open = context.shared.store.acknowledge_open(&message.incidents, &actor, now.wall)?;
    context.changed();
    Ok(open)
}

fn show(
    context: &PageContext,
    request: &Request,
    message: &SentMessage,
    token: &str,
    now: Now,
) -> Result<Response, PageRefusal> {
    let clock = Clock::of_server();
    let mut lines = Vec::new();
    let mut can_acknowledge = false;
    for id in &message.incidents {
        let Some(incident) = context.shared.store.incident(*id)? else { continue };
        can_acknowledge |= incident.ended.is_none() && incident.acknowledged.is_none();
        if lines.len() < MOST_LISTED {
            lines.push(LinkLine::of(&incident, &clock, now));
        }
    }
    let page = AcknowledgePage {
        frame: Frame::without_user(to_root(request.path()), "Acknowledge"),
        others: message.incidents.len().saturating_sub(lines.len()),
        lines,
        token: token.to_owned(),
        can_acknowledge,
    };
    Ok(html(200, &page))
}

impl LinkLine {
    fn of(incident: &IncidentRecord, clock: &Clock, now: Now) -> LinkLine {
        let by = incident
            .acknowledged
            .as_ref()
            .map(|(at, by)| format!("{by} has been on it since {}", clock.time_of_day(*at, now.wall)));
        LinkLine {
            name: incident.machine.1.clone(),
            phrase: phrase(incident),
            time: time(incident, clock, now.wall),
            is_open: incident.ended.is_none(),
            by,
        }
    }
}

/// For no search engine. The policy of the other pages stays: with "no-referrer" a browser names no origin with the form.
fn unlisted(response: Response) -> Response {
    response.header("X-Robots-Tag", "noindex")
}

/// One answer for each address that is not valid, whatever the reason.
fn invalid() -> PageRefusal {
    PageRefusal::Invalid(
        "This link is not valid, or not any more. Sign in to see what is open and to acknowledge it.".into(),
    )
}
