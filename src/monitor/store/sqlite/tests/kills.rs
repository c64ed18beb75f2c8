//! Processes that are killed in the middle of what they do, as a power cut or the kernel's OOM killer would.
//!
//! The test runs its own program again, as a process that does only one thing and can be killed.

use super::*;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

/// What the process that is to be killed works on; not set in the test itself.
const VICTIM: &str = "HEARTBEAT_TEST_VICTIM";
const ROUNDS: u64 = 20;

fn victim_path() -> Option<PathBuf> {
    std::env::var_os(VICTIM).map(PathBuf::from)
}

/// This test once more, as a process of its own.
fn victim(test: &str, path: &Path) -> Child {
    let this = std::env::current_exe().expect("this program");
    let name = format!("monitor::store::sqlite::tests::kills::{test}");
    let mut command = Command::new(this);
    command.args([&name, "--exact", "--nocapture"]).env(VICTIM, path);
    command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("started")
}

/// Lets it live for so long after it has said its first line, and returns all the lines that it said.
fn kill_after(mut victim: Child, time: Duration) -> Vec<String> {
    let lines = BufReader::new(victim.stdout.take().expect("piped")).lines();
    let mut said = Vec::new();
    let mut deadline = None;
    for line in lines {
        let Ok(line) = line else { break };
        if let Some(acknowledged) = line.strip_prefix("ACK ") {
            said.push(acknowledged.to_owned());
            let deadline = *deadline.get_or_insert_with(|| Instant::now() + time);
            if Instant::now() >= deadline {
                let _ = victim.kill();
            }
        }
    }
    victim.wait().expect("ended");
    said
}

#[test]
fn what_was_committed_is_there_after_a_kill_and_the_file_is_good() {
    if let Some(path) = victim_path() {
        let store = Store::open_for_serving(&file(&path), DAY).expect("opened");
        let begin = count(&store);
        for n in begin.. {
            add(&store, &format!("row {n} {}", "x".repeat(500))).expect("written");
            println!("ACK {n}");
        }
    }
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("monitor.db");
    for round in 0..ROUNDS {
        let process = victim("what_was_committed_is_there_after_a_kill_and_the_file_is_good", &path);
        let said = kill_after(process, Duration::from_millis(round * 3));
        let last: i64 = said.last().expect("it wrote").parse().expect("a number");
        let store = Store::open_for_serving(&file(&path), DAY).expect("the lock went with the process");
        assert!((last + 1..=last + 2).contains(&count(&store)), "round {round}: {last} acknowledged");
        assert_eq!(store.check().expect("checked").problems, Vec::<String>::new());
    }
}

/// A slow step: every row is rewritten.
const SLOW: &str = "CREATE TABLE better (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, twice TEXT);
    INSERT INTO better SELECT id, name, name || hex(zeroblob(100)) FROM machine;
    CREATE INDEX better_twice ON better (twice);";

const MANNER: Manner = Manner { patience: SERVER_PATIENCE, durable: true };

/// Kills a process that migrates a database of version `from` with `content`, once a round and later each time; then the
/// next start completes the migration, and `sql` counts `expected`.
fn kill_migrations(
    test: &str,
    migrations: &[&str],
    from: usize,
    content: &str,
    (sql, expected): (&str, i64),
) {
    if let Some(path) = victim_path() {
        println!("ACK begin");
        prepare(&path, DAY, MANNER, Purpose::Serve, migrations).expect("migrated");
        loop {
            println!("ACK end");
        }
    }
    let dir = tempfile::tempdir().expect("a directory");
    let old = dir.path().join("old.db");
    let store = prepare(&old, DAY, MANNER, Purpose::Serve, &migrations[..from]).expect("made");
    store.write(|tx| tx.execute_batch(content)).expect("filled");
    drop(store);
    for round in 0..ROUNDS {
        let path = dir.path().join("monitor.db");
        fs::copy(&old, &path).expect("an old database");
        let mut process = victim(test, &path);
        let mut line = String::new();
        let mut lines = BufReader::new(process.stdout.take().expect("piped"));
        while !line.starts_with("ACK") {
            line.clear();
            assert!(lines.read_line(&mut line).expect("it speaks") > 0, "it ended by itself");
        }
        std::thread::sleep(Duration::from_millis(round * 10));
        process.kill().expect("killed");
        process.wait().expect("ended");
        let found = connection::writer(&path, MANNER).expect("opens");
        let version = migrate::version(&found).expect("a version");
        assert!((from as i64..=migrate::latest(migrations)).contains(&version));
        drop(found);
        let store = prepare(&path, DAY, MANNER, Purpose::Serve, migrations).expect("migrated to the end");
        let counted = store.read(|c| c.query_row(sql, &[], |r| r.get::<i64>(0)));
        assert_eq!(counted, Ok(expected), "round {round}, found at version {version}");
        assert_eq!(store.check().expect("checked").problems, Vec::<String>::new());
        assert_eq!(files(dir.path(), ".part"), Vec::<String>::new());
        drop(store);
        for name in files(dir.path(), "monitor.db") {
            fs::remove_file(dir.path().join(name)).expect("removed");
        }
    }
}

#[test]
fn a_migration_that_is_killed_has_happened_or_not_and_the_next_start_ends_it() {
    kill_migrations(
        "a_migration_that_is_killed_has_happened_or_not_and_the_next_start_ends_it",
        &[migrate::MIGRATIONS[0], SLOW, "ALTER TABLE better ADD COLUMN thrice TEXT;"],
        1,
        "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 20000)
         INSERT INTO machine (name, created_at) SELECT 'machine ' || n, n FROM n;",
        ("SELECT count(*) FROM better", 20_000),
    );
}

#[test]
fn the_migrations_from_version_1_can_be_killed_at_any_moment() {
    kill_migrations(
        "the_migrations_from_version_1_can_be_killed_at_any_moment",
        migrate::MIGRATIONS,
        1,
        "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 5000)
         INSERT INTO machine (name, created_at) SELECT 'machine ' || n, n FROM n;
         INSERT INTO machine_state (machine_id, status, watched, last_seen, since, threshold) SELECT id, 2, 1, 5, 6, NULL FROM machine;
         INSERT INTO outage SELECT 2 * id, id, 0, id % 2, 5, 6, NULL FROM machine;
         INSERT INTO recipient (id, name, events) VALUES (1, 'me', '[]');
         INSERT INTO channel VALUES (1, 1, 'ntfy', 'x', NULL, NULL, 1, 0);
         INSERT INTO outbox (channel_id, machine_id, outage_id, event, content, created_at, due_at, expires_at, state)
         SELECT 1, machine_id, id, 'offline', '{}', 6, 6, 9, 0 FROM outage;",
        (
            "SELECT count(*) FROM incident i JOIN outbox o ON o.incident_id = i.id
             WHERE i.id = 2 * i.machine_id AND (i.notified_at IS NULL) = (i.machine_id % 2 = 1)",
            5_000,
        ),
    );
}

#[test]
fn a_killed_creation_leaves_no_database_or_a_good_one() {
    if let Some(directory) = victim_path() {
        for n in 0.. {
            println!("ACK {n}");
            drop(Store::open_for_serving(&file(&directory.join(format!("{n}.db"))), DAY).expect("made"));
        }
    }
    for round in 0..ROUNDS {
        let dir = tempfile::tempdir().expect("a directory");
        let process = victim("a_killed_creation_leaves_no_database_or_a_good_one", dir.path());
        let said = kill_after(process, Duration::from_millis(round));
        for n in said {
            let store =
                Store::open_for_serving(&file(&dir.path().join(format!("{n}.db"))), DAY).expect("opens");
            assert_eq!(count(&store), 0);
        }
    }
}
