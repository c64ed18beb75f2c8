//! The run queue, and the time since the kernel started.

use super::firmware::Firmware;
use super::plausible;
use super::reading::Reading;
use super::source::{Absent, Place, Source, Turn, read_parsed};
use crate::device::os::file::KeptFile;
use procfs::FromRead;
use std::path::Path;
use std::time::Duration;

#[derive(Debug)]
pub struct Load(KeptFile);

impl Load {
    pub fn new(root: &Path) -> Load {
        Load(KeptFile::new(root.join("proc/loadavg")))
    }
}

impl Source for Load {
    type Value = [f64; 3];

    fn name(&self) -> &'static str {
        "load"
    }

    fn place(&self, _: &Firmware) -> Place {
        Place::file(self.0.path())
    }

    fn read(&mut self, _: &mut Turn<'_>) -> Result<[f64; 3], Absent> {
        read_parsed(&mut self.0, load)
    }

    fn put(&self, value: &[f64; 3], reading: &mut Reading) {
        reading.values.load = Some(*value);
    }

    fn show(&self, [one, five, fifteen]: &[f64; 3]) -> String {
        format!("{one:.2} {five:.2} {fifteen:.2}")
    }
}

fn load(text: &str) -> Option<[f64; 3]> {
    let load = procfs::LoadAverage::from_read(text.as_bytes()).ok()?;
    // procfs keeps them as f32; the kernel prints two decimals, and 0.42 must not travel as 0.41999998688697815.
    let load = [load.one, load.five, load.fifteen].map(|l| (f64::from(l) * 100.0).round() / 100.0);
    load.iter().all(|&l| plausible::LOAD.holds(l)).then_some(load)
}

#[derive(Debug)]
pub struct Uptime(KeptFile);

impl Uptime {
    pub fn new(root: &Path) -> Uptime {
        Uptime(KeptFile::new(root.join("proc/uptime")))
    }
}

impl Source for Uptime {
    type Value = Duration;

    fn name(&self) -> &'static str {
        "uptime"
    }

    fn place(&self, _: &Firmware) -> Place {
        Place::file(self.0.path())
    }

    fn read(&mut self, _: &mut Turn<'_>) -> Result<Duration, Absent> {
        read_parsed(&mut self.0, uptime)
    }

    fn put(&self, value: &Duration, reading: &mut Reading) {
        reading.uptime = Some(*value);
    }

    fn show(&self, value: &Duration) -> String {
        let minutes = value.as_secs() / 60;
        format!("{} d {} h {} min", minutes / 1440, minutes / 60 % 24, minutes % 60)
    }
}

fn uptime(text: &str) -> Option<Duration> {
    let uptime = procfs::Uptime::from_read(text.as_bytes()).ok()?;
    let uptime = Duration::try_from_secs_f64(uptime.uptime).ok()?;
    (uptime <= plausible::LONGEST_UPTIME).then_some(uptime)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_load_travels_with_the_kernels_two_decimals() {
        assert_eq!(load("0.42 0.31 0.25 2/215 4711"), Some([0.42, 0.31, 0.25]));
    }

    #[test]
    fn the_uptime_is_exact_to_the_hundredth() {
        assert_eq!(uptime("86400.07 340000.11"), Some(Duration::from_millis(86_400_070)));
    }

    #[test]
    fn garbage_is_absent() {
        for text in [
            "",
            "0.42",
            "a b c 2/215 4711",
            "inf 0.1 0.1 1/1 1",
            "NaN 0 0 1/1 1",
            "-1 0 0 1/1 1",
            "9e9 0 0 1/1 1",
        ] {
            assert_eq!(load(text), None, "{text}");
        }
        for text in ["", "86400.07", "3153600001 1.0", "-1.0 1.0", "inf 1.0", "NaN 1.0", "1e300 1.0"] {
            assert_eq!(uptime(text), None, "{text}");
        }
    }
}
