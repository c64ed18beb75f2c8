//! The monitor's process, without its threads: the same steps that they call, when the simulation says so.

use crate::model::Key;
use crate::parts::Part;
use crate::world::{CHECK_PATIENCE, World};
use crossbeam_channel::{Receiver, TryRecvError, bounded};
use heartbeat_daemon::clock::{Moment, Now};
use heartbeat_daemon::http::in_memory::MemoryClient;
use heartbeat_daemon::monitor::incidents::sweep::{SweepSettings, Sweeper};
use heartbeat_daemon::monitor::ingest::Ingest;
use heartbeat_daemon::monitor::notify::couriers::DeliveryCounters;
use heartbeat_daemon::monitor::notify::dispatch::Dispatcher;
use heartbeat_daemon::monitor::notify::outbox::LeaseOwner;
use heartbeat_daemon::monitor::notify::pool::{DeliveryJob, StartCourier};
use heartbeat_daemon::monitor::notify::send::DeliveryClient;
use heartbeat_daemon::monitor::notify::{NotifySettings, Poke, start_resolver};
use heartbeat_daemon::monitor::pulse::Pulse;
use heartbeat_daemon::monitor::recorder::{Recorder, RecorderContext, RecorderEvent};
use heartbeat_daemon::monitor::store::Store;
use heartbeat_daemon::systemd::Watchdog;
use rusqlite::Connection;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex};

/// The time of the simulation, for the couriers.
pub type SharedNow = Arc<Mutex<Now>>;

/// Jobs that couriers have not taken yet, by pool.
type Queues = Arc<Mutex<Vec<Receiver<DeliveryJob>>>>;

pub struct Process {
    pub store: Arc<Store>,
    pub dispatcher: Dispatcher,
    client: MemoryClient,
    ingest: Ingest,
    recorder: Recorder,
    events: Receiver<RecorderEvent>,
    poked: Receiver<()>,
    queues: Queues,
    owner: LeaseOwner,
    journal: Journal,
}

/// Something that the monitor says has happened, written in the transaction in which it happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub machine: usize,
    pub part: Part,
    pub kind: String,
    pub at: i64,
    /// Of an outage that begins.
    pub last_seen: Option<i64>,
    /// Of a reminder or an escalation, which are no events.
    pub repetition: Option<Repetition>,
}

/// A row of the outbox that repeats what is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repetition {
    pub channel: usize,
    /// Of a reminder, from 1.
    pub number: u32,
}

impl Entry {
    pub fn key(&self) -> Key {
        Key { machine: self.machine, part: self.part }
    }
}

/// Reads the journal: the events, and the incidents that were announced later or included in a summary.
struct Journal {
    connection: Connection,
    seen: Seen,
}

/// Where the journal was left.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    event: i64,
    /// Row of the outbox.
    row: i64,
    /// Incidents that were not announced, and those that a summary included.
    unannounced: BTreeSet<i64>,
    summarised: BTreeSet<i64>,
}

/// Never used: a delivery is a decision of the simulation.
static CLIENT: LazyLock<Arc<DeliveryClient>> = LazyLock::new(|| {
    let names = start_resolver().expect("a resolver");
    Arc::new(DeliveryClient::new(NotifySettings::default(), names))
});

impl Process {
    /// As `serve` starts the monitor, on the database at `path`. `seen` is where the journal was left.
    pub fn start(path: &Path, world: &World, clock: &SharedNow, seen: Seen) -> Result<Process, String> {
        let now = *clock.lock().expect("the clock");
        let store =
            Store::open_for_serving(&path.to_owned().into(), now.wall).map_err(|error| error.to_string())?;
        let store = Arc::new(store);
        let shared = RecorderContext {
            store: store.clone(),
            registry: Arc::default(),
            fleet: Arc::default(),
            pulse: Arc::new(Pulse::new(now.monotonic)),
        };
        let (poke, poked) = Poke::new();
        let (owner, queues) = (LeaseOwner::new(), Queues::default());
        let start_courier: StartCourier = {
            let queues = queues.clone();
            Arc::new(move |_, jobs| {
                queues.lock().expect("the queues").push(jobs);
                Ok(())
            })
        };
        let time = clock.clone();
        let time = Arc::new(move || *time.lock().expect("the clock"));
        let counters = Arc::<DeliveryCounters>::default();
        let dispatcher =
            Dispatcher::new(store.clone(), time, counters, CLIENT.clone(), owner, &start_courier);
        let settings = SweepSettings { check_interval: world.check_interval, threshold: world.threshold };
        let sweeper = Sweeper::new(settings, now, poke);
        let recorder = Recorder::new(shared.clone(), sweeper, Watchdog::from_environment(now.monotonic));
        recorder.load(now.wall).map_err(|error| error.to_string())?;
        let (orders, events) = bounded(4096);
        let ingest = Ingest::new(shared, orders);
        let journal = Journal::open(path, seen).map_err(|error| error.to_string())?;
        let client = MemoryClient::default();
        Ok(Process { store, dispatcher, client, ingest, recorder, events, poked, queues, owner, journal })
    }

    /// A request to ingest, and what the recorder does at once: the status of the response, and whether the recorder did
    /// anything.
    pub fn request(&mut self, request: &[u8], now: Now) -> (Option<u16>, bool) {
        let exchange = self.client.exchange(request).expect("a request");
        assert!(self.ingest.handle(exchange, now).is_none(), "a path of ingest");
        let pending: Vec<RecorderEvent> = self.events.try_iter().collect();
        let is_recorded = !pending.is_empty();
        if is_recorded {
            self.recorder.handle(pending.into_iter(), now);
        }
        (self.client.response().map(|response| response.status()), is_recorded)
    }

    pub fn tick(&mut self, now: Now) {
        self.recorder.tick(now);
    }

    pub fn sweep(&mut self, now: Now) {
        self.recorder.sweep(now);
    }

    pub fn stop_recorder(&mut self, now: Now) {
        self.recorder.stop(now);
    }

    /// Whether the couriers are woken.
    pub fn is_poked(&self) -> bool {
        self.poked.try_recv().is_ok()
    }

    /// The jobs that the dispatcher has passed to couriers since the last call.
    pub fn jobs(&self) -> Vec<DeliveryJob> {
        let mut queues = self.queues.lock().expect("the queues");
        let mut jobs: Vec<DeliveryJob> = Vec::new();
        // A pool whose couriers have ended drops its queue.
        queues.retain(|queue| {
            loop {
                match queue.try_recv() {
                    Ok(job) => jobs.push(job),
                    Err(error) => break error == TryRecvError::Empty,
                }
            }
        });
        jobs.sort_by_key(|job| job.number);
        jobs
    }

    /// What a mail courier does before it hands over a mail.
    pub fn note_handover(&self, rows: &[i64], now: Moment) -> Result<(), String> {
        self.store.note_handover(self.owner, rows, now).map_err(|error| error.to_string())
    }

    pub fn journal(&mut self) -> Vec<Entry> {
        self.journal.read().expect("the journal")
    }

    pub fn seen(&self) -> Seen {
        self.journal.seen.clone()
    }

    /// The messages that are delivered, or refused for good.
    pub fn settled(&self) -> BTreeSet<i64> {
        let connection = &self.journal.connection;
        let mut statement =
            connection.prepare_cached("SELECT id FROM outbox WHERE state IN (2, 3)").expect("SQL");
        let rows = statement.query_map([], |row| row.get(0)).expect("rows");
        rows.collect::<Result<_, _>>().expect("rows")
    }

    pub fn query(&self, sql: &str) -> i64 {
        self.journal.connection.query_row(sql, [], |row| row.get(0)).expect(sql)
    }
}

impl Journal {
    fn open(path: &Path, seen: Seen) -> rusqlite::Result<Journal> {
        let connection = Connection::open(path)?;
        connection.busy_timeout(CHECK_PATIENCE)?;
        Ok(Journal { connection, seen })
    }

    fn read(&mut self) -> rusqlite::Result<Vec<Entry>> {
        let mut entries = self.events()?;
        let (announced, mut summarised) = self.announcements()?;
        // In a sweep: after machines went offline, and before others are steady.
        let place = entries.iter().position(|entry| entry.kind == "steady").unwrap_or(entries.len());
        entries.splice(place..place, announced);
        entries.append(&mut summarised);
        entries.append(&mut self.repetitions()?);
        Ok(entries)
    }

    /// Reminders and escalations, in the order in which they were written.
    fn repetitions(&mut self) -> rusqlite::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        let mut statement = self.connection.prepare_cached(
            "SELECT o.id, o.machine_id, i.kind, i.subject, o.created_at, NULL, o.event, o.channel_id, o.reminder
             FROM outbox o CROSS JOIN incident i ON i.id = o.incident_id WHERE o.id > ?1 ORDER BY o.id",
        )?;
        let mut rows = statement.query([self.seen.row])?;
        while let Some(row) = rows.next()? {
            self.seen.row = row.get(0)?;
            let kind: String = row.get(6)?;
            if matches!(kind.as_str(), "reminder" | "escalation") {
                let channel = usize::try_from(row.get::<_, i64>(7)? - 1).expect("a channel");
                let repetition = Some(Repetition { channel, number: row.get(8)? });
                entries.extend(entry(row, kind)?.map(|entry| Entry { repetition, ..entry }));
            }
        }
        Ok(entries)
    }

    /// What is about something that is not simulated is left out.
    fn events(&mut self) -> rusqlite::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        let mut events = self.connection.prepare_cached(
            "SELECT e.id, e.machine_id, coalesce(e.detail ->> 'condition', 'offline'),
                    coalesce(e.detail ->> 'subject', ''), e.at, i.last_seen, e.kind FROM event e
             LEFT JOIN incident i ON i.machine_id = e.machine_id AND i.began_at = e.at AND e.kind = 'offline'
                  AND i.kind = e.kind
             WHERE e.id > ?1 AND e.machine_id IS NOT NULL ORDER BY e.id",
        )?;
        let mut rows = events.query([self.seen.event])?;
        while let Some(row) = rows.next()? {
            self.seen.event = row.get(0)?;
            entries.extend(entry(row, row.get(6)?)?);
        }
        Ok(entries)
    }

    fn announcements(&mut self) -> rusqlite::Result<(Vec<Entry>, Vec<Entry>)> {
        let unannounced = self.ids("notified_at IS NULL")?;
        let ids: Vec<i64> = self.seen.unannounced.difference(&unannounced).copied().collect();
        let announced = self.incidents(&ids, "notified_at", "announced")?;
        let ids = self.ids("summarised_at IS NOT NULL")?;
        let new: Vec<i64> = ids.difference(&self.seen.summarised).copied().collect();
        let summarised = self.incidents(&new, "summarised_at", "summarised")?;
        (self.seen.unannounced, self.seen.summarised) = (unannounced, ids);
        Ok((announced, summarised))
    }

    fn ids(&self, which: &str) -> rusqlite::Result<BTreeSet<i64>> {
        let mut statement =
            self.connection.prepare_cached(&format!("SELECT id FROM incident WHERE {which}"))?;
        let rows = statement.query_map([], |row| row.get(0))?;
        rows.collect()
    }

    /// The incidents, those of machines first: a sweep announces them in this order.
    fn incidents(&self, ids: &[i64], at: &str, kind: &str) -> rusqlite::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for id in ids {
            let sql =
                format!("SELECT id, machine_id, kind, subject, {at}, last_seen FROM incident WHERE id = ?1");
            let mut statement = self.connection.prepare_cached(&sql)?;
            entries.extend(statement.query_row([id], |row| entry(row, kind.into()))?);
        }
        entries.sort_by_key(|entry| entry.part != Part::Machine);
        Ok(entries)
    }
}

/// Columns 1 to 5: machine, kind and subject, time, and the last heartbeat before an outage.
fn entry(row: &rusqlite::Row<'_>, kind: String) -> rusqlite::Result<Option<Entry>> {
    let (condition, subject): (String, String) = (row.get(2)?, row.get(3)?);
    let part = if condition == "offline" { Some(Part::Machine) } else { Part::find(&condition, &subject) };
    let machine: i64 = row.get(1)?;
    let machine = usize::try_from(machine - 1).expect("a machine");
    let (at, last_seen) = (row.get(4)?, row.get(5)?);
    Ok(part.map(|part| Entry { machine, part, kind, at, last_seen, repetition: None }))
}

/// A heartbeat as the daemon sends it.
pub fn heartbeat(token: &str, body: &str) -> Vec<u8> {
    format!(
        "POST /api/v1/heartbeat HTTP/1.1\r\nHost: monitor\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}
