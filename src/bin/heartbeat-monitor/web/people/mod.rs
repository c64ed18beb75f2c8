//! Who is notified, about what, when, and how.
//!
//! | file | what it owns |
//! |---|---|
//! | `mod` | the page; adding and removing recipients |
//! | `preferences` | the form of topics, machines, quiet hours |
//! | `channels` | adds, changes and tests channels |
//! | `channel_form` | the form of a channel |
//! | `chats` | the search for a Telegram chat |

pub mod channel_form;
pub mod channels;
pub mod chats;
mod preferences;

use super::context::PageContext;
use super::form::Form;
use super::frame::{Frame, Section};
use super::outcome::form_page;
use super::page::see_other;
use super::refusal::{PageRefusal, sentence};
use super::visit::Visit;
use super::words::{channel_name, when};
use askama::Template;
use heartbeat_daemon::config::Period;
use heartbeat_daemon::http::Response;
use heartbeat_daemon::monitor::accounts::visitor::{AccessScope, Role};
use heartbeat_daemon::monitor::notify::channel::{ChannelKind, KINDS};
use heartbeat_daemon::monitor::notify::channels::ListedChannel;
use heartbeat_daemon::monitor::notify::choices::Selection;
use heartbeat_daemon::monitor::notify::kinds::shown_options;
use heartbeat_daemon::monitor::notify::recipients::{Preferences, StoredRecipient};
use heartbeat_daemon::monitor::notify::target::shown_url;
use heartbeat_daemon::monitor::notify::without_response;
use heartbeat_daemon::monitor::reports::schedule::ReportInterval;
use heartbeat_daemon::monitor::store::Refused;
use preferences::PreferencesForm;

#[derive(Template)]
#[template(path = "people.html")]
struct PeoplePage {
    frame: Frame,
    recipients: Vec<RecipientLine>,
    /// Of channels that can be added.
    kinds: [ChannelKind; KINDS.len()],
    has_channel: bool,
    /// Of a new recipient, as it was entered.
    name: String,
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
    /// Which machines; empty for a visitor who may not see all of them.
    machines: String,
    /// "quiet 22:00-07:00 Europe/Berlin, outages of 10m and more"
    when: String,
    channels: Vec<ChannelLine>,
    form: PreferencesForm,
}

struct ChannelLine {
    id: i64,
    kind: String,
    target: String,
    /// "topic 42, silent endings"; empty if nothing was chosen.
    options: String,
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
    /// The form that was refused: what was entered is shown again.
    pub refused: Option<(Form, RefusedForm)>,
}

/// Which form of the page was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusedForm {
    Recipient,
    Preferences,
}

impl PeopleNote {
    /// # Errors
    /// [`PageRefusal::Failed`]: it was the database, and not the form.
    pub fn refused(refused: Refused, form: Form, which: RefusedForm) -> Result<PeopleNote, PageRefusal> {
        let problem = Some(sentence(refused)?);
        Ok(PeopleNote { problem, refused: Some((form, which)), ..PeopleNote::default() })
    }

    fn form(&self, which: RefusedForm) -> Option<&Form> {
        self.refused.as_ref().filter(|(_, refused)| *refused == which).map(|(form, _)| form)
    }
}

/// `GET /people`
pub fn page(context: &PageContext, visit: &Visit<'_>) -> Result<Response, PageRefusal> {
    visit.require(Role::Operator)?;
    show(context, visit, PeopleNote::default())
}

pub fn show(context: &PageContext, visit: &Visit<'_>, note: PeopleNote) -> Result<Response, PageRefusal> {
    let store = &context.shared.store;
    let channels = store.channels()?;
    let reports = store.report_intervals()?;
    let line = |recipient: StoredRecipient| {
        let report = reports.get(&recipient.name).copied();
        line(recipient, report, &channels, visit, &note)
    };
    let recipients = store.recipients()?.into_iter().map(line).collect();
    let page = PeoplePage {
        frame: Frame::new(&visit.viewpoint, Section::People, "People"),
        recipients,
        kinds: KINDS,
        has_channel: channels.iter().any(|channel| channel.enabled),
        name: note.form(RefusedForm::Recipient).map_or_else(String::new, |form| form.text("name").to_owned()),
        done: note.done,
        problem: note.problem,
        secret: note.secret,
    };
    Ok(form_page(page.problem.as_deref(), &page))
}

fn line(
    recipient: StoredRecipient,
    report: Option<ReportInterval>,
    channels: &[ListedChannel],
    visit: &Visit<'_>,
    note: &PeopleNote,
) -> RecipientLine {
    let sees_all = visit.visitor().scope == AccessScope::All;
    let is_its_own = |form: &&Form| form.text("name") == recipient.name;
    let form = match note.form(RefusedForm::Preferences).filter(is_its_own) {
        Some(entered) => PreferencesForm::entered(entered),
        None => PreferencesForm::of(&recipient, report),
    };
    RecipientLine {
        is_enabled: recipient.enabled,
        machines: if sees_all { recipient.chosen.to_string() } else { String::new() },
        when: when_notified(&recipient.preferences, report),
        channels: channels
            .iter()
            .filter(|channel| channel.recipient == recipient.name)
            .map(|channel| channel_line(channel, visit))
            .collect(),
        form,
        name: recipient.name,
    }
}

/// "quiet 22:00-07:00 Europe/Berlin, outages of 10m and more, reminders every 1h, escalated to owner after 30m, weekly
/// report"; empty if the recipient is notified of everything at once, and once.
fn when_notified(wants: &Preferences, report: Option<ReportInterval>) -> String {
    let quiet = wants.quiet.as_ref().map(|quiet| format!("quiet {} {}", quiet.times(), quiet.clock));
    let long = Some(wants.min_outage).filter(|length| !length.is_zero());
    let long = long.map(|length| format!("outages of {} and more", Period(length)));
    let reminders = wants.remind_every.map(|every| format!("reminders every {}", Period(every)));
    let escalation = wants.escalation.as_ref();
    let escalation =
        escalation.map(|known| format!("escalated to {} after {}", known.to, Period(known.after)));
    let report = report.map(|every| format!("{} report", every.name()));
    let all = quiet.into_iter().chain(long).chain(reminders).chain(escalation).chain(report);
    all.collect::<Vec<_>>().join(", ")
}

fn channel_line(channel: &ListedChannel, visit: &Visit<'_>) -> ChannelLine {
    let (clock, now) = (&visit.viewpoint.clock, visit.now.wall);
    let (state, has_failed) = match (&channel.last_error, channel.last_delivered) {
        (Some(error), _) => (without_response(error).to_owned(), true),
        (None, Some(at)) => (format!("delivered {}", when(at, clock, now)), false),
        (None, None) => ("not used yet".into(), false),
    };
    let options = shown_options(&channel.kind, &channel.options);
    ChannelLine {
        id: channel.id.0,
        kind: channel_name(&channel.kind).to_owned(),
        target: shown_url(&channel.target),
        options: options.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
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
            let which = match form.text("do") {
                "preferences" => RefusedForm::Preferences,
                _ => RefusedForm::Recipient,
            };
            show(context, visit, PeopleNote::refused(refused, form, which)?)
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
        "preferences" => {
            let (selection, wanted) = preferences::read(form)?;
            let report = preferences::report(form)?;
            store.change_recipient(name, Some(&selection), now, |wants| *wants = wanted)?;
            store.set_report(name, report, now).map(|()| "recipient.set")
        }
        "enable" => store.enable_recipient(name, true).map(|()| "recipient.enable"),
        "disable" => store.enable_recipient(name, false).map(|()| "recipient.disable"),
        "remove" => store.remove_recipient(name).map(|()| "recipient.remove"),
        _ => Err(Refused::because("this form is not known")),
    }
}
