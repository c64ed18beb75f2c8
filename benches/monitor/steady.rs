//! A fleet at its own pace, and a small one: what a monitor costs while nothing happens.

use crate::INTERVAL;
use crate::figures::{Figure, Table};
use crate::nginx::Nginx;
use crate::parts::{Outcome, Plan};
use crate::process::{Watch, Window};
use crate::subject::Monitor;
use heartbeat_daemon::monitor::simulation::{self, Content, Report, SendRate};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// All machines have connected and beaten.
const WARM_UP: Duration = Duration::from_secs(12);

pub fn measure(plan: &Plan) -> Outcome<Vec<Table>> {
    // Long enough for the journal to be folded in a few times.
    let (report, window, length) = look(10_000, plan.window.max(Duration::from_secs(60)))?;
    let mut table = Table::new("steady: 10,000 machines at 5 s, each on a connection of its own");
    table.add(Figure::new("heartbeats a second", report.rate(), "/s").at_least(1_990.0));
    let faults: u64 = report.refused.values().sum::<u64>() + report.broken + report.late;
    table.add(Figure::new("not accepted, broken or late", faults as f64, "").at_most(0.0));
    table.add(Figure::new("p99", report.accepted.quantile(0.99).as_secs_f64() * 1000.0, "ms"));
    table.add(cpu(&window, length).at_most(10.0));
    table.add(Figure::new("written to a disk", window.written as f64 / 1e6 / length, "MB/s").at_most(0.5));
    table.add(Figure::new("PSS", window.memory.pss as f64 / 1024.0, "MiB").at_most(40.0));
    table.add(Figure::new("RSS, most since start", window.memory.most_rss as f64 / 1024.0, "MiB"));
    Ok(vec![table])
}

pub fn idle(plan: &Plan) -> Outcome<Vec<Table>> {
    let (report, window, length) = look(100, plan.window.max(Duration::from_secs(60)))?;
    let mut table = Table::new("idle: 100 machines at 5 s");
    table.add(Figure::new("heartbeats a second", report.rate(), "/s"));
    table.add(Figure::new("PSS", window.memory.pss as f64 / 1024.0, "MiB").at_most(7.0));
    table.add(Figure::new("of it anonymous", window.memory.anonymous as f64 / 1024.0, "MiB"));
    table.add(cpu(&window, length).at_most(0.1));
    table.add(Figure::new("written to a disk", window.written as f64 / 1e3 / length, "kB/s"));
    table.add(Figure::new("context switches", window.switches as f64 / length, "/s"));
    match waiting_nginx(plan)? {
        Some(share) => table.add(Figure::new("CPU of nginx, 204 to the same", share, "%")),
        None => table.note("nginx is not installed: no comparison"),
    }
    Ok(vec![table])
}

/// What the kernel charges a server for 20 small requests a second on this machine, whatever it does with them; in
/// percent of a core.
fn waiting_nginx(plan: &Plan) -> Outcome<Option<f64>> {
    let Some(nginx) = Nginx::start()? else { return Ok(None) };
    let tokens: Vec<String> = (0..100).map(|number| format!("token-{number}")).collect();
    let sending = beating(nginx.plan(&tokens), plan.window);
    let (begin, before) = (Instant::now(), nginx.cpu()?);
    std::thread::sleep(plan.window - Duration::from_secs(1));
    let (spent, length) = (nginx.cpu()? - before, begin.elapsed());
    finished(sending)?;
    Ok(Some(spent.as_secs_f64() / length.as_secs_f64() * 100.0))
}

type Sending = JoinHandle<std::io::Result<Report>>;

/// Has the fleet beat at its own pace for so long, and returns once it has warmed up.
fn beating(mut fleet: simulation::Plan, length: Duration) -> Sending {
    (fleet.rate, fleet.length) = (SendRate::Every(INTERVAL), length);
    let fleet = Arc::new(fleet);
    let sending = std::thread::spawn(move || simulation::run(&fleet, 1, WARM_UP));
    std::thread::sleep(WARM_UP);
    sending
}

fn finished(sending: Sending) -> Outcome<Report> {
    let report = sending.join().map_err(|_| "the fleet has panicked")?;
    report.map_err(|error| format!("the fleet: {error}"))
}

fn look(machines: usize, length: Duration) -> Outcome<(Report, Window, f64)> {
    let monitor = Monitor::start(machines)?;
    let sending = beating(monitor.plan(Content::Live), length);
    let watch = Watch::begin(monitor.pid())?;
    std::thread::sleep(length - Duration::from_secs(1));
    let window = watch.end()?;
    let report = finished(sending)?;
    Ok((report, window, (length - Duration::from_secs(1)).as_secs_f64()))
}

fn cpu(window: &Window, seconds: f64) -> Figure {
    Figure::new("CPU, of one core", window.cpu.as_secs_f64() / seconds * 100.0, "%")
}
