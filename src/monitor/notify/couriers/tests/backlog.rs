//! A channel with 100,000 rows that cannot be delivered, and one beside it.

use super::*;
use crate::monitor::store::sql::params;

const ROWS: i64 = 100_000;
const DEAD: i64 = 1;
const ALIVE: i64 = 2;
const MESSAGES: usize = 9;

/// How the rows wait.
#[derive(Debug, Clone, Copy)]
enum Backlog {
    /// One for each machine, never tried.
    New,
    /// Ten for each machine. The first has failed and is due in ten minutes; the others wait for it.
    Behind,
}

/// Nobody listens at the first channel's address.
fn filled(store: &Store, backlog: Backlog, alive: &str) {
    let nowhere = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let notice = r#"{"news":"offline","state":"offline","machine":1,"name":"m","hostname":null,"description":null,
                     "last_seen":0,"at":0}"#;
    let (machines, has_failed) = match backlog {
        Backlog::New => (ROWS, "FALSE"),
        Backlog::Behind => (ROWS / 10, "TRUE"),
    };
    let now = Moment::now().0;
    let channels = format!(
        "INSERT INTO recipient (name, events) VALUES ('ops', '[]');
         INSERT INTO channel (recipient_id, kind, target, created_at)
         VALUES (1, 'webhook', 'http://{nowhere}/', 0), (1, 'webhook', '{alive}', 0);"
    );
    store.write(|tx| tx.execute_batch(&channels)).expect("channels");
    // The row n is of machine n modulo the number of machines. In pieces, because a statement has a limit of time.
    for first in (0..ROWS).step_by(2_000) {
        let numbers = format!(
            "WITH RECURSIVE n (n) AS (SELECT {first} UNION ALL SELECT n + 1 FROM n WHERE n + 1 < {first} + 2000)"
        );
        for into in [
            format!(
                "machine (id, name, created_at) SELECT n + 1, 'm' || n, 0 FROM n WHERE n < {machines}"
            ),
            format!(
                "incident (id, machine_id, planned, last_seen, began_at, ended_at)
                 SELECT n + 1, n % {machines} + 1, FALSE, 0, 0, 1 FROM n"
            ),
            format!(
                "outbox (channel_id, machine_id, incident_id, event, content, created_at, due_at, expires_at, state, attempts)
                 SELECT {DEAD}, n % {machines} + 1, n + 1, 'offline', '{notice}', {now},
                        {now} + n / 100 - 2000 + CASE WHEN {has_failed} AND n < {machines} THEN 600000 ELSE 0 END,
                        {now} + 86400000, 0, CASE WHEN {has_failed} AND n < {machines} THEN 1 ELSE 0 END
                 FROM n"
            ),
        ] {
            let insert = format!("{numbers} INSERT INTO {into}");
            store.write(|tx| tx.execute_batch(&insert)).expect("filled");
        }
    }
}

/// A message for the other channel, due now.
fn add(store: &Store, number: usize) {
    let sql = "INSERT INTO outbox (channel_id, machine_id, incident_id, event, content, created_at, due_at, expires_at, state)
               SELECT ?1, machine_id, id, 'online', content, ?3, ?3, ?3 + 86400000, 0
               FROM (SELECT i.machine_id, i.id, o.content FROM incident i JOIN outbox o ON o.incident_id = i.id
                     WHERE i.id = ?2 LIMIT 1) AS one";
    let number = i64::try_from(number).expect("a few") + 1;
    let added = store.write(|tx| tx.execute(sql, params![ALIVE, number, Moment::now()]));
    assert_eq!(added, Ok(1));
}

#[test]
fn a_hundred_thousand_undeliverable_rows_delay_other_channels_by_less_than_a_second() {
    for backlog in [Backlog::New, Backlog::Behind] {
        let (url, requests) = receiver(Duration::ZERO);
        let (store, (poke, poked)) = (Store::scratch(), Poke::new());
        filled(&store, backlog, &url);
        let couriers = Couriers::start(store.clone(), settings(true), poked, Arc::new(Now::read));
        let couriers = couriers.expect("couriers");
        let mut waits = Vec::new();
        for number in 0..MESSAGES {
            add(&store, number);
            let begin = Instant::now();
            poke.poke();
            requests.recv_timeout(Duration::from_secs(60)).expect("delivered");
            waits.push(begin.elapsed());
        }
        drop(couriers);
        waits.sort();
        println!("{backlog:?}: {waits:.0?}");
        // The longest ones say how busy the machine is.
        assert!(waits[MESSAGES / 2] < Duration::from_secs(1), "{backlog:?}: {waits:.0?}");
    }
}
