//! A disk that is full or read-only, a file that is locked, damaged, removed: it is reported, survived, and ends with its cause.

use super::*;
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change, mount_remount};
use rustix::thread::{UnshareFlags, unshare_unsafe};
use std::io::Write;
use std::time::{Duration, Instant};

const IMPATIENT: Manner = Manner { patience: Duration::from_millis(50), durable: false };

fn served(path: &Path) -> Store {
    Store::on(prepare(path, DAY, IMPATIENT, Purpose::Serve, migrate::MIGRATIONS).expect("opened"))
}

/// Runs `test` in a thread with a file system of its own of `kib` KiB; skips it without the right to mount one.
fn on_a_disk_of(kib: u32, test: fn(&Path)) {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().to_owned();
    let thread = std::thread::spawn(move || {
        // SAFETY: the thread's mounts, root and working directory become its own; no memory and no descriptors.
        if unsafe { unshare_unsafe(UnshareFlags::NEWNS) }.is_err() {
            return false;
        }
        mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE)
            .expect("mounts of its own");
        let size = std::ffi::CString::new(format!("size={kib}k")).expect("no NUL");
        mount("tmpfs", &path, "tmpfs", MountFlags::empty(), Some(size.as_c_str())).expect("a small disk");
        test(&path);
        true
    });
    if !thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)) {
        crate::skip::skip("a mount namespace takes root");
    }
}

/// A file that takes what is left of the disk.
fn fill(path: &Path) -> PathBuf {
    let ballast = path.join("ballast");
    let mut file = fs::File::create(&ballast).expect("made");
    while file.write_all(&[0; 4096]).is_ok() {}
    while file.write_all(&[0]).is_ok() {}
    ballast
}

/// Emptied first: a child that another test has just forked holds the removed file until it executes its program.
fn make_room(ballast: &Path) {
    fs::File::create(ballast).expect("emptied");
    fs::remove_file(ballast).expect("removed");
}

#[test]
fn a_full_disk_is_reported_loses_nothing_acknowledged_and_ends_with_its_cause() {
    on_a_disk_of(2048, |disk| {
        let path = disk.join("monitor.db");
        let store = served(&path);
        add(&store, "before").expect("written");
        let ballast = fill(disk);
        let mut acknowledged = 1;
        let error = loop {
            match add(&store, &format!("{acknowledged}-{}", "x".repeat(10_000))) {
                Ok(()) => acknowledged += 1,
                Err(error) => break error,
            }
        };
        assert_eq!(error, StoreError::Full);
        assert!(error.to_string().contains("free some space, and the monitor continues without a restart"));
        assert_eq!(count(&store), acknowledged, "it is still read");
        assert_eq!(store.changed_by_others().map(|changes| changes.settings), Ok(false));
        for _ in 0..3 {
            assert_eq!(add(&store, &"y".repeat(100_000)), Err(StoreError::Full));
        }
        make_room(&ballast);
        add(&store, &"y".repeat(100_000)).expect("it continues without a restart");
        drop(store);
        let store = served(&path);
        assert_eq!(count(&store), acknowledged + 1);
        assert_eq!(store.check().expect("checked").problems, Vec::<String>::new());
    });
}

#[test]
fn a_disk_that_is_full_from_the_start_leaves_no_half_database() {
    on_a_disk_of(1024, |disk| {
        let ballast = fill(disk);
        let error = Store::open_for_serving(&file(&disk.join("monitor.db")), DAY).expect_err("full");
        assert_eq!(error.error, StoreError::Full, "{error}");
        assert_eq!(files(disk, "monitor.db"), Vec::<String>::new());
        make_room(&ballast);
        Store::open_for_serving(&file(&disk.join("monitor.db")), DAY).expect("made");
    });
}

#[test]
fn a_migration_on_a_full_disk_leaves_the_old_database_as_it_was() {
    on_a_disk_of(16_384, |disk| {
        let path = disk.join("monitor.db");
        let store = served(&path);
        for n in 0..100 {
            add(&store, &format!("{n}-{}", "x".repeat(5_000))).expect("written");
        }
        drop(store);
        let ballast = fill(disk);
        let wider = "ALTER TABLE machine ADD COLUMN twice TEXT; UPDATE machine SET twice = name;";
        let wide = [migrate::MIGRATIONS, &[wider]].concat();
        let error = prepare(&path, DAY, IMPATIENT, Purpose::Serve, &wide).expect_err("no room for the copy");
        assert_eq!(error, StoreError::Full);
        assert_eq!(files(disk, ".v"), Vec::<String>::new(), "no half copy stays");
        make_room(&ballast);
        let store = prepare(&path, DAY, IMPATIENT, Purpose::Serve, &wide).expect("migrated");
        assert_eq!(count(&Store::on(store)), 100);
    });
}

#[test]
fn a_read_only_disk_is_reported_and_used_once_writable() {
    on_a_disk_of(2048, |disk| {
        let path = disk.join("monitor.db");
        drop(served(&path));
        fs::remove_file(disk.join("monitor.db.lock")).expect("removed");
        let read_only = |on: bool| {
            let flags = if on { MountFlags::RDONLY } else { MountFlags::empty() };
            let deadline = Instant::now() + Duration::from_secs(20);
            // A child that another test has just forked holds files open until it executes its program.
            while mount_remount(disk, flags, c"") == Err(Errno::BUSY) && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(10));
            }
            mount_remount(disk, flags, c"").expect("remounted");
        };
        read_only(true);
        for error in [Store::open_beside(&file(&path), DAY), Store::open_for_serving(&file(&path), DAY)] {
            let error = error.expect_err("read-only");
            assert_eq!(error.error, StoreError::ReadOnly, "{error}");
        }
        let new = Store::open_beside(&file(&disk.join("other.db")), DAY).expect_err("read-only");
        assert_eq!(new.error, StoreError::ReadOnly, "{new}");
        read_only(false);
        add(&served(&path), "barn").expect("written");
    });
}

#[test]
fn a_file_locked_by_another_program_is_waited_for_and_then_reported() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = served(&dir.path().join("monitor.db"));
    let other = connection::writer(store.path(), IMPATIENT).expect("another connection");
    other.execute_batch("BEGIN IMMEDIATE").expect("locked");
    let begin = Instant::now();
    assert_eq!(add(&store, "barn"), Err(StoreError::Busy));
    assert!(begin.elapsed() >= IMPATIENT.patience);
    assert_eq!(count(&store), 0, "it is still read");
    other.execute_batch("COMMIT").expect("released");
    add(&store, "barn").expect("works again");
    other.execute_batch("BEGIN IMMEDIATE").expect("locked");
    std::thread::scope(|scope| {
        let patient = Manner { patience: Duration::from_secs(20), durable: false };
        let waiting = prepare(store.path(), DAY, patient, Purpose::Command, migrate::MIGRATIONS)
            .map(Store::on)
            .expect("opened");
        let written = scope.spawn(move || add(&waiting, "gate"));
        other.execute_batch("COMMIT").expect("released");
        assert_eq!(written.join().expect("no panic"), Ok(()));
    });
}

#[test]
fn a_removed_or_replaced_file_is_not_written_until_it_is_restored() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = served(&dir.path().join("monitor.db"));
    add(&store, "barn").expect("written");
    let away = dir.path().join("away.db");
    fs::rename(store.path(), &away).expect("moved away");
    assert_eq!(add(&store, "lost"), Err(StoreError::Gone));
    assert_eq!(store.changed_by_others(), Err(StoreError::Gone));
    assert_eq!(store.read(|_| Ok(())), Err(StoreError::Gone));
    fs::copy(&away, store.path()).expect("another file");
    assert_eq!(add(&store, "lost"), Err(StoreError::Gone));
    fs::rename(&away, store.path()).expect("moved back");
    add(&store, "gate").expect("works again");
    assert_eq!(count(&store), 2);
}

#[test]
fn what_is_no_database_of_ours_is_named_and_left_as_it_is() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("monitor.db");
    let refused = |content: &[u8]| {
        fs::write(&path, content).expect("written");
        let error = Store::open_for_serving(&file(&path), DAY).expect_err("not ours").error;
        assert_eq!(fs::read(&path).expect("readable"), content);
        error
    };
    assert_eq!(refused(b""), StoreError::Corrupt("it is empty".into()));
    assert!(matches!(
        refused(
            b"# not a database, and longer than the head of one, which has 100 bytes in it; \
        so that the first of them are read and found to be wrong\n"
        ),
        StoreError::Corrupt(_)
    ));
    assert!(matches!(refused(&[0; 8192]), StoreError::Corrupt(_)));
    fs::remove_file(&path).expect("removed");
    let strange = rusqlite::Connection::open(&path).expect("made");
    strange.execute_batch("CREATE TABLE t (x)").expect("filled");
    drop(strange);
    let error = Store::open_for_serving(&file(&path), DAY).expect_err("another program's").to_string();
    assert!(error.contains("a database of another program"), "{error}");
    fs::remove_file(&path).expect("removed");
    fs::create_dir(&path).expect("a directory of that name");
    Store::open_for_serving(&file(&path), DAY).expect_err("a directory");
}

/// A database with a few hundred rows in several tables, not open.
fn filled(path: &Path) {
    let store = served(path);
    let rows = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 600)
        INSERT INTO machine (name, hostname, created_at) SELECT 'machine ' || n, hex(randomblob(40)), n FROM n;
        INSERT INTO machine_state (machine_id, status, watched, last_seen, since, threshold) SELECT id, 1, 1, id, id, NULL FROM machine;
        INSERT INTO device_token (machine_id, hash, created_at) SELECT id, randomblob(32), 0 FROM machine;
        INSERT INTO event (at, machine_id, kind) SELECT id, id, 'added' FROM machine;";
    store.write(|tx| tx.execute_batch(rows)).expect("filled");
}

/// Everything that a damaged file may be asked for; only errors are allowed, and no hanging.
fn use_all_of_it(path: &Path) -> Result<(), StoreError> {
    let store = Store::on(prepare(path, DAY, IMPATIENT, Purpose::Serve, migrate::MIGRATIONS)?);
    let page = store.machines_page(None, 1000, DAY).map(|_| ());
    let credentials = store.credentials().map(|_| ());
    let written = add(&store, "one more");
    let removed = store.write(|tx| tx.execute("DELETE FROM machine WHERE id % 3 = 0", &[])).map(|_| ());
    let problems = store.sqlite().check()?.problems;
    let checked = problems.into_iter().next().map_or(Ok(()), |problem| Err(StoreError::Corrupt(problem)));
    page.and(credentials).and(written).and(removed).and(checked)
}

#[test]
fn random_bytes_in_random_places_bring_an_error_and_nothing_worse() {
    let dir = tempfile::tempdir().expect("a directory");
    let good = dir.path().join("good.db");
    filled(&good);
    let whole = fs::read(&good).expect("readable");
    let mut random = fastrand::Rng::with_seed(7);
    let mut errors = 0;
    for round in 0..200 {
        let path = dir.path().join(format!("{round}.db"));
        let mut bytes = whole.clone();
        for _ in 0..random.usize(1..4) {
            let at = random.usize(100..bytes.len() - 600);
            let length = random.usize(1..600);
            random.fill(&mut bytes[at..at + length]);
        }
        fs::write(&path, bytes).expect("written");
        errors += usize::from(use_all_of_it(&path).is_err());
        for name in files(dir.path(), &format!("{round}.db")).iter().filter(|name| **name != "good.db") {
            let _ = fs::remove_file(dir.path().join(name));
        }
    }
    // Bytes inside a name, a free page or an empty table are no visible damage.
    assert!(errors >= 80, "{errors} of 200");
}

#[test]
fn a_truncated_file_is_damaged_at_any_length() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("monitor.db");
    filled(&path);
    let whole = fs::read(&path).expect("readable");
    for eighths in 0..8 {
        fs::write(&path, &whole[..whole.len() * eighths / 8]).expect("cut");
        let error = use_all_of_it(&path).expect_err("damaged");
        assert!(matches!(error, StoreError::Corrupt(_)), "{eighths}/8: {error:?}");
        for journal in ["monitor.db-wal", "monitor.db-shm"] {
            let _ = fs::remove_file(dir.path().join(journal));
        }
    }
}

#[test]
fn a_damaged_log_loses_at_most_what_was_in_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("monitor.db");
    filled(&path);
    let mut random = fastrand::Rng::with_seed(7);
    let mut noise = vec![0; 40_000];
    random.fill(&mut noise);
    fs::write(dir.path().join("monitor.db-wal"), noise).expect("written");
    let store = served(&path);
    assert_eq!(count(&store), 600);
    add(&store, "barn").expect("written");
}

#[test]
fn a_log_that_is_removed_under_a_running_store_is_noticed_and_loses_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("monitor.db");
    let log = dir.path().join("monitor.db-wal");
    let store = served(&path);
    add(&store, "before").expect("written");
    assert_eq!(store.renew_removed_wal(), Ok(false));
    for name in ["once", "twice"] {
        add(&store, name).expect("written");
        fs::remove_file(&log).expect("removed");
        add(&store, &format!("{name} after")).expect("written to a file that has no name");
        assert_eq!(store.renew_removed_wal(), Ok(true), "{name}");
        assert_eq!(store.renew_removed_wal(), Ok(false), "{name}");
        assert!(log.exists(), "{name}");
        assert_eq!(
            store.changed_by_others().map(|changes| changes.settings),
            Ok(true),
            "what others wrote meanwhile is read again"
        );
    }
    add(&store, "after").expect("written");
    assert_eq!(store.check().expect("checked").problems, Vec::<String>::new());
    drop(store);
    assert_eq!(count(&served(&path)), 6, "all of them are there for the next process");
}
