//! Machines as people add, change, find, pause and remove them.

use super::*;
use crate::monitor::notify::delivery_state::DeliveryState;
use crate::monitor::registry::watching::Resumed;

const NOW: Moment = Moment(1_000_000);
const HOUR: Duration = Duration::from_secs(3600);

fn named(name: &str) -> Description {
    Description { name: name.into(), ..Description::default() }
}

fn sentence<T: std::fmt::Debug>(result: Result<T, Refused>) -> String {
    match result.expect_err("refused") {
        Refused::Request(sentence) => sentence,
        other => panic!("not a refusal: {other:?}"),
    }
}

fn number(store: &Store, sql: &str) -> i64 {
    store.read(|connection| connection.query_row(sql, &[], |row| row.get(0))).expect("a number")
}

#[test]
fn a_machine_is_listed_as_it_was_added() {
    let store = Store::scratch();
    let new = Description {
        name: "barn".into(),
        hostname: Some("barn-cam".into()),
        description: Some("above the door".into()),
        group: Some("farm".into()),
        tags: vec!["pi5".into(), "camera".into()],
        threshold: Some(Duration::from_secs(300)),
        device_key: Some("BARN".into()),
    };
    let (id, _) = store.add_machine(&new, NOW).expect("added");
    let machine = store.machine(id, NOW).expect("read").expect("there");
    let expected = Machine {
        id,
        name: "barn".into(),
        hostname: Some("barn-cam".into()),
        description: Some("above the door".into()),
        group: Some("farm".into()),
        tags: vec!["camera".into(), "pi5".into()],
        hardware_id: None,
        device_key: Some("BARN".into()),
        threshold: Some(Duration::from_secs(300)),
        status: MachineStatus::New,
        watched: true,
        last_seen: None,
        since: NOW,
        created_at: NOW,
        paused_until: None,
        behind: None,
    };
    assert_eq!(machine, expected);
    assert_eq!(store.machine_called("barn", NOW), Ok(expected));
    assert_eq!(store.machine(MachineId(99), NOW), Ok(None));
}

#[test]
fn a_token_is_stored_as_its_hash_only() {
    let store = Store::scratch();
    let (_, token) = store.add_machine(&named("barn"), NOW).expect("added");
    let hash: [u8; 32] = store
        .read(|connection| connection.query_row("SELECT hash FROM device_token", &[], |row| row.get(0)))
        .expect("a hash");
    assert_eq!(hash, token.hash().0);
    for entry in std::fs::read_dir(store.dir.path()).expect("listed") {
        let path = entry.expect("an entry").path();
        let bytes = std::fs::read(&path).expect("readable");
        let found = bytes.windows(43).any(|window| window == token.as_str().as_bytes());
        assert!(!found, "{}", path.display());
    }
}

#[test]
fn an_invalid_change_is_refused_with_one_sentence_and_stores_nothing() {
    let store = Store::scratch();
    store.add_machine(&Description { device_key: Some("K".into()), ..named("barn") }, NOW).expect("added");
    assert_eq!(sentence(store.add_machine(&named("barn"), NOW)), "machine 1 has the name \"barn\" already");
    let second = Description { device_key: Some("K".into()), ..named("gate") };
    assert_eq!(sentence(store.add_machine(&second, NOW)), "machine 1 has the device key \"K\" already");
    let never = Description { threshold: Some(Duration::ZERO), ..named("gate") };
    assert!(sentence(store.add_machine(&never, NOW)).starts_with("threshold \"0s\" must be from"));
    sentence(store.add_machine(&named("12"), NOW));
    let many = Description { tags: (0..33).map(|n| format!("t{n}")).collect(), ..named("gate") };
    assert_eq!(sentence(store.add_machine(&many, NOW)), "a machine has at most 32 tags");
    assert_eq!(number(&store, "SELECT count(*) FROM machine"), 1);
    assert_eq!(number(&store, "SELECT count(*) FROM device_token"), 1);
}

#[test]
fn a_machine_is_found_by_its_name_or_number_and_an_unknown_one_is_named_harmlessly() {
    let store = Store::scratch();
    let (id, _) = store.add_machine(&named("+1"), NOW).expect("added");
    let (second, _) = store.add_machine(&named("2nd"), NOW).expect("added");
    assert_eq!(store.machine_called("1", NOW).map(|m| m.id), Ok(id));
    assert_eq!(store.machine_called("+1", NOW).map(|m| m.id), Ok(id));
    assert_eq!(store.machine_called("2nd", NOW).map(|m| m.id), Ok(second));
    for which in ["", "3", "99999999999999999999", "-1", "2ND", "' OR 1=1 --"] {
        sentence(store.machine_called(which, NOW));
    }
    let shown = sentence(store.machine_called("\u{1b}[31m", NOW));
    assert!(!shown.contains('\u{1b}'), "{shown:?}");
}

#[test]
fn a_change_touches_what_it_names_and_leaves_the_rest() {
    let store = Store::scratch();
    let new = Description { group: Some("farm".into()), tags: vec!["a".into(), "b".into()], ..named("barn") };
    store.add_machine(&new, NOW).expect("added");
    let change = MachineChange {
        name: Some("stable".into()),
        threshold: Some(Some(Duration::from_secs(300))),
        group: Some(None),
        tag: vec!["c".into(), "b".into()],
        untag: vec!["a".into(), "z".into()],
        ..MachineChange::default()
    };
    let machine = store.change_machine("barn", &change).expect("changed");
    assert_eq!((machine.name.as_str(), machine.group), ("stable", None));
    assert_eq!(machine.tags, ["b", "c"]);
    assert_eq!(machine.threshold, Some(Duration::from_secs(300)));
    let back = MachineChange { threshold: Some(None), ..MachineChange::default() };
    assert_eq!(store.change_machine("stable", &back).expect("changed").threshold, None);
    store.add_machine(&named("gate"), NOW).expect("added");
    let taken = MachineChange { name: Some("gate".into()), ..MachineChange::default() };
    sentence(store.change_machine("stable", &taken));
    store.change_machine("gate", &taken).expect("its own name is not another's");
}

#[test]
fn a_pause_ends_in_time_or_by_command_and_a_second_one_replaces_it() {
    let store = Store::scratch();
    let (id, _) = store.add_machine(&named("barn"), NOW).expect("added");
    let until = |at: Moment| store.machine(id, at).expect("read").expect("there").paused_until;
    let first = store.pause_machine("barn", 2 * HOUR, Some("new roof"), NOW).expect("paused");
    assert_eq!(first, NOW.plus(2 * HOUR));
    assert_eq!(until(NOW), Some(first));
    assert_eq!(until(first), None);
    let second = store.pause_machine("barn", HOUR, None, NOW.plus(Duration::from_secs(1))).expect("paused");
    assert_eq!(until(NOW.plus(Duration::from_secs(2))), Some(second), "the shorter one counts");
    let later = NOW.plus(Duration::from_secs(10));
    assert_eq!(store.resume_machine("barn", later), Ok(Resumed::Ended));
    assert_eq!(until(later), None);
    assert_eq!(store.resume_machine("barn", later), Ok(Resumed::NotPaused));
    sentence(store.pause_machine("barn", Duration::from_secs(1), None, NOW));
}

#[test]
fn disabling_skips_what_is_pending_and_leaves_the_outage_open() {
    let store = Store::scratch();
    let (id, _) = store.add_machine(&named("barn"), NOW).expect("added");
    store
        .write(|tx| {
            tx.execute_batch(
                "UPDATE machine_state SET status = 2, last_seen = 5;
                 INSERT INTO incident (id, machine_id, planned, last_seen, began_at) VALUES (7, 1, FALSE, 5, 6);
                 INSERT INTO recipient (id, name, events) VALUES (1, 'ops', '[]');
                 INSERT INTO channel (id, recipient_id, kind, target, created_at) VALUES (1, 1, 'ntfy', 'x', 0);
                 INSERT INTO outbox (channel_id, machine_id, incident_id, event, content, created_at, due_at,
                                     expires_at, state)
                 VALUES (1, 1, 7, 'offline', '{}', 0, 0, 9, 2), (1, 1, 7, 'flapping', '{}', 0, 0, 9, 0);",
            )?;
            Ok(())
        })
        .expect("an outage");
    let later = NOW.plus(HOUR);
    store.disable_machine("barn", later).expect("disabled");
    store.disable_machine("barn", later.plus(HOUR)).expect("a second time is nothing new");
    let machine = store.machine(id, later).expect("read").expect("there");
    assert_eq!((machine.watched, machine.status, machine.since), (false, MachineStatus::New, later));
    assert_eq!(number(&store, "SELECT count(*) FROM incident WHERE ended_at IS NULL"), 1);
    assert_eq!(
        number(&store, "SELECT state FROM outbox WHERE event = 'offline'"),
        DeliveryState::Delivered as i64
    );
    assert_eq!(
        number(&store, "SELECT state FROM outbox WHERE event = 'flapping'"),
        DeliveryState::Skipped as i64
    );
    store.enable_machine("barn", later.plus(HOUR)).expect("enabled");
    let machine = store.machine(id, later).expect("read").expect("there");
    assert_eq!(
        (machine.watched, machine.status, machine.since),
        (true, MachineStatus::New, later.plus(HOUR))
    );
    assert_eq!(number(&store, "SELECT count(*) FROM event WHERE kind = 'disabled'"), 1);
}

#[test]
fn disabling_keeps_the_pending_end_of_an_outage_whose_beginning_was_delivered() {
    let store = Store::scratch();
    store.add_machine(&named("barn"), NOW).expect("added");
    store
        .write(|tx| {
            tx.execute_batch(
                "INSERT INTO incident (id, machine_id, planned, last_seen, began_at, ended_at) VALUES (7, 1, FALSE, 5, 6, 7);
                 INSERT INTO recipient (id, name, events) VALUES (1, 'ops', '[]');
                 INSERT INTO channel (id, recipient_id, kind, target, created_at)
                 VALUES (1, 1, 'ntfy', 'x', 0), (2, 1, 'ntfy', 'y', 0);
                 INSERT INTO outbox (channel_id, machine_id, incident_id, event, content, created_at, due_at,
                                     expires_at, state)
                 VALUES (1, 1, 7, 'offline', '{}', 0, 0, 9, 2), (1, 1, 7, 'online', '{}', 0, 0, 9, 0),
                        (2, 1, 7, 'offline', '{}', 0, 0, 9, 0), (2, 1, 7, 'online', '{}', 0, 0, 9, 0);",
            )?;
            Ok(())
        })
        .expect("an outage that is over, and a channel that got neither end of it yet");
    store.disable_machine("barn", NOW).expect("disabled");
    let state = |channel: i64| {
        number(&store, &format!("SELECT state FROM outbox WHERE event = 'online' AND channel_id = {channel}"))
    };
    assert_eq!(state(1), DeliveryState::Waiting as i64, "its recipient believes that the machine is offline");
    assert_eq!(state(2), DeliveryState::Skipped as i64, "its recipient was sent nothing");
}

#[test]
fn a_removed_machine_leaves_only_an_event_and_its_number_is_never_reused() {
    let store = Store::scratch();
    let new = Description { tags: vec!["a".into()], ..named("barn") };
    let (first, _) = store.add_machine(&new, NOW).expect("added");
    store.pause_machine("barn", HOUR, None, NOW).expect("paused");
    assert_eq!(store.remove_machine("barn", NOW), Ok(first));
    for table in ["machine", "machine_tag", "machine_state", "device_token", "maintenance"] {
        assert_eq!(number(&store, &format!("SELECT count(*) FROM {table}")), 0, "{table}");
    }
    assert_eq!(number(&store, "SELECT count(*) FROM event WHERE kind = 'removed'"), 1);
    let (second, _) = store.add_machine(&named("barn"), NOW).expect("added again");
    assert!(second > first);
}

#[test]
fn pages_follow_each_other_without_a_gap_while_machines_go() {
    let store = Store::scratch();
    for n in 0..10 {
        store.add_machine(&named(&format!("m{n}")), NOW).expect("added");
    }
    let page = |after, limit| store.machines_page(after, limit, NOW).expect("a page");
    let first = page(None, 4);
    assert_eq!(first.iter().map(|m| m.id.0).collect::<Vec<_>>(), [1, 2, 3, 4]);
    store.remove_machine("4", NOW).expect("removed");
    let second = page(Some(MachineId(4)), 4);
    assert_eq!(second.iter().map(|m| m.id.0).collect::<Vec<_>>(), [5, 6, 7, 8]);
    assert_eq!(page(Some(MachineId(8)), u32::MAX).len(), 2);
    assert_eq!(page(Some(MachineId(i64::MAX)), 4), []);
}

#[test]
fn a_machine_has_a_bounded_number_of_tokens() {
    let store = Store::scratch();
    store.add_machine(&named("barn"), NOW).expect("added");
    for _ in 0..7 {
        store.rotate("barn", HOUR, NOW, &|_| Ok(())).expect("rotated");
    }
    assert!(sentence(store.rotate("barn", HOUR, NOW, &|_| Ok(()))).contains("8 tokens"));
    store.rotate("barn", HOUR, NOW.plus(2 * HOUR), &|_| Ok(())).expect("the old ones have expired");
    assert_eq!(number(&store, "SELECT count(*) FROM device_token"), 2);
    sentence(store.rotate("barn", Duration::from_secs(32 * 86_400), NOW, &|_| Ok(())));
}

#[test]
fn read_tokens_have_names_of_their_own() {
    let store = Store::scratch();
    store.add_reader("grafana", NOW, &|_| Ok(())).expect("added");
    assert_eq!(
        sentence(store.add_reader("grafana", NOW, &|_| Ok(()))),
        "a read token has the name \"grafana\" already"
    );
    let names: Vec<String> = store.readers().expect("listed").into_iter().map(|reader| reader.name).collect();
    assert_eq!(names, ["grafana"]);
    store.remove_reader("grafana").expect("removed");
    sentence(store.remove_reader("grafana"));
}
