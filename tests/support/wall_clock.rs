//! A wall clock of the test's own for one process, by libfaketime; its monotonic clock stays the machine's.

use super::daemon::Setup;
use super::process::Process;
use super::scratch::Scratch;
use super::skip;
use std::path::{Path, PathBuf};

/// What libfaketime leaves in /dev/shm goes with it.
pub struct WallClock {
    library: String,
    offset: PathBuf,
    pid: Option<u32>,
}

impl WallClock {
    /// `None` where libfaketime is missing; Debian's package puts it into /usr/lib/<architecture>/faketime/.
    pub fn new() -> Option<WallClock> {
        let found = std::fs::read_dir("/usr/lib")
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path().join("faketime/libfaketimeMT.so.1"))
            .find(|path| Path::exists(path));
        if found.is_none() {
            skip("no libfaketime (apt-get install libfaketime)");
        }
        let library = found?.to_str().expect("UTF-8").to_owned();
        Some(WallClock { library, offset: PathBuf::new(), pid: None })
    }

    /// What a command of the monitor prints alone on its last line, run with a clock so far from the right time, such
    /// as "-2h".
    #[cfg(feature = "monitor")]
    #[track_caller]
    pub fn token(&self, plan: &super::monitor::Plan, offset: &str, arguments: &[&str]) -> String {
        let mut command = plan.command(arguments);
        command.env("LD_PRELOAD", &self.library).env("FAKETIME", offset);
        let output = super::process::output_of(command);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        let said = String::from_utf8(output.stdout).expect("text");
        said.lines().last().expect("a line").to_owned()
    }

    /// The daemon of this setup has this clock, which is right at first.
    pub fn given_to(&mut self, setup: Setup) -> Setup {
        let environment = self.environment(setup.scratch());
        environment.iter().fold(setup, |setup, (name, value)| setup.env(name, value))
    }

    /// The same for a monitor and its commands.
    #[cfg(feature = "monitor")]
    pub fn given_to_monitor(&mut self, plan: super::monitor::Plan) -> super::monitor::Plan {
        let environment = self.environment(plan.scratch());
        environment.iter().fold(plan, |plan, (name, value)| plan.env(name, value))
    }

    fn environment(&mut self, scratch: &Scratch) -> [(&'static str, String); 5] {
        let offset = scratch.file("offset", "+0");
        self.offset = PathBuf::from(&offset);
        [
            ("LD_PRELOAD", self.library.clone()),
            ("FAKETIME_TIMESTAMP_FILE", offset),
            ("FAKETIME_NO_CACHE", "1".into()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
            ("DONT_FAKE_MONOTONIC", "1".into()),
        ]
    }

    /// Whose clock it is, for what has to be removed after a kill.
    pub fn belongs_to(&mut self, process: &Process) {
        self.pid = Some(process.pid());
    }

    /// To so far from the right time, such as "-365d". In one step, as the kernel does it: never an empty file.
    pub fn step(&self, offset: &str) {
        let next = self.offset.with_extension("new");
        std::fs::write(&next, offset).expect("written");
        std::fs::rename(next, &self.offset).expect("the same directory");
    }
}

impl Drop for WallClock {
    fn drop(&mut self) {
        // libfaketime removes it when its process ends in an orderly way, and only then.
        let Some(pid) = self.pid else { return };
        for name in [format!("faketime_shm_{pid}"), format!("sem.faketime_sem_{pid}")] {
            // Usually gone.
            let _ = std::fs::remove_file(Path::new("/dev/shm").join(name));
        }
    }
}
