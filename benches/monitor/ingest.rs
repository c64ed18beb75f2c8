//! How many heartbeats a second, as fast as they can be sent; and replays, durable before their answer.

use crate::figures::{Figure, Table};
use crate::nginx::Nginx;
use crate::parts::{Outcome, Plan};
use crate::process::Watch;
use crate::subject::Monitor;
use heartbeat_daemon::monitor::simulation::{self, Content, Report};
use std::sync::Arc;
use std::time::Duration;

pub const MACHINES: usize = 10_000;
/// Each sends as soon as it has its answer, for one machine after the other.
const CONNECTIONS: usize = 64;
const WARM_UP: Duration = Duration::from_secs(2);

pub fn measure(plan: &Plan) -> Outcome<Vec<Table>> {
    let monitor = Monitor::start(MACHINES)?;
    let nginx = Nginx::start()?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let (mut cpu, mut their_cpu) = (Vec::new(), Vec::new());
    // They take turns, and the middle one counts: the machine is never quite the same for ten seconds.
    for _ in 0..plan.rounds {
        let watch = Watch::begin(monitor.pid())?;
        let report = run(plan, monitor.plan(Content::Live))?;
        let window = watch.end()?;
        cpu.push(each(window.cpu, &report));
        ours.push(report);
        if let Some(nginx) = &nginx {
            let begin = nginx.cpu()?;
            let report = run(plan, nginx.plan(&monitor.tokens))?;
            their_cpu.push(each(nginx.cpu()? - begin, &report));
            theirs.push(report);
        }
    }
    let mut table = Table::new(format!(
        "ingest: {MACHINES} machines over {CONNECTIONS} connections, the fleet on the same {} CPUs",
        std::thread::available_parallelism().map_or(0, usize::from)
    ));
    let ours = middle(ours);
    let faults: u64 = ours.refused.values().sum::<u64>() + ours.broken;
    table.add(Figure::new("heartbeats a second", ours.rate(), "/s").at_least(50_000.0));
    table.add(Figure::new("p50", milliseconds(&ours, 0.5), "ms"));
    table.add(Figure::new("p99", milliseconds(&ours, 0.99), "ms").at_most(10.0));
    table.add(Figure::new("longest", ours.accepted.most().as_secs_f64() * 1000.0, "ms"));
    table.add(Figure::new("not accepted, or connection broken", faults as f64, "").at_most(0.0));
    table.add(Figure::new("CPU of the monitor, each", median(cpu), "us"));
    if theirs.is_empty() {
        table.note("nginx is not installed: no comparison");
    } else {
        let theirs = middle(theirs);
        table.add(Figure::new("nginx, 204 to the same", theirs.rate(), "/s"));
        table.add(Figure::new("nginx, p99", milliseconds(&theirs, 0.99), "ms"));
        table.add(Figure::new("CPU of nginx, each", median(their_cpu), "us"));
        table.add(Figure::new("share of nginx", ours.rate() / theirs.rate() * 100.0, "%").at_least(60.0));
    }
    Ok(vec![table])
}

pub fn replays(plan: &Plan) -> Outcome<Vec<Table>> {
    let mut tables = Vec::new();
    for batch in [32, 1] {
        let monitor = Monitor::start(MACHINES)?;
        let watch = Watch::begin(monitor.pid())?;
        let report = run(plan, monitor.plan(Content::Replays(batch)))?;
        let window = watch.end()?;
        let title =
            format!("replays: {batch} in a request, {MACHINES} machines over {CONNECTIONS} connections");
        let mut table = Table::new(title);
        table.add(Figure::new("replays a second", report.rate(), "/s").at_least(15_000.0));
        table.add(Figure::new("p50", milliseconds(&report, 0.5), "ms"));
        table.add(Figure::new("p99", milliseconds(&report, 0.99), "ms"));
        let faults: u64 = report.refused.values().sum::<u64>() + report.broken;
        table.add(Figure::new("not accepted, or connection broken", faults as f64, "").at_most(0.0));
        let seconds = (WARM_UP + plan.window).as_secs_f64();
        table.add(Figure::new("written to a disk", window.written as f64 / 1e6 / seconds, "MB/s"));
        tables.push(table);
    }
    Ok(tables)
}

pub fn run(plan: &Plan, mut fleet: simulation::Plan) -> Outcome<Report> {
    fleet.connections = CONNECTIONS;
    fleet.length = plan.window;
    simulation::run(&Arc::new(fleet), 1, WARM_UP).map_err(|error| format!("the fleet: {error}"))
}

/// Microseconds of CPU for each request, those of the warm-up counted in at the same rate.
pub fn each(cpu: Duration, report: &Report) -> f64 {
    let share = report.length.as_secs_f64() / (report.length + WARM_UP).as_secs_f64();
    cpu.as_secs_f64() * 1e6 * share / report.accepted.count().max(1) as f64
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

pub fn middle(mut reports: Vec<Report>) -> Report {
    reports.sort_by(|a, b| a.rate().total_cmp(&b.rate()));
    reports.swap_remove(reports.len() / 2)
}

fn milliseconds(report: &Report, share: f64) -> f64 {
    report.accepted.quantile(share).as_secs_f64() * 1000.0
}
