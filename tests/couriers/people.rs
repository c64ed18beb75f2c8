//! Channels that people read: Telegram, ntfy, mail.

use crate::rig::{DELIVERED, MINUTE, Rig, WAITING};
use crate::support::https::{Authority, SelfSigned};
use crate::support::mail::{MailServer, Manner};
use crate::support::server::{Reply, Server};
use heartbeat_daemon::monitor::config::{PasswordLogin, SmtpConfig, SmtpSecurity};
use heartbeat_daemon::monitor::notify::choices::Selection;
use heartbeat_daemon::monitor::notify::{MailLimits, NotifySettings};
use heartbeat_daemon::tls_client::trust::Trust;
use std::time::Duration;

const TOKEN: &str = "123456:ABC-DEF_ghi";

fn telegram(machines: i64, server: &Server) -> Rig {
    let settings = NotifySettings {
        telegram_api: server.url("").trim_end_matches('/').into(),
        allow_private_webhooks: true,
        ..NotifySettings::default()
    };
    let rig = Rig::with(machines, settings);
    let channel = rig.channel("telegram", "-1001234");
    rig.secret_file(channel, &format!("{TOKEN}\n"));
    rig
}

#[test]
fn telegram_gets_plain_text_with_its_circle() {
    let server = Server::always(Reply::ok());
    let mut rig = telegram(1, &server);
    rig.sql("UPDATE machine SET name = '<b>*barn*</b> [x](http://x)'", []);
    rig.lose([1]);
    let request = server.request();
    assert_eq!(request.target, format!("/bot{TOKEN}/sendMessage"));
    let json = request.json();
    assert_eq!(json["chat_id"], "-1001234");
    assert!(json.get("parse_mode").is_none());
    let text = json["text"].as_str().expect("text");
    assert!(
        text.starts_with("\u{1F534} Machine offline\nMachine: <b>*barn*</b> [x](http://x)\nHostname: host\n"),
        "{text}"
    );
    rig.back([1]);
    assert!(server.request().json()["text"].as_str().expect("text").starts_with("\u{1F7E2}"));
    rig.eventually_all_delivered();
}

#[test]
fn telegram_posts_in_a_topic_and_makes_no_sound_for_what_is_not_urgent() {
    for (options, topic, begin, end) in [
        (r#"{"topic":"42","silent":"endings"}"#, Some(42), false, true),
        (r#"{"silent":"all"}"#, None, true, true),
        ("{}", None, false, false),
    ] {
        let server = Server::always(Reply::ok());
        let mut rig = telegram(1, &server);
        rig.sql("UPDATE channel SET options = ?1", [options]);
        let check = |is_silent| {
            let json = server.request().json();
            assert_eq!(json["message_thread_id"].as_i64(), topic, "{options}");
            assert_eq!(json["disable_notification"].as_bool().unwrap_or_default(), is_silent, "{options}");
        };
        rig.lose([1]);
        check(begin);
        rig.back([1]);
        check(end);
    }
}

#[test]
fn the_longest_messages_fit_into_the_limits_of_telegram_and_ntfy() {
    let server = Server::always(Reply::ok());
    let mut rig = telegram(100, &server);
    rig.channel("ntfy", &server.url("/topic"));
    rig.sql("UPDATE machine SET name = id || ?1", ["\u{1F534}".repeat(120)]);
    rig.lose(1..=40);
    for request in server.requests(2) {
        let length = match request.target.as_str() {
            "/topic" => request.body.len(),
            _ => request.json()["text"].as_str().expect("text").encode_utf16().count(),
        };
        assert!((2000..=4096).contains(&length), "{}: {length}", request.target);
    }
    rig.eventually_all_delivered();
}

#[test]
fn the_end_of_an_outage_reaches_the_channel_that_got_its_beginning_whatever_has_changed_since() {
    let server = Server::always(Reply::ok());
    let mut rig = telegram(2, &server);
    rig.lose([1]);
    server.request();
    rig.eventually_all_delivered();
    let other = Selection::Only { machines: vec!["m2".into()], groups: Vec::new(), tags: Vec::new() };
    rig.store.change_recipient("ops", Some(&other), rig.now(), |_| {}).expect("another choice");
    rig.store.disable_machine("m1", rig.now()).expect("disabled");
    rig.store.enable_machine("m1", rig.now()).expect("enabled");
    rig.sql("UPDATE machine SET name = 'silo', group_name = 'town' WHERE id = 1", []);
    rig.back([1]);
    let text = server.request().json()["text"].to_string();
    assert!(text.contains('\u{1F7E2}') && text.contains("Machine: silo"), "{text}");
    rig.eventually_all_delivered();
}

#[test]
fn a_text_is_right_when_it_is_delivered_and_by_the_recipients_clock() {
    let server = Server::always(Reply::status(503));
    let mut rig = telegram(1, &server);
    rig.sql("UPDATE recipient SET min_outage = 600000, utc_offset = 330", []);
    rig.lose([1]);
    rig.wait(MINUTE * 9);
    let text = |server: &Server| server.request().json()["text"].as_str().expect("text").to_owned();
    let first = text(&server);
    // Silent for 2 minutes when it was noticed.
    assert!(first.contains(" +05:30 (11m"), "{first}");
    rig.eventually_row(1, "it failed", |row| row.attempts == 1);
    server.become_one_that(|_| Reply::ok());
    rig.wait(MINUTE * 30);
    let second = text(&server);
    assert!(second.contains(" +05:30 (41m"), "{second}");
    assert_eq!(first.split(" (").next(), second.split(" (").next());
    rig.eventually_all_delivered();
}

#[test]
fn five_hundred_machines_lost_at_once_are_one_message_to_a_person() {
    let server = Server::always(Reply::ok());
    let mut rig = telegram(1000, &server);
    rig.lose(1..=500);
    let text = server.request().json()["text"].to_string();
    assert!(text.contains("500 machines offline"), "{text}");
    rig.eventually_all_delivered();
    assert!(server.request_within(Duration::from_millis(300)).is_none(), "a second message");
}

#[test]
fn a_common_message_that_is_refused_is_sent_for_each_machine() {
    // A filter that does not accept one of the names.
    let server = Server::start(|request| match request.json()["text"].as_str() {
        Some(text) if text.contains("m3") => {
            let refused = br#"{"ok":false,"description":"Bad Request: can't parse entities"}"#;
            Reply::Answer(400, Vec::new(), refused.to_vec())
        }
        _ => Reply::ok(),
    });
    let mut rig = telegram(99, &server);
    rig.lose(1..=6);
    assert!(server.request().json()["text"].to_string().contains("6 machines offline"));
    rig.eventually_row(1, "it is sent alone", |row| row.attempts == 1);
    // Four messages come within 15 s.
    rig.eventually_as_minutes_pass("the others are delivered", |rows| {
        rows.iter().filter(|row| row.state == DELIVERED).count() == 5
    });
    rig.eventually_row(3, "given up", |row| row.state == crate::rig::DEAD);
}

#[test]
fn machines_that_come_back_one_after_the_other_do_not_flood_a_person() {
    let server = Server::always(Reply::ok());
    let mut rig = telegram(100, &server);
    rig.lose(1..=40);
    server.request();
    rig.eventually_all_delivered();
    rig.wait(MINUTE);
    for machine in 1..=40 {
        rig.back([machine]);
        // Each could be told alone, and the first four are.
        if machine <= 4 {
            server.request();
        }
    }
    assert!(server.request_within(Duration::from_millis(500)).is_none(), "a fifth one in a row");
    rig.wait(Duration::from_secs(16));
    let rest = server.request().json()["text"].to_string();
    assert!(rest.contains("36 machines back online"), "{rest}");
    rig.eventually_all_delivered();
    assert!(server.request_within(Duration::from_millis(500)).is_none(), "more");
}

#[test]
fn telegrams_wish_to_wait_is_obeyed() {
    let body = br#"{"ok":false,"error_code":429,"description":"Too Many Requests","parameters":{"retry_after":600}}"#;
    let server = Server::always(Reply::Answer(429, Vec::new(), body.to_vec()));
    let mut rig = telegram(1, &server);
    rig.lose([1]);
    server.request();
    rig.waits_for(1, Duration::from_secs(600));
    server.become_one_that(|_| Reply::ok());
    rig.wait(Duration::from_secs(500));
    assert!(server.request_within(Duration::from_millis(500)).is_none(), "too early");
    rig.wait(Duration::from_secs(101));
    rig.eventually_all_delivered();
}

#[test]
fn a_wait_of_zero_from_telegram_is_none() {
    let server = Server::always(Reply::Answer(
        429,
        Vec::new(),
        br#"{"ok":false,"error_code":429,"parameters":{"retry_after":0}}"#.to_vec(),
    ));
    let mut rig = telegram(1, &server);
    rig.lose([1]);
    rig.eventually_row(1, "it failed", |row| row.attempts == 1);
    assert!(rig.row(1).due.since(rig.now()) > Duration::from_secs(1), "{:?}", rig.row(1));
}

#[test]
fn a_bot_without_rights_delivers_once_it_has_them() {
    for description in [
        "Bad Request: not enough rights to send text messages to the chat",
        "Bad Request: need administrator rights in the channel chat",
    ] {
        let body = format!(r#"{{"ok":false,"description":"{description}"}}"#);
        let server = Server::always(Reply::Answer(400, Vec::new(), body.into_bytes()));
        let mut rig = telegram(1, &server);
        rig.lose([1]);
        rig.eventually_row(1, "it failed", |row| row.attempts == 1 && row.state == WAITING);
        assert!(rig.row(1).error.is_some_and(|why| why.contains(description)));
        server.become_one_that(|_| Reply::ok());
        rig.wait(MINUTE);
        rig.eventually_all_delivered();
    }
}

#[test]
fn a_mail_that_is_refused_for_a_reason_that_can_pass_is_retried() {
    for (command, reply) in [
        ("RCPT", "504 5.5.2 <[127.0.0.1]>: Helo command rejected: need fully-qualified hostname\r\n"),
        ("RCPT", "554 5.7.1 Relay access denied\r\n"),
        ("RCPT", "552 5.2.2 mailbox full\r\n"),
        (".", "554 5.7.1 sender not yet verified\r\n"),
        ("DATA", "554 no valid recipients\r\n"),
    ] {
        let manner = Manner { answers: vec![(command, reply)], ..Manner::default() };
        let mut post = post(manner, SmtpSecurity::None, None, &Authority::new().pem);
        post.rig.lose([1]);
        post.rig.eventually_row(1, reply, |row| row.attempts == 1 && row.state == WAITING);
        let why = post.rig.row(1).error.expect("a reason");
        assert!(why.contains(reply.trim_end()), "{why}");
    }
    for (command, reply) in [("RCPT", "550 5.1.1 no such user\r\n"), (".", "554 5.6.0 malformed\r\n")] {
        let manner = Manner { answers: vec![(command, reply)], ..Manner::default() };
        let mut post = post(manner, SmtpSecurity::None, None, &Authority::new().pem);
        post.rig.lose([1]);
        post.rig.eventually_row(1, reply, |row| row.state == crate::rig::DEAD);
    }
}

#[test]
fn no_error_shows_the_bot_token() {
    let server = Server::always(Reply::Answer(
        400,
        Vec::new(),
        br#"{"ok":false,"description":"Bad Request: chat not found"}"#.to_vec(),
    ));
    let mut rig = telegram(2, &server);
    rig.lose([1]);
    rig.eventually_row(1, "it failed", |row| row.attempts == 1);
    assert!(rig.row(1).error.is_some_and(|why| why.contains("check the chat id")));
    // And one that cannot be reached.
    drop(server);
    rig.wait(MINUTE);
    rig.eventually_row(1, "it failed again", |row| row.attempts >= 2);
    assert!(rig.row(1).error.is_some_and(|why| !why.contains("ABC-DEF")));
}

#[test]
fn ntfy_gets_title_priority_tag_and_token() {
    let server = Server::always(Reply::ok());
    let mut rig = Rig::new(1);
    let channel = rig.channel("ntfy", &server.url("/alarms"));
    rig.secret_file(channel, "tk_secret");
    rig.sql("UPDATE machine SET name = 'Scheune \u{fc}ber'", []);
    rig.lose([1]);
    let request = server.request();
    assert_eq!(request.target, "/alarms");
    assert_eq!(request.header("Authorization"), Some("Bearer tk_secret"));
    assert_eq!((request.header("Priority"), request.header("Tags")), (Some("high"), Some("red_circle")));
    assert!(request.header("Title").is_some_and(|title| title.starts_with("=?UTF-8?B?")));
    assert!(String::from_utf8(request.body).expect("UTF-8").contains("Machine: Scheune \u{fc}ber"));
    rig.eventually_all_delivered();
}

struct Post {
    server: MailServer,
    rig: Rig,
}

fn post(manner: Manner, security: SmtpSecurity, login: Option<(&str, &str)>, trusted: &str) -> Post {
    let server = MailServer::start(manner);
    let files = tempfile::tempdir().expect("a directory").keep();
    let write = |name: &str, text: &str| {
        let path = files.join(name);
        std::fs::write(&path, text).expect("written");
        path
    };
    let smtp = SmtpConfig {
        host: "localhost".into(),
        port: server.port,
        security,
        login: login.map(|(user, password)| PasswordLogin {
            user: user.into(),
            password_file: write("password", password),
        }),
        from: "The barn <monitor@example.org>".into(),
        helo: None,
        ca_file: Some(write("ca.pem", trusted)),
    };
    let settings = NotifySettings {
        smtp: Some(smtp),
        trust: Trust::only(trusted.as_bytes()).expect("a certificate"),
        allow_private_webhooks: true,
        mail_limits: MailLimits { greeting: Duration::from_secs(4), ..MailLimits::default() },
        ..NotifySettings::default()
    };
    let rig = Rig::with(9, settings);
    rig.channel("email", "ops@example.org");
    Post { server, rig }
}

#[test]
fn mail_goes_over_starttls_and_tls_with_a_password_and_never_without_tls() {
    let authority = Authority::new();
    for (at_once, only_login) in [(false, false), (true, false), (false, true)] {
        let manner = Manner {
            tls: Some(authority.server(&["localhost"])),
            tls_at_once: at_once,
            login: Some(("monitor".into(), "correct horse".into())),
            only_auth_login: only_login,
            ..Manner::default()
        };
        let security = if at_once { SmtpSecurity::Tls } else { SmtpSecurity::StartTls };
        let mut post = post(manner, security, Some(("monitor", "correct horse")), &authority.pem);
        post.rig.lose([1]);
        let mail = post.server.mail();
        assert_eq!((mail.from.as_str(), mail.to.as_str()), ("<monitor@example.org>", "<ops@example.org>"));
        assert!(mail.encrypted);
        assert_eq!(mail.user.as_deref(), Some("monitor"));
        assert_eq!(mail.header("From"), Some("The barn <monitor@example.org>"));
        assert!(mail.header("Message-ID").is_some_and(|id| id.ends_with(".1.1@example.org>")));
        assert!(mail.body().contains("Machine: m1\r\n"), "{}", mail.body());
        post.rig.eventually_all_delivered();
    }
}

#[test]
fn a_mail_server_and_a_webhook_with_self_signed_certificates_that_the_files_contain_are_trusted() {
    let made = SelfSigned::valid(&["localhost"]);
    let certificate = &made.identity.certificate_pem;
    let manner = Manner { tls: Some(made.server()), ..Manner::default() };
    let mut post = post(manner, SmtpSecurity::StartTls, None, certificate);
    let receiver = Server::start_tls(made.server(), |_| Reply::ok());
    post.rig.channel("webhook", &format!("https://localhost:{}/", receiver.address().port()));
    post.rig.lose([1]);
    assert!(post.server.mail().encrypted);
    receiver.request();
    post.rig.eventually_all_delivered();
}

#[test]
fn a_server_that_does_not_offer_tls_or_lies_about_it_gets_no_mail() {
    let authority = Authority::new();
    let stranger = Authority::new();
    let with_tls = |tls| Manner { tls: Some(tls), ..Manner::default() };
    let cases = [
        (Manner::default(), "does not offer STARTTLS"),
        (with_tls(stranger.server(&["localhost"])), "TLS"),
        (with_tls(authority.server(&["elsewhere.test"])), "TLS"),
        (
            Manner { injected: "250 forged\r\n", ..with_tls(authority.server(&["localhost"])) },
            "sent data before the TLS handshake",
        ),
    ];
    for (manner, said) in cases {
        let mut post = post(manner, SmtpSecurity::StartTls, None, &authority.pem);
        post.rig.lose([1]);
        post.rig.eventually_row(1, said, |row| row.attempts == 1);
        let why = post.rig.row(1).error.expect("a reason");
        let handshake = said == "TLS" && why.to_ascii_lowercase().contains("certificate");
        assert!(why.contains(said) || handshake, "{said}: {why}");
        assert!(!post.server.has_mail());
    }
}

#[test]
fn a_wrong_password_is_said_and_tried_again_and_an_unknown_mailbox_is_given_up() {
    let authority = Authority::new();
    let manner = Manner {
        tls: Some(authority.server(&["localhost"])),
        login: Some(("monitor".into(), "correct horse".into())),
        ..Manner::default()
    };
    let mut wrong = post(manner, SmtpSecurity::StartTls, Some(("monitor", "battery staple")), &authority.pem);
    wrong.rig.lose([1]);
    wrong.rig.eventually_row(1, "it failed", |row| row.attempts == 1 && row.state == 0);
    let why = wrong.rig.row(1).error.expect("a reason");
    assert!(why.contains("535") && !why.contains("battery"), "{why}");
    let unknown = Manner { answers: vec![("RCPT", "550 5.1.1 no such user\r\n")], ..Manner::default() };
    let mut unknown = post(unknown, SmtpSecurity::None, None, &authority.pem);
    unknown.rig.lose([1]);
    unknown.rig.eventually_row(1, "given up", |row| row.state == crate::rig::DEAD);
    let busy = Manner { answers: vec![("RCPT", "451 4.7.1 greylisted\r\n")], ..Manner::default() };
    let mut busy = post(busy, SmtpSecurity::None, None, &authority.pem);
    busy.rig.lose([1]);
    busy.rig.eventually_row(1, "it failed", |row| row.attempts == 1 && row.state == 0);
}

#[test]
fn a_mail_server_that_says_a_byte_now_and_then_is_left_at_the_limit() {
    let mut post =
        post(Manner { drip: true, ..Manner::default() }, SmtpSecurity::None, None, &Authority::new().pem);
    post.rig.lose([1]);
    post.rig.eventually_row(1, "left", |row| row.attempts == 1);
    assert!(post.rig.row(1).error.is_some_and(|why| why.contains("no response in time")));
}

#[test]
fn many_machines_are_one_mail() {
    let mut post = post(Manner::default(), SmtpSecurity::None, None, &Authority::new().pem);
    post.rig.lose(1..=7);
    assert!(post.server.mail().body().contains("7 machines offline"));
    post.rig.eventually_all_delivered();
    assert!(post.rig.rows().iter().all(|row| row.state == DELIVERED));
    assert!(!post.server.has_mail());
}
