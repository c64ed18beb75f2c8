//! Devices that enrol: once per key, repeatedly with other keys, with the hardware id of another machine.

use super::*;
use crate::monitor::machine::Description;
use crate::monitor::registry::lookup::{Denied, Registry};
use crate::monitor::registry::token::TokenUse;
use crate::monitor::store::sql::params;
use std::time::Duration;

const NOW: Moment = Moment(1_000_000);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

fn device<'a>(key: &'a Token, hardware_id: &'a str) -> Enrolment<'a> {
    Enrolment { credential: key.as_str(), hardware_id, hostname: Some("barn-cam"), token: None }
}

/// For devices that do not have to wait.
trait EnrolNow {
    fn enrol_now(&self, device: &Enrolment<'_>, now: Moment) -> Result<Enrolled, Refused>;
}

impl EnrolNow for Store {
    fn enrol_now(&self, device: &Enrolment<'_>, now: Moment) -> Result<Enrolled, Refused> {
        self.enroll(device, now).map(|result| match result {
            EnrolmentResult::Enrolled(enrolled) => enrolled,
            EnrolmentResult::Waiting(reason) => panic!("waits: {reason:?}"),
        })
    }
}

fn set_status(store: &Store, status: MachineStatus) {
    store
        .write(|tx| tx.execute("UPDATE machine_state SET status = ?1", params![status as i64]))
        .expect("a status");
}

#[test]
fn a_key_makes_a_machine_of_a_device_once() {
    let store = Store::scratch();
    let key = store.add_key(&NewKey::one(HOUR, Some("farm")), NOW, &|_| Ok(())).expect("a key");
    let enrolled = store.enrol_now(&device(&key, "10000000a5bd2dd2"), NOW).expect("enrolled");
    assert_eq!(enrolled.name, "barn-cam");
    let machine = store.machine(enrolled.machine, NOW).expect("read").expect("there");
    assert_eq!(machine.group.as_deref(), Some("farm"));
    assert_eq!(machine.hardware_id.as_deref(), Some("10000000a5bd2dd2"));
    let registry = Registry::load(&store).expect("loaded");
    assert_eq!(registry.authenticate(enrolled.token.expect("made").as_str(), NOW), Ok(enrolled.machine));
    assert_eq!(store.enrol_now(&device(&key, "another"), NOW), Err(unusable()));
}

#[test]
fn an_unknown_an_expired_and_a_removed_key_are_refused_alike() {
    let store = Store::scratch();
    let key = store.add_key(&NewKey::one(HOUR, None), NOW, &|_| Ok(())).expect("a key");
    assert_eq!(store.enrol_now(&device(&key, "a"), NOW.plus(HOUR)), Err(unusable()));
    let strange = Token::make(TokenUse::Enrol).expect("random numbers");
    assert_eq!(store.enrol_now(&device(&strange, "a"), NOW), Err(unusable()));
    let id = store.keys(NOW).expect("listed")[0].id;
    store.remove_key(id).expect("removed");
    assert_eq!(store.enrol_now(&device(&key, "a"), NOW), Err(unusable()));
    assert_eq!(store.machines_page(None, 10, NOW), Ok(vec![]));
}

#[test]
fn a_device_with_a_reflashed_card_is_the_same_machine_with_a_new_token() {
    let store = Store::scratch();
    let key = store.add_key(&NewKey::one(HOUR, None), NOW, &|_| Ok(())).expect("a key");
    let first = store.enrol_now(&device(&key, "a"), NOW).expect("enrolled");
    set_status(&store, MachineStatus::Offline);
    let key = store.add_key(&NewKey::one(HOUR, None), NOW, &|_| Ok(())).expect("another key");
    let second = store.enrol_now(&device(&key, "a"), NOW).expect("enrolled again");
    assert_eq!((second.machine, &second.name), (first.machine, &first.name));
    let registry = Registry::load(&store).expect("loaded");
    assert_eq!(registry.authenticate(first.token.expect("made").as_str(), NOW), Err(Denied::Unknown));
    assert_eq!(registry.authenticate(second.token.expect("made").as_str(), NOW), Ok(first.machine));
}

#[test]
fn a_mac_address_with_or_without_colons_is_the_same_device() {
    let store = Store::scratch();
    let enrol = |hardware_id: &str| {
        let key = store.add_key(&NewKey::one(HOUR, None), NOW, &|_| Ok(())).expect("a key");
        store.enrol_now(&device(&key, hardware_id), NOW).expect("enrolled").machine
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
    let key = store.add_key(&NewKey::one(HOUR, None), NOW, &|_| Ok(())).expect("a key");
    let first = store.enrol_now(&device(&key, "a"), NOW).expect("enrolled");
    set_status(&store, MachineStatus::Online);
    let key = store.add_key(&NewKey::one(HOUR, None), NOW, &|_| Ok(())).expect("another key");
    let refused = store.enrol_now(&device(&key, "a"), NOW).expect_err("online").to_string();
    assert!(refused.contains("is online; heartbeat-monitor machine revoke 1"), "{refused}");
    let registry = Registry::load(&store).expect("loaded");
    assert_eq!(registry.authenticate(first.token.expect("made").as_str(), NOW), Ok(first.machine));
    store.revoke("1", NOW).expect("revoked");
    store.enrol_now(&device(&key, "a"), NOW).expect("the key was not used up by the refusal");
}

#[test]
fn a_device_may_reuse_its_key_until_its_first_beat() {
    let store = Store::scratch();
    let key = store.add_key(&NewKey::one(HOUR, None), NOW, &|_| Ok(())).expect("a key");
    let lost = store.enrol_now(&device(&key, "a"), NOW).expect("enrolled");
    let again = store.enrol_now(&device(&key, "a"), NOW).expect("enrolled again");
    assert_eq!(lost.machine, again.machine);
    let registry = Registry::load(&store).expect("loaded");
    assert_eq!(registry.authenticate(lost.token.expect("made").as_str(), NOW), Err(Denied::Unknown));
    set_status(&store, MachineStatus::Offline);
    assert_eq!(store.enrol_now(&device(&key, "a"), NOW), Err(unusable()));
}

#[test]
fn a_disabled_machine_cannot_enrol() {
    let store = Store::scratch();
    let key = store.add_key(&NewKey::one(HOUR, None), NOW, &|_| Ok(())).expect("a key");
    store.enrol_now(&device(&key, "a"), NOW).expect("enrolled");
    store.disable_machine("barn-cam", NOW).expect("disabled");
    let key = store.add_key(&NewKey::one(HOUR, None), NOW, &|_| Ok(())).expect("another key");
    assert_eq!(
        store.enrol_now(&device(&key, "a"), NOW),
        Err(Refused::because("machine \"barn-cam\" is disabled"))
    );
}

#[test]
fn devices_with_the_same_or_no_hostname_get_unique_names() {
    let store = Store::scratch();
    let enrol = |hardware_id: &str, hostname: Option<&str>| {
        let key = store.add_key(&NewKey::one(HOUR, None), NOW, &|_| Ok(())).expect("a key");
        let device = Enrolment { credential: key.as_str(), hardware_id, hostname, token: None };
        store.enrol_now(&device, NOW).expect("enrolled").name
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
    let key = store.add_key(&NewKey::one(HOUR, None), NOW, &|_| Ok(())).expect("a key");
    for hardware_id in ["", "a b", "a\n", "ä", &"0".repeat(65)] {
        store.enrol_now(&device(&key, hardware_id), NOW).expect_err(hardware_id);
    }
    store.enrol_now(&device(&key, "a"), NOW).expect("enrolled");
}

#[test]
fn expired_keys_and_tokens_are_removed() {
    let store = Store::scratch();
    store.add_key(&NewKey::one(HOUR, None), NOW, &|_| Ok(())).expect("a key");
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
    let key = store.add_key(&NewKey::one(HOUR, None), NOW, &|_| Ok(())).expect("a key");
    let enrolled = std::thread::scope(|scope| {
        let enrol = |n: usize| {
            let (store, key) = (&store, &key);
            scope.spawn(move || store.enrol_now(&device(key, &format!("a{n}")), NOW).is_ok())
        };
        let threads: Vec<_> = (0..100).map(enrol).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).filter(|&ok| ok).count()
    });
    assert_eq!(enrolled, 1);
    assert_eq!(store.machines_page(None, 10, NOW).expect("listed").len(), 1);
}

const TOKEN: &str = "0123456789012345678901234567890123456789abc";
const OTHER_TOKEN: &str = "abc0123456789012345678901234567890123456789";

fn with_token<'a>(key: &'a Token, hardware_id: &'a str, token: &'a str) -> Enrolment<'a> {
    Enrolment { token: Some(token), ..device(key, hardware_id) }
}

fn waits(result: Result<EnrolmentResult, Refused>) -> WaitReason {
    match result.expect("accepted") {
        EnrolmentResult::Waiting(reason) => reason,
        EnrolmentResult::Enrolled(enrolled) => panic!("let in: {enrolled:?}"),
    }
}

fn key_for(store: &Store, uses: u32, needs_approval: bool) -> Token {
    let new = NewKey { uses, needs_approval, ..NewKey::one(HOUR, Some("farm")) };
    store.add_key(&new, NOW, &|_| Ok(())).expect("a key")
}

#[test]
fn a_device_repeats_its_request_with_its_token_and_is_the_same_machine() {
    let store = Store::scratch();
    let key = key_for(&store, 1, false);
    let first = store.enrol_now(&with_token(&key, "a", TOKEN), NOW).expect("enrolled");
    assert_eq!(first.token, None, "the device has it");
    let later = NOW.plus(2 * HOUR);
    let again = store.enrol_now(&with_token(&key, "a", TOKEN), later).expect("the same, after the key's end");
    assert_eq!(again.machine, first.machine);
    let registry = Registry::load(&store).expect("loaded");
    assert_eq!(registry.authenticate(TOKEN, NOW), Ok(first.machine));
    assert_eq!(store.enroll(&with_token(&key, "b", OTHER_TOKEN), NOW), Err(unusable()));
    for token in ["short", &"x".repeat(129), &"ä".repeat(43)] {
        store.enroll(&with_token(&key, "a", token), NOW).expect_err(token);
    }
}

#[test]
fn a_key_for_many_lets_in_as_many_and_hands_no_machine_over() {
    let store = Store::scratch();
    let key = key_for(&store, 3, false);
    let first = store.enrol_now(&with_token(&key, "a", TOKEN), NOW).expect("enrolled");
    set_status(&store, MachineStatus::Offline);
    assert_eq!(waits(store.enroll(&with_token(&key, "a", OTHER_TOKEN), NOW)), WaitReason::KnownBoard);
    store.enroll(&device(&key, "a"), NOW).expect_err("without a token of its own it cannot wait");
    store.enrol_now(&device(&key, "c"), NOW).expect("the third use");
    assert_eq!(store.enroll(&device(&key, "d"), NOW), Err(unusable()));
    assert_eq!(store.keys(NOW).expect("listed")[0].uses, (3, 3));
    let request = &store.enrolment_requests(NOW).expect("listed")[0];
    assert_eq!(request.machine.as_ref().map(|(id, _)| *id), Some(first.machine));
    store.approve_request(request.id, &Approval::New(None), NOW).expect_err("the hardware id is taken");
    store.approve_request(request.id, &Approval::Replaces("barn-cam".into()), NOW).expect("approved");
    let registry = Registry::load(&store).expect("loaded");
    assert_eq!(registry.authenticate(OTHER_TOKEN, NOW), Ok(first.machine));
    assert_eq!(registry.authenticate(TOKEN, NOW), Err(Denied::Unknown), "the old device");
}

#[test]
fn a_device_waits_until_it_is_approved_or_rejected() {
    let store = Store::scratch();
    let key = key_for(&store, 2, true);
    for _ in 0..3 {
        assert_eq!(waits(store.enroll(&with_token(&key, "a", TOKEN), NOW)), WaitReason::Approval);
    }
    assert_eq!(waits(store.enroll(&with_token(&key, "b", OTHER_TOKEN), NOW)), WaitReason::Approval);
    let waiting = store.enrolment_requests(NOW).expect("listed");
    assert_eq!(waiting.len(), 2, "asking again is the same request");
    assert_eq!(waiting[0].group.as_deref(), Some("farm"));
    let name =
        store.approve_request(waiting[0].id, &Approval::New(Some("gate".into())), NOW).expect("approved");
    assert_eq!(name, "gate");
    assert_eq!(store.enrol_now(&with_token(&key, "a", TOKEN), NOW).expect("let in").name, "gate");
    store.reject_request(waiting[1].id, NOW).expect("rejected");
    store.reject_request(waiting[1].id, NOW).expect_err("nobody waits");
    assert!(store.enrolment_requests(NOW).expect("listed").iter().all(|request| request.is_rejected));
}

#[test]
fn who_was_turned_away_stays_away_until_a_person_decides_otherwise() {
    let store = Store::scratch();
    let many = key_for(&store, 9, true);
    let rejected = || Err(Refused::because(REJECTED));
    let token = |number: i64| format!("{number:043}");
    for (number, board) in (1..).zip(["a", "b", "c"]) {
        let token = token(number);
        let request = with_token(&many, board, &token);
        assert_eq!(waits(store.enroll(&request, NOW)), WaitReason::Approval);
        store.reject_request(number, NOW).expect("rejected");
        assert_eq!(store.enroll(&request, NOW), rejected(), "the key is valid, and it is the same device");
    }
    let single = key_for(&store, 1, false);
    assert_eq!(store.enrol_now(&with_token(&single, "a", &token(1)), NOW).expect("let in").name, "barn-cam");
    store.approve_request(2, &Approval::New(Some("gate".into())), NOW).expect("approved after all");
    assert_eq!(store.enrol_now(&with_token(&many, "b", &token(2)), NOW).expect("let in").name, "gate");
    let strange = Token::make(TokenUse::Enrol).expect("random numbers");
    assert_eq!(store.enroll(&with_token(&strange, "c", &token(3)), NOW), rejected());
}

#[test]
fn a_card_that_was_turned_away_is_not_listed_as_new_with_each_request() {
    let store = Store::scratch();
    let old = store.enrol_now(&device(&key_for(&store, 1, false), "a"), NOW).expect("enrolled");
    let card = old.token.expect("made");
    assert_eq!(waits(store.enroll(&with_token(&card, "b", TOKEN), NOW)), WaitReason::OtherBoard);
    store.reject_request(1, NOW).expect("rejected");
    for day in 1..=10 {
        let now = NOW.plus(DAY * day);
        assert_eq!(store.enroll(&with_token(&card, "b", TOKEN), now), Err(Refused::because(REJECTED)));
        assert_eq!(store.enrolment_requests(now).expect("listed").len(), 1);
    }
}

#[test]
fn a_moved_card_waits_and_replaces_its_machine_or_becomes_a_new_one() {
    let store = Store::scratch();
    let old = store.enrol_now(&device(&key_for(&store, 1, false), "a"), NOW).expect("enrolled");
    let card = old.token.expect("made");
    assert_eq!(waits(store.enroll(&with_token(&card, "b", TOKEN), NOW)), WaitReason::OtherBoard);
    assert_eq!(waits(store.enroll(&with_token(&card, "c", OTHER_TOKEN), NOW)), WaitReason::OtherBoard);
    let registry = Registry::load(&store).expect("loaded");
    assert_eq!(registry.authenticate(card.as_str(), NOW), Ok(old.machine), "nothing has changed yet");
    let waiting = store.enrolment_requests(NOW).expect("listed");
    store.approve_request(waiting[0].id, &Approval::Replaces("barn-cam".into()), NOW).expect("replaced");
    store.approve_request(waiting[1].id, &Approval::New(None), NOW).expect("added");
    let registry = Registry::load(&store).expect("loaded");
    assert_eq!(registry.authenticate(TOKEN, NOW), Ok(old.machine));
    assert_eq!(registry.authenticate(card.as_str(), NOW), Err(Denied::Unknown));
    assert!(registry.authenticate(OTHER_TOKEN, NOW).is_ok_and(|machine| machine != old.machine));
    let machine = store.machine(old.machine, NOW).expect("read").expect("there");
    assert_eq!(machine.hardware_id.as_deref(), Some("b"));
}

#[test]
fn who_waits_is_bounded_and_forgotten_after_a_week_of_silence() {
    let store = Store::scratch();
    let key = key_for(&store, 10_000, true);
    let token = |n: usize| format!("{n:043}");
    for n in 0..1000 {
        waits(store.enroll(&with_token(&key, &format!("a{n}"), &token(n)), NOW));
    }
    let refused = store.enroll(&with_token(&key, "b", &token(1000)), NOW).expect_err("too many").to_string();
    assert!(refused.contains("1000 devices wait"), "{refused}");
    let later = NOW.plus(7 * 24 * HOUR);
    assert_eq!(store.enrolment_requests(later), Ok(Vec::new()));
}
