//! What a webhook brings, and that it is what it says.

use crate::rig::{MINUTE, Rig, SECRET};
use crate::support::request::Request;
use crate::support::server::{Reply, Server};
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

fn hmac(secret: &str, message: &[u8]) -> String {
    hmac_sha256(secret.as_bytes(), message)
}

/// LunaSentri's key is the hash of the secret.
fn hmac_of_lunasentri(secret: &str, message: &[u8]) -> String {
    hmac_sha256(&sha256(secret.as_bytes()), message)
}

/// HMAC-SHA256 in hex, by RFC 2104 and coreutils: not by the code under test.
fn hmac_sha256(key: &[u8], message: &[u8]) -> String {
    const BLOCK: usize = 64;
    assert!(key.len() <= BLOCK, "a longer key would have to be hashed first");
    let padded = |pad: u8| -> Vec<u8> {
        key.iter().copied().chain(std::iter::repeat(0)).take(BLOCK).map(|byte| byte ^ pad).collect()
    };
    let inner = sha256(&[padded(0x36), message.to_owned()].concat());
    let outer = sha256(&[padded(0x5c), inner].concat());
    outer.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}

fn sha256(message: &[u8]) -> Vec<u8> {
    let mut program =
        Command::new("sha256sum").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("coreutils");
    program.stdin.take().expect("a pipe").write_all(message).expect("written");
    let output = program.wait_with_output().expect("an answer");
    let hex = String::from_utf8(output.stdout).expect("text");
    (0..64).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex")).collect()
}

fn header<'a>(request: &'a Request, name: &str) -> &'a str {
    request.header(name).unwrap_or_else(|| panic!("no {name}: {request:?}"))
}

/// A second is promised, and kept where the tests are not all that runs; the couriers' own pauses are 5 s and more.
const AT_ONCE: Duration = Duration::from_secs(4);

#[test]
fn an_outage_and_its_end_arrive_at_once_signed_as_the_original_system_did() {
    let server = Server::always(Reply::ok());
    let mut rig = Rig::new(1);
    rig.channel("webhook", &server.url("/hook"));
    let lost = Instant::now();
    rig.lose([1]);
    let offline = server.request();
    assert!(lost.elapsed() < AT_ONCE, "{:?}", lost.elapsed());
    assert_eq!((offline.method.as_str(), offline.target.as_str()), ("POST", "/hook"));
    assert_eq!(header(&offline, "Content-Type"), "application/json");
    let json = offline.json();
    assert_eq!(json["event"], "machine.offline");
    assert_eq!(json["machine"]["name"], "m1");
    assert_eq!(json["machine"]["status"], "offline");
    assert_eq!(header(&offline, "X-Webhook-Signature"), format!("sha256={}", hmac(SECRET, &offline.body)));
    let expected = format!("sha256={}", hmac_of_lunasentri(SECRET, &offline.body));
    assert_eq!(header(&offline, "X-LunaSentri-Signature"), expected);
    let (id, at) = (header(&offline, "X-Webhook-Id"), header(&offline, "X-Webhook-Timestamp"));
    let dated = [id.as_bytes(), b".", at.as_bytes(), b".", &offline.body].concat();
    assert_eq!(header(&offline, "X-Webhook-Signature-V2"), format!("sha256={}", hmac(SECRET, &dated)));
    let heartbeat = Instant::now();
    rig.back([1]);
    let online = server.request();
    assert!(heartbeat.elapsed() < AT_ONCE, "{:?}", heartbeat.elapsed());
    assert_eq!(online.json()["event"], "machine.online");
    rig.eventually_all_delivered();
}

#[test]
fn a_program_gets_a_message_for_each_machine_over_at_most_eight_connections() {
    let server = Server::always(Reply::ok());
    let mut rig = Rig::new(100);
    rig.channel("webhook", &server.url("/"));
    rig.lose(1..=60);
    let requests = server.requests(60);
    let mut ids: Vec<i64> =
        requests.iter().map(|request| header(request, "X-Webhook-Id").parse().expect("a number")).collect();
    ids.sort_unstable();
    assert_eq!(ids, (1..=60).collect::<Vec<_>>());
    assert!(server.connections() <= 8, "{} connections", server.connections());
    rig.eventually_all_delivered();
}

#[test]
fn a_template_replaces_the_body_and_hostile_names_stay_values() {
    const EVIL: &str = "\"}, \"admin\": true, {{link}} \\\r\n<script>&a=b'";
    let cases = [
        ("application/json", r#"{"text": "{{title}}", "name": "{{ machine.name }}", "id": {{machine.id}}}"#),
        ("application/x-www-form-urlencoded", "name={{machine.name}}&admin={{condition.value}}"),
        ("text/html", "<b title='{{machine.name}}'>{{message}}</b>"),
    ];
    for (content_type, template) in cases {
        let server = Server::always(Reply::ok());
        let mut rig = Rig::new(1);
        let channel = rig.channel("webhook", &server.url("/"));
        let options = serde_json::json!({ "template": template, "content_type": content_type });
        rig.sql(
            "UPDATE channel SET options = ?2 WHERE id = ?1",
            rusqlite::params![channel, options.to_string()],
        );
        rig.sql("UPDATE machine SET name = ?1", [EVIL]);
        rig.lose([1]);
        let request = server.request();
        assert_eq!(header(&request, "Content-Type"), content_type);
        let signature = format!("sha256={}", hmac(SECRET, &request.body));
        assert_eq!(header(&request, "X-Webhook-Signature"), signature);
        let body = String::from_utf8(request.body.clone()).expect("UTF-8");
        match content_type {
            "application/json" => {
                let json = request.json();
                assert_eq!(json["name"], EVIL.replace("\r\n", "  "));
                assert_eq!((&json["id"], json.get("admin")), (&serde_json::json!(1), None));
            }
            "text/html" => assert_eq!(body.matches(['<', '>']).count(), 4, "{body}"),
            _ => assert!(body.ends_with("&admin=") && body.matches(['&', '=']).count() == 3, "{body}"),
        }
        rig.eventually_all_delivered();
    }
}

#[test]
fn a_delivery_whose_answer_was_lost_is_repeated_with_the_same_id_and_body() {
    let server = Server::always(Reply::Reset);
    let mut rig = Rig::new(1);
    rig.channel("webhook", &server.url("/"));
    rig.lose([1]);
    let first = server.request();
    rig.eventually_row(1, "it failed", |row| row.attempts == 1);
    server.become_one_that(|_| Reply::ok());
    rig.wait(MINUTE);
    let second = server.request();
    assert_eq!(header(&first, "X-Webhook-Id"), header(&second, "X-Webhook-Id"));
    assert_eq!(first.body, second.body);
    assert_ne!(header(&first, "X-Webhook-Timestamp"), header(&second, "X-Webhook-Timestamp"));
    rig.eventually_all_delivered();
}
