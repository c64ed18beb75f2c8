//! The same server over TLS: the same answers, the same deadlines, a certificate that can be renewed.

use crate::https::Authority;
use crate::site::{Client, LONG, Site, answer, body, eventually, get, post, roomy, status};
use heartbeat_daemon::http::tickets::TicketKeys;
use heartbeat_daemon::http::tls::server_config;
use heartbeat_daemon::http::{Exchange, Limits, Listener, TlsConfig};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, StreamOwned, SupportedProtocolVersion};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A site with a certificate of an authority of its own.
pub struct Secure {
    site: Site,
    config: TlsConfig,
    authority: Authority,
}

impl Secure {
    fn new(limits: Limits) -> Secure {
        Secure::with(limits, answer)
    }

    pub fn with(limits: Limits, handle: impl FnMut(Exchange) + Send + 'static) -> Secure {
        let scratch = tempfile::tempdir().expect("a directory");
        Secure::of(Authority::new(), &scratch.path().join("keys"), limits, handle)
    }

    /// With this authority's certificate and the keys of session tickets in this file.
    fn of(
        authority: Authority,
        ticket_keys: &Path,
        limits: Limits,
        handle: impl FnMut(Exchange) + Send + 'static,
    ) -> Secure {
        let keys = TicketKeys::open(ticket_keys.to_owned());
        let config = TlsConfig::new(certificate_of(&authority), Arc::new(keys));
        let listening = config.clone();
        let site = Site::on(|listener| Listener::Tls(listener, listening), limits, handle);
        Secure { site, config, authority }
    }

    pub fn client(&self) -> Client<StreamOwned<ClientConnection, TcpStream>> {
        connect(&self.site, trusting(&self.authority, rustls::ALL_VERSIONS))
    }
}

fn certificate_of(authority: &Authority) -> rustls::ServerConfig {
    let identity = authority.server_pem(&["localhost"]);
    server_config(identity.certificate_pem.as_bytes(), identity.key_pem.as_bytes()).expect("a certificate")
}

fn trusting(authority: &Authority, versions: &[&'static SupportedProtocolVersion]) -> Arc<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).expect("versions");
    let mut config = builder.with_root_certificates(authority.roots()).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Arc::new(config)
}

fn connect(site: &Site, config: Arc<ClientConfig>) -> Client<StreamOwned<ClientConnection, TcpStream>> {
    Client::over(StreamOwned::new(session(config), socket(site)))
}

fn session(config: Arc<ClientConfig>) -> ClientConnection {
    ClientConnection::new(config, ServerName::try_from("localhost").expect("a name")).expect("a session")
}

fn socket(site: &Site) -> TcpStream {
    let stream = TcpStream::connect(site.address).expect("a connection");
    stream.set_read_timeout(Some(LONG)).expect("a timeout");
    stream
}

#[test]
fn both_versions_are_served_with_pipelining_and_answers_of_any_size() {
    let secure = Secure::new(roomy());
    for version in rustls::ALL_VERSIONS {
        let mut client = connect(&secure.site, trusting(&secure.authority, &[version]));
        client.send(get("/hello") + &get("/later?20") + &post("/echo", &"x".repeat(60_000)));
        assert_eq!(body(&client.answer()), "hello", "{version:?}");
        assert_eq!(body(&client.answer()), "later");
        assert_eq!(body(&client.answer()).len(), 60_000);
        client.send(get("/large?3000000").repeat(3));
        for _ in 0..3 {
            assert_eq!(body(&client.answer()).len(), 3_000_000);
        }
        assert_eq!(client.stream.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
        client.send("GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        assert_eq!(body(&client.answer()), "hello");
        assert_eq!(client.rest(), "", "and a close_notify, without which reading fails here");
    }
}

/// A socket that takes and gives one byte at a time.
struct Dripping(TcpStream);

impl Read for Dripping {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(&mut buffer[..1])
    }
}

impl Write for Dripping {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(&bytes[..1])
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[test]
fn a_handshake_is_understood_byte_by_byte() {
    let secure = Secure::new(roomy());
    let socket = socket(&secure.site);
    socket.set_nodelay(true).expect("an option");
    let session = session(trusting(&secure.authority, rustls::ALL_VERSIONS));
    let mut client = Client::over(StreamOwned::new(session, Dripping(socket)));
    client.send(post("/echo", "beat"));
    assert_eq!(body(&client.answer()), "beat");
}

#[test]
fn a_client_comes_back_without_a_whole_handshake() {
    let secure = Secure::new(roomy());
    for version in rustls::ALL_VERSIONS {
        let config = trusting(&secure.authority, &[version]);
        let kinds: Vec<Option<HandshakeKind>> = (0..3)
            .map(|_| {
                let mut client = connect(&secure.site, config.clone());
                client.send(get("/hello"));
                assert_eq!(body(&client.answer()), "hello");
                client.stream.conn.handshake_kind()
            })
            .collect();
        assert_eq!(kinds[1..], [Some(HandshakeKind::Resumed); 2], "{version:?}");
    }
}

#[test]
fn a_client_resumes_after_a_restart_and_after_a_new_certificate() {
    let scratch = tempfile::tempdir().expect("a directory");
    let start = |authority| Secure::of(authority, &scratch.path().join("keys"), roomy(), answer);
    for version in rustls::ALL_VERSIONS {
        let mut server = start(Authority::new());
        let config = trusting(&server.authority, &[version]);
        let kind = |server: &Secure| {
            let mut client = connect(&server.site, config.clone());
            client.send(get("/hello"));
            assert_eq!(body(&client.answer()), "hello");
            client.stream.conn.handshake_kind()
        };
        assert_eq!(kind(&server), Some(HandshakeKind::Full));
        assert_eq!(kind(&server), Some(HandshakeKind::Resumed));
        let authority = server.authority;
        drop(server.site);
        server = start(authority);
        assert_eq!(kind(&server), Some(HandshakeKind::Resumed), "{version:?}, after a restart");
        server.config.replace(certificate_of(&server.authority));
        assert_eq!(kind(&server), Some(HandshakeKind::Resumed), "{version:?}, with a new certificate");
    }
}

/// Bytes of a whole first message, and what the server answers within a moment.
fn first_message(secure: &Secure) -> Client<TcpStream> {
    let mut hello = Vec::new();
    session(trusting(&secure.authority, rustls::ALL_VERSIONS))
        .write_tls(&mut hello)
        .expect("a Vec takes all");
    let mut client = secure.site.client();
    client.send(&hello);
    client
}

#[test]
fn clients_that_leave_or_stay_silent_in_their_handshake_delay_nobody() {
    let secure = Secure::new(roomy());
    let mut silent = Vec::new();
    for number in 0..300 {
        let client = first_message(&secure);
        if number % 3 == 0 {
            silent.push(client);
        }
        if number % 20 == 0 {
            let mut good = secure.client();
            good.send(get("/hello"));
            assert_eq!(body(&good.answer()), "hello");
        }
    }
    eventually("those that have left are closed", || secure.site.counters.open.get() == silent.len() as u64);
    drop(silent);
    eventually("and the others when they leave", || secure.site.counters.open.get() == 0);
}

#[test]
fn a_missing_certificate_or_wrong_key_is_reported() {
    let (first, second) = (Authority::new().server_pem(&["a"]), Authority::new().server_pem(&["a"]));
    let (chain, key) = (first.certificate_pem.as_bytes(), first.key_pem.as_bytes());
    for (chain, key, said) in [
        (&b""[..], key, "no certificate"),
        (b"junk", key, "no certificate"),
        (key, key, "no certificate"),
        (chain, b"", "no private key"),
        (chain, chain, "no private key"),
        (chain, second.key_pem.as_bytes(), "not the certificate's"),
    ] {
        let sentence = server_config(chain, key).expect_err(said);
        assert!(sentence.contains(said), "{sentence}");
    }
}

#[test]
fn a_renewed_certificate_is_shown_to_new_connections_and_the_others_go_on() {
    let secure = Secure::new(roomy());
    let mut before = secure.client();
    before.send(get("/hello"));
    assert_eq!(body(&before.answer()), "hello");
    let other = Authority::new();
    secure.config.replace(certificate_of(&other));
    let mut after = connect(&secure.site, trusting(&other, rustls::ALL_VERSIONS));
    after.send(get("/hello"));
    assert_eq!(body(&after.answer()), "hello");
    before.send(get("/hello"));
    assert_eq!(body(&before.answer()), "hello");
    let mut untrusting = secure.client();
    assert!(!untrusting.try_send(get("/hello")), "the old authority did not sign the new certificate");
}

#[test]
fn a_client_without_tls_is_cut_and_tls_at_a_plain_port_is_answered() {
    let secure = Secure::new(roomy());
    let mut plain = secure.site.client();
    plain.send(get("/hello"));
    assert!(plain.ends_within(LONG));
    let site = Site::new();
    let mut hello = Vec::new();
    session(trusting(&secure.authority, rustls::ALL_VERSIONS))
        .write_tls(&mut hello)
        .expect("a Vec takes all");
    let mut client = site.client();
    client.send(hello);
    assert_eq!(status(&client.answer()), 400);
    let mut good = secure.client();
    good.send(get("/hello"));
    assert_eq!(body(&good.answer()), "hello");
}

#[test]
fn a_handshake_has_the_deadline_of_a_request() {
    let secure = Secure::new(Limits { request: Duration::from_millis(400), ..roomy() });
    let mut silent = secure.site.client();
    let mut half = Vec::new();
    session(trusting(&secure.authority, rustls::ALL_VERSIONS)).write_tls(&mut half).expect("a Vec takes all");
    let mut halfway = secure.site.client();
    halfway.send(&half);
    let begin = Instant::now();
    assert!(silent.ends_within(LONG) && halfway.ends_within(LONG));
    assert!(begin.elapsed() < LONG / 2);
}

#[test]
fn a_tls_client_that_reads_no_response_is_cut_too() {
    let secure = Secure::new(Limits { write: Duration::from_millis(400), ..roomy() });
    let mut deaf = secure.client();
    deaf.send(get("/large?50000000"));
    eventually("it is cut", || secure.site.counters.slow_readers.get() == 1);
    eventually("and gone", || secure.site.counters.open.get() == 0);
}

#[test]
fn rubbish_after_the_handshake_ends_that_connection_alone() {
    let secure = Secure::new(roomy());
    let mut random = fastrand::Rng::with_seed(3);
    for _ in 0..200 {
        let mut client = secure.client();
        client.send(get("/hello"));
        assert_eq!(body(&client.answer()), "hello");
        let rubbish: Vec<u8> = (0..random.usize(1..200)).map(|_| random.u8(..)).collect();
        // The record type of application data, so that it is not refused by its first byte.
        let record = [&[23, 3, 3, 0, rubbish.len() as u8][..], &rubbish].concat();
        client.stream.sock.write_all(&record).expect("sent");
        let mut rest = [0; 1_000];
        while client.stream.sock.read(&mut rest).is_ok_and(|bytes| bytes > 0) {}
    }
    assert_eq!(secure.site.counters.accepted.get(), 200);
}

#[test]
fn handshakes_are_bounded_before_their_first_byte() {
    let limits = Limits { unfinished_per_network: 64 * 1024, request: LONG, ..roomy() };
    let secure = Secure::new(limits);
    let mut silent: Vec<Client> = (0..20).map(|_| secure.site.client()).collect();
    eventually("some are closed", || secure.site.counters.evicted.get() >= 10);
    assert!(silent[0].ends_within(LONG), "the oldest");
}
