//! New databases, databases in use, who owns them, who may serve them.

use super::*;

#[test]
fn a_new_database_is_complete_and_reopened_with_its_content() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("state").join("monitor.db");
    let store = Store::open_for_serving(&file(&path), Moment(0)).expect("made");
    add(&store, "barn").expect("written");
    assert_eq!(count(&store), 1);
    drop(store);
    let store = Store::open_for_serving(&file(&path), Moment(0)).expect("opened again");
    assert_eq!(count(&store), 1);
    assert_eq!(files(path.parent().expect("a parent"), ".new-"), Vec::<String>::new());
}

#[test]
fn what_another_process_writes_is_noticed_once_and_ones_own_writing_never() {
    let scratch = Store::scratch_file();
    add(&scratch, "barn").expect("written");
    assert_eq!(scratch.changed_by_others().map(|changes| changes.settings), Ok(false));
    let beside = Store::open_beside(scratch.location(), Moment(0)).expect("opened beside the server");
    assert_eq!(
        scratch.changed_by_others().map(|changes| changes.settings),
        Ok(false),
        "opening changes nothing"
    );
    add(&beside, "gate").expect("written beside the server");
    assert_eq!(scratch.changed_by_others().map(|changes| changes.settings), Ok(true));
    assert_eq!(scratch.changed_by_others().map(|changes| changes.settings), Ok(false));
    assert_eq!(count(&scratch), 2);
}

#[test]
fn an_error_in_a_transaction_undoes_all_of_it_and_the_next_one_works() {
    let scratch = Store::scratch_file();
    let failed = scratch.write(|tx| {
        tx.execute("INSERT INTO machine (name, created_at) VALUES ('barn', 0)", &[])?;
        tx.execute("INSERT INTO no_such_table VALUES (1)", &[])?;
        Ok(())
    });
    assert!(matches!(failed, Err(StoreError::Other(_))), "{failed:?}");
    assert_eq!(count(&scratch), 0);
    add(&scratch, "barn").expect("works again");
}

#[test]
fn a_reader_cannot_write() {
    let scratch = Store::scratch_file();
    let wrote = scratch.read(|c| Ok(c.sqlite()?.execute("DELETE FROM machine", [])?));
    assert_eq!(wrote, Err(StoreError::ReadOnly));
}

#[test]
fn rows_of_a_machine_are_removed_with_it_on_every_connection() {
    let scratch = Store::scratch_file();
    add(&scratch, "barn").expect("written");
    let stray = scratch.write(|tx| tx.execute("INSERT INTO machine_tag VALUES (99, 'x')", &[]));
    assert!(matches!(stray, Err(StoreError::Other(_))), "{stray:?}");
    scratch.write(|tx| tx.execute("INSERT INTO machine_tag VALUES (1, 'x')", &[])).expect("tagged");
    scratch.write(|tx| tx.execute("DELETE FROM machine", &[])).expect("removed");
    let tags: i64 =
        scratch.read(|c| c.query_row("SELECT count(*) FROM machine_tag", &[], |r| r.get(0))).expect("read");
    assert_eq!(tags, 0);
}

#[test]
fn one_monitor_serves_a_database_and_commands_open_it_beside_that_one() {
    let scratch = Store::scratch_file();
    let second = Store::open_for_serving(scratch.location(), DAY).expect_err("served already");
    assert_eq!(second.error, StoreError::Held { pid: std::process::id().to_string() });
    assert!(
        second.to_string().contains(&format!("{}: a heartbeat-monitor with pid", scratch.path().display()))
    );
    let elsewhere = tempfile::tempdir().expect("a directory");
    let link = elsewhere.path().join("linked.db");
    std::os::unix::fs::symlink(scratch.path(), &link).expect("a link");
    let third = Store::open_for_serving(&file(&link), DAY).expect_err("the same one by another name");
    assert!(matches!(third.error, StoreError::Held { .. }), "{third}");
    Store::open_beside(scratch.location(), DAY).expect("beside it");
    let path = scratch.path().to_owned();
    let _dir = scratch.close();
    Store::open_for_serving(&file(&path), DAY).expect("free again");
}

#[test]
fn a_command_before_the_first_start_makes_the_database_that_the_service_then_opens() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("monitor.db");
    add(&Store::open_beside(&file(&path), DAY).expect("made"), "barn").expect("added");
    assert_eq!(count(&Store::open_for_serving(&file(&path), DAY).expect("served")), 1);
    let missing = Store::open_existing(&file(&dir.path().join("other.db")), DAY).expect_err("nothing there");
    assert!(missing.to_string().contains("there is no such file"), "{missing}");
    assert_eq!(files(dir.path(), "other"), Vec::<String>::new());
}

#[test]
fn files_that_root_creates_belong_to_the_owner_of_the_directory() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    if !rustix::process::geteuid().is_root() {
        return crate::skip::skip("giving a directory to another user takes root");
    }
    let dir = tempfile::tempdir().expect("a directory");
    std::os::unix::fs::chown(dir.path(), Some(12_345), Some(54_321)).expect("given away");
    let path = dir.path().join("monitor.db");
    let store = Store::open_for_serving(&file(&path), DAY).expect("made");
    add(&store, "barn").expect("added");
    assert_eq!(files(dir.path(), ""), ["monitor.db", "monitor.db-shm", "monitor.db-wal", "monitor.db.lock"]);
    store.backup(&dir.path().join("copy.db")).expect("copied");
    for name in files(dir.path(), "") {
        let metadata = fs::metadata(dir.path().join(&name)).expect("there");
        assert_eq!((metadata.uid(), metadata.gid()), (12_345, 54_321), "{name}");
        assert_eq!(metadata.permissions().mode() & 0o777, 0o640, "{name}");
    }
}

#[test]
fn twenty_that_make_it_at_the_same_moment_end_with_one() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("monitor.db");
    std::thread::scope(|scope| {
        for n in 0..20 {
            let path = &path;
            scope.spawn(move || {
                add(&Store::open_beside(&file(path), DAY).expect("opened"), &n.to_string()).expect("added");
            });
        }
    });
    assert_eq!(count(&Store::open_for_serving(&file(&path), DAY).expect("opened")), 20);
    assert_eq!(files(dir.path(), ".new-"), Vec::<String>::new());
}

#[test]
fn threads_that_write_and_read_do_not_see_half_of_a_transaction() {
    let scratch = Store::scratch_file();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let store = &scratch;
            scope.spawn(move || {
                for n in 0..50 {
                    let pair = |tx: &Transaction<'_>| {
                        for half in ["a", "b"] {
                            let name = format!("{thread}-{n}-{half}");
                            tx.execute(
                                "INSERT INTO machine (name, created_at) VALUES (?1, 0)",
                                params![name],
                            )?;
                        }
                        Ok(())
                    };
                    store.write(pair).expect("written");
                }
            });
            scope.spawn(move || (0..50).for_each(|_| assert_eq!(count(store) % 2, 0)));
        }
    });
    assert_eq!(count(&scratch), 400);
    assert!(held(&scratch.sqlite().readers).len() <= IDLE_READERS);
}

/// `cargo test --no-default-features --features monitor -- --ignored --nocapture --test-threads 1 the_database_in_memory`
#[test]
#[ignore = "a measurement"]
fn the_database_in_memory() {
    // Without the pages of the program itself, which an optimised one has half of.
    let pss = || {
        let rollup = fs::read_to_string("/proc/self/smaps_rollup").expect("of this process");
        let line = rollup.lines().find(|line| line.starts_with("Pss_Anon:")).expect("a sum");
        line.split_whitespace().nth(1).expect("a number").parse::<i64>().expect("KiB")
    };
    let dir = tempfile::tempdir().expect("a directory");
    let before = pss();
    let store = Store::open_for_serving(&file(&dir.path().join("monitor.db")), DAY).expect("made");
    println!("opened: {} KiB", pss() - before);
    let rows = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 100)
        INSERT INTO machine (name, created_at) SELECT 'm' || n, 0 FROM n;
        INSERT INTO machine_state (machine_id, status, watched, last_seen, since, threshold) SELECT id, 0, 1, NULL, 0, NULL FROM machine;";
    store.write(|tx| tx.execute_batch(rows)).expect("a fleet");
    for second in 0..100 {
        store
            .write(|tx| tx.execute("UPDATE machine_state SET last_seen = ?1", params![second]))
            .expect("a flush");
        assert_eq!(store.machines_page(None, 100, DAY).expect("a page").len(), 100);
    }
    println!("100 machines, written and read for a while: {} KiB", pss() - before);
}
