//! What a sweep costs: 1,000,000 machines, a thousand of them late, one recipient with two channels.
//!
//! `cargo bench --no-default-features --features monitor --bench sweep [-- --machines N]`. Figures, not tests: a
//! missed limit is said, and the exit code stays 0.

use heartbeat_daemon::monitor::detect::{Settings, Sweeper};
use heartbeat_daemon::monitor::notify::Poke;
use heartbeat_daemon::monitor::store::{MachineId, Store};
use heartbeat_daemon::monitor::time::Moment;
use rusqlite::{Connection, params};
use std::path::Path;
use std::time::{Duration, Instant};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const LATE: i64 = 1_000;
const ROUNDS: usize = 9;
const LIMIT: Duration = Duration::from_millis(60);
const SETTINGS: Settings =
    Settings { check_interval: Duration::from_secs(30), threshold: Duration::from_secs(120) };

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // `cargo bench` says --bench; `cargo test --all-targets` starts this program too, and does not.
    if !arguments.iter().any(|argument| argument == "--bench") {
        println!("measures for a minute: cargo bench --bench sweep");
        return Ok(());
    }
    let after = arguments.iter().position(|argument| argument == "--machines").map(|at| at + 1);
    let machines = match after.and_then(|at| arguments.get(at)) {
        Some(number) => number.parse()?,
        None => 1_000_000,
    };
    measure(machines)
}

/// A fleet in a database on a disk, with the clock that it is swept by.
struct Fleet {
    store: Store,
    direct: Connection,
    sweeper: Sweeper,
    now: Moment,
    tick: Instant,
}

fn measure(machines: i64) -> Outcome<()> {
    let dir = tempfile::tempdir_in(std::env::var_os("TMPDIR").unwrap_or_else(|| "/var/tmp".into()))?;
    let mut fleet = Fleet::new(&dir.path().join("monitor.db"), machines)?;
    fleet.grow_old()?;
    println!("{machines} machines, {ROUNDS} rounds, median (slowest)");
    let idle = (0..ROUNDS).map(|_| fleet.sweep(0)).collect::<Outcome<Vec<_>>>()?;
    say("a sweep that finds nobody late", idle, LIMIT);
    let mut sweeps = Vec::new();
    let mut returns = Vec::new();
    for round in 0..ROUNDS {
        let first = i64::try_from(round)? * LATE + 1;
        fleet.silence(first..first + LATE)?;
        sweeps.push(fleet.sweep(usize::try_from(LATE)?)?);
        returns.push(fleet.bring_back(first..first + LATE)?);
    }
    say(
        &format!("a sweep that finds {LATE} late, with outages, events and {} messages", LATE * 2),
        sweeps,
        LIMIT,
    );
    say(&format!("{LATE} that come back, in one transaction"), returns, LIMIT);
    let one = (0..ROUNDS).map(|round| {
        let id = machines - i64::try_from(round)?;
        fleet.silence(id..id + 1)?;
        fleet.sweep(1)?;
        fleet.bring_back(id..id + 1)
    });
    say("one that comes back", one.collect::<Outcome<Vec<_>>>()?, Duration::from_millis(10));
    let half = machines / 2;
    fleet.silence(1..half + 1)?;
    let doubted = fleet.sweep(0)?;
    println!("  {:>9.1} ms  half of the fleet, doubted", doubted.as_secs_f64() * 1e3);
    let (mut taken, mut batches) = (0, Vec::new());
    while taken < usize::try_from(half)? {
        let begin = Instant::now();
        taken += fleet.sweeper.sweep(&fleet.store, fleet.now, fleet.tick)?.offline.len();
        batches.push(begin.elapsed());
    }
    say("10,000 of that half taken offline, one transaction", batches, Duration::from_secs(1));
    Ok(())
}

fn say(what: &str, mut times: Vec<Duration>, limit: Duration) {
    times.sort();
    let (median, slowest) = (times[times.len() / 2], times[times.len() - 1]);
    let verdict = if median <= limit { "" } else { "  MISSED" };
    println!(
        "  {:>9.1} ms ({:.1})  {what}, at most {} ms{verdict}",
        median.as_secs_f64() * 1e3,
        slowest.as_secs_f64() * 1e3,
        limit.as_millis()
    );
}

impl Fleet {
    fn new(path: &Path, machines: i64) -> Outcome<Fleet> {
        let (now, tick) = (Moment::now(), Instant::now());
        let store = Store::open_for_serving(path, now)?;
        let direct = Connection::open(path)?;
        direct.busy_timeout(Duration::from_secs(60))?;
        direct.execute_batch("PRAGMA synchronous = OFF;")?;
        direct.execute_batch(&format!(
            "BEGIN;
             INSERT INTO recipient (name, events) VALUES ('ops', '[\"offline\",\"online\",\"flapping\"]');
             INSERT INTO channel (recipient_id, kind, target, created_at) VALUES (1, 'webhook', 'http://a/', 0);
             INSERT INTO channel (recipient_id, kind, target, created_at) VALUES (1, 'telegram', '1', 0);
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {machines})
             INSERT INTO machine (id, name, hostname, created_at) SELECT i, 'machine-' || i, 'host-' || i, 0 FROM n;
             INSERT INTO machine_state (machine_id, status, watched, since, last_seen)
             SELECT id, 1, 1, {now}, {now} FROM machine;
             COMMIT;",
            now = now.0
        ))?;
        let sweeper = Sweeper::new(SETTINGS, now, tick, Poke::nobody());
        Ok(Fleet { store, direct, sweeper, now, tick })
    }

    /// They have been silent for longer than their threshold.
    fn silence(&mut self, machines: std::ops::Range<i64>) -> Outcome<()> {
        let sql = "UPDATE machine_state SET last_seen = ?1 WHERE machine_id >= ?2 AND machine_id < ?3";
        self.direct.execute(sql, params![self.now.0 - 1_000_000, machines.start, machines.end])?;
        Ok(())
    }

    fn sweep(&mut self, expected: usize) -> Outcome<Duration> {
        let begin = Instant::now();
        let swept = self.sweeper.sweep(&self.store, self.now, self.tick)?;
        let took = begin.elapsed();
        match swept.offline.len() == expected {
            true => Ok(took),
            false => Err(format!("{} late instead of {expected}", swept.offline.len()).into()),
        }
    }

    /// Until the monitor has been listening for longer than the threshold: nobody is late before.
    fn grow_old(&mut self) -> Outcome<()> {
        for _ in 0..5 {
            self.now = self.now.plus(SETTINGS.check_interval);
            self.tick += SETTINGS.check_interval;
            self.direct.execute("UPDATE machine_state SET last_seen = ?1", [self.now.0])?;
            self.sweep(0)?;
        }
        Ok(())
    }

    fn bring_back(&mut self, machines: std::ops::Range<i64>) -> Outcome<Duration> {
        let beats: Vec<(MachineId, Moment)> = machines.map(|id| (MachineId(id), self.now)).collect();
        let begin = Instant::now();
        self.sweeper.back(&self.store, &beats, self.now)?;
        Ok(begin.elapsed())
    }
}
