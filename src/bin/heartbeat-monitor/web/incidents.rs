//! The incidents: open ones first, then those that have ended; and one incident with everything about it.

use super::act::visible_machine;
use super::context::PageContext;
use super::form::Form;
use super::frame::{Frame, Section};
use super::page::{html, see_other};
use super::refusal::{PageRefusal, sentence};
use super::severity::{MachineHealth, severity};
use super::viewpoint::Viewpoint;
use super::visit::Visit;
use super::words::{channel_name, message, phrase, time, when};
use askama::Template;
use heartbeat_daemon::clock::Moment;
use heartbeat_daemon::http::Response;
use heartbeat_daemon::monitor::accounts::visitor::{AccessScope, Role};
use heartbeat_daemon::monitor::conditions::catalogue::CATALOGUE;
use heartbeat_daemon::monitor::incidents::acknowledge::Comment;
use heartbeat_daemon::monitor::incidents::list::{IncidentFilter, IncidentRecord};
use heartbeat_daemon::monitor::incidents::table::{IncidentId, OFFLINE};
use heartbeat_daemon::monitor::machine::MachineId;
use heartbeat_daemon::monitor::notify::deliveries::DeliveryRecord;
use heartbeat_daemon::monitor::notify::delivery_state::DeliveryState;
use heartbeat_daemon::monitor::notify::without_response;
use heartbeat_daemon::monitor::store::page::Page;
use heartbeat_daemon::monitor::zone::Clock;

/// Ended incidents on one page.
const PAGE: usize = 50;
/// Incidents that are read for a page of a visitor with a limited scope.
const MOST_READ: u32 = 1000;
/// Open incidents that are listed.
const MOST_OPEN: u32 = 500;

#[derive(Template)]
#[template(path = "incidents.html")]
struct IncidentsPage {
    frame: Frame,
    open: Vec<IncidentLine>,
    ended: Vec<IncidentLine>,
    /// The address of the next page is built from it.
    next: Option<i64>,
    machine: Option<(i64, String)>,
    /// The kinds to choose from, and whether each is chosen.
    kinds: Vec<(&'static str, bool)>,
    kind: Option<&'static str>,
}

/// An incident in a list.
pub struct IncidentLine {
    pub id: i64,
    pub machine: i64,
    pub name: String,
    pub is_bad: bool,
    pub is_open: bool,
    pub phrase: String,
    pub time: String,
    /// "ada is on it"
    pub by: Option<String>,
}

#[derive(Template)]
#[template(path = "incident.html")]
struct IncidentPage {
    frame: Frame,
    line: IncidentLine,
    deliveries: Vec<DeliveryLine>,
    comments: Vec<CommentLine>,
    /// What was entered and refused, and why.
    refused: Option<(String, String)>,
}

/// A notification as it is listed.
pub struct DeliveryLine {
    pub incident: Option<i64>,
    pub what: String,
    pub recipient: String,
    pub channel: String,
    pub state: String,
    pub has_failed: bool,
}

struct CommentLine {
    at: String,
    author: String,
    text: String,
}

impl IncidentLine {
    pub fn new(incident: &IncidentRecord, viewpoint: &Viewpoint) -> IncidentLine {
        let by = incident.acknowledged.as_ref().map(|(at, by)| {
            format!("{by} has been on it since {}", viewpoint.clock.time_of_day(*at, viewpoint.now))
        });
        IncidentLine {
            id: incident.id,
            machine: incident.machine.0.0,
            name: incident.machine.1.clone(),
            is_bad: severity(&incident.kind) == MachineHealth::Bad,
            is_open: incident.ended.is_none(),
            phrase: phrase(incident),
            time: time(incident, &viewpoint.clock, viewpoint.now),
            by,
        }
    }
}

impl DeliveryLine {
    pub fn new(delivery: &DeliveryRecord, clock: &Clock, now: Moment) -> DeliveryLine {
        let (state, has_failed) = match delivery.delivered {
            Some(at) => (format!("delivered {}", when(at, clock, now)), false),
            None => {
                let word = DeliveryState::word(delivery.state);
                let error = delivery.last_error.as_deref().map(without_response);
                let error = error.map_or_else(String::new, |error| format!(": {error}"));
                (format!("{word}{error}"), delivery.last_error.is_some())
            }
        };
        DeliveryLine {
            incident: delivery.incident,
            what: match delivery.reminder {
                Some(number) => format!("reminder {number}"),
                None => message(&delivery.event),
            },
            recipient: delivery.recipient.clone(),
            channel: channel_name(&delivery.kind).to_owned(),
            state,
            has_failed,
        }
    }
}

/// `GET /incidents`
pub fn list(context: &PageContext, visit: &Visit<'_>) -> Result<Response, PageRefusal> {
    let query = Form::of_query(visit.request)?;
    let number = |name: &str| query.filled(name).and_then(|text| text.parse::<i64>().ok());
    let machine = number("machine").map(MachineId);
    let machine = match machine {
        Some(id) => Some((id, visible_machine(context, visit, id)?.name)),
        None => None,
    };
    let kind = query.filled("kind").map(|name| known_kind(name).ok_or(PageRefusal::NotFound)).transpose()?;
    let scope = VisibleMachines::of(context, visit)?;
    let read = |page, is_open, limit| {
        let machine = machine.as_ref().map(|(id, _)| *id);
        context.shared.store.incidents(&IncidentFilter { page, limit, machine, kind, is_open: Some(is_open) })
    };
    let before = Page { before: number("before"), after: None };
    let open = if before.before.is_none() { read(Page::default(), true, MOST_OPEN)? } else { Vec::new() };
    let ended = read(before, false, MOST_READ)?;
    let is_full = ended.len() == MOST_READ as usize;
    let last = ended.last().map(|incident| incident.id);
    let mut ended: Vec<_> = ended.into_iter().filter(|incident| scope.includes(incident.machine.0)).collect();
    let next = if ended.len() > PAGE { Some(ended[PAGE - 1].id) } else { last.filter(|_| is_full) };
    ended.truncate(PAGE);
    let line = |incident: &IncidentRecord| IncidentLine::new(incident, &visit.viewpoint);
    let page = IncidentsPage {
        frame: Frame::new(&visit.viewpoint, Section::Incidents, "Incidents"),
        open: open.iter().filter(|incident| scope.includes(incident.machine.0)).map(line).collect(),
        ended: ended.iter().map(line).collect(),
        next,
        machine: machine.map(|(id, name)| (id.0, name)),
        kinds: kinds().map(|known| (known, Some(known) == kind)).collect(),
        kind,
    };
    Ok(html(200, &page))
}

fn kinds() -> impl Iterator<Item = &'static str> {
    std::iter::once(OFFLINE).chain(CATALOGUE.iter().map(|entry| entry.name))
}

fn known_kind(name: &str) -> Option<&'static str> {
    kinds().find(|known| *known == name)
}

/// The machines that a visitor may see.
struct VisibleMachines(Option<std::collections::HashSet<MachineId>>);

impl VisibleMachines {
    fn of(context: &PageContext, visit: &Visit<'_>) -> Result<VisibleMachines, PageRefusal> {
        if visit.visitor().scope == AccessScope::All {
            return Ok(VisibleMachines(None));
        }
        let (view, _) = context.live.view()?;
        let visible = view.visible(&visit.viewpoint).map(|machine| machine.machine.id);
        Ok(VisibleMachines(Some(visible.collect())))
    }

    fn includes(&self, machine: MachineId) -> bool {
        self.0.as_ref().is_none_or(|machines| machines.contains(&machine))
    }
}

/// `GET /incidents/{id}`
pub fn one(context: &PageContext, visit: &Visit<'_>, id: IncidentId) -> Result<Response, PageRefusal> {
    show(context, visit, id, None)
}

fn show(
    context: &PageContext,
    visit: &Visit<'_>,
    id: IncidentId,
    refused: Option<(String, String)>,
) -> Result<Response, PageRefusal> {
    let incident = visible_incident(context, visit, id)?;
    let Viewpoint { clock, now, .. } = &visit.viewpoint;
    let comment = |comment: Comment| CommentLine {
        at: when(comment.at, clock, *now),
        author: comment.author,
        text: comment.text,
    };
    let store = &context.shared.store;
    let deliveries = store.deliveries_of_incident(id)?;
    let line = IncidentLine::new(&incident, &visit.viewpoint);
    let title = format!("{}: {}", line.name, line.phrase);
    let page = IncidentPage {
        frame: Frame::new(&visit.viewpoint, Section::Incidents, title),
        deliveries: deliveries.iter().map(|delivery| DeliveryLine::new(delivery, clock, *now)).collect(),
        comments: store.comments(id)?.into_iter().map(comment).collect(),
        line,
        refused,
    };
    Ok(html(if page.refused.is_some() { 400 } else { 200 }, &page))
}

/// An incident of a machine within the visitor's scope.
fn visible_incident(
    context: &PageContext,
    visit: &Visit<'_>,
    id: IncidentId,
) -> Result<IncidentRecord, PageRefusal> {
    let incident = context.shared.store.incident(id)?.ok_or(PageRefusal::NotFound)?;
    visible_machine(context, visit, incident.machine.0)?;
    Ok(incident)
}

/// `POST /incidents/{id}/acknowledge` and `.../release`
pub fn acknowledge(
    context: &PageContext,
    visit: &Visit<'_>,
    id: IncidentId,
    is_release: bool,
) -> Result<Response, PageRefusal> {
    visit.require(Role::Operator)?;
    visible_incident(context, visit, id)?;
    let (store, now) = (&context.shared.store, visit.now.wall);
    match is_release {
        true => store.release_incident(id, &visit.actor(), now)?,
        false => store.acknowledge(id, &visit.actor(), now).map(drop)?,
    }
    context.changed();
    Ok(see_other(format!("../{}", id.0)))
}

/// `POST /incidents/{id}/comment`
pub fn comment(context: &PageContext, visit: &Visit<'_>, id: IncidentId) -> Result<Response, PageRefusal> {
    visit.require(Role::Operator)?;
    visible_incident(context, visit, id)?;
    let form = Form::of_body(visit.request)?;
    match context.shared.store.comment(id, &visit.actor(), form.text("text"), visit.now.wall) {
        Ok(()) => Ok(see_other(format!("../{}", id.0))),
        Err(refused) => show(context, visit, id, Some((form.text("text").into(), sentence(refused)?))),
    }
}
