//! kill -9 at random moments under load: each event is sent under one id, in order.

use crate::rig::SECRET;
use crate::support::outages::check_each_sent_once_in_order;
use crate::support::request::Request;
use crate::support::server::{Arrival, Reply, Server};
use heartbeat_daemon::clock::{Moment, Now};
use heartbeat_daemon::monitor::incidents::sweep::{SweepSettings as Detection, Sweeper};
use heartbeat_daemon::monitor::machine::MachineId;
use heartbeat_daemon::monitor::notify::couriers::{Couriers, NowSource};
use heartbeat_daemon::monitor::notify::{NotifySettings, Poke};
use heartbeat_daemon::monitor::store::Store;
use rusqlite::{Connection, params};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

const MACHINES: i64 = 3000;

/// The child's clock runs so much faster, that backoff takes no hours.
const SPEED: u32 = 60;

/// The child's arguments: database, moment of the first start, and whether to finish what is there.
const DATABASE: &str = "HEARTBEAT_KILLED_DATABASE";
const START: &str = "HEARTBEAT_KILLED_START";
const FINISH: &str = "HEARTBEAT_KILLED_FINISH";

/// Two in ten are heard and not answered, or answered late, or with an error.
fn unreliable() -> Reply {
    match fastrand::u8(..20) {
        0 => Reply::Reset,
        1 => Reply::Late(Duration::from_millis(30), Box::new(Reply::ok())),
        2 => Reply::status(500),
        3 => Reply::Close,
        _ => Reply::ok(),
    }
}

/// 37 % of the requests fail: a quarter at once, the others hang.
fn failing_for_37_percent() -> Reply {
    match fastrand::u8(..100) {
        0..13 => Reply::status(500),
        13..25 => Reply::Reset,
        25..37 => Reply::Hang,
        _ => Reply::ok(),
    }
}

#[test]
fn nothing_is_lost_doubled_or_out_of_order_when_it_is_killed_20_times() {
    kill(20, unreliable);
}

#[test]
fn every_outage_is_delivered_when_it_is_killed_5_times_and_37_percent_of_the_requests_fail() {
    kill(5, failing_for_37_percent);
}

/// `cargo test --features monitor --test couriers -- --ignored --nocapture killed_60`
#[test]
#[ignore = "takes minutes"]
fn every_outage_is_delivered_when_it_is_killed_60_times_and_37_percent_of_the_requests_fail() {
    kill(60, failing_for_37_percent);
}

/// `cargo test --test couriers -- --ignored 200`
#[test]
#[ignore = "takes minutes"]
fn nothing_is_lost_doubled_or_out_of_order_when_it_is_killed_200_times() {
    kill(200, unreliable);
}

fn kill(times: u32, reply: fn() -> Reply) {
    let server = Server::start(move |_| reply());
    let dir = tempfile::tempdir().expect("a directory");
    let database = dir.path().join("monitor.db");
    prepare(&database, &server.url("/"));
    let start = Moment::now();
    for _ in 0..times {
        let mut child = spawn(&database, start, false);
        std::thread::sleep(Duration::from_millis(fastrand::u64(5..400)));
        child.kill().expect("killed");
        child.wait().expect("dead");
    }
    let finished = spawn(&database, start, true).wait().expect("an end");
    assert!(finished.success(), "{finished}");
    let arrivals: Vec<Request> = server
        .arrivals()
        .try_iter()
        .filter_map(|arrival| match arrival {
            Arrival::Request(request) => Some(request),
            Arrival::Connection(_) => None,
        })
        .collect();
    let tally = check_each_sent_once_in_order(&database, &arrivals);
    println!("{times} kills, {tally:?}");
    assert!(tally.outages > i64::from(times), "only {tally:?}");
}

fn prepare(database: &Path, url: &str) {
    drop(Store::open_for_serving(&database.to_owned().into(), Moment::now()).expect("a database"));
    let direct = Connection::open(database).expect("a connection");
    let sql = format!(
        "BEGIN;
         INSERT INTO recipient (name, events) VALUES ('ops', '[\"offline\",\"online\"]');
         INSERT INTO channel (recipient_id, kind, target, secret, created_at)
         VALUES (1, 'webhook', '{url}', '{SECRET}', 0);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {MACHINES})
         INSERT INTO machine (id, name, created_at) SELECT i, 'm' || i, 0 FROM n;
         INSERT INTO machine_state (machine_id, status, watched, since, last_seen, threshold)
         SELECT id, 1, 1, 0, 0, 100000000000000 FROM machine;
         COMMIT;"
    );
    direct.execute_batch(&sql).expect("filled");
}

fn spawn(database: &Path, start: Moment, finish: bool) -> Child {
    let program = std::env::current_exe().expect("a program");
    let mut child = Command::new(program)
        .args(["--exact", "killed::the_monitor_that_is_killed", "--ignored", "--nocapture"])
        .env(DATABASE, database)
        .env(START, start.0.to_string())
        .env(FINISH, if finish { "yes" } else { "no" })
        .stdout(Stdio::piped())
        .spawn()
        .expect("a child");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    assert!(lines.any(|line| line.is_ok_and(|line| line.contains("ready"))), "the child did not start");
    // It says nothing more that anybody waits for, and must not die of a closed pipe.
    std::thread::spawn(move || lines.for_each(drop));
    child
}

/// Not a test: the process that the tests above kill.
#[test]
#[ignore = "started by the tests above"]
fn the_monitor_that_is_killed() {
    let Ok(database) = std::env::var(DATABASE) else { return };
    let start: i64 = std::env::var(START).ok().and_then(|start| start.parse().ok()).expect("a start");
    let clock = fast_clock(Moment(start));
    let now = clock();
    let store =
        Arc::new(Store::open_for_serving(&PathBuf::from(&database).into(), now.wall).expect("a database"));
    let direct = Connection::open(&database).expect("a connection");
    direct.busy_timeout(Duration::from_secs(10)).expect("a timeout");
    let (poke, poked) = Poke::new();
    let timeout = Duration::from_secs(1);
    let settings = NotifySettings { allow_private_webhooks: true, timeout, ..NotifySettings::default() };
    let couriers = Couriers::start(store.clone(), settings, poked, clock.clone()).expect("couriers");
    let hour = Duration::from_secs(3600);
    let detection = Detection { check_interval: hour * 1000, threshold: hour };
    let mut sweeper = Sweeper::new(detection, now, poke.clone());
    println!("ready");
    let finish = std::env::var(FINISH).is_ok_and(|finish| finish == "yes");
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        std::thread::sleep(Duration::from_millis(10));
        if finish {
            poke.poke();
            let waiting = store.waiting_deliveries().expect("a count").0;
            if waiting == 0 {
                break;
            }
            assert!(Instant::now() < deadline, "{waiting} rows are never delivered");
        } else {
            change(&direct, &mut sweeper, &store, &clock);
        }
    }
    drop(couriers);
}

fn fast_clock(start: Moment) -> NowSource {
    let began = Instant::now();
    Arc::new(move || {
        let passed = Moment::now().since(start) * SPEED;
        Now { monotonic: began + began.elapsed() * SPEED, wall: start.plus(passed) }
    })
}

/// Some fall silent, some return; nobody so often that it flaps.
fn change(direct: &Connection, sweeper: &mut Sweeper, store: &Store, clock: &NowSource) {
    let now = clock();
    let silence = "UPDATE machine_state SET last_seen = ?1, threshold = 1 WHERE machine_id IN
                   (SELECT machine_id FROM machine_state s WHERE status = 1
                    AND (SELECT count(*) FROM incident o WHERE o.machine_id = s.machine_id) < 2
                    ORDER BY random() LIMIT 3)";
    direct.execute(silence, params![now.wall.0 - 1_000]).expect("silenced");
    sweeper.sweep(store, now).expect("swept");
    let mut statement = direct
        .prepare_cached("SELECT machine_id FROM machine_state WHERE status = 2 ORDER BY random() LIMIT 2")
        .expect("prepared");
    let offline = statement.query_map([], |row| row.get(0)).expect("rows");
    let ids: Vec<i64> = offline.collect::<Result<_, _>>().expect("rows");
    for id in &ids {
        let patience = "UPDATE machine_state SET threshold = 100000000000000 WHERE machine_id = ?1";
        direct.execute(patience, [id]).expect("written");
    }
    let now = clock().wall;
    let beats: Vec<(MachineId, Moment)> = ids.into_iter().map(|id| (MachineId(id), now)).collect();
    sweeper.returned(store, &beats, now).expect("back");
}
