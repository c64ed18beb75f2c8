//! What one reading of the machine holds.

use super::plausible::percent_used;
use crate::wire;
use std::path::PathBuf;
use std::time::Duration;

/// One reading of everything. What could not be read is `None`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reading {
    pub values: wire::Values,
    pub uptime: Option<Duration>,
    pub disk: Option<DiskUsage>,
    /// Of which the device cannot do without any.
    pub file_systems: Vec<wire::FileSystem>,
    pub throttled: Option<wire::Throttled>,
    pub clock_synced: Option<bool>,
    pub app_version: Option<String>,
    pub connection: wire::Connection,
    pub activity: ActivityState,
    /// File systems that have not answered for three samples.
    pub unresponsive: Vec<PathBuf>,
}

/// Fill of one file system, in bytes, as `df` counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskUsage {
    pub total: u64,
    pub used: u64,
    /// To programs that are not root's.
    pub free: u64,
}

impl DiskUsage {
    /// As `df` and psutil count: the blocks kept back for root are neither used nor free. 0 to 100.
    pub fn percent(&self) -> f64 {
        let usable = self.used.saturating_add(self.free);
        // A disk without room for programs is full.
        percent_used(usable, self.free).unwrap_or(100.0)
    }
}

/// What the device is doing, where the configuration tells how to see it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ActivityState {
    pub streaming: Option<bool>,
    pub tracking: Option<bool>,
    pub recording: Option<bool>,
    /// Only while recording.
    pub recording_file: Option<RecordingFile>,
    /// Should always go on, by the configuration.
    pub expected: Vec<wire::ActivityName>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordingFile {
    pub path: PathBuf,
    pub bytes: u64,
}

#[cfg(test)]
mod tests {
    use super::DiskUsage;

    #[test]
    fn the_percentage_leaves_out_the_blocks_reserved_for_root_as_df_does() {
        assert_eq!(DiskUsage { total: 1000, used: 400, free: 400 }.percent(), 50.0);
        assert_eq!(DiskUsage { total: 1000, used: 0, free: 0 }.percent(), 100.0);
    }
}
