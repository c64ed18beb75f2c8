//! What a form leaves on the page that it belongs to.

use super::page::{html, see_other};
use super::refusal::{PageRefusal, sentence};
use askama::Template;
use heartbeat_daemon::http::Response;
use heartbeat_daemon::monitor::store::Refused;

/// Neither of both before a form is sent.
pub struct FormOutcome<S = String> {
    /// A token or a link that was just made; shown once.
    pub secret: Option<S>,
    /// Why the form was refused.
    pub problem: Option<String>,
}

impl<S> Default for FormOutcome<S> {
    fn default() -> FormOutcome<S> {
        FormOutcome { secret: None, problem: None }
    }
}

/// Answers a form that makes a secret or changes something: `show` renders the page with a secret or with a problem;
/// otherwise the browser is led back to `page`.
pub fn answer_form<S>(
    applied: Result<Option<S>, Refused>,
    page: &str,
    show: impl FnOnce(FormOutcome<S>) -> Result<Response, PageRefusal>,
) -> Result<Response, PageRefusal> {
    match applied {
        Ok(None) => Ok(see_other(page.into())),
        Ok(secret) => show(FormOutcome { secret, problem: None }),
        Err(refused) => show(FormOutcome { secret: None, problem: Some(sentence(refused)?) }),
    }
}

/// A page with its form: 400 if the form was refused.
pub fn form_page(problem: Option<&str>, page: &impl Template) -> Response {
    html(if problem.is_some() { 400 } else { 200 }, page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Template)]
    #[template(source = "{{ text }}", ext = "txt")]
    struct FormTemplate {
        text: String,
    }

    fn shown(outcome: FormOutcome) -> Result<Response, PageRefusal> {
        let text = format!("{:?} {:?}", outcome.secret, outcome.problem);
        Ok(form_page(outcome.problem.as_deref(), &FormTemplate { text }))
    }

    #[test]
    fn a_form_leads_back_or_shows_its_secret_or_why_it_was_refused() {
        let answer = |applied| {
            let response = answer_form(applied, "keys", shown).expect("a response");
            (response.status(), String::from_utf8_lossy(response.content()).into_owned())
        };
        assert_eq!(answer(Ok(None)), (303, String::new()));
        assert_eq!(answer(Ok(Some("t0ken".into()))), (200, "Some(\"t0ken\") None".into()));
        assert_eq!(answer(Err(Refused::because("no"))), (400, "None Some(\"no\")".into()));
    }
}
