//! Requests for pages that are refused.

use super::frame::Frame;
use super::page::response;
use super::route::to_root;
use askama::Template;
use heartbeat_daemon::http::{Exchange, Request, Response};
use heartbeat_daemon::monitor::store::{Refused, StoreError};
use std::time::Duration;

/// Why a page was not shown.
#[derive(Debug, PartialEq, Eq)]
pub enum PageRefusal {
    /// Not signed in, or the session has ended.
    SignIn,
    /// The role does not permit it.
    Forbidden,
    /// There is no such thing, or it is outside the visitor's scope: both look the same.
    NotFound,
    Method,
    /// The form was sent from another site.
    CrossSite,
    /// Too many attempts, or too many people sign in; another attempt is possible after this time.
    TooMany(Duration),
    /// A sensitive change asks for the password again, and it was wrong.
    WrongPassword,
    /// The request is wrong: one sentence for the person who sent it.
    Invalid(String),
    /// The database failed; the sentence is for the log.
    Failed(String),
}

impl From<StoreError> for PageRefusal {
    fn from(error: StoreError) -> PageRefusal {
        PageRefusal::Failed(error.to_string())
    }
}

impl From<Refused> for PageRefusal {
    fn from(refused: Refused) -> PageRefusal {
        match refused {
            Refused::Store(error) => error.into(),
            other => PageRefusal::Invalid(other.to_string()),
        }
    }
}

#[derive(Template)]
#[template(path = "refusal.html")]
struct RefusalPage {
    frame: Frame,
    sentence: String,
}

impl PageRefusal {
    /// A page that says why; the way to the sign-in if that is what is missing.
    pub fn into_response(self, request: &Request) -> Response {
        let root = to_root(request.path());
        if self == PageRefusal::SignIn {
            return Response::new(303).header("Location", format!("{root}login{}", next(request)));
        }
        let retry = match self {
            PageRefusal::TooMany(wait) => Some(wait.as_secs() + 1),
            _ => None,
        };
        let (status, sentence) = self.explain();
        let page = RefusalPage { frame: Frame::without_user(root, "Not shown"), sentence };
        let response = super::page::html(status, &page);
        match retry {
            Some(seconds) => response.header("Retry-After", seconds.to_string()),
            None => response,
        }
    }

    /// For a script: the status says enough.
    pub fn into_brief_response(self) -> Response {
        let (status, sentence) = self.explain();
        Response::error(status, &sentence)
    }

    /// For the person, in another page.
    pub fn sentence(self) -> String {
        self.explain().1
    }

    fn explain(self) -> (u16, String) {
        match self {
            PageRefusal::SignIn => (401, "sign in first".into()),
            PageRefusal::Forbidden => (403, "Your role does not permit this. Ask an owner.".into()),
            PageRefusal::NotFound => (404, "There is nothing here, or it is not yours to see.".into()),
            PageRefusal::Method => (
                405,
                "This address does not accept such requests. Heartbeats go to /api/v1/heartbeat.".into(),
            ),
            PageRefusal::CrossSite => (
                403,
                "This form was sent from another site. Open the page again; if that does not help, [web] public_url \
                 in the monitor's configuration is not the address that you use."
                    .into(),
            ),
            PageRefusal::TooMany(wait) => {
                (429, format!("Too many attempts. Try again in {} s.", wait.as_secs() + 1))
            }
            PageRefusal::WrongPassword => {
                (403, "The password is wrong, and nothing was changed. Go back and enter your own password.".into())
            }
            PageRefusal::Invalid(sentence) => (400, sentence),
            PageRefusal::Failed(reason) => {
                log::error!("cannot show a page: {reason}");
                (500, "The monitor cannot read or write its database; its log has the reason.".into())
            }
        }
    }
}

/// Why a form was refused, for the page that shows the form again.
///
/// # Errors
/// [`PageRefusal::Failed`]: it was the database, and not the form.
pub fn sentence(refused: Refused) -> Result<String, PageRefusal> {
    match refused {
        Refused::Store(error) => Err(error.into()),
        other => Ok(other.to_string()),
    }
}

/// Sends a page, or says why it is refused.
pub fn answer(exchange: Exchange, answered: Result<Response, PageRefusal>) {
    let Exchange { request, reply } = exchange;
    let page = answered.unwrap_or_else(|refusal| refusal.into_response(&request));
    reply.send(response(&request, page));
}

/// The page to return to after the sign-in.
fn next(request: &Request) -> String {
    let path = request.path().trim_start_matches('/');
    let is_plain = path.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'/');
    if path.is_empty() || !is_plain { String::new() } else { format!("?next={path}") }
}
