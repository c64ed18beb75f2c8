//! The form of a channel, made from the descriptor of its kind: a new channel, or another address of one.

use crate::web::context::PageContext;
use crate::web::form::Form;
use crate::web::frame::{Frame, Section};
use crate::web::outcome::form_page;
use crate::web::refusal::{PageRefusal, sentence};
use crate::web::visit::Visit;
use crate::web::words::capital;
use askama::Template;
use heartbeat_daemon::http::Response;
use heartbeat_daemon::monitor::accounts::visitor::Role;
use heartbeat_daemon::monitor::notify::channel::{Channel, ChannelId, ChannelKind, ChannelOptions};
use heartbeat_daemon::monitor::notify::channels::NewChannel;
use heartbeat_daemon::monitor::notify::kinds::descriptor;
use heartbeat_daemon::monitor::notify::kinds::descriptor::{
    ChannelDraft, KindDescriptor, OptionField, OptionForm, SecretNeed, UrlPlace,
};
use heartbeat_daemon::monitor::registry::token::{Token, TokenUse};
use heartbeat_daemon::monitor::store::Refused;

#[derive(Template)]
#[template(path = "channel.html")]
struct ChannelPage {
    frame: Frame,
    title: String,
    /// Below the root.
    action: String,
    about: &'static str,
    /// Of a new channel: its recipient and kind.
    new: Option<(String, &'static str)>,
    target: FormField,
    secret: Option<SecretInput>,
    options: Vec<FormField>,
    can_find_chat: bool,
    problem: Option<String>,
}

struct FormField {
    name: &'static str,
    label: &'static str,
    help: &'static str,
    value: String,
    is_required: bool,
    has_lines: bool,
}

struct SecretInput {
    label: String,
    help: &'static str,
    is_required: bool,
}

/// Which channel a form is about.
#[derive(Debug, Clone, Copy)]
pub enum FormOf<'a> {
    New { recipient: &'a str, kind: ChannelKind },
    Changed(&'a Channel),
}

/// `GET /channels?kind=...&recipient=...`
pub fn new(context: &PageContext, visit: &Visit<'_>) -> Result<Response, PageRefusal> {
    visit.require(Role::Owner)?;
    let form = Form::of_query(visit.request)?;
    let kind = ChannelKind::from_name(form.text("kind")).ok_or(PageRefusal::NotFound)?;
    let known = context.shared.store.recipients()?;
    let Some(recipient) = known.iter().find(|known| known.name == form.text("recipient")) else {
        return Err(PageRefusal::NotFound);
    };
    Ok(render(visit, FormOf::New { recipient: &recipient.name, kind }, &Form::default(), None))
}

/// `GET /channels/{id}/address`
pub fn address(visit: &Visit<'_>, channel: &Channel) -> Result<Response, PageRefusal> {
    visit.require(Role::Owner)?;
    Ok(render(visit, FormOf::Changed(channel), &Form::default(), None))
}

/// The form with what was entered, and why it was refused.
pub fn refused(
    visit: &Visit<'_>,
    of: FormOf<'_>,
    entered: &Form,
    refused: Refused,
) -> Result<Response, PageRefusal> {
    Ok(render(visit, of, entered, Some(sentence(refused)?)))
}

fn render(visit: &Visit<'_>, of: FormOf<'_>, entered: &Form, problem: Option<String>) -> Response {
    let known = descriptor(of.kind());
    let entered = problem.is_some().then_some(entered);
    let (title, action, new) = match of {
        FormOf::New { recipient, kind } => (
            format!("New channel of {recipient}: {}", kind.shown()),
            "channels".to_owned(),
            Some((recipient.to_owned(), kind.name())),
        ),
        FormOf::Changed(channel) => {
            let ChannelId(id) = channel.id;
            (format!("{} {id}", capital(channel.kind.shown())), format!("channels/{id}/address"), None)
        }
    };
    let page = ChannelPage {
        frame: Frame::new(&visit.viewpoint, Section::People, &title),
        title,
        action,
        about: known.about,
        can_find_chat: new.is_some() && of.kind() == ChannelKind::Telegram,
        new,
        target: target_input(known, of.stored(), entered),
        secret: known.secret.as_ref().map(secret_input),
        options: known.options.iter().map(|option| option_input(option, of.stored(), entered)).collect(),
        problem,
    };
    form_page(page.problem.as_deref(), &page)
}

impl<'a> FormOf<'a> {
    fn kind(self) -> ChannelKind {
        match self {
            FormOf::New { kind, .. } => kind,
            FormOf::Changed(channel) => channel.kind,
        }
    }

    fn stored(self) -> Option<&'a Channel> {
        match self {
            FormOf::New { .. } => None,
            FormOf::Changed(channel) => Some(channel),
        }
    }
}

/// What was entered in a form that was refused, or else what is stored.
fn value(name: &str, entered: Option<&Form>, stored: Option<&str>) -> String {
    entered.map_or(stored.unwrap_or_default(), |form| form.text(name)).to_owned()
}

fn target_input(known: &KindDescriptor, stored: Option<&Channel>, entered: Option<&Form>) -> FormField {
    // The URL of a webhook can hold a key: it is not shown again.
    let shown = stored.filter(|_| known.address != UrlPlace::Target).map(|channel| channel.target.as_str());
    FormField {
        name: "target",
        label: known.target.label,
        help: known.target.help,
        value: value("target", entered, shown),
        is_required: true,
        has_lines: false,
    }
}

fn option_input(option: &OptionField, stored: Option<&Channel>, entered: Option<&Form>) -> FormField {
    FormField {
        name: option.name,
        label: option.label,
        help: option.help,
        value: value(option.name, entered, stored.and_then(|channel| channel.options.get(option.name))),
        is_required: option.form == OptionForm::Required,
        has_lines: option.form == OptionForm::Text,
    }
}

fn secret_input(field: &descriptor::SecretField) -> SecretInput {
    SecretInput {
        label: capital(field.called),
        help: match field.need {
            SecretNeed::Required => "Stored in the monitor's database and never shown again.",
            SecretNeed::Optional => {
                "Only if it is protected. Stored in the monitor's database and never shown again."
            }
            SecretNeed::Generated => "Empty: a new one is generated and shown once.",
        },
        is_required: field.need == SecretNeed::Required,
    }
}

/// The channel of a form, and the secret if it was generated here. No file is named: the page reads none.
pub fn entered_channel(
    context: &PageContext,
    kind: ChannelKind,
    form: &Form,
) -> Result<(NewChannel, Option<Token>), Refused> {
    let known = descriptor(kind);
    let target = form.text("target").to_owned();
    (known.target.check)(&target)?;
    let options = entered_options(known, form);
    let entered = form.filled("secret").filter(|_| known.secret.is_some());
    let settings = &context.notify.get();
    known.check_draft(&ChannelDraft { target: &target, secret: entered, options: &options, settings })?;
    let new = NewChannel { kind, target, secret: None, secret_file: None, token: None, options };
    let entered = entered.map(str::to_owned);
    if known.secret.as_ref().is_none_or(|field| field.need != SecretNeed::Generated) {
        return Ok((NewChannel { token: entered, ..new }, None));
    }
    if entered.is_some() {
        return Ok((NewChannel { secret: entered, ..new }, None));
    }
    let made = Token::make(TokenUse::Device).map_err(|error| format!("cannot make a secret: {error}"))?;
    Ok((NewChannel { secret: Some(made.as_str().to_owned()), ..new }, Some(made)))
}

/// The options that were filled in, not checked.
pub fn entered_options(known: &KindDescriptor, form: &Form) -> ChannelOptions {
    let entered = known.options.iter().filter_map(|option| {
        let value = form.filled(option.name)?;
        Some((option.name.to_owned(), value.to_owned()))
    });
    ChannelOptions(entered.collect())
}
