//! What other processes have changed in the database.

/// Since the last look, of that which a monitor keeps in memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ChangesByOthers {
    /// Machines, tokens, channels, settings; on SQLite whatever it was.
    pub settings: bool,
    /// The status of machines.
    pub statuses: bool,
}
