//! What conditions cost: heartbeats of devices with eight cameras, with all conditions on and with all switched off; and the
//! memory of a machine and of a camera.

use crate::figures::{Figure, Table};
use crate::ingest::{MACHINES, each, median, middle, run};
use crate::parts::{Outcome, Plan};
use crate::process::Watch;
use crate::subject::Monitor;
use heartbeat_daemon::clock::{Moment, Now};
use heartbeat_daemon::monitor::conditions::catalogue::CATALOGUE;
use heartbeat_daemon::monitor::conditions::settings::{Scope, ScopedChange, SettingChange};
use heartbeat_daemon::monitor::fleet::Fleet;
use heartbeat_daemon::monitor::ingest::native::{self, Received};
use heartbeat_daemon::monitor::machine::MachineId;
use heartbeat_daemon::monitor::simulation::{Content, with_cameras};
use heartbeat_daemon::monitor::store::Store;
use heartbeat_daemon::wire::{CameraStatus, Heartbeat, SAMPLE};

const CAMERAS: usize = 8;
/// In memory, for the figures of one machine.
const IN_MEMORY: i64 = 20_000;

pub fn measure(plan: &Plan) -> Outcome<Vec<Table>> {
    let (judging, ignoring) = (Monitor::start(MACHINES)?, Monitor::start_with(MACHINES, switch_off)?);
    let monitors = [&judging, &ignoring];
    let (mut reports, mut cpu) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    // They take turns, and the middle one counts.
    for _ in 0..plan.rounds {
        for (index, monitor) in monitors.iter().enumerate() {
            let watch = Watch::begin(monitor.pid())?;
            let report = run(plan, monitor.plan(Content::Cameras(CAMERAS)))?;
            cpu[index].push(each(watch.end()?.cpu, &report));
            reports[index].push(report);
        }
    }
    let faults: u64 =
        reports.iter().flatten().map(|report| report.refused.values().sum::<u64>() + report.broken).sum();
    let ([on, off], [cpu_on, cpu_off]) = (reports.map(middle), cpu.map(median));
    let mut table =
        Table::new(format!("conditions: ingest of {MACHINES} machines with {CAMERAS} cameras each"));
    table.add(Figure::new("heartbeats a second", on.rate(), "/s"));
    table.add(Figure::new("all conditions off", off.rate(), "/s"));
    table.add(Figure::new("share of it", on.rate() / off.rate() * 100.0, "%").at_least(90.0));
    table.add(Figure::new("CPU of the monitor, each", cpu_on, "us"));
    table.add(Figure::new("all conditions off", cpu_off, "us"));
    table.add(Figure::new("not accepted, or connection broken", faults as f64, "").at_most(0.0));
    Ok(vec![table])
}

fn switch_off(store: &Store) -> Outcome<()> {
    for entry in &CATALOGUE {
        let change = SettingChange { is_on: Some(false), ..SettingChange::default() };
        let change = ScopedChange { condition: entry.condition, scope: Scope::All, change };
        store.change_condition(&change, Moment::now()).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// What judging adds to the memory of this process.
pub fn memory(_: &Plan) -> Outcome<Vec<Table>> {
    let machine = judged(0, CameraStatus::Connected)?;
    let responding = judged(CAMERAS, CameraStatus::Connected)?;
    let failing = judged(CAMERAS, CameraStatus::Disconnected)?;
    let each = |more: f64| (more - machine) / CAMERAS as f64;
    let mut table = Table::new(format!("memory of conditions, of {IN_MEMORY} machines"));
    table.add(Figure::new("a machine", machine, "bytes").at_most(200.0));
    table.add(Figure::new("a camera that responds", each(responding), "bytes").at_most(60.0));
    table.add(Figure::new("a camera that is down", each(failing), "bytes").at_most(60.0));
    Ok(vec![table])
}

/// Bytes for each machine with this many cameras.
fn judged(cameras: usize, status: CameraStatus) -> Outcome<f64> {
    let mut sample: Heartbeat = serde_json::from_str(SAMPLE).map_err(|error| error.to_string())?;
    // Without an open incident: on its best uplink.
    let best = sample.connection.uplinks.first().map(|uplink| uplink.interface.clone());
    sample.connection.active = best;
    let body = |status| serde_json::to_string(&with_cameras(&sample, cameras, status));
    let good = body(CameraStatus::Connected).map_err(|error| error.to_string())?;
    let body = body(status).map_err(|error| error.to_string())?;
    let beats = [native::parse(&good), native::parse(&body)];
    let [Ok(Received::Beat(good)), Ok(Received::Beat(beat))] = beats else {
        return Err("the sample is no beat".into());
    };
    let (fleet, now) = (Fleet::default(), Now::read());
    for machine in 1..=IN_MEMORY {
        fleet.beat(MachineId(machine), &good, now.wall);
    }
    let before = resident()?;
    for machine in 1..=IN_MEMORY {
        for beat in [&good, &beat] {
            fleet.judge(MachineId(machine), beat, false, now);
        }
    }
    let after = resident()?;
    // The next fleet must not reuse its memory, which would not show.
    std::mem::forget(fleet);
    Ok((after - before) / IN_MEMORY as f64)
}

/// Bytes of this process in memory.
fn resident() -> Outcome<f64> {
    let text = std::fs::read_to_string("/proc/self/status").map_err(|error| error.to_string())?;
    let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kib.map(|kib| kib * 1024.0).ok_or_else(|| "no RssAnon".into())
}
