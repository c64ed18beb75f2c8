//! A connection that is made again after it was lost.

use super::certificates::client_config;
use super::client::{PostgresConnection, TransactionKind};
use super::url::PostgresUrl;
use crate::backoff;
use crate::monitor::store::error::StoreError;
use rustls::ClientConfig;
use std::time::{Duration, Instant};

/// Pause after the first failed attempt; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// Devices notice an outage of 15 s. With the jitter, the monitors of a database come back spread over 5 s.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The way to a database. It has at most one connection.
#[derive(Debug)]
pub struct PostgresLink {
    url: PostgresUrl,
    /// Names the store in the table `last_change`.
    process: u32,
    tls: Option<ClientConfig>,
    connection: Option<PostgresConnection>,
    failures: u32,
    /// No attempt is made before this moment, and the reason.
    pause: Option<(Instant, StoreError)>,
}

impl PostgresLink {
    /// Connects at the first transaction.
    ///
    /// # Errors
    /// The CA file of the URL cannot be used.
    pub fn new(url: PostgresUrl, process: u32) -> Result<PostgresLink, StoreError> {
        let tls = client_config(&url).map_err(StoreError::File)?;
        Ok(PostgresLink { url, process, tls, connection: None, failures: 0, pause: None })
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
            match connection.begin(kind, self.process) {
                // Closed by the server, or by pgbouncer, since the last transaction: nothing was sent that counts.
                Err(StoreError::Unreachable(_)) => {}
                begun => {
                    let connection = self.connection.insert(connection);
                    return begun.map(|()| &*connection);
                }
            }
        }
        let connection = self.open()?;
        let connection = self.connection.insert(connection);
        connection.begin(kind, self.process)?;
        Ok(connection)
    }

    fn open(&mut self) -> Result<PostgresConnection, StoreError> {
        if let Some((_, error)) = self.pause.as_ref().filter(|(until, _)| Instant::now() < *until) {
            return Err(error.clone());
        }
        match PostgresConnection::open(&self.url, self.tls.as_ref()) {
            Ok(connection) => {
                (self.failures, self.pause) = (0, None);
                Ok(connection)
            }
            Err(error) => {
                self.failures = self.failures.saturating_add(1);
                let pause = backoff::delay(FIRST_PAUSE, LONGEST_PAUSE, self.failures, fastrand::f64());
                self.pause = Some((Instant::now() + pause, error.clone()));
                Err(error)
            }
        }
    }
}
