//! What a database and a receiver must agree on, whatever happened to the monitor in between.

use super::request::Request;
use rusqlite::Connection;
use std::collections::HashMap;
use std::path::Path;

/// How much was looked at.
#[derive(Debug)]
pub struct Tally {
    pub outages: i64,
    pub rows: i64,
    pub flapping: i64,
    /// Deliveries that came more than once.
    pub repeated: usize,
}

/// Of a machine that flapped by then, which is told otherwise: on a busy machine some are late more often than planned.
fn flapped_by(moment: &str) -> String {
    format!("EXISTS (SELECT 1 FROM flapping f WHERE f.machine_id = o.machine_id AND f.since <= {moment})")
}

/// No outage untold, no recovery untold, not two rows for one, all delivered; what came twice came under the same id
/// with the same body, and the news of each machine came in order.
#[track_caller]
pub fn check_each_sent_once_in_order(database: &Path, arrivals: &[Request]) -> Tally {
    let direct = Connection::open(database).expect("a connection");
    let count = |sql: &str| -> i64 { direct.query_row(sql, [], |row| row.get(0)).expect(sql) };
    let untold = |event: &str, moment: &str| {
        count(&format!(
            "SELECT count(*) FROM incident o WHERE {moment} IS NOT NULL AND NOT {} AND NOT EXISTS
             (SELECT 1 FROM outbox b WHERE b.incident_id = o.id AND b.event = '{event}')",
            flapped_by(moment)
        ))
    };
    assert_eq!(untold("offline", "began_at"), 0, "an outage untold");
    assert_eq!(untold("online", "ended_at"), 0, "a recovery untold");
    assert_eq!(count("SELECT count(*) FROM outbox WHERE state <> 2"), 0, "a row that was not delivered");
    let unknown = "SELECT count(*) FROM machine_state s WHERE status = 2 AND NOT EXISTS
                   (SELECT 1 FROM incident o WHERE o.machine_id = s.machine_id AND ended_at IS NULL)";
    assert_eq!(count(unknown), 0, "a machine is offline without an outage");
    let twice = "SELECT count(*) FROM (SELECT 1 FROM outbox GROUP BY incident_id, event, channel_id HAVING count(*) > 1)";
    assert_eq!(count(twice), 0, "two rows for one");
    let open = "SELECT count(*) FROM (SELECT 1 FROM incident WHERE ended_at IS NULL GROUP BY machine_id HAVING count(*) > 1)";
    assert_eq!(count(open), 0, "two open outages");
    let [outages, rows, flapping] =
        ["incident", "outbox", "flapping"].map(|table| count(&format!("SELECT count(*) FROM {table}")));

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
    Tally { outages, rows, flapping, repeated: arrivals.len() - bodies.len() }
}
