//! How busy the processor is: the ticks of `/proc/stat` between two samples.

use super::firmware::Firmware;
use super::plausible::percent_used;
use super::reading::Reading;
use super::source::{Absent, Place, Source, Turn};
use crate::device::os::file::KeptFile;
use procfs::{CpuTime, FromBufReadSI, KernelStats};
use std::path::Path;
use std::time::{Duration, Instant};

/// A percentage covers at least this window: ten ticks of each core (USER_HZ), the shortest that psutil advises.
pub const WINDOW: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub struct Cpu {
    stat: KeptFile,
    /// Where the next window begins.
    before: Option<(Instant, Ticks)>,
    /// The percentage of the last window.
    last: Option<f64>,
}

/// user, nice, system, irq, softirq, steal, and what is idle: idle, iowait. Guests are within user and nice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ticks {
    busy: [u64; 6],
    idle: [u64; 2],
}

impl Cpu {
    pub fn new(root: &Path) -> Cpu {
        Cpu { stat: KeptFile::new(root.join("proc/stat")), before: None, last: None }
    }
}

impl Source for Cpu {
    type Value = f64;

    fn name(&self) -> &'static str {
        "cpu"
    }

    fn place(&self, _: &Firmware) -> Place {
        Place::file(self.stat.path())
    }

    fn read(&mut self, turn: &mut Turn<'_>) -> Result<f64, Absent> {
        let path = self.stat.path().to_owned();
        let text = self.stat.read().map_err(|error| Absent::Unreadable { path: path.clone(), error })?;
        let now = ticks(text).ok_or_else(|| Absent::garbage(&path, &String::from_utf8_lossy(text)))?;
        // Two samples may follow each other at once: the first of all, and that of the schedule.
        let is_short = |(since, _): &(Instant, Ticks)| turn.now.saturating_duration_since(*since) < WINDOW;
        if !self.before.as_ref().is_some_and(is_short) {
            let before = self.before.replace((turn.now, now));
            self.last = before.and_then(|(_, before)| percent(before, now));
        }
        self.last.ok_or(Absent::because("a percentage needs two samples some time apart"))
    }

    fn put(&self, value: &f64, reading: &mut Reading) {
        reading.values.cpu = Some(*value);
    }

    fn show(&self, value: &f64) -> String {
        format!("{value:.1} %")
    }
}

fn ticks(stat: &[u8]) -> Option<Ticks> {
    let stats = KernelStats::from_buf_read(stat, procfs::current_system_info()).ok()?;
    let CpuTime { user, nice, system, idle, iowait, irq, softirq, steal, .. } = stats.total;
    let [iowait, irq, softirq, steal] = [iowait, irq, softirq, steal].map(Option::unwrap_or_default);
    Some(Ticks { busy: [user, nice, system, irq, softirq, steal], idle: [idle, iowait] })
}

/// Each counter separately, because single ones run backwards: iowait and idle do so when a core goes off line or
/// another one takes up the waiting task (proc(5) calls iowait unreliable for this).
fn percent(before: Ticks, now: Ticks) -> Option<f64> {
    let passed = |before: &[u64], now: &[u64]| -> u64 {
        before.iter().zip(now).map(|(before, now)| now.saturating_sub(*before)).sum()
    };
    let idle = passed(&before.idle, &now.idle);
    percent_used(passed(&before.busy, &now.busy) + idle, idle)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "cpu  100 10 50 800 20 5 5 10 40 0\n\
        cpu0 100 10 50 800 20 5 5 10 40 0\n\
        intr 5 0\nctxt 7\nbtime 1763700000\nprocesses 12\nprocs_running 1\nprocs_blocked 0\n";

    fn at(busy: u64, idle: u64, iowait: u64) -> Ticks {
        Ticks { busy: [busy, 0, 0, 0, 0, 0], idle: [idle, iowait] }
    }

    #[test]
    fn guests_are_not_counted_twice() {
        let expected = Ticks { busy: [100, 10, 50, 5, 5, 10], idle: [800, 20] };
        assert_eq!(ticks(STAT.as_bytes()), Some(expected));
    }

    #[test]
    fn a_stat_file_without_the_line_of_all_cores_is_not_understood() {
        for text in ["", "garbage", "cpu0 1 2 3 4\n", "cpu  a b c d\n"] {
            assert_eq!(ticks(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn the_percentage_is_that_of_the_time_between_two_samples() {
        assert_eq!(percent(at(100, 900, 0), at(125, 975, 0)), Some(25.0));
        assert_eq!(percent(at(100, 900, 0), at(200, 900, 0)), Some(100.0));
        assert_eq!(percent(at(100, 900, 0), at(100, 950, 50)), Some(0.0));
    }

    #[test]
    fn a_counter_that_runs_backwards_neither_wraps_nor_hides_the_others() {
        assert_eq!(percent(at(100, 900, 50), at(150, 950, 40)), Some(50.0));
        assert_eq!(percent(at(100, 900, 50), at(50, 900, 100)), Some(0.0));
    }

    #[test]
    fn without_any_time_in_between_there_is_no_percentage() {
        assert_eq!(percent(at(100, 900, 0), at(100, 900, 0)), None);
        assert_eq!(percent(at(100, 900, 0), at(0, 0, 0)), None, "all counters restarted");
    }

    #[test]
    fn a_sample_that_follows_at_once_keeps_the_percentage_and_the_begin_of_the_window() {
        let root = tempfile::tempdir().expect("a directory");
        std::fs::create_dir(root.path().join("proc")).expect("created");
        let (mut cpu, mut firmware) = (Cpu::new(root.path()), Firmware::choose(root.path()));
        let start = Instant::now();
        let mut sample = |milliseconds: u64, busy: u64, idle: u64| {
            let stat =
                STAT.replacen("100 10 50 800 20 5 5 10 40 0", &format!("{busy} 0 0 {idle} 0 0 0 0"), 1);
            std::fs::write(root.path().join("proc/stat"), stat).expect("written");
            let now = start + Duration::from_millis(milliseconds);
            cpu.read(&mut Turn { now, limit: Duration::ZERO, firmware: &mut firmware }).ok()
        };
        assert_eq!(sample(0, 100, 900), None);
        assert_eq!(sample(50, 105, 900), None, "half a window");
        assert_eq!(sample(100, 105, 915), Some(25.0));
        assert_eq!(sample(100, 105, 915), Some(25.0), "no tick has passed");
        assert_eq!(sample(199, 115, 915), Some(25.0));
        assert_eq!(sample(200, 115, 925), Some(50.0));
    }
}
