//! What the failover thread costs while nothing happens.

use crate::figures::{Figure, Table};
use crate::rig::Plan;
use crate::support::net::{Shape, UPLINKS};
use crate::{limits, rounds};
use std::fs;
use std::path::PathBuf;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// The name of the thread.
const THREAD: &str = "failover";
/// After the last change, for probes of standbys to find their pace.
const SETTLE: Duration = Duration::from_secs(5);

pub fn measure(plan: &crate::parts::Plan) -> Vec<Table> {
    let (on, off) = (&[][..], &[("network.gateway_probe", "false")][..]);
    let most = limits::WAKE_UPS_PER_S_WITHOUT_PROBES;
    vec![
        cost("gateway probes on", on, limits::WAKE_UPS_PER_S, TAPS, plan.window),
        cost("gateway probes off", off, most, TAPS, plan.window),
        cost(
            "gateway probes on, the far side charged too (veth)",
            on,
            limits::WAKE_UPS_PER_S,
            Shape::default(),
            plan.window,
        ),
    ]
}

/// A packet ends in a queue from which a process takes it, as at a network card: what a router does with it, and its
/// answer, are that process's. A veth does all of it in the sender's own time.
const TAPS: Shape = Shape { ipv6: false, shared: false, tap: false, taps: true, delay: Duration::ZERO };

fn cost(title: &str, keys: &'static [(&str, &str)], limit: f64, shape: Shape, window: Duration) -> Table {
    let rig = rounds::start(Plan { keys, shape, interval: "5s", ..Plan::new("routes") });
    std::thread::sleep(SETTLE);
    let thread = Thread::of(rig.daemon.pid());
    let peer = Idler::start(Duration::from_secs_f64(1.0 / limit));
    let before = [thread.counts(), peer.thread.counts()];
    std::thread::sleep(window);
    let [(wake_ups, cpu_us), (idle_wake_ups, idle_us)] =
        [thread.since(&before[0]), peer.thread.since(&before[1])];
    peer.end();
    let seconds = window.as_secs_f64();
    let title = format!("The failover thread at rest, {title}, {} uplinks, {seconds} s", UPLINKS.len());
    let mut table = Table::new(title);
    table.add(Figure::new("wake-ups a second", wake_ups / seconds, "").at_most(limit));
    let each = Figure::new("CPU per wake-up", cpu_us / wake_ups.max(1.0), "us");
    table.add(each.at_most(limits::CPU_US_PER_WAKE_UP));
    let (each, idle) = (cpu_us / wake_ups.max(1.0), idle_us / idle_wake_ups.max(1.0));
    table.add(Figure::new("of a thread that only waits, at its limit's pace", idle, "us"));
    table.add(Figure::new("the work of a wake-up: the difference", each - idle, "us"));
    table.add(Figure::new("to the thread that only waits", each / idle, "times"));
    table.add(Figure::new("CPU a minute", cpu_us / 1e3 / seconds * 60.0, "ms"));
    if shape.taps {
        table.note("the far side of each cable is a process of its own here, so that only the thread's own work counts");
    }
    table
}

/// A thread that only waits: what this machine takes for a wake-up that does nothing.
struct Idler {
    thread: Thread,
    end: Sender<()>,
    handle: JoinHandle<()>,
}

impl Idler {
    fn start(interval: Duration) -> Idler {
        let (send_id, thread_id) = channel();
        let (end, wait) = channel::<()>();
        let handle = std::thread::spawn(move || {
            let own = fs::canonicalize("/proc/thread-self").expect("Linux has it");
            send_id.send(own).expect("somebody waits for it");
            while wait.recv_timeout(interval) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {}
        });
        let thread = Thread(thread_id.recv().expect("the thread has started"));
        Idler { thread, end, handle }
    }

    fn end(self) {
        drop(self.end);
        self.handle.join().expect("it does nothing that fails");
    }
}

/// A thread of a process, in /proc.
struct Thread(PathBuf);

/// What only ever grows.
struct Counts {
    wake_ups: u64,
    cpu_ns: u64,
}

impl Thread {
    fn of(pid: u32) -> Thread {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("the daemon runs");
        let named =
            |path: &PathBuf| fs::read_to_string(path.join("comm")).is_ok_and(|name| name.trim() == THREAD);
        let found = tasks.flatten().map(|entry| entry.path()).find(named);
        Thread(found.unwrap_or_else(|| panic!("the daemon has no thread named {THREAD}")))
    }

    /// How often it woke, and its time on the processor in us.
    fn since(&self, before: &Counts) -> (f64, f64) {
        let after = self.counts();
        ((after.wake_ups - before.wake_ups) as f64, (after.cpu_ns - before.cpu_ns) as f64 / 1e3)
    }

    fn counts(&self) -> Counts {
        let read = |name: &str| fs::read_to_string(self.0.join(name)).expect("the thread lives");
        let status = read("status");
        // Each wait of a thread ends in one wake-up.
        let wake_ups = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        let wake_ups = wake_ups.and_then(|n| n.trim().parse().ok()).expect("a count of switches");
        // "time on the processor in ns, time in the queue, time slices"
        let cpu_ns = read("schedstat").split(' ').next().and_then(|n| n.parse().ok()).expect("schedstat");
        Counts { wake_ups, cpu_ns }
    }
}
