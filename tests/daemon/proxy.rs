//! A proxy from the environment.

use crate::support::daemon::Setup;
use crate::support::https::Authority;
use crate::support::server::{Reply, Server};
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

/// Opens a tunnel, or takes a request for somebody else; behind it is always the same answer.
fn proxy() -> Server {
    Server::start(|request| match request.method.as_str() {
        "CONNECT" => Reply::Bytes(b"HTTP/1.1 200 Connection established\r\n\r\n"),
        _ => Reply::ok(),
    })
}

#[test]
fn a_proxy_of_the_environment_is_used() {
    let proxy = proxy();
    // A name that only the proxy could know.
    let url = "http://heartbeat.invalid:8080/heartbeat";
    let _daemon = Setup::new().to(url).env("http_proxy", &proxy.url("")).start();
    let request = proxy.request_that(|request| request.method == "POST");
    assert_eq!(request.header("host"), Some("heartbeat.invalid:8080"));
    assert_eq!(request.reason(), "startup");
    proxy.request_that(|request| request.method == "POST" && request.reason() == "scheduled");
}

#[test]
fn hosts_without_proxy_are_reached_directly() {
    let (proxy, server) = (proxy(), Server::always(Reply::ok()));
    let _daemon = Setup::new()
        .to(&server.url("/"))
        .env("http_proxy", &proxy.url(""))
        .env("no_proxy", "localhost,127.0.0.1")
        .start();
    server.requests(3);
    assert_eq!(proxy.connections(), 0);
}

#[test]
fn a_proxy_that_hangs_does_not_stop_the_beat() {
    let proxy = Server::always(Reply::Hang);
    let daemon = Setup::new()
        .to("http://heartbeat.invalid/")
        .timeout("500ms")
        .env("http_proxy", &proxy.url(""))
        .start();
    proxy.requests(2);
    // The API's thread is the last to start.
    daemon.api_address();
    let before = daemon.vitals();
    let attempts = proxy.requests_during(Duration::from_secs(5));
    assert!(attempts.len() >= 2, "{} attempts in 5 s", attempts.len());
    assert!(daemon.vitals().threads <= before.threads);
    assert!(daemon.vitals().descriptors <= before.descriptors + 1);
}

#[test]
fn a_proxy_sees_of_https_only_the_tunnel() {
    let authority = Authority::new();
    let server = Server::start_tls(authority.server(&["heartbeat.invalid"]), |_| Reply::ok());
    let (proxy, seen) = tunnel_to(server.address());
    let setup = Setup::new().to("https://heartbeat.invalid/heartbeat").token("not-for-the-proxy");
    let ca_file = setup.scratch().file("ca.pem", &authority.pem);
    let _daemon =
        setup.key("heartbeat.ca_file", &ca_file).env("https_proxy", &format!("http://{proxy}")).start();
    let requests = server.requests(3);
    assert!(requests.iter().all(|r| r.header("authorization") == Some("Bearer not-for-the-proxy")));
    assert!(requests.iter().all(|r| r.connection == 0), "the tunnel is kept");
    let head = seen.recv_timeout(crate::support::SOON).expect("a CONNECT");
    assert!(head.starts_with("CONNECT heartbeat.invalid:443 HTTP/1.1"), "{head}");
    assert!(!head.contains("not-for-the-proxy"), "{head}");
}

/// A proxy that opens each tunnel to the same address, and tells the heads of the requests for one.
fn tunnel_to(target: SocketAddr) -> (SocketAddr, crossbeam_channel::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    let (heads, seen) = crossbeam_channel::unbounded();
    thread::spawn(move || {
        while let Ok((client, _)) = listener.accept() {
            let heads = heads.clone();
            // Either end may leave at any time.
            thread::spawn(move || open_tunnel(client, target, &heads).ok());
        }
    });
    (address, seen)
}

fn open_tunnel(
    mut client: TcpStream,
    target: SocketAddr,
    heads: &crossbeam_channel::Sender<String>,
) -> io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Ok(());
        }
    }
    let _ = heads.send(head);
    let mut server = TcpStream::connect(target)?;
    client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
    let mut answers = server.try_clone()?;
    thread::spawn(move || io::copy(&mut answers, &mut client));
    io::copy(&mut reader, &mut server).map(drop)
}
