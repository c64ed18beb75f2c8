//! Bodies that are not quite JSON: what is repaired, and what is only a sign of life.

use super::*;
use flate2::Compression;
use flate2::write::GzEncoder;

const PATH: &str = "/api/v1/heartbeat";
const GZIP: &str = "Content-Encoding: gzip\r\n";

impl Site {
    fn send(&self, path: &str, headers: &str, body: &[u8]) -> SocketResponse {
        let length = body.len();
        let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\n{headers}Content-Length: {length}\r\n\r\n");
        let mut client = self.connect();
        client.send(&[head.as_bytes(), body].concat());
        client.answer()
    }

    fn payload(&self) -> Option<String> {
        self.shared.fleet.newest(MACHINE)?.payload
    }

    fn last_seen(&self) -> Option<Moment> {
        self.shared.fleet.seen(MACHINE)
    }
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body).expect("compressed");
    encoder.finish().expect("compressed")
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

#[test]
fn a_body_that_cannot_be_decoded_is_a_sign_of_life_and_changes_nothing_else() {
    let site = Site::new();
    assert_eq!(site.beat(wire::SAMPLE).status, 200);
    let before = site.shared.fleet.newest(MACHINE).expect("a beat");
    let truncated = &gzip(wire::SAMPLE.as_bytes())[..200];
    let bodies: [(&str, &[u8]); 12] = [
        ("", &utf16("\u{feff}{\"cpu\": 1}")),
        ("", &utf16("{\"reason\": \"shutdown\"}")),
        ("", b"{\"temp\":\"48.8\xb0C\"}"),
        ("", b"{\"reason\": \"shutdown\", \"hostname\": \"other\", \"interval_s\": 7,"),
        ("", b"{\"cpu\": 1e999}"),
        ("", b"{\"cpu\": 1,}"),
        ("", b"\"hello\""),
        ("", b"NaN"),
        ("", b""),
        (GZIP, b"{\"cpu\": 1}"),
        (GZIP, truncated),
        ("Content-Encoding: br\r\n", b"{\"cpu\": 1}"),
    ];
    for (header, body) in bodies {
        site.shared.fleet.alive(MACHINE, Moment(1));
        let answer = site.send(PATH, &(bearer(&site.tokens[0]) + header), body);
        assert_eq!(answer.status, 400, "{body:?} {answer:?}");
        let newest = site.shared.fleet.newest(MACHINE).expect("a beat");
        assert!(newest.seen >= before.seen, "{body:?} was not heard");
        assert_eq!((newest.sample, newest.interval), (before.sample, before.interval), "{body:?}");
        assert_eq!((newest.payload, newest.payload_at), (before.payload.clone(), before.payload_at));
    }
    site.writes();
    let machine = site.store.machine(MACHINE, Moment::now()).expect("read").expect("there");
    assert_eq!(machine.status, MachineStatus::Online, "none of them was a shutdown");
    assert!(machine.last_seen >= Some(before.seen));
    assert_eq!(site.ingest.counters().malformations(), 12);
}

#[test]
fn a_machine_never_seen_comes_online_with_an_undecodable_body() {
    let site = Site::new();
    assert_eq!(site.send(PATH, &bearer(&site.tokens[0]), b"{").status, 400);
    site.writes();
    let machine = site.store.machine(MACHINE, Moment::now()).expect("read").expect("there");
    assert_eq!(machine.status, MachineStatus::Online);
    assert!(site.has_no_values());
}

#[test]
fn an_undecodable_replay_is_not_a_sign_of_life() {
    let site = Site::new();
    let too_large = gzip(&[b' '; 2 * wire::MAX_BODY]);
    let truncated = gzip(b"[{\"replay_age_s\": 60}]");
    let cases: [(&str, &[u8], u16); 8] = [
        ("", b"[", 400),
        ("", b" \n[{\"cpu\": 1}]", 400),
        ("", b"{\"replay_age_s\": 5,", 400),
        ("", b"{\"replay_age_s\": NaN, \"cpu\": 1}", 400),
        ("", b"{\"replay_age_s\": -1}", 400),
        ("", &utf16("\u{feff}[{\"cpu\": 1}]"), 400),
        (GZIP, &truncated[..truncated.len() - 3], 400),
        (GZIP, &too_large, 413),
    ];
    for (header, body, expected) in cases {
        let answer = site.send(PATH, &(bearer(&site.tokens[0]) + header), body);
        assert_eq!(answer.status, expected, "{body:?} {answer:?}");
        assert_eq!(site.last_seen(), None, "{body:?} was heard");
    }
}

#[test]
fn only_the_right_token_and_key_make_a_sign_of_life() {
    let site = Site::new();
    let code = |index: usize| format!("X-Token-Code: {}\r\n", site.tokens[index]);
    for (path, header, status) in [
        (PATH, bearer("nonsense"), 401),
        (PATH, String::new(), 401),
        (PATH, bearer(&site.tokens[2]), 403),
        ("/api/devices/cam-8/online", code(1), 401),
    ] {
        assert_eq!(site.send(path, &header, b"{").status, status, "{path} {header}");
    }
    assert!(site.is_untouched());
    assert_eq!(site.send("/api/devices/cam-7/online", &code(1), b"{").status, 400);
    assert!(site.shared.fleet.seen(MachineId(2)).is_some());
    let incomplete =
        format!("POST {PATH} HTTP/1.1\r\nHost: x\r\n{}Content-Length: 9\r\n\r\n{{", bearer(&site.tokens[0]));
    let mut client = site.connect();
    client.send(incomplete.as_bytes());
    client.stream.shutdown(std::net::Shutdown::Write).expect("shut");
    assert!(client.try_answer().is_none());
    assert_eq!(site.last_seen(), None, "half a request is not one");
}

#[test]
fn marks_and_numbers_that_json_does_not_have_are_repaired_and_only_the_repaired_text_is_kept() {
    let site = Site::new();
    let gzipped = gzip(b"\xef\xbb\xbf{\"cpu\":1,\"temp\":nan}");
    let cases: [(&str, &[u8], &str); 7] = [
        ("", b"\xef\xbb\xbf{\"cpu\":1}", "{\"cpu\":1}"),
        ("", b"{\"cpu\":1,\"temp\":NaN}", "{\"cpu\":1,\"temp\":null}"),
        ("", b"{\"cpu\":1,\"temp\":nan}", "{\"cpu\":1,\"temp\":null}"),
        ("", b"{\"cpu\":1,\"load\":[-Infinity, inf]}", "{\"cpu\":1,\"load\":[null, null]}"),
        (GZIP, &gzip(b"{\"cpu\":1}"), "{\"cpu\":1}"),
        (GZIP, &gzipped, "{\"cpu\":1,\"temp\":null}"),
        ("", b"{\"cpu\":1,\"note\":\"NaN\"}", "{\"cpu\":1,\"note\":\"NaN\"}"),
    ];
    for (header, body, kept) in cases {
        let answer = site.send(PATH, &(bearer(&site.tokens[0]) + header), body);
        assert_eq!(answer.status, 200, "{body:?} {answer:?}");
        assert_eq!(site.payload().as_deref(), Some(kept));
        assert_eq!(site.shared.fleet.newest(MACHINE).and_then(|newest| newest.sample.cpu), Some(1.0));
    }
    let replays = b"[{\"replay_age_s\": 60, \"cpu\": 5, \"temp\": NaN}]";
    assert_eq!(site.send(PATH, &bearer(&site.tokens[0]), replays).status, 200);
    assert_eq!(site.history(), 1);
    let shutdown = b"{\"reason\": \"shutdown\", \"cpu\": NaN}";
    assert_eq!(site.send(PATH, &bearer(&site.tokens[0]), shutdown).status, 200);
    site.writes();
    let machine = site.store.machine(MACHINE, Moment::now()).expect("read").expect("there");
    assert_eq!(machine.status, MachineStatus::Stopped, "what can be repaired means what it says");
}

#[test]
fn head_changes_nothing() {
    let site = Site::new();
    for params in ["%7B%22cpu%22%3A1%7D", "%7B", "%5B%7B%22replay_age_s%22%3A60%2C%22cpu%22%3A1%7D%5D"] {
        let token = &site.tokens[0];
        let path = format!("/heartbeat.php?params={params}&token={token}");
        let mut client = site.connect();
        client.send(format!("HEAD {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes());
        let mut head = String::new();
        client.stream.read_to_string(&mut head).expect("an answer");
        let expected = if params == "%7B" { "HTTP/1.1 400" } else { "HTTP/1.1 200" };
        assert!(head.starts_with(expected), "{head}");
    }
    assert!(site.is_untouched());
}

#[test]
fn no_cache_keeps_an_answer() {
    let site = Site::new();
    let (token, code) = (bearer(&site.tokens[0]), format!("X-Token-Code: {}\r\n", site.tokens[1]));
    let get = |path: &str, header: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\n{header}\r\n");
    for request in [
        post(PATH, &token, b"{}"),
        post(PATH, &token, b"{"),
        post(PATH, &token, b"[{\"replay_age_s\": 1}]"),
        post(PATH, "", b"{}"),
        post("/agent/metrics", &token, b"{}"),
        get(PATH, &token),
        get("/heartbeat.php?params=%7B%7D", &token),
        get(&format!("/heartbeat.php?params={}", "x".repeat(9000)), &token),
        get("/api/devices/cam-7/availability", &code),
        get("/api/devices/cam-8/availability", &code),
        post(enroll::PATH, "", b"{}"),
    ] {
        let answer = site.request(&request);
        assert!(answer.head.contains("\r\nCache-Control: no-store"), "{request:.80} {answer:?}");
    }
}

#[test]
fn a_hostname_follows_the_device_unless_a_person_set_it() {
    let site = Site::new();
    let hostname = |id: i64| {
        site.writes();
        // Each machine is saved when its turn comes.
        for _ in 0..12 {
            site.writes();
        }
        site.store.machine(MachineId(id), Moment::now()).expect("read").expect("there").hostname
    };
    let report = |name: &str| {
        let body = format!("{{\"hostname\": \"{name}\"}}");
        assert_eq!(site.beat(&body).status, 200);
    };
    report("raspberrypi");
    assert_eq!(hostname(1).as_deref(), Some("raspberrypi"));
    report("barn-cam");
    assert_eq!(hostname(1).as_deref(), Some("barn-cam"), "renamed on the device");
    let set = |name: Option<&str>| {
        let change = crate::monitor::registry::machines::MachineChange {
            hostname: Some(name.map(str::to_owned)),
            ..Default::default()
        };
        site.store.change_machine("m1", &change).expect("changed");
    };
    set(Some("gate"));
    report("attic");
    assert_eq!(hostname(1).as_deref(), Some("gate"), "set by a person");
    set(None);
    report("attic");
    assert_eq!(hostname(1).as_deref(), Some("attic"), "the person's is gone");
}
