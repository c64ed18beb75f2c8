//! `/settings/users/{id}`: changes of one user by an owner.

use super::confirm::answer_confirmed;
use super::context::SignInContext;
use super::permits::{Permits, RoleChoice};
use super::users::link_page;
use crate::web::form::Form;
use crate::web::frame::{Frame, Section};
use crate::web::page::{html, see_other};
use crate::web::refusal::{PageRefusal, answer};
use crate::web::visit::SignedIn;
use crate::web::visit::Visit;
use askama::Template;
use heartbeat_daemon::http::{Exchange, Response};
use heartbeat_daemon::monitor::accounts::roles::UserChange;
use heartbeat_daemon::monitor::accounts::users::{User, described};
use heartbeat_daemon::monitor::accounts::visitor::{AccessScope, Role, UserId};
use std::sync::Arc;

#[derive(Template)]
#[template(path = "user.html")]
struct UserPage {
    frame: Frame,
    id: i64,
    name: String,
    permits: String,
    done: Option<&'static str>,
    has_totp: bool,
    sessions: usize,
    roles: Vec<RoleChoice>,
    groups: String,
    tags: String,
}

/// What an owner does with a user.
enum UserAction {
    Change(Role, AccessScope),
    Link,
    SignOut,
    NoSecondFactor,
    Remove,
}

/// `GET /settings/users/{id}`
pub fn page(context: &SignInContext, visit: &Visit<'_>, id: UserId) -> Result<Response, PageRefusal> {
    visit.require(Role::Owner)?;
    let user = known(context, id)?;
    let done = Form::of_query(visit.request)?.filled("done").map(|_| "Done.");
    let permits = Permits::of(user.role, &user.scope);
    Ok(html(
        200,
        &UserPage {
            frame: Frame::new(&visit.viewpoint, Section::Settings, user.name.clone()),
            id: id.0,
            permits: format!("{}.", described(user.role, &user.scope)),
            name: user.name,
            done,
            has_totp: user.has_totp,
            sessions: context.store.sessions(id, visit.now.wall)?.len(),
            roles: permits.roles,
            groups: permits.groups,
            tags: permits.tags,
        },
    ))
}

/// `POST /settings/users/{id}`
pub fn submit(context: &Arc<SignInContext>, visit: SignedIn, exchange: Exchange, id: UserId) {
    let read = visit.require(Role::Owner).and_then(|()| Form::of_body(&exchange.request));
    let read = read.and_then(|form| Ok((action(&form)?, form.exact("current").to_owned())));
    match read {
        Ok((action, current)) => {
            answer_confirmed(context, visit, current, exchange, move |context, _, visit| {
                act(context, visit, id, action)
            });
        }
        Err(refusal) => answer(exchange, Err(refusal)),
    }
}

fn action(form: &Form) -> Result<UserAction, PageRefusal> {
    Ok(match form.text("action") {
        "change" => {
            let (role, scope) = Permits::read(form)?;
            UserAction::Change(role, scope)
        }
        "link" => UserAction::Link,
        "sign-out" => UserAction::SignOut,
        "totp-off" => UserAction::NoSecondFactor,
        "remove" => UserAction::Remove,
        _ => return Err(PageRefusal::Invalid("Choose what to do.".into())),
    })
}

fn act(
    context: &SignInContext,
    visit: &SignedIn,
    id: UserId,
    action: UserAction,
) -> Result<Response, PageRefusal> {
    let (store, actor, now) = (&context.store, visit.actor(), visit.now.wall);
    let name = known(context, id)?.name;
    match action {
        UserAction::Change(role, scope) => {
            let change = UserChange { role: Some(role), scope: Some(scope) };
            store.change_user(&actor, &name, &change, now)?;
        }
        UserAction::Link => return link_page(context, visit, id),
        UserAction::SignOut => {
            store.end_sessions(id, None)?;
            store.record_audit(&actor, "user.sessions.end", Some(&name), None, now)?;
        }
        UserAction::NoSecondFactor => store.clear_totp(&actor, id, now)?,
        UserAction::Remove => {
            store.remove_user(&actor, &name, now)?;
            return Ok(see_other(format!("{}settings/users?done=1", visit.viewpoint.root)));
        }
    }
    Ok(see_other(format!("{}settings/users/{}?done=1", visit.viewpoint.root, id.0)))
}

fn known(context: &SignInContext, id: UserId) -> Result<User, PageRefusal> {
    context.store.user(id)?.ok_or(PageRefusal::NotFound)
}
