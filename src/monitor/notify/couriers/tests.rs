//! Couriers and real receivers.

mod backlog;

use super::*;
use crate::clock::{Moment, Now};
use crate::monitor::notify::Poke;
use crate::monitor::store::Scratch;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicU64, Ordering};

const LEASED: i64 = 1;
const DELIVERED: i64 = 2;

/// Accepts the body of each request after `delay`; reports each request when it arrives.
fn receiver(delay: Duration) -> (String, Receiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    let (arrived, requests) = bounded(9);
    thread::spawn(move || {
        for mut socket in listener.incoming().map_while(Result::ok) {
            let mut request = Vec::new();
            while !request.ends_with(b"}}") {
                let mut bytes = [0; 4096];
                let Ok(count @ 1..) = socket.read(&mut bytes) else { break };
                request.extend_from_slice(&bytes[..count]);
            }
            let _ = arrived.send(());
            thread::sleep(delay);
            let _ = socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
    });
    (url, requests)
}

/// A row for a webhook, due now.
fn outbox(url: &str) -> Scratch {
    let store = Store::scratch();
    let notice = r#"{"news":"offline","state":"offline","machine":1,"name":"m","hostname":null,"description":null,
                     "last_seen":0,"at":0}"#;
    let now = Moment::now().0;
    let sql = format!(
        "INSERT INTO recipient (name, events) VALUES ('ops', '[]');
         INSERT INTO channel (recipient_id, kind, target, created_at) VALUES (1, 'webhook', '{url}', 0);
         INSERT INTO machine (name, created_at) VALUES ('m', 0);
         INSERT INTO incident (machine_id, planned, last_seen, began_at) VALUES (1, FALSE, 0, 0);
         INSERT INTO outbox (channel_id, machine_id, incident_id, event, content, created_at, due_at, expires_at, state)
         VALUES (1, 1, 1, 'offline', '{notice}', {now}, {now}, {now} + 86400000, 0);"
    );
    store.write(|transaction| transaction.execute_batch(&sql)).expect("filled");
    store
}

fn settings(allow_private_webhooks: bool) -> NotifySettings {
    NotifySettings { allow_private_webhooks, ..NotifySettings::default() }
}

fn number(store: &Store, column: &str) -> i64 {
    let sql = format!("SELECT {column} FROM outbox");
    store.read(|connection| connection.query_row(&sql, &[], |row| row.get(0))).expect("a row")
}

#[track_caller]
fn eventually(holds: impl Fn() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < Duration::from_secs(20), "not within 20 s");
        thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn new_settings_apply_to_the_next_attempt() {
    let (url, requests) = receiver(Duration::ZERO);
    let (store, ahead, (poke, poked)) = (outbox(&url), Arc::<AtomicU64>::default(), Poke::new());
    let clock: NowSource = {
        let ahead = ahead.clone();
        Arc::new(move || Now::read().plus(Duration::from_secs(ahead.load(Ordering::SeqCst))))
    };
    let couriers = Couriers::start(store.clone(), settings(false), poked, clock).expect("couriers");
    eventually(|| number(&store, "attempts") == 1);
    assert!(requests.is_empty(), "private addresses are not allowed");
    couriers.reload(settings(true));
    ahead.store(60, Ordering::SeqCst);
    poke.poke();
    eventually(|| number(&store, "state") == DELIVERED);
    let counted = couriers.counters().read()[0];
    assert_eq!((counted.delivered, counted.failed, counted.dead), (1, 1, 0));
}

#[test]
fn a_stop_waits_for_the_delivery_in_flight_and_no_longer() {
    let second = Duration::from_secs(1);
    for (delay, grace, state) in [
        (second / 10, Some(second * 10), DELIVERED),
        (second / 10, None, DELIVERED),
        (second * 10, Some(Duration::ZERO), LEASED),
    ] {
        let (url, requests) = receiver(delay);
        let (store, (_poke, poked)) = (outbox(&url), Poke::new());
        let couriers = Couriers::start(store.clone(), settings(true), poked, Arc::new(Now::read));
        requests.recv().expect("a request");
        let begin = Instant::now();
        let couriers = couriers.expect("couriers");
        match grace {
            Some(grace) => couriers.stop(begin + grace),
            None => drop(couriers),
        }
        assert!(begin.elapsed() < second * 5, "{:?}", begin.elapsed());
        assert_eq!(number(&store, "state"), state, "an answer after {delay:?}, {grace:?} to stop");
    }
}
