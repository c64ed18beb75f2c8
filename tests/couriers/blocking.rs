//! Messages that fail delay no others.

use crate::rig::{DELIVERED, HOUR, MINUTE, Rig, WAITING};
use crate::support::eventually;
use crate::support::server::{Reply, Server};
use heartbeat_daemon::monitor::notify::NotifySettings;
use std::collections::HashSet;
use std::time::Duration;

/// Answers so for these machines, and accepts all others.
fn refusing(reply: Reply, machines: impl IntoIterator<Item = i64>) -> Server {
    let machines: HashSet<i64> = machines.into_iter().collect();
    Server::start(move |request| match request.json()["machine"]["id"].as_i64() {
        Some(id) if machines.contains(&id) => reply.clone(),
        _ => Reply::ok(),
    })
}

/// With a timeout that a test can wait for.
fn rig(machines: i64) -> Rig {
    let timeout = Duration::from_secs(1);
    Rig::with(machines, NotifySettings { allow_private_webhooks: true, timeout, ..NotifySettings::default() })
}

#[test]
fn a_message_that_is_refused_delays_no_other_machine() {
    let busy = |status| Reply::Answer(status, vec![("Retry-After", "3600".into())], Vec::new());
    for reply in [Reply::status(500), Reply::status(422), busy(503), Reply::Reset, Reply::Close, Reply::Hang]
    {
        let server = refusing(reply.clone(), [1]);
        let mut rig = rig(4);
        rig.channel("webhook", &server.url("/"));
        rig.lose([1]);
        server.request();
        rig.lose([2, 3, 4]);
        for id in 2..=4 {
            rig.eventually_row(id, "delivered", |row| row.state == DELIVERED);
        }
        rig.eventually_row(1, "it failed", |row| row.attempts >= 1);
        assert_eq!(rig.row(1).state, WAITING, "{reply:?}");
    }
}

#[test]
fn thirty_messages_that_are_refused_delay_no_other_machine() {
    for reply in [Reply::status(500), Reply::Reset] {
        let server = refusing(reply, 1..=30);
        let mut rig = rig(99);
        rig.channel("webhook", &server.url("/"));
        rig.lose(1..=30);
        eventually("all failed", || rig.rows().iter().all(|row| row.attempts >= 1));
        rig.lose(31..=33);
        for id in 31..=33 {
            rig.eventually_row(id, "delivered", |row| row.state == DELIVERED);
        }
    }
}

#[test]
fn a_message_that_fails_while_others_are_delivered_is_retried_soon() {
    let server = refusing(Reply::status(500), [1]);
    let mut rig = rig(9);
    rig.channel("webhook", &server.url("/"));
    rig.lose([1, 2]);
    // 1, 2 and 4 s, whichever of the two was first.
    rig.eventually_row(1, "retried", |row| row.attempts >= 3);
    let left = rig.row(1).due.since(rig.now());
    assert!(left <= Duration::from_secs(4), "{left:?}");
    server.become_one_that(|_| Reply::ok());
    rig.eventually_all_delivered();
}

#[test]
fn a_channel_that_works_again_is_not_waited_for() {
    let server = Server::always(Reply::status(503));
    let mut rig = rig(9);
    rig.channel("webhook", &server.url("/"));
    rig.lose([1, 2]);
    for minutes in [1, 2, 4, 8, 16, 16] {
        let before: i64 = rig.rows().iter().map(|row| row.attempts).sum();
        rig.wait(MINUTE * minutes);
        eventually("tried", || rig.rows().iter().map(|row| row.attempts).sum::<i64>() > before);
    }
    server.become_one_that(|_| Reply::ok());
    // Minutes are left of their backoff.
    rig.lose([3]);
    rig.eventually_row(3, "delivered", |row| row.state == DELIVERED);
    rig.eventually_all_delivered();
}

#[test]
fn a_courier_keeps_its_lease_however_late_it_is() {
    let server = Server::always(Reply::Late(Duration::from_secs(2), Box::new(Reply::ok())));
    let mut rig = Rig::new(1);
    rig.channel("webhook", &server.url("/"));
    rig.lose([1]);
    server.request();
    // The lease is long over by the clock.
    rig.wait(HOUR);
    rig.eventually_all_delivered();
    assert!(server.request_within(Duration::from_millis(200)).is_none(), "sent twice");
    assert_eq!(rig.row(1).attempts, 1);
}

#[test]
fn channels_that_hang_leave_threads_for_the_others() {
    let (dead, alive) = (Server::always(Reply::Hang), Server::always(Reply::ok()));
    let mut rig = Rig::new(99);
    for number in 0..9 {
        rig.channel("webhook", &dead.url(&format!("/{number}")));
    }
    rig.lose(1..=20);
    // All that may hang do: three quarters of 64.
    dead.requests(48);
    rig.channel("webhook", &alive.url("/"));
    rig.lose([21]);
    alive.request_within(Duration::from_secs(5)).expect("delayed");
}
