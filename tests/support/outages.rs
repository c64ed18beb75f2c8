//! What a database and a receiver must agree on, whatever happened to the monitor in between.

use super::request::Request;
use rusqlite::Connection;
use std::collections::HashMap;
use std::path::Path;

/// How much was looked at.
#[derive(Debug)]
pub struct Tally {
    pub outages: i64,
    pub conditions: i64,
    pub rows: i64,
    pub flapping: i64,
    /// Deliveries that came more than once.
    pub repeated: usize,
}

/// Incidents that flapped by then are announced otherwise: on a busy machine some are late more often than planned.
fn flapped_by(moment: &str) -> String {
    format!(
        "EXISTS (SELECT 1 FROM flapping f WHERE f.machine_id = o.machine_id AND f.kind = o.kind
                 AND f.subject = o.subject AND f.since <= {moment})"
    )
}

/// No incident and no recovery without its row, not two rows for one, all delivered; what came twice came under the same
/// id with the same body, and the messages about each machine came in order: those that were written together, of one
/// event, in any order.
#[track_caller]
pub fn check_each_sent_once_in_order(database: &Path, arrivals: &[Request]) -> Tally {
    let direct = Connection::open(database).expect("a connection");
    let count = |sql: &str| -> i64 { direct.query_row(sql, [], |row| row.get(0)).expect(sql) };
    // Those that held when they were first judged are in a summary.
    let unannounced = |kinds: &str, event: &str, moment: &str| {
        count(&format!(
            "SELECT count(*) FROM incident o WHERE {kinds} AND {moment} IS NOT NULL AND existing = 0 AND NOT {}
             AND NOT EXISTS (SELECT 1 FROM outbox b WHERE b.incident_id = o.id AND b.event = '{event}')",
            flapped_by(moment)
        ))
    };
    let (outages, conditions) = ("o.kind = 'offline'", "o.kind <> 'offline'");
    assert_eq!(unannounced(outages, "offline", "began_at"), 0, "an outage without a message");
    assert_eq!(unannounced(outages, "online", "ended_at"), 0, "a recovery without a message");
    assert_eq!(unannounced(conditions, "condition", "began_at"), 0, "a condition without a message");
    assert_eq!(unannounced(conditions, "condition_ended", "ended_at"), 0, "the end of one without a message");
    assert_eq!(count("SELECT count(*) FROM outbox WHERE state <> 2"), 0, "a row that was not delivered");
    let unknown = "SELECT count(*) FROM machine_state s WHERE status = 2 AND NOT EXISTS
                   (SELECT 1 FROM incident o WHERE o.machine_id = s.machine_id AND o.kind = 'offline'
                    AND ended_at IS NULL)";
    assert_eq!(count(unknown), 0, "a machine is offline without an outage");
    let twice = "SELECT count(*) FROM (SELECT 1 FROM outbox GROUP BY incident_id, event, channel_id HAVING count(*) > 1)";
    assert_eq!(count(twice), 0, "two rows for one");
    let open = "SELECT count(*) FROM (SELECT 1 FROM incident WHERE ended_at IS NULL
                GROUP BY machine_id, kind, subject HAVING count(*) > 1)";
    assert_eq!(count(open), 0, "two open incidents of one kind and subject");
    let [outages, conditions, rows, flapping] = [
        &format!("incident o WHERE {outages}"),
        &format!("incident o WHERE {conditions}"),
        "outbox",
        "flapping",
    ]
    .map(|table| count(&format!("SELECT count(*) FROM {table}")));

    let mut bodies: HashMap<i64, &[u8]> = HashMap::new();
    let mut last: HashMap<i64, (i64, i64, String)> = HashMap::new();
    for request in arrivals {
        let id: i64 = request.header("X-Webhook-Id").and_then(|id| id.parse().ok()).expect("an id");
        if let Some(before) = bodies.insert(id, &request.body) {
            assert_eq!(before, request.body, "another body under the same id");
            continue;
        }
        let machine = request.json()["machine"]["id"].as_i64().expect("a machine");
        let (created_at, event) = written(&direct, id);
        let row = (id, created_at, event);
        if let Some(before) = last.insert(machine, row.clone()) {
            let is_together = (before.1, &before.2) == (row.1, &row.2);
            assert!(before.0 < id || is_together, "machine {machine}: row {row:?} came after row {before:?}");
        }
    }
    assert_eq!(bodies.len() as i64, rows, "what was delivered is what arrived");
    Tally { outages, conditions, rows, flapping, repeated: arrivals.len() - bodies.len() }
}

/// When a row was written, and its event.
fn written(direct: &Connection, id: i64) -> (i64, String) {
    let sql = "SELECT created_at, event FROM outbox WHERE id = ?1";
    let mut statement = direct.prepare_cached(sql).expect(sql);
    statement.query_row([id], |row| Ok((row.get(0)?, row.get(1)?))).expect("the row of a message")
}
