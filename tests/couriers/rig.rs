//! A database with machines and channels, a sweeper, couriers, and a clock that the test turns.

use crate::support::eventually;
use heartbeat_daemon::clock::{Moment, Now};
use heartbeat_daemon::monitor::incidents::sweep::{SweepSettings as Detection, Sweeper};
use heartbeat_daemon::monitor::machine::MachineId;
use heartbeat_daemon::monitor::notify::couriers::{Couriers, NowSource};
use heartbeat_daemon::monitor::notify::{NotifySettings, Poke};
use heartbeat_daemon::monitor::store::Store;
use rusqlite::{Connection, Params, params};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub const MINUTE: Duration = Duration::from_secs(60);
pub const HOUR: Duration = Duration::from_secs(3600);
pub const SECRET: &str = "top-secret-42";

pub struct Rig {
    pub store: Arc<Store>,
    pub sweeper: Sweeper,
    pub couriers: Option<Couriers>,
    poke: Poke,
    ahead: Arc<AtomicU64>,
    /// Of the wall clock alone.
    stepped: Arc<AtomicU64>,
    clock: NowSource,
    direct: Connection,
    pub dir: tempfile::TempDir,
}

/// A row of the outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub id: i64,
    pub channel: i64,
    pub machine: i64,
    pub event: String,
    pub state: i64,
    pub attempts: i64,
    pub error: Option<String>,
    /// When it is tried next.
    pub due: Moment,
    /// It may have arrived.
    pub is_uncertain: bool,
}

pub const WAITING: i64 = 0;
pub const DELIVERED: i64 = 2;
pub const DEAD: i64 = 3;

impl Rig {
    /// So many machines that are online. Webhooks may go to loopback, where the receivers are.
    pub fn new(machines: i64) -> Rig {
        Rig::with(machines, NotifySettings { allow_private_webhooks: true, ..NotifySettings::default() })
    }

    pub fn with(machines: i64, settings: NotifySettings) -> Rig {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("monitor.db");
        let store =
            Arc::new(Store::open_for_serving(&path.clone().into(), Moment::now()).expect("a database"));
        let direct = Connection::open(&path).expect("a connection");
        direct.busy_timeout(Duration::from_secs(20)).expect("a timeout");
        let (ahead, stepped) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
        let clock: NowSource = {
            let (ahead, stepped, start) = (ahead.clone(), stepped.clone(), Now::read());
            Arc::new(move || {
                let passed = start.monotonic.elapsed() + Duration::from_millis(ahead.load(Ordering::SeqCst));
                let step = Duration::from_millis(stepped.load(Ordering::SeqCst));
                let now = start.plus(passed);
                Now { wall: now.wall.plus(step), ..now }
            })
        };
        let (poke, poked) = Poke::new();
        let now = clock();
        // Checked by hand; a test that jumps an hour has not been suspended.
        let detection = Detection { check_interval: HOUR * 100, threshold: MINUTE * 2 };
        let sweeper = Sweeper::new(detection, now, poke.clone());
        let couriers = Couriers::start(store.clone(), settings, poked, clock.clone()).expect("couriers");
        let mut rig =
            Rig { store, sweeper, couriers: Some(couriers), poke, ahead, stepped, clock, direct, dir };
        rig.sql(
            "INSERT INTO recipient (name, events) VALUES ('ops', '[\"offline\",\"online\",\"flapping\"]')",
            [],
        );
        rig.machines(machines);
        rig
    }

    pub fn sql(&self, sql: &str, values: impl Params) {
        self.direct.execute(sql, values).expect(sql);
    }

    fn machines(&mut self, machines: i64) {
        self.sql("BEGIN", []);
        for id in 1..=machines {
            self.sql(
                "INSERT INTO machine (id, name, hostname, created_at) VALUES (?1, 'm' || ?1, 'host', 0)",
                [id],
            );
            // Watched with patience, unless a test silences it.
            self.sql(
                "INSERT INTO machine_state (machine_id, status, watched, since, last_seen, threshold)
                 VALUES (?1, 1, 1, 0, ?2, 1000000000)",
                params![id, self.now().0],
            );
        }
        self.sql("COMMIT", []);
    }

    pub fn channel(&self, kind: &str, target: &str) -> i64 {
        self.sql(
            "INSERT INTO channel (recipient_id, kind, target, secret, created_at) VALUES (1, ?1, ?2, ?3, 0)",
            params![kind, target, (kind == "webhook").then_some(SECRET)],
        );
        self.direct.last_insert_rowid()
    }

    pub fn secret_file(&self, channel: i64, secret: &str) {
        let file = self.dir.path().join(format!("secret-{channel}"));
        std::fs::write(&file, secret).expect("written");
        self.sql(
            "UPDATE channel SET secret_file = ?2 WHERE id = ?1",
            params![channel, file.display().to_string()],
        );
    }

    pub fn now(&self) -> Moment {
        (self.clock)().wall
    }

    pub fn both(&self) -> Now {
        (self.clock)()
    }

    /// Turns the clock, and lets the couriers see it.
    pub fn wait(&self, duration: Duration) {
        let by = u64::try_from(duration.as_millis()).expect("a duration");
        self.ahead.fetch_add(by, Ordering::SeqCst);
        self.poke.poke();
    }

    /// Turns the clock by a minute each 100 ms until it holds. One turn is not enough: the pause of an attempt that is in flight
    /// then begins after it. Faster turns would let a day pass on a busy machine, after which messages are abandoned.
    pub fn eventually_as_minutes_pass(&self, what: &str, holds: impl Fn(&[Row]) -> bool) {
        eventually(what, || {
            self.wait(MINUTE);
            std::thread::sleep(Duration::from_millis(100));
            holds(&self.rows())
        });
    }

    /// Sets the wall clock to this much later than it should be, and lets the couriers see it.
    pub fn set_clock_ahead(&self, by: Duration) {
        let by = u64::try_from(by.as_millis()).expect("a duration");
        self.stepped.store(by, Ordering::SeqCst);
        self.poke.poke();
    }

    /// They are late at this sweep. Alone in their fleet they are looked at twice.
    pub fn lose(&mut self, machines: impl IntoIterator<Item = i64>) {
        self.sql("BEGIN", []);
        for machine in machines {
            self.sql(
                "UPDATE machine_state SET last_seen = ?2, threshold = 1 WHERE machine_id = ?1",
                params![machine, self.now().minus(MINUTE * 2).0],
            );
        }
        self.sql("COMMIT", []);
        // One millisecond of silence since the start is enough.
        self.wait(Duration::from_millis(5));
        for _ in 0..2 {
            let now = (self.clock)();
            if !self.sweeper.sweep(&self.store, now).expect("swept").doubted {
                break;
            }
        }
    }

    pub fn back(&mut self, machines: impl IntoIterator<Item = i64>) {
        let now = self.now();
        let beats: Vec<(MachineId, Moment)> = machines.into_iter().map(|id| (MachineId(id), now)).collect();
        for (id, _) in &beats {
            self.sql("UPDATE machine_state SET threshold = 1000000000 WHERE machine_id = ?1", [id.0]);
        }
        self.sweeper.returned(&self.store, &beats, now).expect("back");
    }

    pub fn rows(&self) -> Vec<Row> {
        let sql = "SELECT id, channel_id, machine_id, event, state, attempts, last_error, due_at, uncertain_since IS NOT NULL FROM outbox ORDER BY id";
        let mut statement = self.direct.prepare(sql).expect("prepared");
        let rows = statement.query_map([], |row| {
            Ok(Row {
                id: row.get(0)?,
                channel: row.get(1)?,
                machine: row.get(2)?,
                event: row.get(3)?,
                state: row.get(4)?,
                attempts: row.get(5)?,
                error: row.get(6)?,
                due: Moment(row.get(7)?),
                is_uncertain: row.get(8)?,
            })
        });
        rows.expect("rows").collect::<Result<_, _>>().expect("rows")
    }

    /// Its first attempt has just failed, and the next one is so far away: what has passed since is much less than the
    /// tenth that may be missing, and than any pause of our own.
    #[track_caller]
    pub fn waits_for(&self, id: i64, pause: Duration) {
        self.eventually_row(id, "it failed", |row| row.attempts == 1);
        let left = self.row(id).due.since(self.now());
        assert!(left <= pause && left > pause * 9 / 10, "pause for {pause:?}, and {left:?} are left");
    }

    pub fn row(&self, id: i64) -> Row {
        self.rows().into_iter().find(|row| row.id == id).expect("a row")
    }

    pub fn eventually_row(&self, id: i64, what: &str, holds: impl Fn(&Row) -> bool) {
        eventually(what, || self.rows().iter().any(|row| row.id == id && holds(row)));
    }

    pub fn eventually_all_delivered(&self) {
        eventually("all are delivered", || {
            let rows = self.rows();
            !rows.is_empty() && rows.iter().all(|row| row.state == DELIVERED)
        });
    }
}
