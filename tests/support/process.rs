//! A program under test: what it says, what it holds, how it ends.

use super::SOON;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Runs a program that must end by itself, soon.
pub fn output_of(mut command: Command) -> Output {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let drain = |mut pipe: Box<dyn Read + Send>| {
        thread::spawn(move || {
            let mut bytes = Vec::new();
            pipe.read_to_end(&mut bytes).map(|_| bytes)
        })
    };
    let stdout = drain(Box::new(child.stdout.take().expect("piped")));
    let stderr = drain(Box::new(child.stderr.take().expect("piped")));
    let ended = wait(&child, SOON);
    // Without effect on one that has ended.
    let _ = child.kill();
    let status = child.wait().expect("a child");
    let text =
        |reader: JoinHandle<std::io::Result<Vec<u8>>>| reader.join().expect("no panic").expect("readable");
    let output = Output { status, stdout: text(stdout), stderr: text(stderr) };
    assert!(ended, "{command:?} did not end: {output:?}");
    output
}

/// True once the child has ended, which it may do within `limit`.
fn wait(child: &Child, limit: Duration) -> bool {
    let ended = pidfd_open(pid(child), PidfdFlags::empty()).expect("a child that is not reaped");
    let limit = Timespec {
        tv_sec: i64::try_from(limit.as_secs()).expect("no age"),
        tv_nsec: limit.subsec_nanos().into(),
    };
    poll(&mut [PollFd::new(&ended, PollFlags::IN)], Some(&limit)).expect("poll") > 0
}

fn pid(child: &Child) -> Pid {
    Pid::from_child(child)
}

/// What a process says, line by line; complete once all its ends are closed.
#[derive(Default, Clone)]
struct Log(Arc<(Mutex<Vec<String>>, Condvar)>);

impl Log {
    fn collect(&self, pipe: impl Read + Send + 'static) -> JoinHandle<()> {
        let log = self.clone();
        thread::spawn(move || {
            for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).into_owned();
                log.0.0.lock().expect("no panic").push(line);
                log.0.1.notify_all();
            }
        })
    }
}

/// A running program; killed on drop, by its own pid.
pub struct Process {
    child: Child,
    log: Log,
    collectors: Vec<JoinHandle<()>>,
}

/// What the process holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vitals {
    pub rss_kib: u64,
    pub threads: u64,
    pub descriptors: usize,
}

impl Vitals {
    /// The larger of each.
    pub fn max(self, other: Vitals) -> Vitals {
        Vitals {
            rss_kib: self.rss_kib.max(other.rss_kib),
            threads: self.threads.max(other.threads),
            descriptors: self.descriptors.max(other.descriptors),
        }
    }
}

impl Process {
    /// Starts it and collects what it says.
    pub fn start(mut command: Command) -> Process {
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
        let log = Log::default();
        let stderr = log.collect(child.stderr.take().expect("piped"));
        let stdout = log.collect(child.stdout.take().expect("piped"));
        Process { child, log, collectors: vec![stderr, stdout] }
    }

    /// Starts it with its standard error at the other end of this one.
    pub fn start_heard_through(mut command: Command, ours: impl Read + Send + 'static) -> Process {
        let child = command.stdout(Stdio::null()).spawn().expect("the program starts");
        // Holds our copy of the program's end, without which the log ends with the program.
        drop(command);
        let log = Log::default();
        let collectors = vec![log.collect(ours)];
        Process { child, log, collectors }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(pid(&self.child), signal).expect("the program is there");
    }

    pub fn log(&self) -> Vec<String> {
        self.log.0.0.lock().expect("no panic").clone()
    }

    pub fn log_lines(&self, part: &str) -> Vec<String> {
        self.log().into_iter().filter(|line| line.contains(part)).collect()
    }

    /// The first line that holds, now or soon.
    pub fn wait_for_line(&self, what: &str, holds: impl Fn(&str) -> bool) -> String {
        let (lines, changed) = &*self.log.0;
        let deadline = Instant::now() + SOON;
        let mut guard = lines.lock().expect("no panic");
        loop {
            if let Some(line) = guard.iter().find(|line| holds(line)) {
                return line.clone();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                drop(guard);
                panic!("no line {what} in the log");
            }
            guard = changed.wait_timeout(guard, left).expect("no panic").0;
        }
    }

    /// How it ended and how long that took from now on; it must end within `limit`. The log is complete then.
    pub fn wait_for_end(&mut self, limit: Duration) -> (ExitStatus, Duration) {
        let begin = Instant::now();
        assert!(wait(&self.child, limit), "the program still runs after {limit:?}");
        let took = begin.elapsed();
        self.collectors.drain(..).for_each(|collector| collector.join().expect("no panic"));
        (self.child.wait().expect("a child"), took)
    }

    pub fn is_running(&self) -> bool {
        !wait(&self.child, Duration::ZERO)
    }

    pub fn proc_file(&self, name: &str) -> Vec<u8> {
        let path = Path::new("/proc").join(self.pid().to_string()).join(name);
        fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// A line `Key: number` of a file in /proc/PID.
    pub fn proc_number(&self, file: &str, key: &str) -> u64 {
        let text = String::from_utf8(self.proc_file(file)).expect("text");
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        let number = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
        number.unwrap_or_else(|| panic!("no {key} in {file}: {text}"))
    }

    /// Whether a thread of this name runs at this moment: right after the start, a number of them says little.
    pub fn has_thread(&self, name: &str) -> bool {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pid())).expect("it runs");
        let mut names = tasks.flatten().filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
        names.any(|found| found.trim_end() == name)
    }

    pub fn vitals(&self) -> Vitals {
        let descriptors = fs::read_dir(format!("/proc/{}/fd", self.pid())).expect("it runs").count();
        Vitals {
            rss_kib: self.proc_number("status", "VmRSS"),
            threads: self.proc_number("status", "Threads"),
            descriptors,
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended before.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("the program's log:\n{}", self.log().join("\n"));
        }
    }
}
