//! Whether the wall clock can be believed. Most boards have no RTC: at boot it can be years off.

use super::firmware::Firmware;
use super::reading::Reading;
use super::source::{Absent, Place, Source, Turn};
use crate::device::os;
use std::io;
use std::path::{Path, PathBuf};

/// On tmpfs; systemd-timesyncd touches `synchronized` in it at every synchronisation.
const TIMESYNC: &str = "run/systemd/timesync";

#[derive(Debug)]
pub struct Clock {
    timesync: PathBuf,
    /// The kernel knows best, with any time service. A root that is not this machine's has no kernel, and systemd's
    /// `ProtectClock=` refuses the question.
    use_kernel: bool,
}

impl Clock {
    pub fn new(root: &Path) -> Clock {
        Clock { timesync: root.join(TIMESYNC), use_kernel: root == Path::new("/") }
    }

    /// True since the first synchronisation after boot; unknown where another program keeps the time.
    fn by_timesyncd(&self) -> Result<bool, Absent> {
        let synchronized = self.timesync.join("synchronized").exists();
        if !synchronized && !self.timesync.is_dir() {
            return Err(Absent::because(
                "the kernel may not be asked (ProtectClock=), and systemd-timesyncd does not run",
            ));
        }
        Ok(synchronized)
    }
}

impl Source for Clock {
    type Value = bool;

    fn name(&self) -> &'static str {
        "clock"
    }

    fn place(&self, _: &Firmware) -> Place {
        match self.use_kernel {
            true => Place::words("adjtimex"),
            false => Place::file(&self.timesync.join("synchronized")),
        }
    }

    fn read(&mut self, _: &mut Turn<'_>) -> Result<bool, Absent> {
        if self.use_kernel {
            match os::clock::synchronized() {
                Ok(synchronized) => return Ok(synchronized),
                // A filter stays for the life of the process.
                Err(error) => self.use_kernel = error.kind() != io::ErrorKind::PermissionDenied,
            }
        }
        self.by_timesyncd()
    }

    fn put(&self, value: &bool, reading: &mut Reading) {
        reading.clock_synced = Some(*value);
    }

    fn show(&self, value: &bool) -> String {
        if *value { "synchronized" } else { "not synchronized" }.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timesyncd_without_a_synchronisation_is_false_and_no_timesyncd_is_unknown() {
        let root = tempfile::tempdir().expect("a directory");
        let clock = Clock::new(root.path());
        clock.by_timesyncd().expect_err("unknown");
        std::fs::create_dir_all(&clock.timesync).expect("created");
        assert!(!clock.by_timesyncd().expect("known"));
        std::fs::write(clock.timesync.join("synchronized"), "").expect("written");
        assert!(clock.by_timesyncd().expect("known"));
    }
}
