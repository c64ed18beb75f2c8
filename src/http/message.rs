//! A request and a response, as handlers see them.

#[cfg(feature = "monitor")]
use super::file_body::FileBody;
use serde::Serialize;
use std::borrow::Cow;
use std::net::SocketAddr;
use std::ops::Range;

/// Method of a request; any unknown word is [`Method::Other`], for the handler to reject. The server itself answers
/// CONNECT, which has no path, with 501.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
    Options,
    Other,
}

/// The other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    Tcp(SocketAddr),
    /// A client of the socket file, whose mode and group restrict access.
    Unix,
}

/// Headers that proxies add; each proxy adds some of them. RFC 9110 section 7.6.3 requires `Via`.
const FORWARDED: [&str; 4] = ["Forwarded", "Via", "X-Forwarded-For", "X-Real-IP"];

/// A complete request; head and body share one buffer, and the ranges point into it.
#[derive(Debug)]
pub struct Request {
    pub(super) method: Method,
    pub(super) is_head: bool,
    pub(super) bytes: Vec<u8>,
    pub(super) path: Range<usize>,
    /// Without the question mark.
    pub(super) query: Option<Range<usize>>,
    /// Name and value.
    pub(super) headers: Vec<(Range<usize>, Range<usize>)>,
    pub(super) body: Range<usize>,
    pub(super) has_length: bool,
    pub(super) peer: Peer,
}

impl Request {
    /// GET for HEAD too: the response is the same, but its body is not sent.
    pub fn method(&self) -> Method {
        self.method
    }

    /// The request is a HEAD.
    pub fn is_head(&self) -> bool {
        self.is_head
    }

    /// As sent, percent-encoded, up to the question mark. ASCII: the parser rejects anything else.
    pub fn path(&self) -> &str {
        self.text(&self.path)
    }

    /// Everything after the question mark, percent-encoded. May contain a token: never log it.
    pub fn query(&self) -> Option<&str> {
        self.query.as_ref().map(|range| self.text(range))
    }

    /// The first header of this name (case-insensitive). Also `None` if its value is not ASCII: use
    /// [`Request::header_lines`] to test whether one was sent.
    pub fn header(&self, name: &str) -> Option<&str> {
        let value = self.header_lines(name).next()?;
        value.is_ascii().then(|| std::str::from_utf8(value).ok()).flatten()
    }

    /// The token in `Authorization: Bearer TOKEN`; the scheme is case-insensitive (RFC 9110, 11.1).
    pub fn bearer(&self) -> Option<&str> {
        let (scheme, token) = self.header("Authorization")?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
    }

    /// Whether a proxy forwards it for another client.
    pub fn is_forwarded(&self) -> bool {
        FORWARDED.iter().any(|name| self.header_lines(name).next().is_some())
    }

    /// Values of all headers of this name, in the order in which they were sent. A proxy may add a line instead of
    /// extending the client's.
    pub fn header_lines(&self, name: &str) -> impl DoubleEndedIterator<Item = &[u8]> {
        let named =
            move |(found, _): &&(Range<usize>, Range<usize>)| self.text(found).eq_ignore_ascii_case(name);
        self.headers.iter().filter(named).filter_map(|(_, value)| self.bytes.get(value.clone()))
    }

    pub fn body(&self) -> &[u8] {
        self.bytes.get(self.body.clone()).unwrap_or_default()
    }

    /// The body of a request that must have one. `curl -X POST` alone sends none, so handlers without use for a body
    /// do not call this.
    ///
    /// # Errors
    /// 411: the request has neither Content-Length nor Transfer-Encoding.
    pub fn content(&self) -> Result<&[u8], Response> {
        if self.has_length { Ok(self.body()) } else { Err(Response::error(411, "Content-Length is missing")) }
    }

    pub fn peer(&self) -> Peer {
        self.peer
    }

    fn text(&self, range: &Range<usize>) -> &str {
        self.bytes.get(range.clone()).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
    }
}

/// A response. The server adds `Content-Length`, `Date` and `Connection`.
#[derive(Debug, Clone)]
pub struct Response {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, Cow<'static, str>)>,
    pub(super) body: Cow<'static, [u8]>,
    pub(super) authenticated: bool,
    /// The connection ends after it.
    pub(super) is_last: bool,
    /// The body, instead of `body`.
    #[cfg(feature = "monitor")]
    pub(super) file: Option<FileBody>,
}

impl Response {
    /// A response without a body.
    pub fn new(status: u16) -> Response {
        Response {
            status,
            headers: Vec::new(),
            body: Cow::Borrowed(&[]),
            authenticated: false,
            is_last: false,
            #[cfg(feature = "monitor")]
            file: None,
        }
    }

    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Response {
        self.headers.push((name, value.into()));
        self
    }

    #[must_use]
    pub fn body(self, content_type: &'static str, body: impl Into<Cow<'static, [u8]>>) -> Response {
        let mut response = self.header("Content-Type", content_type);
        response.body = body.into();
        response
    }

    /// A body without Content-Type, for readers that know its format: a fleet on metered links pays for each byte, and
    /// RFC 9110 8.3 only recommends the header.
    #[must_use]
    pub fn bare(status: u16, body: impl Into<Cow<'static, [u8]>>) -> Response {
        Response { body: body.into(), ..Response::new(status) }
    }

    /// `value` as JSON; 500 if it cannot be written.
    pub fn json(status: u16, value: &impl Serialize) -> Response {
        match serde_json::to_vec(value) {
            Ok(body) => Response::new(status).body("application/json", body),
            Err(_) => Response::new(500),
        }
    }

    /// `{"error": "..."}`, the form of every error.
    pub fn error(status: u16, error: &str) -> Response {
        Response::json(status, &serde_json::json!({ "error": error }))
    }

    /// Marks the request as authenticated: its connection is evicted after all others.
    #[must_use]
    pub fn authenticated(mut self) -> Response {
        self.authenticated = true;
        self
    }

    /// The connection ends after it (`Connection: close`), so that the client looks for another server.
    pub fn last(mut self) -> Response {
        self.is_last = true;
        self
    }

    pub fn has_header(&self, name: &str) -> bool {
        self.headers.iter().any(|(found, _)| found.eq_ignore_ascii_case(name))
    }

    pub fn content(&self) -> &[u8] {
        &self.body
    }

    /// The same response with an encoded body.
    #[must_use]
    pub fn replace_body(self, body: Vec<u8>) -> Response {
        Response { body: Cow::Owned(body), ..self }
    }

    pub fn status(&self) -> u16 {
        self.status
    }

    /// The body is read from a file.
    #[cfg(feature = "monitor")]
    pub fn has_file(&self) -> bool {
        self.file.is_some()
    }

    /// Bytes of the body.
    pub(super) fn length(&self) -> u64 {
        #[cfg(feature = "monitor")]
        if let Some(file) = &self.file {
            return file.remaining();
        }
        self.body.len() as u64
    }
}
