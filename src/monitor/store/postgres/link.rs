//! A connection that is made again after it was lost.

use super::certificates::client_config;
use super::client::{PostgresConnection, TransactionKind};
use super::url::PostgresUrl;
use crate::backoff;
use crate::monitor::store::error::StoreError;
use rustls::ClientConfig;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Pause after the first failed attempt; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// Devices notice an outage of 15 s. With the jitter, the monitors of a database come back spread over 5 s.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The way to a database, for all links of a store.
#[derive(Debug)]
pub struct PostgresWay {
    url: PostgresUrl,
    /// Names the store in the table `last_change`.
    process: u32,
    tls: Option<ClientConfig>,
    attempts: Mutex<Attempts>,
}

/// Attempts to connect that have failed. A link that connects ends the pause of the others, too.
#[derive(Debug, Default)]
struct Attempts {
    failures: u32,
    /// No attempt is made before this moment, and the reason.
    pause: Option<(Instant, StoreError)>,
}

/// At most one connection to a database.
#[derive(Debug)]
pub struct PostgresLink {
    way: Arc<PostgresWay>,
    connection: Option<PostgresConnection>,
}

impl PostgresWay {
    /// # Errors
    /// The CA file of the URL cannot be used.
    pub fn new(url: PostgresUrl, process: u32) -> Result<PostgresWay, StoreError> {
        let tls = client_config(&url).map_err(StoreError::File)?;
        Ok(PostgresWay { url, process, tls, attempts: Mutex::default() })
    }

    fn open(&self) -> Result<PostgresConnection, StoreError> {
        if let Some((_, error)) = self.attempts().pause.as_ref().filter(|(until, _)| Instant::now() < *until)
        {
            return Err(error.clone());
        }
        let opened = PostgresConnection::open(&self.url, self.tls.as_ref());
        let mut attempts = self.attempts();
        match &opened {
            Ok(_) => *attempts = Attempts::default(),
            Err(error) => {
                attempts.failures = attempts.failures.saturating_add(1);
                let pause = backoff::delay(FIRST_PAUSE, LONGEST_PAUSE, attempts.failures, fastrand::f64());
                attempts.pause = Some((Instant::now() + pause, error.clone()));
            }
        }
        opened
    }

    fn attempts(&self) -> MutexGuard<'_, Attempts> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PostgresLink {
    /// Connects at the first transaction.
    pub fn new(way: &Arc<PostgresWay>) -> PostgresLink {
        PostgresLink { way: way.clone(), connection: None }
    }

    /// Runs one transaction; an error rolls it back.
    ///
    /// # Errors
    /// Besides those of `work`: [`StoreError::Unreachable`], and then nothing was done; [`StoreError::Uncertain`] if it is
    /// unknown whether the transaction took effect, so it must be repeated only if that does no harm.
    pub fn transact<T, E: From<StoreError>>(
        &mut self,
        kind: TransactionKind,
        work: impl FnOnce(&PostgresConnection) -> Result<T, E>,
    ) -> Result<T, E> {
        let connection = self.begun(kind)?;
        match work(connection) {
            Ok(done) => connection.commit().map(|()| done).map_err(E::from),
            Err(error) => {
                // A transaction that cannot be rolled back ends with its connection, which is lost then.
                if !connection.is_lost() {
                    let _ = connection.roll_back();
                }
                Err(error)
            }
        }
    }

    /// A connection with an open transaction.
    fn begun(&mut self, kind: TransactionKind) -> Result<&PostgresConnection, StoreError> {
        if let Some(connection) = self.connection.take_if(|connection| !connection.is_lost()) {
            match connection.begin(kind, self.way.process) {
                // Closed by the server, or by pgbouncer, since the last transaction: nothing was sent that counts.
                Err(StoreError::Unreachable(_)) => {}
                begun => {
                    let connection = self.connection.insert(connection);
                    return begun.map(|()| &*connection);
                }
            }
        }
        let connection = self.way.open()?;
        let connection = self.connection.insert(connection);
        connection.begin(kind, self.way.process)?;
        Ok(connection)
    }
}
