//! Who is notified: recipients with their topics, and their channels.

use super::context::PageContext;
use super::form::Form;
use super::frame::{Frame, Section};
use super::page::{html, see_other};
use super::refusal::{PageRefusal, sentence};
use super::visit::Visit;
use super::words::{channel_name, when};
use crate::http::Response;
use crate::monitor::accounts::visitor::{AccessScope, Role};
use crate::monitor::command::recipient::chosen;
use crate::monitor::notify::channels::ListedChannel;
use crate::monitor::notify::choices::Selection;
use crate::monitor::notify::recipients::{Preferences, StoredRecipient};
use crate::monitor::notify::target::shown_url;
use crate::monitor::notify::topic::Topic;
use crate::monitor::notify::without_response;
use crate::monitor::store::Refused;
use askama::Template;

#[derive(Template)]
#[template(path = "people.html")]
struct PeoplePage {
    frame: Frame,
    recipients: Vec<RecipientLine>,
    has_channel: bool,
    /// What has happened, or why a form was refused.
    done: Option<String>,
    problem: Option<String>,
    /// A secret that was just made; shown once.
    secret: Option<String>,
}

/// A recipient as it is listed.
struct RecipientLine {
    name: String,
    is_enabled: bool,
    /// All topics, and whether each is chosen.
    topics: Vec<(&'static str, bool)>,
    /// Which machines; empty for a visitor who may not see all of them.
    machines: String,
    channels: Vec<ChannelLine>,
}

struct ChannelLine {
    id: i64,
    kind: String,
    target: String,
    is_enabled: bool,
    state: String,
    has_failed: bool,
}

/// What the page says besides its list.
#[derive(Default)]
pub struct PeopleNote {
    pub done: Option<String>,
    pub problem: Option<String>,
    pub secret: Option<String>,
}

/// `GET /people`
pub fn page(context: &PageContext, visit: &Visit<'_>) -> Result<Response, PageRefusal> {
    visit.require(Role::Operator)?;
    show(context, visit, PeopleNote::default())
}

pub fn show(context: &PageContext, visit: &Visit<'_>, note: PeopleNote) -> Result<Response, PageRefusal> {
    let store = &context.shared.store;
    let channels = store.channels()?;
    let recipients =
        store.recipients()?.into_iter().map(|recipient| line(recipient, &channels, visit)).collect();
    let page = PeoplePage {
        frame: Frame::new(&visit.viewpoint, Section::People, "People"),
        recipients,
        has_channel: channels.iter().any(|channel| channel.enabled),
        done: note.done,
        problem: note.problem,
        secret: note.secret,
    };
    Ok(html(if page.problem.is_some() { 400 } else { 200 }, &page))
}

fn line(recipient: StoredRecipient, channels: &[ListedChannel], visit: &Visit<'_>) -> RecipientLine {
    let topics = &recipient.preferences.events;
    let sees_all = visit.visitor().scope == AccessScope::All;
    RecipientLine {
        is_enabled: recipient.enabled,
        topics: Topic::ALL.map(|topic| (topic.name(), topics.contains(&topic))).to_vec(),
        machines: if sees_all { chosen(&recipient.chosen) } else { String::new() },
        channels: channels
            .iter()
            .filter(|channel| channel.recipient == recipient.name)
            .map(|channel| channel_line(channel, visit))
            .collect(),
        name: recipient.name,
    }
}

fn channel_line(channel: &ListedChannel, visit: &Visit<'_>) -> ChannelLine {
    let (clock, now) = (&visit.viewpoint.clock, visit.now.wall);
    let (state, has_failed) = match (&channel.last_error, channel.last_delivered) {
        (Some(error), _) => (without_response(error).to_owned(), true),
        (None, Some(at)) => (format!("delivered {}", when(at, clock, now)), false),
        (None, None) => ("not used yet".into(), false),
    };
    ChannelLine {
        id: channel.id.0,
        kind: channel_name(&channel.kind).to_owned(),
        target: shown_url(&channel.target),
        is_enabled: channel.enabled,
        state,
        has_failed,
    }
}

/// `POST /people`: what the button of the form says is done to the recipient of that name.
pub fn change(context: &PageContext, visit: &Visit<'_>) -> Result<Response, PageRefusal> {
    visit.require(Role::Owner)?;
    let form = Form::of_body(visit.request)?;
    match apply(context, visit, &form) {
        Ok(action) => {
            let name = form.text("name");
            context.shared.store.record_audit(&visit.actor(), action, Some(name), None, visit.now.wall)?;
            context.changed();
            Ok(see_other("people".into()))
        }
        Err(refused) => {
            show(context, visit, PeopleNote { problem: Some(sentence(refused)?), ..PeopleNote::default() })
        }
    }
}

/// The name of the action in the audit log.
fn apply(context: &PageContext, visit: &Visit<'_>, form: &Form) -> Result<&'static str, Refused> {
    let (store, now, name) = (&context.shared.store, visit.now.wall, form.text("name"));
    match form.text("do") {
        "add" => {
            let wants = Preferences::default();
            store.add_recipient(name, &Selection::All, &wants, now).map(|()| "recipient.add")
        }
        "topics" => {
            let topics: Vec<Topic> = form.all("topic").filter_map(Topic::from_name).collect();
            let changed = store.change_recipient(name, None, now, |wants| wants.events = topics);
            changed.map(|()| "recipient.set")
        }
        "enable" => store.enable_recipient(name, true).map(|()| "recipient.enable"),
        "disable" => store.enable_recipient(name, false).map(|()| "recipient.disable"),
        "remove" => store.remove_recipient(name).map(|()| "recipient.remove"),
        _ => Err(Refused::because("this form is not known")),
    }
}
