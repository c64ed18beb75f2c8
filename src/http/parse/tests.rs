//! Requests as bytes, and what is made of them.

use super::*;

const MAX_BODY: usize = 100;

fn read(text: &str) -> Result<(Head, &str), u16> {
    let mut scanner = Scanner::default();
    let rejection = match scanner.scan(text.as_bytes(), 8 * 1024) {
        Ok(Some(end)) => match head(&text.as_bytes()[..end], MAX_BODY) {
            Ok(head) => return Ok((head, text)),
            Err(rejection) => rejection,
        },
        Ok(None) => panic!("not a whole head: {text:?}"),
        Err(rejection) => rejection,
    };
    Err(rejection.status)
}

fn status(text: &str) -> u16 {
    read(text).err().unwrap_or(200)
}

fn with(lines: &str) -> u16 {
    status(&format!("POST /x HTTP/1.1\r\nHost: a\r\n{lines}\r\n"))
}

fn target_of(line: &str) -> Result<(String, Option<String>), u16> {
    let text = format!("{line} HTTP/1.1\r\nHost: pi.local:5000\r\n\r\n");
    let (head, text) = read(&text)?;
    Ok((text[head.path].to_owned(), head.query.map(|query| text[query].to_owned())))
}

fn path_and_query(path: &str, query: Option<&str>) -> Result<(String, Option<String>), u16> {
    Ok((path.to_owned(), query.map(str::to_owned)))
}

#[test]
fn a_request_is_parsed_completely() {
    let (head, text) =
        read("POST /a/b?c=d&e HTTP/1.1\r\nHost: pi\r\ncontent-LENGTH: 007 \r\nX:\r\nExpect: 100-Continue\r\n\r\nbody")
            .expect("a request");
    assert_eq!(head.method, Method::Post);
    assert_eq!(
        (&text[head.path.clone()], head.query.clone().map(|query| &text[query])),
        ("/a/b", Some("c=d&e"))
    );
    let headers: Vec<_> = head.headers.iter().map(|(n, v)| (&text[n.clone()], &text[v.clone()])).collect();
    assert_eq!(headers, [("Host", "pi"), ("content-LENGTH", "007"), ("X", ""), ("Expect", "100-Continue")]);
    assert_eq!((&text[head.end..], head.framing), ("body", Framing::Length(7)));
    assert!(head.keep_alive && head.expects_continue && !head.old);
}

#[test]
fn a_target_is_a_path_or_a_whole_url_of_this_host_or_a_star() {
    assert_eq!(target_of("GET /"), path_and_query("/", None));
    assert_eq!(target_of("GET /?"), path_and_query("/", Some("")));
    assert_eq!(target_of("GET //double?a?b"), path_and_query("//double", Some("a?b")));
    assert_eq!(target_of("GET /a?u=http://b/c"), path_and_query("/a", Some("u=http://b/c")));
    assert_eq!(target_of("GET http://pi.local:5000/a?b"), path_and_query("/a", Some("b")));
    assert_eq!(target_of("GET HTTPS://PI.local:5000"), path_and_query("/", None));
    assert_eq!(target_of("GET http://pi.local:5000?b=/c"), path_and_query("/", Some("b=/c")));
    assert_eq!(target_of("OPTIONS *"), path_and_query("*", None));
    let refused = [
        "GET *",
        "GET a",
        "GET pi.local:5000",
        "GET http://elsewhere/a",
        "GET http:///a",
        "GET ftp://pi.local:5000/",
        "GET /a#b",
        "GET /\u{e9}",
        "GET http://u@pi.local:5000/",
        "GET  /",
        "GET / ",
        "GET",
    ];
    for line in refused {
        assert_eq!(target_of(line), Err(400), "{line}");
    }
}

#[test]
fn a_length_is_one_number_of_digits() {
    assert_eq!(with("Content-Length: 0\r\n"), 200);
    assert_eq!(with("Content-Length: 100\r\n"), 200);
    assert_eq!(with("Content-Length: 101\r\n"), 413);
    assert_eq!(with("Content-Length: 18446744073709551615\r\n"), 413);
    let malformed =
        ["18446744073709551616", "-1", "+1", "", "1,1", "1, 1", "0x1", "1 1", "\u{661}", "1_0", "1.0"];
    for length in malformed {
        assert_eq!(with(&format!("Content-Length: {length}\r\n")), 400, "{length:?}");
    }
    assert_eq!(with("Content-Length: 1\r\nContent-Length: 2\r\n"), 400);
    assert_eq!(with("Content-Length: 1\r\ncontent-length: 1\r\n"), 400);
}

#[test]
fn what_two_parsers_could_read_in_two_ways_is_refused() {
    for coding in ["chunked", "identity", "gzip, chunked", "", "\tchunked", "xchunked"] {
        for length in ["1", "99999999"] {
            let both = format!("Transfer-Encoding: {coding}\r\nContent-Length: {length}\r\n");
            assert_eq!(with(&both), 400, "{both:?}");
        }
        let both = format!("Content-Length: 1\r\nTransfer-Encoding: {coding}\r\n");
        assert_eq!(with(&both), 400, "{both:?}");
    }
    let malformed = [
        "Content-Length : 1\r\n",
        " Content-Length: 1\r\n",
        "\tX: 1\r\n",
        "X: 1\r\n folded\r\n",
        "X: 1\r\n\tfolded\r\n",
        "X: 1\n",
        "X: 1\r",
        "X: a\rb\r\n",
        "X: a\0b\r\n",
        "X: \u{1}\r\n",
        "X: \u{b}1\r\n",
        "X: \u{7f}\r\n",
        ": 1\r\n",
        "X\r\n",
        "X Y: 1\r\n",
        "X\u{e9}: 1\r\n",
        "Host: a\r\n",
        "Host: b\r\n",
        "Transfer-Encoding\u{0}: chunked\r\n",
        "Transfer-Encoding : chunked\r\n",
        "(X): 1\r\n",
    ];
    for lines in malformed {
        assert_eq!(with(lines), 400, "{lines:?}");
    }
    assert_eq!(with("X: \u{e9}\r\n"), 200, "obs-text is allowed in a value");
}

#[test]
fn chunked_is_the_only_coding_and_given_once() {
    let coding = |value: &str| with(&format!("Transfer-Encoding: {value}\r\nContent-Type: a/b\r\n"));
    for plain in ["chunked", "Chunked", "\tchunked "] {
        assert_eq!(coding(plain), 200, "{plain:?}");
    }
    // RFC 9112 6.1: a coding that is not understood is 501; one that does not end in chunked has no known length.
    for unsupported in ["gzip, chunked", "identity,chunked", "x, y, chunked"] {
        assert_eq!(coding(unsupported), 501, "{unsupported:?}");
    }
    for malformed in [
        "",
        "identity",
        "gzip",
        "chunked, gzip",
        "chunked, chunked",
        "chunked,",
        ",chunked",
        "xchunked",
        "chunked;q=1",
        "\"chunked\"",
        "chunked\r\nTransfer-Encoding: chunked",
        "gzip\r\nTransfer-Encoding: chunked",
        "chunked\r\nTransfer-Encoding: identity",
    ] {
        assert_eq!(coding(malformed), 400, "{malformed:?}");
    }
    assert_eq!(status("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), 400);
}

#[test]
fn every_line_ends_in_cr_lf() {
    for text in [
        "GET / HTTP/1.1\nHost: a\n\n",
        "GET / HTTP/1.1\r\nHost: a\n\r\n",
        "GET / HTTP/1.1\r\r\nHost: a\r\n\r\n",
    ] {
        assert_eq!(status(text), 400, "{text:?}");
    }
    assert_eq!(status("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"), 200, "one empty line in front is let pass");
    assert_eq!(status("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
}

#[test]
fn http_1_1_names_its_host_once() {
    assert_eq!(status("GET / HTTP/1.1\r\n\r\n"), 400);
    assert_eq!(status("GET / HTTP/1.0\r\n\r\n"), 200);
    assert_eq!(status("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n"), 400);
    for host in ["", "a", "a:1", "[::1]:5000", "xn--nxasmq6b", "a_b"] {
        assert_eq!(status(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")), 200, "{host}");
    }
    for host in ["a b", "a,b", "a/b", "u@a", "a\u{e9}", "<a>", "a#", "a?"] {
        assert_eq!(status(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")), 400, "{host}");
    }
}

#[test]
fn any_method_but_connect_is_passed_on_and_an_unknown_version_is_answered_505() {
    for method in
        ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY", "get", "BREW", "GETT"]
    {
        assert_eq!(status(&format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n")), 200, "{method}");
    }
    for method in ["G(ET", "\u{7}", "G\u{e9}T"] {
        assert_eq!(status(&format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n")), 400, "{method}");
    }
    assert_eq!(status("CONNECT pi:1 HTTP/1.1\r\nHost: pi:1\r\n\r\n"), 501);
    for version in ["HTTP/2.0", "HTTP/1.2", "HTTP/0.9", "HTTP/9.9"] {
        assert_eq!(status(&format!("GET / {version}\r\nHost: a\r\n\r\n")), 505, "{version}");
    }
    for version in ["http/1.1", "HTTP/1", "HTTP/1.10", "HTTP/11", "HTCPCP/1.0", "", "HTTP/1.1 "] {
        assert_eq!(status(&format!("GET / {version}\r\nHost: a\r\n\r\n")), 400, "{version}");
    }
}

#[test]
fn content_without_a_length_is_answered_411_and_no_content_needs_none() {
    assert_eq!(with("Content-Type: application/json\r\n"), 411);
    assert_eq!(with(""), 200, "curl -X POST");
    assert_eq!(status("GET / HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\n\r\n"), 200);
}

#[test]
fn keep_alive_follows_version_and_header() {
    let kept = |version: &str, lines: &str| {
        let text = format!("GET / {version}\r\nHost: a\r\n{lines}\r\n");
        read(&text).map(|(head, _)| head.keep_alive)
    };
    assert_eq!(kept("HTTP/1.1", ""), Ok(true));
    assert_eq!(kept("HTTP/1.1", "Connection: Close\r\n"), Ok(false));
    assert_eq!(kept("HTTP/1.1", "Connection: x , close\r\n"), Ok(false));
    assert_eq!(kept("HTTP/1.1", "Connection: keep-alive\r\nConnection: close\r\n"), Ok(false));
    assert_eq!(kept("HTTP/1.1", "Connection: closed\r\n"), Ok(true));
    assert_eq!(kept("HTTP/1.0", ""), Ok(false));
    assert_eq!(kept("HTTP/1.0", "Connection: Keep-Alive\r\n"), Ok(true));
    assert_eq!(kept("HTTP/1.0", "Connection: keep-alive, close\r\n"), Ok(false));
}

#[test]
fn only_100_continue_is_a_known_expectation() {
    assert_eq!(with("Expect: 100-continue\r\nContent-Length: 1\r\n"), 200);
    assert_eq!(with("Expect: 200-ok\r\n"), 417);
    assert_eq!(with("Expect: 100-continue, x\r\n"), 417);
    let old =
        read("POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n").expect("a request");
    assert!(!old.0.expects_continue, "HTTP/1.0 knows no 100");
}

#[test]
fn a_head_is_bounded_and_each_byte_of_it_is_looked_at_once() {
    let limit = 64;
    let scan =
        |text: &str| Scanner::default().scan(text.as_bytes(), limit).map_err(|rejection| rejection.status);
    assert_eq!(scan(&format!("GET /{} HTTP/1.1\r\n", "a".repeat(60))), Err(414));
    assert_eq!(scan(&format!("GET / HTTP/1.1\r\nX: {}\r\n", "a".repeat(60))), Err(431));
    assert_eq!(scan(&format!("GET /{}", "a".repeat(50))), Ok(None));
    let text = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "a".repeat(64 - 23));
    assert_eq!((text.len(), scan(&text)), (64, Ok(Some(64))));

    let mut scanner = Scanner::default();
    for end in 0..text.len() {
        assert_eq!(scanner.scan(&text.as_bytes()[..end], limit), Ok(None), "{end}");
        assert_eq!(scanner.seen, end);
    }
    assert_eq!(scanner.scan(text.as_bytes(), limit), Ok(Some(64)));
    let many = "X: 1\r\n".repeat(MAX_HEADERS);
    assert_eq!(with(&many), 431, "one more with the Host");
    assert_eq!(with(&many[6..]), 200);
}
