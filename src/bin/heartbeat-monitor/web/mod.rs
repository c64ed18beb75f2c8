//! The pages for people: the fleet, its machines, incidents and settings.
//!
//! The thread `page` answers people's requests from a queue of its own, so that neither heartbeats nor programs that read
//! the API wait for a page. The thread `live` holds the requests of open pages until something changes.
//!
//! | file | what it owns |
//! |---|---|
//! | `route` | the paths |
//! | `context`, `refusal` | what pages are made from; refused requests |
//! | `visit`, `viewpoint` | a request of a signed-in user; by whom and in which local time a page is seen |
//! | `proxy_login` | sign-in by a header of a proxy |
//! | `origin` | whether a form was sent from our own pages |
//! | `form`, `outcome` | fields of a form or of an address; what a form leaves on its page |
//! | `page` | a page as a response: security headers, compression |
//! | `assets` | style sheet, script, icons |
//! | `frame` | what every page has around its content |
//! | `threads` | the threads, and the way of a request to them |
//! | `sign_in/` | signing in and out, the visitor's account, users |
//! | `status/` | status pages for people without an account |
//! | `status_settings` | which groups have a status page, and labels |
//! | `settings` | the way to everything that can be set |
//! | `audit_log` | who changed what |
//! | `acknowledge_link` | links in messages with which incidents are acknowledged |
//! | `act` | the buttons beside a problem |
//! | `add_machine` | a new machine and its first heartbeat |
//! | `severity`, `words` | how bad an incident is; its words |
//! | `incidents` | the list of incidents, and one with its deliveries and comments |
//! | `maintenance`, `maintenance_plans` | machines about which nobody is notified for a while, now or each week |
//! | `conditions`, `keys` | settings of conditions; read tokens and enrolment keys |
//! | `device_setup` | how a device enrols with a new key |
//! | `people/` | recipients, their channels and tests of them |
//! | `machine/` | the page of one machine: charts, cameras, uplinks, settings |
//! | `fleet/` | the fleet page and its live updates |

mod acknowledge_link;
mod act;
mod add_machine;
pub mod assets;
mod audit_log;
mod conditions;
pub mod context;
mod device_setup;
pub mod fleet;
pub mod form;
mod frame;
mod incidents;
mod keys;
mod machine;
mod maintenance;
mod maintenance_plans;
mod origin;
mod outcome;
mod page;
mod people;
mod proxy_login;
mod refusal;
pub mod route;
#[cfg(test)]
mod scratch;
pub mod settings;
mod severity;
mod sign_in;
mod status;
mod status_settings;
pub mod threads;
mod viewpoint;
mod visit;
mod words;

use context::PageContext;
use crossbeam_channel::Receiver;
use fleet::live::LivePoll;
use form::Form;
use heartbeat_daemon::clock::Now;
use heartbeat_daemon::http::{Exchange, Method, Request, Response};
use refusal::{PageRefusal, answer};
use route::{ChannelForm, PageRoute};
use sign_in::context::SignInContext;
use std::sync::Arc;
use visit::{SignedIn, Visit};

/// Runs the thread `page` until the HTTP server ends.
pub fn run(context: &Arc<PageContext>, sign_in: &Arc<SignInContext>, requests: &Receiver<Exchange>) {
    for exchange in requests {
        let now = Now::read();
        let Some(route) = PageRoute::of(exchange.request.path()) else {
            exchange.reply.send(Response::error(404, "no such path"));
            continue;
        };
        if route == PageRoute::Live {
            poll(context, exchange, now);
            continue;
        }
        if matches!(route, PageRoute::StatusPage | PageRoute::StatusBadge) {
            let answered = status::respond(context, &exchange.request, now);
            exchange.reply.send(answered);
            continue;
        }
        if route == PageRoute::AcknowledgeLink {
            let answered = acknowledge_link::respond(context, &exchange.request, now);
            answer(exchange, answered);
            continue;
        }
        if let (PageRoute::ChannelForm(id, ChannelForm::Test), Method::Post) =
            (route, exchange.request.method())
        {
            people::channels::test(context, id, exchange, now);
            continue;
        }
        if sign_in::owns(route) {
            sign_in::handle(context, sign_in, route, exchange, now);
            continue;
        }
        let answered = respond(context, route, &exchange.request, now);
        answer(exchange, answered);
    }
}

fn respond(
    context: &PageContext,
    route: PageRoute,
    request: &Request,
    now: Now,
) -> Result<Response, PageRefusal> {
    if request.method() != Method::Get {
        if matches!(route, PageRoute::Fleet | PageRoute::Wall) {
            // A device whose URL has no path, not a person.
            return Err(PageRefusal::Method);
        }
        origin::check(request, context.settings.get().web.public_url.as_ref())?;
    }
    if let PageRoute::Asset = route {
        return assets::respond(request.path()).ok_or(PageRefusal::NotFound);
    }
    dispatch(context, &Visit::of(context, request, now)?, route).map(Response::authenticated)
}

fn dispatch(context: &PageContext, visit: &Visit<'_>, route: PageRoute) -> Result<Response, PageRefusal> {
    match (route, visit.request.method()) {
        (PageRoute::Fleet, Method::Get) => fleet::page(context, visit),
        (PageRoute::Wall, Method::Get) => fleet::wall(context, visit),
        (PageRoute::MachineAdd, Method::Get) => add_machine::form(context, visit),
        (PageRoute::MachineAdd, Method::Post) => add_machine::add(context, visit),
        (PageRoute::MachineMute(id), Method::Post) => act::mute(context, visit, id),
        (PageRoute::MachineAcknowledge(id), Method::Post) => act::acknowledge(context, visit, id),
        (PageRoute::Machine(id), Method::Get) => machine::page::page(context, visit, id),
        (PageRoute::MachineForm(id, form), Method::Post) => machine::forms::apply(context, visit, id, form),
        (PageRoute::People, Method::Get) => people::page(context, visit),
        (PageRoute::People, Method::Post) => people::change(context, visit),
        (PageRoute::Channels, Method::Get) => people::channel_form::new(context, visit),
        (PageRoute::Channels, Method::Post) => people::channels::add(context, visit),
        (PageRoute::ChannelForm(id, ChannelForm::Address), Method::Get) => {
            people::channels::address_form(context, visit, id)
        }
        (PageRoute::ChannelForm(id, form), Method::Post) => {
            people::channels::change(context, visit, id, form)
        }
        (PageRoute::Chats, Method::Post) => people::chats::start(context, visit),
        (PageRoute::Chat(id), Method::Get) => people::chats::page(context, visit, id),
        (PageRoute::Chat(id), Method::Post) => people::chats::add(context, visit, id),
        (PageRoute::Incidents, Method::Get) => incidents::list(context, visit),
        (PageRoute::Incident(id), Method::Get) => incidents::one(context, visit, id),
        (PageRoute::IncidentAcknowledge(id), Method::Post) => {
            incidents::acknowledge(context, visit, id, false)
        }
        (PageRoute::IncidentRelease(id), Method::Post) => incidents::acknowledge(context, visit, id, true),
        (PageRoute::IncidentComment(id), Method::Post) => incidents::comment(context, visit, id),
        (PageRoute::Settings, Method::Get) => settings::page(context, visit),
        (PageRoute::Conditions, Method::Get) => conditions::page(context, visit),
        (PageRoute::Conditions, Method::Post) => conditions::change(context, visit),
        (PageRoute::Maintenance, Method::Get) => maintenance::page(context, visit),
        (PageRoute::Maintenance, Method::Post) => maintenance::change(context, visit),
        (PageRoute::Keys, Method::Get) => keys::page(context, visit),
        (PageRoute::Keys, Method::Post) => keys::change(context, visit),
        (PageRoute::StatusSettings, Method::Get) => status_settings::page(context, visit),
        (PageRoute::StatusSettings, Method::Post) => status_settings::change(context, visit),
        (PageRoute::Audit, Method::Get) => audit_log::page(context, visit),
        _ => Err(PageRefusal::Method),
    }
}

/// Passes the request of an open page to the thread `live`, which answers it when something has changed.
fn poll(context: &PageContext, exchange: Exchange, now: Now) {
    let Exchange { request, reply } = exchange;
    match live_poll(context, &request, now) {
        Ok(poll) => context.live.send(poll, &request, reply),
        Err(refusal) => reply.send(refusal.into_brief_response()),
    }
}

fn live_poll(context: &PageContext, request: &Request, now: Now) -> Result<LivePoll, PageRefusal> {
    let SignedIn { session, viewpoint, .. } = Visit::of(context, request, now)?.signed_in;
    let since = Form::of_query(request)?.text("since").parse();
    let since = since.map_err(|_| PageRefusal::Invalid("since must be a number".into()))?;
    Ok(LivePoll { session, viewpoint, since, at: now.monotonic })
}
