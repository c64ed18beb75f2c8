//! The services that people read, each against a receiver built from its public documentation: what it gets, its length
//! limit, its rate limit, and which of its errors are permanent.

use crate::rig::{DEAD, DELIVERED, HOUR, MINUTE, Rig, WAITING};
use crate::support::request::Request;
use crate::support::server::{Reply, Server};
use heartbeat_daemon::monitor::notify::NotifySettings;
use heartbeat_daemon::monitor::notify::acknowledge_link::{AcknowledgeLink, LinkUse};
use serde_json::{Value, json};
use std::time::Duration;

/// A name with markup of every service, a mention, an injected line and an emoji.
const EVIL: &str = "<!channel> <b>*_~`|# [x](http://x) @everyone &amp; \"}{{name}}\\ \u{202e}\u{1F469}\u{200d}\u{1F692}\r\nBcc: x";
/// As messages show it: without control characters.
fn evil() -> String {
    EVIL.replace(['\r', '\n'], " ")
}

const TOKEN: &str = "0123456789abcdefghijABCDEFGHIJ";
/// The last part of a secret URL.
const KEY: &str = "B0SECRETSECRET";

/// One service: how its channel is added, and what its fake receiver answers.
struct Service {
    kind: &'static str,
    /// `{url}`: the receiver's.
    target: &'static str,
    /// Of the secret's file.
    secret: &'static str,
    options: &'static [(&'static str, &'static str)],
    accepted: (u16, &'static str),
    /// Texts that it does not accept, and addresses that it does not know.
    permanent: &'static [(u16, &'static str)],
    /// Everything else is retried.
    temporary: &'static [(u16, &'static str)],
    /// A rate limit of 300 s in the service's own form.
    limited: (&'static [(&'static str, &'static str)], &'static str),
    /// The text of a request, and its length in the unit that the service counts.
    text: fn(&Request) -> String,
    length: fn(&Request) -> usize,
    most: usize,
}

const SERVICES: &[Service] = &[
    Service {
        kind: "slack",
        target: "#alerts",
        secret: "{url}/services/T0AAAAAAAA/B0SECRETSECRET",
        options: &[],
        accepted: (200, "ok"),
        permanent: &[(400, "invalid_payload"), (404, "no_service"), (404, "channel_not_found")],
        temporary: &[
            (403, "action_prohibited"),
            (404, "<html>a proxy</html>"),
            (410, "channel_is_archived"),
            (400, "something_new"),
            (500, "rollup_error"),
        ],
        limited: (&[("Retry-After", "300")], "rate_limited"),
        text: |request| field(request, "/text"),
        length: |request| field(request, "/text").chars().count(),
        most: 4000,
    },
    Service {
        kind: "discord",
        target: "alerts",
        secret: "{url}/api/webhooks/1234567890/B0SECRETSECRET?thread_id=42",
        options: &[],
        accepted: (204, ""),
        permanent: &[
            (404, r#"{"message": "Unknown Webhook", "code": 10015}"#),
            (400, r#"{"message": "Cannot send an empty message", "code": 50006}"#),
            (400, r#"{"content": ["Must be 2000 or fewer in length."], "code": 50035}"#),
        ],
        temporary: &[
            (404, r#"{"message": "Unknown Channel", "code": 10003}"#),
            (404, "<html>a proxy</html>"),
            (401, r#"{"message": "Invalid Webhook Token", "code": 50027}"#),
            (
                400,
                r#"{"message": "Webhooks posted to forum channels must have a thread_id", "code": 220001}"#,
            ),
            (403, "error code: 1020"),
            (502, ""),
        ],
        limited: (
            &[],
            r#"{"message": "You are being rate limited.", "retry_after": 299.57, "global": false}"#,
        ),
        text: |request| field(request, "/content"),
        length: |request| field(request, "/content").encode_utf16().count(),
        most: 2000,
    },
    Service {
        kind: "teams",
        target: "Farm > Alerts",
        secret: "{url}/workflows/0a1b/triggers/manual/paths/invoke?api-version=1&sig=B0SECRETSECRET",
        options: &[],
        accepted: (202, ""),
        permanent: &[
            (404, r#"{"error":{"code":"WorkflowNotFound","message":"The workflow could not be found."}}"#),
            (413, "Request Entity Too Large"),
        ],
        temporary: &[
            (400, r#"{"error":{"code":"WorkflowTriggerIsNotEnabled","message":"..."}}"#),
            (400, r#"{"error":{"code":"TriggerInputSchemaMismatch","message":"..."}}"#),
            (401, r#"{"error":{"code":"DirectApiAuthorizationRequired","message":"..."}}"#),
            (404, "<html>a proxy</html>"),
            (502, r#"{"error":{"code":"NoResponse"}}"#),
        ],
        limited: (
            &[("Retry-After", "300")],
            r#"{"error":{"code":"WorkflowRunActionRepetitionQuotaExceeded"}}"#,
        ),
        text: card_text,
        length: |request| request.body.len(),
        most: 28 * 1024,
    },
    Service {
        kind: "gotify",
        target: "{url}",
        secret: TOKEN,
        options: &[],
        accepted: (200, r#"{"id":25,"appid":5}"#),
        permanent: &[(413, "Request Entity Too Large")],
        temporary: &[
            (
                401,
                r#"{"error":"Unauthorized","errorCode":401,"errorDescription":"you need to provide a valid token"}"#,
            ),
            (400, r#"{"error":"Bad Request","errorCode":400,"errorDescription":"..."}"#),
            (404, ""),
            (500, ""),
        ],
        limited: (&[("Retry-After", "300")], ""),
        text: |request| field(request, "/message"),
        length: |request| field(request, "/message").chars().count(),
        most: 8000,
    },
    Service {
        kind: "pushover",
        target: "uQiRzpo4DXghDmr9QzzfQu27cmVRsG",
        secret: TOKEN,
        options: &[("api", "{url}")],
        accepted: (200, r#"{"status":1,"request":"647d2300-702c-4b38-8b2f-d56326ae460b"}"#),
        permanent: &[
            (400, r#"{"user":"invalid","errors":["user identifier is invalid"],"status":0}"#),
            (400, r#"{"message":"cannot be blank","errors":["message cannot be blank"],"status":0}"#),
        ],
        temporary: &[
            (400, r#"{"token":"invalid","errors":["application token is invalid"],"status":0}"#),
            (400, r#"{"user":"has no active devices","errors":["..."],"status":0}"#),
            (400, r#"{"errors":["something new"],"status":0}"#),
            (500, ""),
        ],
        limited: (
            &[("X-Limit-App-Reset", "{in 300 s}")],
            r#"{"errors":["application is over its quota"],"status":0}"#,
        ),
        text: |request| field(request, "/message"),
        length: |request| field(request, "/message").chars().count(),
        most: 1024,
    },
    Service {
        kind: "matrix",
        target: "!room/id:example.org",
        secret: TOKEN,
        options: &[("server", "{url}")],
        accepted: (200, r#"{"event_id":"$abc"}"#),
        permanent: &[
            (413, r#"{"errcode":"M_TOO_LARGE","error":"event too large"}"#),
            (400, r#"{"errcode":"M_BAD_JSON","error":"..."}"#),
        ],
        temporary: &[
            (401, r#"{"errcode":"M_UNKNOWN_TOKEN","error":"...","soft_logout":true}"#),
            (403, r#"{"errcode":"M_FORBIDDEN","error":"User not in room"}"#),
            (404, r#"{"errcode":"M_UNRECOGNIZED","error":"..."}"#),
            (400, r#"{"errcode":"M_SOMETHING_NEW","error":"..."}"#),
            (502, "<html>a proxy</html>"),
        ],
        limited: (
            &[],
            r#"{"errcode":"M_LIMIT_EXCEEDED","error":"Too many requests","retry_after_ms":300000}"#,
        ),
        text: |request| field(request, "/body"),
        length: |request| request.body.len(),
        most: 40_000,
    },
    Service {
        kind: "apprise",
        target: "family",
        secret: "{url}/notify/B0SECRETSECRET",
        options: &[("tag", "farm")],
        accepted: (200, "Notification(s) sent."),
        permanent: &[(413, "")],
        temporary: &[
            // No configuration: nobody was notified.
            (204, ""),
            (424, "One or more notification could not be sent."),
            (400, "Bad FORM Payload provided."),
            (404, ""),
            (500, ""),
        ],
        limited: (&[("Retry-After", "300")], ""),
        text: |request| field(request, "/body"),
        length: |request| field(request, "/body").chars().count(),
        most: 4000,
    },
];

fn field(request: &Request, pointer: &str) -> String {
    request.json().pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn card_text(request: &Request) -> String {
    let json = request.json();
    let lines = json.pointer("/attachments/0/content/body").and_then(Value::as_array).cloned();
    let text = |line: &Value| line["inlines"][0]["text"].as_str().unwrap_or_default().to_owned();
    lines.unwrap_or_default().iter().map(text).collect::<Vec<_>>().join("\n")
}

fn answer((status, body): (u16, &str)) -> Reply {
    Reply::Answer(status, Vec::new(), body.as_bytes().to_vec())
}

impl Service {
    fn of(kind: &str) -> &'static Service {
        SERVICES.iter().find(|service| service.kind == kind).expect("a service")
    }

    fn accepting(&self) -> Server {
        Server::always(answer(self.accepted))
    }

    /// A monitor with this many machines and a channel of this service.
    fn rig(&self, machines: i64, server: &Server) -> Rig {
        let site = Some("https://heart.example/".into());
        let settings = NotifySettings { allow_private_webhooks: true, site, ..NotifySettings::default() };
        let rig = Rig::with(machines, settings);
        let url = server.url("");
        let here = |text: &str| text.replace("{url}", url.trim_end_matches('/'));
        let channel = rig.channel(self.kind, &here(self.target));
        rig.secret_file(channel, &format!("{}\n", here(self.secret)));
        let options: Value = self.options.iter().map(|(name, value)| (*name, here(value))).collect();
        rig.sql("UPDATE channel SET options = ?1", [options.to_string()]);
        rig
    }
}

#[test]
fn each_service_gets_begin_and_end_and_its_secret_is_shown_nowhere() {
    for service in SERVICES {
        let server = service.accepting();
        let mut rig = service.rig(1, &server);
        rig.lose([1]);
        let request = server.request();
        let text = (service.text)(&request);
        assert!(text.contains("Machine: m1"), "{}: {text}", service.kind);
        assert_eq!(request.header("Content-Type"), Some("application/json"));
        let body = String::from_utf8(request.body.clone()).expect("UTF-8");
        assert!(body.contains("https://heart.example/machines/1"), "{}: no link in {body}", service.kind);
        rig.back([1]);
        let text = (service.text)(&server.request());
        assert!(text.contains("online"), "{}: {text}", service.kind);
        rig.eventually_all_delivered();
    }
}

/// The address in a request at which its incidents are acknowledged.
fn offer(request: &Request) -> Option<String> {
    let body = String::from_utf8_lossy(&request.body).into_owned();
    let (_, token) = body.split_once("https://heart.example/acknowledge/")?;
    let is_token = |c: &char| c.is_ascii_alphanumeric() || "-_".contains(*c);
    Some(token.chars().take_while(is_token).collect())
}

/// Where a service shows that address.
fn offered_as(kind: &str, request: &Request) -> String {
    let json = request.json();
    match kind {
        "teams" => json["attachments"][0]["content"]["actions"][0].to_string(),
        "pushover" => format!("{} {}", json["url_title"], json["url"]),
        _ => (Service::of(kind).text)(request).lines().last().unwrap_or_default().to_owned(),
    }
}

#[test]
fn what_is_open_has_a_link_with_which_it_is_acknowledged_in_each_service() {
    for service in SERVICES {
        let server = service.accepting();
        let mut rig = service.rig(9, &server);
        rig.lose([1]);
        let request = server.request();
        let token = offer(&request).unwrap_or_else(|| panic!("{}: no link", service.kind));
        let link = rig.store.link_key().expect("a key").read(&token, rig.now());
        assert_eq!(link, Some(AcknowledgeLink { purpose: LinkUse::Page, row: 1 }), "{}", service.kind);
        let shown = offered_as(service.kind, &request);
        assert!(shown.contains("I'm on it") && shown.contains(&token), "{}: {shown}", service.kind);
        rig.back([1]);
        assert_eq!(offer(&server.request()), None, "{}: it is over", service.kind);
        rig.eventually_all_delivered();
    }
}

#[test]
fn the_permanent_errors_of_each_service_are_an_unacceptable_text_and_an_address_that_does_not_exist() {
    for service in SERVICES {
        for (status, body) in service.permanent {
            let server = Server::always(answer((*status, body)));
            let mut rig = service.rig(1, &server);
            rig.lose([1]);
            rig.eventually_row(1, &format!("{} {status} {body} is final", service.kind), |row| {
                row.state == DEAD
            });
        }
    }
}

#[test]
fn every_other_error_of_each_service_is_retried_until_it_passes() {
    for service in SERVICES {
        for (status, body) in service.temporary {
            let server = Server::always(answer((*status, body)));
            let mut rig = service.rig(1, &server);
            rig.lose([1]);
            let what = format!("{} {status} {body} is retried", service.kind);
            rig.eventually_row(1, &what, |row| row.attempts == 1 && row.state == WAITING);
            server.become_one_that(|_| answer(service.accepted));
            rig.wait(MINUTE);
            rig.eventually_all_delivered();
        }
    }
}

#[test]
fn the_rate_limit_of_each_service_is_obeyed_in_its_own_form() {
    for service in SERVICES {
        let (headers, body) = service.limited;
        let server = Server::start(move |_| {
            let header = |(name, value): &(&'static str, &'static str)| {
                let at = heartbeat_daemon::clock::Moment::now().0 / 1000 + 300;
                (*name, value.replace("{in 300 s}", &at.to_string()))
            };
            Reply::Answer(429, headers.iter().map(header).collect(), body.as_bytes().to_vec())
        });
        let mut rig = service.rig(1, &server);
        rig.lose([1]);
        server.request();
        rig.waits_for(1, Duration::from_secs(300));
        server.become_one_that(|_| answer(service.accepted));
        rig.wait(Duration::from_secs(301));
        rig.eventually_all_delivered();
    }
}

#[test]
fn the_longest_messages_fit_into_the_limit_of_each_service() {
    for service in SERVICES {
        let server = service.accepting();
        let mut rig = service.rig(100, &server);
        // 20 names of 100 characters, each of them two UTF-16 units, four bytes or an escape sequence.
        for character in ["\u{1F534}", "\"", "<", "*"] {
            rig.sql("UPDATE machine SET name = id || ?1", [character.repeat(120)]);
            rig.lose(1..=40);
            let request = server.request();
            let length = (service.length)(&request);
            assert!(length <= service.most, "{}: {length} of {character:?}", service.kind);
            let is_cut = (service.text)(&request).contains('\u{2026}');
            assert!(!is_cut || length * 10 > service.most * 5, "{}: {length} is cut too short", service.kind);
            assert!(offer(&request).is_some(), "{}: the link was cut off", service.kind);
            rig.eventually_all_delivered();
            rig.wait(MINUTE);
            rig.back(1..=40);
            server.request();
            rig.eventually_all_delivered();
            // Longer, so that the machines do not flap.
            rig.wait(HOUR);
        }
    }
}

#[test]
fn a_name_with_markup_is_text_to_each_service() {
    for service in SERVICES {
        let server = service.accepting();
        let mut rig = service.rig(1, &server);
        rig.sql("UPDATE machine SET name = ?1", [EVIL]);
        rig.lose([1]);
        let request = server.request();
        let text = (service.text)(&request);
        match service.kind {
            "slack" => {
                assert!(
                    text.contains(&evil().replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;"))
                );
                assert_eq!(request.json()["mrkdwn"], false);
            }
            "discord" => {
                assert!(
                    text.contains(r"\<!channel\> \<b\>\*\_\~\`\|\# \[x\]\(http://x\) \@everyone"),
                    "{text}"
                );
                assert_eq!(request.json()["allowed_mentions"], json!({ "parse": [] }));
            }
            _ => assert!(text.contains(&evil()), "{}: {text}", service.kind),
        }
        rig.eventually_all_delivered();
    }
}

#[test]
fn an_answer_that_repeats_the_secret_does_not_reveal_it() {
    for service in SERVICES {
        let server = Server::start(|request| {
            let token =
                request.header("X-Gotify-Key").or(request.header("Authorization")).unwrap_or_default();
            let echo = format!("{} {token} {}", request.target, String::from_utf8_lossy(&request.body));
            Reply::Answer(500, Vec::new(), echo.into_bytes())
        });
        let mut rig = service.rig(1, &server);
        rig.lose([1]);
        rig.eventually_row(1, "it failed", |row| row.attempts == 1);
        let why = rig.row(1).error.expect("a reason");
        assert!(!why.contains(TOKEN) && !why.contains(KEY), "{}: {why}", service.kind);
        // And one that cannot be reached.
        drop(server);
        rig.wait(MINUTE);
        rig.eventually_row(1, "it failed again", |row| row.attempts >= 2);
        let why = rig.row(1).error.expect("a reason");
        assert!(!why.contains(TOKEN) && !why.contains(KEY), "{}: {why}", service.kind);
    }
}

#[test]
fn a_service_that_refuses_one_name_gets_the_other_machines_and_stays_in_use() {
    let service = Service::of("discord");
    let server = Server::start(|request| match field(request, "/content").contains("m3") {
        true => answer((400, r#"{"message": "Invalid Form Body", "code": 50035}"#)),
        false => answer((204, "")),
    });
    let mut rig = service.rig(99, &server);
    rig.lose(1..=6);
    rig.eventually_row(1, "it is sent alone", |row| row.attempts >= 1);
    rig.eventually_as_minutes_pass("the others are delivered", |rows| {
        rows.iter().filter(|row| row.state == DELIVERED).count() == 5
    });
    rig.eventually_row(3, "given up", |row| row.state == DEAD);
}

#[test]
fn a_url_that_was_replaced_in_its_file_is_used_for_the_next_attempt() {
    let (service, old) = (Service::of("slack"), Server::always(Reply::status(500)));
    let mut rig = service.rig(1, &old);
    rig.lose([1]);
    rig.eventually_row(1, "it failed", |row| row.attempts == 1);
    let new = service.accepting();
    rig.secret_file(1, &new.url("/services/new"));
    rig.wait(MINUTE);
    assert_eq!(new.request().target, "/services/new");
    rig.eventually_all_delivered();
}

#[test]
fn a_message_to_a_matrix_room_is_repeated_with_the_same_transaction() {
    let (service, server) = (Service::of("matrix"), Server::always(Reply::Reset));
    let mut rig = service.rig(2, &server);
    rig.lose([1]);
    let first = server.request();
    rig.eventually_row(1, "it failed", |row| row.attempts == 1);
    server.become_one_that(|_| answer(service.accepted));
    rig.wait(MINUTE);
    assert_eq!(server.request().target, first.target);
    rig.eventually_all_delivered();
    rig.lose([2]);
    assert_ne!(server.request().target, first.target);
}

#[test]
fn each_service_shows_what_is_urgent_in_its_own_way() {
    for (kind, pointer, begin, end) in
        [("gotify", "/priority", json!(8), json!(4)), ("pushover", "/priority", json!(1), json!(0))]
    {
        let service = Service::of(kind);
        let server = service.accepting();
        let mut rig = service.rig(1, &server);
        rig.lose([1]);
        assert_eq!(server.request().json().pointer(pointer), Some(&begin), "{kind}");
        rig.back([1]);
        assert_eq!(server.request().json().pointer(pointer), Some(&end), "{kind}");
    }
}

#[test]
fn the_secret_is_where_each_service_expects_it() {
    let first = |kind| {
        let service = Service::of(kind);
        let server = service.accepting();
        let mut rig = service.rig(1, &server);
        rig.lose([1]);
        server.request()
    };
    assert_eq!(first("slack").target, "/services/T0AAAAAAAA/B0SECRETSECRET");
    assert_eq!(first("discord").target, "/api/webhooks/1234567890/B0SECRETSECRET?thread_id=42");
    assert!(first("teams").target.ends_with("&sig=B0SECRETSECRET"));
    let gotify = first("gotify");
    assert_eq!((gotify.target.as_str(), gotify.header("X-Gotify-Key")), ("/message", Some(TOKEN)));
    let matrix = first("matrix");
    assert_eq!(matrix.method, "PUT");
    let path = "/_matrix/client/v3/rooms/%21room%2Fid%3Aexample%2Eorg/send/m.room.message/heartbeat%2D";
    assert!(matrix.target.starts_with(path), "{}", matrix.target);
    assert_eq!(matrix.header("Authorization"), Some(format!("Bearer {TOKEN}").as_str()));
    assert_eq!(matrix.json()["msgtype"], "m.text");
    let apprise = first("apprise");
    assert_eq!((apprise.target.as_str(), &apprise.json()["tag"]), ("/notify/B0SECRETSECRET", &json!("farm")));
    let pushover = first("pushover");
    assert_eq!(pushover.target, "/1/messages.json");
    assert_eq!(
        (&pushover.json()["token"], &pushover.json()["user"]),
        (&json!(TOKEN), &json!(Service::of("pushover").target))
    );
}
