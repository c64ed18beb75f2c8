//! Parses the head of a request. Pure: bytes in, head or rejection out.
//! Stricter than RFC 9112 requires: rejects what two parsers in a row could interpret differently (line ends,
//! folded lines, two lengths, two hosts), since a proxy in front may have chosen the other interpretation.

use super::message::Method;
use std::mem::MaybeUninit;
use std::ops::Range;

/// Header lines of one request. Browsers send 20, a proxy adds 5.
const MAX_HEADERS: usize = 64;

/// Why a request is rejected. The connection is closed after the response, because the start of the next request
/// is unknown or not worth reading up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rejection {
    pub(super) status: u16,
    pub(super) error: &'static str,
}

pub(super) const fn rejection(status: u16, error: &'static str) -> Rejection {
    Rejection { status, error }
}

/// The head of a request; all ranges are relative to its first byte.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) method: Method,
    pub(super) path: Range<usize>,
    pub(super) query: Option<Range<usize>>,
    pub(super) headers: Vec<(Range<usize>, Range<usize>)>,
    /// Offset of the body.
    pub(super) end: usize,
    pub(super) framing: Framing,
    /// HTTP/1.0, which has no persistent connections and no `100 Continue` of its own.
    pub(super) old: bool,
    pub(super) keep_alive: bool,
    pub(super) expects_continue: bool,
}

/// How the end of the body is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// Neither Content-Length nor Transfer-Encoding: there is no body.
    Unstated,
    Length(usize),
    Chunked,
}

/// Incremental search for the end of a head: looks at each byte once, however slowly they arrive.
#[derive(Debug, Default)]
pub(super) struct Scanner {
    seen: usize,
    line_ended: bool,
}

impl Scanner {
    /// Returns the length of the head; `None` until its end has arrived. `bytes` begins with the request and only
    /// grows between two calls.
    pub(super) fn scan(&mut self, bytes: &[u8], limit: usize) -> Result<Option<usize>, Rejection> {
        let bytes = bytes.get(..limit).unwrap_or(bytes);
        let mut previous = self.seen.checked_sub(1).and_then(|at| bytes.get(at)).copied();
        while let Some(&byte) = bytes.get(self.seen) {
            match (previous, byte) {
                (Some(b'\r'), b'\n') => {
                    self.line_ended = true;
                    if bytes[..=self.seen].ends_with(b"\r\n\r\n") {
                        return Ok(Some(self.seen + 1));
                    }
                }
                (Some(b'\r'), _) | (_, b'\n') => return Err(rejection(400, "lines must end in CR LF")),
                (_, 0..=8 | 11..=12 | 14..=31 | 127) => {
                    return Err(rejection(400, "a control character in the head"));
                }
                _ => {}
            }
            previous = Some(byte);
            self.seen += 1;
        }
        match (self.seen >= limit, self.line_ended) {
            (false, _) => Ok(None),
            (true, true) => Err(rejection(431, "the head of the request is too large")),
            (true, false) => Err(rejection(414, "the target of the request is too long")),
        }
    }
}

/// Parses `head`, which includes the empty line (see [`Scanner::scan`]); `max_body` in bytes.
pub(super) fn head(head: &[u8], max_body: usize) -> Result<Head, Rejection> {
    let mut lines = [const { MaybeUninit::uninit() }; MAX_HEADERS];
    let mut parsed = httparse::Request::new(&mut []);
    match parsed.parse_with_uninit_headers(head, &mut lines) {
        Ok(httparse::Status::Complete(end)) if end == head.len() => {}
        Ok(_) => return Err(rejection(400, "not a request")),
        Err(error) => return Err(unreadable(error, head)),
    }
    let method = method(parsed.method.unwrap_or_default())?;
    let old = parsed.version == Some(0);
    let fields = Fields::read(parsed.headers)?;
    let framing = fields.framing(max_body, old)?;
    if fields.host.is_none() && !old {
        return Err(rejection(400, "the Host header is missing"));
    }
    if framing == Framing::Unstated && fields.content_type && has_content(method) {
        return Err(rejection(411, "Content-Length is missing"));
    }
    let (path, query) =
        target(head, parsed.path.unwrap_or_default(), method, fields.host.unwrap_or_default())?;
    Ok(Head {
        method,
        path,
        query,
        headers: parsed
            .headers
            .iter()
            .map(|h| (within(head, h.name.as_bytes()), within(head, h.value)))
            .collect(),
        end: head.len(),
        framing,
        old,
        keep_alive: !fields.close && (!old || fields.keep_alive),
        expects_continue: fields.expects_continue && !old,
    })
}

fn unreadable(error: httparse::Error, head: &[u8]) -> Rejection {
    match error {
        httparse::Error::TooManyHeaders => rejection(431, "too many header lines"),
        httparse::Error::Version if names_another_version(head) => {
            rejection(505, "HTTP/1.1 and HTTP/1.0 only")
        }
        httparse::Error::HeaderName => rejection(400, "a malformed header name"),
        httparse::Error::HeaderValue => rejection(400, "a malformed header value"),
        _ => rejection(400, "not a request"),
    }
}

fn names_another_version(head: &[u8]) -> bool {
    let line = head.split(|&byte| byte == b'\r').next().unwrap_or_default();
    let version = line.rsplit(|&byte| byte == b' ').next().unwrap_or_default();
    match version.strip_prefix(b"HTTP/") {
        Some(b"1.0" | b"1.1") => false,
        Some([major, b'.', minor]) => major.is_ascii_digit() && minor.is_ascii_digit(),
        _ => false,
    }
}

fn method(word: &str) -> Result<Method, Rejection> {
    Ok(match word {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "PATCH" => Method::Patch,
        "DELETE" => Method::Delete,
        "OPTIONS" => Method::Options,
        "CONNECT" => return Err(rejection(501, "this server is not a proxy")),
        _ => Method::Other,
    })
}

fn has_content(method: Method) -> bool {
    matches!(method, Method::Post | Method::Put | Method::Patch)
}

/// Headers that the server itself uses.
#[derive(Default)]
struct Fields<'a> {
    host: Option<&'a [u8]>,
    length: Option<u64>,
    coding: Option<Coding>,
    content_type: bool,
    close: bool,
    keep_alive: bool,
    expects_continue: bool,
}

impl<'a> Fields<'a> {
    fn read(headers: &[httparse::Header<'a>]) -> Result<Fields<'a>, Rejection> {
        let mut fields = Fields::default();
        for header in headers {
            let named = |name: &str| header.name.eq_ignore_ascii_case(name);
            match header.name.len() {
                4 if named("host") => fields.host(header.value)?,
                6 if named("expect") => fields.expect(header.value)?,
                10 if named("connection") => fields.connection(header.value),
                12 if named("content-type") => fields.content_type = true,
                14 if named("content-length") => fields.length(header.value)?,
                17 if named("transfer-encoding") => fields.coding(header.value),
                _ => {}
            }
        }
        Ok(fields)
    }

    fn host(&mut self, value: &'a [u8]) -> Result<(), Rejection> {
        if self.host.is_some() {
            return Err(rejection(400, "more than one Host header"));
        }
        let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+;=:[]".contains(byte);
        if !value.iter().all(fits) {
            return Err(rejection(400, "a malformed Host header"));
        }
        self.host = Some(value);
        Ok(())
    }

    fn length(&mut self, value: &[u8]) -> Result<(), Rejection> {
        if self.length.is_some() {
            return Err(rejection(400, "more than one Content-Length header"));
        }
        // Digits only: str::parse would accept "+5".
        let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
        let number =
            std::str::from_utf8(value).ok().filter(|_| digits).and_then(|text| text.parse::<u64>().ok());
        let Some(number) = number else { return Err(rejection(400, "a malformed Content-Length")) };
        self.length = Some(number);
        Ok(())
    }

    fn coding(&mut self, value: &[u8]) {
        let coding = if self.coding.is_some() { Coding::Malformed } else { Coding::of(value) };
        self.coding = Some(coding);
    }

    /// RFC 9112 6.3. A request with both a length and a coding is rejected: that is the pattern of request smuggling.
    /// HTTP/1.0 has no codings.
    fn framing(&self, max_body: usize, old: bool) -> Result<Framing, Rejection> {
        match (self.coding, self.length) {
            (Some(_), Some(_)) => Err(rejection(400, "both Content-Length and Transfer-Encoding")),
            (Some(_), None) if old => Err(rejection(400, "Transfer-Encoding in an HTTP/1.0 request")),
            (Some(Coding::Chunked), None) => Ok(Framing::Chunked),
            (Some(Coding::Unsupported), None) => {
                Err(rejection(501, "the only supported Transfer-Encoding is chunked"))
            }
            (Some(Coding::Malformed), None) => {
                Err(rejection(400, "Transfer-Encoding must be chunked, given once"))
            }
            (None, None) => Ok(Framing::Unstated),
            (None, Some(length)) => match usize::try_from(length) {
                Ok(length) if length <= max_body => Ok(Framing::Length(length)),
                _ => Err(rejection(413, "the body is too large")),
            },
        }
    }

    fn connection(&mut self, value: &[u8]) {
        for word in value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
            self.close |= word.eq_ignore_ascii_case(b"close");
            self.keep_alive |= word.eq_ignore_ascii_case(b"keep-alive");
        }
    }

    fn expect(&mut self, value: &[u8]) -> Result<(), Rejection> {
        self.expects_continue = value.eq_ignore_ascii_case(b"100-continue");
        if self.expects_continue { Ok(()) } else { Err(rejection(417, "only 100-continue can be expected")) }
    }
}

/// The value of Transfer-Encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coding {
    Chunked,
    /// Other codings before chunked: the length is known, the content is not understood.
    Unsupported,
    /// Chunked is not the last coding, or is given twice: the end of the body is unknown.
    Malformed,
}

impl Coding {
    fn of(value: &[u8]) -> Coding {
        let is_chunked = |word: &[u8]| word.eq_ignore_ascii_case(b"chunked");
        if is_chunked(value) {
            return Coding::Chunked;
        }
        let mut words = value.rsplit(|&byte| byte == b',').map(<[u8]>::trim_ascii);
        let ends_chunked = words.next().is_some_and(is_chunked);
        if ends_chunked && words.all(|word| !word.is_empty() && !is_chunked(word)) {
            Coding::Unsupported
        } else {
            Coding::Malformed
        }
    }
}

/// Path and query.
type Target = (Range<usize>, Option<Range<usize>>);

/// Path and query of `target`, a part of `head`: `/path?query`, `http://host/path?query`, or `*` for OPTIONS.
fn target(head: &[u8], target: &str, method: Method, host: &[u8]) -> Result<Target, Rejection> {
    const MALFORMED: Rejection = rejection(400, "a malformed target");
    if !target.is_ascii() || target.contains('#') {
        return Err(MALFORMED);
    }
    let at = within(head, target.as_bytes());
    let path = if target.starts_with('/') || (target == "*" && method == Method::Options) {
        at.start
    } else {
        let scheme = target.find("://").filter(|&end| {
            let scheme = &target[..end];
            scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")
        });
        let authority = scheme.ok_or(MALFORMED)? + 3;
        let length = target[authority..].find(['/', '?']).unwrap_or(target.len() - authority);
        // RFC 9112 3.2.2: the target's host counts. Two different ones are a mistake or an attack.
        if length == 0 || !target.as_bytes()[authority..authority + length].eq_ignore_ascii_case(host) {
            return Err(rejection(400, "the target's host is not the Host header's"));
        }
        at.start + authority + length
    };
    let question = head[path..at.end].iter().position(|&byte| byte == b'?').map(|offset| path + offset);
    let end = question.unwrap_or(at.end);
    let query = question.map(|question| question + 1..at.end);
    // "http://host" and "http://host?query" mean the path "/": uses the slash before the host.
    let slash = at.start + target.find('/').unwrap_or(0);
    Ok((if path < end { path..end } else { slash..slash + 1 }, query))
}

/// Range of `part`, a slice of `whole`, within it.
fn within(whole: &[u8], part: &[u8]) -> Range<usize> {
    let start = (part.as_ptr() as usize).saturating_sub(whole.as_ptr() as usize);
    start..start + part.len()
}

#[cfg(test)]
mod tests;
