//! `/settings/users`: who can sign in, and new users. For owners.

use super::confirm::answer_confirmed;
use super::context::SignInContext;
use super::permits::{Permits, RoleChoice};
use crate::web::form::Form;
use crate::web::frame::{Frame, Section};
use crate::web::page::html;
use crate::web::refusal::{PageRefusal, answer};
use crate::web::visit::SignedIn;
use crate::web::visit::Visit;
use askama::Template;
use heartbeat_daemon::http::{Exchange, Response};
use heartbeat_daemon::monitor::accounts::invitations::link_of;
use heartbeat_daemon::monitor::accounts::users::{User, limits_of};
use heartbeat_daemon::monitor::accounts::visitor::{AccessScope, Role, UserId};
use std::sync::Arc;

#[derive(Template)]
#[template(path = "users.html")]
struct UsersPage {
    frame: Frame,
    done: Option<&'static str>,
    users: Vec<UserRow>,
    roles: Vec<RoleChoice>,
    groups: String,
    tags: String,
}

struct UserRow {
    id: i64,
    name: String,
    role: &'static str,
    machines: String,
    has_password: bool,
    has_totp: bool,
}

#[derive(Template)]
#[template(path = "user_link.html")]
struct LinkPage {
    frame: Frame,
    name: String,
    link: String,
    /// With `[web] public_url`.
    is_complete: bool,
}

/// `GET /settings/users`
pub fn page(context: &SignInContext, visit: &Visit<'_>) -> Result<Response, PageRefusal> {
    visit.require(Role::Owner)?;
    let done = Form::of_query(visit.request)?.filled("done").map(|_| "The user is removed.");
    let new = Permits::of(Role::Viewer, &AccessScope::All);
    Ok(html(
        200,
        &UsersPage {
            frame: Frame::new(&visit.viewpoint, Section::Settings, "Users"),
            done,
            users: context.store.users()?.into_iter().map(row).collect(),
            roles: new.roles,
            groups: new.groups,
            tags: new.tags,
        },
    ))
}

fn row(user: User) -> UserRow {
    UserRow {
        id: user.id.0,
        name: user.name,
        role: user.role.name(),
        machines: limits_of(&user.scope).unwrap_or_else(|| "all".into()),
        has_password: user.has_password,
        has_totp: user.has_totp,
    }
}

/// `POST /settings/users`
pub fn submit(context: &Arc<SignInContext>, visit: SignedIn, exchange: Exchange) {
    let read = visit.require(Role::Owner).and_then(|()| Form::of_body(&exchange.request));
    let read = read.and_then(|form| Ok((Permits::read(&form)?, form)));
    let ((role, scope), form) = match read {
        Ok(read) => read,
        Err(refusal) => return answer(exchange, Err(refusal)),
    };
    let (name, current) = (form.text("name").to_owned(), form.exact("current").to_owned());
    answer_confirmed(context, visit, current, exchange, move |context, _, visit| {
        let id = context.store.add_user(&visit.actor(), &name, role, &scope, visit.now.wall)?;
        link_page(context, visit, id)
    });
}

/// Makes a link with which the user sets a password, and shows it.
pub fn link_page(context: &SignInContext, visit: &SignedIn, user: UserId) -> Result<Response, PageRefusal> {
    let name = context.store.user(user)?.ok_or(PageRefusal::NotFound)?.name;
    let token = context.store.invite(&visit.actor(), &name, visit.now.wall)?;
    let public_url = context.public_url();
    let frame = Frame::new(&visit.viewpoint, Section::Settings, format!("A link for {name}"));
    let link = link_of(&token, public_url.as_ref());
    Ok(html(200, &LinkPage { frame, name, link, is_complete: public_url.is_some() }))
}
