//! Receivers that fail, hang, refuse, redirect, and come back.

use crate::rig::{DEAD, DELIVERED, HOUR, MINUTE, Rig, WAITING};
use crate::support::server::{Reply, Server};
use crate::support::{SOON, eventually};
use heartbeat_daemon::monitor::notify::NotifySettings;
use heartbeat_daemon::monitor::notify::dead_channels::DeadChannels;
use std::time::Duration;

#[test]
fn a_receiver_that_comes_back_after_an_hour_hears_everything_in_order() {
    let server = Server::always(Reply::status(503));
    let mut rig = Rig::new(9);
    rig.channel("webhook", &server.url("/"));
    rig.lose([1]);
    server.request();
    rig.back([1]);
    rig.lose([2]);
    // The messages of each machine are tried on their own, less and less often.
    for _ in 0..12 {
        rig.wait(MINUTE * 5);
        server.requests_during(Duration::from_millis(300));
    }
    let rows = rig.rows();
    let attempts: Vec<i64> = rows.iter().map(|row| row.attempts).collect();
    assert!((3..=12).contains(&attempts[0]) && (3..=12).contains(&attempts[2]), "{attempts:?}");
    assert_eq!(attempts[1], 0, "the recovery waits for its outage");
    assert!(rows.iter().all(|row| row.state != DELIVERED));
    server.become_one_that(|_| Reply::ok());
    rig.eventually_as_minutes_pass("all are delivered", |rows| rows.iter().all(|row| row.state == DELIVERED));
    let events: Vec<(i64, String)> = rig.rows().into_iter().map(|row| (row.machine, row.event)).collect();
    assert_eq!(events, [(1, "offline".into()), (1, "online".into()), (2, "offline".into())]);
}

#[test]
fn a_receiver_that_never_comes_back_is_given_up_after_a_day_and_that_is_seen() {
    let server = Server::always(Reply::status(500));
    let mut rig = Rig::new(1);
    rig.channel("webhook", &server.url("/"));
    rig.lose([1]);
    server.request();
    rig.eventually_row(1, "it failed", |row| row.attempts == 1);
    rig.wait(HOUR * 25);
    rig.eventually_row(1, "given up", |row| row.state == DEAD);
    assert_eq!(rig.row(1).error.as_deref(), Some("500"));
    let couriers = rig.couriers.as_ref().expect("couriers");
    eventually("it is counted", || couriers.counters().read()[0].dead == 1);
    // The end of an outage that nobody heard of is no news.
    rig.back([1]);
    assert_eq!(rig.rows().len(), 1);
}

#[test]
fn a_wall_clock_that_is_a_year_ahead_loses_no_message_and_a_day_still_ends_the_retries() {
    let server = Server::always(Reply::status(500));
    let mut rig = Rig::new(1);
    rig.channel("webhook", &server.url("/"));
    rig.lose([1]);
    rig.eventually_row(1, "it failed", |row| row.attempts == 1);
    rig.set_clock_ahead(HOUR * 24 * 365);
    rig.eventually_row(1, "it failed again", |row| row.attempts == 2);
    for attempts in 3..6 {
        rig.wait(HOUR);
        rig.eventually_row(1, "it is retried", |row| row.attempts == attempts && row.state == WAITING);
    }
    rig.wait(HOUR * 24);
    rig.eventually_row(1, "given up", |row| row.state == DEAD);
}

#[test]
fn a_message_in_flight_when_the_clock_jumps_a_year_is_retried() {
    let server = Server::always(Reply::Late(Duration::from_secs(2), Box::new(Reply::status(500))));
    let mut rig = Rig::new(1);
    rig.channel("webhook", &server.url("/"));
    rig.lose([1]);
    server.request();
    rig.set_clock_ahead(HOUR * 24 * 365);
    rig.eventually_row(1, "it failed", |row| row.attempts == 1);
    server.become_one_that(|_| Reply::ok());
    rig.wait(MINUTE);
    rig.eventually_all_delivered();
}

#[test]
fn a_channel_that_hangs_delays_no_other() {
    let (dead, alive) = (Server::always(Reply::Hang), Server::always(Reply::ok()));
    let mut rig = Rig::new(9);
    for _ in 0..3 {
        rig.channel("webhook", &dead.url(&format!("/{}", fastrand::u32(..))));
    }
    rig.channel("webhook", &alive.url("/"));
    rig.lose([1]);
    dead.requests(3);
    alive.request_within(Duration::from_secs(5)).expect("held up");
    rig.lose([2]);
    let second = alive.request_within(Duration::from_secs(5)).expect("held up");
    assert_eq!(second.json()["machine"]["id"], 2);
    // The one that hangs is left after 10 s.
    rig.eventually_row(1, "left", |row| row.error.as_deref() == Some("no response in time"));
}

#[test]
fn a_busy_receiver_gets_nothing_for_the_pause_that_it_requests() {
    let answer = Reply::Answer(429, vec![("Retry-After", "300".into())], Vec::new());
    let server = Server::always(answer);
    let mut rig = Rig::new(1);
    rig.channel("webhook", &server.url("/"));
    rig.lose([1]);
    server.request();
    rig.waits_for(1, Duration::from_secs(300));
    server.become_one_that(|_| Reply::ok());
    rig.wait(Duration::from_secs(200));
    assert!(server.request_within(Duration::from_millis(500)).is_none(), "too early");
    rig.wait(Duration::from_secs(101));
    server.request();
    rig.eventually_all_delivered();
}

#[test]
fn no_redirect_is_followed() {
    let elsewhere = Server::always(Reply::ok());
    let location = elsewhere.url("/");
    let server = Server::always(Reply::Answer(302, vec![("Location", location)], Vec::new()));
    let mut rig = Rig::new(1);
    rig.channel("webhook", &server.url("/"));
    rig.lose([1]);
    rig.eventually_row(1, "it failed", |row| row.attempts == 1);
    assert!(rig.row(1).error.is_some_and(|why| why.contains("redirects")));
    assert_eq!(elsewhere.connections(), 0);
}

#[test]
fn no_receiver_shortens_our_backoff() {
    let wishes = ["0", "00", "-1", "1", "Sun, 06 Nov 1994 08:49:37 GMT", "soon", ""];
    let servers: Vec<Server> = wishes
        .iter()
        .map(|wish| Server::always(Reply::Answer(503, vec![("Retry-After", (*wish).into())], Vec::new())))
        .collect();
    let mut rig = Rig::new(9);
    for server in &servers {
        rig.channel("webhook", &server.url("/"));
    }
    rig.lose([1]);
    for (id, (server, wish)) in (1..).zip(servers.iter().zip(wishes)) {
        server.request();
        rig.eventually_row(id, "it failed", |row| row.attempts == 1);
        let row = rig.row(id);
        // A part of the 5 s has passed already.
        assert!(row.due.since(rig.now()) > Duration::from_secs(1), "{wish:?}: {row:?}");
    }
    let again: usize =
        servers.iter().map(|server| server.requests_during(Duration::from_millis(100)).len()).sum();
    assert_eq!(again, 0, "requests in a row");
}

#[test]
fn a_message_that_is_refused_is_retried() {
    let server = Server::always(Reply::Answer(422, Vec::new(), b"no such {template}".to_vec()));
    let mut rig = Rig::new(9);
    rig.channel("webhook", &server.url("/"));
    rig.lose([1]);
    rig.eventually_row(1, "it failed", |row| row.attempts == 1 && row.state == WAITING);
    assert!(rig.row(1).error.is_some_and(|why| why.contains("422") && why.contains("no such {template}")));
    server.become_one_that(|_| Reply::ok());
    rig.wait(MINUTE);
    rig.eventually_all_delivered();
}

#[test]
fn a_receiver_that_talks_without_end_holds_nobody() {
    let chunk = vec![b'x'; 64 * 1024];
    let server =
        Server::always(Reply::Endless(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n", chunk));
    let mut rig = Rig::new(1);
    rig.channel("webhook", &server.url("/"));
    rig.lose([1]);
    rig.eventually_all_delivered();
    let endless_head = Server::always(Reply::Endless(b"HTTP/1.1 200 OK\r\n", b"X-Filler: x\r\n".to_vec()));
    rig.sql("UPDATE channel SET target = ?1", [endless_head.url("/")]);
    rig.back([1]);
    rig.eventually_row(2, "left", |row| row.attempts == 1);
}

#[test]
fn a_channel_that_was_switched_off_is_not_sent_to() {
    let server = Server::always(Reply::status(503));
    let mut rig = Rig::new(1);
    let channel = rig.channel("webhook", &server.url("/"));
    rig.lose([1]);
    server.request();
    rig.eventually_row(1, "it failed", |row| row.attempts == 1);
    rig.sql("UPDATE channel SET enabled = 0 WHERE id = ?1", [channel]);
    rig.wait(HOUR);
    assert!(server.request_within(Duration::from_millis(500)).is_none());
}

#[test]
fn couriers_end_within_their_limit_whatever_hangs() {
    let server = Server::always(Reply::Hang);
    let mut rig = Rig::new(1);
    rig.channel("webhook", &server.url("/"));
    rig.lose([1]);
    server.request();
    let stop = std::time::Instant::now();
    rig.couriers.take().expect("couriers").stop(stop + Duration::from_secs(1));
    assert!(stop.elapsed() < SOON / 2, "{:?}", stop.elapsed());
}

#[test]
fn a_channel_that_is_dead_for_an_hour_is_announced_over_the_others_once() {
    let dead = Server::always(Reply::Answer(404, Vec::new(), b"inner secret".to_vec()));
    let (works, also_works) = (Server::always(Reply::ok()), Server::always(Reply::status(503)));
    let mut rig = Rig::new(2);
    for server in [&dead, &works, &also_works] {
        rig.channel("webhook", &server.url("/"));
    }
    rig.sql("UPDATE channel SET enabled = 0 WHERE id = 3", []);
    let settings = NotifySettings { allow_private_webhooks: true, ..NotifySettings::default() };
    let mut alerts = DeadChannels::default();
    let counters = rig.couriers.as_ref().expect("couriers").counters();
    let mut check = |rig: &Rig| alerts.check(&rig.store, &counters.failing(), &settings, rig.both());
    rig.lose([1]);
    eventually("the channel fails", || counters.failing().len() == 1);
    assert_eq!(works.request().json()["event"], "machine.offline");
    check(&rig);
    rig.wait(HOUR - MINUTE);
    check(&rig);
    assert!(works.request_within(Duration::from_millis(200)).is_none(), "not before an hour");

    // It also fails over the channel that works, which does not end the matter.
    works.become_one_that(|_| Reply::status(500));
    rig.wait(MINUTE);
    check(&rig);
    works.request_that(|request| request.json()["event"] == "monitor.trouble");
    works.become_one_that(|_| Reply::ok());
    let alert = loop {
        check(&rig);
        if let Some(request) = works.request_within(Duration::from_millis(20)) {
            break request.json();
        }
        rig.wait(MINUTE);
    };
    let what = alert["machine"]["description"].as_str().expect("a reason");
    assert!(what.starts_with("no message has arrived over webhook channel 1 (ops) for "), "{what}");
    assert!(what.contains("404") && !what.contains("inner secret"), "{what}");
    for _ in 0..30 {
        check(&rig);
        rig.wait(HOUR / 4);
    }
    assert!(works.request_within(Duration::from_millis(500)).is_none(), "once");
    assert!(also_works.requests_during(Duration::ZERO).is_empty(), "it is disabled");

    // It delivers, and dies again.
    dead.become_one_that(|_| Reply::ok());
    rig.wait(HOUR);
    eventually("it works", || counters.failing().is_empty());
    check(&rig);
    dead.become_one_that(|_| Reply::status(404));
    rig.lose([2]);
    eventually("it fails again", || counters.failing().len() == 1);
    assert_eq!(works.request().json()["event"], "machine.offline");
    rig.wait(HOUR);
    check(&rig);
    assert_eq!(works.request().json()["event"], "monitor.trouble");
}
