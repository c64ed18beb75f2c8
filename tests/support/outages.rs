//! What a database and a receiver must agree on, whatever happened to the monitor in between.

use super::request::Request;
use rusqlite::Connection;
use std::collections::HashMap;
use std::path::Path;

/// How much was looked at.
#[derive(Debug)]
pub struct Told {
    pub outages: i64,
    pub rows: i64,
    /// Deliveries that came more than once.
    pub repeated: usize,
}

/// No outage untold, no recovery untold, not two rows for one, all delivered; what came twice came under the same id
/// with the same body, and the news of each machine came in order.
#[track_caller]
pub fn all_told_once_and_in_order(database: &Path, arrivals: &[Request]) -> Told {
    let direct = Connection::open(database).expect("a connection");
    let count = |sql: &str| -> i64 { direct.query_row(sql, [], |row| row.get(0)).expect(sql) };
    let untold = "SELECT count(*) FROM outage o WHERE NOT EXISTS
                  (SELECT 1 FROM outbox b WHERE b.outage_id = o.id AND b.event = 'offline')";
    assert_eq!(count(untold), 0, "an outage untold");
    let unended = "SELECT count(*) FROM outage o WHERE ended_at IS NOT NULL AND NOT EXISTS
                   (SELECT 1 FROM outbox b WHERE b.outage_id = o.id AND b.event = 'online')";
    assert_eq!(count(unended), 0, "a recovery untold");
    assert_eq!(count("SELECT count(*) FROM outbox WHERE state <> 2"), 0, "a row that was not delivered");
    let unknown = "SELECT count(*) FROM machine_state s WHERE status = 2 AND NOT EXISTS
                   (SELECT 1 FROM outage o WHERE o.machine_id = s.machine_id AND ended_at IS NULL)";
    assert_eq!(count(unknown), 0, "a machine is offline without an outage");
    let twice = "SELECT count(*) FROM (SELECT 1 FROM outbox GROUP BY outage_id, event, channel_id HAVING count(*) > 1)";
    assert_eq!(count(twice), 0, "two rows for one");
    let open = "SELECT count(*) FROM (SELECT 1 FROM outage WHERE ended_at IS NULL GROUP BY machine_id HAVING count(*) > 1)";
    assert_eq!(count(open), 0, "two open outages");
    let (outages, rows) = (count("SELECT count(*) FROM outage"), count("SELECT count(*) FROM outbox"));

    let mut bodies: HashMap<i64, &[u8]> = HashMap::new();
    let mut last: HashMap<i64, i64> = HashMap::new();
    for request in arrivals {
        let id: i64 = request.header("X-Webhook-Id").and_then(|id| id.parse().ok()).expect("an id");
        if let Some(before) = bodies.insert(id, &request.body) {
            assert_eq!(before, request.body, "another body under the same id");
            continue;
        }
        let machine = request.json()["machine"]["id"].as_i64().expect("a machine");
        let before = last.insert(machine, id).unwrap_or(0);
        assert!(before < id, "machine {machine}: row {id} came after row {before}");
    }
    assert_eq!(bodies.len() as i64, rows, "what was delivered is what arrived");
    Told { outages, rows, repeated: arrivals.len() - bodies.len() }
}
