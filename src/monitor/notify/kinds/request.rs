//! A JSON request to a service, and its answer without the secrets that it may repeat.

use super::descriptor::Delivery;
use crate::monitor::notify::http::{HttpResponse, Refusal};
use crate::monitor::notify::message::DeliveryError;
use serde_json::Value;
use ureq::http::Uri;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestMethod {
    Post,
    Put,
}

/// Without `Debug`: URL, headers or body have the secret.
pub struct ServiceRequest<'a> {
    pub method: RequestMethod,
    pub url: &'a str,
    /// Besides the content type.
    pub headers: &'a [(&'static str, String)],
    pub body: &'a Value,
    pub secret: &'a str,
}

impl<'a> ServiceRequest<'a> {
    /// A POST without headers of its own.
    pub fn post(url: &'a str, body: &'a Value, secret: &'a str) -> ServiceRequest<'a> {
        ServiceRequest { method: RequestMethod::Post, url, headers: &[], body, secret }
    }
}

impl Delivery<'_> {
    /// Sends a request to the channel's service. `judge` says what an answer means; `None`: the message was accepted.
    pub fn request(
        &self,
        request: &ServiceRequest<'_>,
        judge: fn(&HttpResponse) -> Option<Refusal>,
    ) -> Result<String, DeliveryError> {
        let body = serde_json::to_vec(request.body);
        let body = body.map_err(|error| DeliveryError::Never { why: error.to_string() })?;
        let headers = [&[("Content-Type", "application/json".to_owned())], request.headers].concat();
        let client = self.client(request.url);
        let mut answer = match request.method {
            RequestMethod::Post => client.post(request.url, &headers, &body)?,
            RequestMethod::Put => client.put(request.url, &headers, &body)?,
        };
        answer.body = without_secret(&answer.body, request.secret);
        match judge(&answer) {
            None => Ok(format!("{}: accepted by {}", answer.status, self.channel.kind.shown())),
            Some(refusal) => Err(answer.refused(&refusal)),
        }
    }

    /// Posts to the URL that is the channel's secret.
    pub fn post_to_secret(
        &self,
        body: &Value,
        judge: fn(&HttpResponse) -> Option<Refusal>,
    ) -> Result<String, DeliveryError> {
        let url = self.secret()?;
        self.request(&ServiceRequest::post(&url, body, &url), judge)
    }
}

/// The refusal of a status that is not a success, as `known` explains it. No service ever accepts a text that is too
/// large for it.
pub fn judged(answer: &HttpResponse, known: impl FnOnce() -> Refusal) -> Option<Refusal> {
    match answer.status {
        200..=299 => None,
        413 => Some(Refusal::never("the text is too long for the service")),
        _ => Some(known()),
    }
}

/// Shorter parts of a secret URL are not secret: `api`, `webhook`.
const SHORTEST_SECRET_PART: usize = 8;

/// The answer may repeat the request: keeps the secret, and the parts of a secret URL, out of log and page.
fn without_secret(text: &str, secret: &str) -> String {
    let mut text = text.replace(secret, "(secret)");
    if let Ok(uri) = secret.parse::<Uri>() {
        let parts = uri.path().split('/').chain(uri.query().unwrap_or_default().split(['&', '=']));
        for part in parts.filter(|part| part.len() >= SHORTEST_SECRET_PART) {
            text = text.replace(part, "(secret)");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_keeps_neither_a_secret_nor_a_part_of_a_secret_url() {
        assert_eq!(without_secret("bad token abc", "abc"), "bad token (secret)");
        let url = "https://hooks.example/services/T0AAAAAAAA/B0BBBBBB?sig=0123456789abcdef";
        let said = without_secret(&format!("no {url} /services/T0AAAAAAAA/B0BBBBBB 0123456789abcdef"), url);
        for part in ["T0AAAAAAAA", "B0BBBBBB", "0123456789abcdef"] {
            assert!(!said.contains(part), "{said}");
        }
    }
}
