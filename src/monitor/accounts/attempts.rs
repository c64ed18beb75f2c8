//! How often a password or a code may be tried.
//!
//! Strangers are limited per account and per network (an IPv4 address, an IPv6 /64). A browser that signed in before has
//! a limit of its own instead, so that nobody can lock it out by wrong guesses. A limit is a number of attempts at once, and
//! one more after each interval. Memory is bounded: a limit has a fixed number of slots, and keys whose keyed hashes name
//! the same slot share it.

use super::device_cookie::DeviceNonce;
use super::sessions::SessionId;
use crate::monitor::rate_limit::{Rate, Slots, network};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Few enough that a bad password survives a month of guessing, enough for a person who mistypes.
const ACCOUNT: Rate = Rate { burst: 10, interval: Duration::from_secs(60) };
/// More: many people can share an address.
const NETWORK: Rate = Rate { burst: 20, interval: Duration::from_secs(10) };
const BROWSER: Rate = Rate { burst: 10, interval: Duration::from_secs(30) };
/// Codes of the second factor, by strangers who know the password: three of a million codes are valid, so these find
/// one with 0.04 % in a day.
const CODE: Rate = Rate { burst: 5, interval: Duration::from_secs(600) };

/// Who tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Attempter {
    /// A browser that signed in as this user before.
    Known(DeviceNonce),
    /// A browser that is signed in, and is asked for the password again.
    SignedIn(SessionId),
    /// `None`: the address is unknown.
    Stranger(Option<IpAddr>),
}

impl Attempter {
    pub fn is_known(&self) -> bool {
        !matches!(self, Attempter::Stranger(_))
    }
}

/// What is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    Password,
    /// A code of the second factor; the password was right.
    Code,
}

/// All limits.
#[derive(Debug)]
pub struct Attempts {
    slots: Mutex<AllSlots>,
}

#[derive(Debug)]
struct AllSlots {
    accounts: Slots,
    networks: Slots,
    browsers: Slots,
    codes: Slots,
}

impl Attempts {
    pub fn new(now: Instant) -> Attempts {
        let slots = AllSlots {
            accounts: Slots::new(ACCOUNT, now),
            networks: Slots::new(NETWORK, now),
            browsers: Slots::new(BROWSER, now),
            codes: Slots::new(CODE, now),
        };
        Attempts { slots: Mutex::new(slots) }
    }

    /// Counts one attempt.
    ///
    /// # Errors
    /// The time after which another attempt is possible; this one was not counted.
    pub fn begin(&self, proof: Proof, account: &str, who: Attempter, now: Instant) -> Result<(), Duration> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let limits = slots.limits(proof, account, who);
        let wait = limits.iter().map(|(slots, slot)| slots.wait(*slot, now)).max().unwrap_or_default();
        if !wait.is_zero() {
            return Err(wait);
        }
        limits.into_iter().for_each(|(slots, slot)| slots.count(slot, now));
        Ok(())
    }

    /// Forgets one attempt, because it succeeded.
    pub fn succeeded(&self, proof: Proof, account: &str, who: Attempter) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.limits(proof, account, who).into_iter().for_each(|(slots, slot)| slots.forget(slot));
    }
}

impl AllSlots {
    /// The limits that an attempt counts in, and the slot in each.
    fn limits(&mut self, proof: Proof, account: &str, who: Attempter) -> Vec<(&mut Slots, usize)> {
        let Attempter::Stranger(address) = who else {
            let slot = self.browsers.slot((proof == Proof::Code, who));
            return vec![(&mut self.browsers, slot)];
        };
        let by_account = match proof {
            Proof::Password => &mut self.accounts,
            Proof::Code => &mut self.codes,
        };
        let (account, network) = (by_account.slot(account), self.networks.slot(address.map(network)));
        vec![(by_account, account), (&mut self.networks, network)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::accounts::device_cookie::DeviceKey;
    use crate::monitor::accounts::visitor::UserId;
    use crate::monitor::store::Store;

    fn stranger(address: &str) -> Attempter {
        Attempter::Stranger(Some(address.parse().expect(address)))
    }

    fn known() -> Attempter {
        let store = Store::scratch();
        let key: DeviceKey = store.device_key().expect("a key");
        let cookie = key.issue(UserId(1)).expect("made");
        Attempter::Known(key.recognise(&cookie, UserId(1)).expect("ours"))
    }

    #[test]
    fn strangers_have_ten_attempts_at_an_account_then_one_a_minute() {
        let start = Instant::now();
        let attempts = Attempts::new(start);
        let attempt = |number: u8, seconds| {
            let who = stranger(&format!("192.0.2.{number}"));
            attempts.begin(Proof::Password, "ada", who, start + Duration::from_secs(seconds))
        };
        assert!((0..10).all(|number| attempt(number, 0).is_ok()));
        assert_eq!(attempt(10, 0), Err(Duration::from_secs(60)));
        assert_eq!(attempt(10, 59), Err(Duration::from_secs(1)));
        assert_eq!(attempt(10, 60), Ok(()));
        assert_eq!(attempt(11, 60), Err(Duration::from_secs(60)));
    }

    #[test]
    fn one_network_has_twenty_attempts_at_all_accounts() {
        let start = Instant::now();
        let attempts = Attempts::new(start);
        let attempt = |account: u32, address: &str| {
            attempts.begin(Proof::Password, &account.to_string(), stranger(address), start).is_ok()
        };
        let allowed = (0..100).filter(|account| attempt(*account, &format!("2001:db8:1:2::{account:x}")));
        // Accounts that share a slot may take one away.
        assert!((18..=20).contains(&allowed.count()));
        assert!(attempt(200, "2001:db8:1:3::1"), "another /64");
        assert!(!attempt(201, "2001:db8:1:2:ffff::1"));
    }

    #[test]
    fn wrong_guesses_of_strangers_do_not_lock_out_a_known_browser() {
        let start = Instant::now();
        let (attempts, known) = (Attempts::new(start), known());
        while attempts.begin(Proof::Password, "ada", stranger("192.0.2.1"), start).is_ok() {}
        for _ in 0..10 {
            assert_eq!(attempts.begin(Proof::Password, "ada", known, start), Ok(()));
        }
        assert!(attempts.begin(Proof::Password, "ada", known, start).is_err(), "its own limit");
    }

    #[test]
    fn a_successful_attempt_is_not_counted() {
        let start = Instant::now();
        let (attempts, who) = (Attempts::new(start), stranger("192.0.2.1"));
        for _ in 0..100 {
            assert_eq!(attempts.begin(Proof::Password, "ada", who, start), Ok(()));
            attempts.succeeded(Proof::Password, "ada", who);
        }
    }

    #[test]
    fn codes_are_limited_more_strictly_than_passwords() {
        let start = Instant::now();
        let attempts = Attempts::new(start);
        let codes = (0..10).filter(|number| {
            attempts.begin(Proof::Code, "ada", stranger(&format!("192.0.2.{number}")), start).is_ok()
        });
        assert_eq!(codes.count(), 5);
        assert_eq!(attempts.begin(Proof::Password, "ada", stranger("192.0.2.99"), start), Ok(()));
    }
}
