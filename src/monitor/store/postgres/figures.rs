//! What a server says of its own upkeep, for `/metrics`: the causes of a database that becomes slow or full after months.

use crate::monitor::store::error::StoreError;
use crate::monitor::store::figures::{ServerFigures, TableFigures};
use crate::monitor::store::sql::Connection;

/// Tables that are written all the time. What is said of one is the sum of its partitions.
const WRITTEN: &str = "('machine_state', 'machine_latest', 'history', 'outbox', 'incident', 'event')";

/// # Errors
/// The server; what the user may not see is missing.
pub fn read(connection: &Connection<'_>) -> Result<ServerFigures, StoreError> {
    let sql = format!(
        "SELECT t.name, {} FROM (
             SELECT CAST(CAST(coalesce(pg_partition_root(relid), relid) AS regclass) AS TEXT) AS name, * FROM pg_stat_user_tables
         ) AS t WHERE t.name IN {WRITTEN} GROUP BY t.name ORDER BY t.name",
        ["n_dead_tup", "n_live_tup", "n_tup_upd", "n_tup_hot_upd"].map(|n| format!("CAST(sum({n}) AS BIGINT)")).join(", ")
    );
    let tables = connection.query_all(&sql, &[], |row| {
        Ok(TableFigures {
            name: row.get(0)?,
            dead_rows: row.get(1)?,
            live_rows: row.get(2)?,
            updates: row.get(3)?,
            hot_updates: row.get(4)?,
        })
    })?;
    // An old transaction keeps all dead rows since its begin, of whatever program it is.
    let oldest =
        "SELECT CAST(extract(epoch FROM max(now() - xact_start)) AS DOUBLE PRECISION) FROM pg_stat_activity
                  WHERE backend_xmin IS NOT NULL AND datname = current_database()";
    let lag = "SELECT CAST(max(pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)) AS BIGINT) FROM pg_stat_replication
               WHERE NOT pg_is_in_recovery()";
    Ok(ServerFigures {
        tables,
        oldest_transaction_s: connection.query_row(oldest, &[], |row| row.get(0))?,
        replication_lag_bytes: connection.query_row(lag, &[], |row| row.get(0))?,
    })
}
