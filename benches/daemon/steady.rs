//! What a heartbeat costs the device, once the first ones are over.

use crate::INTERVAL;
use crate::figures::{Figure, Table, limits};
use crate::parts::{Outcome, Plan};
use crate::process::{LOOK, Watch, Window};
use crate::subject::{Daemon, PATIENCE, Scheme};
use crate::syscalls::{Calls, Tracer};
use std::time::{Duration, Instant};

/// The first heartbeats open the connection, find the sources and fill the allocator.
const SETTLE: u32 = 3;

/// The most frequent ones.
const SHOWN_CALLS: usize = 10;

pub fn measure(plan: &Plan) -> Outcome<Vec<Table>> {
    [Scheme::Http, Scheme::Https].into_iter().map(|scheme| footprint(plan, scheme)).collect()
}

fn footprint(plan: &Plan, scheme: Scheme) -> Outcome<Table> {
    let daemon = Daemon::start(scheme)?;
    heartbeats(&daemon, SETTLE, &mut || Ok(()))?;
    let count = beats_in(plan.window);
    let mut watch = Watch::begin(daemon.pid())?;
    heartbeats(&daemon, count, &mut || watch.look())?;
    let window = watch.end()?;
    let traced = beats_in(plan.window / 2);
    let calls = Tracer::attach(daemon.pid()).and_then(|tracer| {
        heartbeats(&daemon, traced, &mut || Ok(()))?;
        tracer.detach()
    });
    let mut table = Table::new(format!(
        "Footprint over {}, {count} heartbeats after the first {}",
        scheme.name(),
        SETTLE + 1
    ));
    add_window(&mut table, scheme, &window, count);
    match calls {
        Ok(calls) => add_calls(&mut table, &calls, traced),
        Err(problem) => table.miss(&problem),
    }
    Ok(table)
}

pub fn beats_in(window: Duration) -> u32 {
    ((window.as_secs_f64() / INTERVAL.as_secs_f64()).round() as u32).max(1)
}

/// Lets so many pass, and returns in the middle of the gap after the last one, where no
/// heartbeat is half done. Calls `look` now and then.
pub fn heartbeats(daemon: &Daemon, count: u32, look: &mut dyn FnMut() -> Outcome<()>) -> Outcome<()> {
    for _ in 0..count {
        let deadline = Instant::now() + PATIENCE;
        while daemon.receiver.next(LOOK).is_none() {
            look()?;
            if Instant::now() > deadline {
                return Err(daemon.program.silent());
            }
        }
    }
    std::thread::sleep(INTERVAL / 2);
    Ok(())
}

fn add_window(table: &mut Table, scheme: Scheme, window: &Window, count: u32) {
    let pss = match scheme {
        Scheme::Http => limits::PSS_HTTP_KIB,
        Scheme::Https => limits::PSS_HTTPS_KIB,
    };
    let memory = &window.memory;
    let count = f64::from(count);
    table.add(Figure::new("PSS", memory.pss as f64, "KiB").at_most(pss));
    table.add(Figure::new("RSS", memory.rss as f64, "KiB").at_most(limits::RSS_KIB));
    table.add(Figure::new("RSS, most since start", memory.most_rss as f64, "KiB").at_most(limits::RSS_KIB));
    table.add(Figure::new("of it anonymous (heap and stacks)", memory.anonymous as f64, "KiB"));
    table.add(Figure::new("threads, most", window.most_threads as f64, "").at_most(limits::THREADS));
    table.add(Figure::new("threads that came", window.new_threads as f64, "").at_most(limits::NONE));
    table.add(
        Figure::new("CPU per heartbeat", window.cpu.as_secs_f64() * 1e3 / count, "ms")
            .at_most(limits::CPU_MS),
    );
    table.add(Figure::new("context switches per heartbeat", window.switches as f64 / count, ""));
    table.add(Figure::new("written to a disk", window.written as f64, "bytes").at_most(limits::NONE));
    table.add(Figure::new("descriptors at the beginning", window.descriptors.0 as f64, ""));
    table.add(
        Figure::new("descriptors at the end", window.descriptors.1 as f64, "")
            .at_most(window.descriptors.0 as f64),
    );
}

fn add_calls(table: &mut Table, calls: &Calls, count: u32) {
    let each = |calls: u64| calls as f64 / f64::from(count);
    table.add(Figure::new("system calls per heartbeat", each(calls.total()), "").at_most(limits::SYSCALLS));
    for (name, calls) in calls.0.iter().take(SHOWN_CALLS) {
        table.add(Figure::new(format!("  {name}"), each(*calls), ""));
    }
    table
        .add(Figure::new("threads or processes made (clone)", calls.made() as f64, "").at_most(limits::NONE));
}
