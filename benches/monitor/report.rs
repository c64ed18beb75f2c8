//! How long a report about a large fleet takes, and how long it is: a month in which no machine was fine.

use crate::figures::{Figure, Table};
use crate::parts::{Outcome, Plan};
use crate::subject::open;
use heartbeat_daemon::clock::Moment;
use heartbeat_daemon::monitor::notify::choices::Selection;
use heartbeat_daemon::monitor::reports::report;
use heartbeat_daemon::monitor::reports::schedule::ReportInterval;
use heartbeat_daemon::monitor::store::Store;
use rusqlite::Connection;
use std::time::Instant;

const MACHINES: usize = 1_000;
const DAYS: i64 = 31;
const DAY: i64 = 86_400_000;
const MINUTE: i64 = 60_000;
/// Of one machine in the month: outages, days with under-voltage, cameras.
const OUTAGES: i64 = 20;
const CONDITIONS: i64 = 10;
const CAMERAS: i64 = 2;

/// Reports that are made; the first ones find cold caches.
const ROUNDS: usize = 30;
const LIMIT_MS: f64 = 200.0;
const LIMIT_BYTES: f64 = 100_000.0;

pub fn measure(_: &Plan) -> Outcome<Vec<Table>> {
    let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
    let store = open(dir.path())?;
    let now = Moment::now();
    store.add_simulated(MACHINES, now).map_err(|error| error.to_string())?;
    let added = store.add_recipient("farm", &Selection::All, &Default::default(), now);
    added.map_err(|error| error.to_string())?;
    let recipients = store.report_recipients().map_err(|error| error.to_string())?;
    let recipient = recipients.first().ok_or("no recipient")?;
    let due = ReportInterval::Monthly.last_due(&recipient.clock(), now);
    let period = ReportInterval::Monthly.period(&recipient.clock(), due);
    live(&store, period.from).map_err(|error| error.to_string())?;
    let (mut times, mut bytes) = (Vec::new(), 0);
    for _ in 0..ROUNDS {
        let begin = Instant::now();
        let text = report(&store, recipient, &period, Some("https://heart.example/"), now);
        let text = text.map_err(|error| error.to_string())?;
        times.push(begin.elapsed().as_secs_f64() * 1000.0);
        bytes = text.text.len() + text.html.len();
    }
    times.sort_by(f64::total_cmp);
    let incidents = MACHINES as i64 * (OUTAGES + CONDITIONS);
    let mut table =
        Table::new(format!("report: {MACHINES} machines, none fine, with {incidents} incidents in a month"));
    table.add(Figure::new("a report, p50", times[ROUNDS / 2], "ms").at_most(LIMIT_MS));
    table.add(Figure::new("a report, max", times[ROUNDS - 1], "ms").at_most(LIMIT_MS));
    table.add(Figure::new("text and HTML", bytes as f64, "bytes").at_most(LIMIT_BYTES));
    Ok(vec![table])
}

/// What happened to all machines since the begin of the month.
fn live(store: &Store, begin: Moment) -> rusqlite::Result<()> {
    let mut connection = Connection::open(store.location().file().expect("a file"))?;
    let transaction = connection.transaction()?;
    let first_day = begin.0 / DAY + 1;
    for machine in 1..=MACHINES as i64 {
        let mut incident = transaction.prepare_cached(
            "INSERT INTO incident (machine_id, kind, subject, planned, last_seen, began_at, notified_at, ended_at)
             VALUES (?1, ?2, '', 0, ?3, ?3, ?3, ?4)",
        )?;
        for number in 0..OUTAGES + CONDITIONS {
            let kind = if number < OUTAGES { "offline" } else { "under_voltage" };
            let at = begin.0 + number % (DAYS - 1) * DAY + machine * MINUTE;
            incident.execute((machine, kind, at, at + (5 + machine % 90) * MINUTE))?;
        }
        for camera in 1..=CAMERAS {
            let id = machine * CAMERAS + camera;
            transaction
                .prepare_cached(
                    "INSERT INTO camera (id, machine_id, mac, name, reported) VALUES (?1, ?2, ?3, ?4, 0)",
                )?
                .execute((id, machine, format!("{id:012x}"), format!("camera-{camera}")))?;
            for day in first_day..first_day + DAYS - 2 {
                let mut row =
                    transaction.prepare_cached("INSERT INTO camera_day VALUES (?1, ?2, 1400, 40)")?;
                row.execute((id, day))?;
            }
        }
    }
    transaction.commit()
}
