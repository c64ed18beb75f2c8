//! What signing in needs: limits of attempts, the queue of the thread `password`, the key of device cookies.

use super::cookies::DEVICE_COOKIE;
use crate::web::context::PageSettings;
use crate::web::refusal::PageRefusal;
use crate::web::visit::cookie;
use heartbeat_daemon::clock::Now;
use heartbeat_daemon::http::Request;
use heartbeat_daemon::http::client::address;
use heartbeat_daemon::latest::Latest;
use heartbeat_daemon::monitor::accounts::attempts::{Attempter, Attempts, Proof};
use heartbeat_daemon::monitor::accounts::device_cookie::DeviceKey;
use heartbeat_daemon::monitor::accounts::password::PasswordQueue;
use heartbeat_daemon::monitor::accounts::pending::PendingLogins;
use heartbeat_daemon::monitor::accounts::visitor::UserId;
use heartbeat_daemon::monitor::config::PublicUrl;
use heartbeat_daemon::monitor::log_limit::LogLimit;
use heartbeat_daemon::monitor::store::Store;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// One line about wrong sign-ins of an address in this time.
const LOGGED: Duration = Duration::from_secs(3600);
/// At least this time between two lines about wrong sign-ins.
const LOGGED_APART: Duration = Duration::from_secs(10);

/// Shared by the threads `page` and `password`.
pub struct SignInContext {
    pub store: Arc<Store>,
    pub settings: Arc<Latest<PageSettings>>,
    pub passwords: PasswordQueue,
    pub attempts: Attempts,
    pub device_key: DeviceKey,
    pub pending: PendingLogins,
    failures: Mutex<LogLimit<Option<IpAddr>>>,
}

impl SignInContext {
    /// Starts the thread `password`, which ends when this is dropped.
    ///
    /// # Errors
    /// The database cannot be read, or the thread cannot be started.
    pub fn start(
        store: Arc<Store>,
        settings: Arc<Latest<PageSettings>>,
        now: Instant,
    ) -> Result<SignInContext, String> {
        let device_key = store.device_key().map_err(|refused| refused.to_string())?;
        let (passwords, _) = PasswordQueue::start()?;
        Ok(SignInContext {
            store,
            settings,
            passwords,
            attempts: Attempts::new(now),
            device_key,
            pending: PendingLogins::default(),
            failures: Mutex::new(LogLimit::spaced(LOGGED, LOGGED_APART)),
        })
    }

    pub fn public_url(&self) -> Option<PublicUrl> {
        self.settings.get().web.public_url.clone()
    }

    pub fn address(&self, request: &Request) -> Option<IpAddr> {
        address(request, &self.settings.get().trusted_proxies)
    }

    /// Who tries to sign in as this user.
    pub fn attempter(&self, request: &Request, user: Option<UserId>) -> Attempter {
        let known = user.zip(cookie(request, DEVICE_COOKIE));
        match known.and_then(|(user, cookie)| self.device_key.recognise(cookie, user)) {
            Some(nonce) => Attempter::Known(nonce),
            None => Attempter::Stranger(self.address(request)),
        }
    }

    /// Counts one attempt.
    ///
    /// # Errors
    /// [`PageRefusal::TooMany`].
    pub fn begin(&self, proof: Proof, account: &str, who: Attempter, now: Now) -> Result<(), PageRefusal> {
        self.attempts.begin(proof, account, who, now.monotonic).map_err(PageRefusal::TooMany)
    }

    /// Logs a wrong sign-in, once an hour for an address. The name is not logged unless it is a user's: people type
    /// passwords into the wrong field.
    pub fn log_failure(&self, user: Option<&str>, address: Option<IpAddr>, now: Instant) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.is_due(address, now) {
            let from = address.map_or("an unknown address".into(), |address| address.to_string());
            let user = user.map_or("an unknown user".into(), |user| format!("user \"{user}\""));
            log::warn!("wrong sign-in as {user} from {from}; more from there are not logged for an hour");
        }
    }
}
