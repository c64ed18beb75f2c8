//! System calls, counted by strace: exact, but it slows the program, so it has a window of its own.

use crate::parts::Outcome;
use crate::subject::signal;
use procfs::process::Process;
use rustix::process::Signal;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// strace attaches to a handful of threads within some ms.
const ATTACHED_WITHIN: Duration = Duration::from_secs(5);

/// strace on a process.
pub struct Tracer {
    strace: Child,
    summary: PathBuf,
}

/// By name, most frequent first.
pub struct Calls(pub Vec<(String, u64)>);

impl Tracer {
    /// Returns when all threads are traced.
    pub fn attach(pid: u32) -> Outcome<Tracer> {
        let summary = PathBuf::from(format!("/dev/shm/heartbeat-bench-{}-{pid}.strace", std::process::id()));
        let strace = Command::new("strace")
            .args(["-f", "-c", "-p", &pid.to_string(), "-o"])
            .arg(&summary)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("strace: {error}; apt-get install -y --no-install-recommends strace"))?;
        let mut tracer = Tracer { strace, summary };
        let deadline = Instant::now() + ATTACHED_WITHIN;
        while !all_traced(pid)? {
            let ended = tracer.strace.try_wait().map_err(|error| format!("strace: {error}"))?;
            if ended.is_some() || Instant::now() > deadline {
                return Err(format!("strace cannot attach to process {pid}: see kernel.yama.ptrace_scope"));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(tracer)
    }

    pub fn detach(mut self) -> Outcome<Calls> {
        let text = signal(&self.strace, Signal::INT)
            .and_then(|()| self.strace.wait())
            .and_then(|_| fs::read_to_string(&self.summary));
        Ok(Calls::parse(&text.map_err(|error| format!("strace: {error}"))?))
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        // Nothing to do where detach has been here before.
        let _ = signal(&self.strace, Signal::INT);
        let _ = self.strace.wait();
        let _ = fs::remove_file(&self.summary);
    }
}

fn all_traced(pid: u32) -> Outcome<bool> {
    let tasks = Process::new(pid as i32).and_then(|process| process.tasks());
    let mut tasks = tasks.map_err(|error| format!("process {pid}: {error}"))?.flatten();
    Ok(tasks.all(|task| task.status().is_ok_and(|status| status.tracerpid != 0)))
}

impl Calls {
    /// `strace -c`: "% time, seconds, usecs/call, calls, errors (may be blank), syscall".
    fn parse(summary: &str) -> Calls {
        let mut calls: Vec<(String, u64)> = summary
            .lines()
            .filter_map(|line| {
                let fields: Vec<&str> = line.split_whitespace().collect();
                let name = *fields.last().filter(|name| **name != "total")?;
                Some((name.to_owned(), fields.get(3)?.parse().ok()?))
            })
            .collect();
        calls.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        Calls(calls)
    }

    pub fn total(&self) -> u64 {
        self.0.iter().map(|(_, count)| count).sum()
    }

    /// Threads and processes made.
    pub fn made(&self) -> u64 {
        let makes = |name: &str| matches!(name, "clone" | "clone3" | "fork" | "vfork");
        self.0.iter().filter(|(name, _)| makes(name)).map(|(_, count)| count).sum()
    }
}
