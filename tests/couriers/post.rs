//! Mail servers that are slow, silent, or gone in the middle of a mail.

use crate::rig::{DELIVERED, MINUTE, Rig, WAITING};
use crate::support::mail::{AtTheDot, MailServer, Manner};
use crate::support::server::{Reply, Server};
use heartbeat_daemon::monitor::config::{SmtpConfig, SmtpSecurity};
use heartbeat_daemon::monitor::notify::NotifySettings;
use std::time::{Duration, Instant};

const HALF_AN_HOUR: Duration = Duration::from_secs(1800);

fn smtp(server: &MailServer) -> SmtpConfig {
    SmtpConfig {
        host: "127.0.0.1".into(),
        port: server.port,
        security: SmtpSecurity::None,
        login: None,
        from: "monitor@example.org".into(),
        helo: None,
        ca_file: None,
    }
}

/// With a timeout for everything but mail that is shorter than any wait here.
fn rig(machines: i64, server: &MailServer) -> Rig {
    let timeout = Duration::from_secs(1);
    let settings = NotifySettings {
        smtp: Some(smtp(server)),
        timeout,
        allow_private_webhooks: true,
        ..NotifySettings::default()
    };
    Rig::with(machines, settings)
}

fn server(at_the_dot: AtTheDot) -> MailServer {
    MailServer::start(Manner { at_the_dot, ..Manner::default() })
}

#[test]
fn a_mail_server_that_is_slow_after_the_dot_gets_each_mail_once_and_the_other_mails_meanwhile() {
    let server = server(AtTheDot::Wait(Duration::from_secs(3)));
    let mut rig = rig(9, &server);
    rig.channel("email", "ops@example.org");
    rig.lose([1]);
    server.mail();
    let first = Instant::now();
    rig.lose([2]);
    server.mail();
    assert!(first.elapsed() < Duration::from_secs(3), "the second mail waited for the first");
    rig.eventually_all_delivered();
    assert!(!server.has_mail(), "a mail was sent twice");
    assert!(rig.rows().iter().all(|row| row.attempts == 1));
}

#[test]
fn a_mail_whose_answer_is_lost_is_not_sent_again_for_half_an_hour() {
    let server = server(AtTheDot::Close);
    let mut rig = rig(9, &server);
    rig.channel("email", "ops@example.org");
    rig.lose([1]);
    let first = server.mail();
    rig.eventually_row(1, "it is unknown", |row| row.attempts == 1 && row.state == WAITING);
    let row = rig.row(1);
    assert!(row.is_uncertain, "{row:?}");
    let left = row.due.since(rig.now());
    assert!(left > HALF_AN_HOUR - MINUTE && left <= HALF_AN_HOUR, "{left:?}");
    // Another machine's mail does not free it.
    rig.lose([2]);
    server.mail();
    rig.eventually_row(2, "it is unknown", |row| row.attempts == 1 && row.state == WAITING);
    rig.wait(MINUTE * 28);
    assert!(!server.has_mail_within(Duration::from_millis(300)), "too early");
    rig.wait(MINUTE * 3);
    let again = server.mail();
    let id = |mail: &crate::support::mail::Mail| mail.header("Message-ID").map(str::to_owned);
    assert!(id(&first).is_some() && [id(&again), id(&server.mail())].contains(&id(&first)));
}

#[test]
fn a_mail_server_gets_the_configured_name_or_the_address_of_the_connection() {
    for (helo, expected) in [(None, "[127.0.0.1]"), (Some("monitor.example.org"), "monitor.example.org")] {
        let server = server(AtTheDot::Answer);
        let smtp = SmtpConfig { helo: helo.map(str::to_owned), ..smtp(&server) };
        let settings = NotifySettings { smtp: Some(smtp), ..NotifySettings::default() };
        let mut rig = Rig::with(1, settings);
        rig.channel("email", "ops@example.org");
        rig.lose([1]);
        assert_eq!(server.mail().hello, expected);
        rig.eventually_all_delivered();
    }
}

#[test]
fn a_refusal_after_the_dot_is_certain() {
    let server =
        MailServer::start(Manner { answers: vec![(".", "451 4.3.0 try later\r\n")], ..Manner::default() });
    let mut rig = rig(1, &server);
    rig.channel("email", "ops@example.org");
    rig.lose([1]);
    rig.eventually_row(1, "it failed", |row| row.attempts == 1 && row.state == WAITING);
    let row = rig.row(1);
    assert!(!row.is_uncertain && row.due.since(rig.now()) < MINUTE, "{row:?}");
}

#[test]
fn a_stop_interrupts_a_mail_server_and_the_mail_is_not_sent_again_soon() {
    let server = server(AtTheDot::Wait(Duration::from_secs(600)));
    let mut rig = rig(1, &server);
    rig.channel("email", "ops@example.org");
    rig.lose([1]);
    server.mail();
    let stop = Instant::now();
    rig.couriers.take().expect("couriers").stop(stop + Duration::from_secs(3));
    assert!(stop.elapsed() < Duration::from_secs(4), "{:?}", stop.elapsed());
    let row = rig.row(1);
    assert!(row.is_uncertain && row.state == WAITING, "{row:?}");
    assert!(row.due.since(rig.now()) > HALF_AN_HOUR - MINUTE, "{row:?}");
}

#[test]
fn a_stop_before_the_mail_is_sent_leaves_it_as_it_was() {
    let server = MailServer::start(Manner { is_silent: true, ..Manner::default() });
    let mut rig = rig(1, &server);
    rig.channel("email", "ops@example.org");
    rig.lose([1]);
    rig.eventually_row(1, "in flight", |row| row.state == 1);
    let stop = Instant::now();
    rig.couriers.take().expect("couriers").stop(stop + Duration::from_secs(2));
    assert!(stop.elapsed() < Duration::from_secs(3), "{:?}", stop.elapsed());
    let row = rig.row(1);
    assert_eq!((row.state, row.attempts, row.is_uncertain), (WAITING, 0, false));
}

#[test]
fn mail_servers_that_hang_delay_neither_webhooks_nor_ntfy() {
    let mail = server(AtTheDot::Wait(Duration::from_secs(600)));
    let receiver = Server::always(Reply::ok());
    let mut rig = rig(99, &mail);
    for number in 0..40 {
        rig.channel("email", &format!("{number}@example.org"));
    }
    rig.channel("webhook", &receiver.url("/hook"));
    rig.channel("ntfy", &receiver.url("/topic"));
    rig.lose([1]);
    mail.mail();
    let mut targets = [receiver.request().target, receiver.request().target];
    targets.sort();
    assert_eq!(targets, ["/hook", "/topic"]);
    rig.lose([2]);
    receiver.requests(2);
    eventually_delivered(&rig, 4);
}

fn eventually_delivered(rig: &Rig, count: usize) {
    crate::support::eventually("delivered", || {
        rig.rows().iter().filter(|row| row.state == DELIVERED).count() == count
    });
}
