//! How full one file system is.

use super::firmware::Firmware;
use super::reading::{self, Metrics};
use super::source::{Absent, Place, Source, Turn, under};
use std::path::{Path, PathBuf};

#[derive(Debug)]
pub struct Disk(PathBuf);

impl Disk {
    /// `mount_point` should be local: the kernel may hold the call up for ever at a network file system whose server
    /// is gone.
    pub fn new(root: &Path, mount_point: &Path) -> Disk {
        Disk(under(root, mount_point))
    }
}

impl Source for Disk {
    type Value = reading::Disk;

    fn name(&self) -> &'static str {
        "disk"
    }

    fn place(&self, _: &Firmware) -> Place {
        Place::file(&self.0)
    }

    fn read(&mut self, _: &mut Turn<'_>) -> Result<reading::Disk, Absent> {
        let all = rustix::fs::statvfs(&self.0)
            .map_err(|error| Absent::Unreadable { path: self.0.clone(), error: error.into() })?;
        let bytes = |blocks: u64| blocks.saturating_mul(all.f_frsize);
        let used = all.f_blocks.saturating_sub(all.f_bfree);
        Ok(reading::Disk { total: bytes(all.f_blocks), used: bytes(used), free: bytes(all.f_bavail) })
    }

    fn put(&self, value: &reading::Disk, reading: &mut Metrics) {
        reading.disk = Some(*value);
    }

    fn show(&self, value: &reading::Disk) -> String {
        let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
        format!("{:.1} % of {:.1} GiB, {:.1} GiB free", value.percent(), gib(value.total), gib(value.free))
    }
}

#[cfg(test)]
mod tests {
    use super::reading::Disk;

    #[test]
    fn the_percentage_leaves_out_what_is_kept_back_for_root_as_df_does() {
        assert_eq!(Disk { total: 1000, used: 400, free: 400 }.percent(), 50.0);
        assert_eq!(Disk { total: 0, used: 0, free: 0 }.percent(), 0.0);
    }
}
