//! Status pages for people without an account: `/status/KEY` and its badge, where KEY is a group's slug or a secret.
//!
//! No session is looked up and no cookie is set. What was rendered is kept for seconds, so that a page under load reads the
//! database no more often than a quiet one. An address that was never valid, one that was revoked and that of a page that is
//! off get the same bytes after the same work.
//!
//! | file | what it owns |
//! |---|---|
//! | `cache` | open pages, their machines and rendered answers, each for some seconds |
//! | `board` | the machines of one page, and its parts |
//! | `page` | the page |
//! | `bar` | 90 days of a machine as a picture |
//! | `badge` | the state of a group as a small picture |

mod badge;
mod bar;
mod board;
pub mod cache;
mod page;

use super::context::PageContext;
use super::form::Form;
use super::page::{HTML, has_gzip, secured, unlisted};
use cache::Part;
use heartbeat_daemon::clock::Now;
use heartbeat_daemon::http::{Method, Request, Response};
use heartbeat_daemon::monitor::registry::token::TokenHash;
use percent_encoding::percent_decode_str;

/// Behind the key of the page.
const BADGE: &str = "/badge.svg";

/// `GET /status/KEY`, `GET /status/KEY/badge.svg`
pub fn respond(context: &PageContext, request: &Request, now: Now) -> Response {
    if request.method() != Method::Get {
        return private(Response::error(405, "use GET")).header("Allow", "GET, HEAD");
    }
    let Some((key, part)) = requested(request) else { return not_found() };
    let kept = context.settings.get().kept;
    let found = context.status.answer(&context.shared.store, kept, &key, part, now);
    match found {
        Ok(Some(answer)) => answer.for_client(has_gzip(request.header("Accept-Encoding"))),
        Ok(None) => not_found(),
        Err(error) => {
            log::error!("cannot read the database for a status page: {error}");
            private(Response::error(503, "this page is not available at the moment"))
        }
    }
}

/// The hash of the key, and what is requested of its page.
fn requested(request: &Request) -> Option<(TokenHash, Part)> {
    let path = request.path().strip_prefix("/status/")?;
    let number = || Form::of_query(request).ok().and_then(|query| query.text("page").parse().ok());
    let (key, part) = match path.strip_suffix(BADGE) {
        Some(key) => (key, Part::Badge),
        None => (path, Part::Page(number().unwrap_or(1))),
    };
    let key = percent_decode_str(key).decode_utf8().ok()?;
    Some((TokenHash::of(&key), part))
}

/// The same for each address without a page, whatever the reason. Without a style sheet, whose relative address would depend
/// on the path.
fn not_found() -> Response {
    const BODY: &str = "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
        <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
        <meta name=\"color-scheme\" content=\"light dark\"><title>No such page</title></head>\
        <body><h1>No such page</h1><p>There is no status page at this address, or not any more.</p></body></html>\n";
    private(Response::new(404).body(HTML, BODY.as_bytes()))
}

/// For answers that nobody may keep.
fn private(response: Response) -> Response {
    secured(unlisted(response).header("Cache-Control", "no-store"))
}
