//! Databases of earlier and later programs.

use super::*;

const V1: &str = "CREATE TABLE machine (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
    CREATE TABLE tag (machine_id INTEGER NOT NULL REFERENCES machine (id) ON DELETE CASCADE, tag TEXT);
    INSERT INTO machine VALUES (1, 'barn'); INSERT INTO tag VALUES (1, 'farm');";
/// SQLite's way to change a column: a new table in the place of the old one, to which others refer.
const V2: &str = "CREATE TABLE better (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
    INSERT INTO better SELECT id, name FROM machine; DROP TABLE machine; ALTER TABLE better RENAME TO machine;";
const V3: &str = "ALTER TABLE machine ADD COLUMN place TEXT;";

const MANNER: Manner = Manner { patience: Duration::from_millis(100), durable: false };

fn open(path: &Path, migrations: &[&str], purpose: Purpose) -> Result<Store, StoreError> {
    prepare(path, DAY, MANNER, purpose, migrations)
}

fn version(store: &Store) -> i64 {
    store.read(migrate::version).expect("a version")
}

fn tags(store: &Store) -> i64 {
    store.read(|c| Ok(c.query_row("SELECT count(*) FROM tag", [], |row| row.get(0))?)).expect("a number")
}

#[test]
fn an_older_database_is_copied_and_then_brought_up_to_date_with_all_that_is_in_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("monitor.db");
    drop(open(&path, &[V1], Purpose::Serve).expect("made"));
    let store = open(&path, &[V1, V2, V3], Purpose::Serve).expect("migrated");
    assert_eq!((version(&store), tags(&store)), (3, 1));
    let foreign_keys: bool =
        store.write(|tx| Ok(tx.query_row("PRAGMA foreign_keys", [], |row| row.get(0))?)).expect("a setting");
    assert!(foreign_keys, "they are on again afterwards");
    assert_eq!(files(dir.path(), ".v"), ["monitor.db.v1-20251122T012329Z"]);
    let copy =
        open(&dir.path().join("monitor.db.v1-20251122T012329Z"), &[V1], Purpose::Serve).expect("a copy");
    assert_eq!((version(&copy), tags(&copy)), (1, 1));
}

#[test]
fn an_up_to_date_database_is_not_copied() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("monitor.db");
    for _ in 0..2 {
        drop(open(&path, &[V1, V2], Purpose::Serve).expect("opened"));
    }
    assert_eq!(files(dir.path(), ".v"), Vec::<String>::new());
}

#[test]
fn a_database_of_a_later_program_is_refused_with_the_way_out_and_left_as_it_is() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("monitor.db");
    drop(open(&path, &[V1, V2, V3], Purpose::Serve).expect("made"));
    let before = fs::read(&path).expect("readable");
    let error = open(&path, &[V1, V2], Purpose::Serve).expect_err("later");
    assert_eq!(error, StoreError::Newer { found: 3, known: 2 });
    assert!(error.to_string().contains("restore the backup that it made beside the file"), "{error}");
    assert_eq!(fs::read(&path).expect("readable"), before);
}

#[test]
fn a_migration_that_fails_changes_nothing_of_its_step_and_can_be_tried_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("monitor.db");
    drop(open(&path, &[V1], Purpose::Serve).expect("made"));
    let bad = "ALTER TABLE machine ADD COLUMN place TEXT; INSERT INTO no_such_table VALUES (1);";
    open(&path, &[V1, V2, bad], Purpose::Serve).expect_err("bad");
    let store = open(&path, &[V1, V2, V3], Purpose::Serve).expect("tried again");
    assert_eq!((version(&store), tags(&store)), (3, 1));
}

#[test]
fn a_migration_that_leaves_rows_that_refer_to_nothing_is_undone() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("monitor.db");
    drop(open(&path, &[V1], Purpose::Serve).expect("made"));
    let error = open(&path, &[V1, "DELETE FROM machine;"], Purpose::Serve).expect_err("a stray tag");
    assert!(error.to_string().contains("1 rows would refer to nothing in version 2"), "{error}");
    assert_eq!(count(&open(&path, &[V1], Purpose::Serve).expect("opened")), 1);
}

#[test]
fn a_command_migrates_only_when_nobody_serves() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("monitor.db");
    let serving = open(&path, &[V1], Purpose::Serve).expect("served by an earlier program");
    let error = open(&path, &[V1, V2], Purpose::Command).expect_err("under a running server");
    assert_eq!(error, StoreError::Older { found: 1, known: 2 });
    drop(serving);
    let store = open(&path, &[V1, V2], Purpose::Command).expect("alone");
    assert_eq!((version(&store), files(dir.path(), ".v").len()), (2, 1));
}

#[test]
fn the_three_newest_copies_are_kept_and_nothing_else_is_touched() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("monitor.db");
    let store = open(&path, &[V1], Purpose::Serve).expect("made");
    let others = ["monitor.db.v1-mine", "monitor.db.vault-20200101T000000Y", "other.db.v1-20200101T000000Z"];
    for other in others {
        fs::write(dir.path().join(other), "x").expect("written");
    }
    let writer = held(&store.writer);
    for hour in 0..5 {
        migrate::keep_copy(&writer.connection, &path, DAY.plus(Duration::from_secs(3600 * hour)))
            .expect("copied");
    }
    let mut expected: Vec<String> =
        ["03", "04", "05"].map(|h| format!("monitor.db.v1-20251122T{h}2329Z")).into();
    expected.extend(others.map(str::to_owned));
    expected.sort();
    assert_eq!(files(dir.path(), ".v"), expected);
}

#[test]
fn the_released_schema_refers_to_nothing_that_is_not_there() {
    let scratch = Store::scratch();
    assert_eq!(version(&scratch), migrate::latest(migrate::MIGRATIONS));
    assert_eq!(scratch.check().expect("checked").problems, Vec::<String>::new());
}
