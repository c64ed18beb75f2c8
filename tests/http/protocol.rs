//! What HTTP/1.1 asks of a server, and what is refused.

use crate::site::{Site, body, get, post, status};
use heartbeat_daemon::http::{Listener, Peer, Response, Server};
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

#[test]
fn a_connection_serves_one_request_after_the_other() {
    let site = Site::new();
    let mut client = site.client();
    for n in 0..100 {
        client.send(post("/echo", &format!("beat {n}")));
        let answer = client.answer();
        assert_eq!((status(&answer), body(&answer)), (200, format!("beat {n}").as_str()));
        assert!(answer.contains("\r\nDate: ") && !answer.contains("Connection:"), "{answer}");
    }
    assert_eq!((site.counters.accepted.get(), site.counters.requests.get()), (1, 100));
}

#[test]
fn a_request_is_understood_however_it_is_cut() {
    let site = Site::new();
    let request = post("/echo", "0123456789");
    for cut in 1..request.len() {
        let mut client = site.client();
        client.send(&request[..cut]);
        std::thread::sleep(Duration::from_millis(1));
        client.send(&request[cut..]);
        assert_eq!(body(&client.answer()), "0123456789", "cut at {cut}");
    }
    let mut client = site.client();
    for byte in request.bytes() {
        client.send([byte]);
    }
    assert_eq!(body(&client.answer()), "0123456789", "byte by byte");
}

#[test]
fn a_chunked_body_is_a_body_on_a_connection_that_stays() {
    let site = Site::new();
    let mut client = site.client();
    let chunked = "POST /content HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\n\
                   Transfer-Encoding: chunked\r\n\r\n4;x=y\r\nbeat\r\n3\r\n on\r\n0\r\nX-Sum: 1\r\n\r\n";
    client.send(chunked.to_owned() + &post("/echo", "next") + chunked);
    for expected in ["beat on", "next", "beat on"] {
        let answer = client.answer();
        assert_eq!((status(&answer), body(&answer)), (200, expected));
    }
    let largest = "x".repeat(64 * 1024);
    client.send(format!(
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n10000\r\n{largest}\r\n0\r\n\r\n"
    ));
    assert_eq!(body(&client.answer()), largest);
    client
        .send("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(client.answer(), "HTTP/1.1 100 Continue\r\n\r\n");
    client.send("1\r\n!\r\n0\r\n\r\n");
    assert_eq!(body(&client.answer()), "!");
}

#[test]
fn pipelined_requests_are_answered_in_their_order_also_when_an_early_one_takes_longest() {
    let site = Site::new();
    let mut client = site.client();
    let mut requests = get("/later?100") + &get("/hello") + &get("/later?1");
    for n in 0..500 {
        requests += &post("/echo", &n.to_string());
    }
    client.send(requests);
    let first: Vec<String> = (0..3).map(|_| body(&client.answer()).to_owned()).collect();
    assert_eq!(first, ["later", "hello", "later"]);
    for n in 0..500 {
        assert_eq!(body(&client.answer()), n.to_string());
    }
}

#[test]
fn pipelined_answers_larger_than_any_buffer_arrive_whole() {
    let site = Site::new();
    let mut client = site.client();
    client.send(get("/large?1000000").repeat(10));
    std::thread::sleep(Duration::from_millis(200));
    for _ in 0..10 {
        assert_eq!(body(&client.answer()).len(), 1_000_000);
    }
}

#[test]
fn head_is_answered_like_get_without_the_body() {
    let site = Site::new();
    let mut client = site.client();
    client.send("HEAD /hello HTTP/1.1\r\nHost: a\r\n\r\n");
    let answer = client.head();
    assert!(
        answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("Content-Length: 5\r\n"),
        "{answer}"
    );
    client.send("HEAD /nothing HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(status(&client.head()), 404);
    client.send(get("/hello"));
    assert_eq!(body(&client.answer()), "hello", "nothing of the others is left in the stream");
}

#[test]
fn only_a_client_that_expects_100_continue_gets_it() {
    let site = Site::new();
    let head = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n";
    let mut client = site.client();
    client.send(head);
    assert_eq!(client.answer(), "HTTP/1.1 100 Continue\r\n\r\n");
    client.send("body");
    assert_eq!(body(&client.answer()), "body");
    client.send(format!("{head}body"));
    assert_eq!(body(&client.answer()), "body", "the body was there already");
    client.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(status(&client.answer()), 413, "before the body is sent");
}

#[test]
fn a_connection_is_closed_if_the_client_or_its_version_requires_it() {
    let site = Site::new();
    let mut client = site.client();
    client.send("GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert!(client.answer().contains("\r\nConnection: close\r\n"));
    assert_eq!(client.rest(), "");
    let mut client = site.client();
    client.send("GET /hello HTTP/1.0\r\n\r\n");
    assert!(client.answer().contains("\r\nConnection: close\r\n"));
    assert_eq!(client.rest(), "");
    let mut client = site.client();
    for _ in 0..3 {
        client.send("GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        assert!(client.answer().contains("\r\nConnection: keep-alive\r\n"));
    }
}

#[test]
fn a_client_that_shuts_its_side_gets_all_answers() {
    let site = Site::new();
    let answers = site.send(&(get("/hello") + &get("/later?50") + &get("/hello")));
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 3, "{answers}");
    assert_eq!(site.send("GET /hel"), "", "a part of a request is none");
    assert_eq!(site.send(""), "");
}

#[test]
fn an_answer_without_a_body_keeps_the_stream_in_step() {
    let site = Site::new();
    let mut client = site.client();
    client.send(get("/empty") + "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n" + &get("/never") + &get("/hello"));
    assert_eq!(status(&client.answer()), 204);
    assert!(client.answer().contains("Allow: GET, POST\r\n"));
    assert_eq!(status(&client.answer()), 500, "nobody answered");
    assert_eq!(body(&client.answer()), "hello");
}

#[test]
fn each_refusal_is_json_and_ends_the_connection() {
    let site = Site::new();
    let long = "a".repeat(9_000);
    let table = [
        (400, "rubbish\r\n\r\n".to_owned()),
        (400, "GET / HTTP/1.1\r\n\r\n".to_owned()),
        (400, "GET / HTTP/1.1\nHost: a\n\n".to_owned()),
        (411, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\n\r\n".to_owned()),
        (413, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 65537\r\n\r\n".to_owned()),
        (414, format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n")),
        (417, "GET / HTTP/1.1\r\nHost: a\r\nExpect: more\r\n\r\n".to_owned()),
        (431, format!("GET / HTTP/1.1\r\nHost: a\r\nX: {long}\r\n\r\n")),
        (501, "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n".to_owned()),
        (501, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n".to_owned()),
        (400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n0\r\n\r\n".to_owned()),
        (400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n\r\n".to_owned()),
        (413, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n10001\r\n".to_owned()),
        (505, "GET / HTTP/2.0\r\nHost: a\r\n\r\n".to_owned()),
    ];
    for (expected, request) in table {
        let mut client = site.client();
        client.send(&request);
        let answer = client.answer();
        assert_eq!(status(&answer), expected, "{request}");
        let body_json: serde_json::Value = serde_json::from_str(body(&answer)).expect("JSON");
        assert!(body_json["error"].is_string(), "{answer}");
        assert!(answer.contains("Content-Type: application/json\r\n"), "{answer}");
        assert!(answer.contains("\r\nConnection: close\r\n"), "{answer}");
        assert_eq!(client.rest(), "", "{request}");
    }
}

#[test]
fn a_handlers_own_statuses_keep_the_connection() {
    let site = Site::new();
    let mut client = site.client();
    client.send("DELETE /hello HTTP/1.1\r\nHost: a\r\n\r\n");
    let answer = client.answer();
    assert!(status(&answer) == 405 && answer.contains("Allow: GET\r\n"), "{answer}");
    client.send(get("/nothing"));
    assert_eq!(status(&client.answer()), 404);
    client.send("POST /content HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(status(&client.answer()), 411, "this path wants content");
    client.send("POST /echo HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(status(&client.answer()), 200, "this one does not");
    assert_eq!(site.counters.answers.each_ref().map(|class| class.get()), [0, 1, 0, 3, 0]);
}

#[test]
fn data_after_a_refused_request_is_never_parsed_as_a_request() {
    let smuggled = post("/echo", "smuggled");
    let fronts = [
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0 \r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: a\r\nX: a\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: a\r\nX: a\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 60\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 0, 60\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: +60\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length : 60\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 60\n\r\n",
        "GET /hello HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET http://b/hello HTTP/1.1\r\nHost: a\r\n\r\n",
    ];
    let site = Site::new();
    for front in fronts {
        let answers = site.send(&format!("{front}{smuggled}"));
        assert_eq!(answers.matches("HTTP/1.1").count(), 1, "{front}: {answers}");
        assert!(status(&answers) >= 400 && !answers.contains("smuggled"), "{front}: {answers}");
    }
    assert_eq!(site.counters.requests.get(), 0);
}

#[test]
fn a_client_that_is_still_sending_reads_its_refusal_and_no_reset() {
    let site = Site::new();
    for _ in 0..20 {
        let mut client = site.client();
        client.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n");
        for _ in 0..20 {
            client.send([b'x'; 10_000]);
        }
        assert_eq!(status(&client.answer()), 413);
        client.shut();
        assert_eq!(client.rest(), "");
    }
}

#[test]
fn a_socket_file_is_served_too_and_its_peer_is_distinguished() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("api.sock");
    let listener = UnixListener::bind(&path).expect("a socket");
    let server = Server::new(vec![Listener::Unix(listener)], Default::default()).expect("a server");
    let stopper = server.stopper();
    let thread = std::thread::spawn(move || {
        server.run(|exchange| {
            let peer = if exchange.request.peer() == Peer::Unix { "unix" } else { "tcp" };
            exchange.reply.send(Response::new(200).body("text/plain", peer.as_bytes()));
        })
    });
    let mut stream = UnixStream::connect(&path).expect("a connection");
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert_eq!(body(&answer), "unix");
    stopper.stop(Duration::from_secs(5));
    thread.join().expect("no panic").expect("no error");
}
