//! Captive portals: the request for a page that is known to be empty, and what its answer means.
//!
//! The address of such a page answers 204, or 200 without a body. A portal cannot know that, and answers with
//! its login page or a redirect to it.

use std::net::SocketAddr;

/// Bytes of an answer that are read. Servers that exist for this answer with less than 300 bytes.
pub const ANSWER_LIMIT: usize = 1024;
/// More headers than any such answer has; a portal's may have more, and its status is enough.
const HEADERS: usize = 24;

/// A page that is empty in a free network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Where it is, looked up before: a portal's own DNS may lie, and no lookup may hold a probe up.
    pub address: SocketAddr,
    /// As in the URL, with the port if that is not 80.
    pub host: String,
    /// With its query; starts with `/`.
    pub path: String,
}

impl Page {
    /// The whole request. The connection is not kept: a kept one would miss a portal that begins later.
    pub fn request(&self) -> Vec<u8> {
        // Host and path come from the checked configuration; a line end in them would still be no second header.
        let clean = |text: &str| text.replace(|c: char| c.is_ascii_control() || c == ' ', "");
        let agent = concat!("heartbeat-daemon/", env!("CARGO_PKG_VERSION"));
        let (host, path) = (clean(&self.host), clean(&self.path));
        format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {agent}\r\nAccept: */*\r\n\
             Cache-Control: no-cache\r\nConnection: close\r\n\r\n"
        )
        .into_bytes()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PortalVerdict {
    /// The page itself answered.
    Free,
    /// Something else answered for it.
    Portal,
    /// Nothing can be concluded: an error status, no HTTP, cut off.
    Unclear,
    /// More has to be read.
    Incomplete,
}

/// Verdict on the answer so far, at most [`ANSWER_LIMIT`] bytes; `ended` if no more will come.
pub fn judge(answer: &[u8], ended: bool) -> PortalVerdict {
    let last = ended || answer.len() >= ANSWER_LIMIT;
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let parsed = response.parse(answer);
    let Some(status) = response.code else {
        let more = matches!(parsed, Ok(httparse::Status::Partial)) && !last;
        return if more { PortalVerdict::Incomplete } else { PortalVerdict::Unclear };
    };
    match (status, parsed) {
        (204, _) => PortalVerdict::Free,
        // 511: network authentication required (RFC 6585).
        (300..=399 | 511, _) => PortalVerdict::Portal,
        (200, Ok(httparse::Status::Complete(head))) => judge_body(response.headers, &answer[head..], last),
        (200, Ok(httparse::Status::Partial)) if !last => PortalVerdict::Incomplete,
        // A head longer than all that a server for this purpose says.
        (200, Ok(httparse::Status::Partial)) if !ended => PortalVerdict::Portal,
        (200, Err(httparse::Error::TooManyHeaders)) => PortalVerdict::Portal,
        _ => PortalVerdict::Unclear,
    }
}

/// Status 200 is the page itself only if it has no body.
fn judge_body(headers: &[httparse::Header], body: &[u8], last: bool) -> PortalVerdict {
    let value =
        |name: &str| headers.iter().find(|header| header.name.eq_ignore_ascii_case(name)).map(|h| h.value);
    match value("content-length").map(|value| value.trim_ascii() == b"0") {
        Some(true) => PortalVerdict::Free,
        Some(false) => PortalVerdict::Portal,
        None if value("transfer-encoding").is_some() || !body.is_empty() => PortalVerdict::Portal,
        // Without a length the end of the connection is the end of the body.
        None if last => PortalVerdict::Free,
        None => PortalVerdict::Incomplete,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_itself_is_free_and_all_that_stands_in_for_it_is_a_portal() {
        for (answer, ended, verdict) in [
            ("HTTP/1.1 204 No Content\r\nDate: now\r\n\r\n", false, PortalVerdict::Free),
            ("HTTP/1.0 204\r\n\r\n", true, PortalVerdict::Free),
            ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false, PortalVerdict::Free),
            ("HTTP/1.1 200 OK\r\n\r\n", true, PortalVerdict::Free),
            ("HTTP/1.1 200 OK\r\n\r\n", false, PortalVerdict::Incomplete),
            ("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n", false, PortalVerdict::Portal),
            ("HTTP/1.1 200 OK\r\nContent-Length: 0, 8\r\n\r\n", false, PortalVerdict::Portal),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", false, PortalVerdict::Portal),
            ("HTTP/1.1 200 OK\r\n\r\n<html>", false, PortalVerdict::Portal),
            ("HTTP/1.1 302 Found\r\nLocation: http://10.0.0.1/login\r\n\r\n", false, PortalVerdict::Portal),
            ("HTTP/1.1 307 \r\nLoc", false, PortalVerdict::Portal),
            ("HTTP/1.1 511 Network Authentication Required\r\n\r\n", false, PortalVerdict::Portal),
            ("HTTP/1.1 404 Not Found\r\n\r\n", false, PortalVerdict::Unclear),
            ("HTTP/1.1 503 Busy\r\n\r\n", false, PortalVerdict::Unclear),
            ("HTTP/1.1 200 OK\r\nContent-Le", true, PortalVerdict::Unclear),
            ("HTTP/1.1 2", false, PortalVerdict::Incomplete),
            ("HTTP/1.1 2", true, PortalVerdict::Unclear),
            ("", false, PortalVerdict::Incomplete),
            ("", true, PortalVerdict::Unclear),
            ("SSH-2.0-OpenSSH_9.2\r\n", false, PortalVerdict::Unclear),
            ("\0\0\0\u{7f}", false, PortalVerdict::Unclear),
        ] {
            assert_eq!(judge(answer.as_bytes(), ended), verdict, "{answer:?}, ended {ended}");
        }
    }

    #[test]
    fn an_answer_that_does_not_end_is_judged_by_its_first_kilobyte() {
        let endless = |head: &str| {
            let mut answer = head.as_bytes().to_vec();
            answer.resize(ANSWER_LIMIT, b'x');
            judge(&answer, false)
        };
        assert_eq!(endless("HTTP/1.1 302 Found\r\nSet-Cookie: "), PortalVerdict::Portal);
        assert_eq!(endless("HTTP/1.1 200 OK\r\nSet-Cookie: "), PortalVerdict::Portal);
        assert_eq!(endless("HTTP/1.1 404 OK\r\nSet-Cookie: "), PortalVerdict::Unclear);
        assert_eq!(endless("HTTP/1.1 "), PortalVerdict::Unclear);
        let many = format!("HTTP/1.1 200 OK\r\n{}", "a: b\r\n".repeat(HEADERS + 1));
        assert_eq!(judge(many.as_bytes(), false), PortalVerdict::Portal);
    }

    #[test]
    fn no_answer_makes_it_panic() {
        let mut random = fastrand::Rng::with_seed(4711);
        let good = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nServer: x\r\n\r\n";
        for _ in 0..20_000 {
            let mut answer = good.to_vec();
            for _ in 0..random.usize(1..6) {
                let place = random.usize(..answer.len());
                answer[place] = random.u8(..);
            }
            answer.truncate(random.usize(..=answer.len()));
            judge(&answer, random.bool());
        }
    }

    #[test]
    fn a_line_end_in_the_configuration_makes_no_second_header() {
        let page = Page {
            address: ([192, 0, 2, 1], 80).into(),
            host: "check.example\r\nX-Evil: 1".into(),
            path: "/generate 204\n".into(),
        };
        let request = String::from_utf8(page.request()).expect("text");
        assert!(
            request.starts_with("GET /generate204 HTTP/1.1\r\nHost: check.exampleX-Evil:1\r\n"),
            "{request}"
        );
        assert_eq!(request.matches("\r\n").count(), 7);
    }
}
