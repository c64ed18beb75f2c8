//! Checking, copying and shrinking a database, beside a server that goes on writing.

use super::*;
use std::sync::atomic::{AtomicBool, Ordering};

/// Writes on another thread until `act` has ended; how many rows.
fn while_writing<T: Send>(store: &Store, act: impl FnOnce() -> T + Send) -> (T, i64) {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut rows = 0;
            while !over.load(Ordering::Relaxed) {
                add(store, &format!("while {rows}")).expect("the server is not held up");
                rows += 1;
                // As a server does: between two transactions there is time for others.
                std::thread::sleep(Duration::from_millis(2));
            }
            rows
        });
        // Over also when it panics, or the test would never end.
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(act));
        over.store(true, Ordering::Relaxed);
        let rows = writer.join().expect("no panic");
        (done.unwrap_or_else(|panic| std::panic::resume_unwind(panic)), rows)
    })
}

/// Some 12 MB that are then free.
fn with_free_space(store: &Store) {
    let rows = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 3000)
        INSERT INTO machine (name, hostname, created_at) SELECT 'wide ' || n, hex(zeroblob(2000)), n FROM n;";
    store.write(|tx| tx.execute_batch(rows)).expect("filled");
    store.write(|tx| tx.execute_batch("DELETE FROM machine")).expect("emptied");
}

#[test]
fn a_copy_made_while_others_write_is_whole_and_of_one_moment() {
    let scratch = Store::scratch_file();
    let beside = Store::open_beside(scratch.location(), DAY).expect("beside");
    for n in 0..500 {
        add(&scratch, &format!("{n}")).expect("written");
    }
    let copy = scratch.dir.path().join("copy.db");
    let (bytes, written) = while_writing(&scratch, || beside.backup(&copy).expect("copied"));
    assert_eq!(bytes, fs::metadata(&copy).expect("there").len());
    assert_eq!(files(scratch.dir.path(), ".part"), Vec::<String>::new());
    let restored = Store::open_for_serving(&file(&copy), DAY).expect("as good as the database");
    assert!((500..=500 + written).contains(&count(&restored)));
    let report = restored.check().expect("checked");
    assert_eq!((report.problems, report.version), (vec![], migrate::latest(migrate::MIGRATIONS)));
    add(&restored, "after").expect("written");
    with_free_space(&restored);
    assert_eq!(restored.vacuum_step(100), Ok(true), "it gives space back in steps as its original does");
}

#[test]
fn a_copy_does_not_overwrite_anything() {
    let scratch = Store::scratch_file();
    add(&scratch, "barn").expect("written");
    let taken = scratch.dir.path().join("taken");
    fs::write(&taken, "mine").expect("written");
    let dangling = scratch.dir.path().join("dangling");
    std::os::unix::fs::symlink("/nowhere/at/all", &dangling).expect("a link");
    for target in [scratch.path(), &taken, &dangling, scratch.dir.path()] {
        let error = scratch.backup(target).expect_err("there already").to_string();
        assert!(error.contains("name another file"), "{error}");
    }
    assert_eq!(fs::read_to_string(taken).expect("readable"), "mine");
    scratch.backup(Path::new("/proc/no/copy.db")).expect_err("no such directory");
    assert_eq!(count(&scratch), 1);
}

#[test]
fn vacuum_frees_space_while_a_server_writes() {
    let scratch = Store::scratch_file();
    with_free_space(&scratch);
    let beside = Store::open_beside(scratch.location(), DAY).expect("beside");
    let (done, written) = while_writing(&scratch, || beside.vacuum().expect("done"));
    assert!(!done.whole, "it is being served");
    assert!(done.before > 10_000_000 && done.after < done.before / 4, "{done:?}");
    assert_eq!(count(&scratch), written);
    assert_eq!(scratch.check().expect("checked").problems, Vec::<String>::new());
}

#[test]
fn an_unserved_database_is_rewritten_by_vacuum() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = Store::open_beside(&file(&dir.path().join("monitor.db")), DAY).expect("made");
    with_free_space(&store);
    add(&store, "barn").expect("written");
    let done = store.vacuum().expect("done");
    assert!(done.whole && done.after < 1_000_000, "{done:?}");
    assert_eq!(count(&store), 1);
    assert!(fs::metadata(store.path()).expect("there").len() < 1_000_000, "the file itself is shorter");
}
