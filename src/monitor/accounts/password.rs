//! Passwords: their rules and their hashes (argon2id), and the thread that computes hashes.
//!
//! A hash takes tens of milliseconds and 19 MiB, so it has a thread and a queue of its own: neither the pages nor a
//! heartbeat wait for a flood of wrong logins. Browsers that are signed in, or were before, have a queue of their own that is
//! served first, so that strangers cannot keep an owner out.

use crate::heap;
use crate::http::Exchange;
use crate::monitor::registry::token::random;
use crate::startup::spawn;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use crossbeam_channel::{Receiver, Sender, TryRecvError, TrySendError, bounded, select};
use std::io;

/// The first of OWASP's recommendations for argon2id: 19 MiB, two passes, one lane.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

const SALT_BYTES: usize = 16;

/// In characters; NIST SP 800-63B asks for 8 at least.
const SHORTEST: usize = 10;
/// In bytes.
const LONGEST: usize = 1024;

/// Requests of strangers that wait for a hash; at 50 ms each, the last one waits a second.
const STRANGERS: usize = 16;
/// Requests of known browsers that wait for a hash.
const KNOWN: usize = 16;

/// Checks a new password.
///
/// # Errors
/// One sentence about what is wrong.
pub fn check(password: &str, user: &str) -> Result<(), String> {
    if password.chars().count() < SHORTEST {
        return Err(format!("A password needs at least {SHORTEST} characters."));
    }
    if password.len() > LONGEST {
        return Err(format!("A password has at most {LONGEST} bytes."));
    }
    let mut characters = password.chars();
    let first = characters.next();
    if password.eq_ignore_ascii_case(user) || characters.all(|c| Some(c) == first) {
        return Err("This password is easy to guess: it is the user's name or one repeated character.".into());
    }
    Ok(())
}

/// Hashes a password with a new salt, as a PHC string.
///
/// # Errors
/// The kernel has no random numbers, or there is no memory.
pub fn hash(password: &str) -> io::Result<String> {
    let salt = random::<SALT_BYTES>()?;
    hash_with(password, &salt)
}

fn hash_with(password: &str, salt: &[u8]) -> io::Result<String> {
    let hashed: PasswordHash =
        hasher()?.hash_password_with_salt(password.as_bytes(), salt).map_err(io::Error::other)?;
    Ok(hashed.to_string())
}

/// Whether the password is the one that `stored` was made from. Without a stored one it takes the same time and is false,
/// so that the time does not say whether there is such a user.
pub fn verify(password: &str, stored: Option<&str>) -> bool {
    if password.len() > LONGEST {
        return false;
    }
    match (stored.map(PasswordHash::new), hasher()) {
        (Some(Ok(stored)), Ok(hasher)) => hasher.verify_password(password.as_bytes(), &stored).is_ok(),
        _ => {
            drop(hash_with(password, &[0; SALT_BYTES]));
            false
        }
    }
}

fn hasher() -> io::Result<Argon2<'static>> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(io::Error::other)?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

/// Whose request it is, for the order in which hashes are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HashLane {
    /// A browser that is signed in, or was before.
    Known,
    Stranger,
}

/// A request, and what to do with it on the thread `password`.
struct HashWork {
    exchange: Exchange,
    run: Box<dyn FnOnce(Exchange) + Send>,
}

/// The way to the thread `password`, which ends when all copies are dropped.
#[derive(Clone)]
pub struct PasswordQueue {
    known: Sender<HashWork>,
    strangers: Sender<HashWork>,
}

impl PasswordQueue {
    /// Starts the thread. The receiver disconnects when it has ended.
    pub fn start() -> Result<(PasswordQueue, Receiver<()>), String> {
        let (queue, known, strangers) = PasswordQueue::new();
        Ok((queue, spawn("password", move || work(&known, &strangers))?))
    }

    fn new() -> (PasswordQueue, Receiver<HashWork>, Receiver<HashWork>) {
        let (known, known_work) = bounded(KNOWN);
        let (strangers, strange_work) = bounded(STRANGERS);
        (PasswordQueue { known, strangers }, known_work, strange_work)
    }

    /// Runs `run` on the thread `password`, where it may call [`hash`] and [`verify`].
    ///
    /// # Errors
    /// Returns the request if too many wait: answer it with 429.
    pub fn submit(
        &self,
        lane: HashLane,
        exchange: Exchange,
        run: impl FnOnce(Exchange) + Send + 'static,
    ) -> Result<(), Box<Exchange>> {
        let queue = match lane {
            HashLane::Known => &self.known,
            HashLane::Stranger => &self.strangers,
        };
        let sent = queue.try_send(HashWork { exchange, run: Box::new(run) });
        sent.map_err(|error| match error {
            TrySendError::Full(work) | TrySendError::Disconnected(work) => Box::new(work.exchange),
        })
    }
}

fn work(known: &Receiver<HashWork>, strangers: &Receiver<HashWork>) {
    while let Some(next) = next(known, strangers) {
        (next.run)(next.exchange);
        if known.is_empty() && strangers.is_empty() {
            // The 19 MiB of the last hash.
            heap::trim();
        }
    }
}

/// The next work, of known browsers first; `None` when the queues have ended.
fn next(known: &Receiver<HashWork>, strangers: &Receiver<HashWork>) -> Option<HashWork> {
    match known.try_recv() {
        Ok(work) => return Some(work),
        // Both senders are dropped together.
        Err(TryRecvError::Disconnected) => return strangers.recv().ok(),
        Err(TryRecvError::Empty) => {}
    }
    let received = select! {
        recv(known) -> work => work,
        recv(strangers) -> work => work,
    };
    received.ok().or_else(|| known.recv().ok()).or_else(|| strangers.recv().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Response;
    use crate::http::in_memory::MemoryClient;

    #[test]
    fn a_password_is_recognised_by_its_hash_only() {
        let stored = hash("correct horse battery").expect("hashed");
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        assert!(verify("correct horse battery", Some(&stored)));
        assert!(!verify("correct horse batterY", Some(&stored)));
        assert!(!verify("correct horse battery", None));
        assert!(!verify("correct horse battery", Some("x")));
        assert!(!verify(&"x".repeat(LONGEST + 1), Some(&stored)));
        assert_ne!(stored, hash("correct horse battery").expect("hashed"), "each has its own salt");
    }

    #[test]
    fn a_new_password_is_long_enough_and_not_the_name() {
        for bad in ["short", "aaaaaaaaaaaa", "Adalovelace", &"x1".repeat(513)] {
            check(bad, "adalovelace").expect_err(bad);
        }
        assert_eq!(check("ten chars!", "ada"), Ok(()));
        assert_eq!(check("пароль пароль", "ada"), Ok(()));
    }

    fn exchange(client: &MemoryClient) -> Exchange {
        client.exchange(b"POST /login HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").expect("a request")
    }

    #[test]
    fn beyond_the_queue_a_request_comes_back() {
        let client = MemoryClient::default();
        let (queue, ..) = PasswordQueue::new();
        let submit = |lane| queue.submit(lane, exchange(&client), |_| {});
        let (queue_now, _known, _strangers) = PasswordQueue::new();
        let taken =
            (0..40).filter(|_| queue_now.submit(HashLane::Stranger, exchange(&client), |_| {}).is_ok());
        assert_eq!(taken.count(), STRANGERS);
        assert!(queue_now.submit(HashLane::Known, exchange(&client), |_| {}).is_ok(), "its own queue");
        assert!(submit(HashLane::Known).is_err(), "the thread has ended");
    }

    #[test]
    fn known_browsers_are_served_before_strangers() {
        let client = MemoryClient::default();
        let (queue, known, strangers) = PasswordQueue::new();
        let answer = |status| move |exchange: Exchange| exchange.reply.send(Response::new(status));
        for status in [401, 403] {
            assert!(queue.submit(HashLane::Stranger, exchange(&client), answer(status)).is_ok());
        }
        assert!(queue.submit(HashLane::Known, exchange(&client), answer(200)).is_ok());
        drop(queue);
        work(&known, &strangers);
        let order: Vec<_> =
            std::iter::from_fn(|| client.response()).map(|response| response.status()).collect();
        assert_eq!(order, [200, 401, 403]);
    }
}
