//! Devices that enrol: once per key, repeatedly with other keys, with the hardware id of another machine.

use super::*;
use crate::monitor::registry::lookup::{Denied, Registry};

const NOW: Moment = Moment(1_000_000);
const HOUR: Duration = Duration::from_secs(3600);

fn device<'a>(key: &'a Token, hardware_id: &'a str) -> Enrolment<'a> {
    Enrolment { key: key.as_str(), hardware_id, hostname: Some("barn-cam") }
}

fn set_status(store: &Store, status: MachineStatus) {
    store
        .write(|tx| Ok(tx.execute("UPDATE machine_state SET status = ?1", [status as i64])?))
        .expect("a status");
}

#[test]
fn a_key_makes_a_machine_of_a_device_once() {
    let store = Store::scratch();
    let key = store.add_key(HOUR, Some("farm"), NOW, &|_| Ok(())).expect("a key");
    let enrolled = store.enroll(&device(&key, "10000000a5bd2dd2"), NOW).expect("enrolled");
    assert_eq!(enrolled.name, "barn-cam");
    let machine = store.machine(enrolled.machine, NOW).expect("read").expect("there");
    assert_eq!(machine.group.as_deref(), Some("farm"));
    assert_eq!(machine.hardware_id.as_deref(), Some("10000000a5bd2dd2"));
    let registry = Registry::load(&store).expect("loaded");
    assert_eq!(registry.authenticate(enrolled.token.as_str(), NOW), Ok(enrolled.machine));
    assert_eq!(store.enroll(&device(&key, "another"), NOW), Err(unusable()));
}

#[test]
fn an_unknown_an_expired_and_a_removed_key_are_refused_alike() {
    let store = Store::scratch();
    let key = store.add_key(HOUR, None, NOW, &|_| Ok(())).expect("a key");
    assert_eq!(store.enroll(&device(&key, "a"), NOW.plus(HOUR)), Err(unusable()));
    let strange = Token::make(TokenUse::Enrol).expect("random numbers");
    assert_eq!(store.enroll(&device(&strange, "a"), NOW), Err(unusable()));
    let id = store.keys(NOW).expect("listed")[0].id;
    store.remove_key(id).expect("removed");
    assert_eq!(store.enroll(&device(&key, "a"), NOW), Err(unusable()));
    assert_eq!(store.machines_page(None, 10, NOW), Ok(vec![]));
}

#[test]
fn a_device_with_a_reflashed_card_is_the_same_machine_with_a_new_token() {
    let store = Store::scratch();
    let key = store.add_key(HOUR, None, NOW, &|_| Ok(())).expect("a key");
    let first = store.enroll(&device(&key, "a"), NOW).expect("enrolled");
    set_status(&store, MachineStatus::Offline);
    let key = store.add_key(HOUR, None, NOW, &|_| Ok(())).expect("another key");
    let second = store.enroll(&device(&key, "a"), NOW).expect("enrolled again");
    assert_eq!((second.machine, &second.name), (first.machine, &first.name));
    let registry = Registry::load(&store).expect("loaded");
    assert_eq!(registry.authenticate(first.token.as_str(), NOW), Err(Denied::Unknown));
    assert_eq!(registry.authenticate(second.token.as_str(), NOW), Ok(first.machine));
}

#[test]
fn a_mac_address_with_or_without_colons_is_the_same_device() {
    let store = Store::scratch();
    let enrol = |hardware_id: &str| {
        let key = store.add_key(HOUR, None, NOW, &|_| Ok(())).expect("a key");
        store.enroll(&device(&key, hardware_id), NOW).expect("enrolled").machine
    };
    let first = enrol("b8:27:eb:00:00:03");
    for again in ["b827eb000003", "B8:27:EB:00:00:03", "b8-27-eb-00-00-03"] {
        set_status(&store, MachineStatus::Offline);
        assert_eq!(enrol(again), first, "{again}");
    }
    let machine = store.machine(first, NOW).expect("read").expect("there");
    assert_eq!(machine.hardware_id.as_deref(), Some("b827eb000003"));
    assert_ne!(enrol("b827eb000004"), first);
}

#[test]
fn the_hardware_id_of_an_online_machine_cannot_enrol_until_its_tokens_are_revoked() {
    let store = Store::scratch();
    let key = store.add_key(HOUR, None, NOW, &|_| Ok(())).expect("a key");
    let first = store.enroll(&device(&key, "a"), NOW).expect("enrolled");
    set_status(&store, MachineStatus::Online);
    let key = store.add_key(HOUR, None, NOW, &|_| Ok(())).expect("another key");
    let refused = store.enroll(&device(&key, "a"), NOW).expect_err("online").to_string();
    assert!(refused.contains("is online; heartbeat-monitor machine revoke 1"), "{refused}");
    let registry = Registry::load(&store).expect("loaded");
    assert_eq!(registry.authenticate(first.token.as_str(), NOW), Ok(first.machine));
    store.revoke("1", NOW).expect("revoked");
    store.enroll(&device(&key, "a"), NOW).expect("the key was not used up by the refusal");
}

#[test]
fn a_device_may_reuse_its_key_until_its_first_beat() {
    let store = Store::scratch();
    let key = store.add_key(HOUR, None, NOW, &|_| Ok(())).expect("a key");
    let lost = store.enroll(&device(&key, "a"), NOW).expect("enrolled");
    let again = store.enroll(&device(&key, "a"), NOW).expect("enrolled again");
    assert_eq!(lost.machine, again.machine);
    let registry = Registry::load(&store).expect("loaded");
    assert_eq!(registry.authenticate(lost.token.as_str(), NOW), Err(Denied::Unknown));
    set_status(&store, MachineStatus::Offline);
    assert_eq!(store.enroll(&device(&key, "a"), NOW), Err(unusable()));
}

#[test]
fn a_disabled_machine_cannot_enrol() {
    let store = Store::scratch();
    let key = store.add_key(HOUR, None, NOW, &|_| Ok(())).expect("a key");
    store.enroll(&device(&key, "a"), NOW).expect("enrolled");
    store.disable_machine("barn-cam", NOW).expect("disabled");
    let key = store.add_key(HOUR, None, NOW, &|_| Ok(())).expect("another key");
    assert_eq!(
        store.enroll(&device(&key, "a"), NOW),
        Err(Refused::because("machine \"barn-cam\" is disabled"))
    );
}

#[test]
fn devices_with_the_same_or_no_hostname_get_unique_names() {
    let store = Store::scratch();
    let enrol = |hardware_id: &str, hostname: Option<&str>| {
        let key = store.add_key(HOUR, None, NOW, &|_| Ok(())).expect("a key");
        let device = Enrolment { key: key.as_str(), hardware_id, hostname };
        store.enroll(&device, NOW).expect("enrolled").name
    };
    assert_eq!(enrol("a1", Some("raspberrypi")), "raspberrypi");
    assert_eq!(enrol("a2", Some("raspberrypi")), "raspberrypi-a2");
    assert_eq!(enrol("a3", None), "device-a3");
    assert_eq!(enrol("a4", Some("12")), "12-a4", "a number alone would be an id");
    assert_eq!(enrol("a5", Some("no\nhost")), "device-a5");
    assert_eq!(enrol("a6", Some(&"x".repeat(200))), "device-a6");
    let taken = Description { name: "device-a7".into(), ..Description::default() };
    store.add_machine(&taken, NOW).expect("added");
    assert!(enrol("a7", None).starts_with("device-a7-"));
}

#[test]
fn a_device_without_a_usable_id_is_refused_and_its_key_stays_valid() {
    let store = Store::scratch();
    let key = store.add_key(HOUR, None, NOW, &|_| Ok(())).expect("a key");
    for hardware_id in ["", "a b", "a\n", "ä", &"0".repeat(65)] {
        store.enroll(&device(&key, hardware_id), NOW).expect_err(hardware_id);
    }
    store.enroll(&device(&key, "a"), NOW).expect("enrolled");
}

#[test]
fn expired_keys_and_tokens_are_removed() {
    let store = Store::scratch();
    store.add_key(HOUR, None, NOW, &|_| Ok(())).expect("a key");
    store.add_machine(&Description { name: "gate".into(), ..Description::default() }, NOW).expect("added");
    store.rotate("gate", HOUR, NOW, &|_| Ok(())).expect("rotated");
    assert_eq!(store.forget_expired(NOW), Ok(0));
    assert_eq!(store.forget_expired(NOW.plus(HOUR)), Ok(1), "the key");
    assert_eq!(store.forget_expired(NOW.plus(30 * 24 * HOUR)), Ok(0), "a replaced token is recognised");
    assert_eq!(store.forget_expired(NOW.plus(31 * 24 * HOUR)), Ok(1));
}

#[test]
fn a_hundred_devices_with_one_key_make_one_machine() {
    let store = Store::scratch();
    let key = store.add_key(HOUR, None, NOW, &|_| Ok(())).expect("a key");
    let enrolled = std::thread::scope(|scope| {
        let enrol = |n: usize| {
            let (store, key) = (&store, &key);
            scope.spawn(move || store.enroll(&device(key, &format!("a{n}")), NOW).is_ok())
        };
        let threads: Vec<_> = (0..100).map(enrol).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).filter(|&ok| ok).count()
    });
    assert_eq!(enrolled, 1);
    assert_eq!(store.machines_page(None, 10, NOW).expect("listed").len(), 1);
}
