//! HTTPS with an authority of one's own, client certificates, and certificates that are not valid now.

use crate::support::daemon::{Daemon, Setup};
use crate::support::eventually;
use crate::support::https::{Authority, SelfSigned, Stream};
use crate::support::server::{Reply, Server};
use rustls::HandshakeKind;
use std::io::{Read, Write};
use std::net::TcpListener;

const NAMES: [&str; 2] = ["127.0.0.1", "localhost"];

fn trusting(authority: &Authority) -> Setup {
    let setup = Setup::new();
    let file = setup.scratch().file("ca.pem", &authority.pem);
    setup.key("heartbeat.ca_file", &file)
}

/// The sentence about the certificate; nothing of the heartbeat has reached the server.
fn refused(server: &Server, daemon: &Daemon) -> String {
    let line = daemon.wait_for_line("about the certificate", |line| line.contains("certificate"));
    assert!(server.request_within(std::time::Duration::ZERO).is_none());
    line
}

#[test]
fn an_authority_of_ones_own_is_trusted_where_it_is_configured() {
    let authority = Authority::new();
    let server = Server::start_tls(authority.server(&NAMES), |_| Reply::ok());
    let _daemon = trusting(&authority).to(&server.url("/")).token("over-tls").start();
    let requests = server.requests(4);
    assert!(requests.iter().all(|request| request.header("authorization") == Some("Bearer over-tls")));
    assert!(requests.iter().all(|request| request.connection == 0), "one connection, one handshake");
}

#[test]
fn a_self_signed_certificate_is_trusted_where_the_file_contains_it() {
    let made = SelfSigned::valid(&NAMES);
    let server = Server::start_tls(made.server(), |_| Reply::ok());
    let setup = Setup::new();
    let file = setup.scratch().file("ca.pem", &made.identity.certificate_pem);
    let _daemon = setup.key("heartbeat.ca_file", &file).to(&server.url("/")).start();
    server.requests(2);
}

#[test]
fn a_self_signed_certificate_that_the_file_does_not_contain_is_refused_with_advice() {
    let server = Server::start_tls(SelfSigned::valid(&NAMES).server(), |_| Reply::ok());
    let setup = Setup::new();
    let file = setup.scratch().file("ca.pem", &SelfSigned::valid(&NAMES).identity.certificate_pem);
    let daemon = setup.key("heartbeat.ca_file", &file).to(&server.url("/")).start();
    let line = refused(&server, &daemon);
    assert!(line.contains("put exactly this certificate into ca_file"), "{line}");
}

#[test]
fn an_unknown_authority_is_named_as_the_reason() {
    let server = Server::start_tls(Authority::new().server(&NAMES), |_| Reply::ok());
    let daemon = Setup::new().to(&server.url("/")).start();
    let line = refused(&server, &daemon);
    assert!(line.contains("ca_file"), "it says what can be done: {line}");
}

#[test]
fn a_certificate_for_another_name_is_refused() {
    let authority = Authority::new();
    let server = Server::start_tls(authority.server(&["other.test"]), |_| Reply::ok());
    let daemon = trusting(&authority).to(&server.url("/")).start();
    let line = refused(&server, &daemon);
    assert!(line.contains("name") || line.contains("other.test"), "{line}");
}

#[test]
fn a_certificate_of_the_past_or_the_future_names_the_clock() {
    for years in [2001..2002, 4000..4001] {
        let authority = Authority::new();
        let server = Server::start_tls(authority.server_valid(&NAMES, years), |_| Reply::ok());
        let daemon = trusting(&authority).to(&server.url("/")).start();
        let line = refused(&server, &daemon);
        assert!(line.contains("clock"), "{line}");
    }
}

#[test]
fn a_client_certificate_is_presented_to_a_server_that_wants_one() {
    let authority = Authority::new();
    let server = Server::start_tls(authority.server_that_wants_a_certificate(&NAMES), |_| Reply::ok());
    let setup = trusting(&authority).to(&server.url("/"));
    let identity = authority.client("barn-cam");
    let certificate = setup.scratch().file("client.pem", &identity.certificate_pem);
    let key = setup.scratch().file("client.key", &identity.key_pem);
    let _daemon = setup
        .key("heartbeat.client_certificate_file", &certificate)
        .key("heartbeat.client_key_file", &key)
        .start();
    server.requests(2);
}

#[test]
fn a_missing_client_certificate_is_logged_and_heartbeats_continue() {
    let authority = Authority::new();
    let server = Server::start_tls(authority.server_that_wants_a_certificate(&NAMES), |_| Reply::ok());
    let daemon = trusting(&authority).to(&server.url("/")).start();
    // TLS 1.3 tells it after the handshake; what is being sent then may meet a closed connection before.
    daemon.wait_for_line("about the end", |line| {
        line.contains("WARN") && (line.contains("certificate") || line.contains("closed the connection"))
    });
    let before = server.connections();
    eventually("further attempts", || server.connections() >= before + 3);
}

#[test]
fn a_server_without_tls_behind_an_https_url_does_not_stop_the_beat() {
    let server = Server::always(Reply::Bytes(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"));
    let daemon = Setup::new().to(&format!("https://{}/", server.address())).timeout("500ms").start();
    daemon.wait_for_line("about the failure", |line| line.contains("WARN") && line.contains("heartbeat"));
    eventually("further attempts", || server.connections() >= 4);
}

#[test]
fn a_new_connection_resumes_the_tls_session_of_the_one_before() {
    let authority = Authority::new();
    let tls = authority.server(&NAMES);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("https://{}/", listener.local_addr().expect("bound"));
    let _daemon = trusting(&authority).to(&url).start();
    let mut kinds = Vec::new();
    for socket in listener.incoming().take(3) {
        let mut stream = Stream::accepted(socket.expect("accepted"), Some(&tls));
        let mut request = [0; 8192];
        let length = stream.read(&mut request).expect("a request");
        assert!(request[..length].starts_with(b"POST / "));
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            .expect("the daemon listens");
        if let Stream::Tls(tls) = &stream {
            kinds.push(tls.conn.handshake_kind());
        }
    }
    let (full, resumed) = (Some(HandshakeKind::Full), Some(HandshakeKind::Resumed));
    assert_eq!(kinds, [full, resumed, resumed]);
}

#[test]
fn doctor_shows_the_expiry_of_the_servers_certificate() {
    for (years, part) in [(2001..4000, "more days"), (2001..2002, "it has expired, or this clock is wrong")] {
        let authority = Authority::new();
        let server = Server::start_tls(authority.server_valid(&NAMES, years), |_| Reply::ok());
        // Not even trusted: it is read all the same, and nothing is sent.
        let doctor = Setup::new().to(&server.url("/")).run(&["doctor"]);
        let said = String::from_utf8(doctor.stdout).expect("UTF-8");
        let at = said.lines().position(|line| line.starts_with("certificate ")).expect("its row");
        let row: Vec<&str> = said.lines().skip(at).take(2).collect();
        assert!(row.join("\n").contains(part), "{said}");
        assert!(server.request_within(std::time::Duration::ZERO).is_none());
    }
}
