//! The HTTP request that carries a heartbeat.

use super::credentials::Credentials;
use crate::device::config::{self, Format, Method};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use std::time::Duration;
use ureq::http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use ureq::http::{Method as HttpMethod, Request, Response, Uri};
use ureq::{Agent, Body};

/// All but the unreserved characters of RFC 3986.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Everything in a request that does not change from heartbeat to heartbeat.
#[derive(Debug, Clone)]
pub struct RequestTemplate {
    pub uri: Uri,
    method: Method,
    token: Option<(HeaderName, HeaderValue)>,
}

/// Sends a request and waits for the head of its answer.
pub fn run<B: ureq::AsSendBody>(
    agent: &Agent,
    request: Request<B>,
    limit: Option<Duration>,
) -> Result<Response<Body>, ureq::Error> {
    // A request with a limit of its own costs a copy of the configuration; usually it has none.
    match limit {
        Some(_) => agent.run(agent.configure_request(request).timeout_global(limit).build()),
        None => agent.run(request),
    }
}

impl RequestTemplate {
    /// `None` if no server is configured.
    pub fn new(config: &config::HeartbeatConfig, credentials: &Credentials) -> Option<RequestTemplate> {
        let url = config.url.as_ref()?;
        let uri = match (config.format, &config.device_key) {
            (Format::Meeting, Some(key)) => meeting_uri(url, key),
            _ => url.clone(),
        };
        let token = credentials.token.as_ref().and_then(|token| {
            let (name, value) = match config.format {
                Format::Meeting => (HeaderName::from_static("x-token-code"), token.expose().to_owned()),
                _ => (AUTHORIZATION, format!("Bearer {}", token.expose())),
            };
            // The token has been checked: printable ASCII.
            let mut value = HeaderValue::from_str(&value).ok()?;
            value.set_sensitive(true);
            Some((name, value))
        });
        Some(RequestTemplate { uri, method: config.method, token })
    }

    /// In a header, or in the URL's query.
    pub fn has_token(&self) -> bool {
        self.token.is_some() || config::advice::has_token_in_query(&self.uri)
    }

    /// `limit` where it is not the agent's.
    pub fn send(
        &self,
        agent: &Agent,
        body: &[u8],
        limit: Option<Duration>,
    ) -> Result<Response<Body>, ureq::Error> {
        match self.method {
            Method::Post => run(agent, self.post(body)?, limit),
            Method::Get => run(agent, self.get(body)?, limit),
        }
    }

    /// A HEAD request in place of a heartbeat.
    pub fn head(&self) -> Result<Request<()>, ureq::Error> {
        self.finish(Request::builder().method(HttpMethod::HEAD).uri(self.uri.clone()), ())
    }

    fn post<'b>(&self, body: &'b [u8]) -> Result<Request<&'b [u8]>, ureq::Error> {
        let request = Request::builder()
            .method(HttpMethod::POST)
            .uri(self.uri.clone())
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self.finish(request, body)
    }

    /// The form of the first servers: `?params=<url-encoded JSON>`.
    fn get(&self, body: &[u8]) -> Result<Request<()>, ureq::Error> {
        let mark = if self.uri.query().is_some() { '&' } else { '?' };
        let uri = format!("{}{mark}params={}", self.uri, percent_encode(body, RESERVED));
        let uri: Uri = uri.parse().map_err(|e: ureq::http::uri::InvalidUri| ureq::Error::Http(e.into()))?;
        self.finish(Request::builder().method(HttpMethod::GET).uri(uri), ())
    }

    fn finish<B>(&self, request: ureq::http::request::Builder, body: B) -> Result<Request<B>, ureq::Error> {
        let request = match &self.token {
            Some((name, value)) => request.header(name, value),
            None => request,
        };
        Ok(request.body(body)?)
    }
}

/// `{url}/api/devices/{device_key}/online`. The original's `api_url` may end in `/api` already. The key has been checked
/// to need no encoding.
fn meeting_uri(url: &Uri, device_key: &str) -> Uri {
    let base = url.to_string();
    let base = base.split(['?', '#']).next().unwrap_or_default().trim_end_matches('/');
    let base = base.strip_suffix("/api").map_or(base, |base| base.trim_end_matches('/'));
    format!("{base}/api/devices/{device_key}/online").parse().unwrap_or_else(|_| url.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_meeting_api_has_its_path_below_the_configured_url() {
        for base in ["https://api.example.org", "https://api.example.org/"] {
            let uri = meeting_uri(&base.parse().expect("a URL"), "cam-7");
            assert_eq!(uri.to_string(), "https://api.example.org/api/devices/cam-7/online");
        }
    }
}
