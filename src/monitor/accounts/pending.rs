//! Sign-ins whose password was right and whose second factor is still to come.

use super::visitor::UserId;
use crate::monitor::registry::token::{Token, TokenHash, TokenUse};
use std::collections::VecDeque;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Time for the second step.
const VALID: Duration = Duration::from_secs(300);
/// Sign-ins at the same time; another one drops the oldest. Only who knows a password gets here.
const MOST: usize = 256;

/// A user whose password was right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingLogin {
    pub user: UserId,
    pub name: String,
    /// The stored hash that it was compared with: a change of the password ends the sign-in.
    pub password: String,
}

/// All pending sign-ins, in the order in which they began. A restart drops them.
#[derive(Debug, Default)]
pub struct PendingLogins(Mutex<VecDeque<PendingEntry>>);

#[derive(Debug)]
struct PendingEntry {
    hash: TokenHash,
    login: PendingLogin,
    began: Instant,
}

impl PendingLogins {
    /// Returns the token for the second step.
    pub fn add(&self, login: PendingLogin, now: Instant) -> io::Result<Token> {
        let token = Token::make(TokenUse::Session)?;
        let mut entries = self.valid(now);
        if entries.len() >= MOST {
            entries.pop_front();
        }
        entries.push_back(PendingEntry { hash: token.hash(), login, began: now });
        Ok(token)
    }

    /// The sign-in stays pending: a code may be mistyped.
    pub fn get(&self, token: &str, now: Instant) -> Option<PendingLogin> {
        let hash = TokenHash::of(token);
        let entries = self.valid(now);
        entries.iter().find(|entry| entry.hash == hash).map(|entry| entry.login.clone())
    }

    pub fn remove(&self, token: &str, now: Instant) {
        let hash = TokenHash::of(token);
        self.valid(now).retain(|entry| entry.hash != hash);
    }

    fn valid(&self, now: Instant) -> MutexGuard<'_, VecDeque<PendingEntry>> {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|entry| now.saturating_duration_since(entry.began) < VALID);
        entries
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(user: i64) -> PendingLogin {
        PendingLogin { user: UserId(user), name: "ada".into(), password: "$argon2id$x".into() }
    }

    #[test]
    fn the_second_step_is_possible_for_five_minutes_or_until_it_is_done() {
        let (pending, start) = (PendingLogins::default(), Instant::now());
        let token = pending.add(login(1), start).expect("a token");
        let other = pending.add(login(2), start).expect("a token");
        let late = start + VALID;
        assert_eq!(pending.get(token.as_str(), late - Duration::from_secs(1)), Some(login(1)));
        pending.remove(token.as_str(), start);
        assert_eq!(pending.get(token.as_str(), start), None);
        assert_eq!(pending.get("", start), None);
        assert_eq!(pending.get(other.as_str(), start), Some(login(2)));
        assert_eq!(pending.get(other.as_str(), late), None);
    }

    #[test]
    fn the_number_of_pending_sign_ins_is_bounded() {
        let (pending, start) = (PendingLogins::default(), Instant::now());
        let first = pending.add(login(0), start).expect("a token");
        let last = (1..=256).map(|user| pending.add(login(user), start).expect("a token")).last();
        assert_eq!(pending.get(first.as_str(), start), None);
        assert_eq!(pending.get(last.expect("made").as_str(), start), Some(login(256)));
    }
}
