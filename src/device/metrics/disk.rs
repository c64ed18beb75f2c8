//! How full one file system is.

use super::firmware::Firmware;
use super::reading::{DiskUsage, Reading};
use super::source::{Absent, Place, Source, Turn, under};
use super::worker::{Budget, Worker};
use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags};
use std::io;
use std::path::{Path, PathBuf};

#[derive(Debug)]
pub struct DiskSource {
    path: PathBuf,
    read: Read,
}

#[derive(Debug)]
enum Read {
    /// The root file system: if it does not answer, nothing does.
    Here(MountPoint),
    /// Any other may be a network file system or a failing disk.
    OnThread(Worker<DiskUsage>),
}

impl DiskSource {
    pub fn new(root: &Path, mount_point: &Path, budget: &Budget) -> DiskSource {
        let path = under(root, mount_point);
        let mut checked = MountPoint { path: path.clone(), was_mounted: false };
        let read = match mount_point == Path::new("/") {
            true => Read::Here(checked),
            false => Read::OnThread(Worker::start(budget, &path, move || checked.fill())),
        };
        DiskSource { path, read }
    }
}

impl Source for DiskSource {
    type Value = DiskUsage;

    fn name(&self) -> &'static str {
        "disk"
    }

    fn place(&self, _: &Firmware) -> Place {
        // Its permissions are not asked for: that would wait for a file system that does not answer.
        Place::words(self.path.display().to_string())
    }

    fn read(&mut self, turn: &mut Turn<'_>) -> Result<DiskUsage, Absent> {
        match &mut self.read {
            Read::Here(mount_point) => mount_point.fill(),
            Read::OnThread(worker) => worker.read(turn.now),
        }
    }

    fn unresponsive(&self) -> Option<&Path> {
        match &self.read {
            Read::Here(_) => None,
            Read::OnThread(worker) => worker.unresponsive(),
        }
    }

    fn put(&self, value: &DiskUsage, reading: &mut Reading) {
        reading.disk = Some(*value);
    }

    fn show(&self, value: &DiskUsage) -> String {
        let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
        format!("{:.1} % of {:.1} GiB, {:.1} GiB free", value.percent(), gib(value.total), gib(value.free))
    }
}

/// A path, and whether a file system was mounted there at the last look.
#[derive(Debug)]
struct MountPoint {
    path: PathBuf,
    was_mounted: bool,
}

impl MountPoint {
    /// # Errors
    /// The path cannot be read, its file system has no size, or it was a mount point and is none any more: the fill
    /// would be that of the file system below.
    fn fill(&mut self) -> Result<DiskUsage, Absent> {
        let path = &self.path;
        let unreadable = |error: io::Error| Absent::Unreadable { path: path.clone(), error };
        let mounted = is_mount_point(path).map_err(unreadable)?;
        if self.was_mounted && mounted == Some(false) {
            return Err(Absent::because(format!(
                "{} is no longer a mount point: is it unmounted?",
                path.display()
            )));
        }
        self.was_mounted |= mounted == Some(true);
        let all = rustix::fs::statvfs(path).map_err(|error| unreadable(error.into()))?;
        let bytes = |blocks: u64| blocks.saturating_mul(all.f_frsize);
        let used = all.f_blocks.checked_sub(all.f_bfree).filter(|_| all.f_blocks > 0);
        let used =
            used.ok_or_else(|| Absent::because(format!("{}: its file system has no size", path.display())))?;
        Ok(DiskUsage { total: bytes(all.f_blocks), used: bytes(used), free: bytes(all.f_bavail) })
    }
}

/// `None` if the kernel cannot tell (before Linux 5.8).
fn is_mount_point(path: &Path) -> io::Result<Option<bool>> {
    match rustix::fs::statx(CWD, path, AtFlags::empty(), StatxFlags::empty()) {
        Ok(found) => {
            let known = found.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT);
            Ok(known.then(|| found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)))
        }
        Err(rustix::io::Errno::NOSYS) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_never_was_a_mount_point_reports_the_file_system_that_holds_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut mount_point = MountPoint { path: directory.path().to_owned(), was_mounted: false };
        assert!(mount_point.fill().expect("readable").total > 0);
        assert!(!mount_point.was_mounted);
    }

    #[test]
    fn a_path_that_is_no_longer_a_mount_point_is_absent_with_its_reason() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut mount_point = MountPoint { path: directory.path().to_owned(), was_mounted: true };
        let reason = mount_point.fill().expect_err("not mounted").to_string();
        assert!(reason.contains("no longer a mount point"), "{reason}");
    }

    #[test]
    fn a_file_system_without_a_size_is_absent_not_empty() {
        let mut proc = MountPoint { path: PathBuf::from("/proc"), was_mounted: false };
        let reason = proc.fill().expect_err("no blocks").to_string();
        assert!(proc.was_mounted && reason.contains("no size"), "{reason}");
    }
}
