//! Invariants of a connection for any bytes in any pieces, for the fuzzer and the tests.

use super::connection::{Front, HttpConnection};
use super::limits::Limits;
use super::message::{Method, Peer, Request, Response};
use std::sync::Arc;

/// Size of the reactor's read.
const READ: usize = 16 * 1024;

/// Panics if an invariant is broken: the result does not depend on how the bytes are split, buffers are bounded, and
/// handlers see only valid requests. `cuts` are the sizes of the pieces.
pub fn exercise(bytes: &[u8], cuts: &[u8]) {
    let front = front(256);
    let whole = serve(&front, bytes.chunks(READ));
    let cut = serve(&front, Cut { bytes, sizes: cuts.iter().cycle() });
    assert_eq!(whole, cut, "cut elsewhere, the same bytes say something else");
}

/// The requests handed on, and the responses.
fn serve<'a>(front: &Front, pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<String>, String) {
    let (mut connection, mut requests, mut answers) =
        (HttpConnection::new(Peer::Unix, &front.limits), Vec::new(), Vec::new());
    for piece in pieces.map(Some).chain([None]) {
        match piece {
            _ if !connection.wants_input() => break,
            Some(piece) => connection.receive(piece),
            None => connection.end(),
        }
        while let Some(request) = connection.next(front) {
            check(&request, &front.limits);
            requests.push(format!("{:?} {} {:?}", request.method(), request.path(), request.body()));
            let response = Response::new(200).body("text/plain", request.path().as_bytes().to_vec());
            connection.answer(response, front);
        }
        assert!(connection.buffered() <= front.limits.head + front.limits.body + READ);
        answers.extend_from_slice(connection.output());
        connection.wrote(connection.output().len());
        // Like the reactor; bytes discarded while lingering are not compared.
        if connection.begins_to_linger() {
            break;
        }
    }
    // Whether 100 is sent depends on how much of the body has arrived, as it should.
    let answers = String::from_utf8(answers).expect("a path is ASCII");
    (requests, answers.replace("HTTP/1.1 100 Continue\r\n\r\n", ""))
}

fn check(request: &Request, limits: &Limits) {
    assert_ne!(request.method(), Method::Head);
    assert!(request.path() == "*" || request.path().starts_with('/'));
    assert!(request.path().is_ascii() && request.query().is_none_or(str::is_ascii));
    assert!(request.body().len() <= limits.body);
    let length = request.header("content-length").map(|value| value.parse::<usize>());
    match request.header("transfer-encoding") {
        Some(coding) => assert!(coding.eq_ignore_ascii_case("chunked") && length.is_none()),
        None => assert_eq!(length.unwrap_or(Ok(0)), Ok(request.body().len())),
    }
}

/// Like [`exercise`], with `encoded` as a chunked body.
pub fn exercise_chunked(encoded: &[u8], cuts: &[u8]) {
    let mut request = b"POST /e HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    request.extend_from_slice(encoded);
    exercise(&request, cuts);
}

/// Encodes `body` in chunks of these sizes; it must arrive unchanged.
pub fn exercise_chunks(body: &[u8], sizes: &[u8]) {
    let front = front(body.len());
    let mut request = b"POST /e HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for chunk in (Cut { bytes: body, sizes: sizes.iter().cycle() }) {
        request.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        request.extend_from_slice(chunk);
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"0\r\n\r\n");
    let (requests, _) = serve(&front, Cut { bytes: &request, sizes: sizes.iter().cycle() });
    assert_eq!(requests, [format!("Post /e {body:?}")]);
}

fn front(body: usize) -> Front {
    Front {
        limits: Limits { head: 512, body, ..Limits::default() },
        counters: Arc::default(),
        gate: None,
        date: "today".to_owned(),
    }
}

/// `bytes` in pieces of these sizes.
struct Cut<'a> {
    bytes: &'a [u8],
    sizes: std::iter::Cycle<std::slice::Iter<'a, u8>>,
}

impl<'a> Iterator for Cut<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.bytes.is_empty() {
            return None;
        }
        let size = usize::from(self.sizes.next().copied().unwrap_or(u8::MAX)).clamp(1, self.bytes.len());
        let (piece, rest) = self.bytes.split_at(size);
        self.bytes = rest;
        Some(piece)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORDS: [&str; 48] = [
        "GET ",
        "HEAD ",
        "POST ",
        "PUT ",
        "OPTIONS ",
        "BREW ",
        "/",
        "*",
        "/a?b=c",
        "http://a/",
        "http://b",
        "%00",
        "#",
        " HTTP/1.1\r\n",
        " HTTP/1.0\r\n",
        " HTTP/2.0\r\n",
        "Host: a\r\n",
        "Host: a\r\n",
        "Host : b\r\n",
        "\r\n",
        "\r\n",
        "\n",
        "\r",
        "\0",
        "Content-Length: 3\r\n",
        "Content-Length: 0\r\n",
        "Content-Length: 257\r\n",
        "content-length: -1\r\n",
        "Content-Length: 99999999999999999999\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\n\r\n",
        "3\r\nabc\r\n",
        "3;x=y\r\nabc\r\n0\r\nT: u\r\n\r\n",
        "101\r\n",
        "Expect: 100-continue\r\n",
        "Expect: x\r\n",
        "Connection: close\r\n",
        "Connection: keep-alive\r\n",
        "Content-Type: a/b\r\n",
        "X: y\r\n",
        " folded\r\n",
        "abc",
        "a",
        "\u{e9}",
        ": ",
        "0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST /e HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
    ];

    #[test]
    fn a_hundred_thousand_random_requests_break_no_promise() {
        let mut random = fastrand::Rng::with_seed(20_251_122);
        let mut bytes = Vec::new();
        for _ in 0..100_000 {
            bytes.clear();
            for _ in 0..random.usize(1..14) {
                bytes.extend_from_slice(WORDS[random.usize(0..WORDS.len())].as_bytes());
            }
            if random.u8(0..3) == 0 {
                let at = random.usize(0..bytes.len());
                bytes[at] = random.u8(..);
            }
            exercise(&bytes, &[random.u8(..), random.u8(..), random.u8(0..3)]);
        }
    }

    #[test]
    fn any_body_arrives_unchanged_in_any_chunks_and_pieces() {
        let mut random = fastrand::Rng::with_seed(9112);
        for _ in 0..500 {
            let body: Vec<u8> = (0..random.usize(0..600)).map(|_| random.u8(..)).collect();
            exercise_chunks(&body, &[random.u8(..), random.u8(..), random.u8(0..4)]);
        }
    }

    #[test]
    fn many_requests_on_one_connection_are_cut_anywhere() {
        let mut random = fastrand::Rng::with_seed(7);
        let sentence =
            "POST /e HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET /x?y HTTP/1.1\r\nHost: a\r\n\r\n";
        let many = sentence.repeat(400);
        for _ in 0..100 {
            let cuts: Vec<u8> = (0..17).map(|_| random.u8(..)).collect();
            exercise(many.as_bytes(), &cuts);
        }
    }
}
