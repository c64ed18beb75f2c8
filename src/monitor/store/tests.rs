//! Databases that are new, in use, damaged, removed, of another program, of another version.

use super::*;

fn count(store: &Store) -> i64 {
    store.read(|c| Ok(c.query_row("SELECT count(*) FROM machine", [], |r| r.get(0))?)).expect("read")
}

fn add(store: &Store, name: &str) -> Result<(), StoreError> {
    store.write(|tx| {
        tx.execute("INSERT INTO machine (name, created_at) VALUES (?1, 0)", [name])?;
        Ok(())
    })
}

#[test]
fn a_new_database_is_made_whole_and_opened_again_with_what_is_in_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("state").join("monitor.db");
    let store = Store::open_for_serving(&path, Moment(0)).expect("made");
    add(&store, "barn").expect("written");
    assert_eq!(count(&store), 1);
    drop(store);
    let store = Store::open_for_serving(&path, Moment(0)).expect("opened again");
    assert_eq!(count(&store), 1);
    let left: Vec<String> = fs::read_dir(path.parent().expect("a parent"))
        .expect("listed")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
        .filter(|name| name.contains(".new-"))
        .collect();
    assert_eq!(left, Vec::<String>::new());
}

#[test]
fn what_another_process_writes_is_noticed_once_and_ones_own_writing_never() {
    let scratch = Store::scratch();
    add(&scratch, "barn").expect("written");
    assert_eq!(scratch.changed_outside(), Ok(false));
    let beside = Store::open_beside(scratch.path(), Moment(0)).expect("opened beside the server");
    assert_eq!(scratch.changed_outside(), Ok(false), "opening changes nothing");
    add(&beside, "gate").expect("written beside the server");
    assert_eq!(scratch.changed_outside(), Ok(true));
    assert_eq!(scratch.changed_outside(), Ok(false));
    assert_eq!(count(&scratch), 2);
}

#[test]
fn an_error_in_a_transaction_undoes_all_of_it_and_the_next_one_works() {
    let scratch = Store::scratch();
    let failed = scratch.write(|tx| {
        tx.execute("INSERT INTO machine (name, created_at) VALUES ('barn', 0)", [])?;
        tx.execute("INSERT INTO no_such_table VALUES (1)", [])?;
        Ok(())
    });
    assert!(matches!(failed, Err(StoreError::Other(_))), "{failed:?}");
    assert_eq!(count(&scratch), 0);
    add(&scratch, "barn").expect("works again");
}

#[test]
fn who_reads_cannot_write() {
    let scratch = Store::scratch();
    let wrote = scratch.read(|c| Ok(c.execute("DELETE FROM machine", [])?));
    assert_eq!(wrote, Err(StoreError::ReadOnly));
}

#[test]
fn what_refers_to_a_machine_goes_with_it_on_every_connection() {
    let scratch = Store::scratch();
    add(&scratch, "barn").expect("written");
    let stray = scratch.write(|tx| Ok(tx.execute("INSERT INTO machine_tag VALUES (99, 'x')", [])?));
    assert!(matches!(stray, Err(StoreError::Other(_))), "{stray:?}");
    scratch.write(|tx| Ok(tx.execute("INSERT INTO machine_tag VALUES (1, 'x')", [])?)).expect("tagged");
    scratch.write(|tx| Ok(tx.execute("DELETE FROM machine", [])?)).expect("removed");
    let tags: i64 = scratch
        .read(|c| Ok(c.query_row("SELECT count(*) FROM machine_tag", [], |r| r.get(0))?))
        .expect("read");
    assert_eq!(tags, 0);
}
