//! The output for a good, a damaged and a missing database.

use super::*;

const NOW: Moment = Moment(1_763_774_609_000);

#[test]
fn a_good_database_and_its_copy_are_reported_as_good() {
    let store = Store::scratch_file();
    let said = run(DatabaseCommand::Check, store.location(), NOW).expect("good");
    assert!(said.contains("monitor.db: good; version "), "{said}");
    let file = store.dir.path().join("copy.db");
    let said = run(DatabaseCommand::Backup { file: file.clone() }, store.location(), NOW).expect("copied");
    assert!(said.ends_with("KiB, checked"), "{said}");
    run(DatabaseCommand::Check, &file.clone().into(), NOW).expect("good");
    let said = run(DatabaseCommand::Vacuum, store.location(), NOW).expect("done");
    assert!(said.ends_with("because the monitor is running"), "{said}");
}

#[test]
fn a_damaged_database_is_an_error_with_what_is_wrong() {
    let store = Store::scratch_file();
    store
        .add_machine(&crate::monitor::machine::Description { name: "barn".into(), ..Default::default() }, NOW)
        .expect("added");
    let copy = store.dir.path().join("damaged.db");
    store.backup(&copy).expect("copied");
    let mut bytes = std::fs::read(&copy).expect("readable");
    let at = bytes.windows(4).rposition(|window| window == b"barn").expect("in the table or its index");
    bytes[at] = b'c';
    std::fs::write(&copy, bytes).expect("damaged");
    let error = run(DatabaseCommand::Check, &copy.into(), NOW).expect_err("damaged").to_string();
    assert!(error.contains("damaged:\n  ") && error.contains("restore a backup"), "{error}");
}

#[test]
fn a_database_that_is_not_there_is_not_made_by_looking_at_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("monitor.db");
    let error =
        run(DatabaseCommand::Check, &path.clone().into(), NOW).expect_err("nothing there").to_string();
    assert!(error.contains("there is no such file"), "{error}");
    assert!(!path.exists());
}

/// As in a directory without permission, which root cannot try.
#[test]
fn an_unreadable_database_is_not_reported_as_missing() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("file");
    std::fs::write(&file, "").expect("a file");
    let path = file.join("monitor.db");
    let error = run(DatabaseCommand::Check, &path.into(), NOW).expect_err("no way there").to_string();
    assert!(error.ends_with("Not a directory (os error 20)"), "{error}");
    assert_eq!(error.matches("monitor.db").count(), 1, "its path is said once: {error}");
}

#[test]
fn sizes_are_shown_in_a_fitting_unit() {
    assert_eq!(size(0), "0.0 KiB");
    assert_eq!(size(200 * 1024), "200.0 KiB");
    assert_eq!(size(3 << 20), "3.0 MiB");
    assert_eq!(size(5 << 40), "5120.0 GiB");
}
