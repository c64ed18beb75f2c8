//! Databases of earlier and later programs.

use super::*;
use crate::monitor::machine::Description;
use crate::monitor::notify::topic::Topic;

const V1: &str = "CREATE TABLE machine (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
    CREATE TABLE tag (machine_id INTEGER NOT NULL REFERENCES machine (id) ON DELETE CASCADE, tag TEXT);
    INSERT INTO machine VALUES (1, 'barn'); INSERT INTO tag VALUES (1, 'farm');";
/// SQLite's way to change a column: a new table in the place of the old one, to which others refer.
const V2: &str = "CREATE TABLE better (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
    INSERT INTO better SELECT id, name FROM machine; DROP TABLE machine; ALTER TABLE better RENAME TO machine;";
const V3: &str = "ALTER TABLE machine ADD COLUMN place TEXT;";

const MANNER: Manner = Manner { patience: Duration::from_millis(100), durable: false };

fn open(path: &Path, migrations: &[&str], purpose: Purpose) -> Result<Store, StoreError> {
    prepare(path, DAY, MANNER, purpose, migrations).map(Store::on)
}

fn version(store: &Store) -> i64 {
    store.read(|c| migrate::version(c.sqlite()?)).expect("a version")
}

fn tags(store: &Store) -> i64 {
    store.read(|c| c.query_row("SELECT count(*) FROM tag", &[], |row| row.get(0))).expect("a number")
}

#[test]
fn an_older_database_is_copied_and_then_brought_up_to_date_with_all_that_is_in_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("monitor.db");
    drop(open(&path, &[V1], Purpose::Serve).expect("made"));
    let store = open(&path, &[V1, V2, V3], Purpose::Serve).expect("migrated");
    assert_eq!((version(&store), tags(&store)), (3, 1));
    let foreign_keys: bool =
        store.write(|tx| tx.query_row("PRAGMA foreign_keys", &[], |row| row.get(0))).expect("a setting");
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
fn a_failed_migration_step_changes_nothing_and_can_be_retried() {
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
fn a_command_migrates_only_while_no_monitor_serves() {
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
    let writer = held(&store.sqlite().writer);
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

/// A version 1 database with rows in every table, ids with gaps, and choices of every kind.
const RELEASED: &str = r#"
    INSERT INTO machine (id, name, hostname, description, group_name, hardware_id, device_key, created_at) VALUES
        (3, 'barn', 'barn-cam', 'left', 'farm', 'aa', 'BARN', 1), (7, 'gate', NULL, NULL, NULL, NULL, NULL, 2),
        (99, 'gone', NULL, NULL, NULL, NULL, NULL, 3);
    DELETE FROM machine WHERE id = 99;
    INSERT INTO machine_tag VALUES (3, 'camera');
    INSERT INTO machine_state VALUES (3, 2, 1, 50, 60, 5000), (7, 1, 1, 70, 1, NULL);
    INSERT INTO machine_latest VALUES (3, 50, '{"cpu": 1}');
    INSERT INTO device_token VALUES (5, 3, x'01', 1, NULL);
    INSERT INTO enroll_token VALUES (6, x'02', 1, 9, 'farm', 2, 3);
    INSERT INTO read_token VALUES (7, 'grafana', x'03', 1);
    INSERT INTO maintenance VALUES (8, 3, 1, 2, 'roof');
    INSERT INTO outage VALUES (11, 3, 0, 0, 50, 60, NULL), (40, 7, 0, 0, 1, 2, 3);
    DELETE FROM outage WHERE id = 40;
    INSERT INTO flapping VALUES (3, 1, 2);
    INSERT INTO event VALUES (12, 60, 3, 'offline', NULL), (13, 61, NULL, 'removed', '{"id": 99}');
    INSERT INTO recipient (id, name, enabled, machines, events, quiet_from, quiet_to, utc_offset, time_zone, min_outage)
    VALUES
        (1, 'everybody', 1, NULL, '["offline"]', NULL, NULL, 0, NULL, 0),
        (2, 'anna', 1, '{"names":["barn","silo"],"groups":["farm"],"tags":["camera"]}', '["offline"]', 1320, 420, 60,
         'Europe/Berlin', 600000),
        (3, 'bert', 0, '{"names":["silo"],"groups":[],"tags":[]}', '["online"]', NULL, NULL, 0, NULL, 0),
        (4, 'empty lists', 1, '{"names":[],"groups":[],"tags":[]}', '["offline"]', NULL, NULL, 0, NULL, 0),
        (5, 'by hand', 1, 'barn, gate', '["offline"]', NULL, NULL, 0, NULL, 0),
        (44, 'removed', 1, NULL, '[]', NULL, NULL, 0, NULL, 0);
    DELETE FROM recipient WHERE id = 44;
    INSERT INTO channel VALUES (21, 2, 'webhook', 'https://example.org/', 's', NULL, 1, 5);
    INSERT INTO outbox VALUES (31, 21, 3, 11, 'offline', '{}', 60, 60, 99, 2, 1, NULL, NULL, 61, NULL);
    INSERT INTO history VALUES (3, 60, 0, x'04');"#;

/// Every row of each table, by table; columns that version 1 does not have are left out.
fn rows(store: &Store, columns: &[(String, Vec<String>)]) -> Vec<(String, Vec<String>)> {
    let read = |connection: &Connection<'_>| {
        let mut found = Vec::new();
        for (table, columns) in columns {
            let quoted: Vec<String> = columns.iter().map(|column| format!("quote({column})")).collect();
            let sql = format!("SELECT {} FROM {table} ORDER BY 1", quoted.join(" || ',' || "));
            found.push((table.clone(), connection.query_all(&sql, &[], |row| row.get(0))?));
        }
        Ok(found)
    };
    store.read(read).expect("read")
}

fn columns(store: &Store) -> Vec<(String, Vec<String>)> {
    let read = |connection: &Connection<'_>| {
        let sql = "SELECT t.name, c.name FROM sqlite_master t JOIN pragma_table_info(t.name) c
                   WHERE t.type = 'table' ORDER BY t.name, c.cid";
        let mut tables: Vec<(String, Vec<String>)> = Vec::new();
        connection.query_each(sql, &[], |row| {
            let (table, column): (String, String) = (row.get(0)?, row.get(1)?);
            match tables.last_mut() {
                Some((last, columns)) if *last == table => columns.push(column),
                _ => tables.push((table, vec![column])),
            }
            Ok(())
        })?;
        Ok(tables)
    };
    store.read(read).expect("read")
}

/// Number of all rows that were ever in each of the tables that version 1 has; an outage is an incident since version 8.
fn sequences(store: &Store) -> String {
    let sql = "SELECT group_concat(name || seq) FROM (
                   SELECT replace(name, 'outage', 'incident') AS name, seq FROM sqlite_sequence
                   WHERE name IN ('machine', 'outage', 'incident', 'event', 'recipient', 'channel', 'outbox')
                   ORDER BY 1)";
    store.read(|c| c.query_row(sql, &[], |row| row.get::<String>(0))).expect("read")
}

/// The place of a column of version 1 in the newest version; `None` for one whose content is elsewhere.
fn successor(table: &str, column: &str) -> Option<(String, String)> {
    let (table, column) = match (table, column) {
        // The tables of choices.
        ("recipient", "machines") => return None,
        // `notified_at`.
        ("outage", "hushed") => return None,
        ("outage", "started_at") => ("incident", "began_at"),
        ("outage", column) => ("incident", column),
        ("outbox", "outage_id") => ("outbox", "incident_id"),
        // The secret itself is not kept.
        ("status_page", "secret") => return None,
        same => same,
    };
    Some((table.to_owned(), column.to_owned()))
}

/// Rows for the tables of version 9.
const CONDITIONS: &str = "INSERT INTO machine_judged VALUES (3, 5);
    INSERT INTO condition_setting VALUES (2, 'temp', 'machine', '', 3, 1, 75, 600000);
    INSERT INTO camera VALUES (4, 3, 'aa:bb:cc:dd:ee:ff', 'gate', 70);
    INSERT INTO camera_day VALUES (4, 1, 1430, 10);";

/// Rows for the tables of version 10.
const PAGES: &str =
    "INSERT INTO web_user VALUES (2, 'ada', 'owner', 0, '$argon2id$', x'05', 7, 'Europe/Berlin', 4);
    INSERT INTO web_user_scope VALUES (2, 'group', 'farm');
    INSERT INTO web_recovery_code VALUES (2, x'06');
    INSERT INTO web_invitation VALUES (x'07', 2, 9);
    INSERT INTO web_session VALUES (3, x'08', 2, 5, 6, '192.0.2.1', 'Firefox');
    INSERT INTO web_key VALUES ('device_cookie', x'09');
    INSERT INTO audit VALUES (4, 7, 'ada', NULL, 'user.add', 'bob', NULL);
    INSERT INTO incident_comment VALUES (5, 11, 8, 'ada', 'on my way');
    INSERT INTO beat_day VALUES (3, 20000, 1, 2, 3, 4, 5, 6, 7, 8);
    INSERT INTO machine_mark VALUES (3, 9, 'boot', NULL);
    INSERT INTO history_range VALUES (3, 900, 0, x'0a', x'0b');
    INSERT INTO status_label VALUES (3, 'North');";

/// The version that has the table `mqtt_topic`.
const MQTT_VERSION: usize = 17;
/// The version that has the table `recipient_report`.
const REPORTS_VERSION: usize = 21;
/// The version that has the table `maintenance_plan`.
const PLANS_VERSION: usize = 23;

/// A database of version `version` with rows in every table, as it is after the migrations from version 1.
fn released(path: &Path, version: usize) -> Store {
    let first = open(path, &migrate::MIGRATIONS[..1], Purpose::Serve).expect("made");
    first.write(|tx| tx.execute_batch(RELEASED)).expect("rows");
    drop(first);
    let store = open(path, &migrate::MIGRATIONS[..version], Purpose::Serve).expect("migrated");
    if version >= 5 {
        store.write(|tx| tx.execute_batch("INSERT INTO retention VALUES (1, 70)")).expect("a row");
    }
    if version >= 9 {
        store.write(|tx| tx.execute_batch(CONDITIONS)).expect("rows");
    }
    if version >= 10 {
        store.write(|tx| tx.execute_batch(PAGES)).expect("rows");
        let page = if version == 10 { "('farm', 'guessed')" } else { "('farm', 'farm', NULL)" };
        let page = format!("INSERT INTO status_page VALUES {page}");
        store.write(|tx| tx.execute_batch(&page)).expect("a row");
    }
    if version >= 13 {
        let request = "INSERT INTO enroll_request (id, token_hash, hardware_id, reason, requested_at)
                       VALUES (6, x'0c', '1000', 'other_board', 9)";
        store.write(|tx| tx.execute_batch(request)).expect("a row");
    }
    if version >= MQTT_VERSION {
        let topic = "INSERT INTO mqtt_topic VALUES ('heartbeat/3/state', 3, NULL)";
        store.write(|tx| tx.execute_batch(topic)).expect("a row");
    }
    if version >= REPORTS_VERSION {
        let report = "INSERT INTO recipient_report SELECT min(id), 'weekly', 9 FROM recipient";
        store.write(|tx| tx.execute_batch(report)).expect("a row");
    }
    if version >= PLANS_VERSION {
        let plan = "INSERT INTO maintenance_plan (group_name, days, from_min, to_min, time_zone, utc_offset, created_at)
                    VALUES ('farm', 1, 60, 120, 'Europe/Berlin', 60, 9)";
        store.write(|tx| tx.execute_batch(plan)).expect("a row");
    }
    for (table, rows) in rows(&store, &columns(&store)) {
        assert!(!rows.is_empty(), "{table} has no row in version {version}");
    }
    store
}

#[test]
fn every_later_version_keeps_every_row_id_and_sequence() {
    for version in 1..migrate::MIGRATIONS.len() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("monitor.db");
        let old = released(&path, version);
        let (mut before, mut after) = (Vec::new(), Vec::new());
        for (table, columns) in columns(&old).into_iter().filter(|(table, _)| table != "sqlite_sequence") {
            let kept: Vec<_> = columns
                .iter()
                .filter_map(|column| Some((column.clone(), successor(&table, column)?)))
                .collect();
            let new_table = kept[0].1.0.clone();
            after.push((new_table, kept.iter().map(|(_, (_, column))| column.clone()).collect()));
            before.push((table, kept.into_iter().map(|(column, _)| column).collect()));
        }
        let content = |store: &Store, columns: &[(String, Vec<String>)]| -> Vec<Vec<String>> {
            rows(store, columns).into_iter().map(|(_, rows)| rows).collect()
        };
        let expected = (content(&old, &before), sequences(&old));
        assert!(expected.1.contains("machine99") && expected.1.contains("incident40"), "{}", expected.1);
        drop(old);
        let store = open(&path, migrate::MIGRATIONS, Purpose::Serve).expect("migrated");
        assert_eq!((content(&store, &after), sequences(&store)), expected, "from version {version}");
        assert_eq!(store.check().expect("checked").problems, Vec::<String>::new(), "from version {version}");
    }
}

/// Every open or ended incident: id, kind, subject, and the moments of its life.
fn incidents(store: &Store) -> Vec<String> {
    let columns =
        ["id", "kind", "subject", "planned", "began_at", "notified_at", "acknowledged_at", "ended_at"];
    rows(store, &[("incident".to_owned(), columns.map(str::to_owned).to_vec())]).remove(0).1
}

#[test]
fn outages_become_incidents_and_those_that_were_not_announced_are_not_notified() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("monitor.db");
    let old = released(&path, 7);
    let more = "INSERT INTO outage VALUES (50, 7, 1, 1, 2, 3, NULL), (51, 3, 0, 1, 5, 6, 7), (52, 3, 1, 0, 8, 9, 10);";
    old.write(|tx| tx.execute_batch(more)).expect("rows");
    drop(old);
    let store = open(&path, migrate::MIGRATIONS, Purpose::Serve).expect("migrated");
    assert_eq!(
        incidents(&store),
        [
            "11,'offline','',0,60,60,NULL,NULL",
            "50,'offline','',1,3,NULL,NULL,NULL",
            "51,'offline','',0,6,NULL,NULL,7",
            "52,'offline','',1,9,9,NULL,10"
        ]
    );
    let second = "INSERT INTO incident (machine_id, planned, last_seen, began_at) VALUES (3, 0, 70, 80)";
    store.write(|tx| tx.execute(second, &[])).expect_err("a second open outage of one machine");
    let camera = "INSERT INTO incident (machine_id, kind, subject, planned, last_seen, began_at)
                  VALUES (3, 'camera', 'gate', 0, 70, 80) RETURNING id";
    let id = store.write(|tx| tx.query_row(camera, &[], |row| row.get::<i64>(0)));
    assert_eq!(id, Ok(53), "ids go on where they were");
}

#[test]
fn a_migration_that_is_interrupted_after_any_statement_changes_nothing_and_can_be_repeated() {
    for version in [7, 8] {
        let code = |line: &'static str| line.split("--").next().unwrap_or_default();
        let sql: Vec<&str> = migrate::MIGRATIONS[version].lines().map(code).collect();
        let sql = sql.join("\n");
        let statements: Vec<&str> = sql.split_inclusive(';').filter(|text| text.contains(';')).collect();
        assert!(statements.len() > 10, "{}", statements.len());
        for done in 1..=statements.len() {
            let dir = tempfile::tempdir().expect("a directory");
            let path = dir.path().join("monitor.db");
            let old = released(&path, version);
            let before = rows(&old, &columns(&old));
            drop(old);
            let interrupted = format!("{} SELECT * FROM no_such_table;", statements[..done].concat());
            let migrations = [&migrate::MIGRATIONS[..version], &[interrupted.as_str()]].concat();
            let error = open(&path, &migrations, Purpose::Serve).expect_err("interrupted");
            assert!(error.to_string().contains("no_such_table"), "{error}");
            let old = open(&path, &migrate::MIGRATIONS[..version], Purpose::Serve).expect("as it was");
            assert_eq!(rows(&old, &columns(&old)), before, "after {done} statements of {version}");
            drop(old);
            let store = open(&path, migrate::MIGRATIONS, Purpose::Serve).expect("migrated");
            assert_eq!(incidents(&store), ["11,'offline','',0,60,60,NULL,NULL"], "after {done} statements");
        }
    }
}

/// Recipients with a stored choice of events, and whether it is the default up to version 8.
const EVENT_CHOICES: [(&str, bool); 14] = [
    (r#"["offline","online","flapping"]"#, true),
    (r#"["offline","flapping","online"]"#, true),
    (r#"["online","offline","flapping"]"#, true),
    (r#"["online","flapping","offline"]"#, true),
    (r#"["flapping","offline","online"]"#, true),
    (r#"["flapping","online","offline"]"#, true),
    (r#"["offline", "online", "flapping"]"#, true),
    (r#"["offline"]"#, false),
    (r#"["offline","online"]"#, false),
    (r#"["offline","online","stopped"]"#, false),
    (r#"["offline","online","stopped","flapping"]"#, false),
    (r#"["offline","offline","flapping"]"#, false),
    ("[]", false),
    ("offline,online,flapping", false),
];

#[test]
fn recipients_with_the_default_choice_get_the_new_topics_and_all_others_stay_as_chosen() {
    for version in 1..9 {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("monitor.db");
        let old = released(&path, version);
        let add = |tx: &Transaction<'_>| {
            for (id, (events, _)) in (100_i64..).zip(EVENT_CHOICES) {
                let sql = "INSERT INTO recipient (id, name, events) VALUES (?1, ?2, ?3)";
                tx.execute(sql, params![id, format!("r{id}"), events])?;
            }
            Ok(())
        };
        old.write(add).expect("rows");
        drop(old);
        let store = open(&path, migrate::MIGRATIONS, Purpose::Serve).expect("migrated");
        let table = [("recipient".to_owned(), vec!["id".to_owned(), "events".to_owned()])];
        let stored = rows(&store, &table).remove(0).1;
        let default = serde_json::to_string(&Topic::default_choice()).expect("JSON");
        for (id, (events, was_default)) in (100_i64..).zip(EVENT_CHOICES) {
            let expected = if was_default { default.as_str() } else { events };
            let row = format!("{id},'{expected}'");
            assert!(stored.contains(&row), "from version {version}: {row} is not in {stored:?}");
        }
        for released in ["1,'[\"offline\"]'", "3,'[\"online\"]'"] {
            assert!(stored.iter().any(|row| row == released), "from version {version}: {stored:?}");
        }
    }
}

#[test]
fn flapping_of_a_machine_becomes_flapping_of_its_outages() {
    for version in 1..9 {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("monitor.db");
        let old = released(&path, version);
        old.write(|tx| tx.execute("INSERT INTO flapping VALUES (7, 5, NULL)", &[])).expect("a row");
        drop(old);
        let store = open(&path, migrate::MIGRATIONS, Purpose::Serve).expect("migrated");
        let columns = ["machine_id", "kind", "subject", "since", "steady_at"].map(str::to_owned).to_vec();
        let flapping = rows(&store, &[("flapping".to_owned(), columns)]).remove(0).1;
        assert_eq!(flapping, ["3,'offline','',1,2", "7,'offline','',5,NULL"], "from version {version}");
        let index =
            "SELECT count(*) FROM sqlite_master WHERE name = 'flapping_now' AND tbl_name = 'flapping'";
        let indices: i64 = store.read(|c| c.query_row(index, &[], |row| row.get(0))).expect("read");
        assert_eq!(indices, 1);
        let camera = "INSERT INTO flapping VALUES (3, 'camera', 'gate', 1, NULL)";
        store.write(|tx| tx.execute(camera, &[])).expect("another kind of the same machine");
        store.remove_machine("barn", DAY).expect("removed");
        assert_eq!(rows(&store, &[("flapping".to_owned(), vec!["machine_id".to_owned()])])[0].1, ["7"]);
    }
}

#[test]
fn conditions_are_incidents_besides_outages_and_settings_are_unique_in_their_scope() {
    let store = Store::scratch_file();
    let run = |sql: &str| store.write(|tx| tx.execute_batch(sql));
    run("INSERT INTO machine (id, name, created_at) VALUES (1, 'barn', 0), (2, 'gate', 0);
         INSERT INTO machine_judged VALUES (1, 3);
         INSERT INTO camera VALUES (3, 1, 'aa', 'gate', 28800000);
         INSERT INTO camera_day VALUES (3, 20000, 5, 6);
         INSERT INTO incident (machine_id, kind, subject, planned, last_seen, began_at, notified_at) VALUES
            (1, 'offline', '', 0, 0, 1, 1), (1, 'camera', 'aa', 0, 0, 1, 1), (1, 'camera', 'bb', 0, 0, 1, 1);
         INSERT INTO condition_setting (condition, scope, name, machine_id, threshold) VALUES
            ('temp', 'all', '', NULL, 75), ('temp', 'group', 'farm', NULL, 75), ('temp', 'tag', 'farm', NULL, 75),
            ('temp', 'machine', '', 1, 75), ('temp', 'machine', '', 2, 75), ('disk', 'all', '', NULL, 80);")
    .expect("rows");
    let view = "SELECT count(*) FROM machine_offline_notifications";
    let offline: i64 = store.read(|c| c.query_row(view, &[], |row| row.get(0))).expect("read");
    assert_eq!(offline, 1, "a condition is no outage");
    for twice in ["'all', '', NULL", "'group', 'farm', NULL", "'tag', 'farm', NULL", "'machine', '', 1"] {
        let sql = format!(
            "INSERT INTO condition_setting (condition, scope, name, machine_id) VALUES ('temp', {twice})"
        );
        run(&sql).expect_err(twice);
    }
    store.remove_machine("barn", DAY).expect("removed");
    for (table, left) in
        [("machine_judged", 0), ("camera_day", 0), ("camera", 0), ("incident", 0), ("condition_setting", 5)]
    {
        let sql = format!("SELECT count(*) FROM {table}");
        let count: i64 = store.read(|c| c.query_row(&sql, &[], |row| row.get(0))).expect("read");
        assert_eq!(count, left, "{table}");
    }
}

#[test]
fn choices_of_version_1_are_resolved_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("monitor.db");
    drop(released(&path, 1));
    let store = open(&path, migrate::MIGRATIONS, Purpose::Serve).expect("migrated");
    let recipients = store.recipients().expect("read");
    let chosen = |name: &str| &recipients.iter().find(|known| known.name == name).expect(name).chosen;
    for name in ["everybody", "empty lists", "by hand"] {
        assert!(chosen(name).all, "{name}: as before");
        assert_eq!(chosen(name).warning(), None);
    }
    let anna = chosen("anna");
    assert_eq!(anna.machines, [(MachineId(3), "barn".to_owned())]);
    assert_eq!((&anna.groups[..], &anna.tags[..]), (&["farm".to_owned()][..], &["camera".to_owned()][..]));
    assert_eq!(anna.missing, ["silo"]);
    assert_eq!(anna.warning().as_deref(), Some("chosen machines do not exist: silo"));
    let bert = chosen("bert");
    assert!(!bert.all && !bert.matches);
    assert_eq!(
        bert.warning().as_deref(),
        Some("no machine matches the choice, so nothing is sent; chosen machines do not exist: silo")
    );
    // A machine of that name that is added later is another one.
    store.add_machine(&Description { name: "silo".into(), ..Description::default() }, DAY).expect("added");
    let bert =
        store.recipients().expect("read").into_iter().find(|known| known.name == "bert").expect("bert");
    assert!(!bert.chosen.matches);
}

/// As its documentation has them.
#[test]
fn lunasentris_documented_sqlite3_commands_work() {
    let store = Store::scratch_file();
    let rows = |sql: &str| -> Vec<String> {
        let read = |connection: &Connection<'_>| {
            let mut statement = connection.sqlite()?.prepare(sql)?;
            let columns = statement.column_count();
            let rows = statement.query_map([], |row| {
                let cells = (0..columns).map(|column| {
                    let cell: rusqlite::types::Value = row.get(column)?;
                    Ok(match cell {
                        rusqlite::types::Value::Integer(number) => number.to_string(),
                        rusqlite::types::Value::Text(text) => text,
                        other => format!("{other:?}"),
                    })
                });
                Ok(cells.collect::<rusqlite::Result<Vec<_>>>()?.join("|"))
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        };
        store.read(read).expect(sql)
    };
    store
        .write(|tx| {
            tx.execute_batch(
                "INSERT INTO machine (id, name, created_at) VALUES (1, 'barn', 0), (2, 'gate', 0), (3, 'new', 0);
                 INSERT INTO machine_state (machine_id, status, watched, last_seen, since, threshold) VALUES (1, 2, 1, 1763774609000, 0, NULL), (2, 1, 1, 1763774609999, 0, NULL),
                                                  (3, 0, 1, NULL, 0, NULL);
                 INSERT INTO incident (machine_id, planned, last_seen, began_at, notified_at, ended_at) VALUES
                    (1, 0, 0, 1763774729000, 1763774729000, NULL), (2, 0, 0, 1, 1, 2), (3, 1, 0, 1, 1, NULL);",
            )
        })
        .expect("rows");
    assert_eq!(
        rows("SELECT id, name, status, last_seen FROM machines;"),
        ["1|barn|offline|2025-11-22 01:23:29", "2|gate|online|2025-11-22 01:23:29", "3|new|offline|Null"]
    );
    assert_eq!(rows("SELECT id, name, status, datetime(last_seen, 'localtime') FROM machines;").len(), 3);
    assert_eq!(rows("SELECT * FROM machine_offline_notifications;"), ["1|2025-11-22 01:25:29"]);
    let local = "SELECT machine_id, datetime(notified_at, 'localtime') FROM machine_offline_notifications;";
    assert_eq!(rows(local).len(), 1);
}

#[test]
fn the_released_schema_refers_to_nothing_that_is_not_there() {
    let scratch = Store::scratch_file();
    assert_eq!(version(&scratch), migrate::latest(migrate::MIGRATIONS));
    assert_eq!(scratch.check().expect("checked").problems, Vec::<String>::new());
}

#[test]
fn a_hostname_from_version_1_is_pinned_unless_the_device_reported_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("monitor.db");
    let store = open(&path, &migrate::MIGRATIONS[..1], Purpose::Serve).expect("made");
    let rows = r#"
        INSERT INTO machine (id, name, hostname, created_at) VALUES
            (1, 'set', 'gate', 0), (2, 'reported', 'barn-cam', 0), (3, 'none', NULL, 0), (4, 'silent', 'x', 0),
            (5, 'spaced', 'attic', 0);
        INSERT INTO machine_latest (machine_id, received_at, payload) VALUES
            (1, 0, '{"hostname":"raspberrypi"}'), (2, 0, '{"cpu":1,"hostname":"barn-cam"}'), (3, 0, '{}'),
            (5, 0, '{"hostname": "attic"}');"#;
    store.write(|tx| tx.execute_batch(rows)).expect("version 1");
    drop(store);
    let store = open(&path, migrate::MIGRATIONS, Purpose::Serve).expect("migrated");
    let pinned = store.read(|connection| {
        let sql = "SELECT id FROM machine WHERE hostname_pinned = 1 ORDER BY id";
        connection.query_all(sql, &[], |row| row.get::<i64>(0))
    });
    assert_eq!(pinned, Ok(vec![1, 4]));
}

#[test]
fn a_mac_address_from_version_1_loses_its_colons_unless_another_machine_has_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("monitor.db");
    let store = open(&path, &migrate::MIGRATIONS[..1], Purpose::Serve).expect("made");
    let rows = "
        INSERT INTO machine (id, name, hardware_id, created_at) VALUES
            (1, 'mac', 'b8:27:eb:00:00:01', 0), (2, 'serial', '10000000A5BD2DD2', 0), (3, 'added', NULL, 0),
            (4, 'before', 'b8:27:eb:00:00:04', 0), (5, 'after', 'b827eb000004', 0),
            (6, 'hyphens', 'B8-27-EB-00-00-06', 0), (7, 'twice', 'b8:27:eb:00:00:06', 0),
            (8, 'no mac', 'b8:27:eb:00:00:zz', 0), (9, 'gap', 'b8:27:eb:00:00:::', 0), (10, 'mixed', 'b8-27:eb-00:00-10', 0);";
    store.write(|tx| tx.execute_batch(rows)).expect("version 1");
    drop(store);
    let store = open(&path, migrate::MIGRATIONS, Purpose::Serve).expect("migrated");
    let ids = store.read(|connection| {
        let sql = "SELECT hardware_id FROM machine ORDER BY id";
        connection.query_all(sql, &[], |row| row.get::<Option<String>>(0))
    });
    let expected = [
        Some("b827eb000001"),
        Some("10000000A5BD2DD2"),
        None,
        Some("b8:27:eb:00:00:04"),
        Some("b827eb000004"),
        Some("b827eb000006"),
        Some("b8:27:eb:00:00:06"),
        Some("b8:27:eb:00:00:zz"),
        Some("b8:27:eb:00:00:::"),
        Some("b8-27:eb-00:00-10"),
    ];
    assert_eq!(ids, Ok(expected.map(|id| id.map(str::to_owned)).to_vec()));
}

#[test]
fn machines_that_were_never_seen_before_version_9_are_incidents_that_are_not_announced() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("monitor.db");
    let old = released(&path, 8);
    let recent = crate::clock::Moment::now().0;
    let machines =
        "INSERT INTO machine (id, name, created_at) VALUES (201, 'old', 4), (202, 'off', 4), (203, 'new', 4);
                    INSERT INTO machine_state VALUES (201, 0, 1, NULL, 4, NULL), (202, 0, 0, NULL, 4, NULL);";
    old.write(|tx| {
        tx.execute_batch(machines)?;
        tx.execute("INSERT INTO machine_state VALUES (203, 0, 1, NULL, ?1, NULL)", params![recent])
    })
    .expect("rows");
    drop(old);
    let store = open(&path, migrate::MIGRATIONS, Purpose::Serve).expect("migrated");
    let columns = ["machine_id", "existing", "notified_at"].map(str::to_owned).to_vec();
    let incidents = rows(&store, &[("incident WHERE kind = 'never_seen'".to_owned(), columns)]).remove(0).1;
    assert_eq!(incidents, ["201,1,NULL"]);
}

#[test]
fn a_status_page_of_version_10_is_off_and_its_secret_forgotten() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("monitor.db");
    drop(released(&path, 10));
    let store = open(&path, migrate::MIGRATIONS, Purpose::Serve).expect("migrated");
    let columns = ["group_name", "slug", "secret_hash"].map(str::to_owned).to_vec();
    assert_eq!(rows(&store, &[("status_page".to_owned(), columns)]).remove(0).1, ["'farm',NULL,NULL"]);
}
