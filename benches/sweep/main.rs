//! What a sweep costs: 1,000,000 machines, a thousand of them late, one recipient with one channel.
//!
//! `cargo bench --profile monitor --no-default-features --features monitor --bench sweep [-- --machines N]`. With the feature
//! `postgres` and `--database URL`, which names an empty database, it measures PostgreSQL as well; the server's cores are not
//! counted, only the clock says what a sweep takes there. Figures, not tests: a missed limit is said, and the exit code stays 0.

use heartbeat_daemon::clock::{Moment, Now};
use heartbeat_daemon::monitor::incidents::sweep::{SweepSettings, Sweeper};
use heartbeat_daemon::monitor::machine::MachineId;
use heartbeat_daemon::monitor::notify::Poke;
use heartbeat_daemon::monitor::store::{DatabaseLocation, Store};
use rusqlite::Connection;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

/// By the clock, and of a core: on a busy machine only the second says anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Cost {
    core: Duration,
    clock: Duration,
}

impl Cost {
    /// Of what `work` does on this thread.
    fn of<T>(work: impl FnOnce() -> Outcome<T>) -> Outcome<(T, Cost)> {
        let (begin, before) = (Instant::now(), on_core()?);
        let done = work()?;
        Ok((done, Cost { core: on_core()?.saturating_sub(before), clock: begin.elapsed() }))
    }
}

/// Time that this thread has had a core for, since it began.
fn on_core() -> Outcome<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds = text.split_whitespace().next().ok_or("no schedstat")?;
    Ok(Duration::from_nanos(nanoseconds.parse()?))
}

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const LATE: i64 = 1_000;
const ROUNDS: usize = 9;
const LIMIT: Duration = Duration::from_millis(60);
const SETTINGS: SweepSettings =
    SweepSettings { check_interval: Duration::from_secs(30), threshold: Duration::from_secs(120) };

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // `cargo bench` says --bench; `cargo test --all-targets` starts this program too, and does not.
    if !arguments.iter().any(|argument| argument == "--bench") {
        println!("measures for a minute: cargo bench --bench sweep");
        return Ok(());
    }
    let option = |name: &str| {
        let after = arguments.iter().position(|argument| argument == name).map(|at| at + 1);
        after.and_then(|at| arguments.get(at))
    };
    let machines = option("--machines").map_or(Ok(1_000_000), |number| number.parse())?;
    let dir = tempfile::tempdir_in(std::env::var_os("TMPDIR").unwrap_or_else(|| "/var/tmp".into()))?;
    let file = dir.path().join("monitor.db");
    measure(file.to_str().ok_or("a path that is no text")?, machines)?;
    match option("--database") {
        Some(url) => measure(url, machines),
        None => Ok(()),
    }
}

/// A fleet in a database on a disk, with the clock that it is swept by.
struct Fleet {
    store: Store,
    machines: i64,
    sweeper: Sweeper,
    now: Now,
}

/// `database` is a path or a URL.
fn measure(database: &str, machines: i64) -> Outcome<()> {
    let mut fleet = Fleet::new(database, machines)?;
    fleet.grow_old()?;
    let engine = if is_server(database) { "PostgreSQL" } else { "SQLite" };
    println!("{engine}, {machines} machines, {ROUNDS} rounds, median (most)");
    let idle = (0..ROUNDS).map(|_| fleet.sweep(0)).collect::<Outcome<Vec<_>>>()?;
    print_costs("a sweep that finds nobody late", idle, LIMIT);
    let mut sweeps = Vec::new();
    let mut returns = Vec::new();
    for round in 0..ROUNDS {
        let first = i64::try_from(round)? * LATE + 1;
        fleet.silence(first..first + LATE)?;
        sweeps.push(fleet.sweep(usize::try_from(LATE)?)?);
        returns.push(fleet.bring_back(first..first + LATE)?);
    }
    print_costs(
        &format!("a sweep that finds {LATE} late, with outages, events and {LATE} messages"),
        sweeps,
        LIMIT,
    );
    print_costs(&format!("{LATE} that come back, in one transaction"), returns, LIMIT);
    let one = (0..ROUNDS).map(|round| {
        let id = machines - i64::try_from(round)?;
        fleet.silence(id..id + 1)?;
        fleet.sweep(1)?;
        fleet.bring_back(id..id + 1)
    });
    print_costs("one that comes back", one.collect::<Outcome<Vec<_>>>()?, Duration::from_millis(10));
    let half = machines / 2;
    fleet.silence(1..half + 1)?;
    let doubted = fleet.sweep(0)?;
    print_costs("half of the fleet, doubted", vec![doubted], Duration::from_secs(1));
    let (mut taken, mut batches) = (0, Vec::new());
    while taken < usize::try_from(half)? {
        let (store, now) = (&fleet.store, fleet.now);
        let (swept, cost) = Cost::of(|| Ok(fleet.sweeper.sweep(store, now)?))?;
        taken += swept.offline.len();
        batches.push(cost);
    }
    print_costs("10,000 of that half taken offline, one transaction", batches, Duration::from_secs(1));
    Ok(())
}

fn is_server(database: &str) -> bool {
    database.starts_with("postgres")
}

/// Runs statements beside the store, without its rules.
fn fill(database: &str, sql: &str) -> Outcome<()> {
    if is_server(database) {
        let filled = Command::new("psql")
            .args(["--quiet", "--set=ON_ERROR_STOP=1", "--command", sql, database])
            .status()?;
        let analysed =
            Command::new("psql").args(["--quiet", "--command", "VACUUM ANALYZE", database]).status()?;
        return if filled.success() && analysed.success() { Ok(()) } else { Err("psql failed".into()) };
    }
    let direct = Connection::open(database)?;
    direct.busy_timeout(Duration::from_secs(60))?;
    direct.execute_batch("PRAGMA synchronous = OFF;")?;
    Ok(direct.execute_batch(sql)?)
}

fn print_costs(what: &str, mut costs: Vec<Cost>, limit: Duration) {
    costs.sort();
    let (median, slowest) = (costs[costs.len() / 2], costs[costs.len() - 1]);
    let verdict = if median.core <= limit { "" } else { "  MISSED" };
    let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
    println!(
        "  {:>8.1} ms of a core ({:.1}), {:>8.1} ms by the clock  {what}, at most {} ms{verdict}",
        ms(median.core),
        ms(slowest.core),
        ms(median.clock),
        limit.as_millis()
    );
}

impl Fleet {
    fn new(database: &str, machines: i64) -> Outcome<Fleet> {
        let now = Now::read();
        let location = match DatabaseLocation::of_url(database) {
            Some(location) => location?,
            None => PathBuf::from(database).into(),
        };
        let store = Store::open_for_serving(&location, now.wall)?;
        let process = store.process().map_or("NULL".into(), |process| process.to_string());
        fill(
            database,
            &format!(
                "BEGIN;
                 INSERT INTO recipient (name, events) VALUES ('ops', '[\"offline\",\"online\",\"flapping\"]');
                 INSERT INTO channel (recipient_id, kind, target, created_at) VALUES (1, 'webhook', 'http://a/', 0);
                 WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {machines})
                 INSERT INTO machine (id, name, hostname, created_at) SELECT i, 'machine-' || i, 'host-' || i, 0 FROM n;
                 INSERT INTO machine_state (machine_id, status, watched, since, last_seen, seen_by)
                 SELECT id, 1, TRUE, {now}, {now}, {process} FROM machine;
                 COMMIT;",
                now = now.wall.0
            ),
        )?;
        // As after a start: its caches know nothing of what was just written.
        let store = match is_server(database) {
            true => store,
            false => {
                drop(store);
                Store::open_for_serving(&location, now.wall)?
            }
        };
        let sweeper = Sweeper::new(SETTINGS, now, Poke::unconnected());
        Ok(Fleet { store, machines, sweeper, now })
    }

    fn seen(&self, machines: std::ops::Range<i64>, at: Moment) -> Outcome<()> {
        let beats: Vec<(MachineId, Moment)> = machines.map(|id| (MachineId(id), at)).collect();
        for some in beats.chunks(100_000) {
            self.store.save_beats(some, &[])?;
        }
        Ok(())
    }

    /// They have been silent for longer than their threshold.
    fn silence(&mut self, machines: std::ops::Range<i64>) -> Outcome<()> {
        self.seen(machines, Moment(self.now.wall.0 - 1_000_000))
    }

    fn sweep(&mut self, expected: usize) -> Outcome<Cost> {
        let (swept, took) = Cost::of(|| Ok(self.sweeper.sweep(&self.store, self.now)?))?;
        match swept.offline.len() == expected {
            true => Ok(took),
            false => Err(format!("{} late instead of {expected}", swept.offline.len()).into()),
        }
    }

    /// Until the monitor has been listening for longer than the threshold: nobody is late before.
    fn grow_old(&mut self) -> Outcome<()> {
        for _ in 0..5 {
            self.now = self.now.plus(SETTINGS.check_interval);
            self.seen(1..self.machines + 1, self.now.wall)?;
            self.sweep(0)?;
        }
        Ok(())
    }

    fn bring_back(&mut self, machines: std::ops::Range<i64>) -> Outcome<Cost> {
        let beats: Vec<(MachineId, Moment)> = machines.map(|id| (MachineId(id), self.now.wall)).collect();
        let ((), took) = Cost::of(|| {
            self.sweeper.returned(&self.store, &beats, self.now.wall)?;
            Ok(())
        })?;
        Ok(took)
    }
}
