use super::*;
use std::fmt::Write as _;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

const SECRET: &[u8] = b"hunter2-hunter2";
const BODY: &[u8] =
    br#"{"event":"machine.offline","machine":{"id":9,"name":"simulated-17","status":"offline"}}"#;
const NOW: Moment = Moment(1_769_005_800_000);
const TIMESTAMP: &str = "1769005800";

fn sign(secret: &[u8], parts: &[&[u8]]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("a key");
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().iter().fold("sha256=".into(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("written");
        text
    })
}

fn signatures(secret: &[u8], id: &str, timestamp: &str, body: &[u8]) -> [String; 2] {
    let dated = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body];
    [sign(secret, &[body]), sign(secret, &dated)]
}

fn check(id: &str, timestamp: &str, body: &[u8]) -> Received {
    let [signature, signature_v2] = signatures(SECRET, id, timestamp, body);
    let headers = AlertHeaders {
        id: Some(id),
        timestamp: Some(timestamp),
        signature: Some(&signature),
        signature_v2: Some(&signature_v2),
    };
    verify(SECRET, headers, body, Duration::ZERO, NOW)
}

fn of(event: &str, name: &str) -> Received {
    check("7", TIMESTAMP, format!(r#"{{"event":"{event}","machine":{{"name":"{name}"}}}}"#).as_bytes())
}

#[test]
fn a_signed_message_is_read() {
    let alert = ReceivedAlert { id: 7, machine: 17, kind: AlertKind::Offline, at: Duration::ZERO };
    assert_eq!(check("7", TIMESTAMP, BODY), Received::Alert(alert));
    let online = ReceivedAlert { kind: AlertKind::Online, ..alert };
    assert_eq!(of("machine.online", "simulated-17"), Received::Alert(online));
    assert!(matches!(of("machine.flapping", "simulated-17"), Received::Alert(_)));
}

#[test]
fn a_message_about_another_machine_or_event_is_neither_an_alert_nor_refused() {
    for (event, name) in [
        ("machine.offline", "barn"),
        ("machine.offline", "simulated-"),
        ("machine.offline", "simulated-1x"),
        ("machine.offline", "simulated-99999999999999"),
        ("machine.stopped", "simulated-1"),
        ("machine.test", "simulated-1"),
        ("monitor.trouble", "simulated-1"),
    ] {
        assert_eq!(of(event, name), Received::Other, "{event} {name}");
    }
}

#[test]
fn a_message_without_both_right_signatures_is_refused() {
    let [signature, signature_v2] = signatures(SECRET, "7", TIMESTAMP, BODY);
    let [other, other_v2] = signatures(b"hunter3-hunter3", "7", TIMESTAMP, BODY);
    let right = AlertHeaders {
        id: Some("7"),
        timestamp: Some(TIMESTAMP),
        signature: Some(&signature),
        signature_v2: Some(&signature_v2),
    };
    let bad = Received::Refused(AlertRefusal::BadSignature);
    for (headers, body) in [
        (AlertHeaders { signature: Some(&other), ..right }, BODY),
        (AlertHeaders { signature_v2: Some(&other_v2), ..right }, BODY),
        (AlertHeaders { signature: None, ..right }, BODY),
        (AlertHeaders { signature_v2: None, ..right }, BODY),
        (AlertHeaders { signature: Some("sha256="), ..right }, BODY),
        (AlertHeaders { signature: Some("sha256=zz"), ..right }, BODY),
        (AlertHeaders { signature: Some("sha256=é"), ..right }, BODY),
        (AlertHeaders { signature: Some(&signature[7..]), ..right }, BODY),
        (AlertHeaders { id: Some("8"), ..right }, BODY),
        (AlertHeaders { timestamp: Some("1769005801"), ..right }, BODY),
        (right, b"{}"),
    ] {
        assert_eq!(verify(SECRET, headers, body, Duration::ZERO, NOW), bad, "{headers:?}");
    }
    let none = AlertHeaders { id: None, ..right };
    let no_message = Received::Refused(AlertRefusal::NoMessage);
    assert_eq!(verify(SECRET, none, BODY, Duration::ZERO, NOW), no_message);
}

#[test]
fn signed_garbage_and_a_recorded_message_are_refused() {
    let garbage = Received::Refused(AlertRefusal::Garbage);
    for body in [&b""[..], b"{}", b"[", b"\xff\xfe", br#"{"event":"machine.offline","machine":{}}"#] {
        assert_eq!(check("7", TIMESTAMP, body), garbage, "{body:?}");
    }
    assert_eq!(check("seven", TIMESTAMP, BODY), garbage);
    assert_eq!(check("7", "now", BODY), garbage);
    for timestamp in ["1769005499", "1769006101", "-1"] {
        assert_eq!(check("7", timestamp, BODY), Received::Refused(AlertRefusal::Old), "{timestamp}");
    }
}

/// The status of the response to these bytes, followed by as many of `more` as the receiver accepts.
fn sent(to: SocketAddr, head: &str, more: usize) -> String {
    let mut stream = TcpStream::connect(to).expect("connected");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a limit");
    stream.write_all(head.as_bytes()).expect("sent");
    for _ in 0..more {
        if stream.write_all(&[b'x'; 1024]).is_err() {
            break;
        }
    }
    let mut response = Vec::new();
    match stream.read_to_end(&mut response) {
        Err(error) if error.kind() != ErrorKind::ConnectionReset => panic!("no end: {error}"),
        _ => String::from_utf8_lossy(&response).chars().skip(9).take(3).collect(),
    }
}

#[test]
fn the_receiver_bounds_what_it_reads() {
    let free = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let address = free.local_addr().expect("bound");
    drop(free);
    let receiver = AlertReceiver::start(address, SECRET.into(), Instant::now()).expect("it listens");
    assert_eq!(sent(address, "nonsense\r\n\r\n", 0), "400");
    assert_eq!(sent(address, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 0), "400");
    let endless = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n";
    assert_eq!(sent(address, endless, 4096), "413");
    let unsigned = format!(
        "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Webhook-Id: 1\r\nX-Webhook-Timestamp: 1\r\n\
         Content-Length: {}\r\n\r\n{}",
        BODY.len(),
        String::from_utf8_lossy(BODY)
    );
    assert_eq!(sent(address, &unsigned, 0), "401");
    let refusals: Vec<_> = receiver.received().try_iter().collect();
    assert_eq!(refusals, [AlertRefusal::NoMessage, AlertRefusal::BadSignature].map(Received::Refused));
}
