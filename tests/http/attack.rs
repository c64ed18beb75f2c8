//! Clients that send half of a request and no more: what they cost, and whom.

use crate::site::{Client, LONG, Site, body, eventually, get, post, roomy, status};
use heartbeat_daemon::http::{Exchange, GateDecision, Limits, Request, Response};
use socket2::{Domain, Socket, Type};
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

const KIB: usize = 1024;

/// A site whose `/beat` wants the token "good", and whose other paths want nothing.
fn guarded(limits: Limits) -> Site {
    Site::gated(limits, answer, check)
}

fn has_token(request: &Request) -> bool {
    request.header("Authorization") == Some("Bearer good")
}

fn check(request: &Request) -> GateDecision {
    match (request.path(), has_token(request)) {
        ("/beat", true) => GateDecision::Authenticated,
        ("/beat", false) => GateDecision::Refuse(Response::error(401, "unknown token")),
        _ => GateDecision::Receive,
    }
}

fn answer(Exchange { request, reply }: Exchange) {
    reply.send(match (request.path(), has_token(&request)) {
        ("/beat", true) => Response::new(200).authenticated(),
        ("/beat", false) => Response::error(401, "unknown token"),
        _ => Response::new(200),
    });
}

/// A client with this address, on the loopback network.
fn from(source: [u8; 4], to: SocketAddr) -> Client {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::from((source, 0)).into()).expect("loopback is a /8");
    socket.connect(&to.into()).expect("a connection");
    Client::new(socket.into())
}

fn beat_head(token: &str, length: usize) -> String {
    format!(
        "POST /beat HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nContent-Length: {length}\r\n\r\n"
    )
}

fn beats(client: &mut Client) -> u16 {
    client.send(beat_head("good", 4) + "beat");
    status(&client.answer())
}

#[test]
fn a_request_is_refused_at_its_head_and_its_body_is_not_waited_for() {
    let site = guarded(Limits { request: LONG, ..roomy() });
    for head in [
        beat_head("bad", 60_000),
        "POST /beat HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx".to_owned(),
        "POST /beat HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n".to_owned(),
    ] {
        let mut client = site.client();
        client.send(&head);
        let answer = client.answer();
        assert!(status(&answer) == 401 && answer.contains("Connection: close"), "{head} {answer}");
        client.shut();
        assert_eq!(client.rest(), "");
    }
    assert_eq!(site.counters.requests.get(), 0, "none came to the handler");
    let mut client = site.client();
    client.send(beat_head("good", 4).replace("\r\n\r\n", "\r\nExpect: 100-continue\r\n\r\n"));
    assert_eq!(client.answer(), "HTTP/1.1 100 Continue\r\n\r\n");
    client.send("beat");
    assert_eq!(status(&client.answer()), 200);
}

#[test]
fn one_networks_partial_requests_are_bounded_and_affect_no_other_client() {
    let site = guarded(Limits { unfinished_per_network: 64 * KIB, request: LONG, ..roomy() });
    let half = beat_head("good", 16 * KIB) + &"x".repeat(8 * KIB);
    let mut device = from([127, 0, 2, 1], site.address);
    device.send(&half);
    let mut neighbour = from([127, 0, 1, 1], site.address);
    assert_eq!(beats(&mut neighbour), 200);
    let stranger = post("/echo", "").replace("Length: 0", "Length: 16384") + &"x".repeat(8 * KIB);
    let mut many: Vec<Client> = (0..30)
        .map(|_| {
            let mut client = from([127, 0, 1, 1], site.address);
            client.try_send(&stranger);
            client
        })
        .collect();
    eventually("the surplus is closed", || site.counters.evicted.get() >= 22);
    assert!(many[0].ends_within(LONG), "the oldest");
    assert!(!many[29].ends_within(Duration::from_millis(100)), "the youngest");
    assert_eq!(beats(&mut neighbour), 200, "known, and of the same address");
    device.send("x".repeat(8 * KIB));
    assert_eq!(status(&device.answer()), 200);
}

#[test]
fn answers_that_are_not_read_count_as_unfinished() {
    let limits = Limits { unfinished_per_network: 160 * KIB, write: LONG, ..roomy() };
    let site = Site::limited(limits);
    let mut readers: Vec<Client> = (0..6).map(|_| from([127, 0, 1, 1], site.address)).collect();
    for reader in &mut readers {
        reader.send(get("/large?20000000"));
    }
    eventually("two are left", || site.counters.evicted.get() == 4 && site.counters.open.get() == 2);
    let mut other = from([127, 0, 2, 1], site.address);
    other.send(get("/large?20000000"));
    assert_eq!(body(&other.answer()).len(), 20_000_000, "one long answer is no attack");
}

#[test]
fn all_half_requests_together_are_bounded() {
    let limits = Limits { unfinished: 128 * KIB, unfinished_per_network: 64 * KIB, request: LONG, ..roomy() };
    let site = guarded(limits);
    let half = post("/echo", "").replace("Length: 0", "Length: 16384") + &"x".repeat(8 * KIB);
    let mut slow = from([127, 0, 2, 1], site.address);
    slow.send(&half);
    let _many: Vec<Client> = (0..60_u8)
        .map(|number| {
            let mut client = from([127, 0, 1, 1 + number % 10], site.address);
            client.try_send(&half);
            client
        })
        .collect();
    eventually("most are closed", || site.counters.evicted.get() >= 40);
    slow.send("x".repeat(8 * KIB));
    assert_eq!(status(&slow.answer()), 200, "its network holds least");
}

#[test]
fn connections_that_send_nothing_count_too() {
    let site = guarded(Limits { unfinished_per_network: 4 * KIB, request: LONG, ..roomy() });
    let mut silent: Vec<Client> = (0..20).map(|_| from([127, 0, 1, 1], site.address)).collect();
    eventually("some are closed", || site.counters.evicted.get() >= 10);
    assert!(silent[0].ends_within(LONG));
}

#[test]
fn behind_a_trusted_proxy_the_clients_address_is_limited() {
    let unlimited = vec!["127.0.0.1".parse().expect("a network")];
    let limits = Limits { unfinished_per_network: 64 * KIB, request: LONG, unlimited, ..roomy() };
    let site = guarded(limits);
    let half = |client: &str| {
        let length = format!("X-Forwarded-For: {client}\r\nContent-Length: 16384");
        post("/echo", "").replace("Content-Length: 0", &length) + &"x".repeat(8 * KIB)
    };
    let mut other = site.client();
    other.send(half("198.51.100.7"));
    let _many: Vec<Client> = (0..30)
        .map(|_| {
            let mut client = site.client();
            client.try_send(half("203.0.113.9"));
            client
        })
        .collect();
    eventually("the surplus of one client is closed", || site.counters.evicted.get() >= 22);
    other.send("x".repeat(8 * KIB));
    assert_eq!(status(&other.answer()), 200, "another client of the same proxy");
}

#[test]
fn seventeen_addresses_with_half_requests_cost_known_devices_no_beat() {
    let site = guarded(Limits { connections: 120, request: LONG, ..roomy() });
    let device = |number: u8| from([127, 0, 2, number], site.address);
    let mut fleet: Vec<Client> = (1..=20).map(device).collect();
    for known in &mut fleet {
        assert_eq!(beats(known), 200);
    }
    let mut slow = from([127, 0, 3, 1], site.address);
    slow.send(&beat_head("good", 4)[..20]);
    let address = site.address;
    let attack = thread::spawn(move || {
        let mut held = Vec::new();
        for round in 0..16 {
            for source in 1..=17 {
                let mut client = from([127, 0, 1, source], address);
                // Some have completed a request before.
                let answered =
                    round % 2 == 0 || (client.try_send(get("/healthz")) && !client.answer().is_empty());
                if answered {
                    client.try_send(post("/echo", "").replace("Length: 0", "Length: 60000"));
                }
                held.push(client);
            }
        }
        held
    });
    for _ in 0..20 {
        for known in &mut fleet {
            assert_eq!(beats(known), 200, "over the connection that it has");
        }
        thread::sleep(Duration::from_millis(20));
    }
    let held = attack.join().expect("no panic");
    for number in 1..=20 {
        let mut again = device(number);
        assert_eq!(beats(&mut again), 200, "over a new connection");
    }
    for known in &mut fleet {
        assert_eq!(beats(known), 200);
    }
    slow.send(&(beat_head("good", 4) + "beat")[20..]);
    assert_eq!(status(&slow.answer()), 200, "slow, and alone in its network");
    assert!(site.counters.evicted.get() > 100, "{} were closed", site.counters.evicted.get());
    assert_eq!(site.counters.refused.get(), 0);
    drop(held);
}

#[test]
fn with_only_known_devices_one_that_does_not_send_regularly_gives_way() {
    let kept = Duration::from_millis(300);
    let site = guarded(Limits { connections: 3, kept, ..roomy() });
    let mut fleet: Vec<Client> = (0..3).map(|_| site.client()).collect();
    for known in &mut fleet {
        assert_eq!(beats(known), 200);
    }
    std::thread::sleep(kept);
    let mut newcomer = site.client();
    assert_eq!(beats(&mut newcomer), 200);
    assert!(fleet[0].ends_within(LONG));
    assert_eq!((beats(&mut fleet[1]), beats(&mut fleet[2])), (200, 200));
}

#[test]
fn a_fleet_that_is_too_large_does_not_take_each_others_connections() {
    let site = guarded(Limits { connections: 3, kept: LONG, ..roomy() });
    let mut fleet: Vec<Client> = (0..3).map(|_| site.client()).collect();
    for known in &mut fleet {
        assert_eq!(beats(known), 200);
    }
    for _ in 0..20 {
        let mut newcomer = site.client();
        assert_eq!(beats(&mut newcomer), 503);
        for known in &mut fleet {
            assert_eq!(beats(known), 200, "over the same connection");
        }
    }
}
