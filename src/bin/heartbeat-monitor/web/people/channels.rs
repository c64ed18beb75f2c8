//! The forms of channels: add, change the address, switch on and off, remove, test.

use super::channel_form::{self, FormOf, entered_channel, refused};
use super::{PeopleNote, show};
use crate::web::context::PageContext;
use crate::web::form::Form;
use crate::web::page::see_other;
use crate::web::refusal::{PageRefusal, answer};
use crate::web::route::ChannelForm;
use crate::web::visit::Visit;
use heartbeat_daemon::clock::Now;
use heartbeat_daemon::http::{Exchange, Response};
use heartbeat_daemon::monitor::accounts::visitor::Role;
use heartbeat_daemon::monitor::notify::channel::{Channel, ChannelId, ChannelKind};
use heartbeat_daemon::monitor::notify::kinds::descriptor;
use heartbeat_daemon::monitor::notify::target::is_public_target;
use heartbeat_daemon::monitor::notify::test_message::test_channel;
use heartbeat_daemon::monitor::registry::token::Token;
use heartbeat_daemon::monitor::store::Refused;
use heartbeat_daemon::startup::spawn;
use std::sync::Arc;

/// Tests of channels that run at the same time; each takes up to 10 s, and mail longer.
pub const MOST_TESTS: usize = 4;
/// Characters of a receiver's answer that are shown.
const LONGEST_ANSWER: usize = 300;

/// `POST /channels`
pub fn add(context: &PageContext, visit: &Visit<'_>) -> Result<Response, PageRefusal> {
    visit.require(Role::Owner)?;
    let form = Form::of_body(visit.request)?;
    let (store, now) = (&context.shared.store, visit.now.wall);
    let Some(kind) = ChannelKind::from_name(form.text("kind")) else {
        return show(
            context,
            visit,
            PeopleNote { problem: Some("Choose a kind.".into()), ..PeopleNote::default() },
        );
    };
    let added = entered_channel(context, kind, &form).and_then(|(new, secret)| {
        let id = store.add_channel(form.filled("recipient"), &new, now)?;
        Ok((id, secret))
    });
    match added {
        Ok((id, secret)) => {
            let (subject, detail) = (form.text("recipient"), format!("{} channel {}", kind.name(), id.0));
            store.record_audit(&visit.actor(), "channel.add", Some(subject), Some(&detail), now)?;
            context.changed();
            done(context, visit, &format!("Channel {} is added.", id.0), secret, "people")
        }
        Err(problem) => {
            let of = FormOf::New { recipient: form.text("recipient"), kind };
            refused(visit, of, &form, problem)
        }
    }
}

/// Back to the list, or to the only page that shows a secret which was made here.
fn done(
    context: &PageContext,
    visit: &Visit<'_>,
    what: &str,
    secret: Option<Token>,
    list: &str,
) -> Result<Response, PageRefusal> {
    let Some(secret) = secret else { return Ok(see_other(list.into())) };
    let done = Some(format!("{what} The receiver checks its secret:"));
    let secret = Some(secret.as_str().to_owned());
    show(context, visit, PeopleNote { done, secret, ..PeopleNote::default() })
}

/// `POST /channels/{id}/...` except the test.
pub fn change(
    context: &PageContext,
    visit: &Visit<'_>,
    id: ChannelId,
    form: ChannelForm,
) -> Result<Response, PageRefusal> {
    visit.require(Role::Owner)?;
    let (store, now) = (&context.shared.store, visit.now.wall);
    let action = match form {
        ChannelForm::Address => return change_address(context, visit, id),
        ChannelForm::Enable => store.enable_channel(id, true).map(|()| "channel.enable"),
        ChannelForm::Disable => store.enable_channel(id, false).map(|()| "channel.disable"),
        ChannelForm::Remove => store.remove_channel(id).map(|()| "channel.remove"),
        // On a thread of its own: see `test`.
        ChannelForm::Test => return Err(PageRefusal::Method),
    };
    let action = action.map_err(without_channel)?;
    store.record_audit(&visit.actor(), action, Some(&format!("channel {}", id.0)), None, now)?;
    context.changed();
    Ok(see_other("../../people".into()))
}

/// `GET /channels/{id}/address`
pub fn address_form(
    context: &PageContext,
    visit: &Visit<'_>,
    id: ChannelId,
) -> Result<Response, PageRefusal> {
    visit.require(Role::Owner)?;
    channel_form::address(visit, &context.shared.store.channel(id).map_err(without_channel)?)
}

/// `POST /channels/{id}/address`: the secret is entered again, so that it cannot be sent to an address of somebody who
/// does not know it.
fn change_address(context: &PageContext, visit: &Visit<'_>, id: ChannelId) -> Result<Response, PageRefusal> {
    let form = Form::of_body(visit.request)?;
    let (store, now) = (&context.shared.store, visit.now.wall);
    let channel = store.channel(id).map_err(without_channel)?;
    let changed = entered_channel(context, channel.kind, &form)
        .and_then(|(new, secret)| store.move_channel(id, &new).map(|()| secret));
    match changed {
        Ok(secret) => {
            let subject = format!("channel {}", id.0);
            store.record_audit(&visit.actor(), "channel.address", Some(&subject), None, now)?;
            context.changed();
            let what = format!("Channel {} has a new address.", id.0);
            done(context, visit, &what, secret, "../../people")
        }
        Err(problem) => refused(visit, FormOf::Changed(&channel), &form, problem),
    }
}

/// Without such a channel nothing is there; a failed database is no missing channel.
fn without_channel(refused: Refused) -> PageRefusal {
    match refused {
        Refused::Store(error) => error.into(),
        _ => PageRefusal::NotFound,
    }
}

/// `POST /channels/{id}/test`: on a thread of its own, because the receiver may take its time.
pub fn test(context: &Arc<PageContext>, id: ChannelId, exchange: Exchange, now: Now) {
    if let Err(refusal) = permit(context, &exchange, now) {
        return answer(exchange, Err(refusal));
    }
    let (take, give) = &context.tests;
    if take.try_send(()).is_err() {
        let sentence = "Other channels are being tested. Try again in a few seconds.";
        return answer(exchange, Err(PageRefusal::Invalid(sentence.into())));
    }
    let (shared, give) = (context.clone(), give.clone());
    let running = spawn("channel-test", move || {
        let answered = tested(&shared, id, &exchange, now);
        answer(exchange, answered);
        let _ = give.try_recv();
    });
    if let Err(problem) = running {
        // The exchange is gone with the thread; its reply was sent by its drop.
        let _ = context.tests.1.try_recv();
        log::warn!("cannot test a channel: {problem}");
    }
}

fn permit(context: &PageContext, exchange: &Exchange, now: Now) -> Result<(), PageRefusal> {
    crate::web::origin::check(&exchange.request, context.settings.get().web.public_url.as_ref())?;
    Visit::of(context, &exchange.request, now)?.require(Role::Operator)
}

fn tested(
    context: &PageContext,
    id: ChannelId,
    exchange: &Exchange,
    now: Now,
) -> Result<Response, PageRefusal> {
    let visit = Visit::of(context, &exchange.request, now)?;
    let store = &context.shared.store;
    let channel = store.channel(id).map_err(without_channel)?;
    let result = test_channel(&channel, &context.notify.get(), now.wall);
    store.record_audit(&visit.actor(), "channel.test", Some(&channel.name()), None, now.wall)?;
    let is_public = leads_outside(&channel);
    let shown = |answer: String| shown_answer(&answer, is_public);
    let note = match result {
        Ok(answer) => {
            PeopleNote { done: Some(format!("Channel {}: {}", id.0, shown(answer))), ..PeopleNote::default() }
        }
        Err(why) => {
            PeopleNote { problem: Some(format!("Channel {}: {}", id.0, shown(why))), ..PeopleNote::default() }
        }
    };
    show(context, &visit, note)
}

/// Whether what the receiver answers may be shown: it is a public service, or one that the configuration names.
fn leads_outside(channel: &Channel) -> bool {
    let secret = channel.read_token().ok().flatten();
    let url = descriptor(channel.kind).address.url(&channel.target, secret.as_deref(), &channel.options);
    url.is_none_or(is_public_target)
}

/// At most 300 characters; of a private address only the status, so that nobody can read internal servers this way.
fn shown_answer(answer: &str, is_public: bool) -> String {
    if is_public {
        return answer.chars().take(LONGEST_ANSWER).collect();
    }
    // A delivery's result begins with the status, if there was any.
    let status: String = answer.chars().take_while(char::is_ascii_digit).collect();
    if status.len() == 3 { format!("status {status}") } else { "not delivered".into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_of_a_private_address_is_its_status_only() {
        assert_eq!(shown_answer("500: root:x:0:0", false), "status 500");
        assert_eq!(shown_answer("500; response: 404 users", false), "status 500");
        assert_eq!(shown_answer("200: accepted by ntfy", false), "status 200");
        assert_eq!(shown_answer("connection refused by 10.0.0.1", false), "not delivered");
        assert_eq!(shown_answer("500: out of order", true), "500: out of order");
        assert_eq!(shown_answer(&"ä".repeat(400), true).chars().count(), 300);
    }
}
