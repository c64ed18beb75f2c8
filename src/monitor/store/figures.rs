//! Figures about a database server's upkeep.

/// As the server counts them since its statistics were reset.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ServerFigures {
    pub tables: Vec<TableFigures>,
    /// Age of the oldest transaction, which keeps dead rows. `None`: there is none.
    pub oldest_transaction_s: Option<f64>,
    /// How far the slowest standby is behind. `None`: there is none, or the user may not see it.
    pub replication_lag_bytes: Option<i64>,
}

/// A table that is written all the time.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TableFigures {
    pub name: String,
    /// Replaced or removed rows that still take space.
    pub dead_rows: i64,
    pub live_rows: i64,
    pub updates: i64,
    /// Updates that changed no index.
    pub hot_updates: i64,
}
