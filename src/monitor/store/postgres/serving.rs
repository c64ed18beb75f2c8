//! One monitor serves a database: a row that it renews. A monitor that was cut off for longer than [`LAPSES_AFTER`] has lost
//! its place to the next one, and writes nothing any more.

use super::client::{PostgresConnection, TransactionKind};
use super::link::PostgresLink;
use crate::monitor::store::error::StoreError;
use crate::monitor::store::sql::{Transaction, params};
use std::time::{Duration, Instant};

/// The row counts for this long. By the server's clock.
const LAPSES_AFTER: Duration = Duration::from_secs(15);
const RENEWED_AFTER: Duration = Duration::from_secs(4);
/// Between two attempts to take the place of a monitor that was killed.
const PAUSE: Duration = Duration::from_secs(1);

/// This store's place as the one that serves.
#[derive(Debug)]
pub struct Serving {
    process: u32,
    renewed: Instant,
    /// Why this store is not the one that serves any more.
    lost: Option<StoreError>,
}

impl Serving {
    /// Waits until a monitor that was killed is not counted any more.
    ///
    /// # Errors
    /// [`StoreError::Served`]: another one is alive.
    pub fn take(link: &mut PostgresLink, process: u32) -> Result<Serving, StoreError> {
        let deadline = Instant::now() + LAPSES_AFTER + PAUSE;
        loop {
            let renewed = Instant::now();
            match link.transact(TransactionKind::Write, |connection| take(connection, process)) {
                Ok(()) => return Ok(Serving { process, renewed, lost: None }),
                Err(StoreError::Served { .. }) if renewed < deadline => {
                    // On a channel that never has anything.
                    let _ = crossbeam_channel::after(PAUSE).recv();
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Call it each second.
    ///
    /// # Errors
    /// [`StoreError::Served`]: another one has taken the place.
    pub fn renew(&mut self, link: &mut PostgresLink) -> Result<(), StoreError> {
        self.check()?;
        let now = Instant::now();
        if now < self.renewed + RENEWED_AFTER {
            return Ok(());
        }
        let renewed = link.transact(TransactionKind::Write, |connection| take(connection, self.process));
        match &renewed {
            Ok(()) => self.renewed = now,
            Err(error @ StoreError::Served { .. }) => self.lost = Some(error.clone()),
            Err(_) => {}
        }
        renewed
    }

    /// # Errors
    /// [`StoreError::Served`]: another one has taken the place.
    pub fn check(&self) -> Result<(), StoreError> {
        self.lost.clone().map_or(Ok(()), Err)
    }

    pub fn release(&self, link: &mut PostgresLink) {
        let released: Result<_, StoreError> = link.transact(TransactionKind::Write, |connection| {
            Transaction::of_postgres(connection)
                .execute("DELETE FROM serving WHERE process = ?1", params![self.process])
        });
        // Otherwise the next monitor waits until it lapses.
        let _ = released;
    }
}

fn take(connection: &PostgresConnection, process: u32) -> Result<(), StoreError> {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let transaction = Transaction::of_postgres(connection);
    let sql = format!(
        "INSERT INTO serving AS known (id, process, host, alive_at) VALUES (1, ?1, ?2, now())
         ON CONFLICT (id) DO UPDATE SET process = ?1, host = ?2, alive_at = now()
         WHERE known.process = ?1 OR known.alive_at < now() - INTERVAL '{} seconds'",
        LAPSES_AFTER.as_secs()
    );
    match transaction.execute(&sql, params![process, host])? {
        0 => {
            let host = transaction.query_row("SELECT host FROM serving", &[], |row| row.get(0))?;
            Err(StoreError::Served { host })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::store::postgres::cluster;
    use crate::monitor::store::postgres::database::PostgresDatabase;
    use crate::monitor::store::postgres::link::PostgresWay;
    use crate::monitor::store::postgres::url::PostgresUrl;

    /// Of a new database with tables; `None`: no PostgreSQL is installed.
    fn new_database() -> Option<(std::sync::Arc<cluster::Cluster>, PostgresUrl)> {
        let Some(cluster) = cluster::shared() else {
            eprintln!("skipped: no PostgreSQL is installed");
            return None;
        };
        let url = cluster.url(&cluster.database(), "sslmode=disable");
        PostgresDatabase::open(&url).expect("tables");
        Some((cluster, url))
    }

    fn link(url: &PostgresUrl, process: u32) -> PostgresLink {
        PostgresLink::new(&std::sync::Arc::new(PostgresWay::new(url.clone(), process).expect("a way")))
    }

    fn try_to_take(url: &PostgresUrl, process: u32) -> Result<(), StoreError> {
        link(url, process).transact(TransactionKind::Write, |connection| take(connection, process))
    }

    fn make_old(url: &PostgresUrl) {
        let sql = "UPDATE serving SET alive_at = alive_at - INTERVAL '16 seconds'";
        let made: Result<_, StoreError> =
            link(url, 9).transact(TransactionKind::Write, |connection| connection.batch(sql));
        made.expect("old");
    }

    #[test]
    fn a_second_monitor_is_refused_until_the_first_has_ended_or_is_silent_for_15_seconds() {
        let Some((_cluster, url)) = new_database() else { return };
        let mut first = link(&url, 1);
        let serving = Serving::take(&mut first, 1).expect("nobody serves");
        let refused = try_to_take(&url, 2).expect_err("the first one is alive");
        assert!(matches!(&refused, StoreError::Served { host } if !host.is_empty()), "{refused}");
        make_old(&url);
        assert_eq!(try_to_take(&url, 2), Ok(()));
        serving.release(&mut first);
        try_to_take(&url, 3).expect_err("it was not the first one's any more");
        make_old(&url);
        Serving::take(&mut first, 1).expect("silent").release(&mut first);
        assert_eq!(try_to_take(&url, 2), Ok(()), "at once after a release");
    }

    #[test]
    fn a_monitor_that_has_lost_its_place_writes_nothing() {
        let Some((_cluster, url)) = new_database() else { return };
        let first = PostgresDatabase::open_for_serving(&url).expect("nobody serves");
        let write = || first.transact(|transaction| transaction.execute("DELETE FROM machine", &[]));
        assert_eq!(write(), Ok(0));
        make_old(&url);
        assert_eq!(try_to_take(&url, 2), Ok(()));
        let begin = Instant::now();
        while first.changed_by_others().is_ok() {
            assert!(begin.elapsed() < RENEWED_AFTER * 10, "it looks each few seconds");
            let _ = crossbeam_channel::after(PAUSE / 10).recv();
        }
        assert!(matches!(write(), Err(StoreError::Served { .. })));
        assert!(matches!(first.changed_by_others(), Err(StoreError::Served { .. })));
    }
}
