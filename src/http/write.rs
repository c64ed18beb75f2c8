//! Encodes a response. Pure: the date is an argument.

use super::message::Response;
use std::io::Write as _;

pub(super) const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Properties of the request that its response depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct After {
    /// The request was a HEAD: the response has no body.
    pub(super) without_body: bool,
    pub(super) keep_alive: bool,
    /// HTTP/1.0, where keep-alive must be stated.
    pub(super) old: bool,
}

/// Appends the whole response, so that head and body are sent in one segment; `date` is formatted by [`super::date`]. The body
/// in a file is sent later.
pub(super) fn answer(out: &mut Vec<u8>, response: &Response, after: After, date: &str) {
    let headers: usize = response.headers.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
    out.reserve(160 + headers + response.body.len());
    let status = response.status;
    // Writing into a Vec cannot fail.
    let _ = write!(out, "HTTP/1.1 {status} {}\r\nDate: {date}\r\n", reason(status));
    for (name, value) in &response.headers {
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b": ");
        // A line end in a value would begin another header, or another response.
        out.extend(value.bytes().map(|byte| if byte.is_ascii_control() { b' ' } else { byte }));
        out.extend_from_slice(b"\r\n");
    }
    // 204 and 304 have no body, and a length would announce one.
    let bodiless = matches!(status, 204 | 304);
    if !bodiless {
        let _ = write!(out, "Content-Length: {}\r\n", response.length());
    }
    out.extend_from_slice(match (after.keep_alive, after.old) {
        (false, _) => b"Connection: close\r\n\r\n",
        (true, true) => b"Connection: keep-alive\r\n\r\n",
        (true, false) => b"\r\n",
    });
    if !bodiless && !after.without_body {
        out.extend_from_slice(&response.body);
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        206 => "Partial Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        // The reason phrase may be empty.
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(response: &Response, after: After) -> String {
        let mut out = Vec::new();
        answer(&mut out, response, after, "D");
        String::from_utf8(out).expect("ASCII")
    }

    const KEPT: After = After { without_body: false, keep_alive: true, old: false };

    #[test]
    fn head_and_body_follow_each_other_and_the_length_is_the_bodys() {
        let response = Response::new(200).body("text/plain", "beat\n".as_bytes());
        let head = "HTTP/1.1 200 OK\r\nDate: D\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n";
        assert_eq!(written(&response, KEPT), format!("{head}\r\nbeat\n"));
        assert_eq!(written(&response, After { without_body: true, ..KEPT }), format!("{head}\r\n"));
        let closed = format!("{head}Connection: close\r\n\r\nbeat\n");
        assert_eq!(written(&response, After { keep_alive: false, ..KEPT }), closed);
        let kept = format!("{head}Connection: keep-alive\r\n\r\nbeat\n");
        assert_eq!(written(&response, After { old: true, ..KEPT }), kept);
    }

    #[test]
    fn an_answer_without_a_body_by_its_status_has_no_length_either() {
        let text = "not to be seen".as_bytes();
        assert_eq!(
            written(&Response::new(204).body("text/plain", text), KEPT),
            "HTTP/1.1 204 No Content\r\nDate: D\r\nContent-Type: text/plain\r\n\r\n"
        );
        assert!(written(&Response::new(404), KEPT).contains("\r\nContent-Length: 0\r\n\r\n"));
    }

    #[test]
    fn a_line_end_in_a_headers_value_begins_no_other_header() {
        let response = Response::new(303).header("Location", "/x\r\nSet-Cookie: a=b".to_owned());
        assert!(written(&response, KEPT).contains("Location: /x  Set-Cookie: a=b\r\n"));
    }
}
