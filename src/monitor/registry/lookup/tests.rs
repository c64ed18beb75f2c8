//! Tokens that are right, wrong, replaced, revoked, and a great many of them.

use super::*;
use crate::monitor::machine::Description;
use crate::monitor::registry::token::{Token, TokenUse};
use std::time::{Duration, Instant};

const NOW: Moment = Moment(1_000_000);

fn barn() -> Description {
    Description { name: "barn".into(), ..Description::default() }
}

#[test]
fn only_a_token_identifies_its_machine() {
    let store = Store::scratch();
    let (barn, token) = store.add_machine(&barn(), NOW).expect("added");
    let gate =
        Description { name: "gate".into(), device_key: Some("GATE-1".into()), ..Description::default() };
    let (gate, gates) = store.add_machine(&gate, NOW).expect("added");
    let registry = Registry::load(&store).expect("loaded");
    assert_eq!(registry.machines(), 2);
    assert_eq!(registry.authenticate(token.as_str(), NOW), Ok(barn));
    assert_eq!(registry.authenticate(gates.as_str(), NOW), Ok(gate));
    assert_eq!(registry.device_key(gate), Some("GATE-1"));
    assert_eq!(registry.device_key(barn), None);
    let text = token.as_str();
    let longer = format!("{text}A");
    for wrong in
        ["", " ", "barn", &text[..42], &longer, &text.to_ascii_lowercase(), "\u{0}", &"A".repeat(100_000)]
    {
        assert_eq!(registry.authenticate(wrong, NOW), Err(Denied::Unknown), "{wrong:.50}");
    }
    assert_eq!(registry.reader(text), None, "a device may not read");
}

#[test]
fn an_empty_registry_accepts_no_token() {
    let registry = Registry::load(&Store::scratch()).expect("loaded");
    assert_eq!(registry.authenticate("", NOW), Err(Denied::Unknown));
    assert_eq!(Registry::default().authenticate("x", NOW), Err(Denied::Unknown));
    assert_eq!(registry.reader(""), None);
}

#[test]
fn a_replaced_token_is_valid_for_the_stated_time_and_no_longer() {
    let store = Store::scratch();
    let (barn, old) = store.add_machine(&barn(), NOW).expect("added");
    let (_, new) = store.rotate("barn", Duration::from_secs(60), NOW, &|_| Ok(())).expect("rotated");
    let registry = Registry::load(&store).expect("loaded");
    let end = NOW.plus(Duration::from_secs(60));
    assert_eq!(registry.authenticate(old.as_str(), end.minus(Duration::from_millis(1))), Ok(barn));
    assert_eq!(registry.authenticate(old.as_str(), end), Err(Denied::Expired(barn)));
    assert_eq!(registry.authenticate(new.as_str(), end), Ok(barn));
}

#[test]
fn a_token_replaced_without_overlap_or_revoked_is_refused_at_once() {
    let store = Store::scratch();
    let (_, old) = store.add_machine(&barn(), NOW).expect("added");
    let (barn, new) = store.rotate("barn", Duration::ZERO, NOW, &|_| Ok(())).expect("rotated");
    let registry = Registry::load(&store).expect("loaded");
    assert_eq!(registry.authenticate(old.as_str(), NOW), Err(Denied::Expired(barn)));
    assert_eq!(registry.authenticate(new.as_str(), NOW), Ok(barn));
    assert_eq!(store.revoke("barn", NOW), Ok((barn, 1)));
    let registry = Registry::load(&store).expect("loaded");
    assert_eq!(registry.authenticate(new.as_str(), NOW), Err(Denied::Unknown));
}

#[test]
fn a_second_rotation_does_not_extend_the_first_ones_expiry() {
    let store = Store::scratch();
    let (barn, old) = store.add_machine(&barn(), NOW).expect("added");
    store.rotate("barn", Duration::from_secs(60), NOW, &|_| Ok(())).expect("rotated");
    store.rotate("barn", Duration::from_secs(3600), NOW, &|_| Ok(())).expect("rotated");
    let registry = Registry::load(&store).expect("loaded");
    let later = NOW.plus(Duration::from_secs(61));
    assert_eq!(registry.authenticate(old.as_str(), later), Err(Denied::Expired(barn)));
}

#[test]
fn a_disabled_machine_is_refused_as_such_until_it_is_enabled() {
    let store = Store::scratch();
    let (barn, token) = store.add_machine(&barn(), NOW).expect("added");
    store.disable_machine("barn", NOW).expect("disabled");
    let disabled = Registry::load(&store).expect("loaded");
    assert_eq!(disabled.authenticate(token.as_str(), NOW), Err(Denied::Disabled));
    store.enable_machine("barn", NOW).expect("enabled");
    let enabled = Registry::load(&store).expect("loaded");
    assert_eq!(enabled.authenticate(token.as_str(), NOW), Ok(barn));
}

#[test]
fn a_reader_reads_and_is_no_device() {
    let store = Store::scratch();
    let grafana = store.add_reader("grafana", NOW, &|_| Ok(())).expect("added");
    let ci = store.add_reader("ci", NOW, &|_| Ok(())).expect("added");
    let registry = Registry::load(&store).expect("loaded");
    assert_eq!(registry.reader(grafana.as_str()), Some("grafana"));
    assert_eq!(registry.reader(ci.as_str()), Some("ci"));
    assert_eq!(registry.authenticate(ci.as_str(), NOW), Err(Denied::Unknown));
    store.remove_reader("ci").expect("removed");
    assert_eq!(Registry::load(&store).expect("loaded").reader(ci.as_str()), None);
}

#[test]
fn every_hash_is_found_in_tables_of_every_size_and_no_other() {
    for size in [1, 2, 3, 4, 5, 7, 8, 9, 31, 32, 33, 1000] {
        let hashes: Vec<TokenHash> = (0..size).map(|n: i64| TokenHash::of(&format!("token {n}"))).collect();
        let table = TokenTable::new(hashes.iter().copied().zip(0..).collect());
        for (number, hash) in (0..).zip(&hashes) {
            assert_eq!(table.find(hash), Some(number), "{number} of {size}");
            let mut near = *hash;
            near.0[31] ^= 1;
            assert_eq!(table.find(&near), None);
        }
        assert_eq!(table.find(&TokenHash([0; 32])), None);
        assert_eq!(table.find(&TokenHash([255; 32])), None);
    }
}

#[test]
fn hashes_that_all_begin_alike_are_found_too() {
    let hash = |n: u8| {
        let mut bytes = [7; 32];
        bytes[31] = n;
        TokenHash(bytes)
    };
    let table = TokenTable::new((0..=200).map(|n| (hash(n), i64::from(n))).collect());
    for n in 0..=200 {
        assert_eq!(table.find(&hash(n)), Some(i64::from(n)));
    }
    assert_eq!(table.find(&hash(201)), None);
}

/// Of this thread alone: a busy machine counts for less.
fn cpu_time() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).expect("below a second"))
}

/// `cargo test --release --no-default-features --features monitor -- --ignored --nocapture authentication_costs`
#[test]
#[ignore = "a measurement"]
fn authentication_costs() {
    for machines in [100, 10_000, 1_000_000_i64] {
        let tokens: Vec<String> = (0..machines.min(10_000))
            .map(|_| Token::make(TokenUse::Device).expect("random numbers").as_str().to_owned())
            .collect();
        let filler = (tokens.len() as i64..machines).map(|n| (TokenHash::of(&n.to_string()), n));
        let entries = (0..).zip(&tokens).map(|(n, token)| (TokenHash::of(token), n)).chain(filler).collect();
        let begin = Instant::now();
        let registry = Registry { devices: TokenTable::new(entries), ..Registry::default() };
        let built = begin.elapsed();
        let rounds = 1_000_000;
        let cost = |act: &dyn Fn(&str)| {
            let begin = cpu_time();
            tokens.iter().cycle().take(rounds).for_each(|token| act(std::hint::black_box(token)));
            (cpu_time() - begin) / u32::try_from(rounds).expect("a million")
        };
        let hashed = cost(&|token| _ = std::hint::black_box(TokenHash::of(token)));
        let each = cost(&|token| _ = registry.authenticate(token, NOW).expect("known"));
        let bytes = size_of_val(&*registry.devices.entries) + size_of_val(&*registry.devices.begins);
        println!(
            "{machines} machines: {each:?} each, {hashed:?} of it SHA-256, built in {built:?}, {} bytes each",
            bytes as i64 / machines
        );
    }
}
