//! How memory and processor time grow with the fleet.

use crate::figures::{Figure, Table};
use crate::ingest::{each, run};
use crate::parts::{Outcome, Plan};
use crate::process::Watch;
use crate::subject::Monitor;
use heartbeat_daemon::monitor::simulation::Content;
use std::time::Duration;

/// Machines. The larger ones are compared with the second one.
const FLEETS: [usize; 4] = [1_000, 10_000, 100_000, 1_000_000];
/// Heartbeats a second that are sent even on a busy machine.
const SLOWEST_RATE: usize = 10_000;
/// How much more a machine or a heartbeat of a larger fleet may take.
const TOLERANCE: f64 = 1.5;

/// Of one fleet.
struct Size {
    machines: usize,
    pss_kib: u64,
    /// Anonymous memory more than before the first heartbeat.
    bytes_per_machine: f64,
    cpu_per_heartbeat: f64,
}

pub fn measure(plan: &Plan) -> Outcome<Vec<Table>> {
    let sizes = FLEETS.map(|machines| size(plan, machines));
    let sizes = sizes.into_iter().collect::<Outcome<Vec<Size>>>()?;
    let compared = &sizes[1];
    let mut table = Table::new("sizes: heartbeats as fast as they can be sent, from fleets of");
    for size in &sizes {
        let figure =
            |name: &str, value, unit| Figure::new(format!("{} machines: {name}", size.machines), value, unit);
        table.add(figure("memory (PSS)", size.pss_kib as f64 / 1024.0, "MiB"));
        let (memory, cpu) = (compared.bytes_per_machine, compared.cpu_per_heartbeat);
        let limited = |figure: Figure, of: f64| {
            if size.machines > compared.machines { figure.at_most(of * TOLERANCE) } else { figure }
        };
        table.add(limited(figure("of each", size.bytes_per_machine, "bytes"), memory));
        table.add(limited(figure("CPU of a heartbeat", size.cpu_per_heartbeat, "us"), cpu));
    }
    Ok(vec![table])
}

fn size(plan: &Plan, machines: usize) -> Outcome<Size> {
    let monitor = Monitor::start(machines)?;
    let before = Watch::begin(monitor.pid())?.end()?.memory.anonymous;
    // A first heartbeat costs more than those after it, and is not what is measured.
    for _ in 0..2 {
        let window =
            Duration::from_secs_f64(machines as f64 / SLOWEST_RATE as f64).max(Duration::from_secs(1));
        let report = run(&Plan { window, ..*plan }, monitor.plan(Content::Live))?;
        if (report.requests as usize) < machines {
            return Err(format!("only {} of {machines} machines were heard in {window:?}", report.requests));
        }
    }
    let watch = Watch::begin(monitor.pid())?;
    let report = run(plan, monitor.plan(Content::Live))?;
    let window = watch.end()?;
    if report.refused.values().sum::<u64>() + report.broken > 0 {
        return Err(format!("{machines} machines: heartbeats were refused, or connections broke"));
    }
    Ok(Size {
        machines,
        pss_kib: window.memory.pss,
        bytes_per_machine: window.memory.anonymous.saturating_sub(before) as f64 * 1024.0 / machines as f64,
        cpu_per_heartbeat: each(window.cpu, &report),
    })
}
