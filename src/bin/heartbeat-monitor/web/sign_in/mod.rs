//! Signing in and out, the visitor's own account, and the users.
//!
//! Requests that need a hash are answered on the thread `password`, all others on the thread `page`.
//!
//! | file | what it owns |
//! |---|---|
//! | `login` | name and password, then the second factor; sign-out |
//! | `welcome`, `new_password` | a link with which a user sets a password |
//! | `arrive`, `cookies` | the new session and its cookies |
//! | `account`, `second_factor` | the visitor's own password, second factor, time zone and sessions |
//! | `browser_name` | what a `User-Agent` says, for people |
//! | `users`, `user`, `permits` | all users, for owners; one of them; role and limits |
//! | `confirm` | sensitive changes, which ask for the password again |
//! | `hashing` | the way to the thread `password` and back |
//! | `context` | limits of attempts, keys, the queue of that thread |

mod account;
mod arrive;
mod browser_name;
mod confirm;
pub mod context;
mod cookies;
mod hashing;
mod login;
mod new_password;
mod permits;
mod second_factor;
mod user;
mod users;
mod welcome;

use super::context::PageContext;
use super::origin;
use super::refusal::{PageRefusal, answer};
use super::route::PageRoute;
use super::visit::{SignedIn, Visit};
use context::SignInContext;
use heartbeat_daemon::clock::Now;
use heartbeat_daemon::http::{Exchange, Method, Request, Response};
use std::sync::Arc;

/// Whether the requests of a path are answered here.
pub fn owns(route: PageRoute) -> bool {
    use PageRoute::{Account, Login, Logout, User, Users, Welcome};
    matches!(route, Login | Logout | Welcome | Account | Users | User(_))
}

/// Answers a request of one of these pages, now or on the thread `password`.
pub fn handle(
    pages: &PageContext,
    context: &Arc<SignInContext>,
    route: PageRoute,
    exchange: Exchange,
    now: Now,
) {
    if exchange.request.method() == Method::Get {
        let answered = show(pages, context, route, &exchange.request, now);
        return answer(exchange, answered);
    }
    if let Err(refusal) = origin::check(&exchange.request, context.public_url().as_ref()) {
        return answer(exchange, Err(refusal));
    }
    match route {
        PageRoute::Login => login::submit(context, exchange, now),
        PageRoute::Welcome => welcome::submit(context, exchange, now),
        PageRoute::Logout => {
            let answered = login::sign_out(context, &exchange.request);
            answer(exchange, answered);
        }
        _ => match visit(pages, &exchange.request, now) {
            Ok(visit) => change(context, visit, route, exchange),
            Err(refusal) => answer(exchange, Err(refusal)),
        },
    }
}

/// A form of a signed-in user.
fn change(context: &Arc<SignInContext>, visit: SignedIn, route: PageRoute, exchange: Exchange) {
    match route {
        PageRoute::Account => account::submit(context, visit, exchange),
        PageRoute::Users => users::submit(context, visit, exchange),
        PageRoute::User(id) => user::submit(context, visit, exchange, id),
        _ => answer(exchange, Err(PageRefusal::Method)),
    }
}

fn visit(pages: &PageContext, request: &Request, now: Now) -> Result<SignedIn, PageRefusal> {
    Visit::of(pages, request, now).map(|visit| visit.signed_in)
}

fn show(
    pages: &PageContext,
    context: &Arc<SignInContext>,
    route: PageRoute,
    request: &Request,
    now: Now,
) -> Result<Response, PageRefusal> {
    match route {
        PageRoute::Login => match Visit::of(pages, request, now) {
            Ok(_) => Ok(super::page::see_other("./".into())),
            Err(_) => login::form(request),
        },
        PageRoute::Welcome => welcome::form(context, request, now),
        PageRoute::Account => account::page(context, &Visit::of(pages, request, now)?),
        PageRoute::Users => users::page(context, &Visit::of(pages, request, now)?),
        PageRoute::User(id) => user::page(context, &Visit::of(pages, request, now)?, id),
        _ => Err(PageRefusal::Method),
    }
}
