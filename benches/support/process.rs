//! What the kernel says of a process, read from outside without disturbing it.

use crate::parts::Outcome;
use procfs::process::Process;
use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

/// How often the threads are listed: a thread of a shorter life is seen only by strace.
pub const LOOK: Duration = Duration::from_millis(250);

/// A process that is being looked at.
pub struct Watch {
    process: Process,
    begin: Counters,
    /// By thread, also of those that have ended: context switches when it was first and last seen.
    switches: BTreeMap<i32, (u64, u64)>,
    threads_at_begin: Vec<i32>,
    most_threads: usize,
    descriptors_at_begin: usize,
}

/// What only ever grows.
#[derive(Clone, Copy)]
struct Counters {
    cpu: Duration,
    written: u64,
}

/// What a process did while it was being looked at.
pub struct Window {
    pub cpu: Duration,
    pub switches: u64,
    /// To a disk, in bytes.
    pub written: u64,
    pub most_threads: usize,
    pub new_threads: usize,
    pub descriptors: (usize, usize),
    pub memory: Memory,
}

/// At the end of the window, in KiB.
pub struct Memory {
    pub pss: u64,
    pub rss: u64,
    /// Since the process began.
    pub most_rss: u64,
    pub anonymous: u64,
}

impl Watch {
    pub fn begin(pid: u32) -> Outcome<Watch> {
        let process = Process::new(pid as i32).map_err(|error| format!("process {pid}: {error}"))?;
        let begin = counters(&process)?;
        let descriptors_at_begin = process.fd_count().map_err(gone)?;
        let (switches, threads_at_begin) = (BTreeMap::new(), Vec::new());
        let mut watch =
            Watch { process, begin, switches, threads_at_begin, most_threads: 0, descriptors_at_begin };
        watch.look()?;
        watch.threads_at_begin = watch.switches.keys().copied().collect();
        Ok(watch)
    }

    /// Notes the threads that live now.
    pub fn look(&mut self) -> Outcome<()> {
        let known_from_begin = self.threads_at_begin.is_empty();
        let mut alive = 0;
        for task in self.process.tasks().map_err(gone)?.flatten() {
            // A thread may end between the two lines.
            let Ok(status) = task.status() else { continue };
            alive += 1;
            let now =
                status.voluntary_ctxt_switches.unwrap_or(0) + status.nonvoluntary_ctxt_switches.unwrap_or(0);
            let first = if known_from_begin { now } else { 0 };
            self.switches.entry(task.tid).or_insert((first, now)).1 = now;
        }
        self.most_threads = self.most_threads.max(alive);
        Ok(())
    }

    pub fn end(mut self) -> Outcome<Window> {
        self.look()?;
        let end = counters(&self.process)?;
        Ok(Window {
            cpu: end.cpu - self.begin.cpu,
            written: end.written - self.begin.written,
            switches: self.switches.values().map(|(first, last)| last - first).sum(),
            most_threads: self.most_threads,
            new_threads: self.switches.len() - self.threads_at_begin.len(),
            descriptors: (self.descriptors_at_begin, self.process.fd_count().map_err(gone)?),
            memory: memory(&self.process)?,
        })
    }
}

fn counters(process: &Process) -> Outcome<Counters> {
    let cpu =
        cpu_time(process.pid).map_err(|error| format!("CPU clock of process {}: {error}", process.pid))?;
    Ok(Counters { cpu, written: process.io().map_err(gone)?.write_bytes })
}

fn memory(process: &Process) -> Outcome<Memory> {
    let rollup = process.smaps_rollup().map_err(gone)?.memory_map_rollup;
    let map = &rollup.0.first().ok_or("smaps_rollup is empty")?.extension.map;
    let kib = |key: &str| map.get(key).map(|bytes| bytes / 1024).ok_or(format!("smaps_rollup without {key}"));
    let most_rss = process.status().map_err(gone)?.vmhwm.ok_or("status without VmHWM")?;
    Ok(Memory { pss: kib("Pss")?, rss: kib("Rss")?, anonymous: kib("Anonymous")?, most_rss })
}

fn gone(error: procfs::ProcError) -> String {
    format!("the measured process: {error}")
}

/// Of all threads, also of those that have ended; /proc/PID/task/*/schedstat forgets these, and
/// /proc/PID/stat counts in steps of 10 ms.
fn cpu_time(pid: i32) -> io::Result<Duration> {
    let mut clock: libc::clockid_t = 0;
    // SAFETY: writes one clockid_t to a place that is valid for it.
    let code = unsafe { libc::clock_getcpuclockid(pid, &raw mut clock) };
    if code != 0 {
        return Err(io::Error::from_raw_os_error(code));
    }
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes one timespec to a place that is valid for it.
    if unsafe { libc::clock_gettime(clock, &raw mut time) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
}
